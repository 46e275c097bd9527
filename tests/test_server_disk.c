/* A disk that fails: full, or broken, at any call. What was acknowledged stays, what fails says
 * why, predictions go on, and all is well again when the disk is. */
#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>

#include "faults_client.h"
#include "small_job.h"

static struct daemon server;

static void start(void)
{
    faults_prepare();
    daemon_start(&server, NULL);
}

/* Everything there is must still be there when the daemon reads it from the disk. */
static void restart(void)
{
    faults_stop();
    daemon_restart(&server, NULL);
}

static int entries_of(const char *folder)
{
    char path[400];
    int count = 0;
    snprintf(path, sizeof path, "%s/%s", server.data_dir, folder);
    DIR *dir = opendir(path);
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return dir ? count - 2 : 0;
}

static struct reply put(const char *path)
{
    const char body[] = "{\"generator\":\"shapes\",\"train\":20,\"test\":10}";
    return client_send(&server, "PUT", path, NULL, body, sizeof body - 1);
}

static int status_of(struct reply reply)
{
    int status = reply.status;
    reply_clear(&reply);
    return status;
}

static void expect_failure(const struct reply *reply, int number)
{
    int expected = number == ENOSPC ? 507 : 500;
    ck_assert_msg(reply->status == expected, "failing with %s at call %u (%u on %s): %d %s",
                  strerror(number), faults->from, faults->acted_call, faults->acted_path,
                  reply->status, reply->body);
}

/* ---- every call of an operation fails once ---- */

/* Sends a request again and again, its n-th call failing, until it has no n-th call. Returns how
 * many times it failed. */
static int fail_each_call(int number, struct reply (*ask)(void), int success,
                          void (*check)(bool succeeded))
{
    int failures = 0;
    for (uint32_t n = 1;; n++) {
        ck_assert_uint_lt(n, 500);
        faults_fail(server.data_dir, ON_DAEMON, ANY_CALL, n, n, number);
        struct reply reply = ask();
        faults_stop();
        bool succeeded = reply.status == success;
        if (!succeeded) {
            expect_failure(&reply, number);
            failures++;
        }
        reply_clear(&reply);
        check(succeeded);
        if (!faults->acted)
            return failures;
    }
}

static int versions; /* of the dataset, acknowledged */

static struct reply put_dataset(void)
{
    return put("/datasets/d");
}

static void check_datasets(bool succeeded)
{
    versions += succeeded;
    ck_assert_int_eq(entries_of("datasets/d"), versions);
    ck_assert_int_eq(entries_of("tmp"), 0);
    ck_assert_int_eq(status_of(client_get(&server, "/datasets/d")), versions ? 200 : 404);
}

static void expect_versions(void)
{
    cJSON *json = get_json(&server, "/datasets/%s", "d");
    ck_assert_int_eq(cJSON_GetArraySize(member(json, "versions")), versions);
    cJSON_Delete(json);
    ck_assert_int_eq(entries_of("datasets/d"), versions);
}

START_TEST(an_import_fails_at_any_call_without_a_trace)
{
    start();
    ck_assert_int_gt(fail_each_call(ENOSPC, put_dataset, 201, check_datasets), 5);
    ck_assert_int_gt(fail_each_call(EIO, put_dataset, 201, check_datasets), 5);
    ck_assert_int_gt(versions, 1);
    expect_versions();
    restart();
    expect_versions();
    daemon_stop(&server);
}
END_TEST

static int jobs; /* acknowledged */

/* No worker runs meanwhile: the one job that does never ends. */
static struct reply post(void)
{
    return client_post(&server, "/jobs",
                       "{\"model\":\"m\",\"dataset\":\"d\",\"architecture\":\"shapes-cnn\"}");
}

static int count_jobs(void)
{
    cJSON *json = get_json(&server, "/jobs", NULL);
    int count = cJSON_GetArraySize(member(json, "jobs"));
    cJSON_Delete(json);
    return count;
}

static void check_jobs(bool succeeded)
{
    jobs += succeeded;
    ck_assert_int_eq(count_jobs(), jobs);
}

