/* The quota: what counts, what is refused, and what a delete gives back. */
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "harness.h"
#include "job_client.h"

#define MIB (1 << 20)

static struct daemon daemon_;
static struct err error;

#define OK(call) ck_assert_msg((call), "%s", error.detail)

/* ---- claims alone ---- */

static char root[256];

static void open_space(int quota_mib)
{
    harness_tmpdir(root, sizeof root);
    OK(files_open(root, &error));
    OK(space_open(quota_mib, &error));
}

static void close_space(void)
{
    files_close();
    harness_rmdir(root);
}

static uint64_t used(void)
{
    struct space_usage usage;
    space_look(&usage);
    return usage.used;
}

static void expect_no_room(struct space_claim *claim, uint64_t bytes)
{
    ck_assert(!space_claim(claim, bytes, &error));
    ck_assert_int_eq(error.code, ERR_NO_SPACE);
}

START_TEST(a_claim_past_the_quota_is_refused_with_the_figures)
{
    struct space_claim claim = {0}, other = {0};
    open_space(20);
    uint64_t before = used();
    ck_assert_uint_eq(before, SPACE_RESERVE_MIB * MIB);
    OK(space_claim(&claim, 8 * MIB, &error));
    expect_no_room(&other, 5 * MIB);
    ck_assert_str_eq(error.detail,
                     "no room for 5.0 MiB more: of the quota of 20 MiB 12.0 MiB are used");
    ck_assert_uint_eq(other.bytes, 0);
    OK(space_claim(&other, 4 * MIB, &error));
    expect_no_room(&claim, 8 * MIB + 1);
    space_settle(&claim, 3 * MIB);
    ck_assert_uint_eq(used(), before + 7 * MIB);
    space_settle(&other, 0);
    space_freed(3 * MIB);
    ck_assert_uint_eq(used(), before);
    close_space();
}
END_TEST

/* Claims leave room for them. */
START_TEST(rows_are_refused_only_when_all_is_used)
{
    struct space_claim claim = {0};
    open_space(16);
    OK(space_claim(&claim, 8 * MIB, &error));
    OK(space_check_rows(&error));
    space_settle(&claim, 13 * MIB); /* as a database that grew */
    ck_assert(!space_check_rows(&error));
    ck_assert_int_eq(error.code, ERR_NO_SPACE);
    space_freed(1 * MIB);
    OK(space_check_rows(&error));
    close_space();
}
END_TEST

START_TEST(without_a_quota_only_the_disk_bounds)
{
    struct space_claim claim = {0};
    open_space(0);
    OK(space_claim(&claim, 3 * MIB, &error));
    expect_no_room(&claim, UINT64_MAX / 2);
    ck_assert_msg(strstr(error.detail, "on the disk"), "%s", error.detail);
    OK(space_check_rows(&error));
    close_space();
}
END_TEST

START_TEST(a_quota_too_small_for_anything_is_refused)
{
    harness_tmpdir(root, sizeof root);
    OK(files_open(root, &error));
    ck_assert(!space_open(15, &error));
    ck_assert_int_eq(error.code, ERR_INVALID);
    ck_assert_str_eq(error.field, "quota-mib");
    close_space();
}
END_TEST

/* Writes and commits so many bytes. */
static bool write_model(int version, size_t size)
{
    char path[FILES_PATH_BYTES], block[1000] = {0};
    struct file_writer w;
    files_path(path, sizeof path, "models", "m", version, ".onnx");
    OK(file_begin(&w, &error));
    for (size_t at = 0; at < size; at += sizeof block)
        file_write(&w, block, sizeof block);
    return file_commit(&w, path, &error);
}

START_TEST(files_count_from_the_first_byte_to_the_last)
{
    char path[FILES_PATH_BYTES];
    open_space(20);
    uint64_t before = used();
    OK(write_model(1, 1000000));
    ck_assert_uint_eq(used(), before + 1000000);
    ck_assert_msg(!write_model(1, 5000), "a file was replaced");
    ck_assert_msg(!write_model(2, 14 * MIB), "past the quota");
    ck_assert_int_eq(error.code, ERR_NO_SPACE);
    ck_assert_uint_eq(used(), before + 1000000);
    files_close();
    OK(files_open(root, &error));
    OK(space_open(20, &error));
    ck_assert_msg(used() == before + 1000000, "after a restart");
    files_path(path, sizeof path, "models", "m", 1, ".onnx");
    OK(file_remove(path, &error));
    OK(file_remove(path, &error));
    ck_assert_uint_eq(used(), before);
    close_space();
}
END_TEST

