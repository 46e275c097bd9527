/* store.h - the catalogue of datasets, jobs, metrics and models: the only user of SQLite.
 *
 * store.c speaks SQLite; store_catalog.c holds datasets and models, store_jobs.c jobs,
 * store_job_life.c their states, store_metrics.c what they measured, store_events.c what happened
 * to them; all through store_sql.h.
 * One database, WAL, synchronous=FULL, prepared statements; one connection behind one mutex, so any
 * thread may call. Each function is one transaction: when it returns true, what it wrote is on
 * disk. Rows are handed out as copies that the caller frees with the _clear function.
 */
#ifndef STRIDED_STORE_H
#define STRIDED_STORE_H

#include <stdint.h>

#include "progress.h"
#include "report.h"

struct store;
struct store *store_open(const char *path, struct err *e); /* creates or migrates the schema */
void store_close(struct store *store);                     /* NULL is fine */
/* The time as rows hold it: RFC 3339, UTC. */
void store_now(char text[32]);

/* ---- datasets: one row a version ---- */
struct store_dataset {
    char name[LIMIT_NAME_BYTES + 1];
    int version;
    char *info; /* JSON object for GET /datasets/D, but for its versions (see datasets.c); owned */
    uint64_t bytes;
    char created[32];
    char sha256[65]; /* of the file; "" when it is of a time before sums were kept */
};
void store_dataset_clear(struct store_dataset *row);
/* Versions count up and are never given twice, not even after a delete. */
bool store_next_version(struct store *store, const char *kind, const char *name, int *version,
                        struct err *e); /* kind "dataset" or "model" */
/* The last version given; 0 when there was none. */
bool store_last_version(struct store *store, const char *kind, const char *name, int *version,
                        struct err *e);
bool store_dataset_add(struct store *store, const struct store_dataset *row, struct err *e);
/* version 0 = the newest. ERR_NOT_FOUND: "no dataset 'x'". */
bool store_dataset_get(struct store *store, const char *name, int version,
                       struct store_dataset *row, struct err *e);
bool store_dataset_exists(struct store *store, const char *name, int version, bool *exists,
                          struct err *e);
bool store_datasets(struct store *store, struct store_dataset **rows, int *count, struct err *e);
/* All versions. ERR_CONFLICT while a queued or running job uses one. */
bool store_dataset_delete(struct store *store, const char *name, struct err *e);

/* ---- models: one row a version ---- */
struct store_model {
    char name[LIMIT_NAME_BYTES + 1];
    int version;
    char sha256[65]; /* of the file */
    char job[32];    /* "" when put by hand */
    char created[32];
    bool active; /* the version that answers when none is named */
    char *info;  /* JSON object: what its file holds, see model.h; "" in rows from before it */
};
void store_model_clear(struct store_model *row);             /* of a list */
void store_models_free(struct store_model *rows, int count); /* of a list; NULL is fine */
/* An active row takes that place from the others of its name. */
bool store_model_add(struct store *store, const struct store_model *row, struct err *e);
bool store_model_exists(struct store *store, const char *name, int version, bool *exists,
                        struct err *e);
bool store_models(struct store *store, struct store_model **rows, int *count, struct err *e);
bool store_model_describe(struct store *store, const char *name, int version, const char *info,
                          struct err *e);
bool store_model_activate(struct store *store, const char *name, int version, struct err *e);
bool store_model_delete(struct store *store, const char *name, int version,
                        struct err *e); /* version 0 = all; a new newest becomes active */

/* ---- jobs: queued -> running -> succeeded | failed | cancelled ----
 *
 * A job also goes back: from running to queued when its worker stopped short of the end, from
 * failed or cancelled to queued when it is resumed. Each step is conditional on the state it
 * leaves: ERR_CONFLICT when the job is in another one. */
enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_SUCCEEDED, JOB_FAILED, JOB_CANCELLED };
enum { JOB_STATE_COUNT = JOB_CANCELLED + 1 };
const char *job_state_name(enum job_state state);
bool job_state_is_end(enum job_state state); /* not queued or running */
struct store_job {
    int64_t id; /* counts up, never reused */
    enum job_state state;
    char *request; /* JSON of job_request_write, as posted; NULL in a list that left it out */
    char model[LIMIT_NAME_BYTES + 1], dataset[LIMIT_NAME_BYTES + 1];
    int dataset_version, model_version; /* model_version 0 until published */
    int priority;
    int epochs, epoch; /* asked for, by the post or by a later resume; finished */
    uint64_t parameters;
    int threads;
    char cpu[16];
    char error[512]; /* "" = none */
    char weights_sha256[65];
    char created[32], started[32], finished[32]; /* RFC 3339, UTC; "" = not yet */
    /* Figures of the last finished epoch and of the end; NAN = none. */
    double loss, accuracy, val_loss, val_accuracy, test_loss, test_accuracy;
    int best_epoch;
    int64_t last_event; /* number of the newest one, see below */
    int attempts;       /* workers started for it */
    /* Since one of them last went on further than the one before: how often the worker crashed, and
     * how often the daemon died while one ran. */
    int crashes, interruptions;
    char last_crash[512];
    int resumed_epoch, resumed_batch; /* where the last one went on; 0, 0 = at the beginning */
};
void store_job_clear(struct store_job *row);
/* Sets row->id; of the rest reads request, model, dataset, dataset_version (which must exist),
 * priority, epochs and threads. replayed: the key (NULL = none) was seen before and row->id is that
 * job. ERR_BUSY where queued_max jobs wait. */
bool store_job_add(struct store *store, struct store_job *row, const char *idempotency_key,
                   int queued_max, bool *replayed, struct err *e);
/* The job that was added with this key; *id 0 when there is none. */
bool store_job_by_key(struct store *store, const char *idempotency_key, int64_t *id, struct err *e);
bool store_job_get(struct store *store, int64_t id, struct store_job *row, struct err *e);
/* How many queued jobs run before this queued one. */
bool store_job_ahead(struct store *store, const struct store_job *row, int *count, struct err *e);
bool store_job_count(struct store *store, enum job_state state, int *count, struct err *e);

/* CREATED is the order of ids. */
enum store_job_sort {
    JOB_BY_CREATED,
    JOB_BY_FINISHED,
    JOB_BY_LOSS,
    JOB_BY_ACCURACY,
    JOB_BY_VAL_ACCURACY,
    JOB_BY_TEST_ACCURACY,
};
struct store_job_filter {
    const char *model; /* NULL: any */
    int state;         /* enum job_state; -1: any */
    enum store_job_sort sort;
    bool ascending;
    int limit, offset;
    bool with_request;
};
/* Those of *total that fit the filter which it asks for; without a figure to sort by is last. Not
 * one transaction: a job may be deleted, or change, while the list is read. */
bool store_jobs(struct store *store, const struct store_job_filter *filter, struct store_job **rows,
                int *count, int *total, struct err *e);

/* Queued -> running: the job of the highest priority, of equals the oldest, is returned; when none
 * waits or on failure *found is false and row->id 0. */
bool store_job_start_next(struct store *store, struct store_job *row, bool *found, struct err *e);
/* Of a running job, what its worker said at its start. */
bool store_job_started(struct store *store, int64_t id, const struct progress *start,
                       struct err *e);
/* Of a running job, one epoch: its row, confusion matrix, batch points since the last one, and the
 * job's figures. */
bool store_job_epoch(struct store *store, int64_t id, const struct progress *epoch,
                     const struct report_batch *points, int point_count, struct err *e);
/* Running -> succeeded, failed or cancelled: state, error text, figures, failures, and for a
 * success the model's row, in one transaction. model NULL unless one is published. */
