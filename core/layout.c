#include "layout.h"

#include "kernels.h"

void cnn_layout_to_last(const struct cnn_shape *shape, const float *canonical, float *last)
{
    cnn_kernels()->transpose((size_t)shape->c, cnn_shape_pixels(shape), canonical, last);
}

void cnn_layout_to_canonical(const struct cnn_shape *shape, const float *last, float *canonical)
{
    cnn_kernels()->transpose(cnn_shape_pixels(shape), (size_t)shape->c, last, canonical);
}
