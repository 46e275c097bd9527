/* activation.c - relu, leaky_relu, tanh, sigmoid: one number in, one number out.
 *
 * Comparisons are written so that a NaN passes through: hiding it would hide a diverged net. */
#include "layer.h"

#include <math.h>

static size_t elements(const struct cnn_node *node, const struct cnn_pass *pass)
{
    return (size_t)pass->n * cnn_shape_count(&node->out);
}

static void relu_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const float *x = pass->in[0];
    for (size_t i = 0, n = elements(node, pass); i < n; i++)
        pass->out[i] = x[i] < 0 ? 0 : x[i];
}

static void relu_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    float *dx = pass->din[0];
    for (size_t i = 0, n = elements(node, pass); dx && i < n; i++)
        dx[i] = pass->out[i] > 0 ? pass->dout[i] : 0;
}

static bool leaky_infer(struct cnn_node *node, struct err *e)
{
    float slope = node->spec.u.leaky.slope;
    if (!isfinite(slope))
        return err_field(e, ERR_INVALID, "slope", "slope is %g, expected a finite number",
                         (double)slope);
    return cnn_infer_same(node, e);
}

static void leaky_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const float slope = node->spec.u.leaky.slope;
    const float *x = pass->in[0];
    for (size_t i = 0, n = elements(node, pass); i < n; i++)
        pass->out[i] = x[i] < 0 ? slope * x[i] : x[i];
}

static void leaky_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const float slope = node->spec.u.leaky.slope;
    const float *x = pass->in[0];
    float *dx = pass->din[0];
    for (size_t i = 0, n = elements(node, pass); dx && i < n; i++)
        dx[i] = x[i] > 0 ? pass->dout[i] : slope * pass->dout[i];
}

static void tanh_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    for (size_t i = 0, n = elements(node, pass); i < n; i++)
        pass->out[i] = tanhf(pass->in[0][i]);
}

static void tanh_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const float *y = pass->out;
    float *dx = pass->din[0];
    for (size_t i = 0, n = elements(node, pass); dx && i < n; i++)
        dx[i] = pass->dout[i] * (1 - y[i] * y[i]);
}

static void sigmoid_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    for (size_t i = 0, n = elements(node, pass); i < n; i++)
        pass->out[i] = 1 / (1 + expf(-pass->in[0][i]));
}

static void sigmoid_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const float *y = pass->out;
    float *dx = pass->din[0];
    for (size_t i = 0, n = elements(node, pass); dx && i < n; i++)
        dx[i] = pass->dout[i] * y[i] * (1 - y[i]);
}

const struct cnn_op cnn_op_relu = {
    .type = "relu",
    .infer = cnn_infer_same,
    .forward = relu_forward,
    .backward = relu_backward,
};

const struct cnn_op cnn_op_leaky_relu = {
    .type = "leaky_relu",
    .infer = leaky_infer,
    .forward = leaky_forward,
    .backward = leaky_backward,
};

const struct cnn_op cnn_op_tanh = {
    .type = "tanh",
    .infer = cnn_infer_same,
    .forward = tanh_forward,
    .backward = tanh_backward,
};

const struct cnn_op cnn_op_sigmoid = {
    .type = "sigmoid",
    .infer = cnn_infer_same,
    .forward = sigmoid_forward,
    .backward = sigmoid_backward,
};
