/* product.h - the one inner loop: a product of strided loop nests.
 *
 *     c[row][j] (+)= bias[j] + sum over s of a[row + s] * b[s][j],   0 <= j < columns
 *
 * `row` and `s` each run over a nest of up to four loops, every loop with a step in `a` and a step
 * in the other operand; the columns are contiguous in b, c and bias. Channels-last data makes all
 * three directions of a convolution such a product, in 1-D to 3-D, with any stride and dilation:
 *
 *                     rows (a, c)             sum (a, b)               columns
 *   forward           output pixels (x, y)    taps, C      (x, w)      K
 *   weight gradient   taps, C       (x, dw)   output pixels (x, dy)    K
 *   data gradient     output pixels (dy, dx)  K            (dy, w^T)   taps of a line, C
 *   matrix product    m             (a, c)    k            (a, b)      n
 *
 * Compiled once per instruction set: KERNEL(name) is name_avx2 and so on.
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

struct product {
    struct nest rows, sum;
    int columns;
    bool accumulate; /* c += instead of c = ; rows of c may then overlap */
    const float *a, *b;
    const float *bias; /* NULL: none */
    float *c;
};

void KERNEL(product)(const struct product *p);

/* Of struct cnn_kernels. */
void KERNEL(gemm)(const struct gemm *p);
void KERNEL(gemm_pack)(const struct gemm *p, float *packed);
size_t KERNEL(gemm_packed_floats)(int n, int k);

#endif
