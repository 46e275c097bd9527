/* Watching a job of the real daemon: its stream of events and the long poll. */
#include <dirent.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "limits.h"
#include "small_job.h"

/* One thread is quickest for so little. A short heartbeat soon finds a client that has left. */
static const char *const flags[] = {"--threads", "1", "--heartbeat-s", "1", NULL};

#define JOB                                                                                      \
    "{\"model\":\"m\",\"dataset\":\"shapes\",\"architecture\":\"shapes-cnn\",\"batch_size\":10," \
    "\"epochs\":%d}"

static struct daemon daemon_with_shapes(void)
{
    struct daemon daemon;
    daemon_start(&daemon, flags);
    make_shapes(&daemon, 200, 20);
    return daemon;
}

static void post_epochs(const struct daemon *daemon, int epochs, char id[24])
{
    char body[256];
    snprintf(body, sizeof body, JOB, epochs);
    post_job(daemon, body, id);
}

/* Posts a job that runs until it is cancelled, and waits for its first batch. */
static struct daemon daemon_with_endless_job(void)
{
    char id[24];
    struct daemon daemon = daemon_with_shapes();
    post_epochs(&daemon, 100000, id);
    wait_running(&daemon, id);
    return daemon;
}

/* ---- a stream as it is read ---- */

struct stream {
    int fd;
    char *text; /* all that came */
    size_t size, capacity;
    size_t taken; /* of it, by next_event */
    bool ended;
};

/* HTTP/1.0, so that what comes is not cut into chunks. */
static struct stream stream_open(const struct daemon *daemon, const char *path, const char *header)
{
    char request[512];
    struct stream stream = {.fd = client_connect(daemon)};
    int size = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\nHost: x\r\n%s%s\r\n", path,
                        header ? header : "", header ? "\r\n" : "");
    client_write(stream.fd, request, (size_t)size);
    return stream;
}

static void stream_close(struct stream *stream)
{
    close(stream->fd);
    free(stream->text);
}

static void stream_receive(struct stream *stream)
{
    if (stream->capacity - stream->size < 65536) {
        stream->capacity = stream->capacity * 2 + 131072;
        stream->text = realloc(stream->text, stream->capacity);
        ck_assert_ptr_nonnull(stream->text);
    }
    ssize_t got = recv(stream->fd, stream->text + stream->size, 65535, 0);
    stream->ended = got <= 0;
    stream->size += got > 0 ? (size_t)got : 0;
    stream->text[stream->size] = '\0';
}

struct event {
    char name[16], id[40];
    cJSON *data;
};

/* The next event, of these names if any; false at the end of the stream. */
static bool next_event(struct stream *stream, const char *name, struct event *event)
{
    for (;;) {
        const char *at = stream->text ? strstr(stream->text + stream->taken, "event: ") : NULL;
        const char *end = at ? strstr(at, "\n\n") : NULL;
        if (!end && stream->ended)
            return false;
        if (!end) {
            stream_receive(stream);
            continue;
        }
        stream->taken = (size_t)(end + 2 - stream->text);
        ck_assert_int_eq(sscanf(at, "event: %15s id: %39s", event->name, event->id), 2);
        if (name && strcmp(name, event->name) != 0)
            continue;
        const char *data = strstr(at, "\ndata: ");
        event->data = cJSON_Parse(data + 7);
        ck_assert_msg(event->data != NULL, "%s", data);
        return true;
    }
}

/* Reads on to an event of this name with this member at least so high; its id. */
static void await_number(struct stream *stream, const char *name, const char *key, double value,
                         char id[40])
{
    struct event event;
    for (bool found = false; !found;) {
        ck_assert_msg(next_event(stream, name, &event), "the stream ended: %s", stream->text);
        found = number(event.data, key) >= value;
        cJSON_Delete(event.data);
    }
    snprintf(id, 40, "%s", event.id);
}

/* Reads to the end: states and epochs must be numbered on from `last`, epochs follow `epoch`. The
 * last event must be this state. */
static void expect_rest(struct stream *stream, int last, int epoch, const char *state)
{
    struct event event;
    char ended[16] = "";
    while (next_event(stream, NULL, &event)) {
        bool batch = strcmp(event.name, "batch") == 0, is_epoch = strcmp(event.name, "epoch") == 0;
        ck_assert_str_eq(text(event.data, "job"), "1");
        if (!batch)
            ck_assert_int_eq(atoi(event.id), ++last);
        else
            ck_assert_int_eq(atoi(event.id), last);
        ck_assert_int_eq(strchr(event.id, '.') != NULL, batch);
        if (is_epoch)
            ck_assert_int_eq((int)number(event.data, "epoch"), ++epoch);
        snprintf(ended, sizeof ended, "%s", batch || is_epoch ? "" : text(event.data, "state"));
        cJSON_Delete(event.data);
    }
    ck_assert_str_eq(ended, state);
}

