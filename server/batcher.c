/* A task's way:
 *
 *   submit    into the queue of its model; the queue joins the ring of those that wait
 *   take      an inference thread takes samples from the first queue of the ring, which then goes
 *             to the ring's end if something is left, as does a task to its queue's end
 *   compute   without the lock, on a lane of the model
 *   settle    a task of which nothing waits and nothing is being computed is done: it belongs to
 *             its owner again
 *
 * The clock thread drops what is past its deadline, also while all inference threads are busy.
 * batcher.mutex guards the ring, the queues, and tasks between submit and done; it is a leaf, and
 * never held while a net runs or a callback is called.
 */
#include "batcher.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "clock.h"
#include "layout.h"
#include "limits.h"
#include "model.h"
#include "workspace.h"

/* Handing over wakes a thread and later resumes a connection: some 20 us on a busy machine, and
 * several times that may be computed on the spot. But a thread that serves many connections must
 * get round to each of them soon, also if all of them ask for something. */
enum { QUICK_NS = 100000, ROUND_NS = 50000000 };

struct batcher {
    pthread_mutex_t mutex;
    pthread_cond_t work;  /* samples wait, or stopping */
    pthread_cond_t alarm; /* alarm_ns came nearer, or stopping */
    bool stopping;
    struct batch_queue *first, *last; /* the ring: every queue with something in it */
    int idle;                         /* inference threads that wait */
    size_t bytes;                     /* of the samples of all tasks */
    int64_t alarm_ns;                 /* no deadline is earlier; INT64_MAX: there is none */
    int64_t drain_ns;                 /* when the drain ends; INT64_MAX: there is none */
    struct batcher_options options;
    pthread_t *threads, clock;
    int thread_count;
    bool has_clock;
};

/* Samples of one task, computed in one go. */
struct part {
    struct batch_task *task;
    int first, count;
};

struct batch {
    struct model *model;
    struct part parts[CNN_LANE_SAMPLES_MAX];
    int part_count, samples;
};

/* Tasks that have ended, linked by `next`: to be told without the mutex. */
struct ended {
    struct batch_task *first;
};

static void tell(const struct ended *ended)
{
    for (struct batch_task *task = ended->first, *next; task; task = next) {
        next = task->next;
        task->done(task, task->failure.code == ERR_NONE ? NULL : &task->failure);
    }
}

/* ---- queues; the mutex is held ---- */

static size_t task_bytes(const struct batch_task *task)
{
    return (size_t)task->count * cnn_shape_count(&task->model->net->input) * sizeof(float);
}

static void ring_append(struct batcher *b, struct batch_queue *queue)
{
    queue->next = NULL;
    if (b->last)
        b->last->next = queue;
    else
        b->first = queue;
    b->last = queue;
}

static void ring_remove(struct batcher *b, struct batch_queue *queue)
{
    struct batch_queue *before = NULL;
    for (struct batch_queue *at = b->first; at != queue; at = at->next)
        before = at;
    if (before)
        before->next = queue->next;
    else
        b->first = queue->next;
    if (b->last == queue)
        b->last = before;
}

static void queue_append(struct batcher *b, struct batch_task *task)
{
    struct batch_queue *queue = &task->model->queue;
    if (!queue->first) {
        queue->model = task->model;
        ring_append(b, queue);
    }
    task->next = NULL;
    if (queue->first)
        queue->last->next = task;
    else
        queue->first = task;
    queue->last = task;
    atomic_fetch_add_explicit(&queue->requests, 1, memory_order_relaxed);
    queue->samples += task->count;
}

/* Takes a task out, of which some samples may be taken already. The queue may be left empty. */
static void queue_remove(struct batch_queue *queue, struct batch_task *task)
{
    struct batch_task *before = NULL;
    for (struct batch_task *at = queue->first; at != task; at = at->next)
        before = at;
    if (before)
        before->next = task->next;
    else
        queue->first = task->next;
    if (queue->last == task)
        queue->last = before;
    atomic_fetch_sub_explicit(&queue->requests, 1, memory_order_relaxed);
    queue->samples -= task->count - task->taken;
}

