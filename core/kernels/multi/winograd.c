/* winograd.c - convolutions of kernel 3 through transformed tiles. */
#include "winograd.h"

#include <string.h>

#include "lanes.h"
#include "product.h"

enum {
    EDGE = 4, /* inputs of a tile along an axis, for OUTPUTS outputs */
    OUTPUTS = 2,
    PLANE = EDGE * EDGE,
    TILES_AT_ONCE = 48, /* a few register tiles; what they become stays in L2 */
    CHANNELS_MIN = 16,
    STAGGER = 16, /* floats: positions a power of two apart would fall into one set of L1 */
};
/* Products saved, at least, to repay the transforms. */
#define SAVED_MIN 1.7

/* ---- the transforms, of vectors that stand `step` apart ---- */

/* B^T x */
static VEC_INLINE void to_input(vec *x, const int step)
{
    const vec x0 = x[0], x1 = x[step], x2 = x[2 * step], x3 = x[3 * step];
    x[0] = x0 - x2;
    x[step] = x1 + x2;
    x[2 * step] = x2 - x1;
    x[3 * step] = x1 - x3;
}

/* A^T m: two outputs, in the places of the first two. */
static VEC_INLINE void to_output(vec *m, const int step)
{
    const vec sum = m[step] + m[2 * step], difference = m[step] - m[2 * step];
    m[0] += sum;
    m[step] = difference - m[3 * step];
}

/* A y, of the two outputs in the first two places: to_output's transpose. */
static VEC_INLINE void from_output(vec *y, const int step)
{
    const vec y0 = y[0], y1 = y[step];
    y[step] = y0 + y1;
    y[2 * step] = y0 - y1;
    y[3 * step] = -y1;
}

/* G w, of three taps in the first three places. */
static VEC_INLINE void to_weight(vec *w, const int step)
{
    const vec w0 = w[0], w1 = w[step], w2 = w[2 * step];
    const vec outer = (w0 + w2) * 0.5f, inner = w1 * 0.5f;
    w[step] = outer + inner;
    w[2 * step] = outer - inner;
    w[3 * step] = w2;
}

/* G^T u: three taps in the first three places. */
static VEC_INLINE void from_weight(vec *u, const int step)
{
    const vec sum = (u[step] + u[2 * step]) * 0.5f;
    u[0] += sum;
    u[step] = (u[step] - u[2 * step]) * 0.5f;
    u[2 * step] = sum + u[3 * step];
}

typedef void transform(vec *v, int step);

/* One plane, lines first or columns first; of `lines` lines where the others hold nothing yet. */
static VEC_INLINE void plane_lines(vec plane[PLANE], transform *each, const int lines)
{
    VEC_FOR (h, lines)
        each(plane + EDGE * h, 1);
}

static VEC_INLINE void plane_columns(vec plane[PLANE], transform *each, const int columns)
{
    VEC_FOR (w, columns)
        each(plane + w, EDGE);
}

/* ---- tiles ---- */

/* How a convolution's output falls into tiles. D has tiles of one plane where its kernel is 1. */
struct tiling {
    const struct conv_geometry *g;
    int edge[KERNEL_AXES], outputs[KERNEL_AXES]; /* of one tile */
    int count[KERNEL_AXES];
    int tiles, positions; /* of a sample; of a tile */
};

static struct tiling tiling_of(const struct conv_geometry *g)
{
    struct tiling t = {.g = g, .tiles = 1, .positions = 1};
    for (int i = 0; i < KERNEL_AXES; i++) {
        t.edge[i] = g->kernel[i] == 3 ? EDGE : 1;
        t.outputs[i] = g->kernel[i] == 3 ? OUTPUTS : 1;
        t.count[i] = (g->out[i] + t.outputs[i] - 1) / t.outputs[i];
        t.tiles *= t.count[i];
        t.positions *= t.edge[i];
    }
    return t;
}

static int at_most(int x, int most)
{
    return x < most ? x : most;
}

static int at_least(int x, int least)
{
    return x > least ? x : least;
}

/* A box of a channels-last map: its first pixel, steps of an axis. */
struct box {
    const float *at;
    ptrdiff_t step[KERNEL_AXES];
};

static void steps_of(const int size[KERNEL_AXES], int channels, ptrdiff_t step[KERNEL_AXES])
{
    step[2] = channels;
    step[1] = step[2] * size[2];
    step[0] = step[1] * size[1];
}

