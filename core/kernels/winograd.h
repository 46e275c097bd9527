/* winograd.h - convolutions with kernel 3 in fewer multiplications (Winograd 1980; Lavin and Gray
 * 2016, "Fast Algorithms for Convolutional Neural Networks").
 *
 * F(2,3) makes 2 neighbouring outputs of a kernel of 3 from 4 products instead of 6:
 *
 *     y = A^T ((G w) * (B^T x))     x: 4 inputs, w: 3 taps, y: 2 outputs, *: element by element
 *
 * and, axis after axis, 2x2 outputs from 16 products instead of 36, 2x2x2 from 64 instead of 216.
 * Summed over channels the products are matrix products, one for each of the 16 or 64 positions of
 * a tile. The transforms hold only 0, 1, -1 and 1/2, and sums become shorter: results stand nearer
 * to the exact ones than those of the plain sum (docs/SPEED.md). Larger tiles would save more, but
 * lose digits.
 *
 * The data gradient is the same convolution with flipped, transposed weights. The weight gradient
 * runs the transforms backwards: dw = G^T (sum over tiles of (B^T x) (A dy)).
 */
#ifndef STRIDED_WINOGRAD_H
#define STRIDED_WINOGRAD_H

#include "isa.h"
#include "kernels.h"

/* True where it is well worth it: kernel 3 along H, W and perhaps D, stride and dilation 1, enough
 * channels. Depends on the geometry alone. */
bool KERNEL(winograd_fits)(const struct conv_geometry *g);
/* Scratch floats of winograd_forward and, with weights, of winograd_backward_weight. */
size_t KERNEL(winograd_scratch)(const struct conv_geometry *g, int n, bool weights);

/* The transformed weights u of w[taps,C,K]; flip: of w turned round along each axis. */
size_t KERNEL(winograd_weight_floats)(const struct conv_geometry *g);
void KERNEL(winograd_weights)(const struct conv_geometry *g, const float *w, bool flip, float *u);
/* As conv_forward, without pooling; only bias and relu of the epilogue. */
void KERNEL(winograd_forward)(const struct conv_geometry *g, int n, const float *x, const float *u,
                              const struct epilogue *end, float *y, float *scratch);
/* As conv_backward_weight. */
void KERNEL(winograd_backward_weight)(const struct conv_geometry *g, int n, const float *x,
                                      const float *dy, float *dw, float *scratch);

#endif
