/* merge.c - add and concat: several feature maps become one. */
#include "layer.h"

#include <string.h>

static bool add_infer(struct cnn_node *node, struct err *e)
{
    char first[CNN_SHAPE_TEXT], other[CNN_SHAPE_TEXT];
    for (int i = 1; i < node->input_count; i++)
        if (!cnn_shape_equal(&node->in[0], &node->in[i]))
            return err_field(
                e, ERR_INVALID, "inputs", "add wants inputs of one shape, got %s and %s",
                cnn_shape_text(&node->in[0], first), cnn_shape_text(&node->in[i], other));
    return cnn_infer_same(node, e);
}

static void add_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const size_t n = (size_t)pass->n * cnn_shape_count(&node->out);
    memcpy(pass->out, pass->in[0], n * sizeof(float));
    for (int input = 1; input < node->input_count; input++)
        for (size_t i = 0; i < n; i++)
            pass->out[i] += pass->in[input][i];
}

static void add_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const size_t bytes = (size_t)pass->n * cnn_shape_count(&node->out) * sizeof(float);
    for (int input = 0; input < node->input_count; input++)
        if (pass->din[input])
            memcpy(pass->din[input], pass->dout, bytes);
}

static bool concat_infer(struct cnn_node *node, struct err *e)
{
    char first[CNN_SHAPE_TEXT], other[CNN_SHAPE_TEXT];
    node->out = node->in[0];
    for (int i = 1; i < node->input_count; i++) {
        if (memcmp(node->in[0].size, node->in[i].size, sizeof node->in[0].size) != 0)
            return err_field(e, ERR_INVALID, "inputs",
                             "concat wants inputs alike but for their channels, got %s and %s",
                             cnn_shape_text(&node->in[0], first),
                             cnn_shape_text(&node->in[i], other));
        node->out.c += node->in[i].c; /* CNN_INPUTS_MAX times CNN_DIM_MAX fits an int */
    }
    return true;
}
_Static_assert((long long)CNN_INPUTS_MAX *CNN_DIM_MAX <= 1 << 30, "channels add up in an int");

/* out [n, pixels, sum of C]: each pixel holds the channels of every input, in order. */
static void concat_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const size_t rows = (size_t)pass->n * cnn_shape_pixels(&node->out);
    float *to = pass->out;
    for (size_t row = 0; row < rows; row++)
        for (int input = 0; input < node->input_count; input++) {
            size_t c = (size_t)node->in[input].c;
            memcpy(to, pass->in[input] + row * c, c * sizeof(float));
            to += c;
        }
}

static void concat_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const size_t rows = (size_t)pass->n * cnn_shape_pixels(&node->out);
    const float *from = pass->dout;
    for (size_t row = 0; row < rows; row++)
        for (int input = 0; input < node->input_count; input++) {
            size_t c = (size_t)node->in[input].c;
            if (pass->din[input])
                memcpy(pass->din[input] + row * c, from, c * sizeof(float));
            from += c;
        }
}

const struct cnn_op cnn_op_add = {
    .type = "add",
    .infer = add_infer,
    .forward = add_forward,
    .backward = add_backward,
};

const struct cnn_op cnn_op_concat = {
    .type = "concat",
    .infer = concat_infer,
    .forward = concat_forward,
    .backward = concat_backward,
};
