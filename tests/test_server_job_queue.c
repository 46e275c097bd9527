/* The queue of jobs: order, bounds, several at once, posts that are retried. */
#include <pthread.h>

#include "small_job.h"

static cJSON *get_job(const struct daemon *daemon, const char *id)
{
    return get_json(daemon, "/jobs/%s", id);
}

static void expect_position(const struct daemon *daemon, const char *id, int position)
{
    cJSON *job = get_job(daemon, id);
    ck_assert_int_eq((int)number(job, "queue_position"), position);
    cJSON_Delete(job);
}

/* ---- several at once ---- */

START_TEST(as_many_jobs_run_at_once_as_is_set)
{
    struct daemon daemon = make_with((const char *const[]){"--jobs-parallel", "2", NULL});
    char ids[3][24];
    for (int i = 0; i < 3; i++)
        post_job(&daemon, ENDLESS, ids[i]);
    wait_running(&daemon, ids[0]);
    wait_running(&daemon, ids[1]);
    expect_position(&daemon, ids[2], 1);
    /* Both have figures of their own in the list. */
    cJSON *list = get_json(&daemon, "/jobs?state=running", "");
    ck_assert_int_eq((int)number(list, "total"), 2);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq((int)number(cJSON_GetArrayItem(member(list, "jobs"), i), "batches"), 20);
    cJSON_Delete(list);
    cancel_job(&daemon, ids[0]);
    expect_state(&daemon, ids[0], "cancelled");
    wait_running(&daemon, ids[2]);
    cJSON *job = get_job(&daemon, ids[1]);
    ck_assert_str_eq(text(job, "state"), "running");
    ck_assert(cJSON_IsNull(member(job, "queue_position")));
    cJSON_Delete(job);
    cancel_job(&daemon, ids[1]);
    cancel_job(&daemon, ids[2]);
    expect_state(&daemon, ids[1], "cancelled");
    expect_state(&daemon, ids[2], "cancelled");
    daemon_stop(&daemon);
}
END_TEST

START_TEST(jobs_beside_each_other_get_the_weights_of_jobs_alone)
{
    static const char *const bodies[] = {"{" QUICK ",\"epochs\":40,\"seed\":1}",
                                         "{" QUICK ",\"epochs\":40,\"seed\":2}",
                                         "{" QUICK ",\"epochs\":40,\"seed\":3}"};
    struct daemon daemon = make_with((const char *const[]){"--jobs-parallel", "3", NULL});
    char ids[3][24], sums[3][65];
    for (int i = 0; i < 3; i++)
        weights_of(&daemon, bodies[i], sums[i]);
    for (int i = 0; i < 3; i++)
        post_job(&daemon, bodies[i], ids[i]);
    for (int i = 0; i < 3; i++) {
        cJSON *job = wait_job(&daemon, ids[i]);
        ck_assert_str_eq(text(job, "weights_sha256"), sums[i]);
        cJSON_Delete(job);
    }
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_crash_of_one_job_leaves_the_others_alone)
{
    struct daemon daemon =
        make_with((const char *const[]){"--jobs-parallel", "2", "--job-retries", "0", NULL});
    char first[24], second[24];
    post_job(&daemon, ENDLESS, first);
    wait_running(&daemon, first);
    pid_t worker = worker_of(&daemon);
    post_job(&daemon, ENDLESS, second);
    wait_running(&daemon, second);
    ck_assert_int_eq(kill(worker, SIGKILL), 0);
    expect_state(&daemon, first, "failed");
    cJSON *job = get_job(&daemon, second);
    ck_assert_str_eq(text(job, "state"), "running");
    ck_assert_int_eq((int)number(job, "attempts"), 1);
    cJSON_Delete(job);
    cancel_job(&daemon, second);
    expect_state(&daemon, second, "cancelled");
    daemon_stop(&daemon);
}
END_TEST

/* ---- order ---- */

static void post_with_priority(const struct daemon *daemon, int priority, char id[24])
{
    char body[256];
    snprintf(body, sizeof body, "{" QUICK ",\"epochs\":1,\"priority\":%d}", priority);
    post_job(daemon, body, id);
}