bool store_job_end(struct store *store, int64_t id, enum job_state state, const char *error,
                   const struct progress *done, const struct store_model *model, struct err *e);
/* Running -> queued: it was stopped for no fault of its own. */
bool store_job_requeue(struct store *store, int64_t id, struct err *e);
/* Running -> queued, or failed when it crashed more than `retries` times in a row. *state and
 * error[512] (of a failure) say which. */
bool store_job_crashed(struct store *store, int64_t id, const char *reason, int retries,
                       enum job_state *state, char *error, struct err *e);
/* At start: the running jobs of a daemon that died -> queued; failed where that happened more than
 * `interruptions` times in a row. */
bool store_jobs_recover(struct store *store, int interruptions, int *queued, int *failed,
                        struct err *e);
/* Queued -> cancelled. */
bool store_job_cancel(struct store *store, int64_t id, struct err *e);
/* Failed or cancelled -> queued, with so many epochs (0: as before). ERR_INVALID with field
 * "epochs" when those are others than before and not more than it has finished; ERR_BUSY where
 * queued_max wait. */
bool store_job_resume(struct store *store, int64_t id, int epochs, int queued_max, struct err *e);
/* With all it measured. ERR_CONFLICT unless it has ended. */
bool store_job_delete(struct store *store, int64_t id, struct err *e);

/* What happened to a job, numbered 1, 2, ...: each state it took, each epoch it finished for the
 * first time. Written in the transaction that does it. */
struct store_event {
    int64_t number;
    char time[32];
    enum job_state state;        /* taken; JOB_RUNNING with an epoch */
    struct report_epoch figures; /* epoch 0: it took a state */
};
/* The first `limit` after number `after`; none of a job that is not there. */
bool store_job_events(struct store *store, int64_t id, int64_t after, int limit,
                      struct store_event **rows, int *count, struct err *e);

/* Those after since_epoch; of every `every` one, and the last. */
bool store_job_epochs(struct store *store, int64_t id, int since_epoch, int every,
                      struct report_epoch **rows, int *count, struct err *e);
/* Those after since_epoch, thinned evenly to at most points_max. */
bool store_job_batches(struct store *store, int64_t id, int since_epoch, int points_max,
                       struct report_batch **rows, int *count, struct err *e);
/* epoch 0 = the published weights' final one if there is one, else the last. The labels are the
 * dataset's: kept with the job. ERR_NOT_FOUND when there is none (yet). */
struct store_confusion {
    int epoch, classes;
    uint32_t *confusion; /* [classes, classes], rows actual; free it */
    char split[16];
};
bool store_job_confusion(struct store *store, int64_t id, int epoch,
                         struct store_confusion *confusion, struct err *e);
/* The samples behind one cell of a matrix, most confident first. ERR_NOT_FOUND also where they are
 * not kept: of too large an evaluation (CNN_CELL_SAMPLES_MAX), of an epoch long past. */
struct store_cell {
    int actual, predicted, offset, limit; /* asked for; not negative */
    int epoch;
    char split[16];
    uint32_t total, count;
    uint32_t *samples; /* [count] of `total`, from `offset` on: places in the split; free it */
};
bool store_job_cell(struct store *store, int64_t id, int epoch, struct store_cell *cell,
                    struct err *e);
bool store_job_set_labels(struct store *store, int64_t id, char *const *labels, int count,
                          struct err *e);
bool store_job_labels(struct store *store, int64_t id, char ***labels, int *count,
                      struct err *e); /* free each, then the array */
/* Of the final evaluation, most confident first; actual and predicted -1 = any. */
struct store_failures {
    int count, classes;
    struct cnn_failure *failures; /* [count]; free both */
    float *scores;                /* [count, classes] */
    char split[16];               /* "" when nothing was evaluated */
};
bool store_job_failures(struct store *store, int64_t id, int actual, int predicted, int limit,
                        struct store_failures *failures, struct err *e);

#endif
