#include "prediction.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "memory.h"

enum { REPLY_CLASSES_QUICK = 4096 }; /* written where the scores came up; about 300 us */

/* ---- begin and end ---- */

/* Before the answer leaves: who has it finds it counted. */
static void count(const struct prediction *p)
{
    if (!p->model)
        return;
    const struct metrics_prediction request = {
        .ok = p->replied,
        .samples = p->batch.count,
        .whole_ns = clock_ns() - p->begun_ns,
        .decode_ns = p->decode_ns,
        .queue_ns = p->task.queue_ns,
        .compute_ns = p->task.compute_ns,
        .encode_ns = p->encode_ns,
    };
    model_count_request(p->model, &request);
}

static void prediction_free(struct prediction *p)
{
    if (p->protocol->clear)
        p->protocol->clear(p);
    model_release(p->model);
    predict_batch_clear(&p->batch);
    free(p->scores);
    free(p);
}

static struct prediction *prediction_new(struct app *app,
                                         const struct prediction_protocol *protocol,
                                         const struct http_request *request,
                                         struct http_response *response, struct err *e)
{
    struct prediction *p = calloc(1, protocol->size);
    if (!p) {
        err_no_memory(e);
        return NULL;
    }
    p->app = app;
    p->protocol = protocol;
    p->request = request;
    p->response = response;
    p->timeout_ms = app->config.predict_timeout_ms;
    p->begun_ns = clock_ns();
    return p;
}

static struct prediction *prediction_of(struct registry_waiter *waiter)
{
    return (struct prediction *)(void *)((char *)waiter - offsetof(struct prediction, waiter));
}

/* Answers what was deferred, and is gone. */
static void prediction_answer(struct prediction *p, const struct err *e)
{
    count(p);
    http_answer(p->deferred, e);
    prediction_free(p);
}

/* The end of one that was not deferred. */
static void prediction_end(struct prediction *p)
{
    count(p);
    prediction_free(p);
}

/* ---- reply ---- */

static void fill_figures(const struct prediction *p, struct http_figures *figures)
{
    memcpy(figures->model, p->model->name, sizeof figures->model);
    figures->version = p->model->version;
    figures->batch = p->task.batch;
    figures->decode_us = (uint64_t)p->decode_ns / 1000;
    figures->queue_us = (uint64_t)p->task.queue_ns / 1000;
    figures->compute_us = (uint64_t)p->task.compute_ns / 1000;
}

static void write_reply(struct prediction *p)
{
    const int64_t start_ns = clock_ns();
    p->protocol->reply(p);
    p->replied = true;
    p->encode_ns = clock_ns() - start_ns;
    p->response->figures.encode_us = (uint64_t)p->encode_ns / 1000;
}

static void reply_on_pool(void *context, bool cancelled)
{
    struct prediction *p = context;
    (void)cancelled; /* the work is done: an answer is all it takes */
    write_reply(p);
    prediction_answer(p, NULL);
}

static bool reply_is_quick(const struct prediction *p)
{
    return p->protocol->reply_classes(p) <= REPLY_CLASSES_QUICK;
}

/* ---- computing ---- */

static void on_computed(struct batch_task *task, const struct err *e)
{
    struct prediction *p = task->context;
    fill_figures(p, &p->response->figures);
    if (!e && !reply_is_quick(p) && pool_submit(p->app->codec, reply_on_pool, p))
        return;
    if (!e)
        write_reply(p);
    prediction_answer(p, e);
}

static bool client_left(struct batch_task *task)
{
    const struct prediction *p = task->context;
    return http_client_left(p->deferred);
}

static bool decode(struct prediction *p, struct err *e)
{
    const int64_t start_ns = clock_ns();
    if (!p->protocol->decode(p, e))
        return false;
    p->decode_ns = clock_ns() - start_ns;
    p->scores = memory_new((size_t)p->batch.count * (size_t)p->model->meta.label_count,
                           sizeof *p->scores, e);
    p->task = (struct batch_task){
        .model = p->model,
        .x = p->batch.x,
        .count = p->batch.count,
        .scores = p->scores,
        .deadline_ns = p->begun_ns + (int64_t)p->timeout_ms * 1000000,
        .has_left = client_left,
        .done = on_computed,
        .context = p,
    };
    return p->scores != NULL;
}

static void submit(struct prediction *p)
{
    struct err e;
    if (!batcher_submit(p->app->batcher, &p->task, &e))
        prediction_answer(p, &e);
}

/* What has changed since it was put on the pool makes reading it useless. */
static bool is_still_wanted(const struct prediction *p, struct err *e)
{
    if (http_client_left(p->deferred))
        return err_set(e, ERR_CANCELLED, "the client has left");
    return batcher_has_room(p->app->batcher, p->model, e);
}

static void decode_on_pool(void *context, bool cancelled)
{
    struct prediction *p = context;
    struct err e;
    if (cancelled)
        err_set(&e, ERR_UNAVAILABLE, "the daemon is stopping");
    if (!cancelled && is_still_wanted(p, &e) && decode(p, &e))
        submit(p);
    else
        prediction_answer(p, &e);
}

static void submit_decoding(struct prediction *p)
{
    struct err e;
    if (pool_submit(p->app->codec, decode_on_pool, p))
        return;
    err_set(&e, ERR_UNAVAILABLE, "%d large bodies wait to be read already", LIMIT_WORK_QUEUE);
    prediction_answer(p, &e);
}

static void on_loaded(struct registry_waiter *waiter, struct model *model, const struct err *e)
{
    struct prediction *p = prediction_of(waiter);
    p->model = model;
    if (model)
        submit_decoding(p);
    else
        prediction_answer(p, e);
}

/* ---- the handler ---- */

static bool answer_here(struct prediction *p, struct err *e)
{
    const bool ok = batcher_run(&p->task, e);
    fill_figures(p, &p->response->figures);
    if (ok)
        write_reply(p);
    prediction_end(p);
    return ok;
}

/* Deferred before it is handed over: it may be answered before that returns. */
static void defer(struct prediction *p)
{
    p->deferred = http_defer(p->request, p->response);
}

static bool decode_here(struct prediction *p, struct err *e)
{
    if (!decode(p, e)) {
        prediction_end(p);
        return false;
    }
    if (batcher_is_quick(p->model, p->batch.count, http_peers(p->request)) && reply_is_quick(p))
        return answer_here(p, e);
    defer(p);
    submit(p);
    return true;
}

bool prediction_serve(struct app *app, const struct prediction_protocol *protocol, const char *name,
                      int version, const struct http_request *request,
                      struct http_response *response, struct err *e)
{
    bool absent = false;
    struct prediction *p = prediction_new(app, protocol, request, response, e);
    if (!p)
        return false;
    p->model = registry_acquire_loaded(app->registry, name, version, &absent, e);
    if (p->model ? !batcher_has_room(app->batcher, p->model, e) : !absent) {
        prediction_end(p);
        return false;
    }
    if (p->model && protocol->is_quick(p))
        return decode_here(p, e);
    defer(p);
    if (p->model) {
        submit_decoding(p);
    } else {
        p->waiter.ready = on_loaded;
        registry_await(app->registry, name, version, &p->waiter);
    }
    return true;
}
