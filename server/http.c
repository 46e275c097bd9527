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
#include <linux/tcp.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http_admit.h"
#include "http_early.h"
#include "http_exchange.h"
#include "pool.h"

enum { STREAM_BLOCK_BYTES = 4096 };

/* ---- what the other parts use ---- */

const char *http_header(const struct http_request *request, const char *name)
{
    const struct exchange *x = request->exchange;
    return x->connection ? MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name) : NULL;
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
    bool ok =
        MHD_add_response_header(response, "X-Request-Id", x->id) &&
        MHD_add_response_header(response, "X-Content-Type-Options", "nosniff") &&
        (r->status == 204 || MHD_add_response_header(response, "Content-Type", r->content_type));
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
    if (!response || !client_enter(x->client, CLIENT_SEND, x->bytes_out)) {
        if (response)
            MHD_destroy_response(response);
        return MHD_NO;
    }
    enum MHD_Result result = MHD_NO;
    exchange_seal(x);
    if (add_headers(x, response))
        result = MHD_queue_response(x->connection, (unsigned)x->response.status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- libmicrohttpd's callbacks ---- */

/* Exchanges of this thread whose head is not complete. */
static _Thread_local struct exchange *heads;

static void heads_add(struct exchange *x)
{
    x->next_head = heads;
    x->head_link = &heads;
    if (heads)
        heads->head_link = &x->next_head;
    heads = x;
}

static void heads_remove(struct exchange *x)
{
    if (!x->head_link)
        return;
    *x->head_link = x->next_head;
    if (x->next_head)
        x->next_head->head_link = x->head_link;
    x->head_link = NULL;
}

/* libmicrohttpd 0.9.75 refuses a bad Content-Length, or more cookies than fit, by itself, with two
 * heads in one reply. It says so here before it answers: we are quicker, and its answer meets a
 * socket that is shut. Which connection it is it does not say; but of those on this thread that
 * still wait for their head, only the one at fault has it complete. */
static void on_log(void *context, const char *format, va_list arguments)
{
    static const char refusal[] = "Error processing request (HTTP response code is %u";
    (void)context;
    if (strncmp(format, refusal, sizeof refusal - 1) != 0)
        return;
    unsigned status = va_arg(arguments, unsigned);
    for (struct exchange *x = heads; x; x = x->next_head)
        if (MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)) {
            heads_remove(x);
            exchange_reject(x, (int)status);
            return;
        }
}

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
    heads_remove(x);
    if (x->stage == STAGE_HEAD)
        return go_on(x, exchange_begin(x, method, version));
    if (*data_size == 0)
        return go_on(x, exchange_finish(x));
    size_t size = *data_size;
    *data_size = 0;
    return go_on(x, exchange_receive(x, data, size));
}

/* libmicrohttpd goes on to parse the query, whose strings it gives to nobody, into the memory of
 * the connection; where that ends (some 600 parameters) 0.9.75 spins. So the query ends here. */
static void hide_query(const char *uri)
{
    char *query = strchr((char *)uri, '?');
    if (query && query[1] != '\0')
        query[1] = '\0';
}

/* NULL closes the connection. */
static void *on_target(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct client *client =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    bool welcome = client && !client->refused;
    struct exchange *x = welcome ? exchange_new(context, client, uri) : NULL;
    hide_query(uri);
    if (!x)
        return NULL;
    x->connection = connection;
    client->current = x;
    heads_add(x);
    return x;
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode code)
{
    (void)context, (void)code;
    struct exchange *x = *request;
    *request = NULL;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_HTTP_STATUS);
    if (!x)
        return;
    heads_remove(x);
    exchange_end(x, info ? (int)info->http_status : 0);
}

/* A connection ends without any reply: a request line that cannot be parsed, or that never came. */
static void answer_unheard(const struct client *client)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    if (getsockopt(client->fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
        info.tcpi_bytes_received == 0 || info.tcpi_bytes_sent > 0)
        return;
    if (client_was_cut(client))
        http_early_problem(client->fd, 408, "the request line did not come in time");
    else
        http_early_problem(client->fd, 400, "malformed request line");
}

