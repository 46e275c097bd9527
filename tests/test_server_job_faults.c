/* Jobs whose worker crashes, hangs, lies, or cannot work at all, on the real daemon. */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "small_job.h"

/* Its first epoch has no end, so neither has a checkpoint: a crash in it is one without progress.
 */
#define ONE_LONG_EPOCH                                                                     \
    "{\"model\":\"m\",\"dataset\":\"shapes\",\"architecture\":\"mnist-cnn\",\"epochs\":9," \
    "\"batch_size\":1}"

static const char *const no_checkpoints[] = {"--checkpoint-s", "86400", NULL};

static struct daemon make_large(void)
{
    struct daemon daemon = make_with(no_checkpoints);
    make_shapes(&daemon, 20000, 10);
    return daemon;
}

/* Polls until the job has so many attempts and trains, or has ended. */
static cJSON *wait_attempt(const struct daemon *daemon, const char *id, int attempts)
{
    for (;;) {
        cJSON *job = get_json(daemon, "/jobs/%s", id);
        if (job_has_ended(job) ||
            ((int)number(job, "attempts") >= attempts && number(job, "batch") > 0))
            return job;
        cJSON_Delete(job);
        job_pause();
    }
}

START_TEST(a_killed_worker_is_replaced_and_the_weights_are_the_same)
{
    struct daemon daemon = make_small();
    char id[24];
    post_job(&daemon, ENDLESS, id);
    wait_running(&daemon, id);
    ck_assert_int_eq(kill(worker_of(&daemon), SIGKILL), 0);
    cJSON *job = wait_attempt(&daemon, id, 2);
    ck_assert_str_eq(text(job, "state"), "running");
    ck_assert_str_eq(text(job, "last_crash"), "worker was killed by signal 9 (Killed)");
    cJSON_Delete(job);
    cancel_job(&daemon, id);
    expect_state(&daemon, id, "cancelled");
    expect_same_weights(&daemon, id);
    char *log = daemon_log(&daemon);
    ck_assert_ptr_nonnull(strstr(log, "worker_crashed"));
    free(log);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_worker_that_crashes_again_and_again_fails_its_job)
{
    struct daemon daemon = make_large();
    char id[24];
    post_job(&daemon, ONE_LONG_EPOCH, id);
    for (int attempt = 1; attempt <= 3; attempt++) {
        cJSON *job = wait_attempt(&daemon, id, attempt);
        ck_assert_str_eq(text(job, "state"), "running");
        ck_assert_int_eq((int)number(job, "crashes"), attempt - 1);
        ck_assert(cJSON_IsNull(member(job, "resumed_from")));
        cJSON_Delete(job);
        ck_assert_int_eq(kill(worker_of(&daemon), SIGKILL), 0);
    }
    cJSON *job = wait_job(&daemon, id);
    ck_assert_str_eq(text(job, "state"), "failed");
    ck_assert_str_eq(text(job, "error"), "3 crashes without progress, the last: "
                                         "worker was killed by signal 9 (Killed)");
    ck_assert_int_eq((int)number(job, "attempts"), 3);
    cJSON_Delete(job);
    /* It fails alone. */
    cJSON_Delete(run_job(&daemon, "{" QUICK ",\"epochs\":1}"));
    daemon_stop(&daemon);
}
END_TEST

/* Waits until the job's checkpoint is another file than *seen, which becomes it. */
static void wait_checkpoint(const struct daemon *daemon, const char *id, ino_t *seen)
{
    char path[400];
    struct stat file = {.st_ino = *seen};
    snprintf(path, sizeof path, "%s/checkpoints/%s.safetensors", daemon->data_dir, id);
    while (stat(path, &file) != 0 || file.st_ino == *seen)
        job_pause();
    *seen = file.st_ino;
}

START_TEST(crashes_with_progress_between_them_are_forgiven)
{
    struct daemon daemon =
        make_with((const char *const[]){"--checkpoint-s", "1", "--job-retries", "1", NULL});
    char id[24];
    ino_t checkpoint = 0;
    int batch = 0;
    make_shapes(&daemon, 20000, 10);
    post_job(&daemon, ONE_LONG_EPOCH, id);
    for (int attempt = 1; attempt <= 4; attempt++) {
        cJSON *job = wait_attempt(&daemon, id, attempt);
        ck_assert_str_eq(text(job, "state"), "running");
        ck_assert_int_eq((int)number(job, "crashes"), 0);
        if (attempt > 1) {
            const cJSON *from = member(job, "resumed_from");
            ck_assert_int_eq((int)number(from, "epoch"), 1);
            ck_assert_int_gt((int)number(from, "batch"), batch);
            batch = (int)number(from, "batch");
        }
        cJSON_Delete(job);
        wait_checkpoint(&daemon, id, &checkpoint);
        ck_assert_int_eq(kill(worker_of(&daemon), SIGKILL), 0);
    }
    cJSON *job = wait_attempt(&daemon, id, 5);
    ck_assert_str_eq(text(job, "state"), "running");
    cJSON_Delete(job);
    cancel_job(&daemon, id);
    expect_state(&daemon, id, "cancelled");
    daemon_stop(&daemon);
}
END_TEST

