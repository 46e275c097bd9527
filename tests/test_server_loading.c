/* The registry alone: what is in memory, what is not, and who waits for it. */
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "served.h"

static char root[256];
static struct store *store;
static struct registry *registry;
static struct err error;
static struct registry_options options = {.lanes = 2, .memory_max = (size_t)1 << 30};
static sem_t loaded;

static void open_registry(void)
{
    registry = registry_new(store, &options, &error);
    ck_assert(registry && registry_open(registry, &error));
}

static void begin(void)
{
    char path[300];
    harness_tmpdir(root, sizeof root);
    ck_assert_msg(files_open(root, &error), "%s", error.detail);
    snprintf(path, sizeof path, "%s/strided.db", root);
    store = store_open(path, &error);
    ck_assert_ptr_nonnull(store);
    sem_init(&loaded, 0, 0);
    open_registry();
}

static void on_loaded(void *context)
{
    sem_post(context);
}

static void start(void)
{
    ck_assert(registry_start(registry, on_loaded, &loaded, &error));
    sem_wait(&loaded);
}

/* As a daemon that stops and starts again. */
static void reopen(void)
{
    registry_free(registry);
    open_registry();
    start();
}

static void end(void)
{
    registry_free(registry);
    store_close(store);
    files_close();
    harness_rmdir(root);
}

static void publish(const char *name, float weight)
{
    struct cnn_spec spec = {.layer_count = 0};
    char temp[FILES_PATH_BYTES];
    int version;
    ck_assert(arch_parse_text(PICK_NET, strlen(PICK_NET), NULL, 0, &spec, &error));
    struct cnn_net *net = cnn_net_new(&spec, &error);
    served_fill(net, weight);
    served_write(net, served_abc, temp, sizeof temp);
    ck_assert_msg(registry_publish(registry, name, temp, &version, &error), "%s", error.detail);
    cnn_net_free(net);
    cnn_spec_clear(&spec);
}

static enum registry_state state_of(const char *name, int version)
{
    struct registry_version found;
    ck_assert_msg(registry_find(registry, name, version, &found, &error), "%s", error.detail);
    return found.state;
}

static int active_of(const char *name)
{
    struct registry_version found;
    ck_assert(registry_find(registry, name, 0, &found, &error));
    ck_assert(found.active);
    return found.version;
}

static void use(const char *name, int version)
{
    struct model *model = registry_acquire(registry, name, version, &error);
    ck_assert_msg(model != NULL, "%s", error.detail);
    model_release(model);
}

/* Takes the file of version 1 away, or brings it back. */
static void move_file(const char *name, bool away)
{
    char path[FILES_PATH_BYTES], other[FILES_PATH_BYTES + 8];
    files_path(path, sizeof path, "models", name, 1, ".onnx");
    snprintf(other, sizeof other, "%s.away", path);
    ck_assert_int_eq(rename(away ? path : other, away ? other : path), 0);
}

/* Version 1's file becomes a pipe, so that its load lasts until end_load. */
static void hold_load(const char *name)
{
    char path[FILES_PATH_BYTES];
    files_path(path, sizeof path, "models", name, 1, ".onnx");
    move_file(name, true);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
}

