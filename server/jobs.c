/* How a job runs. The scheduler thread takes the oldest queued job, starts `strided worker`
 * (child.h) and polls: progress lines become rows of the store, one transaction an epoch; batch
 * figures stay in `live` and `points` until their epoch's transaction. When the process has ended,
 * what it said and how it ended decide: cancelled if that was asked, failed with the reason, or
 * succeeded; the model's row and the job's end are one transaction, and the model serves before
 * anyone can read that the job succeeded.
 *
 * `run` belongs to the scheduler thread alone. `lock` guards everything below it; it is also held
 * while a job is taken from the queue, ended, cancelled or looked at, so that those never mix. */
#include "jobs.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "child.h"
#include "datasets.h"
#include "files.h"
#include "job_post.h"
#include "log.h"
#include "worker.h"

enum {
    TERM_GRACE_MS = 5000,               /* from SIGTERM to SIGKILL */
    STORE_RETRY_MS = 1000,              /* after the store failed */
    POINTS_MAX = 2 * WORKER_POINTS + 1, /* of one epoch, see worker_is_point */
};

/* The job being run. */
struct run {
    struct store_job row; /* id 0: none */
    int batch_size;
    char temp[FILES_PATH_BYTES]; /* where the worker writes the model */
    struct child child;
    struct err error;     /* ours: ends the job as failed */
    struct progress done; /* type PROGRESS_DONE once it came; owned */
    struct progress fail; /* type PROGRESS_FAIL once it came */
    int64_t kill_at_ms;   /* monotonic; 0 = no SIGTERM sent */

    /* The end of a job whose process has ended, until the store takes it (a disk may be full). */
    bool ending;
    enum job_state end_state;
    char end_reason[CHILD_REASON_BYTES];
};

struct jobs {
    const struct config *config;
    struct store *store;
    struct registry *registry;
    struct events *events;
    pthread_t thread;
    int wake; /* eventfd */
    struct run run;

    pthread_mutex_t lock;
    bool stopping;
    bool cancel_asked;  /* of the running job */
    bool cancel_closed; /* it is too late for that: the job is being ended */
    struct jobs_live live;
    struct report_batch points[POINTS_MAX];
    int point_count;
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

static void log_job(enum log_level level, const char *event, const struct store_job *row,
                    const char *key, const char *value)
{
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)row->id);
    log_event(level, event, "job", id, "model", row->model, key, value, NULL);
}

/* ---- what the worker says ---- */

static double eta_seconds(const struct run *run, const struct progress *p)
{
    double batches = (double)(run->row.epochs - p->epoch) * p->batches + (p->batches - p->batch);
    return p->samples_per_second > 0 ? batches * run->batch_size / p->samples_per_second : 0;
}

static void tell_batch(struct jobs *jobs, const struct progress *p)
{
    const struct event_batch batch = {
        .epoch = p->epoch,
        .epochs = jobs->run.row.epochs,
        .batch = p->batch,
        .batches = p->batches,
        .loss = p->loss,
        .accuracy = p->accuracy,
        .batch_loss = p->batch_loss,
        .lr = p->lr,
        .samples_per_second = p->samples_per_second,
        .eta_seconds = jobs->live.eta_seconds,
    };
    events_batch(jobs->events, jobs->run.row.id, &batch);
}

static bool take_batch(struct jobs *jobs, const struct progress *p, struct err *e)
{
    bool ok = true;
    pthread_mutex_lock(&jobs->lock);
    jobs->live = (struct jobs_live){
        .id = jobs->run.row.id,
        .epoch = p->epoch,
        .batch = p->batch,
        .batches = p->batches,
        .loss = p->loss,
        .accuracy = p->accuracy,
        .samples_per_second = p->samples_per_second,
        .eta_seconds = eta_seconds(&jobs->run, p),
    };
    if (worker_is_point(p->batch, p->batches)) {
        if (jobs->point_count < POINTS_MAX)
            jobs->points[jobs->point_count++] =
                (struct report_batch){p->epoch, p->batch, p->batch_loss, p->lr};
        else
            ok =
                err_set(e, ERR_INTERNAL, "worker sent more than %d points of an epoch", POINTS_MAX);
    }
    tell_batch(jobs, p);
    pthread_mutex_unlock(&jobs->lock);
    return ok;
}

