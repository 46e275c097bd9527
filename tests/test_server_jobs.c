/* Training jobs through the real daemon: posted, run, cancelled, killed, kept. */
#include <fcntl.h>
#include <stdlib.h>

#include "small_job.h"

/* ---- a job's life ---- */

START_TEST(a_job_trains_and_its_model_answers)
{
    struct daemon daemon = make_small();
    struct reply reply = client_post(&daemon, "/jobs", "{" QUICK ",\"epochs\":5}");
    ck_assert_int_eq(reply.status, 202);
    ck_assert_str_eq(reply_header(&reply, "Location"), "/jobs/1");
    reply_clear(&reply);

    cJSON *job = wait_job(&daemon, "1");
    ck_assert_str_eq(text(job, "state"), "succeeded");
    ck_assert_int_eq((int)number(job, "epoch"), 5);
    ck_assert_int_eq((int)number(job, "parameters"), 1538);
    ck_assert_int_eq((int)number(job, "model_version"), 1);
    ck_assert_double_ge(number(job, "test_accuracy"), 0.9);
    ck_assert_uint_eq(strlen(text(job, "weights_sha256")), 64);
    ck_assert(cJSON_IsNull(member(job, "error")));
    ck_assert(cJSON_IsString(member(job, "finished")));
    cJSON_Delete(job);
    /* The model serves as soon as the job says so. */
    expect_model_answers(&daemon, "/predict");
    expect_model_answers(&daemon, "/models/m/versions/1/predict");
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_job_echoes_its_defaults)
{
    struct daemon daemon = make_small();
    char id[24];
    post_job(&daemon, "{\"model\":\"m\",\"dataset\":\"shapes\"}", id);
    cJSON *job = get_json(&daemon, "/jobs/%s", id);
    const cJSON *request = member(job, "request"), *optimizer = member(request, "optimizer");
    ck_assert_str_eq(text(request, "architecture"), "mnist-cnn");
    ck_assert_int_eq((int)number(request, "dataset_version"), 1);
    ck_assert_int_eq((int)number(request, "batch_size"), 32);
    ck_assert_int_eq((int)number(request, "epochs"), 5);
    ck_assert_int_eq((int)number(request, "threads"), 1);
    ck_assert_str_eq(text(request, "loss"), "cross_entropy");
    ck_assert_str_eq(text(optimizer, "type"), "adam");
    ck_assert_double_eq(number(optimizer, "lr"), 0.001);
    cJSON_Delete(job);
    daemon_stop(&daemon);
}
END_TEST

static void expect_threads(const struct daemon *daemon, const char *body, int threads)
{
    char id[24];
    post_job(daemon, body, id);
    cJSON *job = get_json(daemon, "/jobs/%s", id);
    ck_assert_int_eq((int)number(member(job, "request"), "threads"), threads);
    cJSON_Delete(job);
    cancel_job(daemon, id);
}

