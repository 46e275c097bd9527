#include <stdio.h>
#include <string.h>

#include "check.h"
#include "space.h"
#include "store.h"
#include "store_sql.h"

enum { PAGES_MANY = 256 }; /* 1 MiB */

/* Each function is one transaction that first looks at the state it leaves, so that of two which
 * race the second finds another state and changes nothing. */

static bool read_state(struct store *store, int64_t id, enum job_state *state, struct err *e)
{
    int64_t value;
    if (!sql_number(store, e, &value, -1, "SELECT state FROM jobs WHERE id = ?", "l", id))
        return false;
    *state = (enum job_state)value;
    return value >= 0 || err_set(e, ERR_NOT_FOUND, "no job %lld", (long long)id);
}

static bool wrong_state(int64_t id, enum job_state state, struct err *e)
{
    switch (state) {
    case JOB_QUEUED:
    case JOB_RUNNING:
        return err_set(e, ERR_CONFLICT, "job %lld is %s", (long long)id, job_state_name(state));
    case JOB_CANCELLED:
        return err_set(e, ERR_CONFLICT, "job %lld has already ended: it was cancelled",
                       (long long)id);
    case JOB_SUCCEEDED:
    case JOB_FAILED:
        break;
    }
    return err_set(e, ERR_CONFLICT, "job %lld has already ended: it %s", (long long)id,
                   job_state_name(state));
}

bool store_job_check_state(struct store *store, int64_t id, enum job_state state, struct err *e)
{
    enum job_state is;
    return read_state(store, id, &is, e) && (is == state || wrong_state(id, is, e));
}

/* ---- start ---- */

static bool mark_running(struct store *store, struct store_job *row, struct err *e)
{
    if (!row->started[0])
        store_now(row->started);
    row->state = JOB_RUNNING;
    row->attempts++;
    return sql_run(store, e, "UPDATE jobs SET state = ?, started = ?, attempts = ? WHERE id = ?",
                   "itil", (int)row->state, row->started, row->attempts, row->id);
}

bool store_job_start_next(struct store *store, struct store_job *row, bool *found, struct err *e)
{
    int64_t id = 0;
    if (!store_begin(store, e)) {
        *found = false;
        return false;
    }
    bool ok = sql_number(store, e, &id, 0,
                         "SELECT id FROM jobs WHERE state = ? ORDER BY priority DESC, id LIMIT 1",
                         "i", (int)JOB_QUEUED);
    if (ok && id)
        ok = store_job_read(store, id, row, e) && mark_running(store, row, e);
    ok = store_finish(store, ok, e);
    *found = ok && id;
    if (!ok) {
        store_job_clear(row);
        *row = (struct store_job){.id = 0};
    }
    return ok;
}

bool store_job_started(struct store *store, int64_t id, const struct progress *start, struct err *e)
{
    if (!store_begin(store, e))
        return false;
    int epoch = start->resumed ? start->epoch : 0, batch = start->resumed ? start->batch : 0;
    bool ok =
        store_job_check_state(store, id, JOB_RUNNING, e) &&
        sql_run(store, e,
                "UPDATE jobs SET crashes = 0, interruptions = 0 WHERE id = ?3"
                " AND (resumed_epoch, resumed_batch) < (?1, ?2)",
                "iil", epoch, batch, id) &&
        sql_run(store, e,
                "UPDATE jobs SET parameters = ?, threads = ?, cpu = ?, resumed_epoch = ?,"
                " resumed_batch = ? WHERE id = ?",
                "litiil", (int64_t)start->parameters, start->threads, start->cpu, epoch, batch, id);
    return store_finish(store, ok, e);
}

/* ---- the end ---- */

static bool insert_failures(struct store *store, int64_t id, const struct cnn_eval *eval,
                            struct err *e)
{
    size_t classes = (size_t)eval->classes;
    for (int i = 0; i < eval->failure_count; i++) {
        const struct cnn_failure *failure = &eval->failures[i];
        if (!sql_run(store, e, "INSERT INTO failures VALUES (?, ?, ?, ?, ?, ?, ?)", "liliidb", id,
                     i, (int64_t)failure->sample, (int)failure->actual, (int)failure->predicted,
                     (double)failure->score, eval->failure_scores + (size_t)i * classes,
                     classes * sizeof(float)))
            return false;
    }
    return true;
}

