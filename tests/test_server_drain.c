/* The work pool's bounds and the daemon's end, on the real daemon. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "limits.h"
#include "one_daemon.h"

START_TEST(slow_routes_answer_many_at_once)
{
    enum { CLIENTS = 24 };
    static const char request[] = "POST /summary HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                                  "Content-Length: 2\r\n\r\n{}";
    int fds[CLIENTS];
    daemon_start(&served, (const char *const[]){"--work-threads=2", NULL});
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client_connect(&served);
        client_write(fds[i], request, sizeof request - 1);
    }
    for (int i = 0; i < CLIENTS; i++) {
        char *text = client_read_all(fds[i], NULL);
        ck_assert_msg(strncmp(text, "HTTP/1.1 400 ", 13) == 0, "got %s", text);
        free(text);
    }
    stop();
}
END_TEST

/* Sends a request that keeps a work thread busy for a while. */
static int send_slow(int i)
{
    static const char body[] = "{\"generator\":\"shapes\",\"train\":20000,\"test\":0,\"seed\":1}";
    char request[256];
    int size = snprintf(request, sizeof request,
                        "PUT /datasets/d%d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                        "Content-Length: %zu\r\n\r\n%s",
                        i, sizeof body - 1, body);
    int fd = client_connect(&served);
    client_write(fd, request, (size_t)size);
    return fd;
}

START_TEST(a_client_that_leaves_a_slow_request_harms_nothing)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    start();
    for (int i = 0; i < 8; i++) {
        int fd = send_slow(i);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
    }
    stop();
}
END_TEST

/* The queue and the one work thread are full, so one of these is refused; then the daemon stops
 * with all the others waiting. */
START_TEST(a_full_pool_answers_503_and_a_stop_cancels_what_waits)
{
    enum { CLIENTS = LIMIT_WORK_QUEUE + 20 };
    static struct pollfd clients[CLIENTS];
    daemon_start(&served, (const char *const[]){"--work-threads=1", "--drain-s=0", NULL});
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = (struct pollfd){.fd = send_slow(i), .events = POLLIN};
    bool refused = false;
    while (!refused) {
        ck_assert_int_gt(poll(clients, CLIENTS, 30000), 0);
        for (int i = 0; i < CLIENTS; i++) {
            if (!clients[i].revents)
                continue;
            char *text = client_read_all(clients[i].fd, NULL);
            clients[i].fd = -1;
            refused = refused || (strncmp(text, "HTTP/1.1 503 ", 13) == 0 &&
                                  strstr(text, "\r\nRetry-After: 1\r\n"));
            ck_assert_msg(refused || strncmp(text, "HTTP/1.1 201 ", 13) == 0, "got %s", text);
            free(text);
        }
    }
    daemon_stop(&served);
    for (int i = 0; i < CLIENTS; i++)
        if (clients[i].fd >= 0)
            close(clients[i].fd);
}
END_TEST

/* The request is in flight for sure: its head is answered by 100 Continue. */
START_TEST(a_stop_waits_for_the_request_in_flight)
{
    static const char head[] = "PUT /datasets/d HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                               "Content-Length: 41\r\n\r\n";
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char got[sizeof interim];
    start();
    int fd = client_connect(&served);
    client_write(fd, head, sizeof head - 1);
    ck_assert_int_eq(recv(fd, got, sizeof interim - 1, MSG_WAITALL), (int)sizeof interim - 1);
    ck_assert_int_eq(memcmp(got, interim, sizeof interim - 1), 0);
    daemon_terminate(&served);
    client_write(fd, "{\"generator\":\"shapes\",\"train\":4,\"test\":2}", 41);
    char *text = client_read_all(fd, NULL);
    ck_assert_msg(strncmp(text, "HTTP/1.1 201 ", 13) == 0, "got %s", text);
    free(text);
    daemon_wait(&served);
    harness_rmdir(served.folder);
}
END_TEST

START_TEST(a_stop_gives_up_on_a_request_that_never_ends)
{
    static const char head[] = "PUT /datasets/d HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                               "Content-Length: 41\r\n\r\n";
    char got[25];
    daemon_start(&served, (const char *const[]){"--drain-s=0", NULL});
    int fd = client_connect(&served);
    client_write(fd, head, sizeof head - 1);
    ck_assert_int_eq(recv(fd, got, sizeof got, MSG_WAITALL), (int)sizeof got);
    daemon_stop(&served);
    close(fd);
}
END_TEST

START_TEST(a_kept_connection_does_not_hold_up_the_stop)
{
    static const char request[] = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
    char got[15];
    start();
    int fd = client_connect(&served);
    client_write(fd, request, sizeof request - 1);
    ck_assert_int_eq(recv(fd, got, sizeof got, MSG_WAITALL), (int)sizeof got);
    daemon_stop(&served);
    close(fd);
}
END_TEST

TEST_PROGRAM("server_drain", slow_routes_answer_many_at_once,
             a_client_that_leaves_a_slow_request_harms_nothing,
             a_full_pool_answers_503_and_a_stop_cancels_what_waits,
             a_stop_waits_for_the_request_in_flight, a_stop_gives_up_on_a_request_that_never_ends,
             a_kept_connection_does_not_hold_up_the_stop)
