/* Every body of POST /predict that becomes a grid of voxels, or is one. */
#include "harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "limits.h"
#include "npy.h"
#include "predict_body.h"

enum { SIDE = 3, CELLS = SIDE * SIDE * SIDE };

static struct err e;
static struct predict_batch batch;
static const struct cnn_shape grid = {.c = 1, .size = {SIDE, SIDE, SIDE}, .rank = 3};
static const struct cnn_shape picture = {.c = 1, .size = {1, 2, 3}, .rank = 2};
static struct preprocess pre;

/* Stored as they are, meshes by few points so that a corner is a corner. */
static void reset(void)
{
    pre = (struct preprocess){.normalize = {.scale = 1}};
}

static bool decode_as(const struct cnn_shape *shape, struct predict_body body)
{
    char *exact =
        malloc(body.size ? body.size : 1); /* so that a sanitizer sees each byte past it */
    if (body.size)
        memcpy(exact, body.bytes, body.size);
    body.bytes = exact;
    bool ok = predict_body_decode(&body, shape, &pre, &batch, &e);
    free(exact);
    return ok;
}

static bool decode(const char *type, const void *bytes, size_t size)
{
    return decode_as(&grid,
                     (struct predict_body){.content_type = type, .bytes = bytes, .size = size});
}

static bool decode_text(const char *type, const char *text)
{
    return decode(type, text, strlen(text));
}

/* Sample `index` is occupied (with `value`) in these cells and no others. */
static void check_cells(int index, const int (*cells)[3], int count, float value)
{
    float expected[CELLS] = {0};
    for (int i = 0; i < count; i++)
        expected[(cells[i][0] * SIDE + cells[i][1]) * SIDE + cells[i][2]] = value;
    ck_assert_int_lt(index, batch.count);
    harness_close(batch.x + (size_t)index * CELLS, expected, CELLS, 0, "voxel");
}

/* From corner to corner, and the middle. */
static const int diagonal[][3] = {{0, 0, 0}, {1, 1, 1}, {2, 2, 2}};
#define DIAGONAL_POINTS "[[-1,-10,5],[0,0,6],[1,10,7]]"
#define DIAGONAL_CELLS "[[0,0,0],[1,1,1],[2,2,2]]"
/* Without faces a mesh is its vertices. */
#define DIAGONAL_OFF "OFF\n3 0 0\n-1 -10 5\n0 0 6\n1 10 7\n"
#define DIAGONAL_OFF_JSON "OFF\\n3 0 0\\n-1 -10 5\\n0 0 6\\n1 10 7\\n"
#define DIAGONAL_OBJ "v -1 -10 5\nv 0 0 6\nv 1 10 7\n"

static void check_diagonals(int count)
{
    ck_assert_int_eq(batch.count, count);
    for (int i = 0; i < count; i++)
        check_cells(i, diagonal, 3, 1);
    predict_batch_clear(&batch);
}

static void check_refused(enum err_code code, const char *field, const char *detail)
{
    ck_assert_msg(e.code == code, "%d: %s", e.code, e.detail);
    ck_assert_str_eq(e.field, field);
    ck_assert_msg(strstr(e.detail, detail), "'%s' lacks '%s'", e.detail, detail);
    ck_assert_int_eq(batch.count, 0);
    ck_assert_ptr_null(batch.x);
}

