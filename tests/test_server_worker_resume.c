/* A worker that is killed, stopped or runs into a full disk, and the one that goes on: the test is
 * the daemon and stores what it is told. */
#include <sys/stat.h>
#include <time.h>

#include "checkpoint.h"
#include "rng.h"
#include "worker_process.h"

enum { EPOCHS_MAX = 8 };

/* An epoch as the daemon stores it. */
struct record {
    bool stored, best;
    double loss, accuracy, val_loss, val_accuracy;
    uint32_t confusion[4];
    int point_count;
    struct checkpoint_point points[WORKER_POINTS_MAX];
};

/* What the daemon has of one job. */
struct ledger {
    struct record epochs[EPOCHS_MAX];
    int stored;              /* epochs */
    enum progress_type last; /* message */
    char weights_sha256[65];
};

/* So short a job has no checkpoint, or one after every batch. */
static const struct worker_options usual, eager = {.checkpoint_s = "0"};

/* One worker, its messages, and what is not yet stored of them. */
struct session {
    struct worker_process worker;
    FILE *said;
    struct progress message; /* the last */
    int point_count;
    struct checkpoint_point points[WORKER_POINTS_MAX];
};

static void begin(struct session *session, const struct place *place, const char *job,
                  const struct worker_options *options)
{
    memset(session, 0, sizeof *session);
    session->worker = worker_start_in(place, options);
    worker_give(&session->worker, job, strlen(job));
    session->said = fdopen(session->worker.progress, "r");
    ck_assert_ptr_nonnull(session->said);
}

/* Reads the next message; false at the end. */
static bool next(struct session *session)
{
    struct err e;
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size = getline(&line, &capacity, session->said);
    progress_clear(&session->message);
    /* A worker that is killed may leave half a line. */
    bool whole = size > 0 && line[size - 1] == '\n';
    if (whole)
        ck_assert_msg(progress_parse(line, (size_t)size - 1, &session->message, &e), "%s: %s",
                      e.detail, line);
    free(line);
    return whole;
}

/* Waits for its end; the status as from waitpid. */
static int end(struct session *session)
{
    int status;
    while (next(session))
        ;
    fclose(session->said);
    close(session->worker.errors);
    close(session->worker.acks);
    ck_assert_int_eq(waitpid(session->worker.pid, &status, 0), session->worker.pid);
    return status;
}

static int kill_worker(struct session *session)
{
    kill(session->worker.pid, SIGKILL);
    return end(session);
}

static struct record record_of(const struct session *session)
{
    const struct progress *p = &session->message;
    struct record record;
    memset(&record, 0, sizeof record); /* with what lies between the members: it is compared */
    record.stored = true;
    record.best = p->best;
    record.loss = p->loss;
    record.accuracy = p->accuracy;
    record.val_loss = p->val.loss;
    record.val_accuracy = p->val.accuracy;
    ck_assert_int_eq(p->val.classes, 2);
    memcpy(record.confusion, p->val.confusion, sizeof record.confusion);
    record.point_count = session->point_count;
    memcpy(record.points, session->points, sizeof record.points);
    return record;
}

/* Does with the last message what the daemon does. */
static void serve(struct session *session, struct ledger *ledger)
{
    const struct progress *p = &session->message;
    ledger->last = p->type;
    switch (p->type) {
    case PROGRESS_START:
        ck_assert_int_le(p->epoch, ledger->stored + 1); /* never ahead of what is stored */
        break;
    case PROGRESS_BATCH:
        if (worker_is_point(p->batch, p->batches)) {
            ck_assert_int_lt(session->point_count, WORKER_POINTS_MAX);
            session->points[session->point_count++] =
                (struct checkpoint_point){p->batch, p->batch_loss, p->lr};
        }
        break;
    case PROGRESS_EPOCH: {
        struct record record = record_of(session), *slot = &ledger->epochs[p->epoch - 1];
        if (slot->stored)
            ck_assert_mem_eq(slot, &record, sizeof record); /* told again, the same */
        memcpy(slot, &record, sizeof record);
        ledger->stored = p->epoch > ledger->stored ? p->epoch : ledger->stored;
        session->point_count = 0;
        memset(session->points, 0, sizeof session->points);
        worker_acknowledge(&session->worker, 1);
        break;
    }
    case PROGRESS_DONE:
        memcpy(ledger->weights_sha256, p->weights_sha256, sizeof ledger->weights_sha256);
        break;
    case PROGRESS_FAIL:
        ck_abort_msg("%s", p->error.detail);
    case PROGRESS_STOPPED:
        break;
    }
}

