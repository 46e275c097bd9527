/* activation.c - relu, leaky_relu, tanh, sigmoid: one number in, one number out. A NaN stays one:
 * hiding it would hide a diverged net. */
#include "layer.h"

#include <math.h>

#include "kernels.h"

static void forward(const struct cnn_node *node, const struct cnn_pass *pass, enum kernel_act act,
                    float slope)
{
    cnn_kernels()->activate(act, slope, (size_t)pass->n * cnn_shape_count(&node->out), pass->in[0],
                            pass->out);
}

/* y: what the derivative is told from. */
static void backward(const struct cnn_node *node, const struct cnn_pass *pass, enum kernel_act act,
                     float slope, const float *y)
{
    if (pass->din[0])
        cnn_kernels()->activate_backward(act, slope, (size_t)pass->n * cnn_shape_count(&node->out),
                                         y, pass->dout, pass->din[0]);
}

static void relu_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    forward(node, pass, KERNEL_RELU, 0);
}

static void relu_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    backward(node, pass, KERNEL_RELU, 0, pass->out);
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
    forward(node, pass, KERNEL_LEAKY_RELU, node->spec.u.leaky.slope);
}

/* From the input, whose sign is the output's only if the slope is above 0. */
static void leaky_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    backward(node, pass, KERNEL_LEAKY_RELU, node->spec.u.leaky.slope, pass->in[0]);
}

static void tanh_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    forward(node, pass, KERNEL_TANH, 0);
}

static void tanh_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    backward(node, pass, KERNEL_TANH, 0, pass->out);
}

static void sigmoid_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    forward(node, pass, KERNEL_SIGMOID, 0);
}

static void sigmoid_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    backward(node, pass, KERNEL_SIGMOID, 0, pass->out);
}

const struct cnn_op cnn_op_relu = {
    .type = "relu",
    .infer = cnn_infer_same,
    .forward = relu_forward,
    .backward = relu_backward,
    .backward_reads = CNN_READS_OUT,
};

const struct cnn_op cnn_op_leaky_relu = {
    .type = "leaky_relu",
    .infer = leaky_infer,
    .forward = leaky_forward,
    .backward = leaky_backward,
    .backward_reads = CNN_READS_IN | CNN_READS_OUT,
};

const struct cnn_op cnn_op_tanh = {
    .type = "tanh",
    .infer = cnn_infer_same,
    .forward = tanh_forward,
    .backward = tanh_backward,
    .backward_reads = CNN_READS_OUT,
};

const struct cnn_op cnn_op_sigmoid = {
    .type = "sigmoid",
    .infer = cnn_infer_same,
    .forward = sigmoid_forward,
    .backward = sigmoid_backward,
    .backward_reads = CNN_READS_OUT,
};
