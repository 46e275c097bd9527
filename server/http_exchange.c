#include "http_exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "http_cors.h"
#include "http_early.h"
#include "http_problem.h"
#include "log.h"
#include "metrics.h"
#include "pool.h"
#include "uploads.h"

enum { LOG_PATH_BYTES = 256, LOG_METHOD_BYTES = 32 };

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

const char *http_query(const struct http_request *request, const char *name)
{
    const struct exchange *x = request->exchange;
    for (int i = 0; i < x->target.query_count; i++)
        if (strcmp(x->target.query[i].name, name) == 0)
            return x->target.query[i].value;
    return NULL;
}

/* Its clients read errors their own way. */
static bool is_v2(const struct exchange *x)
{
    const char *target = x->raw_target;
    return strncmp(target, "/v2", 3) == 0 && (target[3] == '/' || target[3] == '\0');
}

static void problem(struct exchange *x, int status, const struct err *e)
{
    if (is_v2(x))
        http_problem_v2(&x->response, status, e);
    else
        http_problem(&x->response, status, e, x->id);
    if (status == 500)
        log_event(LOG_ERROR, "request_failed", "request_id", x->id, "detail", e->detail, NULL);
}

void exchange_seal(struct exchange *x)
{
    http_cors_answer(x->server->config->cors_origin, &x->request, &x->response);
}

static void end_upload(struct exchange *x)
{
    upload_end(x->upload);
    x->upload = x->request.upload = NULL;
}

/* ---- its life ---- */

struct exchange *exchange_new(struct http_server *server, struct client *client,
                              const char *raw_target)
{
    if (!client_enter(client, CLIENT_HEAD, 0))
        return NULL;
    struct exchange *x = client->kept ? client->kept : malloc(sizeof *x);
    if (!x)
        return NULL;
    client->kept = x;
    memset(x, 0, offsetof(struct exchange, id));
    memset(&x->request, 0, offsetof(struct http_request, params));
    x->id[0] = x->allow[0] = '\0';
    x->target = (struct http_target){.text = NULL};
    x->raw_target = strdup(raw_target);
    if (!x->raw_target)
        return NULL;
    x->server = server;
    x->client = client;
    x->started_us = now_us();
    x->request.exchange = x;
    http_body_init(&x->body, 0);
    http_response_init(&x->response);
    return x;
}

static void exchange_clear(struct exchange *x)
{
    http_stream_end(x);
    upload_end(x->upload);
    http_body_clear(&x->body);
    http_target_clear(&x->target);
    http_response_clear(&x->response);
    free(x->raw_target);
}

static bool is_slow(const struct exchange *x, uint64_t handle_us)
{
    int slow_ms = x->server->config->slow_ms;
    return slow_ms > 0 && !x->response.waits && handle_us >= (uint64_t)slow_ms * 1000;
}

static void log_exchange(const struct exchange *x, int status)
{
    char path[LOG_PATH_BYTES + 1], method[LOG_METHOD_BYTES + 1];
    bool answered = x->stage == STAGE_RESPONDING || x->stage == STAGE_REFUSED;
    uint64_t handle_us = x->made_us > x->complete_us ? x->made_us - x->complete_us : 0;
    const struct http_figures *f = &x->response.figures;
    bool slow = is_slow(x, handle_us);
    if (!slow && !x->server->config->access_log)
        return;
    snprintf(path, sizeof path, "%s", x->raw_target);
    snprintf(method, sizeof method, "%s", x->request.method ? x->request.method : "");
    struct log_access access = {
        .request_id = x->id,
        .method = method,
        .path = path,
        .remote = x->client->remote,
        .status = answered ? x->response.status : status,
        .bytes_in = x->bytes_in,
        .bytes_out = x->bytes_out,
        .duration_us = now_us() - x->started_us,
        .handle_us = handle_us,
        .model = f->model[0] != '\0' ? f->model : NULL,
        .version = f->version,
        .batch = f->batch,
        .decode_us = f->decode_us,
        .queue_us = f->queue_us,
        .compute_us = f->compute_us,
        .encode_us = f->encode_us,
    };
    log_access(slow ? LOG_WARN : LOG_INFO, &access);
}

static void count_exchange(const struct exchange *x, int status)
{
    const bool answered = x->stage == STAGE_RESPONDING || x->stage == STAGE_REFUSED;
    const struct metrics_request request = {
        .route = x->route,
        .status = answered ? x->response.status : status,
        .timed = !x->response.waits && !x->response.stream.read,
        .duration_us = now_us() - x->started_us,
        .bytes_in = x->bytes_in,
        .bytes_out = x->bytes_out,
    };
    metrics_request(&request);
}

/* The sweep has cut a request that was still coming: its answer goes out before the socket is
 * closed. */
