/* A request's way:
 *
 *   on_client     a connection opened: its address is kept for the log
 *   on_target     the request line came: an exchange is made, the raw target copied
 *   on_request    called for the head (begin), for each piece of the body (receive) and at the
 *                 end (finish); a fast handler runs right there
 *   work          a slow handler, on the work pool, while the connection is suspended; resuming
 *                 it makes libmicrohttpd call on_request once more, which sends the response
 *   http_answer   the same for a handler that deferred its answer                  http_defer.c
 *   http_stream_read   libmicrohttpd wants more of a stream                       http_stream.c
 *   on_completed  the response is out, or the client is gone: the exchange is logged and freed
 *
 * A suspended connection is never closed, so a client that leaves is noticed only afterwards.
 */
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "http_exchange.h"
#include "http_problem.h"
#include "log.h"
#include "pool.h"
#include "uploads.h"

enum { LOG_PATH_BYTES = 256, LOG_METHOD_BYTES = 32, STREAM_BLOCK_BYTES = 4096 };

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- what handlers use ---- */

const char *http_header(const struct http_request *request, const char *name)
{
    const struct exchange *x = request->exchange;
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

const char *http_query(const struct http_request *request, const char *name)
{
    const struct exchange *x = request->exchange;
    for (int i = 0; i < x->target.query_count; i++)
        if (strcmp(x->target.query[i].name, name) == 0)
            return x->target.query[i].value;
    return NULL;
}

/* ---- responses ---- */

static bool add_headers(const struct exchange *x, struct MHD_Response *response)
{
    const struct http_response *r = &x->response;
    bool ok = MHD_add_response_header(response, "X-Request-Id", x->id) &&
              MHD_add_response_header(response, "X-Content-Type-Options", "nosniff") &&
              MHD_add_response_header(response, "Content-Type", r->content_type);
    for (int i = 0; i < r->header_count; i++)
        ok = ok && MHD_add_response_header(response, r->headers[i].name, r->headers[i].value);
    if (x->close || atomic_load(&x->server->draining))
        ok = ok && MHD_add_response_header(response, "Connection", "close");
    return ok;
}

static ssize_t read_stream(void *context, uint64_t position, char *out, size_t size)
{
    (void)position;
    ptrdiff_t got = http_stream_read(context, out, size);
    return got < 0 ? MHD_CONTENT_READER_END_OF_STREAM : got;
}

/* Body or file pass to libmicrohttpd. NULL: out of memory, or a file that cannot be sent. */
static struct MHD_Response *response_new(struct exchange *x)
{
    struct http_response *r = &x->response;
    struct MHD_Response *response;
    if (r->stream.read) {
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES,
                                                     read_stream, x, NULL);
        if (response)
            http_stream_begin(x);
    } else if (r->file >= 0) {
        off_t size = lseek(r->file, 0, SEEK_END);
        if (size < 0)
            return NULL;
        response = MHD_create_response_from_fd64((uint64_t)size, r->file);
        x->bytes_out = (uint64_t)size;
        if (response)
            r->file = -1;
    } else {
        response =
            MHD_create_response_from_buffer_with_free_callback(r->body.size, r->body.data, free);
        x->bytes_out = r->body.size;
        if (response)
            r->body = (struct buf){0};
    }
    return response;
}

/* MHD_NO closes the connection, the last resort when even this cannot be had. */
static enum MHD_Result respond(struct exchange *x)
{
    x->stage = STAGE_RESPONDING;
    struct MHD_Response *response = response_new(x);
    if (!response)
        return MHD_NO;
    enum MHD_Result result = MHD_NO;
    if (add_headers(x, response))
        result = MHD_queue_response(x->connection, (unsigned)x->response.status, response);
    MHD_destroy_response(response);
    return result;
}

static void problem(struct exchange *x, int status, const struct err *e)
{
    http_problem(&x->response, status, e, x->id);
    if (status == 500)
        log_event(LOG_ERROR, "request_failed", "request_id", x->id, "detail", e->detail, NULL);
}

