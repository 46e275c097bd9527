#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "space.h"
#include "store.h"
#include "store_sql.h"

/* ---- epochs and batches ---- */

/* The samples behind the cells are kept of a job's newest epochs, within LIMIT_JOB_CELL_SAMPLES:
 * each epoch that comes takes the place of one. */
static bool drop_old_samples(struct store *store, int64_t id, int epoch, const struct cnn_eval *val,
                             struct err *e)
{
    if (!val || !val->samples)
        return true;
    return sql_run(store, e, "UPDATE epochs SET samples = NULL WHERE job = ? AND epoch = ?", "li",
                   id, epoch - (int)(LIMIT_JOB_CELL_SAMPLES / val->count));
}

static bool insert_epoch(struct store *store, int64_t id, const struct progress *epoch,
                         struct err *e)
{
    /* Without an evaluation: no figures, no matrix. */
    const struct cnn_eval *val = epoch->has_val ? &epoch->val : NULL;
    size_t cells = val ? (size_t)val->classes * (size_t)val->classes : 0;
    size_t samples = val && val->samples ? val->count : 0;
    double val_loss = val ? val->loss : NAN, val_accuracy = val ? val->accuracy : NAN;
    return sql_run(store, e,
                   "INSERT OR REPLACE INTO epochs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                   "lidddddtibb", id, epoch->epoch, epoch->loss, epoch->accuracy, val_loss,
                   val_accuracy, epoch->seconds, val ? epoch->split : "", val ? val->classes : 0,
                   val ? val->confusion : NULL, cells * sizeof(uint32_t), val ? val->samples : NULL,
                   samples * sizeof(uint32_t)) &&
           drop_old_samples(store, id, epoch->epoch, val, e) &&
           sql_run(store, e,
                   "UPDATE jobs SET epoch = ?1, loss = ?2, accuracy = ?3, val_loss = ?4,"
                   " val_accuracy = ?5, best_epoch = CASE WHEN ?6 THEN ?1 ELSE best_epoch END"
                   " WHERE id = ?7",
                   "iddddil", epoch->epoch, epoch->loss, epoch->accuracy, val_loss, val_accuracy,
                   (int)epoch->best, id);
}

bool store_job_epoch(struct store *store, int64_t id, const struct progress *epoch,
                     const struct report_batch *points, int point_count, struct err *e)
{
    if (!space_check_rows(e) || !store_begin(store, e))
        return false;
    bool ok = store_job_check_state(store, id, JOB_RUNNING, e) && insert_epoch(store, id, epoch, e);
    for (int i = 0; ok && i < point_count; i++)
        ok = sql_run(store, e, "INSERT OR REPLACE INTO batches VALUES (?, ?, ?, ?, ?)", "liidd", id,
                     points[i].epoch, points[i].batch, points[i].loss, points[i].lr);
    return store_finish(store, ok, e);
}

static bool read_epoch_row(struct sqlite3_stmt *stmt, void *row, struct err *e)
{
    (void)e;
    *(struct report_epoch *)row = (struct report_epoch){
        .epoch = sql_int(stmt, 0),
        .loss = sql_double(stmt, 1),
        .accuracy = sql_double(stmt, 2),
        .val_loss = sql_double(stmt, 3),
        .val_accuracy = sql_double(stmt, 4),
        .seconds = sql_double(stmt, 5),
    };
    return true;
}

bool store_job_epochs(struct store *store, int64_t id, int since_epoch, int every,
                      struct report_epoch **rows, int *count, struct err *e)
{
    static const struct sql_row_type type = {sizeof **rows, read_epoch_row, NULL};
    void *list;
    store_lock(store);
    struct sqlite3_stmt *stmt =
        sql_query(store, e,
                  "SELECT epoch, loss, accuracy, val_loss, val_accuracy, seconds FROM epochs"
                  " WHERE job = ?1 AND epoch > ?2 AND (epoch % ?3 = 0 OR"
                  " epoch = (SELECT max(epoch) FROM epochs WHERE job = ?1)) ORDER BY epoch",
                  "lii", id, since_epoch, every);
    bool ok = sql_list(store, stmt, &type, &list, count, e);
    store_unlock(store);
    if (ok)
        *rows = list;
    return ok;
}