/* ---- streams ---- */

START_TEST(an_ended_job_is_replayed_and_the_stream_closes)
{
    struct daemon daemon = daemon_with_shapes();
    char body[256];
    snprintf(body, sizeof body, JOB, 3);
    cJSON *job = run_job(&daemon, body);
    ck_assert_str_eq(text(job, "last_event_id"), "6");
    cJSON_Delete(job);
    struct reply reply = client_get(&daemon, "/jobs/1/events");
    ck_assert_int_eq(reply.status, 200);
    ck_assert_str_eq(reply_header(&reply, "Content-Type"), "text/event-stream");
    ck_assert_str_eq(reply_header(&reply, "Cache-Control"), "no-store");
    ck_assert_ptr_eq(strstr(reply.body, "retry: 2000\n\nevent: state\nid: 1\ndata: {"), reply.body);
    struct stream stream = {.text = reply.body, .size = reply.size, .ended = true};
    expect_rest(&stream, 0, 0, "succeeded");
    ck_assert_ptr_nonnull(strstr(reply.body, "\"model_version\":1"));
    reply_clear(&reply);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_job_is_followed_from_queue_to_end)
{
    char id[24];
    struct daemon daemon = daemon_with_endless_job();
    post_epochs(&daemon, 3, id);
    struct stream stream = stream_open(&daemon, "/jobs/2/events", NULL);
    struct event event;
    ck_assert(next_event(&stream, NULL, &event));
    ck_assert_str_eq(text(event.data, "state"), "queued");
    cJSON_Delete(event.data);
    cancel_job(&daemon, "1");
    ck_assert(next_event(&stream, NULL, &event));
    ck_assert_str_eq(text(event.data, "state"), "running");
    cJSON_Delete(event.data);
    int epochs = 0;
    while (next_event(&stream, "epoch", &event)) {
        ck_assert_int_eq((int)number(event.data, "epoch"), ++epochs);
        ck_assert_double_gt(number(event.data, "loss"), 0);
        ck_assert_double_gt(number(event.data, "val_loss"), 0);
        cJSON_Delete(event.data);
    }
    ck_assert_int_eq(epochs, 3);
    ck_assert_ptr_nonnull(strstr(stream.text, "\"state\":\"succeeded\""));
    stream_close(&stream);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_running_job_shows_batches_and_its_cancel)
{
    struct daemon daemon = daemon_with_endless_job();
    struct stream stream = stream_open(&daemon, "/jobs/1/events", NULL);
    struct event event;
    ck_assert(next_event(&stream, "batch", &event));
    ck_assert_int_gt((int)number(event.data, "batch"), 0);
    ck_assert_int_eq((int)number(event.data, "batches"), 20);
    ck_assert_int_eq((int)number(event.data, "epochs"), 100000);
    ck_assert_double_gt(number(event.data, "batch_loss"), 0);
    cJSON_Delete(event.data);
    cancel_job(&daemon, "1");
    stream.taken = 0;
    expect_rest(&stream, 0, 0, "cancelled");
    stream_close(&stream);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_client_comes_back_with_the_last_id_it_has_seen)
{
    char header[64], id[40];
    struct daemon daemon = daemon_with_endless_job();
    struct stream stream = stream_open(&daemon, "/jobs/1/events", NULL);
    await_number(&stream, "epoch", "epoch", 3, id);
    stream_close(&stream);
    snprintf(header, sizeof header, "Last-Event-ID: %s", id);
    /* Wins over the query, which an EventSource keeps. */
    stream = stream_open(&daemon, "/jobs/1/events?last_event_id=0", header);
    await_number(&stream, "epoch", "epoch", 5, id);
    cancel_job(&daemon, "1");
    stream.taken = 0;
    expect_rest(&stream, 5, 3, "cancelled");
    stream_close(&stream);

    struct reply reply = client_get(&daemon, "/jobs/1/events?last_event_id=4.7");
    stream = (struct stream){.text = reply.body, .size = reply.size, .ended = true};
    expect_rest(&stream, 4, 2, "cancelled");
    reply_clear(&reply);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_client_that_has_seen_the_end_is_sent_away)
{
    char body[256];
    struct daemon daemon = daemon_with_shapes();
    snprintf(body, sizeof body, JOB, 1);
    cJSON_Delete(run_job(&daemon, body));
    struct reply reply = client_get(&daemon, "/jobs/1/events?last_event_id=4");
    ck_assert_int_eq(reply.status, 204);
    reply_clear(&reply);
    /* Ids of another job or none at all: from the start. */
    static const char *const strange[] = {"Last-Event-ID: 5", "Last-Event-ID: 900.3",
                                          "Last-Event-ID: x-1", "Last-Event-ID:"};
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++) {
        reply = client_send(&daemon, "GET", "/jobs/1/events",
                            (const char *const[]){strange[i], NULL}, NULL, 0);
        struct stream stream = {.text = reply.body, .size = reply.size, .ended = true};
        ck_assert_int_eq(reply.status, 200);
        expect_rest(&stream, 0, 0, "succeeded");
        reply_clear(&reply);
    }
    reply = client_get(&daemon, "/jobs/1/events?last_event_id=x");
    reply_expect_problem(&reply, 400, "no event 'x'");
    reply = client_get(&daemon, "/jobs/2/events");
    reply_expect_problem(&reply, 404, "no job 2");
    reply = client_get(&daemon, "/jobs/x/events");
    reply_expect_problem(&reply, 404, "no job 'x'");
    daemon_stop(&daemon);
}
END_TEST

