/* conv.c - the three directions of a convolution as products (product.h), and the kernel table.
 *
 * Padding is made real: maps with borders are copied into scratch between zeros, so that no loop
 * below knows about borders. The data gradient scatters: each tap adds dy * w[tap]^T to the pixels
 * it came from, which needs no more arithmetic than the forward pass at any stride.
 */
#include "kernels.h"
#include "maps.h"
#include "product.h"
#include "vector.h"

#include <string.h>

/* Maps read and written together should stay in L1 or near it: 64 KiB of floats. */
enum { PART_FLOATS = 1 << 14 };

/* The sizes of one convolution, in floats; maps are channels-last. */
struct plan {
    const struct conv_geometry *g;
    int c, k;                               /* channels of one group */
    int span[KERNEL_AXES];                  /* input pixels that the taps cover, padding included */
    bool padded;                            /* some of them lie outside of the input */
    ptrdiff_t in_sample, in[KERNEL_AXES];   /* steps of x, or of its padded copy */
    ptrdiff_t out_sample, out[KERNEL_AXES]; /* steps of y */
    ptrdiff_t tap[KERNEL_AXES];             /* steps of w */
    int taps;
    int scatter_columns;        /* of the data gradient: channels of a tap, or of a line of taps */
    int samples;                /* taken at a time */
    int lines[KERNEL_AXES - 1]; /* output planes (D) and lines (H) taken at a time */
};

static int clamp_parts(ptrdiff_t floats_each, int most)
{
    const ptrdiff_t fit = PART_FLOATS / floats_each;
    return fit < 1 ? 1 : fit < most ? (int)fit : most;
}

/* How much is taken at a time: samples if a whole one fits, else planes, else lines. */
static void plan_parts(struct plan *p, int n)
{
    const struct conv_geometry *g = p->g;
    const ptrdiff_t line = p->in[1] * g->stride[1] + p->out[1];
    const ptrdiff_t plane = p->in[0] * g->stride[0] + p->out[0];
    p->lines[1] = clamp_parts(line, g->out[1]);
    p->lines[0] = p->lines[1] == g->out[1] ? clamp_parts(plane, g->out[0]) : 1;
    p->samples = p->lines[0] == g->out[0] ? clamp_parts(p->in_sample + p->out_sample, n) : 1;
}

static struct plan plan_make(const struct conv_geometry *g, int n)
{
    struct plan p = {.g = g, .c = g->in_c / g->groups, .k = g->out_k / g->groups, .taps = 1};
    for (int i = 0; i < KERNEL_AXES; i++) {
        p.span[i] = (g->out[i] - 1) * g->stride[i] + (g->kernel[i] - 1) * g->dilation[i] + 1;
        p.padded = p.padded || g->before[i] > 0 || p.span[i] > g->in[i];
        p.taps *= g->kernel[i];
    }
    p.in_sample = g->in_c;
    p.out_sample = g->out_k;
    ptrdiff_t tap = (ptrdiff_t)p.c * g->out_k;
    for (int i = KERNEL_AXES - 1; i >= 0; i--) {
        p.in[i] = p.in_sample;
        p.out[i] = p.out_sample;
        p.tap[i] = tap;
        p.in_sample *= p.padded ? p.span[i] : g->in[i];
        p.out_sample *= g->out[i];
        tap *= g->kernel[i];
    }
    p.scatter_columns = p.c;
    plan_parts(&p, n);
    return p;
}

/* Padding far larger than the input is not worth a copy; the reference does without. */
static bool padding_is_absurd(const struct conv_geometry *g)
{
    double in = g->in_c, span = g->in_c;
    for (int i = 0; i < KERNEL_AXES; i++) {
        in *= g->in[i];
        span *= (g->out[i] - 1.0) * g->stride[i] + (g->kernel[i] - 1.0) * g->dilation[i] + 1;
    }
    return span > 8 * in + (1 << 20);
}

static int at_least(int x, int least)
{
    return x > least ? x : least;
}

static int at_most(int x, int most)
{
    return x < most ? x : most;
}

/* Where a sample's first real pixel stands in its padded copy. */
static ptrdiff_t inside(const struct plan *p)
{
    const int *before = p->g->before;
    return before[0] * p->in[0] + before[1] * p->in[1] + before[2] * p->in[2];
}

