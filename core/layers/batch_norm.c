/* batch_norm.c - each channel brought to mean 0 and variance 1 over the batch and all pixels, then
 * scaled and shifted (Ioffe and Szegedy 2015; running variance unbiased, as in PyTorch).
 *
 * Sums over the whole batch, in double: [C] of x and [C] of x*x forward; [C] of dy and [C] of
 * dy*xhat backward. Kept for backward, in the first sample's part: the mean [C] and
 * 1/deviation [C] that forward used. Parameters: scale [C], shift [C]; statistics: running mean
 * [C], variance [C]. */
#include "layer.h"

#include <math.h>
#include <string.h>

static bool norm_infer(struct cnn_node *node, struct err *e)
{
    float epsilon = node->spec.u.norm.epsilon, momentum = node->spec.u.norm.momentum;
    if (!(epsilon > 0 && epsilon <= 1))
        return err_field(e, ERR_INVALID, "epsilon", "epsilon is %g, expected above 0 and at most 1",
                         (double)epsilon);
    if (!(momentum >= 0 && momentum <= 1))
        return err_field(e, ERR_INVALID, "momentum", "momentum is %g, expected 0 to 1",
                         (double)momentum);
    return cnn_infer_same(node, e);
}

static bool norm_param(const struct cnn_node *node, int t, struct cnn_param *param)
{
    static const char *const roles[] = {"weight", "bias", "running_mean", "running_var"};
    if (t >= (int)(sizeof roles / sizeof *roles))
        return false;
    param->role = roles[t];
    param->trainable = t < 2;
    param->rank = 1;
    param->dims[0] = node->in[0].c;
    return true;
}

static size_t norm_kept_bytes(const struct cnn_node *node)
{
    return 2 * (size_t)node->in[0].c * sizeof(float);
}

static size_t norm_scratch_floats(const struct cnn_node *node, const struct epilogue *tail, int n,
                                  bool training)
{
    (void)tail, (void)n, (void)training;
    return 4 * (size_t)node->in[0].c; /* two doubles a channel */
}

static int norm_sync_doubles(const struct cnn_node *node)
{
    return 2 * node->in[0].c;
}

static size_t rows(const struct cnn_node *node, int samples)
{
    return (size_t)samples * cnn_shape_pixels(&node->in[0]);
}

static void norm_forward_sums(const struct cnn_node *node, const struct cnn_pass *pass,
                              double *sums)
{
    const int channels = node->in[0].c;
    const float *x = pass->in[0];
    double *squares = sums + channels;
    memset(sums, 0, 2 * (size_t)channels * sizeof *sums);
    for (size_t row = 0, n = rows(node, pass->n); row < n; row++, x += channels)
        for (int c = 0; c < channels; c++) {
            sums[c] += (double)x[c];
            squares[c] += (double)x[c] * (double)x[c];
        }
}

/* The biased variance of channel c from the forward sums over `count` elements. */
static double batch_variance(const double *sums, int channels, int c, double count)
{
    double mean = sums[c] / count;
    return fmax(sums[channels + c] / count - mean * mean, 0);
}

/* mean[C] and inverse[C] (1/deviation): the batch's when training, else the running ones. */
static void statistics(const struct cnn_node *node, const struct cnn_pass *pass, float *mean,
                       float *inverse)
{
    const int channels = node->in[0].c;
    const double epsilon = (double)node->spec.u.norm.epsilon;
    const double count = (double)rows(node, pass->batch_count);
    for (int c = 0; c < channels; c++) {
        double variance;
        if (pass->training) {
            mean[c] = (float)(pass->sync[c] / count);
            variance = batch_variance(pass->sync, channels, c, count);
        } else {
            mean[c] = pass->stats[c];
            variance = (double)pass->stats[channels + c];
        }
        inverse[c] = (float)(1 / sqrt(variance + epsilon));
    }
}