/* ---- tasks; the mutex is held ---- */

static void task_settle(struct batcher *b, struct batch_task *task, struct ended *ended)
{
    if (task->taken < task->count || task->running > 0)
        return;
    b->bytes -= task_bytes(task);
    task->compute_ns = clock_ns() - task->started_ns;
    task->next = ended->first;
    ended->first = task;
}

/* Its samples that wait will not be computed. */
static void task_fail(struct batcher *b, struct batch_task *task, const struct err *e)
{
    struct batch_queue *queue = &task->model->queue;
    if (task->failure.code == ERR_NONE)
        task->failure = *e;
    if (task->taken == task->count)
        return;
    queue_remove(queue, task);
    if (!queue->first)
        ring_remove(b, queue);
    task->taken = task->count;
}

/* ---- deadlines; the mutex is held ---- */

static int64_t due(const struct batcher *b, const struct batch_task *task)
{
    return task->deadline_ns < b->drain_ns ? task->deadline_ns : b->drain_ns;
}

static void expire(struct batcher *b, struct batch_task *task, struct ended *ended)
{
    struct err e;
    if (task->deadline_ns > b->drain_ns)
        err_set(&e, ERR_UNAVAILABLE, "the daemon is stopping");
    else
        err_set(&e, ERR_UNAVAILABLE, "not computed in the time that was given");
    task_fail(b, task, &e);
    task_settle(b, task, ended);
}

/* Drops what is past its deadline, and sets the alarm to the next one. */
static void expire_all(struct batcher *b, struct ended *ended)
{
    const int64_t now_ns = clock_ns();
    b->alarm_ns = INT64_MAX;
    for (struct batch_queue *queue = b->first, *next_queue; queue; queue = next_queue) {
        next_queue = queue->next;
        for (struct batch_task *task = queue->first, *next; task; task = next) {
            next = task->next;
            const int64_t due_ns = due(b, task);
            if (due_ns <= now_ns)
                expire(b, task, ended);
            else if (due_ns < b->alarm_ns)
                b->alarm_ns = due_ns;
        }
    }
}

static void *watch_clock(void *context)
{
    struct batcher *b = context;
    pthread_mutex_lock(&b->mutex);
    while (!b->stopping) {
        if (b->alarm_ns == INT64_MAX) {
            pthread_cond_wait(&b->alarm, &b->mutex);
        } else if (b->alarm_ns > clock_ns()) {
            const struct timespec until = clock_timespec(b->alarm_ns);
            pthread_cond_timedwait(&b->alarm, &b->mutex, &until);
        } else {
            struct ended ended = {NULL};
            expire_all(b, &ended);
            pthread_mutex_unlock(&b->mutex);
            tell(&ended);
            pthread_mutex_lock(&b->mutex);
        }
    }
    pthread_mutex_unlock(&b->mutex);
    return NULL;
}

/* ---- taking; the mutex is held ---- */

/* When the queue's samples may be taken; 0: at once. */
static int64_t ripe_ns(const struct batcher *b, const struct batch_queue *queue)
{
    if (b->options.delay_us == 0 ||
        queue->samples >= cnn_predictor_samples(queue->model->predictor))
        return 0;
    return queue->first->taken > 0
               ? 0
               : queue->first->submitted_ns + (int64_t)b->options.delay_us * 1000;
}

/* The first queue of the ring that is ripe; if none is, NULL and when one will be. */
static struct batch_queue *ripe_queue(const struct batcher *b, int64_t *when_ns)
{
    *when_ns = INT64_MAX;
    for (struct batch_queue *queue = b->first; queue; queue = queue->next) {
        const int64_t ns = ripe_ns(b, queue);
        if (ns == 0 || ns <= clock_ns())
            return queue;
        *when_ns = ns < *when_ns ? ns : *when_ns;
    }
    return NULL;
}

/* Samples of the queue that one thread should take: what a lane holds, unless idle threads could
 * share them with profit. */
