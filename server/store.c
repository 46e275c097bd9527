#include "store.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "store_schema.h"
#include "store_sql.h"

enum { STATEMENTS_MAX = 128, BUSY_TIMEOUT_MS = 5000 };

struct store {
    pthread_mutex_t mutex; /* guards all below: the connection and its statements */
    sqlite3 *db;
    struct {
        const char *text; /* a literal: its address is its name */
        sqlite3_stmt *stmt;
    } statements[STATEMENTS_MAX];
    int statement_count;
};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blobs hold little-endian values");

/* ---- opening ---- */

/* number: errno as the failed call left it, 0 = none. SQLite tells a disk that is full while
 * writing from one that fails, but not while syncing, and keeps no errno of a failed commit. */
static enum err_code error_code(int code, int number)
{
    switch (code) {
    case SQLITE_FULL:
        return ERR_NO_SPACE;
    case SQLITE_IOERR:
        return number == ENOSPC || number == EDQUOT ? ERR_NO_SPACE : ERR_IO;
    case SQLITE_NOMEM:
        return ERR_NO_MEMORY;
    case SQLITE_CONSTRAINT:
        return ERR_CONFLICT;
    default:
        return ERR_IO;
    }
}

static bool sql_error(struct store *store, struct err *e)
{
    int code = sqlite3_errcode(store->db), number = code == SQLITE_IOERR ? errno : 0;
    return err_set(e, error_code(code, number), "database: %s%s%s", sqlite3_errmsg(store->db),
                   number ? ": " : "", number ? strerror(number) : "");
}

/* Statements without values or rows that run once or seldom. */
static bool execute(struct store *store, const char *text, struct err *e)
{
    errno = 0;
    return sqlite3_exec(store->db, text, NULL, NULL, NULL) == SQLITE_OK || sql_error(store, e);
}

static bool migrate(struct store *store, struct err *e)
{
    const int64_t newest = sizeof store_migrations / sizeof store_migrations[0];
    int64_t version;
    if (!store_begin(store, e))
        return false;
    bool ok = sql_number(store, e, &version, 0, "PRAGMA user_version", "");
    if (ok && version > newest)
        ok = err_set(e, ERR_IO, "database is of a newer strided (schema %lld, known %lld)",
                     (long long)version, (long long)newest);
    for (; ok && version < newest; version++) {
        char pragma[64];
        snprintf(pragma, sizeof pragma, "PRAGMA user_version = %d", (int)version + 1);
        ok = execute(store, store_migrations[version], e) && execute(store, pragma, e);
    }
    return store_finish(store, ok, e);
}

/* "database: file is not a database at 'data/strided.db'" */
static void at_path(struct err *e, const char *path)
{
    size_t used = strlen(e->detail);
    snprintf(e->detail + used, sizeof e->detail - used, " at '%s'", path);
}

/* auto_vacuum is for databases that are made now: it lets deletes shrink the file. What is sorted
 * stays in memory: no file outside the data directory. */
static const char setup[] = "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
                            "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                            "PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 4194304;";

struct store *store_open(const char *path, struct err *e)
{
    struct store *store = calloc(1, sizeof *store);
    if (!store) {
        err_no_memory(e);
        return NULL;
    }
    pthread_mutex_init(&store->mutex, NULL);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &store->db, flags, NULL) != SQLITE_OK) {
        if (store->db)
            sql_error(store, e);
        else
            err_no_memory(e);
        goto out;
    }
    sqlite3_busy_timeout(store->db, BUSY_TIMEOUT_MS);
    if (execute(store, setup, e) && migrate(store, e))
        return store;
out:
    store_close(store);
    at_path(e, path);
    return NULL;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    for (int i = 0; i < store->statement_count; i++)
        sqlite3_finalize(store->statements[i].stmt);
    sqlite3_close(store->db);
    pthread_mutex_destroy(&store->mutex);
    free(store);
}

void store_now(char text[32])
{
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

/* ---- transactions ---- */

void store_lock(struct store *store)
{
    pthread_mutex_lock(&store->mutex);
}

void store_unlock(struct store *store)
{
    pthread_mutex_unlock(&store->mutex);
}

bool store_begin(struct store *store, struct err *e)
{
    store_lock(store);
    if (sql_run(store, e, "BEGIN IMMEDIATE", ""))
        return true;
    store_unlock(store);
    return false;
}

bool store_finish(struct store *store, bool ok, struct err *e)
{
    if (ok)
        ok = sql_run(store, e, "COMMIT", "");
    /* Some failures (disk full) have rolled back already. */
    if (!ok && !sqlite3_get_autocommit(store->db)) {
        struct err ignored; /* the first failure is the one to tell */
        sql_run(store, &ignored, "ROLLBACK", "");
    }
    store_unlock(store);
    return ok;
}

/* ---- statements ---- */

static sqlite3_stmt *statement(struct store *store, const char *text, struct err *e)
{
    for (int i = 0; i < store->statement_count; i++) {
        if (store->statements[i].text == text)
            return store->statements[i].stmt;
    }
    CHECK(store->statement_count < STATEMENTS_MAX);
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v3(store->db, text, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) !=
        SQLITE_OK) {
        sql_error(store, e);
        return NULL;
    }
    store->statements[store->statement_count].text = text;
    store->statements[store->statement_count++].stmt = stmt;
    return stmt;
}

static int bind_value(sqlite3_stmt *stmt, int index, char type, va_list *values)
{
    switch (type) {
    case 't':
        return sqlite3_bind_text(stmt, index, va_arg(*values, const char *), -1, SQLITE_STATIC);
    case 'i':
        return sqlite3_bind_int(stmt, index, va_arg(*values, int));
    case 'l':
        return sqlite3_bind_int64(stmt, index, va_arg(*values, int64_t));
    case 'd':
        return sqlite3_bind_double(stmt, index, va_arg(*values, double));
    case 'b': {
        const void *bytes = va_arg(*values, const void *);
        size_t size = va_arg(*values, size_t);
        return sqlite3_bind_blob64(stmt, index, bytes, size, SQLITE_STATIC);
    }
    default:
        return SQLITE_MISUSE;
    }
}

