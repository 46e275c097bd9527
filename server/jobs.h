/* jobs.h - the scheduler: takes queued jobs one after the other, runs each in a worker process,
 * stores what it reports, publishes its model.
 *
 * One thread owns it all (poll on the worker's pipe, its pidfd and a wake-up); other threads only
 * post wake-ups, ask for live figures and request cancels, under one mutex.
 */
#ifndef STRIDED_JOBS_H
#define STRIDED_JOBS_H

#include "config.h"
#include "job_json.h"
#include "registry.h"

struct jobs;
/* Marks jobs that a dead daemon left running as failed, then starts the scheduler thread. */
struct jobs *jobs_new(const struct config *config, struct store *store,
                      struct registry *registry, struct err *e);
/* Ends the running worker (its job fails with "the daemon was stopped"), joins the thread. */
void jobs_free(struct jobs *jobs);

/* Checks the request against its dataset (the net is built once, so that a bad architecture is
 * refused here), fills in the version and the default architecture, stores it durably, wakes the
 * scheduler. replayed: the Idempotency-Key was seen before and *id is that job. */
bool jobs_post(struct jobs *jobs, struct job_request *request, const char *idempotency_key,
               int64_t *id, bool *replayed, struct err *e);
/* Ends a queued job at once; asks a running one's worker to stop. ERR_CONFLICT when it has
 * ended. */
bool jobs_cancel(struct jobs *jobs, int64_t id, struct err *e);

/* The figures of the epoch being trained; false when the job is not running. */
struct jobs_live {
    int epoch, batch, batches;
    double loss, accuracy, samples_per_second, eta_seconds;
};
bool jobs_live(struct jobs *jobs, int64_t id, struct jobs_live *live);
/* Batch points not yet in the store (since the last epoch): copies, the caller frees. */
bool jobs_live_points(struct jobs *jobs, int64_t id, struct report_batch **points, int *count);

/* `strided worker`: reads a job on standard input, trains, reports on descriptor 3, writes the
 * model to the given temporary path. Returns the exit status. See worker.c. */
int worker_main(int argc, char **argv);

#endif
