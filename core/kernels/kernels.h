/* kernels.h - the table of compute kernels: serial, stateless, channels-last.
 *
 * One table an instruction set, chosen once at start; `cnn_kernels_ref` is the slow, obvious
 * reference that every other is tested against, and stays for ever. A kernel allocates nothing and
 * touches nothing outside of the arrays it is given. Its result does not depend on how a caller
 * cuts work over samples, except where it says that it accumulates.
 * In names here: N samples, C channels, D H W sizes, K output channels.
 */
#ifndef STRIDED_KERNELS_H
#define STRIDED_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KERNEL_AXES = 3 };

/* A convolution (cross-correlation) as the kernels see it. */
struct conv_geometry {
    int in_c, out_k, groups; /* in_c and out_k are multiples of groups */
    int in[KERNEL_AXES];     /* D, H, W */
    int out[KERNEL_AXES];
    int kernel[KERNEL_AXES], stride[KERNEL_AXES], dilation[KERNEL_AXES];
    int before[KERNEL_AXES]; /* zero padding in front; behind follows from `out` */
};

/* A pooling window over c channels; padding never wins a maximum. */
struct pool_geometry {
    int c;
    int in[KERNEL_AXES], out[KERNEL_AXES];
    int kernel[KERNEL_AXES], stride[KERNEL_AXES];
    int before[KERNEL_AXES];
};
/* Windows of up to this many elements have max_pool's winner in a byte. */
enum { POOL_WINDOW_MAX = 256 };

enum kernel_act { KERNEL_LINEAR, KERNEL_RELU, KERNEL_LEAKY_RELU, KERNEL_TANH, KERNEL_SIGMOID };

/* What becomes of a sum before it leaves the registers or L1: y = act(pool(sum + bias)). All of
 * these activations rise, so the order of activation and maximum does not matter. */
struct epilogue {
    const float *bias; /* [K]; NULL: none */
    enum kernel_act act;
    float slope;                      /* of KERNEL_LEAKY_RELU below 0; > 0 */
    const struct pool_geometry *pool; /* convolutions only: maximum over windows of the output,
                                         pool->in = conv_geometry.out; y is then [n, pool->out, K].
                                         NULL: none */
    uint8_t *winner;                  /* with pool: as max_pool's; NULL: not wanted */
};

/* c[m,n] = act(a[m,k] b[k,n] + bias[n]), or c += without bias and act when accumulate.
 * Steps in floats, so that either operand may be transposed or part of a larger matrix. */
struct gemm {
    int m, n, k;
    const float *a;
    ptrdiff_t a_row, a_k;
    const float *b; /* or, when `packed`, what gemm_pack made of it */
    ptrdiff_t b_k, b_column;
    bool packed;
    float *c;
    ptrdiff_t c_row;
    bool accumulate;
    struct epilogue end; /* bias and act */
};

enum update_rule { UPDATE_SGD, UPDATE_ADAM, UPDATE_RMSPROP };

/* The constants of one optimizer step; core/optim.h names the formulas' source. */
struct param_update {
    enum update_rule rule;
    bool nesterov;
    float lr, momentum, decay, epsilon;
    float keep1, take1, keep2, take2; /* mean = keep * mean + take * new */
    float keep_weight;                /* adamw: 1 - lr * decay; else 1 */
    float step_size, root_scale;      /* adam: lr / bias1, 1 / sqrt(bias2) */
};

struct cnn_kernels {
    const char *name; /* "reference", "baseline", "avx2", "avx512", "neon" */

    /* y[n,D',H',W',K] from x[n,D,H,W,C] and w[kd,kh,kw,C/groups,K]. `prepared` is what conv_prepare
     * made of w, or NULL: then it is made on the way. */
    void (*conv_forward)(const struct conv_geometry *g, int n, const float *x, const float *w,
                         const float *prepared, const struct epilogue *end, float *y,
                         float *scratch);
    void (*conv_prepare)(const struct conv_geometry *g, const float *w, float *prepared);
    size_t (*conv_prepared_floats)(const struct conv_geometry *g); /* 0: w is as it should be */
    /* wt: w as conv_backward_data wants it. */
    void (*conv_transpose)(const struct conv_geometry *g, const float *w, float *wt);
    size_t (*conv_transposed_floats)(const struct conv_geometry *g);
    /* dx[n,D,H,W,C] = the gradient for x; overwrites. */
    void (*conv_backward_data)(const struct conv_geometry *g, int n, const float *dy,
                               const float *wt, float *dx, float *scratch);
    /* dw[kd,kh,kw,C/groups,K] += */
    void (*conv_backward_weight)(const struct conv_geometry *g, int n, const float *x,
                                 const float *dy, float *dw, float *scratch);
    /* Scratch floats that each of these may use for n samples; pool: of the epilogue, or NULL. */
    size_t (*conv_scratch)(const struct conv_geometry *g, const struct pool_geometry *pool, int n);

    void (*gemm)(const struct gemm *p);
    /* Brings b into the order in which gemm reads it, for one that is used many times. */
    void (*gemm_pack)(const struct gemm *p, float *packed);
    size_t (*gemm_packed_floats)(int n, int k);

    /* sum[columns] += the rows of x[rows, columns] */
    void (*sum_rows)(size_t rows, int columns, const float *x, float *sum);
    /* to[columns, rows] = from[rows, columns] transposed */
    void (*transpose)(size_t rows, size_t columns, const float *from, float *to);

    /* y[count] = act(x); x == y is fine. A NaN stays one. */
    void (*activate)(enum kernel_act act, float slope, size_t count, const float *x, float *y);
    /* dx[count] = dy * act'(x), told from y = act(x); dx == dy is fine. */
    void (*activate_backward)(enum kernel_act act, float slope, size_t count, const float *y,
                              const float *dy, float *dx);

    /* y[n,out,C] = the maximum of each window of x[n,in,C], and winner[n,out,C] (NULL: not
     * wanted; else at most POOL_WINDOW_MAX elements a window) = which of the window's elements,
     * counted (kd*KH + kh)*KW + kw; the first among equals; a NaN beats all before it. */
    void (*max_pool)(const struct pool_geometry *g, int n, const float *x, float *y,
                     uint8_t *winner);
    /* dx[n,in,C] = dy at the winners, added up where windows overlap, 0 elsewhere. */
    void (*max_pool_backward)(const struct pool_geometry *g, int n, const uint8_t *winner,
                              const float *dy, float *dx);

    /* One step for params[count] and what is remembered of each: first[count] (mean of gradients;
     * NULL for sgd and rmsprop without momentum), second[count] (mean of squares; NULL for sgd).
     * Elementwise, so that any cut into ranges gives the same bits. */
    void (*update_params)(const struct param_update *u, size_t count, float *params,
                          const float *grads, float *first, float *second);
    /* In double. */
    double (*sum_squares)(size_t count, const float *x);
};

extern const struct cnn_kernels cnn_kernels_ref;

/* The table in use: the best this CPU runs, or what STRIDED_CPU names (reference, baseline, avx2,
 * avx512, neon) if this CPU runs it. The first call decides; any thread. */
const struct cnn_kernels *cnn_kernels(void);
/* Every table this CPU can run, reference first; for tests and benchmarks. NULL past the end. */
const struct cnn_kernels *cnn_kernels_at(int index);

#endif
