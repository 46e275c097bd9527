/* http_exchange.h - one request and its reply, private to server/http*.c.
 *
 * http_exchange.c decides what happens, http.c is where libmicrohttpd does it. An exchange is never
 * touched by two threads at once: it passes from its HTTP thread to a pool thread, or to whoever it
 * was deferred to, and back through libmicrohttpd's suspend and resume.
 */
#ifndef STRIDED_HTTP_EXCHANGE_H
#define STRIDED_HTTP_EXCHANGE_H

#include <pthread.h>
#include <stdatomic.h>

#include "http.h"
#include "http_body.h"
#include "http_clients.h"
#include "http_head.h"
#include "http_id.h"
#include "http_target.h"
#include "router.h"

struct MHD_Connection;

struct http_server {
    struct app *app;
    struct MHD_Daemon *daemon;
    struct pool *pool;
    struct http_clients clients;
    struct http_admit *admit;
    int listen_fd;
    const struct config *config;
    atomic_bool draining;          /* no request is taken any more */
    atomic_bool closed;            /* and no handler starts */
    atomic_int in_flight;          /* requests between their head and their end */
    atomic_int busy;               /* of them with a handler or, deferred, with someone else */
    pthread_mutex_t mutex;         /* of `idle` */
    pthread_cond_t idle;           /* while draining: one of these has become 0 */
    pthread_mutex_t streams_mutex; /* guards `streams` */
    struct exchange *streams;      /* whose reply is a stream */
};

enum stage {
    STAGE_HEAD,       /* the head is not complete */
    STAGE_BODY,       /* the body is arriving */
    STAGE_REFUSED,    /* answered before the body's end; what still comes is thrown away */
    STAGE_WORKING,    /* with the pool, or deferred */
    STAGE_RESPONDING, /* the response is made */
};

struct http_deferred {
    struct exchange *exchange; /* NULL: not deferred */
    atomic_int steps;          /* enum deferred_step, or-ed: the second of the two goes on */
};

struct http_waker {
    struct exchange *exchange;
    atomic_int state; /* enum waker_state */
};

struct exchange {
    struct http_server *server;
    struct MHD_Connection *connection;
    struct client *client;
    char *raw_target;                          /* owned */
    uint64_t started_us, complete_us, made_us; /* its first line, its last byte, its reply */
    enum stage stage;
    bool counted; /* in server->in_flight */
    bool close;   /* the connection ends with this response */
    struct http_head head;
    const struct route *route;
    struct http_body body;
    struct upload *upload; /* NULL: not followed */
    struct http_deferred deferred;
    struct http_waker waker;
    bool streaming;                               /* in server->streams */
    struct exchange *next_stream, **link_to_this; /* there; guarded as it is */
    atomic_bool left;                             /* a stream's client is gone */
    struct exchange *next_head, **head_link;      /* http.c's, while the head is not complete */
    uint64_t bytes_in, bytes_out;
    size_t discarded;
    /* What follows is large and set member by member, for each request; from `id` on. */
    char id[HTTP_ID_BYTES + 1];
    char allow[128]; /* of a 405 */
    struct http_target target;
    struct http_request request;
    struct http_response response;
};

/* What the HTTP thread does next. */
enum http_next {
    NEXT_GO_ON,   /* read on, or wait while suspended */
    NEXT_RESPOND, /* send the response */
    NEXT_CLOSE,   /* end the connection */
};

/* http.c: what only libmicrohttpd can do. A suspended connection is not read, written or closed.
 * Suspending is for the HTTP thread alone; any thread may resume, once for each time. */
void exchange_suspend(struct exchange *x);
void exchange_resume(struct exchange *x);
/* Hands each header line to http_head_field and sets the head's size. */
void exchange_read_fields(struct exchange *x);

/* A new connection, into libmicrohttpd's hands. */
void http_adopt(struct http_server *server, int fd, const struct sockaddr *address, socklen_t size);

/* http_exchange.c. A client has one exchange at a time, whose memory it keeps for the next. NULL:
 * out of memory, or the client is too late. */
struct exchange *exchange_new(struct http_server *server, struct client *client,
                              const char *raw_target);
/* Logs and clears it; the client may be gone. status: of a reply that libmicrohttpd made by itself,
 * 0: none. */
void exchange_end(struct exchange *x, int status);
/* libmicrohttpd refuses the head with this status and would answer badly. */
void exchange_reject(struct exchange *x, int status);
/* The head is complete; a piece of the body came; its end came, or the response is ready. */
enum http_next exchange_begin(struct exchange *x, const char *method, const char *version);
enum http_next exchange_receive(struct exchange *x, const void *data, size_t size);
enum http_next exchange_finish(struct exchange *x);
/* Once, before the response is sent: headers that every reply has. */
void exchange_seal(struct exchange *x);
/* The handler has done its work (e NULL) or failed: the response is ready to be sent, the body is
 * freed. */
void exchange_conclude(struct exchange *x, const struct err *e);

/* http_defer.c: handlers that run or have deferred are counted, so that a stop can wait for them;
 * false when it no longer does. */
bool http_busy_begin(struct http_server *server);
void http_busy_end(struct http_server *server);
void http_count_down(struct http_server *server, atomic_int *count);
/* After the handler has returned. Answered: the response may be sent at once. Else the connection
 * is suspended, and by http_defer_release the exchange passes to who answers. */
bool http_defer_answered(const struct exchange *x);
void http_defer_release(struct exchange *x);

/* http_stream.c: begin and end stand around the reply. read, for libmicrohttpd: bytes, 0 when the
 * connection has been suspended, -1 at the end. */
void http_stream_begin(struct exchange *x);
void http_stream_end(struct exchange *x);
ptrdiff_t http_stream_read(struct exchange *x, char *out, size_t size);
/* server->draining is set: every stream ends as soon as it has nothing to say. */
void http_stream_drain(struct http_server *server);
/* Ends sleeping streams whose client has left. */
void http_stream_sweep(struct http_server *server);

#endif