START_TEST(every_document_makes_the_same_grid)
{
    static const struct {
        const char *text;
        int count;
    } cases[] = {
        {"{\"points\":" DIAGONAL_POINTS "}", 1},
        {"{\"points\":[" DIAGONAL_POINTS "," DIAGONAL_POINTS "]}", 2},
        {"{\"voxels\":{\"shape\":[3,3,3],\"occupied\":" DIAGONAL_CELLS "}}", 1},
        {"{\"voxels\":{\"shape\":[1,3,3,3],\"occupied\":" DIAGONAL_CELLS "}}", 1},
        {"{\"voxels\":{\"occupied\":" DIAGONAL_CELLS "}}", 1},
        {"{\"voxels\":[{\"occupied\":" DIAGONAL_CELLS "},{\"occupied\":" DIAGONAL_CELLS "}]}", 2},
        {"{\"mesh\":\"" DIAGONAL_OFF_JSON "\"}", 1},
        {"{\"meshes\":[\"" DIAGONAL_OFF_JSON "\",\"v -1 -10 5\\nv 0 0 6\\nv 1 10 7\"]}", 2},
        {"{\"inputs\":{\"points\":" DIAGONAL_POINTS "}}", 1},
        {"{\"inputs\":[{\"points\":" DIAGONAL_POINTS "},{\"mesh\":\"" DIAGONAL_OFF_JSON
         "\"},{\"voxels\":{\"occupied\":" DIAGONAL_CELLS "}}]}",
         3},
        {"{\"inputs\":[[[1,0,0],[0,0,0],[0,0,0]],[[0,0,0],[0,1,0],[0,0,0]],"
         "[[0,0,0],[0,0,0],[0,0,1]]]}",
         1},
        {"{\"inputs\":[[1,0,0,0,0,0,0,0,0,0,0,0,0,1,0,0,0,0,0,0,0,0,0,0,0,0,1]]}", 1},
    };
    reset();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_msg(decode_text("application/json", cases[i].text), "%s: %s: %s", cases[i].text,
                      e.field, e.detail);
        check_diagonals(cases[i].count);
    }
}
END_TEST

START_TEST(a_mesh_is_known_by_its_bytes_whatever_the_type)
{
    static const char *const types[] = {"model/off",
                                        "text/plain",
                                        "text/plain; charset=utf-8",
                                        "application/octet-stream",
                                        "application/x-www-form-urlencoded",
                                        "",
                                        NULL};
    reset();
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        ck_assert_msg(decode_text(types[i], DIAGONAL_OFF), "%zu: %s", i, e.detail);
        check_diagonals(1);
        ck_assert_msg(decode_text(types[i], DIAGONAL_OBJ), "%zu: %s", i, e.detail);
        check_diagonals(1);
    }
    ck_assert(decode_text("model/obj", DIAGONAL_OBJ));
    check_diagonals(1);
}
END_TEST

/* Two triangles across the diagonal plane, as a binary and a text STL and as OFF. */
START_TEST(stl_makes_the_same_grid_as_off)
{
    static const float corners[2][3][3] = {{{0, 0, 0}, {9, 0, 0}, {9, 9, 9}},
                                           {{0, 0, 0}, {9, 9, 9}, {0, 9, 9}}};
    struct buf binary = {0}, text = {0};
    float expected[CELLS];
    reset();
    ck_assert(
        decode_text("model/off", "OFF\n4 2 0\n0 0 0\n9 0 0\n9 9 9\n0 9 9\n3 0 1 2\n3 0 2 3\n"));
    memcpy(expected, batch.x, sizeof expected);
    ck_assert(expected[0] == 1 && expected[CELLS - 1] == 1 && expected[2] == 0);
    predict_batch_clear(&batch);

    buf_add(&binary, (char[80]){0}, 80);
    buf_add(&binary, (uint32_t[]){2}, 4);
    buf_str(&text, "solid s\n");
    for (int t = 0; t < 2; t++) {
        buf_add(&binary, (float[3]){0}, 12);
        buf_add(&binary, corners[t], 36);
        buf_add(&binary, "\0", 2);
        buf_str(&text, "facet normal 0 0 0\nouter loop\n");
        for (int v = 0; v < 3; v++)
            buf_fmt(&text, "vertex %g %g %g\n", (double)corners[t][v][0], (double)corners[t][v][1],
                    (double)corners[t][v][2]);
        buf_str(&text, "endloop\nendfacet\n");
    }
    buf_str(&text, "endsolid\n");
    const struct buf *files[] = {&binary, &text};
    const char *const types[] = {"model/stl", "application/octet-stream", NULL};
    for (int i = 0; i < 6; i++) {
        const struct buf *file = files[i % 2];
        ck_assert_msg(decode(types[i / 2], file->data, file->size), "%d: %s", i, e.detail);
        harness_close(batch.x, expected, CELLS, 0, "voxel");
        predict_batch_clear(&batch);
    }
    buf_clear(&binary);
    buf_clear(&text);
}
END_TEST