static int fair_share(const struct batcher *b, const struct batch_queue *queue)
{
    const struct cnn_predictor *predictor = queue->model->predictor;
    const int most = cnn_predictor_samples(predictor);
    const int threads = cnn_predictor_lanes(predictor, queue->samples, 1 + b->idle);
    const int share = (queue->samples - 1) / threads + 1;
    return share < most ? share : most;
}

static void take_part(struct batch_queue *queue, struct batch *batch, int room)
{
    struct batch_task *task = queue->first;
    const int left = task->count - task->taken, count = left < room ? left : room;
    if (task->taken == 0) {
        task->started_ns = clock_ns();
        task->queue_ns = task->started_ns - task->submitted_ns;
    }
    batch->parts[batch->part_count++] = (struct part){task, task->taken, count};
    batch->samples += count;
    if (count == left)
        queue_remove(queue, task);
    else
        queue->samples -= count;
    task->taken += count;
    task->running += count;
}

/* A task that was taken in part lets the others go first: small requests do not wait for all of a
 * large one. */
static void rotate(struct batch_queue *queue)
{
    struct batch_task *task = queue->first;
    if (!task || task->taken == 0 || task == queue->last)
        return;
    queue->first = task->next;
    queue->last->next = task;
    queue->last = task;
    task->next = NULL;
}

/* What one thread computes next. The rest of the queue comes after the other queues. */
static void take(struct batcher *b, struct batch_queue *queue, struct batch *batch)
{
    const int most = fair_share(b, queue);
    *batch = (struct batch){.model = queue->model};
    while (queue->first && batch->samples < most)
        take_part(queue, batch, most - batch->samples);
    for (int i = 0; i < batch->part_count; i++)
        if (batch->parts[i].first == 0)
            batch->parts[i].task->batch = batch->samples;
    rotate(queue);
    ring_remove(b, queue);
    if (queue->first)
        ring_append(b, queue);
    if (b->first && b->idle > 0)
        pthread_cond_signal(&b->work);
}

/* ---- computing ---- */

/* One task's samples are read where they stand. */
static void run_one(struct cnn_lane *lane, const struct batch_task *task, int first, int count)
{
    const struct cnn_net *net = task->model->net;
    const size_t in = cnn_shape_count(&net->input), classes = cnn_shape_count(cnn_net_output(net));
    float *scores = task->scores + (size_t)first * classes;
    cnn_predict(&lane, 1, task->x + (size_t)first * in, count, scores);
    cnn_scores(net, scores, count);
}

static void run_together(struct cnn_lane *lane, const struct batch *batch)
{
    const struct cnn_net *net = batch->model->net;
    const size_t in = cnn_shape_count(&net->input), classes = cnn_shape_count(cnn_net_output(net));
    float *to = cnn_lane_input(lane);
    for (int i = 0; i < batch->part_count; i++) {
        const struct part *part = &batch->parts[i];
        for (int sample = part->first; sample < part->first + part->count; sample++, to += in)
            cnn_layout_to_last(&net->input, part->task->x + (size_t)sample * in, to);
    }
    const float *from = cnn_lane_run(lane, batch->samples);
    for (int i = 0; i < batch->part_count; i++) {
        const struct part *part = &batch->parts[i];
        float *scores = part->task->scores + (size_t)part->first * classes;
        memcpy(scores, from, (size_t)part->count * classes * sizeof *scores);
        cnn_scores(net, scores, part->count);
        from += (size_t)part->count * classes;
    }
}

/* Leaves out tasks whose clients have left, into `gone`. Without the mutex: it may be a system
 * call, and a task that has samples in the works stays. */
static void leave_out(struct batch *batch, struct batch *gone)
{
    const struct batch all = *batch;
    *gone = (struct batch){.model = all.model};
    *batch = *gone;
    for (int i = 0; i < all.part_count; i++) {
        struct batch_task *task = all.parts[i].task;
        struct batch *to = task->has_left && task->has_left(task) ? gone : batch;
        to->parts[to->part_count++] = all.parts[i];
        to->samples += all.parts[i].count;
    }
}

