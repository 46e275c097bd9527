/* onnx_node.c - one ONNX node to one layer.
 *
 * A node is read in this order: what may be in it at all (known operator, known attributes), then
 * the layer's options, then its inputs' shapes through the engine's own inference, then its
 * parameters against the shapes that result.
 */
#include "onnx_graph.h"

#include <stdio.h>
#include <string.h>

#include "layer.h"
#include "name.h"
#include "onnx_attribute.h"
#include "onnx_tensor.h"

/* One node on its way to a layer. */
struct reading {
    struct onnx_graph *graph;
    const Onnx__NodeProto *node;
    const struct onnx_op *op;
    int uses;
    struct cnn_layer_spec *spec; /* the layer's, in graph->spec */
    struct onnx_layer *layer;
    const struct onnx_value *in[CNN_INPUTS_MAX]; /* feature maps */
    int in_count;
};

int onnx_role_find(const char *role)
{
    static const char *const roles[ROLE_COUNT] = {"weight", "bias", "running_mean", "running_var"};
    for (int i = 0; i < ROLE_COUNT; i++)
        if (strcmp(roles[i], role) == 0)
            return i;
    return -1;
}

const struct onnx_value *onnx_value_find(const struct onnx_graph *graph, const char *name)
{
    for (size_t i = 0; i < graph->value_count; i++)
        if (strcmp(graph->values[i].name, name) == 0)
            return &graph->values[i];
    return NULL;
}

bool onnx_value_define(struct onnx_graph *graph, const char *name, struct onnx_value value,
                       struct err *e)
{
    if (strlen(name) > ONNX_VALUE_NAME_BYTES)
        return err_set(e, ERR_UNPROCESSABLE, "name of %zu bytes, at most %d are read", strlen(name),
                       ONNX_VALUE_NAME_BYTES);
    if (!name[0] || onnx_value_find(graph, name))
        return err_set(e, ERR_UNPROCESSABLE, "value '%.64s' is defined twice or without a name",
                       name);
    if (graph->value_count == graph->value_capacity)
        return err_set(e, ERR_UNPROCESSABLE, "more than %zu values", graph->value_capacity);
    value.name = name;
    graph->values[graph->value_count++] = value;
    return true;
}

/* Inputs */

/* ONNX marks an input that is not given by an empty name. */
static bool has_input(const struct reading *r, size_t index)
{
    return index < r->node->n_input && r->node->input[index][0];
}

static const struct onnx_value *get_value(const struct reading *r, size_t index, struct err *e)
{
    if (!has_input(r, index)) {
        err_set(e, ERR_UNPROCESSABLE, "input %zu is missing", index);
        return NULL;
    }
    const struct onnx_value *value = onnx_value_find(r->graph, r->node->input[index]);
    if (!value)
        err_set(e, ERR_UNPROCESSABLE, "input '%.64s' is not defined before it",
                r->node->input[index]);
    return value;
}

static const Onnx__TensorProto *get_tensor(const struct reading *r, size_t index, struct err *e)
{
    const struct onnx_value *value = get_value(r, index, e);
    if (value && !value->tensor)
        err_set(e, ERR_UNPROCESSABLE, "input '%.64s' is not a constant", value->name);
    return value ? value->tensor : NULL;
}

static bool get_map(struct reading *r, size_t index, struct err *e)
{
    const struct onnx_value *value = get_value(r, index, e);
    if (!value)
        return false;
    if (value->tensor)
        return err_set(e, ERR_UNPROCESSABLE, "input '%.64s' is a constant", value->name);
    if (r->in_count == CNN_INPUTS_MAX)
        return err_set(e, ERR_UNPROCESSABLE, "more than %d inputs", CNN_INPUTS_MAX);
    r->in[r->in_count++] = value;
    return true;
}

/* The parameter of a role from an input: float32, all its bytes there. */
static bool get_param(struct reading *r, size_t index, enum onnx_role role, struct err *e)
{
    size_t count;
    r->layer->tensors[role] = get_tensor(r, index, e);
    return r->layer->tensors[role] && onnx_tensor_floats(r->layer->tensors[role], &count, e);
}

