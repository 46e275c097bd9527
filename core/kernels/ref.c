/* ref.c - the slow, obvious reference: each result element is one sum in double, written straight
 * from its definition. Everything faster is tested against this; it is never made fast. */
#include <stdbool.h>

#include "kernels.h"

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

/* y[n,D',H',W',K] = bias[K] + sum over taps and c of x[n,D,H,W,C] * w[taps,C/groups,K] */
static void conv_forward(const struct conv_geometry *g, int n, const float *x, const float *w,
                         const float *bias, float *y, float *scratch)
{
    (void)scratch;
    const int group_c = g->in_c / g->groups, group_k = g->out_k / g->groups;
    const size_t in_pixels = volume(g->in), out_pixels = volume(g->out), taps = volume(g->kernel);
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t out = 0; out < out_pixels; out++)
            for (int k = 0; k < g->out_k; k++) {
                double sum = bias ? bias[k] : 0;
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

/* dx[n,D,H,W,C] = sum over taps and k of dy[n,D',H',W',K] * w[taps,C/groups,K] */
static void conv_backward_data(const struct conv_geometry *g, int n, const float *dy,
                               const float *w, float *dx, float *scratch)
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
                        w + (tap * (size_t)group_c + (size_t)(c % group_c)) * (size_t)g->out_k;
                    for (int k = first_k; k < first_k + group_k; k++)
                        sum += (double)dyp[k] * (double)wp[k];
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

/* dw[taps,C/groups,K] += x * dy over samples and pixels; dbias[K] += dy over the same. */
static void conv_backward_weight(const struct conv_geometry *g, int n, const float *x,
                                 const float *dy, float *dw, float *dbias, float *scratch)
{
    (void)scratch;
    const int group_c = g->in_c / g->groups, group_k = g->out_k / g->groups;
    const size_t rows = (size_t)n * volume(g->out), taps = volume(g->kernel);
    for (int k = 0; k < g->out_k; k++) {
        int first_c = (k / group_k) * group_c;
        for (size_t tap = 0; tap < taps; tap++)
            for (int c = 0; c < group_c; c++)
                dw[(tap * (size_t)group_c + (size_t)c) * (size_t)g->out_k + (size_t)k] +=
                    (float)weight_gradient(g, n, x, dy, tap, first_c + c, k);
        if (!dbias)
            continue;
        double sum = 0;
        for (size_t row = 0; row < rows; row++)
            sum += (double)dy[row * (size_t)g->out_k + (size_t)k];
        dbias[k] += (float)sum;
    }
}

static size_t conv_scratch(const struct conv_geometry *g, int n)
{
    (void)g, (void)n;
    return 0;
}

/* c[m,n] from a(i,p) = a[i*a_row + p*a_column] and b(p,j) = b[p*b_row + j*b_column]. */
static void gemm(int m, int n, int k, const float *a, size_t a_row, size_t a_column, const float *b,
                 size_t b_row, size_t b_column, float *c, int accumulate)
{
    for (size_t i = 0; i < (size_t)m; i++)
        for (size_t j = 0; j < (size_t)n; j++) {
            float *cell = &c[i * (size_t)n + j];
            double sum = accumulate ? *cell : 0;
            for (size_t p = 0; p < (size_t)k; p++)
                sum += (double)a[i * a_row + p * a_column] * (double)b[p * b_row + j * b_column];
            *cell = (float)sum;
        }
}

static void gemm_nn(int m, int n, int k, const float *a, const float *b, float *c, int accumulate)
{
    gemm(m, n, k, a, (size_t)k, 1, b, (size_t)n, 1, c, accumulate);
}

static void gemm_nt(int m, int n, int k, const float *a, const float *b, float *c, int accumulate)
{
    gemm(m, n, k, a, (size_t)k, 1, b, 1, (size_t)k, c, accumulate);
}

static void gemm_tn(int m, int n, int k, const float *a, const float *b, float *c, int accumulate)
{
    gemm(m, n, k, a, 1, (size_t)m, b, (size_t)n, 1, c, accumulate);
}

const struct cnn_kernels cnn_kernels_ref = {
    .name = "reference",
    .conv_forward = conv_forward,
    .conv_backward_data = conv_backward_data,
    .conv_backward_weight = conv_backward_weight,
    .conv_scratch = conv_scratch,
    .gemm_nn = gemm_nn,
    .gemm_nt = gemm_nt,
    .gemm_tn = gemm_tn,
};
