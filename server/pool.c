#include "pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

struct task {
    pool_run *run;
    void *context;
};

struct pool {
    pthread_mutex_t mutex; /* guards what follows, up to `threads` */
    pthread_cond_t wake;   /* a task was queued, or stopping was set */
    bool stopping;
    int first, count; /* the ring: tasks[first], `count` of them */
    int queue_max;
    struct task *tasks;
    pthread_t *threads; /* set before any starts */
    int thread_count;
};

static struct task ring_take(struct pool *pool)
{
    struct task task = pool->tasks[pool->first];
    pool->first = (pool->first + 1) % pool->queue_max;
    pool->count--;
    return task;
}

static void *work(void *context)
{
    struct pool *pool = context;
    pthread_mutex_lock(&pool->mutex);
    while (!pool->stopping) {
        if (pool->count == 0) {
            pthread_cond_wait(&pool->wake, &pool->mutex);
            continue;
        }
        struct task task = ring_take(pool);
        pthread_mutex_unlock(&pool->mutex);
        task.run(task.context, false);
        pthread_mutex_lock(&pool->mutex);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

struct pool *pool_new(int threads, int queue_max, struct err *e)
{
    CHECK(threads > 0 && queue_max > 0);
    struct pool *pool = calloc(1, sizeof *pool);
    if (!pool) {
        err_no_memory(e);
        return NULL;
    }
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->queue_max = queue_max;
    pool->tasks = calloc((size_t)queue_max, sizeof *pool->tasks);
    pool->threads = calloc((size_t)threads, sizeof *pool->threads);
    if (!pool->tasks || !pool->threads) {
        err_no_memory(e);
        pool_free(pool);
        return NULL;
    }
    for (; pool->thread_count < threads; pool->thread_count++) {
        int error = pthread_create(&pool->threads[pool->thread_count], NULL, work, pool);
        if (error) {
            err_set(e, ERR_NO_MEMORY, "cannot start a thread: %s", strerror(error));
            pool_free(pool);
            return NULL;
        }
    }
    return pool;
}

bool pool_submit(struct pool *pool, pool_run *run, void *context)
{
    pthread_mutex_lock(&pool->mutex);
    bool taken = !pool->stopping && pool->count < pool->queue_max;
    if (taken) {
        int last = (pool->first + pool->count) % pool->queue_max;
        pool->tasks[last] = (struct task){run, context};
        pool->count++;
        pthread_cond_signal(&pool->wake);
    }
    pthread_mutex_unlock(&pool->mutex);
    return taken;
}

static void cancel_waiting(struct pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->wake);
    while (pool->count > 0) {
        struct task task = ring_take(pool);
        pthread_mutex_unlock(&pool->mutex);
        task.run(task.context, true);
        pthread_mutex_lock(&pool->mutex);
    }
    pthread_mutex_unlock(&pool->mutex);
}

void pool_stop(struct pool *pool)
{
    cancel_waiting(pool);
    for (; pool->thread_count > 0; pool->thread_count--)
        pthread_join(pool->threads[pool->thread_count - 1], NULL);
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    pool_stop(pool);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->tasks);
    free(pool->threads);
    free(pool);
}
