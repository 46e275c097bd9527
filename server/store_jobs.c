#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "store.h"
#include "store_sql.h"

const char *job_state_name(enum job_state state)
{
    static const char *const names[] = {"queued", "running", "succeeded", "failed", "cancelled"};
    CHECK(state >= JOB_QUEUED && state <= JOB_CANCELLED);
    return names[state];
}

void store_job_clear(struct store_job *row)
{
    free(row->request);
    row->request = NULL;
}

/* ---- reading ---- */

#define JOB_COLUMNS                                                                       \
    "id, state, request, model, dataset, dataset_version, model_version, epochs, epoch,"  \
    " parameters, threads, cpu, error, weights_sha256, created, started, finished, loss," \
    " accuracy, val_loss, val_accuracy, test_loss, test_accuracy, best_epoch,"            \
    " (SELECT max(number) FROM job_events WHERE job = jobs.id)"

static bool read_job(struct sqlite3_stmt *stmt, struct store_job *row, struct err *e)
{
    row->id = sql_int64(stmt, 0);
    row->state = (enum job_state)sql_int(stmt, 1);
    row->request = sql_text_copy(stmt, 2, e);
    sql_text(stmt, 3, row->model, sizeof row->model);
    sql_text(stmt, 4, row->dataset, sizeof row->dataset);
    row->dataset_version = sql_int(stmt, 5);
    row->model_version = sql_int(stmt, 6);
    row->epochs = sql_int(stmt, 7);
    row->epoch = sql_int(stmt, 8);
    row->parameters = (uint64_t)sql_int64(stmt, 9);
    row->threads = sql_int(stmt, 10);
    sql_text(stmt, 11, row->cpu, sizeof row->cpu);
    sql_text(stmt, 12, row->error, sizeof row->error);
    sql_text(stmt, 13, row->weights_sha256, sizeof row->weights_sha256);
    sql_text(stmt, 14, row->created, sizeof row->created);
    sql_text(stmt, 15, row->started, sizeof row->started);
    sql_text(stmt, 16, row->finished, sizeof row->finished);
    row->loss = sql_double(stmt, 17);
    row->accuracy = sql_double(stmt, 18);
    row->val_loss = sql_double(stmt, 19);
    row->val_accuracy = sql_double(stmt, 20);
    row->test_loss = sql_double(stmt, 21);
    row->test_accuracy = sql_double(stmt, 22);
    row->best_epoch = sql_int(stmt, 23);
    row->last_event = sql_int64(stmt, 24);
    return row->request != NULL;
}

/* The only row of the statement into *row; *found says whether there was one. */
static bool read_one(struct store *store, struct sqlite3_stmt *stmt, struct store_job *row,
                     bool *found, struct err *e)
{
    *found = false;
    if (!stmt)
        return false;
    enum sql_step step = sql_next(store, stmt, e);
    bool ok = step != SQL_FAILED;
    if (step == SQL_ROW) {
        ok = read_job(stmt, row, e);
        *found = ok;
    }
    sql_reset(stmt);
    return ok;
}

static bool read_by_id(struct store *store, int64_t id, struct store_job *row, struct err *e)
{
    bool found;
    struct sqlite3_stmt *stmt =
        sql_query(store, e, "SELECT " JOB_COLUMNS " FROM jobs WHERE id = ?", "l", id);
    if (!read_one(store, stmt, row, &found, e))
        return false;
    return found || err_set(e, ERR_NOT_FOUND, "no job %lld", (long long)id);
}

bool store_job_get(struct store *store, int64_t id, struct store_job *row, struct err *e)
{
    store_lock(store);
    bool ok = read_by_id(store, id, row, e);
    store_unlock(store);
    return ok;
}

static bool read_job_row(struct sqlite3_stmt *stmt, void *row, struct err *e)
{
    return read_job(stmt, row, e);
}

static void clear_job_row(void *row)
{
    store_job_clear(row);
}

bool store_jobs(struct store *store, int limit, struct store_job **rows, int *count, int *total,
                struct err *e)
{
    static const struct sql_row_type type = {sizeof **rows, read_job_row, clear_job_row};
    void *list;
    int64_t all = 0;
    store_lock(store);
    struct sqlite3_stmt *stmt = NULL;
    if (sql_number(store, e, &all, 0, "SELECT count(*) FROM jobs", ""))
        stmt = sql_query(store, e, "SELECT " JOB_COLUMNS " FROM jobs ORDER BY id DESC LIMIT ?", "i",
                         limit);
    bool ok = sql_list(store, stmt, &type, &list, count, e);
    store_unlock(store);
    if (!ok)
        return false;
    *rows = list;
    *total = (int)all;
    return true;
}

bool store_job_count(struct store *store, enum job_state state, int *count, struct err *e)
{
    int64_t value = 0;
    store_lock(store);
    bool ok = sql_number(store, e, &value, 0, "SELECT count(*) FROM jobs WHERE state = ?", "i",
                         (int)state);
    store_unlock(store);
    *count = (int)value;
    return ok;
}

/* ---- life of a job ---- */

/* The dataset may have been deleted since the request was checked. */
static bool dataset_exists(struct store *store, const struct store_job *row, struct err *e)
{
    int64_t found;
    if (!sql_number(store, e, &found, 0, "SELECT 1 FROM datasets WHERE name = ? AND version = ?",
                    "ti", row->dataset, row->dataset_version))
        return false;
    return found || err_set(e, ERR_NOT_FOUND, "no version %d of dataset '%s'", row->dataset_version,
                            row->dataset);
}