/* `box` pixels of a map from `first` on, as they are; or, if some lie outside of it, a copy in
 * `copy` with zeros for them. */
static struct box box_of(const float *map, const int size[KERNEL_AXES], int channels,
                         const int first[KERNEL_AXES], const int box[KERNEL_AXES], float *copy)
{
    struct box b = {.at = map};
    int from[KERNEL_AXES], to[KERNEL_AXES];
    bool inside = true;
    steps_of(size, channels, b.step);
    for (int i = 0; i < KERNEL_AXES; i++) {
        from[i] = at_least(first[i], 0);
        to[i] = at_most(first[i] + box[i], size[i]);
        inside = inside && from[i] == first[i] && to[i] == first[i] + box[i];
    }
    if (inside) {
        for (int i = 0; i < KERNEL_AXES; i++)
            b.at += first[i] * b.step[i];
        return b;
    }
    struct box c = {.at = copy};
    steps_of(box, channels, c.step);
    memset(copy, 0, (size_t)(box[0] * c.step[0]) * sizeof *copy);
    for (int d = from[0]; d < to[0]; d++)
        for (int h = from[1]; h < to[1] && to[2] > from[2]; h++)
            memcpy(copy + (d - first[0]) * c.step[0] + (h - first[1]) * c.step[1] +
                       (from[2] - first[2]) * c.step[2],
                   map + d * b.step[0] + h * b.step[1] + from[2] * b.step[2],
                   (size_t)(to[2] - from[2]) * (size_t)channels * sizeof *copy);
    return c;
}

/* Where tile `index` of all samples' tiles stands. */
struct tile_at {
    int sample, first[KERNEL_AXES]; /* its first output */
};

static struct tile_at tile_at(const struct tiling *t, int index)
{
    struct tile_at at = {.sample = index / t->tiles};
    int rest = index % t->tiles;
    for (int i = KERNEL_AXES - 1; i >= 0; i--) {
        at.first[i] = rest % t->count[i] * t->outputs[i];
        rest /= t->count[i];
    }
    return at;
}

/* v[positions][tiles][channels]: one tile of it, as floats from one position to the next. */
struct slot {
    float *at;
    ptrdiff_t position;
};

/* One vector of channels of a box: planes of lines x lines pixels, each axis transformed. */
static VEC_INLINE void box_vector(const struct box *box, const int planes, const int lines,
                                  transform *each, const bool deep, int c, int count,
                                  struct slot to)
{
    vec v[EDGE * PLANE];
    for (int d = 0; d < planes; d++) {
        const float *at = box->at + d * box->step[0] + c;
        vec plane[PLANE];
        VEC_FOR (h, lines) {
            VEC_FOR (w, lines)
                plane[h * EDGE + w] = lanes_load(at + h * box->step[1] + w * box->step[2], count);
        }
        plane_lines(plane, each, lines);
        plane_columns(plane, each, EDGE);
        VEC_FOR (i, PLANE) {
            if (deep)
                v[d * PLANE + i] = plane[i];
            else
                lanes_store(to.at + i * to.position + c, plane[i], count);
        }
    }
    for (int i = 0; deep && i < PLANE; i++) {
        each(v + i, PLANE);
        VEC_FOR (d, EDGE)
            lanes_store(to.at + (d * PLANE + i) * to.position + c, v[d * PLANE + i], count);
    }
}

/* A count that is a constant makes loads and stores plain ones. */
static VEC_INLINE void box_transform(const struct box *box, const int planes, const int lines,
                                     transform *each, const bool deep, int channels, struct slot to)
{
    int c = 0;
    for (; c + VEC_LANES <= channels; c += VEC_LANES)
        box_vector(box, planes, lines, each, deep, c, VEC_LANES, to);
    if (c < channels)
        box_vector(box, planes, lines, each, deep, c, channels - c, to);
}

static void input_transform(const struct tiling *t, const struct box *box, struct slot to)
{
    if (t->edge[0] == EDGE)
        box_transform(box, EDGE, EDGE, to_input, true, t->g->in_c, to);
    else
        box_transform(box, 1, EDGE, to_input, false, t->g->in_c, to);
}

static void gradient_transform(const struct tiling *t, const struct box *box, struct slot to)
{
    if (t->edge[0] == EDGE)
        box_transform(box, OUTPUTS, OUTPUTS, from_output, true, t->g->out_k, to);
    else
        box_transform(box, 1, OUTPUTS, from_output, false, t->g->out_k, to);
}