static size_t in_floats(const struct conv_geometry *g)
{
    return (size_t)g->in_c * (size_t)g->in[0] * (size_t)g->in[1] * (size_t)g->in[2];
}

/* Copies the lines that n maps have in common with their padded copies. Steps of a sample, a
 * plane and a line. */
static void lines_copy(const struct plan *p, int n, float *to, const ptrdiff_t to_step[3],
                       const float *from, const ptrdiff_t from_step[3])
{
    int size[KERNEL_AXES];
    for (int i = 0; i < KERNEL_AXES; i++)
        size[i] = at_least(at_most(p->g->in[i], p->span[i] - p->g->before[i]), 0);
    const size_t bytes = (size_t)size[2] * (size_t)p->g->in_c * sizeof(float);

    for (int s = 0; s < n; s++)
        for (int d = 0; d < size[0]; d++)
            for (int h = 0; h < size[1]; h++)
                memcpy(to + s * to_step[0] + d * to_step[1] + h * to_step[2],
                       from + s * from_step[0] + d * from_step[1] + h * from_step[2], bytes);
}

/* x with its borders made real: x itself if it has none, or a copy in scratch. */
static const float *maps_pad(const struct plan *p, int n, const float *x, float *scratch)
{
    if (!p->padded)
        return x;
    const ptrdiff_t line = (ptrdiff_t)p->g->in[2] * p->g->in_c, plane = p->g->in[1] * line;
    memset(scratch, 0, sizeof(float) * (size_t)n * (size_t)p->in_sample);
    lines_copy(p, n, scratch + inside(p), (ptrdiff_t[]){p->in_sample, p->in[0], p->in[1]}, x,
               (ptrdiff_t[]){p->g->in[0] * plane, plane, line});
    return scratch;
}

/* The way back, for gradients. */
static void maps_crop(const struct plan *p, int n, const float *padded, float *dx)
{
    const ptrdiff_t line = (ptrdiff_t)p->g->in[2] * p->g->in_c, plane = p->g->in[1] * line;
    memset(dx, 0, sizeof(float) * (size_t)n * in_floats(p->g));
    lines_copy(p, n, dx, (ptrdiff_t[]){p->g->in[0] * plane, plane, line}, padded + inside(p),
               (ptrdiff_t[]){p->in_sample, p->in[0], p->in[1]});
}

/* A part of the output: n samples, and planes and lines if less than one sample. */
struct part {
    int n, lines[KERNEL_AXES - 1];
    ptrdiff_t in, out; /* where it starts in x (padded) and in y */
};

/* Takes what comes after `at`, the sample, plane and line to go on from. False at the end. */
static bool part_next(const struct plan *p, int n, int at[3], struct part *part)
{
    const struct conv_geometry *g = p->g;
    if (at[0] >= n)
        return false;
    part->n = at_most(p->samples, n - at[0]);
    part->in = at[0] * p->in_sample;
    part->out = at[0] * p->out_sample;
    for (int i = 0; i < KERNEL_AXES - 1; i++) {
        part->lines[i] = at_most(p->lines[i], g->out[i] - at[i + 1]);
        part->in += at[i + 1] * g->stride[i] * p->in[i];
        part->out += at[i + 1] * p->out[i];
    }
    at[2] += part->lines[1];
    if (at[2] == g->out[1]) {
        at[2] = 0;
        at[1] += part->lines[0];
    }
    if (at[1] == g->out[0]) {
        at[1] = 0;
        at[0] += part->n;
    }
    return true;
}

/* The output pixels of a part, with their steps in x and y. */
static struct nest nest_pixels(const struct plan *p, const struct part *part)
{
    const struct conv_geometry *g = p->g;
    return (struct nest){
        .count = {part->n, part->lines[0], part->lines[1], g->out[2]},
        .a = {p->in_sample, g->stride[0] * p->in[0], g->stride[1] * p->in[1],
              g->stride[2] * p->in[2]},
        .other = {p->out_sample, p->out[0], p->out[1], p->out[2]},
    };
}