/* Options of each layer */

static bool read_padding(const struct reading *r, struct cnn_window *window, struct err *e)
{
    bool ok, present;
    int first = CNN_AXES - window->dims, pads[2 * CNN_AXES];
    const Onnx__AttributeProto *mode = onnx_attribute_find(
        r->node, "auto_pad", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING, &ok, e);
    if (!ok || !onnx_attribute_ints(r->node, "pads", 2 * window->dims, 0, pads, &present, e))
        return false;
    size_t length = mode ? mode->s.len : 0;
    if (length > 0 && !(length == 6 && memcmp(mode->s.data, "NOTSET", 6) == 0)) {
        if (length == 5 && memcmp(mode->s.data, "VALID", 5) == 0)
            window->padding = CNN_PAD_VALID;
        else if (length == 10 && memcmp(mode->s.data, "SAME_UPPER", 10) == 0)
            window->padding = CNN_PAD_SAME;
        else
            return err_set(e, ERR_UNPROCESSABLE, "unsupported auto_pad '%.*s'",
                           (int)(length < 32 ? length : 32), (const char *)mode->s.data);
        return true;
    }
    if (present) {
        window->padding = CNN_PAD_NUMBER;
        for (int i = 0; i < window->dims; i++) {
            window->before[first + i] = pads[i];
            window->after[first + i] = pads[window->dims + i];
        }
    }
    return true;
}

/* kernel_shape may be absent for a convolution, whose weights say it: then window->kernel holds
 * it already. */
static bool read_window(const struct reading *r, struct cnn_window *window, int dims,
                        bool kernel_known, struct err *e)
{
    if (dims < 1 || dims > CNN_AXES)
        return err_set(e, ERR_UNPROCESSABLE, "%d spatial axes, expected 1 to %d", dims, CNN_AXES);
    int first = CNN_AXES - dims, kernel[CNN_AXES];
    bool present;
    window->dims = dims;
    for (int i = 0; i < CNN_AXES; i++)
        window->stride[i] = window->dilation[i] = 1;
    if (!onnx_attribute_ints(r->node, "kernel_shape", dims, 1, kernel, &present, e))
        return false;
    if (!present && !kernel_known)
        return err_set(e, ERR_UNPROCESSABLE, "kernel_shape is missing");
    for (int i = 0; present && i < dims; i++) {
        if (kernel_known && kernel[i] != window->kernel[first + i])
            return err_set(e, ERR_UNPROCESSABLE, "kernel_shape %d, but the weights have %d",
                           kernel[i], window->kernel[first + i]);
        window->kernel[first + i] = kernel[i];
    }
    return onnx_attribute_ints(r->node, "strides", dims, 1, window->stride + first, &present, e) &&
           onnx_attribute_ints(r->node, "dilations", dims, 1, window->dilation + first, &present,
                               e) &&
           read_padding(r, window, e);
}

static bool read_conv(struct reading *r, struct err *e)
{
    struct cnn_window *window = &r->spec->u.conv.window;
    if (!get_param(r, 1, ROLE_WEIGHT, e))
        return false;
    r->spec->u.conv.bias = has_input(r, 2);
    if (r->spec->u.conv.bias && !get_param(r, 2, ROLE_BIAS, e))
        return false;
    const Onnx__TensorProto *weight = r->layer->tensors[ROLE_WEIGHT];
    int dims = (int)weight->n_dims - 2;
    for (int i = 0; i < dims && dims <= CNN_AXES; i++)
        window->kernel[CNN_AXES - dims + i] = (int)weight->dims[2 + i];
    int64_t groups = 1;
    if (!read_window(r, window, dims, true, e) ||
        !onnx_attribute_int(r->node, "group", 1, CNN_DIM_MAX, &groups, e))
        return false;
    r->spec->u.conv.filters = (int)weight->dims[0];
    r->spec->u.conv.groups = (int)groups;
    return true;
}

