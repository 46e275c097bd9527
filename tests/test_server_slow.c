/* Clients that are slow, silent or too many: deadlines and limits of http.h's server, on one in
 * this process; and the daemon out of descriptors. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "own_server.h"

enum { HUGE_BYTES = 64 << 20 };

static bool take(struct app *app, const struct http_request *request,
                 struct http_response *response, struct err *e)
{
    (void)app, (void)e;
    buf_fmt(&response->body, "%zu", request->body_size);
    return true;
}

static bool huge(struct app *app, const struct http_request *request,
                 struct http_response *response, struct err *e)
{
    (void)app, (void)request;
    if (!buf_reserve(&response->body, HUGE_BYTES))
        return err_no_memory(e);
    memset(response->body.data, 'h', HUGE_BYTES);
    response->body.size = HUGE_BYTES;
    return true;
}

static sem_t stream_freed;

static ptrdiff_t endless_read(void *context, char *out, size_t size)
{
    (void)context;
    memset(out, 'e', size);
    return (ptrdiff_t)size;
}

static void endless_free(void *context)
{
    (void)context;
    sem_post(&stream_freed);
}

static bool endless(struct app *app, const struct http_request *request,
                    struct http_response *response, struct err *e)
{
    (void)app, (void)request, (void)e;
    response->stream = (struct http_stream){endless_read, endless_free, NULL};
    return true;
}

const struct route routes[] = {
    {"GET", "/take", take, 0, false}, {"POST", "/take", take, 1000, true},
    {"GET", "/huge", huge, 0, false}, {"GET", "/endless", endless, 0, false},
    {NULL, NULL, NULL, 0, false},
};

/* Writes a byte every so often until the other side ends; what it then sent. */
static char *trickle_every(int ms, int fd, const char *text, char forever)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    for (int waited = 0; poll(&poller, 1, ms) == 0; waited += ms) {
        ck_assert_int_lt(waited, 30000);
        client_write(fd, *text ? text++ : &forever, 1);
    }
    return client_read_all(fd, NULL);
}

static char *trickle(int fd, const char *text, char forever)
{
    return trickle_every(100, fd, text, forever);
}

static void expect_problem_text(char *text, int status, const char *detail)
{
    char line[32];
    snprintf(line, sizeof line, "HTTP/1.1 %d ", status);
    ck_assert_msg(strncmp(text, line, strlen(line)) == 0, "got %s", text);
    ck_assert_msg(strstr(text, detail) != NULL, "'%s' not in %s", detail, text);
    ck_assert_ptr_nonnull(strstr(text, "application/problem+json"));
    ck_assert_ptr_nonnull(strstr(text, "X-Request-Id: "));
    ck_assert_ptr_nonnull(strstr(text, "Connection: close"));
    ck_assert_ptr_null(strstr(text, "\nHTTP/1.1 "));
    free(text);
}

static void expect_served(void)
{
    struct reply reply = client_get(&served, "/take");
    ck_assert_int_eq(reply.status, 200);
    reply_clear(&reply);
}

/* ---- deadlines ---- */

START_TEST(a_request_line_that_trickles_in_gets_408)
{
    config.head_timeout_s = 1;
    start();
    expect_problem_text(trickle(client_connect(&served), "GET /take?", 'a'), 408, "request line");
    expect_served();
    stop();
}
END_TEST

START_TEST(a_head_that_trickles_in_gets_408)
{
    static const char line[] = "GET /take HTTP/1.1\r\nHost: x\r\n";
    config.head_timeout_s = 1;
    start();
    int fd = client_connect(&served);
    client_write(fd, line, sizeof line - 1);
    expect_problem_text(trickle(fd, "A: ", 'a'), 408, "the head did not come within 1 s");

    /* On a kept connection the head counts from its request line. */
    static const char two[] = "GET /take HTTP/1.1\r\nHost: x\r\n\r\nGET /take HTTP/1.1\r\n";
    fd = client_connect(&served);
    client_write(fd, two, sizeof two - 1);
    char reply[512];
    ck_assert_int_gt(recv(fd, reply, sizeof reply, 0), 0);
    expect_problem_text(trickle(fd, "A: ", 'a'), 408, "the head did not come within 1 s");
    stop();
}
END_TEST

/* Whatever reads the socket finds a byte at any moment, and never its end. */
START_TEST(a_head_that_streams_in_is_cut)
{
    static const char line[] = "GET /take HTTP/1.1\r\nHost: x\r\nA: ";
    config.head_timeout_s = 1;
    start();
    for (int i = 0; i < 2; i++) {
        int fd = client_connect(&served);
        client_write(fd, line, sizeof line - 1);
        free(trickle_every(1, fd, "", 'a'));
    }
    expect_served();
    stop();
}
END_TEST

