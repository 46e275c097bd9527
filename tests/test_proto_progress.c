/* Progress messages: what a worker writes is what the daemon reads. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exact.h"
#include "harness.h"
#include "limits.h"
#include "memory.h"
#include "progress.h"

/* An evaluation of count = sum of the cells, with samples behind them unless there are too many,
 * and failures of sample i. */
static void fill_eval(struct cnn_eval *eval, int classes, int failures)
{
    struct err e;
    size_t n = (size_t)classes;
    *eval = (struct cnn_eval){.loss = 0.1 + 0.2, .accuracy = 1.0 / 3, .classes = classes};
    eval->confusion = memory_new(n * n, sizeof(uint32_t), &e);
    for (size_t i = 0; i < n * n; i++)
        eval->count += eval->confusion[i] = (uint32_t)(i % 7);
    if (eval->count <= CNN_CELL_SAMPLES_MAX)
        eval->samples = memory_new(eval->count, sizeof(uint32_t), &e);
    for (uint32_t i = 0; eval->samples && i < eval->count; i++)
        eval->samples[i] = eval->count - 1 - i;
    eval->failure_count = failures;
    eval->failures = memory_new((size_t)failures, sizeof *eval->failures, &e);
    eval->failure_scores = memory_new((size_t)failures * n, sizeof(float), &e);
    for (int i = 0; i < failures; i++) {
        eval->failures[i] =
            (struct cnn_failure){(uint32_t)i * 3, (uint16_t)(i % classes),
                                 (uint16_t)((i + 1) % classes), 1.0f / (float)(i + 1)};
        for (size_t k = 0; k < n; k++)
            eval->failure_scores[(size_t)i * n + k] = 1.0f / (float)(i + 3 + (int)k);
    }
}

static bool parse(const struct buf *line, size_t size, struct progress *progress, struct err *e)
{
    char *copy = exact_copy(line->data, size);
    *e = (struct err){0};
    bool ok = progress_parse(copy, size, progress, e);
    free(copy);
    return ok;
}

/* Writes and reads back into *back. */
static void carry(const struct progress *progress, struct progress *back)
{
    struct buf line = {0};
    struct err e;
    progress_write(&line, progress);
    ck_assert(buf_ok(&line));
    ck_assert_ptr_eq(memchr(line.data, '\n', line.size), line.data + line.size - 1);
    ck_assert_msg(parse(&line, line.size - 1, back, &e), "%s: %s: %s", buf_text(&line), e.field,
                  e.detail);
    ck_assert_int_eq(back->type, progress->type);
    buf_clear(&line);
}

static void same_eval(const struct cnn_eval *a, const struct cnn_eval *b)
{
    size_t n = (size_t)a->classes;
    ck_assert(a->loss == b->loss && a->accuracy == b->accuracy);
    ck_assert_uint_eq(a->count, b->count);
    ck_assert_int_eq(a->classes, b->classes);
    ck_assert_mem_eq(a->confusion, b->confusion, n * n * sizeof *a->confusion);
    ck_assert_int_eq(a->samples != NULL, b->samples != NULL);
    if (a->samples)
        ck_assert_mem_eq(a->samples, b->samples, a->count * sizeof *a->samples);
    ck_assert_int_eq(a->failure_count, b->failure_count);
    for (int i = 0; i < a->failure_count; i++) {
        ck_assert_uint_eq(a->failures[i].sample, b->failures[i].sample);
        ck_assert_uint_eq(a->failures[i].actual, b->failures[i].actual);
        ck_assert_uint_eq(a->failures[i].predicted, b->failures[i].predicted);
        ck_assert(a->failures[i].score == b->failures[i].score);
    }
    if (a->failure_count)
        ck_assert_mem_eq(a->failure_scores, b->failure_scores,
                         (size_t)a->failure_count * n * sizeof(float));
}