static bool read_pool(struct reading *r, struct err *e)
{
    struct cnn_window *window = &r->spec->u.pool.window;
    int64_t count_padding = 0;
    if (!read_window(r, window, r->in[0]->shape.rank, false, e) ||
        !onnx_attribute_want(r->node, "ceil_mode", 0, e) ||
        !onnx_attribute_want(r->node, "storage_order", 0, e) ||
        !onnx_attribute_int(r->node, "count_include_pad", 0, 1, &count_padding, e))
        return false;
    for (int i = 0; i < CNN_AXES; i++)
        if (window->dilation[i] != 1)
            return err_set(e, ERR_UNPROCESSABLE, "unsupported dilation %d of a pooling",
                           window->dilation[i]);
    r->spec->u.pool.count_padding = count_padding == 1;
    return true;
}

/* Gemm: alpha * x * W + beta * b; MatMul: x * W, its bias may follow as an Add. */
static bool read_dense(struct reading *r, struct err *e)
{
    bool gemm = strcmp(r->op->op_type, "Gemm") == 0;
    int64_t transposed = 0;
    if (!get_param(r, 1, ROLE_WEIGHT, e) || !onnx_attribute_want_one(r->node, "alpha", e) ||
        !onnx_attribute_want_one(r->node, "beta", e) ||
        !onnx_attribute_want(r->node, "transA", 0, e) ||
        !onnx_attribute_int(r->node, "transB", 0, 1, &transposed, e))
        return false;
    r->spec->u.dense.bias = gemm && has_input(r, 2);
    if (r->spec->u.dense.bias && !get_param(r, 2, ROLE_BIAS, e))
        return false;
    const Onnx__TensorProto *weight = r->layer->tensors[ROLE_WEIGHT];
    if (weight->n_dims != 2)
        return err_set(e, ERR_UNPROCESSABLE, "weights of rank %zu, expected 2", weight->n_dims);
    r->layer->transposed = transposed == 0;
    r->layer->open = !gemm && r->uses == 1;
    r->spec->u.dense.units = (int)weight->dims[transposed ? 0 : 1];
    return true;
}

static bool read_dropout(struct reading *r, struct err *e)
{
    float *rate = &r->spec->u.dropout.rate;
    if (has_input(r, 2))
        return err_set(e, ERR_UNPROCESSABLE, "unsupported input 'training_mode' of Dropout");
    if (!has_input(r, 1))
        return onnx_attribute_float(r->node, "ratio", rate, e);
    size_t count;
    const Onnx__TensorProto *tensor = get_tensor(r, 1, e);
    if (!tensor || !onnx_tensor_floats(tensor, &count, e))
        return false;
    if (count != 1)
        return err_set(e, ERR_UNPROCESSABLE, "ratio of %zu values", count);
    onnx_tensor_copy(tensor, rate);
    return true;
}

/* ONNX weighs the old value, we weigh the new one. Rounding to what people write (0.1) undoes
 * the float subtraction from 1. */
static float our_momentum(float onnx_momentum)
{
    char text[32];
    float momentum;
    snprintf(text, sizeof text, "%.6g", 1 - (double)onnx_momentum);
    return sscanf(text, "%f", &momentum) == 1 ? momentum : 0;
}

static bool read_batch_norm(struct reading *r, struct err *e)
{
    float momentum = 0.9f;
    if (r->node->n_output > 1 && r->node->output[1][0])
        return err_set(e, ERR_UNPROCESSABLE, "BatchNormalization in training mode");
    for (int role = 0; role < ROLE_COUNT; role++)
        if (!get_param(r, 1 + (size_t)role, (enum onnx_role)role, e))
            return false;
    if (!onnx_attribute_want(r->node, "spatial", 1, e) ||
        !onnx_attribute_want(r->node, "training_mode", 0, e) ||
        !onnx_attribute_float(r->node, "epsilon", &r->spec->u.norm.epsilon, e) ||
        !onnx_attribute_float(r->node, "momentum", &momentum, e))
        return false;
    r->spec->u.norm.momentum = our_momentum(momentum);
    return true;
}

