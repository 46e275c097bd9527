/* Files that no longer hold what was stored: found, named, left out; the rest is served. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "datasets.h"
#include "job_client.h"
#include "served.h"

static struct daemon server;
static struct err error;

#define OK(call) ck_assert_msg((call), "%s", error.detail)

/* ---- a dataset's file, without a daemon ---- */

static char root[256];
static struct store *store;

static void begin(void)
{
    char path[FILES_PATH_BYTES];
    harness_tmpdir(root, sizeof root);
    OK(files_open(root, &error));
    files_database_path(path, sizeof path);
    store = store_open(path, &error);
    ck_assert_msg(store, "%s", error.detail);
}

static void end(void)
{
    store_close(store);
    files_close();
    harness_rmdir(root);
}

static void generate(const char *name, uint64_t seed)
{
    const struct dataset_request request = {
        .generator = cnn_generator_find("shapes"), .train = 2, .test = 2, .seed = seed};
    const struct dataset_scaling scaling = {.scale = 0};
    int version;
    OK(datasets_generate(store, name, &request, &scaling, &version, &error));
}

static bool opens(const char *name, bool content)
{
    struct dataset dataset;
    bool ok = datasets_open(store, name, 0, content, &dataset, &error);
    if (ok)
        dataset_close(&dataset);
    else
        ck_assert_int_eq(error.code, ERR_UNAVAILABLE);
    return ok;
}

/* The bytes of a file; the caller frees. */
static char *slurp(const char *path, size_t *size)
{
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*size);
    ck_assert_uint_eq(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

static void write_at(const char *path, const char *bytes, size_t size, size_t at)
{
    int fd = open(path, O_WRONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, bytes, size, (off_t)at), (ssize_t)size);
    close(fd);
}

START_TEST(a_flip_of_any_byte_of_a_dataset_is_found)
{
    char path[FILES_PATH_BYTES];
    size_t size;
    begin();
    generate("d", 0);
    files_path(path, sizeof path, "datasets", "d", 1, ".safetensors");
    ck_assert(opens("d", true));
    char *bytes = slurp(path, &size);
    for (size_t at = 0; at < size; at++) {
        char flipped = (char)(bytes[at] ^ 1);
        write_at(path, &flipped, 1, at);
        ck_assert_msg(!opens("d", true), "byte %zu of %zu", at, size);
        ck_assert_msg(strstr(error.detail, "version 1 of dataset 'd'") != NULL, "%s", error.detail);
        write_at(path, bytes + at, 1, at);
    }
    ck_assert(opens("d", true));
    free(bytes);
    end();
}
END_TEST

START_TEST(a_dataset_cut_anywhere_is_found_without_reading_it)
{
    char path[FILES_PATH_BYTES];
    size_t size;
    begin();
    generate("d", 0);
    files_path(path, sizeof path, "datasets", "d", 1, ".safetensors");
    free(slurp(path, &size));
    while (size-- > 0) {
        ck_assert_int_eq(truncate(path, (off_t)size), 0);
        ck_assert_msg(!opens("d", false), "%zu bytes", size);
    }
    end();
}
END_TEST

static void swap(const char *a, const char *b)
{
    char aside[FILES_PATH_BYTES + 8];
    snprintf(aside, sizeof aside, "%s.aside", a);
    ck_assert(rename(a, aside) == 0 && rename(b, a) == 0 && rename(aside, b) == 0);
}

START_TEST(two_datasets_that_were_swapped_are_both_found)
{
    char first[FILES_PATH_BYTES], second[FILES_PATH_BYTES];
    begin();
    generate("d", 0);
    generate("e", 1);
    ck_assert(opens("d", true) && opens("e", true));
    files_path(first, sizeof first, "datasets", "d", 1, ".safetensors");
    files_path(second, sizeof second, "datasets", "e", 1, ".safetensors");
    swap(first, second);
    ck_assert(!opens("d", true));
    ck_assert(!opens("e", true));
    swap(first, second);
    ck_assert(opens("d", true) && opens("e", true));
    end();
}
END_TEST

