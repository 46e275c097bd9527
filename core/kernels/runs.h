/* runs.h - one axis of a convolution, cut into runs of positions that see the same kernel taps.
 *
 * Near the ends of an axis some taps fall into the padding. Positions in between all see the same
 * taps, so an axis is a few runs: with a kernel of 3 and padding 1 the first position, the last,
 * and all others. Each run is a plain loop nest (product.h), so no kernel below knows of borders,
 * multiplies with zeros of the padding, or copies a map to give it some.
 *
 * "Positions" are those of what is computed, the "others" what is read through a tap:
 *
 *                     positions       taps      others
 *   forward           output pixels   summed    input pixels
 *   data gradient     input pixels    summed    output pixels
 *   weight gradient   kernel taps     -         the run's range of output pixels, summed
 */
#ifndef STRIDED_RUNS_H
#define STRIDED_RUNS_H

#include <stdbool.h>

#include "kernels.h"

struct run {
    int first, count, step;           /* positions first, first + step, ... */
    int tap, taps, tap_step;          /* taps that each of them sees; taps may be 0 */
    int other, other_step, other_tap; /* the first position's first other; per position; per tap */
};

/* The run of axis `axis` that begins at *at, which moves on to the next; false at the end. Start
 * at 0. Positions are not visited in order where a data gradient has strides. */
bool run_forward(const struct conv_geometry *g, int axis, int *at, struct run *run);
bool run_backward_data(const struct conv_geometry *g, int axis, int *at, struct run *run);
/* Taps that see the same output pixels other .. other + taps - 1 (tap_step is then 1, in output
 * pixels) and read input pixel output * stride + position * dilation - before. Taps that see none
 * are left out. */
bool run_backward_weight(const struct conv_geometry *g, int axis, int *at, struct run *run);

#endif
