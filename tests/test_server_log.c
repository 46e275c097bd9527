/* The access log of the real daemon. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "one_daemon.h"
#include "served.h"

START_TEST(the_access_log_is_json_and_cannot_be_forged)
{
    static const char head[] = "GET /a%0a\"}\x1b[2J HTTP/1.1\r\nHost: x\r\n\r\n";
    char path[400] = "/";
    memset(path + 1, 'p', 300);
    start();
    struct reply reply = send_with("GET", "/version?a=1", "X-Request-Id: seen", NULL, 0);
    reply_clear(&reply);
    free(client_raw(&served, head, sizeof head - 1));
    reply = client_get(&served, path);
    reply_clear(&reply);
    daemon_terminate(&served);
    daemon_wait(&served);

    char *log = daemon_log(&served);
    const char *line = strstr(log, "\"request_id\":\"seen\"");
    ck_assert_ptr_nonnull(line);
    ck_assert_ptr_nonnull(
        strstr(line, "\"method\":\"GET\",\"path\":\"/version?a=1\",\"status\":200"));
    ck_assert_ptr_nonnull(strstr(log, "\"path\":\"/a%0a\\\"}\\u001b[2J\",\"status\":400"));
    path[256] = '\0';
    ck_assert_ptr_nonnull(strstr(log, path));
    path[256] = 'p';
    path[257] = '\0';
    ck_assert_ptr_null(strstr(log, path));
    free(log);
    harness_rmdir(served.folder);
}
END_TEST

START_TEST(the_access_log_can_be_turned_off)
{
    daemon_start(&served, (const char *const[]){"--no-access-log", NULL});
    struct reply reply = client_get(&served, "/version");
    reply_clear(&reply);
    char *log = daemon_log(&served);
    ck_assert_ptr_null(strstr(log, "\"event\":\"request\""));
    free(log);
    stop();
}
END_TEST

/* The line of the log with this text, which the caller frees. */
static char *line_with(const char *text)
{
    char *log = daemon_log(&served);
    const char *at = strstr(log, text);
    ck_assert_msg(at != NULL, "no %s in %s", text, log);
    while (at > log && at[-1] != '\n')
        at--;
    char *line = strndup(at, strcspn(at, "\n"));
    free(log);
    return line;
}

static void expect_in(const char *line, const char *text)
{
    ck_assert_msg(strstr(line, text) != NULL, "no %s in %s", text, line);
}

static void end(void)
{
    daemon_terminate(&served);
    daemon_wait(&served);
}

START_TEST(a_prediction_is_logged_with_its_figures)
{
    served_start(&served);
    struct reply reply = send_with("POST", "/models/pick/predict", "X-Request-Id: asked",
                                   "{\"inputs\":[1,0,0,0]}", 20);
    expect_body(&reply, 200, "\"a\"");
    end();
    char *line = line_with("\"request_id\":\"asked\"");
    expect_in(line, "\"level\":\"info\"");
    expect_in(line, "\"handle_us\":");
    expect_in(line, "\"model\":\"pick\",\"version\":1,\"batch\":1,\"decode_us\":");
    expect_in(line, "\"queue_us\":");
    expect_in(line, "\"compute_us\":");
    expect_in(line, "\"encode_us\":");
    free(line);
    harness_rmdir(served.folder);
}
END_TEST

START_TEST(a_slow_request_is_logged_as_a_warning_also_without_an_access_log)
{
    static const char body[] = "{\"generator\":\"shapes\",\"train\":20000,\"test\":0,\"seed\":1}";
    daemon_start(&served, (const char *const[]){"--no-access-log", "--slow-ms=1", NULL});
    struct reply reply =
        send_with("PUT", "/datasets/d", "X-Request-Id: slow", body, sizeof body - 1);
    expect_body(&reply, 201, "\"d\"");
    end();
    char *line = line_with("\"request_id\":\"slow\"");
    expect_in(line, "\"level\":\"warn\"");
    expect_in(line, "\"status\":201");
    free(line);
    harness_rmdir(served.folder);
}
END_TEST

START_TEST(a_slow_client_does_not_make_a_slow_request)
{
    static const char head[] = "POST /jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                               "X-Request-Id: dawdling\r\nContent-Length: 2\r\n\r\n";
    daemon_start(&served, (const char *const[]){"--slow-ms=500", NULL});
    int fd = client_connect(&served);
    client_write(fd, head, sizeof head - 1);
    usleep(600000);
    client_write(fd, "{}", 2);
    free(client_read_all(fd, NULL));
    end();
    char *line = line_with("\"request_id\":\"dawdling\"");
    expect_in(line, "\"level\":\"info\"");
    free(line);
    harness_rmdir(served.folder);
}
END_TEST

TEST_PROGRAM("server_log", the_access_log_is_json_and_cannot_be_forged,
             the_access_log_can_be_turned_off, a_prediction_is_logged_with_its_figures,
             a_slow_request_is_logged_as_a_warning_also_without_an_access_log,
             a_slow_client_does_not_make_a_slow_request)
