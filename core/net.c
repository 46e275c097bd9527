#include "net.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layer.h"
#include "memory.h"
#include "rng.h"

/* Completes an error of layer i: "... at layer 'conv3'", field "layers[2].kernel". */
static bool layer_error(const struct cnn_net *net, int i, struct err *e)
{
    size_t used = strlen(e->detail);
    snprintf(e->detail + used, sizeof e->detail - used, " at layer '%s'", net->nodes[i].spec.name);
    return err_within(e, "layers[%d]", i);
}

/* The node called `name`, or -1. */
static int find_name(const struct cnn_net *net, const char *name)
{
    for (int i = 0; i < net->node_count; i++)
        if (strcmp(net->nodes[i].spec.name, name) == 0)
            return i;
    return -1;
}

static bool check_name(const struct cnn_net *net, int i, struct err *e)
{
    const char *name = net->nodes[i].spec.name;
    const char *end = memchr(name, '\0', CNN_NAME_MAX);
    if (!end) {
        err_field(e, ERR_INVALID, "name", "name is longer than %d bytes", CNN_NAME_MAX - 1);
        return err_within(e, "layers[%d]", i);
    }
    for (const char *at = name; at < end; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f) {
            err_field(e, ERR_INVALID, "name", "name holds the control character 0x%02x", *at);
            return err_within(e, "layers[%d]", i);
        }
    if (name[0] && find_name(net, name) < i) {
        err_field(e, ERR_INVALID, "name", "name '%s' is used by two layers", name);
        return err_within(e, "layers[%d]", i);
    }
    return true;
}

/* "conv3" for the third convolution; the next free number where a user's name is in the way. */
static void give_name(struct cnn_net *net, int i)
{
    enum cnn_layer_type type = net->nodes[i].spec.type;
    char name[CNN_NAME_MAX];
    int number = 1;
    for (int k = 0; k < i; k++)
        number += net->nodes[k].spec.type == type;
    do
        snprintf(name, sizeof name, "%s%d", cnn_layer_type_name(type), number++);
    while (find_name(net, name) >= 0);
    memcpy(net->nodes[i].spec.name, name, sizeof name);
}

static bool name_nodes(struct cnn_net *net, struct err *e)
{
    for (int i = 0; i < net->node_count; i++)
        if (!check_name(net, i, e))
            return false;
    for (int i = 0; i < net->node_count; i++)
        if (!net->nodes[i].spec.name[0])
            give_name(net, i);
    return true;
}

static bool check_input_count(const struct cnn_layer_spec *layer, int count, struct err *e)
{
    const char *type = cnn_layer_type_name(layer->type);
    if (layer->type != CNN_ADD && layer->type != CNN_CONCAT)
        return count == 1 ||
               err_field(e, ERR_INVALID, "inputs", "%s wants 1 input, got %d", type, count);
    return (count >= 2 && count <= CNN_INPUTS_MAX) ||
           err_field(e, ERR_INVALID, "inputs", "%s wants 2 to %d inputs, got %d", type,
                     CNN_INPUTS_MAX, count);
}

/* Resolves the node's inputs and takes their shapes. */
static bool connect_node(struct cnn_net *net, int i, struct err *e)
{
    struct cnn_node *node = &net->nodes[i];
    if (node->spec.input_count == 0) {
        node->spec.input_count = 1;
        node->spec.inputs[0] = i - 1; /* CNN_FROM_INPUT for the first */
    }
    if (!check_input_count(&node->spec, node->spec.input_count, e))
        return false;
    node->input_count = node->spec.input_count;
    for (int k = 0; k < node->input_count; k++) {
        int from = node->spec.inputs[k];
        if (from < CNN_FROM_INPUT || from >= i) {
            err_set(e, ERR_INVALID, "input %d is not an earlier layer", from);
            return err_within(e, "inputs[%d]", k);
        }
        node->inputs[k] = from;
        node->in[k] = from == CNN_FROM_INPUT ? net->input : net->nodes[from].out;
        if (from != CNN_FROM_INPUT)
            net->nodes[from].consumer_count++;
    }
    return true;
}
_Static_assert(CNN_FROM_INPUT == -1, "the layer before the first is the net's input");

static bool build_nodes(struct cnn_net *net, const struct cnn_spec *spec, struct err *e)
{
    for (int i = 0; i < net->node_count; i++)
        net->nodes[i].spec = spec->layers[i];
    if (!name_nodes(net, e))
        return false;
    for (int i = 0; i < net->node_count; i++) {
        struct cnn_node *node = &net->nodes[i];
        node->op = cnn_op_of(node->spec.type);
        if (!connect_node(net, i, e) || !node->op->infer(node, e) ||
            !cnn_shape_check(&node->out, e))
            return layer_error(net, i, e);
    }
    for (int i = 0; i < net->node_count - 1; i++)
        if (net->nodes[i].consumer_count == 0) {
            err_set(e, ERR_INVALID, "output is read by no other layer");
            return layer_error(net, i, e);
        }
    return true;
}

