/* conv.c - the three directions of a convolution as products (product.h) over runs (runs.h).
 *
 * Forward and data gradient are the same gathering product: each position of one map sums what it
 * sees of the other through the taps. They differ in the maps' roles, the runs and the weights.
 */
#include "conv.h"

#include <string.h>

#include "lines.h"
#include "maps.h"
#include "product.h"
#include "runs.h"
#include "vector.h"
#include "winograd.h"

enum {
    PART_FLOATS = 1 << 17, /* of maps read and written together: a part of L2 */
    FEW_CHANNELS = 6,      /* below, the weight gradient prefers a padded copy to short runs */
};

/* A map, channels-last; steps in floats. */
struct map {
    ptrdiff_t sample, axis[KERNEL_AXES];
};

static struct map map_of(const int size[KERNEL_AXES], int channels)
{
    struct map map = {.sample = channels};
    for (int i = KERNEL_AXES - 1; i >= 0; i--) {
        map.axis[i] = map.sample;
        map.sample *= size[i];
    }
    return map;
}

static int at_most(int x, int most)
{
    return x < most ? x : most;
}

static int at_least(int x, int least)
{
    return x > least ? x : least;
}

/* Samples taken at a time, so that what one pass leaves behind is still there for the next. */
static int samples_of_part(const struct conv_geometry *g, int n)
{
    const ptrdiff_t each = map_of(g->in, g->in_c).sample + map_of(g->out, g->out_k).sample;
    const ptrdiff_t fit = PART_FLOATS / each;
    return fit < 1 ? 1 : fit < n ? (int)fit : n;
}

/* Few columns are faster with the short vector. */
static void product(const struct product *p)
{
#ifdef KERNEL_NARROW
    if (p->columns <= VEC_LANES / 2) {
        KERNEL_NARROW(product)(p);
        return;
    }
#endif
    KERNEL(product)(p);
}

/* The activations that a product does not do itself. */
static void activate_rest(const struct epilogue *end, size_t count, float *y)
{
    if (end->act != KERNEL_LINEAR && end->act != KERNEL_RELU)
        KERNEL(activate)(end->act, end->slope, count, y, y);
}

/* A product whose rows are the positions of map `to` and whose sum runs over what they see of map
 * `from`: its channels through each tap. Of one group; groups lie *_group floats apart. */
struct gather {
    const struct conv_geometry *g;
    bool (*next)(const struct conv_geometry *g, int axis, int *at, struct run *run);
    struct map from, to, taps;
    int terms, columns; /* channels of a group in `from` and in `to` */
    ptrdiff_t weight_row, weight_group;
};

static void gather_run(const struct gather *m, int n, const struct run run[KERNEL_AXES],
                       const float *from, const float *weights, const struct epilogue *end,
                       float *to)
{
    struct product p = {
        .rows = {.count = {n}, .a = {m->from.sample}, .other = {m->to.sample}},
        .sum = {.count = {[3] = m->terms}, .a = {[3] = 1}, .other = {[3] = m->weight_row}},
        .columns = m->columns,
        .relu = end->act == KERNEL_RELU,
    };
    for (int i = 0; i < KERNEL_AXES; i++) {
        p.rows.count[i + 1] = run[i].count;
        p.rows.a[i + 1] = run[i].other_step * m->from.axis[i];
        p.rows.other[i + 1] = run[i].step * m->to.axis[i];
        p.sum.count[i] = run[i].taps;
        p.sum.a[i] = run[i].other_tap * m->from.axis[i];
        p.sum.other[i] = run[i].tap_step * m->taps.axis[i];
        from += run[i].other * m->from.axis[i];
        weights += run[i].tap * m->taps.axis[i];
        to += run[i].first * m->to.axis[i];
    }
    for (int group = 0; group < m->g->groups; group++) {
        p.a = from + group * m->terms;
        p.b = weights + group * m->weight_group;
        p.c = to + group * m->columns;
        p.bias = end->bias ? end->bias + group * m->columns : NULL;
        product(&p);
    }
}

static void gather(const struct gather *m, int n, const float *from, const float *weights,
                   const struct epilogue *end, float *to)
{
    const int part = samples_of_part(m->g, n);
    for (int s = 0; s < n; s += part) {
        const int samples = at_most(part, n - s);
        float *part_to = to + s * m->to.sample;
        struct run run[KERNEL_AXES];
        for (int d = 0; m->next(m->g, 0, &d, &run[0]);)
            for (int h = 0; m->next(m->g, 1, &h, &run[1]);)
                for (int w = 0; m->next(m->g, 2, &w, &run[2]);)
                    gather_run(m, samples, run, from + s * m->from.sample, weights, end, part_to);
        activate_rest(end, (size_t)(samples * m->to.sample), part_to);
    }
}

