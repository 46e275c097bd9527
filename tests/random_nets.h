/* random_nets.h - small nets of every kind of layer in every order, drawn at random: what fuses,
 * prepares or places is compared on them with the plain runner. */
#ifndef STRIDED_TESTS_RANDOM_NETS_H
#define STRIDED_TESTS_RANDOM_NETS_H

#include <string.h>

#include "nets.h"
#include "rng.h"

enum { CLASSES = 3 };

static inline bool one_in(struct cnn_rng *rng, uint32_t chances)
{
    return cnn_rng_below(rng, chances) == 0;
}

static inline int between(struct cnn_rng *rng, int low, int high)
{
    return low + (int)cnn_rng_below(rng, (uint32_t)(high - low + 1));
}

static inline void random_activation(struct cnn_spec *spec, struct cnn_rng *rng)
{
    static const enum cnn_layer_type types[] = {CNN_RELU, CNN_LEAKY_RELU, CNN_TANH, CNN_SIGMOID};
    struct cnn_layer_spec *layer = net_add(spec, types[cnn_rng_below(rng, 4)]);
    if (layer->type == CNN_LEAKY_RELU)
        layer->u.leaky.slope = one_in(rng, 4) ? -0.5f : 0.1f; /* the first cannot be fused */
}

/* conv with activation and pooling behind it in either order, or without one of them. */
static inline void random_conv(struct cnn_spec *spec, int dims, struct cnn_rng *rng)
{
    struct cnn_layer_spec *conv = net_conv(spec, dims, between(rng, 1, 5), between(rng, 1, 3),
                                           one_in(rng, 4) ? 2 : 1, between(rng, 0, 1));
    conv->u.conv.bias = !one_in(rng, 4);
    if (one_in(rng, 4))
        net_add(spec, CNN_BATCH_NORM);
    const bool pool_first = one_in(rng, 2);
    if (!pool_first && !one_in(rng, 4))
        random_activation(spec, rng);
    if (!one_in(rng, 3))
        net_pool(spec, CNN_MAX_POOL, dims, 2, between(rng, 1, 2), one_in(rng, 3));
    if (pool_first && !one_in(rng, 4))
        random_activation(spec, rng);
    if (one_in(rng, 6))
        net_add(spec, CNN_DROPOUT)->u.dropout.rate = 0.3f;
}

/* Convolutions of kernel 3 with channels enough to be transformed (winograd.h). */
static inline void random_wide_convs(struct cnn_spec *spec, int dims, struct cnn_rng *rng)
{
    net_conv(spec, dims, between(rng, 16, 19), 3, 1, 1);
    if (one_in(rng, 2))
        net_add(spec, CNN_BATCH_NORM);
    random_activation(spec, rng);
    net_conv(spec, dims, between(rng, 16, 19), 3, 1, between(rng, 0, 2));
    random_activation(spec, rng);
    if (one_in(rng, 2))
        net_pool(spec, CNN_MAX_POOL, dims, 2, 2, 0);
}

/* Two branches from the last layer, joined again. */
static inline void random_branches(struct cnn_spec *spec, int dims, struct cnn_rng *rng)
{
    const int from = spec->layer_count - 1, filters = between(rng, 1, 4);
    net_inputs(net_conv(spec, dims, filters, 3, 1, 1), 1, &from);
    random_activation(spec, rng);
    const int left = spec->layer_count - 1;
    net_inputs(net_conv(spec, dims, filters, 1, 1, 0), 1, &from);
    if (one_in(rng, 2))
        net_add(spec, CNN_BATCH_NORM);
    const int right = spec->layer_count - 1;
    net_inputs(net_add(spec, one_in(rng, 2) ? CNN_ADD : CNN_CONCAT), 2, (int[]){left, right});
    if (one_in(rng, 2))
        random_activation(spec, rng);
    if (one_in(rng, 2)) /* a third reader of what the branches came from */
        net_inputs(net_add(spec, CNN_CONCAT), 2, (int[]){spec->layer_count - 1, from});
}

/* Dense layers with what goes between them, and a residual one. */
static inline void random_head(struct cnn_spec *spec, struct cnn_rng *rng)
{
    net_add(spec, CNN_FLATTEN);
    if (one_in(rng, 2)) {
        net_dense(spec, between(rng, 1, 70))->u.dense.bias = !one_in(rng, 3);
        if (one_in(rng, 3))
            net_add(spec, CNN_BATCH_NORM);
        random_activation(spec, rng);
        if (one_in(rng, 2))
            net_add(spec, CNN_DROPOUT);
    }
    if (one_in(rng, 3)) {
        const int from = spec->layer_count - 1;
        net_dense(spec, 6);
        const int left = spec->layer_count - 1;
        net_inputs(net_dense(spec, 6), 1, &from);
        net_inputs(net_add(spec, CNN_ADD), 2, (int[]){left, spec->layer_count - 1});
    }
    net_dense(spec, CLASSES);
    if (one_in(rng, 3))
        net_add(spec, one_in(rng, 2) ? CNN_SOFTMAX : CNN_LOG_SOFTMAX);
}

/* NULL when a window does not fit. */
static inline struct cnn_net *draw_net(uint64_t which, uint64_t attempt)
{
    struct cnn_rng rng;
    struct err e;
    cnn_rng_init(&rng, which, attempt);
    const int dims = between(&rng, 1, 3);
    struct cnn_spec spec = {
        .input = net_shape(between(&rng, 1, 3), 9, dims > 1 ? 8 : 0, dims > 2 ? 7 : 0)};
    if (one_in(&rng, 8))
        net_add(&spec, CNN_BATCH_NORM);
    for (int i = between(&rng, 0, 2); i > 0; i--)
        random_conv(&spec, dims, &rng);
    if (one_in(&rng, 2))
        random_conv(&spec, dims, &rng);
    if (which % 8 == 4)
        random_wide_convs(&spec, dims, &rng);
    if (spec.layer_count > 0 && one_in(&rng, 2))
        random_branches(&spec, dims, &rng);
    if (one_in(&rng, 4)) {
        net_conv(&spec, dims, CLASSES, 1, 1, 0);
        net_add(&spec, CNN_GLOBAL_AVG_POOL);
        net_add(&spec, CNN_FLATTEN);
    } else {
        random_head(&spec, &rng);
    }
    struct cnn_net *net = cnn_net_new(&spec, &e);
    cnn_spec_clear(&spec);
    return net;
}

/* Batch-norms that are not the identity: scales, shifts and statistics as after training. */
static inline void random_norms(struct cnn_net *net, uint64_t which)
{
    struct cnn_rng rng;
    cnn_rng_init(&rng, which, 99);
    for (int t = 0; t < net->tensor_count; t++) {
        const struct cnn_param *tensor = &net->tensors[t];
        const bool positive = strcmp(tensor->role, "running_var") == 0;
        for (size_t i = 0; tensor->fan_in == 0 && i < tensor->count; i++)
            net->params[tensor->offset + i] = cnn_rng_uniform(&rng, positive ? 0.5f : -1.5f, 2);
    }
}

static inline struct cnn_net *random_net(uint64_t which)
{
    struct cnn_net *net = NULL;
    for (uint64_t attempt = 0; !net; attempt++)
        net = draw_net(which, attempt);
    cnn_net_init(net, CNN_INIT_UNIFORM, which);
    random_norms(net, which);
    return net;
}

#endif
