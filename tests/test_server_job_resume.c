/* Jobs that are interrupted and go on: the daemon stopped, killed, the job cancelled and resumed.
 */
#include <pthread.h>

#include "small_job.h"

/* ---- the daemon stops ---- */

START_TEST(a_stopped_daemon_goes_on_with_its_job_at_the_next_start)
{
    struct daemon daemon = make_small();
    char first[24], second[24];
    post_job(&daemon, ENDLESS, first);
    wait_running(&daemon, first);
    post_job(&daemon, "{" QUICK ",\"epochs\":1}", second);
    pid_t worker = worker_of(&daemon);
    daemon_terminate(&daemon);
    daemon_wait(&daemon);
    ck_assert_int_ne(kill(worker, 0), 0);
    daemon_launch(&daemon, one_thread);
    wait_running(&daemon, first);
    /* It goes first: the other one is younger. */
    cJSON *job = get_json(&daemon, "/jobs/%s", second);
    ck_assert_str_eq(text(job, "state"), "queued");
    cJSON_Delete(job);
    job = get_json(&daemon, "/jobs/%s", first);
    ck_assert_int_eq((int)number(job, "attempts"), 2);
    ck_assert_int_eq((int)number(job, "interruptions"), 0);
    ck_assert_int_ge((int)number(member(job, "resumed_from"), "epoch"), 1);
    cJSON_Delete(job);
    cancel_job(&daemon, first);
    expect_state(&daemon, first, "cancelled");
    expect_same_weights(&daemon, first);
    expect_state(&daemon, second, "succeeded");
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_stop_does_not_wait_for_a_worker_that_hangs)
{
    struct daemon daemon = make_with((const char *const[]){"--drain-s", "1", NULL});
    char id[24];
    post_job(&daemon, ENDLESS, id);
    wait_running(&daemon, id);
    pid_t worker = worker_of(&daemon);
    ck_assert_int_eq(kill(worker, SIGSTOP), 0);
    daemon_terminate(&daemon);
    daemon_wait(&daemon);
    ck_assert_int_ne(kill(worker, 0), 0);
    daemon_launch(&daemon, one_thread);
    wait_running(&daemon, id);
    cancel_job(&daemon, id);
    expect_state(&daemon, id, "cancelled");
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_job_that_is_cancelled_while_the_daemon_stops_does_not_go_on)
{
    struct daemon daemon = make_with((const char *const[]){"--drain-s", "2", NULL});
    char id[24];
    post_job(&daemon, ENDLESS, id);
    wait_running(&daemon, id);
    /* It does not stop before both are asked for. */
    ck_assert_int_eq(kill(worker_of(&daemon), SIGSTOP), 0);
    cancel_job(&daemon, id);
    daemon_terminate(&daemon);
    daemon_wait(&daemon);
    daemon_launch(&daemon, one_thread);
    expect_state(&daemon, id, "cancelled");
    daemon_stop(&daemon);
}
END_TEST

/* ---- the daemon dies ---- */

/* An orphan, which init reaps in its own time. */
static void wait_until_dead(pid_t pid)
{
    for (;;) {
        char path[64], line[256] = "", state = 0;
        snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        FILE *file = fopen(path, "r");
        const char *end = file && fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
        if (file)
            fclose(file);
        if (!end || sscanf(end + 1, " %c", &state) != 1 || state == 'Z' || state == 'X')
            return;
        job_pause();
    }
}

START_TEST(a_killed_daemon_takes_its_worker_along_and_goes_on_at_the_next_start)
{
    struct daemon daemon = make_small();
    char id[24];
    post_job(&daemon, ENDLESS, id);
    for (int i = 0; i < 2; i++) {
        wait_running(&daemon, id);
        pid_t worker = worker_of(&daemon);
        kill_daemon(&daemon);
        wait_until_dead(worker);
        daemon_launch(&daemon, one_thread);
    }
    wait_running(&daemon, id);
    cJSON *job = get_json(&daemon, "/jobs/%s", id);
    ck_assert_int_eq((int)number(job, "attempts"), 3);
    ck_assert_int_eq((int)number(job, "crashes"), 0);
    cJSON_Delete(job);
    cancel_job(&daemon, id);
    expect_state(&daemon, id, "cancelled");
    expect_same_weights(&daemon, id);
    cJSON *loss = get_json(&daemon, "/jobs/%s/loss", id);
    ck_assert_int_eq(cJSON_GetArraySize(member(loss, "epochs")), epochs_of(&daemon, id));
    cJSON_Delete(loss);
    daemon_stop(&daemon);
}
END_TEST

