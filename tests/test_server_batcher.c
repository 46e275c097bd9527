/* The batcher alone, on nets whose answers are known. */
#include <math.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "batcher.h"
#include "clock.h"
#include "served.h"

enum { CLASSES = 3, INPUTS = 4, TASKS_MAX = 256 };
static const int64_t never_ns = INT64_MAX;

static char root[256];
static struct batcher *batcher;
static struct model *pick;
static struct err error;

/* A task with room of its own, and what became of it. */
struct asked {
    struct batch_task task;
    float *x, *scores;
    enum err_code code; /* ERR_NONE: computed */
    char detail[384];
    int order; /* of its end among all */
    atomic_int ended;
    bool left, holds; /* its client is gone; its end holds up the thread */
};
static atomic_int ends;
static sem_t held, go_on, done;

static struct model *make_model(const char *name)
{
    struct cnn_spec spec = {.layer_count = 0};
    char temp[FILES_PATH_BYTES];
    ck_assert(arch_parse_text(PICK_NET, strlen(PICK_NET), NULL, 0, &spec, &error));
    struct cnn_net *net = cnn_net_new(&spec, &error);
    served_fill(net, 1);
    served_write(net, served_abc, temp, sizeof temp);
    struct model *model = model_read(name, 1, temp, NULL, &error);
    ck_assert_msg(model != NULL, "%s", error.detail);
    ck_assert(file_remove(temp, &error));
    cnn_net_free(net);
    cnn_spec_clear(&spec);
    return model;
}

static void begin(int threads, int queue_max, int delay_us)
{
    const struct batcher_options options = {threads, queue_max, delay_us};
    harness_tmpdir(root, sizeof root);
    ck_assert_msg(files_open(root, &error), "%s", error.detail);
    pick = make_model("pick");
    batcher = batcher_new(&options, &error);
    ck_assert_msg(batcher != NULL, "%s", error.detail);
    sem_init(&held, 0, 0);
    sem_init(&go_on, 0, 0);
    sem_init(&done, 0, 0);
}

static void end(void)
{
    batcher_free(batcher);
    model_release(pick);
    files_close();
    harness_rmdir(root);
}

static void on_done(struct batch_task *task, const struct err *e)
{
    struct asked *a = task->context;
    a->code = e ? e->code : ERR_NONE;
    snprintf(a->detail, sizeof a->detail, "%s", e ? e->detail : "");
    a->order = atomic_fetch_add(&ends, 1);
    const bool holds = a->holds;
    atomic_fetch_add(&a->ended, 1); /* from here on it may be freed */
    sem_post(&done);
    if (holds) {
        sem_post(&held);
        sem_wait(&go_on);
    }
}

static bool has_left(struct batch_task *task)
{
    return ((struct asked *)task->context)->left;
}

/* Sample i of the task picks class (seed + i) % 3, clearly. */
static struct asked *ask(struct model *model, int count, int seed, int64_t deadline_ns)
{
    struct asked *a = calloc(1, sizeof *a);
    a->x = calloc((size_t)count * INPUTS, sizeof *a->x);
    a->scores = calloc((size_t)count * CLASSES, sizeof *a->scores);
    for (int i = 0; i < count; i++)
        a->x[i * INPUTS + (seed + i) % CLASSES] = 20;
    a->task = (struct batch_task){.model = model,
                                  .x = a->x,
                                  .count = count,
                                  .scores = a->scores,
                                  .deadline_ns = deadline_ns,
                                  .has_left = has_left,
                                  .done = on_done,
                                  .context = a};
    return a;
}

static struct asked *submit(struct model *model, int count, int seed)
{
    struct asked *a = ask(model, count, seed, never_ns);
    ck_assert_msg(batcher_submit(batcher, &a->task, &error), "%s", error.detail);
    return a;
}

static void wait_ends(int count)
{
    for (int i = 0; i < count; i++)
        sem_wait(&done);
}

static void asked_free(struct asked *a)
{
    free(a->x);
    free(a->scores);
    free(a);
}

