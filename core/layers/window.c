#include "layer.h"

static bool check_rank(const char *type, int dims, const struct cnn_shape *in, struct err *e)
{
    char text[CNN_SHAPE_TEXT];
    if (!cnn_check_range("type", dims, 1, CNN_AXES, e))
        return false;
    if (dims == in->rank)
        return true;
    cnn_shape_text(in, text);
    if (in->rank == 0)
        return err_field(e, ERR_INVALID, "type", "%s%dd wants a %d-D input, got the flat %s", type,
                         dims, dims, text);
    return err_field(e, ERR_INVALID, "type", "%s%dd wants a %d-D input, got %s; use %s%dd", type,
                     dims, dims, text, type, in->rank);
}

static bool check_numbers(const struct cnn_window *window, int axis, struct err *e)
{
    return cnn_check_range("kernel", window->kernel[axis], 1, CNN_KERNEL_MAX, e) &&
           cnn_check_range("stride", window->stride[axis], 1, CNN_KERNEL_MAX, e) &&
           cnn_check_range("dilation", window->dilation[axis], 1, CNN_KERNEL_MAX, e) &&
           (window->padding != CNN_PAD_NUMBER ||
            (cnn_check_range("padding", window->before[axis], 0, CNN_KERNEL_MAX, e) &&
             cnn_check_range("padding", window->after[axis], 0, CNN_KERNEL_MAX, e)));
}

/* extent = what the dilated kernel spans. */
static void resolve_padding(struct cnn_window *window, int axis, int in, int extent)
{
    int stride = window->stride[axis], before = 0, after = 0;
    switch (window->padding) {
    case CNN_PAD_NUMBER:
        return;
    case CNN_PAD_VALID:
        break;
    case CNN_PAD_SAME: {
        int out = (in + stride - 1) / stride;
        int total = (out - 1) * stride + extent - in;
        if (total < 0)
            total = 0;
        before = total / 2;
        after = total - before;
        break;
    }
    case CNN_PAD_FULL:
        before = after = extent - 1;
        break;
    }
    window->before[axis] = before;
    window->after[axis] = after;
}

static bool infer_axis(struct cnn_window *window, int axis, int in, int *out, struct err *e)
{
    int kernel = window->kernel[axis];
    int extent = window->dilation[axis] * (kernel - 1) + 1;
    resolve_padding(window, axis, in, extent);
    int padded = in + window->before[axis] + window->after[axis];
    if (extent > padded && extent > kernel)
        return err_field(e, ERR_INVALID, "kernel",
                         "kernel %d dilated to %d exceeds padded input %d", kernel, extent, padded);
    if (extent > padded)
        return err_field(e, ERR_INVALID, "kernel", "kernel %d exceeds padded input %d", kernel,
                         padded);
    *out = (padded - extent) / window->stride[axis] + 1;
    return true;
}

bool cnn_window_infer(const char *type, struct cnn_window *window, const struct cnn_shape *in,
                      struct cnn_shape *out, struct err *e)
{
    if (!check_rank(type, window->dims, in, e))
        return false;
    for (int axis = 0; axis < CNN_AXES; axis++) {
        if (axis < CNN_AXES - window->dims) {
            window->kernel[axis] = window->stride[axis] = window->dilation[axis] = 1;
            window->before[axis] = window->after[axis] = 0;
        }
        if (!check_numbers(window, axis, e) ||
            !infer_axis(window, axis, in->size[axis], &out->size[axis], e))
            return false;
    }
    out->rank = in->rank;
    return true;
}
