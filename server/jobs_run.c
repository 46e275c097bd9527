/* Progress lines become rows of the store, one transaction an epoch; batch figures stay in `seen`
 * until their epoch's transaction. When the process has ended, what was asked of it, what it said
 * and how it ended decide, in this order: cancelled, failed with a reason, succeeded, stopped for a
 * drain, crashed. The model's row and the job's end are one transaction, and the model serves
 * before anyone can read that the job succeeded. */
#include "jobs_run.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datasets.h"
#include "job_json.h"
#include "job_net.h"
#include "job_space.h"
#include "log.h"
#include "metrics.h"

enum { TERM_GRACE_MS = 5000 }; /* from a cancel's SIGTERM to SIGKILL */

static void log_job(enum log_level level, const char *event, const struct store_job *row,
                    const char *key, const char *value)
{
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)row->id);
    log_event(level, event, "job", id, "model", row->model, key, value, NULL);
}

/* ---- what happens to a job, for the log and for those who watch ---- */

static void count_state(enum job_state state)
{
    static const enum metrics_event events[] = {[JOB_RUNNING] = METRICS_JOBS_STARTED,
                                                [JOB_SUCCEEDED] = METRICS_JOBS_SUCCEEDED,
                                                [JOB_FAILED] = METRICS_JOBS_FAILED,
                                                [JOB_CANCELLED] = METRICS_JOBS_CANCELLED};
    if (state != JOB_QUEUED)
        metrics_count(events[state]);
}

void run_state_changed(const struct jobs_parts *parts, int64_t id, enum job_state state,
                       const char *detail)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)id);
    log_event(state == JOB_FAILED ? LOG_WARN : LOG_INFO, "job_state", "job", text, "state",
              job_state_name(state), detail ? "detail" : NULL, detail, NULL);
    events_changed(parts->events, id);
    count_state(state);
}

/* ---- what the worker says ---- */

/* Until this many epochs are done. An epoch's last batch may be smaller than is counted here. */
static double eta_seconds(const struct run *run, const struct progress *p, int epochs)
{
    double batches = (double)(epochs - p->epoch) * p->batches + (p->batches - p->batch);
    double between = (double)(epochs - p->epoch + 1) * (double)run->between_ms / 1000;
    return batches * run->batch_size / run->speed + between;
}

/* When early stopping ends the job unless an epoch is better than all before. */
static double early_eta_seconds(const struct run *run, const struct progress *p)
{
    int last = run->best_epoch + run->patience;
    if (run->patience == 0 || run->best_epoch == 0 || last < p->epoch)
        return (double)NAN;
    return eta_seconds(run, p, last < run->row.epochs ? last : run->row.epochs);
}

static void batch_came(const struct run *run, const struct progress *p)
{
    const struct event_batch batch = {
        .epoch = p->epoch,
        .epochs = run->row.epochs,
        .batch = p->batch,
        .batches = p->batches,
        .loss = p->loss,
        .accuracy = p->accuracy,
        .batch_loss = p->batch_loss,
        .lr = p->lr,
        .samples_per_second = run->speed,
        .eta_seconds = run->seen.live.eta_seconds,
    };
    events_batch(run->parts->events, run->row.id, &batch);
}

static bool take_batch(struct run *run, const struct progress *p, struct err *e)
{
    struct run_seen *seen = &run->seen;
    bool ok = true;
    run->trained_ms = p->batch == p->batches ? run->heard_ms : 0;
    if (p->samples_per_second > 0) /* 0: too little of the epoch to tell */
        run->speed = p->samples_per_second;
    pthread_mutex_lock(&run->parts->lock);
    seen->live = (struct jobs_live){
        .id = run->row.id,
        .epoch = p->epoch,
        .batch = p->batch,
        .batches = p->batches,
        .loss = p->loss,
        .accuracy = p->accuracy,
        .samples_per_second = run->speed,
        .eta_seconds = eta_seconds(run, p, run->row.epochs),
        .early_stop_eta_seconds = early_eta_seconds(run, p),
    };
    if (worker_is_point(p->batch, p->batches)) {
        if (seen->point_count < WORKER_POINTS_MAX)
            seen->points[seen->point_count++] =
                (struct report_batch){p->epoch, p->batch, p->batch_loss, p->lr};
        else
            ok = err_set(e, ERR_INTERNAL, "worker sent more than %d points of an epoch",
                         WORKER_POINTS_MAX);
    }
    batch_came(run, p);
    pthread_mutex_unlock(&run->parts->lock);
    return ok;
}

