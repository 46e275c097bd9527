/* The catalogue's jobs: the queue, each change of state, lists. */
#include <math.h>
#include <sys/stat.h>

#include "open_store.h"

enum { RETRIES = 2, INTERRUPTIONS = 3, QUEUED_MAX = 1000 };

static void expect_state(int64_t id, enum job_state state)
{
    struct store_job row = get_job(id);
    ck_assert_str_eq(job_state_name(row.state), job_state_name(state));
    store_job_clear(&row);
}

/* Takes the next job, which must be this one. */
static void start_job(int64_t id)
{
    struct store_job row = {0};
    bool found;
    OK(store_job_start_next(store, &row, &found, &error));
    ck_assert(found);
    ck_assert_int_eq(row.id, id);
    store_job_clear(&row);
}

static void say_start(int64_t id, bool resumed, int epoch, int batch)
{
    struct progress start = {.parameters = 44426,
                             .threads = 2,
                             .cpu = "avx2",
                             .resumed = resumed,
                             .epoch = epoch,
                             .batch = batch};
    OK(store_job_started(store, id, &start, &error));
}

START_TEST(new_job_is_queued_with_empty_figures)
{
    begin();
    add_dataset("mnist", 1);
    struct store_job row = get_job(queue_job());
    ck_assert_int_eq(row.state, JOB_QUEUED);
    ck_assert_str_eq(row.request, "{}");
    ck_assert_str_eq(row.model, "digits");
    ck_assert_str_eq(row.dataset, "mnist");
    ck_assert_int_eq(row.dataset_version, 1);
    ck_assert_int_eq(row.epochs, 5);
    ck_assert_int_eq(row.epoch, 0);
    ck_assert_uint_eq(strlen(row.created), 20);
    ck_assert_str_eq(row.started, "");
    ck_assert(isnan(row.loss) && isnan(row.accuracy) && isnan(row.val_loss));
    ck_assert(isnan(row.val_accuracy) && isnan(row.test_loss) && isnan(row.test_accuracy));
    store_job_clear(&row);
    end();
}
END_TEST

START_TEST(job_needs_its_dataset_version)
{
    struct store_job row = {.request = (char[]){"{}"}, .dataset = "mnist", .dataset_version = 2};
    bool replayed;
    begin();
    add_dataset("mnist", 1);
    REFUSED(store_job_add(store, &row, NULL, 1000, &replayed, &error), ERR_NOT_FOUND);
    end();
}
END_TEST

START_TEST(idempotency_key_gives_the_earlier_job)
{
    bool replayed;
    begin();
    add_dataset("mnist", 1);
    int64_t first = add_job("key", &replayed);
    ck_assert(!replayed);
    int64_t other = add_job("other", &replayed);
    ck_assert(!replayed && other != first);
    reopen();
    ck_assert_int_eq(add_job("key", &replayed), first);
    ck_assert(replayed);
    ck_assert_int_ne(queue_job(), queue_job()); /* jobs without a key are not the same */
    end();
}
END_TEST

START_TEST(job_numbers_are_not_reused)
{
    begin();
    add_dataset("mnist", 1);
    int64_t id = queue_job();
    OK(store_job_cancel(store, id, &error));
    OK(store_job_delete(store, id, &error));
    reopen();
    ck_assert_int_gt(queue_job(), id);
    end();
}
END_TEST

START_TEST(jobs_start_in_order)
{
    struct store_job row = {0};
    bool found;
    int count;
    begin();
    add_dataset("mnist", 1);
    int64_t ids[2] = {queue_job(), queue_job()};
    for (int i = 0; i < 2; i++) {
        OK(store_job_start_next(store, &row, &found, &error));
        ck_assert(found);
        ck_assert_int_eq(row.id, ids[i]);
        ck_assert_int_eq(row.state, JOB_RUNNING);
        ck_assert_uint_eq(strlen(row.started), 20);
        store_job_clear(&row);
    }
    OK(store_job_start_next(store, &row, &found, &error));
    ck_assert(!found);
    OK(store_job_count(store, JOB_RUNNING, &count, &error));
    ck_assert_int_eq(count, 2);
    OK(store_job_count(store, JOB_QUEUED, &count, &error));
    ck_assert_int_eq(count, 0);
    end();
}
END_TEST

