/* The head of docs' HTTP contract, on the real daemon: what holds for every route. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "one_daemon.h"

/* ---- what every daemon has ---- */

START_TEST(health_version_index_and_openapi_answer)
{
    start();
    struct reply reply = client_get(&served, "/health/live");
    ck_assert_str_eq(reply_header(&reply, "Content-Type"), "application/json");
    expect_body(&reply, 200, "{\"status\":\"ok\"}");
    reply = client_get(&served, "/health/ready");
    expect_body(&reply, 200, "\"ready\"");
    reply = client_get(&served, "/version");
    expect_body(&reply, 200,
                "{\"name\":\"strided\",\"version\":\"" STRIDED_VERSION "\",\"cpu\":\"");
    reply = client_get(&served, "/");
    expect_body(&reply, 200, "\"openapi\":\"/openapi.json\"");
    reply = client_get(&served, "/openapi.json");
    ck_assert_uint_gt(reply.size, 1000);
    expect_body(&reply, 200, "\"openapi\":\"3.1");
    stop();
}
END_TEST

START_TEST(an_unknown_path_is_a_problem_404)
{
    start();
    struct reply reply = client_get(&served, "/nope");
    reply_expect_problem(&reply, 404, "no route '/nope'");
    reply = client_get(&served, "/Version");
    reply_expect_problem(&reply, 404, "no route");
    stop();
}
END_TEST

START_TEST(a_wrong_method_gets_405_with_allow)
{
    static const char *const methods[] = {"POST", "OPTIONS", "PATCH", "BREW", "get", "TRACE"};
    start();
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        struct reply reply = client_send(&served, methods[i], "/version", NULL, NULL, 0);
        ck_assert_str_eq(reply_header(&reply, "Allow"), "GET, HEAD");
        reply_expect_problem(&reply, 405, "not allowed");
    }
    stop();
}
END_TEST

START_TEST(head_is_get_without_a_body)
{
    start();
    struct reply get = client_get(&served, "/version");
    struct reply head = client_send(&served, "HEAD", "/version", NULL, NULL, 0);
    ck_assert_int_eq(head.status, 200);
    ck_assert_uint_eq(head.size, 0);
    ck_assert_int_eq(atoi(reply_header(&head, "Content-Length")), (int)get.size);
    reply_clear(&head);
    reply_clear(&get);
    head = client_send(&served, "HEAD", "/predict", NULL, NULL, 0);
    ck_assert_int_eq(head.status, 405);
    ck_assert_uint_eq(head.size, 0);
    reply_clear(&head);
    stop();
}
END_TEST

START_TEST(a_trailing_slash_and_an_unknown_query_change_nothing)
{
    start();
    struct reply reply = client_get(&served, "/health/live/");
    expect_body(&reply, 200, "ok");
    reply = client_get(&served, "/health/live?a=1&b&&=c");
    expect_body(&reply, 200, "ok");
    stop();
}
END_TEST

START_TEST(a_request_id_is_echoed_when_sound_and_made_when_not)
{
    static const char *const refused[] = {
        "X-Request-Id: has space", "X-Request-Id: a\"b", "X-Request-Id: a;b",
        "X-Request-Id: \xc3\xa4",  "X-Other: 1",
    };
    char longest[15 + 129] = "X-Request-Id: ", too_long[15 + 130] = "X-Request-Id: ";
    memset(longest + 14, 'a', 128);
    memset(too_long + 14, 'a', 129);
    start();
    struct reply reply = send_with("GET", "/version", "X-Request-Id: Az09._:-", NULL, 0);
    ck_assert_str_eq(reply_header(&reply, "X-Request-Id"), "Az09._:-");
    reply_clear(&reply);
    reply = send_with("GET", "/nope", longest, NULL, 0);
    ck_assert_str_eq(reply_header(&reply, "X-Request-Id"), longest + 14);
    ck_assert_ptr_nonnull(strstr(reply.body, longest + 14));
    reply_clear(&reply);
    for (size_t i = 0; i <= sizeof refused / sizeof refused[0]; i++) {
        bool last = i == sizeof refused / sizeof refused[0];
        reply = send_with("GET", "/version", last ? too_long : refused[i], NULL, 0);
        const char *id = reply_header(&reply, "X-Request-Id");
        ck_assert_ptr_nonnull(id);
        ck_assert_uint_eq(strlen(id), 16);
        ck_assert_uint_eq(strspn(id, "0123456789abcdef"), 16);
        reply_clear(&reply);
    }
    stop();
}
END_TEST