/* Under the lock, so that a reader finds each point either here or in the store. */
static bool take_epoch(struct run *run, const struct progress *p, struct err *e)
{
    struct run_seen *seen = &run->seen;
    pthread_mutex_lock(&run->parts->lock);
    bool ok =
        store_job_epoch(run->parts->store, run->row.id, p, seen->points, seen->point_count, e);
    if (ok) {
        metrics_count(METRICS_EPOCHS);
        seen->point_count = 0;
        seen->live.batch = 0;
        if (p->epoch < run->row.epochs)
            seen->live.epoch = p->epoch + 1;
        events_changed(run->parts->events, run->row.id);
    }
    pthread_mutex_unlock(&run->parts->lock);
    if (!ok)
        return false;
    child_acknowledge(&run->child);
    if (p->best)
        run->best_epoch = p->epoch;
    if (run->trained_ms > 0)
        run->between_ms = run->heard_ms - run->trained_ms;
    return true;
}

static void log_resumed(const struct run *run, const struct progress *p)
{
    char from[64] = "the beginning";
    if (p->resumed)
        snprintf(from, sizeof from, "epoch %d, batch %d", p->epoch, p->batch);
    log_job(p->resumed ? LOG_INFO : LOG_WARN, "job_resumed", &run->row, "from", from);
    if (p->resumed && strcmp(p->resumed_cpu, p->cpu) != 0) /* the last bits may differ */
        log_job(LOG_WARN, "job_resumed_on_other_kernels", &run->row, "until_now", p->resumed_cpu);
}

static bool take_start(struct run *run, const struct progress *p, struct err *e)
{
    if (!p->resumed)
        run->best_epoch = 0;
    pthread_mutex_lock(&run->parts->lock);
    run->seen.live.batches = p->batches;
    run->seen.live.epoch = p->epoch <= run->row.epochs ? p->epoch : run->row.epochs;
    bool ok = store_job_started(run->parts->store, run->row.id, p, e);
    pthread_mutex_unlock(&run->parts->lock);
    if (ok && run->row.attempts > 1)
        log_resumed(run, p);
    return ok;
}

static bool take_line(void *context, const char *line, size_t size, struct err *e)
{
    struct run *run = context;
    struct progress p = {0};
    bool ok = true;
    if (!progress_parse(line, size, &p, e))
        return false;
    switch (p.type) {
    case PROGRESS_START:
        ok = take_start(run, &p, e);
        break;
    case PROGRESS_BATCH:
        ok = take_batch(run, &p, e);
        break;
    case PROGRESS_EPOCH:
        ok = take_epoch(run, &p, e);
        break;
    case PROGRESS_DONE:
        progress_clear(&run->done);
        run->done = p;
        return true;
    case PROGRESS_FAIL:
        run->fail = p; /* owns nothing */
        return true;
    case PROGRESS_STOPPED:
        run->stopped = true;
        break;
    }
    progress_clear(&p);
    return ok;
}

/* ---- the end ---- */

static void forget(struct run *run)
{
    struct err e;
    job_space_settle(&run->space, run->row.id, run->temp);
    if (run->temp[0] && !file_remove(run->temp, &e))
        log_job(LOG_ERROR, "temporary_file_stays", &run->row, "error", e.detail);
    progress_clear(&run->done);
    store_job_clear(&run->row);
    pthread_mutex_lock(&run->parts->lock);
    *run = (struct run){.parts = run->parts};
    pthread_mutex_unlock(&run->parts->lock);
}

