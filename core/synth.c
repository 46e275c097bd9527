#include "synth.h"

#include <math.h>
#include <string.h>

#include "rng.h"

enum { SIDE = 28, PIXELS = SIDE * SIDE };
enum { GRID = 24, TICKS = 64 };

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

/* ---- solids ---- */

enum solid { SPHERE, BOX, CYLINDER, CONE, TORUS, SOLIDS };

/* A body around the origin that just fits into a sphere of radius 1; its axis is z. */
struct body {
    enum solid solid;
    float a, b, c; /* half sides; or radius, half height; or radius of the tube */
};

/* Proportions that tell each from the others also at this size: boxes are compact, cylinders long,
 * cones wide. */
static struct body draw_body(struct cnn_rng *rng, enum solid solid)
{
    struct body body = {.solid = solid};
    if (solid == BOX) {
        float a = cnn_rng_uniform(rng, 0.6f, 1), b = cnn_rng_uniform(rng, 0.6f, 1);
        float c = cnn_rng_uniform(rng, 0.6f, 1), diagonal = sqrtf(a * a + b * b + c * c);
        body.a = a / diagonal;
        body.b = b / diagonal;
        body.c = c / diagonal;
    } else if (solid == CYLINDER) {
        body.a = cnn_rng_uniform(rng, 0.3f, 0.5f);
        body.b = sqrtf(1 - body.a * body.a);
    } else if (solid == CONE) {
        body.a = cnn_rng_uniform(rng, 0.7f, 0.9f);
        body.b = sqrtf(1 - body.a * body.a);
    } else if (solid == TORUS) {
        body.a = cnn_rng_uniform(rng, 0.2f, 0.3f);
    }
    return body;
}

static bool body_holds(const struct body *body, const float p[3])
{
    float r = sqrtf(p[0] * p[0] + p[1] * p[1]), z = p[2];
    switch (body->solid) {
    case SPHERE:
        return r * r + z * z <= 1;
    case BOX:
        return fabsf(p[0]) <= body->a && fabsf(p[1]) <= body->b && fabsf(z) <= body->c;
    case CYLINDER:
        return r <= body->a && fabsf(z) <= body->b;
    case CONE: /* base at z = -b, tip at z = 1 */
        return z >= -body->b && r <= body->a * (1 - z) / (1 + body->b);
    case TORUS:
        r -= 1 - body->a;
        return r * r + z * z <= body->a * body->a;
    case SOLIDS:
        break;
    }
    return false;
}

/* A rotation, every one as likely: that of a random unit quaternion (Shoemake, 1992). */
static void draw_rotation(struct cnn_rng *rng, float m[3][3])
{
    float q[4], norm = 0;
    for (int i = 0; i < 4; i++) {
        q[i] = cnn_rng_normal(rng);
        norm += q[i] * q[i];
    }
    float s = norm > 0 ? 2 / norm : 0, w = q[0], x = q[1], y = q[2], z = q[3];
    const float rows[3][3] = {
        {1 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)},
        {s * (x * y + w * z), 1 - s * (x * x + z * z), s * (y * z - w * x)},
        {s * (x * z - w * y), s * (y * z + w * x), 1 - s * (x * x + y * y)},
    };
    memcpy(m, rows, sizeof rows);
}

static void make_solids(uint64_t seed, int split, uint32_t index, uint8_t *x)
{
    struct cnn_rng rng = sample_rng(seed, split, index);
    struct body body = draw_body(&rng, (enum solid)(index % SOLIDS));
    float radius = cnn_rng_uniform(&rng, body.solid == SPHERE ? 6 : 9, 11.5f);
    float rotation[3][3], center[3];
    draw_rotation(&rng, rotation);
    for (int i = 0; i < 3; i++)
        center[i] = cnn_rng_uniform(&rng, radius, GRID - radius);
    for (int voxel = 0; voxel < GRID * GRID * GRID; voxel++) {
        const int at[3] = {voxel / (GRID * GRID), voxel / GRID % GRID, voxel % GRID};
        float p[3] = {0};
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++)
                p[i] += rotation[i][j] * ((float)at[j] + 0.5f - center[j]) / radius;
        x[voxel] = body_holds(&body, p);
    }
}

/* ---- signals ---- */

enum signal { SINE, SQUARE, SAW, NOISE, SIGNALS };

/* At `turns` periods. */
static float wave(enum signal signal, float turns)
{
    float part = turns - floorf(turns);
    switch (signal) {
    case SINE:
        return sinf(2 * 3.14159265f * part);
    case SQUARE:
        return part < 0.5f ? 1 : -1;
    case SAW:
        return 2 * part - 1;
    case NOISE:
    case SIGNALS:
        break;
    }
    return 0;
}

static void make_signals(uint64_t seed, int split, uint32_t index, uint8_t *x)
{
    struct cnn_rng rng = sample_rng(seed, split, index);
    enum signal signal = (enum signal)(index % SIGNALS);
    float periods = cnn_rng_uniform(&rng, 1.5f, 6), phase = cnn_rng_uniform(&rng, 0, 1);
    float amplitude = cnn_rng_uniform(&rng, 60, 110);
    float noise = signal == NOISE ? amplitude / 2 : 4;
    for (int i = 0; i < TICKS; i++) {
        float value = amplitude * wave(signal, periods * (float)i / TICKS + phase) +
                      noise * cnn_rng_normal(&rng);
        x[i] = (uint8_t)fminf(fmaxf(128.5f + value, 0), 255);
    }
}

static const char *const shapes_labels[] = {"square", "circle"};
static const char *const color_shapes_labels[] = {"yellow-square", "other"};

static const char *const solids_labels[] = {"sphere", "box", "cylinder", "cone", "torus"};
static const char *const signals_labels[] = {"sine", "square", "saw", "noise"};

static const struct cnn_generator generators[] = {
    {
        .name = "shapes",
        .shape = {.c = 1, .size = {1, SIDE, SIDE}, .rank = 2},
        .scale = 1.0f / 255,
        .classes = 2,
        .labels = shapes_labels,
        .make = make_shapes,
    },
    {
        .name = "color-shapes",
        .shape = {.c = 3, .size = {1, SIDE, SIDE}, .rank = 2},
        .scale = 1.0f / 255,
        .classes = 2,
        .labels = color_shapes_labels,
        .make = make_color_shapes,
    },
    {
        .name = "solids",
        .shape = {.c = 1, .size = {GRID, GRID, GRID}, .rank = 3},
        .scale = 1,
        .classes = SOLIDS,
        .labels = solids_labels,
        .make = make_solids,
    },
    {
        .name = "signals",
        .shape = {.c = 1, .size = {1, 1, TICKS}, .rank = 1},
        .scale = 1.0f / 255,
        .classes = SIGNALS,
        .labels = signals_labels,
        .make = make_signals,
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
