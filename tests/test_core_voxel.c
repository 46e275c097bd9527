#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "limits.h"
#include "rng.h"
#include "voxel.h"

enum { SIDE = 24, VOXELS = SIDE * SIDE * SIDE };

static const struct cnn_shape cube = {.c = 1, .size = {SIDE, SIDE, SIDE}, .rank = 3};

static int occupied(const uint8_t *grid, size_t count)
{
    int sum = 0;
    for (size_t i = 0; i < count; i++) {
        if (grid[i] > 1) /* not ck_assert: it costs, thousands of times */
            ck_abort_msg("voxel %zu is %d", i, grid[i]);
        sum += grid[i];
    }
    return sum;
}

static void voxelize(const float *points, size_t count, struct cnn_voxelize how,
                     const struct cnn_shape *shape, uint8_t *grid)
{
    struct err e = {0};
    memset(grid, 0xee, cnn_shape_count(shape)); /* what stood there must not matter */
    ck_assert_msg(cnn_voxels_from_points(points, count, &how, shape, grid, &e), "%s", e.detail);
}

static struct cnn_voxelize fitted(enum cnn_voxel_fit fit)
{
    struct cnn_voxelize how = cnn_voxelize_defaults();
    how.fit = fit;
    return how;
}

/* ---- points ---- */

START_TEST(points_go_to_floor_of_their_place_times_the_size)
{
    /* x is 0, 0.5, 1 of its range; y in another order; z scaled and shifted. */
    const float points[] = {-1, 4, 100, 0, 8, 300, 1, 6, 200};
    const int expected[][3] = {{0, 0, 0}, {12, 23, 23}, {23, 12, 12}};
    uint8_t grid[VOXELS];
    voxelize(points, 3, cnn_voxelize_defaults(), &cube, grid);
    ck_assert_int_eq(occupied(grid, VOXELS), 3);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(grid[(expected[i][0] * SIDE + expected[i][1]) * SIDE + expected[i][2]], 1);
}
END_TEST

START_TEST(a_point_one_voxel_apart_is_one_voxel_apart)
{
    const struct cnn_shape line = {.c = 1, .size = {4, 1, 1}, .rank = 3};
    for (int at = 0; at <= 8; at++) { /* on the borders between voxels too: they belong upwards */
        const float points[] = {0, 0, 0, (float)at, 0, 0, 8, 0, 0};
        uint8_t grid[4], expected[4] = {1, 0, 0, 1};
        expected[at == 8 ? 3 : at / 2] = 1;
        voxelize(points, 3, cnn_voxelize_defaults(), &line, grid);
        ck_assert_mem_eq(grid, expected, 4);
    }
}
END_TEST

START_TEST(flat_axes_divide_by_nothing)
{
    const float flat[] = {0, 5, 0, 1, 5, 0, 0, 5, 1}, single[] = {7, 7, 7};
    uint8_t grid[VOXELS];
    voxelize(flat, 3, cnn_voxelize_defaults(), &cube, grid); /* y = max = min: voxel 0 */
    ck_assert_int_eq(occupied(grid, VOXELS), 3);
    ck_assert_int_eq(grid[0] + grid[23 * SIDE * SIDE] + grid[23], 3);
    voxelize(flat, 3, fitted(CNN_VOXEL_ASPECT), &cube, grid); /* or the middle */
    ck_assert_int_eq(grid[12 * SIDE] + grid[(23 * SIDE + 12) * SIDE] + grid[12 * SIDE + 23], 3);
    voxelize(single, 1, cnn_voxelize_defaults(), &cube, grid);
    ck_assert_int_eq(occupied(grid, VOXELS), 1);
    ck_assert_int_eq(grid[0], 1);
    voxelize(single, 1, fitted(CNN_VOXEL_ASPECT), &cube, grid);
    ck_assert_int_eq(occupied(grid, VOXELS), 1);
    ck_assert_int_eq(grid[(12 * SIDE + 12) * SIDE + 12], 1);
}
END_TEST

