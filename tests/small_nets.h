/* small_nets.h - small nets of each kind the trainer must treat alike, and random samples. */
#ifndef STRIDED_TESTS_SMALL_NETS_H
#define STRIDED_TESTS_SMALL_NETS_H

#include <stdlib.h>

#include "dataset.h"
#include "harness.h"
#include "net.h"
#include "rng.h"

enum { SMALL_CHANNELS = 2, SMALL_SIDE = 6, SMALL_CLASSES = 3, SMALL_SAMPLES = 150 };
enum small_kind { SMALL_PLAIN, SMALL_DROPOUT, SMALL_NORM, SMALL_RESIDUAL, SMALL_KINDS };

static inline struct cnn_layer_spec *small_layer(struct cnn_spec *spec, enum cnn_layer_type type)
{
    struct err e;
    struct cnn_layer_spec *layer = cnn_spec_add(spec, type, &e);
    ck_assert_ptr_nonnull(layer);
    return layer;
}

static inline void small_conv(struct cnn_spec *spec, int filters)
{
    struct cnn_layer_spec *layer = small_layer(spec, CNN_CONV);
    cnn_window_set(&layer->u.conv.window, 2, 3, 1);
    layer->u.conv.window.padding = CNN_PAD_SAME;
    layer->u.conv.filters = filters;
}

static inline void small_merge(struct cnn_spec *spec, enum cnn_layer_type type, int a, int b)
{
    struct cnn_layer_spec *layer = small_layer(spec, type);
    layer->inputs[0] = a;
    layer->inputs[1] = b;
    layer->input_count = 2;
}

/* conv and tanh with dropout or batch-norm, and in SMALL_RESIDUAL everything at once: two
 * batch-norms, dropout, an add and a concat. All smooth, so that finite differences apply. */
static inline void small_body(struct cnn_spec *spec, enum small_kind kind)
{
    small_conv(spec, 4); /* 0 */
    if (kind == SMALL_NORM)
        small_layer(spec, CNN_BATCH_NORM);
    small_layer(spec, CNN_TANH); /* 1 */
    if (kind == SMALL_DROPOUT)
        small_layer(spec, CNN_DROPOUT)->u.dropout.rate = 0.4f;
    if (kind != SMALL_RESIDUAL)
        return;
    small_conv(spec, 4);                                   /* 2 */
    small_layer(spec, CNN_BATCH_NORM);                     /* 3 */
    small_merge(spec, CNN_ADD, 1, 3);                      /* 4 */
    small_layer(spec, CNN_DROPOUT)->u.dropout.rate = 0.2f; /* 5 */
    small_layer(spec, CNN_BATCH_NORM);                     /* 6 */
    small_merge(spec, CNN_CONCAT, 4, 6);                   /* 7 */
}

static inline struct cnn_net *small_net(enum small_kind kind)
{
    struct err e = {0};
    struct cnn_spec spec = {
        .input = {.c = SMALL_CHANNELS, .size = {1, SMALL_SIDE, SMALL_SIDE}, .rank = 2}};
    small_body(&spec, kind);
    cnn_window_set(&small_layer(&spec, CNN_AVG_POOL)->u.pool.window, 2, 2, 2);
    small_layer(&spec, CNN_FLATTEN);
    small_layer(&spec, CNN_DENSE)->u.dense.units = SMALL_CLASSES;
    struct cnn_net *net = cnn_net_new(&spec, &e);
    ck_assert_msg(net != NULL, "%s", e.detail);
    cnn_spec_clear(&spec);
    cnn_net_init(net, CNN_INIT_UNIFORM, 11);
    return net;
}

/* SMALL_SAMPLES samples of normal values with labels drawn at random. */
static inline struct cnn_samples small_samples(void)
{
    struct cnn_rng rng;
    size_t count = SMALL_CHANNELS * SMALL_SIDE * SMALL_SIDE;
    float *x = malloc(SMALL_SAMPLES * count * sizeof *x);
    uint16_t *labels = malloc(SMALL_SAMPLES * sizeof *labels);
    cnn_rng_init(&rng, 5, 0);
    for (size_t i = 0; i < SMALL_SAMPLES * count; i++)
        x[i] = cnn_rng_normal(&rng);
    for (int i = 0; i < SMALL_SAMPLES; i++)
        labels[i] = (uint16_t)cnn_rng_below(&rng, SMALL_CLASSES);
    return (struct cnn_samples){
        .shape = {.c = SMALL_CHANNELS, .size = {1, SMALL_SIDE, SMALL_SIDE}, .rank = 2},
        .count = SMALL_SAMPLES,
        .classes = SMALL_CLASSES,
        .dtype = CNN_F32,
        .x = x,
        .labels = labels,
        .normalize = {.scale = 1},
    };
}

/* Frees what samples made by a test borrow. */
static inline void small_samples_clear(struct cnn_samples *samples)
{
    free((void *)samples->x);
    free((void *)samples->labels);
}

#endif