/* Where a tile's outputs go, those that exist. */
struct outputs {
    float *y;
    ptrdiff_t step[KERNEL_AXES];
    int exist[KERNEL_AXES];
};

static VEC_INLINE void plane_store(const vec plane[PLANE], const struct outputs *out, bool relu,
                                   int count, float *y)
{
    VEC_FOR (h, OUTPUTS) {
        VEC_FOR (w, OUTPUTS) {
            const vec sum = plane[h * EDGE + w];
            if (h < out->exist[1] && w < out->exist[2])
                lanes_store(y + h * out->step[1] + w * out->step[2], relu ? vec_relu(sum) : sum,
                            count);
        }
    }
}

/* One vector of output channels of a tile. */
static VEC_INLINE void sum_vector(struct slot m, const bool deep, const struct epilogue *end, int k,
                                  int count, const struct outputs *out)
{
    const vec bias = end->bias ? lanes_load(end->bias + k, count) : (vec){0};
    const float *at = m.at + k;
    vec v[EDGE * PLANE];
    for (int i = 0; deep && i < PLANE; i++) {
        VEC_FOR (d, EDGE)
            v[d * PLANE + i] = lanes_load(at + (d * PLANE + i) * m.position, count);
        to_output(v + i, PLANE);
    }
    for (int d = 0; d < out->exist[0]; d++) {
        vec plane[PLANE];
        VEC_FOR (i, PLANE)
            plane[i] = deep ? v[d * PLANE + i] : lanes_load(at + i * m.position, count);
        plane_columns(plane, to_output, EDGE);
        plane_lines(plane, to_output, OUTPUTS);
        VEC_FOR (h, OUTPUTS) {
            VEC_FOR (w, OUTPUTS)
                plane[h * EDGE + w] += bias;
        }
        plane_store(plane, out, end->act == KERNEL_RELU, count, out->y + d * out->step[0] + k);
    }
}

static VEC_INLINE void sums_transform(struct slot m, const bool deep, int channels,
                                      const struct epilogue *end, const struct outputs *out)
{
    int k = 0;
    for (; k + VEC_LANES <= channels; k += VEC_LANES)
        sum_vector(m, deep, end, k, VEC_LANES, out);
    if (k < channels)
        sum_vector(m, deep, end, k, channels - k, out);
}

/* From a tile's sums, m, to its outputs in y. */
static void output_transform(const struct tiling *t, struct slot m, const struct tile_at *at,
                             const struct epilogue *end, float *y)
{
    const struct conv_geometry *g = t->g;
    struct outputs out = {.y = y};
    steps_of(g->out, g->out_k, out.step);
    for (int i = 0; i < KERNEL_AXES; i++) {
        out.exist[i] = at_most(t->outputs[i], g->out[i] - at->first[i]);
        out.y += at->first[i] * out.step[i];
    }
    if (t->edge[0] == EDGE)
        sums_transform(m, true, g->out_k, end, &out);
    else
        sums_transform(m, false, g->out_k, end, &out);
}

/* ---- weights ---- */

/* u[positions][count] from w[taps][count], turned round if flip. */
static void weights_transform(const struct tiling *t, bool flip, size_t count, const float *w,
                              float *u)
{
    const int deep = t->edge[0] == EDGE, planes = deep ? 3 : 1, taps = planes * 9;
    for (size_t j = 0; j < count; j += VEC_LANES) {
        const int lanes = count - j < VEC_LANES ? (int)(count - j) : VEC_LANES;
        vec v[EDGE * PLANE];
        for (int d = 0; d < planes; d++) {
            vec plane[PLANE];
            VEC_FOR (h, 3) {
                VEC_FOR (x, 3) {
                    const int tap = (d * 3 + h) * 3 + x;
                    plane[h * EDGE + x] =
                        lanes_load(w + (size_t)(flip ? taps - 1 - tap : tap) * count + j, lanes);
                }
            }
            plane_lines(plane, to_weight, 3);
            plane_columns(plane, to_weight, EDGE);
            VEC_FOR (i, PLANE)
                v[d * PLANE + i] = plane[i];
        }
        if (deep)
            for (int i = 0; i < PLANE; i++)
                to_weight(v + i, PLANE);
        for (int i = 0; i < t->positions; i++)
            lanes_store(u + (size_t)i * count + j, v[i], lanes);
    }
}

