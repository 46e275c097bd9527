#include "sample_points.h"

static bool is_occupied(enum cnn_dtype dtype, const void *x, size_t at)
{
    return dtype == CNN_U8 ? ((const uint8_t *)x)[at] > 0 : ((const float *)x)[at] > 0;
}

bool sample_has_points(const struct cnn_shape *shape)
{
    return shape->rank == CNN_AXES && shape->c == 1;
}

size_t sample_points_count(const struct cnn_shape *shape, enum cnn_dtype dtype, const void *x)
{
    size_t count = 0;
    for (size_t i = 0; i < cnn_shape_count(shape); i++)
        count += is_occupied(dtype, x, i);
    return count;
}

void sample_points_write(struct json_writer *w, const struct cnn_shape *shape, enum cnn_dtype dtype,
                         const void *x)
{
    const size_t h = (size_t)shape->size[1], line = (size_t)shape->size[2];
    jw_array(w);
    for (size_t i = 0; i < cnn_shape_count(shape); i++) {
        if (!is_occupied(dtype, x, i))
            continue;
        const size_t point[CNN_AXES] = {i / line / h, i / line % h, i % line};
        jw_array(w);
        for (int axis = 0; axis < CNN_AXES; axis++)
            jw_int(w, (int64_t)point[axis]);
        jw_array_end(w);
    }
    jw_array_end(w);
}
