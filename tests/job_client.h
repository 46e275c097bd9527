/* job_client.h - training jobs as a client sees them, for the tests of the daemon. Every failure
 * of these fails the test. */
#ifndef STRIDED_TESTS_JOB_CLIENT_H
#define STRIDED_TESTS_JOB_CLIENT_H

#include <cJSON.h>
#include <check.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

/* Between two looks at a job. A worker steps back behind its daemon, so where that is slow it must
 * not be asked all the time. */
static inline void job_pause(void)
{
    usleep(getenv("STRIDED_TEST_SLOW") ? 200000 : 10000);
}

/* The document at this path; cJSON_Delete it. */
static inline cJSON *get_json(const struct daemon *daemon, const char *format, const char *id)
{
    char path[256];
    snprintf(path, sizeof path, format, id);
    struct reply reply = client_get(daemon, path);
    ck_assert_msg(reply.status == 200, "GET %s: %d %s", path, reply.status, reply.body);
    cJSON *json = cJSON_Parse(reply.body);
    ck_assert_msg(json != NULL, "GET %s: not JSON: %s", path, reply.body);
    reply_clear(&reply);
    return json;
}

static inline const cJSON *member(const cJSON *json, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(json, key);
    ck_assert_msg(value != NULL, "no member '%s'", key);
    return value;
}

static inline double number(const cJSON *json, const char *key)
{
    ck_assert_msg(cJSON_IsNumber(member(json, key)), "'%s' is not a number", key);
    return member(json, key)->valuedouble;
}

static inline const char *text(const cJSON *json, const char *key)
{
    ck_assert_msg(cJSON_IsString(member(json, key)), "'%s' is not a text", key);
    return member(json, key)->valuestring;
}

/* Dataset "shapes" with so many samples. */
static inline void make_shapes(const struct daemon *daemon, int train, int test)
{
    char body[128];
    snprintf(body, sizeof body, "{\"generator\":\"shapes\",\"train\":%d,\"test\":%d,\"seed\":0}",
             train, test);
    struct reply reply = client_send(daemon, "PUT", "/datasets/shapes", NULL, body, strlen(body));
    ck_assert_msg(reply.status == 201, "PUT /datasets/shapes: %d %s", reply.status, reply.body);
    reply_clear(&reply);
}

/* Posts a job that must be accepted; its id in id[24]. */
static inline void post_job(const struct daemon *daemon, const char *body, char id[24])
{
    struct reply reply = client_post(daemon, "/jobs", body);
    ck_assert_msg(reply.status == 202, "POST /jobs: %d %s", reply.status, reply.body);
    cJSON *job = cJSON_Parse(reply.body);
    snprintf(id, 24, "%s", text(job, "id"));
    cJSON_Delete(job);
    reply_clear(&reply);
}

static inline bool job_has_ended(const cJSON *job)
{
    return strcmp(text(job, "state"), "queued") != 0 && strcmp(text(job, "state"), "running") != 0;
}

/* Polls until the job has ended; cJSON_Delete it. */
static inline cJSON *wait_job(const struct daemon *daemon, const char *id)
{
    for (;;) {
        cJSON *job = get_json(daemon, "/jobs/%s", id);
        if (job_has_ended(job))
            return job;
        cJSON_Delete(job);
        job_pause();
    }
}

/* Polls until the job has trained a batch. */
static inline void wait_running(const struct daemon *daemon, const char *id)
{
    for (;;) {
        cJSON *job = get_json(daemon, "/jobs/%s", id);
        bool running = number(job, "batch") > 0;
        ck_assert_msg(!job_has_ended(job), "job %s ended: %s", id, text(job, "state"));
        cJSON_Delete(job);
        if (running)
            return;
        job_pause();
    }
}

/* Posts a job, waits for its end and expects that it succeeded. */
static inline cJSON *run_job(const struct daemon *daemon, const char *body)
{
    char id[24];
    post_job(daemon, body, id);
    cJSON *job = wait_job(daemon, id);
    ck_assert_msg(strcmp(text(job, "state"), "succeeded") == 0, "job %s: %s", id,
                  cJSON_PrintUnformatted(member(job, "error")));
    return job;
}

/* The one child process of the daemon; 0 when no worker runs. */
static inline pid_t find_worker(const struct daemon *daemon)
{
    pid_t worker = 0;
    DIR *proc = opendir("/proc");
    ck_assert_ptr_nonnull(proc);
    for (struct dirent *entry; (entry = readdir(proc));) {
        char path[300], line[512] = "";
        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        FILE *file = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' ? fopen(path, "r") : NULL;
        if (!file)
            continue;
        /* "pid (name) state ppid ..." */
        const char *end = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
        int parent = 0;
        if (end && sscanf(end + 1, " %*c %d", &parent) == 1 && parent == daemon->pid)
            worker = (pid_t)atoi(entry->d_name);
        fclose(file);
    }
    closedir(proc);
    return worker;
}

static inline pid_t worker_of(const struct daemon *daemon)
{
    pid_t worker = find_worker(daemon);
    ck_assert_int_gt(worker, 0);
    return worker;
}

#endif
