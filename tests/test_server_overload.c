/* Predictions past what the daemon can do: refused at once, given up in time, and all answered. */
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "limits.h"
#include "served.h"

/* One of its samples takes 50 us or so, and always picks the first class. */
#define HEAVY_NET                                                                         \
    "{\"input\":[1,28,28],\"layers\":[{\"type\":\"conv2d\",\"filters\":32,\"kernel\":3}," \
    "{\"type\":\"conv2d\",\"filters\":32,\"kernel\":3},{\"type\":\"global_avg_pool\"},"   \
    "{\"type\":\"flatten\"},{\"type\":\"dense\",\"units\":2,\"bias\":false}]}"
enum { SAMPLES = LIMIT_PREDICT_SAMPLES, SAMPLE_BYTES = 784 };

static struct daemon server;

static void serve(const char *const *flags)
{
    daemon_start(&server, NULL);
    daemon_terminate(&server);
    daemon_wait(&server);
    served_add(&server, "heavy", HEAVY_NET, served_shapes, 1);
    served_add(&server, "blind", BLIND_NET, served_shapes, 1);
    daemon_launch(&server, flags);
}

/* A request of so many samples, on a connection of its own. */
static int send_samples(const char *path, int samples)
{
    char head[256];
    const size_t size = (size_t)samples * SAMPLE_BYTES;
    char *body = calloc(size, 1);
    int length = snprintf(head, sizeof head,
                          "POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                          "Content-Type: application/octet-stream\r\nContent-Length: %zu\r\n\r\n",
                          path, size);
    int fd = client_connect(&server);
    client_write(fd, head, (size_t)length);
    client_write(fd, body, size);
    free(body);
    return fd;
}

static bool is_answered(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    return poll(&poller, 1, 0) == 1;
}

static void expect(int fd, int status, const char *part)
{
    char line[32], *text = client_read_all(fd, NULL);
    snprintf(line, sizeof line, "HTTP/1.1 %d ", status);
    ck_assert_msg(strncmp(text, line, strlen(line)) == 0, "not %d: %.300s", status, text);
    ck_assert_msg(strstr(text, part) != NULL, "'%s' not in %.600s", part, text);
    free(text);
}

static struct reply ask(const char *path)
{
    static const char sample[SAMPLE_BYTES] = {0};
    return send_type(&server, "POST", path, "application/octet-stream", sample, sizeof sample);
}

/* Asks until the large request is in the queue, which leaves no room for others. */
static void expect_refusal(int large)
{
    for (;;) {
        struct reply reply = ask("/models/heavy/predict");
        if (reply.status == 503) {
            ck_assert_str_eq(reply_header(&reply, "Retry-After"), "1");
            return reply_expect_problem(&reply, 503, "1 requests wait for model 'heavy' already");
        }
        ck_assert_msg(!is_answered(large), "nothing was refused");
        reply_expect(reply, 200, NULL);
    }
}

START_TEST(a_full_queue_is_said_at_once_and_over_at_once)
{
    serve((const char *const[]){"--infer-threads=1", "--queue-max=1", NULL});
    int large = send_samples("/models/heavy/predict?top=1", SAMPLES);
    expect_refusal(large);
    /* Others go on meanwhile: another model, and what needs no model. */
    reply_expect(ask("/models/blind/predict"), 200, NULL);
    reply_expect(client_get(&server, "/health/live"), 200, NULL);
    expect(large, 200, "\"predictions\":[{");
    reply_expect(ask("/models/heavy/predict"), 200, "\"index\":0", NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(what_waits_too_long_is_given_up)
{
    serve((const char *const[]){"--infer-threads=1", "--queue-max=8", NULL});
    int large = send_samples("/models/heavy/predict?top=1", SAMPLES);
    for (;;) {
        struct reply reply = ask("/models/heavy/predict?timeout_ms=1");
        if (reply.status == 503) {
            reply_expect_problem(&reply, 503, "not computed in the time that was given");
            break;
        }
        ck_assert_msg(!is_answered(large), "nothing waited");
        reply_expect(reply, 200, NULL);
    }
    expect(large, 200, "\"predictions\":[{");
    expect_problem(ask("/models/heavy/predict?timeout_ms=0"), 400, "timeout_ms", "0");
    expect_problem(ask("/models/heavy/predict?timeout_ms=30001"), 400, "timeout_ms", "30001");
    daemon_stop(&server);
}
END_TEST

START_TEST(a_stop_lets_the_running_prediction_end)
{
    serve((const char *const[]){"--infer-threads=1", "--queue-max=1", NULL});
    int large = send_samples("/models/heavy/predict?top=1", SAMPLES);
    expect_refusal(large);
    daemon_terminate(&server);
    expect(large, 200, "\"predictions\":[{");
    daemon_wait(&server);
    harness_rmdir(server.folder);
}
END_TEST

START_TEST(a_stop_without_patience_gives_it_up)
{
    serve((const char *const[]){"--infer-threads=1", "--queue-max=1", "--drain-s=0", NULL});
    int large = send_samples("/models/heavy/predict?top=1", SAMPLES);
    expect_refusal(large);
    daemon_terminate(&server);
    char *text = client_read_all(large, NULL); /* it may have been done just then */
    ck_assert_msg(strncmp(text, "HTTP/1.1 503 ", 13) == 0 || strstr(text, "\"predictions\":[{"),
                  "got %.300s", text);
    free(text);
    daemon_wait(&server);
    harness_rmdir(server.folder);
}
END_TEST

START_TEST(many_large_bodies_at_once_are_all_answered)
{
    enum { CLIENTS = 12 };
    int fds[CLIENTS];
    serve((const char *const[]){"--infer-threads=2", NULL});
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = send_samples(i % 2 ? "/models/blind/predict?scores=all" : "/models/heavy/predict",
                              i % 3 ? 300 : 2000);
    for (int i = 0; i < CLIENTS; i++)
        expect(fds[i], 200, i % 2 ? "\"scores\":[0.5,0.5]" : "\"predictions\":[{");
    daemon_stop(&server);
}
END_TEST

TEST_PROGRAM("server overload", a_full_queue_is_said_at_once_and_over_at_once,
             what_waits_too_long_is_given_up, a_stop_lets_the_running_prediction_end,
             a_stop_without_patience_gives_it_up, many_large_bodies_at_once_are_all_answered)