/* dw[taps][count] += the way back from du[positions][count] */
static void weights_gather(const struct tiling *t, size_t count, const float *du, float *dw)
{
    const int deep = t->edge[0] == EDGE, planes = deep ? 3 : 1;
    for (size_t j = 0; j < count; j += VEC_LANES) {
        const int lanes = count - j < VEC_LANES ? (int)(count - j) : VEC_LANES;
        vec v[EDGE * PLANE];
        for (int i = 0; i < t->positions; i++)
            v[i] = lanes_load(du + (size_t)i * count + j, lanes);
        if (deep)
            for (int i = 0; i < PLANE; i++)
                from_weight(v + i, PLANE);
        for (int d = 0; d < planes; d++) {
            vec plane[PLANE];
            VEC_FOR (i, PLANE)
                plane[i] = v[d * PLANE + i];
            plane_columns(plane, from_weight, EDGE);
            plane_lines(plane, from_weight, 3);
            VEC_FOR (h, 3) {
                VEC_FOR (x, 3) {
                    float *to = dw + (size_t)((d * 3 + h) * 3 + x) * count + j;
                    lanes_store(to, lanes_load(to, lanes) + plane[h * EDGE + x], lanes);
                }
            }
        }
    }
}

/* ---- the three directions ---- */

/* Products of the plain sum along one axis, taps in the padding left out, for one of ours. */
static double saved(const struct conv_geometry *g, int axis)
{
    int terms = 0;
    for (int tap = 0; tap < g->kernel[axis]; tap++) {
        const int first = at_least(g->before[axis] - tap, 0);
        const int end = at_most(g->in[axis] + g->before[axis] - tap, g->out[axis]);
        terms += at_least(end - first, 0);
    }
    return (double)terms / (EDGE * ((g->out[axis] + OUTPUTS - 1) / OUTPUTS));
}

bool KERNEL(winograd_fits)(const struct conv_geometry *g)
{
    double all = 1;
    if (g->groups != 1 || g->in_c < CHANNELS_MIN || g->out_k < CHANNELS_MIN)
        return false;
    for (int i = 0; i < KERNEL_AXES; i++) {
        const bool flat = i == 0 && g->kernel[0] == 1 && g->before[0] == 0;
        if (g->stride[i] != 1 || g->dilation[i] != 1 || (g->kernel[i] != 3 && !flat) ||
            g->before[i] < 0 || g->before[i] > 2 || g->out[i] > g->in[i] + 2)
            return false;
        all *= flat ? 1 : saved(g, i);
    }
    return all >= SAVED_MIN;
}

static size_t weight_count(const struct conv_geometry *g)
{
    return (size_t)g->in_c * (size_t)g->out_k;
}

/* What lies where in scratch. */
struct scratch {
    float *input, *sum; /* [positions][tiles at once][C] and [K] */
    float *copy;        /* one tile's box */
    float *weights;     /* [positions][C][K] */
    int at_once;
    ptrdiff_t input_step, sum_step; /* from one position to the next */
};

static struct scratch scratch_of(const struct tiling *t, int n, float *base, size_t *floats)
{
    const size_t c = (size_t)t->g->in_c, k = (size_t)t->g->out_k, positions = (size_t)t->positions;
    const size_t tiles = (size_t)t->tiles * (size_t)n;
    struct scratch s = {.at_once = tiles < TILES_AT_ONCE ? (int)tiles : TILES_AT_ONCE};
    s.input_step = s.at_once * (ptrdiff_t)c + STAGGER;
    s.sum_step = s.at_once * (ptrdiff_t)k + STAGGER;
    const size_t sum = positions * (size_t)s.input_step;
    const size_t copy = sum + positions * (size_t)s.sum_step;
    *floats = copy + positions * (c > k ? c : k);
    if (base) {
        s.input = base;
        s.sum = base + sum;
        s.copy = base + copy;
        s.weights = base + *floats;
    }
    return s;
}

size_t KERNEL(winograd_weight_floats)(const struct conv_geometry *g)
{
    return (size_t)tiling_of(g).positions * weight_count(g);
}

size_t KERNEL(winograd_scratch)(const struct conv_geometry *g, int n, bool weights)
{
    const struct tiling t = tiling_of(g);
    size_t floats;
    scratch_of(&t, n, NULL, &floats);
    return floats + (weights ? KERNEL(winograd_weight_floats)(g) : 0);
}

