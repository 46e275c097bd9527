/* DESIGN: a checkpoint is never ahead of the daemon's database: before one is written, every epoch
 * that was said must have been acknowledged. Killed anywhere between, the worker trains an epoch
 * again and says the same again, and the daemon writes the same row over itself. The loss curve of
 * an epoch is stored with the epoch, so a checkpoint within one holds the points so far, and they
 * are said again after it.
 *
 * On disk means an fsync, 2 to 10 ms on common ones: as much as a small job's epoch takes. So an
 * epoch that ends within REST_MS of the last checkpoint gets none. What is trained in that time is
 * trained again faster than a worker starts. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kernels.h"
#include "worker.h"
#include "worker_job.h"

enum {
    LIVE_INTERVAL_MS = 250, /* at least this often a sign of life between points */
    REST_MS = 250,          /* at least, from one checkpoint to an epoch's */
};

struct training {
    struct worker_job *job;
    int batches; /* an epoch */
    /* Of the epoch being trained. */
    double earlier_seconds; /* before the checkpoint that was gone on from */
    uint32_t earlier_samples;
    int64_t start_ms, trained_ms; /* since then: the beginning, the last batch's end */
    struct checkpoint_point points[WORKER_POINTS_MAX];
    int point_count;

    int64_t reported_ms;
    int unstored; /* epochs that were said and not yet acknowledged */
    /* The last checkpoint, or where training began. */
    int kept_epoch, kept_batch;
    int64_t kept_ms;

