#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "space.h"
#include "store.h"
#include "store_sql.h"

const char *job_state_name(enum job_state state)
{
    static const char *const names[] = {"queued", "running", "succeeded", "failed", "cancelled"};
    CHECK(state >= JOB_QUEUED && state <= JOB_CANCELLED);
    return names[state];
}

bool job_state_is_end(enum job_state state)
{
    return state != JOB_QUEUED && state != JOB_RUNNING;
}

void store_job_clear(struct store_job *row)
{
    free(row->request);
    row->request = NULL;
}

/* ---- reading ---- */

/* All but the request, which may be long. */
#define JOB_COLUMNS                                                                       \
    "id, state, model, dataset, dataset_version, model_version, priority, epochs, epoch," \
    " parameters, threads, cpu, error, weights_sha256, created, started, finished, loss," \
    " accuracy, val_loss, val_accuracy, test_loss, test_accuracy, best_epoch, attempts,"  \
    " crashes, interruptions, last_crash, resumed_epoch, resumed_batch,"                  \
    " (SELECT max(number) FROM job_events WHERE job = jobs.id)"
enum { REQUEST_COLUMN = 31 };

static void read_columns(struct sqlite3_stmt *stmt, struct store_job *row)
{
    row->id = sql_int64(stmt, 0);
    row->state = (enum job_state)sql_int(stmt, 1);
    sql_text(stmt, 2, row->model, sizeof row->model);
    sql_text(stmt, 3, row->dataset, sizeof row->dataset);
    row->dataset_version = sql_int(stmt, 4);
    row->model_version = sql_int(stmt, 5);
    row->priority = sql_int(stmt, 6);
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
    row->attempts = sql_int(stmt, 24);
    row->crashes = sql_int(stmt, 25);
    row->interruptions = sql_int(stmt, 26);
    sql_text(stmt, 27, row->last_crash, sizeof row->last_crash);
    row->resumed_epoch = sql_int(stmt, 28);
    row->resumed_batch = sql_int(stmt, 29);
    row->last_event = sql_int64(stmt, 30);
}

/* The only row of the statement into *row; *found says whether there was one. */
static bool read_one(struct store *store, struct sqlite3_stmt *stmt, bool with_request,
                     struct store_job *row, bool *found, struct err *e)
{
    *found = false;
    if (!stmt)
        return false;
    enum sql_step step = sql_next(store, stmt, e);
    bool ok = step != SQL_FAILED;
    if (step == SQL_ROW) {
        read_columns(stmt, row);
        row->request = with_request ? sql_text_copy(stmt, REQUEST_COLUMN, e) : NULL;
        ok = row->request || !with_request;
        *found = ok;
    }
    sql_reset(stmt);
    return ok;
}

bool store_job_read(struct store *store, int64_t id, struct store_job *row, struct err *e)
{
    bool found;
    struct sqlite3_stmt *stmt =
        sql_query(store, e, "SELECT " JOB_COLUMNS ", request FROM jobs WHERE id = ?", "l", id);
    if (!read_one(store, stmt, true, row, &found, e))
        return false;
    return found || err_set(e, ERR_NOT_FOUND, "no job %lld", (long long)id);
}

