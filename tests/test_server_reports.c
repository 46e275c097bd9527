/* What a training job reports: loss curve, confusion matrix, failures. */
#include <math.h>
#include <stdlib.h>

#include "harness.h"
#include "job_client.h"

/* One thread is quickest for so little, above all under valgrind. */
static const char *const one_thread[] = {"--threads", "1", NULL};

enum { TRAIN = 200, TEST = 50, EPOCHS = 2 };

/* Two epochs of a slow rate leave some of the test samples misclassified. */
#define JOB                                                                                      \
    "{\"model\":\"m\",\"dataset\":\"shapes\",\"architecture\":\"shapes-cnn\",\"batch_size\":10," \
    "\"epochs\":2,\"seed\":1,\"optimizer\":{\"type\":\"adam\",\"lr\":0.001}}"

static struct daemon make_job(void)
{
    struct daemon daemon;
    daemon_start(&daemon, one_thread);
    make_shapes(&daemon, TRAIN, TEST);
    cJSON_Delete(run_job(&daemon, JOB));
    return daemon;
}

static struct reply get_as(const struct daemon *daemon, const char *path, const char *accept)
{
    char header[64];
    snprintf(header, sizeof header, "Accept: %s", accept);
    struct reply reply =
        client_send(daemon, "GET", path, (const char *const[]){header, NULL}, NULL, 0);
    ck_assert_msg(reply.status == 200, "GET %s: %d %s", path, reply.status, reply.body);
    ck_assert_ptr_nonnull(strstr(reply_header(&reply, "Content-Type"), accept));
    return reply;
}

/* expected: what the problem says would have been right. */
static void expect_field(const struct daemon *daemon, const char *path, const char *field,
                         const char *expected)
{
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"field\":\"%s\"", field);
    struct reply reply = client_get(daemon, path);
    ck_assert_msg(strstr(reply.body, wanted) != NULL, "%s: %s", path, reply.body);
    reply_expect_problem(&reply, 400, expected);
}

static double cell(const cJSON *matrix, int row, int column)
{
    const cJSON *value = cJSON_GetArrayItem(cJSON_GetArrayItem(matrix, row), column);
    ck_assert(cJSON_IsNumber(value));
    return value->valuedouble;
}

/* ---- loss ---- */

