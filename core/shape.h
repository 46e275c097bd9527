/* shape.h - the one shape every sample and feature map has: [C, D, H, W].
 *
 * 1-D and 2-D data are 3-D with unit sizes: a picture is [C,1,H,W], a signal [C,1,1,W], a vector
 * of features [C,1,1,1]. `rank` is the number of spatial axes the user sees (0..3) and only
 * matters for reading and printing: [32,26,26] is rank 2.
 *
 * Two orders of elements exist, and one place converts between them (layout.h):
 *   canonical      [N, C, D, H, W]  what users, files and datasets hold
 *   channels-last  [N, D, H, W, C]  what layers and kernels compute on
 */
#ifndef STRIDED_SHAPE_H
#define STRIDED_SHAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

enum { CNN_AXES = 3 }; /* spatial axes, in the order D, H, W */

struct cnn_shape {
    int c;
    int size[CNN_AXES]; /* D, H, W */
    int rank;           /* 0 features, 1 [C,W], 2 [C,H,W], 3 [C,D,H,W] */
};

/* Makes a shape from user dimensions [C], [C,W], [C,H,W] or [C,D,H,W]; count is 1..4. Every
 * dimension must be 1..CNN_DIM_MAX and the product at most CNN_ELEMENTS_MAX, else ERR_INVALID. */
bool cnn_shape_from_dims(struct cnn_shape *shape, const long long *dims, int count, struct err *e);

/* The user's dimensions, C first; returns how many (rank + 1). dims holds at least 4. */
int cnn_shape_dims(const struct cnn_shape *shape, int *dims);

/* Checks the same bounds on a shape computed by a layer. */
bool cnn_shape_check(const struct cnn_shape *shape, struct err *e);

/* Elements of one sample. The shape must have passed a check. */
size_t cnn_shape_count(const struct cnn_shape *shape);
size_t cnn_shape_pixels(const struct cnn_shape *shape); /* D*H*W */

bool cnn_shape_equal(const struct cnn_shape *a, const struct cnn_shape *b); /* ignores rank */

/* "[32,26,26]" into text (at least CNN_SHAPE_TEXT bytes); returns text. */
enum { CNN_SHAPE_TEXT = 64 };
char *cnn_shape_text(const struct cnn_shape *shape, char *text);

#endif
