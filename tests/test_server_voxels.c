/* Grids of voxels from end to end: generated, trained on by the presets, predicted in every form
 * that a solid can be sent in; and how meshes become grids, which travels with the model. */
#include <zlib.h>

#include "dataset_client.h"
#include "job_client.h"

enum { SIDE = 24, CELLS = SIDE * SIDE * SIDE };

/* One solid, its bounds stretched to the whole grid by two voxels in its corners, so that its
 * points make the grid that they were taken from. */
static uint8_t solid[CELLS];

static void fetch_solid(const char *path)
{
    struct npy npy;
    struct err e;
    struct reply reply = client_get(&server, path);
    ck_assert_msg(npy_parse(reply.body, reply.size, &npy, &e), "%s: %s", path, reply.body);
    ck_assert(npy.dtype == NPY_U8 && npy.count == CELLS);
    memcpy(solid, npy.data, CELLS);
    solid[0] = solid[CELLS - 1] = 1;
    reply_clear(&reply);
}

static void add_coordinates(struct buf *out, const char *format, const char *between)
{
    bool first = true;
    for (int i = 0; i < CELLS; i++) {
        if (!solid[i])
            continue;
        buf_str(out, first ? "" : between);
        buf_fmt(out, format, i / (SIDE * SIDE), i / SIDE % SIDE, i % SIDE);
        first = false;
    }
}

static void add_occupied(struct buf *out)
{
    buf_str(out, "{\"shape\":[24,24,24],\"occupied\":[");
    add_coordinates(out, "[%d,%d,%d]", ",");
    buf_str(out, "]}");
}

static void add_points(struct buf *out)
{
    buf_str(out, "[");
    add_coordinates(out, "[%d,%d,%d]", ",");
    buf_str(out, "]");
}

/* Vertices without faces: each is drawn where enough are. `end` is a line's, raw or in JSON. */
static void add_off(struct buf *out, const char *end)
{
    int count = 0;
    char line[32];
    for (int i = 0; i < CELLS; i++)
        count += solid[i];
    buf_fmt(out, "OFF%s%d 0 0%s", end, count, end);
    snprintf(line, sizeof line, "%%d %%d %%d%s", end);
    add_coordinates(out, line, "");
}

static void add_nested(struct buf *out)
{
    for (int i = 0; i < CELLS; i++) {
        buf_str(out, i % (SIDE * SIDE) == 0 ? i ? "]],[[" : "[[[" : i % SIDE == 0 ? "],[" : ",");
        buf_str(out, solid[i] ? "1" : "0");
    }
    buf_str(out, "]]]");
}

static void add_gzip(struct buf *out, const void *bytes, size_t size)
{
    z_stream z = {.next_in = (Bytef *)bytes, .avail_in = (uInt)size};
    ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    ck_assert(buf_reserve(out, deflateBound(&z, size)));
    z.next_out = (Bytef *)out->data;
    z.avail_out = (uInt)(out->capacity - out->size);
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->size = z.total_out;
    deflateEnd(&z);
}

/* ---- every form ---- */

enum { CLASSES = 5, POINTS_ASKED = 16384 };
static float expected[CLASSES]; /* the scores of the solid as raw bytes */

/* Sends a body and frees it; `count` times the expected scores must come. */
static void expect_same(const char *type, const char *encoding, struct buf *body, int count)
{
    char path[64], kind[96], coding[64] = "X-Nothing: else";
    snprintf(path, sizeof path, "/models/m/predict?points=%d", POINTS_ASKED);
    snprintf(kind, sizeof kind, "Content-Type: %s", type);
    if (encoding)
        snprintf(coding, sizeof coding, "Content-Encoding: %s", encoding);
    const char *const headers[] = {kind, coding, "Accept: application/octet-stream", NULL};
    struct reply reply = client_send(&server, "POST", path, headers, body->data, body->size);
    ck_assert_msg(reply.status == 200, "%s, %.20s: %s", type, buf_text(body), reply.body);
    ck_assert_uint_eq(reply.size, (size_t)count * sizeof expected);
    for (int i = 0; i < count; i++)
        harness_close((const float *)reply.body + (ptrdiff_t)i * CLASSES, expected, CLASSES, 1e-6,
                      type);
    reply_clear(&reply);
    buf_clear(body);
}

