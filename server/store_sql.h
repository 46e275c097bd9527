/* store_sql.h - how the store's parts speak SQL; private to store*.c.
 *
 * Everything here is called between store_lock and store_unlock, or between store_begin and
 * store_finish, which are the same around a transaction. A statement's text must be a literal: it
 * is prepared the first time and kept. After reading rows, sql_reset the statement.
 */
#ifndef STRIDED_STORE_SQL_H
#define STRIDED_STORE_SQL_H

#include <stddef.h>
#include <stdint.h>

#include "store.h"

struct sqlite3_stmt;

void store_lock(struct store *store);
void store_unlock(struct store *store);
bool store_begin(struct store *store, struct err *e); /* on failure it is not locked */
/* Commits if ok, else rolls back; true when the transaction is on disk. */
bool store_finish(struct store *store, bool ok, struct err *e);

/* Binds values by types: t text (NULL = null), i int, l int64_t, d double (NaN = null), b blob
 * (pointer and size_t). They are borrowed until the statement is reset. */
bool sql_run(struct store *store, struct err *e, const char *text, const char *types, ...);
/* The same for statements that give rows; NULL on failure. */
struct sqlite3_stmt *sql_query(struct store *store, struct err *e, const char *text,
                               const char *types, ...);
enum sql_step { SQL_FAILED, SQL_ROW, SQL_DONE };
enum sql_step sql_next(struct store *store, struct sqlite3_stmt *stmt, struct err *e);
void sql_reset(struct sqlite3_stmt *stmt);
/* The first column of the first row, or `none` when there is no row. */
bool sql_number(struct store *store, struct err *e, int64_t *value, int64_t none, const char *text,
                const char *types, ...);

int64_t sql_int64(struct sqlite3_stmt *stmt, int column);
int sql_int(struct sqlite3_stmt *stmt, int column);
double sql_double(struct sqlite3_stmt *stmt, int column); /* null = NAN */
void sql_text(struct sqlite3_stmt *stmt, int column, char *out, size_t size);
char *sql_text_copy(struct sqlite3_stmt *stmt, int column, struct err *e);
const void *sql_blob(struct sqlite3_stmt *stmt, int column, size_t *size);
/* A malloc'd copy of a blob that must have this size. */
void *sql_blob_copy(struct sqlite3_stmt *stmt, int column, size_t size, struct err *e);

/* Room for one more zeroed element after `count`; NULL (and rows as it was) without memory. */
void *sql_grow(void *rows, int count, size_t size, struct err *e);

/* One kind of row in a list: its size, how it is read into zeroes, and how it is freed (NULL: it
 * owns nothing). */
struct sql_row_type {
    size_t size;
    bool (*read)(struct sqlite3_stmt *stmt, void *row, struct err *e);
    void (*clear)(void *row);
};
/* All rows of a query as an array that the caller frees, NULL when there are none; resets stmt. A
 * NULL stmt is a query that failed already. After a failure nothing is left to free. */
bool sql_list(struct store *store, struct sqlite3_stmt *stmt, const struct sql_row_type *type,
              void **rows, int *count, struct err *e);

/* Parts of transactions. */
bool store_model_insert(struct store *store, const struct store_model *row, struct err *e);
bool store_job_read(struct store *store, int64_t id, struct store_job *row, struct err *e);
bool store_job_has_dataset(struct store *store, const struct store_job *row, struct err *e);
bool store_job_queue_has_room(struct store *store, int queued_max, struct err *e);
/* ERR_CONFLICT unless the job is in this state. */
bool store_job_check_state(struct store *store, int64_t id, enum job_state state, struct err *e);

#endif
