/* kernels.h - the table of compute kernels: serial, stateless, channels-last.
 *
 * One table an instruction set, chosen once at start; `cnn_kernels_ref` is the slow, obvious
 * reference that every other is tested against, and stays for ever.
 * In names here: N samples, C channels, D H W sizes, K output channels.
 */
#ifndef STRIDED_KERNELS_H
#define STRIDED_KERNELS_H

#include <stddef.h>

enum { KERNEL_AXES = 3 };

/* A convolution (cross-correlation) as the kernels see it. */
struct conv_geometry {
    int in_c, out_k, groups; /* in_c and out_k are multiples of groups */
    int in[KERNEL_AXES];     /* D, H, W */
    int out[KERNEL_AXES];
    int kernel[KERNEL_AXES], stride[KERNEL_AXES], dilation[KERNEL_AXES];
    int before[KERNEL_AXES]; /* zero padding in front; behind follows from `out` */
};

struct cnn_kernels {
    const char *name; /* "reference", "baseline", "avx2", "avx512", "neon" */

    /* y[n,D',H',W',K] = x[n,D,H,W,C] * w[kd,kh,kw,C/groups,K] + bias[K] (NULL: none). */
    void (*conv_forward)(const struct conv_geometry *g, int n, const float *x, const float *w,
                         const float *bias, float *y, float *scratch);
    /* dx[n,D,H,W,C] = the gradient for x; overwrites. */
    void (*conv_backward_data)(const struct conv_geometry *g, int n, const float *dy,
                               const float *w, float *dx, float *scratch);
    /* dw[kd,kh,kw,C/groups,K] += and, unless NULL, dbias[K] +=. */
    void (*conv_backward_weight)(const struct conv_geometry *g, int n, const float *x,
                                 const float *dy, float *dw, float *dbias, float *scratch);
    /* Scratch floats that each of the three may use for n samples. */
    size_t (*conv_scratch)(const struct conv_geometry *g, int n);

    /* Row-major matrix products; c += when accumulate, else c =. Leading dimension = row length.
     * nn: c[m,n] = a[m,k] b[k,n];  nt: c[m,n] = a[m,k] b[n,k]^T;  tn: c[m,n] = a[k,m]^T b[k,n] */
    void (*gemm_nn)(int m, int n, int k, const float *a, const float *b, float *c, int accumulate);
    void (*gemm_nt)(int m, int n, int k, const float *a, const float *b, float *c, int accumulate);
    void (*gemm_tn)(int m, int n, int k, const float *a, const float *b, float *c, int accumulate);
};

extern const struct cnn_kernels cnn_kernels_ref;

/* The table in use: the best this CPU runs, or what STRIDED_CPU names (reference, baseline, avx2,
 * avx512, neon) if this CPU runs it. The first call decides; any thread. */
const struct cnn_kernels *cnn_kernels(void);
/* Every table this CPU can run, reference first; for tests and benchmarks. NULL past the end. */
const struct cnn_kernels *cnn_kernels_at(int index);

#endif
