/* The client commands: the real binary as a client, against a real daemon. */
#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "client_json.h"
#include "harness.h"
#include "http_listen.h"
#include "job_client.h"

static struct daemon served;
static char server[64]; /* --server=... */

enum { ARGUMENTS_MAX = 24 };

static void set_server(void)
{
    snprintf(server, sizeof server, "--server=http://127.0.0.1:%d", served.port);
}

static void begin(void)
{
    daemon_start(&served, NULL);
    set_server();
    make_shapes(&served, 60, 20);
}

/* strided ARGUMENTS --server=... ; its status, and what it printed in *output. */
static int cli(char **output, const char *const *arguments)
{
    const char *all[ARGUMENTS_MAX];
    int n = 0;
    for (; arguments[n]; n++)
        all[n] = arguments[n];
    ck_assert_int_lt(n, ARGUMENTS_MAX - 2);
    all[n++] = server;
    all[n] = NULL;
    return client_run(all, output);
}
#define CLI(output, ...) cli(output, (const char *const[]){__VA_ARGS__, NULL})

/* A run that must end with this status and say this. */
static void expect(int status, const char *says, const char *const *arguments)
{
    char *output;
    const int got = cli(&output, arguments);
    ck_assert_msg(got == status, "status %d, expected %d: %s", got, status, output);
    ck_assert_msg(strstr(output, says) != NULL, "'%s' not in: %s", says, output);
    free(output);
}
#define EXPECT(status, says, ...) expect(status, says, (const char *const[]){__VA_ARGS__, NULL})

#define TRAIN "train", "--model", "m", "--dataset", "shapes", "--architecture", "shapes-tiny"

START_TEST(train_shows_every_epoch_and_ends_with_0)
{
    char *output;
    begin();
    ck_assert_int_eq(CLI(&output, TRAIN, "--epochs", "3", "--lr", "0.002", "--optimizer", "sgd"),
                     0);
    ck_assert_ptr_nonnull(strstr(output, "job 1: running\n"));
    ck_assert_ptr_nonnull(strstr(output, "job 1: epoch 1/3  loss 0."));
    ck_assert_ptr_nonnull(strstr(output, "job 1: epoch 3/3  loss 0."));
    ck_assert_ptr_nonnull(strstr(output, "validation loss"));
    ck_assert_ptr_nonnull(strstr(output, "job 1 succeeded: version 1 of its model, test accuracy"));
    ck_assert_ptr_null(strchr(output, '\r'));
    free(output);
    cJSON *job = get_json(&served, "/jobs/%s", "1");
    const cJSON *optimizer = member(member(job, "request"), "optimizer");
    ck_assert_str_eq(text(optimizer, "type"), "sgd");
    ck_assert_double_eq(number(optimizer, "lr"), 0.002);
    cJSON_Delete(job);
    daemon_stop(&served);
}
END_TEST

START_TEST(train_quietly_as_json_prints_the_job_alone)
{
    char *output;
    begin();
    ck_assert_int_eq(CLI(&output, TRAIN, "--epochs", "1", "--quiet", "--json"), 0);
    cJSON *job = cJSON_Parse(output);
    ck_assert_msg(job != NULL, "no JSON: %s", output);
    ck_assert_str_eq(text(job, "state"), "succeeded");
    cJSON_Delete(job);
    free(output);
    daemon_stop(&served);
}
END_TEST

START_TEST(train_takes_an_architecture_from_a_file_and_any_field)
{
    char path[300], argument[310];
    begin();
    snprintf(path, sizeof path, "%s/net.json", served.folder);
    snprintf(argument, sizeof argument, "@%s", path);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs("{\"layers\":[{\"type\":\"flatten\"},{\"type\":\"dense\",\"units\":2}]}", file);
    fclose(file);
    EXPECT(0, "succeeded", "train", "--model", "m", "--dataset", "shapes", "--architecture",
           argument, "--epochs=1", "--set", "publish=\"last\"", "--set", "clip_norm=1");
    cJSON *job = get_json(&served, "/jobs/%s", "1");
    ck_assert_str_eq(text(member(job, "request"), "publish"), "last");
    cJSON_Delete(job);
    EXPECT(2, "cannot open", "train", "--model", "m", "--dataset", "shapes", "--architecture",
           "@/nowhere/net.json");
    EXPECT(2, "KEY=JSON", TRAIN, "--set", "publish");
    EXPECT(2, "publish", TRAIN, "--set", "publish=last");
    daemon_stop(&served);
}
END_TEST

