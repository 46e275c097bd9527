/* One job, one process, one thread besides the trainer's own OpenMP team. It touches two things
 * outside itself: the pipe to the daemon and the model file in the data directory's tmp/. */
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "hash.h"
#include "job_net.h"
#include "kernels.h"
#include "onnx.h"
#include "progress.h"

enum {
    WORKER_NICE = 10,            /* health and predict go first */
    LIVE_INTERVAL_MS = 250,      /* at least this often a sign of life between points */
    REQUEST_BYTES_MAX = 4 << 20, /* a posted body with its defaults spelled out */
};

struct worker {
    /* Arguments. */
    pid_t parent;
    const char *data_dir, *model_file, *job, *checkpoint;
    long checkpoint_s, memory_mib;

    struct job_request request;
    struct dataset dataset;
    bool dataset_open;
    struct cnn_net *net;
    /* Positions in the training split: to train on, then held out for validation. */
    uint32_t *positions, train_count, held_count;

    /* Of the epoch being trained. */
    int epoch, batch; /* the last batch of it that is done */
    int64_t epoch_start_ms, reported_ms, trained_ms;

    struct err pipe_error; /* the daemon cannot be told any more; ends training */
};

static atomic_bool stop_asked;

static void on_terminate(int signal_number)
{
    (void)signal_number;
    atomic_store(&stop_asked, true);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool write_all(int fd, const char *bytes, size_t size, const char *what, struct err *e)
{
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, errno == ENOSPC || errno == EDQUOT ? ERR_NO_SPACE : ERR_IO,
                           "cannot write %s: %s", what, strerror(errno));
        bytes += n;
        size -= (size_t)n;
    }
    return true;
}

/* ---- messages ---- */

static bool send_progress(const struct progress *progress, struct err *e)
{
    struct buf line = {0};
    progress_write(&line, progress);
    bool ok = buf_ok(&line) ? write_all(WORKER_PROGRESS_FD, line.data, line.size, "progress", e)
                            : err_no_memory(e);
    buf_clear(&line);
    return ok;
}

/* Waits until the daemon has stored the epoch it was told of. */
static bool wait_for_acknowledgement(struct err *e)
{
    char byte;
    ssize_t n;
    do
        n = read(WORKER_ACK_FD, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_set(e, ERR_IO, "cannot read the daemon's answer: %s", strerror(errno));
    return n == 1 || err_set(e, ERR_IO, "the daemon no longer answers");
}

static double samples_per_second(const struct worker *w, int batch, int64_t now)
{
    double seen = fmin((double)batch * w->request.train.batch_size, w->train_count);
    double seconds = (double)(now - w->epoch_start_ms) / 1000;
    return seconds > 0 ? seen / seconds : 0;
}

static void on_batch(void *context, const struct cnn_batch_report *report)
{
    struct worker *w = context;
    int64_t now = now_ms();
    w->trained_ms = now;
    if (w->pipe_error.code || (!worker_is_point(report->batch, report->batches) &&
                               now - w->reported_ms < LIVE_INTERVAL_MS))
        return;
    struct progress progress = {
        .type = PROGRESS_BATCH,
        .epoch = report->epoch,
        .batch = report->batch,
        .batches = report->batches,
        .loss = report->loss,
        .accuracy = report->accuracy,
        .batch_loss = report->batch_loss,
        .lr = report->lr,
        .samples_per_second = samples_per_second(w, report->batch, now),
    };
    if (!send_progress(&progress, &w->pipe_error))
        return;
    w->reported_ms = now;
}

static bool on_epoch(void *context, const struct cnn_epoch_report *report, struct err *e)
{
    struct worker *w = context;
    if (w->pipe_error.code) {
        *e = w->pipe_error;
        return false;
    }
    struct progress progress = {
        .type = PROGRESS_EPOCH,
        .epoch = report->epoch,
        .loss = report->loss,
        .accuracy = report->accuracy,
        .seconds = (double)(w->trained_ms - w->epoch_start_ms) / 1000,
        .best = report->best,
        .has_val = report->val != NULL,
    };
    if (report->val) {
        progress.val = *report->val; /* borrowed */
        snprintf(progress.split, sizeof progress.split, "%s",
                 w->held_count ? "validation" : "test");
    }
    if (!send_progress(&progress, e) || !wait_for_acknowledgement(e))
        return false;
    w->epoch_start_ms = w->reported_ms = now_ms();
    return true;
}

/* Between two batches: the place to stop at. */
static bool on_checkpoint(void *context, const struct cnn_train_state *state, struct err *e)
{
    struct worker *w = context;
    w->epoch = state->epoch;
    w->batch = state->batch;
    if (w->pipe_error.code) {
        *e = w->pipe_error;
        return false;
    }
    return !atomic_load(&stop_asked) || err_set(e, ERR_CANCELLED, "asked to stop");
}

static bool send_start(const struct worker *w, struct err *e)
{
    uint32_t batch_size = (uint32_t)w->request.train.batch_size;
    struct progress progress = {
        .type = PROGRESS_START,
        .parameters = w->net->param_count,
        .threads = w->request.train.threads,
        .epoch = 1,
        .batches = (int)((w->train_count - 1) / batch_size + 1),
    };
    snprintf(progress.cpu, sizeof progress.cpu, "%s", cnn_kernels()->name);
    return send_progress(&progress, e);
}

/* ---- the job ---- */

static bool read_request(struct job_request *request, struct err *e)
{
    struct buf text = {0};
    bool ok = false;
    for (;;) {
        if (!buf_reserve(&text, 1 << 16)) {
            err_no_memory(e);
            goto out;
        }
        ssize_t n = read(STDIN_FILENO, text.data + text.size, 1 << 16);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err_set(e, ERR_IO, "cannot read the job: %s", strerror(errno));
            goto out;
        }
        if (n == 0)
            break;
        text.size += (size_t)n;
        if (text.size > REQUEST_BYTES_MAX) {
            err_set(e, ERR_TOO_LARGE, "job is longer than %d bytes", REQUEST_BYTES_MAX);
            goto out;
        }
    }
    ok = job_request_parse(text.data, text.size, request, e);
    if (ok && !request->architecture)
        ok = err_field(e, ERR_INVALID, "architecture", "job has no architecture");
out:
    buf_clear(&text);
    return ok;
}