static bool read_batch_row(struct sqlite3_stmt *stmt, void *row, struct err *e)
{
    (void)e;
    *(struct report_batch *)row = (struct report_batch){
        .epoch = sql_int(stmt, 0),
        .batch = sql_int(stmt, 1),
        .loss = sql_double(stmt, 2),
        .lr = sql_double(stmt, 3),
    };
    return true;
}

bool store_job_batches(struct store *store, int64_t id, int since_epoch, int points_max,
                       struct report_batch **rows, int *count, struct err *e)
{
    static const struct sql_row_type type = {sizeof **rows, read_batch_row, NULL};
    void *list;
    store_lock(store);
    /* Of n points keeps those where floor(i * max / n) moves on: all when n <= max. */
    struct sqlite3_stmt *stmt =
        sql_query(store, e,
                  "SELECT epoch, batch, loss, lr FROM"
                  " (SELECT *, row_number() OVER (ORDER BY epoch, batch) AS i,"
                  " max(count(*) OVER (), ?2) AS n FROM batches WHERE job = ?1 AND epoch > ?3)"
                  " WHERE i * ?2 / n > (i - 1) * ?2 / n ORDER BY epoch, batch",
                  "lii", id, points_max, since_epoch);
    bool ok = sql_list(store, stmt, &type, &list, count, e);
    store_unlock(store);
    if (ok)
        *rows = list;
    return ok;
}

/* ---- evaluations ---- */

static bool read_confusion(struct sqlite3_stmt *stmt, struct store_confusion *confusion,
                           struct err *e)
{
    confusion->epoch = sql_int(stmt, 0);
    confusion->classes = sql_int(stmt, 1);
    sql_text(stmt, 2, confusion->split, sizeof confusion->split);
    size_t classes = (size_t)confusion->classes;
    confusion->confusion = sql_blob_copy(stmt, 3, classes * classes * sizeof(uint32_t), e);
    return confusion->confusion != NULL;
}

/* Stands at the row of epoch, classes, split, confusion, samples; NULL when there is none. */
static struct sqlite3_stmt *find_confusion(struct store *store, int64_t id, int epoch,
                                           struct err *e)
{
    /* Epoch 0 asks for the final evaluation, which sorts before every epoch's. */
    struct sqlite3_stmt *stmt =
        sql_query(store, e,
                  "SELECT epoch, classes, split, confusion, samples FROM"
                  " (SELECT 1 AS final, epoch, classes, split, confusion, samples FROM evaluations"
                  "  WHERE job = ?1 AND ?2 = 0 UNION ALL"
                  "  SELECT 0, epoch, classes, split, confusion, samples FROM epochs"
                  "  WHERE job = ?1 AND ?2 IN (0, epoch) AND confusion IS NOT NULL)"
                  " ORDER BY final DESC, epoch DESC LIMIT 1",
                  "li", id, epoch);
    if (!stmt)
        return NULL;
    enum sql_step step = sql_next(store, stmt, e);
    if (step == SQL_ROW)
        return stmt;
    if (step == SQL_DONE && epoch == 0)
        err_set(e, ERR_NOT_FOUND, "job %lld has no confusion matrix", (long long)id);
    else if (step == SQL_DONE)
        err_set(e, ERR_NOT_FOUND, "job %lld has no confusion matrix of epoch %d", (long long)id,
                epoch);
    sql_reset(stmt);
    return NULL;
}

bool store_job_confusion(struct store *store, int64_t id, int epoch,
                         struct store_confusion *confusion, struct err *e)
{
    store_lock(store);
    struct sqlite3_stmt *stmt = find_confusion(store, id, epoch, e);
    bool ok = stmt && read_confusion(stmt, confusion, e);
    if (stmt)
        sql_reset(stmt);
    store_unlock(store);
    return ok;
}

