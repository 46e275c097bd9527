/* Samples through the real daemon: added one by one and many at a time, listed, fetched; and the
 * npy pairs that a dataset may start from. */
#include <pthread.h>
#include <unistd.h>

#include "dataset_client.h"

struct part {
    const char *name;
    struct buf bytes;
};

static struct part npy_part(const char *name, enum npy_dtype dtype, int rank, const size_t *dims,
                            const void *values)
{
    struct part part = {.name = name};
    npy_of(&part.bytes, dtype, rank, dims, values);
    return part;
}

/* Sends the parts as curl -F would, and frees them. */
static struct reply send_parts(const char *method, const char *path, struct part *parts, int count)
{
    struct buf body = {0};
    for (int i = 0; i < count; i++) {
        buf_fmt(&body,
                "--XX\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"f\"\r\n"
                "Content-Type: application/octet-stream\r\n\r\n",
                parts[i].name);
        buf_add(&body, parts[i].bytes.data, parts[i].bytes.size);
        buf_str(&body, "\r\n");
        buf_clear(&parts[i].bytes);
    }
    buf_str(&body, "--XX--\r\n");
    struct reply reply =
        send_type(&server, method, path, "multipart/form-data; boundary=XX", body.data, body.size);
    buf_clear(&body);
    return reply;
}

/* ---- npy pairs ---- */

START_TEST(npy_pairs_of_bytes_stay_bytes)
{
    const uint8_t x[3 * 4] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255};
    const int64_t y[3] = {1, 0, 1};
    struct dataset dataset;
    daemon_start(&server, NULL);
    struct part parts[] = {npy_part("train_x", NPY_U8, 3, (const size_t[]){3, 2, 2}, x),
                           npy_part("train_y", NPY_I64, 1, (const size_t[]){3}, y)};
    reply_expect(send_parts("PUT", "/datasets/d?labels=cat,dog", parts, 2), 201,
                 "\"input\":[1,2,2],\"dtype\":\"uint8\",\"train\":3,\"test\":0",
                 "{\"label\":\"dog\",\"train\":2,\"test\":0}", "\"source\":\"npy\"", NULL);
    open_stored(&dataset, "d", 1);
    ck_assert_mem_eq(dataset.samples[SPLIT_TRAIN].x, x, sizeof x);
    ck_assert_uint_eq(dataset.samples[SPLIT_TRAIN].labels[0], 1);
    ck_assert_float_eq(dataset.info.preprocess.normalize.scale, 1.0f / 255);
    dataset_close(&dataset);
    daemon_stop(&server);
}
END_TEST

