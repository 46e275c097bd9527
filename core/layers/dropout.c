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

static void draw_mask(const struct cnn_node *node, const struct cnn_pass *pass, int sample,
                      unsigned char *mask)
{
    struct cnn_rng rng;
    uint64_t stream = cnn_rng_mix(cnn_rng_mix(pass->step, (uint64_t)pass->node),
                                  (uint64_t)(pass->first_sample + sample));
    cnn_rng_init(&rng, pass->seed, stream);
    for (size_t i = 0, count = cnn_shape_count(&node->out); i < count; i++)
        mask[i] = cnn_rng_uniform(&rng, 0, 1) >= node->spec.u.dropout.rate;
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