static void learn_expected(void)
{
    const char *const headers[] = {"Content-Type: application/octet-stream",
                                   "Accept: application/octet-stream", NULL};
    struct reply reply =
        client_send(&server, "POST", "/models/m/predict", headers, solid, sizeof solid);
    ck_assert_msg(reply.status == 200, "%s", reply.body);
    ck_assert_uint_eq(reply.size, sizeof expected);
    memcpy(expected, reply.body, sizeof expected);
    reply_clear(&reply);
}

static void expect_documents(void)
{
    struct buf body = {0};
    buf_str(&body, "{\"inputs\":");
    add_nested(&body);
    buf_str(&body, "}");
    expect_same("application/json", NULL, &body, 1);
    buf_str(&body, "{\"inputs\":[");
    for (int i = 0; i < CELLS; i++)
        buf_fmt(&body, "%s%d", i ? "," : "", solid[i]);
    buf_str(&body, "]}");
    expect_same("application/x-www-form-urlencoded", NULL, &body, 1);
    buf_str(&body, "{\"voxels\":");
    add_occupied(&body);
    buf_str(&body, "}");
    expect_same("application/json", NULL, &body, 1);
    buf_str(&body, "{\"points\":");
    add_points(&body);
    buf_str(&body, "}");
    expect_same("application/json", NULL, &body, 1);
    buf_str(&body, "{\"mesh\":\"");
    add_off(&body, "\\n");
    buf_str(&body, "\"}");
    expect_same("application/json", NULL, &body, 1);
    buf_str(&body, "{\"inputs\":[{\"voxels\":");
    add_occupied(&body);
    buf_str(&body, "},{\"points\":");
    add_points(&body);
    buf_str(&body, "},{\"mesh\":\"");
    add_off(&body, "\\r\\n");
    buf_str(&body, "\"}]}");
    expect_same("application/json", NULL, &body, 3);
}

static void expect_files(void)
{
    static const size_t one[] = {SIDE, SIDE, SIDE}, batch[] = {2, 1, SIDE, SIDE, SIDE};
    struct buf body = {0}, two = {0}, npy = {0};
    int64_t *longs = calloc(CELLS, sizeof *longs);
    for (int i = 0; i < CELLS; i++)
        longs[i] = solid[i];
    add_off(&body, "\n");
    expect_same("model/off", NULL, &body, 1);
    add_off(&body, "\r\n");
    expect_same("text/plain", NULL, &body, 1);
    add_coordinates(&body, "v %d %d %d\n", "");
    expect_same("model/obj", NULL, &body, 1);
    npy_of(&body, NPY_U8, 3, one, solid);
    expect_same("application/x-npy", NULL, &body, 1);
    npy_of(&body, NPY_I64, 3, one, longs);
    expect_same("application/octet-stream", NULL, &body, 1);
    buf_add(&two, solid, CELLS);
    buf_add(&two, solid, CELLS);
    npy_of(&body, NPY_BOOL, 5, batch, two.data);
    expect_same("application/x-npy", NULL, &body, 2);
    npy_of(&npy, NPY_U8, 3, one, solid);
    add_gzip(&body, npy.data, npy.size);
    expect_same("application/x-npy", "gzip", &body, 1);
    buf_str(&body,
            "--XX\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a.npy\"\r\n\r\n");
    buf_add(&body, npy.data, npy.size);
    buf_str(&body, "\r\n--XX\r\nContent-Disposition: form-data; name=\"b\"; "
                   "filename=\"b.off\"\r\nContent-Type: application/octet-stream\r\n\r\n");
    add_off(&body, "\n");
    buf_str(&body, "\r\n--XX--\r\n");
    expect_same("multipart/form-data; boundary=XX", NULL, &body, 2);
    buf_clear(&npy);
    buf_clear(&two);
    free(longs);
}

static void make_solids(int train, int test)
{
    char body[96];
    snprintf(body, sizeof body, "{\"generator\":\"solids\",\"train\":%d,\"test\":%d}", train, test);
    reply_expect(
        send_type(&server, "PUT", "/datasets/solids", "application/json", body, strlen(body)), 201,
        "\"input\":[1,24,24,24]", "\"fit\":\"aspect\",\"axes\":\"xyz\",\"solid\":true", NULL);
}

