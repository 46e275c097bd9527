/* metrics.h - what this process counts of its own work, for GET /metrics.
 *
 * One of everything a process, in static storage, like the log: who counts needs no handle. Every
 * counter is an atomic that any thread adds to without a lock, and nothing is allocated for an
 * observation. How many there can be is bounded: by the table of routes, and by METRICS_MODELS_MAX
 * names of models; what is past that counts as model "other". Nothing a client writes becomes a
 * label but the name of a model that there is.
 */
#ifndef STRIDED_METRICS_H
#define STRIDED_METRICS_H

#include <stdint.h>

#include "buf.h"

struct route;

/* ---- events ---- */

enum metrics_event {
    METRICS_CONNECTIONS_REFUSED, /* past a limit, or out of descriptors */
    METRICS_CONNECTIONS_CUT,     /* past the deadline of a request or a reply */
    METRICS_EPOCHS,              /* trained and stored */
    METRICS_JOBS_STARTED,        /* workers, after a crash or a restart too */
    METRICS_JOBS_SUCCEEDED,
    METRICS_JOBS_FAILED,
    METRICS_JOBS_CANCELLED,
    METRICS_WORKERS_CRASHED,
    METRICS_EVENT_COUNT
};
void metrics_count(enum metrics_event event);

/* Connections open now: +1, -1. */
void metrics_connection(int change);

/* ---- requests ---- */

/* One that has ended. route NULL: none was found; status 0: the client left before an answer.
 * timed: the time is work, not waiting that was asked for. */
struct metrics_request {
    const struct route *route;
    int status;
    bool timed;
    uint64_t duration_us, bytes_in, bytes_out;
};
void metrics_request(const struct metrics_request *request);

/* ---- predictions ---- */

struct metrics_model; /* all versions of a name; never freed */
/* The same for the same name. */
struct metrics_model *metrics_model(const char *name);

/* A request to a model, by whatever protocol. The parts are of those that succeeded. */
struct metrics_prediction {
    bool ok;
    int samples;
    int64_t whole_ns, decode_ns, queue_ns, compute_ns, encode_ns;
};
void metrics_predicted(struct metrics_model *model, const struct metrics_prediction *prediction);
/* So many samples, of one request or several, were computed together. */
void metrics_batch(struct metrics_model *model, int samples);

/* All of the above, in Prometheus' text format. */
void metrics_write(struct buf *out);

#endif