/* Runs a worker to its end, which is expected to be good; the messages it sent. */
static int run_to_end(const struct place *place, const char *job, struct ledger *ledger)
{
    struct session session;
    int count = 0;
    begin(&session, place, job, &usual);
    while (next(&session)) {
        serve(&session, ledger);
        count++;
    }
    ck_assert_int_eq(end(&session), 0);
    ck_assert_str_ne(ledger->weights_sha256, "");
    return count;
}

/* The same, leaving a checkpoint of the end. */
static void run_and_keep(const struct place *place, const char *job, struct ledger *ledger)
{
    struct session session;
    begin(&session, place, job, &eager);
    while (next(&session))
        serve(&session, ledger);
    ck_assert_int_eq(end(&session), 0);
}

static void same_ledger(const struct ledger *a, const struct ledger *b)
{
    ck_assert_str_eq(a->weights_sha256, b->weights_sha256);
    ck_assert_int_eq(a->stored, b->stored);
    ck_assert_mem_eq(a->epochs, b->epochs, sizeof a->epochs);
}

static void forget_checkpoint(const struct place *place)
{
    ck_assert(unlink(place->checkpoint) == 0 || errno == ENOENT);
}

#define TARGET "\"model\":\"m\",\"dataset\":\"shapes\",\"dataset_version\":1"
#define RICH                                                                                    \
    "\"architecture\":{\"layers\":[{\"type\":\"conv2d\",\"filters\":4,\"kernel\":3},"           \
    "{\"type\":\"batch_norm\"},{\"type\":\"relu\"},{\"type\":\"max_pool2d\",\"size\":2},"       \
    "{\"type\":\"flatten\"},{\"type\":\"dropout\",\"rate\":0.3},{\"type\":\"dense\",\"units\":" \
    "2}]}"

static const char *const jobs[] = {
    "{" JOB ",\"epochs\":3}",
    "{" TARGET "," RICH ",\"batch_size\":10,\"threads\":2,\"epochs\":3,\"seed\":3,"
    "\"optimizer\":{\"type\":\"sgd\",\"lr\":0.05,\"momentum\":0.9,\"nesterov\":true},"
    "\"schedule\":{\"type\":\"cosine\",\"warmup_epochs\":0.7},\"augment\":{\"shift\":1,"
    "\"noise\":0.05},\"sampling\":\"balanced\",\"clip_norm\":1,\"publish\":\"last\"}",
    "{" TARGET "," RICH
    ",\"batch_size\":10,\"threads\":1,\"epochs\":4,\"optimizer\":{\"type\":\"rmsprop\","
    "\"lr\":0.002,\"momentum\":0.5},\"class_weights\":\"balanced\","
    "\"early_stopping\":{\"patience\":1}}",
};
enum { JOBS = sizeof jobs / sizeof *jobs };

/* Every `stride`-th, that is. */
static void kill_at_messages(const char *job, int stride)
{
    struct place place = make_place();
    static struct ledger whole;
    memset(&whole, 0, sizeof whole);
    int count = run_to_end(&place, job, &whole);
    ck_assert_int_gt(whole.stored, 1);
    /* After so many messages: before the last is stored, and after. */
    for (int kill_at = 1; kill_at <= 2 * count; kill_at += stride) {
        static struct ledger ledger;
        struct session session;
        memset(&ledger, 0, sizeof ledger);
        forget_checkpoint(&place);
        begin(&session, &place, job, &eager);
        for (int i = 1; i <= (kill_at + 1) / 2; i++) {
            ck_assert(next(&session));
            if (2 * i <= kill_at)
                serve(&session, &ledger);
        }
        kill_worker(&session);
        run_to_end(&place, job, &ledger);
        same_ledger(&ledger, &whole);
    }
    harness_rmdir(place.folder);
}

START_TEST(a_worker_killed_at_any_message_is_gone_on_with)
{
    for (int i = 0; i < JOBS; i++)
        kill_at_messages(jobs[i], i == 0 ? 3 : 11);
}
END_TEST

static void sleep_us(long us)
{
    const struct timespec time = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&time, NULL);
}

static void kill_at_random(const char *job, uint64_t seed)
{
    struct place place = make_place();
    struct cnn_rng rng;
    static struct ledger whole, ledger;
    memset(&whole, 0, sizeof whole);
    run_to_end(&place, job, &whole);
    cnn_rng_init(&rng, seed, 0);
    for (int round = 0; round < 2; round++) {
        memset(&ledger, 0, sizeof ledger);
        forget_checkpoint(&place);
        for (int kills = 0; kills < 10; kills++) {
            struct session session;
            int messages = 1 + (int)cnn_rng_below(&rng, 15);
            begin(&session, &place, job, &eager);
            for (int i = 0; i < messages && next(&session); i++)
                serve(&session, &ledger);
            sleep_us(cnn_rng_below(&rng, 3000));
            kill_worker(&session);
        }
        run_to_end(&place, job, &ledger);
        same_ledger(&ledger, &whole);
    }
    harness_rmdir(place.folder);
}

