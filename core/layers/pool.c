/* pool.c - max_pool, avg_pool (windows may overlap) and global_avg_pool. Padding never wins a
 * maximum; in an average it counts only when the layer says so. */
#include "layer.h"

#include <string.h>

#include "kernels.h"

static bool pool_infer(struct cnn_node *node, struct err *e)
{
    struct cnn_window *window = &node->spec.u.pool.window;
    for (int axis = 0; axis < CNN_AXES; axis++)
        if (window->stride[axis] == 0)
            window->stride[axis] = window->kernel[axis];
    if (!cnn_window_infer(node->op->type, window, &node->in[0], &node->out, e))
        return false;
    for (int axis = 0; axis < CNN_AXES; axis++) {
        int kernel = window->kernel[axis];
        int most =
            window->before[axis] > window->after[axis] ? window->before[axis] : window->after[axis];
        if (window->dilation[axis] != 1)
            return err_field(e, ERR_INVALID, "dilation", "dilation is %d, pooling supports only 1",
                             window->dilation[axis]);
        /* As in PyTorch; so every window holds at least one real element. */
        if (most > kernel / 2)
            return err_field(e, ERR_INVALID, "padding", "padding %d is more than half of kernel %d",
                             most, kernel);
    }
    node->out.c = node->in[0].c;
    return true;
}

/* One output pixel, and the input pixels under it: first <= d,h,w < end, clipped to the input. */
struct patch {
    int at[CNN_AXES];
    int first[CNN_AXES], end[CNN_AXES];
};

static void patch_move(const struct cnn_node *node, struct patch *patch, int axis, int at)
{
    const struct cnn_window *window = &node->spec.u.pool.window;
    const int first = at * window->stride[axis] - window->before[axis];
    const int end = first + window->kernel[axis];
    patch->at[axis] = at;
    patch->first[axis] = first < 0 ? 0 : first;
    patch->end[axis] = end > node->in[0].size[axis] ? node->in[0].size[axis] : end;
}

static struct patch patch_first(const struct cnn_node *node)
{
    struct patch patch;
    for (int axis = 0; axis < CNN_AXES; axis++)
        patch_move(node, &patch, axis, 0);
    return patch;
}

/* To the output pixel behind it, from the last to the first. */
static void patch_next(const struct cnn_node *node, struct patch *patch)
{
    for (int axis = CNN_AXES - 1; axis >= 0; axis--) {
        if (patch->at[axis] + 1 < node->out.size[axis]) {
            patch_move(node, patch, axis, patch->at[axis] + 1);
            return;
        }
        patch_move(node, patch, axis, 0);
    }
}

/* Offset, in elements of one sample, of the pixel's channel 0. */
static size_t pixel_offset(const struct cnn_shape *shape, int d, int h, int w)
{
    return (((size_t)d * (size_t)shape->size[1] + (size_t)h) * (size_t)shape->size[2] + (size_t)w) *
           (size_t)shape->c;
}

static struct pool_geometry geometry(const struct cnn_node *node)
{
    const struct cnn_window *window = &node->spec.u.pool.window;
    struct pool_geometry g = {.c = node->out.c};
    for (int axis = 0; axis < CNN_AXES; axis++) {
        g.in[axis] = node->in[0].size[axis];
        g.out[axis] = node->out.size[axis];
        g.kernel[axis] = window->kernel[axis];
        g.stride[axis] = window->stride[axis];
        g.before[axis] = window->before[axis];
    }
    return g;
}

/* Whether max_pool keeps, as the kernels do, a byte an output element: which element of its window
 * won. For larger windows it keeps where in the sample the winner stands. */
static bool keeps_bytes(const struct cnn_node *node)
{
    const int *kernel = node->spec.u.pool.window.kernel;
    return (int64_t)kernel[0] * kernel[1] * kernel[2] <= POOL_WINDOW_MAX;
}

static size_t max_kept_bytes(const struct cnn_node *node)
{
    return cnn_shape_count(&node->out) * (keeps_bytes(node) ? 1 : sizeof(int32_t));
}
_Static_assert(CNN_ELEMENTS_MAX <= INT32_MAX, "positions in a sample fit an int32");

