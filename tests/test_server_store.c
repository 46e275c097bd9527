/* The catalogue: what each call writes, refuses, and finds again after a restart. */
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "limits.h"
#include "open_store.h"

/* ---- opening ---- */

START_TEST(rows_survive_a_restart)
{
    begin();
    add_dataset("mnist", 1);
    add_model("digits", 2);
    int64_t id = queue_job();
    reopen();
    struct store_dataset dataset;
    OK(store_dataset_get(store, "mnist", 0, &dataset, &error));
    ck_assert_str_eq(dataset.info, "{\"a\":1}");
    ck_assert_uint_eq(dataset.bytes, 99);
    store_dataset_clear(&dataset);
    ck_assert_int_eq(active_version("digits"), 2);
    struct store_job job = get_job(id);
    ck_assert_int_eq(job.state, JOB_QUEUED);
    store_job_clear(&job);
    end();
}
END_TEST

START_TEST(file_that_is_no_database_is_refused)
{
    harness_tmpdir(root, sizeof root);
    snprintf(path, sizeof path, "%s/strided.db", root);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 2000; i++)
        fputs("not a database ", file);
    fclose(file);
    ck_assert_ptr_null(store_open(path, &error));
    ck_assert_int_eq(error.code, ERR_IO);
    ck_assert(strstr(error.detail, "not a database"));
    ck_assert(strstr(error.detail, path));
    harness_rmdir(root);
}
END_TEST

START_TEST(folder_that_is_missing_is_refused)
{
    harness_tmpdir(root, sizeof root);
    snprintf(path, sizeof path, "%s/none/strided.db", root);
    ck_assert_ptr_null(store_open(path, &error));
    ck_assert_int_eq(error.code, ERR_IO);
    harness_rmdir(root);
}
END_TEST

START_TEST(now_is_rfc3339_utc)
{
    char text[32];
    int y, mo, d, h, mi, s, used = 0;
    store_now(text);
    ck_assert_int_eq(sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2dZ%n", &y, &mo, &d, &h, &mi, &s, &used),
                     6);
    ck_assert_int_eq(used, 20);
    ck_assert_uint_eq(strlen(text), 20);
}
END_TEST

START_TEST(full_disk_is_told_and_leaves_the_store_usable)
{
    static char big[400000];
    memset(big, 'x', sizeof big - 1);
    begin();
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 200000;
    setrlimit(RLIMIT_FSIZE, &limit);
    struct store_dataset row = {.name = "big", .version = 1, .info = big, .created = "now"};
    ck_assert(!store_dataset_add(store, &row, &error));
    ck_assert(error.code == ERR_NO_SPACE || error.code == ERR_IO);
    ck_assert(strstr(error.detail, "database: "));
    limit.rlim_cur = before;
    setrlimit(RLIMIT_FSIZE, &limit);
    REFUSED(store_dataset_get(store, "big", 0, &row, &error), ERR_NOT_FOUND);
    add_dataset("small", 1);
    end();
}
END_TEST

static void *take_versions(void *sum)
{
    struct err e;
    for (int i = 0; i < 50; i++) {
        int version;
        if (!store_next_version(store, "model", "m", &version, &e))
            return NULL;
        *(long *)sum += version;
    }
    return sum;
}

START_TEST(threads_never_get_the_same_version)
{
    pthread_t threads[4];
    long sums[4] = {0}, sum = 0;
    begin();
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_versions, &sums[i]), 0);
    for (int i = 0; i < 4; i++) {
        void *done;
        pthread_join(threads[i], &done);
        ck_assert_ptr_nonnull(done);
        sum += sums[i];
    }
    ck_assert_int_eq(sum, 200 * 201 / 2);
    end();
}
END_TEST

/* ---- datasets ---- */

START_TEST(versions_count_up_by_kind_and_name)
{
    int version;
    begin();
    OK(store_next_version(store, "dataset", "a", &version, &error));
    ck_assert_int_eq(version, 1);
    OK(store_next_version(store, "dataset", "a", &version, &error));
    ck_assert_int_eq(version, 2);
    OK(store_next_version(store, "dataset", "b", &version, &error));
    ck_assert_int_eq(version, 1);
    OK(store_next_version(store, "model", "a", &version, &error));
    ck_assert_int_eq(version, 1);
    end();
}
END_TEST

START_TEST(version_is_not_given_again_after_a_delete)
{
    int version;
    begin();
    OK(store_next_version(store, "dataset", "a", &version, &error));
    add_dataset("a", version);
    OK(store_dataset_delete(store, "a", &error));
    reopen();
    OK(store_next_version(store, "dataset", "a", &version, &error));
    ck_assert_int_eq(version, 2);
    end();
}
END_TEST