START_TEST(start_message_is_kept)
{
    begin();
    add_dataset("mnist", 1);
    int64_t id = run_job();
    say_start(id, false, 1, 0);
    struct store_job row = get_job(id);
    ck_assert_uint_eq(row.parameters, 44426);
    ck_assert_int_eq(row.threads, 2);
    ck_assert_str_eq(row.cpu, "avx2");
    store_job_clear(&row);
    end();
}
END_TEST

START_TEST(job_ends_once)
{
    begin();
    add_dataset("mnist", 1);
    int64_t id = run_job();
    OK(store_job_end(store, id, JOB_FAILED, "non-finite loss", NULL, NULL, &error));
    struct store_job row = get_job(id);
    ck_assert_int_eq(row.state, JOB_FAILED);
    ck_assert_str_eq(row.error, "non-finite loss");
    ck_assert_uint_eq(strlen(row.finished), 20);
    store_job_clear(&row);
    REFUSED(store_job_end(store, id, JOB_CANCELLED, "", NULL, NULL, &error), ERR_CONFLICT);
    REFUSED(store_job_end(store, 99, JOB_CANCELLED, "", NULL, NULL, &error), ERR_NOT_FOUND);
    end();
}
END_TEST

START_TEST(success_and_model_are_one_transaction)
{
    begin();
    add_dataset("mnist", 1);
    add_model("digits", 1);
    int64_t id = run_job();
    struct store_model taken = model_row("digits", 1), free_one = model_row("digits", 2);
    struct progress done = {.best_epoch = 3, .weights_sha256 = "cd"};
    REFUSED(store_job_end(store, id, JOB_SUCCEEDED, "", &done, &taken, &error), ERR_CONFLICT);
    struct store_job row = get_job(id);
    ck_assert_int_eq(row.state, JOB_RUNNING); /* nothing of it was kept */
    ck_assert_int_eq(row.best_epoch, 0);
    store_job_clear(&row);
    ck_assert_int_eq(active_version("digits"), 1);
    OK(store_job_end(store, id, JOB_SUCCEEDED, "", &done, &free_one, &error));
    row = get_job(id);
    ck_assert_int_eq(row.state, JOB_SUCCEEDED);
    ck_assert_int_eq(row.model_version, 2);
    ck_assert_int_eq(row.best_epoch, 3);
    ck_assert_str_eq(row.weights_sha256, "cd");
    store_job_clear(&row);
    ck_assert_int_eq(active_version("digits"), 2);
    end();
}
END_TEST

START_TEST(only_an_ended_job_is_deleted)
{
    struct store_job row = {0};
    begin();
    add_dataset("mnist", 1);
    int64_t id = queue_job();
    REFUSED(store_job_delete(store, id, &error), ERR_CONFLICT);
    OK(store_job_start_next(store, &row, &(bool){false}, &error));
    store_job_clear(&row);
    REFUSED(store_job_delete(store, id, &error), ERR_CONFLICT);
    OK(store_job_end(store, id, JOB_FAILED, "x", NULL, NULL, &error));
    OK(store_job_delete(store, id, &error));
    REFUSED(store_job_get(store, id, &row, &error), ERR_NOT_FOUND);
    REFUSED(store_job_delete(store, id, &error), ERR_NOT_FOUND);
    end();
}
END_TEST

/* ---- the queue ---- */

static int64_t queue_with(int priority)
{
    struct store_job row = {.request = (char[]){"{}"},
                            .model = "digits",
                            .dataset = "mnist",
                            .dataset_version = 1,
                            .priority = priority,
                            .epochs = 5,
                            .threads = 2};
    bool replayed;
    OK(store_job_add(store, &row, NULL, QUEUED_MAX, &replayed, &error));
    return row.id;
}

static void expect_ahead(int64_t id, int ahead)
{
    struct store_job row = get_job(id);
    int count;
    OK(store_job_ahead(store, &row, &count, &error));
    ck_assert_int_eq(count, ahead);
    store_job_clear(&row);
}

START_TEST(higher_priority_starts_first_then_the_older)
{
    begin();
    add_dataset("mnist", 1);
    int64_t low = queue_with(-5), first = queue_with(0), second = queue_with(0),
            high = queue_with(7);
    expect_ahead(high, 0);
    expect_ahead(first, 1);
    expect_ahead(second, 2);
    expect_ahead(low, 3);
    start_job(high);
    start_job(first);
    /* Back in the queue, it is still older than the second. */
    OK(store_job_requeue(store, first, &error));
    expect_ahead(second, 1);
    start_job(first);
    start_job(second);
    start_job(low);
    end();
}
END_TEST