START_TEST(the_models_preprocessing_makes_the_grid)
{
    static const int lying[][3] = {{0, 2, 1}, {2, 0, 1}}; /* y, x and z, one scale, centred */
    static const int standing[][3] = {{2, 0, 0}, {0, 2, 2}};
    const char *text = "{\"points\":[[4,0,0],[0,4,1]]}";
    const struct cnn_voxelize usual = cnn_voxelize_defaults();
    struct predict_body body = {.bytes = text, .size = strlen(text)};
    reset();
    pre.voxelize =
        (struct cnn_voxelize){.fit = CNN_VOXEL_ASPECT, .axes = {1, 0, 2}, .samples = 100};
    ck_assert_msg(decode_as(&grid, body), "%s", e.detail);
    check_cells(0, lying, 2, 1);
    predict_batch_clear(&batch);
    /* A request may want otherwise. */
    body.voxelize = &usual;
    ck_assert(decode_as(&grid, body));
    check_cells(0, standing, 2, 1);
    predict_batch_clear(&batch);
    /* Values: what the training grids' became. */
    pre.voxelize = usual;
    pre.normalize = (struct cnn_normalize){.scale = 2};
    ck_assert(decode_text(NULL, text));
    check_cells(0, standing, 2, 2);
    predict_batch_clear(&batch);
    pre.normalize = (struct cnn_normalize){.scale = 1.0f / 255};
    ck_assert(decode_text(NULL, text));
    check_cells(0, standing, 2, 1);
    predict_batch_clear(&batch);
    pre.normalize =
        (struct cnn_normalize){.scale = 1, .channels = 1, .mean = {0.5f}, .deviation = {0.25f}};
    ck_assert(decode_text(NULL, text));
    ck_assert(batch.x[0] == -2 && batch.x[2 * SIDE * SIDE] == 2);
    predict_batch_clear(&batch);
}
END_TEST

START_TEST(lists_that_are_wrong_are_refused_with_the_index)
{
    static const struct {
        const char *text, *field, *detail;
    } cases[] = {
        {"{\"voxels\":{\"occupied\":[[0,0,0],[0,3,0]]}}", "voxels.occupied[1][1]",
         "voxel 1 has y = 3, expected a whole number 0 to 2"},
        {"{\"voxels\":{\"occupied\":[[0,0,-1]]}}", "voxels.occupied[0][2]", "z = -1"},
        {"{\"voxels\":{\"occupied\":[[0.5,0,1]]}}", "voxels.occupied[0][0]", "x = 0.5"},
        {"{\"voxels\":[{\"occupied\":[[0,0,1]]},{\"occupied\":[[4294967296,0,1]]}]}",
         "voxels[1].occupied[0][0]", "expected a whole number"},
        {"{\"voxels\":{\"occupied\":[[0,0,0],[1,1]]}}", "voxels.occupied[1]", "ragged"},
        {"{\"voxels\":{\"occupied\":[[0,0],[1,1]]}}", "voxels.occupied[0]",
         "expected [x,y,z], got 2 numbers"},
        {"{\"voxels\":{\"occupied\":[0,1,2]}}", "voxels.occupied", "nested 1 deep"},
        {"{\"voxels\":{\"occupied\":[]}}", "voxels.occupied", "empty"},
        {"{\"voxels\":{\"occupied\":\"all\"}}", "voxels.occupied", "expected a list of [x,y,z]"},
        {"{\"voxels\":{\"occupied\":{}}}", "voxels.occupied", "expected a list of [x,y,z]"},
        {"{\"voxels\":{}}", "voxels.occupied", "expected a list of [x,y,z]"},
        {"{\"voxels\":{\"shape\":[3,3,4],\"occupied\":[[0,0,0]]}}", "voxels.shape",
         "not the grid [1,3,3,3]"},
        {"{\"voxels\":{\"shape\":[3,3],\"occupied\":[[0,0,0]]}}", "voxels.shape", "grid"},
        {"{\"voxels\":{\"shape\":[],\"occupied\":[[0,0,0]]}}", "voxels.shape", "grid"},
        {"{\"voxels\":{\"shape\":[1,1,3,3,3],\"occupied\":[[0,0,0]]}}", "voxels.shape", "grid"},
        {"{\"voxels\":{\"shape\":\"333\",\"occupied\":[[0,0,0]]}}", "voxels.shape", "grid"},
        {"{\"voxels\":{\"side\":3,\"occupied\":[[0,0,0]]}}", "voxels.side", "unknown field"},
        {"{\"voxels\":[]}", "voxels", "empty list"},
        {"{\"voxels\":7}", "voxels", "expected an object"},
        {"{\"voxels\":[7]}", "voxels[0]", "a number"},
        {"{\"points\":[[0,0,0],[NaN,0,0]]}", "points[1][0]", "expected a number"},
        {"{\"points\":[[0,0,0],[1,2]]}", "points[1]", "ragged array"},
        {"{\"points\":[[0,0,0],[1,2,1e99]]}", "points[1][2]", "overflows"},
        {"{\"points\":[[0,0,0,1]]}", "points[0]", "expected [x,y,z], got 4 numbers"},
        {"{\"points\":[[[0,0]]]}", "points[0][0]", "expected [x,y,z], got 2 numbers"},
        {"{\"points\":[[[[0,0,0]]]]}", "points", "nested 4 deep"},
        {"{\"points\":[]}", "points", "empty array"},
        {"{\"points\":\"x\"}", "points", "expected a list"},
        {"{\"inputs\":[{\"points\":[[0,0,0]]},{\"points\":[[0,0,null]]}]}",
         "inputs[1].points[0][2]", "expected a number"},
        {"{\"inputs\":[{\"points\":[[0,0,0]]},5]}", "inputs[1]", "a number"},
        {"{\"inputs\":[{\"points\":[[0,0,0]]},{\"inputs\":[1]}]}", "inputs[1].inputs",
         "expected one of 'image', 'mesh', 'points', 'voxels'"},
        {"{\"inputs\":[{}]}", "inputs[0]", "expected one of"},
        {"{\"points\":[[0,0,0]],\"mesh\":\"OFF\"}", "mesh", "beside 'points'"},
        {"{\"mesh\":3}", "mesh", "expected the text"},
        {"{\"meshes\":\"OFF\"}", "meshes", "expected a list"},
    };
    reset();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_msg(!decode_text(NULL, cases[i].text), "%s", cases[i].text);
        check_refused(ERR_INVALID, cases[i].field, cases[i].detail);
    }
}
END_TEST

