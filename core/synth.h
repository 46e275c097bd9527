/* synth.h - synthetic labelled samples, so that everything can be tried with no data at all.
 *
 * shapes        [1,28,28] grey; 0 = square (side 5..13, anywhere inside), 1 = filled circle
 *               (radius 5 or 6, inside). Background 0, figure 255.
 * color-shapes  [3,28,28]; 0 = yellow square; 1 = half yellow circles, half red squares (so
 *               neither colour nor form alone tells).
 * solids        [1,24,24,24] filled bodies, 0 or 1 a voxel: sphere, box, cylinder, cone, torus,
 *               each turned about any axis, of random size and proportions, wholly inside.
 * signals       [1,64] one-dimensional, 128 = zero: sine, square and saw waves of 1.5 to 6 periods,
 *               any phase, amplitude 40 to 100, with normal noise of deviation 4; and noise alone,
 *               of deviation 30 to 55.
 *
 * Same seed, same samples; sample i does not depend on how many are asked for.
 */
#ifndef STRIDED_SYNTH_H
#define STRIDED_SYNTH_H

#include <stdint.h>

#include "shape.h"

struct cnn_generator {
    const char *name;
    struct cnn_shape shape;
    float scale; /* of a byte to the net's input: 1/255 for pictures and signals, 1 for voxels */
    int classes;
    const char *const *labels; /* [classes] */
    /* Writes sample `index` of split `split` (0 train, 1 test): shape.count bytes, canonical.
     * Classes alternate: label = index % classes. */
    void (*make)(uint64_t seed, int split, uint32_t index, uint8_t *x);
};

const struct cnn_generator *cnn_generator_find(const char *name); /* NULL if unknown */
const struct cnn_generator *cnn_generator_at(int index);          /* NULL past the end */

#endif
