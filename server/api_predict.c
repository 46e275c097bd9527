/* A prediction's way, one `struct prediction`:
 *
 *   begin    on the HTTP thread; a model that is not in memory is awaited, deferred
 *   decode   right there when the body is quickly read, else on the codec pool, deferred
 *   compute  right there when that is quick too and nothing waits, else by the batcher, deferred
 *   reply    where the scores came up, unless the document is large: then on the codec pool
 *
 * One that was never deferred costs no hand-over to another thread.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "api_datasets.h"
#include "api_models.h"
#include "api_query.h"
#include "clock.h"
#include "memory.h"
#include "predict_body.h"
#include "predict_reply.h"

enum {
    TOP_DEFAULT = 3,
    REPLY_CLASSES_QUICK = 4096, /* written where they came up; about 300 us */
};

struct options {
    int top;         /* how many classes of each prediction are named */
    bool all_scores; /* and every class's score besides */
    bool raw;        /* only the scores, as float32 */
    enum invert invert;
    enum predict_dtype dtype;
    struct cnn_voxelize voxelize;
    int timeout_ms;
};

struct prediction {
    struct app *app;
    const struct http_request *request;
    struct http_response *response;
    struct http_deferred *deferred; /* NULL: the handler has not returned */
    struct model *model;            /* NULL: being loaded */
    struct registry_waiter waiter;
    struct options options;
    struct predict_body body;
    struct predict_batch batch;
    float *scores; /* [batch.count, classes] */
    int64_t begun_ns, decode_ns;
    struct batch_task task;
};

/* ---- options ---- */

/* ?name= as one of `choices` (NULL-terminated); absent = left as it is. */
static bool query_choice(const struct http_request *request, const char *name,
                         const char *const *choices, const char *expected, int *choice,
                         struct err *e)
{
    const char *text = http_query(request, name);
    if (!text)
        return true;
    for (int i = 0; choices[i]; i++) {
        if (strcmp(choices[i], text) == 0) {
            *choice = i;
            return true;
        }
    }
    return err_field(e, ERR_INVALID, name, "expected %s, got '%.40s'", expected, text);
}

static bool read_options(const struct prediction *p, struct options *options, struct err *e)
{
    static const char *const offers[] = {"application/json", "application/octet-stream", NULL};
    static const char *const scores[] = {"top", "all", NULL};
    static const char *const inverts[] = {"auto", "true", "false", NULL};
    static const char *const dtypes[] = {"any", "float32", "uint8", NULL};
    _Static_assert(INVERT_AUTO == 0 && INVERT_YES == 1 && INVERT_NO == 2, "order of inverts[]");
    _Static_assert(PREDICT_FLOAT32 == 1 && PREDICT_UINT8 == 2, "order of dtypes[]");
    const int classes = p->model->meta.label_count, longest = p->app->config.predict_timeout_ms;
    int all = 0, invert = INVERT_AUTO, dtype = PREDICT_ANY;
    options->top = classes < TOP_DEFAULT ? classes : TOP_DEFAULT;
    options->voxelize = preprocess_voxelize(&p->model->meta.preprocess);
    options->timeout_ms = longest;
    if (!api_query_int(p->request, "top", 1, classes, &options->top, e) ||
        !api_query_int(p->request, "timeout_ms", 1, longest, &options->timeout_ms, e) ||
        !query_choice(p->request, "scores", scores, "all", &all, e) ||
        !query_choice(p->request, "invert", inverts, "true, false or auto", &invert, e) ||
        !query_choice(p->request, "dtype", dtypes, "float32 or uint8", &dtype, e) ||
        !api_query_voxelize(p->request, &options->voxelize, e))
        return false;
    options->all_scores = all == 1;
    options->invert = (enum invert)invert;
    options->dtype = (enum predict_dtype)dtype;
    options->raw = http_accept(p->request, offers) == 1;
    return true;
}

/* ---- begin and end ---- */

static void prediction_free(struct prediction *p)
{
    model_release(p->model);
    predict_batch_clear(&p->batch);
    free(p->scores);
    free(p);
}

static struct prediction *prediction_new(struct app *app, const struct http_request *request,
                                         struct http_response *response, struct err *e)
{
    struct prediction *p = calloc(1, sizeof *p);
    if (!p) {
        err_no_memory(e);
        return NULL;
    }
    p->app = app;
    p->request = request;
    p->response = response;
    p->begun_ns = clock_ns();
    p->body = (struct predict_body){
        .content_type = request->content_type,
        .bytes = request->body,
        .size = request->body_size,
        .voxelize = &p->options.voxelize,
    };
    return p;
}

static struct prediction *prediction_of(struct registry_waiter *waiter)
{
    return (struct prediction *)(void *)((char *)waiter - offsetof(struct prediction, waiter));
}

/* Answers what was deferred, and is gone. */
static void prediction_answer(struct prediction *p, const struct err *e)
{
    http_answer(p->deferred, e);
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
    struct http_response *response = p->response;
    const int64_t start_ns = clock_ns();
    const int classes = p->model->meta.label_count;
    if (p->options.raw) {
        response->content_type = "application/octet-stream";
        buf_add(&response->body, p->scores,
                (size_t)p->batch.count * (size_t)classes * sizeof *p->scores);
    } else {
        const struct predict_reply reply = {
            .model = p->model->name,
            .version = p->model->version,
            .classes = classes,
            .labels = p->model->meta.labels,
            .count = p->batch.count,
            .scores = p->scores,
            .top = p->options.top,
            .all_scores = p->options.all_scores,
            .decode_us = p->decode_ns / 1000,
            .queue_us = p->task.queue_ns / 1000,
            .compute_us = p->task.compute_ns / 1000,
        };
        predict_reply_write(&reply, &response->body);
    }
    response->figures.encode_us = (uint64_t)(clock_ns() - start_ns) / 1000;
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
    const struct options *o = &p->options;
    const int named = o->raw ? 0 : o->top + (o->all_scores ? p->model->meta.label_count : 0);
    return named * p->batch.count <= REPLY_CLASSES_QUICK;
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
    if (!read_options(p, &p->options, e))
        return false;
    p->body.invert = p->options.invert;
    p->body.dtype = p->options.dtype;
    if (!predict_body_decode(&p->body, &p->model->net->input, &p->model->meta.preprocess, &p->batch,
                             e))
        return false;
    p->decode_ns = clock_ns() - start_ns;
    p->scores = memory_new((size_t)p->batch.count * (size_t)p->model->meta.label_count,
                           sizeof *p->scores, e);
    p->task = (struct batch_task){
        .model = p->model,
        .x = p->batch.x,
        .count = p->batch.count,
        .scores = p->scores,
        .deadline_ns = p->begun_ns + (int64_t)p->options.timeout_ms * 1000000,
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

/* ---- the handler ---- */

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
    prediction_free(p);
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
        prediction_free(p);
        return false;
    }
    if (batcher_is_quick(p->model, p->batch.count, http_peers(p->request)) && reply_is_quick(p))
        return answer_here(p, e);
    defer(p);
    submit(p);
    return true;
}

bool api_predict(struct app *app, const struct http_request *request,
                 struct http_response *response, struct err *e)
{
    const char *name;
    int version;
    bool absent = false;
    struct prediction *p;
    if (!api_which_model(request, &name, &version, e) ||
        !(p = prediction_new(app, request, response, e)))
        return false;
    p->model = registry_acquire_loaded(app->registry, name, version, &absent, e);
    if (p->model ? !batcher_has_room(app->batcher, p->model, e) : !absent) {
        prediction_free(p);
        return false;
    }
    if (p->model && predict_body_is_quick(&p->body))
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