START_TEST(meshes_that_are_broken_are_unprocessable)
{
    reset();
    ck_assert(!decode_text("model/off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 1\n3 0 1 7\n"));
    check_refused(ERR_UNPROCESSABLE, "", "7");
    ck_assert(!decode_text("model/off", "hello"));
    check_refused(ERR_UNPROCESSABLE, "", "begin like no mesh");
    ck_assert(!decode_text(NULL, "{\"mesh\":\"hello\"}"));
    check_refused(ERR_UNPROCESSABLE, "mesh", "begin like no mesh");
    ck_assert(
        !decode_text(NULL, "{\"meshes\":[\"" DIAGONAL_OFF_JSON "\",\"OFF\\n1 0 0\\nnan 0 0\"]}"));
    ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
    ck_assert_str_eq(e.field, "meshes[1]");
}
END_TEST

START_TEST(pictures_models_take_no_grids)
{
    static const char *const texts[] = {"{\"points\":[[0,0,0]]}",
                                        "{\"voxels\":{\"occupied\":[[0,0,0]]}}",
                                        "{\"mesh\":\"" DIAGONAL_OFF_JSON "\"}", DIAGONAL_OFF};
    reset();
    for (int i = 0; i < 4; i++) {
        struct predict_body body = {.bytes = texts[i], .size = strlen(texts[i])};
        ck_assert(!decode_as(&picture, body));
        ck_assert_int_eq(e.code, ERR_INVALID);
        ck_assert_msg(strstr(e.detail, "do not fit the input [1,2,3]"), "%s", e.detail);
    }
}
END_TEST

/* "OFF" and numbers are three bytes of a picture, too. */
START_TEST(raw_bytes_that_begin_like_a_mesh_stay_raw)
{
    static const char bytes[CELLS] = "OFF\n1 0 0";
    reset();
    ck_assert_msg(decode("application/octet-stream", bytes, CELLS), "%s", e.detail);
    ck_assert_int_eq(batch.count, 1);
    ck_assert(batch.x[0] == 'O');
    predict_batch_clear(&batch);
    /* A whole mesh is one, though it has as many bytes as a sample. */
    const char *mesh = "OFF\n3 0 0\n0 0 0\n1 1 1\n2 2 2";
    ck_assert_uint_eq(strlen(mesh), CELLS);
    ck_assert(decode_text("application/octet-stream", mesh));
    check_diagonals(1);
}
END_TEST

