/* http_defer.c - answers given after the handler has returned.
 *
 * Handler and answer race: the one that comes second sends the reply. The handler's side is over
 * when the connection is suspended (`released`), the other with http_answer. */
#include "check.h"
#include "http_exchange.h"

enum deferred_step { RELEASED = 1, ANSWERED = 2 };

void http_count_down(struct http_server *server, atomic_int *count)
{
    if (atomic_fetch_sub(count, 1) > 1 || !atomic_load(&server->draining))
        return;
    pthread_mutex_lock(&server->mutex);
    pthread_cond_broadcast(&server->idle);
    pthread_mutex_unlock(&server->mutex);
}

bool http_busy_begin(struct http_server *server)
{
    atomic_fetch_add(&server->busy, 1);
    if (!atomic_load(&server->closed))
        return true;
    http_busy_end(server);
    return false;
}

void http_busy_end(struct http_server *server)
{
    http_count_down(server, &server->busy);
}

struct http_deferred *http_defer(const struct http_request *request, struct http_response *response)
{
    struct exchange *x = request->exchange;
    CHECK(response == &x->response && !x->deferred.exchange);
    x->stage = STAGE_WORKING;
    x->deferred.exchange = x;
    return &x->deferred;
}

bool http_defer_answered(const struct exchange *x)
{
    return atomic_load(&x->deferred.steps) & ANSWERED;
}

void http_defer_release(struct exchange *x)
{
    if (atomic_fetch_or(&x->deferred.steps, RELEASED) & ANSWERED)
        exchange_resume(x);
}

void http_answer(struct http_deferred *deferred, const struct err *e)
{
    struct exchange *x = deferred->exchange;
    struct http_server *server = x->server;
    CHECK(!http_defer_answered(x));
    exchange_conclude(x, e);
    if (atomic_fetch_or(&deferred->steps, ANSWERED) & RELEASED)
        exchange_resume(x);
    http_busy_end(server);
}

bool http_client_left(const struct http_deferred *deferred)
{
    return client_has_left(deferred->exchange->client);
}

int http_peers(const struct http_request *request)
{
    const struct exchange *x = request->exchange;
    const struct http_clients *all = x->client->all;
    const int count = atomic_load_explicit(&all->count, memory_order_relaxed);
    return (count - 1) / all->config->http_threads + 1;
}