#ifndef __has_feature
#define __has_feature(name) 0
#endif
#if defined __SANITIZE_ADDRESS__ || __has_feature(address_sanitizer) || \
    __has_feature(thread_sanitizer)
enum { SANITIZED = true };
#else
enum { SANITIZED = false };
#endif

START_TEST(a_job_past_its_memory_limit_fails_and_says_so)
{
    if (SANITIZED)
        return; /* shadow memory is memory, too */
    struct daemon daemon = make_with((const char *const[]){"--job-memory-mib", "1", NULL});
    char id[24];
    post_job(&daemon, "{\"model\":\"m\",\"dataset\":\"shapes\",\"architecture\":\"mnist-cnn\"}",
             id);
    cJSON *job = wait_job(&daemon, id);
    ck_assert_str_eq(text(job, "state"), "failed");
    ck_assert_str_eq(text(job, "error"), "out of memory: the job may take 1 MiB");
    ck_assert_int_eq((int)number(job, "attempts"), 1);
    cJSON_Delete(job);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_crash_ends_the_job_where_nothing_is_retried)
{
    struct daemon daemon = make_with((const char *const[]){"--job-retries", "0", NULL});
    char id[24];
    post_job(&daemon, ENDLESS, id);
    wait_running(&daemon, id);
    ck_assert_int_eq(kill(worker_of(&daemon), SIGKILL), 0);
    cJSON *job = wait_job(&daemon, id);
    ck_assert_str_eq(text(job, "state"), "failed");
    ck_assert_str_eq(text(job, "error"), "worker was killed by signal 9 (Killed)");
    cJSON_Delete(job);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_worker_that_somebody_else_stops_is_replaced)
{
    struct daemon daemon = make_small();
    char id[24];
    post_job(&daemon, ENDLESS, id);
    wait_running(&daemon, id);
    ck_assert_int_eq(kill(worker_of(&daemon), SIGTERM), 0);
    cJSON *job = wait_attempt(&daemon, id, 2);
    ck_assert_str_eq(text(job, "state"), "running");
    ck_assert_str_eq(text(job, "last_crash"),
                     "worker ended without a result: something told it to stop");
    cJSON_Delete(job);
    cancel_job(&daemon, id);
    daemon_stop(&daemon);
}
END_TEST

/* The machine may be so busy that a sound worker is silent for so long, too: hence the retries. */
static const char *const soon_stalled[] = {"--job-stall-s", "2", "--job-retries", "1000", NULL};

START_TEST(a_worker_that_hangs_is_replaced)
{
    struct daemon daemon = make_with(soon_stalled);
    char id[24];
    post_job(&daemon, ENDLESS, id);
    wait_running(&daemon, id);
    ck_assert_int_eq(kill(worker_of(&daemon), SIGSTOP), 0);
    cJSON *job = wait_attempt(&daemon, id, 2);
    ck_assert_str_eq(text(job, "state"), "running");
    ck_assert_str_eq(text(job, "last_crash"), "worker said nothing for 2 s (job-stall-s)");
    cJSON_Delete(job);
    cancel_job(&daemon, id);
    expect_state(&daemon, id, "cancelled");
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_daemon_that_was_stopped_does_not_take_its_worker_for_hung)
{
    struct daemon daemon = make_with(soon_stalled);
    char id[24];
    post_job(&daemon, ENDLESS, id);
    wait_running(&daemon, id);
    cJSON *before = get_json(&daemon, "/jobs/%s", id);
    kill(daemon.pid, SIGSTOP);
    sleep(3);
    kill(daemon.pid, SIGCONT);
    /* A look takes the lock, so the scheduler has gone on since; twice, to be sure. */
    for (int i = 0; i < 2; i++)
        job_pause();
    cJSON *job = get_json(&daemon, "/jobs/%s", id);
    ck_assert_str_eq(text(job, "state"), "running");
    ck_assert_int_eq((int)number(job, "attempts"), (int)number(before, "attempts"));
    cJSON_Delete(before);
    cJSON_Delete(job);
    cancel_job(&daemon, id);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_worker_that_hangs_is_cancelled_all_the_same)
{
    struct daemon daemon = make_small();
    char id[24];
    post_job(&daemon, ENDLESS, id);
    wait_running(&daemon, id);
    ck_assert_int_eq(kill(worker_of(&daemon), SIGSTOP), 0);
    cancel_job(&daemon, id);
    expect_state(&daemon, id, "cancelled");
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_worker_that_talks_nonsense_is_ended_and_fails_its_job)
{
    struct daemon daemon = make_small();
    char id[24], path[64];
    post_job(&daemon, ENDLESS, id);
    wait_running(&daemon, id);
    /* Its end of the progress pipe, borrowed. */
    snprintf(path, sizeof path, "/proc/%d/fd/3", (int)worker_of(&daemon));
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq((int)write(fd, "nonsense\n", 9), 9);
    close(fd);
    cJSON *job = wait_job(&daemon, id);
    ck_assert_str_eq(text(job, "state"), "failed");
    ck_assert_str_ne(text(job, "error"), "");
    ck_assert_ptr_null(strstr(text(job, "error"), "signal"));
    ck_assert_int_eq((int)number(job, "attempts"), 1);
    cJSON_Delete(job);
    cJSON_Delete(run_job(&daemon, "{" QUICK ",\"epochs\":1}"));
    daemon_stop(&daemon);
}
END_TEST