START_TEST(a_worker_killed_at_any_moment_is_gone_on_with)
{
    for (int i = 0; i < JOBS; i++)
        kill_at_random(jobs[i], (uint64_t)i);
}
END_TEST

START_TEST(no_checkpoint_is_written_before_the_epoch_is_stored)
{
    struct place place = make_place();
    struct session session;
    begin(&session, &place, jobs[0], &eager);
    while (next(&session) && session.message.type != PROGRESS_EPOCH)
        ;
    sleep_us(50000); /* it waits now */
    kill_worker(&session);

    begin(&session, &place, jobs[0], &eager);
    ck_assert(next(&session));
    ck_assert_int_eq(session.message.epoch, 1);
    while (next(&session) && session.message.type != PROGRESS_EPOCH)
        ;
    worker_acknowledge(&session.worker, 1);
    ck_assert(next(&session)); /* of the next epoch */
    ck_assert_int_eq(session.message.epoch, 2);
    kill_worker(&session);

    begin(&session, &place, jobs[0], &usual);
    ck_assert(next(&session));
    ck_assert_int_eq(session.message.epoch, 2);
    kill_worker(&session);
    harness_rmdir(place.folder);
}
END_TEST

/* 100 batches an epoch, 50 of them points: more than a pipe of one page holds, so that this worker
 * cannot run far ahead of who reads. */
static const char long_job[] = "{" TARGET "," RICH ",\"threads\":1,\"epochs\":2,\"batch_size\":1}";

enum { PIPE_BYTES = 4096 };

/* Begins it and lets it wait in its first epoch, for want of a reader. */
static void begin_slow(struct session *session, const struct place *place, const char *checkpoint_s,
                       long us)
{
    begin(session, place, long_job,
          &(struct worker_options){.checkpoint_s = checkpoint_s, .pipe_bytes = PIPE_BYTES});
    ck_assert(next(session));
    sleep_us(us);
    while (next(session) && session->message.type != PROGRESS_EPOCH)
        ;
}

/* Where the next worker would begin. */
static void expect_start(const struct place *place, int epoch, bool within)
{
    struct session session;
    begin(&session, place, long_job, &usual);
    ck_assert(next(&session));
    ck_assert(session.message.resumed);
    ck_assert_int_eq(session.message.epoch, epoch);
    ck_assert_int_eq(session.message.batch > 0, within);
    kill_worker(&session);
}

START_TEST(a_worker_asked_to_stop_keeps_where_it_is)
{
    struct place place = make_place();
    static struct ledger whole, ledger;
    memset(&whole, 0, sizeof whole);
    memset(&ledger, 0, sizeof ledger);
    run_to_end(&place, long_job, &whole);
    forget_checkpoint(&place);
    int epoch = 1, batch = 0, stops = 0;
    for (bool done = false; !done;) {
        struct session session;
        begin(&session, &place, long_job, &(struct worker_options){.pipe_bytes = PIPE_BYTES});
        ck_assert(next(&session));
        ck_assert_int_eq(session.message.type, PROGRESS_START);
        ck_assert_int_eq(session.message.resumed, stops > 0);
        ck_assert_int_eq(session.message.epoch, epoch);
        ck_assert_int_eq(session.message.batch, batch);
        serve(&session, &ledger);
        for (int fresh = 0; fresh < 2 && next(&session);) { /* past what is told again */
            serve(&session, &ledger);
            fresh += session.message.epoch > epoch || session.message.batch > batch;
        }
        kill(session.worker.pid, SIGTERM);
        while (next(&session)) {
            serve(&session, &ledger);
            epoch = session.message.epoch;
            batch = session.message.batch;
        }
        ck_assert_int_eq(end(&session), 0);
        done = ledger.last == PROGRESS_DONE;
        ck_assert(done || ledger.last == PROGRESS_STOPPED);
        stops += !done;
    }
    ck_assert_int_gt(stops, 0);
    same_ledger(&ledger, &whole);
    harness_rmdir(place.folder);
}
END_TEST