/* Fills tensor->count; false past CNN_PARAMS_MAX. */
static bool tensor_size(struct cnn_param *tensor)
{
    tensor->count = 1;
    for (int i = 0; i < tensor->rank; i++)
        if (!memory_mul(tensor->count, (size_t)tensor->dims[i], &tensor->count) ||
            tensor->count > CNN_PARAMS_MAX)
            return false;
    return true;
}

static bool describe_node_tensors(struct cnn_net *net, int i, struct err *e)
{
    struct cnn_node *node = &net->nodes[i];
    node->param_first = net->tensor_count;
    for (int t = 0; node->op->param; t++) {
        struct cnn_param tensor = {.node = i};
        if (!node->op->param(node, t, &tensor))
            break;
        if (tensor_size(&tensor))
            net->state_count += tensor.count;
        if (tensor.count > CNN_PARAMS_MAX || net->state_count > CNN_PARAMS_MAX) {
            err_set(e, ERR_INVALID, "net grows past %d parameters", CNN_PARAMS_MAX);
            return layer_error(net, i, e);
        }
        net->tensors[net->tensor_count++] = tensor;
        node->param_count++;
    }
    return true;
}

enum { TENSORS_PER_NODE_MAX = 4 }; /* batch_norm */

/* Every tensor's place in the block: trainable ones first, then running statistics. */
static bool lay_out_tensors(struct cnn_net *net, struct err *e)
{
    net->tensors =
        memory_new((size_t)net->node_count * TENSORS_PER_NODE_MAX, sizeof *net->tensors, e);
    if (!net->tensors)
        return false;
    for (int i = 0; i < net->node_count; i++)
        if (!describe_node_tensors(net, i, e))
            return false;
    size_t offset = 0;
    for (int trainable = 1; trainable >= 0; trainable--) {
        for (int t = 0; t < net->tensor_count; t++)
            if (net->tensors[t].trainable == trainable) {
                net->tensors[t].offset = offset;
                offset += net->tensors[t].count;
            }
        if (trainable)
            net->param_count = offset;
    }
    return true;
}

/* 1 where 0 would silence a layer: batch-norm's scale and running variance. */
static float resting_value(const struct cnn_param *tensor)
{
    bool scale = strcmp(tensor->role, "weight") == 0 && tensor->fan_in == 0;
    return scale || strcmp(tensor->role, "running_var") == 0 ? 1.0f : 0.0f;
}

static void fill(float *values, size_t count, float value)
{
    for (size_t i = 0; i < count; i++)
        values[i] = value;
}

struct cnn_net *cnn_net_plan(const struct cnn_spec *spec, struct err *e)
{
    struct cnn_net *net = NULL;
    if (spec->layer_count < 1 || spec->layer_count > CNN_LAYERS_MAX) {
        err_field(e, ERR_INVALID, "layers", "net has %d layers, expected 1 to %d",
                  spec->layer_count, CNN_LAYERS_MAX);
        return NULL;
    }
    if (!cnn_shape_check(&spec->input, e)) {
        err_within(e, "input");
        return NULL;
    }
    net = memory_new(1, sizeof *net, e);
    if (!net)
        return NULL;
    net->input = spec->input;
    net->node_count = spec->layer_count;
    net->nodes = memory_new((size_t)net->node_count, sizeof *net->nodes, e);
    if (net->nodes && build_nodes(net, spec, e) && lay_out_tensors(net, e))
        return net;
    cnn_net_free(net);
    return NULL;
}

struct cnn_net *cnn_net_new(const struct cnn_spec *spec, struct err *e)
{
    struct cnn_net *net = cnn_net_plan(spec, e);
    if (!net)
        return NULL;
    net->params = memory_new(net->state_count, sizeof *net->params, e);
    if (!net->params) {
        cnn_net_free(net);
        return NULL;
    }
    for (int t = 0; t < net->tensor_count; t++)
        fill(net->params + net->tensors[t].offset, net->tensors[t].count,
             resting_value(&net->tensors[t]));
    return net;
}

void cnn_net_free(struct cnn_net *net)
{
    if (!net)
        return;
    free(net->nodes);
    free(net->tensors);
    free(net->params);
    free(net);
}

bool cnn_net_spec(const struct cnn_net *net, struct cnn_spec *spec, struct err *e)
{
    struct cnn_layer_spec *layers = memory_new((size_t)net->node_count, sizeof *layers, e);
    if (!layers)
        return false;
    for (int i = 0; i < net->node_count; i++)
        layers[i] = net->nodes[i].spec;
    *spec =
        (struct cnn_spec){.input = net->input, .layer_count = net->node_count, .layers = layers};
    return true;
}