static void answer_late(struct exchange *x)
{
    const struct config *c = x->server->config;
    struct err e = {0};
    if (x->stage == STAGE_HEAD) {
        http_id_choose(NULL, x->id);
        err_set(&e, ERR_INVALID, "the head did not come within %d s", c->head_timeout_s);
    } else {
        err_set(&e, ERR_INVALID, "the body did not come within %d s and at %d bytes/s after",
                c->body_timeout_s, c->min_rate);
    }
    problem(x, 408, &e);
    exchange_seal(x);
    x->stage = STAGE_REFUSED;
    x->bytes_out = x->response.body.size;
    http_early_send(x->client->fd, &x->response, x->id);
}

void exchange_end(struct exchange *x, int status)
{
    struct http_server *server = x->server;
    bool counted = x->counted;
    if (x->stage <= STAGE_BODY && client_was_cut(x->client))
        answer_late(x);
    x->client->current = NULL;
    if (x->stage != STAGE_HEAD || status) {
        log_exchange(x, status);
        count_exchange(x, status);
    }
    client_enter(x->client, CLIENT_IDLE, 0);
    exchange_clear(x);
    if (counted)
        http_count_down(server, &server->in_flight);
}

/* ---- the head ---- */

static bool read_head(struct exchange *x, const char *method, const char *version, struct err *e)
{
    x->head = (struct http_head){.method = method, .target = x->raw_target, .version = version};
    exchange_read_fields(x);
    return http_head_check(&x->head, e) && http_target_parse(x->raw_target, &x->target, e);
}

static bool find_route(struct exchange *x, struct err *e)
{
    struct http_request *q = &x->request;
    x->route = router_find(q->method, q->path, q->params, x->allow, sizeof x->allow);
    if (x->route)
        return true;
    if (x->allow[0] == '\0')
        return err_set(e, ERR_NOT_FOUND, "no route '%.256s'", q->path);
    return err_set(e, ERR_INVALID, "method '%s' is not allowed here, expected one of %s", q->method,
                   x->allow);
}

static bool accept_body(struct exchange *x, struct err *e)
{
    http_body_init(&x->body, x->route->body_max);
    if (x->head.length > x->route->body_max)
        return http_body_too_large(x->route->body_max, e);
    if (!http_body_set_encoding(&x->body, http_header(&x->request, "Content-Encoding"), e))
        return false;
    if (x->route->body_max > 0)
        x->upload = upload_begin(x->route->pattern, x->request.params[0], x->id, x->head.length);
    x->request.upload = x->upload;
    bool kept = x->upload || x->route->body_max > LIMIT_PREDICT_BODY_BYTES;
    return !kept || http_body_expect(&x->body, x->head.length, e);
}

static bool accept_request(struct exchange *x, const char *method, const char *version,
                           struct err *e)
{
    x->request.method = method;
    x->request.id = x->id;
    if (!read_head(x, method, version, e)) {
        x->close = true;
        return false;
    }
    x->request.path = x->target.path;
    x->request.content_type = http_header(&x->request, "Content-Type");
    x->request.accept = http_header(&x->request, "Accept");
    if (atomic_load(&x->server->draining))
        return err_set(e, ERR_UNAVAILABLE, "the daemon is stopping");
    return find_route(x, e) && accept_body(x, e);
}

/* libmicrohttpd takes no response while a body arrives: the answer goes to the socket directly, and
 * what the client still sends is read and dropped, up to a bound. */
static enum http_next respond_early(struct exchange *x)
{
    if (!client_enter(x->client, CLIENT_SEND, x->response.body.size))
        return NEXT_CLOSE;
    exchange_seal(x);
    x->bytes_out = x->response.body.size;
    x->stage = STAGE_REFUSED;
    return http_early_send(x->client->fd, &x->response, x->id) ? NEXT_GO_ON : NEXT_CLOSE;
}

/* Answers by the head alone, mostly a problem. libmicrohttpd ends a connection that is answered
 * this early, so a request without a body waits for its end, which comes at once. */
static enum http_next refuse(struct exchange *x)
{
    bool body_follows = x->head.chunked || x->head.length > 0;
    if (!body_follows && !x->close) {
        x->stage = STAGE_RESPONDING;
        return NEXT_GO_ON;
    }
    x->close = true;
    bool body_is_held_back = http_header(&x->request, "Expect") != NULL;
    if (body_follows && !body_is_held_back && strcmp(x->request.method, "HEAD") != 0)
        return respond_early(x);
    return NEXT_RESPOND;
}