/* Under the lock, so that a reader finds each point either here or in the store. */
static bool take_epoch(struct jobs *jobs, const struct progress *p, struct err *e)
{
    pthread_mutex_lock(&jobs->lock);
    bool ok = store_job_epoch(jobs->store, jobs->run.row.id, p, jobs->points, jobs->point_count, e);
    if (ok) {
        jobs->point_count = 0;
        jobs->live.batch = 0;
        if (p->epoch < jobs->run.row.epochs)
            jobs->live.epoch = p->epoch + 1;
        events_changed(jobs->events, jobs->run.row.id);
    }
    pthread_mutex_unlock(&jobs->lock);
    if (ok)
        child_acknowledge(&jobs->run.child);
    return ok;
}

static bool take_start(struct jobs *jobs, const struct progress *p, struct err *e)
{
    pthread_mutex_lock(&jobs->lock);
    jobs->live.batches = p->batches;
    pthread_mutex_unlock(&jobs->lock);
    return store_job_started(jobs->store, jobs->run.row.id, p, e);
}

static bool take_line(void *context, const char *line, size_t size, struct err *e)
{
    struct jobs *jobs = context;
    struct progress p = {0};
    bool ok = true;
    if (!progress_parse(line, size, &p, e))
        return false;
    switch (p.type) {
    case PROGRESS_START:
        ok = take_start(jobs, &p, e);
        break;
    case PROGRESS_BATCH:
        ok = take_batch(jobs, &p, e);
        break;
    case PROGRESS_EPOCH:
        ok = take_epoch(jobs, &p, e);
        break;
    case PROGRESS_DONE:
        progress_clear(&jobs->run.done);
        jobs->run.done = p;
        return true;
    case PROGRESS_FAIL:
        jobs->run.fail = p; /* owns nothing */
        return true;
    case PROGRESS_STOPPED: /* only a cancel asks for it, which is remembered */
        break;
    }
    progress_clear(&p);
    return ok;
}

/* ---- start ---- */

/* The labels are kept with the job: its reports outlive the dataset. */
static bool keep_labels(struct jobs *jobs, const struct job_request *request, struct err *e)
{
    struct dataset dataset;
    if (!dataset_open(&dataset, request->dataset, request->dataset_version, e))
        return false;
    bool ok = store_job_set_labels(jobs->store, jobs->run.row.id, dataset.info.labels,
                                   dataset.info.label_count, e);
    dataset_close(&dataset);
    return ok;
}

static bool start_worker(struct jobs *jobs, struct err *e)
{
    struct run *run = &jobs->run;
    char parent[24], id[24];
    snprintf(parent, sizeof parent, "%ld", (long)getpid());
    snprintf(id, sizeof id, "%lld", (long long)run->row.id);
    int size = snprintf(run->temp, sizeof run->temp, "%s/tmp/job-%s.onnx", files_data_dir(), id);
    if (size < 0 || (size_t)size >= sizeof run->temp)
        return err_set(e, ERR_INTERNAL, "data directory's name is too long");
    char checkpoint[FILES_PATH_BYTES];
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoints/%s.safetensors", files_data_dir(), id);
    char *const argv[] = {"strided",
                          "worker",
                          "--parent",
                          parent,
                          "--data-dir",
                          (char *)files_data_dir(),
                          "--model-file",
                          run->temp,
                          "--job",
                          id,
                          "--checkpoint",
                          checkpoint,
                          "--checkpoint-s",
                          "30",
                          "--memory-mib",
                          "0",
                          NULL};
    return child_start(&run->child, argv, run->row.request, strlen(run->row.request), e);
}

static bool launch(struct jobs *jobs, struct err *e)
{
    struct run *run = &jobs->run;
    struct job_request request = {0};
    bool ok = job_request_parse(run->row.request, strlen(run->row.request), &request, e) &&
              keep_labels(jobs, &request, e) && start_worker(jobs, e);
    run->batch_size = request.train.batch_size;
    job_request_clear(&request);
    if (ok)
        log_job(LOG_INFO, "job_started", &run->row, "dataset", run->row.dataset);
    return ok;
}

/* ---- end ---- */

