/* prediction.h - a request to a model from its arrival to its reply, whatever protocol it speaks.
 *
 *   begin    on the HTTP thread; a model that is not in memory is awaited, deferred
 *   decode   right there when the body is quickly read, else on the codec pool, deferred
 *   compute  right there when that is quick too and nothing waits, else by the batcher, deferred
 *   reply    where the scores came up, unless the document is large: then on the codec pool
 *
 * One that was never deferred costs no hand-over to another thread. A protocol says how its bodies
 * and replies read; each of its functions may run on any of these threads, one at a time.
 */
#ifndef STRIDED_PREDICTION_H
#define STRIDED_PREDICTION_H

#include "app.h"
#include "http.h"
#include "predict_body.h"

struct prediction;

struct prediction_protocol {
    size_t size; /* of its own structure, whose first member is a struct prediction */
    /* Whether decode takes some 100 us at most. */
    bool (*is_quick)(const struct prediction *p);
    /* Reads the request into batch, with the model at hand; may lower timeout_ms. */
    bool (*decode)(struct prediction *p, struct err *e);
    /* Classes that the reply names, of all samples together: what writing it costs. */
    size_t (*reply_classes)(const struct prediction *p);
    /* Fills the response from the scores. */
    void (*reply)(struct prediction *p);
    /* Frees what is its own; NULL: nothing. */
    void (*clear)(struct prediction *p);
};

struct prediction {
    struct app *app;
    const struct prediction_protocol *protocol;
    const struct http_request *request;
    struct http_response *response;
    struct http_deferred *deferred; /* NULL: the handler has not returned */
    struct model *model;            /* NULL: being loaded */
    struct registry_waiter waiter;
    struct predict_batch batch;
    float *scores; /* [batch.count, classes] */
    int timeout_ms;
    int64_t begun_ns, decode_ns, encode_ns;
    bool replied;           /* the response is filled, and no error */
    struct batch_task task; /* how computing went */
};

/* What a handler does: true with a response or a deferred one. name and version as
 * registry_acquire takes them. */
bool prediction_serve(struct app *app, const struct prediction_protocol *protocol, const char *name,
                      int version, const struct http_request *request,
                      struct http_response *response, struct err *e);

#endif