/* Of all samples, cell after cell, those of one cell; of them [offset, offset + limit). */
static bool cut_cell(const struct store_confusion *confusion, const char *samples, size_t size,
                     struct store_cell *cell, struct err *e)
{
    size_t n = (size_t)confusion->classes * (size_t)confusion->classes;
    size_t at = (size_t)cell->actual * (size_t)confusion->classes + (size_t)cell->predicted;
    uint64_t first = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        first += i < at ? confusion->confusion[i] : 0;
        all += confusion->confusion[i];
    }
    if (size != all * sizeof(uint32_t))
        return err_set(e, ERR_IO, "database: samples of %zu bytes for %llu", size,
                       (unsigned long long)all);
    cell->total = confusion->confusion[at];
    uint32_t offset = (uint32_t)cell->offset < cell->total ? (uint32_t)cell->offset : cell->total;
    uint32_t rest = cell->total - offset;
    cell->count = (uint32_t)cell->limit < rest ? (uint32_t)cell->limit : rest;
    cell->samples = malloc(cell->count * sizeof(uint32_t) + 1);
    if (!cell->samples)
        return err_no_memory(e);
    memcpy(cell->samples, samples + (first + offset) * sizeof(uint32_t),
           cell->count * sizeof(uint32_t));
    return true;
}

static bool read_cell(struct sqlite3_stmt *stmt, int64_t id, struct store_cell *cell, struct err *e)
{
    struct store_confusion confusion = {.epoch = 0};
    size_t size;
    if (!read_confusion(stmt, &confusion, e))
        return false;
    cell->epoch = confusion.epoch;
    memcpy(cell->split, confusion.split, sizeof cell->split);
    const char *samples = sql_blob(stmt, 4, &size);
    bool ok;
    if (cell->actual >= confusion.classes || cell->predicted >= confusion.classes)
        ok = err_set(e, ERR_INVALID, "there are %d classes", confusion.classes);
    else if (!samples)
        ok = err_set(e, ERR_NOT_FOUND, "job %lld keeps no samples of epoch %d", (long long)id,
                     cell->epoch);
    else
        ok = cut_cell(&confusion, samples, size, cell, e);
    free(confusion.confusion);
    return ok;
}

bool store_job_cell(struct store *store, int64_t id, int epoch, struct store_cell *cell,
                    struct err *e)
{
    store_lock(store);
    struct sqlite3_stmt *stmt = find_confusion(store, id, epoch, e);
    bool ok = stmt && read_cell(stmt, id, cell, e);
    if (stmt)
        sql_reset(stmt);
    store_unlock(store);
    return ok;
}

static bool read_failures(struct store *store, struct sqlite3_stmt *stmt,
                          struct store_failures *list, struct err *e)
{
    size_t classes = (size_t)list->classes;
    enum sql_step step;
    while ((step = sql_next(store, stmt, e)) == SQL_ROW) {
        struct cnn_failure *failures = sql_grow(list->failures, list->count, sizeof *failures, e);
        if (!failures)
            return false;
        list->failures = failures;
        float *scores = sql_grow(list->scores, list->count, classes * sizeof(float), e);
        if (!scores)
            return false;
        list->scores = scores;
        size_t size;
        const void *blob = sql_blob(stmt, 4, &size);
        if (size != classes * sizeof(float))
            return err_set(e, ERR_IO, "database: scores of %zu bytes for %d classes", size,
                           list->classes);
        memcpy(scores + (size_t)list->count * classes, blob, size);
        list->failures[list->count++] = (struct cnn_failure){
            .sample = (uint32_t)sql_int64(stmt, 0),
            .actual = (uint16_t)sql_int(stmt, 1),
            .predicted = (uint16_t)sql_int(stmt, 2),
            .score = (float)sql_double(stmt, 3),
        };
    }
    return step == SQL_DONE;
}

