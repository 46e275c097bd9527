#include <stdlib.h>
#include <string.h>

#include "space.h"
#include "store.h"
#include "store_sql.h"

bool store_next_version(struct store *store, const char *kind, const char *name, int *version,
                        struct err *e)
{
    int64_t next = 0;
    if (!store_begin(store, e))
        return false;
    bool ok = sql_number(store, e, &next, 0,
                         "INSERT INTO counters VALUES (?1, ?2, 1) ON CONFLICT (kind, name)"
                         " DO UPDATE SET version = version + 1 RETURNING version",
                         "tt", kind, name);
    *version = (int)next;
    return store_finish(store, ok, e);
}

bool store_last_version(struct store *store, const char *kind, const char *name, int *version,
                        struct err *e)
{
    int64_t last = 0;
    store_lock(store);
    bool ok =
        sql_number(store, e, &last, 0, "SELECT version FROM counters WHERE kind = ? AND name = ?",
                   "tt", kind, name);
    store_unlock(store);
    *version = (int)last;
    return ok;
}

/* ---- datasets ---- */

void store_dataset_clear(struct store_dataset *row)
{
    free(row->info);
    row->info = NULL;
}

#define DATASET_COLUMNS "name, version, info, bytes, created, sha256"

bool store_dataset_add(struct store *store, const struct store_dataset *row, struct err *e)
{
    if (!store_begin(store, e))
        return false;
    bool ok = sql_run(
        store, e, "INSERT INTO datasets (" DATASET_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?)", "titltt",
        row->name, row->version, row->info, (int64_t)row->bytes, row->created, row->sha256);
    return store_finish(store, ok, e);
}

static bool read_dataset(struct sqlite3_stmt *stmt, struct store_dataset *row, struct err *e)
{
    sql_text(stmt, 0, row->name, sizeof row->name);
    row->version = sql_int(stmt, 1);
    row->info = sql_text_copy(stmt, 2, e);
    row->bytes = (uint64_t)sql_int64(stmt, 3);
    sql_text(stmt, 4, row->created, sizeof row->created);
    sql_text(stmt, 5, row->sha256, sizeof row->sha256);
    return row->info != NULL;
}

bool store_dataset_get(struct store *store, const char *name, int version,
                       struct store_dataset *row, struct err *e)
{
    bool ok = false;
    store_lock(store);
    struct sqlite3_stmt *stmt =
        sql_query(store, e,
                  "SELECT " DATASET_COLUMNS " FROM datasets WHERE name = ?1 AND ?2 IN (0, version)"
                  " ORDER BY version DESC LIMIT 1",
                  "ti", name, version);
    if (stmt) {
        enum sql_step step = sql_next(store, stmt, e);
        if (step == SQL_ROW)
            ok = read_dataset(stmt, row, e);
        else if (step == SQL_DONE && version == 0)
            err_set(e, ERR_NOT_FOUND, "no dataset '%s'", name);
        else if (step == SQL_DONE)
            err_set(e, ERR_NOT_FOUND, "no version %d of dataset '%s'", version, name);
        sql_reset(stmt);
    }
    store_unlock(store);
    return ok;
}

bool store_dataset_exists(struct store *store, const char *name, int version, bool *exists,
                          struct err *e)
{
    int64_t found = 0;
    store_lock(store);
    bool ok =
        sql_number(store, e, &found, 0, "SELECT 1 FROM datasets WHERE name = ? AND version = ?",
                   "ti", name, version);
    store_unlock(store);
    *exists = found != 0;
    return ok;
}

static bool read_dataset_row(struct sqlite3_stmt *stmt, void *row, struct err *e)
{
    return read_dataset(stmt, row, e);
}

static void clear_dataset_row(void *row)
{
    store_dataset_clear(row);
}

bool store_datasets(struct store *store, struct store_dataset **rows, int *count, struct err *e)
{
    static const struct sql_row_type type = {sizeof **rows, read_dataset_row, clear_dataset_row};
    void *list;
    store_lock(store);
    struct sqlite3_stmt *stmt =
        sql_query(store, e, "SELECT " DATASET_COLUMNS " FROM datasets ORDER BY name, version", "");
    bool ok = sql_list(store, stmt, &type, &list, count, e);
    store_unlock(store);
    if (ok)
        *rows = list;
    return ok;
}

/* Refuses when a job that has not ended reads the dataset. */
static bool dataset_is_free(struct store *store, const char *name, struct err *e)
{
    int64_t job;
    if (!sql_number(store, e, &job, 0,
                    "SELECT id FROM jobs WHERE dataset = ? AND state IN (?, ?) LIMIT 1", "tii",
                    name, (int)JOB_QUEUED, (int)JOB_RUNNING))
        return false;
    if (job)
        return err_set(e, ERR_CONFLICT, "dataset '%s' is used by job %lld, which has not ended",
                       name, (long long)job);
    return true;
}

static bool delete_dataset(struct store *store, const char *name, struct err *e)
{
    int64_t versions = 0;
    if (!store_begin(store, e))
        return false;
    bool ok = sql_number(store, e, &versions, 0, "SELECT count(*) FROM datasets WHERE name = ?",
                         "t", name);
    if (ok && versions == 0)
        ok = err_set(e, ERR_NOT_FOUND, "no dataset '%s'", name);
    ok = ok && dataset_is_free(store, name, e) &&
         sql_run(store, e, "DELETE FROM datasets WHERE name = ?", "t", name);
    return store_finish(store, ok, e);
}