    struct err pipe_error; /* the daemon cannot be told any more; ends training */
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits until the daemon has stored every epoch it was told of. */
static bool wait_until_stored(struct training *t, struct err *e)
{
    while (t->unstored > 0) {
        char byte;
        ssize_t n = read(WORKER_ACK_FD, &byte, 1);
        if (n == 0)
            return err_set(e, ERR_IO, "the daemon no longer answers");
        if (n < 0 && errno != EINTR)
            return err_set(e, ERR_IO, "cannot read the daemon's answer: %s", strerror(errno));
        if (n == 1)
            t->unstored--;
    }
    return true;
}

static uint32_t samples_seen(const struct training *t, int batch)
{
    uint64_t seen = (uint64_t)batch * (uint64_t)t->job->request.train.batch_size;
    return seen < t->job->train_count ? (uint32_t)seen : t->job->train_count;
}

static double samples_per_second(const struct training *t, int batch, int64_t now)
{
    double seconds = (double)(now - t->start_ms) / 1000;
    return seconds > 0 ? (samples_seen(t, batch) - t->earlier_samples) / seconds : 0;
}

/* Of training this epoch, the time between its parts left out. */
static double epoch_seconds(const struct training *t)
{
    return t->earlier_seconds + (double)(t->trained_ms - t->start_ms) / 1000;
}

static void keep_point(struct training *t, const struct cnn_batch_report *report)
{
    if (t->point_count < WORKER_POINTS_MAX) /* always, unless the checkpoint came with too many */
        t->points[t->point_count++] =
            (struct checkpoint_point){report->batch, report->batch_loss, report->lr};
}

static void on_batch(void *context, const struct cnn_batch_report *report)
{
    struct training *t = context;
    int64_t now = now_ms();
    bool point = worker_is_point(report->batch, report->batches);
    t->trained_ms = now;
    if (point)
        keep_point(t, report);
    if (!point && now - t->reported_ms < LIVE_INTERVAL_MS)
        return;
    const struct progress progress = {
        .type = PROGRESS_BATCH,
        .epoch = report->epoch,
        .batch = report->batch,
        .batches = report->batches,
        .loss = report->loss,
        .accuracy = report->accuracy,
        .batch_loss = report->batch_loss,
        .lr = report->lr,
        .samples_per_second = samples_per_second(t, report->batch, now),
    };
    worker_say(&progress, &t->pipe_error);
    t->reported_ms = now;
}

static bool on_epoch(void *context, const struct cnn_epoch_report *report, struct err *e)
{
    struct training *t = context;
    struct progress progress = {
        .type = PROGRESS_EPOCH,
        .epoch = report->epoch,
        .batch = t->batches,
        .batches = t->batches,
        .loss = report->loss,
        .accuracy = report->accuracy,
        .seconds = epoch_seconds(t),
        .best = report->best,
        .has_val = report->val != NULL,
    };
    if (report->val) {
        progress.val = *report->val; /* borrowed */
        snprintf(progress.split, sizeof progress.split, "%s",
                 t->job->held_count ? "validation" : "test");
    }
    if (t->pipe_error.code) {
        *e = t->pipe_error;
        return false;
    }
    t->unstored++;
    return worker_say(&progress, e);
}

static bool keep(struct training *t, const struct cnn_train_state *state, struct err *e)
{
    struct checkpoint checkpoint = {
        .epoch_seconds = epoch_seconds(t),
        .state = *state,
        .point_count = t->point_count,
        .points = t->points,
    };
    snprintf(checkpoint.job, sizeof checkpoint.job, "%s", t->job->id);
    snprintf(checkpoint.cpu, sizeof checkpoint.cpu, "%s", cnn_kernels()->name);
    if (!wait_until_stored(t, e) || !worker_checkpoint_write(t->job, &checkpoint, e))
        return false;
    t->kept_epoch = state->epoch;
    t->kept_batch = state->batch;
    t->kept_ms = now_ms();
    if (state->batch == 0)
        t->start_ms = t->trained_ms = t->kept_ms; /* until now nothing of the epoch was trained */
    return true;
}

static void begin_epoch(struct training *t)
{
    t->earlier_seconds = 0;
    t->earlier_samples = 0;
    t->point_count = 0;
    t->start_ms = t->trained_ms = t->reported_ms = now_ms();
}

static bool is_due(const struct training *t, const struct cnn_train_state *state)
{
    int64_t interval_ms = (int64_t)t->job->checkpoint_s * 1000;
    if (state->batch == 0 && interval_ms > REST_MS)
        interval_ms = REST_MS;
    return now_ms() - t->kept_ms >= interval_ms;
}

/* Between two batches: the place to keep a checkpoint, and to stop. */
static bool on_checkpoint(void *context, const struct cnn_train_state *state, struct err *e)
{
    struct training *t = context;
    worker_checkpoint_close(t->job);
    if (t->pipe_error.code) {
        *e = t->pipe_error;
        return false;
    }
    bool moved = state->epoch != t->kept_epoch || state->batch != t->kept_batch;
    if (moved && state->batch == 0)
        begin_epoch(t);
    bool stop = worker_stop_asked();
    if (moved && (stop || is_due(t, state)) && !keep(t, state, e))
        return false;
    return !stop || err_set(e, ERR_CANCELLED, "asked to stop");
}

static bool say_start(const struct training *t, struct err *e)
{
    const struct worker_job *job = t->job;
    struct progress progress = {
        .type = PROGRESS_START,
        .parameters = job->net->param_count,
        .threads = job->request.train.threads,
        .resumed = job->resumed,
        .epoch = t->kept_epoch,
        .batch = t->kept_batch,
        .batches = t->batches,
    };
    snprintf(progress.cpu, sizeof progress.cpu, "%s", cnn_kernels()->name);
    snprintf(progress.resumed_cpu, sizeof progress.resumed_cpu, "%s", job->from.cpu);
    return worker_say(&progress, e);
}

/* The loss curve of the epoch that is gone on with: the daemon has none of it. */
static bool say_points(const struct training *t, const struct cnn_train_state *state, struct err *e)
{
    double seen = samples_seen(t, state->batch);
    for (int i = 0; i < t->point_count; i++) {
        const struct progress progress = {
            .type = PROGRESS_BATCH,
            .epoch = state->epoch,
            .batch = (int)t->points[i].batch,
            .batches = t->batches,
            .loss = state->loss_sum / seen,
            .accuracy = state->correct / seen,
            .batch_loss = t->points[i].loss,
            .lr = t->points[i].lr,
        };
        if (!worker_say(&progress, e))
            return false;
    }
    return true;
}

static bool take_from(struct training *t, const struct checkpoint *from, struct err *e)
{
    if (from->point_count > WORKER_POINTS_MAX)
        return err_set(e, ERR_UNPROCESSABLE, "checkpoint has %d points of one epoch, at most %d",
                       from->point_count, WORKER_POINTS_MAX);
    memcpy(t->points, from->points, (size_t)from->point_count * sizeof *t->points);
    t->point_count = from->point_count;
    t->earlier_seconds = from->epoch_seconds;
    t->earlier_samples = samples_seen(t, from->state.batch);
    t->kept_epoch = from->state.epoch;
    t->kept_batch = from->state.batch;
    return true;
}

static bool say_stopped(const struct training *t, struct err *e)
{
    const struct progress stopped = {
        .type = PROGRESS_STOPPED, .epoch = t->kept_epoch, .batch = t->kept_batch};
    return worker_say(&stopped, e);
}

bool worker_train(struct worker_job *job, struct cnn_train_result *result, struct err *e)
{
    uint32_t batch_size = (uint32_t)job->request.train.batch_size;
    struct training t = {
        .job = job, .batches = (int)((job->train_count - 1) / batch_size + 1), .kept_epoch = 1};
    const struct cnn_train_hooks hooks = {
        .context = &t, .batch = on_batch, .epoch = on_epoch, .checkpoint = on_checkpoint};
    const struct cnn_train_state *state = job->resumed ? &job->from.state : NULL;
    if (state && !take_from(&t, &job->from, e))
        return false;
    if (!say_start(&t, e) || (state && !say_points(&t, state, e)))
        return false;
    t.start_ms = t.trained_ms = t.reported_ms = t.kept_ms = now_ms();
    if (cnn_train_resume(job->net, &job->dataset.samples[SPLIT_TRAIN],
                         &job->dataset.samples[SPLIT_TEST], &job->request.train, state, &hooks,
                         result, e))
        return true;
    if (e->code == ERR_CANCELLED && !say_stopped(&t, e))
        e->code = ERR_IO;
    return false;
}
