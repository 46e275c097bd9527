/* The scheduler thread gives each free run the queued job whose turn it is and polls the workers of
 * all; what a run does with its worker is in jobs_run.c. A drain stops the starts, asks every
 * worker to stop, and ends when all runs have.
 *
 * Lock order: the runs' lock (jobs_run.h), then the registry's, the events' or the store's. */
#include "jobs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "job_post.h"
#include "jobs_run.h"
#include "limits.h"
#include "log.h"

enum { START_DELAY_MAX = 60000 }; /* ms */

struct jobs {
    struct jobs_parts parts; /* its lock also guards `seen` of runs, and drain_until */
    pthread_t thread;
    int wake;            /* eventfd */
    int64_t drain_until; /* monotonic ms; 0: not draining */

    /* The scheduler thread's own. */
    bool woken;          /* the queue is to be looked at */
    int free_left;       /* runs that were free after the last look */
    int64_t start_at;    /* no job is started before; ms */
    int64_t start_delay; /* after the last failure to start one; ms */
    int run_count;
    struct pollfd *fds; /* [1 + 2 * run_count] */
    struct run runs[];
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void wake_up(struct jobs *jobs)
{
    /* Fails only when 2^64 - 1 wake-ups wait already. */
    ssize_t written = write(jobs->wake, &(uint64_t){1}, sizeof(uint64_t));
    (void)written;
}

/* ---- the thread ---- */

static struct run *free_run(struct jobs *jobs)
{
    for (int i = 0; i < jobs->run_count; i++)
        if (jobs->runs[i].row.id == 0)
            return &jobs->runs[i];
    return NULL;
}

static int free_count(const struct jobs *jobs)
{
    int count = 0;
    for (int i = 0; i < jobs->run_count; i++)
        count += jobs->runs[i].row.id == 0;
    return count;
}

/* The queue cannot be read, or no worker be started: tries again later, and later each time. */
static int delay_starts(struct jobs *jobs, int64_t now)
{
    int64_t twice = 2 * jobs->start_delay;
    jobs->start_delay = twice < RUN_RETRY_MS      ? RUN_RETRY_MS
                        : twice > START_DELAY_MAX ? START_DELAY_MAX
                                                  : twice;
    jobs->start_at = now + jobs->start_delay;
    jobs->woken = true;
    return (int)jobs->start_delay;
}

/* Starts what waits while a run is free; returns how long to sleep if nothing happens. */
static int start_waiting(struct jobs *jobs, int64_t now)
{
    struct run *run;
    if (now < jobs->start_at)
        return (int)(jobs->start_at - now);
    if (!jobs->woken && free_count(jobs) == jobs->free_left)
        return -1;
    jobs->woken = false;
    while ((run = free_run(jobs))) {
        struct err e;
        bool found = false;
        if (!run_take(run, &found, &e)) {
            log_event(LOG_ERROR, "queue_not_read", "error", e.detail, NULL);
            return delay_starts(jobs, now);
        }
        if (!found)
            break;
        if (!run_start(run, now))
            return delay_starts(jobs, now);
        jobs->start_delay = 0;
    }
    jobs->free_left = free_count(jobs);
    return -1;
}

static int sooner(int a, int b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* What can be done now; returns how long to sleep if nothing happens. */
static int advance(struct jobs *jobs, int64_t now, int64_t drain_until)
{
    int timeout = drain_until ? -1 : start_waiting(jobs, now);
    for (int i = 0; i < jobs->run_count; i++)
        timeout = sooner(timeout, run_advance(&jobs->runs[i], now, drain_until));
    return timeout;
}

/* Sleeps until something happens, and deals with it. Returns when it woke: silence is measured by
 * this, so that a daemon that was itself stopped hears first what was said meanwhile. */
static int64_t wait_and_serve(struct jobs *jobs, int timeout_ms)
{
    struct pollfd *fds = jobs->fds;
    fds[0] = (struct pollfd){.fd = jobs->wake, .events = POLLIN};
    for (int i = 0; i < jobs->run_count; i++)
        run_poll(&jobs->runs[i], fds + 1 + 2 * i);
    int ready = poll(fds, (nfds_t)(1 + 2 * jobs->run_count), timeout_ms);
    int64_t now = now_ms();
    if (ready < 0) {
        CHECK(errno == EINTR || errno == ENOMEM);
        return now;
    }
    uint64_t wakes;
    if (fds[0].revents) {
        jobs->woken = true;
        if (read(jobs->wake, &wakes, sizeof wakes) < 0)
            CHECK(errno == EAGAIN || errno == EINTR);
    }
    for (int i = 0; i < jobs->run_count; i++)
        run_serve(&jobs->runs[i], fds + 1 + 2 * i, now);
    return now;
}

static void *scheduler(void *arg)
{
    struct jobs *jobs = arg;
    int64_t now = now_ms();
    for (;;) {
        pthread_mutex_lock(&jobs->parts.lock);
        int64_t drain_until = jobs->drain_until;
        pthread_mutex_unlock(&jobs->parts.lock);
        int timeout = advance(jobs, now, drain_until);
        if (drain_until && now >= drain_until)
            for (int i = 0; i < jobs->run_count; i++)
                run_give_up(&jobs->runs[i]);
        if (drain_until && free_count(jobs) == jobs->run_count)
            return NULL;
        now = wait_and_serve(jobs, timeout);
    }
}

static bool recover(struct store *store, struct err *e)
{
    int queued, failed;
    if (!store_jobs_recover(store, LIMIT_JOB_INTERRUPTIONS, &queued, &failed, e))
        return false;
    char queued_text[16], failed_text[16];
    snprintf(queued_text, sizeof queued_text, "%d", queued);
    snprintf(failed_text, sizeof failed_text, "%d", failed);
    if (queued + failed > 0)
        log_event(LOG_WARN, "jobs_interrupted", "queued", queued_text, "failed", failed_text, NULL);
    return true;
}

static struct jobs *allocate(int run_count)
{
    struct jobs *jobs = calloc(1, sizeof *jobs + (size_t)run_count * sizeof jobs->runs[0]);
    if (!jobs)
        return NULL;
    jobs->fds = calloc(1 + 2 * (size_t)run_count, sizeof *jobs->fds);
    jobs->run_count = run_count;
    for (int i = 0; i < run_count; i++)
        jobs->runs[i].parts = &jobs->parts;
    pthread_mutex_init(&jobs->parts.lock, NULL);
    jobs->wake = -1;
    jobs->woken = true;
    return jobs;
}

static void discard(struct jobs *jobs)
{
    if (jobs->wake >= 0)
        close(jobs->wake);
    pthread_mutex_destroy(&jobs->parts.lock);
    free(jobs->fds);
    free(jobs);
}

struct jobs *jobs_new(const struct config *config, struct store *store, struct registry *registry,
                      struct events *events, struct err *e)
{
    if (!recover(store, e))
        return NULL;
    struct jobs *jobs = allocate(config->jobs_parallel);
    if (!jobs || !jobs->fds) {
        err_no_memory(e);
        goto fail;
    }
    jobs->parts.config = config;
    jobs->parts.store = store;
    jobs->parts.registry = registry;
    jobs->parts.events = events;
    jobs->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int failed = jobs->wake < 0 ? errno : pthread_create(&jobs->thread, NULL, scheduler, jobs);
    if (!failed)
        return jobs;
    err_set(e, ERR_IO, "cannot start the scheduler: %s", strerror(failed));
fail:
    if (jobs)
        discard(jobs);
    return NULL;
}

void jobs_drain(struct jobs *jobs, int limit_s)
{
    pthread_mutex_lock(&jobs->parts.lock);
    if (!jobs->drain_until)
        jobs->drain_until = now_ms() + (int64_t)limit_s * 1000;
    pthread_mutex_unlock(&jobs->parts.lock);
    wake_up(jobs);
}

void jobs_free(struct jobs *jobs)
{
    if (!jobs)
        return;
    jobs_drain(jobs, 0);
    pthread_join(jobs->thread, NULL);
    discard(jobs);
}

/* ---- what other threads ask ---- */

/* Under the lock. */
static struct run_seen *find_seen(struct jobs *jobs, int64_t id)
{
    for (int i = 0; i < jobs->run_count; i++)
        if (jobs->runs[i].seen.live.id == id)
            return &jobs->runs[i].seen;
    return NULL;
}

bool jobs_post(struct jobs *jobs, struct job_request *request, const char *idempotency_key,
               int64_t *id, bool *replayed, struct err *e)
{
    const struct jobs_parts *parts = &jobs->parts;
    bool ok = job_post(parts->config, parts->store, parts->registry, request, idempotency_key, id,
                       replayed, e);
    if (ok)
        wake_up(jobs);
    return ok;
}

bool jobs_cancel(struct jobs *jobs, int64_t id, struct err *e)
{
    bool ok = true;
    pthread_mutex_lock(&jobs->parts.lock);
    struct run_seen *seen = find_seen(jobs, id);
    if (!seen)
        ok = store_job_cancel(jobs->parts.store, id, e);
    else if (seen->cancel_closed && !seen->cancel_asked)
        ok = err_set(e, ERR_CONFLICT, "job %lld has just ended", (long long)id);
    else
        seen->cancel_asked = true;
    if (ok && !seen)
        run_state_changed(&jobs->parts, id, JOB_CANCELLED, NULL);
    pthread_mutex_unlock(&jobs->parts.lock);
    if (ok)
        wake_up(jobs);
    return ok;
}

bool jobs_resume(struct jobs *jobs, int64_t id, int epochs, struct err *e)
{
    pthread_mutex_lock(&jobs->parts.lock);
    bool ok =
        store_job_resume(jobs->parts.store, id, epochs, jobs->parts.config->jobs_queued_max, e);
    if (ok)
        run_state_changed(&jobs->parts, id, JOB_QUEUED, "resumed");
    pthread_mutex_unlock(&jobs->parts.lock);
    if (ok)
        wake_up(jobs);
    return ok;
}

bool jobs_delete(struct jobs *jobs, int64_t id, struct err *e)
{
    char path[FILES_PATH_BYTES];
    pthread_mutex_lock(&jobs->parts.lock);
    bool ok = store_job_delete(jobs->parts.store, id, e);
    pthread_mutex_unlock(&jobs->parts.lock);
    if (!ok)
        return false;
    /* After the row: a checkpoint that stays is of no job, which the next start notices; a job must
     * not stay that was resumable and no longer is. */
    files_checkpoint_path(path, sizeof path, id);
    return file_remove(path, e);
}

bool jobs_get(struct jobs *jobs, int64_t id, struct jobs_look *look, struct err *e)
{
    int ahead = -1;
    *look = (struct jobs_look){.queue_position = 0};
    pthread_mutex_lock(&jobs->parts.lock);
    bool ok = store_job_get(jobs->parts.store, id, &look->row, e);
    if (ok && look->row.state == JOB_QUEUED)
        ok = store_job_ahead(jobs->parts.store, &look->row, &ahead, e);
    const struct run_seen *seen = find_seen(jobs, id);
    if (seen)
        look->live = seen->live;
    pthread_mutex_unlock(&jobs->parts.lock);
    look->queue_position = ahead + 1;
    if (!ok)
        store_job_clear(&look->row);
    return ok;
}

bool jobs_list(struct jobs *jobs, const struct store_job_filter *filter, struct jobs_list *list,
               struct err *e)
{
    *list = (struct jobs_list){.live = calloc((size_t)jobs->run_count, sizeof *list->live)};
    if (!list->live)
        return err_no_memory(e);
    bool ok = store_jobs(jobs->parts.store, filter, &list->rows, &list->count, &list->total, e);
    pthread_mutex_lock(&jobs->parts.lock);
    for (int i = 0; i < jobs->run_count; i++)
        if (jobs->runs[i].seen.live.id)
            list->live[list->live_count++] = jobs->runs[i].seen.live;
    pthread_mutex_unlock(&jobs->parts.lock);
    if (!ok)
        free(list->live);
    return ok;
}

void jobs_list_clear(struct jobs_list *list)
{
    for (int i = 0; i < list->count; i++)
        store_job_clear(&list->rows[i]);
    free(list->rows);
    free(list->live);
}

bool jobs_live_points(struct jobs *jobs, int64_t id, struct report_batch **points, int *count,
                      struct err *e)
{
    pthread_mutex_lock(&jobs->parts.lock);
    const struct run_seen *seen = find_seen(jobs, id);
    *count = seen ? seen->point_count : 0;
    size_t bytes = (size_t)*count * sizeof **points;
    *points = malloc(bytes + 1);
    if (*points && bytes)
        memcpy(*points, seen->points, bytes);
    pthread_mutex_unlock(&jobs->parts.lock);
    return *points || err_no_memory(e);
}
