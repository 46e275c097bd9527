/* The registry alone: publication and deletion while others predict. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "served.h"

enum { READERS = 4, VERSIONS = 12 };

static char root[256];
static struct store *store;
static struct registry *registry;
static struct err error;

static struct registry_options options = {.lanes = 1, .memory_max = (size_t)1 << 30};

static void begin(void)
{
    char path[300];
    harness_tmpdir(root, sizeof root);
    ck_assert_msg(files_open(root, &error), "%s", error.detail);
    snprintf(path, sizeof path, "%s/strided.db", root);
    store = store_open(path, &error);
    registry = registry_new(store, &options, &error);
    ck_assert(store && registry);
}

static void end(void)
{
    registry_free(registry);
    store_close(store);
    files_close();
    harness_rmdir(root);
}

/* A finished model file in tmp/. */
static void write_temp(char *temp)
{
    struct cnn_spec spec = {.layer_count = 0};
    ck_assert(arch_parse_text(PICK_NET, strlen(PICK_NET), NULL, 0, &spec, &error));
    struct cnn_net *net = cnn_net_new(&spec, &error);
    ck_assert_ptr_nonnull(net);
    served_fill(net, 1);
    served_write(net, served_abc, temp, FILES_PATH_BYTES);
    cnn_net_free(net);
    cnn_spec_clear(&spec);
}

static void path_of(int version, char *path)
{
    files_path(path, FILES_PATH_BYTES, "models", "m", version, ".onnx");
}

static struct model *stage(struct store_model *row)
{
    char temp[FILES_PATH_BYTES];
    struct model *model;
    write_temp(temp);
    ck_assert_msg(registry_stage(registry, "m", temp, "5", row, &model, &error), "%s",
                  error.detail);
    return model;
}

static void publish(void)
{
    struct store_model row;
    struct model *model = stage(&row);
    ck_assert_msg(store_model_add(store, &row, &error), "%s", error.detail);
    registry_serve(registry, model);
}

START_TEST(staged_model_is_not_served_before_it_is_stored)
{
    struct store_model row;
    char path[FILES_PATH_BYTES];
    begin();
    struct model *model = stage(&row);
    path_of(1, path);
    ck_assert_str_eq(row.name, "m");
    ck_assert_int_eq(row.version, 1);
    ck_assert_str_eq(row.job, "5");
    ck_assert(row.active);
    ck_assert_ptr_null(registry_acquire(registry, "m", 0, &error));
    ck_assert_int_eq(error.code, ERR_NOT_FOUND);
    ck_assert_int_eq(access(path, F_OK), 0);
    registry_serve(registry, model);
    model_release(registry_acquire(registry, "m", 1, &error));
    end();
}
END_TEST

START_TEST(discarded_model_takes_its_file_along)
{
    char path[FILES_PATH_BYTES];
    struct store_model row;
    begin();
    struct model *model = stage(&row);
    path_of(1, path);
    registry_discard(registry, model);
    ck_assert_int_ne(access(path, F_OK), 0);
    end();
}
END_TEST

START_TEST(file_that_is_no_model_is_refused_and_removed)
{
    char temp[512];
    struct store_model row;
    struct model *model;
    begin();
    snprintf(temp, sizeof temp, "%s/tmp/bad", root);
    FILE *file = fopen(temp, "w");
    fputs("no model at all", file);
    fclose(file);
    ck_assert(!registry_stage(registry, "m", temp, "", &row, &model, &error));
    ck_assert_int_eq(error.code, ERR_UNPROCESSABLE);
    ck_assert_int_ne(access(temp, F_OK), 0);
    end();
}
END_TEST