/* What the published weights reached. */
static bool insert_evaluation(struct store *store, int64_t id, const struct progress *done,
                              struct err *e)
{
    const struct cnn_eval *eval = &done->val;
    size_t cells = (size_t)eval->classes * (size_t)eval->classes;
    if (!sql_run(store, e, "INSERT INTO evaluations VALUES (?, ?, ?, ?, ?, ?)", "litibb", id,
                 done->best_epoch, done->split, eval->classes, eval->confusion,
                 cells * sizeof(uint32_t), eval->samples,
                 eval->samples ? eval->count * sizeof(uint32_t) : 0))
        return false;
    if (strcmp(done->split, "test") == 0 &&
        !sql_run(store, e, "UPDATE jobs SET test_loss = ?, test_accuracy = ? WHERE id = ?", "ddl",
                 eval->loss, eval->accuracy, id))
        return false;
    return insert_failures(store, id, eval, e);
}

static bool set_ended(struct store *store, int64_t id, enum job_state state, const char *error,
                      struct err *e)
{
    char now[32];
    store_now(now);
    return sql_run(store, e, "UPDATE jobs SET state = ?, error = ?, finished = ? WHERE id = ?",
                   "ittl", (int)state, error, now, id);
}

static bool insert_result(struct store *store, int64_t id, const struct progress *done,
                          const struct store_model *model, struct err *e)
{
    if (done &&
        !sql_run(store, e, "UPDATE jobs SET best_epoch = ?, weights_sha256 = ? WHERE id = ?", "itl",
                 done->best_epoch, done->weights_sha256, id))
        return false;
    if (done && done->has_val && !insert_evaluation(store, id, done, e))
        return false;
    if (!model)
        return true;
    return store_model_insert(store, model, e) &&
           sql_run(store, e, "UPDATE jobs SET model_version = ? WHERE id = ?", "il", model->version,
                   id);
}

bool store_job_end(struct store *store, int64_t id, enum job_state state, const char *error,
                   const struct progress *done, const struct store_model *model, struct err *e)
{
    CHECK(state != JOB_QUEUED && state != JOB_RUNNING);
    if (!store_begin(store, e))
        return false;
    bool ok = store_job_check_state(store, id, JOB_RUNNING, e) &&
              set_ended(store, id, state, error, e) && insert_result(store, id, done, model, e);
    return store_finish(store, ok, e);
}

static bool cancel_job(struct store *store, int64_t id, struct err *e)
{
    if (!store_begin(store, e))
        return false;
    bool ok = store_job_check_state(store, id, JOB_QUEUED, e) &&
              set_ended(store, id, JOB_CANCELLED, "", e);
    return store_finish(store, ok, e);
}

bool store_job_cancel(struct store *store, int64_t id, struct err *e)
{
    return cancel_job(store, id, e) || (space_spend_reserve(e) && cancel_job(store, id, e));
}

/* The file becomes smaller when the log is written back into it. That happens by itself, some
 * transactions later: there is no harm in failing. */
static void shrink(struct store *store)
{
    struct err ignored;
    store_lock(store);
    sql_run(store, &ignored, "PRAGMA wal_checkpoint", "");
    store_unlock(store);
}

/* pages: of the database that are free now. */
static bool delete_job(struct store *store, int64_t id, int64_t *pages, struct err *e)
{
    enum job_state state;
    if (!store_begin(store, e))
        return false;
    bool ok = read_state(store, id, &state, e);
    if (ok && (state == JOB_QUEUED || state == JOB_RUNNING))
        ok = err_set(e, ERR_CONFLICT, "job %lld is %s: cancel it first", (long long)id,
                     job_state_name(state));
    ok = ok && sql_run(store, e, "DELETE FROM jobs WHERE id = ?", "l", id) &&
         sql_number(store, e, pages, 0, "PRAGMA freelist_count", "") &&
         sql_run(store, e, "PRAGMA incremental_vacuum", "");
    return store_finish(store, ok, e);
}

bool store_job_delete(struct store *store, int64_t id, struct err *e)
{
    int64_t pages;
    bool ok = delete_job(store, id, &pages, e) ||
              (space_spend_reserve(e) && delete_job(store, id, &pages, e));
    if (ok && pages >= PAGES_MANY)
        shrink(store);
    return ok;
}

/* ---- back to the queue ---- */

static bool set_queued(struct store *store, int64_t id, struct err *e)
{
    return sql_run(store, e, "UPDATE jobs SET state = ?, error = '', finished = '' WHERE id = ?",
                   "il", (int)JOB_QUEUED, id);
}