/* As rows are that were written before sums were kept. */
START_TEST(a_dataset_without_a_sum_is_still_read)
{
    struct store_dataset row;
    begin();
    generate("d", 0);
    OK(store_dataset_get(store, "d", 1, &row, &error));
    OK(store_dataset_delete(store, "d", &error));
    row.sha256[0] = '\0';
    OK(store_dataset_add(store, &row, &error));
    ck_assert(opens("d", true));
    store_dataset_clear(&row);
    end();
}
END_TEST

/* ---- the database, without a daemon ---- */

/* It is opened and read, or refused with its name; never a crash. */
static void read_database(const char *path)
{
    struct store_dataset *rows;
    struct store *opened = store_open(path, &error);
    int count;
    if (!opened) {
        ck_assert_msg(strstr(error.detail, path) != NULL, "%s", error.detail);
        return;
    }
    if (store_datasets(opened, &rows, &count, &error)) {
        for (int i = 0; i < count; i++)
            store_dataset_clear(&rows[i]);
        free(rows);
    }
    store_close(opened);
}

START_TEST(a_damaged_database_is_refused_or_read)
{
    enum { HEADER = 100, STEP = 509 }; /* no divisor of a page */
    char path[FILES_PATH_BYTES];
    size_t size;
    begin();
    generate("d", 0);
    store_close(store);
    files_database_path(path, sizeof path);
    char *bytes = slurp(path, &size);
    for (size_t at = 0; at < HEADER; at++) {
        char flipped = (char)(bytes[at] ^ 0x55);
        write_at(path, &flipped, 1, at);
        read_database(path);
        write_at(path, bytes, size, 0);
    }
    for (size_t left = size; left > 0; left -= left > STEP ? STEP : left) {
        ck_assert_int_eq(truncate(path, (off_t)left), 0);
        read_database(path);
        write_at(path, bytes, size, 0);
    }
    store = store_open(path, &error);
    ck_assert_msg(store && opens("d", true), "%s", error.detail);
    free(bytes);
    end();
}
END_TEST

/* ---- the daemon ---- */

static void path_in_data(char path[FILES_PATH_BYTES], const char *file)
{
    snprintf(path, FILES_PATH_BYTES, "%s/%s", server.data_dir, file);
}

static void damage(const char *file)
{
    char path[FILES_PATH_BYTES], byte = '\x5a';
    size_t size;
    path_in_data(path, file);
    free(slurp(path, &size));
    write_at(path, &byte, 1, size - 3);
}

static void expect_log(const char *first, const char *second)
{
    char *log = daemon_log(&server);
    ck_assert_msg(strstr(log, first) && strstr(log, second), "no %s, %s in: %s", first, second,
                  log);
    free(log);
}

static void put_shapes(const char *path)
{
    const char body[] = "{\"generator\":\"shapes\",\"train\":20,\"test\":10}";
    struct reply reply = client_send(&server, "PUT", path, NULL, body, sizeof body - 1);
    ck_assert_int_eq(reply.status, 201);
    reply_clear(&reply);
}

#define JOB_ON(dataset)                                                                          \
    "{\"model\":\"m\",\"dataset\":\"" dataset "\",\"architecture\":\"shapes-cnn\",\"epochs\":1," \
    "\"batch_size\":10}"