static bool insert_job(struct store *store, struct store_job *row, const char *key, struct err *e)
{
    store_now(row->created);
    return dataset_exists(store, row, e) &&
           sql_number(store, e, &row->id, 0,
                      "INSERT INTO jobs (state, request, model, dataset, dataset_version, epochs,"
                      " threads, created, idempotency_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
                      " RETURNING id",
                      "itttiiitt", (int)JOB_QUEUED, row->request, row->model, row->dataset,
                      row->dataset_version, row->epochs, row->threads, row->created, key);
}

static bool find_key(struct store *store, const char *key, int64_t *id, struct err *e)
{
    return sql_number(store, e, id, 0, "SELECT id FROM jobs WHERE idempotency_key = ?", "t", key);
}

bool store_job_by_key(struct store *store, const char *idempotency_key, int64_t *id, struct err *e)
{
    store_lock(store);
    bool ok = find_key(store, idempotency_key, id, e);
    store_unlock(store);
    return ok;
}

bool store_job_add(struct store *store, struct store_job *row, const char *idempotency_key,
                   bool *replayed, struct err *e)
{
    *replayed = false;
    if (!store_begin(store, e))
        return false;
    int64_t earlier = 0;
    bool ok = !idempotency_key || find_key(store, idempotency_key, &earlier, e);
    if (ok && earlier) {
        row->id = earlier;
        *replayed = true;
    } else if (ok) {
        ok = insert_job(store, row, idempotency_key, e);
    }
    return store_finish(store, ok, e);
}

bool store_job_start_next(struct store *store, struct store_job *row, bool *found, struct err *e)
{
    char now[32];
    store_now(now);
    *found = false;
    if (!store_begin(store, e))
        return false;
    struct sqlite3_stmt *stmt =
        sql_query(store, e, "SELECT " JOB_COLUMNS " FROM jobs WHERE state = ? ORDER BY id LIMIT 1",
                  "i", (int)JOB_QUEUED);
    bool ok = read_one(store, stmt, row, found, e);
    if (ok && *found)
        ok = sql_run(store, e, "UPDATE jobs SET state = ?, started = ? WHERE id = ?", "itl",
                     (int)JOB_RUNNING, now, row->id);
    ok = store_finish(store, ok, e);
    if (ok && *found) {
        row->state = JOB_RUNNING;
        snprintf(row->started, sizeof row->started, "%s", now);
    } else if (*found) {
        store_job_clear(row);
        *row = (struct store_job){.id = 0};
        *found = false;
    }
    return ok;
}

bool store_job_started(struct store *store, int64_t id, const struct progress *start, struct err *e)
{
    if (!store_begin(store, e))
        return false;
    bool ok = sql_run(store, e, "UPDATE jobs SET parameters = ?, threads = ?, cpu = ? WHERE id = ?",
                      "litl", (int64_t)start->parameters, start->threads, start->cpu, id);
    return store_finish(store, ok, e);
}

bool store_jobs_interrupted(struct store *store, const char *reason, int *count, struct err *e)
{
    char now[32];
    int64_t running = 0;
    store_now(now);
    if (!store_begin(store, e))
        return false;
    bool ok =
        sql_number(store, e, &running, 0, "SELECT count(*) FROM jobs WHERE state = ?", "i",
                   (int)JOB_RUNNING) &&
        sql_run(store, e, "UPDATE jobs SET state = ?, error = ?, finished = ? WHERE state = ?",
                "itti", (int)JOB_FAILED, reason, now, (int)JOB_RUNNING);
    *count = (int)running;
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

static bool check_not_ended(struct store *store, int64_t id, struct err *e)
{
    int64_t state;
    if (!sql_number(store, e, &state, -1, "SELECT state FROM jobs WHERE id = ?", "l", id))
        return false;
    if (state < 0)
        return err_set(e, ERR_NOT_FOUND, "no job %lld", (long long)id);
    if (state != JOB_QUEUED && state != JOB_RUNNING)
        return err_set(e, ERR_CONFLICT, "job %lld has already ended: it %s", (long long)id,
                       state == JOB_CANCELLED ? "was cancelled"
                                              : job_state_name((enum job_state)state));
    return true;
}

static bool end_job(struct store *store, int64_t id, enum job_state state, const char *error,
                    const struct progress *done, const struct store_model *model, struct err *e)
{
    char now[32];
    store_now(now);
    if (!sql_run(store, e, "UPDATE jobs SET state = ?, error = ?, finished = ? WHERE id = ?",
                 "ittl", (int)state, error ? error : "", now, id))
        return false;
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
    bool ok = check_not_ended(store, id, e) && end_job(store, id, state, error, done, model, e);
    return store_finish(store, ok, e);
}

bool store_job_delete(struct store *store, int64_t id, struct err *e)
{
    struct store_job row = {.id = 0};
    if (!store_begin(store, e))
        return false;
    bool ok = read_by_id(store, id, &row, e);
    if (ok && (row.state == JOB_QUEUED || row.state == JOB_RUNNING))
        ok = err_set(e, ERR_CONFLICT, "job %lld is %s: cancel it first", (long long)id,
                     job_state_name(row.state));
    ok = ok && sql_run(store, e, "DELETE FROM jobs WHERE id = ?", "l", id);
    store_job_clear(&row);
    return store_finish(store, ok, e);
}