void exchange_suspend(struct exchange *x)
{
    MHD_suspend_connection(x->connection);
}

void exchange_resume(struct exchange *x)
{
    MHD_resume_connection(x->connection);
}

int exchange_socket(const struct exchange *x)
{
    return MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

/* libmicrohttpd 0.9.75 waits edge-triggered and takes a short read for an empty socket: when the
 * client's end of stream came along with its last bytes, it would notice at the idle timeout only.
 * Shutting the direction that has ended already raises the event once more. */
static void repeat_lost_end(struct exchange *x)
{
    char byte;
    int fd = exchange_socket(x);
    ssize_t got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        x->half_closed = true;
        shutdown(fd, SHUT_RD);
    }
}

/* libmicrohttpd takes no response while a body arrives, and closing a socket with unread data
 * resets it, which can cost the client the answer. So the answer is written to the socket here,
 * our side is shut, and what the client still sends is read and dropped, up to a bound. */
static enum MHD_Result respond_early(struct exchange *x)
{
    struct buf text = {0};
    const struct http_response *r = &x->response;
    buf_fmt(&text, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: %zu\r\n", r->status,
            http_status_title(r->status), r->body.size);
    buf_fmt(&text, "Content-Type: %s\r\nX-Request-Id: %s\r\n", r->content_type, x->id);
    for (int i = 0; i < r->header_count; i++)
        buf_fmt(&text, "%s: %s\r\n", r->headers[i].name, r->headers[i].value);
    buf_str(&text, "\r\n");
    buf_add(&text, r->body.data, r->body.size);

    int fd = exchange_socket(x);
    bool sent = buf_ok(&text) &&
                send(fd, text.data, text.size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)text.size;
    buf_clear(&text);
    x->bytes_out = r->body.size;
    x->stage = STAGE_REFUSED;
    if (!sent || shutdown(fd, SHUT_WR) != 0)
        return MHD_NO;
    return MHD_YES;
}

/* Answers by the head alone. libmicrohttpd ends a connection that is answered this early, so a
 * request without a body waits for its end, which comes at once. */
static enum MHD_Result refuse(struct exchange *x)
{
    bool body_follows = x->head.chunked || x->head.length > 0;
    if (!body_follows && !x->close) {
        x->stage = STAGE_RESPONDING;
        return MHD_YES;
    }
    x->close = true;
    bool body_is_held_back = http_header(&x->request, "Expect") != NULL;
    if (body_follows && !body_is_held_back && strcmp(x->request.method, "HEAD") != 0)
        return respond_early(x);
    return respond(x);
}

/* ---- the head ---- */

static enum MHD_Result add_field(void *context, enum MHD_ValueKind kind, const char *name,
                                 size_t name_size, const char *value, size_t value_size)
{
    (void)kind;
    http_head_field(context, name, name_size, value ? value : name + name_size, value_size);
    return MHD_YES;
}

static bool read_head(struct exchange *x, const char *method, const char *version, struct err *e)
{
    x->head = (struct http_head){.method = method, .target = x->raw_target, .version = version};
    x->head.head_size =
        MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)
            ->header_size;
    MHD_get_connection_values_n(x->connection, MHD_HEADER_KIND, add_field, &x->head);
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
    return true;
}

static bool accept_request(struct exchange *x, const char *method, const char *version,
                           struct err *e)
{
    x->request.method = method;
    x->request.id = x->id;
    x->request.exchange = x;
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

static enum MHD_Result begin(struct exchange *x, struct MHD_Connection *connection,
                             const char *method, const char *version)
{
    x->connection = connection;
    x->client->pending = NULL;
    x->stage = STAGE_BODY;
    pthread_mutex_lock(&x->server->mutex);
    x->server->in_flight++;
    pthread_mutex_unlock(&x->server->mutex);
    http_id_choose(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "X-Request-Id"), x->id);
    repeat_lost_end(x);

    struct err e = {0};
    if (accept_request(x, method, version, &e))
        return MHD_YES;
    bool wrong_method = x->allow[0] != '\0' && !x->route;
    problem(x, wrong_method ? 405 : http_status_of(e.code), &e);
    if (wrong_method)
        http_set_header(&x->response, "Allow", x->allow);
    return refuse(x);
}