/* Starts from a served model's weights. */
static bool load_base(struct worker *w, struct err *e)
{
    char name[LIMIT_NAME_BYTES + 1], path[FILES_PATH_BYTES];
    int version;
    if (!job_net_base(&w->request, name, &version, e))
        return false;
    files_path(path, sizeof path, "models", name, version, ".onnx");
    struct file_map map;
    if (!file_map_open(&map, path, e))
        return false;
    struct model_meta meta = {0};
    struct cnn_net *base = onnx_read(map.bytes, map.size, &meta, e);
    bool ok = base && job_net_copy(w->net, base, w->request.init_from, e);
    cnn_net_free(base);
    model_meta_clear(&meta);
    file_map_close(&map);
    return ok;
}

static bool prepare(struct worker *w, struct err *e)
{
    if (!files_attach(w->data_dir, e) || !read_request(&w->request, e) ||
        !dataset_open(&w->dataset, w->request.dataset, w->request.dataset_version, e))
        return false;
    w->dataset_open = true;
    w->net = job_net_new(&w->request, &w->dataset, e);
    if (!w->net)
        return false;
    cnn_net_init(w->net, w->request.init, w->request.train.seed);
    if (w->request.init_from[0] && !load_base(w, e))
        return false;
    uint32_t count = w->dataset.samples[SPLIT_TRAIN].count;
    if (!cnn_train_split(count, &w->request.train, &w->positions, &w->held_count, e))
        return false;
    w->train_count = count - w->held_count;
    return true;
}

/* Judges the published weights on the test samples, else on the held-out ones, into *done. */
static bool judge(struct worker *w, struct progress *done, struct err *e)
{
    const struct cnn_samples *samples = &w->dataset.samples[SPLIT_TEST];
    const uint32_t *index = NULL;
    uint32_t n = samples->count;
    const char *split = "test";
    if (n == 0 && w->held_count > 0) {
        samples = &w->dataset.samples[SPLIT_TRAIN];
        index = w->positions + w->train_count;
        n = w->held_count;
        split = "validation";
    }
    if (n == 0)
        return true;
    struct cnn_loss loss = cnn_loss_for(w->request.train.loss, w->net);
    if (!cnn_evaluate(w->net, samples, index, n, loss, w->request.train.threads, CNN_FAILURES_MAX,
                      &done->val, e))
        return false;
    done->has_val = true;
    snprintf(done->split, sizeof done->split, "%s", split);
    return true;
}