START_TEST(a_job_that_fails_ends_train_with_1_and_the_reason)
{
    begin();
    EXPECT(1, "job 1 failed: non-finite", "train", "--model", "m", "--dataset", "shapes",
           "--epochs", "30", "--optimizer", "sgd", "--lr", "1000000", "--set",
           "architecture={\"layers\":[{\"type\":\"flatten\"},{\"type\":\"dense\",\"units\":9},"
           "{\"type\":\"dense\",\"units\":9},{\"type\":\"dense\",\"units\":2}]}",
           "--set", "publish=\"last\"");
    daemon_stop(&served);
}
END_TEST

START_TEST(what_the_daemon_refuses_ends_with_1_and_names_the_field)
{
    begin();
    EXPECT(1, "(field 'epochs')", TRAIN, "--epochs", "0");
    EXPECT(1, "no dataset 'nothing'", "train", "--model", "m", "--dataset", "nothing");
    EXPECT(1, "no job", "jobs", "show", "77");
    EXPECT(1, "job 77", "jobs", "watch", "77");
    daemon_stop(&served);
}
END_TEST

START_TEST(wrong_usage_ends_with_2)
{
    begin();
    EXPECT(2, "--model and --dataset", "train", "--model", "m");
    EXPECT(2, "unknown option '--colour'", "train", "--colour", "red");
    EXPECT(2, "unexpected argument 'more'", TRAIN, "more");
    EXPECT(2, "expected a number of seconds", TRAIN, "--retry-s", "soon");
    EXPECT(2, "jobs has no 'burn'", "jobs", "burn", "1");
    EXPECT(2, "needs the id of a job", "jobs", "show");
    EXPECT(2, "expected the id", "jobs", "show", "../models");
    EXPECT(2, "number of epochs", "jobs", "resume", "1", "--epochs", "1}");
    EXPECT(2, "no file is named", "predict");
    EXPECT(2, "cannot read", "predict", "/nowhere/a.png");
    daemon_stop(&served);
}
END_TEST

START_TEST(help_of_each_command_names_its_options)
{
    begin();
    EXPECT(0, "--idempotency-key KEY", "train", "--help");
    EXPECT(0, "watch", "jobs", "-h");
    EXPECT(0, "--top K", "predict", "--help");
    daemon_stop(&served);
}
END_TEST

START_TEST(without_a_daemon_the_status_is_4)
{
    begin();
    daemon_terminate(&served);
    daemon_wait(&served);
    EXPECT(4, "no answer from 'http://127.0.0.1:", TRAIN);
    EXPECT(4, "no answer from", "jobs");
    daemon_launch(&served, NULL);
    daemon_stop(&served);
}
END_TEST

START_TEST(detach_prints_the_id_and_the_same_key_posts_once)
{
    char *first, *second;
    begin();
    ck_assert_int_eq(
        CLI(&first, TRAIN, "--epochs", "1", "--detach", "--idempotency-key", "night-1"), 0);
    ck_assert_int_eq(
        CLI(&second, TRAIN, "--epochs", "1", "--detach", "--idempotency-key", "night-1"), 0);
    ck_assert_str_eq(first, "1\n");
    ck_assert_str_eq(second, "1\n");
    free(first);
    free(second);
    EXPECT(0, "job 1 succeeded", "jobs", "watch", "1");
    daemon_stop(&served);
}
END_TEST

START_TEST(jobs_lists_shows_and_compares)
{
    char *output;
    begin();
    for (int i = 0; i < 2; i++)
        EXPECT(0, "succeeded", TRAIN, "--epochs", i ? "1" : "2");
    ck_assert_int_eq(CLI(&output, "jobs"), 0);
    ck_assert_ptr_nonnull(strstr(output, "succeeded"));
    ck_assert_ptr_nonnull(strstr(output, "2/2"));
    ck_assert_ptr_nonnull(strstr(output, "1/1"));
    free(output);
    ck_assert_int_eq(CLI(&output, "jobs", "list", "--limit", "1", "--sort=-created"), 0);
    ck_assert_ptr_nonnull(strstr(output, "1/1"));
    ck_assert_ptr_null(strstr(output, "2/2"));
    free(output);
    EXPECT(0, "\"state\":\"succeeded\"", "jobs", "show", "1");
    EXPECT(0, "epoch,", "jobs", "loss", "1");
    EXPECT(0, "square", "jobs", "confusion", "1");
    EXPECT(0, "epoch,loss_1,", "jobs", "compare", "1,2");
    EXPECT(1, "ended", "jobs", "cancel", "1");
    EXPECT(0, "", "jobs", "delete", "1");
    EXPECT(1, "no job", "jobs", "show", "1");
    daemon_stop(&served);
}
END_TEST