START_TEST(newest_dataset_answers_version_0)
{
    struct store_dataset row;
    begin();
    add_dataset("a", 2);
    add_dataset("a", 10);
    OK(store_dataset_get(store, "a", 0, &row, &error));
    ck_assert_int_eq(row.version, 10);
    store_dataset_clear(&row);
    OK(store_dataset_get(store, "a", 2, &row, &error));
    ck_assert_int_eq(row.version, 2);
    store_dataset_clear(&row);
    end();
}
END_TEST

START_TEST(unknown_dataset_is_not_found_by_name)
{
    struct store_dataset row;
    begin();
    add_dataset("a", 1);
    REFUSED(store_dataset_get(store, "x", 0, &row, &error), ERR_NOT_FOUND);
    ck_assert_str_eq(error.detail, "no dataset 'x'");
    REFUSED(store_dataset_get(store, "a", 4, &row, &error), ERR_NOT_FOUND);
    ck_assert_str_eq(error.detail, "no version 4 of dataset 'a'");
    REFUSED(store_dataset_delete(store, "x", &error), ERR_NOT_FOUND);
    end();
}
END_TEST

START_TEST(dataset_version_is_added_once)
{
    struct store_dataset row = {.name = "a", .version = 1, .info = (char[]){"{}"}};
    begin();
    add_dataset("a", 1);
    REFUSED(store_dataset_add(store, &row, &error), ERR_CONFLICT);
    add_dataset("a", 2); /* the failure ended its transaction */
    end();
}
END_TEST

START_TEST(datasets_are_listed_by_name_and_version)
{
    struct store_dataset *rows;
    int count;
    begin();
    add_dataset("b", 1);
    add_dataset("a", 2);
    add_dataset("a", 1);
    OK(store_datasets(store, &rows, &count, &error));
    ck_assert_int_eq(count, 3);
    ck_assert_str_eq(rows[0].name, "a");
    ck_assert_int_eq(rows[0].version, 1);
    ck_assert_int_eq(rows[1].version, 2);
    ck_assert_str_eq(rows[2].name, "b");
    for (int i = 0; i < count; i++)
        store_dataset_clear(&rows[i]);
    free(rows);
    end();
}
END_TEST

START_TEST(dataset_stays_while_a_job_needs_it)
{
    begin();
    add_dataset("mnist", 1);
    int64_t id = queue_job();
    REFUSED(store_dataset_delete(store, "mnist", &error), ERR_CONFLICT);
    struct store_job row = {0};
    bool found;
    OK(store_job_start_next(store, &row, &found, &error));
    store_job_clear(&row);
    REFUSED(store_dataset_delete(store, "mnist", &error), ERR_CONFLICT);
    OK(store_job_end(store, id, JOB_CANCELLED, "", NULL, NULL, &error));
    OK(store_dataset_delete(store, "mnist", &error));
    end();
}
END_TEST

/* ---- models ---- */

START_TEST(newest_model_version_is_the_only_active_one)
{
    begin();
    add_model("m", 1);
    add_model("other", 1);
    add_model("m", 2);
    ck_assert_int_eq(active_version("m"), 2);
    ck_assert_int_eq(active_version("other"), 1);
    end();
}
END_TEST

START_TEST(deleting_the_active_version_activates_the_newest)
{
    begin();
    add_model("m", 1);
    add_model("m", 2);
    add_model("m", 3);
    OK(store_model_delete(store, "m", 3, &error));
    ck_assert_int_eq(active_version("m"), 2);
    OK(store_model_delete(store, "m", 1, &error));
    ck_assert_int_eq(active_version("m"), 2);
    end();
}
END_TEST

START_TEST(deleting_version_0_deletes_all)
{
    struct store_model *rows;
    int count;
    begin();
    add_model("m", 1);
    add_model("m", 2);
    add_model("n", 1);
    OK(store_model_delete(store, "m", 0, &error));
    OK(store_models(store, &rows, &count, &error));
    ck_assert_int_eq(count, 1);
    ck_assert_str_eq(rows[0].name, "n");
    ck_assert_str_eq(rows[0].job, "7");
    store_models_free(rows, count);
    REFUSED(store_model_delete(store, "m", 0, &error), ERR_NOT_FOUND);
    REFUSED(store_model_delete(store, "n", 9, &error), ERR_NOT_FOUND);
    end();
}
END_TEST

