/* augment.h - random changes to training samples: a net that never sees the same one twice learns
 * the thing and not the pixels.
 *
 * What happens to a sample depends on the seed, the number of the step and the sample's place in
 * the batch alone: on no thread, and not on how the batch is cut. (Its place in the batch, not in
 * the dataset: what balanced sampling draws twice is not to look the same twice.)
 *
 * Shift, flip, turns and zoom make one affine map, so that a sample is resampled once: pictures and
 * signals linearly between pixels, voxel grids by the nearest voxel; by flips, quarter turns and
 * shifts alone values only move. Pictures turn in their plane, voxel grids [x][y][z] about z, the
 * last axis.
 */
#ifndef STRIDED_AUGMENT_H
#define STRIDED_AUGMENT_H

#include "dataset.h"

enum cnn_flip {
    CNN_FLIP_NONE,
    CNN_FLIP_HORIZONTAL, /* left and right of a picture, the two ends of a signal */
    CNN_FLIP_VERTICAL,   /* top and bottom of a picture */
    CNN_FLIP_X,          /* voxel grids */
    CNN_FLIP_Y,
    CNN_FLIP_BOTH, /* horizontal and vertical; x and y */
    CNN_FLIP_COUNT
};
const char *cnn_flip_name(enum cnn_flip flip); /* "none", "horizontal", ... */

/* What comes in from beyond the edge. */
enum cnn_fill { CNN_FILL_ZERO, CNN_FILL_EDGE, CNN_FILL_COUNT };
const char *cnn_fill_name(enum cnn_fill fill); /* "zero", "edge" */

/* Each is drawn evenly from its range, for each sample anew. */
struct cnn_augment {
    int shift;          /* by -shift..shift whole pixels along each axis; 0 = off */
    enum cnn_flip flip; /* along each of its axes, every other time */
    bool rotate90;      /* square pictures: by 0, 90, 180 or 270 degrees */
    double rotate;      /* by up to so many degrees either way; 0 = off */
    int rotate_z;       /* voxel grids: by a multiple of 360/rotate_z degrees; 0 = off */
    double scale[2];    /* size: from .. to, 1 = as it is */
    double noise;       /* deviation of what is added to each value of the net's input; 0 = off */
    int cutout;         /* a square (cube, stretch) of this side becomes background; 0 = off */
    enum cnn_fill fill;
};
/* Everything off. */
struct cnn_augment cnn_augment_none(void);
bool cnn_augment_any(const struct cnn_augment *augment);

/* Bounds of limits.h and finite numbers; errors name the API's field ("augment.rotate"). */
bool cnn_augment_check(const struct cnn_augment *augment, struct err *e);
/* Whether samples of this shape have the axes it turns, flips, moves and cuts. */
bool cnn_augment_fits(const struct cnn_augment *augment, const struct cnn_shape *shape,
                      struct err *e);

/* Bytes that cnn_augment_apply works in, aligned as memory_new's. */
size_t cnn_augment_scratch_bytes(const struct cnn_shape *shape);
/* Changes one sample in place: x [D,H,W,C] as cnn_samples_gather leaves it, of `samples` (whose
 * shape and normalisation count), the place-th of the step's batch. Background is what a stored 0
 * has become. The augmentation fits the shape. Any thread, with its own scratch. */
void cnn_augment_apply(const struct cnn_augment *augment, const struct cnn_samples *samples,
                       uint64_t seed, uint64_t step, int place, float *x, void *scratch);

#endif
