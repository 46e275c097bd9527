/* lines.h - forward convolution of 1 to 4 input channels, line by line.
 *
 * With few channels a sum has few terms, and finding each row of a product (product.h) would cost
 * as much as adding it up. But the inputs of neighbouring pixels then lie 1 to 4 floats apart: a
 * constant in the instruction. So a tile here is a stretch of one output line, and the taps are one
 * list of offsets. A pooled line is made of its few lines while they are in L1.
 */
#ifndef STRIDED_LINES_H
#define STRIDED_LINES_H

#include "isa.h"
#include "kernels.h"

/* True for convolutions that this one is made for. */
bool KERNEL(lines_fit)(const struct conv_geometry *g);
/* As conv_forward. */
void KERNEL(lines_forward)(const struct conv_geometry *g, int n, const float *x, const float *w,
                           const struct epilogue *end, float *y, float *scratch);
size_t KERNEL(lines_scratch)(const struct conv_geometry *g, const struct pool_geometry *pool);

/* Which tile sizes cover a line of so many pixels best: for one vector of columns, and for two. */
struct line_sizes {
    int one, two;
};
struct line_sizes KERNEL(line_sizes)(int pixels);
/* So many columns, and what fills their last vector. */
int KERNEL(line_columns)(int columns);

/* Pixels first .. of one output line of a convolution, and all of their channels. */
struct line_job {
    const float *x;  /* the first pixel's tap 0 */
    int x_step;      /* floats from one pixel's inputs to the next one's, 1..LINE_STEP_MAX */
    const int *taps; /* [terms]: offsets in x */
    int terms;
    const float *w;    /* [terms, w_step] */
    ptrdiff_t w_step;  /* line_columns(columns) */
    const float *bias; /* [w_step] */
    bool relu;
    int columns, pixels;
    struct line_sizes sizes; /* of these pixels */
    float *y;                /* [pixels, columns] */
};
enum { LINE_STEP_MAX = 4, LINE_TERMS_MAX = 512 };

void KERNEL(line)(const struct line_job *job);
#ifdef KERNEL_NARROW
void KERNEL_NARROW(line)(const struct line_job *job);
struct line_sizes KERNEL_NARROW(line_sizes)(int pixels);
int KERNEL_NARROW(line_columns)(int columns);
#endif

#endif