START_TEST(a_problem_carries_id_and_field)
{
    start();
    struct reply reply = send_with("PUT", "/datasets/..x", "X-Request-Id: mine", "{}", 2);
    ck_assert_ptr_nonnull(strstr(reply.body, "\"request_id\":\"mine\""));
    ck_assert_ptr_nonnull(strstr(reply.body, "\"field\":"));
    ck_assert_ptr_nonnull(strstr(reply.body, "\"title\":\"Bad Request\""));
    reply_expect_problem(&reply, 400, "");
    stop();
}
END_TEST

START_TEST(a_connection_is_kept_over_errors_and_pipelining)
{
    static const char requests[] =
        "GET /nope HTTP/1.1\r\nHost: x\r\n\r\n"
        "POST /version HTTP/1.1\r\nHost: x\r\n\r\n"
        "GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    start();
    char *text = client_raw(&served, requests, sizeof requests - 1);
    const char *first = strstr(text, "HTTP/1.1 404 ");
    const char *second = first ? strstr(first, "HTTP/1.1 405 ") : NULL;
    ck_assert_msg(second && strstr(second, "HTTP/1.1 200 "), "got: %s", text);
    free(text);
    stop();
}
END_TEST

/* ---- heads ---- */

START_TEST(malformed_heads_get_one_400_and_close)
{
    static const char *const heads[] = {
        "POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
        "POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
        "POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n",
        "POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n",
        "POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 0x2\r\n\r\n{}",
        "POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 2\r\n\r\n{}",
        "POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n",
        "POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length : 2\r\n\r\n{}",
        "POST /jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n",
        ("POST /jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
         "Transfer-Encoding: identity\r\n\r\n"),
        "POST /jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        "POST /jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n\r\n",
        "POST /jobs HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST /jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "GET /version HTTP/1.1\r\n\r\n",
        "GET /version HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        "GET /version HTTP/1.1\r\nHost: x y\r\n\r\n",
        "GET /version HTTP/1.1\r\nHost: x/y\r\n\r\n",
        "GET /version HTTP/1.1\r\nHost: x, y\r\n\r\n",
        "GET /version HTTP/1.1\r\nHost: user@x\r\n\r\n",
        "GET\r\n\r\n",
        "\x16\x03\x01\x02\r\n",
        "GET /version HTTP/1.1\nHost: x\n\n",
        "GET /version HTTP/1.1\r\nHost: x\r\nA: b\nB: c\r\n\r\n",
        "GET /version HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
        "GET /version HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
        "GET /version HTTP/1.1\r\nHost: x\r\nA: b\x01\r\n\r\n",
        "GET /version HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n",
        "GET  /version HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /version HTTP/1.9\r\nHost: x\r\n\r\n",
        "G(T /version HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET http://x/version HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET version HTTP/1.1\r\nHost: x\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET //version HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /health/../version HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /%2e%2e/version HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /%2e%2e%2fversion HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /datasets/a%2fb HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /datasets/a%00 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /datasets/a%0d%0aX:y HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /version\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /ver sion HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /version?a=%00 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /version?a=%f HTTP/1.1\r\nHost: x\r\n\r\n",
    };
    start();
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        client_expect_refusal(&served, heads[i], 400, "\"status\":400");
    stop();
}
END_TEST

START_TEST(a_nul_in_the_head_is_refused)
{
    static const char *const heads[] = {
        "GET /version@ HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /version@/../ HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET@X /version HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /version HTTP/1.1\r\nHost: x@y\r\n\r\n",
        "GET /version HTTP/1.1\r\nHost: x\r\nA: b@\r\n\r\n",
    };
    start();
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        char head[128];
        size_t size = strlen(heads[i]);
        memcpy(head, heads[i], size);
        *(char *)memchr(head, '@', size) = '\0';
        char *text = client_raw(&served, head, size);
        ck_assert_msg(strncmp(text, "HTTP/1.1 400 ", 13) == 0, "head %zu: %s", i, text);
        free(text);
    }
    stop();
}
END_TEST