void exchange_reject(struct exchange *x, int status)
{
    struct err e = {0};
    http_id_choose(http_header(&x->request, "X-Request-Id"), x->id);
    err_set(&e, ERR_INVALID, "%s",
            status == 431   ? "the header does not fit"
            : status == 413 ? "Content-Length is too large"
                            : "malformed Content-Length");
    problem(x, status, &e);
    respond_early(x);
}

enum http_next exchange_begin(struct exchange *x, const char *method, const char *version)
{
    x->stage = STAGE_BODY;
    x->counted = true;
    atomic_fetch_add(&x->server->in_flight, 1);
    http_id_choose(http_header(&x->request, "X-Request-Id"), x->id);
    client_heard(x->client);
    if (!client_enter(x->client, CLIENT_BODY, 0))
        return NEXT_CLOSE;

    struct err e = {0};
    if (accept_request(x, method, version, &e))
        return NEXT_GO_ON;
    bool wrong_method = x->allow[0] != '\0' && !x->route;
    if (wrong_method &&
        http_cors_preflight(x->server->config->cors_origin, &x->request, x->allow, &x->response))
        return refuse(x);
    problem(x, wrong_method ? 405 : http_status_of(e.code), &e);
    if (wrong_method)
        http_set_header(&x->response, "Allow", x->allow);
    return refuse(x);
}

/* ---- body and handler ---- */

enum http_next exchange_receive(struct exchange *x, const void *data, size_t size)
{
    struct err e = {0};
    x->bytes_in += size;
    client_heard(x->client);
    if (x->stage == STAGE_REFUSED) {
        x->discarded += size;
        return x->discarded > LIMIT_REFUSED_BODY_BYTES ? NEXT_CLOSE : NEXT_GO_ON;
    }
    client_body_grew(x->client, x->bytes_in);
    upload_received(x->upload, size);
    if (http_body_add(&x->body, data, size, &e))
        return NEXT_GO_ON;
    end_upload(x);
    problem(x, http_status_of(e.code), &e);
    x->close = true;
    return respond_early(x);
}

void exchange_conclude(struct exchange *x, const struct err *e)
{
    struct err no_memory;
    if (!e && !buf_ok(&x->response.body)) {
        err_no_memory(&no_memory);
        e = &no_memory;
    }
    if (e)
        problem(x, http_status_of(e->code), e);
    http_body_clear(&x->body);
    end_upload(x);
    x->made_us = now_us();
    x->stage = STAGE_RESPONDING;
}

/* False when the handler has deferred its answer. */
static bool handle(struct exchange *x)
{
    struct err e = {0};
    struct http_request *q = &x->request;
    if (!http_busy_begin(x->server)) {
        err_set(&e, ERR_UNAVAILABLE, "the daemon is stopping");
        exchange_conclude(x, &e);
        return true;
    }
    upload_importing(x->upload, 0);
    bool ok = http_body_open(&x->body, &q->body, &q->body_size, &e) &&
              x->route->handler(x->server->app, q, &x->response, &e);
    if (x->deferred.exchange) {
        CHECK(ok);
        return false;
    }
    exchange_conclude(x, ok ? NULL : &e);
    http_busy_end(x->server);
    return true;
}

static void work(void *context, bool cancelled)
{
    struct exchange *x = context;
    struct err e = {0};
    if (cancelled) {
        err_set(&e, ERR_UNAVAILABLE, "the daemon is stopping");
        exchange_conclude(x, &e);
    } else if (!handle(x)) {
        http_defer_release(x);
        return;
    }
    exchange_resume(x);
}

/* Suspended first: the pool may be done before pool_submit returns. */
static enum http_next hand_over(struct exchange *x)
{
    struct err e = {0};
    x->stage = STAGE_WORKING;
    exchange_suspend(x);
    if (pool_submit(x->server->pool, work, x))
        return NEXT_GO_ON;
    err_set(&e, ERR_UNAVAILABLE, "%d requests are waiting already", LIMIT_WORK_QUEUE);
    exchange_conclude(x, &e);
    exchange_resume(x);
    return NEXT_GO_ON;
}

static enum http_next handle_here(struct exchange *x)
{
    if (handle(x) || http_defer_answered(x))
        return NEXT_RESPOND;
    exchange_suspend(x);
    http_defer_release(x);
    return NEXT_GO_ON;
}

enum http_next exchange_finish(struct exchange *x)
{
    switch (x->stage) {
    case STAGE_BODY:
        if (!client_enter(x->client, CLIENT_WORK, 0))
            return NEXT_CLOSE;
        x->complete_us = now_us();
        return x->route->slow ? hand_over(x) : handle_here(x);
    case STAGE_RESPONDING:
        return NEXT_RESPOND;
    case STAGE_WORKING:
        return NEXT_GO_ON;
    default:
        return NEXT_CLOSE; /* refused: the answer is out, now close */
    }
}