static void direct_sums(const struct conv_geometry *g, int n, const float *x, const float *w,
                        const struct epilogue *end, float *y)
{
    const int c = g->in_c / g->groups, k = g->out_k / g->groups;
    gather(
        &(struct gather){
            .g = g,
            .next = run_forward,
            .from = map_of(g->in, g->in_c),
            .to = map_of(g->out, g->out_k),
            .taps = map_of(g->kernel, c * g->out_k),
            .terms = c,
            .columns = k,
            .weight_row = g->out_k,
            .weight_group = k,
        },
        n, x, w, end, y);
}

/* prepared: as conv_forward's. */
static void conv_sums(const struct conv_geometry *g, int n, const float *x, const float *w,
                      const float *prepared, const struct epilogue *end, float *y, float *scratch)
{
    if (!KERNEL(winograd_fits)(g)) {
        direct_sums(g, n, x, w, end, y);
        return;
    }
    if (!prepared) {
        KERNEL(winograd_weights)(g, w, false, scratch);
        prepared = scratch;
        scratch += KERNEL(winograd_weight_floats)(g);
    }
    KERNEL(winograd_forward)(g, n, x, prepared, end, y, scratch);
    activate_rest(end, (size_t)(n * map_of(g->out, g->out_k).sample), y);
}

static size_t conv_prepared_floats(const struct conv_geometry *g)
{
    return KERNEL(winograd_fits)(g) ? KERNEL(winograd_weight_floats)(g) : 0;
}

static void conv_prepare(const struct conv_geometry *g, const float *w, float *prepared)
{
    if (KERNEL(winograd_fits)(g))
        KERNEL(winograd_weights)(g, w, false, prepared);
}

/* The data gradient as a convolution of its own, with weights turned round; without strides. */
static struct conv_geometry turned(const struct conv_geometry *g)
{
    struct conv_geometry t = *g;
    t.in_c = g->out_k;
    t.out_k = g->in_c;
    for (int i = 0; i < KERNEL_AXES; i++) {
        t.in[i] = g->out[i];
        t.out[i] = g->in[i];
        t.before[i] = g->kernel[i] - 1 - g->before[i];
    }
    return t;
}

static bool turned_fits(const struct conv_geometry *g)
{
    const struct conv_geometry t = turned(g);
    return KERNEL(winograd_fits)(&t);
}

/* wt[groups,taps,K,C] from w[taps,C,groups,K] */
static void weights_transpose(const struct conv_geometry *g, const float *w, float *wt)
{
    const size_t c = (size_t)(g->in_c / g->groups), k = (size_t)(g->out_k / g->groups);
    const size_t out_k = (size_t)g->out_k;
    const int taps = g->kernel[0] * g->kernel[1] * g->kernel[2];
    for (int group = 0; group < g->groups; group++)
        for (int tap = 0; tap < taps; tap++, wt += k * c) {
            const float *from = w + (size_t)tap * c * out_k + (size_t)group * k;
            KERNEL(transpose_block)(c, k, from, out_k, wt, c);
        }
}

static size_t conv_transposed_floats(const struct conv_geometry *g)
{
    const struct conv_geometry t = turned(g);
    const size_t plain = (size_t)map_of(g->kernel, g->in_c / g->groups * g->out_k).sample;
    return plain + (turned_fits(g) ? KERNEL(winograd_weight_floats)(&t) : 0);
}

/* The transformed weights, if any, stand first; behind them, what they were made of. */
static void conv_transpose(const struct conv_geometry *g, const float *w, float *wt)
{
    if (!turned_fits(g)) {
        weights_transpose(g, w, wt);
        return;
    }
    const struct conv_geometry t = turned(g);
    float *plain = wt + KERNEL(winograd_weight_floats)(&t);
    weights_transpose(g, w, plain);
    KERNEL(winograd_weights)(&t, plain, true, wt);
}

static void conv_backward_data(const struct conv_geometry *g, int n, const float *dy,
                               const float *wt, float *dx, float *scratch)
{
    if (turned_fits(g)) {
        const struct conv_geometry t = turned(g);
        KERNEL(winograd_forward)(&t, n, dy, wt, &(struct epilogue){0}, dx, scratch);
        return;
    }
    const int c = g->in_c / g->groups, k = g->out_k / g->groups;
    const struct map taps = map_of(g->kernel, c * k);
    gather(
        &(struct gather){
            .g = g,
            .next = run_backward_data,
            .from = map_of(g->out, g->out_k),
            .to = map_of(g->in, g->in_c),
            .taps = taps,
            .terms = k,
            .columns = c,
            .weight_row = c,
            .weight_group = taps.sample,
        },
        n, dy, wt, &(struct epilogue){0}, dx);
}