bool store_job_requeue(struct store *store, int64_t id, struct err *e)
{
    if (!store_begin(store, e))
        return false;
    bool ok = store_job_check_state(store, id, JOB_RUNNING, e) && set_queued(store, id, e);
    return store_finish(store, ok, e);
}

static bool count_crash(struct store *store, int64_t id, const char *reason, int64_t *crashes,
                        struct err *e)
{
    return sql_number(store, e, crashes, 0,
                      "UPDATE jobs SET crashes = crashes + 1, last_crash = ? WHERE id = ?"
                      " RETURNING crashes",
                      "tl", reason, id);
}

bool store_job_crashed(struct store *store, int64_t id, const char *reason, int retries,
                       enum job_state *state, char *error, struct err *e)
{
    enum { ERROR_BYTES = sizeof((struct store_job *)0)->error };
    int64_t crashes;
    error[0] = '\0';
    if (!store_begin(store, e))
        return false;
    bool ok = store_job_check_state(store, id, JOB_RUNNING, e) &&
              count_crash(store, id, reason, &crashes, e);
    if (ok) {
        *state = crashes > retries ? JOB_FAILED : JOB_QUEUED;
        if (*state == JOB_FAILED && retries > 0)
            snprintf(error, ERROR_BYTES, "%lld crashes without progress, the last: %.400s",
                     (long long)crashes, reason);
        else if (*state == JOB_FAILED)
            snprintf(error, ERROR_BYTES, "%s", reason);
        ok = *state == JOB_FAILED ? set_ended(store, id, *state, error, e)
                                  : set_queued(store, id, e);
    }
    return store_finish(store, ok, e);
}

bool store_jobs_recover(struct store *store, int interruptions, int *queued, int *failed,
                        struct err *e)
{
    char now[32];
    int64_t running = 0, given_up = 0;
    store_now(now);
    if (!store_begin(store, e))
        return false;
    bool ok = sql_run(store, e, "UPDATE jobs SET interruptions = interruptions + 1 WHERE state = ?",
                      "i", (int)JOB_RUNNING) &&
              sql_number(store, e, &running, 0, "SELECT count(*) FROM jobs WHERE state = ?", "i",
                         (int)JOB_RUNNING) &&
              sql_number(store, e, &given_up, 0,
                         "SELECT count(*) FROM jobs WHERE state = ? AND interruptions > ?", "ii",
                         (int)JOB_RUNNING, interruptions) &&
              sql_run(store, e,
                      "UPDATE jobs SET state = ?, finished = ?, error = 'the daemon died ' ||"
                      " interruptions || ' times while the job ran without progress'"
                      " WHERE state = ? AND interruptions > ?",
                      "itii", (int)JOB_FAILED, now, (int)JOB_RUNNING, interruptions) &&
              sql_run(store, e, "UPDATE jobs SET state = ? WHERE state = ?", "ii", (int)JOB_QUEUED,
                      (int)JOB_RUNNING);
    *queued = (int)(running - given_up);
    *failed = (int)given_up;
    return store_finish(store, ok, e);
}

static bool check_resumable(struct store *store, const struct store_job *row, int epochs,
                            struct err *e)
{
    if (row->state != JOB_FAILED && row->state != JOB_CANCELLED)
        return wrong_state(row->id, row->state, e);
    /* Its checkpoint may be within the next epoch. */
    if (epochs > 0 && epochs <= row->epoch && epochs != row->epochs)
        return err_field(e, ERR_INVALID, "epochs",
                         "epochs %d are not more than the %d that are done", epochs, row->epoch);
    if (!store_job_has_dataset(store, row, e)) {
        e->code = e->code == ERR_NOT_FOUND ? ERR_CONFLICT : e->code;
        return false;
    }
    return true;
}

bool store_job_resume(struct store *store, int64_t id, int epochs, int queued_max, struct err *e)
{
    struct store_job row = {.id = 0};
    if (!store_begin(store, e))
        return false;
    bool ok =
        store_job_read(store, id, &row, e) && check_resumable(store, &row, epochs, e) &&
        store_job_queue_has_room(store, queued_max, e) && set_queued(store, id, e) &&
        sql_run(store, e, "UPDATE jobs SET crashes = 0, interruptions = 0, epochs = ? WHERE id = ?",
                "il", epochs ? epochs : row.epochs, id);
    store_job_clear(&row);
    return store_finish(store, ok, e);
}