/* Tiles first .. of x as columns of their transforms. */
static void inputs_transform(const struct tiling *t, int first, int tiles, const float *x,
                             const struct scratch *s)
{
    const struct conv_geometry *g = t->g;
    const ptrdiff_t sample = (ptrdiff_t)g->in[0] * g->in[1] * g->in[2] * g->in_c;
    for (int i = 0; i < tiles; i++) {
        struct tile_at at = tile_at(t, first + i);
        for (int axis = 0; axis < KERNEL_AXES; axis++)
            at.first[axis] -= g->before[axis];
        const struct box box =
            box_of(x + at.sample * sample, g->in, g->in_c, at.first, t->edge, s->copy);
        input_transform(t, &box, (struct slot){s->input + (ptrdiff_t)i * g->in_c, s->input_step});
    }
}

void KERNEL(winograd_weights)(const struct conv_geometry *g, const float *w, bool flip, float *u)
{
    const struct tiling t = tiling_of(g);
    weights_transform(&t, flip, weight_count(g), w, u);
}

void KERNEL(winograd_forward)(const struct conv_geometry *g, int n, const float *x, const float *u,
                              const struct epilogue *end, float *y, float *scratch)
{
    const struct tiling t = tiling_of(g);
    const ptrdiff_t sample = (ptrdiff_t)g->out[0] * g->out[1] * g->out[2] * g->out_k;
    size_t floats;
    const struct scratch s = scratch_of(&t, n, scratch, &floats);
    for (int first = 0; first < n * t.tiles; first += s.at_once) {
        const int tiles = at_most(s.at_once, n * t.tiles - first);
        inputs_transform(&t, first, tiles, x, &s);
        struct product product = {
            .rows = {.count = {1, 1, 1, tiles}, .a = {[3] = g->in_c}, .other = {[3] = g->out_k}},
            .sum = {.count = {1, 1, 1, g->in_c}, .a = {[3] = 1}, .other = {[3] = g->out_k}},
            .columns = g->out_k,
        };
        for (ptrdiff_t p = 0; p < t.positions; p++) {
            product.a = s.input + p * s.input_step;
            product.b = u + p * (ptrdiff_t)weight_count(g);
            product.c = s.sum + p * s.sum_step;
            KERNEL(product)(&product);
        }
        for (int i = 0; i < tiles; i++) {
            const struct tile_at at = tile_at(&t, first + i);
            const struct slot sum = {s.sum + (ptrdiff_t)i * g->out_k, s.sum_step};
            output_transform(&t, sum, &at, end, y + at.sample * sample);
        }
    }
}

/* Tiles first .. of dy, likewise. */
static void gradients_transform(const struct tiling *t, int first, int tiles, const float *dy,
                                const struct scratch *s)
{
    const struct conv_geometry *g = t->g;
    const ptrdiff_t sample = (ptrdiff_t)g->out[0] * g->out[1] * g->out[2] * g->out_k;
    for (int i = 0; i < tiles; i++) {
        const struct tile_at at = tile_at(t, first + i);
        const struct box box =
            box_of(dy + at.sample * sample, g->out, g->out_k, at.first, t->outputs, s->copy);
        gradient_transform(t, &box, (struct slot){s->sum + (ptrdiff_t)i * g->out_k, s->sum_step});
    }
}

void KERNEL(winograd_backward_weight)(const struct conv_geometry *g, int n, const float *x,
                                      const float *dy, float *dw, float *scratch)
{
    const struct tiling t = tiling_of(g);
    size_t floats;
    const struct scratch s = scratch_of(&t, n, scratch, &floats);
    memset(s.weights, 0, (size_t)t.positions * weight_count(g) * sizeof *s.weights);
    for (int first = 0; first < n * t.tiles; first += s.at_once) {
        const int tiles = at_most(s.at_once, n * t.tiles - first);
        inputs_transform(&t, first, tiles, x, &s);
        gradients_transform(&t, first, tiles, dy, &s);
        struct product product = {
            .rows = {.count = {1, 1, 1, g->in_c}, .a = {[3] = 1}, .other = {[3] = g->out_k}},
            .sum = {.count = {1, 1, 1, tiles}, .a = {[3] = g->in_c}, .other = {[3] = g->out_k}},
            .columns = g->out_k,
            .start = PRODUCT_ADD,
        };
        for (ptrdiff_t p = 0; p < t.positions; p++) {
            product.a = s.input + p * s.input_step;
            product.b = s.sum + p * s.sum_step;
            product.c = s.weights + p * (ptrdiff_t)weight_count(g);
            KERNEL(product)(&product);
        }
    }
    weights_gather(&t, weight_count(g), s.weights, dw);
}
