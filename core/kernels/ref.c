/* ref.c - the slow, obvious reference: each result element is one sum in double, written straight
 * from its definition. Everything faster is tested against this; it is never made fast. */
#include "ref.h"

static size_t volume(const int *size)
{
    return (size_t)size[0] * (size_t)size[1] * (size_t)size[2];
}

/* Linear index -> position on the three axes. */
static void locate(size_t index, const int *size, int *at)
{
    for (int axis = KERNEL_AXES - 1; axis >= 0; axis--) {
        at[axis] = (int)(index % (size_t)size[axis]);
        index /= (size_t)size[axis];
    }
}

/* The input pixel that kernel tap `tap` of output pixel `out` reads; false in the padding. */
static bool input_pixel(const struct conv_geometry *g, size_t out, size_t tap, size_t *in)
{
    int out_at[KERNEL_AXES], tap_at[KERNEL_AXES];
    locate(out, g->out, out_at);
    locate(tap, g->kernel, tap_at);
    *in = 0;
    for (int axis = 0; axis < KERNEL_AXES; axis++) {
        int at =
            out_at[axis] * g->stride[axis] + tap_at[axis] * g->dilation[axis] - g->before[axis];
        if (at < 0 || at >= g->in[axis])
            return false;
        *in = *in * (size_t)g->in[axis] + (size_t)at;
    }
    return true;
}

/* The output pixel that reads input pixel `in` through kernel tap `tap`; false if none does. */
static bool output_pixel(const struct conv_geometry *g, size_t in, size_t tap, size_t *out)
{
    int in_at[KERNEL_AXES], tap_at[KERNEL_AXES];
    locate(in, g->in, in_at);
    locate(tap, g->kernel, tap_at);
    *out = 0;
    for (int axis = 0; axis < KERNEL_AXES; axis++) {
        int at = in_at[axis] + g->before[axis] - tap_at[axis] * g->dilation[axis];
        if (at < 0 || at % g->stride[axis] != 0 || at / g->stride[axis] >= g->out[axis])
            return false;
        *out = *out * (size_t)g->out[axis] + (size_t)(at / g->stride[axis]);
    }
    return true;
}

/* y[n,D',H',W',K] = sum over taps and c of x[n,D,H,W,C] * w[taps,C/groups,K] */
static void conv_sums(const struct conv_geometry *g, int n, const float *x, const float *w,
                      float *y)
{
    const int group_c = g->in_c / g->groups, group_k = g->out_k / g->groups;
    const size_t in_pixels = volume(g->in), out_pixels = volume(g->out), taps = volume(g->kernel);
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t out = 0; out < out_pixels; out++)
            for (int k = 0; k < g->out_k; k++) {
                double sum = 0;
                for (size_t tap = 0; tap < taps; tap++) {
                    size_t in;
                    if (!input_pixel(g, out, tap, &in))
                        continue;
                    const float *xp =
                        x + (i * in_pixels + in) * (size_t)g->in_c + (k / group_k) * group_c;
                    for (int c = 0; c < group_c; c++)
                        sum += (double)xp[c] *
                               (double)w[(tap * (size_t)group_c + (size_t)c) * (size_t)g->out_k +
                                         (size_t)k];
                }
                y[(i * out_pixels + out) * (size_t)g->out_k + (size_t)k] = (float)sum;
            }
}

/* x[rows, columns] += bias, then act. */
static void finish(const struct epilogue *end, size_t rows, int columns, float *x)
{
    for (size_t row = 0; end->bias && row < rows; row++)
        for (int k = 0; k < columns; k++)
            x[row * (size_t)columns + (size_t)k] += end->bias[k];
    ref_activate(end->act, end->slope, rows * (size_t)columns, x, x);
}

static void conv_forward(const struct conv_geometry *g, int n, const float *x, const float *w,
                         const float *prepared, const struct epilogue *end, float *y,
                         float *scratch)
{
    (void)prepared;
    const size_t pixels = (size_t)n * volume(g->out);
    if (!end->pool) {
        conv_sums(g, n, x, w, y);
        finish(end, pixels, g->out_k, y);
        return;
    }
    conv_sums(g, n, x, w, scratch);
    finish(end, pixels, g->out_k, scratch);
    ref_max_pool(end->pool, n, scratch, y, end->winner);
}

static size_t conv_prepared_floats(const struct conv_geometry *g)
{
    (void)g;
    return 0;
}

static void conv_prepare(const struct conv_geometry *g, const float *w, float *prepared)
{
    (void)g, (void)w, (void)prepared;
}

static size_t conv_transposed_floats(const struct conv_geometry *g)
{
    return volume(g->kernel) * (size_t)(g->in_c / g->groups) * (size_t)g->out_k;
}

/* wt[groups,taps,K/groups,C/groups] from w[taps,C/groups,K] */
static void conv_transpose(const struct conv_geometry *g, const float *w, float *wt)
{
    const size_t group_c = (size_t)(g->in_c / g->groups), group_k = (size_t)(g->out_k / g->groups);
    const size_t taps = volume(g->kernel);
    for (size_t group = 0; group < (size_t)g->groups; group++)
        for (size_t tap = 0; tap < taps; tap++)
            for (size_t k = 0; k < group_k; k++)
                for (size_t c = 0; c < group_c; c++)
                    *wt++ = w[(tap * group_c + c) * (size_t)g->out_k + group * group_k + k];
}