START_TEST(a_post_fails_at_any_call_without_a_job)
{
    char id[24];
    start();
    ck_assert_int_eq(status_of(put("/datasets/d")), 201);
    post_job(&server,
             "{\"model\":\"long\",\"dataset\":\"d\",\"architecture\":\"shapes-cnn\","
             "\"batch_size\":1,\"epochs\":100000,\"validation_split\":0.5}",
             id);
    jobs = 1;
    wait_running(&server, id);
    kill(worker_of(&server), SIGSTOP); /* it stores nothing while calls are counted */
    ck_assert_int_gt(fail_each_call(ENOSPC, post, 202, check_jobs), 1);
    ck_assert_int_gt(fail_each_call(EIO, post, 202, check_jobs), 1);
    kill(worker_of(&server), SIGCONT);
    restart();
    ck_assert_int_eq(count_jobs(), jobs);
    daemon_stop(&server);
}
END_TEST

/* ---- full for a while ---- */

START_TEST(the_reserve_lets_things_be_deleted_on_a_full_disk)
{
    char reserve[400];
    start();
    snprintf(reserve, sizeof reserve, "%s/reserve", server.data_dir);
    ck_assert_int_eq(status_of(put("/datasets/a")), 201);
    ck_assert_int_eq(access(reserve, F_OK), 0);
    faults_fail("strided.db", ON_DAEMON, 1 << FAULTS_WRITE, 1, 1, ENOSPC);
    ck_assert_int_eq(status_of(client_send(&server, "DELETE", "/datasets/a", NULL, NULL, 0)), 204);
    ck_assert_uint_eq(faults->acted, 1);
    char *log = daemon_log(&server);
    ck_assert_ptr_nonnull(strstr(log, "reserve_spent"));
    free(log);
    ck_assert_msg(access(reserve, F_OK) == 0, "not made again");
    restart();
    ck_assert_int_eq(status_of(client_get(&server, "/datasets/a")), 404);
    daemon_stop(&server);
}
END_TEST

/* ---- jobs ---- */

static const char *const each_batch[] = {"--threads", "1", "--checkpoint-s", "0", NULL};

/* Two batches, with a checkpoint after each. */
#define ONE_EPOCH                                                                      \
    "{\"model\":\"m\",\"dataset\":\"d\",\"architecture\":\"shapes-cnn\",\"epochs\":1," \
    "\"batch_size\":10}"

/* The job fails for this reason, or did not need the call; predictions go on; resumed, it ends with
 * the weights that it should have. Returns whether it failed. */
static bool fail_job_once(const char *path, uint32_t role, uint32_t n, int number, const char *sum)
{
    char id[24];
    faults_fail(path, role, ANY_CALL, n, n, number);
    post_job(&server, ONE_EPOCH, id);
    cJSON *job = wait_job(&server, id);
    faults_stop();
    expect_model_answers(&server, "/models/m/predict");
    bool failed = strcmp(text(job, "state"), "failed") == 0;
    if (failed) {
        ck_assert_msg(strstr(text(job, "error"), strerror(number)) != NULL,
                      "call %u (%u on %s): %s", n, faults->acted_call, faults->acted_path,
                      text(job, "error"));
        ck_assert_int_eq(status_of(resume_job(&server, id, "")), 202);
        cJSON_Delete(job);
        job = wait_job(&server, id);
    }
    ck_assert_str_eq(text(job, "state"), "succeeded");
    ck_assert_str_eq(text(job, "weights_sha256"), sum);
    cJSON_Delete(job);
    return failed;
}

/* Each call on such a path fails in a job of its own. */
static void fail_each_call_of_jobs(const char *folder, uint32_t role, int number, int failures_min)
{
    char path[400], sum[65];
    int failures = 0;
    faults_prepare();
    daemon_start(&server, each_batch);
    snprintf(path, sizeof path, "%s/%s", server.data_dir, folder);
    ck_assert_int_eq(status_of(put("/datasets/d")), 201);
    weights_of(&server, ONE_EPOCH, sum);
    for (uint32_t n = 1;; n++) {
        failures += fail_job_once(path, role, n, number, sum);
        if (!faults->acted)
            break;
    }
    ck_assert_int_ge(failures, failures_min);
    while (entries_of("checkpoints") + entries_of("tmp") > 0)
        job_pause(); /* they go when the job's end is stored */
    restart();
    expect_model_answers(&server, "/models/m/predict");
    daemon_stop(&server);
}

START_TEST(a_full_disk_under_a_worker_fails_its_job_which_can_go_on)
{
    fail_each_call_of_jobs("", ON_WORKER, ENOSPC, 10);
}
END_TEST

