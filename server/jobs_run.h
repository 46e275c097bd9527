/* jobs_run.h - one run of a job: its worker's start, what it says, its end in the store. Private to
 * jobs*.c.
 *
 * A run belongs to the scheduler thread, but for `seen`, which the lock guards. It is also held
 * while a job changes its state, so that whoever holds it finds a job running in the store if and
 * only if a run is seen with its number. Times are monotonic milliseconds.
 */
#ifndef STRIDED_JOBS_RUN_H
#define STRIDED_JOBS_RUN_H

#include <poll.h>
#include <pthread.h>

#include "child.h"
#include "files.h"
#include "jobs.h"
#include "worker.h"

/* What all runs share. */
struct jobs_parts {
    const struct config *config;
    struct store *store;
    struct registry *registry;
    struct events *events;
    pthread_mutex_t lock;
};

/* How a run ends but by success. */
enum run_outcome {
    RUN_GOES_ON,
    RUN_FAILED,
    RUN_CANCELLED,
    RUN_CRASHED,  /* the job is tried again, so often */
    RUN_REQUEUED, /* for no fault of the job's */
};

enum {
    RUN_RETRY_MS = 1000, /* after the store failed */
};

struct run {
    struct jobs_parts *parts;
    struct store_job row; /* id 0: the run is free */
    int batch_size, patience, best_epoch;
    char temp[FILES_PATH_BYTES];              /* where the worker writes the model */
    struct space_claim space;                 /* of the files that the worker writes */
    char dataset_sha256[65], base_sha256[65]; /* for the worker to check; "" = not known */
    struct child child;                       /* pid 0: none, or none any more */
    struct err error;                         /* ours: ends the job as failed */
    struct progress done;                     /* type PROGRESS_DONE once it came; owned */
    struct progress fail;                     /* type PROGRESS_FAIL once it came */
    bool stopped;                             /* PROGRESS_STOPPED came */
    double speed;                             /* samples a second; NAN: not known */
    int64_t heard_ms;                         /* when it last said something */
    int64_t trained_ms;   /* when the epoch's last batch was done; 0: it is not */
    int64_t between_ms;   /* from there to the next epoch: validation, checkpoint */
    int64_t cancel_ms;    /* when a cancel was passed on; 0: none was */
    bool draining;        /* it was asked to stop because the daemon stops */
    bool killed, stalled; /* by us; for its silence */

    /* How it ends, until the store takes it (a disk may be full). */
    enum run_outcome outcome;
    char reason[CHILD_REASON_BYTES];

    struct run_seen {
        struct jobs_live live;                         /* id 0: none */
        struct report_batch points[WORKER_POINTS_MAX]; /* of the epoch being trained */
        int point_count;
        bool cancel_asked;
        bool cancel_closed; /* it is too late for that: the job is being ended */
    } seen;
};

/* Takes the job whose turn it is, if any waits. */
bool run_take(struct run *run, bool *found, struct err *e);
/* Starts its worker. False when none can be started now: the job is queued again. When it is the
 * job's own fault, it has failed or run_advance sees to that. */
bool run_start(struct run *run, int64_t now);

/* What to wait for; fds of -1 are ignored by poll. */
void run_poll(const struct run *run, struct pollfd fds[2]);
/* Deals with what poll found at `now`. */
void run_serve(struct run *run, const struct pollfd fds[2], int64_t now);
/* Deals with what the clock, a cancel or a drain ask for. drain_until 0: none. Returns how long to
 * sleep if nothing happens, -1 = as long as it takes. */
int run_advance(struct run *run, int64_t now, int64_t drain_until);
/* At the very end: an end that the store does not take is left to the next start. */
void run_give_up(struct run *run);

/* Whoever changed a job's state says so here, under the lock. detail may be NULL. */
void run_state_changed(const struct jobs_parts *parts, int64_t id, enum job_state state,
                       const char *detail);

#endif
