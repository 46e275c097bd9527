/* nets.h - short ways to write down nets, for the core tests. Each fails the test on an error. */
#ifndef STRIDED_TESTS_NETS_H
#define STRIDED_TESTS_NETS_H

#include <check.h>
#include <stdlib.h>

#include "engine.h"
#include "layout.h"
#include "memory.h"
#include "workspace.h"

/* [C,W], [C,H,W] or [C,D,H,W] by how many numbers are not 0. */
static inline struct cnn_shape net_shape(long long c, long long a, long long b, long long d)
{
    const long long dims[] = {c, a, b, d};
    struct cnn_shape shape;
    struct err e = {0};
    ck_assert_msg(cnn_shape_from_dims(&shape, dims, 1 + !!a + !!b + !!d, &e), "%s", e.detail);
    return shape;
}

static inline struct cnn_layer_spec *net_add(struct cnn_spec *spec, enum cnn_layer_type type)
{
    struct err e = {0};
    struct cnn_layer_spec *layer = cnn_spec_add(spec, type, &e);
    ck_assert_msg(layer != NULL, "%s", e.detail);
    return layer;
}

static inline void net_pad(struct cnn_window *window, int padding)
{
    window->padding = CNN_PAD_NUMBER;
    for (int axis = CNN_AXES - window->dims; axis < CNN_AXES; axis++)
        window->before[axis] = window->after[axis] = padding;
}

static inline struct cnn_layer_spec *net_conv(struct cnn_spec *spec, int dims, int filters,
                                              int kernel, int stride, int padding)
{
    struct cnn_layer_spec *layer = net_add(spec, CNN_CONV);
    layer->u.conv.filters = filters;
    cnn_window_set(&layer->u.conv.window, dims, kernel, stride);
    net_pad(&layer->u.conv.window, padding);
    return layer;
}

static inline struct cnn_layer_spec *net_pool(struct cnn_spec *spec, enum cnn_layer_type type,
                                              int dims, int size, int stride, int padding)
{
    struct cnn_layer_spec *layer = net_add(spec, type);
    cnn_window_set(&layer->u.pool.window, dims, size, stride);
    net_pad(&layer->u.pool.window, padding);
    return layer;
}

static inline struct cnn_layer_spec *net_dense(struct cnn_spec *spec, int units)
{
    struct cnn_layer_spec *layer = net_add(spec, CNN_DENSE);
    layer->u.dense.units = units;
    return layer;
}

static inline void net_inputs(struct cnn_layer_spec *layer, int count, const int *inputs)
{
    layer->input_count = count;
    for (int i = 0; i < count; i++)
        layer->inputs[i] = inputs[i];
}

/* Builds the net and clears the spec. */
static inline struct cnn_net *net_build(struct cnn_spec *spec)
{
    struct err e = {0};
    struct cnn_net *net = cnn_net_new(spec, &e);
    ck_assert_msg(net != NULL, "%s (%s)", e.detail, e.field);
    cnn_spec_clear(spec);
    return net;
}

static inline float *net_floats(size_t count)
{
    struct err e = {0};
    float *block = memory_new(count, sizeof *block, &e);
    ck_assert_ptr_nonnull(block);
    return block;
}

/* One canonical sample through the net; the canonical output, to be freed. */
static inline float *net_run(const struct cnn_net *net, const float *x)
{
    struct err e = {0};
    struct cnn_workspace *ws = cnn_workspace_new(net, 1, CNN_INFER, &e);
    ck_assert_msg(ws != NULL, "%s", e.detail);
    const struct cnn_shape *shape = cnn_net_output(net);
    float *out = net_floats(cnn_shape_count(shape));
    cnn_layout_to_canonical(shape, cnn_forward_canonical(net, ws, x, 1), out);
    cnn_workspace_free(ws);
    return out;
}

#endif
