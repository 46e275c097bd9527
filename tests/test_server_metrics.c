/* GET /metrics: what is asked is what is counted, in a form that Prometheus reads. */
#include <stdlib.h>
#include <unistd.h>

#include "job_client.h"
#include "metrics_text.h"
#include "served.h"

static struct daemon server;

static char *scrape(void)
{
    struct reply reply = client_get(&server, "/metrics");
    ck_assert_msg(reply.status == 200, "%d %s", reply.status, reply.body);
    ck_assert_str_eq(reply_header(&reply, "Content-Type"), METRICS_CONTENT_TYPE);
    char *text = strdup(reply.body);
    reply_clear(&reply);
    return text;
}

/* The value of the sample that a line begins with; -1: there is none. */
static double sample_in(const char *text, const char *sample)
{
    const size_t size = strlen(sample);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, sample, size) == 0 && line[size] == ' ')
            return atof(line + size + 1);
    }
    return -1;
}

static double sample(const char *name)
{
    char *text = scrape();
    const double value = sample_in(text, name);
    free(text);
    return value;
}

START_TEST(text_is_escaped_and_buckets_add_up)
{
    struct buf out = {.data = NULL};
    const char *const labels[] = {"a", "x\"y\\z\n", "b", "", NULL};
    metrics_family(&out, "f", "gauge", "Help.");
    metrics_sample(&out, "f", labels, 0.5);
    metrics_sample(&out, "f", NULL, 1e300 * 1e300);
    metrics_histogram(&out, "h", (const char *const[]){"m", "n", NULL}, (const double[]){.001, 1},
                      (const uint64_t[]){2, 3, 4}, 2, 1.25);
    ck_assert_str_eq(buf_text(&out), "# HELP f Help.\n# TYPE f gauge\n"
                                     "f{a=\"x\\\"y\\\\z\\n\",b=\"\"} 0.5\nf +Inf\n"
                                     "h_bucket{m=\"n\",le=\"0.001\"} 2\n"
                                     "h_bucket{m=\"n\",le=\"1\"} 5\n"
                                     "h_bucket{m=\"n\",le=\"+Inf\"} 9\n"
                                     "h_sum{m=\"n\"} 1.25\nh_count{m=\"n\"} 9\n");
    buf_clear(&out);
}
END_TEST

#define REQUESTS(method, route, status) \
    "strided_http_requests_total{method=\"" method "\",route=\"" route "\",status=\"" status "\"}"

START_TEST(requests_count_by_route_and_status)
{
    served_start(&server);
    for (int i = 0; i < 3; i++)
        reply_expect(client_get(&server, "/models/pick"), 200, NULL);
    for (int i = 0; i < 2; i++)
        expect_problem(client_get(&server, "/models/none"), 404, NULL, "no model");
    expect_problem(client_get(&server, "/somewhere/\"quoted\""), 404, NULL, "no route");
    char *text = scrape();
    ck_assert_double_eq(sample_in(text, REQUESTS("GET", "/models/{model}", "200")), 3);
    ck_assert_double_eq(sample_in(text, REQUESTS("GET", "/models/{model}", "404")), 2);
    ck_assert_double_eq(sample_in(text, REQUESTS("", "", "404")), 1);
    ck_assert_double_eq(sample_in(text, "strided_http_request_duration_seconds_count{"
                                        "method=\"GET\",route=\"/models/{model}\"}"),
                        5);
    ck_assert_ptr_null(strstr(text, "somewhere")); /* nothing a client writes becomes a label */
    free(text);
    daemon_stop(&server);
}
END_TEST