START_TEST(the_aspect_is_kept_and_the_object_centred)
{
    /* A box of 8 x 4 x 2 by its corners: voxels 0..7, 2..5, 3..4 of 8. */
    const struct cnn_shape shape = {.c = 1, .size = {8, 8, 8}, .rank = 3};
    const float points[] = {10, 20, 30, 17.9f, 23.9f, 31.9f, 18, 24, 32};
    uint8_t grid[512];
    voxelize(points, 3, fitted(CNN_VOXEL_ASPECT), &shape, grid);
    ck_assert_int_eq(grid[(0 * 8 + 2) * 8 + 3], 1);
    ck_assert_int_eq(grid[(7 * 8 + 5) * 8 + 4], 1);
    /* The upper corner lies on the border of voxels 6 and 5 of y and z; only x is clipped. */
    ck_assert_int_eq(grid[(7 * 8 + 6) * 8 + 5], 1);
    ck_assert_int_eq(occupied(grid, 512), 3);
}
END_TEST

START_TEST(grids_need_not_be_cubes)
{
    const struct cnn_shape shape = {.c = 1, .size = {2, 3, 5}, .rank = 3};
    const float points[] = {0, 0, 0, 1, 1, 1};
    uint8_t grid[30];
    voxelize(points, 2, cnn_voxelize_defaults(), &shape, grid);
    ck_assert_int_eq(grid[0] + grid[29], 2);
    ck_assert_int_eq(occupied(grid, 30), 2);
    voxelize(points, 2, fitted(CNN_VOXEL_ASPECT), &shape, grid); /* 2 voxels a side, centred */
    ck_assert_int_eq(grid[(0 * 3 + 0) * 5 + 1], 1);
    ck_assert_int_eq(grid[(1 * 3 + 2) * 5 + 3], 1);
}
END_TEST

START_TEST(axes_say_which_coordinate_runs_along_which_side)
{
    const struct cnn_shape shape = {.c = 1, .size = {2, 3, 5}, .rank = 3};
    const float points[] = {0, 0, 0, 8, 0, 0, 16, 16, 16}; /* the second: the middle of x */
    struct cnn_voxelize how = cnn_voxelize_defaults();
    struct err e = {0};
    uint8_t grid[30];
    memcpy(how.axes, (uint8_t[]){1, 0, 2}, 3); /* y along D, x along H */
    voxelize(points, 3, how, &shape, grid);
    ck_assert_int_eq(grid[(0 * 3 + 1) * 5 + 0], 1);
    memcpy(how.axes, (uint8_t[]){2, 1, 0}, 3); /* x along W */
    voxelize(points, 3, how, &shape, grid);
    ck_assert_int_eq(grid[2], 1);
    for (int i = 0; i < 2; i++) {
        memcpy(how.axes, i ? (uint8_t[]){0, 1, 255} : (uint8_t[]){0, 1, 1}, 3);
        ck_assert(!cnn_voxels_from_points(points, 3, &how, &shape, grid, &e));
        ck_assert_str_eq(e.field, "axes");
    }
}
END_TEST

START_TEST(coordinates_of_any_finite_size_stay_inside)
{
    const float big = 3.4028235e38f, tiny = 1e-45f;
    const float sets[][9] = {
        {-big, -big, -big, big, big, big, 0, 1, -1},
        {big, big, big, big, big, big, big, big, big},
        {0, 0, 0, tiny, tiny, tiny, -tiny, 0, tiny},
        {-big, 0, tiny, big, tiny, 0, 1e38f, -tiny, 5},
        {16777216, 0, 0, 16777220, 1, 1, 16777218, 0, 0},
    };
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        for (int fit = CNN_VOXEL_STRETCH; fit <= CNN_VOXEL_ASPECT; fit++) {
            uint8_t grid[VOXELS];
            voxelize(sets[i], 3, fitted((enum cnn_voxel_fit)fit), &cube, grid);
            int count = occupied(grid, VOXELS);
            ck_assert(count >= 1 && count <= 3);
        }
    }
}
END_TEST

START_TEST(coordinates_that_are_no_numbers_are_refused_by_index)
{
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        float points[] = {0, 0, 0, 1, 1, 1, 2, 2, 2};
        struct cnn_mesh mesh = {.vertex_count = 3, .vertices = points};
        struct cnn_voxelize how = cnn_voxelize_defaults();
        struct err e = {0};
        uint8_t grid[VOXELS];
        points[7] = bad[i];
        ck_assert(!cnn_voxels_from_points(points, 3, &how, &cube, grid, &e));
        ck_assert_int_eq(e.code, ERR_INVALID);
        ck_assert_str_eq(e.field, "[2][1]");
        ck_assert_str_eq(e.detail, "coordinate y of point 2 is not a finite number");
        ck_assert(!cnn_voxels_from_mesh(&mesh, &how, &cube, grid, &e));
    }
}
END_TEST

