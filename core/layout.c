#include "layout.h"

#include <string.h>

/* to[columns, rows] = from[rows, columns] transposed. */
static void transpose(size_t rows, size_t columns, const float *from, float *to)
{
    if (rows == 1 || columns == 1) {
        memcpy(to, from, rows * columns * sizeof *to);
        return;
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            to[j * rows + i] = from[i * columns + j];
}

void cnn_layout_to_last(const struct cnn_shape *shape, const float *canonical, float *last)
{
    transpose((size_t)shape->c, cnn_shape_pixels(shape), canonical, last);
}

void cnn_layout_to_canonical(const struct cnn_shape *shape, const float *last, float *canonical)
{
    transpose(cnn_shape_pixels(shape), (size_t)shape->c, last, canonical);
}