START_TEST(test_start_is_carried)
{
    struct progress back, start = {.type = PROGRESS_START,
                                   .parameters = 138357544,
                                   .threads = 2,
                                   .cpu = "avx512",
                                   .resumed = true,
                                   .resumed_cpu = "avx2",
                                   .epoch = 3,
                                   .batch = 17,
                                   .batches = 400};
    carry(&start, &back);
    ck_assert_uint_eq(back.parameters, 138357544);
    ck_assert_int_eq(back.threads, 2);
    ck_assert_str_eq(back.cpu, "avx512");
    ck_assert(back.resumed);
    ck_assert_str_eq(back.resumed_cpu, "avx2");
    ck_assert_int_eq(back.epoch, 3);
    ck_assert_int_eq(back.batch, 17);
    ck_assert_int_eq(back.batches, 400);
    progress_clear(&back);
}
END_TEST

START_TEST(test_stopped_is_carried)
{
    struct progress back, stopped = {.type = PROGRESS_STOPPED, .epoch = 4, .batch = 0};
    carry(&stopped, &back);
    ck_assert_int_eq(back.epoch, 4);
    ck_assert_int_eq(back.batch, 0);
    progress_clear(&back);
}
END_TEST

START_TEST(test_batch_is_carried)
{
    struct progress back, batch = {.type = PROGRESS_BATCH,
                                   .epoch = 2,
                                   .batch = 120,
                                   .batches = 400,
                                   .loss = 1.0 / 3,
                                   .accuracy = 0.978,
                                   .batch_loss = INFINITY,
                                   .lr = 1e-3,
                                   .samples_per_second = 12345.678};
    carry(&batch, &back);
    ck_assert_int_eq(back.epoch, 2);
    ck_assert_int_eq(back.batch, 120);
    ck_assert_int_eq(back.batches, 400);
    ck_assert(back.loss == batch.loss && back.accuracy == batch.accuracy && back.lr == batch.lr);
    ck_assert(back.samples_per_second == batch.samples_per_second);
    ck_assert(isnan(back.batch_loss)); /* JSON has no infinity */
    progress_clear(&back);
}
END_TEST

START_TEST(test_epoch_is_carried_with_and_without_evaluation)
{
    struct progress back, epoch = {.type = PROGRESS_EPOCH,
                                   .epoch = 3,
                                   .batch = 9,
                                   .batches = 9,
                                   .loss = 0.5,
                                   .seconds = 1.25,
                                   .best = true};
    carry(&epoch, &back);
    ck_assert(back.best && back.seconds == 1.25 && !back.has_val);
    ck_assert_str_eq(back.split, "");
    progress_clear(&back);

    fill_eval(&epoch.val, 10, 0);
    epoch.has_val = true;
    strcpy(epoch.split, "validation");
    carry(&epoch, &back);
    ck_assert(back.has_val);
    ck_assert_str_eq(back.split, "validation");
    same_eval(&epoch.val, &back.val);
    progress_clear(&back);
    progress_clear(&epoch);
    ck_assert_ptr_null(epoch.val.confusion);
}
END_TEST

START_TEST(test_done_is_carried_with_failures)
{
    struct progress back, done = {.type = PROGRESS_DONE, .best_epoch = 4, .stopped_early = true};
    memset(done.weights_sha256, 'a', 64);
    strcpy(done.split, "test");
    done.has_val = true;
    fill_eval(&done.val, 10, 57);
    carry(&done, &back);
    ck_assert(back.best_epoch == 4 && back.stopped_early);
    ck_assert_str_eq(back.weights_sha256, done.weights_sha256);
    same_eval(&done.val, &back.val);
    progress_clear(&back);
    progress_clear(&done);
}
END_TEST

/* As many samples as are kept, and one more, where they are left out. */
START_TEST(test_samples_are_carried_up_to_their_limit)
{
    for (uint32_t more = 0; more <= 1; more++) {
        struct progress back, done = {.type = PROGRESS_DONE, .has_val = true};
        struct err e;
        done.val = (struct cnn_eval){.count = CNN_CELL_SAMPLES_MAX + more, .classes = 1};
        done.val.confusion = memory_new(1, sizeof(uint32_t), &e);
        done.val.confusion[0] = done.val.count;
        done.val.samples = memory_new(done.val.count, sizeof(uint32_t), &e);
        done.val.samples[done.val.count - 1] = UINT32_MAX;
        carry(&done, &back);
        ck_assert_uint_eq(back.val.count, done.val.count);
        ck_assert_int_eq(back.val.samples == NULL, more == 1);
        if (!more)
            same_eval(&done.val, &back.val);
        progress_clear(&back);
        progress_clear(&done);
    }
}
END_TEST