/* Writes the end and forgets the run. A model that was staged serves, or is discarded. */
static bool end_run(struct jobs *jobs, enum job_state state, const char *error,
                    const struct store_model *row, struct model *model, struct err *e)
{
    struct run *run = &jobs->run;
    const struct progress *done = run->done.type == PROGRESS_DONE ? &run->done : NULL;
    pthread_mutex_lock(&jobs->lock);
    registry_hold(jobs->registry);
    bool ok = store_job_end(jobs->store, run->row.id, state, error,
                            state == JOB_SUCCEEDED ? done : NULL, row, e);
    if (ok && model)
        registry_serve(jobs->registry, model);
    registry_let_go(jobs->registry);
    if (ok) {
        events_changed(jobs->events, run->row.id);
        jobs->live = (struct jobs_live){0};
        jobs->point_count = 0;
    }
    pthread_mutex_unlock(&jobs->lock);
    if (!ok && model)
        registry_discard(jobs->registry, model);
    if (ok)
        log_job(state == JOB_FAILED ? LOG_WARN : LOG_INFO, "job_ended", &run->row, "state",
                job_state_name(state));
    return ok;
}

static void forget_run(struct jobs *jobs)
{
    struct run *run = &jobs->run;
    struct err e;
    if (run->temp[0] && !file_remove(run->temp, &e))
        log_job(LOG_ERROR, "temporary_file_stays", &run->row, "error", e.detail);
    progress_clear(&run->done);
    store_job_clear(&run->row);
    *run = (struct run){0};
    pthread_mutex_lock(&jobs->lock);
    jobs->live = (struct jobs_live){0};
    jobs->point_count = 0;
    pthread_mutex_unlock(&jobs->lock);
}

static bool publish(struct jobs *jobs, struct err *e)
{
    struct run *run = &jobs->run;
    struct store_model row = {0};
    struct model *model = NULL;
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)run->row.id);
    return registry_stage(jobs->registry, run->row.model, run->temp, id, &row, &model, e) &&
           end_run(jobs, JOB_SUCCEEDED, "", &row, model, e);
}

/* Forgets the run once its end is stored; else the scheduler tries again later, and starts no other
 * job before. */
static bool store_end(struct jobs *jobs)
{
    struct run *run = &jobs->run;
    struct err e;
    if (!end_run(jobs, run->end_state, run->end_reason, NULL, NULL, &e)) {
        log_job(LOG_ERROR, "job_end_not_stored", &run->row, "error", e.detail);
        return false;
    }
    forget_run(jobs);
    return true;
}

/* Every way a job can end but success. */
static void end_without_model(struct jobs *jobs, enum job_state state, const char *reason)
{
    struct run *run = &jobs->run;
    if (state == JOB_FAILED)
        log_job(LOG_WARN, "job_failed", &run->row, "error", reason);
    run->ending = true;
    run->end_state = state;
    snprintf(run->end_reason, sizeof run->end_reason, "%s", state == JOB_FAILED ? reason : "");
    store_end(jobs);
}

/* A cancel that comes after this finds the job ended or, for the moment of publishing, is too
 * late. */
static bool take_cancel(struct jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    bool asked = jobs->cancel_asked;
    jobs->cancel_closed = true;
    pthread_mutex_unlock(&jobs->lock);
    return asked;
}

/* Failed for this reason, unless a cancel was asked for. */
static void end_unfinished(struct jobs *jobs, const char *reason)
{
    bool asked = take_cancel(jobs);
    end_without_model(jobs, asked ? JOB_CANCELLED : JOB_FAILED, reason);
}

/* The process has closed its end of the progress pipe and all it said is read. */
static void finish(struct jobs *jobs)
{
    struct run *run = &jobs->run;
    char reason[CHILD_REASON_BYTES];
    /* One that is exiting keeps its status; one that only closed the pipe must not be waited for.
     */
    child_signal(&run->child, SIGKILL);
    child_reap(&run->child, reason);
    if (take_cancel(jobs))
        end_without_model(jobs, JOB_CANCELLED, "");
    else if (run->error.code)
        end_without_model(jobs, JOB_FAILED, run->error.detail);
    else if (run->fail.type == PROGRESS_FAIL)
        end_without_model(jobs, JOB_FAILED, run->fail.error.detail);
    else if (reason[0])
        end_without_model(jobs, JOB_FAILED, reason);
    else if (run->done.type != PROGRESS_DONE)
        end_without_model(jobs, JOB_FAILED, "worker ended without a result");
    else if (publish(jobs, &run->error))
        forget_run(jobs);
    else
        end_without_model(jobs, JOB_FAILED, run->error.detail);
}

