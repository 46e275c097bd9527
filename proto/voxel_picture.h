/* voxel_picture.h - a grid of voxels as people look at it: three views side by side, from the
 * front, the side and above, each with the letters of its axes. */
#ifndef STRIDED_VOXEL_PICTURE_H
#define STRIDED_VOXEL_PICTURE_H

#include "dataset.h"
#include "image.h"

/* grid is [X, Y, Z] of u8 or f32 in C order, Z fastest and up; a voxel is occupied when its value
 * is > 0. Views: along +y from -y (x to the right, z up), along -x from +x (y right, z up), along
 * -z from above (x right, y up). Of each line of sight the nearest voxel shows, near ones dark,
 * far ones light. A cell is a square of whole pixels, the longest axis 192 to 383 of them; axes
 * past 383 are thinned, a pixel being occupied if one of its voxels is. Deterministic. Every axis
 * is 1..CNN_DIM_MAX. The picture is grey; image_clear it. ERR_NO_MEMORY is the only failure. */
bool voxel_picture_draw(const void *grid, enum cnn_dtype dtype, const int size[3],
                        struct image *image, struct err *e);

#endif
