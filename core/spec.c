#include "spec.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"

static const char *const type_names[] = {
    [CNN_CONV] = "conv",         [CNN_MAX_POOL] = "max_pool",
    [CNN_AVG_POOL] = "avg_pool", [CNN_GLOBAL_AVG_POOL] = "global_avg_pool",
    [CNN_DENSE] = "dense",       [CNN_FLATTEN] = "flatten",
    [CNN_RELU] = "relu",         [CNN_LEAKY_RELU] = "leaky_relu",
    [CNN_TANH] = "tanh",         [CNN_SIGMOID] = "sigmoid",
    [CNN_SOFTMAX] = "softmax",   [CNN_LOG_SOFTMAX] = "log_softmax",
    [CNN_DROPOUT] = "dropout",   [CNN_BATCH_NORM] = "batch_norm",
    [CNN_ADD] = "add",           [CNN_CONCAT] = "concat",
};
_Static_assert(sizeof type_names / sizeof *type_names == CNN_LAYER_TYPE_COUNT, "a name a type");

const char *cnn_layer_type_name(enum cnn_layer_type type)
{
    return type_names[type];
}

int cnn_layer_type_find(const char *name)
{
    for (int type = 0; type < CNN_LAYER_TYPE_COUNT; type++)
        if (strcmp(type_names[type], name) == 0)
            return type;
    return -1;
}

void cnn_window_set(struct cnn_window *window, int dims, int kernel, int stride)
{
    window->dims = dims;
    for (int axis = CNN_AXES - dims; axis < CNN_AXES; axis++) {
        window->kernel[axis] = kernel;
        window->stride[axis] = stride;
    }
}

static void window_defaults(struct cnn_window *window, int stride)
{
    *window = (struct cnn_window){
        .dims = 2,
        .kernel = {1, 1, 1},
        .stride = {1, stride, stride},
        .dilation = {1, 1, 1},
        .padding = CNN_PAD_VALID,
    };
}

static void layer_defaults(struct cnn_layer_spec *layer, enum cnn_layer_type type)
{
    *layer = (struct cnn_layer_spec){.type = type};
    switch (type) {
    case CNN_CONV:
        window_defaults(&layer->u.conv.window, 1);
        layer->u.conv.filters = 1;
        layer->u.conv.groups = 1;
        layer->u.conv.bias = true;
        break;
    case CNN_MAX_POOL:
    case CNN_AVG_POOL:
        window_defaults(&layer->u.pool.window, 0);
        break;
    case CNN_DENSE:
        layer->u.dense.units = 1;
        layer->u.dense.bias = true;
        break;
    case CNN_LEAKY_RELU:
        layer->u.leaky.slope = 0.01f;
        break;
    case CNN_DROPOUT:
        layer->u.dropout.rate = 0.5f;
        break;
    case CNN_BATCH_NORM:
        layer->u.norm.epsilon = 1e-5f;
        layer->u.norm.momentum = 0.1f;
        break;
    default:
        break;
    }
}

struct cnn_layer_spec *cnn_spec_add(struct cnn_spec *spec, enum cnn_layer_type type, struct err *e)
{
    if (spec->layer_count >= CNN_LAYERS_MAX) {
        err_field(e, ERR_INVALID, "layers", "more than %d layers", CNN_LAYERS_MAX);
        return NULL;
    }
    size_t count = (size_t)spec->layer_count + 1;
    struct cnn_layer_spec *layers = realloc(spec->layers, count * sizeof *layers);
    if (!layers) {
        err_no_memory(e);
        return NULL;
    }
    spec->layers = layers;
    struct cnn_layer_spec *layer = &layers[spec->layer_count++];
    layer_defaults(layer, type);
    return layer;
}

bool cnn_spec_copy(struct cnn_spec *to, const struct cnn_spec *from, struct err *e)
{
    size_t count = (size_t)from->layer_count;
    struct cnn_layer_spec *layers = memory_new(count, sizeof *layers, e);
    if (!layers)
        return false;
    if (count)
        memcpy(layers, from->layers, count * sizeof *layers);
    *to = *from;
    to->layers = layers;
    return true;
}

void cnn_spec_clear(struct cnn_spec *spec)
{
    free(spec->layers);
    *spec = (struct cnn_spec){0};
}
