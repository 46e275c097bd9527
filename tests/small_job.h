/* small_job.h - jobs that train a small net on little data, for the tests of jobs. */
#ifndef STRIDED_TESTS_SMALL_JOB_H
#define STRIDED_TESTS_SMALL_JOB_H

#include <signal.h>
#include <sys/wait.h>

#include "harness.h"
#include "job_client.h"

/* A small net that learns the 200 samples of make_small in some hundredths of a second. */
#define SMALL \
    "\"model\":\"m\",\"dataset\":\"shapes\",\"architecture\":\"shapes-cnn\",\"batch_size\":10"
#define QUICK SMALL ",\"optimizer\":{\"type\":\"adam\",\"lr\":0.01}"
/* Runs until it is stopped. */
#define ENDLESS "{" SMALL ",\"epochs\":100000}"

/* One thread is quickest for so little, above all under valgrind. */
static const char *const one_thread[] = {"--threads", "1", NULL};

static inline struct daemon make_small(void)
{
    struct daemon daemon;
    daemon_start(&daemon, one_thread);
    make_shapes(&daemon, 200, 50);
    return daemon;
}

static inline void expect_state(const struct daemon *daemon, const char *id, const char *state)
{
    cJSON *job = wait_job(daemon, id);
    ck_assert_str_eq(text(job, "state"), state);
    cJSON_Delete(job);
}

static inline void cancel_job(const struct daemon *daemon, const char *id)
{
    char path[64];
    snprintf(path, sizeof path, "/jobs/%s/cancel", id);
    struct reply reply = client_send(daemon, "POST", path, NULL, NULL, 0);
    ck_assert_int_eq(reply.status, 202);
    reply_clear(&reply);
}

static inline void expect_model_answers(const struct daemon *daemon, const char *path)
{
    char body[2048] = "{\"inputs\":[0";
    size_t used = strlen(body);
    for (int i = 1; i < 784; i++, used += 2)
        memcpy(body + used, ",0", 3);
    memcpy(body + used, "]}", 3);
    struct reply reply = client_post(daemon, path, body);
    ck_assert_msg(reply.status == 200, "%d %s", reply.status, reply.body);
    reply_clear(&reply);
}

/* Starts a daemon with `flags` (NULL-terminated; none of --threads), and its dataset "shapes". */
static inline struct daemon make_with(const char *const *flags)
{
    const char *all[16] = {"--threads", "1"};
    struct daemon daemon;
    for (int i = 0; flags[i]; i++)
        all[2 + i] = flags[i];
    daemon_start(&daemon, all);
    make_shapes(&daemon, 200, 50);
    return daemon;
}

/* Asks for a job to be resumed; body "" = none. */
static inline struct reply resume_job(const struct daemon *daemon, const char *id, const char *body)
{
    char path[64];
    snprintf(path, sizeof path, "/jobs/%s/resume", id);
    return client_send(daemon, "POST", path, NULL, body, strlen(body));
}

/* kill -9, and waits until the daemon is gone. Its worker goes with it. */
static inline void kill_daemon(struct daemon *daemon)
{
    kill(daemon->pid, SIGKILL);
    ck_assert_int_eq(waitpid(daemon->pid, NULL, 0), daemon->pid);
}

static inline void weights_of(const struct daemon *daemon, const char *body, char sum[65])
{
    cJSON *job = run_job(daemon, body);
    snprintf(sum, 65, "%s", text(job, "weights_sha256"));
    cJSON_Delete(job);
}

/* How many epochs the job has finished. */
static inline int epochs_of(const struct daemon *daemon, const char *id)
{
    cJSON *job = get_json(daemon, "/jobs/%s", id);
    int epoch = (int)number(job, "epoch");
    cJSON_Delete(job);
    return epoch;
}

/* ENDLESS was cancelled: goes on with it for two more epochs to a success, and expects the weights
 * of a job of as many epochs that nothing interrupted. So a test may interrupt a job as often as it
 * likes, and need not be quicker than it. */
static inline void expect_same_weights(const struct daemon *daemon, const char *id)
{
    char body[256], sum[65];
    int epochs = epochs_of(daemon, id) + 2;
    snprintf(body, sizeof body, "{\"epochs\":%d}", epochs);
    struct reply reply = resume_job(daemon, id, body);
    ck_assert_msg(reply.status == 202, "%s", reply.body);
    reply_clear(&reply);
    cJSON *job = wait_job(daemon, id);
    ck_assert_msg(strcmp(text(job, "state"), "succeeded") == 0, "%s",
                  cJSON_PrintUnformatted(member(job, "error")));
    ck_assert_int_eq((int)number(job, "epoch"), epochs);
    snprintf(body, sizeof body, "{" SMALL ",\"epochs\":%d}", epochs);
    weights_of(daemon, body, sum);
    ck_assert_str_eq(text(job, "weights_sha256"), sum);
    cJSON_Delete(job);
}

#endif