/* ---- the thread ---- */

static bool take_next(struct jobs *jobs, bool *found, struct err *e)
{
    pthread_mutex_lock(&jobs->lock);
    bool ok = store_job_start_next(jobs->store, &jobs->run.row, found, e);
    if (ok && *found) {
        jobs->live = (struct jobs_live){.id = jobs->run.row.id, .epoch = 1};
        jobs->point_count = 0;
        jobs->cancel_asked = jobs->cancel_closed = false;
        events_changed(jobs->events, jobs->live.id);
    }
    pthread_mutex_unlock(&jobs->lock);
    return ok;
}

/* Starts what waits; returns how long to sleep if nothing happens, -1 = as long as it takes. */
static int start_next(struct jobs *jobs)
{
    for (;;) {
        struct err e;
        bool found = false;
        if (!take_next(jobs, &found, &e)) {
            log_event(LOG_ERROR, "queue_not_read", "error", e.detail, NULL);
            return STORE_RETRY_MS;
        }
        if (!found)
            return -1;
        if (launch(jobs, &e))
            return -1;
        end_unfinished(jobs, e.detail);
        if (jobs->run.ending)
            return STORE_RETRY_MS;
    }
}

/* Passes a requested cancel on; returns how long to sleep. */
static int press_cancel(struct jobs *jobs, bool asked)
{
    struct run *run = &jobs->run;
    int64_t now = now_ms();
    if (!asked)
        return -1;
    if (run->kill_at_ms == 0) {
        child_signal(&run->child, SIGTERM);
        run->kill_at_ms = now + TERM_GRACE_MS;
    } else if (now >= run->kill_at_ms) {
        child_signal(&run->child, SIGKILL);
        run->kill_at_ms = now + TERM_GRACE_MS;
    }
    return (int)(run->kill_at_ms - now);
}

/* Sleeps until something happens, and deals with it. */
static void wait_and_serve(struct jobs *jobs, int timeout_ms)
{
    struct run *run = &jobs->run;
    bool running = run->child.pid != 0;
    /* After an error of ours nothing more is read; without POLLIN poll still tells of the end. */
    struct pollfd fds[3] = {
        {.fd = jobs->wake, .events = POLLIN},
        {.fd = running ? run->child.progress : -1, .events = run->error.code ? 0 : POLLIN},
        {.fd = running ? run->child.errors : -1, .events = POLLIN},
    };
    if (poll(fds, 3, timeout_ms) < 0) {
        CHECK(errno == EINTR || errno == ENOMEM);
        return;
    }
    uint64_t wakes;
    if (fds[0].revents && read(jobs->wake, &wakes, sizeof wakes) < 0)
        CHECK(errno == EAGAIN || errno == EINTR);
    if (fds[2].revents)
        child_read_errors(&run->child);
    if (fds[1].revents && run->error.code)
        finish(jobs);
    else if (fds[1].revents && !child_read(&run->child, take_line, jobs, &run->error))
        child_signal(&run->child, SIGKILL);
    else if (fds[1].revents && run->child.progress < 0)
        finish(jobs);
}

/* What can be done now; returns how long to sleep if nothing happens. */
static int advance(struct jobs *jobs, bool cancel)
{
    struct run *run = &jobs->run;
    if (run->child.pid != 0)
        return press_cancel(jobs, cancel);
    if (run->ending && !store_end(jobs))
        return STORE_RETRY_MS;
    return start_next(jobs);
}

/* The daemon stops: so does the job. */
static void stop_run(struct jobs *jobs)
{
    struct run *run = &jobs->run;
    char reason[CHILD_REASON_BYTES];
    if (run->child.pid != 0) {
        child_signal(&run->child, SIGKILL);
        child_reap(&run->child, reason);
        end_unfinished(jobs, "the daemon was stopped");
    } else if (run->ending) {
        store_end(jobs);
    }
    /* What the store would not take until now, the next start fails as interrupted. */
    if (run->ending)
        forget_run(jobs);
}

static void *scheduler(void *arg)
{
    struct jobs *jobs = arg;
    for (;;) {
        pthread_mutex_lock(&jobs->lock);
        bool stopping = jobs->stopping, cancel = jobs->cancel_asked;
        pthread_mutex_unlock(&jobs->lock);
        if (stopping)
            break;
        wait_and_serve(jobs, advance(jobs, cancel));
    }
    stop_run(jobs);
    return NULL;
}

