/* `strided worker` by itself: what it takes, what it says, how it ends. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "client.h"
#include "datasets.h"
#include "files.h"
#include "harness.h"
#include "onnx.h"
#include "progress.h"
#include "worker.h"

/* A data directory with the dataset "shapes" in it. */
struct place {
    char folder[256], data_dir[300], model[320], checkpoint[320];
};

static struct place make_place(void)
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

struct worker_run {
    int status;        /* as from waitpid */
    char *said;        /* on the progress descriptor, NUL-terminated */
    char errors[2048]; /* on standard error, its beginning */
};

static char *read_all(int fd)
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
static void set_fd(int fd, int number)
{
    if (fd == number)
        fcntl(fd, F_SETFD, 0);
    else
        dup2(fd, number);
}

/* Starts a worker with these arguments; the ends of its pipes that are ours. The first ACKS epochs
 * are acknowledged in advance. */
enum { ACKS = 4096 };
static pid_t start(const char *const *arguments, int *input, int *progress, int *errors)
{
    int in[2], out[2], err[2], ack[2];
    static const char acks[ACKS];
    ck_assert(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 &&
              pipe2(err, O_CLOEXEC) == 0 && pipe2(ack, O_CLOEXEC) == 0);
    ck_assert_int_eq((int)write(ack[1], acks, ACKS), ACKS);
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
        execv(binary, (char *const *)arguments);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    close(err[1]);
    close(ack[0]);
    close(ack[1]);
    *input = in[1];
    *progress = out[0];
    *errors = err[0];
    return pid;
}

static pid_t start_in(const struct place *place, int *input, int *progress, int *errors)
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
                                     "30",
                                     "--memory-mib",
                                     "0",
                                     NULL};
    return start(arguments, input, progress, errors);
}

static struct worker_run end_run(pid_t pid, int progress, int errors)
{
    struct worker_run run;
    run.said = read_all(progress);
    char *text = read_all(errors);
    snprintf(run.errors, sizeof run.errors, "%s", text);
    free(text);
    ck_assert_int_eq(waitpid(pid, &run.status, 0), pid);
    return run;
}

/* Hands these bytes to a worker and lets it end. */
static struct worker_run run_worker(const struct place *place, const void *bytes, size_t size)
{
    int input, progress, errors;
    signal(SIGPIPE, SIG_IGN);
    pid_t pid = start_in(place, &input, &progress, &errors);
    for (size_t sent = 0; sent < size;) {
        ssize_t n = write(input, (const char *)bytes + sent, size - sent);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    close(input);
    return end_run(pid, progress, errors);
}

/* The last message of what a worker said. */
static struct progress last_message(const struct worker_run *run)
{
    struct progress message = {0};
    struct err e;
    size_t size = strlen(run->said);
    ck_assert_msg(size > 0 && run->said[size - 1] == '\n', "status %#x, '%s', '%s'", run->status,
                  run->said, run->errors);
    const char *line = run->said + size - 1;
    while (line > run->said && line[-1] != '\n')
        line--;
    ck_assert_msg(progress_parse(line, (size_t)(run->said + size - 1 - line), &message, &e),
                  "%s: %s", e.detail, line);
    return message;
}

static void expect_failure(const struct worker_run *run, enum err_code code, const char *detail)
{
    ck_assert(WIFEXITED(run->status));
    ck_assert_int_eq(WEXITSTATUS(run->status), 1);
    struct progress message = last_message(run);
    ck_assert_int_eq(message.type, PROGRESS_FAIL);
    ck_assert_msg(message.error.code == code && strstr(message.error.detail, detail), "%d: %s",
                  (int)message.error.code, message.error.detail);
    progress_clear(&message);
    free(run->said);
}

#define JOB                                                                                   \
    "\"model\":\"m\",\"dataset\":\"shapes\",\"dataset_version\":1,\"architecture\":\"shapes-" \
    "cnn\","                                                                                  \
    "\"threads\":1,\"batch_size\":10"

START_TEST(a_job_is_trained_reported_and_written)
{
    struct place place = make_place();
    static const char job[] = "{" JOB ",\"epochs\":2}";
    struct worker_run run = run_worker(&place, job, sizeof job - 1);
    ck_assert_msg(run.status == 0, "%d: %s %s", run.status, run.said, run.errors);
    struct progress done = last_message(&run);
    ck_assert_int_eq(done.type, PROGRESS_DONE);
    ck_assert(done.has_val);
    ck_assert_str_eq(done.split, "test");
    ck_assert_uint_eq(done.val.count, 20);

    struct file_map map;
    struct err e;
    struct model_meta meta = {0};
    ck_assert_msg(file_map_open(&map, place.model, &e), "%s", e.detail);
    struct cnn_net *net = onnx_read(map.bytes, map.size, &meta, &e);
    ck_assert_msg(net != NULL, "%s", e.detail);
    ck_assert_uint_eq(net->param_count, 1538);
    ck_assert_int_eq(meta.label_count, 2);
    ck_assert_str_eq(meta.labels[1], "circle");
    ck_assert_str_eq(meta.job, "7");
    ck_assert_str_eq(meta.dataset, "shapes");
    ck_assert_str_eq(meta.weights_sha256, done.weights_sha256);
    cnn_net_free(net);
    model_meta_clear(&meta);
    file_map_close(&map);
    progress_clear(&done);
    free(run.said);
    harness_rmdir(place.folder);
}
END_TEST

START_TEST(garbage_for_a_job_is_a_clean_failure)
{
    static const struct {
        const char *text, *detail;
        enum err_code code;
    } cases[] = {
        {"", "", ERR_INVALID},
        {"\xff\xfe garbage", "", ERR_INVALID},
        {"{\"model\":", "", ERR_INVALID},
        {"[1,2,3]", "", ERR_INVALID},
        {"{\"model\":\"m\",\"dataset\":\"shapes\"}", "architecture", ERR_INVALID},
        {"{\"model\":\"m\",\"dataset\":\"shapes\",\"dataset_version\":1,\"architecture\":"
         "\"nothing\","
         "\"threads\":1}",
         "nothing", ERR_INVALID},
        {"{\"model\":\"m\",\"dataset\":\"none\",\"dataset_version\":1,\"architecture\":\"shapes-"
         "cnn\","
         "\"threads\":1}",
         "none", ERR_UNAVAILABLE},
        {"{" JOB ",\"init_from\":\"none:1\"}", "none", ERR_NOT_FOUND},
        {"{" JOB ",\"optimizer\":{\"type\":\"sgd\",\"lr\":1e300}}", "learning rate", ERR_INVALID},
    };
    struct place place = make_place();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct worker_run run = run_worker(&place, cases[i].text, strlen(cases[i].text));
        expect_failure(&run, cases[i].code, cases[i].detail);
        ck_assert_int_ne(access(place.model, F_OK), 0);
    }
    harness_rmdir(place.folder);
}
END_TEST

