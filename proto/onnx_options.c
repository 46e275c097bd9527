/* onnx_options.c - what the attributes and constant inputs of a node say about its layer. */
#include "onnx_options.h"

#include <stdio.h>
#include <string.h>

#include "onnx_attribute.h"
#include "onnx_tensor.h"

bool onnx_input_given(const struct onnx_reading *r, size_t index)
{
    return index < r->node->n_input && r->node->input[index][0];
}

const struct onnx_value *onnx_input_value(const struct onnx_reading *r, size_t index, struct err *e)
{
    if (!onnx_input_given(r, index)) {
        err_set(e, ERR_UNPROCESSABLE, "input %zu is missing", index);
        return NULL;
    }
    const struct onnx_value *value = onnx_value_find(r->graph, r->node->input[index]);
    if (!value)
        err_set(e, ERR_UNPROCESSABLE, "input '%.64s' is not defined before it",
                r->node->input[index]);
    return value;
}

const Onnx__TensorProto *onnx_input_tensor(const struct onnx_reading *r, size_t index,
                                           struct err *e)
{
    const struct onnx_value *value = onnx_input_value(r, index, e);
    if (value && !value->tensor)
        err_set(e, ERR_UNPROCESSABLE, "input '%.64s' is not a constant", value->name);
    return value ? value->tensor : NULL;
}

/* The parameter of a role from an input: float32, all its bytes there. */
static bool get_param(struct onnx_reading *r, size_t index, enum onnx_role role, struct err *e)
{
    size_t count;
    r->layer->tensors[role] = onnx_input_tensor(r, index, e);
    return r->layer->tensors[role] && onnx_tensor_floats(r->layer->tensors[role], &count, e);
}

static bool read_padding(const struct onnx_reading *r, struct cnn_window *window, struct err *e)
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
static bool read_window(const struct onnx_reading *r, struct cnn_window *window, int dims,
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

static bool read_conv(struct onnx_reading *r, struct err *e)
{
    struct cnn_window *window = &r->spec->u.conv.window;
    if (!get_param(r, 1, ROLE_WEIGHT, e))
        return false;
    r->spec->u.conv.bias = onnx_input_given(r, 2);
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

static bool read_pool(struct onnx_reading *r, struct err *e)
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
static bool read_dense(struct onnx_reading *r, struct err *e)
{
    bool gemm = strcmp(r->op->op_type, "Gemm") == 0;
    int64_t transposed = 0;
    if (!get_param(r, 1, ROLE_WEIGHT, e) || !onnx_attribute_want_one(r->node, "alpha", e) ||
        !onnx_attribute_want_one(r->node, "beta", e) ||
        !onnx_attribute_want(r->node, "transA", 0, e) ||
        !onnx_attribute_int(r->node, "transB", 0, 1, &transposed, e))
        return false;
    r->spec->u.dense.bias = gemm && onnx_input_given(r, 2);
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

static bool read_dropout(struct onnx_reading *r, struct err *e)
{
    float *rate = &r->spec->u.dropout.rate;
    if (onnx_input_given(r, 2))
        return err_set(e, ERR_UNPROCESSABLE, "unsupported input 'training_mode' of Dropout");
    if (!onnx_input_given(r, 1))
        return onnx_attribute_float(r->node, "ratio", rate, e);
    size_t count;
    const Onnx__TensorProto *tensor = onnx_input_tensor(r, 1, e);
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

static bool read_batch_norm(struct onnx_reading *r, struct err *e)
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
static bool read_axis(const struct onnx_reading *r, int64_t usual, struct err *e)
{
    int64_t rank = r->in[0]->shape.rank + 2, axis = usual; /* of [N,C,...] */
    if (!onnx_attribute_int(r->node, "axis", -rank, rank - 1, &axis, e))
        return false;
    if ((axis + rank) % rank != 1)
        return err_set(e, ERR_UNPROCESSABLE, "unsupported axis %lld of %lld", (long long)axis,
                       (long long)rank);
    return true;
}

static bool read_softmax(const struct onnx_reading *r, struct err *e)
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
static bool read_reshape(const struct onnx_reading *r, int64_t *features, struct err *e)
{
    const Onnx__TensorProto *tensor = onnx_input_tensor(r, 1, e);
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

static bool read_flatten(const struct onnx_reading *r, int64_t *features, struct err *e)
{
    *features = -1;
    if (strcmp(r->op->op_type, "Reshape") == 0)
        return read_reshape(r, features, e);
    return read_axis(r, 1, e);
}

bool onnx_options_read(struct onnx_reading *r, int64_t *features, struct err *e)
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