START_TEST(texts_with_quotes_are_only_texts)
{
    struct store_dataset row;
    begin();
    add_dataset("mnist", 1);
    REFUSED(store_dataset_get(store, "x' OR '1'='1", 0, &row, &error), ERR_NOT_FOUND);
    int64_t id = run_job();
    OK(store_job_end(store, id, JOB_FAILED, "'); DROP TABLE jobs; --", NULL, NULL, &error));
    struct store_job job = get_job(id);
    ck_assert_str_eq(job.error, "'); DROP TABLE jobs; --");
    store_job_clear(&job);
    end();
}
END_TEST

/* ---- metrics ---- */

static uint32_t matrix[4] = {5, 1, 2, 7};

static void add_epoch(int64_t id, int epoch, bool has_val)
{
    struct progress progress = {.epoch = epoch, .loss = 1.0 / epoch, .accuracy = .5, .seconds = 2};
    progress.has_val = has_val;
    progress.val = (struct cnn_eval){.loss = .25, .accuracy = .8, .classes = 2};
    progress.val.confusion = matrix;
    snprintf(progress.split, sizeof progress.split, "test");
    struct report_batch points[10];
    for (int i = 0; i < 10; i++)
        points[i] = (struct report_batch){epoch, i + 1, 1.0 / (i + 1), .001};
    OK(store_job_epoch(store, id, &progress, points, 10, &error));
}

START_TEST(epochs_are_kept_and_shown_in_the_job)
{
    struct report_epoch *rows;
    int count;
    begin();
    add_dataset("mnist", 1);
    int64_t id = run_job();
    add_epoch(id, 1, true);
    add_epoch(id, 2, false);
    OK(store_job_epochs(store, id, 0, 1, &rows, &count, &error));
    ck_assert_int_eq(count, 2);
    ck_assert_double_eq(rows[0].loss, 1);
    ck_assert_double_eq(rows[0].val_accuracy, .8);
    ck_assert_double_eq(rows[0].seconds, 2);
    ck_assert(isnan(rows[1].val_loss));
    free(rows);
    OK(store_job_epochs(store, id, 1, 1, &rows, &count, &error));
    ck_assert_int_eq(count, 1);
    ck_assert_int_eq(rows[0].epoch, 2);
    free(rows);
    struct store_job row = get_job(id);
    ck_assert_int_eq(row.epoch, 2);
    ck_assert_double_eq(row.loss, .5);
    store_job_clear(&row);
    end();
}
END_TEST

START_TEST(epochs_are_thinned_to_every_so_many_and_the_last)
{
    struct report_epoch *rows;
    int count;
    begin();
    add_dataset("mnist", 1);
    int64_t id = run_job();
    for (int epoch = 1; epoch <= 10; epoch++)
        add_epoch(id, epoch, false);
    OK(store_job_epochs(store, id, 0, 3, &rows, &count, &error));
    static const int expected[] = {3, 6, 9, 10};
    ck_assert_int_eq(count, 4);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(rows[i].epoch, expected[i]);
    free(rows);
    end();
}
END_TEST

START_TEST(epochs_of_an_unknown_job_are_refused)
{
    struct progress epoch = {.epoch = 1};
    begin();
    ck_assert(!store_job_epoch(store, 77, &epoch, NULL, 0, &error));
    end();
}
END_TEST

START_TEST(batches_are_thinned_evenly)
{
    struct report_batch *rows;
    int count;
    begin();
    add_dataset("mnist", 1);
    int64_t id = run_job();
    for (int epoch = 1; epoch <= 10; epoch++)
        add_epoch(id, epoch, false);
    OK(store_job_batches(store, id, 0, 1000, &rows, &count, &error));
    ck_assert_int_eq(count, 100);
    ck_assert_double_eq(rows[0].loss, 1);
    ck_assert_double_eq(rows[0].lr, .001);
    free(rows);
    OK(store_job_batches(store, id, 0, 20, &rows, &count, &error));
    ck_assert_int_eq(count, 20);
    for (int i = 0; i < count; i++) /* every fifth, the last one included */
        ck_assert_int_eq((rows[i].epoch - 1) * 10 + rows[i].batch, 5 * (i + 1));
    free(rows);
    OK(store_job_batches(store, id, 0, 30, &rows, &count, &error));
    ck_assert_int_eq(count, 30);
    free(rows);
    OK(store_job_batches(store, id, 8, 20, &rows, &count, &error)); /* all of these are wanted */
    ck_assert_int_eq(count, 20);
    ck_assert_int_eq(rows[0].epoch, 9);
    ck_assert_int_eq(rows[0].batch, 1);
    free(rows);
    OK(store_job_batches(store, 77, 0, 30, &rows, &count, &error));
    ck_assert_int_eq(count, 0);
    free(rows);
    end();
}
END_TEST