static bool store_outcome(struct run *run, struct err *e)
{
    struct store *store = run->parts->store;
    enum job_state state = JOB_FAILED;
    char error[sizeof run->row.error];
    const char *detail = NULL;
    bool ok = false;
    switch (run->outcome) {
    case RUN_GOES_ON:
        break;
    case RUN_FAILED:
        ok = store_job_end(store, run->row.id, state, run->reason, NULL, NULL, e);
        detail = run->reason;
        break;
    case RUN_CANCELLED:
        state = JOB_CANCELLED;
        ok = store_job_end(store, run->row.id, state, "", NULL, NULL, e);
        break;
    case RUN_CRASHED:
        ok = store_job_crashed(store, run->row.id, run->reason, run->parts->config->job_retries,
                               &state, error, e);
        detail = state == JOB_FAILED ? error : run->reason;
        break;
    case RUN_REQUEUED:
        state = JOB_QUEUED;
        ok = store_job_requeue(store, run->row.id, e);
        detail = run->reason;
        break;
    }
    if (ok)
        run_state_changed(run->parts, run->row.id, state, detail);
    return ok;
}

/* Forgets the run once its end is stored; else it is tried again later, and the run is not free for
 * another job before. */
static bool store_end(struct run *run)
{
    struct err e;
    pthread_mutex_lock(&run->parts->lock);
    bool ok = store_outcome(run, &e) || (space_spend_reserve(&e) && store_outcome(run, &e));
    if (ok)
        run->seen = (struct run_seen){.point_count = 0};
    pthread_mutex_unlock(&run->parts->lock);
    if (!ok) {
        log_job(LOG_ERROR, "job_end_not_stored", &run->row, "error", e.detail);
        return false;
    }
    forget(run);
    return true;
}

/* Every way a run can end but success. */
static void end_without_model(struct run *run, enum run_outcome outcome, const char *reason)
{
    if (outcome == RUN_CRASHED) {
        metrics_count(METRICS_WORKERS_CRASHED);
        log_job(LOG_WARN, "worker_crashed", &run->row, "reason", reason);
    }
    run->outcome = outcome;
    snprintf(run->reason, sizeof run->reason, "%s", reason);
    store_end(run);
}

/* A cancel that comes after this finds the job ended or, for the moment of publishing, is too
 * late. */
static bool take_cancel(struct run *run)
{
    pthread_mutex_lock(&run->parts->lock);
    bool asked = run->seen.cancel_asked;
    run->seen.cancel_closed = true;
    pthread_mutex_unlock(&run->parts->lock);
    return asked;
}

static bool store_success(struct run *run, const struct store_model *row, struct model *model,
                          struct err *e)
{
    struct jobs_parts *parts = run->parts;
    pthread_mutex_lock(&parts->lock);
    registry_hold(parts->registry);
    bool ok = store_job_end(parts->store, run->row.id, JOB_SUCCEEDED, "", &run->done, row, e);
    if (ok)
        registry_serve(parts->registry, model);
    registry_let_go(parts->registry);
    if (ok) {
        run->seen = (struct run_seen){.point_count = 0};
        run_state_changed(parts, run->row.id, JOB_SUCCEEDED, NULL);
    }
    pthread_mutex_unlock(&parts->lock);
    if (!ok)
        registry_discard(parts->registry, model);
    return ok;
}

static void remove_checkpoint(const struct run *run)
{
    char path[FILES_PATH_BYTES];
    struct err e;
    files_checkpoint_path(path, sizeof path, run->row.id);
    if (!file_remove(path, &e))
        log_job(LOG_ERROR, "checkpoint_stays", &run->row, "error", e.detail);
}

static void publish(struct run *run)
{
    struct store_model row = {0};
    struct model *model = NULL;
    struct err e;
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)run->row.id);
    if (!registry_stage(run->parts->registry, run->row.model, run->temp, id, &row, &model, &e) ||
        !store_success(run, &row, model, &e)) {
        end_without_model(run, RUN_FAILED, e.detail);
        return;
    }
    remove_checkpoint(run);
    forget(run);
}