/* ---- body and handler ---- */

static void end_upload(struct exchange *x)
{
    upload_end(x->upload);
    x->upload = x->request.upload = NULL;
}

static enum MHD_Result receive(struct exchange *x, const char *data, size_t size)
{
    struct err e = {0};
    x->bytes_in += size;
    repeat_lost_end(x);
    if (x->stage == STAGE_REFUSED) {
        x->discarded += size;
        return x->discarded > LIMIT_REFUSED_BODY_BYTES ? MHD_NO : MHD_YES;
    }
    upload_received(x->upload, size);
    if (http_body_add(&x->body, data, size, &e))
        return MHD_YES;
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
static void hand_over(struct exchange *x)
{
    struct err e = {0};
    x->stage = STAGE_WORKING;
    exchange_suspend(x);
    if (pool_submit(x->server->pool, work, x))
        return;
    err_set(&e, ERR_UNAVAILABLE, "%d requests are waiting already", LIMIT_WORK_QUEUE);
    exchange_conclude(x, &e);
    exchange_resume(x);
}

static enum MHD_Result handle_here(struct exchange *x)
{
    if (handle(x) || http_defer_answered(x))
        return respond(x);
    exchange_suspend(x);
    http_defer_release(x);
    return MHD_YES;
}

static enum MHD_Result finish(struct exchange *x)
{
    switch (x->stage) {
    case STAGE_BODY:
        if (x->route->slow) {
            hand_over(x);
            return MHD_YES;
        }
        return handle_here(x);
    case STAGE_RESPONDING:
        return respond(x);
    case STAGE_WORKING:
        return MHD_YES;
    default:
        return MHD_NO; /* refused: the answer is out, now close */
    }
}

/* ---- libmicrohttpd's callbacks ---- */

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_size, void **request)
{
    (void)context, (void)url;
    struct exchange *x = *request;
    if (!x)
        return MHD_NO;
    if (x->stage == STAGE_HEAD)
        return begin(x, connection, method, version);
    if (*data_size == 0)
        return finish(x);
    size_t size = *data_size;
    *data_size = 0;
    return receive(x, data, size);
}

static void exchange_free(struct exchange *x)
{
    if (!x)
        return;
    upload_end(x->upload);
    http_body_clear(&x->body);
    http_target_clear(&x->target);
    http_response_clear(&x->response);
    free(x->raw_target);
    free(x);
}

/* NULL, which closes the connection, when memory is out. */
static void *on_target(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct client *client =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    struct exchange *x = calloc(1, sizeof *x);
    if (!client || !x || !(x->raw_target = strdup(uri))) {
        free(x);
        return NULL;
    }
    x->server = context;
    x->client = client;
    x->started_us = now_us();
    http_body_init(&x->body, 0);
    http_response_init(&x->response);
    client->pending = x;
    return x;
}

static void log_exchange(const struct exchange *x)
{
    char path[LOG_PATH_BYTES + 1], method[LOG_METHOD_BYTES + 1];
    bool answered = x->stage == STAGE_RESPONDING || x->stage == STAGE_REFUSED;
    snprintf(path, sizeof path, "%s", x->raw_target);
    snprintf(method, sizeof method, "%s", x->request.method);
    struct log_access access = {
        .request_id = x->id,
        .method = method,
        .path = path,
        .remote = x->client->remote,
        .status = answered ? x->response.status : 0,
        .bytes_in = x->bytes_in,
        .bytes_out = x->bytes_out,
        .duration_us = now_us() - x->started_us,
    };
    log_access(&access);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode code)
{
    (void)connection, (void)code;
    struct http_server *server = context;
    struct exchange *x = *request;
    *request = NULL;
    if (!x || x->stage == STAGE_HEAD)
        return;
    if (server->access_log)
        log_exchange(x);
    http_stream_end(x);
    exchange_free(x);
    pthread_mutex_lock(&server->mutex);
    if (--server->in_flight == 0)
        pthread_cond_broadcast(&server->idle);
    pthread_mutex_unlock(&server->mutex);
}