bool store_dataset_delete(struct store *store, const char *name, struct err *e)
{
    return delete_dataset(store, name, e) ||
           (space_spend_reserve(e) && delete_dataset(store, name, e));
}

/* ---- models ---- */

bool store_model_insert(struct store *store, const struct store_model *row, struct err *e)
{
    if (row->active &&
        !sql_run(store, e, "UPDATE models SET active = 0 WHERE name = ?", "t", row->name))
        return false;
    return sql_run(store, e,
                   "INSERT INTO models (name, version, sha256, job, created, active, info)"
                   " VALUES (?, ?, ?, ?, ?, ?, ?)",
                   "titttit", row->name, row->version, row->sha256, row->job, row->created,
                   (int)row->active, row->info ? row->info : "");
}

bool store_model_add(struct store *store, const struct store_model *row, struct err *e)
{
    return store_begin(store, e) && store_finish(store, store_model_insert(store, row, e), e);
}

bool store_model_exists(struct store *store, const char *name, int version, bool *exists,
                        struct err *e)
{
    int64_t found = 0;
    store_lock(store);
    bool ok = sql_number(store, e, &found, 0, "SELECT 1 FROM models WHERE name = ? AND version = ?",
                         "ti", name, version);
    store_unlock(store);
    *exists = found != 0;
    return ok;
}

static bool read_model_row(struct sqlite3_stmt *stmt, void *model, struct err *e)
{
    struct store_model *row = model;
    sql_text(stmt, 0, row->name, sizeof row->name);
    row->version = sql_int(stmt, 1);
    sql_text(stmt, 2, row->sha256, sizeof row->sha256);
    sql_text(stmt, 3, row->job, sizeof row->job);
    sql_text(stmt, 4, row->created, sizeof row->created);
    row->active = sql_int(stmt, 5) != 0;
    row->info = sql_text_copy(stmt, 6, e);
    return row->info != NULL;
}

void store_model_clear(struct store_model *row)
{
    free(row->info);
    row->info = NULL;
}

static void clear_model_row(void *row)
{
    store_model_clear(row);
}

void store_models_free(struct store_model *rows, int count)
{
    for (int i = 0; i < count; i++)
        store_model_clear(&rows[i]);
    free(rows);
}

bool store_models(struct store *store, struct store_model **rows, int *count, struct err *e)
{
    static const struct sql_row_type type = {sizeof **rows, read_model_row, clear_model_row};
    void *list;
    store_lock(store);
    struct sqlite3_stmt *stmt =
        sql_query(store, e,
                  "SELECT name, version, sha256, job, created, active, info FROM models"
                  " ORDER BY name, version",
                  "");
    bool ok = sql_list(store, stmt, &type, &list, count, e);
    store_unlock(store);
    if (ok)
        *rows = list;
    return ok;
}

bool store_model_describe(struct store *store, const char *name, int version, const char *info,
                          struct err *e)
{
    return store_begin(store, e) &&
           store_finish(store,
                        sql_run(store, e,
                                "UPDATE models SET info = ? WHERE name = ? AND version = ?", "tti",
                                info, name, version),
                        e);
}

bool store_model_activate(struct store *store, const char *name, int version, struct err *e)
{
    int64_t found = 0;
    if (!store_begin(store, e))
        return false;
    bool ok = sql_number(store, e, &found, 0, "SELECT 1 FROM models WHERE name = ? AND version = ?",
                         "ti", name, version);
    if (ok && !found)
        ok = err_set(e, ERR_NOT_FOUND, "no version %d of model '%s'", version, name);
    ok = ok && sql_run(store, e, "UPDATE models SET active = (version = ?2) WHERE name = ?1", "ti",
                       name, version);
    return store_finish(store, ok, e);
}

static bool delete_model(struct store *store, const char *name, int version, struct err *e)
{
    int64_t found = 0;
    if (!store_begin(store, e))
        return false;
    bool ok = sql_number(store, e, &found, 0,
                         "SELECT count(*) FROM models WHERE name = ?1 AND ?2 IN (0, version)", "ti",
                         name, version);
    if (ok && found == 0) {
        if (version == 0)
            ok = err_set(e, ERR_NOT_FOUND, "no model '%s'", name);
        else
            ok = err_set(e, ERR_NOT_FOUND, "no version %d of model '%s'", version, name);
    }
    ok = ok &&
         sql_run(store, e, "DELETE FROM models WHERE name = ?1 AND ?2 IN (0, version)", "ti", name,
                 version) &&
         sql_run(store, e,
                 "UPDATE models SET active = 1 WHERE name = ?1"
                 " AND version = (SELECT max(version) FROM models WHERE name = ?1)"
                 " AND NOT EXISTS (SELECT 1 FROM models WHERE name = ?1 AND active = 1)",
                 "t", name);
    return store_finish(store, ok, e);
}

bool store_model_delete(struct store *store, const char *name, int version, struct err *e)
{
    return delete_model(store, name, version, e) ||
           (space_spend_reserve(e) && delete_model(store, name, version, e));
}