START_TEST(full_queue_takes_no_job_but_a_seen_key)
{
    struct store_job row = {
        .request = (char[]){"{}"}, .model = "digits", .dataset = "mnist", .dataset_version = 1};
    bool replayed;
    begin();
    add_dataset("mnist", 1);
    int64_t id = add_job("key", &replayed);
    REFUSED(store_job_add(store, &row, "other", 1, &replayed, &error), ERR_BUSY);
    ck_assert_ptr_nonnull(strstr(error.detail, "1 jobs wait"));
    OK(store_job_add(store, &row, "key", 1, &replayed, &error));
    ck_assert(replayed);
    ck_assert_int_eq(row.id, id);
    /* One that runs does not wait. */
    start_job(id);
    OK(store_job_add(store, &row, "other", 1, &replayed, &error));
    OK(store_job_end(store, id, JOB_FAILED, "x", NULL, NULL, &error));
    REFUSED(store_job_resume(store, id, 0, 1, &error), ERR_BUSY);
    end();
}
END_TEST

/* ---- back to the queue ---- */

START_TEST(job_is_requeued_from_running_alone)
{
    begin();
    add_dataset("mnist", 1);
    int64_t id = queue_job();
    REFUSED(store_job_requeue(store, id, &error), ERR_CONFLICT);
    start_job(id);
    struct store_job before = get_job(id);
    ck_assert_int_eq(before.attempts, 1);
    OK(store_job_requeue(store, id, &error));
    expect_state(id, JOB_QUEUED);
    start_job(id);
    struct store_job row = get_job(id);
    ck_assert_int_eq(row.attempts, 2);
    ck_assert_int_eq(row.crashes, 0);
    ck_assert_str_eq(row.started, before.started);
    store_job_clear(&before);
    store_job_clear(&row);
    OK(store_job_end(store, id, JOB_CANCELLED, "", NULL, NULL, &error));
    REFUSED(store_job_requeue(store, id, &error), ERR_CONFLICT);
    end();
}
END_TEST

static enum job_state crash(int64_t id, const char *reason, char text[512])
{
    enum job_state state;
    start_job(id);
    OK(store_job_crashed(store, id, reason, RETRIES, &state, text, &error));
    return state;
}

START_TEST(crashes_in_a_row_are_bounded)
{
    char text[512];
    begin();
    add_dataset("mnist", 1);
    int64_t id = queue_job();
    for (int i = 1; i <= RETRIES; i++) {
        ck_assert_int_eq(crash(id, "signal 9", text), JOB_QUEUED);
        struct store_job row = get_job(id);
        ck_assert_int_eq(row.crashes, i);
        ck_assert_str_eq(row.last_crash, "signal 9");
        ck_assert_str_eq(row.error, "");
        store_job_clear(&row);
    }
    ck_assert_int_eq(crash(id, "signal 11", text), JOB_FAILED);
    ck_assert_str_eq(text, "3 crashes without progress, the last: signal 11");
    struct store_job row = get_job(id);
    ck_assert_int_eq(row.state, JOB_FAILED);
    ck_assert_str_eq(row.error, text);
    ck_assert_uint_eq(strlen(row.finished), 20);
    store_job_clear(&row);
    REFUSED(store_job_crashed(store, id, "x", RETRIES, &(enum job_state){0}, text, &error),
            ERR_CONFLICT);
    end();
}
END_TEST

START_TEST(crash_fails_a_job_at_once_where_nothing_is_retried)
{
    enum job_state state;
    char text[512];
    begin();
    add_dataset("mnist", 1);
    int64_t id = run_job();
    OK(store_job_crashed(store, id, "signal 9", 0, &state, text, &error));
    ck_assert_int_eq(state, JOB_FAILED);
    ck_assert_str_eq(text, "signal 9");
    end();
}
END_TEST