static struct client *client_new(struct MHD_Connection *connection)
{
    char host[48] = "", port[8] = "";
    struct client *client = calloc(1, sizeof *client);
    const struct sockaddr *address =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
    if (!client || !address)
        return client;
    bool v6 = address->sa_family == AF_INET6;
    socklen_t size = v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (getnameinfo(address, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(client->remote, sizeof client->remote, v6 ? "[%s]:%s" : "%s:%s", host, port);
    return client;
}

static void on_client(void *context, struct MHD_Connection *connection, void **socket_context,
                      enum MHD_ConnectionNotificationCode code)
{
    (void)context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_context = client_new(connection);
        return;
    }
    struct client *client = *socket_context;
    if (client)
        exchange_free(client->pending);
    free(client);
}

/* ---- start and stop ---- */

static struct MHD_Daemon *start_daemon(struct http_server *server, const struct config *config)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
    /* Strictness 0: what libmicrohttpd would refuse by itself, http_head.c refuses properly. */
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET, server->listen_fd,
        MHD_OPTION_THREAD_POOL_SIZE, (unsigned)config->http_threads, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)LIMIT_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)LIMIT_CONNECTION_IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)LIMIT_CONNECTION_MEMORY_BYTES, MHD_OPTION_CONNECTION_MEMORY_INCREMENT,
        (size_t)LIMIT_CONNECTION_MEMORY_BYTES / 4, MHD_OPTION_STRICT_FOR_CLIENT, 0,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, server, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        server, MHD_OPTION_NOTIFY_CONNECTION, on_client, server, MHD_OPTION_END);
}

static void server_free(struct http_server *server)
{
    pool_free(server->pool);
    close(server->listen_fd);
    pthread_cond_destroy(&server->idle);
    pthread_mutex_destroy(&server->mutex);
    free(server);
}

static void init_locks(struct http_server *server)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&server->mutex, NULL);
    pthread_cond_init(&server->idle, &attributes);
    pthread_condattr_destroy(&attributes);
}

struct http_server *http_start(const struct config *config, struct app *app, int listen_fd,
                               struct err *e)
{
    struct http_server *server = calloc(1, sizeof *server);
    if (!server) {
        close(listen_fd);
        err_no_memory(e);
        return NULL;
    }
    init_locks(server);
    server->app = app;
    server->access_log = config->access_log;
    server->listen_fd = listen_fd;
    server->pool = pool_new(config->work_threads, LIMIT_WORK_QUEUE, e);
    if (!server->pool)
        goto failed;
    server->daemon = start_daemon(server, config);
    if (!server->daemon) {
        err_set(e, ERR_INTERNAL, "cannot start the HTTP server: %s", strerror(errno));
        goto failed;
    }
    return server;

failed:
    server_free(server);
    return NULL;
}

static void wait_in_flight(struct http_server *server, int drain_s)
{
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += drain_s;
    pthread_mutex_lock(&server->mutex);
    while (server->in_flight > 0)
        if (pthread_cond_timedwait(&server->idle, &server->mutex, &deadline) == ETIMEDOUT)
            break;
    server->closed = true;
    pthread_mutex_unlock(&server->mutex);
}

static void wait_busy(struct http_server *server)
{
    pthread_mutex_lock(&server->mutex);
    while (server->busy > 0)
        pthread_cond_wait(&server->idle, &server->mutex);
    pthread_mutex_unlock(&server->mutex);
}

void http_stop(struct http_server *server, int drain_s)
{
    atomic_store(&server->draining, true);
    http_stream_drain(server);
    MHD_quiesce_daemon(server->daemon);
    shutdown(server->listen_fd, SHUT_RDWR); /* new connections are refused, not left waiting */
    wait_in_flight(server, drain_s);
    /* Both resume every suspended connection, as MHD_stop_daemon demands. */
    pool_stop(server->pool);
    wait_busy(server);
    MHD_stop_daemon(server->daemon);
    server_free(server);
}