START_TEST(predict_names_each_file_and_its_label)
{
    char path[300];
    begin();
    EXPECT(0, "succeeded", TRAIN, "--epochs", "1");
    struct reply reply = client_send(&served, "GET", "/datasets/shapes/samples/test/0",
                                     (const char *const[]){"Accept: image/png", NULL}, NULL, 0);
    ck_assert_int_eq(reply.status, 200);
    snprintf(path, sizeof path, "%s/a shape.png", served.folder);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(reply.body, 1, reply.size, file), reply.size);
    fclose(file);
    reply_clear(&reply);

    char *one, *two;
    ck_assert_int_eq(CLI(&one, "predict", "--model", "m", path), 0);
    ck_assert_msg(strncmp(one, path, strlen(path)) == 0 && one[strlen(path)] == '\t', "%s", one);
    ck_assert_msg(strstr(one, "square\t") || strstr(one, "circle\t"), "%s", one);
    ck_assert_int_eq(CLI(&two, "predict", path, path, "--top=2"), 0);
    ck_assert_msg(strstr(two, "square\t") && strstr(two, "circle\t"), "%s", two);
    free(one);
    free(two);
    EXPECT(0, "\"predictions\":[", "predict", "--json", path);
    EXPECT(1, "no model 'other'", "predict", "--model", "other", path);
    EXPECT(1, "top", "predict", "--top", "9", path);
    daemon_stop(&served);
}
END_TEST

/* ---- beside a run ---- */

struct beside {
    pthread_t thread;
    const char *const *arguments;
    char *output;
    int status;
};

static void *run_beside(void *context)
{
    struct beside *b = context;
    b->status = cli(&b->output, b->arguments);
    return NULL;
}

static void start_beside(struct beside *b, const char *const *arguments)
{
    b->arguments = arguments;
    ck_assert_int_eq(pthread_create(&b->thread, NULL, run_beside, b), 0);
}

/* Until job 1 has begun. */
static void wait_for_epochs(double epochs)
{
    for (;;) {
        struct reply reply = client_get(&served, "/jobs/1");
        cJSON *job = reply.status == 200 ? cJSON_Parse(reply.body) : NULL;
        const bool there = job && number(job, "epoch") > epochs;
        cJSON_Delete(job);
        reply_clear(&reply);
        if (there)
            return;
        job_pause();
    }
}

START_TEST(a_cancelled_job_ends_train_with_3)
{
    struct beside b;
    begin();
    start_beside(&b, (const char *const[]){TRAIN, "--epochs", "100000", NULL});
    wait_for_epochs(1);
    EXPECT(0, "\"id\":\"1\"", "jobs", "cancel", "1");
    pthread_join(b.thread, NULL);
    ck_assert_msg(b.status == 3 && strstr(b.output, "job 1 was cancelled"), "%d %s", b.status,
                  b.output);
    free(b.output);
    daemon_stop(&served);
}
END_TEST

START_TEST(train_outlives_a_restart_of_the_daemon)
{
    struct beside b;
    char listen[32];
    begin();
    snprintf(listen, sizeof listen, "127.0.0.1:%d", served.port);
    start_beside(&b, (const char *const[]){TRAIN, "--epochs", "60", "--batch-size", "2", NULL});
    wait_for_epochs(2);
    daemon_terminate(&served);
    daemon_wait(&served);
    daemon_launch(&served, (const char *const[]){"--listen", listen, NULL});
    pthread_join(b.thread, NULL);
    ck_assert_msg(b.status == 0, "%d %s", b.status, b.output);
    ck_assert_ptr_nonnull(strstr(b.output, "job 1: the daemon is away, trying again"));
    /* Each epoch once, whatever happened in between. */
    const char *second = strstr(b.output, "epoch 2/60");
    ck_assert_ptr_nonnull(second);
    ck_assert_ptr_null(strstr(second + 1, "epoch 2/60"));
    ck_assert_ptr_nonnull(strstr(b.output, "epoch 60/60"));
    free(b.output);
    daemon_stop(&served);
}
END_TEST

START_TEST(a_daemon_that_stays_away_ends_train_with_4)
{
    struct beside b;
    begin();
    start_beside(&b, (const char *const[]){TRAIN, "--epochs", "100000", "--retry-s", "0", NULL});
    wait_for_epochs(1);
    daemon_terminate(&served);
    daemon_wait(&served);
    pthread_join(b.thread, NULL);
    ck_assert_msg(b.status == 4 && strstr(b.output, "job 1 may go on"), "%d %s", b.status,
                  b.output);
    free(b.output);
    daemon_launch(&served, NULL);
    daemon_stop(&served);
}
END_TEST

