#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "synth.h"

enum { SIDE = 28, PIXELS = SIDE * SIDE, DRAWS = 2000 };

/* What stands in one plane. */
struct figure {
    int left, top, right, bottom; /* inclusive */
    int lit;                      /* pixels of 255; every other is 0 */
};

static struct figure measure(const uint8_t *plane)
{
    struct figure f = {.left = SIDE, .top = SIDE, .right = -1, .bottom = -1};
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            uint8_t value = plane[y * SIDE + x];
            if (value != 0 && value != 255) /* not ck_assert: it costs, millions of times */
                ck_abort_msg("pixel (%d,%d) is %d", x, y, value);
            if (value == 0)
                continue;
            f.lit++;
            f.left = x < f.left ? x : f.left;
            f.right = x > f.right ? x : f.right;
            f.top = y < f.top ? y : f.top;
            f.bottom = y > f.bottom ? y : f.bottom;
        }
    }
    return f;
}

/* The side of a full square, else 0. */
static int square_side(const struct figure *f)
{
    int width = f->right - f->left + 1, height = f->bottom - f->top + 1;
    return width == height && f->lit == width * height ? width : 0;
}

/* The radius of a disc around a pixel, every one of whose pixels is lit, else 0. */
static int circle_radius(const struct figure *f, const uint8_t *plane)
{
    int radius = (f->right - f->left) / 2, x0 = f->left + radius, y0 = f->top + radius;
    if (f->right - f->left != 2 * radius || f->bottom - f->top != 2 * radius)
        return 0;
    for (int y = f->top; y <= f->bottom; y++) {
        for (int x = f->left; x <= f->right; x++) {
            bool inside = (x - x0) * (x - x0) + (y - y0) * (y - y0) <= radius * radius;
            if (inside != (plane[y * SIDE + x] == 255))
                return 0;
        }
    }
    return radius;
}

START_TEST(shapes_are_squares_of_side_5_to_13_anywhere_and_circles_of_radius_5_or_6)
{
    const struct cnn_generator *shapes = cnn_generator_find("shapes");
    int sides[SIDE] = {0}, radii[SIDE] = {0};
    bool touches[4] = {false}; /* left, top, right, bottom */
    for (uint32_t i = 0; i < DRAWS; i++) {
        uint8_t x[PIXELS];
        shapes->make(1, 0, i, x);
        struct figure f = measure(x);
        if (i % 2 == 0)
            sides[square_side(&f)]++;
        else
            radii[circle_radius(&f, x)]++;
        touches[0] |= f.left == 0;
        touches[1] |= f.top == 0;
        touches[2] |= f.right == SIDE - 1;
        touches[3] |= f.bottom == SIDE - 1;
    }
    for (int side = 0; side < SIDE; side++) {
        if (side >= 5 && side <= 13)
            ck_assert_int_gt(sides[side], DRAWS / 2 / 9 / 2);
        else
            ck_assert_int_eq(sides[side], 0);
    }
    ck_assert_int_eq(radii[5] + radii[6], DRAWS / 2);
    ck_assert(radii[5] > DRAWS / 5 && radii[6] > DRAWS / 5);
    ck_assert(touches[0] && touches[1] && touches[2] && touches[3]);
}
END_TEST

START_TEST(color_shapes_are_yellow_squares_against_yellow_circles_and_red_squares)
{
    const struct cnn_generator *shapes = cnn_generator_find("color-shapes");
    int squares = 0, yellow_circles = 0, red_squares = 0;
    for (uint32_t i = 0; i < DRAWS; i++) {
        uint8_t x[3 * PIXELS];
        static const uint8_t dark[PIXELS];
        shapes->make(1, 0, i, x);
        struct figure f = measure(x);
        bool yellow = memcmp(x, x + PIXELS, PIXELS) == 0;
        ck_assert(yellow || memcmp(x + PIXELS, dark, PIXELS) == 0);
        ck_assert_mem_eq(x + 2 * PIXELS, dark, PIXELS);
        int side = square_side(&f), radius = circle_radius(&f, x);
        ck_assert((side >= 5 && side <= 13) != (radius == 5 || radius == 6));
        if (i % 2 == 0)
            squares += side > 0 && yellow;
        else if (radius > 0)
            yellow_circles += yellow;
        else
            red_squares += !yellow;
    }
    ck_assert_int_eq(squares, DRAWS / 2);
    ck_assert_int_eq(yellow_circles, DRAWS / 4);
    ck_assert_int_eq(red_squares, DRAWS / 4);
}
END_TEST

enum { GRID = 24, VOXELS = GRID * GRID * GRID, TICKS = 64 };

/* Occupied voxels, and how many of them lie on the grid's border. */
static int measure_solid(const uint8_t *grid, int *border)
{
    int count = 0;
    *border = 0;
    for (int v = 0; v < VOXELS; v++) {
        if (grid[v] > 1)
            ck_abort_msg("voxel %d is %d", v, grid[v]);
        int at[] = {v / (GRID * GRID), v / GRID % GRID, v % GRID};
        bool outer = false;
        for (int a = 0; a < 3; a++)
            outer |= at[a] == 0 || at[a] == GRID - 1;
        count += grid[v];
        *border += outer && grid[v];
    }
    return count;
}

