/* http_stream.c - replies made while they are sent.
 *
 * A stream with nothing to say sleeps: its connection is suspended. http_wake may come at any
 * moment, also between `read` finding nothing and the sleep; one atomic word decides:
 *
 *   AWAKE   --http_wake-->  WOKEN   `read` is called again before any sleep
 *   AWAKE   --sleep----->   ASLEEP  after the connection has been suspended
 *   ASLEEP  --http_wake-->  WOKEN   and whoever did this resumes the connection
 */
#include "http_exchange.h"

enum waker_state { AWAKE, WOKEN, ASLEEP };

struct http_waker *http_waker(const struct http_request *request)
{
    struct exchange *x = request->exchange;
    x->waker.exchange = x;
    return &x->waker;
}

void http_wake(struct http_waker *waker)
{
    if (atomic_exchange(&waker->state, WOKEN) == ASLEEP)
        exchange_resume(waker->exchange);
}

void http_stream_begin(struct exchange *x)
{
    http_waker(&x->request);
    pthread_mutex_lock(&x->server->streams_mutex);
    x->next_stream = x->server->streams;
    x->link_to_this = &x->server->streams;
    if (x->next_stream)
        x->next_stream->link_to_this = &x->next_stream;
    x->server->streams = x;
    pthread_mutex_unlock(&x->server->streams_mutex);
    x->streaming = true;
}

void http_stream_end(struct exchange *x)
{
    if (!x->streaming)
        return;
    pthread_mutex_lock(&x->server->streams_mutex);
    *x->link_to_this = x->next_stream;
    if (x->next_stream)
        x->next_stream->link_to_this = x->link_to_this;
    pthread_mutex_unlock(&x->server->streams_mutex);
    x->streaming = false;
}

void http_stream_drain(struct http_server *server)
{
    pthread_mutex_lock(&server->streams_mutex);
    for (struct exchange *x = server->streams; x; x = x->next_stream)
        http_wake(&x->waker);
    pthread_mutex_unlock(&server->streams_mutex);
}

void http_stream_sweep(struct http_server *server)
{
    pthread_mutex_lock(&server->streams_mutex);
    for (struct exchange *x = server->streams; x; x = x->next_stream) {
        if (atomic_load(&x->waker.state) != ASLEEP || !client_has_left(x->client))
            continue;
        atomic_store(&x->left, true);
        http_wake(&x->waker);
    }
    pthread_mutex_unlock(&server->streams_mutex);
}

/* False when it was woken meanwhile. */
static bool sleep_until_woken(struct exchange *x)
{
    int state = AWAKE;
    if (atomic_load(&x->waker.state) == WOKEN)
        return false;
    client_enter(x->client, CLIENT_WORK, 0);
    exchange_suspend(x);
    if (!atomic_compare_exchange_strong(&x->waker.state, &state, ASLEEP))
        exchange_resume(x);
    return true;
}

ptrdiff_t http_stream_read(struct exchange *x, char *out, size_t size)
{
    const struct http_stream *stream = &x->response.stream;
    ptrdiff_t got;
    do {
        atomic_store(&x->waker.state, AWAKE);
        got = atomic_load(&x->left) ? -1 : stream->read(stream->context, out, size);
        if (got == 0 && atomic_load(&x->server->draining))
            return -1;
    } while (got == 0 && !sleep_until_woken(x));
    if (got == 0)
        return 0;
    if (!client_enter(x->client, CLIENT_SEND, 0))
        return -1;
    if (got > 0)
        x->bytes_out += (uint64_t)got;
    return got;
}