/* A daemon that takes a post and breaks off before it answers, then one that is stopping. The third
 * time it answers. */
struct broken {
    int listener, posts;
    char keys[3][128];
};

static void *serve_badly(void *context)
{
    static const char *const replies[] = {
        "", "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 202 Accepted\r\nContent-Length: 10\r\nConnection: close\r\n\r\n{\"id\":\"7\"}"};
    struct broken *b = context;
    for (b->posts = 0; b->posts < 3; b->posts++) {
        char text[8192] = "";
        size_t size = 0;
        const int fd = accept(b->listener, NULL, NULL);
        while (!strstr(text, "}")) { /* the end of its body */
            const ssize_t n = read(fd, text + size, sizeof text - 1 - size);
            if (n <= 0)
                break;
            size += (size_t)n;
        }
        const char *key = strstr(text, "Idempotency-Key: ");
        if (key)
            sscanf(key, "Idempotency-Key: %127[^\r]", b->keys[b->posts]);
        client_write(fd, replies[b->posts], strlen(replies[b->posts]));
        close(fd);
    }
    return NULL;
}

START_TEST(a_post_without_an_answer_is_sent_again_with_its_key)
{
    struct broken broken = {.posts = 0};
    struct err e;
    pthread_t thread;
    int port;
    char *output;
    broken.listener = http_listen("127.0.0.1:0", &port, &e);
    ck_assert_int_ge(broken.listener, 0);
    fcntl(broken.listener, F_SETFL, 0); /* accept waits */
    snprintf(server, sizeof server, "--server=http://127.0.0.1:%d", port);
    ck_assert_int_eq(pthread_create(&thread, NULL, serve_badly, &broken), 0);
    ck_assert_msg(CLI(&output, TRAIN, "--detach") == 0, "%s", output);
    ck_assert_str_eq(output, "7\n");
    free(output);
    pthread_join(thread, NULL);
    close(broken.listener);
    ck_assert_uint_gt(strlen(broken.keys[0]), 16);
    ck_assert_str_eq(broken.keys[0], broken.keys[1]);
    ck_assert_str_eq(broken.keys[0], broken.keys[2]);
}
END_TEST

/* ---- on a terminal ---- */

struct terminal {
    pid_t pid;
    int fd;
    char text[1 << 16];
    size_t size;
};

/* strided on a terminal of its own, 60 columns wide. */
static void open_terminal(struct terminal *t, char *const *arguments)
{
    const struct winsize size = {.ws_row = 24, .ws_col = 60};
    t->size = 0;
    t->text[0] = '\0';
    t->pid = forkpty(&t->fd, NULL, NULL, &size);
    ck_assert_int_ge(t->pid, 0);
    if (t->pid == 0) {
        execv(client_binary(), arguments);
        _exit(127);
    }
}

/* Until this has been printed, or (NULL) the program has ended. */
static void read_terminal(struct terminal *t, const char *until)
{
    while (!until || !strstr(t->text, until)) {
        ssize_t n = read(t->fd, t->text + t->size, sizeof t->text - 1 - t->size);
        if (n <= 0)
            break; /* a terminal whose program has ended gives EIO */
        t->size += (size_t)n;
        t->text[t->size] = '\0';
    }
    ck_assert_msg(!until || strstr(t->text, until), "'%s' not in: %s", until, t->text);
}

