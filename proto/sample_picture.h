/* sample_picture.h - one stored sample as people look at it. */
#ifndef STRIDED_SAMPLE_PICTURE_H
#define STRIDED_SAMPLE_PICTURE_H

#include "dataset.h"
#include "image.h"

/* x is one canonical sample. A picture of 1 or 3 channels as it is, of others its channels in grey
 * side by side; a grid as voxel_picture.h draws its first channel; a signal or a vector as a line
 * plot, a channel a line. Bytes are shown as they are unless all are 0 or 1; those and floats are
 * stretched from the sample's lowest to its highest value. Values that are not finite count as 0.
 * image_clear it. ERR_UNPROCESSABLE past LIMIT_IMAGE_PIXELS. */
bool sample_picture_draw(const struct cnn_shape *shape, enum cnn_dtype dtype, const void *x,
                         struct image *image, struct err *e);

#endif
