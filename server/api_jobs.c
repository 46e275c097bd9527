#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "api_jobs.h"
#include "api_query.h"
#include "limits.h"

enum {
    LIST_DEFAULT = 1000, /* jobs in one reply unless asked otherwise */
    KEY_BYTES_MAX = 255, /* of an Idempotency-Key */
};

/* ---- a job as JSON ---- */

static void key_text_or_null(struct json_writer *w, const char *key, const char *text)
{
    jw_key_string(w, key, text[0] ? text : NULL);
}

static void key_count_or_null(struct json_writer *w, const char *key, int64_t value)
{
    jw_key(w, key);
    if (value > 0)
        jw_int(w, value);
    else
        jw_null(w);
}

static void write_figures(struct json_writer *w, const struct store_job *row,
                          const struct jobs_live *live)
{
    bool fresh = live && live->batch > 0;
    jw_key_int(w, "epoch", live ? live->epoch : row->epoch);
    jw_key_int(w, "epochs", row->epochs);
    jw_key_int(w, "batch", live ? live->batch : 0);
    jw_key_int(w, "batches", live ? live->batches : 0);
    jw_key_double(w, "loss", fresh ? live->loss : row->loss);
    jw_key_double(w, "accuracy", fresh ? live->accuracy : row->accuracy);
    jw_key_double(w, "val_loss", row->val_loss);
    jw_key_double(w, "val_accuracy", row->val_accuracy);
    jw_key_double(w, "test_loss", row->test_loss);
    jw_key_double(w, "test_accuracy", row->test_accuracy);
    key_count_or_null(w, "best_epoch", row->best_epoch);
    jw_key_double(w, "samples_per_second", fresh ? live->samples_per_second : NAN);
    jw_key_double(w, "eta_seconds", fresh ? live->eta_seconds : NAN);
}

static void write_links(struct json_writer *w, const struct store_job *row)
{
    static const char *const names[] = {"events", "loss", "confusion", "failures", "cancel"};
    char path[192];
    int used = snprintf(path, sizeof path, "/jobs/%lld", (long long)row->id);
    jw_key(w, "links");
    jw_object(w);
    jw_key_string(w, "self", path);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path + used, sizeof path - (size_t)used, "/%s", names[i]);
        jw_key_string(w, names[i], path);
    }
    snprintf(path, sizeof path, "/datasets/%s", row->dataset);
    jw_key_string(w, "dataset", path);
    snprintf(path, sizeof path, "/models/%s", row->model);
    jw_key_string(w, "model", row->model_version ? path : NULL);
    jw_object_end(w);
}

/* live: what runs now; it counts if it is this job. */
static void write_job(struct json_writer *w, const struct store_job *row,
                      const struct jobs_live *live)
{
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)row->id);
    jw_object(w);
    jw_key_string(w, "id", id);
    jw_key_string(w, "state", job_state_name(row->state));
    jw_key_string(w, "model", row->model);
    key_count_or_null(w, "model_version", row->model_version);
    jw_key_string(w, "dataset", row->dataset);
    jw_key_int(w, "dataset_version", row->dataset_version);
    write_figures(w, row, live->id == row->id ? live : NULL);
    jw_key_int(w, "threads", row->threads);
    key_text_or_null(w, "cpu", row->cpu);
    key_count_or_null(w, "parameters", (int64_t)row->parameters);
    key_text_or_null(w, "weights_sha256", row->weights_sha256);
    key_text_or_null(w, "error", row->error);
    snprintf(id, sizeof id, "%lld", (long long)row->last_event);
    jw_key_string(w, "last_event_id", id);
    jw_key_string(w, "created", row->created);
    key_text_or_null(w, "started", row->started);
    key_text_or_null(w, "finished", row->finished);
    jw_key(w, "request");
    jw_raw(w, row->request, strlen(row->request));
    write_links(w, row);
    jw_object_end(w);
}

bool api_job_respond(struct app *app, int64_t id, struct http_response *response, struct err *e)
{
    struct store_job row = {0};
    struct jobs_live live;
    if (!jobs_get(app->jobs, id, &row, &live, e))
        return false;
    struct json_writer w;
    jw_begin(&w, &response->body);
    write_job(&w, &row, &live);
    buf_str(&response->body, "\n");
    store_job_clear(&row);
    return true;
}

/* ---- handlers ---- */

bool api_jobs_get(struct app *app, const struct http_request *request,
                  struct http_response *response, struct err *e)
{
    int64_t id;
    if (!api_job_id(request, &id, e))
        return false;
    return http_query(request, "wait") ? api_job_wait(app, id, request, response, e)
                                       : api_job_respond(app, id, response, e);
}

bool api_jobs_list(struct app *app, const struct http_request *request,
                   struct http_response *response, struct err *e)
{
    int limit = LIST_DEFAULT, count, total;
    struct store_job *rows;
    struct jobs_live live;
    if (!api_query_int(request, "limit", 1, INT32_MAX, &limit, e) ||
        !jobs_list(app->jobs, limit, &rows, &count, &total, &live, e))
        return false;
    struct json_writer w;
    jw_begin(&w, &response->body);
    jw_object(&w);
    jw_key(&w, "jobs");
    jw_array(&w);
    for (int i = 0; i < count; i++)
        write_job(&w, &rows[i], &live);
    jw_array_end(&w);
    jw_key_int(&w, "total", total);
    jw_object_end(&w);
    buf_str(&response->body, "\n");
    for (int i = 0; i < count; i++)
        store_job_clear(&rows[i]);
    free(rows);
    return true;
}

static bool read_key(const struct http_request *request, const char **key, struct err *e)
{
    *key = http_header(request, "Idempotency-Key");
    if (!*key)
        return true;
    size_t size = strlen(*key);
    if (size < 1 || size > KEY_BYTES_MAX)
        return err_field(e, ERR_INVALID, "Idempotency-Key", "key of %zu bytes, expected 1..%d",
                         size, KEY_BYTES_MAX);
    return true;
}

bool api_jobs_post(struct app *app, const struct http_request *request,
                   struct http_response *response, struct err *e)
{
    struct job_request job = {0};
    const char *key;
    int64_t id;
    bool replayed = false;
    if (!read_key(request, &key, e) ||
        !job_request_parse(request->body, request->body_size, &job, e))
        return false;
    bool ok = jobs_post(app->jobs, &job, key, &id, &replayed, e);
    job_request_clear(&job);
    if (!ok)
        return false;
    char location[40];
    snprintf(location, sizeof location, "/jobs/%lld", (long long)id);
    response->status = 202;
    http_set_header(response, "Location", location);
    if (replayed)
        http_set_header(response, "Idempotency-Replayed", "true");
    return api_job_respond(app, id, response, e);
}

bool api_jobs_cancel(struct app *app, const struct http_request *request,
                     struct http_response *response, struct err *e)
{
    int64_t id;
    if (!api_job_id(request, &id, e) || !jobs_cancel(app->jobs, id, e))
        return false;
    response->status = 202;
    return api_job_respond(app, id, response, e);
}

bool api_jobs_delete(struct app *app, const struct http_request *request,
                     struct http_response *response, struct err *e)
{
    int64_t id;
    if (!api_job_id(request, &id, e) || !jobs_delete(app->jobs, id, e))
        return false;
    response->status = 204;
    return true;
}
