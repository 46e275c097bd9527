/* http.h - the HTTP server: the only user of libmicrohttpd.
 *
 * http.c reads requests, bounds them, finds the route (router.h), collects and decodes the body,
 * runs the handler and sends what it made. Bodies past LIMIT_BODY_MEMORY_BYTES wait in an unlinked
 * file and are mapped, so that a handler always sees one span. Routes marked `slow` run on the
 * work pool while their connection is suspended and holds no HTTP thread. Any handler may defer its
 * answer, or answer with a stream.
 */
#ifndef STRIDED_HTTP_H
#define STRIDED_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "config.h"
#include "err.h"
#include "limits.h"

struct app;
struct upload;

enum { HTTP_PARAMS_MAX = 4, HTTP_PARAM_BYTES = 256, HTTP_HEADERS_MAX = 12 };

/* What a handler reads. All borrowed, valid until the handler returns, or the answer it deferred is
 * given. */
struct http_request {
    const char *method, *path; /* path: decoded, no trailing slash */
    const char *id;            /* X-Request-Id, echoed or made */
    const char *content_type;  /* NULL if absent */
    const char *accept;        /* NULL if absent */
    const void *body;          /* decoded from any Content-Encoding; "" when empty */
    size_t body_size;
    struct upload *upload; /* the body's progress (uploads.h), NULL: not followed */
    void *exchange;        /* private to http.c */
    char params[HTTP_PARAMS_MAX][HTTP_PARAM_BYTES]; /* the route's {names}, in order */
};
const char *http_header(const struct http_request *request, const char *name); /* NULL: absent */
const char *http_query(const struct http_request *request, const char *name);  /* NULL: absent */
/* The offer that the Accept header likes best (media ranges and q-values are honoured; of equals
 * the one it names first). `offers` is NULL-terminated, the first is the default. Returns its
 * index, -1 when none is acceptable (then answer the default). */
int http_accept(const struct http_request *request, const char *const *offers);

/* What the access log tells of a request's work; nothing while `model` is empty. Survives an error,
 * so that a request that waited too long shows where. */
struct http_figures {
    char model[LIMIT_NAME_BYTES + 1];
    int version;
    int batch; /* samples computed together, those of other requests included */
    uint64_t queue_us, decode_us, compute_us, encode_us;
};

/* A reply made while it is sent; its length is unknown, so HTTP/1.1 clients get it in chunks. Its
 * request counts as in flight until it has ended. A client that has left is noticed within a
 * second, also while the stream sleeps; one that left at once, when its next bytes cannot be sent.
 */
struct http_stream {
    /* Up to `size` bytes; returns how many, 0: none now, sleep until http_wake, or -1: the end.
     * Runs on an HTTP thread, so it must not wait. While the daemon drains, 0 is the end too. Not
     * called for HEAD. */
    ptrdiff_t (*read)(void *context, char *out, size_t size);
    /* Once, when the reply has ended, for whatever reason. */
    void (*free)(void *context);
    void *context;
};

/* What a handler fills. */
struct http_response {
    int status;                /* 200 unless set */
    const char *content_type;  /* static; application/json unless set */
    struct buf body;           /* taken over by http.c */
    struct http_stream stream; /* instead of body; .read NULL: none */
    struct http_figures figures;
    bool waits; /* it takes its time on purpose (a long poll) and is not logged as slow */
    int file;   /* >= 0: a file to send instead of body; http.c closes it */
    int header_count;
    struct {
        char name[32], value[256];
    } headers[HTTP_HEADERS_MAX]; /* last: what is not in use is never touched */
};
/* Control characters in the value become '?'. */
void http_set_header(struct http_response *response, const char *name, const char *value);
/* An empty 200; clear frees body, stream and file first. */
void http_response_init(struct http_response *response);
void http_response_clear(struct http_response *response);

/* Returns true with a response, or false with *e, which becomes a problem document. */
typedef bool http_handler(struct app *app, const struct http_request *request,
                          struct http_response *response, struct err *e);

/* Wakes the request's stream: its `read` will be called again, also when it is running just now.
 * Any thread. The waker lives until stream.free returns, or the handler fails; stream.free makes
 * sure (by its owner's lock) that nobody uses it any more. */
struct http_waker *http_waker(const struct http_request *request);
void http_wake(struct http_waker *waker);

/* For answers that wait for something: the handler calls this once, returns true and leaves request
 * and response to whoever has the result; the connection holds no thread meanwhile. Works in fast
 * and slow routes. */
struct http_deferred *http_defer(const struct http_request *request,
                                 struct http_response *response);
/* The answer, exactly once, from any thread, also before the handler has returned. e NULL: the
 * response is filled; else *e becomes a problem document. Afterwards deferred, request and response
 * are gone. At a drain too: http_stop waits until every deferred request is answered. */
void http_answer(struct http_deferred *deferred, const struct err *e);
/* Whether the client has gone away, so that its work can be dropped (http_answer is due all the
 * same). One system call. A client that has shut its sending side alone, with its request or within
 * a quarter of a second, is taken to read on. */
bool http_client_left(const struct http_deferred *deferred);

/* How many open connections share the request's HTTP thread, itself included: what a fast handler
 * computes, all of them may have to wait for. */
int http_peers(const struct http_request *request);

/* The HTTP status of an error code, from one table. */
int http_status_of(enum err_code code);

struct http_server;
/* Serves `app` through router.h's routes on a listening socket, which it closes at the end, also
 * when it fails. config is borrowed until http_stop. */
struct http_server *http_start(const struct config *config, struct app *app, int listen_fd,
                               struct err *e);
/* Stops accepting, answers new requests on kept connections with 503, ends streams, waits up to
 * drain_s for the requests in flight and without bound for the deferred ones, then closes and frees
 * all. */
void http_stop(struct http_server *server, int drain_s);

#endif
