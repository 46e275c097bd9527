#include "synth.h"

#include <string.h>

#include "rng.h"

enum { SIDE = 28, PIXELS = SIDE * SIDE };

/* Sets the pixels of one figure to 255 in one plane of zeros, [SIDE, SIDE]. */

static void draw_square(struct cnn_rng *rng, uint8_t *plane)
{
    uint32_t side = 5 + cnn_rng_below(rng, 9); /* 5..13 */
    uint32_t left = cnn_rng_below(rng, SIDE - side + 1);
    uint32_t top = cnn_rng_below(rng, SIDE - side + 1);
    for (uint32_t y = top; y < top + side; y++)
        memset(plane + y * SIDE + left, 255, side);
}

static void draw_circle(struct cnn_rng *rng, uint8_t *plane)
{
    int radius = 5 + (int)cnn_rng_below(rng, 2); /* 5 or 6 */
    int center_x = radius + (int)cnn_rng_below(rng, (uint32_t)(SIDE - 2 * radius));
    int center_y = radius + (int)cnn_rng_below(rng, (uint32_t)(SIDE - 2 * radius));
    for (int y = -radius; y <= radius; y++) {
        for (int x = -radius; x <= radius; x++) {
            if (x * x + y * y <= radius * radius)
                plane[(center_y + y) * SIDE + center_x + x] = 255;
        }
    }
}

/* The generator of one sample: which others are made, and in what order, does not matter. */
static struct cnn_rng sample_rng(uint64_t seed, int split, uint32_t index)
{
    struct cnn_rng rng;
    cnn_rng_init(&rng, seed, cnn_rng_mix((uint64_t)split, index));
    return rng;
}

static void make_shapes(uint64_t seed, int split, uint32_t index, uint8_t *x)
{
    struct cnn_rng rng = sample_rng(seed, split, index);
    memset(x, 0, PIXELS);
    if (index % 2 == 0)
        draw_square(&rng, x);
    else
        draw_circle(&rng, x);
}

/* Of four samples: yellow square, yellow circle, yellow square, red square. */
static void make_color_shapes(uint64_t seed, int split, uint32_t index, uint8_t *x)
{
    struct cnn_rng rng = sample_rng(seed, split, index);
    uint8_t *red = x, *green = x + PIXELS; /* yellow is red and green; blue stays 0 */
    memset(x, 0, 3 * PIXELS);
    if (index % 4 == 1)
        draw_circle(&rng, red);
    else
        draw_square(&rng, red);
    if (index % 4 != 3)
        memcpy(green, red, PIXELS);
}

static const char *const shapes_labels[] = {"square", "circle"};
static const char *const color_shapes_labels[] = {"yellow-square", "other"};

static const struct cnn_generator generators[] = {
    {
        .name = "shapes",
        .shape = {.c = 1, .size = {1, SIDE, SIDE}, .rank = 2},
        .classes = 2,
        .labels = shapes_labels,
        .make = make_shapes,
    },
    {
        .name = "color-shapes",
        .shape = {.c = 3, .size = {1, SIDE, SIDE}, .rank = 2},
        .classes = 2,
        .labels = color_shapes_labels,
        .make = make_color_shapes,
    },
};

const struct cnn_generator *cnn_generator_at(int index)
{
    const int count = sizeof generators / sizeof generators[0];
    return index >= 0 && index < count ? &generators[index] : NULL;
}

const struct cnn_generator *cnn_generator_find(const char *name)
{
    for (int i = 0; cnn_generator_at(i); i++) {
        if (strcmp(generators[i].name, name) == 0)
            return &generators[i];
    }
    return NULL;
}