static void norm_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const size_t channels = (size_t)node->in[0].c;
    const float *scale = pass->params, *shift = pass->params + channels, *x = pass->in[0];
    float *mean = pass->scratch, *inverse = mean + channels, *y = pass->out;
    statistics(node, pass, mean, inverse);
    if (pass->kept)
        memcpy(pass->kept, mean, 2 * channels * sizeof *mean);
    for (size_t row = 0, n = rows(node, pass->n); row < n; row++, x += channels, y += channels)
        for (size_t c = 0; c < channels; c++)
            y[c] = (x[c] - mean[c]) * inverse[c] * scale[c] + shift[c];
}

static void norm_backward_sums(const struct cnn_node *node, const struct cnn_pass *pass,
                               double *sums)
{
    const size_t channels = (size_t)node->in[0].c;
    const float *mean = pass->kept, *inverse = mean + channels;
    const float *x = pass->in[0], *dy = pass->dout;
    double *products = sums + channels;
    memset(sums, 0, 2 * channels * sizeof *sums);
    for (size_t row = 0, n = rows(node, pass->n); row < n; row++, x += channels, dy += channels)
        for (size_t c = 0; c < channels; c++) {
            sums[c] += (double)dy[c];
            products[c] += (double)dy[c] * (double)((x[c] - mean[c]) * inverse[c]);
        }
}

/* dx = scale * inverse * (dy - mean(dy) - xhat * mean(dy * xhat)), means over the whole batch. */
static void norm_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const size_t channels = (size_t)node->in[0].c;
    const float *mean = pass->kept, *inverse = mean + channels, *scale = pass->params;
    double *own = (double *)(void *)pass->scratch; /* this call's part of the sums */
    norm_backward_sums(node, pass, own);
    for (size_t c = 0; c < channels; c++) {
        pass->dparams[c] += (float)own[channels + c];
        pass->dparams[channels + c] += (float)own[c];
    }
    if (!pass->din[0])
        return;

    const double count = (double)rows(node, pass->batch_count);
    float *mean_dy = pass->scratch, *mean_product = mean_dy + channels;
    for (size_t c = 0; c < channels; c++) {
        mean_dy[c] = (float)(pass->sync[c] / count);
        mean_product[c] = (float)(pass->sync[channels + c] / count);
    }
    const float *x = pass->in[0], *dy = pass->dout;
    float *dx = pass->din[0];
    for (size_t row = 0, n = rows(node, pass->n); row < n;
         row++, x += channels, dy += channels, dx += channels)
        for (size_t c = 0; c < channels; c++) {
            float xhat = (x[c] - mean[c]) * inverse[c];
            dx[c] = scale[c] * inverse[c] * (dy[c] - mean_dy[c] - xhat * mean_product[c]);
        }
}

static void norm_update_stats(const struct cnn_node *node, const double *sync, int batch_count,
                              float *stats)
{
    const int channels = node->in[0].c;
    const double momentum = (double)node->spec.u.norm.momentum;
    const double count = (double)rows(node, batch_count);
    for (int c = 0; c < channels; c++) {
        double variance = batch_variance(sync, channels, c, count) * count / fmax(count - 1, 1);
        float *mean = &stats[c], *var = &stats[channels + c];
        *mean = (float)((1 - momentum) * (double)*mean + momentum * sync[c] / count);
        *var = (float)((1 - momentum) * (double)*var + momentum * variance);
    }
}

const struct cnn_op cnn_op_batch_norm = {
    .type = "batch_norm",
    .infer = norm_infer,
    .param = norm_param,
    .kept_bytes = norm_kept_bytes,
    .scratch_floats = norm_scratch_floats,
    .forward = norm_forward,
    .backward = norm_backward,
    .backward_reads = CNN_READS_IN,
    .sync_doubles = norm_sync_doubles,
    .forward_sums = norm_forward_sums,
    .backward_sums = norm_backward_sums,
    .update_stats = norm_update_stats,
};
