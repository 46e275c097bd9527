/* The head of docs' HTTP contract, on the real daemon: what holds for every route. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "client.h"
#include "harness.h"
#include "limits.h"

static struct daemon served;

static void start(void)
{
    daemon_start(&served, NULL);
}

/* The daemon is still there, and stops well. */
static void stop(void)
{
    struct reply reply = client_get(&served, "/health/live");
    ck_assert_int_eq(reply.status, 200);
    reply_clear(&reply);
    daemon_stop(&served);
}

static void expect_body(struct reply *reply, int status, const char *text)
{
    ck_assert_msg(reply->status == status, "status %d: %s", reply->status, reply->body);
    ck_assert_msg(strstr(reply->body, text) != NULL, "'%s' not in: %s", text, reply->body);
    reply_clear(reply);
}

static struct reply send_with(const char *method, const char *path, const char *header,
                              const void *body, size_t size)
{
    return client_send(&served, method, path, (const char *const[]){header, NULL}, body, size);
}

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

/* ---- bodies ---- */

static const char dataset_request[] =
    "{\"generator\":\"shapes\",\"train\":4,\"test\":2,\"seed\":0}";

/* format: 15 zlib, 31 gzip, -15 raw deflate */
static void *compress_text(const void *bytes, size_t size, int format, size_t *compressed)
{
    z_stream z = {0};
    ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, format, 8, Z_DEFAULT_STRATEGY), Z_OK);
    *compressed = deflateBound(&z, size);
    void *out = malloc(*compressed);
    ck_assert_ptr_nonnull(out);
    z.next_in = (Bytef *)bytes;
    z.avail_in = (uInt)size;
    z.next_out = out;
    z.avail_out = (uInt)*compressed;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    *compressed = z.total_out;
    deflateEnd(&z);
    return out;
}

START_TEST(compressed_bodies_are_decoded)
{
    static const struct {
        const char *header;
        int format;
    } encodings[] = {
        {"Content-Encoding: gzip", 31},
        {"Content-Encoding: X-GZIP", 31},
        {"Content-Encoding: deflate", 15},
        {"Content-Encoding: deflate", -15},
    };
    start();
    for (size_t i = 0; i < sizeof encodings / sizeof encodings[0]; i++) {
        size_t size;
        void *body =
            compress_text(dataset_request, sizeof dataset_request - 1, encodings[i].format, &size);
        struct reply reply = send_with("PUT", "/datasets/d", encodings[i].header, body, size);
        expect_body(&reply, 201, "\"d\"");
        free(body);
    }
    struct reply reply = send_with("PUT", "/datasets/d", "Content-Encoding: identity",
                                   dataset_request, sizeof dataset_request - 1);
    expect_body(&reply, 201, "\"d\"");
    stop();
}
END_TEST

START_TEST(bad_encodings_are_refused)
{
    start();
    struct reply reply = send_with("POST", "/jobs", "Content-Encoding: br", "{}", 2);
    reply_expect_problem(&reply, 415, "unsupported content encoding");
    reply = send_with("POST", "/jobs", "Content-Encoding: gzip", "{}", 2);
    reply_expect_problem(&reply, 400, "");
    size_t size;
    void *body = compress_text("{}", 2, 31, &size);
    reply = send_with("POST", "/jobs", "Content-Encoding: gzip", body, size - 3);
    reply_expect_problem(&reply, 400, "");
    free(body);
    stop();
}
END_TEST

START_TEST(a_compressed_bomb_stops_at_the_limit)
{
    size_t size, decoded = LIMIT_JSON_BODY_BYTES + 1;
    char *zeros = calloc(1, decoded);
    ck_assert_ptr_nonnull(zeros);
    void *body = compress_text(zeros, decoded, 31, &size);
    ck_assert_uint_lt(size, 4096);
    start();
    struct reply reply = send_with("POST", "/jobs", "Content-Encoding: gzip", body, size);
    reply_expect_problem(&reply, 413, "");
    stop();
    free(zeros);
    free(body);
}
END_TEST