static void end_with_evaluation(int64_t id)
{
    static uint32_t final[4] = {6, 0, 1, 8};
    static struct cnn_failure failures[3] = {{9, 0, 1, .9f}, {4, 1, 0, .8f}, {5, 0, 1, .7f}};
    static float scores[6] = {.1f, .9f, .8f, .2f, .3f, .7f};
    struct progress done = {.best_epoch = 1, .has_val = true, .split = "test"};
    done.val = (struct cnn_eval){.loss = .125,
                                 .accuracy = .875,
                                 .count = 15,
                                 .classes = 2,
                                 .confusion = final,
                                 .failure_count = 3,
                                 .failures = failures,
                                 .failure_scores = scores};
    OK(store_job_end(store, id, JOB_SUCCEEDED, "", &done, NULL, &error));
}

START_TEST(confusion_is_the_final_one_or_that_of_an_epoch)
{
    struct store_confusion confusion;
    begin();
    add_dataset("mnist", 1);
    int64_t id = run_job();
    REFUSED(store_job_confusion(store, id, 0, &confusion, &error), ERR_NOT_FOUND);
    add_epoch(id, 1, true);
    add_epoch(id, 2, false);
    OK(store_job_confusion(store, id, 0, &confusion, &error)); /* the last that has one */
    ck_assert_int_eq(confusion.epoch, 1);
    ck_assert_int_eq(confusion.classes, 2);
    ck_assert_str_eq(confusion.split, "test");
    ck_assert_mem_eq(confusion.confusion, matrix, sizeof matrix);
    free(confusion.confusion);
    REFUSED(store_job_confusion(store, id, 2, &confusion, &error), ERR_NOT_FOUND);
    end_with_evaluation(id);
    OK(store_job_confusion(store, id, 0, &confusion, &error));
    ck_assert_uint_eq(confusion.confusion[0], 6);
    free(confusion.confusion);
    OK(store_job_confusion(store, id, 1, &confusion, &error));
    ck_assert_uint_eq(confusion.confusion[0], 5);
    free(confusion.confusion);
    end();
}
END_TEST

/* An epoch of one class, whose samples are numbered down from the last. */
static void add_large_epoch(int64_t id, int epoch, uint32_t count)
{
    uint32_t *samples = malloc(count * sizeof *samples);
    struct progress p = {.type = PROGRESS_EPOCH, .epoch = epoch, .has_val = true, .split = "test"};
    p.val =
        (struct cnn_eval){.count = count, .classes = 1, .confusion = &count, .samples = samples};
    for (uint32_t i = 0; i < count; i++)
        samples[i] = count - 1 - i;
    OK(store_job_epoch(store, id, &p, NULL, 0, &error));
    free(samples);
}

START_TEST(samples_behind_cells_are_kept_of_the_newest_epochs)
{
    enum { KEPT = LIMIT_JOB_CELL_SAMPLES / CNN_CELL_SAMPLES_MAX };
    begin();
    add_dataset("mnist", 1);
    int64_t id = run_job();
    for (int epoch = 1; epoch <= KEPT + 1; epoch++)
        add_large_epoch(id, epoch, CNN_CELL_SAMPLES_MAX);
    for (int epoch = 1; epoch <= KEPT + 1; epoch++) {
        struct store_cell cell = {.offset = 3, .limit = 2};
        if (epoch == 1) {
            REFUSED(store_job_cell(store, id, epoch, &cell, &error), ERR_NOT_FOUND);
            continue;
        }
        OK(store_job_cell(store, id, epoch, &cell, &error));
        ck_assert_uint_eq(cell.total, CNN_CELL_SAMPLES_MAX);
        ck_assert_uint_eq(cell.count, 2);
        ck_assert_uint_eq(cell.samples[1], CNN_CELL_SAMPLES_MAX - 5);
        free(cell.samples);
    }
    end();
}
END_TEST

START_TEST(cells_of_unknown_classes_and_without_samples_are_refused)
{
    struct store_cell cell = {.actual = 2, .limit = 9};
    begin();
    add_dataset("mnist", 1);
    int64_t id = run_job();
    REFUSED(store_job_cell(store, id, 0, &cell, &error), ERR_NOT_FOUND);
    add_epoch(id, 1, true); /* two classes, no samples */
    REFUSED(store_job_cell(store, id, 0, &cell, &error), ERR_INVALID);
    cell.actual = 1;
    REFUSED(store_job_cell(store, id, 0, &cell, &error), ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(error.detail, "keeps no samples of epoch 1"));
    end();
}
END_TEST