/* ---- cancelled and resumed ---- */

static const char *checkpoint_of(const struct daemon *daemon, const char *id, char path[400])
{
    snprintf(path, 400, "%s/checkpoints/%s.safetensors", daemon->data_dir, id);
    return path;
}

static bool has_checkpoint(const struct daemon *daemon, const char *id)
{
    char path[400];
    return access(checkpoint_of(daemon, id, path), F_OK) == 0;
}

static void stop_midway(const struct daemon *daemon, char id[24])
{
    post_job(daemon, ENDLESS, id);
    wait_running(daemon, id);
    cancel_job(daemon, id);
    expect_state(daemon, id, "cancelled");
}

START_TEST(a_cancelled_job_is_resumed_to_the_same_weights)
{
    struct daemon daemon = make_small();
    char id[24];
    stop_midway(&daemon, id);
    struct reply reply = resume_job(&daemon, id, "");
    ck_assert_int_eq(reply.status, 202);
    cJSON *job = cJSON_Parse(reply.body);
    ck_assert(!job_has_ended(job));
    ck_assert(cJSON_IsNull(member(job, "finished")));
    cJSON_Delete(job);
    reply_clear(&reply);
    wait_running(&daemon, id);
    cancel_job(&daemon, id);
    expect_state(&daemon, id, "cancelled");
    expect_same_weights(&daemon, id);
    job = get_json(&daemon, "/jobs/%s", id);
    ck_assert(cJSON_IsObject(member(job, "resumed_from")));
    cJSON_Delete(job);
    while (has_checkpoint(&daemon, id)) /* it goes once the end is stored */
        job_pause();
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_job_that_lost_its_checkpoint_begins_again_and_shows_it)
{
    struct daemon daemon = make_small();
    char id[24], path[400];
    stop_midway(&daemon, id);
    ck_assert_int_eq(unlink(checkpoint_of(&daemon, id, path)), 0);
    expect_same_weights(&daemon, id);
    cJSON *job = get_json(&daemon, "/jobs/%s", id);
    ck_assert_int_eq((int)number(job, "attempts"), 2);
    ck_assert(cJSON_IsNull(member(job, "resumed_from")));
    cJSON_Delete(job);
    char *log = daemon_log(&daemon);
    ck_assert_ptr_nonnull(strstr(log, "\"from\":\"the beginning\""));
    free(log);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_deleted_job_takes_its_checkpoint_along)
{
    struct daemon daemon = make_small();
    char id[24];
    stop_midway(&daemon, id);
    ck_assert(has_checkpoint(&daemon, id));
    struct reply reply = client_send(&daemon, "DELETE", "/jobs/1", NULL, NULL, 0);
    ck_assert_int_eq(reply.status, 204);
    reply_clear(&reply);
    ck_assert(!has_checkpoint(&daemon, id));
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_resumed_job_may_get_more_epochs)
{
    struct daemon daemon = make_small();
    char blocker[24], id[24], sum[65];
    weights_of(&daemon, "{" QUICK ",\"epochs\":4}", sum);
    post_job(&daemon, ENDLESS, blocker);
    wait_running(&daemon, blocker);
    post_job(&daemon, "{" QUICK ",\"epochs\":2}", id);
    cancel_job(&daemon, id);
    struct reply reply = resume_job(&daemon, id, "{\"epochs\":4}");
    ck_assert_int_eq(reply.status, 202);
    reply_clear(&reply);
    cancel_job(&daemon, id);
    /* As many as before, which are the four. */
    reply = resume_job(&daemon, id, "");
    ck_assert_int_eq(reply.status, 202);
    reply_clear(&reply);
    cancel_job(&daemon, blocker);
    cJSON *job = wait_job(&daemon, id);
    ck_assert_str_eq(text(job, "weights_sha256"), sum);
    ck_assert_int_eq((int)number(job, "epochs"), 4);
    ck_assert_int_eq((int)number(job, "epoch"), 4);
    /* What was posted stays what was posted. */
    ck_assert_int_eq((int)number(member(job, "request"), "epochs"), 2);
    cJSON_Delete(job);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(only_failed_and_cancelled_jobs_are_resumed)
{
    struct daemon daemon = make_small();
    char running[24], queued[24];
    cJSON_Delete(run_job(&daemon, "{" QUICK ",\"epochs\":1}"));
    post_job(&daemon, ENDLESS, running);
    wait_running(&daemon, running);
    post_job(&daemon, ENDLESS, queued);
    struct reply reply = resume_job(&daemon, "1", "");
    reply_expect_problem(&reply, 409, "succeeded");
    reply = resume_job(&daemon, running, "");
    reply_expect_problem(&reply, 409, "running");
    reply = resume_job(&daemon, queued, "");
    reply_expect_problem(&reply, 409, "queued");
    reply = resume_job(&daemon, "99", "");
    reply_expect_problem(&reply, 404, "no job 99");
    reply = resume_job(&daemon, "x", "");
    reply_expect_problem(&reply, 404, "no job");
    cancel_job(&daemon, queued);
    cancel_job(&daemon, running);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_bad_resume_is_refused_with_its_field)
{
    static const struct {
        const char *body, *field;
    } cases[] = {
        {"{\"epochs\":0}", "\"field\":\"epochs\""},
        {"{\"epochs\":100001}", "\"field\":\"epochs\""},
        {"{\"epochs\":1.5}", "\"field\":\"epochs\""},
        {"{\"epochs\":\"7\"}", "\"field\":\"epochs\""},
        {"{\"epoch\":7}", "\"field\":\"epoch\""},
        {"{\"epochs\":1}", "not more than the"}, /* that are done */
        {"[]", "object"},
        {"{", "400"},
    };
    struct daemon daemon = make_small();
    char id[24];
    post_job(&daemon, ENDLESS, id);
    for (int epoch = 0; epoch < 3; job_pause()) {
        cJSON *job = get_json(&daemon, "/jobs/%s", id);
        epoch = (int)number(job, "epoch");
        cJSON_Delete(job);
    }
    cancel_job(&daemon, id);
    expect_state(&daemon, id, "cancelled");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct reply reply = resume_job(&daemon, id, cases[i].body);
        ck_assert_msg(strstr(reply.body, cases[i].field), "%s: %s", cases[i].body, reply.body);
        reply_expect_problem(&reply, 400, "");
    }
    expect_state(&daemon, id, "cancelled");
    daemon_stop(&daemon);
}
END_TEST

