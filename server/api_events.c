/* Watching a job: a stream of its events, and the long poll of GET /jobs/ID?wait=. */
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "api_jobs.h"
#include "api_query.h"
#include "limits.h"

static bool query_event_id(const struct http_request *request, struct event_id *id, struct err *e)
{
    const char *text = http_query(request, "last_event_id");
    return !text || event_id_parse(text, id) ||
           err_field(e, ERR_INVALID, "last_event_id", "no event '%.40s', expected its id", text);
}

/* ---- the stream ---- */

/* An EventSource that lost its connection comes back after so long. */
static const char stream_head[] = "retry: 2000\n\n";

struct stream {
    struct watch *watch;
    size_t head_given;
};

static ptrdiff_t stream_read(void *context, char *out, size_t size)
{
    struct stream *stream = context;
    size_t rest = sizeof stream_head - 1 - stream->head_given, n = rest < size ? rest : size;
    if (rest == 0)
        return watch_read(stream->watch, out, size);
    memcpy(out, stream_head + stream->head_given, n);
    stream->head_given += n;
    return (ptrdiff_t)n;
}

static void stream_free(void *context)
{
    struct stream *stream = context;
    watch_free(stream->watch);
    free(stream);
}

static void stream_wake(void *context)
{
    http_wake(context);
}

static bool open_stream(struct app *app, int64_t id, struct event_id after,
                        const struct http_request *request, struct http_response *response,
                        struct err *e)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return err_no_memory(e);
    stream->watch = watch_new(app->events, id, after, stream_wake, http_waker(request), e);
    if (!stream->watch) {
        free(stream);
        return false;
    }
    response->content_type = "text/event-stream";
    http_set_header(response, "Cache-Control", "no-store");
    http_set_header(response, "X-Accel-Buffering", "no"); /* proxies must not collect events */
    response->stream = (struct http_stream){stream_read, stream_free, stream};
    return true;
}

/* What the client has seen: the header, which an EventSource sends when it comes back, else the
 * query it began with. What the job has not come to is no id of it: from the start. */
static bool read_last_event(const struct http_request *request, const struct store_job *row,
                            struct event_id *after, struct err *e)
{
    const char *header = http_header(request, "Last-Event-ID");
    *after = (struct event_id){0, 0};
    if (!query_event_id(request, after, e))
        return false;
    if (header)
        event_id_parse(header, after);
    if (after->number > row->last_event)
        *after = (struct event_id){0, 0};
    return true;
}

bool api_jobs_events(struct app *app, const struct http_request *request,
                     struct http_response *response, struct err *e)
{
    struct store_job row = {.id = 0};
    struct event_id after;
    int64_t id;
    if (!api_job_id(request, &id, e) || !store_job_get(app->store, id, &row, e))
        return false;
    bool ok = read_last_event(request, &row, &after, e);
    /* Only so does an EventSource stop asking for more. */
    bool told = ok && job_state_is_end(row.state) && after.number == row.last_event;
    if (told)
        response->status = 204;
    else
        ok = ok && open_stream(app, id, after, request, response, e);
    store_job_clear(&row);
    return ok;
}

/* ---- the long poll ---- */

struct poll {
    struct app *app;
    int64_t id;
    struct http_response *response;
    struct http_deferred *deferred;
};

static void poll_over(void *context)
{
    struct poll *poll = context;
    struct err e;
    bool ok = api_job_respond(poll->app, poll->id, poll->response, &e);
    http_answer(poll->deferred, ok ? NULL : &e);
    free(poll);
}

static bool poll_gone(void *context)
{
    const struct poll *poll = context;
    return http_client_left(poll->deferred);
}

static bool poll_begin(struct app *app, const struct events_wait *asked,
                       const struct http_request *request, struct http_response *response,
                       struct err *e)
{
    struct poll *poll = malloc(sizeof *poll);
    if (!poll)
        return err_no_memory(e);
    response->waits = true;
    *poll = (struct poll){app, asked->job, response, http_defer(request, response)};
    struct events_wait wait = *asked;
    wait.over = poll_over;
    wait.gone = poll_gone;
    wait.context = poll;
    if (events_wait_for(app->events, &wait, e))
        return true;
    http_answer(poll->deferred, e);
    free(poll);
    return true;
}

bool api_job_wait(struct app *app, int64_t id, const struct http_request *request,
                  struct http_response *response, struct err *e)
{
    struct store_job row = {.id = 0};
    struct event_id since = {-1, 0};
    int wait_s = 0;
    if (!api_query_int(request, "wait", 0, LIMIT_WAIT_S, &wait_s, e) ||
        !query_event_id(request, &since, e) || !store_job_get(app->store, id, &row, e))
        return false;
    bool over = job_state_is_end(row.state) || (since.number >= 0 && row.last_event > since.number);
    store_job_clear(&row);
    if (over || wait_s == 0)
        return api_job_respond(app, id, response, e);
    const struct events_wait wait = {.job = id, .since = since.number, .timeout_ms = wait_s * 1000};
    return poll_begin(app, &wait, request, response, e);
}