START_TEST(a_solid_is_predicted_the_same_in_every_form)
{
    daemon_start(&server, NULL);
    make_solids(40, 5);
    cJSON_Delete(run_job(&server, "{\"model\":\"m\",\"dataset\":\"solids\",\"architecture\":"
                                  "\"voxel-cnn\",\"epochs\":1,\"batch_size\":8}"));
    fetch_solid("/datasets/solids/samples/test/4?format=npy"); /* a torus: few voxels */
    learn_expected();
    expect_documents();
    expect_files();
    daemon_stop(&server);
}
END_TEST

START_TEST(both_voxel_presets_train)
{
    daemon_start(&server, NULL);
    make_solids(10, 5);
    cJSON *job = run_job(&server, "{\"model\":\"m\",\"dataset\":\"solids\",\"architecture\":"
                                  "\"voxel-cnn-wide\",\"epochs\":1,\"batch_size\":5}");
    ck_assert(number(job, "parameters") == 4474949);
    cJSON_Delete(job);
    reply_expect(client_get(&server, "/models/m"), 200, "\"input\":[1,24,24,24]",
                 "\"labels\":[\"sphere\",\"box\",\"cylinder\",\"cone\",\"torus\"]", NULL);
    daemon_stop(&server);
}
END_TEST

/* ---- how meshes become grids ---- */

/* A wall in y and z, so that each axis and the aspect show. */
#define WALL "OFF\n4 2 0\n0 0 0\n0 8 0\n0 8 4\n0 0 4\n3 0 1 2\n3 0 2 3\n"

struct part {
    const char *name;
    struct buf bytes;
};

static struct reply put_parts(const char *path, struct part *parts, int count)
{
    struct buf body = {0};
    for (int i = 0; i < count; i++) {
        buf_fmt(&body,
                "--XX\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"f\"\r\n\r\n",
                parts[i].name);
        buf_add(&body, parts[i].bytes.data, parts[i].bytes.size);
        buf_str(&body, "\r\n");
        buf_clear(&parts[i].bytes);
    }
    buf_str(&body, "--XX--\r\n");
    struct reply reply =
        send_type(&server, "PUT", path, "multipart/form-data; boundary=XX", body.data, body.size);
    buf_clear(&body);
    return reply;
}

/* Two grids of 8^3, and a label each. */
static struct reply put_grids(const char *path)
{
    static const uint8_t x[2 * 512] = {1}, y[2] = {0, 1};
    struct part parts[] = {{.name = "train_x"}, {.name = "train_y"}};
    npy_of(&parts[0].bytes, NPY_U8, 5, (const size_t[]){2, 1, 8, 8, 8}, x);
    npy_of(&parts[1].bytes, NPY_U8, 1, (const size_t[]){2}, y);
    return put_parts(path, parts, 2);
}

/* The scores of a body at a path, as text. */
static char *scores_of(const char *path, const char *body)
{
    struct reply reply = client_post(&server, path, body);
    ck_assert_msg(reply.status == 200, "%s: %s", path, reply.body);
    char *at = strstr(reply.body, "\"scores\":["), *end = strchr(at, ']');
    char *text = strndup(at, (size_t)(end - at));
    reply_clear(&reply);
    return text;
}

START_TEST(how_meshes_become_grids_travels_with_the_model)
{
    static const char said[] =
        "\"voxelize\":{\"fit\":\"aspect\",\"axes\":\"yxz\",\"solid\":false,\"points\":512,"
        "\"seed\":7}";
    static const struct {
        const char *query, *other;
        bool same;
    } cases[] = {
        {"", "", true},
        {"", "&axes=yxz&aspect=keep&points=512&seed=7", true},
        {"", "&axes=xyz", false},
        {"", "&aspect=stretch", false},
        {"&axes=xyz", "&axes=xyz&aspect=keep", true},
    };
    daemon_start(&server, NULL);
    reply_expect(put_grids("/datasets/g?axes=yxz&aspect=keep&points=512&seed=7"), 201, said, NULL);
    cJSON_Delete(run_job(
        &server, "{\"model\":\"m\",\"dataset\":\"g\",\"epochs\":1,\"architecture\":"
                 "{\"layers\":[{\"type\":\"flatten\"},{\"type\":\"dense\",\"units\":2}]}}"));
    reply_expect(client_get(&server, "/models/m"), 200, said, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[128], other[128];
        snprintf(path, sizeof path, "/predict?scores=all%s", cases[i].query);
        snprintf(other, sizeof other, "/predict?scores=all%s", cases[i].other);
        char *left = scores_of(path, WALL), *right = scores_of(other, WALL);
        ck_assert_msg((strcmp(left, right) == 0) == cases[i].same, "%s and %s: %s, %s", path, other,
                      left, right);
        free(left);
        free(right);
    }
    daemon_stop(&server);
}
END_TEST

