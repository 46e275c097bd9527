/* Bodies of requests, on the real daemon: encodings, limits, chunks, clients that leave. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "limits.h"
#include "one_daemon.h"

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

/* Only the head is sent: an answer proves that no body was waited for. */
START_TEST(a_length_past_the_limit_is_refused_before_the_body)
{
    start();
    client_expect_refusal(&served,
                          "POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000\r\n\r\n",
                          413, "limit of 1048576 bytes");
    client_expect_refusal(&served,
                          "POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n"
                          "Expect: 100-continue\r\n\r\n",
                          413, "limit of 1048576 bytes");
    client_expect_refusal(&served, "GET /version HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n",
                          413, "takes no body");
    client_expect_refusal(&served,
                          "POST /nope HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000\r\n\r\n",
                          404, "no route");
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

static void send_chunks_past_the_limit(const void *chunks, size_t size)
{
    static const char head[] =
        "POST /jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    int fd = client_connect(&served);
    client_write(fd, head, sizeof head - 1);
    client_write(fd, chunks, size);
    char *text = client_read_all(fd, NULL);
    ck_assert_msg(strncmp(text, "HTTP/1.1 413 ", 13) == 0, "got %s", text);
    free(text);
}

START_TEST(a_million_chunks_of_a_byte_are_refused_at_the_limit)
{
    enum { CHUNKS = LIMIT_JSON_BODY_BYTES + 100 };
    static char chunks[6 * CHUNKS];
    for (int i = 0; i < CHUNKS; i++)
        memcpy(chunks + 6 * i, "1\r\n \r\n", 6);
    start();
    send_chunks_past_the_limit(chunks, sizeof chunks);
    stop();
}
END_TEST

/* Resident memory of the daemon, in kB. */
static long resident_kb(void)
{
    char path[64], line[128];
    long kb = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)served.pid);
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "VmRSS: %ld", &kb) == 1)
            break;
    fclose(file);
    ck_assert_int_gt(kb, 0);
    return kb;
}

/* Each holds a MiB for a while. Sanitizers hold freed memory back: no bound for them. */
START_TEST(bodies_that_are_refused_leave_no_memory_behind)
{
    enum { CHUNK = 8 + 65536 + 2, CHUNKS = LIMIT_JSON_BODY_BYTES / 65536 + 1 };
    static char chunks[CHUNKS * CHUNK];
    for (char *chunk = chunks; chunk < chunks + sizeof chunks; chunk += CHUNK) {
        memset(chunk, ' ', CHUNK);
        memcpy(chunk, "010000\r\n", 8);
        memcpy(chunk + CHUNK - 2, "\r\n", 2);
    }
    start();
    send_chunks_past_the_limit(chunks, sizeof chunks);
    long before = resident_kb();
    for (int i = 0; i < 40; i++) {
        send_chunks_past_the_limit(chunks, sizeof chunks);
        client_expect_refusal(&served,
                              "POST /predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                              "Content-Length: 100000000000\r\n\r\n",
                              413, "limit of 67108864 bytes");
    }
    if (!getenv("STRIDED_TEST_SLOW"))
        ck_assert_int_lt(resident_kb(), before + 16384);
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

TEST_PROGRAM("server_body", compressed_bodies_are_decoded, bad_encodings_are_refused,
             a_compressed_bomb_stops_at_the_limit, a_large_body_waits_in_a_file_that_leaves_nothing,
             a_length_past_the_limit_is_refused_before_the_body,
             a_client_that_sends_on_still_reads_its_413,
             a_million_chunks_of_a_byte_are_refused_at_the_limit,
             bodies_that_are_refused_leave_no_memory_behind, one_byte_chunks_make_one_body,
             half_requests_and_resets_leave_the_daemon_well,
             a_half_closed_client_gets_its_answer_and_the_close)