START_TEST(final_figures_are_those_of_the_test_split)
{
    begin();
    add_dataset("mnist", 1);
    int64_t id = run_job();
    end_with_evaluation(id);
    struct store_job row = get_job(id);
    ck_assert_double_eq(row.test_loss, .125);
    ck_assert_double_eq(row.test_accuracy, .875);
    store_job_clear(&row);
    end();
}
END_TEST

START_TEST(failures_are_filtered_in_order)
{
    struct store_failures list;
    begin();
    add_dataset("mnist", 1);
    int64_t id = run_job();
    OK(store_job_failures(store, id, -1, -1, 10, &list, &error));
    ck_assert_int_eq(list.count, 0);
    ck_assert_str_eq(list.split, "");
    end_with_evaluation(id);
    OK(store_job_failures(store, id, -1, -1, 2, &list, &error));
    ck_assert_int_eq(list.count, 2);
    ck_assert_int_eq(list.classes, 2);
    ck_assert_str_eq(list.split, "test");
    ck_assert_uint_eq(list.failures[0].sample, 9);
    ck_assert_uint_eq(list.failures[1].actual, 1);
    ck_assert_float_eq(list.failures[0].score, .9f);
    ck_assert_float_eq(list.scores[2], .8f);
    free(list.failures);
    free(list.scores);
    OK(store_job_failures(store, id, 0, 1, 10, &list, &error));
    ck_assert_int_eq(list.count, 2);
    ck_assert_uint_eq(list.failures[1].sample, 5);
    ck_assert_float_eq(list.scores[3], .7f);
    free(list.failures);
    free(list.scores);
    OK(store_job_failures(store, id, 1, 1, 10, &list, &error));
    ck_assert_int_eq(list.count, 0);
    free(list.failures);
    free(list.scores);
    end();
}
END_TEST

START_TEST(deleting_a_job_deletes_what_it_measured)
{
    struct store_failures list;
    struct report_epoch *rows;
    int count;
    begin();
    add_dataset("mnist", 1);
    int64_t id = run_job();
    add_epoch(id, 1, true);
    end_with_evaluation(id);
    OK(store_job_delete(store, id, &error));
    OK(store_job_epochs(store, id, 0, 1, &rows, &count, &error));
    ck_assert_int_eq(count, 0);
    free(rows);
    OK(store_job_failures(store, id, -1, -1, 10, &list, &error));
    ck_assert_int_eq(list.count, 0);
    end();
}
END_TEST

START_TEST(labels_come_back)
{
    char *labels[] = {(char[]){"cat"}, (char[]){"dog, or \"hund\""}, (char[]){"\xc3\xa9"}}, **back;
    int count;
    begin();
    add_dataset("mnist", 1);
    int64_t id = queue_job();
    OK(store_job_labels(store, id, &back, &count, &error));
    ck_assert_int_eq(count, 0);
    free(back);
    OK(store_job_set_labels(store, id, labels, 3, &error));
    OK(store_job_labels(store, id, &back, &count, &error));
    ck_assert_int_eq(count, 3);
    for (int i = 0; i < count; i++) {
        ck_assert_str_eq(back[i], labels[i]);
        free(back[i]);
    }
    free(back);
    REFUSED(store_job_labels(store, 77, &back, &count, &error), ERR_NOT_FOUND);
    end();
}
END_TEST

TEST_PROGRAM("server store", rows_survive_a_restart, file_that_is_no_database_is_refused,
             folder_that_is_missing_is_refused, now_is_rfc3339_utc,
             full_disk_is_told_and_leaves_the_store_usable, threads_never_get_the_same_version,
             versions_count_up_by_kind_and_name, version_is_not_given_again_after_a_delete,
             newest_dataset_answers_version_0, unknown_dataset_is_not_found_by_name,
             dataset_version_is_added_once, datasets_are_listed_by_name_and_version,
             dataset_stays_while_a_job_needs_it, newest_model_version_is_the_only_active_one,
             deleting_the_active_version_activates_the_newest, deleting_version_0_deletes_all,
             texts_with_quotes_are_only_texts, epochs_are_kept_and_shown_in_the_job,
             epochs_are_thinned_to_every_so_many_and_the_last, epochs_of_an_unknown_job_are_refused,
             batches_are_thinned_evenly, confusion_is_the_final_one_or_that_of_an_epoch,
             samples_behind_cells_are_kept_of_the_newest_epochs,
             cells_of_unknown_classes_and_without_samples_are_refused,
             final_figures_are_those_of_the_test_split, failures_are_filtered_in_order,
             deleting_a_job_deletes_what_it_measured, labels_come_back)