/* Volumes of the bodies for the smallest and largest size and proportions of synth.h. */
START_TEST(solids_are_filled_bodies_of_the_right_volume)
{
    static const int volumes[][2] = {
        {850, 6420}, {900, 2400}, {330, 2100}, {650, 2200}, {380, 1900},
    };
    const struct cnn_generator *solids = cnn_generator_find("solids");
    int border = 0, borders = 0;
    ck_assert_int_eq(solids->classes, 5);
    ck_assert_float_eq(solids->scale, 1);
    for (uint32_t i = 0; i < 500; i++) {
        static uint8_t grid[VOXELS];
        solids->make(1, 0, i, grid);
        int count = measure_solid(grid, &border);
        ck_assert_msg(count >= volumes[i % 5][0] && count <= volumes[i % 5][1], "%s %u: %d voxels",
                      solids->labels[i % 5], i, count);
        ck_assert_int_lt(border, 200); /* touching is all right, cut off is not */
        borders += border > 0;
    }
    ck_assert_int_gt(borders, 20);
}
END_TEST

/* How often the signal crosses its middle. */
static int crossings(const uint8_t *x)
{
    int count = 0;
    for (int i = 1; i < TICKS; i++)
        count += (x[i] >= 128) != (x[i - 1] >= 128);
    return count;
}

START_TEST(signals_are_waves_around_128_and_noise)
{
    const struct cnn_generator *signals = cnn_generator_find("signals");
    long mean[4] = {0}, crossed[4] = {0};
    int far_steps[4] = {0}; /* from one tick to the next */
    ck_assert_int_eq(signals->shape.rank, 1);
    ck_assert_uint_eq(cnn_shape_count(&signals->shape), TICKS);
    for (uint32_t i = 0; i < 4000; i++) {
        uint8_t x[TICKS];
        signals->make(1, 0, i, x);
        crossed[i % 4] += crossings(x);
        for (int t = 0; t < TICKS; t++) {
            mean[i % 4] += x[t];
            far_steps[i % 4] += t > 0 && abs(x[t] - x[t - 1]) > 90;
        }
    }
    for (int k = 0; k < 4; k++) {
        mean[k] /= 1000L * TICKS;
        ck_assert_msg(mean[k] >= 122 && mean[k] <= 134, "%s: mean %ld", signals->labels[k],
                      mean[k]);
    }
    for (int k = 0; k < 3; k++) /* 3.75 periods on average, two crossings each */
        ck_assert_msg(crossed[k] > 6000 && crossed[k] < 10000, "%s: %ld crossings",
                      signals->labels[k], crossed[k]);
    ck_assert_int_gt(crossed[3], 25000);
    ck_assert_int_eq(far_steps[0], 0);
    ck_assert_int_gt(far_steps[1], 6000); /* both edges of a square, one of a saw */
    ck_assert(far_steps[2] > 2500 && far_steps[2] < 4000);
}
END_TEST

START_TEST(a_sample_depends_on_seed_split_and_index_alone)
{
    for (int g = 0; cnn_generator_at(g); g++) {
        const struct cnn_generator *generator = cnn_generator_at(g);
        size_t bytes = cnn_shape_count(&generator->shape);
        uint8_t *x = malloc(bytes), *again = malloc(bytes);
        generator->make(5, 0, 40, x);
        for (uint32_t i = 50; i > 30; i--) /* other samples, in another order, in between */
            generator->make(5, 0, i, again);
        generator->make(5, 0, 40, again);
        ck_assert_mem_eq(x, again, bytes);

        int equal[3] = {0};
        for (uint32_t i = 0; i < 40; i++) {
            generator->make(5, 0, i, x);
            generator->make(6, 0, i, again);
            equal[0] += memcmp(x, again, bytes) == 0;
            generator->make(5, 1, i, again);
            equal[1] += memcmp(x, again, bytes) == 0;
            generator->make(5, 0, i + 40, again);
            equal[2] += memcmp(x, again, bytes) == 0;
        }
        for (int i = 0; i < 3; i++)
            ck_assert_int_lt(equal[i], 5);
        free(x);
        free(again);
    }
}
END_TEST

START_TEST(generators_are_found_by_name)
{
    const struct cnn_generator *shapes = cnn_generator_find("shapes");
    const struct cnn_generator *colors = cnn_generator_find("color-shapes");
    ck_assert_ptr_eq(shapes, cnn_generator_at(0));
    ck_assert_ptr_eq(colors, cnn_generator_at(1));
    ck_assert_str_eq(shapes->labels[0], "square");
    ck_assert_str_eq(shapes->labels[1], "circle");
    ck_assert_str_eq(colors->labels[0], "yellow-square");
    ck_assert_str_eq(colors->labels[1], "other");
    ck_assert_int_eq(colors->shape.c, 3);
    ck_assert_float_eq(shapes->scale, 1.0f / 255);
    ck_assert_str_eq(cnn_generator_find("solids")->labels[4], "torus");
    ck_assert_str_eq(cnn_generator_find("signals")->labels[3], "noise");
    ck_assert_ptr_null(cnn_generator_find("shape"));
    ck_assert_ptr_null(cnn_generator_at(-1));
    ck_assert_ptr_null(cnn_generator_at(1000));
}
END_TEST

TEST_PROGRAM("core_synth", shapes_are_squares_of_side_5_to_13_anywhere_and_circles_of_radius_5_or_6,
             color_shapes_are_yellow_squares_against_yellow_circles_and_red_squares,
             solids_are_filled_bodies_of_the_right_volume, signals_are_waves_around_128_and_noise,
             a_sample_depends_on_seed_split_and_index_alone, generators_are_found_by_name)