START_TEST(ids_stay_true_over_a_restart)
{
    char header[64], id[40];
    struct event event;
    struct daemon daemon = daemon_with_shapes();
    post_epochs(&daemon, 300, id);
    struct stream stream = stream_open(&daemon, "/jobs/1/events", NULL);
    await_number(&stream, "epoch", "epoch", 3, id);
    daemon_terminate(&daemon);
    /* The stream ends with the daemon; what came until then was seen. */
    int epoch = 3;
    while (next_event(&stream, NULL, &event)) {
        if (strcmp(event.name, "epoch") == 0)
            ck_assert_int_eq((int)number(event.data, "epoch"), ++epoch);
        snprintf(id, sizeof id, "%s", event.id);
        cJSON_Delete(event.data);
    }
    stream_close(&stream);
    daemon_wait(&daemon);
    daemon_launch(&daemon, flags);
    cJSON *job = wait_job(&daemon, "1");
    snprintf(header, sizeof header, "Last-Event-ID: %s", id);
    stream = stream_open(&daemon, "/jobs/1/events", header);
    expect_rest(&stream, atoi(id), epoch, text(job, "state"));
    stream_close(&stream);
    cJSON_Delete(job);
    daemon_stop(&daemon);
}
END_TEST

/* Reads to the end of the stream; epochs go on from *epoch, ids from *last. */
static void follow(struct stream *stream, int *last, int *epoch)
{
    struct event event;
    while (next_event(stream, NULL, &event)) {
        bool durable = !strchr(event.id, '.');
        if (durable)
            ck_assert_int_eq(atoi(event.id), ++*last);
        if (strcmp(event.name, "epoch") == 0)
            ck_assert_int_eq((int)number(event.data, "epoch"), ++*epoch);
        cJSON_Delete(event.data);
    }
}

/* A job's curve without the times it took. */
static cJSON *curve_of(const struct daemon *daemon, const char *id)
{
    cJSON *loss = get_json(daemon, "/jobs/%s/loss", id), *epoch;
    cJSON_ArrayForEach(epoch, cJSON_GetObjectItem(loss, "epochs"))
    {
        cJSON_DeleteItemFromObject(epoch, "seconds");
    }
    return loss;
}

static void expect_same_matrix(const struct daemon *daemon, int epoch)
{
    char path[64];
    snprintf(path, sizeof path, "/jobs/%%s/confusion?epoch=%d", epoch);
    cJSON *one = get_json(daemon, path, "1"), *other = get_json(daemon, path, "2");
    ck_assert(cJSON_Compare(member(one, "matrix"), member(other, "matrix"), true));
    cJSON_Delete(one);
    cJSON_Delete(other);
}

