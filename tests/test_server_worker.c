/* `strided worker` by itself: what it takes, what it says, how it ends. */
#include <sys/stat.h>

#include "onnx.h"
#include "worker_process.h"

struct worker_run {
    int status;        /* as from waitpid */
    char *said;        /* on the progress descriptor, NUL-terminated */
    char errors[2048]; /* on standard error, its beginning */
};

static struct worker_run end_run(const struct worker_process *worker)
{
    struct worker_run run;
    run.said = read_all(worker->progress);
    char *text = read_all(worker->errors);
    snprintf(run.errors, sizeof run.errors, "%s", text);
    free(text);
    close(worker->acks);
    ck_assert_int_eq(waitpid(worker->pid, &run.status, 0), worker->pid);
    return run;
}

enum { ACKS = 4096 }; /* in advance: more epochs than a test here trains */

static struct worker_process start(const struct place *place, const void *bytes, size_t size)
{
    struct worker_process worker = worker_start_in(place, &(struct worker_options){0});
    worker_acknowledge(&worker, ACKS);
    worker_give(&worker, bytes, size);
    return worker;
}

/* Hands these bytes to a worker and lets it end. */
static struct worker_run run_worker(const struct place *place, const void *bytes, size_t size)
{
    struct worker_process worker = start(place, bytes, size);
    return end_run(&worker);
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

START_TEST(a_model_file_that_cannot_be_made_fails_the_job)
{
    struct place place = make_place();
    static const char job[] = "{" JOB ",\"epochs\":1}";
    ck_assert_int_eq(mkdir(place.model, 0755), 0);
    struct worker_run run = run_worker(&place, job, sizeof job - 1);
    expect_failure(&run, ERR_IO, "model file");
    harness_rmdir(place.folder);
}
END_TEST

START_TEST(sigterm_stops)
{
    struct place place = make_place();
    static const char job[] = "{" JOB ",\"epochs\":100000}";
    char first;
    struct worker_process worker = start(&place, job, sizeof job - 1);
    /* Its first message: it is set up and listens. */
    ck_assert_int_eq((int)read(worker.progress, &first, 1), 1);
    ck_assert_int_eq(kill(worker.pid, SIGTERM), 0);
    struct worker_run run = end_run(&worker);
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
    int status;
    char first;
    struct worker_process worker = start(&place, job, sizeof job - 1);
    ck_assert_int_eq((int)read(worker.progress, &first, 1), 1);
    close(worker.progress);
    char *said = read_all(worker.errors);
    ck_assert_int_eq(waitpid(worker.pid, &status, 0), worker.pid);
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
    const char *const arguments[] = {"strided",
                                     "worker",
                                     "--parent",
                                     "999999999", //
                                     "--data-dir",
                                     place.data_dir,
                                     "--model-file",
                                     place.model, //
                                     "--checkpoint",
                                     place.checkpoint,
                                     "--job",
                                     "7", //
                                     "--checkpoint-s",
                                     "30",
                                     "--memory-mib",
                                     "0",
                                     NULL};
    struct worker_process worker = worker_start(arguments, &(struct worker_options){0});
    close(worker.input);
    struct worker_run run = end_run(&worker);
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
             a_model_file_that_cannot_be_made_fails_the_job, sigterm_stops,
             a_closed_pipe_ends_training, a_worker_that_people_start_says_so,
             a_worker_whose_daemon_has_gone_does_nothing)