START_TEST(predictions_count_by_model_whatever_the_protocol)
{
    static const char *const parts[] = {"duration", "decode", "queue", "compute", "encode"};
    served_start(&server);
    for (int i = 0; i < 4; i++)
        reply_expect(client_post(&server, "/predict", "{\"inputs\":[[1,2,3,9],[1,2,3,9]]}"), 200,
                     NULL);
    reply_expect(client_post(&server, "/v2/models/pick/infer",
                             "{\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\","
                             "\"shape\":[1,4],\"data\":[1,2,3,9]}]}"),
                 200, NULL);
    expect_problem(client_post(&server, "/predict", "{\"inputs\":[1]}"), 400, "inputs", "expected");
    char *text = scrape();
    ck_assert_double_eq(
        sample_in(text, "strided_predict_requests_total{model=\"pick\",outcome=\"ok\"}"), 5);
    ck_assert_double_eq(
        sample_in(text, "strided_predict_requests_total{model=\"pick\",outcome=\"error\"}"), 1);
    ck_assert_double_eq(sample_in(text, "strided_predict_samples_total{model=\"pick\"}"), 9);
    ck_assert_double_eq(sample_in(text, "strided_predict_batch_samples_sum{model=\"pick\"}"), 9);
    ck_assert_double_eq(
        sample_in(text, "strided_predict_batch_samples_bucket{model=\"pick\",le=\"1\"}"), 1);
    for (int i = 0; i < 5; i++) {
        char name[128];
        snprintf(name, sizeof name, "strided_predict_%s_seconds_count{model=\"pick\"}", parts[i]);
        ck_assert_double_eq(sample_in(text, name), i == 0 ? 6 : 5);
        snprintf(name, sizeof name, "strided_predict_%s_seconds_bucket{model=\"pick\",le=\"+Inf\"}",
                 parts[i]);
        ck_assert_double_eq(sample_in(text, name), i == 0 ? 6 : 5);
    }
    ck_assert_double_eq(sample_in(text, "strided_predict_queue_requests{model=\"pick\"}"), 0);
    free(text);
    daemon_stop(&server);
}
END_TEST

START_TEST(jobs_and_storage_are_told)
{
    char id[24];
    daemon_start(&server, NULL);
    make_shapes(&server, 60, 20);
    cJSON_Delete(run_job(&server, "{\"model\":\"m\",\"dataset\":\"shapes\",\"architecture\":"
                                  "\"shapes-tiny\",\"epochs\":3}"));
    post_job(&server,
             "{\"model\":\"m\",\"dataset\":\"shapes\",\"architecture\":\"shapes-tiny\","
             "\"epochs\":100000}",
             id);
    while (sample("strided_job_epoch{job=\"2\"}") < 2)
        job_pause();
    char *text = scrape();
    ck_assert_double_eq(sample_in(text, "strided_jobs{state=\"succeeded\"}"), 1);
    ck_assert_double_eq(sample_in(text, "strided_jobs{state=\"running\"}"), 1);
    ck_assert_double_eq(sample_in(text, "strided_jobs_succeeded_total"), 1);
    ck_assert_double_eq(sample_in(text, "strided_job_starts_total"), 2);
    ck_assert_double_ge(sample_in(text, "strided_train_epochs_total"), 4);
    ck_assert_double_gt(sample_in(text, "strided_job_loss{job=\"2\"}"), 0);
    ck_assert_double_gt(sample_in(text, "strided_storage_bytes{kind=\"datasets\"}"), 60 * 784);
    ck_assert_double_gt(sample_in(text, "strided_storage_used_bytes"), 60 * 784);
    ck_assert_double_eq(sample_in(text, "strided_models"), 1);
    ck_assert_double_eq(sample_in(text, "strided_dataset_versions"), 1);
    free(text);
    struct reply reply = client_post(&server, "/jobs/2/cancel", "");
    ck_assert_int_eq(reply.status, 202);
    reply_clear(&reply);
    cJSON_Delete(wait_job(&server, "2"));
    ck_assert_double_eq(sample("strided_jobs_cancelled_total"), 1);
    ck_assert_double_eq(sample("strided_job_epoch{job=\"2\"}"), -1);
    daemon_stop(&server);
}
END_TEST