static bool compute(const struct batch *batch, struct err *e)
{
    if (batch->part_count == 0)
        return true;
    struct cnn_lane *lane = model_lane_take(batch->model, e);
    if (!lane)
        return false;
    const struct part *part = &batch->parts[0];
    const int64_t start_ns = clock_ns();
    if (batch->part_count == 1)
        run_one(lane, part->task, part->first, part->count);
    else
        run_together(lane, batch);
    model_lane_give(batch->model, lane);
    model_count_batch(batch->model, batch->samples, clock_ns() - start_ns);
    return true;
}

/* The mutex is held. e: why the batch was not computed, or NULL. */
static void settle(struct batcher *b, const struct batch *batch, const struct err *e,
                   struct ended *ended)
{
    for (int i = 0; i < batch->part_count; i++) {
        struct batch_task *task = batch->parts[i].task;
        task->running -= batch->parts[i].count;
        if (e)
            task_fail(b, task, e);
        task_settle(b, task, ended);
    }
}

static void work_off(struct batcher *b, struct batch *batch)
{
    static const struct err left = {.code = ERR_CANCELLED, .detail = "the client has left"};
    struct batch gone;
    struct err e;
    struct ended ended = {NULL};
    leave_out(batch, &gone);
    const bool ok = compute(batch, &e);
    pthread_mutex_lock(&b->mutex);
    settle(b, &gone, &left, &ended);
    settle(b, batch, ok ? NULL : &e, &ended);
    pthread_mutex_unlock(&b->mutex);
    tell(&ended);
}

static void wait_for_work(struct batcher *b, int64_t when_ns)
{
    const struct timespec until = clock_timespec(when_ns);
    b->idle++;
    if (when_ns == INT64_MAX)
        pthread_cond_wait(&b->work, &b->mutex);
    else
        pthread_cond_timedwait(&b->work, &b->mutex, &until);
    b->idle--;
}

static void *infer(void *context)
{
    struct batcher *b = context;
    struct batch batch;
    int64_t when_ns;
    pthread_mutex_lock(&b->mutex);
    while (!b->stopping) {
        struct batch_queue *queue = ripe_queue(b, &when_ns);
        if (!queue) {
            wait_for_work(b, when_ns);
            continue;
        }
        take(b, queue, &batch);
        pthread_mutex_unlock(&b->mutex);
        work_off(b, &batch);
        pthread_mutex_lock(&b->mutex);
    }
    pthread_mutex_unlock(&b->mutex);
    return NULL;
}

/* ---- from outside ---- */

bool batcher_has_room(const struct batcher *b, const struct model *model, struct err *e)
{
    if (atomic_load_explicit(&model->queue.requests, memory_order_relaxed) < b->options.queue_max)
        return true;
    return err_set(e, ERR_UNAVAILABLE, "%d requests wait for model '%s' already",
                   b->options.queue_max, model->name);
}

/* The mutex is held. */
static bool check_room(const struct batcher *b, const struct batch_task *task, struct err *e)
{
    if (b->stopping)
        return err_set(e, ERR_UNAVAILABLE, "the daemon is stopping");
    if (!batcher_has_room(b, task->model, e))
        return false;
    if (b->bytes > 0 && b->bytes + task_bytes(task) > LIMIT_BATCHER_BYTES)
        return err_set(e, ERR_UNAVAILABLE, "samples of %zu MiB wait already", b->bytes >> 20);
    return true;
}

bool batcher_submit(struct batcher *b, struct batch_task *task, struct err *e)
{
    CHECK(task->count > 0);
    task->taken = task->running = task->batch = 0;
    task->queue_ns = task->compute_ns = 0;
    task->failure.code = ERR_NONE;
    task->submitted_ns = task->started_ns = clock_ns();
    pthread_mutex_lock(&b->mutex);
    const bool ok = check_room(b, task, e);
    if (ok) {
        b->bytes += task_bytes(task);
        queue_append(b, task);
        if (b->idle > 0)
            pthread_cond_signal(&b->work);
        if (due(b, task) < b->alarm_ns) {
            b->alarm_ns = due(b, task);
            pthread_cond_signal(&b->alarm);
        }
    }
    pthread_mutex_unlock(&b->mutex);
    return ok;
}

