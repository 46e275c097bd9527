/* flatten.c - a feature map as one vector in canonical order [C,D,H,W], so that the weights of a
 * dense layer behind it mean what they mean in ONNX and PyTorch. */
#include "layer.h"

#include "layout.h"

static bool flatten_infer(struct cnn_node *node, struct err *e)
{
    char text[CNN_SHAPE_TEXT];
    size_t count = cnn_shape_count(&node->in[0]);
    if (count > CNN_DIM_MAX)
        return err_set(e, ERR_INVALID, "flattened %s has %zu features, at most %d are supported",
                       cnn_shape_text(&node->in[0], text), count, CNN_DIM_MAX);
    node->out = (struct cnn_shape){.c = (int)count, .size = {1, 1, 1}};
    return true;
}

static void flatten_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    size_t count = (size_t)node->out.c;
    for (size_t i = 0; i < (size_t)pass->n; i++)
        cnn_layout_to_canonical(&node->in[0], pass->in[0] + i * count, pass->out + i * count);
}

static void flatten_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    size_t count = (size_t)node->out.c;
    for (size_t i = 0; i < (size_t)pass->n && pass->din[0]; i++)
        cnn_layout_to_last(&node->in[0], pass->dout + i * count, pass->din[0] + i * count);
}

const struct cnn_op cnn_op_flatten = {
    .type = "flatten",
    .infer = flatten_infer,
    .forward = flatten_forward,
    .backward = flatten_backward,
};
