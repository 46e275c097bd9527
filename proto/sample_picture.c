#include "sample_picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "voxel_picture.h"

enum { PLOT_WIDTH = 512, PLOT_HEIGHT = 160 };

struct values {
    enum cnn_dtype dtype;
    const void *x;
    float low, high; /* shown as black and white */
};

static float value_at(const struct values *values, size_t i)
{
    if (values->dtype == CNN_U8)
        return ((const uint8_t *)values->x)[i];
    float value = ((const float *)values->x)[i];
    return isfinite(value) ? value : 0;
}

static struct values values_of(enum cnn_dtype dtype, const void *x, size_t count)
{
    struct values values = {.dtype = dtype, .x = x, .low = INFINITY, .high = -INFINITY};
    for (size_t i = 0; i < count; i++) {
        values.low = fminf(values.low, value_at(&values, i));
        values.high = fmaxf(values.high, value_at(&values, i));
    }
    if (dtype == CNN_U8) {
        values.high = values.high > 1 ? 255 : 1;
        values.low = 0;
    }
    return values;
}

/* 0..1 */
static float share(const struct values *values, size_t i)
{
    double range = (double)values->high - values->low;
    return range > 0 ? (float)(((double)value_at(values, i) - values->low) / range) : 0;
}

static uint8_t level(const struct values *values, size_t i)
{
    return (uint8_t)(share(values, i) * 255 + 0.5f);
}

static bool new_image(struct image *image, size_t width, size_t height, int channels, struct err *e)
{
    if (width > LIMIT_IMAGE_PIXELS || width * height > LIMIT_IMAGE_PIXELS)
        return err_set(e, ERR_UNPROCESSABLE, "a picture of %zux%zu pixels is too large", width,
                       height);
    *image = (struct image){.width = (int)width,
                            .height = (int)height,
                            .channels = channels,
                            .pixels = malloc(width * height * (size_t)channels)};
    return image->pixels || err_no_memory(e);
}

/* [3,H,W] */
static bool draw_colour(const struct cnn_shape *shape, const struct values *values,
                        struct image *image, struct err *e)
{
    size_t pixels = cnn_shape_pixels(shape);
    if (!new_image(image, (size_t)shape->size[2], (size_t)shape->size[1], 3, e))
        return false;
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = 0; c < 3; c++)
            image->pixels[3 * i + c] = level(values, c * pixels + i);
    return true;
}

/* [C,H,W], the channels side by side. */
static bool draw_grey(const struct cnn_shape *shape, const struct values *values,
                      struct image *image, struct err *e)
{
    size_t width = (size_t)shape->size[2], height = (size_t)shape->size[1];
    size_t channels = (size_t)shape->c, at = 0;
    if (!new_image(image, width * channels, height, 1, e))
        return false;
    for (size_t c = 0; c < channels; c++)
        for (size_t y = 0; y < height; y++)
            for (size_t x = 0; x < width; x++)
                image->pixels[(y * channels + c) * width + x] = level(values, at++);
    return true;
}

/* The values of one line that fall into one column, and the first of the next so that columns
 * join. */
static void draw_column(const struct values *values, size_t first, size_t n, int column,
                        uint8_t grey, struct image *image)
{
    size_t from = (size_t)column * n / PLOT_WIDTH, to = (size_t)(column + 1) * n / PLOT_WIDTH;
    float low = 1, high = 0;
    to = to < n ? to : n - 1;
    for (size_t i = from; i <= to; i++) {
        low = fminf(low, share(values, first + i));
        high = fmaxf(high, share(values, first + i));
    }
    int top = (int)((1 - high) * (PLOT_HEIGHT - 1)), bottom = (int)((1 - low) * (PLOT_HEIGHT - 1));
    for (int y = top; y <= bottom; y++)
        image->pixels[(size_t)y * PLOT_WIDTH + (size_t)column] = grey;
}

/* `lines` lines of n values: the first black, the others lighter. */
static bool draw_plot(size_t lines, size_t n, const struct values *values, struct image *image,
                      struct err *e)
{
    if (!new_image(image, PLOT_WIDTH, PLOT_HEIGHT, 1, e))
        return false;
    memset(image->pixels, 255, (size_t)PLOT_WIDTH * PLOT_HEIGHT);
    for (size_t line = lines; line-- > 0;)
        for (int column = 0; column < PLOT_WIDTH; column++)
            draw_column(values, line * n, n, column, (uint8_t)(200 * line / lines), image);
    return true;
}

bool sample_picture_draw(const struct cnn_shape *shape, enum cnn_dtype dtype, const void *x,
                         struct image *image, struct err *e)
{
    *image = (struct image){0};
    if (shape->rank == CNN_AXES)
        return voxel_picture_draw(x, dtype, shape->size, image, e);
    const struct values values = values_of(dtype, x, cnn_shape_count(shape));
    if (shape->rank == 0)
        return draw_plot(1, (size_t)shape->c, &values, image, e);
    if (shape->rank == 1)
        return draw_plot((size_t)shape->c, (size_t)shape->size[2], &values, image, e);
    return shape->c == 3 ? draw_colour(shape, &values, image, e)
                         : draw_grey(shape, &values, image, e);
}
