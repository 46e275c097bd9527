/* Bytes of the data directory: what counts, and what is refused. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "job_space.h"
#include "open_store.h"

#define MIB (1 << 20)

static void make_file(const char *name, int bytes)
{
    FILE *file = fopen(name, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(ftruncate(fileno(file), bytes), 0);
    fclose(file);
}

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
    char name[FILES_PATH_BYTES], block[1000] = {0};
    struct file_writer w;
    files_path(name, sizeof name, "models", "m", version, ".onnx");
    OK(file_begin(&w, &error));
    for (size_t at = 0; at < size; at += sizeof block)
        file_write(&w, block, sizeof block);
    return file_commit(&w, name, &error);
}

START_TEST(files_count_from_the_first_byte_to_the_last)
{
    char name[FILES_PATH_BYTES];
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
    files_path(name, sizeof name, "models", "m", 1, ".onnx");
    OK(file_remove(name, &error));
    OK(file_remove(name, &error));
    ck_assert_uint_eq(used(), before);
    close_space();
}
END_TEST

START_TEST(the_reserve_is_spent_once_and_comes_back)
{
    struct err full = {.code = ERR_NO_SPACE}, broken = {.code = ERR_IO};
    char name[300];
    open_space(0);
    snprintf(name, sizeof name, "%s/reserve", root);
    ck_assert_uint_eq(file_size(name), SPACE_RESERVE_MIB * MIB);
    ck_assert(!space_spend_reserve(&broken));
    ck_assert(space_spend_reserve(&full));
    ck_assert_uint_eq(file_size(name), 0);
    ck_assert(!space_spend_reserve(&full));
    space_freed(0);
    ck_assert_uint_eq(file_size(name), SPACE_RESERVE_MIB * MIB);
    close_space();
}
END_TEST

/* Four blocks of a checkpoint, twice, and the model. */
START_TEST(a_job_claims_what_its_files_may_take)
{
    enum { FLOATS = 100000, REST = 256 << 10 };
    struct space_claim claim = {0};
    char checkpoint[FILES_PATH_BYTES], model[400];
    open_space(20);
    files_checkpoint_path(checkpoint, sizeof checkpoint, 7);
    snprintf(model, sizeof model, "%s/tmp/job-7.onnx", root);
    uint64_t before = used();
    OK(job_space_check(FLOATS, &error));
    ck_assert(!job_space_check(4 * FLOATS, &error));
    ck_assert_int_eq(error.code, ERR_NO_SPACE);
    OK(job_space_claim(&claim, 7, FLOATS, &error));
    ck_assert_uint_eq(used(), before + FLOATS * 36 + REST);
    make_file(checkpoint, 5000);
    make_file(model, 300);
    job_space_settle(&claim, 7, model);
    ck_assert_uint_eq(used(), before + 5300);
    job_space_settle(&claim, 7, model); /* nothing is held any more */
    ck_assert_uint_eq(used(), before + 5300);
    OK(job_space_claim(&claim, 7, FLOATS, &error)); /* it goes on: its checkpoint is part of that */
    ck_assert_uint_eq(used(), before + FLOATS * 36 + REST + 300);
    job_space_settle(&claim, 7, "");
    ck_assert_uint_eq(used(), before + 5300);
    ck_assert(!job_space_claim(&claim, 7, 4 * FLOATS, &error));
    ck_assert_uint_eq(used(), before + 5300);
    close_space();
}
END_TEST

START_TEST(a_used_up_quota_refuses_jobs_and_epochs_but_lets_them_end)
{
    const struct progress epoch = {.type = PROGRESS_EPOCH, .epoch = 1};
    struct space_claim claim = {0};
    struct store_job row = {.request = (char[]){"{}"}, .dataset_version = 1};
    bool replayed;
    begin();
    OK(files_open(root, &error));
    OK(space_open(16, &error));
    add_dataset("mnist", 1);
    int64_t id = run_job();
    snprintf(row.dataset, sizeof row.dataset, "mnist");
    space_settle(&claim, 16 * MIB);
    REFUSED(store_job_add(store, &row, NULL, 10, &replayed, &error), ERR_NO_SPACE);
    REFUSED(store_job_epoch(store, id, &epoch, NULL, 0, &error), ERR_NO_SPACE);
    OK(store_job_end(store, id, JOB_FAILED, "no room", NULL, NULL, &error));
    OK(store_job_delete(store, id, &error));
    files_close();
    end();
}
END_TEST

TEST_PROGRAM("server space", a_claim_past_the_quota_is_refused_with_the_figures,
             rows_are_refused_only_when_all_is_used, without_a_quota_only_the_disk_bounds,
             a_quota_too_small_for_anything_is_refused, files_count_from_the_first_byte_to_the_last,
             the_reserve_is_spent_once_and_comes_back, a_job_claims_what_its_files_may_take,
             a_used_up_quota_refuses_jobs_and_epochs_but_lets_them_end)