START_TEST(damaged_datasets_are_named_and_the_others_train)
{
    char path[FILES_PATH_BYTES];
    daemon_start(&server, NULL);
    served_add_more(&server, "blind", BLIND_NET, served_shapes, 0);
    put_shapes("/datasets/good");
    put_shapes("/datasets/flipped");
    put_shapes("/datasets/missing");
    daemon_terminate(&server);
    daemon_wait(&server);
    damage("datasets/flipped/1.safetensors");
    path_in_data(path, "datasets/missing/1.safetensors");
    ck_assert_int_eq(unlink(path), 0);
    daemon_launch(&server, NULL);
    expect_log("dataset_damaged", "\"dataset\":\"missing\"");
    expect_problem(client_post(&server, "/jobs", JOB_ON("missing")), 503, NULL,
                   "version 1 of dataset 'missing'");
    expect_problem(client_get(&server, "/datasets/flipped/samples/test/0"), 503, NULL,
                   "version 1 of dataset 'flipped' is damaged");
    expect_problem(client_post(&server, "/models/blind/evaluate", "{\"dataset\":\"flipped\"}"), 503,
                   NULL, "version 1 of dataset 'flipped' is damaged");
    char id[24];
    post_job(&server, JOB_ON("flipped"), id);
    cJSON *job = wait_job(&server, id);
    ck_assert_str_eq(text(job, "state"), "failed");
    ck_assert_ptr_nonnull(strstr(text(job, "error"), "version 1 of dataset 'flipped' is damaged"));
    cJSON_Delete(job);
    cJSON_Delete(run_job(&server, JOB_ON("good")));
    reply_expect(client_send(&server, "DELETE", "/datasets/flipped", NULL, NULL, 0), 204, NULL);
    reply_expect(client_send(&server, "DELETE", "/datasets/missing", NULL, NULL, 0), 204, NULL);
    daemon_stop(&server);
}
END_TEST

/* Loaded it was whole, so it can be named; on the disk it is not any more. */
START_TEST(a_base_that_was_damaged_since_fails_the_job)
{
    char id[24];
    daemon_start(&server, NULL);
    put_shapes("/datasets/good");
    cJSON_Delete(run_job(&server, JOB_ON("good")));
    damage("models/m/1.onnx");
    post_job(&server, "{\"model\":\"n\",\"dataset\":\"good\",\"init_from\":\"m:1\",\"epochs\":1}",
             id);
    cJSON *job = wait_job(&server, id);
    ck_assert_str_eq(text(job, "state"), "failed");
    ck_assert_msg(strstr(text(job, "error"), "model 'm:1' is damaged") != NULL, "%s",
                  text(job, "error"));
    cJSON_Delete(job);
    daemon_stop(&server);
}
END_TEST

START_TEST(two_models_that_were_swapped_are_left_out)
{
    char first[FILES_PATH_BYTES], second[FILES_PATH_BYTES];
    const char *body = "{\"inputs\":[1,2,3,4]}";
    served_start(&server);
    served_add_more(&server, "other", PICK_NET, served_abc, 2);
    served_add_more(&server, "third", PICK_NET, served_abc, 1);
    daemon_terminate(&server);
    daemon_wait(&server);
    path_in_data(first, "models/pick/1.onnx");
    path_in_data(second, "models/other/1.onnx");
    swap(first, second);
    daemon_launch(&server, NULL);
    expect_log("model_left_out", "\"model\":\"pick\"");
    expect_log("model_left_out", "\"model\":\"other\"");
    expect_problem(client_post(&server, "/models/pick/predict", body), 503, NULL,
                   "version 1 of model 'pick' is damaged");
    expect_problem(client_post(&server, "/models/other/predict", body), 503, NULL,
                   "version 1 of model 'other' is damaged");
    reply_expect(client_post(&server, "/models/third/predict", body), 200, NULL);
    daemon_stop(&server);
}
END_TEST

TEST_PROGRAM("server damage", a_flip_of_any_byte_of_a_dataset_is_found,
             a_dataset_cut_anywhere_is_found_without_reading_it,
             two_datasets_that_were_swapped_are_both_found, a_dataset_without_a_sum_is_still_read,
             a_damaged_database_is_refused_or_read, damaged_datasets_are_named_and_the_others_train,
             a_base_that_was_damaged_since_fails_the_job, two_models_that_were_swapped_are_left_out)