/* ---- npy ---- */

static void npy_of(struct buf *out, enum npy_dtype dtype, int rank, const size_t *dims,
                   const void *values)
{
    size_t size = npy_dtype_bytes(dtype);
    for (int i = 0; i < rank; i++)
        size *= dims[i];
    buf_clear(out);
    npy_write_head(out, dtype, rank, dims);
    buf_add(out, values, size);
}

START_TEST(npy_of_every_type_is_one_sample_or_a_batch)
{
    static const size_t shapes[][5] = {{3, 3, 3},       {1, 3, 3, 3}, {27}, {2, 3, 3, 3},
                                       {2, 1, 3, 3, 3}, {2, 27},      {54}};
    static const int ranks[] = {3, 4, 1, 4, 5, 2, 1}, counts[] = {1, 1, 1, 2, 2, 2, 2};
    uint8_t bytes[2 * CELLS] = {0};
    int32_t ints[2 * CELLS];
    int64_t longs[2 * CELLS];
    float floats[2 * CELLS];
    double doubles[2 * CELLS];
    const struct {
        enum npy_dtype dtype;
        const void *values;
    } types[] = {{NPY_BOOL, bytes}, {NPY_U8, bytes},   {NPY_I32, ints},
                 {NPY_I64, longs},  {NPY_F32, floats}, {NPY_F64, doubles}};
    struct buf npy = {0};
    for (int i = 0; i < 2 * CELLS; i++) {
        bytes[i] = i % CELLS == 0 || i % CELLS == CELLS / 2 || i % CELLS == CELLS - 1;
        ints[i] = bytes[i];
        longs[i] = bytes[i];
        floats[i] = bytes[i];
        doubles[i] = bytes[i];
    }
    reset();
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++)
        for (size_t s = 0; s < sizeof ranks / sizeof ranks[0]; s++) {
            npy_of(&npy, types[t].dtype, ranks[s], shapes[s], types[t].values);
            const char *type = s % 2 ? "application/x-npy" : "application/octet-stream";
            ck_assert_msg(decode(type, npy.data, npy.size), "%zu %zu: %s", t, s, e.detail);
            check_diagonals(counts[s]);
        }
    buf_clear(&npy);
}
END_TEST

/* As with raw bytes: what is stored is scaled, floats are the input. */
START_TEST(npy_integers_are_scaled_and_floats_are_not)
{
    const float floats[6] = {0, 2, 4, 6, 8, 10}, halves[6] = {0, 1, 2, 3, 4, 5};
    const uint8_t bytes[6] = {0, 2, 4, 6, 8, 10};
    const int64_t longs[6] = {0, 2, 4, 6, 8, 10};
    const size_t dims[] = {2, 3};
    struct buf npy = {0};
    pre = (struct preprocess){.normalize = {.scale = 0.5f}};
    const void *const values[] = {bytes, longs, floats};
    const enum npy_dtype types[] = {NPY_U8, NPY_I64, NPY_F32};
    for (int i = 0; i < 3; i++) {
        npy_of(&npy, types[i], 2, dims, values[i]);
        ck_assert(decode_as(&picture, (struct predict_body){.bytes = npy.data, .size = npy.size}));
        harness_close(batch.x, i == 2 ? floats : halves, 6, 0, "x");
        predict_batch_clear(&batch);
    }
    buf_clear(&npy);
}
END_TEST