/* A range of output pixels on each axis, and of samples: what one product sums over. */
struct part {
    int n, first[KERNEL_AXES], end[KERNEL_AXES];
};

static void weight_run(const struct conv_geometry *g, const struct part *part,
                       const struct run run[KERNEL_AXES], const float *x, const float *dy,
                       float *dw)
{
    const int c = g->in_c / g->groups, k = g->out_k / g->groups;
    const struct map in = map_of(g->in, g->in_c), out = map_of(g->out, g->out_k);
    const struct map taps = map_of(g->kernel, c * g->out_k);
    struct product p = {
        .rows = {.count = {[3] = c}, .a = {[3] = 1}, .other = {[3] = g->out_k}},
        .sum = {.count = {part->n}, .a = {in.sample}, .other = {out.sample}},
        .columns = k,
        .start = PRODUCT_ADD,
    };
    for (int i = 0; i < KERNEL_AXES; i++) {
        const int first = at_least(run[i].other, part->first[i]);
        const int end = at_most(run[i].other + run[i].taps, part->end[i]);
        if (end <= first)
            return;
        p.rows.count[i] = run[i].count;
        p.rows.a[i] = g->dilation[i] * in.axis[i];
        p.rows.other[i] = taps.axis[i];
        p.sum.count[i + 1] = end - first;
        p.sum.a[i + 1] = g->stride[i] * in.axis[i];
        p.sum.other[i + 1] = out.axis[i];
        x += (first * g->stride[i] + run[i].first * g->dilation[i] - g->before[i]) * in.axis[i];
        dy += first * out.axis[i];
        dw += run[i].first * taps.axis[i];
    }
    for (int group = 0; group < g->groups; group++) {
        p.a = x + group * c;
        p.b = dy + group * k;
        p.c = dw + group * k;
        product(&p);
    }
}

static void weight_part(const struct conv_geometry *g, const struct part *part, const float *x,
                        const float *dy, float *dw)
{
    struct run run[KERNEL_AXES];
    for (int d = 0; run_backward_weight(g, 0, &d, &run[0]);)
        for (int h = 0; run_backward_weight(g, 1, &h, &run[1]);)
            for (int w = 0; run_backward_weight(g, 2, &w, &run[2]);)
                weight_run(g, part, run, x, dy, dw);
}

/* A sample larger than a part is cut by planes, and planes by lines. */
static void weight_parts(const struct conv_geometry *g, int n, const float *x, const float *dy,
                         float *dw)
{
    const struct map in = map_of(g->in, g->in_c), out = map_of(g->out, g->out_k);
    const ptrdiff_t plane = in.axis[0] * g->stride[0] + out.axis[0];
    const ptrdiff_t line = in.axis[1] * g->stride[1] + out.axis[1];
    const int samples = samples_of_part(g, n);
    const int planes = at_least(PART_FLOATS / (plane < PART_FLOATS ? (int)plane : PART_FLOATS), 1);
    const int lines = at_least(PART_FLOATS / (line < PART_FLOATS ? (int)line : PART_FLOATS), 1);
    for (int s = 0; s < n; s += samples) {
        for (int d = 0; d < g->out[0]; d += planes) {
            for (int h = 0; h < g->out[1]; h += lines) {
                const struct part part = {
                    .n = at_most(samples, n - s),
                    .first = {d, h, 0},
                    .end = {at_most(d + planes, g->out[0]), at_most(h + lines, g->out[1]),
                            g->out[2]},
                };
                weight_part(g, &part, x + s * in.sample, dy + s * out.sample, dw);
            }
        }
    }
}

static bool copy_for_weights(const struct conv_geometry *g)
{
    return g->in_c / g->groups < FEW_CHANNELS && conv_is_padded(g) && conv_pads_sensibly(g);
}

static void conv_backward_weight(const struct conv_geometry *g, int n, const float *x,
                                 const float *dy, float *dw, float *scratch)
{
    if (KERNEL(winograd_fits)(g)) {
        KERNEL(winograd_backward_weight)(g, n, x, dy, dw, scratch);
        return;
    }
    if (!copy_for_weights(g)) {
        weight_parts(g, n, x, dy, dw);
        return;
    }
    const struct conv_geometry padded = conv_padded(g);
    const ptrdiff_t in = map_of(g->in, g->in_c).sample, out = map_of(g->out, g->out_k).sample;
    const int samples = samples_of_part(&padded, n);
    for (int s = 0; s < n; s += samples) {
        const int m = at_most(samples, n - s);
        conv_pad(g, &padded, m, x + s * in, scratch);
        weight_parts(&padded, m, scratch, dy + s * out, dw);
    }
}

