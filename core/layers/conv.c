/* conv.c - convolution (cross-correlation) over 1, 2 or 3 axes, with groups and dilation.
 * Weights stand as [kd,kh,kw,in/groups,out], then the bias [out]. */
#include "layer.h"

#include <string.h>

#include "kernels.h"

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

static size_t conv_scratch_floats(const struct cnn_node *node, int n)
{
    struct conv_geometry g = geometry(node);
    return weight_count(node) + cnn_kernels()->conv_scratch(&g, NULL, n);
}

static void conv_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    struct conv_geometry g = geometry(node);
    struct epilogue end = {0};
    if (node->spec.u.conv.bias)
        end.bias = pass->params + weight_count(node);
    cnn_kernels()->conv_forward(&g, pass->n, pass->in[0], pass->params, &end, pass->out,
                                pass->scratch);
}

static void conv_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const struct cnn_kernels *kernels = cnn_kernels();
    struct conv_geometry g = geometry(node);
    float *transposed = pass->scratch, *scratch = transposed + weight_count(node);
    if (node->spec.u.conv.bias)
        kernels->sum_rows((size_t)pass->n * cnn_shape_pixels(&node->out), node->out.c, pass->dout,
                          pass->dparams + weight_count(node));
    kernels->conv_backward_weight(&g, pass->n, pass->in[0], pass->dout, pass->dparams, scratch);
    if (!pass->din[0])
        return;
    kernels->conv_transpose(&g, pass->params, transposed);
    kernels->conv_backward_data(&g, pass->n, pass->dout, transposed, pass->din[0], scratch);
}

const struct cnn_op cnn_op_conv = {
    .type = "conv",
    .infer = conv_infer,
    .param = conv_param,
    .macs = conv_macs,
    .scratch_floats = conv_scratch_floats,
    .forward = conv_forward,
    .backward = conv_backward,
};