/* The process has closed its end of the progress pipe and all it said is read. */
static void finish(struct run *run)
{
    char reason[CHILD_REASON_BYTES];
    /* One that is exiting keeps its status; one that only closed the pipe must not be waited for.
     */
    child_signal(&run->child, SIGKILL);
    child_reap(&run->child, reason);
    job_space_settle(&run->space, run->row.id, run->temp);
    if (run->stalled)
        snprintf(reason, sizeof reason, "worker said nothing for %d s (job-stall-s)",
                 run->parts->config->job_stall_s);
    else if (!reason[0])
        snprintf(reason, sizeof reason, "worker ended without a result%s",
                 run->stopped ? ": something told it to stop" : "");
    if (take_cancel(run))
        end_without_model(run, RUN_CANCELLED, "");
    else if (run->error.code)
        end_without_model(run, RUN_FAILED, run->error.detail);
    else if (run->fail.type == PROGRESS_FAIL)
        end_without_model(run, RUN_FAILED, run->fail.error.detail);
    else if (run->done.type == PROGRESS_DONE)
        publish(run);
    else if (run->draining)
        end_without_model(run, RUN_REQUEUED, "the daemon stops");
    else
        end_without_model(run, RUN_CRASHED, reason);
}

/* ---- the start ---- */

bool run_take(struct run *run, bool *found, struct err *e)
{
    pthread_mutex_lock(&run->parts->lock);
    bool ok = store_job_start_next(run->parts->store, &run->row, found, e);
    if (ok && *found) {
        int next = run->row.epoch + 1;
        run->seen.live = (struct jobs_live){
            .id = run->row.id, .epoch = next < run->row.epochs ? next : run->row.epochs};
        run_state_changed(run->parts, run->row.id, JOB_RUNNING, NULL);
    }
    pthread_mutex_unlock(&run->parts->lock);
    return ok;
}

/* Room for what the worker writes. */
static bool claim_space(struct run *run, const struct job_request *request,
                        const struct dataset *dataset, struct err *e)
{
    struct cnn_net *net = job_net_plan(request, dataset, e);
    bool ok = net && job_space_claim(&run->space, run->row.id, net->state_count, e);
    cnn_net_free(net);
    return ok;
}

/* A base that is gone is for the worker to miss: not if it goes on from a checkpoint. */
static void look_at_base(struct run *run, const struct job_request *request)
{
    struct registry_version base;
    struct err ignored;
    char name[LIMIT_NAME_BYTES + 1];
    int version;
    if (request->init_from[0] && job_net_base(request, name, &version, &ignored) &&
        registry_find(run->parts->registry, name, version, &base, &ignored))
        memcpy(run->base_sha256, base.sha256, sizeof run->base_sha256);
}

/* The labels are kept with the job: its reports outlive the dataset. */
static bool look_at_dataset(struct run *run, const struct job_request *request, struct err *e)
{
    struct dataset dataset;
    if (!datasets_open(run->parts->store, request->dataset, request->dataset_version, false,
                       &dataset, e))
        return false;
    memcpy(run->dataset_sha256, dataset.sha256, sizeof run->dataset_sha256);
    bool ok = store_job_set_labels(run->parts->store, run->row.id, dataset.info.labels,
                                   dataset.info.label_count, e) &&
              claim_space(run, request, &dataset, e);
    dataset_close(&dataset);
    return ok;
}

static bool start_worker(struct run *run, const struct buf *request, struct err *e)
{
    const struct config *config = run->parts->config;
    char parent[24], id[24], checkpoint[FILES_PATH_BYTES], seconds[16], mebibytes[16];
    snprintf(parent, sizeof parent, "%ld", (long)getpid());
    snprintf(id, sizeof id, "%lld", (long long)run->row.id);
    snprintf(seconds, sizeof seconds, "%d", config->checkpoint_s);
    snprintf(mebibytes, sizeof mebibytes, "%d", config->job_memory_mib);
    files_checkpoint_path(checkpoint, sizeof checkpoint, run->row.id);
    int size = snprintf(run->temp, sizeof run->temp, "%s/tmp/job-%s.onnx", files_data_dir(), id);
    if (size < 0 || (size_t)size >= sizeof run->temp)
        return err_set(e, ERR_INTERNAL, "data directory's name is too long");
    /* clang-format off */
    char *const argv[] = {"strided", "worker",
                          "--parent", parent,
                          "--data-dir", (char *)files_data_dir(),
                          "--model-file", run->temp,
                          "--job", id,
                          "--checkpoint", checkpoint,
                          "--checkpoint-s", seconds,
                          "--memory-mib", mebibytes,
                          "--dataset-sha256", run->dataset_sha256,
                          "--base-sha256", run->base_sha256,
                          NULL};
    /* clang-format on */
    return child_start(&run->child, argv, request->data, request->size, e);
}

