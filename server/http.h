/* http.h - the HTTP server: the only user of libmicrohttpd.
 *
 * http.c reads requests, bounds them, finds the route (router.h), collects and decodes the body,
 * runs the handler and sends what it made. Bodies past LIMIT_BODY_MEMORY_BYTES wait in an unlinked
 * file and are mapped, so that a handler always sees one span. Routes marked `slow` run on the
 * work pool while their connection is suspended and holds no HTTP thread.
 */
#ifndef STRIDED_HTTP_H
#define STRIDED_HTTP_H

#include <stddef.h>

#include "buf.h"
#include "config.h"
#include "err.h"

struct app;
struct upload;

enum { HTTP_PARAMS_MAX = 4, HTTP_PARAM_BYTES = 256, HTTP_HEADERS_MAX = 8 };

/* What a handler reads. All borrowed, valid until the handler returns. */
struct http_request {
    const char *method, *path; /* path: decoded, no trailing slash */
    const char *id;            /* X-Request-Id, echoed or made */
    const char *content_type;  /* NULL if absent */
    const char *accept;        /* NULL if absent */
    const void *body;          /* decoded from any Content-Encoding; "" when empty */
    size_t body_size;
    char params[HTTP_PARAMS_MAX][HTTP_PARAM_BYTES]; /* the route's {names}, in order */
    struct upload *upload; /* the body's progress (uploads.h), NULL: not followed */
    void *exchange;        /* private to http.c */
};
const char *http_header(const struct http_request *request, const char *name); /* NULL: absent */
const char *http_query(const struct http_request *request, const char *name);  /* NULL: absent */
/* The offer that the Accept header likes best (media ranges and q-values are honoured; of equals
 * the one it names first). `offers` is NULL-terminated, the first is the default. Returns its
 * index, -1 when none is acceptable (then answer the default). */
int http_accept(const struct http_request *request, const char *const *offers);

/* What a handler fills. */
struct http_response {
    int status;               /* 200 unless set */
    const char *content_type; /* static; application/json unless set */
    struct buf body;          /* taken over by http.c */
    struct {
        char name[32], value[256];
    } headers[HTTP_HEADERS_MAX];
    int header_count;
    int file; /* >= 0: a file to send instead of body; http.c closes it */
};
/* Control characters in the value become '?'. */
void http_set_header(struct http_response *response, const char *name, const char *value);
/* An empty 200; clear frees body and file first. */
void http_response_init(struct http_response *response);
void http_response_clear(struct http_response *response);

/* Returns true with a response, or false with *e, which becomes a problem document. */
typedef bool http_handler(struct app *app, const struct http_request *request,
                          struct http_response *response, struct err *e);

/* The HTTP status of an error code, from one table. */
int http_status_of(enum err_code code);

struct http_server;
/* Serves `app` through router.h's routes on a listening socket, which it closes at the end, also
 * when it fails. */
struct http_server *http_start(const struct config *config, struct app *app, int listen_fd,
                               struct err *e);
/* Stops accepting, answers new requests on kept connections with 503, waits up to drain_s for the
 * ones in flight, then closes and frees all. */
void http_stop(struct http_server *server, int drain_s);

#endif
