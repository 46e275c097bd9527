/* layout.h - canonical [C,D,H,W] <-> channels-last [D,H,W,C], the only place that converts. */
#ifndef STRIDED_LAYOUT_H
#define STRIDED_LAYOUT_H

#include "shape.h"

/* One sample each; from and to must not overlap. With one channel or one pixel: a copy. */
void cnn_layout_to_last(const struct cnn_shape *shape, const float *canonical, float *last);
void cnn_layout_to_canonical(const struct cnn_shape *shape, const float *last, float *canonical);

#endif
