/* conv.h - a convolution's input with its padding made real: for kernels that would rather copy a
 * map of few channels than know of its borders. Internal to kernels/. */
#ifndef STRIDED_CONV_H
#define STRIDED_CONV_H

#include "kernels.h"

/* Some tap of some output pixel lies outside of the input. */
bool conv_is_padded(const struct conv_geometry *g);
/* The padded map is not much larger than the map: a copy is worth it. */
bool conv_pads_sensibly(const struct conv_geometry *g);
/* The same convolution over the padded map: `in` is what its taps cover, `before` is 0. */
struct conv_geometry conv_padded(const struct conv_geometry *g);
/* to[n, padded->in, C] = x[n, in, C] between zeros, as far as taps reach. */
void conv_pad(const struct conv_geometry *g, const struct conv_geometry *padded, int n,
              const float *x, float *to);

#endif