static int close_terminal(struct terminal *t)
{
    int status;
    ck_assert_int_eq(waitpid(t->pid, &status, 0), t->pid);
    close(t->fd);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static struct terminal terminal;

START_TEST(on_a_terminal_a_bar_stays_within_its_width)
{
    begin();
    char *const arguments[] = {"strided", TRAIN, "--epochs", "30", server, NULL};
    open_terminal(&terminal, arguments);
    read_terminal(&terminal, NULL);
    ck_assert_int_eq(close_terminal(&terminal), 0);
    const char *bar = strstr(terminal.text, "\rjob 1 [");
    ck_assert_msg(bar != NULL, "no bar: %s", terminal.text);
    const char *end = strstr(bar, "\033[K");
    ck_assert_ptr_nonnull(end);
    ck_assert_int_le(end - bar - 1, 59);
    ck_assert_ptr_nonnull(strstr(terminal.text, "job 1 succeeded"));
    daemon_stop(&served);
}
END_TEST

START_TEST(an_interrupt_leaves_the_job_to_itself)
{
    begin();
    char *const arguments[] = {"strided", TRAIN, "--epochs", "100000", server, NULL};
    open_terminal(&terminal, arguments);
    read_terminal(&terminal, "running");
    ck_assert_int_eq(write(terminal.fd, "\003", 1), 1);
    read_terminal(&terminal, "strided jobs watch 1");
    ck_assert_int_eq(close_terminal(&terminal), 130);
    cJSON *job = get_json(&served, "/jobs/%s", "1");
    ck_assert_str_eq(text(job, "state"), "running");
    cJSON_Delete(job);
    daemon_stop(&served);
}
END_TEST

START_TEST(an_interrupt_cancels_the_job_where_that_is_wanted)
{
    begin();
    char *const arguments[] = {"strided", TRAIN, "--epochs", "100000", "--cancel-on-interrupt",
                               server,    NULL};
    open_terminal(&terminal, arguments);
    read_terminal(&terminal, "running");
    ck_assert_int_eq(write(terminal.fd, "\003", 1), 1);
    read_terminal(&terminal, NULL);
    ck_assert_int_eq(close_terminal(&terminal), 3);
    ck_assert_ptr_nonnull(strstr(terminal.text, "job 1 was cancelled"));
    daemon_stop(&served);
}
END_TEST

/* ---- what comes from the daemon ---- */

static int events_seen;
static struct client_event last_seen;

static bool see(void *context, const struct client_event *event)
{
    (void)context;
    events_seen++;
    last_seen = *event;
    return strcmp(event->state, "succeeded") != 0;
}

START_TEST(events_are_read_however_they_are_cut)
{
    static const char stream[] =
        "retry: 2000\n\n: comment\n\nevent: epoch\nid: 4\ndata: {\"epoch\":2,\"epochs\":5,"
        "\"loss\":0.5,\"val_loss\":null}\n\nevent: other\ndata: {}\n\nevent: state\nid: 5\n"
        "data: {\"state\":\"succeeded\",\"model_version\":3}\n\n";
    for (size_t piece = 1; piece < sizeof stream; piece++) {
        struct client_events events = {.name = ""};
        struct err e = {.code = ERR_NONE};
        bool go_on = true;
        events_seen = 0;
        for (size_t at = 0; go_on && at < sizeof stream - 1; at += piece) {
            size_t n = sizeof stream - 1 - at < piece ? sizeof stream - 1 - at : piece;
            go_on = client_events_feed(&events, stream + at, n, see, NULL, &e);
        }
        ck_assert(!go_on && !e.code);
        ck_assert_int_eq(events_seen, 3);
        ck_assert_str_eq(last_seen.id, "5");
        ck_assert_int_eq(last_seen.model_version, 3);
        client_events_clear(&events);
    }
}
END_TEST

START_TEST(broken_and_endless_events_are_refused)
{
    struct client_events events = {.name = ""};
    struct err e = {.code = ERR_NONE};
    static char endless[1 << 17];
    ck_assert(!client_events_feed(&events, "data: {]\n\n", 10, see, NULL, &e));
    ck_assert_int_eq(e.code, ERR_INVALID);
    client_events_clear(&events);
    memset(endless, 'x', sizeof endless);
    ck_assert(!client_events_feed(&events, endless, sizeof endless, see, NULL, &e));
    ck_assert_int_eq(e.code, ERR_TOO_LARGE);
    client_events_clear(&events);
}
END_TEST

TEST_PROGRAM("server_cli", train_shows_every_epoch_and_ends_with_0,
             train_quietly_as_json_prints_the_job_alone,
             train_takes_an_architecture_from_a_file_and_any_field,
             a_job_that_fails_ends_train_with_1_and_the_reason,
             what_the_daemon_refuses_ends_with_1_and_names_the_field, wrong_usage_ends_with_2,
             help_of_each_command_names_its_options, without_a_daemon_the_status_is_4,
             detach_prints_the_id_and_the_same_key_posts_once, jobs_lists_shows_and_compares,
             predict_names_each_file_and_its_label, a_cancelled_job_ends_train_with_3,
             train_outlives_a_restart_of_the_daemon, a_daemon_that_stays_away_ends_train_with_4,
             a_post_without_an_answer_is_sent_again_with_its_key,
             on_a_terminal_a_bar_stays_within_its_width, an_interrupt_leaves_the_job_to_itself,
             an_interrupt_cancels_the_job_where_that_is_wanted,
             events_are_read_however_they_are_cut, broken_and_endless_events_are_refused)
