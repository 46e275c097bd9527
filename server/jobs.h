/* jobs.h - the scheduler: takes queued jobs one after the other, runs each in a worker process,
 * stores what it reports, publishes its model.
 *
 * One thread owns the worker (poll on its pipes and a wake-up); other threads only
 * post wake-ups, ask for live figures and request cancels, under one mutex. Lock order: that mutex,
 * then the events', the store's or the registry's.
 */
#ifndef STRIDED_JOBS_H
#define STRIDED_JOBS_H

#include "config.h"
#include "events.h"
#include "job_json.h"
#include "registry.h"
#include "store.h"

struct jobs;
/* Marks jobs that a dead daemon left running as failed, then starts the scheduler thread. */
struct jobs *jobs_new(const struct config *config, struct store *store, struct registry *registry,
                      struct events *events, struct err *e);
/* Ends the running worker (its job fails with "the daemon was stopped"), joins the thread. */
void jobs_free(struct jobs *jobs);

/* Checks the request (job_check.h), stores the job durably, wakes the scheduler. replayed: the
 * Idempotency-Key was seen before with the same request and *id is that job; with another one it
 * is ERR_CONFLICT. ERR_BUSY past LIMIT_JOBS_QUEUED waiting jobs. */
bool jobs_post(struct jobs *jobs, struct job_request *request, const char *idempotency_key,
               int64_t *id, bool *replayed, struct err *e);
/* Ends a queued job at once; asks a running one's worker to stop, and kills it some seconds later
 * if it did not. ERR_CONFLICT when it has ended. */
bool jobs_cancel(struct jobs *jobs, int64_t id, struct err *e);
/* Forgets a job and its reports; its model stays. ERR_CONFLICT while it runs. */
bool jobs_delete(struct jobs *jobs, int64_t id, struct err *e);

/* The figures of the epoch being trained. */
struct jobs_live {
    int64_t id;                /* the running job; 0 = none */
    int epoch, batch, batches; /* batch 0: no figures of this epoch yet */
    double loss, accuracy, samples_per_second, eta_seconds;
};
/* A job as it is now: its row and what runs in one consistent look. When the row says succeeded,
 * the model serves. */
bool jobs_get(struct jobs *jobs, int64_t id, struct store_job *row, struct jobs_live *live,
              struct err *e);
/* The newest `limit` jobs of *total, newest first; the caller clears and frees the rows. */
bool jobs_list(struct jobs *jobs, int limit, struct store_job **rows, int *count, int *total,
               struct jobs_live *live, struct err *e);
/* Batch points of the epoch being trained, not yet in the store: copies, the caller frees. Ask
 * before reading the store, so that none falls between. */
bool jobs_live_points(struct jobs *jobs, int64_t id, struct report_batch **points, int *count,
                      struct err *e);

#endif
