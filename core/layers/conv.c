/* conv.c - convolution (cross-correlation) over 1, 2 or 3 axes, with groups and dilation.
 * Weights stand as [kd,kh,kw,in/groups,out], then the bias [out]. */
#include "layer.h"

#include <string.h>

static bool conv_infer(struct cnn_node *node, struct err *e)
{
    int filters = node->spec.u.conv.filters, groups = node->spec.u.conv.groups;
    if (!cnn_window_infer("conv", &node->spec.u.conv.window, &node->in[0], &node->out, e) ||
        !cnn_check_range("filters", filters, 1, CNN_DIM_MAX, e) ||
        !cnn_check_range("groups", groups, 1, CNN_DIM_MAX, e))
        return false;
    if (node->in[0].c % groups)
        return err_field(e, ERR_INVALID, "groups",
                         "groups %d does not divide the %d input channels", groups, node->in[0].c);
    if (filters % groups)
        return err_field(e, ERR_INVALID, "groups", "groups %d does not divide the %d filters",
                         groups, filters);
    node->out.c = filters;
    return true;
}

static uint64_t weights_per_filter(const struct cnn_node *node)
{
    const int *kernel = node->spec.u.conv.window.kernel;
    return (uint64_t)(node->in[0].c / node->spec.u.conv.groups) * (uint64_t)kernel[0] *
           (uint64_t)kernel[1] * (uint64_t)kernel[2];
}

static bool conv_param(const struct cnn_node *node, int t, struct cnn_param *param)
{
    const struct cnn_window *window = &node->spec.u.conv.window;
    /* More weights than CNN_PARAMS_MAX are refused later; the fan-in only has to fit its int. */
    uint64_t fan_in = weights_per_filter(node);
    param->trainable = true;
    param->fan_in = fan_in > CNN_PARAMS_MAX ? CNN_PARAMS_MAX : (int)fan_in;
    param->dims[0] = node->spec.u.conv.filters;
    if (t == 0) {
        param->role = "weight";
        param->rank = 2 + window->dims;
        param->dims[1] = node->in[0].c / node->spec.u.conv.groups;
        for (int i = 0; i < window->dims; i++)
            param->dims[2 + i] = window->kernel[CNN_AXES - window->dims + i];
        return true;
    }
    param->role = "bias";
    param->rank = 1;
    return t == 1 && node->spec.u.conv.bias;
}

static uint64_t conv_macs(const struct cnn_node *node)
{
    return cnn_shape_count(&node->out) * weights_per_filter(node);
}

static struct conv_geometry geometry(const struct cnn_node *node)
{
    const struct cnn_window *window = &node->spec.u.conv.window;
    struct conv_geometry g = {
        .in_c = node->in[0].c, .out_k = node->out.c, .groups = node->spec.u.conv.groups};
    memcpy(g.in, node->in[0].size, sizeof g.in);
    memcpy(g.out, node->out.size, sizeof g.out);
    memcpy(g.kernel, window->kernel, sizeof g.kernel);
    memcpy(g.stride, window->stride, sizeof g.stride);
    memcpy(g.dilation, window->dilation, sizeof g.dilation);
    memcpy(g.before, window->before, sizeof g.before);
    return g;
}
_Static_assert((int)KERNEL_AXES == (int)CNN_AXES, "kernels and shapes share their axes");

static size_t weight_count(const struct cnn_node *node)
{
    return (size_t)weights_per_filter(node) * (size_t)node->out.c;
}

static size_t pool_pixels(const struct pool_geometry *pool)
{
    return (size_t)pool->out[0] * (size_t)pool->out[1] * (size_t)pool->out[2];
}

/* Samples taken back at a time: as many as have their maps and gradients in L2. */
enum { BACKWARD_BYTES = 1 << 20 };

