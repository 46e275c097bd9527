/* product.h - the one inner loop: a product of strided loop nests.
 *
 *     c[row][j] = relu(bias[j] + sum over s of a[row + s] * b[s][j]),   0 <= j < columns
 *
 * `row` and `s` each run over a nest of up to four loops, every loop with a step in `a` and a step
 * in the other operand; the columns are contiguous in b, c and bias. Channels-last data makes all
 * three directions of a convolution such products, in 1-D to 3-D, with any stride and dilation:
 *
 *                     rows (a, c)             sum (a, b)               columns
 *   forward           output pixels (x, y)    taps, C      (x, w)      K
 *   data gradient     input pixels (dy, dx)   taps, K      (dy, w^T)   C
 *   weight gradient   taps, C       (x, dw)   output pixels (x, dy)    K
 *   matrix product    m             (a, c)    k            (a, b)      n
 *
 * Compiled once per instruction set. Each element's sum is added up in the order of s, one fused
 * multiply-add a step, whatever tile it falls into: cutting rows or columns changes no bit.
 */
#ifndef STRIDED_PRODUCT_H
#define STRIDED_PRODUCT_H

#include <stdbool.h>
#include <stddef.h>

#include "isa.h"
#include "kernels.h"

enum { NEST_DEPTH = 4 };

/* Outermost loop first; steps in floats. */
struct nest {
    int count[NEST_DEPTH];
    ptrdiff_t a[NEST_DEPTH];
    ptrdiff_t other[NEST_DEPTH]; /* in c (rows) or in b (sum) */
};

/* Where sums start: at the bias; at what c holds, as if they had never stopped; or at 0, to be
 * added to c, which rounds a long sum less often. */
enum product_start { PRODUCT_SET, PRODUCT_RESUME, PRODUCT_ADD };

struct product {
    struct nest rows, sum;
    int columns;
    const float *a, *b;
    float *c;
    enum product_start start;
    const float *bias; /* of PRODUCT_SET; NULL: none */
    bool relu;         /* at the end; not of PRODUCT_ADD */
};

void KERNEL(product)(const struct product *p);
#ifdef KERNEL_NARROW
void KERNEL_NARROW(product)(const struct product *p);
#endif

/* Of struct cnn_kernels. */
void KERNEL(gemm)(const struct gemm *p);
void KERNEL(gemm_pack)(const struct gemm *p, float *packed);
size_t KERNEL(gemm_packed_floats)(int n, int k);

#endif