START_TEST(loss_lists_epochs_and_fixed_points_between)
{
    struct daemon daemon = make_job();
    cJSON *loss = get_json(&daemon, "/jobs/1/loss", "");
    const cJSON *epochs = member(loss, "epochs"), *batches = member(loss, "batches");
    ck_assert_int_eq(cJSON_GetArraySize(epochs), EPOCHS);
    for (int i = 0; i < EPOCHS; i++) {
        const cJSON *epoch = cJSON_GetArrayItem(epochs, i);
        ck_assert_int_eq((int)number(epoch, "epoch"), i + 1);
        ck_assert_double_gt(number(epoch, "loss"), 0);
        ck_assert_double_gt(number(epoch, "val_loss"), 0);
        ck_assert_double_ge(number(epoch, "seconds"), 0);
    }
    /* 20 batches an epoch: every one is a point. */
    ck_assert_int_eq(cJSON_GetArraySize(batches), EPOCHS * TRAIN / 10);
    double sum = 0;
    for (int i = 0; i < TRAIN / 10; i++) {
        const cJSON *point = cJSON_GetArrayItem(batches, i);
        ck_assert_int_eq((int)number(point, "epoch"), 1);
        ck_assert_int_eq((int)number(point, "batch"), i + 1);
        sum += number(point, "loss");
    }
    /* The epoch's loss is the mean of its equal batches. */
    ck_assert_double_eq_tol(sum / (TRAIN / 10), number(cJSON_GetArrayItem(epochs, 0), "loss"),
                            1e-9);
    cJSON_Delete(loss);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(loss_since_an_epoch_leaves_out_the_ones_before)
{
    struct daemon daemon = make_job();
    cJSON *loss = get_json(&daemon, "/jobs/1/loss?since_epoch=1", "");
    const cJSON *item;
    ck_assert_int_eq(cJSON_GetArraySize(member(loss, "epochs")), 1);
    ck_assert_int_eq(cJSON_GetArraySize(member(loss, "batches")), TRAIN / 10);
    cJSON_ArrayForEach(item, member(loss, "batches"))
    {
        ck_assert_int_eq((int)number(item, "epoch"), 2);
    }
    cJSON_Delete(loss);
    expect_field(&daemon, "/jobs/1/loss?since_epoch=x", "since_epoch", "");
    expect_field(&daemon, "/jobs/1/loss?since_epoch=-1", "since_epoch", "");
    expect_field(&daemon, "/jobs/1/loss?format=xml", "format",
                 "expected one of json, csv, got 'xml'");
    daemon_stop(&daemon);
}
END_TEST

START_TEST(loss_as_csv_has_a_line_an_epoch)
{
    struct daemon daemon = make_job();
    struct reply by_header = get_as(&daemon, "/jobs/1/loss", "text/csv");
    struct reply by_query = client_get(&daemon, "/jobs/1/loss?format=csv");
    ck_assert_str_eq(by_header.body, by_query.body);
    ck_assert_ptr_eq(strstr(by_header.body, "epoch,loss,accuracy,val_loss,val_accuracy,seconds"),
                     by_header.body);
    int lines = 0;
    for (const char *at = by_header.body; (at = strchr(at, '\n')); at++)
        lines++;
    ck_assert_int_eq(lines, 1 + EPOCHS);
    reply_clear(&by_header);
    reply_clear(&by_query);
    daemon_stop(&daemon);
}
END_TEST

/* Runs until it is stopped, 20 batches an epoch. */
#define ENDLESS                                                                                  \
    "{\"model\":\"m\",\"dataset\":\"shapes\",\"architecture\":\"shapes-cnn\",\"batch_size\":10," \
    "\"epochs\":100000}"

static struct daemon make_endless(char id[24])
{
    struct daemon daemon;
    daemon_start(&daemon, one_thread);
    make_shapes(&daemon, TRAIN, TEST);
    post_job(&daemon, ENDLESS, id);
    wait_running(&daemon, id);
    return daemon;
}

START_TEST(loss_holds_points_of_the_epoch_in_progress)
{
    char id[24];
    struct daemon daemon = make_endless(id);
    /* Sooner or later a look falls into the middle of an epoch. */
    for (bool seen = false; !seen;) {
        cJSON *loss = get_json(&daemon, "/jobs/%s/loss", id);
        const cJSON *batches = member(loss, "batches"), *point, *before = NULL;
        int epochs = cJSON_GetArraySize(member(loss, "epochs"));
        cJSON_ArrayForEach(point, batches)
        {
            /* In order, and none twice. */
            if (before)
                ck_assert_double_gt(number(point, "epoch") * 1000 + number(point, "batch"),
                                    number(before, "epoch") * 1000 + number(before, "batch"));
            before = point;
        }
        seen = before && number(before, "epoch") > epochs;
        cJSON_Delete(loss);
    }
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_running_job_shows_how_far_it_is)
{
    char id[24];
    struct daemon daemon = make_endless(id);
    for (bool seen = false; !seen;) {
        cJSON *job = get_json(&daemon, "/jobs/%s", id);
        ck_assert_str_eq(text(job, "state"), "running");
        ck_assert_int_ge((int)number(job, "epoch"), 1);
        ck_assert_int_eq((int)number(job, "batches"), TRAIN / 10);
        /* Within the first millisecond there is no speed yet. */
        seen = number(job, "batch") > 0 && cJSON_IsNumber(member(job, "samples_per_second"));
        if (seen) {
            ck_assert_double_gt(number(job, "loss"), 0);
            ck_assert_double_gt(number(job, "samples_per_second"), 0);
            ck_assert_double_gt(number(job, "eta_seconds"), 0);
        }
        cJSON_Delete(job);
    }
    daemon_stop(&daemon);
}
END_TEST

/* ---- confusion ---- */

START_TEST(confusion_counts_every_test_sample_once)
{
    struct daemon daemon = make_job();
    cJSON *report = get_json(&daemon, "/jobs/1/confusion", "");
    cJSON *job = get_json(&daemon, "/jobs/1", "");
    const cJSON *matrix = member(report, "matrix");
    ck_assert_str_eq(text(report, "split"), "test");
    ck_assert_str_eq(cJSON_GetArrayItem(member(report, "labels"), 0)->valuestring, "square");
    ck_assert_int_eq((int)number(report, "total"), TEST);
    ck_assert_double_eq(cell(matrix, 0, 0) + cell(matrix, 0, 1), TEST / 2);
    ck_assert_double_eq(cell(matrix, 1, 0) + cell(matrix, 1, 1), TEST / 2);
    double right = cell(matrix, 0, 0) + cell(matrix, 1, 1);
    ck_assert_double_eq_tol(number(report, "accuracy"), right / TEST, 1e-12);
    ck_assert_double_eq_tol(number(job, "test_accuracy"), right / TEST, 1e-12);
    const cJSON *circle = cJSON_GetArrayItem(member(report, "per_class"), 1);
    ck_assert_double_eq_tol(number(circle, "recall"), cell(matrix, 1, 1) / (TEST / 2), 1e-12);
    ck_assert_int_eq((int)number(circle, "support"), TEST / 2);
    cJSON_Delete(job);
    cJSON_Delete(report);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(confusion_normalized_by_rows_columns_or_all_sums_to_one)
{
    struct daemon daemon = make_job();
    cJSON *rows = get_json(&daemon, "/jobs/1/confusion?normalize=true", "");
    cJSON *all = get_json(&daemon, "/jobs/1/confusion?normalize=all", "");
    cJSON *columns = get_json(&daemon, "/jobs/1/confusion?normalize=pred", "");
    const cJSON *r = member(rows, "matrix"), *a = member(all, "matrix"),
                *c = member(columns, "matrix");
    ck_assert_double_eq_tol(cell(r, 0, 0) + cell(r, 0, 1), 1, 1e-9);
    ck_assert_double_eq_tol(cell(r, 1, 0) + cell(r, 1, 1), 1, 1e-9);
    ck_assert_double_eq_tol(cell(a, 0, 0) + cell(a, 0, 1) + cell(a, 1, 0) + cell(a, 1, 1), 1, 1e-9);
    /* A class that was never predicted has a column of zeros. */
    double column = cell(c, 0, 0) + cell(c, 1, 0);
    ck_assert(column == 0 || fabs(column - 1) < 1e-9);
    ck_assert_int_eq((int)number(rows, "total"), TEST);
    cJSON_Delete(rows);
    cJSON_Delete(all);
    cJSON_Delete(columns);
    expect_field(&daemon, "/jobs/1/confusion?normalize=yes", "normalize",
                 "expected true, false, pred or all");
    daemon_stop(&daemon);
}
END_TEST

START_TEST(confusion_of_an_epoch_is_that_epochs)
{
    struct daemon daemon = make_job();
    cJSON *loss = get_json(&daemon, "/jobs/1/loss", "");
    for (int epoch = 1; epoch <= EPOCHS; epoch++) {
        char path[64];
        snprintf(path, sizeof path, "/jobs/1/confusion?epoch=%d", epoch);
        cJSON *report = get_json(&daemon, path, "");
        const cJSON *figures = cJSON_GetArrayItem(member(loss, "epochs"), epoch - 1);
        ck_assert_int_eq((int)number(report, "epoch"), epoch);
        ck_assert_int_eq((int)number(report, "total"), TEST);
        ck_assert_double_eq_tol(number(report, "accuracy"), number(figures, "val_accuracy"), 1e-12);
        cJSON_Delete(report);
    }
    cJSON_Delete(loss);
    struct reply reply = client_get(&daemon, "/jobs/1/confusion?epoch=3");
    reply_expect_problem(&reply, 404, "epoch 3");
    expect_field(&daemon, "/jobs/1/confusion?epoch=0", "epoch", "");
    expect_field(&daemon, "/jobs/1/confusion?epoch=1e9", "epoch", "");
    daemon_stop(&daemon);
}
END_TEST

START_TEST(confusion_comes_as_csv_and_as_a_picture)
{
    struct daemon daemon = make_job();
    struct reply reply = get_as(&daemon, "/jobs/1/confusion", "text/csv");
    ck_assert_ptr_eq(strstr(reply.body, ",square,circle"), reply.body);
    int a, b, c, d;
    ck_assert_int_eq(sscanf(strchr(reply.body, '\n'), " square,%d,%d circle,%d,%d", &a, &b, &c, &d),
                     4);
    ck_assert_int_eq(a + b + c + d, TEST);
    reply_clear(&reply);
    reply = get_as(&daemon, "/jobs/1/confusion", "image/svg+xml");
    ck_assert_ptr_nonnull(strstr(reply.body, "<svg"));
    ck_assert_ptr_nonnull(strstr(reply.body, "circle"));
    reply_clear(&reply);
    reply = client_get(&daemon, "/jobs/1/confusion?format=svg");
    ck_assert_str_eq(reply_header(&reply, "Content-Type"), "image/svg+xml");
    reply_clear(&reply);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(reports_that_are_not_there_yet_are_not_found)
{
    char running[24], queued[24];
    struct daemon daemon = make_endless(running);
    post_job(&daemon, ENDLESS, queued);
    struct reply reply = client_get(&daemon, "/jobs/2/confusion");
    reply_expect_problem(&reply, 404, "no confusion matrix");
    reply = client_get(&daemon, "/jobs/2/confusion/samples?actual=0&predicted=0");
    reply_expect_problem(&reply, 404, "no confusion matrix");
    reply = client_get(&daemon, "/jobs/2/failures");
    reply_expect_problem(&reply, 404, "no failures");
    reply = client_get(&daemon, "/jobs/1/failures");
    reply_expect_problem(&reply, 404, "no failures");
    cJSON *loss = get_json(&daemon, "/jobs/2/loss", "");
    ck_assert_int_eq(cJSON_GetArraySize(member(loss, "epochs")), 0);
    ck_assert_int_eq(cJSON_GetArraySize(member(loss, "batches")), 0);
    cJSON_Delete(loss);
    daemon_stop(&daemon);
}
END_TEST

/* ---- the samples behind the cells ---- */

/* How many samples a cell has at this path; each is checked. `seen` marks them, the first is
 * `first`. */
static int list_cell(const struct daemon *daemon, const char *path, const char *actual,
                     bool seen[TEST], int *first)
{
    cJSON *cell = get_json(daemon, path, "");
    const cJSON *sample;
    *first = -1;
    ck_assert_str_eq(text(cell, "actual"), actual);
    ck_assert_str_eq(text(cell, "split"), "test");
    cJSON_ArrayForEach(sample, member(cell, "samples"))
    {
        char link[64];
        int number_in_split = (int)number(sample, "sample");
        ck_assert_int_lt(number_in_split, TEST);
        ck_assert(!seen[number_in_split]);
        seen[number_in_split] = true;
        *first = *first < 0 ? number_in_split : *first;
        /* Classes alternate, so a sample's number tells what it is. */
        ck_assert_str_eq(actual, number_in_split % 2 ? "circle" : "square");
        snprintf(link, sizeof link, "/datasets/shapes/samples/test/%d?version=1", number_in_split);
        ck_assert_str_eq(text(sample, "link"), link);
    }
    int count = cJSON_GetArraySize(member(cell, "samples"));
    ck_assert_int_eq((int)number(cell, "total"), count);
    cJSON_Delete(cell);
    return count;
}

/* Every cell of the matrix with this query has as many samples as it counts; together they are
 * the whole split. */
static void expect_cells(const struct daemon *daemon, const char *epoch)
{
    static const char *const labels[] = {"square", "circle"};
    bool seen[TEST] = {false};
    char path[128];
    int all = 0, first;
    snprintf(path, sizeof path, "/jobs/1/confusion?%s", epoch);
    cJSON *report = get_json(daemon, path, "");
    for (int actual = 0; actual < 2; actual++)
        for (int predicted = 0; predicted < 2; predicted++) {
            snprintf(path, sizeof path, "/jobs/1/confusion/samples?actual=%s&predicted=%d&%s",
                     labels[actual], predicted, epoch);
            int count = list_cell(daemon, path, labels[actual], seen, &first);
            ck_assert_int_eq(count, (int)cell(member(report, "matrix"), actual, predicted));
            all += count;
        }
    ck_assert_int_eq(all, TEST);
    cJSON_Delete(report);
}

START_TEST(every_cell_tells_its_samples)
{
    struct daemon daemon = make_job();
    expect_cells(&daemon, "");
    expect_cells(&daemon, "epoch=1");
    expect_cells(&daemon, "epoch=2");
    /* Also later. */
    daemon_restart(&daemon, one_thread);
    expect_cells(&daemon, "");
    expect_cells(&daemon, "epoch=1");
    daemon_stop(&daemon);
}
END_TEST

START_TEST(wrong_samples_of_a_cell_are_its_failures)
{
    struct daemon daemon = make_job();
    bool seen[TEST] = {false};
    int first;
    int count = list_cell(&daemon, "/jobs/1/confusion/samples?actual=square&predicted=circle",
                          "square", seen, &first);
    cJSON *report = get_json(&daemon, "/jobs/1/failures?actual=square", "");
    const cJSON *failure, *failures = member(report, "failures");
    ck_assert_int_gt(count, 0);
    ck_assert_int_eq(count, cJSON_GetArraySize(failures));
    ck_assert_int_eq(first, (int)number(cJSON_GetArrayItem(failures, 0), "sample"));
    cJSON_ArrayForEach(failure, failures) ck_assert(seen[(int)number(failure, "sample")]);
    cJSON_Delete(report);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(samples_of_a_cell_come_in_pages)
{
    struct daemon daemon = make_job();
    cJSON *whole = get_json(&daemon, "/jobs/1/confusion/samples?actual=1&predicted=1", "");
    const cJSON *all = member(whole, "samples");
    int count = cJSON_GetArraySize(all), at = 0;
    ck_assert_int_gt(count, 3);
    while (at < count) {
        char path[128];
        snprintf(path, sizeof path,
                 "/jobs/1/confusion/samples?actual=1&predicted=1&limit=3&offset=%d", at);
        cJSON *page = get_json(&daemon, path, "");
        const cJSON *sample;
        ck_assert_int_eq((int)number(page, "offset"), at);
        ck_assert_int_eq((int)number(page, "total"), count);
        cJSON_ArrayForEach(sample, member(page, "samples")) ck_assert_int_eq(
            (int)number(sample, "sample"), (int)number(cJSON_GetArrayItem(all, at++), "sample"));
        cJSON_Delete(page);
    }
    ck_assert_int_eq(at, count);
    cJSON_Delete(whole);
    cJSON *past =
        get_json(&daemon, "/jobs/1/confusion/samples?actual=1&predicted=1&offset=2147483647", "");
    ck_assert_int_eq(cJSON_GetArraySize(member(past, "samples")), 0);
    cJSON_Delete(past);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(the_cell_asked_for_is_checked)
{
    struct daemon daemon = make_job();
    expect_field(&daemon, "/jobs/1/confusion/samples?predicted=1", "actual", "missing 'actual'");
    expect_field(&daemon, "/jobs/1/confusion/samples?actual=1", "predicted", "missing 'predicted'");
    expect_field(&daemon, "/jobs/1/confusion/samples?actual=2&predicted=1", "actual",
                 "no class '2'");
    expect_field(&daemon, "/jobs/1/confusion/samples?actual=1&predicted=1&limit=1001", "limit", "");
    expect_field(&daemon, "/jobs/1/confusion/samples?actual=1&predicted=1&offset=-1", "offset", "");
    expect_field(&daemon, "/jobs/1/confusion/samples?actual=1&predicted=1&epoch=0", "epoch", "");
    struct reply reply =
        client_get(&daemon, "/jobs/1/confusion/samples?actual=1&predicted=1&epoch=3");
    reply_expect_problem(&reply, 404, "no confusion matrix of epoch 3");
    reply = client_get(&daemon, "/jobs/2/confusion/samples?actual=1&predicted=1");
    reply_expect_problem(&reply, 404, "no job 2");
    daemon_stop(&daemon);
}
END_TEST

START_TEST(averages_are_those_of_the_classes)
{
    struct daemon daemon = make_job();
    cJSON *report = get_json(&daemon, "/jobs/1/confusion", "");
    const cJSON *classes = member(report, "per_class"), *macro = member(report, "macro"),
                *weighted = member(report, "weighted");
    const cJSON *a = cJSON_GetArrayItem(classes, 0), *b = cJSON_GetArrayItem(classes, 1);
    ck_assert_double_eq_tol(number(macro, "f1"), (number(a, "f1") + number(b, "f1")) / 2, 1e-12);
    /* Weighted by the samples, recall is accuracy. */
    ck_assert_double_eq_tol(number(weighted, "recall"), number(report, "accuracy"), 1e-12);
    ck_assert_int_eq((int)number(weighted, "support"), TEST);
    cJSON_Delete(report);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(reports_are_the_same_however_often_and_after_a_restart)
{
    static const char *const paths[] = {
        "/jobs/1",
        "/jobs/1/loss",
        "/jobs/1/loss?format=csv",
        "/jobs/1/confusion",
        "/jobs/1/confusion?epoch=1&normalize=all",
        "/jobs/1/confusion?format=csv",
        "/jobs/1/confusion?format=svg",
        "/jobs/1/confusion/samples?actual=0&predicted=0",
        "/jobs/1/failures",
        "/jobs/1/events",
    };
    enum { PATHS = sizeof paths / sizeof paths[0] };
    struct reply first[PATHS];
    struct daemon daemon = make_job();
    for (int i = 0; i < PATHS; i++)
        first[i] = client_get(&daemon, paths[i]);
    for (int again = 0; again < 4; again++) {
        if (again == 2)
            daemon_restart(&daemon, one_thread);
        for (int i = 0; i < PATHS; i++) {
            struct reply reply = client_get(&daemon, paths[i]);
            ck_assert_int_eq(reply.status, 200);
            ck_assert_str_eq(reply.body, first[i].body);
            reply_clear(&reply);
        }
    }
    for (int i = 0; i < PATHS; i++)
        reply_clear(&first[i]);
    daemon_stop(&daemon);
}
END_TEST

/* ---- failures ---- */

/* How many failures a query gives; each is checked. */
static int count_failures(const struct daemon *daemon, const char *query, const char *actual)
{
    char path[128];
    snprintf(path, sizeof path, "/jobs/1/failures%s", query);
    cJSON *report = get_json(daemon, path, "");
    const cJSON *failure;
    double before = 1;
    cJSON_ArrayForEach(failure, member(report, "failures"))
    {
        const cJSON *scores = member(failure, "scores");
        char link[64];
        ck_assert_str_ne(text(failure, "actual"), text(failure, "predicted"));
        if (actual)
            ck_assert_str_eq(text(failure, "actual"), actual);
        ck_assert_double_le(number(failure, "score"), before);
        before = number(failure, "score");
        ck_assert_int_eq(cJSON_GetArraySize(scores), 2);
        ck_assert_double_eq_tol(cJSON_GetArrayItem(scores, 0)->valuedouble +
                                    cJSON_GetArrayItem(scores, 1)->valuedouble,
                                1, 1e-5);
        /* Classes alternate, so a sample's number tells what it is. */
        int sample = (int)number(failure, "sample");
        ck_assert_str_eq(text(failure, "actual"), sample % 2 ? "circle" : "square");
        snprintf(link, sizeof link, "/datasets/shapes/samples/test/%d?version=1", sample);
        ck_assert_str_eq(text(failure, "link"), link);
    }
    int count = cJSON_GetArraySize(member(report, "failures"));
    cJSON_Delete(report);
    return count;
}

START_TEST(failures_are_the_matrix_off_its_diagonal)
{
    struct daemon daemon = make_job();
    cJSON *report = get_json(&daemon, "/jobs/1/confusion", "");
    int squares = (int)cell(member(report, "matrix"), 0, 1);
    int circles = (int)cell(member(report, "matrix"), 1, 0);
    cJSON_Delete(report);
    ck_assert_int_gt(squares + circles, 1);
    ck_assert_int_eq(count_failures(&daemon, "", NULL), squares + circles);
    ck_assert_int_eq(count_failures(&daemon, "?limit=1", NULL), 1);
    ck_assert_int_eq(count_failures(&daemon, "?actual=square", "square"), squares);
    ck_assert_int_eq(count_failures(&daemon, "?actual=1", "circle"), circles);
    ck_assert_int_eq(count_failures(&daemon, "?predicted=circle", "square"), squares);
    ck_assert_int_eq(count_failures(&daemon, "?actual=square&predicted=square", NULL), 0);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(failures_filters_are_checked)
{
    struct daemon daemon = make_job();
    expect_field(&daemon, "/jobs/1/failures?actual=triangle", "actual", "expected a label or 0..1");
    expect_field(&daemon, "/jobs/1/failures?predicted=2", "predicted", "no class '2'");
    expect_field(&daemon, "/jobs/1/failures?limit=1001", "limit", "");
    expect_field(&daemon, "/jobs/1/failures?limit=-1", "limit", "");
    daemon_stop(&daemon);
}
END_TEST

START_TEST(held_out_samples_are_judged_when_there_is_no_test_split)
{
    struct daemon daemon;
    daemon_start(&daemon, one_thread);
    make_shapes(&daemon, 100, 0);
    cJSON *job = run_job(&daemon, "{\"model\":\"m\",\"dataset\":\"shapes\",\"architecture\":"
                                  "\"shapes-cnn\",\"epochs\":1,\"validation_split\":0.3}");
    ck_assert(cJSON_IsNull(member(job, "test_accuracy")));
    cJSON *report = get_json(&daemon, "/jobs/1/confusion", "");
    ck_assert_str_eq(text(report, "split"), "validation");
    ck_assert_int_eq((int)number(report, "total"), 30);
    ck_assert_double_eq_tol(number(report, "accuracy"), number(job, "val_accuracy"), 1e-12);
    cJSON *failures = get_json(&daemon, "/jobs/1/failures", "");
    const cJSON *failure = cJSON_GetArrayItem(member(failures, "failures"), 0);
    ck_assert_ptr_nonnull(failure);
    ck_assert_ptr_nonnull(strstr(text(failure, "link"), "/datasets/shapes/samples/train/"));
    cJSON_Delete(failures);
    cJSON_Delete(report);
    cJSON_Delete(job);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_dataset_with_nothing_to_judge_on_still_trains)
{
    struct daemon daemon;
    daemon_start(&daemon, one_thread);
    make_shapes(&daemon, 100, 0);
    cJSON *job = run_job(&daemon, "{\"model\":\"m\",\"dataset\":\"shapes\",\"architecture\":"
                                  "\"shapes-cnn\",\"epochs\":1}");
    ck_assert(cJSON_IsNull(member(job, "val_loss")));
    ck_assert(cJSON_IsNull(member(job, "test_loss")));
    cJSON_Delete(job);
    struct reply reply = client_get(&daemon, "/jobs/1/confusion");
    reply_expect_problem(&reply, 404, "no confusion matrix");
    ck_assert_int_eq(count_failures(&daemon, "", NULL), 0);
    daemon_stop(&daemon);
}
END_TEST

TEST_PROGRAM("server_reports", loss_lists_epochs_and_fixed_points_between,
             loss_since_an_epoch_leaves_out_the_ones_before, loss_as_csv_has_a_line_an_epoch,
             loss_holds_points_of_the_epoch_in_progress, a_running_job_shows_how_far_it_is,
             confusion_counts_every_test_sample_once,
             confusion_normalized_by_rows_columns_or_all_sums_to_one,
             confusion_of_an_epoch_is_that_epochs, confusion_comes_as_csv_and_as_a_picture,
             reports_that_are_not_there_yet_are_not_found, every_cell_tells_its_samples,
             wrong_samples_of_a_cell_are_its_failures, samples_of_a_cell_come_in_pages,
             the_cell_asked_for_is_checked, averages_are_those_of_the_classes,
             reports_are_the_same_however_often_and_after_a_restart,
             failures_are_the_matrix_off_its_diagonal, failures_filters_are_checked,
             held_out_samples_are_judged_when_there_is_no_test_split,
             a_dataset_with_nothing_to_judge_on_still_trains)