START_TEST(progress_between_crashes_forgives_them)
{
    char text[512];
    begin();
    add_dataset("mnist", 1);
    int64_t id = queue_job();
    for (int epoch = 2; epoch < 8; epoch++) {
        /* From further on each time, by an epoch or by a batch. */
        ck_assert_int_eq(crash(id, "signal 9", text), JOB_QUEUED);
        ck_assert_int_eq(crash(id, "signal 9", text), JOB_QUEUED);
        start_job(id);
        say_start(id, true, epoch / 2 + 1, 10 * (epoch % 2));
        struct store_job row = get_job(id);
        ck_assert_int_eq(row.crashes, 0);
        ck_assert_int_eq(row.resumed_epoch, epoch / 2 + 1);
        ck_assert_int_eq(row.resumed_batch, 10 * (epoch % 2));
        store_job_clear(&row);
        OK(store_job_requeue(store, id, &error));
    }
    /* The same place again, or the beginning, is no progress. */
    ck_assert_int_eq(crash(id, "signal 9", text), JOB_QUEUED);
    start_job(id);
    say_start(id, true, 4, 10);
    OK(store_job_requeue(store, id, &error));
    ck_assert_int_eq(crash(id, "signal 9", text), JOB_QUEUED);
    start_job(id);
    say_start(id, false, 1, 0);
    struct store_job row = get_job(id);
    ck_assert_int_eq(row.crashes, 2);
    ck_assert_int_eq(row.resumed_epoch, 0);
    store_job_clear(&row);
    OK(store_job_requeue(store, id, &error));
    ck_assert_int_eq(crash(id, "signal 9", text), JOB_FAILED);
    end();
}
END_TEST

START_TEST(interrupted_jobs_are_queued_again_until_it_is_too_often)
{
    int queued, failed;
    begin();
    add_dataset("mnist", 1);
    int64_t ran = run_job(), waits = queue_job();
    for (int i = 0; i < INTERRUPTIONS; i++) {
        reopen();
        OK(store_jobs_recover(store, INTERRUPTIONS, &queued, &failed, &error));
        ck_assert_int_eq(queued, 1);
        ck_assert_int_eq(failed, 0);
        start_job(ran); /* ahead of the younger one */
    }
    OK(store_jobs_recover(store, INTERRUPTIONS, &queued, &failed, &error));
    ck_assert_int_eq(queued, 0);
    ck_assert_int_eq(failed, 1);
    struct store_job row = get_job(ran);
    ck_assert_int_eq(row.state, JOB_FAILED);
    ck_assert_str_eq(row.error, "the daemon died 4 times while the job ran without progress");
    ck_assert_uint_eq(strlen(row.finished), 20);
    store_job_clear(&row);
    expect_state(waits, JOB_QUEUED);
    /* Nothing ran: nothing is counted. */
    OK(store_jobs_recover(store, INTERRUPTIONS, &queued, &failed, &error));
    ck_assert_int_eq(queued + failed, 0);
    end();
}
END_TEST

START_TEST(progress_between_interruptions_forgives_them)
{
    int queued, failed;
    begin();
    add_dataset("mnist", 1);
    int64_t id = run_job();
    for (int epoch = 2; epoch < 2 + 2 * INTERRUPTIONS; epoch++) {
        OK(store_jobs_recover(store, INTERRUPTIONS, &queued, &failed, &error));
        start_job(id);
        say_start(id, true, epoch, 0);
    }
    struct store_job row = get_job(id);
    ck_assert_int_eq(row.interruptions, 0);
    store_job_clear(&row);
    end();
}
END_TEST

/* ---- cancel and resume ---- */

START_TEST(only_a_queued_job_is_cancelled_here)
{
    begin();
    add_dataset("mnist", 1);
    int64_t id = queue_job();
    OK(store_job_cancel(store, id, &error));
    expect_state(id, JOB_CANCELLED);
    REFUSED(store_job_cancel(store, id, &error), ERR_CONFLICT);
    id = run_job();
    REFUSED(store_job_cancel(store, id, &error), ERR_CONFLICT);
    expect_state(id, JOB_RUNNING);
    REFUSED(store_job_cancel(store, 99, &error), ERR_NOT_FOUND);
    end();
}
END_TEST

