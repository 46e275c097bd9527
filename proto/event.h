/* event.h - what happens to a job, as server-sent events.
 *
 * The states a job takes and the epochs it finishes are numbered 1, 2, ... in the order in which
 * they were stored; the number is the event's id. They are durable: numbers go on where they were
 * after a restart of the daemon, and an epoch that is trained again after a crash is not told
 * again. The figures of a batch are not kept: their id is that of the durable event before them
 * and the batch's number in its epoch, "12.120". So ids of a job only grow, and Last-Event-ID says
 * all there is to know about what a client has seen.
 */
#ifndef STRIDED_EVENT_H
#define STRIDED_EVENT_H

#include <stdint.h>

#include "report.h"

enum { EVENT_ID_BYTES = 40 };

struct event_id {
    int64_t number; /* of the durable event; 0 = before the first */
    int batch;      /* 0 = that event itself */
};
/* "12" or "12.120"; false for anything else. */
bool event_id_parse(const char *text, struct event_id *id);
void event_id_text(struct event_id id, char text[EVENT_ID_BYTES]);

struct event_state {
    int64_t job;
    struct event_id id;
    const char *state, *time; /* time: RFC 3339, UTC */
    const char *model;
    int epochs; /* asked for */
    /* Of the job's newest event only. */
    const char *error;               /* NULL: none */
    int model_version;               /* 0: nothing published */
    double test_loss, test_accuracy; /* NAN: not measured */
};

struct event_epoch {
    int64_t job;
    struct event_id id;
    const char *time;
    int epochs; /* asked for */
    struct report_epoch figures;
};

struct event_batch {
    int epoch, epochs, batch, batches;
    double loss, accuracy; /* of the epoch so far */
    double batch_loss, lr; /* of this batch */
    double samples_per_second, eta_seconds;
};

/* Each appends one event: its lines and the empty line that ends it. */
void event_write_state(struct buf *out, const struct event_state *event);
void event_write_epoch(struct buf *out, const struct event_epoch *event);
void event_write_batch(struct buf *out, int64_t job, struct event_id id,
                       const struct event_batch *batch);

#endif