START_TEST(a_large_body_waits_in_a_file_that_leaves_nothing)
{
    char folder[400];
    size_t size = LIMIT_BODY_MEMORY_BYTES * 3;
    char *body = malloc(size);
    ck_assert_ptr_nonnull(body);
    /* JSON white space around a request: a body that only counts whole. */
    memset(body, ' ', size);
    memcpy(body + size - sizeof dataset_request, dataset_request, sizeof dataset_request - 1);
    start();
    struct reply reply =
        send_with("PUT", "/datasets/d", "Content-Type: application/json", body, size);
    expect_body(&reply, 201, "\"d\"");
    snprintf(folder, sizeof folder, "%s/tmp", served.data_dir);
    ck_assert_int_eq(rmdir(folder), 0); /* empty */
    stop();
    free(body);
}
END_TEST

static void expect_early(const char *head, int status, const char *detail)
{
    char status_line[32];
    snprintf(status_line, sizeof status_line, "HTTP/1.1 %d ", status);
    char *text = client_raw(&served, head, strlen(head));
    ck_assert_msg(strncmp(text, status_line, strlen(status_line)) == 0, "to %s came %s", head,
                  text);
    ck_assert_msg(strstr(text, detail) != NULL, "'%s' not in %s", detail, text);
    ck_assert_ptr_nonnull(strstr(text, "application/problem+json"));
    ck_assert_ptr_nonnull(strstr(text, "X-Request-Id: "));
    ck_assert_ptr_null(strstr(text, "\nHTTP/1.1 ")); /* one reply */
    free(text);
}

/* Only the head is sent: an answer proves that no body was waited for. */
START_TEST(a_length_past_the_limit_is_refused_before_the_body)
{
    start();
    expect_early("POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000\r\n\r\n", 413,
                 "limit of 1048576 bytes");
    expect_early("POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n"
                 "Expect: 100-continue\r\n\r\n",
                 413, "limit of 1048576 bytes");
    expect_early("GET /version HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n", 413,
                 "takes no body");
    expect_early("POST /nope HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000\r\n\r\n", 404,
                 "no route");
    stop();
}
END_TEST

START_TEST(a_client_that_sends_on_still_reads_its_413)
{
    size_t size = LIMIT_JSON_BODY_BYTES * 8;
    char *body = calloc(1, size);
    ck_assert_ptr_nonnull(body);
    start();
    struct reply reply = send_with("POST", "/jobs", "Expect:", body, size);
    reply_expect_problem(&reply, 413, "limit of 1048576 bytes");
    reply = send_with("POST", "/jobs", "Transfer-Encoding: chunked", body, size);
    reply_expect_problem(&reply, 413, "limit of 1048576 bytes");
    stop();
    free(body);
}
END_TEST

START_TEST(chunks_without_end_are_refused_at_the_limit)
{
    static const char head[] =
        "POST /jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    static char chunk[8 + 65536 + 2] = "010000\r\n";
    memset(chunk + 8, ' ', 65536);
    memcpy(chunk + 8 + 65536, "\r\n", 2);
    start();
    int fd = client_connect(&served);
    client_write(fd, head, sizeof head - 1);
    for (int i = 0; i < LIMIT_JSON_BODY_BYTES / 65536 + 1; i++)
        client_write(fd, chunk, sizeof chunk);
    char *text = client_read_all(fd, NULL);
    ck_assert_msg(strncmp(text, "HTTP/1.1 413 ", 13) == 0, "got %s", text);
    free(text);
    stop();
}
END_TEST