START_TEST(higher_priority_runs_first_then_the_older)
{
    static const int priorities[] = {-1, 0, 100, 0};
    static const int order[] = {2, 1, 3, 0}; /* places in the list above, by their turn */
    struct daemon daemon = make_small();
    char blocker[24], ids[4][24];
    post_job(&daemon, ENDLESS, blocker);
    wait_running(&daemon, blocker);
    for (int i = 0; i < 4; i++)
        post_with_priority(&daemon, priorities[i], ids[i]);
    for (int turn = 0; turn < 4; turn++)
        expect_position(&daemon, ids[order[turn]], turn + 1);
    cancel_job(&daemon, blocker);
    /* Versions of the model count up as jobs end. */
    for (int turn = 0; turn < 4; turn++) {
        cJSON *job = wait_job(&daemon, ids[order[turn]]);
        ck_assert_int_eq((int)number(job, "model_version"), turn + 1);
        ck_assert_int_eq((int)number(job, "priority"), priorities[order[turn]]);
        ck_assert_int_eq((int)number(member(job, "request"), "priority"), priorities[order[turn]]);
        cJSON_Delete(job);
    }
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_priority_out_of_range_is_refused)
{
    static const char *const bodies[] = {"{" SMALL ",\"priority\":101}",
                                         "{" SMALL ",\"priority\":-101}",
                                         "{" SMALL ",\"priority\":0.5}"};
    struct daemon daemon = make_small();
    for (int i = 0; i < 3; i++) {
        struct reply reply = client_post(&daemon, "/jobs", bodies[i]);
        ck_assert_ptr_nonnull(strstr(reply.body, "\"field\":\"priority\""));
        reply_expect_problem(&reply, 400, "");
    }
    daemon_stop(&daemon);
}
END_TEST

/* ---- bounds ---- */

START_TEST(a_full_queue_answers_429)
{
    struct daemon daemon = make_with((const char *const[]){"--jobs-queued-max", "1", NULL});
    char running[24], waiting[24];
    post_job(&daemon, ENDLESS, running);
    wait_running(&daemon, running);
    post_job(&daemon, ENDLESS, waiting);
    struct reply reply = client_post(&daemon, "/jobs", ENDLESS);
    ck_assert_ptr_nonnull(reply_header(&reply, "Retry-After"));
    reply_expect_problem(&reply, 429, "1 jobs wait");
    cancel_job(&daemon, waiting);
    /* There is room for one: the cancelled job, or another. */
    char other[24];
    post_job(&daemon, ENDLESS, other);
    reply = resume_job(&daemon, waiting, "");
    reply_expect_problem(&reply, 429, "1 jobs wait");
    cancel_job(&daemon, other);
    cancel_job(&daemon, running);
    daemon_stop(&daemon);
}
END_TEST

/* ---- retried posts ---- */

static struct reply post_with_key(const struct daemon *daemon, const char *key, const char *body)
{
    char header[64];
    snprintf(header, sizeof header, "Idempotency-Key: %s", key);
    return client_send(daemon, "POST", "/jobs", (const char *const[]){header, NULL}, body,
                       strlen(body));
}

START_TEST(an_idempotency_key_makes_one_job)
{
    struct daemon daemon = make_small();
    for (int i = 0; i < 2; i++) {
        struct reply reply = post_with_key(&daemon, "k-1", "{" QUICK ",\"epochs\":1}");
        ck_assert_int_eq(reply.status, 202);
        ck_assert_str_eq(reply_header(&reply, "Location"), "/jobs/1");
        ck_assert_int_eq(reply_header(&reply, "Idempotency-Replayed") != NULL, i);
        reply_clear(&reply);
        /* A newer version does not make the same request another one. */
        make_shapes(&daemon, 200, 50);
    }
    struct reply reply = post_with_key(&daemon, "k-1", "{" QUICK ",\"epochs\":2}");
    reply_expect_problem(&reply, 409, "another request");
    reply = post_with_key(&daemon, "k-2", "{" QUICK ",\"epochs\":1}");
    ck_assert_str_eq(reply_header(&reply, "Location"), "/jobs/2");
    reply_clear(&reply);
    cJSON_Delete(wait_job(&daemon, "1"));
    cJSON_Delete(wait_job(&daemon, "2"));
    /* Nor does it matter that the job could not be posted now. */
    reply = client_send(&daemon, "DELETE", "/datasets/shapes", NULL, NULL, 0);
    ck_assert_int_eq(reply.status, 204);
    reply_clear(&reply);
    reply = post_with_key(&daemon, "k-1", "{" QUICK ",\"epochs\":1}");
    ck_assert_int_eq(reply.status, 202);
    ck_assert_str_eq(reply_header(&reply, "Idempotency-Replayed"), "true");
    reply_clear(&reply);
    daemon_stop(&daemon);
}
END_TEST