static void on_client(void *context, struct MHD_Connection *connection, void **socket_context,
                      enum MHD_ConnectionNotificationCode code)
{
    struct http_server *server = context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        const struct sockaddr *address =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
        struct client *client = client_open(&server->clients, fd, address);
        if (client && client->refused)
            http_early_problem(fd, 503, "too many connections");
        *socket_context = client;
        return;
    }
    struct client *client = *socket_context;
    if (!client)
        return;
    if (client->current) {
        /* It failed in a way that on_completed is not told of: its header is freed. */
        heads_remove(client->current);
        client->current->connection = NULL;
        exchange_end(client->current, 0);
    } else if (!client->used && !client->refused && !atomic_load(&server->draining)) {
        answer_unheard(client);
    }
    client_close(client);
}

void http_adopt(struct http_server *server, int fd, const struct sockaddr *address, socklen_t size)
{
    MHD_add_connection(server->daemon, fd, address, size); /* closes it when that fails */
}

/* ---- start and stop ---- */

static struct MHD_Daemon *start_daemon(struct http_server *server)
{
    const struct config *config = server->config;
    /* Turbo: besides being quicker, it leaves our side open for answer_unheard. */
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO | MHD_USE_NO_LISTEN_SOCKET |
                     MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME;
    /* Refused connections linger beyond the limit. Strictness 0: what libmicrohttpd would refuse by
     * itself, http_head.c refuses properly. */
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, server, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_THREAD_POOL_SIZE, (unsigned)config->http_threads, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)server->clients.limit + LIMIT_CONNECTIONS_REFUSED,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)LIMIT_CONNECTION_MEMORY_BYTES,
        MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)LIMIT_CONNECTION_MEMORY_BYTES / 2,
        MHD_OPTION_STRICT_FOR_CLIENT, 0, MHD_OPTION_URI_LOG_CALLBACK, on_target, server,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_NOTIFY_CONNECTION, on_client,
        server, MHD_OPTION_END);
}

static void init_locks(struct http_server *server)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&server->mutex, NULL);
    pthread_mutex_init(&server->streams_mutex, NULL);
    pthread_cond_init(&server->idle, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void server_free(struct http_server *server)
{
    http_admit_free(server->admit);
    if (server->daemon)
        MHD_stop_daemon(server->daemon);
    pool_free(server->pool);
    http_clients_destroy(&server->clients);
    close(server->listen_fd);
    pthread_cond_destroy(&server->idle);
    pthread_mutex_destroy(&server->streams_mutex);
    pthread_mutex_destroy(&server->mutex);
    free(server);
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
    http_clients_init(&server->clients, config);
    server->app = app;
    server->config = config;
    server->listen_fd = listen_fd;
    server->pool = pool_new(config->work_threads, LIMIT_WORK_QUEUE, e);
    if (!server->pool)
        goto failed;
    server->daemon = start_daemon(server);
    if (!server->daemon) {
        err_set(e, ERR_INTERNAL, "cannot start the HTTP server: %s", strerror(errno));
        goto failed;
    }
    server->admit = http_admit_start(server, e);
    if (!server->admit)
        goto failed;
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
    while (atomic_load(&server->in_flight) > 0)
        if (pthread_cond_timedwait(&server->idle, &server->mutex, &deadline) == ETIMEDOUT)
            break;
    pthread_mutex_unlock(&server->mutex);
}

static void wait_busy(struct http_server *server)
{
    pthread_mutex_lock(&server->mutex);
    while (atomic_load(&server->busy) > 0)
        pthread_cond_wait(&server->idle, &server->mutex);
    pthread_mutex_unlock(&server->mutex);
}

void http_stop(struct http_server *server, int drain_s)
{
    atomic_store(&server->draining, true);
    http_stream_drain(server);
    http_admit_close(server->admit);
    wait_in_flight(server, drain_s);
    atomic_store(&server->closed, true);
    /* Both resume every suspended connection, as MHD_stop_daemon demands. */
    pool_stop(server->pool);
    wait_busy(server);
    server_free(server);
}
