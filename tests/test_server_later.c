/* Deferred answers and streams of http.h, on a server in this process with routes of its own. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "own_server.h"

static struct reply get(const char *path)
{
    return client_get(&served, path);
}

static void expect(struct reply reply, int status, const char *body)
{
    ck_assert_int_eq(reply.status, status);
    ck_assert_str_eq(reply.body, body);
    reply_clear(&reply);
}

/* Sends one request with Connection: close; the caller reads the reply. */
static int send_request(const char *method, const char *path)
{
    char request[256];
    int size =
        snprintf(request, sizeof request,
                 "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody",
                 method, path);
    int fd = client_connect(&served);
    client_write(fd, request, (size_t)size);
    return fd;
}

/* ---- deferred answers ---- */

/* What a handler has deferred, for the test to answer. */
static struct {
    struct http_deferred *deferred;
    const struct http_request *request;
    struct http_response *response;
} held;
static sem_t held_ready;

static bool hold(struct app *a, const struct http_request *request, struct http_response *response,
                 struct err *e)
{
    (void)a, (void)e;
    held.request = request;
    held.response = response;
    held.deferred = http_defer(request, response);
    sem_post(&held_ready);
    return true;
}

static void *answer_at_once(void *context)
{
    struct http_response *response = held.response;
    buf_str(&response->body, "later");
    http_answer(context, NULL);
    return NULL;
}

/* The answer comes, for sure, before the handler returns. */
static bool answered_before_return(struct app *a, const struct http_request *request,
                                   struct http_response *response, struct err *e)
{
    pthread_t thread;
    hold(a, request, response, e);
    ck_assert_int_eq(pthread_create(&thread, NULL, answer_at_once, held.deferred), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    return true;
}

/* The answer races with the handler's return. */
static bool answered_at_once(struct app *a, const struct http_request *request,
                             struct http_response *response, struct err *e)
{
    pthread_t thread;
    (void)a, (void)e;
    held.response = response;
    ck_assert_int_eq(pthread_create(&thread, NULL, answer_at_once, http_defer(request, response)),
                     0);
    ck_assert_int_eq(pthread_detach(thread), 0);
    return true;
}

static void expect_deferred(const char *path)
{
    sem_init(&held_ready, 0, 0);
    start();
    int fd = send_request("POST", path);
    sem_wait(&held_ready);
    ck_assert_uint_eq(held.request->body_size, 4);
    ck_assert_int_eq(memcmp(held.request->body, "body", 4), 0);
    ck_assert_str_eq(http_header(held.request, "Host"), "x");
    ck_assert(!http_client_left(held.deferred));
    /* No thread is held: there are two of each kind, and more requests than that. */
    for (int i = 0; i < 5; i++)
        expect(get("/now"), 200, "now");
    held.response->status = 201;
    http_set_header(held.response, "Location", "/there");
    buf_str(&held.response->body, "late");
    http_answer(held.deferred, NULL);
    char *text = client_read_all(fd, NULL);
    ck_assert_msg(strncmp(text, "HTTP/1.1 201 ", 13) == 0, "got %s", text);
    ck_assert_ptr_nonnull(strstr(text, "Location: /there\r\n"));
    ck_assert_str_eq(strstr(text, "\r\n\r\n"), "\r\n\r\nlate");
    free(text);
    stop();
}

static bool now(struct app *a, const struct http_request *request, struct http_response *response,
                struct err *e)
{
    (void)a, (void)request, (void)e;
    buf_str(&response->body, "now");
    return true;
}

START_TEST(a_fast_handler_can_answer_later)
{
    expect_deferred("/hold");
}
END_TEST

START_TEST(a_slow_handler_can_answer_later)
{
    expect_deferred("/hold-slow");
}
END_TEST

START_TEST(an_answer_may_come_before_the_handler_returns)
{
    sem_init(&held_ready, 0, 0);
    start();
    expect(get("/answered"), 200, "later");
    expect(get("/answered-slow"), 200, "later");
    for (int i = 0; i < 200; i++)
        expect(get(i % 2 ? "/race" : "/race-slow"), 200, "later");
    stop();
}
END_TEST

START_TEST(a_deferred_request_can_fail)
{
    struct err e = {0};
    sem_init(&held_ready, 0, 0);
    start();
    int fd = send_request("POST", "/hold");
    sem_wait(&held_ready);
    buf_str(&held.response->body, "half an answer");
    err_set(&e, ERR_BUSY, "too many wait");
    http_answer(held.deferred, &e);
    char *text = client_read_all(fd, NULL);
    ck_assert_msg(strncmp(text, "HTTP/1.1 429 ", 13) == 0, "got %s", text);
    ck_assert_ptr_nonnull(strstr(text, "too many wait"));
    ck_assert_ptr_null(strstr(text, "half an answer"));
    free(text);
    stop();
}
END_TEST

/* Until it is seen: the end of the connection takes a moment to arrive. */
static void wait_until_left(void)
{
    while (!http_client_left(held.deferred))
        usleep(1000);
}

START_TEST(a_client_that_leaves_is_noticed)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    struct err e = {0};
    err_set(&e, ERR_CANCELLED, "nobody waits");
    sem_init(&held_ready, 0, 0);
    start();
    for (int i = 0; i < 2; i++) {
        int fd = send_request("POST", "/hold");
        sem_wait(&held_ready);
        usleep(600000); /* sweeps: too late for a client that shuts its sending side alone */
        ck_assert(!http_client_left(held.deferred));
        if (i == 1)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
        wait_until_left();
        http_answer(held.deferred, &e);
    }
    expect(get("/now"), 200, "now");
    stop();
}
END_TEST