bool store_job_get(struct store *store, int64_t id, struct store_job *row, struct err *e)
{
    store_lock(store);
    bool ok = store_job_read(store, id, row, e);
    store_unlock(store);
    return ok;
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

bool store_job_ahead(struct store *store, const struct store_job *row, int *count, struct err *e)
{
    int64_t value = 0;
    store_lock(store);
    bool ok = sql_number(store, e, &value, 0,
                         "SELECT count(*) FROM jobs WHERE state = ?1 AND"
                         " (priority > ?2 OR (priority = ?2 AND id < ?3))",
                         "iil", (int)JOB_QUEUED, row->priority, row->id);
    store_unlock(store);
    *count = (int)value;
    return ok;
}

/* ---- lists ---- */

#define FITS " WHERE (?1 IS NULL OR model = ?1) AND (?2 < 0 OR state = ?2)"
#define FIGURE                                                                 \
    "CASE ?3 WHEN 0 THEN id WHEN 1 THEN nullif(finished, '') WHEN 2 THEN loss" \
    " WHEN 3 THEN accuracy WHEN 4 THEN val_accuracy ELSE test_accuracy END"

_Static_assert(JOB_BY_CREATED == 0 && JOB_BY_FINISHED == 1 && JOB_BY_LOSS == 2 &&
                   JOB_BY_ACCURACY == 3 && JOB_BY_VAL_ACCURACY == 4 && JOB_BY_TEST_ACCURACY == 5,
               "FIGURE holds these numbers");

/* The ids alone, which are all that is sorted. The newest are found without looking at the rest. */
static struct sqlite3_stmt *query_ids(struct store *store, const struct store_job_filter *f,
                                      struct err *e)
{
    if (f->sort == JOB_BY_CREATED && !f->ascending)
        return sql_query(store, e,
                         "SELECT id FROM jobs" FITS " ORDER BY id DESC LIMIT ?3 OFFSET ?4", "tiii",
                         f->model, f->state, f->limit, f->offset);
    if (f->ascending)
        return sql_query(store, e,
                         "SELECT id FROM jobs" FITS " ORDER BY " FIGURE " IS NULL, " FIGURE
                         ", id LIMIT ?4 OFFSET ?5",
                         "tiiii", f->model, f->state, (int)f->sort, f->limit, f->offset);
    return sql_query(store, e,
                     "SELECT id FROM jobs" FITS " ORDER BY " FIGURE " IS NULL, " FIGURE
                     " DESC, id DESC LIMIT ?4 OFFSET ?5",
                     "tiiii", f->model, f->state, (int)f->sort, f->limit, f->offset);
}

static bool read_id_row(struct sqlite3_stmt *stmt, void *row, struct err *e)
{
    (void)e;
    ((struct store_job *)row)->id = sql_int64(stmt, 0);
    return true;
}

/* The row of this id; *found false: it was deleted meanwhile. */
static bool read_listed(struct store *store, struct store_job *row, bool with_request, bool *found,
                        struct err *e)
{
    store_lock(store);
    struct sqlite3_stmt *stmt =
        with_request
            ? sql_query(store, e, "SELECT " JOB_COLUMNS ", request FROM jobs WHERE id = ?", "l",
                        row->id)
            : sql_query(store, e, "SELECT " JOB_COLUMNS " FROM jobs WHERE id = ?", "l", row->id);
    bool ok = read_one(store, stmt, with_request, row, found, e);
    store_unlock(store);
    return ok;
}

/* Row by row, so that nobody waits for a long list. */
static bool read_rows(struct store *store, struct store_job *rows, int *count, bool with_request,
                      struct err *e)
{
    int ids = *count;
    *count = 0;
    for (int i = 0; i < ids; i++) {
        struct store_job *row = &rows[*count];
        bool found;
        *row = (struct store_job){.id = rows[i].id};
        if (!read_listed(store, row, with_request, &found, e))
            return false;
        *count += found;
    }
    return true;
}

bool store_jobs(struct store *store, const struct store_job_filter *filter, struct store_job **rows,
                int *count, int *total, struct err *e)
{
    static const struct sql_row_type type = {sizeof **rows, read_id_row, NULL};
    void *list = NULL;
    int64_t all = 0;
    store_lock(store);
    bool ok = sql_number(store, e, &all, 0, "SELECT count(*) FROM jobs" FITS, "ti", filter->model,
                         filter->state) &&
              sql_list(store, query_ids(store, filter, e), &type, &list, count, e);
    store_unlock(store);
    if (!ok)
        return false;
    *rows = list;
    *total = (int)all;
    ok = read_rows(store, *rows, count, filter->with_request, e);
    if (!ok) {
        for (int i = 0; i < *count; i++)
            store_job_clear(&(*rows)[i]);
        free(list);
    }
    return ok;
}

/* ---- adding ---- */

/* The dataset may have been deleted since the request was checked. */
bool store_job_has_dataset(struct store *store, const struct store_job *row, struct err *e)
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
    return space_check_rows(e) && store_job_has_dataset(store, row, e) &&
           sql_number(store, e, &row->id, 0,
                      "INSERT INTO jobs (state, request, model, dataset, dataset_version, priority,"
                      " epochs, threads, created, idempotency_key)"
                      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                      "itttiiiitt", (int)JOB_QUEUED, row->request, row->model, row->dataset,
                      row->dataset_version, row->priority, row->epochs, row->threads, row->created,
                      key);
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

bool store_job_queue_has_room(struct store *store, int queued_max, struct err *e)
{
    int64_t queued;
    if (!sql_number(store, e, &queued, 0, "SELECT count(*) FROM jobs WHERE state = ?", "i",
                    (int)JOB_QUEUED))
        return false;
    return queued < queued_max ||
           err_set(e, ERR_BUSY, "queue is full: %lld jobs wait", (long long)queued);
}

bool store_job_add(struct store *store, struct store_job *row, const char *idempotency_key,
                   int queued_max, bool *replayed, struct err *e)
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
        ok = store_job_queue_has_room(store, queued_max, e) &&
             insert_job(store, row, idempotency_key, e);
    }
    return store_finish(store, ok, e);
}