static bool fail_interrupted(struct store *store, struct err *e)
{
    int count;
    if (!store_jobs_interrupted(store, "the daemon stopped while the job ran", &count, e))
        return false;
    char text[16];
    snprintf(text, sizeof text, "%d", count);
    if (count > 0)
        log_event(LOG_WARN, "jobs_interrupted", "count", text, NULL);
    return true;
}

struct jobs *jobs_new(const struct config *config, struct store *store, struct registry *registry,
                      struct events *events, struct err *e)
{
    if (!fail_interrupted(store, e))
        return NULL;
    struct jobs *jobs = calloc(1, sizeof *jobs);
    if (!jobs) {
        err_no_memory(e);
        return NULL;
    }
    jobs->config = config;
    jobs->store = store;
    jobs->registry = registry;
    jobs->events = events;
    pthread_mutex_init(&jobs->lock, NULL);
    jobs->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int failed = jobs->wake < 0 ? errno : pthread_create(&jobs->thread, NULL, scheduler, jobs);
    if (!failed)
        return jobs;
    err_set(e, ERR_IO, "cannot start the scheduler: %s", strerror(failed));
    if (jobs->wake >= 0)
        close(jobs->wake);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs);
    return NULL;
}

void jobs_free(struct jobs *jobs)
{
    if (!jobs)
        return;
    pthread_mutex_lock(&jobs->lock);
    jobs->stopping = true;
    pthread_mutex_unlock(&jobs->lock);
    wake_up(jobs);
    pthread_join(jobs->thread, NULL);
    close(jobs->wake);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs);
}

/* ---- what other threads ask ---- */

bool jobs_post(struct jobs *jobs, struct job_request *request, const char *idempotency_key,
               int64_t *id, bool *replayed, struct err *e)
{
    bool ok = job_post(jobs->config, jobs->store, jobs->registry, request, idempotency_key, id,
                       replayed, e);
    if (ok)
        wake_up(jobs);
    return ok;
}

bool jobs_cancel(struct jobs *jobs, int64_t id, struct err *e)
{
    bool ok = true;
    pthread_mutex_lock(&jobs->lock);
    if (jobs->live.id != id) {
        ok = store_job_end(jobs->store, id, JOB_CANCELLED, "", NULL, NULL, e);
        events_changed(jobs->events, id);
    } else if (jobs->cancel_closed && !jobs->cancel_asked) {
        ok = err_set(e, ERR_CONFLICT, "job '%lld' has just ended", (long long)id);
    } else {
        jobs->cancel_asked = true;
    }
    pthread_mutex_unlock(&jobs->lock);
    if (ok)
        wake_up(jobs);
    return ok;
}

bool jobs_delete(struct jobs *jobs, int64_t id, struct err *e)
{
    pthread_mutex_lock(&jobs->lock);
    bool ok =
        jobs->live.id != id
            ? store_job_delete(jobs->store, id, e)
            : err_set(e, ERR_CONFLICT, "job '%lld' is running: cancel it first", (long long)id);
    pthread_mutex_unlock(&jobs->lock);
    return ok;
}

bool jobs_get(struct jobs *jobs, int64_t id, struct store_job *row, struct jobs_live *live,
              struct err *e)
{
    pthread_mutex_lock(&jobs->lock);
    bool ok = store_job_get(jobs->store, id, row, e);
    *live = jobs->live;
    pthread_mutex_unlock(&jobs->lock);
    return ok;
}

bool jobs_list(struct jobs *jobs, int limit, struct store_job **rows, int *count, int *total,
               struct jobs_live *live, struct err *e)
{
    pthread_mutex_lock(&jobs->lock);
    bool ok = store_jobs(jobs->store, limit, rows, count, total, e);
    *live = jobs->live;
    pthread_mutex_unlock(&jobs->lock);
    return ok;
}

bool jobs_live_points(struct jobs *jobs, int64_t id, struct report_batch **points, int *count,
                      struct err *e)
{
    pthread_mutex_lock(&jobs->lock);
    *count = jobs->live.id == id ? jobs->point_count : 0;
    size_t bytes = (size_t)*count * sizeof **points;
    *points = malloc(bytes + 1);
    if (*points)
        memcpy(*points, jobs->points, bytes);
    pthread_mutex_unlock(&jobs->lock);
    return *points || err_no_memory(e);
}