START_TEST(shapes_that_are_no_grids_are_refused)
{
    static const struct cnn_shape shapes[] = {
        {.c = 3, .size = {8, 8, 8}, .rank = 3},
        {.c = 1, .size = {1, 28, 28}, .rank = 2},
        {.c = 1, .size = {0, 8, 8}, .rank = 3},
        {.c = 1, .size = {8, -1, 8}, .rank = 3},
        {.c = 1, .size = {1024, 1024, 1024}, .rank = 3},
        {.c = 1, .size = {CNN_DIM_MAX + 1, 1, 1}, .rank = 3},
    };
    const float points[3] = {0};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct cnn_mesh mesh = {.vertex_count = 1, .vertices = (float *)points};
        struct cnn_voxelize how = cnn_voxelize_defaults();
        struct err e = {0};
        ck_assert(!cnn_voxels_from_points(points, 1, &how, &shapes[i], NULL, &e));
        ck_assert_int_eq(e.code, ERR_INVALID);
        ck_assert(!cnn_voxels_from_mesh(&mesh, &how, &shapes[i], NULL, &e));
        ck_assert(!cnn_voxels_from_list(points, 1, &shapes[i], NULL, &e));
    }
}
END_TEST

START_TEST(grids_of_one_voxel_and_of_the_longest_side_are_made)
{
    const float points[] = {0, 0, 0, 1, 2, 3};
    const struct cnn_shape one = {.c = 1, .size = {1, 1, 1}, .rank = 3};
    const struct cnn_shape rod = {.c = 1, .size = {1, 1, CNN_DIM_MAX}, .rank = 3};
    uint8_t *grid = malloc(CNN_DIM_MAX);
    for (int fit = CNN_VOXEL_STRETCH; fit <= CNN_VOXEL_ASPECT; fit++) {
        voxelize(points, 2, fitted((enum cnn_voxel_fit)fit), &one, grid);
        ck_assert_int_eq(grid[0], 1);
        voxelize(points, 2, fitted((enum cnn_voxel_fit)fit), &rod, grid);
        ck_assert_int_eq(occupied(grid, CNN_DIM_MAX), 2);
    }
    free(grid);
}
END_TEST

START_TEST(no_points_are_an_error)
{
    struct cnn_voxelize how = cnn_voxelize_defaults();
    struct cnn_mesh mesh = {0};
    struct err e = {0};
    uint8_t grid[VOXELS];
    ck_assert(!cnn_voxels_from_points(NULL, 0, &how, &cube, grid, &e));
    ck_assert_str_eq(e.detail, "no points to make voxels of");
    ck_assert(!cnn_voxels_from_mesh(&mesh, &how, &cube, grid, &e));
    ck_assert_str_eq(e.detail, "the mesh has no vertices");
}
END_TEST

/* ---- lists ---- */

START_TEST(listed_voxels_are_occupied)
{
    const struct cnn_shape shape = {.c = 1, .size = {2, 3, 4}, .rank = 3};
    const float list[] = {0, 0, 0, 1, 2, 3, 0, 1, 2, 1, 2, 3};
    uint8_t grid[24], expected[24] = {[0] = 1, [23] = 1, [6] = 1};
    struct err e = {0};
    memset(grid, 0xee, sizeof grid);
    ck_assert(cnn_voxels_from_list(list, 4, &shape, grid, &e));
    ck_assert_mem_eq(grid, expected, 24);
    ck_assert(cnn_voxels_from_list(NULL, 0, &shape, grid, &e));
    ck_assert_int_eq(occupied(grid, 24), 0);
}
END_TEST

START_TEST(listed_voxels_outside_are_refused_by_index)
{
    const struct cnn_shape shape = {.c = 1, .size = {2, 3, 4}, .rank = 3};
    static const float bad[] = {-1, 3, 0.5f, 1e38f, NAN, INFINITY, -0.25f};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const float list[] = {1, 2, 3, 0, bad[i], 0};
        uint8_t grid[24];
        struct err e = {0};
        ck_assert(!cnn_voxels_from_list(list, 2, &shape, grid, &e));
        ck_assert_int_eq(e.code, ERR_INVALID);
        ck_assert_str_eq(e.field, "[1][1]");
        ck_assert_ptr_nonnull(strstr(e.detail, "voxel 1 has y = "));
        ck_assert_ptr_nonnull(strstr(e.detail, "expected a whole number 0 to 2"));
    }
}
END_TEST

