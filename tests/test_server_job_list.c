/* Many jobs at once: lists of them, and comparisons. */
#include "small_job.h"

/* The ids of the listed jobs, "3 1 2". */
static const char *listed(const struct daemon *daemon, const char *query)
{
    static char ids[256];
    cJSON *list = get_json(daemon, "/jobs?%s", query);
    const cJSON *job;
    size_t used = 0;
    ids[0] = '\0';
    cJSON_ArrayForEach(job, member(list, "jobs"))
    {
        used += (size_t)snprintf(ids + used, sizeof ids - used, "%s%s", used ? " " : "",
                                 text(job, "id"));
    }
    cJSON_Delete(list);
    return ids;
}

/* Job 1 learns much, job 2 little, job 3 (of model "n") is cancelled before it begins. */
static struct daemon make_three(void)
{
    struct daemon daemon = make_small();
    char id[24];
    cJSON_Delete(run_job(&daemon, "{" QUICK ",\"epochs\":6}"));
    cJSON_Delete(run_job(&daemon, "{" SMALL ",\"epochs\":1,\"optimizer\":{\"type\":\"sgd\","
                                  "\"lr\":1e-6}}"));
    post_job(&daemon, ENDLESS, id);
    wait_running(&daemon, id);
    post_job(&daemon, "{\"model\":\"n\",\"dataset\":\"shapes\"}", id);
    cancel_job(&daemon, id);
    cancel_job(&daemon, "3");
    expect_state(&daemon, "3", "cancelled");
    struct reply reply = client_send(&daemon, "DELETE", "/jobs/3", NULL, NULL, 0);
    ck_assert_int_eq(reply.status, 204);
    reply_clear(&reply);
    return daemon;
}

START_TEST(lists_are_filtered_sorted_and_cut_into_pages)
{
    static const struct {
        const char *query, *ids;
    } cases[] = {
        {"", "4 2 1"},
        {"sort=created", "1 2 4"},
        {"limit=1&offset=1", "2"},
        {"offset=3", ""},
        {"state=succeeded", "2 1"},
        {"state=running", ""},
        {"model=n", "4"},
        {"model=m&state=cancelled", ""},
        {"model=none", ""},
        {"sort=loss", "1 2 4"},
        {"sort=-loss", "2 1 4"},
        {"sort=-accuracy", "1 2 4"},
        {"sort=-val_accuracy&limit=1", "1"},
        {"sort=test_accuracy&state=succeeded", "2 1"},
    };
    struct daemon daemon = make_three();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *ids = listed(&daemon, cases[i].query);
        ck_assert_msg(strcmp(ids, cases[i].ids) == 0, "%s: %s, expected %s", cases[i].query, ids,
                      cases[i].ids);
    }
    cJSON *list = get_json(&daemon, "/jobs?model=m&limit=1", "");
    ck_assert_int_eq((int)number(list, "total"), 2);
    cJSON_Delete(list);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(lists_leave_requests_out_unless_asked)
{
    struct daemon daemon = make_small();
    cJSON_Delete(run_job(&daemon, "{" QUICK ",\"epochs\":1}"));
    cJSON *list = get_json(&daemon, "/jobs", "");
    ck_assert_ptr_null(cJSON_GetObjectItem(cJSON_GetArrayItem(member(list, "jobs"), 0), "request"));
    cJSON_Delete(list);
    list = get_json(&daemon, "/jobs?full=true", "");
    const cJSON *job = cJSON_GetArrayItem(member(list, "jobs"), 0);
    ck_assert_str_eq(text(member(job, "request"), "architecture"), "shapes-cnn");
    cJSON_Delete(list);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_bad_query_of_a_list_is_refused_with_its_field)
{
    static const struct {
        const char *query, *field;
    } cases[] = {
        {"state=done", "state"},   {"state=", "state"},     {"sort=lr", "sort"},
        {"sort=-", "sort"},        {"sort=--loss", "sort"}, {"limit=0", "limit"},
        {"limit=10001", "limit"},  {"offset=-1", "offset"}, {"offset=x", "offset"},
        {"model=..%2fx", "model"}, {"full=maybe", "full"},  {"full=true&limit=101", "limit"},
    };
    struct daemon daemon = make_small();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[128], field[64];
        snprintf(path, sizeof path, "/jobs?%s", cases[i].query);
        snprintf(field, sizeof field, "\"field\":\"%s\"", cases[i].field);
        struct reply reply = client_get(&daemon, path);
        ck_assert_msg(strstr(reply.body, field) != NULL, "%s: %s", path, reply.body);
        reply_expect_problem(&reply, 400, "");
    }
    daemon_stop(&daemon);
}
END_TEST

