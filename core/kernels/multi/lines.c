/* lines.c - a convolution of few channels, cut into lines. */
#include "lines.h"

#include <string.h>

#include "conv.h"
#include "maps.h"
#include "vector.h"

static int terms_of(const struct conv_geometry *g)
{
    return g->kernel[0] * g->kernel[1] * g->kernel[2] * g->in_c;
}

static bool few_terms(const struct conv_geometry *g)
{
    for (int i = 0; i < KERNEL_AXES; i++)
        if (g->kernel[i] > LINE_TERMS_MAX)
            return false;
    return (long)g->kernel[0] * g->kernel[1] * g->kernel[2] <= LINE_TERMS_MAX / g->in_c;
}

bool KERNEL(lines_fit)(const struct conv_geometry *g)
{
    return g->groups == 1 && g->in_c <= LINE_STEP_MAX && g->stride[2] <= LINE_STEP_MAX / g->in_c &&
           few_terms(g) && conv_pads_sensibly(g);
}

/* Few columns are faster with the short vector. */
struct line_kernel {
    void (*line)(const struct line_job *job);
    struct line_sizes (*sizes)(int pixels);
    int (*columns)(int columns);
};

static struct line_kernel kernel_for(int columns)
{
#ifdef KERNEL_NARROW
    if (columns <= VEC_LANES / 2)
        return (struct line_kernel){KERNEL_NARROW(line), KERNEL_NARROW(line_sizes),
                                    KERNEL_NARROW(line_columns)};
#endif
    (void)columns;
    return (struct line_kernel){KERNEL(line), KERNEL(line_sizes), KERNEL(line_columns)};
}

/* to[terms, step] = w[terms, columns], and 0 where a vector has no column. Then the bias. */
static void weights_widen(int terms, int columns, int step, const float *w, const float *bias,
                          float *to)
{
    const size_t row = (size_t)columns * sizeof *w;
    memset(to, 0, (size_t)(terms + 1) * (size_t)step * sizeof *to);
    for (int t = 0; t < terms; t++)
        memcpy(to + (ptrdiff_t)t * step, w + (ptrdiff_t)t * columns, row);
    if (bias)
        memcpy(to + (ptrdiff_t)terms * step, bias, row);
}

static size_t weight_floats(const struct conv_geometry *g)
{
    return (size_t)(terms_of(g) + 1) * (size_t)kernel_for(g->out_k).columns(g->out_k);
}

/* One call: the padded map, and the offsets of its taps. */
struct lines {
    const struct conv_geometry *g; /* padded: `before` is 0 */
    ptrdiff_t line, plane, sample; /* floats of the input */
    int taps[LINE_TERMS_MAX];
    struct line_kernel kernel;
    struct line_job job;
};

static void lines_init(struct lines *l, const struct conv_geometry *padded, const float *w,
                       const float *bias, float *wide)
{
    const int terms = terms_of(padded), columns = padded->out_k;
    l->g = padded;
    l->kernel = kernel_for(columns);
    l->line = (ptrdiff_t)padded->in[2] * padded->in_c;
    l->plane = padded->in[1] * l->line;
    l->sample = padded->in[0] * l->plane;
    int *tap = l->taps;
    for (int d = 0; d < padded->kernel[0]; d++)
        for (int h = 0; h < padded->kernel[1]; h++)
            for (int t = 0; t < padded->kernel[2]; t++)
                for (int c = 0; c < padded->in_c; c++)
                    *tap++ = (int)(d * padded->dilation[0] * l->plane +
                                   h * padded->dilation[1] * l->line) +
                             t * padded->dilation[2] * padded->in_c + c;
    const int w_step = l->kernel.columns(columns);
    weights_widen(terms, columns, w_step, w, bias, wide);
    l->job = (struct line_job){
        .x_step = padded->in_c * padded->stride[2],
        .taps = l->taps,
        .terms = terms,
        .w = wide,
        .w_step = w_step,
        .bias = wide + (ptrdiff_t)terms * w_step,
        .columns = columns,
        .pixels = padded->out[2],
        .sizes = l->kernel.sizes(padded->out[2]),
    };
}

/* Output planes d .. and lines h .. of one sample into y, [planes, lines, W, K]. */
static void block(struct lines *l, const float *x, int d, int planes, int h, int lines, float *y)
{
    const struct conv_geometry *g = l->g;
    for (int i = 0; i < planes; i++) {
        for (int j = 0; j < lines; j++) {
            l->job.x = x + (d + i) * g->stride[0] * l->plane + (h + j) * g->stride[1] * l->line;
            l->job.y = y;
            l->kernel.line(&l->job);
            y += (ptrdiff_t)g->out[2] * g->out_k;
        }
    }
}