/* dx[n,D,H,W,C] = sum over taps and k of dy[n,D',H',W',K] * wt[group,taps,K,C] */
static void conv_backward_data(const struct conv_geometry *g, int n, const float *dy,
                               const float *wt, float *dx, float *scratch)
{
    (void)scratch;
    const int group_c = g->in_c / g->groups, group_k = g->out_k / g->groups;
    const size_t in_pixels = volume(g->in), out_pixels = volume(g->out), taps = volume(g->kernel);
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t in = 0; in < in_pixels; in++)
            for (int c = 0; c < g->in_c; c++) {
                double sum = 0;
                int first_k = (c / group_c) * group_k;
                for (size_t tap = 0; tap < taps; tap++) {
                    size_t out;
                    if (!output_pixel(g, in, tap, &out))
                        continue;
                    const float *dyp = dy + (i * out_pixels + out) * (size_t)g->out_k;
                    const float *wp =
                        wt + ((size_t)(c / group_c) * taps + tap) * (size_t)(group_k * group_c) +
                        (size_t)(c % group_c);
                    for (int k = 0; k < group_k; k++)
                        sum += (double)dyp[first_k + k] * (double)wp[(size_t)k * (size_t)group_c];
                }
                dx[(i * in_pixels + in) * (size_t)g->in_c + (size_t)c] = (float)sum;
            }
}

/* One element of the weight gradient: sum over samples and output pixels of x * dy. */
static double weight_gradient(const struct conv_geometry *g, int n, const float *x, const float *dy,
                              size_t tap, int c, int k)
{
    const size_t in_pixels = volume(g->in), out_pixels = volume(g->out);
    double sum = 0;
    for (size_t out = 0; out < out_pixels; out++) {
        size_t in;
        if (!input_pixel(g, out, tap, &in))
            continue;
        for (size_t i = 0; i < (size_t)n; i++)
            sum += (double)x[(i * in_pixels + in) * (size_t)g->in_c + (size_t)c] *
                   (double)dy[(i * out_pixels + out) * (size_t)g->out_k + (size_t)k];
    }
    return sum;
}

/* dw[taps,C/groups,K] += x * dy over samples and pixels. */
static void conv_backward_weight(const struct conv_geometry *g, int n, const float *x,
                                 const float *dy, float *dw, float *scratch)
{
    (void)scratch;
    const int group_c = g->in_c / g->groups, group_k = g->out_k / g->groups;
    const size_t taps = volume(g->kernel);
    for (int k = 0; k < g->out_k; k++) {
        int first_c = (k / group_k) * group_c;
        for (size_t tap = 0; tap < taps; tap++)
            for (int c = 0; c < group_c; c++)
                dw[(tap * (size_t)group_c + (size_t)c) * (size_t)g->out_k + (size_t)k] +=
                    (float)weight_gradient(g, n, x, dy, tap, first_c + c, k);
    }
}

/* A pooled convolution's sums wait in scratch. */
static size_t conv_scratch(const struct conv_geometry *g, const struct pool_geometry *pool, int n)
{
    return pool ? (size_t)n * volume(g->out) * (size_t)g->out_k : 0;
}

static float finished(const struct epilogue *end, int column, double sum)
{
    float x = (float)(sum + (end->bias ? (double)end->bias[column] : 0));
    ref_activate(end->act, end->slope, 1, &x, &x);
    return x;
}

/* Packed b is [k, n]. */
static void gemm(const struct gemm *p)
{
    const ptrdiff_t b_k = p->packed ? p->n : p->b_k, b_column = p->packed ? 1 : p->b_column;
    for (int i = 0; i < p->m; i++)
        for (int j = 0; j < p->n; j++) {
            float *cell = &p->c[i * p->c_row + j];
            double sum = 0;
            for (int l = 0; l < p->k; l++)
                sum +=
                    (double)p->a[i * p->a_row + l * p->a_k] * (double)p->b[l * b_k + j * b_column];
            *cell = p->accumulate ? (float)((double)*cell + sum) : finished(&p->end, j, sum);
        }
}

static void gemm_pack(const struct gemm *p, float *packed)
{
    for (int l = 0; l < p->k; l++)
        for (int j = 0; j < p->n; j++)
            *packed++ = p->b[l * p->b_k + j * p->b_column];
}

static size_t gemm_packed_floats(int n, int k)
{
    return (size_t)n * (size_t)k;
}

const struct cnn_kernels cnn_kernels_ref = {
    .name = "reference",
    .conv_forward = conv_forward,
    .conv_prepare = conv_prepare,
    .conv_prepared_floats = conv_prepared_floats,
    .conv_transpose = conv_transpose,
    .conv_transposed_floats = conv_transposed_floats,
    .conv_backward_data = conv_backward_data,
    .conv_backward_weight = conv_backward_weight,
    .conv_scratch = conv_scratch,
    .gemm = gemm,
    .gemm_pack = gemm_pack,
    .gemm_packed_floats = gemm_packed_floats,
    .sum_rows = ref_sum_rows,
    .transpose = ref_transpose,
    .activate = ref_activate,
    .activate_backward = ref_activate_backward,
    .max_pool = ref_max_pool,
    .max_pool_backward = ref_max_pool_backward,
    .update_params = ref_update_params,
    .sum_squares = ref_sum_squares,
};