const char *cnn_init_name(enum cnn_init init)
{
    static const char *const names[CNN_INIT_COUNT] = {"uniform", "xavier", "he", "normal"};
    return names[init];
}

/* Of a weight [out, in/groups, k...]: out times its taps, whatever the groups, as in PyTorch. */
static double fan_out(const struct cnn_param *weight)
{
    return (double)weight->count / weight->dims[1];
}

static void init_tensor(const struct cnn_param *tensor, enum cnn_init init, struct cnn_rng *rng,
                        float *values)
{
    const double fan_in = tensor->fan_in;
    double bound = 0, deviation = 0;
    switch (init) {
    case CNN_INIT_XAVIER:
        bound = tensor->rank > 1 ? sqrt(6 / (fan_in + fan_out(tensor))) : 0;
        break;
    case CNN_INIT_HE:
        deviation = sqrt(2 / fan_in);
        break;
    case CNN_INIT_NORMAL:
        deviation = sqrt(1 / fan_in);
        break;
    default:
        bound = 1 / sqrt(fan_in);
        break;
    }
    if (init != CNN_INIT_UNIFORM && tensor->rank == 1) { /* a bias */
        fill(values, tensor->count, 0);
        return;
    }
    for (size_t i = 0; i < tensor->count; i++)
        values[i] = bound > 0 ? cnn_rng_uniform(rng, (float)-bound, (float)bound)
                              : (float)deviation * cnn_rng_normal(rng);
}

void cnn_net_init(struct cnn_net *net, enum cnn_init init, uint64_t seed)
{
    for (int t = 0; t < net->tensor_count; t++) {
        const struct cnn_param *tensor = &net->tensors[t];
        float *values = net->params + tensor->offset;
        struct cnn_rng rng;
        cnn_rng_init(&rng, seed, (uint64_t)t);
        if (tensor->fan_in > 0)
            init_tensor(tensor, init, &rng, values);
        else
            fill(values, tensor->count, resting_value(tensor));
    }
}

const struct cnn_shape *cnn_net_output(const struct cnn_net *net)
{
    return &net->nodes[net->node_count - 1].out;
}

uint64_t cnn_node_macs(const struct cnn_node *node)
{
    return node->op->macs ? node->op->macs(node) : 0;
}

uint64_t cnn_net_macs(const struct cnn_net *net)
{
    /* Fits: at most CNN_PARAMS_MAX weights, each used once per element of a feature map. */
    uint64_t macs = 0;
    for (int i = 0; i < net->node_count; i++)
        macs += cnn_node_macs(&net->nodes[i]);
    return macs;
}

size_t cnn_node_params(const struct cnn_net *net, const struct cnn_node *node)
{
    size_t count = 0;
    for (int t = node->param_first; t < node->param_first + node->param_count; t++)
        count += net->tensors[t].trainable ? net->tensors[t].count : 0;
    return count;
}

/* A weight as [out, in, taps]; the block holds it as [taps, in, out]. Vectors are [n, 1, 1]. */
static void weight_sizes(const struct cnn_param *tensor, size_t *out, size_t *in, size_t *taps)
{
    *out = (size_t)tensor->dims[0];
    *in = tensor->rank > 1 ? (size_t)tensor->dims[1] : 1;
    *taps = tensor->count / (*out * *in);
}

void cnn_net_export(const struct cnn_net *net, int index, float *canonical)
{
    const float *block = net->params + net->tensors[index].offset;
    size_t out, in, taps;
    weight_sizes(&net->tensors[index], &out, &in, &taps);
    for (size_t tap = 0; tap < taps; tap++)
        for (size_t c = 0; c < in; c++)
            for (size_t k = 0; k < out; k++)
                canonical[(k * in + c) * taps + tap] = block[(tap * in + c) * out + k];
}

void cnn_net_import(struct cnn_net *net, int index, const float *canonical)
{
    float *block = net->params + net->tensors[index].offset;
    size_t out, in, taps;
    weight_sizes(&net->tensors[index], &out, &in, &taps);
    for (size_t tap = 0; tap < taps; tap++)
        for (size_t c = 0; c < in; c++)
            for (size_t k = 0; k < out; k++)
                block[(tap * in + c) * out + k] = canonical[(k * in + c) * taps + tap];
}

bool cnn_net_finite(const struct cnn_net *net, int *node)
{
    for (int t = 0; t < net->tensor_count; t++)
        for (size_t i = 0; i < net->tensors[t].count; i++)
            if (!isfinite(net->params[net->tensors[t].offset + i])) {
                *node = net->tensors[t].node;
                return false;
            }
    return true;
}