/* Split and classes of the final evaluation; both stay empty when there is none. */
static bool read_evaluation_head(struct store *store, int64_t id, struct store_failures *list,
                                 struct err *e)
{
    struct sqlite3_stmt *stmt =
        sql_query(store, e, "SELECT split, classes FROM evaluations WHERE job = ?", "l", id);
    if (!stmt)
        return false;
    enum sql_step step = sql_next(store, stmt, e);
    if (step == SQL_ROW) {
        sql_text(stmt, 0, list->split, sizeof list->split);
        list->classes = sql_int(stmt, 1);
    }
    sql_reset(stmt);
    return step != SQL_FAILED;
}

bool store_job_failures(struct store *store, int64_t id, int actual, int predicted, int limit,
                        struct store_failures *failures, struct err *e)
{
    *failures = (struct store_failures){.count = 0};
    store_lock(store);
    bool ok = read_evaluation_head(store, id, failures, e);
    if (ok && failures->classes > 0) {
        struct sqlite3_stmt *stmt =
            sql_query(store, e,
                      "SELECT sample, actual, predicted, score, scores FROM failures"
                      " WHERE job = ?1 AND ?2 IN (-1, actual) AND ?3 IN (-1, predicted)"
                      " ORDER BY place LIMIT ?4",
                      "liii", id, actual, predicted, limit);
        ok = stmt && read_failures(store, stmt, failures, e);
        if (stmt)
            sql_reset(stmt);
    }
    store_unlock(store);
    if (!ok) {
        free(failures->failures);
        free(failures->scores);
    }
    return ok;
}

/* ---- labels: NUL-terminated texts, one after the other ---- */

bool store_job_set_labels(struct store *store, int64_t id, char *const *labels, int count,
                          struct err *e)
{
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += strlen(labels[i]) + 1;
    char *packed = malloc(size + 1);
    if (!packed)
        return err_no_memory(e);
    char *at = packed;
    for (int i = 0; i < count; i++)
        at = stpcpy(at, labels[i]) + 1;
    bool ok = store_begin(store, e);
    if (ok) {
        ok = sql_run(store, e, "UPDATE jobs SET labels = ? WHERE id = ?", "bl", packed, size, id);
        ok = store_finish(store, ok, e);
    }
    free(packed);
    return ok;
}

static bool unpack_labels(const char *packed, size_t size, char ***labels, int *count,
                          struct err *e)
{
    *labels = NULL;
    *count = 0;
    for (size_t at = 0; at < size; at += strlen(packed + at) + 1) {
        char **grown = sql_grow(*labels, *count, sizeof **labels, e);
        if (!grown)
            return false;
        *labels = grown;
        (*labels)[*count] = strdup(packed + at);
        if (!(*labels)[*count])
            return err_no_memory(e);
        ++*count;
    }
    return true;
}

bool store_job_labels(struct store *store, int64_t id, char ***labels, int *count, struct err *e)
{
    bool ok = false;
    store_lock(store);
    struct sqlite3_stmt *stmt =
        sql_query(store, e, "SELECT labels FROM jobs WHERE id = ?", "l", id);
    if (stmt) {
        enum sql_step step = sql_next(store, stmt, e);
        size_t size = 0;
        const char *packed = step == SQL_ROW ? sql_blob(stmt, 0, &size) : NULL;
        if (step == SQL_DONE)
            err_set(e, ERR_NOT_FOUND, "no job %lld", (long long)id);
        else if (step == SQL_ROW && size > 0 && packed[size - 1] != '\0')
            err_set(e, ERR_IO, "database: labels of job %lld do not end", (long long)id);
        else if (step == SQL_ROW)
            ok = unpack_labels(packed, size, labels, count, e);
        if (step == SQL_ROW && !ok) {
            for (int i = 0; i < *count; i++)
                free((*labels)[i]);
            free(*labels);
        }
        sql_reset(stmt);
    }
    store_unlock(store);
    return ok;
}