/* The taps and channels of one group, with their steps in x and w. */
static struct nest nest_taps(const struct plan *p)
{
    const struct conv_geometry *g = p->g;
    return (struct nest){
        .count = {g->kernel[0], g->kernel[1], g->kernel[2], p->c},
        .a = {g->dilation[0] * p->in[0], g->dilation[1] * p->in[1], g->dilation[2] * p->in[2], 1},
        .other = {p->tap[0], p->tap[1], p->tap[2], g->out_k},
    };
}

/* Rows and sum as in product.h; one product a part and group. */
static void forward(const struct plan *p, int n, const float *x, const float *w, const float *bias,
                    float *y)
{
    struct part part;
    for (int at[3] = {0}; part_next(p, n, at, &part);) {
        for (int i = 0; i < p->g->groups; i++) {
            KERNEL(product)
            (&(struct product){
                .rows = nest_pixels(p, &part),
                .sum = nest_taps(p),
                .columns = p->k,
                .a = x + part.in + i * p->c,
                .b = w + i * p->k,
                .bias = bias ? bias + i * p->k : NULL,
                .c = y + part.out + i * p->k,
            });
        }
    }
}

static void backward_weight(const struct plan *p, int n, const float *x, const float *dy, float *dw)
{
    struct part part;
    for (int at[3] = {0}; part_next(p, n, at, &part);) {
        for (int i = 0; i < p->g->groups; i++) {
            KERNEL(product)
            (&(struct product){
                .rows = nest_taps(p),
                .sum = nest_pixels(p, &part),
                .columns = p->k,
                .accumulate = true,
                .a = x + part.in + i * p->c,
                .b = dy + part.out + i * p->k,
                .c = dw + i * p->k,
            });
        }
    }
}

static void nest_swap(struct nest *nest)
{
    for (int l = 0; l < NEST_DEPTH; l++) {
        const ptrdiff_t a = nest->a[l];
        nest->a[l] = nest->other[l];
        nest->other[l] = a;
    }
}

/* to[n,m] = from[m,n]^T; in blocks, so that a line read is used up before it leaves L1. */
static void matrix_transpose(int m, int n, const float *from, ptrdiff_t from_row, float *to)
{
    enum { BLOCK = 8 };
    for (int j = 0; j < n; j += BLOCK) {
        const int width = at_most(n - j, BLOCK);
        for (int i = 0; i < m; i++)
            for (int l = 0; l < width; l++)
                to[(ptrdiff_t)(j + l) * m + i] = from[i * from_row + j + l];
    }
}

/* Adds to dx, tap by tap; transposed is [group][tap][K][columns]. */
static void backward_data(const struct plan *p, int n, const float *dy, const float *transposed,
                          float *dx)
{
    const struct nest taps = nest_taps(p);
    const int columns = p->scatter_columns, lines = p->taps * p->c / columns;
    const struct nest sum = {.count = {1, 1, 1, p->k}, .a = {[3] = 1}, .other = {[3] = columns}};
    struct part part;
    for (int at[3] = {0}; part_next(p, n, at, &part);) {
        const float *b = transposed;
        struct nest rows = nest_pixels(p, &part);
        nest_swap(&rows);
        for (int i = 0; i < p->g->groups; i++) {
            for (int t = 0; t < lines; t++, b += (ptrdiff_t)p->k * columns) {
                const int tap = t * (columns / p->c), w = tap % taps.count[2],
                          h = tap / taps.count[2] % taps.count[1],
                          d = tap / taps.count[2] / taps.count[1];
                KERNEL(product)
                (&(struct product){
                    .rows = rows,
                    .sum = sum,
                    .columns = columns,
                    .accumulate = true,
                    .a = dy + part.out + i * p->k,
                    .b = b,
                    .c = dx + part.in + d * taps.a[0] + h * taps.a[1] + w * taps.a[2] + i * p->c,
                });
            }
        }
    }
}

/* w[tap, C][group][K] to [group][tap][K][columns]. */
static void weights_transpose(const struct plan *p, const float *w, float *to)
{
    const int columns = p->scatter_columns, lines = p->taps * p->c / columns;
    for (int i = 0; i < p->g->groups; i++) {
        for (int t = 0; t < lines; t++, to += (ptrdiff_t)p->k * columns) {
            const float *from = w + (ptrdiff_t)t * columns * p->g->out_k + i * p->k;
            matrix_transpose(columns, p->k, from, p->g->out_k, to);
        }
    }
}