/* The channel axis, the only one we know, may be counted from the end. */
static bool read_axis(const struct reading *r, int64_t usual, struct err *e)
{
    int64_t rank = r->in[0]->shape.rank + 2, axis = usual; /* of [N,C,...] */
    if (!onnx_attribute_int(r->node, "axis", -rank, rank - 1, &axis, e))
        return false;
    if ((axis + rank) % rank != 1)
        return err_set(e, ERR_UNPROCESSABLE, "unsupported axis %lld of %lld", (long long)axis,
                       (long long)rank);
    return true;
}

static bool read_softmax(const struct reading *r, struct err *e)
{
    if (!read_axis(r, r->graph->opset < 13 ? 1 : -1, e))
        return false;
    /* Before opset 13 it ran over everything from the axis on, not over the axis alone. */
    if (r->graph->opset < 13 && cnn_shape_pixels(&r->in[0]->shape) != 1)
        return err_set(e, ERR_UNPROCESSABLE, "%s over pixels before opset 13", r->op->op_type);
    return true;
}

/* Shape of a Reshape that only flattens: [batch, features]. One of them may be left open as -1, the
 * batch also as 0, unless allowzero makes that a size. A batch given as a number is that of the
 * file's example, and then the features must be given, or it be 1. *features is -1 when left
 * open; the caller compares it with what there is. */
static bool read_reshape(const struct reading *r, int64_t *features, struct err *e)
{
    const Onnx__TensorProto *tensor = get_tensor(r, 1, e);
    int64_t shape[2] = {0, 0};
    int64_t allow_zero = 0;
    int count;
    if (!tensor || !onnx_tensor_ints(tensor, shape, 2, &count, e) ||
        !onnx_attribute_int(r->node, "allowzero", 0, 1, &allow_zero, e))
        return false;
    bool features_open = shape[1] == -1;
    bool batch_fits = (shape[0] == 0 && !allow_zero) || shape[0] == 1 ||
                      (!features_open && (shape[0] == -1 || shape[0] > 1));
    if (count != 2 || !batch_fits || shape[1] == 0 || shape[1] < -1)
        return err_set(e, ERR_UNPROCESSABLE, "unsupported Reshape: only to [batch, features]");
    *features = shape[1];
    return true;
}

static bool read_flatten(const struct reading *r, int64_t *features, struct err *e)
{
    *features = -1;
    if (strcmp(r->op->op_type, "Reshape") == 0)
        return read_reshape(r, features, e);
    return read_axis(r, 1, e);
}

/* Layers */

/* The layer's name: its weight's without ".weight", else the node's; none when it cannot be, as
 * arch_json.h names layers. */
static void name_layer(struct reading *r)
{
    static const char suffix[] = ".weight";
    const Onnx__TensorProto *weight = r->layer->tensors[ROLE_WEIGHT];
    const char *name = r->node->name;
    size_t size = strlen(name), weight_size = weight ? strlen(weight->name) : 0;
    if (weight_size >= sizeof suffix &&
        strcmp(weight->name + weight_size - (sizeof suffix - 1), suffix) == 0) {
        name = weight->name;
        size = weight_size - (sizeof suffix - 1);
    }
    while (size > 0 && name[0] == '/') { /* PyTorch's "/conv1/Conv" */
        name++;
        size--;
    }
    if (size >= CNN_NAME_MAX)
        return;
    char text[CNN_NAME_MAX] = "";
    memcpy(text, name, size);
    for (char *slash = text; (slash = strchr(slash, '/'));)
        *slash = '.';
    struct err ignored;
    if (!label_check(text, &ignored) || strcmp(text, "input") == 0)
        return;
    for (int i = 0; i < r->graph->spec.layer_count; i++)
        if (strcmp(r->graph->spec.layers[i].name, text) == 0)
            return;
    memcpy(r->spec->name, text, sizeof text);
}

