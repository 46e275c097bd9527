/* onnx_nets.h - nets for the ONNX tests: built, written, read back and compared. */
#ifndef STRIDED_TESTS_ONNX_NETS_H
#define STRIDED_TESTS_ONNX_NETS_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "memory.h"
#include "onnx.h"
#include "onnx.pb-c.h"
#include "rng.h"
#include "workspace.h"

enum { SAMPLES = 2 };

static struct err e;

static inline void fill_random(float *x, size_t count, uint64_t seed)
{
    struct cnn_rng rng;
    cnn_rng_init(&rng, seed, 0);
    for (size_t i = 0; i < count; i++)
        x[i] = cnn_rng_uniform(&rng, 0.1f, 1);
}

/* Builds the net and gives every parameter, running statistics too, a value of its own. */
static inline struct cnn_net *net_of(struct cnn_spec *spec)
{
    struct cnn_net *net = cnn_net_new(spec, &e);
    ck_assert_msg(net != NULL, "%s", e.detail);
    cnn_spec_clear(spec);
    fill_random(net->params, net->state_count, 1);
    for (size_t i = 0; i < net->state_count; i += 2)
        net->params[i] *= 0.25f;
    return net;
}

static inline struct model_meta meta_for(const struct cnn_net *net)
{
    struct model_meta meta = {.test_loss = NAN, .test_accuracy = NAN};
    size_t count = cnn_shape_count(cnn_net_output(net));
    char(*texts)[32] = calloc(count, sizeof *texts);
    char **labels = calloc(count, sizeof *labels);
    for (size_t i = 0; i < count; i++) {
        snprintf(texts[i], sizeof texts[i], "class %zu", i);
        labels[i] = texts[i];
    }
    ck_assert(model_meta_set_labels(&meta, labels, (int)count, &e));
    free(labels);
    free(texts);
    meta.preprocess.normalize.scale = 1.0f / 255;
    return meta;
}

static inline struct buf write_net(const struct cnn_net *net)
{
    struct buf file = {0};
    struct model_meta meta = meta_for(net);
    ck_assert_msg(onnx_write(net, &meta, &file, &e), "%s", e.detail);
    model_meta_clear(&meta);
    return file;
}

static inline struct cnn_net *read_net(const struct buf *file)
{
    struct model_meta meta;
    struct cnn_net *net = onnx_read(file->data, file->size, &meta, &e);
    ck_assert_msg(net != NULL, "%s", e.detail);
    model_meta_clear(&meta);
    return net;
}

/* [SAMPLES, outputs], the caller frees. */
static inline float *run(const struct cnn_net *net, size_t *count)
{
    size_t in = cnn_shape_count(&net->input);
    *count = SAMPLES * cnn_shape_count(cnn_net_output(net));
    float *x = malloc(SAMPLES * in * sizeof *x), *copy = malloc(*count * sizeof *copy);
    fill_random(x, SAMPLES * in, 2);
    struct cnn_workspace *ws = cnn_workspace_new(net, SAMPLES, CNN_INFER, &e);
    ck_assert_msg(ws != NULL, "%s", e.detail);
    memcpy(copy, cnn_forward_canonical(net, ws, x, SAMPLES), *count * sizeof *copy);
    cnn_workspace_free(ws);
    free(x);
    return copy;
}

static inline void check_same_net(const struct cnn_net *a, const struct cnn_net *b)
{
    ck_assert_int_eq(a->node_count, b->node_count);
    ck_assert_int_eq(a->input.rank, b->input.rank);
    for (int i = 0; i < a->node_count; i++) {
        const struct cnn_node *x = &a->nodes[i], *y = &b->nodes[i];
        ck_assert_int_eq(x->spec.type, y->spec.type);
        ck_assert_str_eq(x->spec.name, y->spec.name);
        ck_assert_int_eq(x->input_count, y->input_count);
        for (int k = 0; k < x->input_count; k++)
            ck_assert_int_eq(x->inputs[k], y->inputs[k]);
        ck_assert(cnn_shape_equal(&x->out, &y->out) && x->out.rank == y->out.rank);
    }
    ck_assert_uint_eq(a->state_count, b->state_count);
    ck_assert_mem_eq(a->params, b->params, a->state_count * sizeof(float));
    size_t count, count_b;
    float *out = run(a, &count), *out_b = run(b, &count_b);
    ck_assert_uint_eq(count, count_b);
    ck_assert_mem_eq(out, out_b, count * sizeof(float));
    for (size_t i = 0; i < count; i++)
        ck_assert(isfinite(out[i]));
    free(out);
    free(out_b);
}

/* Frees net. */
static inline void check_roundtrip(struct cnn_net *net)
{
    struct buf file = write_net(net);
    struct cnn_net *back = read_net(&file);
    check_same_net(net, back);
    struct buf again = write_net(back);
    ck_assert_uint_eq(again.size, file.size);
    ck_assert_mem_eq(again.data, file.data, file.size);
    buf_clear(&again);
    buf_clear(&file);
    cnn_net_free(back);
    cnn_net_free(net);
}

static inline struct cnn_layer_spec *add(struct cnn_spec *spec, enum cnn_layer_type type)
{
    struct cnn_layer_spec *layer = cnn_spec_add(spec, type, &e);
    ck_assert_ptr_nonnull(layer);
    return layer;
}

static inline struct cnn_spec spec_of(int count, long long c, long long d, long long h, long long w)
{
    struct cnn_spec spec = {0};
    long long dims[] = {c, d, h, w};
    ck_assert(cnn_shape_from_dims(&spec.input, dims, count, &e));
    return spec;
}

static inline void add_conv(struct cnn_spec *spec, int dims, int kernel, int filters)
{
    struct cnn_layer_spec *layer = add(spec, CNN_CONV);
    cnn_window_set(&layer->u.conv.window, dims, kernel, 1);
    layer->u.conv.filters = filters;
}

static inline void add_dense(struct cnn_spec *spec, int units)
{
    add(spec, CNN_DENSE)->u.dense.units = units;
}
static inline Onnx__ModelProto *unpack(const struct buf *file)
{
    Onnx__ModelProto *model =
        onnx__model_proto__unpack(NULL, file->size, (const uint8_t *)file->data);
    ck_assert_ptr_nonnull(model);
    return model;
}

static inline struct cnn_net *tiny_net(enum cnn_layer_type last)
{
    struct cnn_spec spec = spec_of(3, 1, 4, 4, 0);
    add_conv(&spec, 2, 3, 2);
    add(&spec, CNN_FLATTEN);
    add_dense(&spec, 3);
    if (last != CNN_DENSE)
        add(&spec, last);
    return net_of(&spec);
}

#endif