/* As large as the limits allow: more numbers than a JSON document may hold values. */
START_TEST(test_the_largest_evaluation_is_carried)
{
    struct progress back, done = {.type = PROGRESS_DONE, .has_val = true};
    fill_eval(&done.val, CNN_CLASSES_MAX, 0);
    carry(&done, &back);
    same_eval(&done.val, &back.val);
    progress_clear(&back);
    progress_clear(&done);
}
END_TEST

START_TEST(test_failure_is_carried_whatever_its_text_holds)
{
    struct progress back, fail = {.type = PROGRESS_FAIL};
    err_field(&fail.error, ERR_DIVERGED, "optimizer.lr", "line\nfeed \"quoted\" \xff\x1b[31m");
    carry(&fail, &back);
    ck_assert_int_eq(back.error.code, ERR_DIVERGED);
    ck_assert_str_eq(back.error.field, "optimizer.lr");
    ck_assert_str_eq(back.error.detail, "line\nfeed \"quoted\" \xef\xbf\xbd\x1b[31m");
    progress_clear(&back);
    memset(fail.error.detail, 0xff, sizeof fail.error.detail - 1); /* grows threefold: is cut */
    fail.error.detail[sizeof fail.error.detail - 1] = '\0';
    carry(&fail, &back);
    ck_assert_uint_eq(strlen(back.error.detail), sizeof fail.error.detail - 1);
    progress_clear(&back);
}
END_TEST

START_TEST(test_a_line_cut_anywhere_is_refused)
{
    struct progress back, done = {.type = PROGRESS_DONE, .has_val = true};
    struct buf line = {0};
    struct err e;
    fill_eval(&done.val, 3, 2);
    progress_write(&line, &done);
    for (size_t size = 0; size + 1 < line.size; size++) {
        ck_assert_msg(!parse(&line, size, &back, &e), "%zu of %zu bytes", size, line.size);
        ck_assert_ptr_null(back.val.confusion);
    }
    buf_clear(&line);
    progress_clear(&done);
}
END_TEST

static void refused(const char *text, const char *field, const char *why)
{
    struct buf line = {0};
    struct progress back;
    struct err e;
    buf_str(&line, text);
    ck_assert_msg(!parse(&line, line.size, &back, &e), "%s", text);
    ck_assert_msg(strstr(e.detail, why) != NULL, "%s: %s", text, e.detail);
    ck_assert_str_eq(e.field, field);
    ck_assert_ptr_null(back.val.confusion);
    buf_clear(&line);
}

/* DONE with an evaluation of two classes, as these texts say. */
static void val_refused(const char *count, const char *confusion, const char *samples,
                        int failure_count, const char *failures, const char *field, const char *why)
{
    char text[1024];
    snprintf(text, sizeof text,
             "{\"type\":\"done\",\"split\":\"test\",\"best_epoch\":1,\"stopped_early\":false,"
             "\"weights_sha256\":\"\",\"val\":{\"loss\":0,\"accuracy\":0,\"count\":%s,"
             "\"classes\":2,\"confusion\":\"%s\",\"samples\":\"%s\",\"failure_count\":%d,"
             "\"failures\":\"%s\"}}",
             count, confusion, samples, failure_count, failures);
    if (why) {
        refused(text, field, why);
        return;
    }
    struct buf line = {0};
    struct progress back;
    struct err e;
    buf_str(&line, text);
    ck_assert_msg(parse(&line, line.size, &back, &e), "%s: %s", text, e.detail);
    progress_clear(&back);
    buf_clear(&line);
}

