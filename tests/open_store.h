/* open_store.h - one catalogue a test, and rows to put into it; for the tests of the store. */
#ifndef STRIDED_TESTS_OPEN_STORE_H
#define STRIDED_TESTS_OPEN_STORE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "store.h"

static char root[256], path[300];
static struct store *store;
static struct err error;

#define OK(call) ck_assert_msg((call), "%s", error.detail)
#define REFUSED(call, with)                 \
    do {                                    \
        ck_assert(!(call));                 \
        ck_assert_int_eq(error.code, with); \
    } while (0)

static inline void begin(void)
{
    harness_tmpdir(root, sizeof root);
    snprintf(path, sizeof path, "%s/strided.db", root);
    store = store_open(path, &error);
    ck_assert_msg(store, "%s", error.detail);
}

static inline void reopen(void)
{
    store_close(store);
    store = store_open(path, &error);
    ck_assert_msg(store, "%s", error.detail);
}

static inline void end(void)
{
    store_close(store);
    harness_rmdir(root);
}

static inline void add_dataset(const char *name, int version)
{
    struct store_dataset row = {.version = version, .info = (char[]){"{\"a\":1}"}, .bytes = 99};
    snprintf(row.name, sizeof row.name, "%s", name);
    store_now(row.created);
    OK(store_dataset_add(store, &row, &error));
}

static inline struct store_model model_row(const char *name, int version)
{
    struct store_model row = {.version = version, .sha256 = "ab", .job = "7", .active = true};
    snprintf(row.name, sizeof row.name, "%s", name);
    store_now(row.created);
    return row;
}

static inline void add_model(const char *name, int version)
{
    struct store_model row = model_row(name, version);
    OK(store_model_add(store, &row, &error));
}

/* The active version of a name; 0 if none, -1 if several. */
static inline int active_version(const char *name)
{
    struct store_model *rows;
    int count, active = 0;
    OK(store_models(store, &rows, &count, &error));
    for (int i = 0; i < count; i++) {
        if (strcmp(rows[i].name, name) == 0 && rows[i].active)
            active = active ? -1 : rows[i].version;
    }
    store_models_free(rows, count);
    return active;
}

static inline int64_t add_job(const char *key, bool *replayed)
{
    struct store_job row = {.request = (char[]){"{}"},
                            .model = "digits",
                            .dataset = "mnist",
                            .dataset_version = 1,
                            .epochs = 5,
                            .threads = 2};
    OK(store_job_add(store, &row, key, 1000, replayed, &error));
    return row.id;
}

static inline int64_t queue_job(void)
{
    bool replayed;
    return add_job(NULL, &replayed);
}

static inline int64_t run_job(void)
{
    struct store_job row = {0};
    bool found;
    queue_job();
    OK(store_job_start_next(store, &row, &found, &error));
    ck_assert(found);
    store_job_clear(&row);
    return row.id;
}

static inline struct store_job get_job(int64_t id)
{
    struct store_job row = {0};
    OK(store_job_get(store, id, &row, &error));
    return row;
}

#endif