START_TEST(voxelization_that_fits_nothing_is_refused)
{
    static const uint8_t x[2 * 4] = {1}, y[2] = {0, 1};
    daemon_start(&server, NULL);
    struct part parts[] = {{.name = "train_x"}, {.name = "train_y"}};
    npy_of(&parts[0].bytes, NPY_U8, 3, (const size_t[]){2, 2, 2}, x);
    npy_of(&parts[1].bytes, NPY_U8, 1, (const size_t[]){2}, y);
    expect_problem(put_parts("/datasets/p?axes=yxz", parts, 2), 400, NULL,
                   "voxelization is given, but the samples are [1,2,2]");
    expect_problem(put_grids("/datasets/g?axes=xyx"), 400, "axes", "xyz in some order");
    expect_problem(put_grids("/datasets/g?points=0"), 400, "points", "");
    ck_assert_int_eq(stored_files(), 0);
    reply_expect(put_grids("/datasets/g"), 201,
                 "\"preprocess\":{\"scale\":1,\"background\":\"none\"}", NULL);
    cJSON_Delete(run_job(
        &server, "{\"model\":\"m\",\"dataset\":\"g\",\"epochs\":1,\"architecture\":"
                 "{\"layers\":[{\"type\":\"flatten\"},{\"type\":\"dense\",\"units\":2}]}}"));
    expect_problem(client_post(&server, "/predict?axes=up", WALL), 400, "axes", "'up'");
    expect_problem(client_post(&server, "/predict?aspect=wide", WALL), 400, "aspect", "keep");
    expect_problem(client_post(&server, "/predict?solid=maybe", WALL), 400, "solid", "");
    expect_problem(client_post(&server, "/predict?points=65537", WALL), 400, "points", "65536");
    expect_problem(client_post(&server, "/predict", "{\"voxels\":{\"occupied\":[[0,0,8]]}}"), 400,
                   "voxels.occupied[0][2]", "0 to 7");
    expect_problem(client_post(&server, "/predict", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 1\n3 0 1 3\n"),
                   422, NULL, "3");
    daemon_stop(&server);
}
END_TEST

/* ---- a first sample in a document ---- */

START_TEST(a_mesh_or_points_in_a_document_make_a_dataset)
{
    daemon_start(&server, NULL);
    reply_expect(client_post(&server, "/datasets/d/samples?label=a&grid=4&axes=zyx",
                             "{\"points\":[[0,0,0],[1,1,1]]}"),
                 201, "\"input\":[1,4,4,4]", "\"axes\":\"zyx\"", "\"added\":1", NULL);
    reply_expect(client_post(&server, "/datasets/d/samples?label=b",
                             "{\"inputs\":[{\"voxels\":{\"occupied\":[[0,0,3]]}},{\"mesh\":\"v 0 0 "
                             "0\\nv 1 2 3\"}]}"),
                 201, "\"added\":2", "\"train\":3", NULL);
    reply_expect(client_get(&server, "/datasets/d/samples/train/1"), 200,
                 "\"values\":[[[[0,0,0,1],[0,0,0,0]", NULL);
    expect_problem(client_post(&server, "/datasets/d/samples?label=b",
                               "{\"voxels\":{\"occupied\":[[0,4,0]]}}"),
                   400, "voxels.occupied[0][1]", "voxel 0 has y = 4");
    daemon_stop(&server);
}
END_TEST

TEST_PROGRAM("server voxels", a_solid_is_predicted_the_same_in_every_form, both_voxel_presets_train,
             how_meshes_become_grids_travels_with_the_model,
             voxelization_that_fits_nothing_is_refused,
             a_mesh_or_points_in_a_document_make_a_dataset)
