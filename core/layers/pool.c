/* pool.c - max_pool, avg_pool (windows may overlap) and global_avg_pool. Padding never wins a
 * maximum; in an average it counts only when the layer says so. */
#include "layer.h"

#include <string.h>

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

/* The input pixels under one output pixel: first <= d,h,w < end, clipped to the input. */
struct patch {
    int first[CNN_AXES], end[CNN_AXES];
};

static struct patch patch_at(const struct cnn_node *node, size_t out_pixel)
{
    const struct cnn_window *window = &node->spec.u.pool.window;
    struct patch patch;
    for (int axis = CNN_AXES - 1; axis >= 0; axis--) {
        int at = (int)(out_pixel % (size_t)node->out.size[axis]);
        out_pixel /= (size_t)node->out.size[axis];
        int first = at * window->stride[axis] - window->before[axis];
        int end = first + window->kernel[axis];
        patch.first[axis] = first < 0 ? 0 : first;
        patch.end[axis] = end > node->in[0].size[axis] ? node->in[0].size[axis] : end;
    }
    return patch;
}

/* Offset, in elements of one sample, of the pixel's channel 0. */
static size_t pixel_offset(const struct cnn_shape *shape, int d, int h, int w)
{
    return (((size_t)d * (size_t)shape->size[1] + (size_t)h) * (size_t)shape->size[2] + (size_t)w) *
           (size_t)shape->c;
}

/* A NaN wins, as in PyTorch: hiding it would hide a diverged net. */
static bool beats(float x, float best)
{
    return x > best || x != x;
}

/* out[C] = the largest of the patch, the first among equals; from[C] (unless NULL) = where in the
 * sample it stands. x is one sample. */
static void max_of_patch(const struct cnn_shape *in, const struct patch *patch, const float *x,
                         float *out, int32_t *from)
{
    size_t start = pixel_offset(in, patch->first[0], patch->first[1], patch->first[2]);
    memcpy(out, x + start, (size_t)in->c * sizeof *out);
    for (int c = 0; from && c < in->c; c++)
        from[c] = (int32_t)start + c;
    for (int d = patch->first[0]; d < patch->end[0]; d++)
        for (int h = patch->first[1]; h < patch->end[1]; h++)
            for (int w = patch->first[2]; w < patch->end[2]; w++) {
                size_t at = pixel_offset(in, d, h, w);
                for (int c = 0; c < in->c; c++)
                    if (beats(x[at + (size_t)c], out[c])) {
                        out[c] = x[at + (size_t)c];
                        if (from)
                            from[c] = (int32_t)at + c;
                    }
            }
}

static size_t max_kept_bytes(const struct cnn_node *node)
{
    return cnn_shape_count(&node->out) * sizeof(int32_t);
}
_Static_assert(CNN_ELEMENTS_MAX <= INT32_MAX, "positions in a sample fit an int32");

static void max_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const size_t in_count = cnn_shape_count(&node->in[0]), out_count = cnn_shape_count(&node->out);
    const size_t pixels = cnn_shape_pixels(&node->out), channels = (size_t)node->out.c;
    for (size_t i = 0; i < (size_t)pass->n; i++)
        for (size_t pixel = 0; pixel < pixels; pixel++) {
            struct patch patch = patch_at(node, pixel);
            size_t at = i * out_count + pixel * channels;
            max_of_patch(&node->in[0], &patch, pass->in[0] + i * in_count, pass->out + at,
                         pass->kept ? (int32_t *)pass->kept + at : NULL);
        }
}

static void max_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const size_t in_count = cnn_shape_count(&node->in[0]), out_count = cnn_shape_count(&node->out);
    const int32_t *from = pass->kept;
    if (!pass->din[0])
        return;
    memset(pass->din[0], 0, (size_t)pass->n * in_count * sizeof(float));
    for (size_t i = 0; i < (size_t)pass->n; i++)
        for (size_t k = 0; k < out_count; k++)
            pass->din[0][i * in_count + (size_t)from[i * out_count + k]] +=
                pass->dout[i * out_count + k];
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

static void average_of_patch(const struct cnn_shape *in, const struct patch *patch, float weight,
                             const float *x, float *out)
{
    memset(out, 0, (size_t)in->c * sizeof *out);
    for (int d = patch->first[0]; d < patch->end[0]; d++)
        for (int h = patch->first[1]; h < patch->end[1]; h++)
            for (int w = patch->first[2]; w < patch->end[2]; w++) {
                const float *pixel = x + pixel_offset(in, d, h, w);
                for (int c = 0; c < in->c; c++)
                    out[c] += pixel[c];
            }
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
    const size_t pixels = cnn_shape_pixels(&node->out), channels = (size_t)node->out.c;
    for (size_t i = 0; i < (size_t)pass->n; i++)
        for (size_t pixel = 0; pixel < pixels; pixel++) {
            struct patch patch = patch_at(node, pixel);
            average_of_patch(&node->in[0], &patch, patch_weight(node, &patch),
                             pass->in[0] + i * in_count,
                             pass->out + i * out_count + pixel * channels);
        }
}

static void average_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const size_t in_count = cnn_shape_count(&node->in[0]), out_count = cnn_shape_count(&node->out);
    const size_t pixels = cnn_shape_pixels(&node->out), channels = (size_t)node->out.c;
    if (!pass->din[0])
        return;
    memset(pass->din[0], 0, (size_t)pass->n * in_count * sizeof(float));
    for (size_t i = 0; i < (size_t)pass->n; i++)
        for (size_t pixel = 0; pixel < pixels; pixel++) {
            struct patch patch = patch_at(node, pixel);
            spread_over_patch(&node->in[0], &patch, patch_weight(node, &patch),
                              pass->dout + i * out_count + pixel * channels,
                              pass->din[0] + i * in_count);
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