START_TEST(test_broken_messages_are_refused)
{
    refused("", "", "empty JSON");
    refused("[]", "", "expected an object");
    refused("{}", "type", "missing 'type'");
    refused("{\"type\":\"stop\"}", "type", "got 'stop'");
    refused("{\"type\":\"start\"}", "parameters", "missing 'parameters'");
    refused("{\"type\":\"fail\",\"code\":0,\"field\":\"\",\"detail\":\"\"}", "code", "got 0");
    refused("{\"type\":\"fail\",\"code\":99,\"field\":\"\",\"detail\":\"\"}", "code", "got 99");
    refused("{\"type\":\"fail\",\"code\":1,\"field\":\"\",\"detail\":\"\",\"epoch\":1}", "epoch",
            "unknown field 'epoch'");
    refused("{\"type\":\"start\",\"parameters\":1,\"threads\":1,\"batches\":1,"
            "\"cpu\":\"0123456789abcdef\"}",
            "cpu", "16 bytes exceed 15");
}
END_TEST

START_TEST(test_broken_evaluations_are_refused)
{
    val_refused("10", "1 2 3 4 ", "", 1, "7 0 1 0.5 0.5 0.5 ", NULL, NULL);
    val_refused("10", "1 2 3 4 ", "", 0, "", NULL, NULL);
    val_refused("11", "1 2 3 4 ", "", 0, "", "val.confusion", "do not sum to 11");
    val_refused("10", "1 2 3 ", "", 0, "", "val.confusion", "broken count 3 of 4");
    val_refused("10", "1 2 3 4 0 ", "", 0, "", "val.confusion", "do not sum");
    val_refused("10", "1 2 3 4", "", 0, "", "val.confusion", "broken count 3 of 4");
    val_refused("10", "-1 2 3 4 ", "", 0, "", "val.confusion", "broken count 0 of 4");
    val_refused("10", "1 2 3 4294967296 ", "", 0, "", "val.confusion", "broken count 3 of 4");
    val_refused("-1", "1 2 3 4 ", "", 0, "", "val.count", "got -1");
    val_refused("3", "1 1 1 0 ", "7 4294967295 7 ", 0, "", NULL, NULL);
    val_refused("3", "1 1 1 0 ", "1 2 ", 0, "", "val.samples", "broken sample 2 of 3");
    val_refused("3", "1 1 1 0 ", "1 2 4294967296 ", 0, "", "val.samples", "broken sample 2 of 3");
    val_refused("3", "1 1 1 0 ", "1 2 x ", 0, "", "val.samples", "broken sample 2 of 3");
    val_refused("3", "1 1 1 0 ", "1 2 3 4 ", 0, "", "val.samples", "more than 3 samples");
    val_refused("262145", "262145 0 0 0 ", "1 ", 0, "", "val.samples", "more than 262144 samples");
    val_refused("10", "1 2 3 4 ", "", 1, "", "val.failures", "broken failure 0 of 1");
    val_refused("10", "1 2 3 4 ", "", 1, "7 2 1 0.5 0.5 0.5 ", "val.failures", "broken failure");
    val_refused("10", "1 2 3 4 ", "", 1, "7 0 2 0.5 0.5 0.5 ", "val.failures", "broken failure");
    val_refused("10", "1 2 3 4 ", "", 1, "7 0 1 0.5 0.5 ", "val.failures", "broken failure");
    val_refused("10", "1 2 3 4 ", "", 0, "7 0 1 0.5 0.5 0.5 ", "val.failures",
                "more than 0 failures");
    val_refused("10", "1 2 3 4 ", "", 1001, "", "val.failure_count", "got 1001");
}
END_TEST

TEST_PROGRAM("proto_progress", test_start_is_carried, test_stopped_is_carried,
             test_batch_is_carried, test_epoch_is_carried_with_and_without_evaluation,
             test_done_is_carried_with_failures, test_samples_are_carried_up_to_their_limit,
             test_the_largest_evaluation_is_carried,
             test_failure_is_carried_whatever_its_text_holds, test_a_line_cut_anywhere_is_refused,
             test_broken_messages_are_refused, test_broken_evaluations_are_refused)
