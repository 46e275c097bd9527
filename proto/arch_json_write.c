/* arch_json_write.c - cnn_spec to the JSON that arch_json.c reads. */
#include <stdio.h>
#include <string.h>

#include "arch_json.h"

const char *arch_type_text(const struct cnn_layer_spec *layer, char out[ARCH_TYPE_BYTES])
{
    const char *name = cnn_layer_type_name(layer->type);
    if (layer->type == CNN_CONV)
        snprintf(out, ARCH_TYPE_BYTES, "%s%dd", name, layer->u.conv.window.dims);
    else if (layer->type == CNN_MAX_POOL || layer->type == CNN_AVG_POOL)
        snprintf(out, ARCH_TYPE_BYTES, "%s%dd", name, layer->u.pool.window.dims);
    else
        return name;
    return out;
}

static const char *padding_text(enum cnn_padding padding)
{
    return padding == CNN_PAD_SAME ? "same" : padding == CNN_PAD_FULL ? "full" : "valid";
}

static void write_ints(struct json_writer *w, const char *key, const int *values, int count)
{
    jw_key(w, key);
    jw_array(w);
    for (int i = 0; i < count; i++)
        jw_int(w, values[i]);
    jw_array_end(w);
}

static void write_padding(struct json_writer *w, const struct cnn_window *window)
{
    int both[2 * CNN_AXES], dims = window->dims, first = CNN_AXES - dims;
    if (window->padding != CNN_PAD_NUMBER) {
        jw_key_string(w, "padding", padding_text(window->padding));
        return;
    }
    memcpy(both, window->before + first, (size_t)dims * sizeof *both);
    memcpy(both + dims, window->after + first, (size_t)dims * sizeof *both);
    bool symmetric = memcmp(both, both + dims, (size_t)dims * sizeof *both) == 0;
    write_ints(w, "padding", both, symmetric ? dims : 2 * dims);
}

static void write_window(struct json_writer *w, const struct cnn_window *window,
                         const char *kernel_key)
{
    int first = CNN_AXES - window->dims;
    int stride[CNN_AXES];
    for (int axis = 0; axis < CNN_AXES; axis++)
        stride[axis] = window->stride[axis] ? window->stride[axis] : window->kernel[axis];
    write_ints(w, kernel_key, window->kernel + first, window->dims);
    write_ints(w, "stride", stride + first, window->dims);
    write_padding(w, window);
}

static void write_float(struct json_writer *w, const char *key, float value)
{
    jw_key(w, key);
    jw_float(w, value);
}

static void write_options(struct json_writer *w, const struct cnn_layer_spec *layer)
{
    switch (layer->type) {
    case CNN_CONV: {
        const struct cnn_window *window = &layer->u.conv.window;
        jw_key_int(w, "filters", layer->u.conv.filters);
        write_window(w, window, "kernel");
        write_ints(w, "dilation", window->dilation + CNN_AXES - window->dims, window->dims);
        jw_key_int(w, "groups", layer->u.conv.groups);
        jw_key_bool(w, "bias", layer->u.conv.bias);
        break;
    }
    case CNN_AVG_POOL:
    case CNN_MAX_POOL:
        write_window(w, &layer->u.pool.window, "size");
        if (layer->type == CNN_AVG_POOL)
            jw_key_bool(w, "count_include_pad", layer->u.pool.count_padding);
        break;
    case CNN_DENSE:
        jw_key_int(w, "units", layer->u.dense.units);
        jw_key_bool(w, "bias", layer->u.dense.bias);
        break;
    case CNN_LEAKY_RELU:
        write_float(w, "slope", layer->u.leaky.slope);
        break;
    case CNN_DROPOUT:
        write_float(w, "rate", layer->u.dropout.rate);
        break;
    case CNN_BATCH_NORM:
        write_float(w, "epsilon", layer->u.norm.epsilon);
        write_float(w, "momentum", layer->u.norm.momentum);
        break;
    default:
        break;
    }
}

static void write_inputs(struct json_writer *w, const struct cnn_spec *spec,
                         const struct cnn_layer_spec *layer)
{
    jw_key(w, "inputs");
    jw_array(w);
    for (int i = 0; i < layer->input_count; i++) {
        int input = layer->inputs[i];
        if (input == CNN_FROM_INPUT)
            jw_string(w, "input");
        else if (spec->layers[input].name[0])
            jw_string(w, spec->layers[input].name);
        else
            jw_int(w, input);
    }
    jw_array_end(w);
}

void arch_write(struct json_writer *w, const struct cnn_spec *spec)
{
    int dims[1 + CNN_AXES];
    int count = cnn_shape_dims(&spec->input, dims);
    jw_object(w);
    write_ints(w, "input", dims, count);
    jw_key(w, "layers");
    jw_array(w);
    for (int i = 0; i < spec->layer_count; i++) {
        const struct cnn_layer_spec *layer = &spec->layers[i];
        char type[ARCH_TYPE_BYTES];
        jw_object(w);
        jw_key_string(w, "type", arch_type_text(layer, type));
        if (layer->name[0])
            jw_key_string(w, "name", layer->name);
        if (layer->input_count > 0)
            write_inputs(w, spec, layer);
        write_options(w, layer);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_object_end(w);
}