static size_t floats(const int size[KERNEL_AXES], int channels)
{
    return (size_t)map_of(size, channels).sample;
}

/* Sums of a few samples, then the maximum over their windows while they are in the cache. */
static void conv_pooled(const struct conv_geometry *g, int n, const float *x, const float *w,
                        const float *prepared, const struct epilogue *end, float *y, float *scratch)
{
    const size_t in = floats(g->in, g->in_c), pooled = floats(end->pool->out, g->out_k);
    const int part = samples_of_part(g, n);
    float *rest = scratch + (size_t)part * floats(g->out, g->out_k);
    for (int s = 0; s < n; s += part) {
        const int m = at_most(part, n - s);
        float *to = y + (size_t)s * pooled;
        conv_sums(g, m, x + (size_t)s * in, w, prepared, &(struct epilogue){.bias = end->bias},
                  scratch, rest);
        uint8_t *winner = end->winner ? end->winner + (size_t)s * pooled : NULL;
        KERNEL(max_pool)(end->pool, m, scratch, to, winner);
        if (end->act != KERNEL_LINEAR)
            KERNEL(activate)(end->act, end->slope, (size_t)m * pooled, to, to);
    }
}

static void conv_forward(const struct conv_geometry *g, int n, const float *x, const float *w,
                         const float *prepared, const struct epilogue *end, float *y,
                         float *scratch)
{
    if (KERNEL(lines_fit)(g))
        KERNEL(lines_forward)(g, n, x, w, end, y, scratch);
    else if (end->pool)
        conv_pooled(g, n, x, w, prepared, end, y, scratch);
    else
        conv_sums(g, n, x, w, prepared, end, y, scratch);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t forward_scratch(const struct conv_geometry *g, const struct pool_geometry *pool,
                              int n)
{
    if (KERNEL(lines_fit)(g))
        return KERNEL(lines_scratch)(g, pool);
    const int part = pool ? samples_of_part(g, n) : n;
    return (pool ? (size_t)part * floats(g->out, g->out_k) : 0) +
           (KERNEL(winograd_fits)(g) ? KERNEL(winograd_scratch)(g, part, true) : 0);
}

static size_t data_scratch(const struct conv_geometry *g, int n)
{
    const struct conv_geometry t = turned(g);
    return turned_fits(g) ? KERNEL(winograd_scratch)(&t, n, false) : 0;
}

static size_t weight_scratch(const struct conv_geometry *g, int n)
{
    if (KERNEL(winograd_fits)(g))
        return KERNEL(winograd_scratch)(g, n, true);
    if (!copy_for_weights(g))
        return 0;
    const struct conv_geometry padded = conv_padded(g);
    return (size_t)samples_of_part(&padded, n) * floats(padded.in, g->in_c);
}

static size_t conv_scratch(const struct conv_geometry *g, const struct pool_geometry *pool, int n)
{
    return larger(larger(forward_scratch(g, pool, n), weight_scratch(g, n)), data_scratch(g, n));
}

#define NAME_TEXT(isa) #isa
#define NAME(isa) NAME_TEXT(isa)

const struct cnn_kernels KERNEL(cnn_kernels) = {
    .name = NAME(KERNEL_ISA),
    .conv_forward = conv_forward,
    .conv_prepare = conv_prepare,
    .conv_prepared_floats = conv_prepared_floats,
    .conv_transpose = conv_transpose,
    .conv_transposed_floats = conv_transposed_floats,
    .conv_backward_data = conv_backward_data,
    .conv_backward_weight = conv_backward_weight,
    .conv_scratch = conv_scratch,
    .gemm = KERNEL(gemm),
    .gemm_pack = KERNEL(gemm_pack),
    .gemm_packed_floats = KERNEL(gemm_packed_floats),
    .sum_rows = KERNEL(sum_rows),
    .transpose = KERNEL(transpose),
    .activate = KERNEL(activate),
    .activate_backward = KERNEL(activate_backward),
    .max_pool = KERNEL(max_pool),
    .max_pool_backward = KERNEL(max_pool_backward),
    .update_params = KERNEL(update_params),
    .sum_squares = KERNEL(sum_squares),
};
