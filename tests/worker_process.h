/* worker_process.h - a `strided worker` of a test's own: the test is its daemon. */
#ifndef STRIDED_TESTS_WORKER_PROCESS_H
#define STRIDED_TESTS_WORKER_PROCESS_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "client.h"
#include "datasets.h"
#include "files.h"
#include "harness.h"
#include "progress.h"
#include "worker.h"

/* A job on the dataset below: 10 batches an epoch. */
#define JOB                                                                                   \
    "\"model\":\"m\",\"dataset\":\"shapes\",\"dataset_version\":1,\"architecture\":\"shapes-" \
    "cnn\","                                                                                  \
    "\"threads\":1,\"batch_size\":10"

/* A data directory with the dataset "shapes" in it. */
struct place {
    char folder[256], data_dir[300], model[320], checkpoint[320];
};

static inline struct place make_place(void)
{
    struct place place;
    struct err e;
    char path[400];
    harness_tmpdir(place.folder, sizeof place.folder);
    snprintf(place.data_dir, sizeof place.data_dir, "%s/data", place.folder);
    snprintf(place.model, sizeof place.model, "%s/model.onnx", place.folder);
    snprintf(place.checkpoint, sizeof place.checkpoint, "%s/7.safetensors", place.folder);
    ck_assert_msg(files_open(place.data_dir, &e), "%s", e.detail);
    snprintf(path, sizeof path, "%s/strided.db", place.data_dir);
    struct store *store = store_open(path, &e);
    ck_assert_msg(store != NULL, "%s", e.detail);
    struct dataset_request request = {
        .generator = cnn_generator_find("shapes"), .train = 100, .test = 20};
    const struct dataset_scaling scaling = {.normalize = false};
    int version;
    ck_assert_msg(datasets_generate(store, "shapes", &request, &scaling, &version, &e), "%s",
                  e.detail);
    store_close(store);
    return place;
}

static inline char *read_all(int fd)
{
    struct buf text = {0};
    for (;;) {
        ck_assert(buf_reserve(&text, 4096));
        ssize_t n = read(fd, text.data + text.size, 4096);
        if (n <= 0)
            break;
        text.size += (size_t)n;
    }
    close(fd);
    char *copy = strdup(buf_text(&text));
    buf_clear(&text);
    return copy;
}

/* The same descriptor under another number, in a child; without O_CLOEXEC also when it happens to
 * be that number already. */
static inline void set_fd(int fd, int number)
{
    if (fd == number)
        fcntl(fd, F_SETFD, 0);
    else
        dup2(fd, number);
}

/* A worker and our ends of its pipes. */
struct worker_process {
    pid_t pid;
    int input, progress, errors, acks;
};

/* What is usual, and what a test wishes otherwise. */
struct worker_options {
    const char *checkpoint_s, *memory_mib; /* NULL: "30", "0" */
    rlim_t file_bytes_max;                 /* 0: it may write files of any size */
    int pipe_bytes;                        /* 0: what a pipe for messages usually holds */
};

/* Starts one with these arguments. */
static inline struct worker_process worker_start(const char *const *arguments,
                                                 const struct worker_options *options)
{
    int in[2], out[2], err[2], ack[2];
    signal(SIGPIPE, SIG_IGN);
    ck_assert(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 &&
              pipe2(err, O_CLOEXEC) == 0 && pipe2(ack, O_CLOEXEC) == 0);
    if (options->pipe_bytes > 0)
        ck_assert_int_eq(fcntl(out[0], F_SETPIPE_SZ, options->pipe_bytes), options->pipe_bytes);
    /* Before the fork: check writes of its assertions to a descriptor that the child lets go. */
    const char *binary = client_binary();
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        /* Past the numbers that are set. */
        int said = fcntl(out[1], F_DUPFD_CLOEXEC, WORKER_ACK_FD + 1);
        set_fd(in[0], STDIN_FILENO);
        set_fd(err[1], STDERR_FILENO);
        set_fd(ack[0], WORKER_ACK_FD);
        set_fd(said, WORKER_PROGRESS_FD);
        const struct rlimit limit = {options->file_bytes_max, options->file_bytes_max};
        if (options->file_bytes_max > 0 &&
            (signal(SIGXFSZ, SIG_IGN) == SIG_ERR || setrlimit(RLIMIT_FSIZE, &limit) != 0))
            _exit(126);
        execv(binary, (char *const *)arguments);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    close(err[1]);
    close(ack[0]);
    return (struct worker_process){pid, in[1], out[0], err[0], ack[1]};
}

static inline struct worker_process worker_start_in(const struct place *place,
                                                    const struct worker_options *options)
{
    char parent[24];
    snprintf(parent, sizeof parent, "%d", (int)getpid());
    const char *const arguments[] = {"strided",
                                     "worker",
                                     "--parent",
                                     parent,
                                     "--data-dir",
                                     place->data_dir,
                                     "--model-file",
                                     place->model,
                                     "--checkpoint",
                                     place->checkpoint,
                                     "--job",
                                     "7",
                                     "--checkpoint-s",
                                     options->checkpoint_s ? options->checkpoint_s : "30",
                                     "--memory-mib",
                                     options->memory_mib ? options->memory_mib : "0",
                                     NULL};
    return worker_start(arguments, options);
}

/* Hands it the job's text; more than it reads is no failure. */
static inline void worker_give(struct worker_process *worker, const void *bytes, size_t size)
{
    for (size_t sent = 0; sent < size;) {
        ssize_t n = write(worker->input, (const char *)bytes + sent, size - sent);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    close(worker->input);
}

/* So many epochs are stored. A worker that has ended no longer reads it. */
static inline void worker_acknowledge(const struct worker_process *worker, int count)
{
    for (int i = 0; i < count; i++)
        ck_assert(write(worker->acks, "", 1) == 1 || errno == EPIPE);
}

#endif
