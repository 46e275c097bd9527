/* Predictions past what the daemon can do: refused at once, given up in time, and all answered. */
#include <stdlib.h>
#include <sys/socket.h>
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

/* Sends a request of so many samples, on a connection of its own; when this returns the daemon has
 * begun with it: its head is answered by 100 Continue. */
static int send_samples(const char *path, int samples)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char head[256], got[sizeof interim];
    const size_t size = (size_t)samples * SAMPLE_BYTES;
    char *body = calloc(size, 1);
    int length = snprintf(head, sizeof head,
                          "POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                          "Expect: 100-continue\r\nContent-Type: application/octet-stream\r\n"
                          "Content-Length: %zu\r\n\r\n",
                          path, size);
    int fd = client_connect(&server);
    client_write(fd, head, (size_t)length);
    ck_assert_int_eq(recv(fd, got, sizeof interim - 1, MSG_WAITALL), (int)sizeof interim - 1);
    client_write(fd, body, size);
    free(body);
    return fd;
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

/* Whether it was done; else it was refused as it should be. */
static bool is_done(int fd)
{
    char *text = client_read_all(fd, NULL);
    const bool done = strncmp(text, "HTTP/1.1 200 ", 13) == 0;
    ck_assert_msg(done ? strstr(text, "\"predictions\":[{") != NULL
                       : strncmp(text, "HTTP/1.1 503 ", 13) == 0 &&
                             strstr(text, "\r\nRetry-After: 1\r\n") &&
                             strstr(text, "1 requests wait for model 'heavy' already"),
                  "%.600s", text);
    free(text);
    return done;
}

/* Each takes much longer to compute than the next one takes to be read and found too many. */
START_TEST(a_full_queue_is_said_at_once_and_over_at_once)
{
    enum { CLIENTS = 5 };
    int fds[CLIENTS], done = 0;
    serve((const char *const[]){"--infer-threads=1", "--queue-max=1", NULL});
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = send_samples("/models/heavy/predict?top=1", SAMPLES);
    /* Others go on meanwhile: another model, and what needs no model. */
    reply_expect(ask("/models/blind/predict"), 200, NULL);
    reply_expect(client_get(&server, "/health/live"), 200, NULL);
    for (int i = 0; i < CLIENTS; i++)
        done += is_done(fds[i]);
    ck_assert_int_ge(done, 1);
    ck_assert_int_lt(done, CLIENTS);
    reply_expect(ask("/models/heavy/predict"), 200, "\"index\":", NULL);
    daemon_stop(&server);
}
END_TEST

/* Its time is up before it has been read. */
START_TEST(what_waits_too_long_is_given_up)
{
    serve((const char *const[]){"--infer-threads=1", NULL});
    expect(send_samples("/models/heavy/predict?timeout_ms=1", SAMPLES), 503,
           "not computed in the time that was given");
    reply_expect(ask("/models/heavy/predict"), 200, NULL);
    expect_problem(ask("/models/heavy/predict?timeout_ms=0"), 400, "timeout_ms", "0");
    expect_problem(ask("/models/heavy/predict?timeout_ms=30001"), 400, "timeout_ms", "30001");
    daemon_stop(&server);
}
END_TEST

START_TEST(a_stop_lets_predictions_end)
{
    int fds[3];
    serve((const char *const[]){"--infer-threads=1", "--drain-s=600", NULL});
    for (int i = 0; i < 3; i++)
        fds[i] = send_samples("/models/heavy/predict?top=1", SAMPLES);
    daemon_terminate(&server);
    for (int i = 0; i < 3; i++)
        expect(fds[i], 200, "\"predictions\":[{");
    daemon_wait(&server);
    harness_rmdir(server.folder);
}
END_TEST

/* What has been read is refused, the rest is cut. */
START_TEST(a_stop_without_patience_gives_them_up)
{
    int fds[3];
    serve((const char *const[]){"--infer-threads=1", "--drain-s=0", NULL});
    for (int i = 0; i < 3; i++)
        fds[i] = send_samples("/models/heavy/predict?top=1", SAMPLES);
    daemon_terminate(&server);
    for (int i = 0; i < 3; i++) {
        char *text = client_read_all(fds[i], NULL);
        ck_assert_msg(!*text || strncmp(text, "HTTP/1.1 503 ", 13) == 0 ||
                          strstr(text, "\"predictions\":[{"),
                      "got %.300s", text);
        free(text);
    }
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
             what_waits_too_long_is_given_up, a_stop_lets_predictions_end,
             a_stop_without_patience_gives_them_up, many_large_bodies_at_once_are_all_answered)