/* ---- races ---- */

struct racer {
    const struct daemon *daemon;
    const char *path;
    int accepted, refused, others;
};

static void *race(void *arg)
{
    struct racer *racer = arg;
    for (int i = 0; i < 40; i++) {
        struct reply reply = client_send(racer->daemon, "POST", racer->path, NULL, "", 0);
        int *count = reply.status == 202   ? &racer->accepted
                     : reply.status == 409 ? &racer->refused
                                           : &racer->others;
        ++*count;
        reply_clear(&reply);
    }
    return NULL;
}

START_TEST(cancel_and_resume_racing_leave_one_sane_state)
{
    struct daemon daemon = make_small();
    char id[24];
    stop_midway(&daemon, id);
    char cancel[64], resume[64];
    snprintf(cancel, sizeof cancel, "/jobs/%s/cancel", id);
    snprintf(resume, sizeof resume, "/jobs/%s/resume", id);
    struct racer racers[4] = {{.daemon = &daemon, .path = cancel},
                              {.daemon = &daemon, .path = resume},
                              {.daemon = &daemon, .path = cancel},
                              {.daemon = &daemon, .path = resume}};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(racers[i].others, 0);
    }
    /* Whatever won last: it can be cancelled or is, and then it goes on to its end. */
    struct reply reply = client_send(&daemon, "POST", cancel, NULL, "", 0);
    ck_assert(reply.status == 202 || reply.status == 409);
    reply_clear(&reply);
    expect_state(&daemon, id, "cancelled");
    expect_same_weights(&daemon, id);
    daemon_stop(&daemon);
}
END_TEST

TEST_PROGRAM("server_job_resume", a_stopped_daemon_goes_on_with_its_job_at_the_next_start,
             a_stop_does_not_wait_for_a_worker_that_hangs,
             a_job_that_is_cancelled_while_the_daemon_stops_does_not_go_on,
             a_killed_daemon_takes_its_worker_along_and_goes_on_at_the_next_start,
             a_cancelled_job_is_resumed_to_the_same_weights,
             a_job_that_lost_its_checkpoint_begins_again_and_shows_it,
             a_deleted_job_takes_its_checkpoint_along, a_resumed_job_may_get_more_epochs,
             only_failed_and_cancelled_jobs_are_resumed, a_bad_resume_is_refused_with_its_field,
             cancel_and_resume_racing_leave_one_sane_state)
