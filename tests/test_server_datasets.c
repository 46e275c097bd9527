/* Datasets through the real daemon: generators, IDX uploads, listing, deleting. */
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "datasets.h"
#include "served.h"

static struct daemon server;

static struct reply put(const char *path, const char *body)
{
    return send_type(&server, "PUT", path, "application/json", body, strlen(body));
}

static struct reply delete_path(const char *path)
{
    return client_send(&server, "DELETE", path, NULL, NULL, 0);
}

/* ---- IDX uploads ---- */

struct part {
    const char *name;
    struct buf bytes;
};

/* Magic, sizes, values counting up modulo `modulo`. */
static struct part idx_part(const char *name, int rank, const uint32_t *dims, int modulo)
{
    struct part part = {.name = name};
    uint8_t head[4] = {0, 0, 8, (uint8_t)rank};
    size_t count = 1;
    buf_add(&part.bytes, head, 4);
    for (int i = 0; i < rank; i++) {
        uint8_t be[4] = {(uint8_t)(dims[i] >> 24), (uint8_t)(dims[i] >> 16),
                         (uint8_t)(dims[i] >> 8), (uint8_t)dims[i]};
        buf_add(&part.bytes, be, 4);
        count *= dims[i];
    }
    for (size_t i = 0; i < count; i++) {
        uint8_t value = (uint8_t)(i % (size_t)modulo);
        buf_add(&part.bytes, &value, 1);
    }
    return part;
}

static struct part images(const char *name, uint32_t n, uint32_t side)
{
    return idx_part(name, 3, (const uint32_t[]){n, side, side}, 251);
}

static struct part labels(const char *name, uint32_t n, int classes)
{
    return idx_part(name, 1, (const uint32_t[]){n}, classes);
}

static void gzip_part(struct part *part)
{
    z_stream z = {0};
    size_t room = part->bytes.size + 1000;
    char *out = malloc(room);
    ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)part->bytes.data;
    z.avail_in = (uInt)part->bytes.size;
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)room;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    buf_clear(&part->bytes);
    buf_add(&part->bytes, out, z.total_out);
    deflateEnd(&z);
    free(out);
}

/* Sends the parts as curl -F would, and frees them. */
static struct reply upload(const char *path, struct part *parts, int count)
{
    struct buf body = {.data = NULL};
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
        send_type(&server, "PUT", path, "multipart/form-data; boundary=XX", body.data, body.size);
    buf_clear(&body);
    return reply;
}

static struct reply upload_pair(const char *path, struct part first, struct part second)
{
    struct part parts[] = {first, second};
    return upload(path, parts, 2);
}

/* What the file of a version holds, checked by the reader that training uses. */
static void open_stored(struct dataset *dataset, const char *name, int version)
{
    struct err e;
    ck_assert(files_attach(server.data_dir, &e));
    ck_assert_msg(dataset_open(dataset, name, version, &e), "%s", e.detail);
}

/* ---- generators ---- */

START_TEST(generated_dataset_is_described_and_stored)
{
    struct dataset dataset;
    uint8_t expected[784];
    daemon_start(&server, NULL);
    struct reply reply =
        put("/datasets/s", "{\"generator\":\"shapes\",\"train\":11,\"test\":4,\"seed\":7}");
    ck_assert_str_eq(reply_header(&reply, "Location"), "/datasets/s");
    reply_expect(reply, 201, "{\"name\":\"s\",\"version\":1,\"input\":[1,28,28]",
                 "\"dtype\":\"uint8\"", "\"train\":11", "\"test\":4",
                 "\"classes\":[{\"label\":\"square\",\"train\":6,\"test\":2},"
                 "{\"label\":\"circle\",\"train\":5,\"test\":2}]",
                 "\"source\":\"generator shapes, seed 7\"", "\"versions\":[1]}", NULL);
    open_stored(&dataset, "s", 1);
    ck_assert_uint_eq(dataset.samples[SPLIT_TRAIN].count, 11);
    ck_assert_uint_eq(dataset.samples[SPLIT_TEST].count, 4);
    for (uint32_t i = 0; i < 11; i++) {
        cnn_generator_find("shapes")->make(7, 0, i, expected);
        ck_assert_mem_eq((const uint8_t *)dataset.samples[SPLIT_TRAIN].x + 784 * i, expected, 784);
        ck_assert_uint_eq(dataset.samples[SPLIT_TRAIN].labels[i], i % 2);
    }
    cnn_generator_find("shapes")->make(7, 1, 3, expected);
    ck_assert_mem_eq((const uint8_t *)dataset.samples[SPLIT_TEST].x + 3 * 784, expected, 784);
    ck_assert_int_eq(dataset.info.preprocess.background, BACKGROUND_DARK);
    ck_assert_float_eq(dataset.info.preprocess.normalize.scale, 1.0f / 255);
    dataset_close(&dataset);
    daemon_stop(&server);
}
END_TEST

