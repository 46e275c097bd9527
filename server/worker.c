/* One job, one process, one thread besides the trainer's own OpenMP team. It touches three
 * things outside itself: the pipes to the daemon, the model file in the data directory's tmp/, and
 * the job's checkpoint. worker_train.c trains and says how it goes, worker_checkpoint.c keeps the
 * checkpoint, and this file is the rest. */
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
#include "worker_job.h"

enum {
    WORKER_NICE = 10,            /* health and predict go first */
    REQUEST_BYTES_MAX = 4 << 20, /* a posted body with its defaults spelled out */
};

static atomic_bool stop_asked;

static void on_terminate(int signal_number)
{
    (void)signal_number;
    atomic_store(&stop_asked, true);
}

bool worker_stop_asked(void)
{
    return atomic_load(&stop_asked);
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

bool worker_say(const struct progress *message, struct err *e)
{
    struct buf line = {0};
    progress_write(&line, message);
    bool ok = buf_ok(&line) ? write_all(WORKER_PROGRESS_FD, line.data, line.size, "progress", e)
                            : err_no_memory(e);
    buf_clear(&line);
    return ok;
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

static bool check_base(const struct worker_job *job, const struct file_map *map, struct err *e)
{
    char sha256[65];
    if (!job->base_sha256 || !*job->base_sha256)
        return true;
    hash_sha256(map->bytes, map->size, sha256);
    return strcmp(sha256, job->base_sha256) == 0 ||
           err_set(e, ERR_UNAVAILABLE,
                   "model '%s' is damaged: its SHA-256 is %s, the catalogue says %s",
                   job->request.init_from, sha256, job->base_sha256);
}

/* Starts from a served model's weights. */
static bool load_base(struct worker_job *job, struct err *e)
{
    char name[LIMIT_NAME_BYTES + 1], path[FILES_PATH_BYTES];
    int version;
    if (!job_net_base(&job->request, name, &version, e))
        return false;
    files_path(path, sizeof path, "models", name, version, ".onnx");
    struct file_map map;
    if (!file_map_open(&map, path, e))
        return false;
    struct model_meta meta = {0};
    struct cnn_net *base =
        check_base(job, &map, e) ? onnx_read(map.bytes, map.size, &meta, e) : NULL;
    bool ok = base && job_net_copy(job->net, base, job->request.init_from, e);
    cnn_net_free(base);
    model_meta_clear(&meta);
    file_map_close(&map);
    return ok;
}

/* Memory in use that counts towards RLIMIT_DATA. */
static bool own_bytes(rlim_t *bytes, struct err *e)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    bool ok = file && fscanf(file, "%*u %*u %*u %*u %*u %lu", &pages) == 1;
    if (file)
        fclose(file);
    *bytes = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
    return ok || err_set(e, ERR_IO, "cannot read '/proc/self/statm'");
}

/* From now on the job may allocate memory_mib: past that malloc fails, which is an error like any
 * other. What the program takes by itself and the stacks of the trainer's threads are there already
 * and do not count; nor do the mapped files. */
static bool limit_memory(const struct worker_job *job, struct err *e)
{
    struct rlimit limit;
    if (job->memory_mib == 0)
        return true;
    cnn_train_start_threads(job->request.train.threads);
    if (!own_bytes(&limit.rlim_cur, e))
        return false;
    limit.rlim_cur += (rlim_t)job->memory_mib << 20;
    limit.rlim_max = limit.rlim_cur;
    return setrlimit(RLIMIT_DATA, &limit) == 0 ||
           err_set(e, ERR_IO, "cannot limit memory: %s", strerror(errno));
}

/* The weights that training begins with. */
static bool prepare_weights(struct worker_job *job, struct err *e)
{
    if (!worker_checkpoint_open(job, e))
        return false;
    if (job->resumed)
        return true;
    cnn_net_init(job->net, job->request.init, job->request.train.seed);
    return !job->request.init_from[0] || load_base(job, e);
}

static bool prepare(struct worker_job *job, struct err *e)
{
    if (!files_attach(job->data_dir, e) || !read_request(&job->request, e) ||
        !limit_memory(job, e) ||
        !dataset_open(&job->dataset, job->request.dataset, job->request.dataset_version, e))
        return false;
    job->dataset_open = true;
    if (job->dataset_sha256)
        snprintf(job->dataset.sha256, sizeof job->dataset.sha256, "%s", job->dataset_sha256);
    if (!dataset_check(&job->dataset, job->request.dataset, e))
        return false;
    job->net = job_net_new(&job->request, &job->dataset, e);
    if (!job->net)
        return false;
    uint32_t count = job->dataset.samples[SPLIT_TRAIN].count;
    if (!cnn_train_split(count, &job->request.train, &job->positions, &job->held_count, e))
        return false;
    job->train_count = count - job->held_count;
    return prepare_weights(job, e);
}

/* Judges the published weights on the test samples, else on the held-out ones, into *done. */
static bool judge(struct worker_job *job, struct progress *done, struct err *e)
{
    const struct cnn_samples *samples = &job->dataset.samples[SPLIT_TEST];
    const uint32_t *index = NULL;
    uint32_t n = samples->count;
    const char *split = "test";
    if (n == 0 && job->held_count > 0) {
        samples = &job->dataset.samples[SPLIT_TRAIN];
        index = job->positions + job->train_count;
        n = job->held_count;
        split = "validation";
    }
    if (n == 0)
        return true;
    struct cnn_loss loss = cnn_loss_for(job->request.train.loss, job->net);
    if (!cnn_evaluate(job->net, samples, index, n, loss, job->request.train.threads,
                      CNN_FAILURES_MAX, &done->val, e))
        return false;
    done->has_val = true;
    snprintf(done->split, sizeof done->split, "%s", split);
    return true;
}

static bool fill_meta(const struct worker_job *job, const struct progress *done,
                      struct model_meta *meta, struct err *e)
{
    const struct dataset_info *info = &job->dataset.info;
    meta->preprocess = info->preprocess;
    snprintf(meta->job, sizeof meta->job, "%s", job->id);
    snprintf(meta->dataset, sizeof meta->dataset, "%s", job->request.dataset);
    meta->dataset_version = job->request.dataset_version;
    time_t now = time(NULL);
    struct tm utc;
    strftime(meta->created, sizeof meta->created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    meta->test_loss = done->has_val ? done->val.loss : NAN;
    meta->test_accuracy = done->has_val ? done->val.accuracy : NAN;
    memcpy(meta->split, done->split, sizeof meta->split);
    memcpy(meta->weights_sha256, done->weights_sha256, sizeof meta->weights_sha256);
    return model_meta_set_labels(meta, info->labels, info->label_count, e);
}

/* The model file, on disk when this returns; the daemon moves it to its place. One that a killed
 * worker of this job left is removed, not written over: its last write may still be under way. */
static bool write_model(const struct worker_job *job, const struct progress *done, struct err *e)
{
    struct model_meta meta = {0};
    struct buf file = {0};
    int fd = -1;
    bool ok = false;
    if (!fill_meta(job, done, &meta, e) || !onnx_write(job->net, &meta, &file, e))
        goto out;
    unlink(job->model_file);
    fd = open(job->model_file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
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

static bool finish(struct worker_job *job, const struct cnn_train_result *result, struct err *e)
{
    struct progress done = {
        .type = PROGRESS_DONE,
        .best_epoch = result->best_epoch,
        .stopped_early = result->stopped_early,
    };
    hash_sha256(job->net->params, job->net->state_count * sizeof *job->net->params,
                done.weights_sha256);
    bool ok = judge(job, &done, e) && write_model(job, &done, e);
    ok = ok && worker_say(&done, e);
    progress_clear(&done);
    return ok;
}

static bool run(struct worker_job *job, struct err *e)
{
    struct cnn_train_result result;
    if (prepare(job, e) && worker_train(job, &result, e) && finish(job, &result, e))
        return true;
    if (e->code == ERR_NO_MEMORY && job->memory_mib > 0)
        err_set(e, ERR_NO_MEMORY, "out of memory: the job may take %d MiB", job->memory_mib);
    return false;
}

/* ---- the process ---- */

static bool read_arguments(struct worker_job *job, int argc, char **argv)
{
    static const struct option options[] = {
        {"parent", required_argument, NULL, 'p'},
        {"data-dir", required_argument, NULL, 'd'},
        {"model-file", required_argument, NULL, 'm'},
        {"job", required_argument, NULL, 'j'},
        {"checkpoint", required_argument, NULL, 'c'},
        {"checkpoint-s", required_argument, NULL, 's'},
        {"memory-mib", required_argument, NULL, 'M'},
        {"dataset-sha256", required_argument, NULL, 'D'},
        {"base-sha256", required_argument, NULL, 'B'},
        {0},
    };
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'p')
            job->parent = (pid_t)strtol(optarg, NULL, 10);
        else if (option == 'd')
            job->data_dir = optarg;
        else if (option == 'm')
            job->model_file = optarg;
        else if (option == 'j')
            job->id = optarg;
        else if (option == 'c')
            job->checkpoint_file = optarg;
        else if (option == 's')
            job->checkpoint_s = (int)strtol(optarg, NULL, 10);
        else if (option == 'M')
            job->memory_mib = (int)strtol(optarg, NULL, 10);
        else if (option == 'D')
            job->dataset_sha256 = optarg;
        else if (option == 'B')
            job->base_sha256 = optarg;
        else
            return false;
    }
    return job->parent > 0 && job->data_dir && job->model_file && job->id && job->checkpoint_file &&
           job->checkpoint_s >= 0 && job->memory_mib >= 0;
}

/* Ends with the daemon, steps back behind it, and listens to its SIGTERM. */
static bool settle(const struct worker_job *job)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
        perror("strided worker: cannot ask for the parent's death signal");
        return false;
    }
    if (getppid() != job->parent) {
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
    struct worker_job job = {0};
    if (!read_arguments(&job, argc, argv) || fcntl(WORKER_PROGRESS_FD, F_GETFD) < 0 ||
        fcntl(WORKER_ACK_FD, F_GETFD) < 0) {
        fprintf(stderr, "strided worker: started by the daemon only\n");
        return 2;
    }
    if (!settle(&job))
        return 2;
    struct progress fail = {.type = PROGRESS_FAIL};
    struct err unsent;
    int status = run(&job, &fail.error) || fail.error.code == ERR_CANCELLED ? 0 : 1;
    if (status == 1 && !worker_say(&fail, &unsent)) {
        fprintf(stderr, "strided worker: %s; %s\n", fail.error.detail, unsent.detail);
        status = 2;
    }
    worker_checkpoint_close(&job);
    free(job.positions);
    cnn_net_free(job.net);
    if (job.dataset_open)
        dataset_close(&job.dataset);
    job_request_clear(&job.request);
    return status;
}