/* The dims of a parameter as the file must have them. Vectors may come as [1,n]. */
static bool dims_match(const struct onnx_layer *layer, enum onnx_role role,
                       const struct cnn_param *param)
{
    const Onnx__TensorProto *tensor = layer->tensors[role];
    size_t count = 1, expected = 1;
    for (size_t i = 0; i < tensor->n_dims; i++)
        count *= (size_t)tensor->dims[i];
    if (param->rank == 1)
        return count == (size_t)param->dims[0];
    for (int i = 0; i < param->rank; i++)
        expected *= (size_t)param->dims[i];
    if (tensor->n_dims != (size_t)param->rank || count != expected)
        return false;
    for (int i = 0; i < param->rank; i++)
        if (tensor->dims[layer->transposed ? param->rank - 1 - i : i] != param->dims[i])
            return false;
    return true;
}

/* Each parameter the layer wants against the tensor that is there. */
static bool check_params(struct reading *r, const struct cnn_node *core, struct err *e)
{
    for (int t = 0; core->op->param; t++) {
        struct cnn_param param = {0};
        if (!core->op->param(core, t, &param))
            break;
        int role = onnx_role_find(param.role);
        const Onnx__TensorProto *tensor = role < 0 ? NULL : r->layer->tensors[role];
        size_t count;
        if (!tensor)
            return err_set(e, ERR_UNPROCESSABLE, "%s is missing", param.role);
        if (!onnx_tensor_floats(tensor, &count, e))
            return false;
        if (!dims_match(r->layer, (enum onnx_role)role, &param))
            return err_set(e, ERR_UNPROCESSABLE, "%s '%.64s' does not fit its input", param.role,
                           tensor->name);
        if (count > r->graph->floats_left)
            return err_set(e, ERR_UNPROCESSABLE, "parameters are shared by too many nodes");
        r->graph->floats_left -= count;
    }
    return true;
}

/* Infers the layer's output as the engine will, and defines the node's value. */
static bool connect_layer(struct reading *r, int64_t features, struct err *e)
{
    struct cnn_node core = {.op = cnn_op_of(r->spec->type), .input_count = r->in_count};
    r->spec->input_count = r->in_count;
    for (int i = 0; i < r->in_count; i++) {
        if (r->in[i]->shape.rank != r->in[0]->shape.rank)
            return err_set(e, ERR_UNPROCESSABLE, "inputs of different ranks");
        r->spec->inputs[i] = core.inputs[i] = r->in[i]->layer;
        core.in[i] = r->in[i]->shape;
    }
    name_layer(r);
    core.spec = *r->spec;
    if (!core.op->infer(&core, e) || !cnn_shape_check(&core.out, e) || !check_params(r, &core, e))
        return false;
    if (features > 0 && features != core.out.c)
        return err_set(e, ERR_UNPROCESSABLE, "Reshape to %lld features, but there are %d",
                       (long long)features, core.out.c);
    return onnx_value_define(
        r->graph, r->node->output[0],
        (struct onnx_value){.layer = r->graph->spec.layer_count - 1, .shape = core.out}, e);
}

static bool read_options(struct reading *r, int64_t *features, struct err *e)
{
    switch (r->spec->type) {
    case CNN_CONV:
        return read_conv(r, e);
    case CNN_MAX_POOL:
    case CNN_AVG_POOL:
        return read_pool(r, e);
    case CNN_DENSE:
        return read_dense(r, e);
    case CNN_FLATTEN:
        return read_flatten(r, features, e);
    case CNN_LEAKY_RELU:
        return onnx_attribute_float(r->node, "alpha", &r->spec->u.leaky.slope, e);
    case CNN_SOFTMAX:
    case CNN_LOG_SOFTMAX:
        return read_softmax(r, e);
    case CNN_DROPOUT:
        return read_dropout(r, e);
    case CNN_BATCH_NORM:
        return read_batch_norm(r, e);
    case CNN_CONCAT:
        return read_axis(r, 1, e);
    default:
        return true;
    }
}