static int backward_samples(const struct cnn_node *node, int n)
{
    const size_t in = cnn_shape_count(&node->in[0]), out = cnn_shape_count(&node->out);
    const size_t fit = BACKWARD_BYTES / sizeof(float) / (2 * in + out);
    return fit < 1 ? 1 : fit < (size_t)n ? (int)fit : n;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t conv_scratch_floats(const struct cnn_node *node, const struct epilogue *tail, int n,
                                  bool training)
{
    const struct conv_geometry g = geometry(node);
    const struct pool_geometry *pool = tail ? tail->pool : NULL;
    const size_t forward = cnn_kernels()->conv_scratch(&g, pool, n);
    if (!training)
        return forward;
    const int some = backward_samples(node, n);
    const size_t map = pool ? (size_t)some * cnn_shape_count(&node->out) : 0;
    return larger(forward, map + cnn_kernels()->conv_scratch(&g, NULL, some));
}

static void conv_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const struct conv_geometry g = geometry(node);
    struct epilogue end = pass->tail ? *pass->tail : (struct epilogue){0};
    if (!end.bias && node->spec.u.conv.bias)
        end.bias = pass->params + weight_count(node);
    end.winner = end.pool ? pass->kept : NULL;
    cnn_kernels()->conv_forward(&g, pass->n, pass->in[0], pass->params, pass->prepared, &end,
                                pass->out, pass->scratch);
}

/* Samples first .. first+n-1. dout is [n, K], n of the samples' pixels or, pooled, winners. */
static void backward_some(const struct cnn_node *node, const struct cnn_pass *pass, int first,
                          int n)
{
    const struct cnn_kernels *kernels = cnn_kernels();
    const struct conv_geometry g = geometry(node);
    const struct pool_geometry *pool = pass->tail ? pass->tail->pool : NULL;
    const size_t from = (size_t)first, map = cnn_shape_count(&node->out);
    const size_t in_at = from * cnn_shape_count(&node->in[0]);
    const size_t rows = pool ? pool_pixels(pool) : cnn_shape_pixels(&node->out);
    const size_t out_at = from * rows * (size_t)node->out.c;
    const float *dmap = pass->dout + out_at;
    float *scratch = pass->scratch;
    if (node->spec.u.conv.bias) /* a winner hands on all that its window gets: fewer rows to add */
        kernels->sum_rows((size_t)n * rows, node->out.c, dmap, pass->dparams + weight_count(node));
    if (pool) {
        kernels->max_pool_backward(pool, n, (const uint8_t *)pass->kept + out_at, dmap, scratch);
        dmap = scratch;
        scratch += (size_t)n * map;
    }
    kernels->conv_backward_weight(&g, n, pass->in[0] + in_at, dmap, pass->dparams, scratch);
    if (pass->din[0])
        kernels->conv_backward_data(&g, n, dmap, pass->prepared + kernels->conv_prepared_floats(&g),
                                    pass->din[0] + in_at, scratch);
}

static void conv_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const int some = backward_samples(node, pass->n);
    for (int first = 0; first < pass->n; first += some)
        backward_some(node, pass, first, pass->n - first < some ? pass->n - first : some);
}

/* What forward reads, then what backward reads. */
static size_t conv_prepared_floats(const struct cnn_node *node, bool training)
{
    const struct conv_geometry g = geometry(node);
    return cnn_kernels()->conv_prepared_floats(&g) +
           (training ? cnn_kernels()->conv_transposed_floats(&g) : 0);
}

static void conv_prepare(const struct cnn_node *node, const float *params, bool training,
                         float *prepared)
{
    const struct conv_geometry g = geometry(node);
    const struct cnn_kernels *kernels = cnn_kernels();
    kernels->conv_prepare(&g, params, prepared);
    if (training)
        kernels->conv_transpose(&g, params, prepared + kernels->conv_prepared_floats(&g));
}

const struct cnn_op cnn_op_conv = {
    .type = "conv",
    .infer = conv_infer,
    .param = conv_param,
    .macs = conv_macs,
    .scratch_floats = conv_scratch_floats,
    .forward = conv_forward,
    .backward = conv_backward,
    .backward_reads = CNN_READS_IN,
    .prepared_floats = conv_prepared_floats,
    .prepare = conv_prepare,
};