START_TEST(process_figures_are_this_process)
{
    daemon_start(&server, NULL);
    char *text = scrape();
    ck_assert_double_gt(sample_in(text, "process_resident_memory_bytes"), 1 << 20);
    ck_assert_double_gt(sample_in(text, "process_open_fds"), 5);
    ck_assert_double_lt(sample_in(text, "process_open_fds"), 200);
    ck_assert_double_ge(sample_in(text, "process_cpu_seconds_total"), 0);
    const double start = sample_in(text, "process_start_time_seconds");
    ck_assert_double_gt(start, (double)time(NULL) - 600);
    ck_assert_double_le(start, (double)time(NULL) + 2);
    ck_assert_double_ge(sample_in(text, "strided_http_connections"), 1);
    ck_assert_ptr_nonnull(strstr(text, "strided_build_info{version=\""));
    free(text);
    daemon_stop(&server);
}
END_TEST

/* Each family once, its HELP and TYPE before its samples; names and values as the format has them.
 */
START_TEST(every_line_is_of_the_format)
{
    served_start(&server);
    reply_expect(client_post(&server, "/predict", "{\"inputs\":[1,2,3,9]}"), 200, NULL);
    char *text = scrape(), *rest = text, *line, family[128] = "", seen[16384] = " ";
    while ((line = strsep(&rest, "\n")) && rest) {
        char name[128], type[32], key[132];
        if (sscanf(line, "# TYPE %127s %31s", name, type) == 2) {
            ck_assert_str_eq(name, family);
            ck_assert(strstr("counter gauge histogram", type) != NULL);
            ck_assert_msg(strcmp(type, "counter") != 0 || strstr(name, "_total"), "%s", name);
        } else if (sscanf(line, "# HELP %127s", name) == 1) {
            snprintf(family, sizeof family, "%s", name);
            snprintf(key, sizeof key, " %s ", name);
            ck_assert_msg(strstr(seen, key) == NULL, "%s twice", name);
            ck_assert_uint_lt(strlen(seen) + strlen(name) + 2, sizeof seen);
            strcat(strcat(seen, name), " ");
        } else {
            char *end;
            ck_assert_msg(strncmp(line, family, strlen(family)) == 0, "%s in %s", line, family);
            ck_assert_msg(strncmp(line, "strided_", 8) == 0 || strncmp(line, "process_", 8) == 0,
                          "%s", line);
            const char *value = strrchr(line, ' ');
            ck_assert_ptr_nonnull(value);
            strtod(value + 1, &end);
            ck_assert_msg(*end == '\0', "no number: %s", line);
        }
    }
    free(text);
    daemon_stop(&server);
}
END_TEST

/* Prometheus' own opinion, where its tool is installed. */
START_TEST(promtool_finds_nothing_to_say)
{
    char command[600], said[4096] = "";
    if (access("/usr/bin/promtool", X_OK) != 0) {
        printf("skipped: no promtool (Debian: prometheus)\n");
        fflush(stdout);
        return;
    }
    served_start(&server);
    reply_expect(client_post(&server, "/predict", "{\"inputs\":[1,2,3,9]}"), 200, NULL);
    char *text = scrape();
    snprintf(command, sizeof command, "%s/metrics", server.folder);
    FILE *file = fopen(command, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    free(text);
    snprintf(command, sizeof command, "/usr/bin/promtool check metrics <%s/metrics 2>&1",
             server.folder);
    FILE *tool = popen(command, "r");
    ck_assert_ptr_nonnull(tool);
    const size_t size = fread(said, 1, sizeof said - 1, tool);
    const int status = pclose(tool);
    ck_assert_msg(status == 0 && size == 0, "%s", said);
    daemon_stop(&server);
}
END_TEST

TEST_PROGRAM("server metrics", text_is_escaped_and_buckets_add_up,
             requests_count_by_route_and_status, predictions_count_by_model_whatever_the_protocol,
             jobs_and_storage_are_told, process_figures_are_this_process,
             every_line_is_of_the_format, promtool_finds_nothing_to_say)