START_TEST(a_job_gets_the_threads_that_its_batches_are_worth_unless_it_says)
{
    struct daemon daemon;
    daemon_start(&daemon, (const char *const[]){"--threads", "4", NULL});
    make_shapes(&daemon, 200, 50);
    expect_threads(&daemon, "{" QUICK ",\"epochs\":1000}", 1);
    expect_threads(&daemon, "{" QUICK ",\"epochs\":1000,\"threads\":3}", 3);
    expect_threads(&daemon, "{\"model\":\"m\",\"dataset\":\"shapes\"}", 4);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(each_job_makes_the_next_version_and_the_list_begins_with_the_newest)
{
    struct daemon daemon = make_small();
    for (int version = 1; version <= 2; version++) {
        cJSON *job = run_job(&daemon, "{" QUICK ",\"epochs\":1}");
        ck_assert_int_eq((int)number(job, "model_version"), version);
        cJSON_Delete(job);
    }
    cJSON *list = get_json(&daemon, "/jobs", "");
    const cJSON *jobs = member(list, "jobs");
    ck_assert_int_eq(cJSON_GetArraySize(jobs), 2);
    ck_assert_str_eq(text(cJSON_GetArrayItem(jobs, 0), "id"), "2");
    ck_assert_str_eq(text(cJSON_GetArrayItem(jobs, 1), "id"), "1");
    cJSON_Delete(list);
    list = get_json(&daemon, "/jobs?limit=1", "");
    ck_assert_int_eq(cJSON_GetArraySize(member(list, "jobs")), 1);
    ck_assert_int_eq((int)number(list, "total"), 2);
    cJSON_Delete(list);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(the_same_seed_gives_the_same_weights_at_any_number_of_threads)
{
    struct daemon daemon = make_small();
    char one[65], three[65], other[65];
    weights_of(&daemon, "{" QUICK ",\"epochs\":2,\"seed\":7,\"threads\":1}", one);
    weights_of(&daemon, "{" QUICK ",\"epochs\":2,\"seed\":7,\"threads\":3}", three);
    weights_of(&daemon, "{" QUICK ",\"epochs\":2,\"seed\":8,\"threads\":1}", other);
    ck_assert_str_eq(one, three);
    ck_assert_str_ne(one, other);
    daemon_stop(&daemon);
}
END_TEST

/* A rate so high that what the first epoch learns is soon ruined. */
#define RUINED                        \
    SMALL ",\"epochs\":4,\"seed\":1," \
          "\"optimizer\":{\"type\":\"sgd\",\"lr\":0.2,\"momentum\":0.9}"

START_TEST(the_best_epoch_is_published_or_the_last_if_asked_for)
{
    struct daemon daemon = make_small();
    for (int last = 0; last < 2; last++) {
        cJSON *job = run_job(&daemon, last ? "{" RUINED ",\"publish\":\"last\"}"
                                           : "{" RUINED ",\"publish\":\"best\"}");
        cJSON *loss = get_json(&daemon, "/jobs/%s/loss", text(job, "id"));
        const cJSON *epochs = member(loss, "epochs"), *epoch;
        int best = (int)number(job, "best_epoch");
        double best_accuracy = number(cJSON_GetArrayItem(epochs, best - 1), "val_accuracy");
        double last_accuracy = number(cJSON_GetArrayItem(epochs, 3), "val_accuracy");
        /* Else this test could not tell them apart. */
        ck_assert_double_gt(best_accuracy, last_accuracy);
        cJSON_ArrayForEach(epoch, epochs)
        {
            ck_assert_double_le(number(epoch, "val_accuracy"), best_accuracy);
        }
        ck_assert_double_eq(number(job, "test_accuracy"), last ? last_accuracy : best_accuracy);
        cJSON_Delete(loss);
        cJSON_Delete(job);
    }
    daemon_stop(&daemon);
}
END_TEST

START_TEST(early_stopping_ends_a_job_before_its_epochs)
{
    struct daemon daemon = make_small();
    cJSON *job =
        run_job(&daemon, "{" QUICK ",\"epochs\":1000,\"early_stopping\":{\"patience\":2}}");
    ck_assert_int_lt((int)number(job, "epoch"), 1000);
    ck_assert_int_eq((int)number(job, "epoch"), (int)number(job, "best_epoch") + 2);
    cJSON_Delete(job);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_running_job_tells_when_it_ends_and_when_it_stops_early)
{
    struct daemon daemon = make_small();
    char id[24];
    post_job(&daemon, "{" SMALL ",\"epochs\":100000,\"early_stopping\":{\"patience\":1000}}", id);
    for (bool seen = false; !seen; job_pause()) {
        cJSON *job = get_json(&daemon, "/jobs/%s", id);
        ck_assert(!job_has_ended(job));
        seen = cJSON_IsNumber(member(job, "early_stop_eta_seconds"));
        if (seen) {
            ck_assert_int_ge((int)number(job, "best_epoch"), 1);
            ck_assert_double_gt(number(job, "eta_seconds"), number(job, "early_stop_eta_seconds"));
        }
        cJSON_Delete(job);
    }
    cancel_job(&daemon, id);
    expect_state(&daemon, id, "cancelled");
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_job_starts_from_another_models_weights)
{
    struct daemon daemon = make_small();
    cJSON_Delete(run_job(&daemon, "{" QUICK ",\"epochs\":5}"));
    /* A rate of nearly nothing keeps what it started from. */
    cJSON *job = run_job(&daemon, "{\"model\":\"tuned\",\"dataset\":\"shapes\",\"init_from\":\"m\","
                                  "\"epochs\":1,\"optimizer\":{\"type\":\"sgd\",\"lr\":1e-9}}");
    ck_assert_double_ge(number(job, "test_accuracy"), 0.9);
    ck_assert_str_eq(text(member(job, "request"), "init_from"), "m:1");
    ck_assert(cJSON_IsObject(member(member(job, "request"), "architecture")));
    cJSON_Delete(job);
    daemon_stop(&daemon);
}
END_TEST

/* ---- cancel and delete ---- */

START_TEST(a_queued_job_is_cancelled_at_once)
{
    struct daemon daemon = make_small();
    char first[24], second[24];
    post_job(&daemon, ENDLESS, first);
    post_job(&daemon, ENDLESS, second);
    cancel_job(&daemon, second);
    cJSON *job = get_json(&daemon, "/jobs/%s", second);
    ck_assert_str_eq(text(job, "state"), "cancelled");
    ck_assert(cJSON_IsNull(member(job, "started")));
    cJSON_Delete(job);
    cancel_job(&daemon, first);
    expect_state(&daemon, first, "cancelled");
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_running_job_is_cancelled_and_the_next_one_runs)
{
    struct daemon daemon = make_small();
    char first[24], second[24];
    post_job(&daemon, ENDLESS, first);
    wait_running(&daemon, first);
    post_job(&daemon, "{" QUICK ",\"epochs\":1}", second);
    cancel_job(&daemon, first);
    expect_state(&daemon, first, "cancelled");
    expect_state(&daemon, second, "succeeded");
    cJSON *job = get_json(&daemon, "/jobs/%s", first);
    ck_assert(cJSON_IsNull(member(job, "model_version")));
    ck_assert(cJSON_IsNull(member(job, "error")));
    cJSON_Delete(job);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(an_ended_job_cannot_be_cancelled)
{
    struct daemon daemon = make_small();
    cJSON_Delete(run_job(&daemon, "{" QUICK ",\"epochs\":1}"));
    struct reply reply = client_send(&daemon, "POST", "/jobs/1/cancel", NULL, NULL, 0);
    reply_expect_problem(&reply, 409, "ended");
    daemon_stop(&daemon);
}
END_TEST

START_TEST(only_an_ended_job_is_deleted)
{
    struct daemon daemon = make_small();
    char id[24];
    post_job(&daemon, ENDLESS, id);
    wait_running(&daemon, id);
    struct reply reply = client_send(&daemon, "DELETE", "/jobs/1", NULL, NULL, 0);
    reply_expect_problem(&reply, 409, "running");
    cancel_job(&daemon, id);
    expect_state(&daemon, id, "cancelled");
    reply = client_send(&daemon, "DELETE", "/jobs/1", NULL, NULL, 0);
    ck_assert_int_eq(reply.status, 204);
    reply_clear(&reply);
    reply = client_get(&daemon, "/jobs/1");
    reply_expect_problem(&reply, 404, "no job");
    daemon_stop(&daemon);
}
END_TEST

/* ---- what stays ---- */

START_TEST(a_restart_keeps_jobs_reports_and_model)
{
    static const char *const reports[] = {"/jobs/1", "/jobs/1/loss", "/jobs/1/confusion",
                                          "/jobs/1/failures"};
    struct daemon daemon = make_small();
    struct reply before[4];
    cJSON_Delete(run_job(&daemon, "{" QUICK ",\"epochs\":1}"));
    for (int i = 0; i < 4; i++)
        before[i] = client_get(&daemon, reports[i]);
    daemon_restart(&daemon, one_thread);
    for (int i = 0; i < 4; i++) {
        struct reply after = client_get(&daemon, reports[i]);
        ck_assert_int_eq(after.status, 200);
        ck_assert_str_eq(after.body, before[i].body);
        reply_clear(&after);
        reply_clear(&before[i]);
    }
    expect_model_answers(&daemon, "/models/m/predict");
    daemon_stop(&daemon);
}
END_TEST

/* ---- requests ---- */

START_TEST(a_bad_request_is_refused_with_its_field)
{
    static const struct {
        const char *body;
        int status;
        const char *field;
    } cases[] = {
        {"", 400, NULL},
        {"[]", 400, NULL},
        {"{\"model\":\"m\",\"dataset\":\"shapes\"", 400, NULL},
        {"{\"dataset\":\"shapes\"}", 400, "model"},
        {"{\"model\":\"m\"}", 400, "dataset"},
        {"{\"model\":\"../m\",\"dataset\":\"shapes\"}", 400, "model"},
        {"{\"model\":\"m\",\"dataset\":\"none\"}", 404, "dataset"},
        {"{\"model\":\"m\",\"dataset\":\"shapes:9\"}", 404, "dataset"},
        {"{" SMALL ",\"epoch\":1}", 400, "epoch"},
        {"{" SMALL ",\"epochs\":0}", 400, "epochs"},
        {"{" SMALL ",\"epochs\":2147483648}", 400, "epochs"},
        {"{" SMALL ",\"epochs\":1.5}", 400, "epochs"},
        {"{" SMALL ",\"threads\":100000}", 400, "threads"},
        {"{" SMALL ",\"seed\":-1}", 400, "seed"},
        {"{" SMALL ",\"optimizer\":{\"type\":\"adam\",\"lr\":-1}}", 400, "optimizer.lr"},
        {"{" SMALL ",\"optimizer\":{\"type\":\"magic\"}}", 400, "optimizer.type"},
        {"{" SMALL ",\"validation_split\":1}", 400, "validation_split"},
        {"{" SMALL ",\"early_stopping\":{\"patience\":0}}", 400, "early_stopping.patience"},
        {"{" SMALL ",\"class_weights\":[1,2,3]}", 400, "class_weights"},
        {"{" SMALL ",\"augment\":{\"rotate\":181}}", 400, "augment.rotate"},
        {"{" SMALL ",\"augment\":{\"rotate_z\":12}}", 400, "augment.rotate_z"},
        {"{" SMALL ",\"init_from\":\"none\"}", 404, "init_from"},
        {"{\"model\":\"m\",\"dataset\":\"shapes\",\"architecture\":\"resnet9000\"}", 400,
         "architecture"},
        {"{\"model\":\"m\",\"dataset\":\"shapes\",\"architecture\":{\"layers\":[{\"type\":"
         "\"conv2d\",\"filters\":4,\"kernel\":40}]}}",
         400, "architecture.layers[0].kernel"},
        {"{\"model\":\"m\",\"dataset\":\"shapes\",\"architecture\":{\"layers\":[{\"type\":"
         "\"flatten\"},{\"type\":\"dense\",\"units\":3}]}}",
         400, "architecture"},
    };
    struct daemon daemon = make_small();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct reply reply = client_post(&daemon, "/jobs", cases[i].body);
        ck_assert_msg(reply.status == cases[i].status, "%s: %d %s", cases[i].body, reply.status,
                      reply.body);
        cJSON *problem = cJSON_Parse(reply.body);
        if (cases[i].field)
            ck_assert_msg(strcmp(text(problem, "field"), cases[i].field) == 0, "%s: %s",
                          cases[i].body, reply.body);
        cJSON_Delete(problem);
        reply_expect_problem(&reply, cases[i].status, "");
    }
    cJSON *list = get_json(&daemon, "/jobs", "");
    ck_assert_int_eq(cJSON_GetArraySize(member(list, "jobs")), 0);
    cJSON_Delete(list);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_base_model_of_another_form_is_refused)
{
    struct daemon daemon = make_small();
    cJSON_Delete(run_job(&daemon, "{" QUICK ",\"epochs\":1}"));
    struct reply reply =
        client_post(&daemon, "/jobs",
                    "{\"model\":\"n\",\"dataset\":\"shapes\",\"architecture\":\"shapes-tiny\","
                    "\"init_from\":\"m:1\"}");
    ck_assert_ptr_nonnull(strstr(reply.body, "\"field\":\"init_from\""));
    reply_expect_problem(&reply, 400, "where model 'm:1' has");
    daemon_stop(&daemon);
}
END_TEST

START_TEST(an_unknown_job_is_not_found)
{
    static const char *const ids[] = {"1", "0", "-1", "abc", "1x", "99999999999999999999", "+1"};
    struct daemon daemon;
    daemon_start(&daemon, NULL);
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        char path[64];
        snprintf(path, sizeof path, "/jobs/%s", ids[i]);
        struct reply reply = client_get(&daemon, path);
        reply_expect_problem(&reply, 404, "no job");
        reply = client_send(&daemon, "DELETE", path, NULL, NULL, 0);
        reply_expect_problem(&reply, 404, "no job");
        snprintf(path, sizeof path, "/jobs/%s/cancel", ids[i]);
        reply = client_send(&daemon, "POST", path, NULL, NULL, 0);
        reply_expect_problem(&reply, 404, "no job");
        static const char *const reports[] = {"loss", "confusion", "failures"};
        for (int k = 0; k < 3; k++) {
            snprintf(path, sizeof path, "/jobs/%s/%s", ids[i], reports[k]);
            reply = client_get(&daemon, path);
            reply_expect_problem(&reply, 404, "no job");
        }
    }
    daemon_stop(&daemon);
}
END_TEST

START_TEST(the_first_start_trains_a_model_by_itself)
{
    struct daemon daemon;
    daemon_start(&daemon, (const char *const[]){"--bootstrap", NULL});
    cJSON *job = wait_job(&daemon, "1");
    ck_assert_str_eq(text(job, "state"), "succeeded");
    ck_assert_double_ge(number(job, "test_accuracy"), 0.98);
    cJSON_Delete(job);
    expect_model_answers(&daemon, "/predict");
    daemon_restart(&daemon, (const char *const[]){"--bootstrap", NULL});
    cJSON *list = get_json(&daemon, "/jobs", "");
    ck_assert_int_eq((int)number(list, "total"), 1);
    cJSON_Delete(list);
    daemon_stop(&daemon);
}
END_TEST

TEST_PROGRAM("server_jobs", a_job_trains_and_its_model_answers, a_job_echoes_its_defaults,
             a_job_gets_the_threads_that_its_batches_are_worth_unless_it_says,
             each_job_makes_the_next_version_and_the_list_begins_with_the_newest,
             the_same_seed_gives_the_same_weights_at_any_number_of_threads,
             the_best_epoch_is_published_or_the_last_if_asked_for,
             early_stopping_ends_a_job_before_its_epochs,
             a_running_job_tells_when_it_ends_and_when_it_stops_early,
             a_job_starts_from_another_models_weights, a_queued_job_is_cancelled_at_once,
             a_running_job_is_cancelled_and_the_next_one_runs, an_ended_job_cannot_be_cancelled,
             only_an_ended_job_is_deleted, a_restart_keeps_jobs_reports_and_model,
             a_bad_request_is_refused_with_its_field, a_base_model_of_another_form_is_refused,
             an_unknown_job_is_not_found, the_first_start_trains_a_model_by_itself)