/* What libmicrohttpd refuses by itself comes without our problem document. */
START_TEST(heads_that_cannot_be_parsed_are_refused_and_closed)
{
    static char huge[LIMIT_CONNECTION_MEMORY_BYTES + 4096];
    static const char *const heads[] = {
        "GET /version\r\n\r\n",
        "GET /version HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        "GET /version HTTP/2.0\r\nHost: x\r\n\r\n",
        "GET /version HTTP/1\r\nHost: x\r\n\r\n",
        "GET /version http/1.1\r\nHost: x\r\n\r\n",
        "POST /jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n",
        "POST /jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n{}",
        "POST /jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}!\r\n0\r\n\r\n",
        "POST /jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "fffffffffffffffff\r\n",
        huge,
    };
    memset(huge, 'a', sizeof huge - 1);
    memcpy(huge, "GET /version HTTP/1.1\r\nA: ", 26);
    start();
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        char *text = client_raw(&served, heads[i], strlen(heads[i]));
        ck_assert_msg(strncmp(text, "HTTP/1.1 4", 10) == 0 ||
                          strncmp(text, "HTTP/1.1 505", 12) == 0,
                      "head %zu: %s", i, text);
        ck_assert_ptr_null(strstr(text, "\nHTTP/1.1 "));
        free(text);
    }
    stop();
}
END_TEST

START_TEST(a_length_past_64_bits_is_too_large)
{
    start();
    client_expect_refusal(
        &served, "POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        413, "Content-Length is too large");
    stop();
}
END_TEST

/* Each of these ran out of the connection's memory: the first hung, the second got two answers. */
START_TEST(many_parameters_or_cookies_are_refused)
{
    static char head[32768];
    size_t used = (size_t)sprintf(head, "GET /version?");
    while (used < LIMIT_QUERY_BYTES)
        used += (size_t)sprintf(head + used, "a&");
    sprintf(head + used, " HTTP/1.1\r\nHost: x\r\n\r\n");
    start();
    client_expect_refusal(&served, head, 400, "more than 32 query parameters");
    used = (size_t)sprintf(head, "GET /version HTTP/1.1\r\nHost: x\r\nCookie: ");
    for (int i = 0; i < 5000; i++)
        used += (size_t)sprintf(head + used, "a=b;");
    sprintf(head + used, "\r\n\r\n");
    client_expect_refusal(&served, head, 431, "the header does not fit");
    stop();
}
END_TEST

START_TEST(a_method_of_ten_kilobytes_is_refused)
{
    static char head[10240 + 64];
    memset(head, 'A', 10240);
    strcpy(head + 10240, " /version HTTP/1.1\r\nHost: x\r\n\r\n");
    start();
    client_expect_refusal(&served, head, 400, "malformed method");
    stop();
}
END_TEST

START_TEST(http_1_0_needs_no_host)
{
    static const char head[] = "GET /health/live HTTP/1.0\r\n\r\n";
    start();
    char *text = client_raw(&served, head, sizeof head - 1);
    ck_assert_ptr_nonnull(strstr(text, " 200 OK\r\n"));
    free(text);
    stop();
}
END_TEST

START_TEST(long_queries_are_refused)
{
    static char path[LIMIT_QUERY_BYTES + 64] = "/version?";
    start();
    memset(path + 9, 'a', LIMIT_QUERY_BYTES + 1);
    struct reply reply = client_get(&served, path);
    reply_expect_problem(&reply, 400, "query longer than 8192 bytes");
    stop();
}
END_TEST

TEST_PROGRAM("server_http", health_version_index_and_openapi_answer,
             an_unknown_path_is_a_problem_404, a_wrong_method_gets_405_with_allow,
             head_is_get_without_a_body, a_trailing_slash_and_an_unknown_query_change_nothing,
             a_request_id_is_echoed_when_sound_and_made_when_not, a_problem_carries_id_and_field,
             a_connection_is_kept_over_errors_and_pipelining, malformed_heads_get_one_400_and_close,
             a_nul_in_the_head_is_refused, heads_that_cannot_be_parsed_are_refused_and_closed,
             a_length_past_64_bits_is_too_large, many_parameters_or_cookies_are_refused,
             a_method_of_ten_kilobytes_is_refused, http_1_0_needs_no_host, long_queries_are_refused)
