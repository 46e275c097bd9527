/* jobs.h - the scheduler: gives queued jobs to worker processes, --jobs-parallel at once, stores
 * what these report, publishes their models. Of the queued jobs the one of the highest priority
 * runs first, of equals the oldest; a running one is never set aside for another.
 *
 * One thread owns the workers (poll on their pipes and a wake-up); other threads only post
 * wake-ups, ask for live figures and request cancels, under one mutex. Lock order: that mutex, then
 * the events', the store's or the registry's.
 *
 * A job whose worker crashes (dies, ends without a result, says nothing for --job-stall-s) is
 * queued again and goes on from its checkpoint, --job-retries times while the place it goes on from
 * does not move. The daemon's own death is not counted so, but LIMIT_JOB_INTERRUPTIONS of them
 * without progress end a job too: it may be what takes the machine down. What a worker reports as
 * an error is not tried again.
 */
#ifndef STRIDED_JOBS_H
#define STRIDED_JOBS_H

#include "config.h"
#include "events.h"
#include "job_json.h"
#include "registry.h"
#include "store.h"

struct jobs;
/* Queues jobs that a dead daemon left running again, then starts the scheduler thread. */
struct jobs *jobs_new(const struct config *config, struct store *store, struct registry *registry,
                      struct events *events, struct err *e);
/* Starts no more jobs and asks every worker to write a checkpoint and stop; those that have not
 * after limit_s are killed. Their jobs are queued again. Returns at once. */
void jobs_drain(struct jobs *jobs, int limit_s);
/* Waits for the drain's end (without one: kills the workers now), joins the thread. */
void jobs_free(struct jobs *jobs);

/* Checks the request (job_check.h), stores the job durably, wakes the scheduler. replayed: the
 * Idempotency-Key was seen before with the same request and *id is that job; with another one it
 * is ERR_CONFLICT. ERR_BUSY past --jobs-queued-max waiting jobs. A key lives as long as its
 * job. */
bool jobs_post(struct jobs *jobs, struct job_request *request, const char *idempotency_key,
               int64_t *id, bool *replayed, struct err *e);
/* Ends a queued job at once; asks a running one's worker to stop, and kills it some seconds later
 * if it did not. ERR_CONFLICT when it has ended. */
bool jobs_cancel(struct jobs *jobs, int64_t id, struct err *e);
/* Queues a failed or cancelled job again, to go on from its checkpoint, or from the beginning when
 * there is none; with so many epochs (0: as before). ERR_CONFLICT in any other state. */
bool jobs_resume(struct jobs *jobs, int64_t id, int epochs, struct err *e);
/* Forgets a job, its reports and its checkpoint; its model stays. ERR_CONFLICT while it is queued
 * or runs. */
bool jobs_delete(struct jobs *jobs, int64_t id, struct err *e);

/* The figures of the epoch being trained. */
struct jobs_live {
    int64_t id;                /* the running job; 0 = none */
    int epoch, batch, batches; /* batch 0: no figures of this epoch yet */
    double loss, accuracy, samples_per_second;
    /* To the end of all epochs, and to where early stopping ends the job if no epoch is better than
     * those before; NAN = not known. */
    double eta_seconds, early_stop_eta_seconds;
};
/* A job as it is now: its row, its place in the queue (from 1; 0: it is not queued) and, when it
 * runs, its live figures, in one consistent look. When the row says succeeded, the model serves.
 * The caller clears the row. */
struct jobs_look {
    struct store_job row;
    struct jobs_live live;
    int queue_position;
};
bool jobs_get(struct jobs *jobs, int64_t id, struct jobs_look *look, struct err *e);
struct jobs_list {
    struct store_job *rows;
    int count, total;
    struct jobs_live *live; /* of all that run, listed or not */
    int live_count;
};
bool jobs_list(struct jobs *jobs, const struct store_job_filter *filter, struct jobs_list *list,
               struct err *e);
void jobs_list_clear(struct jobs_list *list);
/* Batch points of the epoch being trained, not yet in the store: copies, the caller frees. Ask
 * before reading the store, so that none falls between. */
bool jobs_live_points(struct jobs *jobs, int64_t id, struct report_batch **points, int *count,
                      struct err *e);

#endif
