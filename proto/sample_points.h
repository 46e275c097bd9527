/* sample_points.h - the occupied voxels of one stored sample, as a list of points. */
#ifndef STRIDED_SAMPLE_POINTS_H
#define STRIDED_SAMPLE_POINTS_H

#include "dataset.h"
#include "json_write.h"

/* Whether samples of this shape are grids of voxels: [1,D,H,W]. */
bool sample_has_points(const struct cnn_shape *shape);
/* How many voxels of the grid x are > 0. */
size_t sample_points_count(const struct cnn_shape *shape, enum cnn_dtype dtype, const void *x);
/* [[x,y,z],...]: their places along D, H and W, counted from 0, in the order of the grid. A
 * {"voxels":{"occupied":...}} of them is the grid again, where it held 0 and 1. */
void sample_points_write(struct json_writer *w, const struct cnn_shape *shape, enum cnn_dtype dtype,
                         const void *x);

#endif
