/* Models, summaries and evaluation through the real daemon. */
#include <stdlib.h>
#include <unistd.h>

#include "hash.h"
#include "served.h"

static struct daemon server;

static void put_shapes(const char *body)
{
    reply_expect(
        send_type(&server, "PUT", "/datasets/shapes", "application/json", body, strlen(body)), 201,
        NULL);
}

/* A daemon with BLIND_NET as "blind" and a dataset of shapes, 10 train and 6 test samples. */
static void start_blind(void)
{
    daemon_start(&server, NULL);
    served_add_more(&server, "blind", BLIND_NET, served_shapes, 0);
    put_shapes("{\"generator\":\"shapes\",\"train\":10,\"test\":6}");
}

static struct reply delete_path(const char *path)
{
    return client_send(&server, "DELETE", path, NULL, NULL, 0);
}

static struct reply get_text(const char *path)
{
    const char *headers[] = {"Accept: text/plain", NULL};
    return client_send(&server, "GET", path, headers, NULL, 0);
}

/* ---- GET /models ---- */

START_TEST(no_models_is_an_empty_list)
{
    daemon_start(&server, NULL);
    struct reply reply = client_get(&server, "/models");
    ck_assert_str_eq(reply.body, "{\"models\":[]}");
    reply_expect(reply, 200, NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(models_are_listed_with_their_versions)
{
    served_start(&server);
    served_add_more(&server, "pick", PICK_NET, served_abc, 2);
    served_add_more(&server, "blind", BLIND_NET, served_shapes, 0);
    struct reply reply = client_get(&server, "/models");
    char *blind = strstr(reply.body, "{\"models\":[{\"name\":\"blind\",\"version\":1,");
    char *pick = strstr(reply.body, "{\"name\":\"pick\",\"version\":2,\"active\":true");
    ck_assert(blind && pick && blind < pick);
    reply_expect(reply, 200, "\"versions\":[{\"name\":\"pick\",\"version\":2,\"active\":true",
                 "{\"name\":\"pick\",\"version\":1,\"active\":false", NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(model_says_what_it_is)
{
    served_start(&server);
    reply_expect(client_get(&server, "/models/pick"), 200, "{\"name\":\"pick\",\"version\":1,",
                 "\"active\":true", "\"input\":[1,2,2]", "\"labels\":[\"a\",\"b\",\"c\"]",
                 "\"parameters\":12", "\"macs\":12", "\"sha256\":\"", "\"created\":\"20",
                 "\"job\":null", "\"split\":\"test\"", "\"test_loss\":0.5",
                 "\"test_accuracy\":0.75", "\"dataset\":\"made-up\"", "\"dataset_version\":4",
                 "\"versions\":[{", NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(unknown_model_is_not_found_everywhere)
{
    served_start(&server);
    const char *body = "{\"dataset\":\"x\"}";
    expect_problem(client_get(&server, "/models/none"), 404, NULL, "no model 'none'");
    expect_problem(client_get(&server, "/models/none/summary"), 404, NULL, "no model 'none'");
    expect_problem(client_get(&server, "/models/none/onnx"), 404, NULL, "no model 'none'");
    expect_problem(client_get(&server, "/models/pick/versions/2/onnx"), 404, NULL,
                   "no version 2 of model 'pick'");
    expect_problem(client_get(&server, "/models/pick/versions/-1/onnx"), 404, NULL,
                   "no version '-1'");
    expect_problem(client_post(&server, "/models/none/evaluate", body), 404, NULL,
                   "no model 'none'");
    expect_problem(delete_path("/models/none"), 404, NULL, "no model 'none'");
    expect_problem(delete_path("/models/pick/versions/7"), 404, NULL,
                   "no version 7 of model 'pick'");
    expect_problem(delete_path("/models/pick/versions/0"), 404, NULL, "no version '0'");
    expect_problem(delete_path("/models/pick/versions/99999999999"), 404, NULL, "no version '999");
    daemon_stop(&server);
}
END_TEST

START_TEST(bad_model_name_is_refused_everywhere)
{
    served_start(&server);
    expect_problem(client_get(&server, "/models/-a"), 400, "model", "invalid name");
    expect_problem(client_get(&server, "/models/a..b/summary"), 400, "model", "invalid name");
    expect_problem(client_get(&server, "/models/a%20b/onnx"), 400, "model", "invalid name");
    expect_problem(client_post(&server, "/models/_/evaluate", "{}"), 400, "model", "invalid name");
    expect_problem(delete_path("/models/.x"), 400, "model", "invalid name");
    daemon_stop(&server);
}
END_TEST

START_TEST(onnx_file_is_sent_as_it_is)
{
    char hex[65], quoted[70], member[90];
    served_start(&server);
    for (int i = 0; i < 2; i++) {
        struct reply reply =
            client_get(&server, i ? "/models/pick/onnx" : "/models/pick/versions/1/onnx");
        ck_assert_int_eq(reply.status, 200);
        hash_sha256(reply.body, reply.size, hex);
        snprintf(quoted, sizeof quoted, "\"%s\"", hex);
        ck_assert_str_eq(reply_header(&reply, "ETag"), quoted);
        ck_assert_str_eq(reply_header(&reply, "Content-Type"), "application/octet-stream");
        ck_assert_str_eq(reply_header(&reply, "Content-Disposition"),
                         "attachment; filename=\"pick-1.onnx\"");
        reply_clear(&reply);
    }
    snprintf(member, sizeof member, "\"sha256\":\"%s\"", hex);
    reply_expect(client_get(&server, "/models/pick"), 200, member, NULL);
    daemon_stop(&server);
}
END_TEST

/* ---- deleting ---- */

START_TEST(deleting_the_active_version_falls_back_to_the_newest)
{
    char path[400];
    served_start(&server);
    served_add_more(&server, "pick", PICK_NET, served_abc, 2);
    reply_expect(delete_path("/models/pick/versions/2"), 204, NULL);
    reply_expect(client_post(&server, "/predict", "{\"inputs\":[1,2,3,4]}"), 200, "\"version\":1",
                 NULL);
    snprintf(path, sizeof path, "%s/models/pick/2.onnx", server.data_dir);
    ck_assert_int_ne(access(path, F_OK), 0);
    daemon_restart(&server, NULL);
    reply_expect(client_get(&server, "/models/pick"), 200, "\"version\":1,\"active\":true", NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(deleted_model_is_gone_for_good_and_its_version_too)
{
    char path[400];
    served_start(&server);
    reply_expect(delete_path("/models/pick"), 204, NULL);
    expect_problem(client_get(&server, "/models/pick"), 404, NULL, "");
    expect_problem(client_post(&server, "/predict", "{\"inputs\":[1,2,3,4]}"), 404, NULL, "");
    snprintf(path, sizeof path, "%s/models/pick/1.onnx", server.data_dir);
    ck_assert_int_ne(access(path, F_OK), 0);
    served_add_more(&server, "pick", PICK_NET, served_abc, 1);
    reply_expect(client_get(&server, "/models/pick"), 200, "\"version\":2", NULL);
    daemon_stop(&server);
}
END_TEST

/* ---- damage ---- */

static void damage(const char *file)
{
    char path[400];
    snprintf(path, sizeof path, "%s/models/%s", server.data_dir, file);
    FILE *stream = fopen(path, "r+");
    ck_assert_ptr_nonnull(stream);
    fseek(stream, -3, SEEK_END);
    int byte = fgetc(stream);
    fseek(stream, -3, SEEK_END);
    fputc(byte ^ 1, stream);
    fclose(stream);
}

START_TEST(damaged_file_is_left_out_and_the_rest_serves)
{
    served_start(&server);
    served_add_more(&server, "pick", PICK_NET, served_abc, 2);
    served_add_more(&server, "other", PICK_NET, served_abc, 1);
    daemon_terminate(&server);
    daemon_wait(&server);
    damage("pick/2.onnx");
    daemon_launch(&server, NULL);
    char *log = daemon_log(&server);
    ck_assert(strstr(log, "model_left_out") && strstr(log, "SHA-256"));
    free(log);
    const char *body = "{\"inputs\":[1,2,3,4]}";
    expect_problem(client_post(&server, "/models/pick/predict", body), 503, NULL,
                   "version 2 of model 'pick' is damaged");
    reply_expect(client_post(&server, "/models/pick/versions/1/predict", body), 200, NULL);
    reply_expect(client_post(&server, "/models/other/predict", body), 200, NULL);
    reply_expect(client_get(&server, "/models/pick"), 200,
                 "\"state\":\"damaged\",\"reason\":\"its SHA-256 is ", NULL);
    reply_expect(delete_path("/models/pick/versions/2"), 204, NULL);
    reply_expect(client_post(&server, "/models/pick/predict", body), 200, "\"version\":1", NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(missing_file_is_left_out)
{
    char path[400];
    served_start(&server);
    daemon_terminate(&server);
    daemon_wait(&server);
    snprintf(path, sizeof path, "%s/models/pick/1.onnx", server.data_dir);
    ck_assert_int_eq(unlink(path), 0);
    daemon_launch(&server, NULL);
    expect_problem(client_post(&server, "/predict", "{\"inputs\":[1,2,3,4]}"), 503, NULL,
                   "damaged");
    expect_problem(client_get(&server, "/models/pick/onnx"), 503, NULL, "damaged");
    reply_expect(delete_path("/models/pick"), 204, NULL);
    daemon_stop(&server);
}
END_TEST

/* ---- summaries ---- */

START_TEST(summary_of_a_model_is_json_or_text)
{
    served_start(&server);
    reply_expect(client_get(&server, "/models/pick/summary"), 200, "\"input\":[1,2,2]",
                 "\"output\":[3]", "\"type\":\"dense\"", "\"parameters\":12", "\"macs\":12", NULL);
    struct reply reply = get_text("/models/pick/summary");
    ck_assert_str_eq(reply_header(&reply, "Content-Type"), "text/plain; charset=utf-8");
    reply_expect(reply, 200, "pick, version 1", "[1,2,2]", "Total params: 12", NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(summary_of_a_net_that_does_not_exist_yet)
{
    daemon_start(&server, NULL);
    reply_expect(client_post(&server, "/summary", "{\"architecture\":\"lenet\"}"), 200,
                 "\"output\":[10]", "\"parameters\":44426", NULL);
    reply_expect(client_post(&server, "/summary",
                             "{\"architecture\":\"lenet\",\"input\":[1,32,32],\"classes\":4}"),
                 200, "\"input\":[1,32,32]", "\"output\":[4]", NULL);
    reply_expect(client_post(&server, "/summary",
                             "{\"architecture\":{\"input\":[3,20,20],\"layers\":[{\"type\":"
                             "\"conv2d\",\"filters\":5,\"kernel\":2}]}}"),
                 200, "\"output\":[5,19,19]", "\"parameters\":65", NULL);
    const char *headers[] = {"Accept: text/plain", NULL};
    const char *body = "{\"architecture\":\"mnist-cnn\"}";
    reply_expect(client_send(&server, "POST", "/summary", headers, body, strlen(body)), 200,
                 "Total params: 93,322", NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(summary_needs_no_memory_for_parameters)
{
    daemon_start(&server, NULL);
    reply_expect(client_post(&server, "/summary", "{\"architecture\":\"vgg16\"}"), 200,
                 "\"parameters\":138357544", NULL);
    char path[64], line[256];
    long peak_kb = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)server.pid);
    FILE *status = fopen(path, "r");
    while (fgets(line, sizeof line, status))
        sscanf(line, "VmHWM: %ld", &peak_kb);
    fclose(status);
    ck_assert_int_gt(peak_kb, 0);
    ck_assert_int_lt(peak_kb, 400 * 1024); /* the parameters alone are 540 MB */
    daemon_stop(&server);
}
END_TEST

START_TEST(bad_architectures_are_refused_by_layer_and_field)
{
    daemon_start(&server, NULL);
    expect_problem(client_post(&server, "/summary", "{}"), 400, "architecture", "missing");
    expect_problem(client_post(&server, "/summary", ""), 400, NULL, "");
    expect_problem(client_post(&server, "/summary", "{\"architecture\":\"none\"}"), 400,
                   "architecture", "none");
    expect_problem(client_post(&server, "/summary", "{\"architecture\":\"lenet\",\"x\":1}"), 400,
                   "x", "unknown field");
    expect_problem(client_post(&server, "/summary",
                               "{\"architecture\":{\"input\":[1,5,5],\"layers\":[{\"type\":"
                               "\"conv2d\",\"filters\":5,\"kernel\":7}]}}"),
                   400, "architecture.layers[0].kernel", "kernel 7 exceeds padded input 5");
    expect_problem(client_post(&server, "/summary", "{\"architecture\":\"lenet\",\"classes\":0}"),
                   400, "classes", "0");
    daemon_stop(&server);
}
END_TEST

START_TEST(bad_inputs_of_a_summary_are_refused)
{
    static const char *const inputs[] = {
        "[1,28,28.5]", "[0,28,28]",       "[-1,28,28]", "[[1,28,28]]", "[1,2,3,4,5]",      "[]",
        "[1,1e30,28]", "[1048577,28,28]", "\"28x28\"",  "null",        "[1048576,1048576]"};
    char body[128];
    daemon_start(&server, NULL);
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        snprintf(body, sizeof body, "{\"architecture\":\"lenet\",\"input\":%s}", inputs[i]);
        struct reply reply = client_post(&server, "/summary", body);
        ck_assert_msg(reply.status == 400, "input %s: status %d", inputs[i], reply.status);
        ck_assert_msg(strstr(reply.body, "input"), "%s", reply.body);
        reply_clear(&reply);
    }
    daemon_stop(&server);
}
END_TEST

START_TEST(architectures_lists_every_preset_with_its_size)
{
    daemon_start(&server, NULL);
    reply_expect(client_get(&server, "/architectures"), 200, "{\"architectures\":[",
                 "\"name\":\"shapes-mlp\"", "\"parameters\":15742", "\"name\":\"shapes-tiny\"",
                 "\"parameters\":40", "\"parameters\":1538", "\"parameters\":132",
                 "\"name\":\"mnist-cnn\"", "\"parameters\":93322", "\"parameters\":101146",
                 "\"parameters\":44426", "\"parameters\":61100840", "\"parameters\":138357544",
                 "\"description\":\"", "\"classes\":1000", "\"input\":[3,224,224]", "\"summary\":{",
                 NULL);
    daemon_stop(&server);
}
END_TEST

/* ---- evaluate ---- */

START_TEST(evaluation_of_a_blind_net_is_exact)
{
    start_blind();
    reply_expect(client_post(&server, "/models/blind/evaluate", "{\"dataset\":\"shapes\"}"), 200,
                 "\"model\":\"blind\"", "\"version\":1", "\"dataset\":\"shapes\"",
                 "\"dataset_version\":1", "\"split\":\"test\"", "\"loss\":0.69314",
                 "\"labels\":[\"square\",\"circle\"]", "\"matrix\":[[3,0],[3,0]]", "\"total\":6",
                 "\"accuracy\":0.5", "\"per_class\":[{\"label\":\"square\",\"precision\":0.5",
                 "\"failures\":3", NULL);
    reply_expect(client_post(&server, "/models/blind/evaluate",
                             "{\"dataset\":\"shapes:1\",\"split\":\"train\"}"),
                 200, "\"split\":\"train\"", "\"matrix\":[[5,0],[5,0]]", "\"total\":10", NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(evaluation_requests_are_checked)
{
    static const struct {
        const char *body;
        int status;
        const char *field, *detail;
    } cases[] = {
        {"", 400, NULL, ""},
        {"[]", 400, NULL, ""},
        {"{\"dataset\":", 400, NULL, ""},
        {"{}", 400, "dataset", "missing 'dataset'"},
        {"{\"dataset\":7}", 400, "dataset", "7"},
        {"{\"dataset\":\"..\"}", 400, "dataset", "invalid name"},
        {"{\"dataset\":\"shapes:0\"}", 400, "dataset", "'0'"},
        {"{\"dataset\":\"shapes:1x\"}", 400, "dataset", "'1x'"},
        {"{\"dataset\":\"shapes:\"}", 400, "dataset", "version"},
        {"{\"dataset\":\"none\"}", 404, "dataset", "no dataset 'none'"},
        {"{\"dataset\":\"shapes:2\"}", 404, "dataset", "no version 2 of dataset 'shapes'"},
        {"{\"dataset\":\"shapes\",\"split\":\"all\"}", 400, "split", "all"},
        {"{\"dataset\":\"shapes\",\"splits\":\"test\"}", 400, "splits", "unknown field"},
    };
    start_blind();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_problem(client_post(&server, "/models/blind/evaluate", cases[i].body),
                       cases[i].status, cases[i].field, cases[i].detail);
    daemon_stop(&server);
}
END_TEST

START_TEST(dataset_that_does_not_fit_the_model_is_refused)
{
    static const char *const five[] = {"0", "1", "2", "3", "4"};
    const char *body = "{\"dataset\":\"shapes\"}";
    start_blind();
    served_add_more(&server, "pick", PICK_NET, served_abc, 1);
    expect_problem(client_post(&server, "/models/pick/evaluate", body), 422, "dataset",
                   "samples are [1,28,28], model 'pick' takes [1,2,2]");
    served_add_more(
        &server, "wide",
        "{\"input\":[1,28,28],\"layers\":[{\"type\":\"global_avg_pool\"},{\"type\":\"flatten\"},"
        "{\"type\":\"dense\",\"units\":1,\"bias\":false},"
        "{\"type\":\"dense\",\"units\":5,\"bias\":false}]}",
        five, 1);
    expect_problem(client_post(&server, "/models/wide/evaluate", body), 422, "dataset",
                   "dataset has 2 classes, model 'wide' 5");
    put_shapes("{\"generator\":\"shapes\",\"train\":10,\"test\":0}");
    expect_problem(client_post(&server, "/models/blind/evaluate", body), 422, "split",
                   "dataset 'shapes' has no test samples");
    daemon_stop(&server);
}
END_TEST

TEST_PROGRAM("server models", no_models_is_an_empty_list, models_are_listed_with_their_versions,
             model_says_what_it_is, unknown_model_is_not_found_everywhere,
             bad_model_name_is_refused_everywhere, onnx_file_is_sent_as_it_is,
             deleting_the_active_version_falls_back_to_the_newest,
             deleted_model_is_gone_for_good_and_its_version_too,
             damaged_file_is_left_out_and_the_rest_serves, missing_file_is_left_out,
             summary_of_a_model_is_json_or_text, summary_of_a_net_that_does_not_exist_yet,
             summary_needs_no_memory_for_parameters,
             bad_architectures_are_refused_by_layer_and_field, bad_inputs_of_a_summary_are_refused,
             architectures_lists_every_preset_with_its_size, evaluation_of_a_blind_net_is_exact,
             evaluation_requests_are_checked, dataset_that_does_not_fit_the_model_is_refused)