START_TEST(a_broken_disk_under_a_worker_fails_its_job_which_can_go_on)
{
    fail_each_call_of_jobs("checkpoints", ON_WORKER, EIO, 3);
}
END_TEST

START_TEST(a_model_that_cannot_be_published_fails_its_job_which_can_go_on)
{
    fail_each_call_of_jobs("models", ON_DAEMON, EIO, 2);
}
END_TEST

/* Nothing can be written for a while, neither rows nor files. */
START_TEST(training_ends_and_predictions_go_on_while_nothing_can_be_written)
{
    char id[24];
    faults_prepare();
    daemon_start(&server, each_batch);
    ck_assert_int_eq(status_of(put("/datasets/shapes")), 201);
    cJSON_Delete(run_job(&server, "{" SMALL ",\"epochs\":1}"));
    post_job(&server, ENDLESS, id);
    wait_running(&server, id);
    faults_fail(server.data_dir, ON_DAEMON | ON_WORKER, ANY_CALL, 1, 0, ENOSPC);
    while (find_worker(&server) != 0)
        job_pause();
    expect_model_answers(&server, "/models/m/predict");
    ck_assert_int_eq(status_of(client_get(&server, "/health/ready")), 200);
    ck_assert_int_eq(status_of(put("/datasets/other")), 507);
    ck_assert_int_eq(status_of(client_post(&server, "/jobs", "{" SMALL "}")), 507);
    faults_stop();
    cJSON *job = wait_job(&server, id);
    ck_assert_str_eq(text(job, "state"), "failed");
    ck_assert_msg(strstr(text(job, "error"), strerror(ENOSPC)) ||
                      strstr(text(job, "error"), "disk is full"),
                  "%s", text(job, "error"));
    cJSON_Delete(job);
    cJSON_Delete(run_job(&server, "{" SMALL ",\"epochs\":1}"));
    daemon_stop(&server);
}
END_TEST

/* ---- a small disk ---- */

/* In a mount namespace of this test; false where that is not allowed. */
static bool mount_small_disk(char folder[256])
{
    harness_tmpdir(folder, 256);
    if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("none", folder, "tmpfs", 0, "size=12m") == 0)
        return true;
    printf("skipped: cannot mount a tmpfs\n");
    fflush(stdout);
    harness_rmdir(folder);
    return false;
}

static struct reply put_large(const char *path)
{
    const char body[] = "{\"generator\":\"shapes\",\"train\":3000,\"test\":10}";
    return client_send(&server, "PUT", path, NULL, body, sizeof body - 1);
}

START_TEST(a_disk_that_was_filled_can_be_emptied_and_used_again)
{
    char folder[256], name[32];
    int made = 0;
    if (!mount_small_disk(folder))
        return;
    setenv("TMPDIR", folder, 1);
    server = make_with((const char *const[]){NULL});
    cJSON_Delete(run_job(&server, "{" SMALL ",\"epochs\":1}"));
    for (;; made++) {
        snprintf(name, sizeof name, "/datasets/d%d", made);
        struct reply reply = put_large(name);
        if (reply.status != 201) {
            reply_expect_problem(&reply, 507, "on the disk");
            break;
        }
        reply_clear(&reply);
    }
    ck_assert_int_ge(made, 1);
    expect_model_answers(&server, "/models/m/predict");
    while (made-- > 0) {
        snprintf(name, sizeof name, "/datasets/d%d", made);
        ck_assert_int_eq(status_of(client_send(&server, "DELETE", name, NULL, NULL, 0)), 204);
    }
    ck_assert_int_eq(status_of(put_large("/datasets/d0")), 201);
    cJSON_Delete(run_job(&server, "{" SMALL ",\"epochs\":1}"));
    daemon_stop(&server);
    umount(folder);
    rmdir(folder);
}
END_TEST

TEST_PROGRAM("server disk", an_import_fails_at_any_call_without_a_trace,
             a_post_fails_at_any_call_without_a_job,
             the_reserve_lets_things_be_deleted_on_a_full_disk,
             a_full_disk_under_a_worker_fails_its_job_which_can_go_on,
             a_broken_disk_under_a_worker_fails_its_job_which_can_go_on,
             a_model_that_cannot_be_published_fails_its_job_which_can_go_on,
             training_ends_and_predictions_go_on_while_nothing_can_be_written,
             a_disk_that_was_filled_can_be_emptied_and_used_again)