START_TEST(npy_pairs_of_floats_stay_floats_and_are_trained_on)
{
    float x[40 * 64];
    int32_t y[40];
    double test_x[2 * 64] = {0};
    const uint8_t test_y[2] = {0, 1};
    struct dataset dataset;
    for (int i = 0; i < 40; i++) {
        y[i] = i % 2;
        for (int j = 0; j < 64; j++)
            x[i * 64 + j] = (float)(i % 2) - 0.5f + (float)j * 1e-4f;
    }
    test_x[127] = 3.25;
    daemon_start(&server, NULL);
    struct part parts[] = {npy_part("train_x", NPY_F32, 4, (const size_t[]){40, 1, 8, 8}, x),
                           npy_part("train_y", NPY_I32, 1, (const size_t[]){40}, y),
                           npy_part("test_x", NPY_F32, 4, (const size_t[]){2, 1, 8, 8}, x),
                           npy_part("test_y", NPY_U8, 1, (const size_t[]){2}, test_y)};
    buf_clear(&parts[2].bytes);
    npy_of(&parts[2].bytes, NPY_F64, 4, (const size_t[]){2, 1, 8, 8}, test_x);
    reply_expect(send_parts("PUT", "/datasets/d?normalize=1", parts, 4), 201,
                 "\"input\":[1,8,8],\"dtype\":\"float32\",\"train\":40,\"test\":2", "\"scale\":1,",
                 "\"std\":[0.5", NULL);
    open_stored(&dataset, "d", 1);
    ck_assert_mem_eq(dataset.samples[SPLIT_TRAIN].x, x, sizeof x);
    ck_assert_float_eq(((const float *)dataset.samples[SPLIT_TEST].x)[127], 3.25f);
    ck_assert_uint_eq(dataset.samples[SPLIT_TRAIN].labels[39], 1);
    dataset_close(&dataset);
    reply_expect(client_post(&server, "/jobs",
                             "{\"model\":\"m\",\"dataset\":\"d\",\"epochs\":1,\"architecture\":"
                             "{\"layers\":[{\"type\":\"flatten\"},{\"type\":\"dense\","
                             "\"units\":2}]}}"),
                 202, NULL);
    struct reply reply;
    for (int i = 0; i < 500; i++) {
        reply = client_get(&server, "/jobs/1");
        if (strstr(reply.body, "\"succeeded\"") || strstr(reply.body, "\"failed\""))
            break;
        reply_clear(&reply);
        usleep(10000);
    }
    reply_expect(reply, 200, "\"succeeded\"", NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(grids_of_zeros_and_ones_are_not_scaled)
{
    const uint8_t x[16] = {0, 1, 1, 0, 1}, y[2] = {0, 1};
    static const struct {
        int rank;
        size_t dims[5];
        const char *query, *expected;
    } cases[] = {{5, {2, 1, 2, 2, 2}, "", "\"input\":[1,2,2,2]"},
                 {4, {2, 2, 2, 2}, "?input=1,2,2,2", "\"input\":[1,2,2,2]"},
                 {4, {2, 2, 2, 2}, "", "\"input\":[2,2,2]"},
                 {2, {2, 8}, "", "\"input\":[1,8]"},
                 {2, {2, 8}, "?input=8", "\"input\":[8]"}};
    daemon_start(&server, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[64];
        snprintf(path, sizeof path, "/datasets/d%s", cases[i].query);
        struct part parts[] = {npy_part("train_x", NPY_BOOL, cases[i].rank, cases[i].dims, x),
                               npy_part("train_y", NPY_U8, 1, (const size_t[]){2}, y)};
        reply_expect(send_parts("PUT", path, parts, 2), 201, cases[i].expected,
                     "\"dtype\":\"uint8\"", "\"scale\":1,", NULL);
    }
    daemon_stop(&server);
}
END_TEST

START_TEST(npy_pairs_that_do_not_fit_are_unprocessable)
{
    const float x[8] = {0, 1, 2, 3, 4, 5, 6, 7}, broken[8] = {0, 1, 2, NAN};
    const int32_t y[4] = {0, 1, 0, 1}, gap[4] = {0, 2, 0, 2}, low[4] = {0, -1, 0, 1};
    const int32_t high[4] = {0, 1, 0, 70000};
    const size_t four_by_two[] = {4, 2}, four[] = {4}, three[] = {3}, eight[] = {8};
    struct {
        struct part x, y;
        const char *field, *text;
    } cases[] = {
        {npy_part("train_x", NPY_F32, 2, four_by_two, x), npy_part("train_y", NPY_I32, 1, three, y),
         "train_y", "3 labels for 4 samples"},
        {npy_part("train_x", NPY_F32, 2, four_by_two, x), npy_part("train_y", NPY_F32, 1, four, x),
         "train_y", "floats"},
        {npy_part("train_x", NPY_F32, 2, four_by_two, x),
         npy_part("train_y", NPY_I32, 1, four, gap), "train_y", "no sample has label 1"},
        {npy_part("train_x", NPY_F32, 2, four_by_two, x),
         npy_part("train_y", NPY_I32, 1, four, low), "train_y", "label -1 of sample 1"},
        {npy_part("train_x", NPY_F32, 2, four_by_two, x),
         npy_part("train_y", NPY_I32, 1, four, high), "train_y", "label 70000 of sample 3"},
        {npy_part("train_x", NPY_F32, 2, four_by_two, broken),
         npy_part("train_y", NPY_I32, 1, four, y), "train_x", ""},
        {npy_part("train_x", NPY_F32, 1, eight, x), npy_part("train_y", NPY_I32, 1, four, y),
         "train_x", "rank 1"},
        {npy_part("train_x", NPY_F32, 2, four_by_two, x),
         npy_part("train_y", NPY_I32, 2, four_by_two, x), "train_y", ""},
    };
    daemon_start(&server, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct part parts[] = {cases[i].x, cases[i].y};
        expect_problem(send_parts("PUT", "/datasets/d", parts, 2), 422, cases[i].field,
                       cases[i].text);
    }
    struct part one[] = {npy_part("train_x", NPY_F32, 2, four_by_two, x)};
    expect_problem(send_parts("PUT", "/datasets/d", one, 1), 400, "train_y",
                   "part 'train_y' is missing");
    struct part parts[] = {npy_part("train_x", NPY_F32, 2, four_by_two, x),
                           npy_part("train_y", NPY_I32, 1, four, y)};
    expect_problem(send_parts("PUT", "/datasets/d?input=3", parts, 2), 422, "train_x",
                   "2 values a sample do not fit input [3]");
    ck_assert_int_eq(stored_files(), 0);
    daemon_stop(&server);
}
END_TEST

START_TEST(every_truncation_of_an_npy_part_is_refused)
{
    const uint8_t x[4] = {0, 1, 2, 3}, y[2] = {0, 1};
    daemon_start(&server, NULL);
    struct part whole = npy_part("train_x", NPY_U8, 2, (const size_t[]){2, 2}, x);
    for (size_t size = 0; size < whole.bytes.size; size++) {
        struct part parts[] = {npy_part("train_x", NPY_U8, 2, (const size_t[]){2, 2}, x),
                               npy_part("train_y", NPY_U8, 1, (const size_t[]){2}, y)};
        parts[0].bytes.size = size;
        expect_problem(send_parts("PUT", "/datasets/d", parts, 2), 422, "train_x", "");
    }
    buf_clear(&whole.bytes);
    daemon_stop(&server);
}
END_TEST

/* ---- adding ---- */

static struct reply post_bytes(const char *path, struct buf *body)
{
    struct reply reply = client_send(&server, "POST", path, NULL, body->data, body->size);
    buf_clear(body);
    return reply;
}

START_TEST(the_first_sample_makes_the_dataset)
{
    static const char off[] = "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 1\n3 0 1 2\n";
    const float line[5] = {1, 2, 3, 4, 5};
    struct buf body = {0};
    daemon_start(&server, NULL);
    png_of(&body, 6, 5, 3, 9);
    reply_expect(post_bytes("/datasets/p/samples?label=cat", &body), 201,
                 "{\"name\":\"p\",\"version\":1,\"input\":[3,5,6],\"dtype\":\"uint8\",\"train\":1,"
                 "\"test\":0,\"classes\":[{\"label\":\"cat\",",
                 "\"scale\":0.003921569", "\"versions\":[1],\"added\":1}", NULL);
    png_of(&body, 6, 5, 3, 9);
    reply_expect(post_bytes("/datasets/q/samples?label=cat&split=test&size=4&channels=1", &body),
                 201, "\"input\":[1,4,4]", "\"train\":0,\"test\":1", NULL);
    buf_str(&body, off);
    reply_expect(post_bytes("/datasets/m/samples?label=x&grid=5", &body), 201,
                 "\"input\":[1,5,5,5]", "\"scale\":1,", "\"points\":2048", NULL);
    npy_of(&body, NPY_F32, 1, (const size_t[]){5}, line);
    reply_expect(post_bytes("/datasets/n/samples?label=x", &body), 201, "\"input\":[1,5]",
                 "\"dtype\":\"float32\"", NULL);
    buf_str(&body, "{\"inputs\":[[1,2.5],[3,4]]}");
    reply_expect(post_bytes("/datasets/j/samples?label=x", &body), 201, "\"input\":[1,2,2]",
                 "\"dtype\":\"float32\"", NULL);
    buf_str(&body, "1234");
    expect_problem(post_bytes("/datasets/raw/samples?label=x", &body), 400, NULL, "");
    expect_problem(client_get(&server, "/datasets/raw"), 404, NULL, "");
    daemon_stop(&server);
}
END_TEST

START_TEST(samples_of_every_body_are_added_behind_the_others)
{
    const uint8_t two[8] = {1, 2, 3, 4, 5, 6, 7, 8},
                  expected[] = {9, 9, 9, 9, 10,  20,  30,  40,  1, 2, 3, 4,
                                5, 6, 7, 8, 'a', 'b', 'c', 'd', 7, 7, 7, 7};
    struct dataset dataset;
    struct buf body = {0};
    daemon_start(&server, NULL);
    png_of(&body, 2, 2, 1, 9);
    reply_expect(post_bytes("/datasets/d/samples?label=cat", &body), 201, "\"added\":1", NULL);
    buf_str(&body, "{\"inputs\":[[10,20],[30,40]]}");
    reply_expect(post_bytes("/datasets/d/samples?label=dog", &body), 201, "\"version\":2",
                 "\"classes\":[{\"label\":\"cat\",\"train\":1,\"test\":0},"
                 "{\"label\":\"dog\",\"train\":1,\"test\":0}]",
                 NULL);
    npy_of(&body, NPY_U8, 3, (const size_t[]){2, 2, 2}, two);
    reply_expect(post_bytes("/datasets/d/samples?label=cat", &body), 201, "\"added\":2", NULL);
    reply_expect(send_type(&server, "POST", "/datasets/d/samples?label=dog",
                           "application/octet-stream", "abcd", 4),
                 201, "\"added\":1", NULL);
    struct part parts[] = {{.name = "a"}, {.name = "b"}};
    png_of(&parts[0].bytes, 5, 5, 3, 0); /* brought to one channel of 2x2 */
    png_of(&parts[1].bytes, 2, 2, 1, 8);
    reply_expect(send_parts("POST", "/datasets/d/samples?label=dog&split=test", parts, 2), 201,
                 "\"train\":5,\"test\":2", "\"added\":2", NULL);
    png_of(&body, 2, 2, 1, 248);
    reply_expect(post_bytes("/datasets/d/samples?label=cat&invert=true", &body), 201,
                 "\"version\":6", "\"versions\":[6,5,4,3,2,1]", NULL);
    open_stored(&dataset, "d", 6);
    ck_assert_uint_eq(dataset.samples[SPLIT_TRAIN].count, 6);
    ck_assert_mem_eq(dataset.samples[SPLIT_TRAIN].x, expected, sizeof expected);
    ck_assert_mem_eq(dataset.samples[SPLIT_TRAIN].labels, ((const uint16_t[]){0, 1, 0, 0, 1, 0}),
                     6 * sizeof(uint16_t));
    ck_assert_mem_eq(dataset.samples[SPLIT_TEST].x, "\0\0\0\0\10\10\10\10", 8);
    dataset_close(&dataset);
    open_stored(&dataset, "d", 2); /* versions do not change */
    ck_assert_uint_eq(dataset.samples[SPLIT_TRAIN].count, 2);
    dataset_close(&dataset);
    daemon_stop(&server);
}
END_TEST

START_TEST(samples_that_do_not_fit_are_refused_and_make_no_version)
{
    struct buf body = {0};
    daemon_start(&server, NULL);
    png_of(&body, 2, 2, 1, 9);
    reply_expect(post_bytes("/datasets/d/samples?label=cat", &body), 201, NULL);
    static const struct {
        const char *body, *query;
        int status;
        const char *field, *text;
    } cases[] = {
        {"{\"inputs\":[1,2,3]}", "?label=cat", 400, "inputs", "expected 4 numbers"},
        {"{\"inputs\":[0.5,2,3,4]}", "?label=cat", 400, NULL, "value 0 is 0.5: samples of this"},
        {"{\"inputs\":[1,2,3,256]}", "?label=cat", 400, NULL, "value 3 is 256"},
        {"{\"inputs\":[1,2,3,-1]}", "?label=cat", 400, NULL, "value 3 is -1"},
        {"", "?label=cat", 400, NULL, "empty body"},
        {"{\"inputs\":[1,2,3,4]}", "", 400, "label", "missing"},
        {"{\"inputs\":[1,2,3,4]}", "?label=", 400, "label", "empty label"},
        {"{\"inputs\":[1,2,3,4]}", "?label=a%C2%85b", 400, "label", "control character"},
        {"{\"inputs\":[1,2,3,4]}", "?label=cat&split=dev", 400, "split", "train, test"},
        {"\x89PNG\r\n\x1a\nxx", "?label=cat", 422, NULL, "broken PNG"},
        {"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 1\n3 0 1 2\n", "?label=cat", 400, NULL,
         "a mesh does not fit samples of shape [1,2,2]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[100];
        snprintf(path, sizeof path, "/datasets/d/samples%s", cases[i].query);
        buf_str(&body, cases[i].body);
        expect_problem(post_bytes(path, &body), cases[i].status, cases[i].field, cases[i].text);
    }
    reply_expect(client_get(&server, "/datasets/d"), 200, "\"versions\":[1]", NULL);
    ck_assert_int_eq(stored_files(), 1);
    daemon_stop(&server);
}
END_TEST

static void *add_some(void *label)
{
    char path[64];
    snprintf(path, sizeof path, "/datasets/d/samples?label=%s", (const char *)label);
    for (int i = 0; i < 10; i++) {
        struct buf body = {0};
        png_of(&body, 2, 2, 1, (uint8_t)i);
        reply_expect(post_bytes(path, &body), 201, NULL);
    }
    return NULL;
}

START_TEST(samples_added_at_the_same_time_are_all_kept)
{
    static char labels[3][2] = {"a", "b", "c"};
    pthread_t threads[3];
    daemon_start(&server, NULL);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, add_some, labels[i]), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    reply_expect(client_get(&server, "/datasets/d"), 200, "\"version\":30", "\"train\":30,",
                 "\"label\":\"a\",\"train\":10", "\"label\":\"b\",\"train\":10",
                 "\"label\":\"c\",\"train\":10", NULL);
    daemon_stop(&server);
}
END_TEST

/* ---- listing and fetching ---- */

static void make_shapes_dataset(void)
{
    static const char body[] = "{\"generator\":\"shapes\",\"train\":7,\"test\":4}";
    reply_expect(
        send_type(&server, "PUT", "/datasets/s", "application/json", body, sizeof body - 1), 201,
        NULL);
}

START_TEST(samples_are_listed_by_split_and_label)
{
    daemon_start(&server, NULL);
    make_shapes_dataset();
    make_shapes_dataset();
    reply_expect(client_get(&server, "/datasets/s/samples?split=test"), 200,
                 "{\"dataset\":\"s\",\"version\":2,\"split\":\"test\",\"offset\":0,\"limit\":50,"
                 "\"samples\":[{\"index\":0,\"label\":\"square\","
                 "\"link\":\"/datasets/s/samples/test/0?version=2\"},{\"index\":1,\"label\":"
                 "\"circle\"",
                 "\"total\":4}", NULL);
    struct reply reply =
        client_get(&server, "/datasets/s/samples?label=circle&offset=1&limit=1&version=1");
    ck_assert_ptr_null(strstr(reply.body, "\"index\":1,"));
    ck_assert_ptr_null(strstr(reply.body, "\"index\":5,"));
    reply_expect(reply, 200, "\"samples\":[{\"index\":3,\"label\":\"circle\"", "\"total\":3}",
                 NULL);
    reply_expect(client_get(&server, "/datasets/s/samples?label=&offset=100"), 200,
                 "\"samples\":[],\"total\":7", NULL);
    expect_problem(client_get(&server, "/datasets/s/samples?label=dog"), 400, "label",
                   "no class 'dog'");
    expect_problem(client_get(&server, "/datasets/s/samples?limit=1001"), 400, "limit", "");
    expect_problem(client_get(&server, "/datasets/s/samples?version=3"), 404, NULL, "version 3");
    expect_problem(client_get(&server, "/datasets/none/samples"), 404, NULL, "no dataset");
    expect_problem(client_get(&server, "/datasets/a..b/samples"), 400, "dataset", "");
    daemon_stop(&server);
}
END_TEST

START_TEST(a_sample_comes_as_json_png_or_npy)
{
    uint8_t expected[784];
    struct err e;
    struct image image;
    struct npy npy;
    daemon_start(&server, NULL);
    make_shapes_dataset();
    cnn_generator_find("shapes")->make(0, 1, 3, expected);

    struct reply reply = client_get(&server, "/datasets/s/samples/test/3");
    ck_assert_ptr_nonnull(strstr(reply.body, "\"values\":[[[0,"));
    reply_expect(reply, 200,
                 "{\"dataset\":\"s\",\"version\":1,\"split\":\"test\",\"index\":3,"
                 "\"label\":\"circle\",\"label_index\":1,\"dtype\":\"uint8\",\"shape\":[1,28,28],",
                 NULL);

    reply = client_send(&server, "GET", "/datasets/s/samples/test/3",
                        (const char *const[]){"Accept: image/png", NULL}, NULL, 0);
    ck_assert_int_eq(reply.status, 200);
    ck_assert_str_eq(reply_header(&reply, "Content-Type"), "image/png");
    ck_assert(image_decode(reply.body, reply.size, &image, &e));
    ck_assert_int_eq(image.width * image.height * image.channels, 784);
    ck_assert_mem_eq(image.pixels, expected, 784);
    image_clear(&image);
    reply_clear(&reply);

    reply = client_get(&server, "/datasets/s/samples/test/3?format=npy");
    ck_assert_str_eq(reply_header(&reply, "Content-Type"), "application/x-npy");
    ck_assert(npy_parse(reply.body, reply.size, &npy, &e));
    ck_assert_int_eq(npy.rank, 3);
    ck_assert_int_eq(npy.dtype, NPY_U8);
    ck_assert_mem_eq(npy.data, expected, 784);
    reply_clear(&reply);
    daemon_stop(&server);
}
END_TEST

START_TEST(samples_that_are_not_there_are_not_found)
{
    static const char *const paths[] = {"/datasets/s/samples/test/4",
                                        "/datasets/s/samples/test/-1",
                                        "/datasets/s/samples/test/x",
                                        "/datasets/s/samples/dev/0",
                                        "/datasets/s/samples/test/99999999999999999999",
                                        "/datasets/s/samples/test/1x",
                                        "/datasets/s/samples/test/0?version=9"};
    daemon_start(&server, NULL);
    make_shapes_dataset();
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        expect_problem(client_get(&server, paths[i]), 404, NULL, "");
    expect_problem(client_get(&server, "/datasets/s/samples/test/0?format=gif"), 400, "format",
                   "json, png, npy, points");
    daemon_stop(&server);
}
END_TEST

/* Every kind of sample has a picture. */
START_TEST(signals_and_grids_have_pictures)
{
    static const char *const generators[] = {"signals", "solids", "color-shapes"};
    struct err e;
    struct image image;
    daemon_start(&server, NULL);
    for (int i = 0; i < 3; i++) {
        char body[64], path[64];
        snprintf(body, sizeof body, "{\"generator\":\"%s\",\"train\":2}", generators[i]);
        snprintf(path, sizeof path, "/datasets/%s", generators[i]);
        reply_expect(send_type(&server, "PUT", path, "application/json", body, strlen(body)), 201,
                     NULL);
        snprintf(path, sizeof path, "/datasets/%s/samples/train/1?format=png", generators[i]);
        struct reply reply = client_get(&server, path);
        ck_assert_int_eq(reply.status, 200);
        ck_assert(image_decode(reply.body, reply.size, &image, &e));
        uint8_t low = 255, high = 0;
        for (int p = 0; p < image.width * image.height * image.channels; p++) {
            low = image.pixels[p] < low ? image.pixels[p] : low;
            high = image.pixels[p] > high ? image.pixels[p] : high;
        }
        ck_assert_int_lt(low, high);
        image_clear(&image);
        reply_clear(&reply);
    }
    reply_expect(client_get(&server, "/datasets/solids/samples/train/1?format=points"), 200,
                 "\"label\":\"box\"", "\"points\":[[", NULL);
    expect_problem(client_get(&server, "/datasets/signals/samples/train/1?format=points"), 400,
                   "format", "samples of shape [1,64] have no points");
    daemon_stop(&server);
}
END_TEST

TEST_PROGRAM("server samples", npy_pairs_of_bytes_stay_bytes,
             npy_pairs_of_floats_stay_floats_and_are_trained_on,
             grids_of_zeros_and_ones_are_not_scaled, npy_pairs_that_do_not_fit_are_unprocessable,
             every_truncation_of_an_npy_part_is_refused, the_first_sample_makes_the_dataset,
             samples_of_every_body_are_added_behind_the_others,
             samples_that_do_not_fit_are_refused_and_make_no_version,
             samples_added_at_the_same_time_are_all_kept, samples_are_listed_by_split_and_label,
             a_sample_comes_as_json_png_or_npy, samples_that_are_not_there_are_not_found,
             signals_and_grids_have_pictures)
