/* Watches and waits over a real store, without HTTP: order, cursors, limits, ends. */
#include <math.h>
#include <pthread.h>
#include <semaphore.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "events.h"
#include "harness.h"
#include "limits.h"
#include "store_schema.h"

static char root[256], path[300];
static struct store *store;
static struct events *events;
static struct err error;

#define OK(call) ck_assert_msg((call), "%s", error.detail)

static void open_all(void)
{
    store = store_open(path, &error);
    ck_assert_msg(store, "%s", error.detail);
    events = events_new(store, 3600, &error);
    ck_assert_msg(events, "%s", error.detail);
}

static void begin(void)
{
    harness_tmpdir(root, sizeof root);
    snprintf(path, sizeof path, "%s/strided.db", root);
    open_all();
    struct store_dataset row = {.name = "d", .version = 1, .info = (char[]){"{}"}};
    store_now(row.created);
    OK(store_dataset_add(store, &row, &error));
}

static void close_all(void)
{
    events_free(events);
    store_close(store);
}

static void end(void)
{
    close_all();
    harness_rmdir(root);
}

/* Straight in the database. */
static void execute(const char *text)
{
    sqlite3 *db;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_msg(sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

/* ---- a job's life ---- */

static int64_t queue_job(void)
{
    struct store_job row = {.request = (char[]){"{}"},
                            .model = "m",
                            .dataset = "d",
                            .dataset_version = 1,
                            .epochs = 9,
                            .threads = 1};
    bool replayed;
    OK(store_job_add(store, &row, NULL, 1000, &replayed, &error));
    return row.id;
}

static void start_job(void)
{
    struct store_job row = {.id = 0};
    bool found;
    OK(store_job_start_next(store, &row, &found, &error));
    ck_assert(found);
    events_changed(events, row.id);
    store_job_clear(&row);
}

static int64_t run_job(void)
{
    int64_t id = queue_job();
    start_job();
    return id;
}

static void finish_epoch(int64_t id, int epoch)
{
    struct progress p = {.type = PROGRESS_EPOCH, .epoch = epoch, .loss = 1.0 / epoch};
    OK(store_job_epoch(store, id, &p, NULL, 0, &error));
    events_changed(events, id);
}

static void train_batch(int64_t id, int epoch, int batch)
{
    const struct event_batch figures = {.epoch = epoch, .epochs = 9, .batch = batch, .batches = 99};
    events_batch(events, id, &figures);
}

static void end_job(int64_t id, enum job_state state)
{
    OK(store_job_end(store, id, state, state == JOB_FAILED ? "why" : "", NULL, NULL, &error));
    events_changed(events, id);
}

/* ---- what a watch gives ---- */

struct viewer {
    struct watch *watch;
    sem_t woken;
    char text[1 << 16];
    size_t size;
    bool ended;
};

static void wake(void *context)
{
    sem_post(&((struct viewer *)context)->woken);
}

static void view(struct viewer *viewer, int64_t job, struct event_id after)
{
    viewer->size = 0;
    viewer->ended = false;
    viewer->text[0] = '\0';
    sem_init(&viewer->woken, 0, 0);
    viewer->watch = watch_new(events, job, after, wake, viewer, &error);
    ck_assert_msg(viewer->watch, "%s", error.detail);
}

/* Reads in pieces of `piece` bytes what there is now. */
static void look(struct viewer *viewer, size_t piece)
{
    ssize_t n;
    do {
        ck_assert_uint_lt(viewer->size + piece, sizeof viewer->text);
        n = watch_read(viewer->watch, viewer->text + viewer->size, piece);
        viewer->size += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    viewer->ended = n < 0;
    viewer->text[viewer->size] = '\0';
}

static void leave(struct viewer *viewer)
{
    watch_free(viewer->watch);
    sem_destroy(&viewer->woken);
}

/* Waits until the watch has given this text. */
static void await(struct viewer *viewer, const char *text)
{
    look(viewer, 4096);
    while (!strstr(viewer->text, text)) {
        ck_assert_msg(!viewer->ended, "no '%s' in %s", text, viewer->text);
        sem_wait(&viewer->woken);
        look(viewer, 4096);
    }
}

static void await_end(struct viewer *viewer)
{
    look(viewer, 4096);
    while (!viewer->ended) {
        sem_wait(&viewer->woken);
        look(viewer, 4096);
    }
}

/* The ids and names that were given, in order: "1 state, 2 state, 2.5 batch". */
static char *told(const struct viewer *viewer)
{
    static char list[8192];
    size_t used = 0;
    list[0] = '\0';
    for (const char *at = viewer->text; (at = strstr(at, "event: ")); at++) {
        char name[16], id[40];
        ck_assert_int_eq(sscanf(at, "event: %15s id: %39s", name, id), 2);
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s %s", used ? ", " : "", id,
                                 name);
        ck_assert_uint_lt(used, sizeof list);
    }
    return list;
}

static const struct event_id from_the_start;

/* ---- streams ---- */

START_TEST(an_ended_job_is_told_from_its_start_to_its_end)
{
    static struct viewer viewer;
    begin();
    int64_t id = run_job();
    finish_epoch(id, 1);
    finish_epoch(id, 2);
    end_job(id, JOB_SUCCEEDED);
    view(&viewer, id, from_the_start);
    look(&viewer, 4096);
    ck_assert(viewer.ended);
    ck_assert_str_eq(told(&viewer), "1 state, 2 state, 3 epoch, 4 epoch, 5 state");
    ck_assert_ptr_nonnull(strstr(viewer.text, "\"state\":\"succeeded\""));
    ck_assert_ptr_nonnull(strstr(viewer.text, "\"loss\":0.5"));
    leave(&viewer);
    end();
}
END_TEST

START_TEST(events_come_as_they_happen)
{
    static struct viewer viewer;
    begin();
    int64_t id = queue_job();
    view(&viewer, id, from_the_start);
    await(&viewer, "id: 1\n");
    start_job();
    await(&viewer, "id: 2\n");
    train_batch(id, 1, 5);
    await(&viewer, "id: 2.5\n");
    finish_epoch(id, 1);
    await(&viewer, "id: 3\n");
    ck_assert(!viewer.ended);
    end_job(id, JOB_FAILED);
    await_end(&viewer);
    ck_assert_str_eq(told(&viewer), "1 state, 2 state, 2.5 batch, 3 epoch, 4 state");
    ck_assert_ptr_nonnull(strstr(viewer.text, "\"error\":\"why\""));
    leave(&viewer);
    end();
}
END_TEST

START_TEST(a_watch_goes_on_after_the_id_it_is_given)
{
    static struct viewer viewer;
    begin();
    int64_t id = run_job();
    for (int epoch = 1; epoch <= 3; epoch++)
        finish_epoch(id, epoch);
    end_job(id, JOB_CANCELLED);
    view(&viewer, id, (struct event_id){3, 0});
    look(&viewer, 4096);
    ck_assert_str_eq(told(&viewer), "4 epoch, 5 epoch, 6 state");
    leave(&viewer);
    view(&viewer, id, (struct event_id){4, 77});
    look(&viewer, 4096);
    ck_assert_str_eq(told(&viewer), "5 epoch, 6 state");
    leave(&viewer);
    view(&viewer, id, (struct event_id){6, 0});
    look(&viewer, 4096);
    ck_assert(viewer.ended);
    ck_assert_str_eq(told(&viewer), "");
    leave(&viewer);
    end();
}
END_TEST

START_TEST(numbers_go_on_after_a_restart)
{
    static struct viewer viewer;
    begin();
    int64_t id = run_job();
    finish_epoch(id, 1);
    view(&viewer, id, from_the_start);
    await(&viewer, "id: 3\n");
    leave(&viewer);
    close_all();
    open_all();
    /* The worker trains the epoch again that was not in its checkpoint. */
    finish_epoch(id, 1);
    finish_epoch(id, 2);
    end_job(id, JOB_SUCCEEDED);
    view(&viewer, id, (struct event_id){3, 0});
    look(&viewer, 4096);
    ck_assert(viewer.ended);
    ck_assert_str_eq(told(&viewer), "4 epoch, 5 state");
    ck_assert_ptr_nonnull(strstr(viewer.text, "\"epoch\":2"));
    leave(&viewer);
    end();
}
END_TEST

START_TEST(a_slow_watch_skips_batches_but_no_epoch)
{
    enum { EPOCHS = 200 }; /* more than a feed holds */
    static struct viewer quick, slow;
    char last[32];
    begin();
    int64_t id = run_job();
    view(&slow, id, from_the_start);
    view(&quick, id, from_the_start);
    for (int epoch = 1; epoch <= EPOCHS; epoch++) {
        train_batch(id, epoch, 7);
        finish_epoch(id, epoch);
    }
    snprintf(last, sizeof last, "id: %d\n", EPOCHS + 2);
    await(&quick, last);
    /* By now the feed has moved on past what `slow` has read, which is nothing. */
    int seen = 0;
    look(&slow, 4096);
    for (const char *at = slow.text; (at = strstr(at, "event: epoch\n")); at++) {
        int number;
        ck_assert_int_eq(sscanf(at, "event: epoch id: %d", &number), 1);
        ck_assert_int_eq(number, ++seen + 2);
    }
    ck_assert_int_eq(seen, EPOCHS);
    ck_assert_ptr_null(strstr(slow.text, "event: batch"));
    leave(&slow);
    leave(&quick);
    end();
}
END_TEST

START_TEST(events_may_be_read_byte_by_byte)
{
    static struct viewer whole, bytes;
    begin();
    int64_t id = run_job();
    for (int epoch = 1; epoch <= 50; epoch++)
        finish_epoch(id, epoch);
    end_job(id, JOB_SUCCEEDED);
    view(&whole, id, from_the_start);
    view(&bytes, id, from_the_start);
    look(&whole, 16384);
    look(&bytes, 1);
    ck_assert(whole.ended && bytes.ended);
    ck_assert_str_eq(whole.text, bytes.text);
    leave(&whole);
    leave(&bytes);
    end();
}
END_TEST

START_TEST(batches_are_told_ten_times_a_second_at_most)
{
    static struct viewer viewer;
    begin();
    int64_t id = run_job();
    view(&viewer, id, (struct event_id){2, 0});
    train_batch(id, 1, 1);
    /* However long this takes, the second falls into the same tenth of a second, or the test sees
     * it for what it is. */
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    train_batch(id, 1, 2);
    clock_gettime(CLOCK_MONOTONIC, &after);
    await(&viewer, "event: batch\n");
    bool slow =
        (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 >=
        EVENTS_BATCH_MS / 2;
    ck_assert(slow || !strstr(viewer.text, "id: 2.2\n"));
    leave(&viewer);
    end();
}
END_TEST

START_TEST(an_end_that_was_undone_is_not_told)
{
    static struct viewer viewer;
    begin();
    int64_t id = run_job();
    end_job(id, JOB_FAILED);
    execute("UPDATE jobs SET state = 0"); /* as a resume does */
    events_changed(events, id);
    view(&viewer, id, from_the_start);
    await(&viewer, "id: 4\n");
    ck_assert_str_eq(told(&viewer), "1 state, 2 state, 4 state");
    ck_assert(!viewer.ended);
    leave(&viewer);
    end();
}
END_TEST

START_TEST(every_watch_of_a_job_is_told_everything)
{
    enum { WATCHES = 100 };
    static struct viewer viewers[WATCHES];
    begin();
    int64_t id = queue_job();
    for (int i = 0; i < WATCHES; i++)
        view(&viewers[i], id, from_the_start);
    start_job();
    for (int epoch = 1; epoch <= 20; epoch++)
        finish_epoch(id, epoch);
    end_job(id, JOB_SUCCEEDED);
    for (int i = 0; i < WATCHES; i++) {
        await_end(&viewers[i]);
        ck_assert_str_eq(viewers[i].text, viewers[0].text);
        leave(&viewers[i]);
    }
    end();
}
END_TEST

START_TEST(watches_are_bounded)
{
    static struct viewer viewers[LIMIT_WATCHES];
    begin();
    int64_t id = run_job();
    for (int i = 0; i < LIMIT_WATCHES; i++)
        viewers[i].watch = watch_new(events, id, from_the_start, wake, &viewers[i], &error);
    ck_assert_ptr_null(watch_new(events, id, from_the_start, wake, &viewers[0], &error));
    ck_assert_int_eq(error.code, ERR_UNAVAILABLE);
    watch_free(viewers[0].watch);
    viewers[0].watch = watch_new(events, id, from_the_start, wake, &viewers[0], &error);
    ck_assert_ptr_nonnull(viewers[0].watch);
    for (int i = 0; i < LIMIT_WATCHES; i++)
        watch_free(viewers[i].watch);
    end();
}
END_TEST

START_TEST(a_job_that_is_not_there_is_not_found)
{
    begin();
    ck_assert_ptr_null(watch_new(events, 1, from_the_start, wake, NULL, &error));
    ck_assert_int_eq(error.code, ERR_NOT_FOUND);
    ck_assert(!events_wait_for(events, &(struct events_wait){.job = 1}, &error));
    ck_assert_int_eq(error.code, ERR_NOT_FOUND);
    end();
}
END_TEST

START_TEST(a_job_deleted_meanwhile_ends_its_watches)
{
    static struct viewer viewer;
    begin();
    int64_t id = run_job();
    view(&viewer, id, from_the_start);
    await(&viewer, "id: 2\n");
    end_job(id, JOB_FAILED);
    OK(store_job_delete(store, id, &error));
    events_changed(events, id);
    await_end(&viewer);
    leave(&viewer);
    end();
}
END_TEST

START_TEST(a_stop_ends_watches_and_waits)
{
    static struct viewer viewer;
    begin();
    int64_t id = run_job();
    view(&viewer, id, from_the_start);
    await(&viewer, "id: 2\n");
    events_stop(events);
    await_end(&viewer);
    leave(&viewer);
    view(&viewer, id, from_the_start);
    look(&viewer, 4096);
    ck_assert(viewer.ended);
    leave(&viewer);
    end();
}
END_TEST

START_TEST(a_quiet_watch_shows_a_sign_of_life)
{
    static struct viewer viewer;
    begin();
    int64_t id = run_job();
    events_free(events);
    events = events_new(store, 1, &error);
    view(&viewer, id, (struct event_id){2, 0});
    await(&viewer, ":\n\n");
    ck_assert_str_eq(viewer.text, ":\n\n");
    await(&viewer, ":\n\n:\n\n");
    leave(&viewer);
    end();
}
END_TEST

START_TEST(jobs_of_an_older_database_get_their_events)
{
    static struct viewer viewer;
    const int64_t ended = 1, queued = 2;
    begin();
    close_all();
    ck_assert_int_eq(unlink(path), 0);
    execute(store_migrations[0]);
    execute(
        "PRAGMA user_version = 1;"
        "INSERT INTO jobs (id, state, request, model, dataset, dataset_version, epochs, created)"
        " VALUES (1, 2, '{}', 'm', 'd', 1, 9, '2026-01-01T00:00:00Z'),"
        " (2, 0, '{}', 'm', 'd', 1, 9, '2026-01-01T00:00:00Z');"
        "INSERT INTO epochs (job, epoch, split, classes) VALUES (1, 1, '', 0), (1, 2, '', 0)");
    open_all();
    view(&viewer, ended, from_the_start);
    look(&viewer, 4096);
    ck_assert(viewer.ended);
    ck_assert_str_eq(told(&viewer), "1 state, 2 epoch, 3 epoch, 4 state");
    leave(&viewer);
    view(&viewer, queued, from_the_start);
    look(&viewer, 4096);
    ck_assert(!viewer.ended);
    ck_assert_str_eq(told(&viewer), "1 state");
    leave(&viewer);
    end();
}
END_TEST

/* ---- waits ---- */

struct waiter {
    sem_t over;
    atomic_int calls;
    atomic_bool gone;
};

static void on_over(void *context)
{
    struct waiter *waiter = context;
    atomic_fetch_add(&waiter->calls, 1);
    sem_post(&waiter->over);
}

static bool is_gone(void *context)
{
    return atomic_load(&((struct waiter *)context)->gone);
}

static void wait_for(struct waiter *waiter, int64_t job, int64_t since, int timeout_ms)
{
    sem_init(&waiter->over, 0, 0);
    atomic_init(&waiter->calls, 0);
    atomic_init(&waiter->gone, false);
    const struct events_wait wait = {.job = job,
                                     .since = since,
                                     .timeout_ms = timeout_ms,
                                     .over = on_over,
                                     .gone = is_gone,
                                     .context = waiter};
    OK(events_wait_for(events, &wait, &error));
}

enum { LONG_MS = 3600 * 1000 };

START_TEST(a_wait_is_over_when_the_job_ends)
{
    struct waiter waiter;
    begin();
    int64_t id = run_job();
    wait_for(&waiter, id, -1, LONG_MS);
    finish_epoch(id, 1);
    end_job(id, JOB_SUCCEEDED);
    sem_wait(&waiter.over);
    struct store_job row = {.id = 0};
    OK(store_job_get(store, id, &row, &error));
    ck_assert_int_eq(row.state, JOB_SUCCEEDED);
    store_job_clear(&row);
    end();
    ck_assert_int_eq(waiter.calls, 1);
}
END_TEST

START_TEST(a_wait_since_an_event_is_over_with_the_next)
{
    struct waiter waiter;
    begin();
    int64_t id = run_job();
    wait_for(&waiter, id, 1, LONG_MS); /* there is one already */
    sem_wait(&waiter.over);
    wait_for(&waiter, id, 2, LONG_MS);
    train_batch(id, 1, 1); /* not durable */
    finish_epoch(id, 1);
    sem_wait(&waiter.over);
    /* After the end none will follow. */
    end_job(id, JOB_FAILED);
    wait_for(&waiter, id, 4, LONG_MS);
    sem_wait(&waiter.over);
    end();
    ck_assert_int_eq(waiter.calls, 1);
}
END_TEST

START_TEST(a_wait_is_over_with_its_time_its_client_or_the_daemon)
{
    struct waiter timed, left, stopped;
    begin();
    int64_t id = run_job();
    events_free(events);
    events = events_new(store, 1, &error);
    wait_for(&stopped, id, -1, LONG_MS);
    wait_for(&timed, id, -1, 1);
    sem_wait(&timed.over);
    wait_for(&left, id, -1, LONG_MS);
    atomic_store(&left.gone, true);
    sem_wait(&left.over);
    ck_assert_int_eq(stopped.calls, 0);
    events_stop(events);
    sem_wait(&stopped.over);
    end();
}
END_TEST

TEST_PROGRAM("server_events", an_ended_job_is_told_from_its_start_to_its_end,
             events_come_as_they_happen, a_watch_goes_on_after_the_id_it_is_given,
             numbers_go_on_after_a_restart, a_slow_watch_skips_batches_but_no_epoch,
             events_may_be_read_byte_by_byte, batches_are_told_ten_times_a_second_at_most,
             an_end_that_was_undone_is_not_told, every_watch_of_a_job_is_told_everything,
             watches_are_bounded, a_job_that_is_not_there_is_not_found,
             a_job_deleted_meanwhile_ends_its_watches, a_stop_ends_watches_and_waits,
             a_quiet_watch_shows_a_sign_of_life, jobs_of_an_older_database_get_their_events,
             a_wait_is_over_when_the_job_ends, a_wait_since_an_event_is_over_with_the_next,
             a_wait_is_over_with_its_time_its_client_or_the_daemon)