START_TEST(pipelined_requests_behind_a_deferred_one_wait_their_turn)
{
    static const char requests[] = "GET /now HTTP/1.1\r\nHost: x\r\n\r\n"
                                   "POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
                                   "GET /now HTTP/1.1\r\nHost: x\r\n\r\n"
                                   "GET /answered HTTP/1.1\r\nHost: x\r\n\r\n"
                                   "GET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    static const char *const replies[] = {"HTTP/1.1 200 ", "now",           "HTTP/1.1 200 ",
                                          "late",          "HTTP/1.1 200 ", "now",
                                          "HTTP/1.1 200 ", "later",         "HTTP/1.1 404 "};
    sem_init(&held_ready, 0, 0);
    start();
    int fd = client_connect(&served);
    client_write(fd, requests, sizeof requests - 1);
    sem_wait(&held_ready);
    buf_str(&held.response->body, "late");
    http_answer(held.deferred, NULL);
    char *text = client_read_all(fd, NULL);
    const char *at = text;
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        const char *found = strstr(at, replies[i]);
        ck_assert_msg(found != NULL, "no %s in %s", replies[i], at);
        at = found + strlen(replies[i]);
    }
    ck_assert_ptr_null(strstr(at, "HTTP/1.1 "));
    free(text);
    stop();
}
END_TEST

static void *stop_now(void *unused)
{
    (void)unused;
    http_stop(server, 0);
    return NULL;
}

START_TEST(a_stop_waits_for_deferred_answers_however_long)
{
    pthread_t stopper;
    sem_init(&held_ready, 0, 0);
    start();
    int fd = send_request("POST", "/hold");
    sem_wait(&held_ready);
    ck_assert_int_eq(pthread_create(&stopper, NULL, stop_now, NULL), 0);
    usleep(50000);
    ck_assert_int_eq(pthread_tryjoin_np(stopper, NULL), EBUSY);
    http_answer(held.deferred, NULL);
    ck_assert_int_eq(pthread_join(stopper, NULL), 0);
    free(client_read_all(fd, NULL));
}
END_TEST

/* ---- streams ---- */

/* One stream, fed by the test. */
static struct feed {
    pthread_mutex_t mutex; /* guards what follows */
    char text[64];         /* not yet read */
    bool ended;
    struct http_waker *waker; /* NULL: no stream */
    int reads;
} feed = {.mutex = PTHREAD_MUTEX_INITIALIZER};
static sem_t stream_begun, stream_freed;

static ptrdiff_t feed_read(void *context, char *out, size_t size)
{
    struct feed *f = context;
    pthread_mutex_lock(&f->mutex);
    size_t got = strlen(f->text);
    ck_assert_uint_le(got, size);
    memcpy(out, f->text, got);
    f->text[0] = '\0';
    f->reads++;
    bool ended = f->ended && got == 0;
    pthread_mutex_unlock(&f->mutex);
    return ended ? -1 : (ptrdiff_t)got;
}

static void feed_free(void *context)
{
    struct feed *f = context;
    pthread_mutex_lock(&f->mutex);
    f->waker = NULL;
    pthread_mutex_unlock(&f->mutex);
    sem_post(&stream_freed);
}