/* ---- surfaces ---- */

/* Two squares of side 1 and 3 in the plane z = 0, apart; a triangle without area; a stray vertex.
 */
static float square_vertices[] = {0, 0,  0, 1, 0,  0, 1, 1,  0, 0, 1,  0,  10, 0,
                                  0, 13, 0, 0, 13, 3, 0, 10, 3, 0, 99, 99, 99};
static uint32_t square_triangles[] = {0, 1, 2, 0, 0, 1, 0, 2, 3, 4, 5, 6, 4, 6, 7, 5, 5, 5};
static const struct cnn_mesh squares = {
    .vertex_count = 9,
    .triangle_count = 6,
    .vertices = square_vertices,
    .triangles = square_triangles,
};

START_TEST(points_are_uniform_by_area)
{
    enum { POINTS = 10000 };
    static float points[3 * POINTS];
    int small = 0, quadrants[4] = {0};
    struct err e = {0};
    ck_assert(cnn_mesh_sample(&squares, 1, POINTS, points, &e));
    for (const float *p = points; p < points + 3 * POINTS; p += 3) {
        bool in_small = p[0] <= 1;
        float low = in_small ? 0 : 10, side = in_small ? 1 : 3;
        if (p[0] < low || p[0] > low + side || p[1] < 0 || p[1] > side || p[2] != 0)
            ck_abort_msg("point (%g,%g,%g) is not on the surface", (double)p[0], (double)p[1],
                         (double)p[2]);
        small += in_small;
        if (!in_small)
            quadrants[2 * (p[0] > 11.5f) + (p[1] > 1.5f)]++;
    }
    ck_assert_int_ge(small, POINTS / 10 - 1); /* areas 1 and 9; one point a part of the surface */
    ck_assert_int_le(small, POINTS / 10 + 1);
    for (int i = 0; i < 4; i++) /* mean 2250, deviation under 41 */
        ck_assert(quadrants[i] > 2050 && quadrants[i] < 2450);
}
END_TEST

START_TEST(the_same_seed_draws_the_same_points)
{
    float a[300], b[300];
    struct err e = {0};
    ck_assert(cnn_mesh_sample(&squares, 7, 100, a, &e));
    ck_assert(cnn_mesh_sample(&squares, 7, 100, b, &e));
    ck_assert_mem_eq(a, b, sizeof a);
    ck_assert(cnn_mesh_sample(&squares, 8, 100, b, &e));
    ck_assert_mem_ne(a, b, sizeof a);
}
END_TEST

START_TEST(a_mesh_without_area_gives_its_vertices)
{
    uint32_t degenerate[] = {0, 0, 1, 2, 2, 2};
    struct cnn_mesh mesh = squares;
    float points[54];
    struct err e = {0};
    mesh.triangles = degenerate;
    for (mesh.triangle_count = 0; mesh.triangle_count <= 2; mesh.triangle_count++) {
        ck_assert(cnn_mesh_sample(&mesh, 0, 18, points, &e));
        for (int i = 0; i < 18; i++) /* twice as many points as vertices: each twice */
            ck_assert_mem_eq(points + 3 * i, square_vertices + 3 * (i / 2), 3 * sizeof(float));
        ck_assert(cnn_mesh_sample(&mesh, 0, 3, points, &e));
        for (int i = 0; i < 3; i++)
            ck_assert_mem_eq(points + 3 * i, square_vertices + 9 * i, 3 * sizeof(float));
    }
}
END_TEST