static sqlite3_stmt *bind_all(struct store *store, const char *text, const char *types,
                              va_list *values, struct err *e)
{
    sqlite3_stmt *stmt = statement(store, text, e);
    if (!stmt)
        return NULL;
    for (int i = 0; types[i]; i++) {
        int code = bind_value(stmt, i + 1, types[i], values);
        CHECK(code != SQLITE_MISUSE && code != SQLITE_RANGE);
        if (code != SQLITE_OK) {
            sql_error(store, e);
            sql_reset(stmt);
            return NULL;
        }
    }
    return stmt;
}

struct sqlite3_stmt *sql_query(struct store *store, struct err *e, const char *text,
                               const char *types, ...)
{
    va_list values;
    va_start(values, types);
    sqlite3_stmt *stmt = bind_all(store, text, types, &values, e);
    va_end(values);
    return stmt;
}

bool sql_run(struct store *store, struct err *e, const char *text, const char *types, ...)
{
    va_list values;
    va_start(values, types);
    sqlite3_stmt *stmt = bind_all(store, text, types, &values, e);
    va_end(values);
    if (!stmt)
        return false;
    enum sql_step step;
    while ((step = sql_next(store, stmt, e)) == SQL_ROW)
        ;
    sql_reset(stmt);
    return step == SQL_DONE;
}

bool sql_number(struct store *store, struct err *e, int64_t *value, int64_t none, const char *text,
                const char *types, ...)
{
    va_list values;
    va_start(values, types);
    sqlite3_stmt *stmt = bind_all(store, text, types, &values, e);
    va_end(values);
    if (!stmt)
        return false;
    *value = none;
    enum sql_step step = sql_next(store, stmt, e);
    if (step == SQL_ROW) {
        *value = sql_int64(stmt, 0);
        step = sql_next(store, stmt, e);
    }
    sql_reset(stmt);
    return step != SQL_FAILED;
}

enum sql_step sql_next(struct store *store, struct sqlite3_stmt *stmt, struct err *e)
{
    errno = 0;
    switch (sqlite3_step(stmt)) {
    case SQLITE_ROW:
        return SQL_ROW;
    case SQLITE_DONE:
        return SQL_DONE;
    default:
        sql_error(store, e);
        return SQL_FAILED;
    }
}

void sql_reset(struct sqlite3_stmt *stmt)
{
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
}

/* ---- columns ---- */

int64_t sql_int64(struct sqlite3_stmt *stmt, int column)
{
    return sqlite3_column_int64(stmt, column);
}

int sql_int(struct sqlite3_stmt *stmt, int column)
{
    return sqlite3_column_int(stmt, column);
}

double sql_double(struct sqlite3_stmt *stmt, int column)
{
    bool null = sqlite3_column_type(stmt, column) == SQLITE_NULL;
    return null ? (double)NAN : sqlite3_column_double(stmt, column);
}

void sql_text(struct sqlite3_stmt *stmt, int column, char *out, size_t size)
{
    const unsigned char *text = sqlite3_column_text(stmt, column);
    snprintf(out, size, "%s", text ? (const char *)text : "");
}

char *sql_text_copy(struct sqlite3_stmt *stmt, int column, struct err *e)
{
    const unsigned char *text = sqlite3_column_text(stmt, column);
    char *copy = strdup(text ? (const char *)text : "");
    if (!copy)
        err_no_memory(e);
    return copy;
}

const void *sql_blob(struct sqlite3_stmt *stmt, int column, size_t *size)
{
    const void *bytes = sqlite3_column_blob(stmt, column);
    *size = (size_t)sqlite3_column_bytes(stmt, column);
    return bytes;
}

void *sql_blob_copy(struct sqlite3_stmt *stmt, int column, size_t size, struct err *e)
{
    size_t stored;
    const void *bytes = sql_blob(stmt, column, &stored);
    if (stored != size) {
        err_set(e, ERR_IO, "database: a value of %zu bytes where %zu belong", stored, size);
        return NULL;
    }
    void *copy = malloc(size ? size : 1);
    if (!copy)
        err_no_memory(e);
    else if (size)
        memcpy(copy, bytes, size);
    return copy;
}

void *sql_grow(void *rows, int count, size_t size, struct err *e)
{
    /* Doubles at each power of two. */
    if ((count & (count - 1)) == 0) {
        void *grown = reallocarray(rows, count ? 2 * (size_t)count : 1, size);
        if (!grown) {
            err_no_memory(e);
            return NULL;
        }
        rows = grown;
    }
    memset((char *)rows + (size_t)count * size, 0, size);
    return rows;
}

bool sql_list(struct store *store, struct sqlite3_stmt *stmt, const struct sql_row_type *type,
              void **rows, int *count, struct err *e)
{
    char *list = NULL;
    enum sql_step step = SQL_FAILED;
    *count = 0;
    while (stmt && (step = sql_next(store, stmt, e)) == SQL_ROW) {
        char *grown = sql_grow(list, *count, type->size, e);
        if (!grown)
            break;
        list = grown;
        if (!type->read(stmt, list + (size_t)*count * type->size, e))
            break;
        ++*count;
    }
    if (stmt)
        sql_reset(stmt);
    if (step == SQL_DONE) {
        *rows = list;
        return true;
    }
    for (int i = 0; type->clear && i < *count; i++)
        type->clear(list + (size_t)i * type->size);
    free(list);
    return false;
}
