#include <stdio.h>
#include <string.h>

#include "api.h"
#include "api_jobs.h"
#include "api_query.h"
#include "job_view.h"

enum { KEY_BYTES_MAX = 255 }; /* of an Idempotency-Key */

bool api_job_respond(struct app *app, int64_t id, struct http_response *response, struct err *e)
{
    struct jobs_look look;
    if (!jobs_get(app->jobs, id, &look, e))
        return false;
    struct json_writer w;
    jw_begin(&w, &response->body);
    job_view_write(&w, &look.row, &look.live, look.queue_position);
    buf_str(&response->body, "\n");
    store_job_clear(&look.row);
    return true;
}

bool api_jobs_get(struct app *app, const struct http_request *request,
                  struct http_response *response, struct err *e)
{
    int64_t id;
    if (!api_job_id(request, &id, e))
        return false;
    return http_query(request, "wait") ? api_job_wait(app, id, request, response, e)
                                       : api_job_respond(app, id, response, e);
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

bool api_jobs_resume(struct app *app, const struct http_request *request,
                     struct http_response *response, struct err *e)
{
    int64_t id;
    int epochs = 0;
    if (!api_job_id(request, &id, e) ||
        (request->body_size > 0 &&
         !job_resume_parse(request->body, request->body_size, &epochs, e)) ||
        !jobs_resume(app->jobs, id, epochs, e))
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