static void check_scores(const struct asked *a, int seed)
{
    for (int i = 0; i < a->task.count; i++)
        for (int class = 0; class < CLASSES; class ++) {
            const float score = a->scores[i * CLASSES + class];
            ck_assert_msg((class == (seed + i) % CLASSES) == (score > .99f),
                          "sample %d, class %d: %g", i, class, (double)score);
        }
}

/* It was computed, rightly and once. */
static void check_answer(struct asked *a, int seed)
{
    ck_assert_msg(a->code == ERR_NONE, "%s", a->detail);
    ck_assert_int_eq(atomic_load(&a->ended), 1);
    ck_assert_int_ge(a->task.batch, 1);
    ck_assert_int_ge(a->task.queue_ns, 0);
    ck_assert_int_ge(a->task.compute_ns, 0);
    check_scores(a, seed);
    asked_free(a);
}

static void check_refused(struct asked *a, enum err_code code, const char *detail)
{
    ck_assert_int_eq(a->code, code);
    ck_assert_msg(strstr(a->detail, detail) != NULL, "'%s' not in '%s'", detail, a->detail);
    ck_assert_int_eq(atomic_load(&a->ended), 1);
    for (int i = 0; i < a->task.count * CLASSES; i++)
        ck_assert_float_eq(a->scores[i], 0);
    asked_free(a);
}

/* The one inference thread is held up in a task's end until release(). */
static struct asked *hold_up(void)
{
    struct asked *a = ask(pick, 1, 0, never_ns);
    a->holds = true;
    ck_assert(batcher_submit(batcher, &a->task, &error));
    sem_wait(&held);
    sem_wait(&done);
    return a;
}

static void release(struct asked *holder)
{
    sem_post(&go_on);
    check_answer(holder, 0);
}

START_TEST(every_task_gets_its_own_scores)
{
    struct asked *asked[TASKS_MAX];
    begin(3, TASKS_MAX, 0);
    for (int i = 0; i < TASKS_MAX; i++)
        asked[i] = submit(pick, 1 + i % 40, i);
    wait_ends(TASKS_MAX);
    for (int i = 0; i < TASKS_MAX; i++)
        check_answer(asked[i], i);
    end();
}
END_TEST

START_TEST(what_waits_is_computed_together)
{
    struct asked *asked[10];
    begin(1, 64, 0);
    struct asked *holder = hold_up();
    for (int i = 0; i < 10; i++)
        asked[i] = submit(pick, 1 + i % 2, i);
    release(holder);
    wait_ends(10);
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(asked[i]->task.batch, 15);
        check_answer(asked[i], i);
    }
    end();
}
END_TEST

START_TEST(a_large_task_is_cut_and_keeps_its_order)
{
    begin(3, 4, 0);
    struct asked *a = submit(pick, LIMIT_PREDICT_SAMPLES, 1);
    wait_ends(1);
    ck_assert_int_le(a->task.batch, CNN_LANE_SAMPLES_MAX);
    check_answer(a, 1);
    end();
}
END_TEST

START_TEST(a_batch_may_end_within_a_task)
{
    struct asked *asked[3];
    begin(1, 4, 0);
    struct asked *holder = hold_up();
    for (int i = 0; i < 3; i++)
        asked[i] = submit(pick, 20, i);
    release(holder);
    wait_ends(3);
    for (int i = 0; i < 3; i++)
        check_answer(asked[i], i);
    end();
}
END_TEST

START_TEST(a_full_queue_refuses_and_recovers)
{
    struct asked *asked[5];
    begin(1, 4, 0);
    struct asked *holder = hold_up(), *refused = ask(pick, 1, 0, never_ns);
    for (int i = 0; i < 4; i++)
        asked[i] = submit(pick, 1, i);
    ck_assert(!batcher_submit(batcher, &refused->task, &error));
    ck_assert_int_eq(error.code, ERR_UNAVAILABLE);
    ck_assert_str_eq(error.detail, "4 requests wait for model 'pick' already");
    ck_assert(!batcher_is_quick(pick, 1, 1));
    release(holder);
    wait_ends(4);
    for (int i = 0; i < 4; i++)
        check_answer(asked[i], i);
    ck_assert_int_eq(atomic_load(&refused->ended), 0);
    asked_free(refused);
    struct asked *after = submit(pick, 1, 2);
    wait_ends(1);
    check_answer(after, 2);
    end();
}
END_TEST

