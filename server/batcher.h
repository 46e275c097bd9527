/* batcher.h - samples of many requests computed together, on a few threads of their own.
 *
 * A task is the samples of one request. Inference threads take what waits for one model, up to a
 * lane's samples (cnn_predictor_samples): parts of several tasks, or a part of a large one, which
 * idle threads then share. They never wait for more unless told to (delay_us). Models take turns,
 * and so do the requests for one: a large one is not in the way of small ones.
 *
 * Bounded: requests that wait for one model, bytes of samples in all, and the time a task may wait.
 * What is past its deadline, or whose client has left, is dropped before it is computed.
 *
 * Small nets cost less to compute than to hand over: batcher_is_quick says so, batcher_run does it.
 */
#ifndef STRIDED_BATCHER_H
#define STRIDED_BATCHER_H

#include <stdint.h>

#include "err.h"

struct model;

struct batch_task {
    /* What is asked; all borrowed until done. */
    struct model *model;
    const float *x;      /* [count, C, D, H, W] canonical */
    int count;           /* 1 .. LIMIT_PREDICT_SAMPLES */
    float *scores;       /* [count, classes], to be filled with probabilities */
    int64_t deadline_ns; /* of clock.h */
    bool (*has_left)(struct batch_task *task); /* nobody waits for the answer; NULL: never so */
    /* Called exactly once for a task that was submitted, by a thread of the batcher or the one that
     * stops it, without a lock; e NULL: the scores are there. Blocks inference while it runs. The
     * task may be freed in it. */
    void (*done)(struct batch_task *task, const struct err *e);
    void *context; /* the caller's */

    /* How it went. */
    int64_t queue_ns;   /* until the first sample was taken */
    int64_t compute_ns; /* from then to the last score */
    int batch;          /* samples computed together with its first one, itself included */

    /* The batcher's own. */
    struct batch_task *next;
    int64_t submitted_ns, started_ns;
    int taken, running; /* samples */
    struct err failure;
};

struct batcher_options {
    int threads;   /* 1 and up */
    int queue_max; /* requests that wait for one model */
    int delay_us;  /* how long the first of a batch waits for others; 0: not at all */
};

struct batcher;
struct batcher *batcher_new(const struct batcher_options *options, struct err *e);
/* Gives all tasks so long at most, and answers ERR_UNAVAILABLE to what is not computed then. */
void batcher_drain(struct batcher *batcher, int drain_s);
/* Refuses tasks from now on, answers ERR_UNAVAILABLE to those that wait, finishes those that are
 * being computed. */
void batcher_stop(struct batcher *batcher);
void batcher_free(struct batcher *batcher); /* stops; NULL is fine */

/* Any thread, and never waits. False, and `done` is never called: ERR_UNAVAILABLE when a bound is
 * reached or the batcher stops. */
bool batcher_submit(struct batcher *batcher, struct batch_task *task, struct err *e);

/* Whether a task for this model would be taken just now, by its queue: asked before its samples are
 * decoded. False like batcher_submit. */
bool batcher_has_room(const struct batcher *batcher, const struct model *model, struct err *e);

/* Whether so many samples take less than handing them over is worth, and nothing waits. peers: how
 * many may come one after the other on the calling thread (http_peers). */
bool batcher_is_quick(const struct model *model, int count, int peers);
/* Computes on the calling thread, without a queue; `done` is not called. False: out of memory. */
bool batcher_run(struct batch_task *task, struct err *e);

#endif
