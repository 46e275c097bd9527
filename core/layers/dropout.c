/* dropout.c - when training, zeroes each element with probability `rate` and scales the others by
 * 1/(1-rate), so that inference is the identity (inverted dropout, Srivastava et al. 2014).
 *
 * A sample's mask depends on (seed, step, node, its position in the batch) alone, never on which
 * thread draws it. Kept for backward: one byte an element, 1 = passed. */
#include "layer.h"

#include <string.h>

#include "rng.h"

static bool dropout_infer(struct cnn_node *node, struct err *e)
{
    float rate = node->spec.u.dropout.rate;
    if (!(rate >= 0 && rate < 1))
        return err_field(e, ERR_INVALID, "rate", "rate is %g, expected at least 0 and below 1",
                         (double)rate);
    return cnn_infer_same(node, e);
}

static size_t dropout_kept_bytes(const struct cnn_node *node)
{
    return cnn_shape_count(&node->out);
}

/* Each half of a draw decides on one element: it is dropped when the half, a whole number below
 * 2^32, is below rate * 2^32. So the probability is `rate` rounded down to a multiple of 2^-32. */
static void draw_mask(const struct cnn_node *node, const struct cnn_pass *pass, int sample,
                      unsigned char *mask)
{
    struct cnn_rng rng;
    const uint64_t stream = cnn_rng_mix(cnn_rng_mix(pass->step, (uint64_t)pass->node),
                                        (uint64_t)(pass->first_sample + sample));
    const uint32_t dropped = (uint32_t)((double)node->spec.u.dropout.rate * 0x1p32);
    const size_t count = cnn_shape_count(&node->out);
    cnn_rng_init(&rng, pass->seed, stream);
    for (size_t i = 0; i < count; i += 2) {
        const uint64_t draw = cnn_rng_next(&rng);
        mask[i] = (uint32_t)draw >= dropped;
        if (i + 1 < count)
            mask[i + 1] = (uint32_t)(draw >> 32) >= dropped;
    }
}

/* to = from where the mask passes, scaled; 0 elsewhere. */
static void apply_mask(const struct cnn_node *node, const struct cnn_pass *pass, const float *from,
                       float *to)
{
    const float scale = 1 / (1 - node->spec.u.dropout.rate);
    const unsigned char *mask = pass->kept;
    for (size_t i = 0, n = (size_t)pass->n * cnn_shape_count(&node->out); i < n; i++)
        to[i] = mask[i] ? from[i] * scale : 0;
}

static void dropout_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const size_t count = cnn_shape_count(&node->out);
    if (!pass->training) {
        memcpy(pass->out, pass->in[0], (size_t)pass->n * count * sizeof(float));
        return;
    }
    for (int i = 0; i < pass->n; i++)
        draw_mask(node, pass, i, (unsigned char *)pass->kept + (size_t)i * count);
    apply_mask(node, pass, pass->in[0], pass->out);
}

static void dropout_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    if (pass->din[0])
        apply_mask(node, pass, pass->dout, pass->din[0]);
}

const struct cnn_op cnn_op_dropout = {
    .type = "dropout",
    .infer = dropout_infer,
    .kept_bytes = dropout_kept_bytes,
    .forward = dropout_forward,
    .backward = dropout_backward,
};