static bool read_layer(struct reading *r, struct err *e)
{
    bool many = r->op->layer == CNN_ADD || r->op->layer == CNN_CONCAT;
    for (size_t i = 0; i < (many ? r->node->n_input : 1); i++)
        if (!get_map(r, i, e))
            return false;
    r->spec = cnn_spec_add(&r->graph->spec, (enum cnn_layer_type)r->op->layer, e);
    if (!r->spec)
        return false;
    r->layer = &r->graph->layers[r->graph->spec.layer_count - 1];
    int64_t features = -1;
    return read_options(r, &features, e) && connect_layer(r, features, e);
}

/* Nodes that become no layer of their own */

static bool read_constant(const struct reading *r, struct err *e)
{
    bool ok;
    const Onnx__AttributeProto *value = onnx_attribute_find(
        r->node, "value", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR, &ok, e);
    if (!ok)
        return false;
    if (!value || !value->t)
        return err_set(e, ERR_UNPROCESSABLE, "value is missing");
    return onnx_value_define(r->graph, r->node->output[0], (struct onnx_value){.tensor = value->t},
                             e);
}

/* An Add of a constant is the bias of the MatMul before it. */
static bool read_bias(struct reading *r, const struct onnx_value *map,
                      const struct onnx_value *constant, struct err *e)
{
    struct onnx_layer *layer = map->layer < 0 ? NULL : &r->graph->layers[map->layer];
    size_t count;
    if (!layer || !layer->open)
        return err_set(e, ERR_UNPROCESSABLE,
                       "unsupported Add of the constant '%.64s' to anything but a MatMul",
                       constant->name);
    if (!onnx_tensor_floats(constant->tensor, &count, e))
        return false;
    const Onnx__TensorProto *bias = constant->tensor;
    if (bias->n_dims < 1 || bias->n_dims > 2 || count != (size_t)map->shape.c ||
        bias->dims[bias->n_dims - 1] != map->shape.c)
        return err_set(e, ERR_UNPROCESSABLE, "bias '%.64s' does not fit %d units", constant->name,
                       map->shape.c);
    layer->open = false;
    layer->tensors[ROLE_BIAS] = bias;
    r->graph->spec.layers[map->layer].u.dense.bias = true;
    return onnx_value_define(r->graph, r->node->output[0], *map, e);
}

static bool read_checked(struct reading *r, struct err *e)
{
    if (strcmp(r->op->op_type, "Constant") == 0)
        return read_constant(r, e);
    const struct onnx_value *first = get_value(r, 0, e);
    if (!first)
        return false;
    if (strcmp(r->op->op_type, "Identity") == 0)
        return onnx_value_define(r->graph, r->node->output[0], *first, e);
    if (r->op->layer == CNN_ADD && r->node->n_input == 2) {
        const struct onnx_value *second = get_value(r, 1, e);
        if (!second)
            return false;
        if (!first->tensor != !second->tensor)
            return first->tensor ? read_bias(r, second, first, e) : read_bias(r, first, second, e);
    }
    return read_layer(r, e);
}

/* Names the node in an error, and makes it the file's fault. */
static bool node_error(const Onnx__NodeProto *node, struct err *e)
{
    if (e->code == ERR_NO_MEMORY)
        return false;
    size_t used = strlen(e->detail);
    const char *name = node->name[0] ? node->name : node->n_output ? node->output[0] : "";
    snprintf(e->detail + used, sizeof e->detail - used, " at node '%.64s'", name);
    e->code = ERR_UNPROCESSABLE;
    e->field[0] = '\0';
    return false;
}

bool onnx_node_read(struct onnx_graph *graph, const Onnx__NodeProto *node, int uses, struct err *e)
{
    struct reading r = {.graph = graph, .node = node, .uses = uses};
    bool ours = !node->domain[0] || strcmp(node->domain, "ai.onnx") == 0;
    r.op = ours ? onnx_op_find(node->op_type) : NULL;
    if (!r.op)
        err_set(e, ERR_UNPROCESSABLE, "unsupported operator '%.32s%s%.64s'", node->domain,
                node->domain[0] ? "." : "", node->op_type);
    else if (onnx_attributes_known(node, r.op, e) && read_checked(&r, e))
        return true;
    return node_error(node, e);
}