struct poster {
    const struct daemon *daemon;
    int status;
    bool replayed;
    char location[64];
};

static void *post_once(void *arg)
{
    struct poster *poster = arg;
    struct reply reply = post_with_key(poster->daemon, "race", "{" QUICK ",\"epochs\":1}");
    poster->status = reply.status;
    poster->replayed = reply_header(&reply, "Idempotency-Replayed") != NULL;
    const char *location = reply_header(&reply, "Location");
    if (location)
        snprintf(poster->location, sizeof poster->location, "%s", location);
    reply_clear(&reply);
    return NULL;
}

START_TEST(equal_posts_at_once_make_one_job_and_restarts_do_not_change_that)
{
    enum { POSTERS = 8 };
    struct daemon daemon = make_small();
    struct poster posters[POSTERS] = {{.daemon = NULL}};
    pthread_t threads[POSTERS];
    int fresh = 0;
    for (int i = 0; i < POSTERS; i++) {
        posters[i].daemon = &daemon;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, post_once, &posters[i]), 0);
    }
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(posters[i].status, 202);
        ck_assert_str_eq(posters[i].location, "/jobs/1");
        fresh += !posters[i].replayed;
    }
    ck_assert_int_eq(fresh, 1);
    expect_state(&daemon, "1", "succeeded");
    kill_daemon(&daemon);
    daemon_launch(&daemon, one_thread);
    struct reply reply = post_with_key(&daemon, "race", "{" QUICK ",\"epochs\":1}");
    ck_assert_str_eq(reply_header(&reply, "Location"), "/jobs/1");
    reply_clear(&reply);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_key_stands_for_its_job_through_a_resume_and_goes_with_it)
{
    struct daemon daemon = make_small();
    struct reply reply = post_with_key(&daemon, "k", ENDLESS);
    reply_clear(&reply);
    wait_running(&daemon, "1");
    cancel_job(&daemon, "1");
    expect_state(&daemon, "1", "cancelled");
    reply = resume_job(&daemon, "1", "{\"epochs\":99999}");
    ck_assert_int_eq(reply.status, 202);
    reply_clear(&reply);
    /* What was posted is compared, not what the resume made of it. */
    reply = post_with_key(&daemon, "k", ENDLESS);
    ck_assert_int_eq(reply.status, 202);
    ck_assert_str_eq(reply_header(&reply, "Location"), "/jobs/1");
    reply_clear(&reply);
    cancel_job(&daemon, "1");
    expect_state(&daemon, "1", "cancelled");
    reply = client_send(&daemon, "DELETE", "/jobs/1", NULL, NULL, 0);
    ck_assert_int_eq(reply.status, 204);
    reply_clear(&reply);
    reply = post_with_key(&daemon, "k", "{" QUICK ",\"epochs\":1}");
    ck_assert_int_eq(reply.status, 202);
    ck_assert_str_eq(reply_header(&reply, "Location"), "/jobs/2");
    reply_clear(&reply);
    daemon_stop(&daemon);
}
END_TEST

TEST_PROGRAM("server_job_queue", as_many_jobs_run_at_once_as_is_set,
             jobs_beside_each_other_get_the_weights_of_jobs_alone,
             a_crash_of_one_job_leaves_the_others_alone, higher_priority_runs_first_then_the_older,
             a_priority_out_of_range_is_refused, a_full_queue_answers_429,
             an_idempotency_key_makes_one_job,
             equal_posts_at_once_make_one_job_and_restarts_do_not_change_that,
             a_key_stands_for_its_job_through_a_resume_and_goes_with_it)
