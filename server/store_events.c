#include "store.h"
#include "store_sql.h"

static bool read_event(struct sqlite3_stmt *stmt, void *row, struct err *e)
{
    (void)e;
    struct store_event *event = row;
    event->number = sql_int64(stmt, 0);
    sql_text(stmt, 1, event->time, sizeof event->time);
    event->state = (enum job_state)sql_int(stmt, 2);
    event->figures = (struct report_epoch){
        .epoch = sql_int(stmt, 3),
        .loss = sql_double(stmt, 4),
        .accuracy = sql_double(stmt, 5),
        .val_loss = sql_double(stmt, 6),
        .val_accuracy = sql_double(stmt, 7),
        .seconds = sql_double(stmt, 8),
    };
    return true;
}

bool store_job_events(struct store *store, int64_t id, int64_t after, int limit,
                      struct store_event **rows, int *count, struct err *e)
{
    static const struct sql_row_type type = {sizeof **rows, read_event, NULL};
    void *list;
    store_lock(store);
    struct sqlite3_stmt *stmt =
        sql_query(store, e,
                  "SELECT number, time, state, epoch, loss, accuracy, val_loss, val_accuracy,"
                  " seconds FROM job_events LEFT JOIN epochs USING (job, epoch)"
                  " WHERE job = ? AND number > ? ORDER BY number LIMIT ?",
                  "lli", id, after, limit);
    bool ok = sql_list(store, stmt, &type, &list, count, e);
    store_unlock(store);
    if (ok)
        *rows = list;
    return ok;
}