START_TEST(acquired_version_outlives_its_deletion)
{
    begin();
    publish();
    struct model *model = registry_acquire(registry, "m", 0, &error);
    ck_assert_ptr_nonnull(model);
    ck_assert(registry_delete(registry, "m", 0, &error));
    ck_assert_ptr_null(registry_acquire(registry, "m", 0, &error));
    struct cnn_lane *lane = model_lane_take(model, &error);
    float out[8];
    ck_assert_ptr_nonnull(lane);
    cnn_predict(&lane, 1, (const float[]){1, 2, 3, 4}, 1, out);
    ck_assert_float_eq(out[2], 3);
    model_lane_give(model, lane);
    model_release(model);
    end();
}
END_TEST

static void *delete_all(void *done)
{
    struct err e;
    *(bool *)done = registry_delete(registry, "m", 0, &e);
    return NULL;
}

START_TEST(a_delete_waits_for_the_publication_under_way)
{
    struct store_model row, *rows;
    char path[FILES_PATH_BYTES];
    pthread_t deleter;
    bool deleted = false;
    int count = 1;
    begin();
    struct model *model = stage(&row);
    path_of(1, path);
    registry_hold(registry);
    ck_assert(store_model_add(store, &row, &error));
    ck_assert_int_eq(pthread_create(&deleter, NULL, delete_all, &deleted), 0);
    /* Time enough for a delete that does not wait. */
    for (int i = 0; i < 50 && count > 0; i++) {
        usleep(1000);
        ck_assert(store_models(store, &rows, &count, &error));
        store_models_free(rows, count);
    }
    registry_serve(registry, model);
    registry_let_go(registry);
    pthread_join(deleter, NULL);
    ck_assert(deleted);
    ck_assert_ptr_null(registry_acquire(registry, "m", 0, &error));
    ck_assert_int_ne(access(path, F_OK), 0);
    end();
}
END_TEST

START_TEST(lanes_are_reused)
{
    begin();
    publish();
    struct model *model = registry_acquire(registry, "m", 0, &error);
    struct cnn_lane *first = model_lane_take(model, &error);
    struct cnn_lane *second = model_lane_take(model, &error);
    ck_assert_ptr_ne(first, second);
    model_lane_give(model, first);
    ck_assert_ptr_eq(model_lane_take(model, &error), first);
    model_lane_give(model, first);
    model_lane_give(model, second);
    model_release(model);
    end();
}
END_TEST

static atomic_bool stop;

/* Predicts until told to stop; NULL after a wrong answer. */
static void *predict_all_along(void *served)
{
    struct err e;
    do {
        struct model *model = registry_acquire(registry, "m", 0, &e);
        struct cnn_lane *lane = model ? model_lane_take(model, &e) : NULL;
        float out[8];
        if (!lane)
            return NULL;
        cnn_predict(&lane, 1, (const float[]){5, 6, 7, 8}, 1, out);
        bool right = out[0] == 5 && out[1] == 6 && out[2] == 7;
        model_lane_give(model, lane);
        model_release(model);
        if (!right)
            return NULL;
        ++*(long *)served;
    } while (!atomic_load(&stop));
    return served;
}

START_TEST(versions_come_and_go_under_running_predictions)
{
    pthread_t readers[READERS];
    long served[READERS] = {0};
    begin();
    publish();
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&readers[i], NULL, predict_all_along, &served[i]), 0);
    for (int version = 1; version < VERSIONS; version++) {
        publish();
        ck_assert_msg(registry_delete(registry, "m", version, &error), "%s", error.detail);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++) {
        void *done;
        pthread_join(readers[i], &done);
        ck_assert_ptr_nonnull(done);
        ck_assert_int_gt(served[i], 0);
    }
    struct model *model = registry_acquire(registry, "m", 0, &error);
    ck_assert_int_eq(model->version, VERSIONS);
    model_release(model);
    end();
}
END_TEST

TEST_PROGRAM("server registry", staged_model_is_not_served_before_it_is_stored,
             discarded_model_takes_its_file_along, file_that_is_no_model_is_refused_and_removed,
             acquired_version_outlives_its_deletion, a_delete_waits_for_the_publication_under_way,
             lanes_are_reused, versions_come_and_go_under_running_predictions)
