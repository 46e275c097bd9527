/* Pages of other origins: CORS on the real daemon, and its setting. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_cors.h"
#include "one_daemon.h"

static void start_for(const char *origins)
{
    char flag[256];
    snprintf(flag, sizeof flag, "--cors-origin=%s", origins);
    daemon_start(&served, (const char *const[]){flag, NULL});
}

static void expect_header(const struct reply *reply, const char *name, const char *value)
{
    const char *got = reply_header(reply, name);
    if (!value)
        ck_assert_msg(got == NULL, "%s: %s", name, got);
    else
        ck_assert_msg(got && strcmp(got, value) == 0, "%s: %s, expected %s", name, got, value);
}

static void expect_allowed(struct reply reply, int status, const char *origin, const char *vary)
{
    ck_assert_int_eq(reply.status, status);
    expect_header(&reply, "Access-Control-Allow-Origin", origin);
    expect_header(&reply, "Access-Control-Expose-Headers",
                  origin ? "X-Request-Id, Location, Retry-After, Inference-Header-Content-Length"
                         : NULL);
    expect_header(&reply, "Vary", vary);
    reply_clear(&reply);
}

START_TEST(without_the_setting_there_is_no_cors)
{
    start();
    expect_allowed(send_with("GET", "/version", "Origin: http://a.example", NULL, 0), 200, NULL,
                   NULL);
    struct reply reply =
        client_send(&served, "OPTIONS", "/version",
                    (const char *const[]){"Origin: http://a.example",
                                          "Access-Control-Request-Method: GET", NULL},
                    NULL, 0);
    reply_expect_problem(&reply, 405, "not allowed");
    stop();
}
END_TEST

START_TEST(listed_origins_may_read_replies_and_errors)
{
    start_for("http://a.example, https://b.example:8443");
    expect_allowed(send_with("GET", "/version", "Origin: http://a.example", NULL, 0), 200,
                   "http://a.example", "Origin");
    expect_allowed(send_with("GET", "/nope", "Origin: https://b.example:8443", NULL, 0), 404,
                   "https://b.example:8443", "Origin");
    expect_allowed(send_with("POST", "/jobs", "Origin: http://a.example", "{", 1), 400,
                   "http://a.example", "Origin");
    expect_allowed(send_with("GET", "/version", "Origin: https://b.example", NULL, 0), 200, NULL,
                   "Origin");
    expect_allowed(send_with("GET", "/version", "Origin: null", NULL, 0), 200, NULL, "Origin");
    expect_allowed(client_get(&served, "/version"), 200, NULL, "Origin");

    /* An answer that goes to the socket directly. */
    static const char head[] = "POST /jobs HTTP/1.1\r\nHost: x\r\nOrigin: http://a.example\r\n"
                               "Content-Length: 100000000000\r\n\r\n";
    char *text = client_raw(&served, head, sizeof head - 1);
    ck_assert_msg(strncmp(text, "HTTP/1.1 413 ", 13) == 0, "got %s", text);
    ck_assert_ptr_nonnull(strstr(text, "Access-Control-Allow-Origin: http://a.example\r\n"));
    free(text);
    stop();
}
END_TEST

START_TEST(a_star_lets_every_origin_read)
{
    start_for("*");
    expect_allowed(send_with("GET", "/version", "Origin: http://x.example", NULL, 0), 200, "*",
                   NULL);
    expect_allowed(client_get(&served, "/version"), 200, NULL, NULL);
    stop();
}
END_TEST

static struct reply ask_first(const char *path, const char *origin, const char *headers)
{
    return client_send(
        &served, "OPTIONS", path,
        (const char *const[]){origin, "Access-Control-Request-Method: PUT", headers, NULL}, NULL,
        0);
}

START_TEST(a_browser_that_asks_first_learns_methods_and_headers)
{
    start_for("http://a.example");
    struct reply reply = ask_first("/datasets/d", "Origin: http://a.example",
                                   "Access-Control-Request-Headers: content-type,x-request-id");
    ck_assert_uint_eq(reply.size, 0);
    expect_header(&reply, "Access-Control-Allow-Methods", "GET, HEAD, PUT, DELETE");
    expect_header(&reply, "Access-Control-Allow-Headers", "content-type,x-request-id");
    expect_header(&reply, "Access-Control-Max-Age", "600");
    expect_header(&reply, "Content-Type", NULL);
    expect_allowed(reply, 204, "http://a.example", "Origin");

    /* Another origin learns nothing that its browser would act on. */
    expect_allowed(ask_first("/datasets/d", "Origin: http://b.example", NULL), 204, NULL, "Origin");
    reply = ask_first("/nope", "Origin: http://a.example", NULL);
    expect_header(&reply, "Access-Control-Allow-Origin", "http://a.example");
    reply_expect_problem(&reply, 404, "no route");
    reply = ask_first("/datasets/d", "Origin: http://a.example",
                      "Access-Control-Request-Headers: a\tb");
    expect_header(&reply, "Access-Control-Allow-Headers", NULL);
    reply_clear(&reply);
    /* Not a question of this kind. */
    reply = send_with("OPTIONS", "/version", "Origin: http://a.example", NULL, 0);
    reply_expect_problem(&reply, 405, "not allowed");
    stop();
}
END_TEST

START_TEST(a_setting_that_can_match_nothing_is_refused)
{
    static const char *const bad[] = {"http://a.example/",  "a.example",         "://a", "http://",
                                      "http://a.example,*", "http://a.example b"};
    static const char *const good[] = {"", "*", "null", "http://a.example,https://b.example:1",
                                       " http://a.example , null"};
    struct err e;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_msg(!http_cors_check(bad[i], &e), "accepted %s", bad[i]);
        ck_assert_str_eq(e.field, "cors-origin");
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        ck_assert_msg(http_cors_check(good[i], &e), "refused %s", good[i]);
    char *output;
    ck_assert_int_eq(
        client_run((const char *const[]){"serve", "--cors-origin", "a.example", NULL}, &output), 2);
    ck_assert_ptr_nonnull(strstr(output, "got 'a.example'"));
    free(output);
}
END_TEST

TEST_PROGRAM("server_cors", without_the_setting_there_is_no_cors,
             listed_origins_may_read_replies_and_errors, a_star_lets_every_origin_read,
             a_browser_that_asks_first_learns_methods_and_headers,
             a_setting_that_can_match_nothing_is_refused)