START_TEST(a_body_that_trickles_in_gets_408)
{
    static const char *const heads[] = {
        "POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
        "POST /take HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n",
    };
    config.body_timeout_s = 1;
    config.min_rate = 1000;
    start();
    for (int i = 0; i < 2; i++) {
        int fd = client_connect(&served);
        client_write(fd, heads[i], strlen(heads[i]));
        expect_problem_text(trickle(fd, "", 'b'), 408, "the body did not come within 1 s");
    }
    expect_served();
    stop();
}
END_TEST

START_TEST(a_long_body_at_a_steady_rate_is_not_cut)
{
    static const char head[] = "POST /take HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                               "Content-Length: 200\r\n\r\n";
    char half[100];
    memset(half, 'b', sizeof half);
    config.body_timeout_s = 1;
    config.min_rate = 10; /* so 100 bytes are good for 10 s */
    start();
    int fd = client_connect(&served);
    client_write(fd, head, sizeof head - 1);
    client_write(fd, half, sizeof half);
    sleep(2);
    client_write(fd, half, sizeof half);
    char *text = client_read_all(fd, NULL);
    ck_assert_msg(strncmp(text, "HTTP/1.1 200 ", 13) == 0, "got %s", text);
    free(text);
    stop();
}
END_TEST

START_TEST(silent_connections_are_closed_without_a_word)
{
    static const char request[] = "GET /take HTTP/1.1\r\nHost: x\r\n\r\n";
    config.head_timeout_s = 1;
    config.idle_timeout_s = 1;
    start();
    int silent = client_connect(&served), kept = client_connect(&served);
    client_write(kept, request, sizeof request - 1);
    char *text = client_read_all(silent, NULL);
    ck_assert_str_eq(text, "");
    free(text);
    text = client_read_all(kept, NULL);
    ck_assert_msg(strncmp(text, "HTTP/1.1 200 ", 13) == 0, "got %s", text);
    ck_assert_ptr_null(strstr(text, "\nHTTP/1.1 "));
    free(text);
    stop();
}
END_TEST

static int ask_without_reading(const char *request)
{
    int fd = client_connect(&served);
    client_write(fd, request, strlen(request));
    return fd;
}

START_TEST(who_does_not_read_the_reply_is_cut)
{
    config.send_timeout_s = 1;
    config.min_rate = 1 << 30; /* no more time for its size */
    start();
    int fd = ask_without_reading("GET /huge HTTP/1.1\r\nHost: x\r\n\r\n");
    sleep(2);
    size_t size;
    free(client_read_all(fd, &size));
    ck_assert_uint_gt(size, 0);
    ck_assert_uint_lt(size, HUGE_BYTES);
    stop();
}
END_TEST