START_TEST(failed_and_cancelled_jobs_are_resumed_and_no_others)
{
    begin();
    add_dataset("mnist", 1);
    int64_t id = queue_job();
    REFUSED(store_job_resume(store, id, 0, QUEUED_MAX, &error), ERR_CONFLICT);
    start_job(id);
    REFUSED(store_job_resume(store, id, 0, QUEUED_MAX, &error), ERR_CONFLICT);
    OK(store_job_end(store, id, JOB_FAILED, "bad luck", NULL, NULL, &error));
    OK(store_job_resume(store, id, 0, QUEUED_MAX, &error));
    struct store_job row = get_job(id);
    ck_assert_int_eq(row.state, JOB_QUEUED);
    ck_assert_str_eq(row.error, "");
    ck_assert_str_eq(row.finished, "");
    ck_assert_int_eq(row.epochs, 5);
    store_job_clear(&row);
    OK(store_job_cancel(store, id, &error));
    OK(store_job_resume(store, id, 0, QUEUED_MAX, &error));
    start_job(id);
    OK(store_job_end(store, id, JOB_SUCCEEDED, "", NULL, NULL, &error));
    REFUSED(store_job_resume(store, id, 0, QUEUED_MAX, &error), ERR_CONFLICT);
    ck_assert_ptr_nonnull(strstr(error.detail, "succeeded"));
    REFUSED(store_job_resume(store, 99, 0, QUEUED_MAX, &error), ERR_NOT_FOUND);
    end();
}
END_TEST

START_TEST(resumed_job_may_get_other_epochs_but_more_than_are_done)
{
    char text[512];
    struct progress epoch = {.epoch = 3};
    begin();
    add_dataset("mnist", 1);
    int64_t id = queue_job();
    ck_assert_int_eq(crash(id, "signal 9", text), JOB_QUEUED);
    start_job(id);
    OK(store_job_epoch(store, id, &epoch, NULL, 0, &error));
    OK(store_job_end(store, id, JOB_CANCELLED, "", NULL, NULL, &error));
    for (int epochs = 2; epochs <= 3; epochs++) {
        REFUSED(store_job_resume(store, id, epochs, QUEUED_MAX, &error), ERR_INVALID);
        ck_assert_str_eq(error.field, "epochs");
    }
    OK(store_job_resume(store, id, 9, QUEUED_MAX, &error));
    struct store_job row = get_job(id);
    ck_assert_int_eq(row.epochs, 9);
    ck_assert_int_eq(row.crashes, 0); /* its owner wants it to be tried again */
    store_job_clear(&row);
    /* All trained, but not published: no more are needed. */
    start_job(id);
    epoch.epoch = 9;
    OK(store_job_epoch(store, id, &epoch, NULL, 0, &error));
    OK(store_job_end(store, id, JOB_FAILED, "disk full", NULL, NULL, &error));
    OK(store_job_resume(store, id, 9, QUEUED_MAX, &error));
    end();
}
END_TEST

START_TEST(job_is_not_resumed_without_its_dataset)
{
    begin();
    add_dataset("mnist", 1);
    int64_t id = run_job();
    OK(store_job_end(store, id, JOB_FAILED, "x", NULL, NULL, &error));
    OK(store_dataset_delete(store, "mnist", &error));
    REFUSED(store_job_resume(store, id, 0, QUEUED_MAX, &error), ERR_CONFLICT);
    expect_state(id, JOB_FAILED);
    end();
}
END_TEST

/* ---- lists ---- */

static void expect_list(const struct store_job_filter *filter, const int64_t *ids, int n, int all)
{
    struct store_job *rows;
    int count, total;
    OK(store_jobs(store, filter, &rows, &count, &total, &error));
    ck_assert_int_eq(count, n);
    ck_assert_int_eq(total, all);
    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(rows[i].id, ids[i]);
        ck_assert_int_eq(rows[i].request != NULL, filter->with_request);
        store_job_clear(&rows[i]);
    }
    free(rows);
}

START_TEST(jobs_are_listed_newest_first_in_pages)
{
    begin();
    add_dataset("mnist", 1);
    int64_t first = queue_job(), second = queue_job(), third = queue_job();
    struct store_job_filter filter = {.state = -1, .limit = 2};
    expect_list(&filter, (int64_t[]){third, second}, 2, 3);
    filter.offset = 2;
    expect_list(&filter, (int64_t[]){first}, 1, 3);
    filter.offset = 9;
    expect_list(&filter, NULL, 0, 3);
    filter = (struct store_job_filter){.state = -1, .limit = 9, .ascending = true};
    filter.with_request = true;
    expect_list(&filter, (int64_t[]){first, second, third}, 3, 3);
    end();
}
END_TEST