/* Windows that neither overlap nor reach into padding, but along the line: each pooled line is
 * made of lines of its own. */
static bool pools_by_line(const struct pool_geometry *pool)
{
    for (int i = 0; i < KERNEL_AXES - 1; i++)
        if (pool->stride[i] < pool->kernel[i] || pool->before[i] > 0 ||
            (pool->out[i] - 1) * pool->stride[i] + pool->kernel[i] > pool->in[i])
            return false;
    return true;
}

/* The pooling of one line of windows. */
static struct pool_geometry line_pool(const struct pool_geometry *pool)
{
    struct pool_geometry line = *pool;
    for (int i = 0; i < KERNEL_AXES - 1; i++) {
        line.in[i] = pool->kernel[i];
        line.out[i] = 1;
    }
    return line;
}

static void pooled_sample(struct lines *l, const float *x, const struct epilogue *end, float *y,
                          uint8_t *winner, float *sums)
{
    const struct pool_geometry *pool = end->pool, by_line = line_pool(pool);
    const ptrdiff_t pooled = (ptrdiff_t)pool->out[2] * pool->c;
    for (int d = 0; d < pool->out[0]; d++) {
        for (int h = 0; h < pool->out[1]; h++, y += pooled) {
            block(l, x, d * pool->stride[0], pool->kernel[0], h * pool->stride[1], pool->kernel[1],
                  sums);
            KERNEL(max_pool)(&by_line, 1, sums, y, winner);
            if (end->act != KERNEL_LINEAR)
                KERNEL(activate)(end->act, end->slope, (size_t)pooled, y, y);
            winner = winner ? winner + pooled : NULL;
        }
    }
}

static void whole_sample(struct lines *l, const float *x, const struct epilogue *end, float *y)
{
    const size_t count =
        (size_t)l->g->out[0] * (size_t)l->g->out[1] * (size_t)l->g->out[2] * (size_t)l->g->out_k;
    l->job.relu = !end->pool && end->act == KERNEL_RELU;
    block(l, x, 0, l->g->out[0], 0, l->g->out[1], y);
    if (!end->pool && end->act != KERNEL_LINEAR && end->act != KERNEL_RELU)
        KERNEL(activate)(end->act, end->slope, count, y, y);
}

static size_t volume(const int *size)
{
    return (size_t)size[0] * (size_t)size[1] * (size_t)size[2];
}

void KERNEL(lines_forward)(const struct conv_geometry *g, int n, const float *x, const float *w,
                           const struct epilogue *end, float *y, float *scratch)
{
    const struct conv_geometry padded = conv_padded(g);
    const bool copies = conv_is_padded(g);
    const size_t in = volume(g->in) * (size_t)g->in_c;
    const size_t out = volume(end->pool ? end->pool->out : g->out) * (size_t)g->out_k;
    float *copy = scratch + weight_floats(g);
    float *sums = copy + (copies ? volume(padded.in) * (size_t)g->in_c : 0);
    struct lines l;
    lines_init(&l, copies ? &padded : g, w, end->bias, scratch);
    for (size_t i = 0; i < (size_t)n; i++, x += in, y += out) {
        uint8_t *winner = end->winner ? end->winner + i * out : NULL;
        const float *maps = x;
        if (copies) {
            conv_pad(g, &padded, 1, x, copy);
            maps = copy;
        }
        if (!end->pool) {
            whole_sample(&l, maps, end, y);
        } else if (pools_by_line(end->pool)) {
            pooled_sample(&l, maps, end, y, winner, sums);
        } else {
            whole_sample(&l, maps, end, sums);
            KERNEL(max_pool)(end->pool, 1, sums, y, winner);
            KERNEL(activate)(end->act, end->slope, out, y, y);
        }
    }
}

size_t KERNEL(lines_scratch)(const struct conv_geometry *g, const struct pool_geometry *pool)
{
    const struct conv_geometry padded = conv_padded(g);
    size_t floats =
        weight_floats(g) + (conv_is_padded(g) ? volume(padded.in) * (size_t)g->in_c : 0);
    if (pool && pools_by_line(pool))
        floats += (size_t)pool->kernel[0] * (size_t)pool->kernel[1] * (size_t)g->out[2] *
                  (size_t)g->out_k;
    else if (pool)
        floats += volume(g->out) * (size_t)g->out_k;
    return floats;
}