static void end_load(const char *name)
{
    char path[FILES_PATH_BYTES];
    files_path(path, sizeof path, "models", name, 1, ".onnx");
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

/* ---- waiting ---- */

struct waiting {
    struct registry_waiter waiter;
    struct model *model;
    struct err e;
    sem_t told;
};

static void on_told(struct registry_waiter *waiter, struct model *model, const struct err *e)
{
    struct waiting *w = (struct waiting *)waiter;
    w->model = model;
    if (!model)
        w->e = *e;
    sem_post(&w->told);
}

static void await_version(struct waiting *w, const char *name, int version)
{
    *w = (struct waiting){.waiter = {.ready = on_told}};
    sem_init(&w->told, 0, 0);
    registry_await(registry, name, version, &w->waiter);
}

static void check_told(struct waiting *w, int version)
{
    sem_wait(&w->told);
    ck_assert_msg(w->model != NULL, "%s", w->e.detail);
    ck_assert_int_eq(w->model->version, version);
    model_release(w->model);
}

static void check_refused(struct waiting *w, enum err_code code, const char *detail)
{
    sem_wait(&w->told);
    ck_assert_ptr_null(w->model);
    ck_assert_int_eq(w->e.code, code);
    ck_assert_msg(strstr(w->e.detail, detail) != NULL, "'%s' not in '%s'", detail, w->e.detail);
}

/* ---- tests ---- */

START_TEST(active_versions_are_loaded_at_start_and_the_others_when_asked_for)
{
    struct waiting w;
    bool absent = false;
    begin();
    publish("a", 1);
    publish("a", 2);
    publish("b", 3);
    reopen();
    ck_assert_int_eq(state_of("a", 2), REGISTRY_LOADED);
    ck_assert_int_eq(state_of("b", 0), REGISTRY_LOADED);
    ck_assert_int_eq(state_of("a", 1), REGISTRY_UNLOADED);
    ck_assert_ptr_null(registry_acquire_loaded(registry, "a", 1, &absent, &error));
    ck_assert(absent);
    await_version(&w, "a", 1);
    check_told(&w, 1);
    ck_assert_int_eq(state_of("a", 1), REGISTRY_LOADED);
    struct model *model = registry_acquire_loaded(registry, "a", 1, &absent, &error);
    ck_assert_ptr_nonnull(model);
    ck_assert_int_gt(model->sample_ns, 0);
    ck_assert_int_eq(model->idle_count, 2);
    model_release(model);
    end();
}
END_TEST

START_TEST(start_is_over_when_the_last_model_is_loaded_and_holds_up_no_other)
{
    begin();
    publish("a", 1);
    publish("b", 1);
    hold_load("a");
    registry_free(registry);
    open_registry();
    ck_assert(registry_start(registry, on_loaded, &loaded, &error));
    use("b", 0);
    ck_assert_int_eq(state_of("b", 0), REGISTRY_LOADED);
    ck_assert_int_eq(state_of("a", 0), REGISTRY_LOADING);
    ck_assert_int_ne(sem_trywait(&loaded), 0);
    end_load("a");
    sem_wait(&loaded);
    ck_assert_int_eq(state_of("a", 0), REGISTRY_DAMAGED); /* an empty pipe is no model */
    end();
}
END_TEST

START_TEST(a_version_that_is_deleted_while_it_is_loaded_is_gone)
{
    struct waiting w;
    char path[FILES_PATH_BYTES];
    begin();
    publish("a", 1);
    publish("a", 2);
    reopen();
    hold_load("a");
    await_version(&w, "a", 1);
    ck_assert(registry_delete(registry, "a", 1, &error));
    ck_assert_ptr_null(registry_acquire(registry, "a", 1, &error));
    ck_assert_int_eq(error.code, ERR_NOT_FOUND);
    end_load("a");
    check_refused(&w, ERR_NOT_FOUND, "no version 1 of model 'a'");
    use("a", 2);
    registry_free(registry); /* waits for the thread that disposes of it */
    files_path(path, sizeof path, "models", "a", 1, ".onnx");
    ck_assert_int_ne(access(path, F_OK), 0);
    open_registry();
    end();
}
END_TEST

START_TEST(a_registry_without_models_is_loaded_at_once)
{
    begin();
    start();
    ck_assert_ptr_null(registry_acquire(registry, NULL, 0, &error));
    ck_assert_int_eq(error.code, ERR_NOT_FOUND);
    end();
}
END_TEST

START_TEST(acquiring_loads_without_the_loaders_too)
{
    begin();
    publish("a", 1);
    registry_free(registry);
    open_registry();
    use("a", 0);
    ck_assert_int_eq(state_of("a", 0), REGISTRY_LOADED);
    end();
}
END_TEST

START_TEST(what_is_unknown_is_told_to_who_awaits_it)
{
    struct waiting w;
    bool absent = false;
    begin();
    publish("a", 1);
    start();
    await_version(&w, "none", 0);
    check_refused(&w, ERR_NOT_FOUND, "no model 'none'; there are 'a'");
    await_version(&w, "a", 2);
    check_refused(&w, ERR_NOT_FOUND, "no version 2 of model 'a'");
    ck_assert_ptr_null(registry_acquire_loaded(registry, "a", 2, &absent, &error));
    ck_assert(!absent);
    await_version(&w, NULL, 0);
    check_told(&w, 1);
    end();
}
END_TEST

START_TEST(a_damaged_version_is_refused_until_it_is_loaded_again)
{
    struct waiting w;
    bool absent = false;
    begin();
    publish("a", 1);
    move_file("a", true);
    reopen();
    ck_assert_int_eq(state_of("a", 1), REGISTRY_DAMAGED);
    await_version(&w, "a", 0);
    check_refused(&w, ERR_UNAVAILABLE, "version 1 of model 'a' is damaged: no file ");
    ck_assert_ptr_null(registry_acquire(registry, "a", 1, &error));
    ck_assert_ptr_null(registry_acquire_loaded(registry, "a", 1, &absent, &error));
    ck_assert(!absent);
    ck_assert(!registry_load_model(registry, "a", &error));
    move_file("a", false);
    ck_assert_ptr_null(registry_acquire(registry, "a", 1, &error));
    ck_assert(registry_load_model(registry, "a", &error));
    use("a", 1);
    end();
}
END_TEST

START_TEST(a_file_must_be_the_one_in_the_catalogue)
{
    char a[FILES_PATH_BYTES], b[FILES_PATH_BYTES];
    begin();
    publish("a", 1);
    publish("b", 2);
    files_path(a, sizeof a, "models", "a", 1, ".onnx");
    files_path(b, sizeof b, "models", "b", 1, ".onnx");
    ck_assert_int_eq(rename(b, a), 0);
    reopen();
    ck_assert_int_eq(state_of("a", 1), REGISTRY_DAMAGED);
    ck_assert_ptr_null(registry_acquire(registry, "a", 1, &error));
    ck_assert_ptr_nonnull(strstr(error.detail, "SHA-256"));
    end();
}
END_TEST

START_TEST(past_the_limit_the_least_recently_used_is_unloaded)
{
    begin();
    start();
    publish("a", 1);
    publish("b", 1);
    publish("c", 1);
    struct model *a = registry_acquire(registry, "a", 0, &error);
    options.memory_max = 2 * model_memory(a) + 1;
    registry_free(registry);
    model_release(a);
    open_registry();
    start();
    int in_memory = 0;
    for (int i = 0; i < 3; i++)
        in_memory += state_of((const char *[]){"a", "b", "c"}[i], 0) == REGISTRY_LOADED;
    ck_assert_int_eq(in_memory, 2);
    use("a", 0);
    use("b", 0);
    ck_assert_int_eq(state_of("c", 0), REGISTRY_UNLOADED);
    use("a", 0);
    use("c", 0);
    ck_assert_int_eq(state_of("a", 0), REGISTRY_LOADED);
    ck_assert_int_eq(state_of("b", 0), REGISTRY_UNLOADED);
    publish("d", 1);
    ck_assert_int_eq(state_of("d", 0), REGISTRY_LOADED);
    ck_assert_int_eq(state_of("c", 0), REGISTRY_LOADED);
    ck_assert_int_eq(state_of("a", 0), REGISTRY_UNLOADED);
    end();
}
END_TEST

START_TEST(one_model_is_served_however_small_the_limit)
{
    options.memory_max = 1;
    begin();
    publish("a", 1);
    publish("b", 1);
    reopen();
    use("a", 0);
    ck_assert_int_eq(state_of("a", 0), REGISTRY_LOADED);
    ck_assert_int_eq(state_of("b", 0), REGISTRY_UNLOADED);
    use("b", 0);
    ck_assert_int_eq(state_of("a", 0), REGISTRY_UNLOADED);
    end();
}
END_TEST

START_TEST(only_the_active_version_and_the_one_before_stay_in_memory)
{
    begin();
    for (int i = 0; i < 4; i++)
        publish("a", 1);
    ck_assert_int_eq(state_of("a", 4), REGISTRY_LOADED);
    ck_assert_int_eq(state_of("a", 3), REGISTRY_LOADED);
    ck_assert_int_eq(state_of("a", 2), REGISTRY_UNLOADED);
    use("a", 2);
    ck_assert_int_eq(state_of("a", 2), REGISTRY_LOADED);
    publish("a", 1);
    ck_assert_int_eq(state_of("a", 2), REGISTRY_UNLOADED);
    ck_assert_int_eq(state_of("a", 4), REGISTRY_LOADED);
    end();
}
END_TEST

START_TEST(activation_lasts)
{
    begin();
    publish("a", 1);
    publish("a", 2);
    publish("a", 3);
    reopen();
    ck_assert(!registry_activate(registry, "a", 4, &error));
    ck_assert_int_eq(error.code, ERR_NOT_FOUND);
    ck_assert(registry_activate(registry, "a", 1, &error));
    ck_assert_int_eq(active_of("a"), 1);
    ck_assert_int_eq(state_of("a", 1), REGISTRY_LOADED);
    ck_assert_int_eq(state_of("a", 3), REGISTRY_LOADED);
    reopen();
    ck_assert_int_eq(active_of("a"), 1);
    ck_assert_int_eq(state_of("a", 3), REGISTRY_UNLOADED);
    publish("a", 4);
    ck_assert_int_eq(active_of("a"), 4);
    ck_assert(registry_activate(registry, "a", 4, &error));
    ck_assert(registry_delete(registry, "a", 4, &error));
    ck_assert_int_eq(active_of("a"), 3); /* the newest, as the store says */
    reopen();
    ck_assert_int_eq(active_of("a"), 3);
    end();
}
END_TEST

START_TEST(a_damaged_version_cannot_be_activated)
{
    begin();
    publish("a", 1);
    publish("a", 2);
    move_file("a", true);
    reopen();
    ck_assert(!registry_activate(registry, "a", 1, &error));
    ck_assert_int_eq(error.code, ERR_UNAVAILABLE);
    ck_assert_int_eq(active_of("a"), 2);
    use("a", 0);
    end();
}
END_TEST

START_TEST(a_model_that_was_unloaded_is_refused_until_it_is_loaded)
{
    struct waiting w;
    struct registry_version found;
    begin();
    start();
    publish("a", 1);
    publish("a", 2);
    struct model *held = registry_acquire(registry, "a", 0, &error);
    ck_assert(!registry_unload_model(registry, "none", &error));
    ck_assert_int_eq(error.code, ERR_NOT_FOUND);
    ck_assert(registry_unload_model(registry, "a", &error));
    ck_assert(registry_find(registry, "a", 0, &found, &error));
    ck_assert_int_eq(found.state, REGISTRY_UNLOADED);
    ck_assert_str_eq(found.reason, "unloaded on request");
    ck_assert_int_eq(state_of("a", 1), REGISTRY_UNLOADED);
    ck_assert_ptr_null(registry_acquire(registry, "a", 0, &error));
    ck_assert_int_eq(error.code, ERR_CONFLICT);
    await_version(&w, "a", 1);
    check_refused(&w, ERR_CONFLICT, "unloaded");
    publish("a", 3);
    ck_assert_int_eq(state_of("a", 3), REGISTRY_UNLOADED);
    ck_assert_int_eq(held->version, 2); /* who has it may go on */
    model_release(held);
    ck_assert(registry_load_model(registry, "a", &error));
    ck_assert_int_eq(state_of("a", 3), REGISTRY_LOADED);
    use("a", 1);
    end();
}
END_TEST

START_TEST(rows_from_before_descriptions_get_theirs)
{
    struct store_model *rows;
    int count;
    begin();
    publish("a", 1);
    ck_assert(store_model_describe(store, "a", 1, "", &error));
    reopen();
    ck_assert(store_models(store, &rows, &count, &error));
    ck_assert_ptr_nonnull(strstr(rows[0].info, "\"labels\":[\"a\",\"b\",\"c\"]"));
    store_models_free(rows, count);
    end();
}
END_TEST

START_TEST(a_drain_gives_up_loads_that_have_not_begun)
{
    struct waiting w;
    begin();
    publish("a", 1);
    publish("a", 2);
    reopen();
    registry_drain(registry);
    await_version(&w, "a", 1);
    check_refused(&w, ERR_UNAVAILABLE, "stopping");
    use("a", 2); /* what is there is there */
    end();
}
END_TEST

/* ---- all at once ---- */

enum { READERS = 4, ROUNDS = 60 };
static atomic_bool stop;

/* Version v of "a" and "b" answers with weight v. */
static bool answers_rightly(struct model *model)
{
    struct err e;
    struct cnn_lane *lane = model_lane_take(model, &e);
    float out[8];
    if (!lane)
        return false;
    cnn_predict(&lane, 1, (const float[]){1, 2, 3, 4}, 1, out);
    model_lane_give(model, lane);
    return out[2] == 3 * (float)model->version;
}

static void *keep_asking(void *context)
{
    long asked = 0;
    const char *name = context;
    while (!atomic_load(&stop)) {
        struct err e;
        struct model *model;
        const int version = asked % 3 == 0 ? 1 : 0;
        if (asked++ % 2) {
            model = registry_acquire(registry, name, version, &e);
        } else {
            struct waiting w;
            await_version(&w, name, version);
            sem_wait(&w.told);
            model = w.model;
            e = w.e;
        }
        if (model ? !answers_rightly(model) : e.code != ERR_CONFLICT && e.code != ERR_NOT_FOUND)
            return "wrong";
        model_release(model);
    }
    return NULL;
}

START_TEST(nothing_is_lost_when_all_happens_at_once)
{
    pthread_t readers[READERS];
    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr)); /* thousands of lines */
    options.memory_max = 1;
    begin();
    publish("a", 1);
    publish("b", 1);
    reopen();
    for (int i = 0; i < READERS; i++)
        pthread_create(&readers[i], NULL, keep_asking, i % 2 ? "a" : "b");
    for (int i = 2; i < ROUNDS; i++) {
        publish("a", (float)i);
        if (i % 4 == 0)
            ck_assert(registry_activate(registry, "a", 1, &error));
        if (i % 5 == 0) {
            ck_assert(registry_unload_model(registry, "b", &error));
            ck_assert(registry_load_model(registry, "b", &error));
        }
        if (i > 3)
            ck_assert(registry_delete(registry, "a", i - 1, &error));
    }
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++) {
        void *wrong;
        pthread_join(readers[i], &wrong);
        ck_assert_ptr_null(wrong);
    }
    end();
}
END_TEST

TEST_PROGRAM("server loading", active_versions_are_loaded_at_start_and_the_others_when_asked_for,
             start_is_over_when_the_last_model_is_loaded_and_holds_up_no_other,
             a_version_that_is_deleted_while_it_is_loaded_is_gone,
             a_registry_without_models_is_loaded_at_once, acquiring_loads_without_the_loaders_too,
             what_is_unknown_is_told_to_who_awaits_it,
             a_damaged_version_is_refused_until_it_is_loaded_again,
             a_file_must_be_the_one_in_the_catalogue,
             past_the_limit_the_least_recently_used_is_unloaded,
             one_model_is_served_however_small_the_limit,
             only_the_active_version_and_the_one_before_stay_in_memory, activation_lasts,
             a_damaged_version_cannot_be_activated,
             a_model_that_was_unloaded_is_refused_until_it_is_loaded,
             rows_from_before_descriptions_get_theirs, a_drain_gives_up_loads_that_have_not_begun,
             nothing_is_lost_when_all_happens_at_once)