static bool fill_meta(const struct worker *w, const struct progress *done, struct model_meta *meta,
                      struct err *e)
{
    const struct dataset_info *info = &w->dataset.info;
    meta->preprocess = info->preprocess;
    snprintf(meta->job, sizeof meta->job, "%s", w->job);
    snprintf(meta->dataset, sizeof meta->dataset, "%s", w->request.dataset);
    meta->dataset_version = w->request.dataset_version;
    time_t now = time(NULL);
    struct tm utc;
    strftime(meta->created, sizeof meta->created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    meta->test_loss = done->has_val ? done->val.loss : NAN;
    meta->test_accuracy = done->has_val ? done->val.accuracy : NAN;
    memcpy(meta->split, done->split, sizeof meta->split);
    memcpy(meta->weights_sha256, done->weights_sha256, sizeof meta->weights_sha256);
    return model_meta_set_labels(meta, info->labels, info->label_count, e);
}

/* The model file, on disk when this returns; the daemon moves it to its place. */
static bool write_model(const struct worker *w, const struct progress *done, struct err *e)
{
    struct model_meta meta = {0};
    struct buf file = {0};
    int fd = -1;
    bool ok = false;
    if (!fill_meta(w, done, &meta, e) || !onnx_write(w->net, &meta, &file, e))
        goto out;
    fd = open(w->model_file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) {
        err_set(e, ERR_IO, "cannot make the model file: %s", strerror(errno));
        goto out;
    }
    ok = write_all(fd, file.data, file.size, "the model file", e);
    if (ok && fsync(fd) != 0)
        ok = err_set(e, ERR_IO, "cannot sync the model file: %s", strerror(errno));
out:
    if (fd >= 0 && close(fd) != 0 && ok)
        ok = err_set(e, ERR_IO, "cannot close the model file: %s", strerror(errno));
    buf_clear(&file);
    model_meta_clear(&meta);
    return ok;
}

static bool finish(struct worker *w, const struct cnn_train_result *result, struct err *e)
{
    struct progress done = {
        .type = PROGRESS_DONE,
        .best_epoch = result->best_epoch,
        .stopped_early = result->stopped_early,
    };
    hash_sha256(w->net->params, w->net->state_count * sizeof *w->net->params, done.weights_sha256);
    bool ok = judge(w, &done, e) && write_model(w, &done, e);
    ok = ok && send_progress(&done, e);
    progress_clear(&done);
    return ok;
}

static bool send_stopped(const struct worker *w, struct err *e)
{
    const struct progress stopped = {
        .type = PROGRESS_STOPPED, .epoch = w->epoch, .batch = w->batch};
    return send_progress(&stopped, e);
}

static bool run(struct worker *w, struct err *e)
{
    if (!prepare(w, e) || !send_start(w, e))
        return false;
    const struct cnn_train_hooks hooks = {
        .context = w, .batch = on_batch, .epoch = on_epoch, .checkpoint = on_checkpoint};
    struct cnn_train_result result;
    w->epoch_start_ms = w->reported_ms = now_ms();
    if (!cnn_train(w->net, &w->dataset.samples[SPLIT_TRAIN], &w->dataset.samples[SPLIT_TEST],
                   &w->request.train, &hooks, &result, e)) {
        return e->code == ERR_CANCELLED && send_stopped(w, e);
    }
    return finish(w, &result, e);
}

/* ---- the process ---- */

static bool read_arguments(struct worker *w, int argc, char **argv)
{
    static const struct option options[] = {
        {"parent", required_argument, NULL, 'p'},
        {"data-dir", required_argument, NULL, 'd'},
        {"model-file", required_argument, NULL, 'm'},
        {"job", required_argument, NULL, 'j'},
        {"checkpoint", required_argument, NULL, 'c'},
        {"checkpoint-s", required_argument, NULL, 's'},
        {"memory-mib", required_argument, NULL, 'M'},
        {0},
    };
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'p')
            w->parent = (pid_t)strtol(optarg, NULL, 10);
        else if (option == 'd')
            w->data_dir = optarg;
        else if (option == 'm')
            w->model_file = optarg;
        else if (option == 'j')
            w->job = optarg;
        else if (option == 'c')
            w->checkpoint = optarg;
        else if (option == 's')
            w->checkpoint_s = strtol(optarg, NULL, 10);
        else if (option == 'M')
            w->memory_mib = strtol(optarg, NULL, 10);
        else
            return false;
    }
    return w->parent > 0 && w->data_dir && w->model_file && w->job && w->checkpoint &&
           w->checkpoint_s > 0 && w->memory_mib >= 0;
}

/* Ends with the daemon, steps back behind it, and listens to its SIGTERM. */
static bool settle(const struct worker *w)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
        perror("strided worker: cannot ask for the parent's death signal");
        return false;
    }
    if (getppid() != w->parent) {
        fprintf(stderr, "strided worker: the daemon has gone\n");
        return false;
    }
    struct sigaction action = {.sa_handler = on_terminate, .sa_flags = SA_RESTART};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
    /* A job at normal priority is slower to answer beside, not wrong: failure is no reason to end.
     */
    if (setpriority(PRIO_PROCESS, 0, WORKER_NICE) != 0)
        perror("strided worker: cannot lower the priority");
    return true;
}

int worker_main(int argc, char **argv)
{
    struct worker w = {0};
    if (!read_arguments(&w, argc, argv) || fcntl(WORKER_PROGRESS_FD, F_GETFD) < 0 ||
        fcntl(WORKER_ACK_FD, F_GETFD) < 0) {
        fprintf(stderr, "strided worker: started by the daemon only\n");
        return 2;
    }
    if (!settle(&w))
        return 2;
    struct progress fail = {.type = PROGRESS_FAIL};
    struct err unsent;
    int status = run(&w, &fail.error) ? 0 : 1;
    if (status == 1 && !send_progress(&fail, &unsent)) {
        fprintf(stderr, "strided worker: %s; %s\n", fail.error.detail, unsent.detail);
        status = 2;
    }
    free(w.positions);
    cnn_net_free(w.net);
    if (w.dataset_open)
        dataset_close(&w.dataset);
    job_request_clear(&w.request);
    return status;
}