START_TEST(chunks_of_a_large_dataset_fit_together)
{
    struct dataset dataset;
    uint8_t expected[3 * 784];
    daemon_start(&server, NULL);
    reply_expect(put("/datasets/big", "{\"generator\":\"color-shapes\",\"train\":9000,\"test\":1}"),
                 201, "\"input\":[3,28,28]", NULL);
    open_stored(&dataset, "big", 1);
    const struct cnn_samples *train = &dataset.samples[SPLIT_TRAIN];
    for (uint32_t i = 0; i < 9000; i++) {
        cnn_generator_find("color-shapes")->make(0, 0, i, expected);
        ck_assert_msg(
            !memcmp((const uint8_t *)train->x + sizeof expected * i, expected, sizeof expected) &&
                train->labels[i] == i % 2,
            "sample %u", i);
    }
    dataset_close(&dataset);
    daemon_stop(&server);
}
END_TEST

START_TEST(curl_needs_no_content_type_for_json)
{
    const char *body = "{\"generator\":\"shapes\",\"train\":2,\"test\":0}";
    daemon_start(&server, NULL);
    reply_expect(send_type(&server, "PUT", "/datasets/s", "application/x-www-form-urlencoded", body,
                           strlen(body)),
                 201, NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(second_put_makes_a_version_and_keeps_the_first)
{
    struct dataset dataset;
    daemon_start(&server, NULL);
    reply_expect(put("/datasets/s", "{\"generator\":\"shapes\",\"train\":2}"), 201, NULL);
    reply_expect(put("/datasets/s", "{\"generator\":\"shapes\",\"train\":3}"), 201, "\"version\":2",
                 "\"train\":3", "\"versions\":[2,1]", NULL);
    open_stored(&dataset, "s", 1);
    ck_assert_uint_eq(dataset.samples[SPLIT_TRAIN].count, 2);
    dataset_close(&dataset);
    daemon_restart(&server, NULL);
    reply_expect(client_get(&server, "/datasets/s"), 200, "\"version\":2", "\"versions\":[2,1]",
                 NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(generator_requests_are_checked)
{
    static const struct {
        const char *body, *field;
    } cases[] = {
        {"", NULL},
        {"[]", NULL},
        {"{\"generator\":", NULL},
        {"{}", "generator"},
        {"{\"generator\":\"dogs\"}", "generator"},
        {"{\"generator\":3}", "generator"},
        {"{\"generator\":\"shapes\",\"train\":0}", "train"},
        {"{\"generator\":\"shapes\",\"train\":1.5}", "train"},
        {"{\"generator\":\"shapes\",\"test\":-1}", "test"},
        {"{\"generator\":\"shapes\",\"train\":1000001}", "train"},
        {"{\"generator\":\"shapes\",\"train\":1e300}", "train"},
        {"{\"generator\":\"shapes\",\"seed\":\"x\"}", "seed"},
        {"{\"generator\":\"shapes\",\"epochs\":1}", "epochs"},
    };
    daemon_start(&server, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_problem(put("/datasets/s", cases[i].body), 400, cases[i].field, "");
    expect_problem(client_get(&server, "/datasets/s"), 404, NULL, "no dataset 's'");
    daemon_stop(&server);
}
END_TEST

START_TEST(other_types_are_refused_with_those_that_are_read)
{
    daemon_start(&server, NULL);
    expect_problem(send_type(&server, "PUT", "/datasets/s", "text/csv", "a,b", 3), 415, NULL,
                   "'text/csv', expected application/json (a generator), multipart/form-data");
    expect_problem(send_type(&server, "PUT", "/datasets/s", "application/jsonx", "a", 1), 415, NULL,
                   "'application/jsonx'");
    daemon_stop(&server);
}
END_TEST

START_TEST(bad_dataset_name_is_refused_everywhere)
{
    char path[400] = "/datasets/";
    memset(path + strlen(path), 'a', 300);
    daemon_start(&server, NULL);
    expect_problem(put("/datasets/.hidden", "{\"generator\":\"shapes\"}"), 400, "dataset",
                   "invalid name");
    expect_problem(put(path, "{\"generator\":\"shapes\"}"), 400, "dataset", "invalid name");
    expect_problem(client_get(&server, "/datasets/a..b"), 400, "dataset", "invalid name");
    expect_problem(delete_path("/datasets/a%00b"), 400, NULL, "");
    expect_problem(delete_path("/datasets/a%20b"), 400, "dataset", "invalid name");
    daemon_stop(&server);
}
END_TEST

/* ---- IDX ---- */

START_TEST(idx_pairs_become_a_dataset)
{
    struct dataset dataset;
    daemon_start(&server, NULL);
    struct part parts[] = {images("train_images", 6, 4), labels("train_labels", 6, 3),
                           images("test_images", 3, 4), labels("test_labels", 3, 3)};
    reply_expect(upload("/datasets/d", parts, 4), 201, "\"version\":1,\"input\":[1,4,4]",
                 "\"train\":6", "\"test\":3",
                 "\"classes\":[{\"label\":\"0\",\"train\":2,\"test\":1},{\"label\":\"1\"",
                 "\"source\":\"idx\"", NULL);
    open_stored(&dataset, "d", 1);
    const struct cnn_samples *train = &dataset.samples[SPLIT_TRAIN];
    for (uint32_t i = 0; i < 6 * 16; i++)
        ck_assert_uint_eq(((const uint8_t *)train->x)[i], i);
    for (uint32_t i = 0; i < 6; i++)
        ck_assert_uint_eq(train->labels[i], i % 3);
    ck_assert_uint_eq(((const uint8_t *)dataset.samples[SPLIT_TEST].x)[17], 17);
    dataset_close(&dataset);
    daemon_stop(&server);
}
END_TEST

START_TEST(idx_may_be_gzipped_and_without_a_test_part)
{
    daemon_start(&server, NULL);
    struct part parts[] = {images("train_images", 50, 8), labels("train_labels", 50, 10)};
    gzip_part(&parts[0]);
    gzip_part(&parts[1]);
    reply_expect(upload("/datasets/d", parts, 2), 201, "\"input\":[1,8,8]", "\"train\":50",
                 "\"test\":0", "{\"label\":\"9\",\"train\":5,\"test\":0}", NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(gzip_parts_share_one_limit)
{
    struct err e;
    int version;
    struct part parts[] = {images("train_images", 50, 8), labels("train_labels", 50, 10)};
    size_t decoded = parts[0].bytes.size + parts[1].bytes.size;
    struct datasets_pairs idx = {.names = {"train_images", "train_labels"},
                                 .decoded_max = decoded - 1};
    for (int i = 0; i < 2; i++) {
        gzip_part(&parts[i]);
        idx.bytes[i] = parts[i].bytes.data;
        idx.sizes[i] = parts[i].bytes.size;
    }
    ck_assert(!datasets_import_pairs(NULL, "d", &idx, &version, &e));
    ck_assert_int_eq(e.code, ERR_TOO_LARGE);
    ck_assert_str_eq(e.field, "train_labels");
    ck_assert_ptr_nonnull(strstr(e.detail, "in all"));
    for (int i = 0; i < 2; i++)
        buf_clear(&parts[i].bytes);
}
END_TEST

START_TEST(idx_of_rank_4_has_channels)
{
    daemon_start(&server, NULL);
    reply_expect(upload_pair("/datasets/d",
                             idx_part("train_images", 4, (const uint32_t[]){4, 3, 5, 6}, 256),
                             labels("train_labels", 4, 2)),
                 201, "\"input\":[3,5,6]", NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(train_and_test_keep_the_first_samples)
{
    daemon_start(&server, NULL);
    struct part parts[] = {images("train_images", 60, 4), labels("train_labels", 60, 10),
                           images("test_images", 20, 4), labels("test_labels", 20, 10)};
    /* Three samples do not show all ten classes, which the files have. */
    reply_expect(upload("/datasets/d?train=3&test=500", parts, 4), 201, "\"train\":3",
                 "\"test\":20", "{\"label\":\"9\",\"train\":0,\"test\":2}", NULL);
    expect_problem(upload("/datasets/d?train=0", parts, 0), 400, "train", "0");
    expect_problem(upload("/datasets/d?test=many", parts, 0), 400, "test", "many");
    daemon_stop(&server);
}
END_TEST

START_TEST(labels_name_the_classes)
{
    daemon_start(&server, NULL);
    reply_expect(upload_pair("/datasets/d?labels=cat,dog,a%20cow", images("train_images", 3, 4),
                             labels("train_labels", 3, 3)),
                 201, "\"label\":\"cat\"", "\"label\":\"dog\"", "\"label\":\"a cow\"", NULL);
    static const char *const wrong[][2] = {{"/datasets/d?labels=cat,dog", "2 labels for 3 classes"},
                                           {"/datasets/d?labels=a,b,c,d", "4 labels for 3 classes"},
                                           {"/datasets/d?labels=a,a,b", "'a' is given twice"}};
    for (int i = 0; i < 3; i++)
        expect_problem(
            upload_pair(wrong[i][0], images("train_images", 3, 4), labels("train_labels", 3, 3)),
            400, "labels", wrong[i][1]);
    expect_problem(upload_pair("/datasets/d?labels=a,,b", images("train_images", 3, 4),
                               labels("train_labels", 3, 3)),
                   400, "labels[1]", "empty label");
    daemon_stop(&server);
}
END_TEST

START_TEST(missing_repeated_and_unknown_parts_are_named)
{
    daemon_start(&server, NULL);
    struct part none[1], one[] = {images("train_images", 3, 4)};
    expect_problem(upload("/datasets/d", one, 1), 400, "train_labels", "missing");
    expect_problem(upload("/datasets/d", none, 0), 400, "train_images", "missing");
    expect_problem(
        upload_pair("/datasets/d", images("train_images", 3, 4), images("train_images", 3, 4)), 400,
        "train_images", "given twice");
    expect_problem(upload_pair("/datasets/d", images("train_images", 3, 4), labels("labels", 3, 2)),
                   400, "labels", "unknown part 'labels'");
    struct part three[] = {images("train_images", 3, 4), labels("train_labels", 3, 3),
                           images("test_images", 3, 4)};
    expect_problem(upload("/datasets/d", three, 3), 400, "test_labels", "missing");
    daemon_stop(&server);
}
END_TEST

START_TEST(parts_that_do_not_fit_together_are_unprocessable)
{
    daemon_start(&server, NULL);
    const char *path = "/datasets/d";
    expect_problem(upload_pair(path, images("train_images", 4, 4), labels("train_labels", 3, 3)),
                   422, "train_labels", "3 labels for 4 images");
    expect_problem(upload_pair(path, labels("train_images", 3, 3), labels("train_labels", 3, 3)),
                   422, "train_images", "rank 1");
    expect_problem(upload_pair(path, images("train_images", 3, 4), images("train_labels", 3, 4)),
                   422, "train_labels", "rank 3");
    expect_problem(upload_pair(path, images("train_images", 0, 4), labels("train_labels", 0, 3)),
                   422, "train_images", "no images");
    expect_problem(upload_pair(path, images("train_images", 1, 0), labels("train_labels", 1, 3)),
                   422, "train_images", "0");
    struct part parts[] = {images("train_images", 4, 4), labels("train_labels", 4, 2),
                           images("test_images", 4, 5), labels("test_labels", 4, 2)};
    expect_problem(upload(path, parts, 4), 422, "test_images",
                   "test images are [1,5,5], training images [1,4,4]");
    struct part more[] = {images("train_images", 4, 4), labels("train_labels", 4, 2),
                          images("test_images", 4, 4), labels("test_labels", 4, 3)};
    expect_problem(upload(path, more, 4), 422, "test_labels",
                   "label 2 of sample 2 is not among the 2 classes");
    expect_problem(client_get(&server, path), 404, NULL, "no dataset");
    daemon_stop(&server);
}
END_TEST

START_TEST(labels_with_a_gap_are_unprocessable)
{
    daemon_start(&server, NULL);
    struct part gap = labels("train_labels", 3, 3);
    gap.bytes.data[gap.bytes.size - 2] = 2; /* 0, 2, 2 */
    expect_problem(upload_pair("/datasets/d", images("train_images", 3, 4), gap), 422,
                   "train_labels", "no sample has label 1: labels must be 0..2 without gaps");
    daemon_stop(&server);
}
END_TEST

START_TEST(files_that_are_not_idx_are_named)
{
    daemon_start(&server, NULL);
    struct part text = {.name = "train_images"}, cut = images("train_images", 3, 4);
    struct part zipped = images("train_images", 3, 4), label = labels("train_labels", 3, 3);
    buf_str(&text.bytes, "hello, this is text");
    cut.bytes.size -= 1;
    expect_problem(upload_pair("/datasets/d", text, labels("train_labels", 3, 3)), 422,
                   "train_images", "");
    expect_problem(upload_pair("/datasets/d", cut, labels("train_labels", 3, 3)), 422,
                   "train_images", "");
    gzip_part(&zipped);
    zipped.bytes.size -= 9;
    struct reply reply = upload_pair("/datasets/d", zipped, label);
    ck_assert_msg(reply.status == 400 || reply.status == 422, "status %d", reply.status);
    expect_problem(reply, reply.status, "train_images", "");
    daemon_stop(&server);
}
END_TEST

START_TEST(broken_multipart_is_refused)
{
    daemon_start(&server, NULL);
    expect_problem(send_type(&server, "PUT", "/datasets/d", "multipart/form-data", "x", 1), 400,
                   NULL, "boundary");
    expect_problem(
        send_type(&server, "PUT", "/datasets/d", "multipart/form-data; boundary=XX", "--XX\r\n", 6),
        400, NULL, "");
    daemon_stop(&server);
}
END_TEST

START_TEST(failed_uploads_leave_no_files)
{
    char command[700];
    int files = -1;
    daemon_start(&server, NULL);
    expect_problem(
        upload_pair("/datasets/d", images("train_images", 4, 4), labels("train_labels", 3, 3)), 422,
        NULL, "");
    expect_problem(put("/datasets/s", "{}"), 400, NULL, "");
    snprintf(command, sizeof command, "find '%s/datasets' '%s/tmp' -type f | wc -l",
             server.data_dir, server.data_dir);
    FILE *pipe = popen(command, "r");
    ck_assert_int_eq(fscanf(pipe, "%d", &files), 1);
    pclose(pipe);
    ck_assert_int_eq(files, 0);
    daemon_stop(&server);
}
END_TEST

/* ---- listing and deleting ---- */

START_TEST(list_holds_the_newest_version_of_each)
{
    daemon_start(&server, NULL);
    struct reply reply = client_get(&server, "/datasets");
    ck_assert_str_eq(reply.body, "{\"datasets\":[],\"uploads\":[]}");
    reply_clear(&reply);
    reply_expect(put("/datasets/b", "{\"generator\":\"shapes\",\"train\":2}"), 201, NULL);
    reply_expect(put("/datasets/a", "{\"generator\":\"shapes\",\"train\":2}"), 201, NULL);
    reply_expect(put("/datasets/a", "{\"generator\":\"shapes\",\"train\":3}"), 201, NULL);
    reply = client_get(&server, "/datasets");
    char *a = strstr(reply.body, "{\"datasets\":[{\"name\":\"a\",\"version\":2,");
    char *b = strstr(reply.body, ",\"versions\":[2,1]},{\"name\":\"b\",\"version\":1,");
    ck_assert_msg(a && b, "%s", reply.body);
    ck_assert_ptr_null(strstr(a + 20, "\"name\":\"a\""));
    reply_clear(&reply);
    daemon_stop(&server);
}
END_TEST

START_TEST(deleted_dataset_is_gone_with_its_files)
{
    char path[400];
    daemon_start(&server, NULL);
    reply_expect(put("/datasets/s", "{\"generator\":\"shapes\",\"train\":2}"), 201, NULL);
    reply_expect(delete_path("/datasets/s"), 204, NULL);
    expect_problem(client_get(&server, "/datasets/s"), 404, NULL, "no dataset 's'");
    expect_problem(delete_path("/datasets/s"), 404, NULL, "no dataset 's'");
    snprintf(path, sizeof path, "%s/datasets/s/1.safetensors", server.data_dir);
    ck_assert_int_ne(access(path, F_OK), 0);
    reply_expect(put("/datasets/s", "{\"generator\":\"shapes\",\"train\":2}"), 201, "\"version\":2",
                 "\"versions\":[2]", NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(dataset_of_a_running_job_is_kept)
{
    daemon_start(&server, NULL);
    reply_expect(put("/datasets/s", "{\"generator\":\"shapes\",\"train\":100}"), 201, NULL);
    reply_expect(client_post(&server, "/jobs",
                             "{\"model\":\"m\",\"dataset\":\"s\",\"architecture\":\"shapes-tiny\","
                             "\"epochs\":100000}"),
                 202, NULL);
    expect_problem(delete_path("/datasets/s"), 409, NULL, "dataset 's' is used by job 1");
    reply_expect(client_post(&server, "/jobs/1/cancel", ""), 202, NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(damaged_dataset_file_is_an_error_not_a_crash)
{
    char path[400];
    daemon_start(&server, NULL);
    served_add_more(&server, "blind", BLIND_NET, served_shapes, 0);
    reply_expect(put("/datasets/s", "{\"generator\":\"shapes\",\"train\":2}"), 201, NULL);
    snprintf(path, sizeof path, "%s/datasets/s/1.safetensors", server.data_dir);
    ck_assert_int_eq(truncate(path, 500), 0);
    expect_problem(client_post(&server, "/models/blind/evaluate", "{\"dataset\":\"s\"}"), 503, NULL,
                   "");
    reply_expect(client_get(&server, "/health/live"), 200, NULL);
    daemon_stop(&server);
}
END_TEST

TEST_PROGRAM("server datasets", generated_dataset_is_described_and_stored,
             chunks_of_a_large_dataset_fit_together, curl_needs_no_content_type_for_json,
             second_put_makes_a_version_and_keeps_the_first, generator_requests_are_checked,
             other_types_are_refused_with_those_that_are_read,
             bad_dataset_name_is_refused_everywhere, idx_pairs_become_a_dataset,
             idx_may_be_gzipped_and_without_a_test_part, gzip_parts_share_one_limit,
             idx_of_rank_4_has_channels, train_and_test_keep_the_first_samples,
             labels_name_the_classes, missing_repeated_and_unknown_parts_are_named,
             parts_that_do_not_fit_together_are_unprocessable, labels_with_a_gap_are_unprocessable,
             files_that_are_not_idx_are_named, broken_multipart_is_refused,
             failed_uploads_leave_no_files, list_holds_the_newest_version_of_each,
             deleted_dataset_is_gone_with_its_files, dataset_of_a_running_job_is_kept,
             damaged_dataset_file_is_an_error_not_a_crash)