/* ---- comparisons ---- */

static void expect_values(const cJSON *comparison, int index, const char *name, const char *values)
{
    const cJSON *setting = cJSON_GetArrayItem(member(comparison, "settings"), index);
    ck_assert_str_eq(text(setting, "name"), name);
    char *printed = cJSON_PrintUnformatted(member(setting, "values"));
    ck_assert_str_eq(printed, values);
    cJSON_free(printed);
}

START_TEST(a_comparison_tells_settings_that_differ_and_the_curves)
{
    struct daemon daemon = make_small();
    cJSON_Delete(run_job(&daemon, "{" SMALL ",\"epochs\":3,\"optimizer\":{\"type\":\"adam\","
                                  "\"lr\":0.01}}"));
    cJSON_Delete(run_job(&daemon, "{" SMALL ",\"epochs\":2,\"optimizer\":{\"type\":\"adam\","
                                  "\"lr\":0.02}}"));
    cJSON *comparison = get_json(&daemon, "/jobs/compare?ids=2,1", "");
    ck_assert_int_eq(cJSON_GetArraySize(member(comparison, "settings")), 2);
    expect_values(comparison, 0, "epochs", "[2,3]");
    expect_values(comparison, 1, "optimizer.lr", "[0.02,0.01]");
    ck_assert_str_eq(text(cJSON_GetArrayItem(member(comparison, "jobs"), 0), "id"), "2");
    ck_assert_int_eq((int)number(comparison, "every"), 1);
    const cJSON *epochs = member(comparison, "epochs"), *third = cJSON_GetArrayItem(epochs, 2);
    ck_assert_int_eq(cJSON_GetArraySize(epochs), 3);
    ck_assert_int_eq((int)number(third, "epoch"), 3);
    ck_assert(cJSON_IsNull(cJSON_GetArrayItem(member(third, "val_loss"), 0)));
    cJSON *job = get_json(&daemon, "/jobs/1", "");
    ck_assert_double_eq(cJSON_GetArrayItem(member(third, "loss"), 1)->valuedouble,
                        number(job, "loss"));
    ck_assert_double_eq(cJSON_GetArrayItem(member(third, "val_accuracy"), 1)->valuedouble,
                        number(job, "val_accuracy"));
    cJSON_Delete(job);
    cJSON_Delete(comparison);
    struct reply reply = client_get(&daemon, "/jobs/compare?ids=2,1&format=csv");
    ck_assert_int_eq(reply.status, 200);
    ck_assert_ptr_eq(strstr(reply.body, "epoch,loss_2,accuracy_2,val_loss_2,val_accuracy_2,loss_1,"
                                        "accuracy_1,val_loss_1,val_accuracy_1\n1,"),
                     reply.body);
    ck_assert_ptr_nonnull(strstr(reply.body, "\n3,,,,,0."));
    reply_clear(&reply);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(bad_ids_of_a_comparison_are_refused)
{
    static const char *const bad[] = {
        "",
        "?ids=",
        "?ids=1",
        "?ids=1,",
        "?ids=,1",
        "?ids=1,1",
        "?ids=1,x",
        "?ids=1,-2",
        "?ids=1%202",
        "?ids=0,1",
        "?ids=1,99999999999999999999",
    };
    struct daemon daemon = make_small();
    cJSON_Delete(run_job(&daemon, "{" QUICK ",\"epochs\":1}"));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char path[128];
        snprintf(path, sizeof path, "/jobs/compare%s", bad[i]);
        struct reply reply = client_get(&daemon, path);
        ck_assert_msg(strstr(reply.body, "\"field\":\"ids\"") != NULL, "%s: %s", path, reply.body);
        reply_expect_problem(&reply, 400, "");
    }
    struct reply reply = client_get(&daemon, "/jobs/compare?ids=1,99");
    reply_expect_problem(&reply, 404, "no job 99");
    char many[256] = "/jobs/compare?ids=1";
    for (int id = 101; id < 117; id++)
        snprintf(many + strlen(many), sizeof many - strlen(many), ",%d", id);
    reply = client_get(&daemon, many);
    reply_expect_problem(&reply, 400, "2 to 16");
    daemon_stop(&daemon);
}
END_TEST

TEST_PROGRAM("server_job_list", lists_are_filtered_sorted_and_cut_into_pages,
             lists_leave_requests_out_unless_asked, a_bad_query_of_a_list_is_refused_with_its_field,
             a_comparison_tells_settings_that_differ_and_the_curves,
             bad_ids_of_a_comparison_are_refused)
