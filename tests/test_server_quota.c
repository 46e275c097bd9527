/* --quota-mib on the real daemon: what is refused, and what a delete gives back. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "job_client.h"

#define MIB (1 << 20)

static struct daemon server;

static double storage(const char *key)
{
    cJSON *json = get_json(&server, "/storage", NULL);
    double value = number(json, key);
    cJSON_Delete(json);
    return value;
}

static struct reply put_generated(const char *path, int train)
{
    char body[96];
    snprintf(body, sizeof body, "{\"generator\":\"shapes\",\"train\":%d,\"test\":0}", train);
    return client_send(&server, "PUT", path, NULL, body, strlen(body));
}

static void expect_made(struct reply reply)
{
    ck_assert_msg(reply.status == 201, "%d %s", reply.status, reply.body);
    reply_clear(&reply);
}

START_TEST(datasets_fill_the_quota_and_a_delete_gives_back_what_they_took)
{
    daemon_start(&server, (const char *const[]){"--quota-mib=16", NULL});
    ck_assert(storage("quota_bytes") == 16. * MIB);
    expect_made(put_generated("/datasets/a", 3000)); /* 2.4 MB */
    double available = storage("available_bytes"), bytes = storage("datasets_bytes");
    ck_assert(bytes > 3000 * 784 && bytes < 3000 * 800);
    struct reply reply = put_generated("/datasets/b", 12000); /* 9.4 MB */
    reply_expect_problem(&reply, 507, "no room for 9.0 MiB more: of the quota of 16 MiB");
    ck_assert(storage("available_bytes") == available);
    reply = put_generated("/datasets/b", 900000); /* seconds, were it made first */
    reply_expect_problem(&reply, 507, "no room for 67");
    daemon_restart(&server, (const char *const[]){"--quota-mib=16", NULL});
    ck_assert(storage("datasets_bytes") == bytes);
    reply = put_generated("/datasets/b", 12000);
    reply_expect_problem(&reply, 507, "no room");
    reply = client_send(&server, "DELETE", "/datasets/a", NULL, NULL, 0);
    ck_assert_int_eq(reply.status, 204);
    reply_clear(&reply);
    ck_assert(storage("datasets_bytes") == 0);
    expect_made(put_generated("/datasets/b", 6000));
    daemon_stop(&server);
}
END_TEST

/* A body of 100 MB is announced; the answer comes by the head alone. */
START_TEST(an_upload_that_cannot_fit_is_refused_before_it_is_sent)
{
    daemon_start(&server, (const char *const[]){"--quota-mib=16", NULL});
    client_expect_refusal(&server,
                          "PUT /datasets/d HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                          "Content-Length: 104857600\r\n\r\n",
                          507, "no room for 100.0 MiB more: of the quota of 16 MiB");
    client_expect_refusal(&server,
                          "PUT /models/m HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                          "Content-Length: 104857600\r\n\r\n",
                          507, "no room for 100.0 MiB more: of the quota of 16 MiB");
    daemon_stop(&server);
}
END_TEST

START_TEST(an_upload_of_unknown_size_is_refused_when_it_no_longer_fits)
{
    enum { CHUNK = 1 << 18 };
    static char bytes[CHUNK];
    daemon_start(&server, (const char *const[]){"--quota-mib=16", NULL});
    double before = storage("used_bytes");
    int fd = client_connect(&server);
    const char head[] = "PUT /datasets/d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    client_write(fd, head, sizeof head - 1);
    for (int i = 0; i < 64; i++) { /* 16 MiB */
        client_write(fd, "40000\r\n", 7);
        client_write(fd, bytes, CHUNK);
        client_write(fd, "\r\n", 2);
    }
    client_write(fd, "0\r\n\r\n", 5);
    char *reply = client_read_all(fd, NULL);
    ck_assert_msg(strncmp(reply, "HTTP/1.1 507 ", 13) == 0, "got %s", reply);
    free(reply);
    while (storage("used_bytes") > before + MIB / 2)
        job_pause(); /* the exchange ends after its answer */
    daemon_stop(&server);
}
END_TEST

START_TEST(a_job_that_finds_no_room_is_refused)
{
    daemon_start(&server, (const char *const[]){"--quota-mib=16", NULL});
    make_shapes(&server, 10, 10);
    struct reply reply =
        client_post(&server, "/jobs",
                    "{\"model\":\"m\",\"dataset\":\"shapes\",\"architecture\":{\"layers\":["
                    "{\"type\":\"flatten\"},{\"type\":\"dense\",\"units\":1000},"
                    "{\"type\":\"dense\",\"units\":2}]}}");
    reply_expect_problem(&reply, 507, "of the quota of 16 MiB");
    double before = storage("used_bytes");
    cJSON_Delete(run_job(&server, "{\"model\":\"m\",\"dataset\":\"shapes\",\"epochs\":2,"
                                  "\"architecture\":\"shapes-cnn\"}"));
    ck_assert(storage("models_bytes") > 0);
    while (storage("checkpoints_bytes") > 0)
        job_pause();
    ck_assert(storage("used_bytes") < before + MIB / 4); /* its claim is settled */
    daemon_stop(&server);
}
END_TEST

TEST_PROGRAM("server quota", datasets_fill_the_quota_and_a_delete_gives_back_what_they_took,
             an_upload_that_cannot_fit_is_refused_before_it_is_sent,
             an_upload_of_unknown_size_is_refused_when_it_no_longer_fits,
             a_job_that_finds_no_room_is_refused)