static bool stream(struct app *a, const struct http_request *request,
                   struct http_response *response, struct err *e)
{
    (void)a, (void)e;
    pthread_mutex_lock(&feed.mutex);
    feed.waker = http_waker(request);
    pthread_mutex_unlock(&feed.mutex);
    response->content_type = "text/event-stream";
    response->stream = (struct http_stream){feed_read, feed_free, &feed};
    sem_post(&stream_begun);
    return true;
}

static bool stream_then_fail(struct app *a, const struct http_request *request,
                             struct http_response *response, struct err *e)
{
    stream(a, request, response, e);
    return err_set(e, ERR_CONFLICT, "no stream after all");
}

/* text NULL: the end. */
static void feed_write(const char *text)
{
    pthread_mutex_lock(&feed.mutex);
    if (text)
        strncat(feed.text, text, sizeof feed.text - strlen(feed.text) - 1);
    else
        feed.ended = true;
    if (feed.waker)
        http_wake(feed.waker);
    pthread_mutex_unlock(&feed.mutex);
}

static void start_streams(void)
{
    sem_init(&stream_begun, 0, 0);
    sem_init(&stream_freed, 0, 0);
    start();
}

/* Reads from the socket until this has come. */
static void await(int fd, const char *text)
{
    static char got[4096];
    size_t used = 0;
    do {
        ssize_t more = recv(fd, got + used, sizeof got - 1 - used, 0);
        ck_assert_msg(more > 0, "the end after %.*s", (int)used, got);
        used += (size_t)more;
        got[used] = '\0';
    } while (!strstr(got, text));
}

START_TEST(a_stream_is_sent_as_it_is_made)
{
    start_streams();
    int fd = send_request("POST", "/stream");
    await(fd, "Transfer-Encoding: chunked\r\n");
    feed_write("one");
    await(fd, "3\r\none\r\n");
    for (int i = 0; i < 5; i++) /* asleep, it holds no thread */
        expect(get("/now"), 200, "now");
    feed_write("three");
    await(fd, "5\r\nthree\r\n");
    feed_write(NULL);
    char *rest = client_read_all(fd, NULL);
    ck_assert_str_eq(rest, "0\r\n\r\n");
    free(rest);
    sem_wait(&stream_freed);
    stop();
}
END_TEST

static void *write_many(void *unused)
{
    (void)unused;
    for (int i = 0; i < 2000; i++) {
        pthread_mutex_lock(&feed.mutex);
        bool room = strlen(feed.text) < sizeof feed.text - 1;
        pthread_mutex_unlock(&feed.mutex);
        if (room)
            feed_write("x");
        else
            i--;
    }
    feed_write(NULL);
    return NULL;
}

/* Wakes race with reads and sleeps: were one lost, the stream would hang. */
START_TEST(no_wake_is_lost)
{
    pthread_t writer;
    start_streams();
    int fd = send_request("POST", "/stream");
    sem_wait(&stream_begun);
    ck_assert_int_eq(pthread_create(&writer, NULL, write_many, NULL), 0);
    char *text = client_read_all(fd, NULL);
    ck_assert_int_eq(pthread_join(writer, NULL), 0);
    size_t count = 0;
    for (const char *c = strstr(text, "\r\n\r\n"); *c != '\0'; c++)
        count += *c == 'x';
    ck_assert_uint_eq(count, 2000);
    free(text);
    stop();
}
END_TEST

START_TEST(a_stream_to_http_1_0_ends_with_the_connection)
{
    static const char request[] = "GET /stream HTTP/1.0\r\n\r\n";
    start_streams();
    int fd = client_connect(&served);
    client_write(fd, request, sizeof request - 1);
    sem_wait(&stream_begun);
    feed_write("some");
    await(fd, "\r\n\r\nsome");
    feed_write(NULL);
    char *rest = client_read_all(fd, NULL);
    ck_assert_str_eq(rest, "");
    free(rest);
    stop();
}
END_TEST

START_TEST(head_of_a_stream_has_no_body)
{
    start_streams();
    struct reply reply = client_send(&served, "HEAD", "/stream", NULL, NULL, 0);
    ck_assert_int_eq(reply.status, 200);
    ck_assert_str_eq(reply_header(&reply, "Content-Type"), "text/event-stream");
    ck_assert_uint_eq(reply.size, 0);
    reply_clear(&reply);
    sem_wait(&stream_freed);
    ck_assert_int_eq(feed.reads, 0);
    stop();
}
END_TEST