bool batcher_is_quick(const struct model *model, int count, int peers)
{
    const int64_t share_ns = ROUND_NS / (peers > 0 ? peers : 1);
    return model->sample_ns * count <= (share_ns < QUICK_NS ? share_ns : QUICK_NS) &&
           atomic_load_explicit(&model->queue.requests, memory_order_relaxed) == 0;
}

bool batcher_run(struct batch_task *task, struct err *e)
{
    task->submitted_ns = task->started_ns = clock_ns();
    task->queue_ns = 0;
    task->batch = task->count;
    struct cnn_lane *lane = model_lane_take(task->model, e);
    if (!lane)
        return false;
    run_one(lane, task, 0, task->count);
    model_lane_give(task->model, lane);
    task->compute_ns = clock_ns() - task->started_ns;
    model_count_batch(task->model, task->count, task->compute_ns);
    return true;
}

/* ---- start and stop ---- */

static bool start_threads(struct batcher *b, struct err *e)
{
    int error = pthread_create(&b->clock, NULL, watch_clock, b);
    b->has_clock = error == 0;
    while (!error && b->thread_count < b->options.threads) {
        error = pthread_create(&b->threads[b->thread_count], NULL, infer, b);
        b->thread_count += error == 0;
    }
    return error == 0 ||
           err_set(e, ERR_NO_MEMORY, "cannot start an inference thread: %s", strerror(error));
}

struct batcher *batcher_new(const struct batcher_options *options, struct err *e)
{
    CHECK(options->threads > 0 && options->queue_max > 0 && options->delay_us >= 0);
    struct batcher *b = calloc(1, sizeof *b);
    if (!b) {
        err_no_memory(e);
        return NULL;
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&b->mutex, NULL);
    pthread_cond_init(&b->work, &monotonic);
    pthread_cond_init(&b->alarm, &monotonic);
    pthread_condattr_destroy(&monotonic);
    b->options = *options;
    b->alarm_ns = b->drain_ns = INT64_MAX;
    b->threads = calloc((size_t)options->threads, sizeof *b->threads);
    if (!b->threads)
        err_no_memory(e);
    if (b->threads && start_threads(b, e))
        return b;
    batcher_free(b);
    return NULL;
}

void batcher_drain(struct batcher *b, int drain_s)
{
    pthread_mutex_lock(&b->mutex);
    b->drain_ns = clock_ns() + (int64_t)drain_s * 1000000000;
    b->alarm_ns = b->drain_ns < b->alarm_ns ? b->drain_ns : b->alarm_ns;
    pthread_cond_signal(&b->alarm);
    pthread_mutex_unlock(&b->mutex);
}

void batcher_stop(struct batcher *b)
{
    struct err e;
    struct ended ended = {NULL};
    err_set(&e, ERR_UNAVAILABLE, "the daemon is stopping");
    pthread_mutex_lock(&b->mutex);
    b->stopping = true;
    while (b->first) {
        struct batch_task *task = b->first->first;
        task_fail(b, task, &e);
        task_settle(b, task, &ended);
    }
    pthread_cond_broadcast(&b->work);
    pthread_cond_broadcast(&b->alarm);
    pthread_mutex_unlock(&b->mutex);
    tell(&ended);
    for (; b->thread_count > 0; b->thread_count--)
        pthread_join(b->threads[b->thread_count - 1], NULL);
    if (b->has_clock)
        pthread_join(b->clock, NULL);
    b->has_clock = false;
}

void batcher_free(struct batcher *b)
{
    if (!b)
        return;
    batcher_stop(b);
    pthread_cond_destroy(&b->work);
    pthread_cond_destroy(&b->alarm);
    pthread_mutex_destroy(&b->mutex);
    free(b->threads);
    free(b);
}