START_TEST(npy_that_does_not_fit_is_refused)
{
    static const float floats[CELLS + 1] = {0};
    float bad[CELLS] = {0};
    struct buf npy = {0};
    reset();
    npy_of(&npy, NPY_F32, 1, (const size_t[]){CELLS + 1}, floats);
    ck_assert(!decode(NULL, npy.data, npy.size));
    check_refused(ERR_INVALID, "", "array of 28 values, expected 27 for [1,3,3,3]");
    npy_of(&npy, NPY_F32, 2, (const size_t[]){3, 9}, floats);
    ck_assert(!decode(NULL, npy.data, npy.size));
    check_refused(ERR_INVALID, "", "do not match [1,3,3,3]");
    npy_of(&npy, NPY_F32, 2, (const size_t[]){0, 27}, floats);
    ck_assert(!decode(NULL, npy.data, npy.size));
    check_refused(ERR_INVALID, "", "array of 0 values");
    bad[5] = INFINITY;
    npy_of(&npy, NPY_F32, 1, (const size_t[]){CELLS}, bad);
    ck_assert(!decode(NULL, npy.data, npy.size));
    check_refused(ERR_UNPROCESSABLE, "", "value 5");
    buf_clear(&npy);
    /* Same length, other order: as numpy.asfortranarray writes it. */
    npy_of(&npy, NPY_U8, 3, (const size_t[]){3, 3, 3}, floats);
    memcpy(strstr(buf_text(&npy) + 10, "False"), "True ", 5);
    ck_assert(!decode("application/x-npy", npy.data, npy.size));
    check_refused(ERR_UNPROCESSABLE, "", "Fortran order");
    for (size_t size = 1; size < npy.size; size++) {
        ck_assert(!decode("application/x-npy", npy.data, size));
        check_refused(ERR_UNPROCESSABLE, "", "");
    }
    ck_assert(!decode_text("application/x-npy", "hello"));
    check_refused(ERR_UNPROCESSABLE, "", "not an npy file");
    buf_clear(&npy);
}
END_TEST

START_TEST(files_of_every_kind_make_one_batch)
{
    static const uint8_t raw[CELLS] = {1, [13] = 1, [26] = 1};
    static const char *const texts[] = {DIAGONAL_OFF, DIAGONAL_OBJ,
                                        "{\"points\":" DIAGONAL_POINTS "}"};
    struct buf body = {0}, npy = {0};
    reset();
    for (int i = 0; i < 3; i++)
        buf_fmt(&body,
                "--xyz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n"
                "Content-Type: application/octet-stream\r\n\r\n%s\r\n",
                texts[i]);
    npy_of(&npy, NPY_U8, 3, (const size_t[]){3, 3, 3}, raw);
    const struct buf files[] = {npy, {.data = (char *)(uintptr_t)raw, .size = sizeof raw}};
    for (int i = 0; i < 2; i++) {
        buf_str(&body, "--xyz\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n");
        buf_add(&body, files[i].data, files[i].size);
        buf_str(&body, "\r\n");
    }
    buf_str(&body, "--xyz--\r\n");
    ck_assert_msg(decode("multipart/form-data; boundary=xyz", body.data, body.size), "%s: %s",
                  e.field, e.detail);
    check_diagonals(5);
    buf_clear(&body);
    buf_clear(&npy);
}
END_TEST

START_TEST(points_of_a_request_are_bounded)
{
    struct buf text = {0};
    reset();
    pre.voxelize = cnn_voxelize_defaults();
    pre.voxelize.samples = CNN_VOXEL_SAMPLES_MAX; /* as a model's file may say */
    buf_str(&text, "{\"meshes\":[");
    for (int i = 0; i <= LIMIT_PREDICT_POINTS / CNN_VOXEL_SAMPLES_MAX; i++)
        buf_fmt(&text, "%s\"%s\"", i ? "," : "", DIAGONAL_OFF_JSON);
    buf_str(&text, "]}");
    ck_assert(!decode(NULL, text.data, text.size));
    check_refused(ERR_TOO_LARGE, "meshes[16]", "at most 16777216 are taken at a time");
    buf_clear(&text);
}
END_TEST

TEST_PROGRAM("proto predict voxels", every_document_makes_the_same_grid,
             a_mesh_is_known_by_its_bytes_whatever_the_type, stl_makes_the_same_grid_as_off,
             the_models_preprocessing_makes_the_grid,
             lists_that_are_wrong_are_refused_with_the_index,
             meshes_that_are_broken_are_unprocessable, pictures_models_take_no_grids,
             raw_bytes_that_begin_like_a_mesh_stay_raw, npy_of_every_type_is_one_sample_or_a_batch,
             npy_integers_are_scaled_and_floats_are_not, npy_that_does_not_fit_is_refused,
             files_of_every_kind_make_one_batch, points_of_a_request_are_bounded)