START_TEST(an_endless_job_text_is_cut_off)
{
    struct place place = make_place();
    size_t size = 8 << 20;
    char *blanks = malloc(size);
    ck_assert_ptr_nonnull(blanks);
    memset(blanks, ' ', size);
    struct worker_run run = run_worker(&place, blanks, size);
    expect_failure(&run, ERR_TOO_LARGE, "longer than");
    free(blanks);
    harness_rmdir(place.folder);
}
END_TEST

START_TEST(a_model_file_that_exists_is_not_written_over)
{
    struct place place = make_place();
    static const char job[] = "{" JOB ",\"epochs\":1}";
    int fd = open(place.model, O_WRONLY | O_CREAT, 0644);
    ck_assert_int_ge(fd, 0);
    close(fd);
    struct worker_run run = run_worker(&place, job, sizeof job - 1);
    expect_failure(&run, ERR_IO, "model file");
    struct stat st;
    ck_assert_int_eq(stat(place.model, &st), 0);
    ck_assert_int_eq((int)st.st_size, 0);
    harness_rmdir(place.folder);
}
END_TEST

START_TEST(sigterm_stops)
{
    struct place place = make_place();
    static const char job[] = "{" JOB ",\"epochs\":100000}";
    int input, progress, errors;
    char first;
    pid_t pid = start_in(&place, &input, &progress, &errors);
    ck_assert_int_eq((int)write(input, job, sizeof job - 1), (int)sizeof job - 1);
    close(input);
    /* Its first message: it is set up and listens. */
    ck_assert_int_eq((int)read(progress, &first, 1), 1);
    ck_assert_int_eq(kill(pid, SIGTERM), 0);
    struct worker_run run = end_run(pid, progress, errors);
    ck_assert_msg(run.status == 0, "%#x: %s", run.status, run.errors);
    struct progress message = last_message(&run);
    ck_assert_int_eq(message.type, PROGRESS_STOPPED);
    ck_assert_int_ge(message.epoch, 1);
    free(run.said);
    harness_rmdir(place.folder);
}
END_TEST

START_TEST(a_closed_pipe_ends_training)
{
    struct place place = make_place();
    static const char job[] = "{" JOB ",\"epochs\":100000}";
    int input, progress, errors, status;
    char first;
    pid_t pid = start_in(&place, &input, &progress, &errors);
    ck_assert_int_eq((int)write(input, job, sizeof job - 1), (int)sizeof job - 1);
    close(input);
    ck_assert_int_eq((int)read(progress, &first, 1), 1);
    close(progress);
    char *said = read_all(errors);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 2);
    ck_assert_msg(strstr(said, "cannot write progress") != NULL, "%s", said);
    free(said);
    harness_rmdir(place.folder);
}
END_TEST

START_TEST(a_worker_that_people_start_says_so)
{
    char *output;
    ck_assert_int_eq(client_run((const char *const[]){"worker", NULL}, &output), 2);
    ck_assert_msg(strstr(output, "started by the daemon") != NULL, "%s", output);
    free(output);
}
END_TEST

START_TEST(a_worker_whose_daemon_has_gone_does_nothing)
{
    struct place place = make_place();
    int input, progress, errors;
    const char *const arguments[] = {"strided",
                                     "worker",
                                     "--parent",
                                     "999999999",
                                     "--data-dir",
                                     place.data_dir,
                                     "--model-file",
                                     place.model,
                                     "--checkpoint",
                                     place.checkpoint,
                                     "--job",
                                     "7",
                                     "--checkpoint-s",
                                     "30",
                                     "--memory-mib",
                                     "0",
                                     NULL};
    pid_t pid = start(arguments, &input, &progress, &errors);
    close(input);
    struct worker_run run = end_run(pid, progress, errors);
    ck_assert(WIFEXITED(run.status));
    ck_assert_int_eq(WEXITSTATUS(run.status), 2);
    ck_assert_str_eq(run.said, "");
    ck_assert_msg(strstr(run.errors, "the daemon has gone") != NULL, "%s", run.errors);
    free(run.said);
    harness_rmdir(place.folder);
}
END_TEST

TEST_PROGRAM("server_worker", a_job_is_trained_reported_and_written,
             garbage_for_a_job_is_a_clean_failure, an_endless_job_text_is_cut_off,
             a_model_file_that_exists_is_not_written_over, sigterm_stops,
             a_closed_pipe_ends_training, a_worker_that_people_start_says_so,
             a_worker_whose_daemon_has_gone_does_nothing)