START_TEST(time_makes_checkpoints_within_an_epoch)
{
    struct place place = make_place();
    struct session session;
    static struct ledger whole, ledger;
    run_to_end(&place, long_job, &whole);
    forget_checkpoint(&place);
    begin_slow(&session, &place, "1", 1200000);
    kill_worker(&session);
    expect_start(&place, 1, true);
    run_to_end(&place, long_job, &ledger);
    same_ledger(&ledger, &whole);
    harness_rmdir(place.folder);
}
END_TEST

START_TEST(an_epoch_of_some_length_ends_with_a_checkpoint)
{
    struct place place = make_place();
    struct session session;
    begin_slow(&session, &place, "30", 400000);
    worker_acknowledge(&session.worker, 1);
    ck_assert(next(&session)); /* of the next epoch */
    kill_worker(&session);
    expect_start(&place, 2, false);
    harness_rmdir(place.folder);
}
END_TEST

START_TEST(a_resumed_job_may_have_more_epochs)
{
    static const char more[] = "{" JOB ",\"epochs\":5}";
    struct place place = make_place();
    static struct ledger whole, ledger;
    run_to_end(&place, more, &whole);
    forget_checkpoint(&place);
    run_and_keep(&place, jobs[0], &ledger);
    ck_assert_int_eq(ledger.stored, 3);
    run_to_end(&place, more, &ledger);
    same_ledger(&ledger, &whole);
    harness_rmdir(place.folder);
}
END_TEST

/* ---- what it refuses, and what stops it ---- */

#ifndef __has_feature
#define __has_feature(name) 0
#endif
enum {
    UNDER_TSAN = __has_feature(thread_sanitizer),
#ifdef __SANITIZE_ADDRESS__
    UNDER_ASAN = 1,
#else
    UNDER_ASAN = __has_feature(address_sanitizer),
#endif
};

/* Serves it to its end, which is a failure with this. */
static void expect_failure(struct session *session, enum err_code code, const char *detail)
{
    struct err e = {0};
    while (next(session)) {
        if (session->message.type == PROGRESS_EPOCH)
            worker_acknowledge(&session->worker, 1);
        if (session->message.type == PROGRESS_FAIL)
            e = session->message.error;
    }
    int status = end(session);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 1, "%#x", (unsigned)status);
    ck_assert_msg(e.code == code && strstr(e.detail, detail), "%d: %s", (int)e.code, e.detail);
}

/* Runs a worker that fails with this. */
static void fails(const struct place *place, const char *job, const struct worker_options *options,
                  enum err_code code, const char *detail)
{
    struct session session;
    begin(&session, place, job, options);
    expect_failure(&session, code, detail);
}

START_TEST(a_damaged_checkpoint_is_named)
{
    struct place place = make_place();
    static struct ledger ledger;
    struct stat st;
    run_and_keep(&place, jobs[0], &ledger);
    ck_assert_int_eq(stat(place.checkpoint, &st), 0);
    ck_assert_int_eq(truncate(place.checkpoint, st.st_size - 1), 0);
    fails(&place, jobs[0], &usual, ERR_UNPROCESSABLE, place.checkpoint);
    ck_assert_int_eq(truncate(place.checkpoint, 0), 0);
    fails(&place, jobs[0], &usual, ERR_UNPROCESSABLE, place.checkpoint);
    harness_rmdir(place.folder);
}
END_TEST

START_TEST(a_checkpoint_of_another_job_is_refused)
{
    struct place place = make_place();
    static struct ledger ledger;
    run_and_keep(&place, jobs[0], &ledger);
    fails(&place, "{" JOB ",\"epochs\":3,\"seed\":1}", &usual, ERR_CONFLICT, "asked for otherwise");
    fails(&place, "{" JOB ",\"epochs\":1}", &usual, ERR_INVALID, "epoch 4, batch 0 is not in 1");
    harness_rmdir(place.folder);
}
END_TEST

/* Nothing is left in the folder for temporary files. */
static void expect_no_temp(const struct place *place)
{
    char path[400];
    snprintf(path, sizeof path, "%s/tmp/job-7.safetensors", place->data_dir);
    ck_assert_int_ne(access(path, F_OK), 0);
}