START_TEST(a_failed_handler_frees_its_stream)
{
    start_streams();
    struct reply reply = get("/stream-fails");
    reply_expect_problem(&reply, 409, "no stream after all");
    sem_wait(&stream_freed);
    stop();
}
END_TEST

START_TEST(a_sleeping_stream_whose_client_left_is_freed)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    start_streams();
    for (int i = 0; i < 2; i++) {
        int fd = send_request("POST", "/stream");
        feed_write("one");
        await(fd, "one");
        usleep(600000);
        if (i == 1)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
        sem_wait(&stream_freed);
    }
    stop();
}
END_TEST

/* The request and the end of the stream in one packet. */
static int send_and_shut(const char *request)
{
    int on = 1, fd = client_connect(&served);
    ck_assert_int_eq(setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on), 0);
    client_write(fd, request, strlen(request));
    shutdown(fd, SHUT_WR);
    return fd;
}

/* A client that shuts its sending side with its request reads on. */
START_TEST(a_half_closed_client_gets_its_stream_and_its_answer)
{
    sem_init(&held_ready, 0, 0);
    start_streams();
    int fd = send_and_shut("GET /stream HTTP/1.0\r\n\r\n");
    sem_wait(&stream_begun);
    usleep(600000); /* sweeps */
    feed_write("some");
    await(fd, "some");
    feed_write(NULL);
    free(client_read_all(fd, NULL));
    sem_wait(&stream_freed);

    fd = send_and_shut("POST /hold HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}");
    sem_wait(&held_ready);
    usleep(600000);
    ck_assert(!http_client_left(held.deferred));
    http_answer(held.deferred, NULL);
    char *text = client_read_all(fd, NULL);
    ck_assert_msg(strncmp(text, "HTTP/1.1 200 ", 13) == 0, "got %s", text);
    free(text);
    stop();
}
END_TEST

START_TEST(a_stop_ends_streams_with_what_they_have_to_say)
{
    pthread_t stopper;
    start_streams();
    int fd = send_request("POST", "/stream");
    feed_write("one");
    await(fd, "3\r\none\r\n");
    pthread_mutex_lock(&feed.mutex);
    strcpy(feed.text, "last"); /* without a wake: the stop wakes it */
    pthread_mutex_unlock(&feed.mutex);
    ck_assert_int_eq(pthread_create(&stopper, NULL, (void *(*)(void *))(void *)stop, NULL), 0);
    char *text = client_read_all(fd, NULL);
    ck_assert_str_eq(text, "4\r\nlast\r\n0\r\n\r\n");
    free(text);
    ck_assert_int_eq(pthread_join(stopper, NULL), 0);
    ck_assert_int_eq(sem_trywait(&stream_freed), 0);
}
END_TEST

const struct route routes[] = {
    {"GET", "/now", now, 0, false},
    {"POST", "/hold", hold, 1000, false},
    {"POST", "/hold-slow", hold, 1000, true},
    {"GET", "/answered", answered_before_return, 0, false},
    {"GET", "/answered-slow", answered_before_return, 0, true},
    {"GET", "/race", answered_at_once, 0, false},
    {"GET", "/race-slow", answered_at_once, 0, true},
    {"GET", "/stream", stream, 0, false},
    {"POST", "/stream", stream, 1000, true},
    {"GET", "/stream-fails", stream_then_fail, 0, false},
    {NULL, NULL, NULL, 0, false},
};

TEST_PROGRAM("server_later", a_fast_handler_can_answer_later, a_slow_handler_can_answer_later,
             an_answer_may_come_before_the_handler_returns, a_deferred_request_can_fail,
             a_client_that_leaves_is_noticed,
             pipelined_requests_behind_a_deferred_one_wait_their_turn,
             a_stop_waits_for_deferred_answers_however_long, a_stream_is_sent_as_it_is_made,
             no_wake_is_lost, a_stream_to_http_1_0_ends_with_the_connection,
             head_of_a_stream_has_no_body, a_failed_handler_frees_its_stream,
             a_sleeping_stream_whose_client_left_is_freed,
             a_half_closed_client_gets_its_stream_and_its_answer,
             a_stop_ends_streams_with_what_they_have_to_say)