/* A NaN wins, as in PyTorch: hiding it would hide a diverged net. */
static bool beats(float x, float best)
{
    return x > best || x != x;
}

/* out[C] = the largest of the patch, the first among equals; from[C] = where in the sample it
 * stands. x is one sample. */
static void max_of_patch(const struct cnn_shape *in, const struct patch *patch, const float *x,
                         float *out, int32_t *from)
{
    size_t start = pixel_offset(in, patch->first[0], patch->first[1], patch->first[2]);
    memcpy(out, x + start, (size_t)in->c * sizeof *out);
    for (int c = 0; c < in->c; c++)
        from[c] = (int32_t)start + c;
    for (int d = patch->first[0]; d < patch->end[0]; d++)
        for (int h = patch->first[1]; h < patch->end[1]; h++)
            for (int w = patch->first[2]; w < patch->end[2]; w++) {
                size_t at = pixel_offset(in, d, h, w);
                for (int c = 0; c < in->c; c++)
                    if (beats(x[at + (size_t)c], out[c])) {
                        out[c] = x[at + (size_t)c];
                        from[c] = (int32_t)at + c;
                    }
            }
}

static void max_forward_positions(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const size_t in_count = cnn_shape_count(&node->in[0]), out_count = cnn_shape_count(&node->out);
    const size_t channels = (size_t)node->out.c;
    struct patch patch = patch_first(node);
    for (size_t i = 0; i < (size_t)pass->n; i++)
        for (size_t at = 0; at < out_count; at += channels) {
            max_of_patch(&node->in[0], &patch, pass->in[0] + i * in_count,
                         pass->out + i * out_count + at,
                         (int32_t *)pass->kept + i * out_count + at);
            patch_next(node, &patch);
        }
}

static void max_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const struct pool_geometry g = geometry(node);
    if (pass->kept && !keeps_bytes(node))
        max_forward_positions(node, pass);
    else
        cnn_kernels()->max_pool(&g, pass->n, pass->in[0], pass->out, pass->kept);
}

static void max_backward_positions(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const size_t in_count = cnn_shape_count(&node->in[0]), out_count = cnn_shape_count(&node->out);
    const int32_t *from = pass->kept;
    memset(pass->din[0], 0, (size_t)pass->n * in_count * sizeof(float));
    for (size_t i = 0; i < (size_t)pass->n; i++)
        for (size_t k = 0; k < out_count; k++)
            pass->din[0][i * in_count + (size_t)from[i * out_count + k]] +=
                pass->dout[i * out_count + k];
}

static void max_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const struct pool_geometry g = geometry(node);
    if (!pass->din[0])
        return;
    if (keeps_bytes(node))
        cnn_kernels()->max_pool_backward(&g, pass->n, pass->kept, pass->dout, pass->din[0]);
    else
        max_backward_positions(node, pass);
}

/* 1 / the elements that the average is over. */
static float patch_weight(const struct cnn_node *node, const struct patch *patch)
{
    size_t count = 1;
    for (int axis = 0; axis < CNN_AXES; axis++)
        count *= (size_t)(node->spec.u.pool.count_padding ? node->spec.u.pool.window.kernel[axis]
                                                          : patch->end[axis] - patch->first[axis]);
    return 1 / (float)count;
}

/* Each line of the patch is so many rows of channels. */
static void average_of_patch(const struct cnn_shape *in, const struct patch *patch, float weight,
                             const float *x, float *out)
{
    const size_t pixels = (size_t)(patch->end[2] - patch->first[2]);
    memset(out, 0, (size_t)in->c * sizeof *out);
    for (int d = patch->first[0]; d < patch->end[0]; d++)
        for (int h = patch->first[1]; h < patch->end[1]; h++)
            cnn_kernels()->sum_rows(pixels, in->c, x + pixel_offset(in, d, h, patch->first[2]),
                                    out);
    for (int c = 0; c < in->c; c++)
        out[c] *= weight;
}