START_TEST(jobs_are_listed_by_state_and_model)
{
    struct store_job row = {
        .request = (char[]){"{}"}, .model = "other", .dataset = "mnist", .dataset_version = 1};
    bool replayed;
    begin();
    add_dataset("mnist", 1);
    int64_t ran = run_job(), waits = queue_job();
    OK(store_job_add(store, &row, NULL, QUEUED_MAX, &replayed, &error));
    struct store_job_filter filter = {.state = JOB_QUEUED, .limit = 1};
    expect_list(&filter, (int64_t[]){row.id}, 1, 2);
    filter = (struct store_job_filter){.state = -1, .model = "digits", .limit = 9};
    expect_list(&filter, (int64_t[]){waits, ran}, 2, 2);
    filter.state = JOB_RUNNING;
    expect_list(&filter, (int64_t[]){ran}, 1, 1);
    filter.state = JOB_SUCCEEDED;
    expect_list(&filter, NULL, 0, 0);
    end();
}
END_TEST

START_TEST(jobs_are_sorted_by_a_figure_and_those_without_come_last)
{
    begin();
    add_dataset("mnist", 1);
    int64_t ids[3];
    for (int i = 0; i < 3; i++) {
        struct progress epoch = {.epoch = 1, .loss = i == 1 ? .1 : .2 + i, .accuracy = .3 * i};
        ids[i] = run_job();
        OK(store_job_epoch(store, ids[i], &epoch, NULL, 0, &error));
    }
    int64_t none = queue_job();
    struct store_job_filter filter = {
        .state = -1, .limit = 9, .sort = JOB_BY_LOSS, .ascending = true};
    expect_list(&filter, (int64_t[]){ids[1], ids[0], ids[2], none}, 4, 4);
    filter.ascending = false;
    expect_list(&filter, (int64_t[]){ids[2], ids[0], ids[1], none}, 4, 4);
    filter.sort = JOB_BY_ACCURACY;
    expect_list(&filter, (int64_t[]){ids[2], ids[1], ids[0], none}, 4, 4);
    filter.sort = JOB_BY_FINISHED;
    OK(store_job_end(store, ids[0], JOB_FAILED, "x", NULL, NULL, &error));
    expect_list(&filter, (int64_t[]){ids[0], none, ids[2], ids[1]}, 4, 4);
    end();
}
END_TEST

static off_t database_size(void)
{
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    return st.st_size;
}

START_TEST(a_deleted_job_gives_its_space_back)
{
    enum { CLASSES = 512, EPOCHS = 8 };
    struct progress epoch = {.type = PROGRESS_EPOCH, .has_val = true, .split = "test"};
    begin();
    add_dataset("mnist", 1);
    int64_t id = run_job();
    reopen(); /* writes the log back */
    off_t before = database_size();
    epoch.val.classes = CLASSES;
    epoch.val.confusion = calloc(CLASSES * CLASSES, sizeof *epoch.val.confusion);
    for (epoch.epoch = 1; epoch.epoch <= EPOCHS; epoch.epoch++)
        OK(store_job_epoch(store, id, &epoch, NULL, 0, &error));
    free(epoch.val.confusion);
    OK(store_job_end(store, id, JOB_FAILED, "", NULL, NULL, &error));
    reopen();
    ck_assert_int_gt(database_size(), before + EPOCHS * CLASSES * CLASSES * 4);
    OK(store_job_delete(store, id, &error));
    ck_assert_int_lt(database_size(), before + (64 << 10));
    end();
}
END_TEST

TEST_PROGRAM(
    "server store jobs", new_job_is_queued_with_empty_figures, job_needs_its_dataset_version,
    idempotency_key_gives_the_earlier_job, job_numbers_are_not_reused, jobs_start_in_order,
    start_message_is_kept, job_ends_once, success_and_model_are_one_transaction,
    only_an_ended_job_is_deleted, higher_priority_starts_first_then_the_older,
    full_queue_takes_no_job_but_a_seen_key, job_is_requeued_from_running_alone,
    crashes_in_a_row_are_bounded, crash_fails_a_job_at_once_where_nothing_is_retried,
    progress_between_crashes_forgives_them, interrupted_jobs_are_queued_again_until_it_is_too_often,
    progress_between_interruptions_forgives_them, only_a_queued_job_is_cancelled_here,
    failed_and_cancelled_jobs_are_resumed_and_no_others,
    resumed_job_may_get_other_epochs_but_more_than_are_done, job_is_not_resumed_without_its_dataset,
    jobs_are_listed_newest_first_in_pages, jobs_are_listed_by_state_and_model,
    jobs_are_sorted_by_a_figure_and_those_without_come_last, a_deleted_job_gives_its_space_back)