START_TEST(areas_of_any_finite_size_are_compared)
{
    static const float sizes[] = {1e-44f, 1e-20f, 1, 1e20f, 3e38f};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        float s = sizes[i], vertices[] = {-s, -s, s, s, -s, s, s, s, s, -s, s, s}, points[300];
        uint32_t triangles[] = {0, 1, 2, 0, 2, 3};
        struct cnn_mesh mesh = {4, 2, vertices, triangles};
        struct err e = {0};
        int upper = 0;
        ck_assert(cnn_mesh_sample(&mesh, 0, 100, points, &e));
        for (int p = 0; p < 100; p++) {
            ck_assert(fabsf(points[3 * p]) <= s && fabsf(points[3 * p + 1]) <= s);
            upper += p >= 50 && points[3 * p + 1] >= points[3 * p];
        }
        ck_assert_int_eq(upper, 50); /* the second half of the points, the second triangle */
    }
}
END_TEST

START_TEST(vertices_that_no_triangle_uses_do_not_count)
{
    struct cnn_voxelize how = fitted(CNN_VOXEL_ASPECT);
    struct cnn_mesh mesh = squares;
    struct err e = {0};
    uint8_t with[VOXELS], without[VOXELS];
    ck_assert(cnn_voxels_from_mesh(&mesh, &how, &cube, with, &e));
    mesh.vertex_count = 8;
    ck_assert(cnn_voxels_from_mesh(&mesh, &how, &cube, without, &e));
    ck_assert_mem_eq(with, without, VOXELS);
}
END_TEST

START_TEST(the_number_of_samples_is_bounded)
{
    static const uint32_t bad[] = {0, CNN_VOXEL_SAMPLES_MAX + 1, UINT32_MAX};
    for (int i = 0; i < 3; i++) {
        struct cnn_voxelize how = cnn_voxelize_defaults();
        struct err e = {0};
        uint8_t grid[VOXELS];
        ck_assert_int_eq(how.samples, 2048);
        how.samples = bad[i];
        ck_assert(!cnn_voxels_from_mesh(&squares, &how, &cube, grid, &e));
        ck_assert_str_eq(e.field, "samples");
    }
}
END_TEST

/* ---- filling ---- */

START_TEST(what_a_surface_encloses_is_filled)
{
    enum { EDGE = 9, ALL = EDGE * EDGE * EDGE, SURFACE = ALL - 7 * 7 * 7 };
    const struct cnn_shape shape = {.c = 1, .size = {EDGE, EDGE, EDGE}, .rank = 3};
    static float points[3 * ALL];
    struct cnn_voxelize how = cnn_voxelize_defaults();
    uint8_t grid[ALL];
    size_t count = 0;
    for (int i = 0; i < ALL; i++) {
        int at[] = {i / (EDGE * EDGE), i / EDGE % EDGE, i % EDGE};
        bool surface = false;
        for (int a = 0; a < 3; a++) {
            points[3 * count + (size_t)a] = (float)at[a];
            surface |= at[a] == 0 || at[a] == EDGE - 1;
        }
        count += surface;
    }
    voxelize(points, count, how, &shape, grid);
    ck_assert_int_eq(occupied(grid, ALL), SURFACE);
    how.solid = true;
    voxelize(points, count, how, &shape, grid);
    ck_assert_int_eq(occupied(grid, ALL), ALL);
    /* With one hole in the middle of a side (x = 0) the inside is outside. */
    size_t hole = 4 * EDGE + 4;
    memmove(points + 3 * hole, points + 3 * (hole + 1), (count - hole - 1) * 3 * sizeof *points);
    voxelize(points, count - 1, how, &shape, grid);
    ck_assert_int_eq(occupied(grid, ALL), SURFACE - 1);
}
END_TEST

TEST_PROGRAM("core_voxel", points_go_to_floor_of_their_place_times_the_size,
             a_point_one_voxel_apart_is_one_voxel_apart, flat_axes_divide_by_nothing,
             the_aspect_is_kept_and_the_object_centred, grids_need_not_be_cubes,
             axes_say_which_coordinate_runs_along_which_side,
             coordinates_of_any_finite_size_stay_inside,
             coordinates_that_are_no_numbers_are_refused_by_index,
             shapes_that_are_no_grids_are_refused,
             grids_of_one_voxel_and_of_the_longest_side_are_made, no_points_are_an_error,
             listed_voxels_are_occupied, listed_voxels_outside_are_refused_by_index,
             points_are_uniform_by_area, the_same_seed_draws_the_same_points,
             a_mesh_without_area_gives_its_vertices, areas_of_any_finite_size_are_compared,
             vertices_that_no_triangle_uses_do_not_count, the_number_of_samples_is_bounded,
             what_a_surface_encloses_is_filled)