START_TEST(the_reserve_is_spent_once_and_comes_back)
{
    struct err full = {.code = ERR_NO_SPACE}, broken = {.code = ERR_IO};
    char path[300];
    open_space(0);
    snprintf(path, sizeof path, "%s/reserve", root);
    ck_assert_uint_eq(file_size(path), SPACE_RESERVE_MIB * MIB);
    ck_assert(!space_spend_reserve(&broken));
    ck_assert(space_spend_reserve(&full));
    ck_assert_uint_eq(file_size(path), 0);
    ck_assert(!space_spend_reserve(&full));
    space_freed(0);
    ck_assert_uint_eq(file_size(path), SPACE_RESERVE_MIB * MIB);
    close_space();
}
END_TEST

/* ---- the daemon ---- */

static double storage(const char *key)
{
    cJSON *json = get_json(&daemon_, "/storage", NULL);
    double value = number(json, key);
    cJSON_Delete(json);
    return value;
}

static struct reply put_generated(const char *path, int train)
{
    char body[96];
    snprintf(body, sizeof body, "{\"generator\":\"shapes\",\"train\":%d,\"test\":0}", train);
    return client_send(&daemon_, "PUT", path, NULL, body, strlen(body));
}

static void expect_made(struct reply reply)
{
    ck_assert_msg(reply.status == 201, "%d %s", reply.status, reply.body);
    reply_clear(&reply);
}

START_TEST(datasets_fill_the_quota_and_a_delete_gives_back_what_they_took)
{
    daemon_start(&daemon_, (const char *const[]){"--quota-mib=16", NULL});
    ck_assert(storage("quota_bytes") == 16. * MIB);
    expect_made(put_generated("/datasets/a", 3000)); /* 2.4 MB */
    double available = storage("available_bytes"), bytes = storage("datasets_bytes");
    ck_assert(bytes > 3000 * 784 && bytes < 3000 * 800);
    struct reply reply = put_generated("/datasets/b", 12000); /* 9.4 MB */
    reply_expect_problem(&reply, 507, "no room for 9.0 MiB more: of the quota of 16 MiB");
    ck_assert(storage("available_bytes") == available);
    daemon_restart(&daemon_, (const char *const[]){"--quota-mib=16", NULL});
    ck_assert(storage("datasets_bytes") == bytes);
    reply = put_generated("/datasets/b", 12000);
    reply_expect_problem(&reply, 507, "no room");
    reply = client_send(&daemon_, "DELETE", "/datasets/a", NULL, NULL, 0);
    ck_assert_int_eq(reply.status, 204);
    reply_clear(&reply);
    ck_assert(storage("datasets_bytes") == 0);
    expect_made(put_generated("/datasets/b", 6000));
    daemon_stop(&daemon_);
}
END_TEST

/* A body of 100 MB is announced; the answer comes by the head alone. */
START_TEST(an_upload_that_cannot_fit_is_refused_before_it_is_sent)
{
    daemon_start(&daemon_, (const char *const[]){"--quota-mib=16", NULL});
    client_expect_refusal(&daemon_,
                          "PUT /datasets/d HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                          "Content-Length: 104857600\r\n\r\n",
                          507, "no room for 100.0 MiB more: of the quota of 16 MiB");
    daemon_stop(&daemon_);
}
END_TEST

START_TEST(an_upload_of_unknown_size_is_refused_when_it_no_longer_fits)
{
    enum { CHUNK = 1 << 18 };
    static char bytes[CHUNK];
    daemon_start(&daemon_, (const char *const[]){"--quota-mib=16", NULL});
    double before = storage("used_bytes");
    int fd = client_connect(&daemon_);
    const char head[] = "PUT /datasets/d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    client_write(fd, head, sizeof head - 1);
    for (int i = 0; i < 64; i++) { /* 16 MiB */
        client_write(fd, "40000\r\n", 7);
        client_write(fd, bytes, CHUNK);
        client_write(fd, "\r\n", 2);
    }
    client_write(fd, "0\r\n\r\n", 5);
    char *reply = client_read_all(fd, NULL);
    ck_assert_msg(strncmp(reply, "HTTP/1.1 507 ", 13) == 0, "got %s", reply);
    free(reply);
    while (storage("used_bytes") > before + MIB / 2)
        job_pause(); /* the exchange ends after its answer */
    daemon_stop(&daemon_);
}
END_TEST

TEST_PROGRAM("server space", a_claim_past_the_quota_is_refused_with_the_figures,
             rows_are_refused_only_when_all_is_used, without_a_quota_only_the_disk_bounds,
             a_quota_too_small_for_anything_is_refused, files_count_from_the_first_byte_to_the_last,
             the_reserve_is_spent_once_and_comes_back,
             datasets_fill_the_quota_and_a_delete_gives_back_what_they_took,
             an_upload_that_cannot_fit_is_refused_before_it_is_sent,
             an_upload_of_unknown_size_is_refused_when_it_no_longer_fits)