/* The worker is killed, then the daemon, then what a client saw is put together. */
START_TEST(a_job_that_crashed_looks_like_one_that_did_not)
{
    enum { EPOCHS = 300 };
    char body[256], header[64], id[40];
    struct daemon daemon = daemon_with_shapes();
    snprintf(body, sizeof body, JOB, EPOCHS);
    cJSON_Delete(run_job(&daemon, body));
    cJSON *expected = curve_of(&daemon, "1");

    post_epochs(&daemon, EPOCHS, id);
    struct stream stream = stream_open(&daemon, "/jobs/2/events", NULL);
    await_number(&stream, "epoch", "epoch", 20, id);
    kill(worker_of(&daemon), SIGKILL);
    await_number(&stream, "epoch", "epoch", 40, id);
    kill_daemon(&daemon);
    int last = 0, epoch = 0;
    stream.taken = 0;
    follow(&stream, &last, &epoch);
    ck_assert_int_ge(epoch, 40);
    stream_close(&stream);
    daemon_launch(&daemon, flags);
    snprintf(header, sizeof header, "Last-Event-ID: %d", last);
    stream = stream_open(&daemon, "/jobs/2/events", header);
    follow(&stream, &last, &epoch);
    ck_assert_int_eq(epoch, EPOCHS);
    ck_assert_ptr_nonnull(strstr(stream.text, "\"state\":\"succeeded\""));
    stream_close(&stream);

    cJSON *curve = curve_of(&daemon, "2");
    ck_assert(cJSON_Compare(curve, expected, true));
    cJSON_Delete(curve);
    cJSON_Delete(expected);
    expect_same_matrix(&daemon, 20);
    expect_same_matrix(&daemon, EPOCHS);
    daemon_stop(&daemon);
}
END_TEST