START_TEST(a_long_reply_gets_time_for_its_size)
{
    config.send_timeout_s = 1;
    config.min_rate = 1 << 20; /* 64 s for 64 MiB */
    start();
    int fd = ask_without_reading("GET /huge HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    sleep(2);
    size_t size;
    free(client_read_all(fd, &size));
    ck_assert_uint_gt(size, HUGE_BYTES);
    stop();
}
END_TEST

START_TEST(who_does_not_read_a_stream_is_cut)
{
    config.send_timeout_s = 1;
    sem_init(&stream_freed, 0, 0);
    start();
    int fd = ask_without_reading("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n");
    sem_wait(&stream_freed);
    close(fd);
    stop();
}
END_TEST

/* Deadlines hold while the server stops: it need not wait for its full patience. */
START_TEST(a_slow_body_does_not_hold_up_the_stop)
{
    static const char head[] = "POST /take HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                               "Content-Length: 10\r\n\r\n";
    char interim[25];
    config.body_timeout_s = 1;
    start();
    int fd = client_connect(&served);
    client_write(fd, head, sizeof head - 1);
    ck_assert_int_eq(recv(fd, interim, sizeof interim, MSG_WAITALL), (int)sizeof interim);
    stop();
    expect_problem_text(client_read_all(fd, NULL), 408, "the body did not come");
}
END_TEST

/* ---- limits ---- */

/* A connection that is known to be open: it has been answered. */
static int open_connection(void)
{
    static const char request[] = "GET /take HTTP/1.1\r\nHost: x\r\n\r\n";
    char reply[512];
    int fd = client_connect(&served);
    client_write(fd, request, sizeof request - 1);
    ssize_t got = recv(fd, reply, sizeof reply - 1, 0);
    ck_assert_int_gt((int)got, 0);
    reply[got] = '\0';
    ck_assert_msg(strncmp(reply, "HTTP/1.1 200 ", 13) == 0, "got %s", reply);
    return fd;
}

static void expect_limit_of_two(void)
{
    start();
    int fds[2] = {open_connection(), open_connection()};
    for (int i = 0; i < 3; i++) {
        int fd = ask_without_reading("GET /take HTTP/1.1\r\nHost: x\r\n\r\n");
        char *text = client_read_all(fd, NULL);
        ck_assert_ptr_nonnull(strstr(text, "Retry-After: 1\r\n"));
        expect_problem_text(text, 503, "too many connections");
    }
    close(fds[0]);
    /* Its place is free as soon as its end has been noticed. */
    struct reply reply;
    while ((reply = client_get(&served, "/take")).status != 200)
        reply_clear(&reply);
    reply_clear(&reply);
    close(fds[1]);
    stop();
}

START_TEST(past_the_limit_on_connections_comes_503)
{
    config.connections = 2;
    expect_limit_of_two();
}
END_TEST

START_TEST(past_the_limit_of_one_address_comes_503)
{
    config.connections_per_address = 2;
    expect_limit_of_two();
}
END_TEST

START_TEST(refused_connections_are_logged_together)
{
    daemon_start(&served, (const char *const[]){"--connections=1", NULL});
    int fd = client_connect(&served);
    client_write(fd, "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n", 38);
    char reply[512];
    ck_assert_int_gt(recv(fd, reply, sizeof reply, 0), 0);
    for (int i = 0; i < 5; i++)
        free(client_read_all(ask_without_reading("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), NULL));
    for (bool found = false; !found; usleep(10000)) {
        char *log = daemon_log(&served);
        found = strstr(log, "\"event\":\"connections_refused\",\"count\":\"") != NULL;
        free(log);
    }
    close(fd);
    daemon_stop(&served);
}
END_TEST

START_TEST(connections_are_probed_for_clients_that_vanish)
{
    struct err e;
    int value = 0, fd = http_listen("127.0.0.1:0", &served.port, &e);
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    int client = client_connect(&served);
    ck_assert_int_eq(poll(&poller, 1, 30000), 1);
    int accepted = accept(fd, NULL, NULL);
    socklen_t size = sizeof value;
    ck_assert_int_ge(accepted, 0);
    ck_assert_int_eq(getsockopt(accepted, SOL_SOCKET, SO_KEEPALIVE, &value, &size), 0);
    ck_assert_int_eq(value, 1);
    ck_assert_int_eq(getsockopt(accepted, IPPROTO_TCP, TCP_KEEPIDLE, &value, &size), 0);
    ck_assert_int_eq(value, 60);
    close(accepted);
    close(client);
    close(fd);
}
END_TEST

/* Clock ticks of processor time that a process has used. */
static long ticks_used(pid_t pid)
{
    char path[64];
    long user = -1, system = -1;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(
        fscanf(file, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &user, &system),
        2);
    fclose(file);
    return user + system;
}

START_TEST(a_daemon_out_of_descriptors_turns_away_and_recovers)
{
    enum { CLIENTS = 120 };
    struct rlimit few = {.rlim_cur = 64, .rlim_max = 64};
    struct pollfd clients[CLIENTS];
    daemon_start(&served, NULL);
    ck_assert_int_eq(prlimit(served.pid, RLIMIT_NOFILE, &few, NULL), 0);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = (struct pollfd){.fd = client_connect(&served), .events = POLLIN};
    ck_assert_int_gt(poll(clients, CLIENTS, 30000), 0);
    long before = ticks_used(served.pid);
    sleep(1);
    ck_assert_int_lt(ticks_used(served.pid) - before, sysconf(_SC_CLK_TCK) / 2);
    int turned_away = 0;
    for (int i = 0; i < CLIENTS; i++) {
        char text[16] = "";
        ssize_t got = recv(clients[i].fd, text, sizeof text - 1, MSG_DONTWAIT);
        turned_away += got > 0 && strncmp(text, "HTTP/1.1 503 ", 13) == 0;
        close(clients[i].fd);
    }
    ck_assert_int_gt(turned_away, CLIENTS - 64);
    struct reply reply;
    while ((reply = client_get(&served, "/health/live")).status != 200)
        reply_clear(&reply);
    reply_clear(&reply);
    daemon_stop(&served);
}
END_TEST

TEST_PROGRAM("server_slow", a_request_line_that_trickles_in_gets_408,
             a_head_that_trickles_in_gets_408, a_head_that_streams_in_is_cut,
             a_body_that_trickles_in_gets_408, a_long_body_at_a_steady_rate_is_not_cut,
             silent_connections_are_closed_without_a_word, who_does_not_read_the_reply_is_cut,
             a_long_reply_gets_time_for_its_size, who_does_not_read_a_stream_is_cut,
             a_slow_body_does_not_hold_up_the_stop, past_the_limit_on_connections_comes_503,
             past_the_limit_of_one_address_comes_503, refused_connections_are_logged_together,
             connections_are_probed_for_clients_that_vanish,
             a_daemon_out_of_descriptors_turns_away_and_recovers)