START_TEST(one_byte_chunks_make_one_body)
{
    char body[16 * sizeof dataset_request], request[sizeof body + 256];
    size_t used = 0;
    for (size_t i = 0; i < sizeof dataset_request - 1; i++)
        used +=
            (size_t)snprintf(body + used, sizeof body - used, "1\r\n%c\r\n", dataset_request[i]);
    snprintf(request, sizeof request,
             "PUT /datasets/d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
             "Transfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n",
             body);
    start();
    char *text = client_raw(&served, request, strlen(request));
    ck_assert_msg(strncmp(text, "HTTP/1.1 201 ", 13) == 0, "got %s", text);
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
        "POST /jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST /jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "GET /version HTTP/1.1\r\n\r\n",
        "GET /version HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
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
        expect_early(heads[i], 400, "\"status\":400");
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
        "POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n",
        "POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "GET /version HTTP/2.0\r\nHost: x\r\n\r\n",
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
        free(text);
    }
    stop();
}
END_TEST

START_TEST(a_method_of_ten_kilobytes_is_refused)
{
    static char head[10240 + 64];
    memset(head, 'A', 10240);
    strcpy(head + 10240, " /version HTTP/1.1\r\nHost: x\r\n\r\n");
    start();
    expect_early(head, 400, "malformed method");
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

START_TEST(half_requests_and_resets_leave_the_daemon_well)
{
    static const char head[] =
        "PUT /datasets/d HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n";
    static char part[1500000];
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    start();
    for (int i = 0; i < 20; i++) {
        int fd = client_connect(&served);
        client_write(fd, head, i % 2 ? sizeof head - 1 : 20);
        if (i % 4 == 3)
            client_write(fd, part, sizeof part);
        if (i % 3 == 0)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
    }
    stop();
}
END_TEST

/* Read to its end, which must not take until the idle timeout. */
START_TEST(a_half_closed_client_gets_its_answer_and_the_close)
{
    static const char *const requests[] = {
        "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
        "POST /jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    };
    start();
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        int fd = client_connect(&served);
        client_write(fd, requests[i], strlen(requests[i]));
        shutdown(fd, SHUT_WR);
        char *text = client_read_all(fd, NULL);
        const char *status = i == 0 ? "HTTP/1.1 200 " : "HTTP/1.1 400 ";
        ck_assert_msg(strncmp(text, status, 13) == 0, "got %s", text);
        free(text);
    }
    stop();
}
END_TEST

/* ---- log ---- */

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

/* ---- the work pool and the end ---- */

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

TEST_PROGRAM("server_http", health_version_index_and_openapi_answer,
             an_unknown_path_is_a_problem_404, a_wrong_method_gets_405_with_allow,
             head_is_get_without_a_body, a_trailing_slash_and_an_unknown_query_change_nothing,
             a_request_id_is_echoed_when_sound_and_made_when_not, a_problem_carries_id_and_field,
             a_connection_is_kept_over_errors_and_pipelining, compressed_bodies_are_decoded,
             bad_encodings_are_refused, a_compressed_bomb_stops_at_the_limit,
             a_large_body_waits_in_a_file_that_leaves_nothing,
             a_length_past_the_limit_is_refused_before_the_body,
             a_client_that_sends_on_still_reads_its_413,
             chunks_without_end_are_refused_at_the_limit, one_byte_chunks_make_one_body,
             malformed_heads_get_one_400_and_close, a_nul_in_the_head_is_refused,
             heads_that_cannot_be_parsed_are_refused_and_closed,
             a_method_of_ten_kilobytes_is_refused, http_1_0_needs_no_host, long_queries_are_refused,
             half_requests_and_resets_leave_the_daemon_well,
             a_half_closed_client_gets_its_answer_and_the_close,
             the_access_log_is_json_and_cannot_be_forged, the_access_log_can_be_turned_off,
             slow_routes_answer_many_at_once, a_client_that_leaves_a_slow_request_harms_nothing,
             a_full_pool_answers_503_and_a_stop_cancels_what_waits,
             a_stop_waits_for_the_request_in_flight, a_stop_gives_up_on_a_request_that_never_ends,
             a_kept_connection_does_not_hold_up_the_stop)