START_TEST(a_full_queue_of_one_model_leaves_room_for_others)
{
    begin(1, 1, 0);
    struct model *other = make_model("other");
    struct asked *holder = hold_up(), *first = submit(pick, 1, 0), *second = submit(other, 1, 1);
    release(holder);
    wait_ends(2);
    check_answer(first, 0);
    check_answer(second, 1);
    model_release(other);
    end();
}
END_TEST

START_TEST(models_take_turns)
{
    struct asked *many[4];
    begin(1, 8, 0);
    struct model *other = make_model("other");
    struct asked *holder = hold_up();
    for (int i = 0; i < 4; i++)
        many[i] = submit(pick, CNN_LANE_SAMPLES_MAX, i);
    struct asked *one = submit(other, 1, 1);
    release(holder);
    wait_ends(5);
    ck_assert_int_gt(one->order, many[0]->order);
    ck_assert_int_lt(one->order, many[1]->order);
    check_answer(one, 1);
    for (int i = 0; i < 4; i++)
        check_answer(many[i], i);
    model_release(other);
    end();
}
END_TEST

START_TEST(a_small_request_does_not_wait_for_all_of_a_large_one)
{
    struct asked *small[3];
    begin(1, 8, 0);
    struct asked *holder = hold_up(), *large = submit(pick, 8 * CNN_LANE_SAMPLES_MAX, 1);
    for (int i = 0; i < 3; i++)
        small[i] = submit(pick, 1, i);
    release(holder);
    wait_ends(4);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_lt(small[i]->order, large->order);
        check_answer(small[i], i);
    }
    check_answer(large, 1);
    end();
}
END_TEST

/* The clock does it: the inference thread is held up. */
START_TEST(what_is_past_its_deadline_is_given_up)
{
    begin(1, 8, 0);
    struct asked *holder = hold_up();
    struct asked *late = ask(pick, 2, 0, clock_ns() + 20 * 1000000), *patient = submit(pick, 1, 1);
    struct asked *hasty = ask(pick, 2, 0, clock_ns() - 1);
    ck_assert(batcher_submit(batcher, &late->task, &error));
    ck_assert(batcher_submit(batcher, &hasty->task, &error));
    wait_ends(2);
    check_refused(late, ERR_UNAVAILABLE, "not computed in the time");
    check_refused(hasty, ERR_UNAVAILABLE, "not computed in the time");
    release(holder);
    wait_ends(1);
    check_answer(patient, 1);
    end();
}
END_TEST

START_TEST(work_of_a_client_that_left_is_dropped)
{
    begin(1, 8, 0);
    struct asked *holder = hold_up();
    struct asked *gone = ask(pick, 100, 0, never_ns), *here = ask(pick, 3, 1, never_ns);
    gone->left = true;
    ck_assert(batcher_submit(batcher, &gone->task, &error));
    ck_assert(batcher_submit(batcher, &here->task, &error));
    release(holder);
    wait_ends(2);
    check_refused(gone, ERR_CANCELLED, "left");
    check_answer(here, 1);
    end();
}
END_TEST

START_TEST(a_stop_answers_what_waits)
{
    struct asked *asked[3];
    begin(1, 8, 0);
    struct asked *holder = hold_up();
    for (int i = 0; i < 3; i++)
        asked[i] = submit(pick, 2, i);
    batcher_drain(batcher, 0);
    wait_ends(3);
    for (int i = 0; i < 3; i++)
        check_refused(asked[i], ERR_UNAVAILABLE, "stopping");
    release(holder);
    batcher_stop(batcher);
    struct asked *late = ask(pick, 1, 0, never_ns);
    ck_assert(!batcher_submit(batcher, &late->task, &error));
    ck_assert_int_eq(error.code, ERR_UNAVAILABLE);
    asked_free(late);
    end();
}
END_TEST

static void *stop_batcher(void *context)
{
    batcher_stop(context);
    return NULL;
}

