/* A disk that fails: full, or broken, at any call. What was acknowledged stays, what fails says
 * why, predictions go on, and all is well again when the disk is. */
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>

#include "faults_client.h"

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

TEST_PROGRAM("server disk", an_import_fails_at_any_call_without_a_trace,
             a_post_fails_at_any_call_without_a_job,
             the_reserve_lets_things_be_deleted_on_a_full_disk)
