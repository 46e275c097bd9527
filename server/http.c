/* The boundary to libmicrohttpd: its callbacks, and the few things that only it can do. A request's
 * way:
 *
 *   on_client     a connection opened or closed
 *   on_target     the request line came: an exchange is made
 *   on_request    called for the head (exchange_begin), for each piece of the body
 *                 (exchange_receive) and at the end (exchange_finish); a fast handler runs there, a
 *                 slow one on the work pool, while the connection is suspended; resuming it calls
 *                 on_request once more, which sends the response              http_exchange.c
 *   http_answer   the same for a handler that deferred its answer                http_defer.c
 *   read_stream   more of a stream is wanted                                    http_stream.c
 *   on_completed  the response is out, or the client is gone: the exchange is logged and freed
 *
 * A suspended connection is never closed, so a client that leaves is noticed only afterwards.
 */
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "http_exchange.h"
#include "pool.h"

enum { STREAM_BLOCK_BYTES = 4096 };

/* ---- what the other parts use ---- */

const char *http_header(const struct http_request *request, const char *name)
{
    const struct exchange *x = request->exchange;
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

void exchange_suspend(struct exchange *x)
{
    MHD_suspend_connection(x->connection);
}

void exchange_resume(struct exchange *x)
{
    MHD_resume_connection(x->connection);
}

static enum MHD_Result add_field(void *context, enum MHD_ValueKind kind, const char *name,
                                 size_t name_size, const char *value, size_t value_size)
{
    (void)kind;
    http_head_field(context, name, name_size, value ? value : name + name_size, value_size);
    return MHD_YES;
}

void exchange_read_fields(struct exchange *x)
{
    x->head.head_size =
        MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)
            ->header_size;
    MHD_get_connection_values_n(x->connection, MHD_HEADER_KIND, add_field, &x->head);
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

/* ---- libmicrohttpd's callbacks ---- */

static enum MHD_Result go_on(struct exchange *x, enum http_next next)
{
    if (next == NEXT_RESPOND)
        return respond(x);
    return next == NEXT_GO_ON ? MHD_YES : MHD_NO;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_size, void **request)
{
    (void)context, (void)connection, (void)url;
    struct exchange *x = *request;
    if (!x)
        return MHD_NO;
    if (x->stage == STAGE_HEAD)
        return go_on(x, exchange_begin(x, method, version));
    if (*data_size == 0)
        return go_on(x, exchange_finish(x));
    size_t size = *data_size;
    *data_size = 0;
    return go_on(x, exchange_receive(x, data, size));
}

/* NULL, which closes the connection, when memory is out. */
static void *on_target(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct client *client =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    struct exchange *x = client ? exchange_new(context, client, uri) : NULL;
    if (!x)
        return NULL;
    x->connection = connection;
    client->current = x;
    return x;
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode code)
{
    (void)context, (void)connection, (void)code;
    struct exchange *x = *request;
    *request = NULL;
    if (x)
        exchange_end(x);
}

static struct client *client_new(struct MHD_Connection *connection)
{
    char host[48] = "", port[8] = "";
    struct client *client = calloc(1, sizeof *client);
    const struct sockaddr *address =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
    if (!client)
        return NULL;
    client->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    if (!address)
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
    if (client && client->current)
        exchange_end(client->current);
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
    if (server->listen_fd >= 0)
        close(server->listen_fd);
    if (server->quiet_fd >= 0)
        close(server->quiet_fd);
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
    server->quiet_fd = -1;
    server->quiet_fd = eventfd(0, EFD_CLOEXEC);
    if (server->quiet_fd < 0) {
        err_set(e, ERR_IO, "cannot make an event descriptor: %s", strerror(errno));
        goto failed;
    }
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

/* New connections are refused from now on. MHD_quiesce_daemon does it at the risk of the process:
 * with epoll its threads may take the socket out of their set at the same time, and whoever comes
 * second aborts (libmicrohttpd 0.9.75, seen once in a thousand stops). So the socket's number is
 * given to something that is never readable; the kernel takes a closed socket out of all sets. */
static void stop_listening(const struct http_server *server)
{
    while (dup3(server->quiet_fd, server->listen_fd, O_CLOEXEC) < 0)
        CHECK(errno == EINTR || errno == EBUSY);
}

void http_stop(struct http_server *server, int drain_s)
{
    atomic_store(&server->draining, true);
    http_stream_drain(server);
    stop_listening(server);
    wait_in_flight(server, drain_s);
    /* Both resume every suspended connection, as MHD_stop_daemon demands. */
    pool_stop(server->pool);
    wait_busy(server);
    MHD_stop_daemon(server->daemon); /* closes the listening descriptor */
    server->listen_fd = -1;
    server_free(server);
}