static void spread_over_patch(const struct cnn_shape *in, const struct patch *patch, float weight,
                              const float *dout, float *dx)
{
    for (int d = patch->first[0]; d < patch->end[0]; d++)
        for (int h = patch->first[1]; h < patch->end[1]; h++)
            for (int w = patch->first[2]; w < patch->end[2]; w++) {
                float *pixel = dx + pixel_offset(in, d, h, w);
                for (int c = 0; c < in->c; c++)
                    pixel[c] += dout[c] * weight;
            }
}

static void average_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const size_t in_count = cnn_shape_count(&node->in[0]), out_count = cnn_shape_count(&node->out);
    struct patch patch = patch_first(node);
    for (size_t i = 0; i < (size_t)pass->n; i++)
        for (size_t at = 0; at < out_count; at += (size_t)node->out.c) {
            average_of_patch(&node->in[0], &patch, patch_weight(node, &patch),
                             pass->in[0] + i * in_count, pass->out + i * out_count + at);
            patch_next(node, &patch);
        }
}

static void average_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const size_t in_count = cnn_shape_count(&node->in[0]), out_count = cnn_shape_count(&node->out);
    if (!pass->din[0])
        return;
    memset(pass->din[0], 0, (size_t)pass->n * in_count * sizeof(float));
    struct patch patch = patch_first(node);
    for (size_t i = 0; i < (size_t)pass->n; i++)
        for (size_t at = 0; at < out_count; at += (size_t)node->out.c) {
            spread_over_patch(&node->in[0], &patch, patch_weight(node, &patch),
                              pass->dout + i * out_count + at, pass->din[0] + i * in_count);
            patch_next(node, &patch);
        }
}

/* Keeps the rank, as ONNX and PyTorch do: [C,H,W] becomes [C,1,1]. */
static bool global_infer(struct cnn_node *node, struct err *e)
{
    char text[CNN_SHAPE_TEXT];
    if (node->in[0].rank == 0)
        return err_set(e, ERR_INVALID, "global_avg_pool wants a feature map, got the flat %s",
                       cnn_shape_text(&node->in[0], text));
    node->out = (struct cnn_shape){.c = node->in[0].c, .size = {1, 1, 1}, .rank = node->in[0].rank};
    return true;
}

static struct patch whole(const struct cnn_shape *in)
{
    return (struct patch){.end = {in->size[0], in->size[1], in->size[2]}};
}

static void global_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const size_t in_count = cnn_shape_count(&node->in[0]), channels = (size_t)node->out.c;
    const float weight = 1 / (float)cnn_shape_pixels(&node->in[0]);
    struct patch patch = whole(&node->in[0]);
    for (size_t i = 0; i < (size_t)pass->n; i++)
        average_of_patch(&node->in[0], &patch, weight, pass->in[0] + i * in_count,
                         pass->out + i * channels);
}

static void global_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const size_t in_count = cnn_shape_count(&node->in[0]), channels = (size_t)node->out.c;
    const float weight = 1 / (float)cnn_shape_pixels(&node->in[0]);
    struct patch patch = whole(&node->in[0]);
    if (!pass->din[0])
        return;
    memset(pass->din[0], 0, (size_t)pass->n * in_count * sizeof(float));
    for (size_t i = 0; i < (size_t)pass->n; i++)
        spread_over_patch(&node->in[0], &patch, weight, pass->dout + i * channels,
                          pass->din[0] + i * in_count);
}

const struct cnn_op cnn_op_max_pool = {
    .type = "max_pool",
    .infer = pool_infer,
    .kept_bytes = max_kept_bytes,
    .forward = max_forward,
    .backward = max_backward,
};

const struct cnn_op cnn_op_avg_pool = {
    .type = "avg_pool",
    .infer = pool_infer,
    .forward = average_forward,
    .backward = average_backward,
};

const struct cnn_op cnn_op_global_avg_pool = {
    .type = "global_avg_pool",
    .infer = global_infer,
    .forward = global_forward,
    .backward = global_backward,
};
