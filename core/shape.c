#include "shape.h"

#include <stdio.h>

#include "limits.h"
#include "memory.h"

bool cnn_shape_from_dims(struct cnn_shape *shape, const long long *dims, int count, struct err *e)
{
    if (count < 1 || count > 1 + CNN_AXES)
        return err_set(e, ERR_INVALID, "shape has %d dimensions, expected 1 to %d", count,
                       1 + CNN_AXES);
    for (int i = 0; i < count; i++)
        if (dims[i] < 1 || dims[i] > CNN_DIM_MAX) {
            err_set(e, ERR_INVALID, "dimension %lld is out of range 1 to %d", dims[i], CNN_DIM_MAX);
            return err_within(e, "[%d]", i);
        }

    struct cnn_shape made = {.c = (int)dims[0], .size = {1, 1, 1}, .rank = count - 1};
    for (int i = 1; i < count; i++)
        made.size[CNN_AXES - count + i] = (int)dims[i];
    if (!cnn_shape_check(&made, e))
        return false;
    *shape = made;
    return true;
}

int cnn_shape_dims(const struct cnn_shape *shape, int *dims)
{
    dims[0] = shape->c;
    for (int i = 0; i < shape->rank; i++)
        dims[1 + i] = shape->size[CNN_AXES - shape->rank + i];
    return shape->rank + 1;
}

bool cnn_shape_check(const struct cnn_shape *shape, struct err *e)
{
    char text[CNN_SHAPE_TEXT];
    const int sizes[] = {shape->c, shape->size[0], shape->size[1], shape->size[2]};
    size_t product = 1;
    for (int i = 0; i < 1 + CNN_AXES; i++) {
        if (sizes[i] < 1 || sizes[i] > CNN_DIM_MAX)
            return err_set(e, ERR_INVALID, "dimension %d of %s is out of range 1 to %d", sizes[i],
                           cnn_shape_text(shape, text), CNN_DIM_MAX);
        if (!memory_mul(product, (size_t)sizes[i], &product) || product > CNN_ELEMENTS_MAX)
            return err_set(e, ERR_INVALID, "shape %s has more than %d elements",
                           cnn_shape_text(shape, text), CNN_ELEMENTS_MAX);
    }
    return true;
}

size_t cnn_shape_pixels(const struct cnn_shape *shape)
{
    return (size_t)shape->size[0] * (size_t)shape->size[1] * (size_t)shape->size[2];
}

size_t cnn_shape_count(const struct cnn_shape *shape)
{
    return (size_t)shape->c * cnn_shape_pixels(shape);
}

bool cnn_shape_equal(const struct cnn_shape *a, const struct cnn_shape *b)
{
    return a->c == b->c && a->size[0] == b->size[0] && a->size[1] == b->size[1] &&
           a->size[2] == b->size[2];
}

char *cnn_shape_text(const struct cnn_shape *shape, char *text)
{
    int dims[1 + CNN_AXES];
    int count = cnn_shape_dims(shape, dims);
    int used = 0;
    for (int i = 0; i < count; i++)
        used +=
            snprintf(text + used, (size_t)(CNN_SHAPE_TEXT - used), "%c%d", i ? ',' : '[', dims[i]);
    snprintf(text + used, (size_t)(CNN_SHAPE_TEXT - used), "]");
    return text;
}