START_TEST(a_full_disk_fails_the_job_and_its_last_checkpoint_stays)
{
    struct session session;
    static struct ledger whole, ledger;
    const struct worker_options full = {.checkpoint_s = "0", .file_bytes_max = 4096};
    if (UNDER_TSAN)
        return; /* clang's OpenMP maps a file that is to be larger */
    struct place place = make_place();
    run_to_end(&place, jobs[0], &whole);
    forget_checkpoint(&place);
    fails(&place, jobs[0], &full, ERR_NO_SPACE, "job-7.safetensors");
    expect_no_temp(&place);
    ck_assert_int_ne(access(place.checkpoint, F_OK), 0);

    begin(&session, &place, jobs[0], &eager);
    while (next(&session) && ledger.stored < 1)
        serve(&session, &ledger);
    while (next(&session) && session.message.type != PROGRESS_EPOCH)
        ;
    kill_worker(&session);
    struct file_map before, after;
    struct err e;
    ck_assert(file_map_open(&before, place.checkpoint, &e));
    fails(&place, jobs[0], &full, ERR_NO_SPACE, "job-7.safetensors");
    expect_no_temp(&place);
    ck_assert(file_map_open(&after, place.checkpoint, &e));
    ck_assert_uint_eq(after.size, before.size);
    ck_assert_mem_eq(after.bytes, before.bytes, before.size);
    file_map_close(&before);
    file_map_close(&after);

    run_to_end(&place, jobs[0], &ledger);
    same_ledger(&ledger, &whole);
    harness_rmdir(place.folder);
}
END_TEST

START_TEST(a_checkpoint_that_cannot_be_put_in_place_fails_the_job)
{
    struct place place = make_place();
    struct session session;
    begin_slow(&session, &place, "30", 400000);
    ck_assert_int_eq(mkdir(place.checkpoint, 0755), 0); /* it is written next */
    worker_acknowledge(&session.worker, 1);
    expect_failure(&session, ERR_IO, place.checkpoint);
    expect_no_temp(&place);
    harness_rmdir(place.folder);
}
END_TEST

START_TEST(a_job_that_diverges_keeps_its_last_good_checkpoint)
{
    /* A rate that rises by the step until each one overshoots by more than the one before. */
    static const char job[] =
        "{" TARGET ",\"architecture\":{\"layers\":[{\"type\":\"flatten\"},{\"type\":\"dense\","
        "\"units\":2}]},\"loss\":\"mse\",\"threads\":1,\"batch_size\":10,\"epochs\":100,"
        "\"optimizer\":{\"type\":\"sgd\",\"lr\":10},\"schedule\":{\"type\":\"constant\","
        "\"warmup_epochs\":100}}";
    struct place place = make_place();
    struct session session;
    fails(&place, job, &eager, ERR_DIVERGED, "non-finite");
    begin(&session, &place, job, &eager);
    ck_assert(next(&session));
    ck_assert_int_eq(session.message.type, PROGRESS_START);
    ck_assert(session.message.resumed);
    ck_assert_int_gt(session.message.epoch, 1);
    kill_worker(&session);
    fails(&place, job, &eager, ERR_DIVERGED, "non-finite");
    harness_rmdir(place.folder);
}
END_TEST

START_TEST(a_job_past_its_memory_limit_fails_and_says_so)
{
    /* 3 million weights: 12 MiB, and several times that to train them. */
    static const char job[] =
        "{" TARGET
        ",\"threads\":2,\"epochs\":1,\"architecture\":{\"layers\":[{\"type\":\"flatten\"},"
        "{\"type\":\"dense\",\"units\":4096},{\"type\":\"dense\",\"units\":2}]}}";
    static struct ledger ledger;
    if (UNDER_TSAN || UNDER_ASAN)
        return; /* their shadow is memory, too */
    struct place place = make_place();
    fails(&place, job, &(struct worker_options){.memory_mib = "1"}, ERR_NO_MEMORY,
          "out of memory: the job may take 1 MiB");
    fails(&place, job, &(struct worker_options){.memory_mib = "20"}, ERR_NO_MEMORY, "20 MiB");
    struct session session;
    begin(&session, &place, job, &(struct worker_options){.memory_mib = "400"});
    while (next(&session))
        serve(&session, &ledger);
    ck_assert_int_eq(end(&session), 0);
    ck_assert_str_ne(ledger.weights_sha256, "");
    harness_rmdir(place.folder);
}
END_TEST

TEST_PROGRAM("server_worker_resume", a_worker_killed_at_any_message_is_gone_on_with,
             a_worker_killed_at_any_moment_is_gone_on_with,
             a_worker_asked_to_stop_keeps_where_it_is,
             no_checkpoint_is_written_before_the_epoch_is_stored,
             time_makes_checkpoints_within_an_epoch, an_epoch_of_some_length_ends_with_a_checkpoint,
             a_resumed_job_may_have_more_epochs, a_damaged_checkpoint_is_named,
             a_checkpoint_of_another_job_is_refused,
             a_full_disk_fails_the_job_and_its_last_checkpoint_stays,
             a_checkpoint_that_cannot_be_put_in_place_fails_the_job,
             a_job_that_diverges_keeps_its_last_good_checkpoint,
             a_job_past_its_memory_limit_fails_and_says_so)