/* The request as it was posted, but for the epochs: a resume may have asked for more. */
static bool read_request(struct run *run, struct buf *text, struct err *e)
{
    struct job_request request = {0};
    if (!job_request_parse(run->row.request, strlen(run->row.request), &request, e))
        return false;
    request.train.epochs = run->row.epochs;
    run->batch_size = request.train.batch_size;
    run->patience = request.train.patience;
    run->best_epoch = run->row.best_epoch;
    struct json_writer w;
    look_at_base(run, &request);
    jw_begin(&w, text);
    job_request_write(&w, &request);
    bool ok = (buf_ok(text) || err_no_memory(e)) && look_at_dataset(run, &request, e);
    job_request_clear(&request);
    return ok;
}

bool run_start(struct run *run, int64_t now)
{
    struct buf request = {0};
    struct err e;
    bool can_work = read_request(run, &request, &e);
    bool started = can_work && start_worker(run, &request, &e);
    buf_clear(&request);
    if (started) {
        run->speed = (double)NAN;
        run->heard_ms = now;
        log_job(LOG_INFO, "job_started", &run->row, "dataset", run->row.dataset);
        return true;
    }
    enum run_outcome outcome = can_work ? RUN_REQUEUED : RUN_FAILED;
    end_without_model(run, take_cancel(run) ? RUN_CANCELLED : outcome, e.detail);
    return !can_work;
}

/* ---- while it runs ---- */

void run_poll(const struct run *run, struct pollfd fds[2])
{
    bool running = run->child.pid != 0;
    /* After an error of ours nothing more is read; without POLLIN poll still tells of the end. */
    fds[0] = (struct pollfd){.fd = running ? run->child.progress : -1,
                             .events = run->error.code ? 0 : POLLIN};
    fds[1] = (struct pollfd){.fd = running ? run->child.errors : -1, .events = POLLIN};
}

void run_serve(struct run *run, const struct pollfd fds[2], int64_t now)
{
    if (fds[1].revents)
        child_read_errors(&run->child);
    if (!fds[0].revents)
        return;
    run->heard_ms = now;
    if (run->error.code)
        finish(run);
    else if (!child_read(&run->child, take_line, run, &run->error))
        child_signal(&run->child, SIGKILL);
    else if (run->child.progress < 0)
        finish(run);
}

/* Asks the worker to stop when that is wanted. Returns when it is killed if it does not. */
static int64_t ask_to_stop(struct run *run, int64_t now, int64_t drain_until)
{
    int64_t kill_ms = INT64_MAX;
    pthread_mutex_lock(&run->parts->lock);
    bool cancel = run->seen.cancel_asked;
    pthread_mutex_unlock(&run->parts->lock);
    if ((cancel && !run->cancel_ms) || (drain_until && !run->draining))
        child_signal(&run->child, SIGTERM);
    if (cancel && !run->cancel_ms)
        run->cancel_ms = now;
    run->draining = drain_until != 0;
    if (cancel)
        kill_ms = run->cancel_ms + TERM_GRACE_MS;
    return run->draining && drain_until < kill_ms ? drain_until : kill_ms;
}

int run_advance(struct run *run, int64_t now, int64_t drain_until)
{
    int64_t stall_s = run->parts->config->job_stall_s;
    if (run->outcome != RUN_GOES_ON)
        return store_end(run) ? 0 : RUN_RETRY_MS;
    if (run->child.pid == 0 || run->killed)
        return -1;
    int64_t kill_ms = ask_to_stop(run, now, drain_until);
    int64_t stall_ms = stall_s ? run->heard_ms + stall_s * 1000 : INT64_MAX;
    int64_t next_ms = kill_ms < stall_ms ? kill_ms : stall_ms;
    if (now >= next_ms) {
        run->stalled = now >= stall_ms && now < kill_ms;
        run->killed = true;
        child_signal(&run->child, SIGKILL);
        return -1;
    }
    int64_t sleep_ms = next_ms - now;
    return next_ms == INT64_MAX ? -1 : sleep_ms > INT32_MAX ? INT32_MAX : (int)sleep_ms;
}

void run_give_up(struct run *run)
{
    if (run->outcome != RUN_GOES_ON && !store_end(run))
        forget(run);
}