/* An end that was undone is told to nobody who comes later. */
START_TEST(a_resumed_job_is_followed_on)
{
    char header[64], id[40];
    struct daemon daemon = daemon_with_endless_job();
    struct stream stream = stream_open(&daemon, "/jobs/1/events", NULL);
    await_number(&stream, "epoch", "epoch", 2, id);
    cancel_job(&daemon, "1");
    int last = 0, epoch = 0, told = 0;
    stream.taken = 0;
    follow(&stream, &last, &epoch);
    stream_close(&stream);
    struct reply reply = resume_job(&daemon, "1", "");
    ck_assert_int_eq(reply.status, 202);
    reply_clear(&reply);
    snprintf(header, sizeof header, "Last-Event-ID: %d", last);
    stream = stream_open(&daemon, "/jobs/1/events", header);
    await_number(&stream, "epoch", "epoch", epoch + 2, id);
    cancel_job(&daemon, "1");
    stream.taken = 0;
    follow(&stream, &last, &epoch);
    stream_close(&stream);
    reply = client_get(&daemon, "/jobs/1/events");
    for (const char *at = reply.body; (at = strstr(at, "\"cancelled\"")); at++)
        told++;
    ck_assert_int_eq(told, 1);
    reply_clear(&reply);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(many_watch_one_job)
{
    enum { WATCHERS = 100 };
    static struct stream streams[WATCHERS];
    char id[24];
    struct daemon daemon = daemon_with_shapes();
    post_epochs(&daemon, 30, id);
    for (int i = 0; i < WATCHERS; i++)
        streams[i] = stream_open(&daemon, "/jobs/1/events", NULL);
    for (int i = 0; i < WATCHERS; i++) {
        expect_rest(&streams[i], 0, 0, "succeeded");
        stream_close(&streams[i]);
    }
    daemon_stop(&daemon);
}
END_TEST

/* Opens a stream and waits for its first event. */
static struct stream stream_begin(const struct daemon *daemon, const char *path)
{
    struct stream stream = stream_open(daemon, path, NULL);
    struct event event;
    ck_assert(next_event(&stream, NULL, &event));
    cJSON_Delete(event.data);
    return stream;
}

START_TEST(watchers_past_the_limit_are_refused)
{
    static struct stream streams[LIMIT_WATCHES];
    struct daemon daemon = daemon_with_endless_job();
    for (int i = 0; i < LIMIT_WATCHES; i++)
        streams[i] = stream_begin(&daemon, "/jobs/1/events");
    struct reply reply = client_get(&daemon, "/jobs/1/events");
    ck_assert_ptr_nonnull(reply_header(&reply, "Retry-After"));
    reply_expect_problem(&reply, 503, "clients are watching jobs already");
    reply = client_get(&daemon, "/jobs/1?wait=60");
    reply_expect_problem(&reply, 503, "clients are watching jobs already");
    for (int i = 0; i < LIMIT_WATCHES; i++)
        stream_close(&streams[i]);
    daemon_stop(&daemon);
}
END_TEST

static int descriptors(const struct daemon *daemon)
{
    char path[64];
    int count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)daemon->pid);
    DIR *folder = opendir(path);
    ck_assert_ptr_nonnull(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

START_TEST(clients_that_leave_are_forgotten)
{
    enum { CLIENTS = 20 };
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    static const char poll_request[] = "GET /jobs/2?wait=3600 HTTP/1.1\r\nHost: x\r\n\r\n";
    char id[24];
    struct daemon daemon = daemon_with_endless_job();
    /* A job of which nothing is told: only the heartbeat finds out. */
    post_epochs(&daemon, 1, id);
    int before = descriptors(&daemon);
    struct stream quiet[CLIENTS], busy[CLIENTS];
    int polls[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        quiet[i] = stream_begin(&daemon, "/jobs/2/events");
        busy[i] = stream_begin(&daemon, "/jobs/1/events");
        polls[i] = client_connect(&daemon);
        client_write(polls[i], poll_request, sizeof poll_request - 1);
    }
    ck_assert_int_ge(descriptors(&daemon), before + 2 * CLIENTS);
    for (int i = 0; i < CLIENTS; i++) {
        stream_close(&quiet[i]);
        stream_close(&busy[i]);
        /* Reset: one that only closes before its request was read may still be reading. */
        setsockopt(polls[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(polls[i]);
    }
    while (descriptors(&daemon) > before)
        usleep(20000);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_watcher_that_does_not_read_holds_up_nobody)
{
    static const char request[] = "GET /jobs/1/events HTTP/1.1\r\nHost: x\r\n\r\n";
    char id[40];
    struct daemon daemon = daemon_with_endless_job();
    int fd = client_connect(&daemon);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int));
    client_write(fd, request, sizeof request - 1);
    struct stream stream = stream_begin(&daemon, "/jobs/1/events");
    await_number(&stream, "epoch", "epoch", 500, id);
    cancel_job(&daemon, "1");
    struct event event;
    while (next_event(&stream, NULL, &event))
        cJSON_Delete(event.data);
    stream_close(&stream);
    /* It may still begin to read, and has missed no epoch. */
    struct stream late = {.fd = fd};
    while (!late.ended && !(late.text && strstr(late.text, "\"cancelled\"")))
        stream_receive(&late);
    int epoch = 0;
    for (const char *at = late.text; (at = strstr(at, "event: epoch\n")); at++)
        epoch++;
    ck_assert_int_ge(epoch, 500);
    stream_close(&late);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_quiet_stream_beats)
{
    char id[24];
    struct daemon daemon = daemon_with_endless_job();
    post_epochs(&daemon, 1, id);
    struct stream stream = stream_begin(&daemon, "/jobs/2/events");
    while (!strstr(stream.text, "\n\n:\n\n:\n\n")) {
        ck_assert(!stream.ended);
        stream_receive(&stream);
    }
    stream_close(&stream);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(head_tells_the_type_and_watches_nothing)
{
    struct daemon daemon = daemon_with_endless_job();
    struct reply reply = client_send(&daemon, "HEAD", "/jobs/1/events", NULL, NULL, 0);
    ck_assert_int_eq(reply.status, 200);
    ck_assert_str_eq(reply_header(&reply, "Content-Type"), "text/event-stream");
    ck_assert_uint_eq(reply.size, 0);
    reply_clear(&reply);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_stop_ends_streams_and_long_polls)
{
    static const char request[] = "GET /jobs/1?wait=3600 HTTP/1.1\r\nHost: x\r\n"
                                  "Connection: close\r\n\r\n";
    struct daemon daemon = daemon_with_endless_job();
    struct stream stream = stream_begin(&daemon, "/jobs/1/events");
    int fd = client_connect(&daemon);
    client_write(fd, request, sizeof request - 1);
    cJSON_Delete(get_json(&daemon, "/jobs/%s", "1")); /* the poll was sent before */
    daemon_terminate(&daemon);
    struct event event;
    while (next_event(&stream, NULL, &event))
        cJSON_Delete(event.data);
    stream_close(&stream);
    char *reply = client_read_all(fd, NULL);
    ck_assert_msg(strncmp(reply, "HTTP/1.1 200 ", 13) == 0 ||
                      strncmp(reply, "HTTP/1.1 503 ", 13) == 0,
                  "got '%s'", reply);
    free(reply);
    daemon_wait(&daemon);
    harness_rmdir(daemon.folder);
}
END_TEST

/* ---- long polls ---- */

START_TEST(a_long_poll_tells_when_the_job_is_done)
{
    char id[24];
    struct daemon daemon = daemon_with_shapes();
    post_epochs(&daemon, 5, id);
    cJSON *job = get_json(&daemon, "/jobs/%s?wait=3600", id);
    ck_assert_str_eq(text(job, "state"), "succeeded");
    cJSON_Delete(job);
    job = get_json(&daemon, "/jobs/%s?wait=3600", id);
    ck_assert_str_eq(text(job, "state"), "succeeded");
    cJSON_Delete(job);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_long_poll_that_times_out_shows_the_job_as_it_is)
{
    struct daemon daemon = daemon_with_endless_job();
    cJSON *job = get_json(&daemon, "/jobs/%s?wait=1", "1");
    ck_assert_str_eq(text(job, "state"), "running");
    cJSON_Delete(job);
    job = get_json(&daemon, "/jobs/%s?wait=0", "1");
    ck_assert_str_eq(text(job, "state"), "running");
    cJSON_Delete(job);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(long_polls_follow_a_job_event_by_event)
{
    char path[64], id[24];
    int last = 0, epoch = 0;
    struct daemon daemon = daemon_with_shapes();
    post_epochs(&daemon, 3, id);
    for (bool ended = false; !ended;) {
        snprintf(path, sizeof path, "/jobs/%%s?wait=3600&last_event_id=%d", last);
        cJSON *job = get_json(&daemon, path, id);
        int now = atoi(text(job, "last_event_id"));
        ck_assert_int_gt(now, last);
        ck_assert_int_ge((int)number(job, "epoch"), epoch);
        epoch = (int)number(job, "epoch");
        last = now;
        ended = job_has_ended(job);
        cJSON_Delete(job);
    }
    ck_assert_int_eq(last, 6);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(long_polls_hold_no_thread)
{
    enum { POLLS = 40 }; /* more than there are threads of all kinds */
    static const char request[] = "GET /jobs/1?wait=3600 HTTP/1.1\r\nHost: x\r\n"
                                  "Connection: close\r\n\r\n";
    int fds[POLLS];
    struct daemon daemon = daemon_with_endless_job();
    for (int i = 0; i < POLLS; i++) {
        fds[i] = client_connect(&daemon);
        client_write(fds[i], request, sizeof request - 1);
    }
    cancel_job(&daemon, "1");
    for (int i = 0; i < POLLS; i++) {
        char *reply = client_read_all(fds[i], NULL);
        ck_assert_ptr_nonnull(strstr(reply, "\"state\":\"cancelled\""));
        free(reply);
    }
    daemon_stop(&daemon);
}
END_TEST

START_TEST(what_a_long_poll_asks_is_checked)
{
    struct daemon daemon = daemon_with_endless_job();
    struct reply reply = client_get(&daemon, "/jobs/1?wait=3601");
    reply_expect_problem(&reply, 400, "wait 3601 is not in 0..3600");
    reply = client_get(&daemon, "/jobs/1?wait=long");
    reply_expect_problem(&reply, 400, "wait is not a whole number");
    reply = client_get(&daemon, "/jobs/1?wait=1&last_event_id=x");
    reply_expect_problem(&reply, 400, "no event 'x'");
    reply = client_get(&daemon, "/jobs/2?wait=1");
    reply_expect_problem(&reply, 404, "no job 2");
    daemon_stop(&daemon);
}
END_TEST

TEST_PROGRAM("server_watch", an_ended_job_is_replayed_and_the_stream_closes,
             a_job_is_followed_from_queue_to_end, a_running_job_shows_batches_and_its_cancel,
             a_client_comes_back_with_the_last_id_it_has_seen,
             a_client_that_has_seen_the_end_is_sent_away, ids_stay_true_over_a_restart,
             a_job_that_crashed_looks_like_one_that_did_not, a_resumed_job_is_followed_on,
             many_watch_one_job, watchers_past_the_limit_are_refused,
             clients_that_leave_are_forgotten, a_watcher_that_does_not_read_holds_up_nobody,
             a_quiet_stream_beats, head_tells_the_type_and_watches_nothing,
             a_stop_ends_streams_and_long_polls, a_long_poll_tells_when_the_job_is_done,
             a_long_poll_that_times_out_shows_the_job_as_it_is,
             long_polls_follow_a_job_event_by_event, long_polls_hold_no_thread,
             what_a_long_poll_asks_is_checked)