START_TEST(an_error_that_the_worker_reports_is_not_tried_again)
{
    struct daemon daemon = make_small();
    char id[24];
    post_job(&daemon,
             "{\"model\":\"m\",\"dataset\":\"shapes\",\"architecture\":\"scratch\","
             "\"loss\":\"mse\",\"optimizer\":{\"type\":\"sgd\",\"lr\":1000}}",
             id);
    cJSON *job = wait_job(&daemon, id);
    ck_assert_str_eq(text(job, "state"), "failed");
    ck_assert_msg(strstr(text(job, "error"), "non-finite") != NULL, "%s", text(job, "error"));
    ck_assert_int_eq((int)number(job, "attempts"), 1);
    ck_assert_int_eq((int)number(job, "crashes"), 0);
    ck_assert(cJSON_IsNull(member(job, "last_crash")));
    cJSON_Delete(job);
    struct reply reply = client_get(&daemon, "/models/m");
    reply_expect_problem(&reply, 404, "m");
    daemon_stop(&daemon);
}
END_TEST

/* Leaves the daemon so many descriptors beside those it has; all it could have when negative. */
static void limit_descriptors(const struct daemon *daemon, int left)
{
    struct rlimit limit;
    ck_assert_int_eq(prlimit(daemon->pid, RLIMIT_NOFILE, NULL, &limit), 0);
    limit.rlim_cur = left < 0 ? limit.rlim_max : 0;
    for (int fd = 0; left > 0; fd++) {
        char path[64], target[64];
        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)daemon->pid, fd);
        left -= readlink(path, target, sizeof target) < 0;
        limit.rlim_cur = (rlim_t)fd + 1;
    }
    ck_assert_int_eq(prlimit(daemon->pid, RLIMIT_NOFILE, &limit, NULL), 0);
}

START_TEST(a_job_waits_where_no_worker_can_be_started)
{
    struct daemon daemon = make_small();
    char id[24];
    limit_descriptors(&daemon, 3); /* a worker takes seven while it is started */
    post_job(&daemon, "{" QUICK ",\"epochs\":1}", id);
    for (bool tried = false; !tried; job_pause()) {
        cJSON *job = get_json(&daemon, "/jobs/%s", id);
        ck_assert_msg(!job_has_ended(job), "%s: %s", text(job, "state"),
                      cJSON_PrintUnformatted(member(job, "error")));
        tried = number(job, "attempts") > 0 && strcmp(text(job, "state"), "queued") == 0;
        cJSON_Delete(job);
    }
    limit_descriptors(&daemon, -1);
    cJSON *job = wait_job(&daemon, id);
    ck_assert_str_eq(text(job, "state"), "succeeded");
    ck_assert_int_eq((int)number(job, "crashes"), 0);
    ck_assert_int_ge((int)number(job, "attempts"), 2);
    cJSON_Delete(job);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_job_whose_dataset_file_is_gone_fails_with_the_reason)
{
    struct daemon daemon = make_small();
    char first[24], second[24], path[400];
    post_job(&daemon, ENDLESS, first);
    wait_running(&daemon, first);
    post_job(&daemon, "{" QUICK "}", second);
    snprintf(path, sizeof path, "%s/datasets/shapes/1.safetensors", daemon.data_dir);
    ck_assert_int_eq(unlink(path), 0);
    cancel_job(&daemon, first);
    cJSON *job = wait_job(&daemon, second);
    ck_assert_str_eq(text(job, "state"), "failed");
    ck_assert_ptr_nonnull(strstr(text(job, "error"), "safetensors"));
    cJSON_Delete(job);
    daemon_stop(&daemon);
}
END_TEST

TEST_PROGRAM("server_job_faults", a_killed_worker_is_replaced_and_the_weights_are_the_same,
             a_worker_that_crashes_again_and_again_fails_its_job,
             crashes_with_progress_between_them_are_forgiven,
             a_job_past_its_memory_limit_fails_and_says_so,
             a_crash_ends_the_job_where_nothing_is_retried,
             a_worker_that_somebody_else_stops_is_replaced, a_worker_that_hangs_is_replaced,
             a_daemon_that_was_stopped_does_not_take_its_worker_for_hung,
             a_worker_that_hangs_is_cancelled_all_the_same,
             a_worker_that_talks_nonsense_is_ended_and_fails_its_job,
             an_error_that_the_worker_reports_is_not_tried_again,
             a_job_waits_where_no_worker_can_be_started,
             a_job_whose_dataset_file_is_gone_fails_with_the_reason)
