/* softmax.c - softmax and log_softmax over the channels of each pixel, shifted by the largest so
 * that no exponent overflows. */
#include "layer.h"

#include <math.h>

static size_t rows(const struct cnn_node *node, const struct cnn_pass *pass)
{
    return (size_t)pass->n * cnn_shape_pixels(&node->out);
}

static float largest(const float *x, int c)
{
    float most = x[0];
    for (int i = 1; i < c; i++)
        if (x[i] > most)
            most = x[i];
    return most;
}

static void softmax_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const int c = node->out.c;
    for (size_t row = 0, n = rows(node, pass); row < n; row++) {
        const float *x = pass->in[0] + row * (size_t)c;
        float *y = pass->out + row * (size_t)c;
        float most = largest(x, c);
        double sum = 0;
        for (int i = 0; i < c; i++) {
            y[i] = expf(x[i] - most);
            sum += (double)y[i];
        }
        for (int i = 0; i < c; i++)
            y[i] = (float)((double)y[i] / sum);
    }
}

/* dx = y * (dy - sum(dy * y)) */
static void softmax_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const int c = node->out.c;
    for (size_t row = 0, n = rows(node, pass); pass->din[0] && row < n; row++) {
        const float *y = pass->out + row * (size_t)c, *dy = pass->dout + row * (size_t)c;
        float *dx = pass->din[0] + row * (size_t)c;
        double sum = 0;
        for (int i = 0; i < c; i++)
            sum += (double)dy[i] * (double)y[i];
        for (int i = 0; i < c; i++)
            dx[i] = y[i] * (dy[i] - (float)sum);
    }
}

static void log_softmax_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const int c = node->out.c;
    for (size_t row = 0, n = rows(node, pass); row < n; row++) {
        const float *x = pass->in[0] + row * (size_t)c;
        float *y = pass->out + row * (size_t)c;
        float most = largest(x, c);
        double sum = 0;
        for (int i = 0; i < c; i++)
            sum += (double)expf(x[i] - most);
        float log_sum = (float)log(sum);
        for (int i = 0; i < c; i++)
            y[i] = x[i] - most - log_sum;
    }
}

/* dx = dy - exp(y) * sum(dy) */
static void log_softmax_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const int c = node->out.c;
    for (size_t row = 0, n = rows(node, pass); pass->din[0] && row < n; row++) {
        const float *y = pass->out + row * (size_t)c, *dy = pass->dout + row * (size_t)c;
        float *dx = pass->din[0] + row * (size_t)c;
        double sum = 0;
        for (int i = 0; i < c; i++)
            sum += (double)dy[i];
        for (int i = 0; i < c; i++)
            dx[i] = dy[i] - expf(y[i]) * (float)sum;
    }
}

const struct cnn_op cnn_op_softmax = {
    .type = "softmax",
    .infer = cnn_infer_same,
    .forward = softmax_forward,
    .backward = softmax_backward,
    .backward_reads = CNN_READS_OUT,
};

const struct cnn_op cnn_op_log_softmax = {
    .type = "log_softmax",
    .infer = cnn_infer_same,
    .forward = log_softmax_forward,
    .backward = log_softmax_backward,
    .backward_reads = CNN_READS_OUT,
};