START_TEST(a_stop_without_a_drain_does_so_too)
{
    pthread_t stopper;
    begin(1, 8, 0);
    struct asked *holder = hold_up(), *waiting = submit(pick, 2, 1);
    ck_assert_int_eq(pthread_create(&stopper, NULL, stop_batcher, batcher), 0);
    wait_ends(1);
    check_refused(waiting, ERR_UNAVAILABLE, "stopping");
    release(holder);
    pthread_join(stopper, NULL);
    end();
}
END_TEST

/* A minute's delay: this ends in time only because the batch is full. */
START_TEST(a_delay_ends_when_the_batch_is_full)
{
    begin(2, 64, 1000000);
    int lane = cnn_predictor_samples(pick->predictor);
    struct asked *first = submit(pick, lane - 1, 0), *second = submit(pick, 1, 1);
    wait_ends(2);
    ck_assert_int_eq(first->task.batch, lane);
    ck_assert_int_eq(second->task.batch, lane);
    check_answer(first, 0);
    check_answer(second, 1);
    end();
}
END_TEST

START_TEST(a_delay_ends_by_itself)
{
    begin(1, 64, 1000);
    struct asked *a = submit(pick, 1, 2);
    wait_ends(1);
    ck_assert_int_ge(a->task.queue_ns, 1000000);
    check_answer(a, 2);
    end();
}
END_TEST

START_TEST(quick_work_is_done_on_the_spot)
{
    begin(1, 8, 0);
    ck_assert(model_warm(pick, 1, &error));
    ck_assert_int_gt(pick->sample_ns, 0);
    struct asked *a = ask(pick, 70, 1, never_ns);
    ck_assert(batcher_run(&a->task, &error));
    ck_assert_int_eq(a->task.batch, 70);
    ck_assert_int_gt(a->task.compute_ns, 0);
    check_scores(a, 1);
    pick->sample_ns = 50000;
    ck_assert(batcher_is_quick(pick, 2, 100));
    ck_assert(!batcher_is_quick(pick, 3, 1));
    ck_assert(batcher_is_quick(pick, 1, 1000));
    ck_assert(!batcher_is_quick(pick, 1, 1001)); /* 50 ms among all of them */
    asked_free(a);
    end();
}
END_TEST

enum { CLIENTS = 4, ROUNDS = 300 };

static void *keep_asking(void *context)
{
    const int seed = *(int *)context;
    for (int i = 0; i < ROUNDS; i++) {
        struct asked *a = ask(pick, 1 + (seed + i) % 50, i, clock_ns() + (i % 3) * 100000);
        struct err e;
        a->left = i % 7 == 0;
        if (!batcher_submit(batcher, &a->task, &e)) {
            ck_assert_int_eq(e.code, ERR_UNAVAILABLE);
            asked_free(a);
            continue;
        }
        while (!atomic_load(&a->ended))
            sched_yield();
        if (a->code == ERR_NONE)
            check_scores(a, i);
        asked_free(a);
    }
    return NULL;
}

/* Ends, failures and parts in all orders; a race here is ThreadSanitizer's to find. */
START_TEST(tasks_of_many_threads_end_one_way_or_the_other)
{
    pthread_t clients[CLIENTS];
    int seeds[CLIENTS] = {1, 2, 3, 4};
    begin(2, 2, 20);
    for (int i = 0; i < CLIENTS; i++)
        ck_assert_int_eq(pthread_create(&clients[i], NULL, keep_asking, &seeds[i]), 0);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
    end();
}
END_TEST

TEST_PROGRAM("server batcher", every_task_gets_its_own_scores, what_waits_is_computed_together,
             a_large_task_is_cut_and_keeps_its_order, a_batch_may_end_within_a_task,
             a_full_queue_refuses_and_recovers, a_full_queue_of_one_model_leaves_room_for_others,
             models_take_turns, a_small_request_does_not_wait_for_all_of_a_large_one,
             what_is_past_its_deadline_is_given_up, work_of_a_client_that_left_is_dropped,
             a_stop_answers_what_waits, a_stop_without_a_drain_does_so_too,
             a_delay_ends_when_the_batch_is_full, a_delay_ends_by_itself,
             quick_work_is_done_on_the_spot, tasks_of_many_threads_end_one_way_or_the_other)