static void conv_sums(const struct plan *p, int n, const float *x, const float *w,
                      const float *bias, float *y, float *scratch)
{
    for (int s = 0; s < n; s += p->samples) {
        const int m = at_most(p->samples, n - s);
        const float *maps = maps_pad(p, m, x + (size_t)s * in_floats(p->g), scratch);
        forward(p, m, maps, w, bias, y + s * p->out_sample);
    }
}

static size_t pooled_floats(const struct pool_geometry *pool)
{
    return (size_t)pool->out[0] * (size_t)pool->out[1] * (size_t)pool->out[2] * (size_t)pool->c;
}

static void conv_forward(const struct conv_geometry *g, int n, const float *x, const float *w,
                         const struct epilogue *end, float *y, float *scratch)
{
    if (padding_is_absurd(g)) {
        cnn_kernels_ref.conv_forward(g, n, x, w, end, y, scratch);
        return;
    }
    const struct plan p = plan_make(g, n);
    if (!end->pool) {
        conv_sums(&p, n, x, w, end->bias, y, scratch);
        KERNEL(activate)(end->act, end->slope, (size_t)(n * p.out_sample), y, y);
        return;
    }
    float *sums = scratch, *padded = scratch + p.out_sample;
    const size_t pooled = pooled_floats(end->pool);
    for (int i = 0; i < n; i++) {
        float *to = y + (size_t)i * pooled;
        conv_sums(&p, 1, x + (size_t)i * in_floats(g), w, end->bias, sums, padded);
        KERNEL(max_pool)
        (end->pool, 1, sums, to, end->winner ? end->winner + (size_t)i * pooled : NULL);
        KERNEL(activate)(end->act, end->slope, pooled, to, to);
    }
}

static void conv_transpose(const struct conv_geometry *g, const float *w, float *wt)
{
    const struct plan p = plan_make(g, 1);
    weights_transpose(&p, w, wt);
}

static void conv_backward_data(const struct conv_geometry *g, int n, const float *dy,
                               const float *wt, float *dx, float *scratch)
{
    if (padding_is_absurd(g)) {
        cnn_kernels_ref.conv_backward_data(g, n, dy, wt, dx, scratch);
        return;
    }
    const struct plan p = plan_make(g, n);
    for (int s = 0; s < n; s += p.samples) {
        const int m = at_most(p.samples, n - s);
        float *to = dx + (size_t)s * in_floats(g), *maps = p.padded ? scratch : to;
        memset(maps, 0, sizeof(float) * (size_t)m * (size_t)p.in_sample);
        backward_data(&p, m, dy + s * p.out_sample, wt, maps);
        if (p.padded)
            maps_crop(&p, m, maps, to);
    }
}

static void conv_backward_weight(const struct conv_geometry *g, int n, const float *x,
                                 const float *dy, float *dw, float *scratch)
{
    if (padding_is_absurd(g)) {
        cnn_kernels_ref.conv_backward_weight(g, n, x, dy, dw, scratch);
        return;
    }
    const struct plan p = plan_make(g, n);
    for (int s = 0; s < n; s += p.samples) {
        const int m = at_most(p.samples, n - s);
        const float *maps = maps_pad(&p, m, x + (size_t)s * in_floats(g), scratch);
        backward_weight(&p, m, maps, dy + s * p.out_sample, dw);
    }
}

static size_t conv_scratch(const struct conv_geometry *g, const struct pool_geometry *pool, int n)
{
    if (padding_is_absurd(g))
        return cnn_kernels_ref.conv_scratch(g, pool, n);
    const struct plan p = plan_make(g, n);
    return (p.padded ? (size_t)p.samples * (size_t)p.in_sample : 0) +
           (pool ? (size_t)p.out_sample : 0);
}

#define NAME_TEXT(isa) #isa
#define NAME(isa) NAME_TEXT(isa)

const struct cnn_kernels KERNEL(cnn_kernels) = {
    .name = NAME(KERNEL_ISA),
    .conv_forward = conv_forward,
    .conv_transpose = conv_transpose,
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
};
