/* Versions of models through the real daemon: put, activated, rolled back, swapped under load.
 *
 * The swap test is small here; SWAPS=1000 CLIENTS=32 in the environment make it the full one. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "served.h"

static struct daemon server;

/* PICK_NET times `weight` as an ONNX file. */
static struct buf pick_file(float weight)
{
    struct err e;
    struct cnn_spec spec = {.layer_count = 0};
    struct buf file = {.data = NULL};
    struct model_meta meta = {
        .preprocess = {.normalize = {.scale = 1.0f / 255}}, .test_loss = NAN, .test_accuracy = NAN};
    ck_assert(arch_parse_text(PICK_NET, strlen(PICK_NET), NULL, 0, &spec, &e));
    struct cnn_net *net = cnn_net_new(&spec, &e);
    ck_assert_ptr_nonnull(net);
    served_fill(net, weight);
    ck_assert(model_meta_set_labels(&meta, (char *const *)served_abc, 3, &e));
    ck_assert_msg(onnx_write(net, &meta, &file, &e), "%s", e.detail);
    model_meta_clear(&meta);
    cnn_net_free(net);
    cnn_spec_clear(&spec);
    return file;
}

static struct reply put(const char *path, const struct buf *file)
{
    return client_send(&server, "PUT", path, NULL, file->data, file->size);
}

/* Publishes the next version of "pick". */
static void put_pick(float weight)
{
    struct buf file = pick_file(weight);
    reply_expect(put("/models/pick", &file), 201, "\"name\":\"pick\"", NULL);
    buf_clear(&file);
}

static void activate(int version)
{
    char path[80];
    snprintf(path, sizeof path, "/models/pick/versions/%d/activate", version);
    reply_expect(client_send(&server, "POST", path, NULL, NULL, 0), 200, "\"active\":true", NULL);
}

/* ---- PUT ---- */

START_TEST(a_put_file_serves_at_once_and_comes_back_as_it_was)
{
    struct buf file = pick_file(1);
    daemon_start(&server, NULL);
    struct reply reply = put("/models/pick", &file);
    ck_assert_str_eq(reply_header(&reply, "Location"), "/models/pick");
    reply_expect(reply, 201, "{\"name\":\"pick\",\"version\":1,\"active\":true", "\"job\":null",
                 "\"state\":\"loaded\",\"reason\":null", "\"labels\":[\"a\",\"b\",\"c\"]",
                 "\"input\":[1,2,2]", "\"parameters\":12", NULL);
    reply_expect(client_post(&server, "/predict", "{\"inputs\":[1,2,3,9]}"), 200, "\"version\":1",
                 "\"score\":0.665", NULL);
    reply = client_get(&server, "/models/pick/onnx");
    ck_assert_uint_eq(reply.size, file.size);
    ck_assert_mem_eq(reply.body, file.data, file.size);
    reply_clear(&reply);
    put_pick(2);
    daemon_restart(&server, NULL);
    reply_expect(client_post(&server, "/predict", "{\"inputs\":[1,2,3,9]}"), 200, "\"version\":2",
                 NULL);
    buf_clear(&file);
    daemon_stop(&server);
}
END_TEST

START_TEST(labels_can_be_given_with_the_file)
{
    struct buf file = pick_file(1);
    daemon_start(&server, NULL);
    reply_expect(put("/models/pick?labels=x,y%20z,w", &file), 201,
                 "\"labels\":[\"x\",\"y z\",\"w\"]", NULL);
    reply_expect(client_post(&server, "/predict", "{\"inputs\":[1,2,3,9]}"), 200,
                 "\"label\":\"w\",\"index\":2,\"score\":0.665", NULL);
    expect_problem(put("/models/pick?labels=x,y", &file), 400, "labels", "2 labels for 3 classes");
    expect_problem(put("/models/pick?labels=x,y,x", &file), 400, "labels", "twice");
    reply_expect(client_get(&server, "/models/pick"), 200, "\"version\":1,\"active\":true", NULL);
    buf_clear(&file);
    daemon_stop(&server);
}
END_TEST

START_TEST(what_is_no_model_is_refused_with_the_reason)
{
    struct buf file = pick_file(1), garbage = {.data = NULL}, cut = {.data = file.data, .size = 99};
    buf_str(&garbage, "no model at all");
    daemon_start(&server, NULL);
    expect_problem(put("/models/-x", &file), 400, "model", "invalid name");
    expect_problem(put("/models/pick", &garbage), 422, NULL, "not an onnx file");
    expect_problem(put("/models/pick?labels=a,b,c", &garbage), 422, NULL, "not an onnx file");
    expect_problem(put("/models/pick", &cut), 422, NULL, "");
    expect_problem(client_send(&server, "PUT", "/models/pick", NULL, "", 0), 422, NULL, "");
    char *at = memmem(file.data, file.size, "Flatten", 7);
    ck_assert_ptr_nonnull(at);
    memcpy(at, "Flattex", 7);
    expect_problem(put("/models/pick", &file), 422, NULL, "unsupported operator 'Flattex'");
    expect_problem(client_get(&server, "/models/pick"), 404, NULL, "no model 'pick'");
    reply_expect(client_get(&server, "/models"), 200, "{\"models\":[]}", NULL);
    buf_clear(&file);
    buf_clear(&garbage);
    daemon_stop(&server);
}
END_TEST

/* ---- activate ---- */

START_TEST(a_version_is_rolled_back_to_and_stays_so)
{
    const char *body = "{\"inputs\":[1,2,3,9]}";
    daemon_start(&server, NULL);
    put_pick(1);
    put_pick(100);
    reply_expect(client_post(&server, "/predict", body), 200, "\"version\":2", "\"score\":1,",
                 NULL);
    activate(1);
    reply_expect(client_post(&server, "/predict", body), 200, "\"version\":1", "\"score\":0.665",
                 NULL);
    daemon_restart(&server, NULL);
    reply_expect(client_post(&server, "/predict", body), 200, "\"version\":1", NULL);
    reply_expect(client_get(&server, "/models/pick"), 200, "\"version\":1,\"active\":true",
                 "\"version\":2,\"active\":false", "\"state\":\"unloaded\"", NULL);
    reply_expect(client_post(&server, "/models/pick/versions/2/predict", body), 200,
                 "\"version\":2", NULL);
    activate(2);
    activate(2);
    reply_expect(client_post(&server, "/predict", body), 200, "\"version\":2", NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(what_is_not_there_cannot_be_activated)
{
    daemon_start(&server, NULL);
    put_pick(1);
    expect_problem(client_post(&server, "/models/pick/versions/2/activate", ""), 404, "version",
                   "no version 2 of model 'pick'");
    expect_problem(client_post(&server, "/models/none/versions/1/activate", ""), 404, "model",
                   "no model 'none'");
    expect_problem(client_post(&server, "/models/pick/versions/x/activate", ""), 404, NULL,
                   "no version 'x'");
    daemon_stop(&server);
}
END_TEST

START_TEST(models_past_the_memory_limit_answer_all_the_same)
{
    const char *body = "{\"inputs\":[1,2,3,9]}";
    daemon_start(&server, (const char *const[]){"--models-memory-mib=1", NULL});
    char path[80];
    /* About 160 KiB of lane each. */
    for (int i = 0; i < 40; i++) {
        struct buf file = pick_file(1);
        snprintf(path, sizeof path, "/models/m%d", i);
        reply_expect(put(path, &file), 201, NULL);
        buf_clear(&file);
    }
    for (int i = 0; i < 40; i++) {
        snprintf(path, sizeof path, "/models/m%d/predict", i);
        reply_expect(client_post(&server, path, body), 200, "\"score\":0.665", NULL);
    }
    daemon_stop(&server);
}
END_TEST

/* The file is a pipe, which is loaded for as long as the test likes. */
START_TEST(who_waits_for_a_load_holds_up_nobody)
{
    static const char request[] = "POST /models/pick/versions/1/predict HTTP/1.1\r\nHost: x\r\n"
                                  "Connection: close\r\nContent-Length: 20\r\n\r\n"
                                  "{\"inputs\":[1,2,3,9]}";
    enum { WAITING = 8 };
    char path[400];
    int fds[WAITING];
    daemon_start(&server, NULL);
    put_pick(1);
    put_pick(2);
    daemon_restart(&server, (const char *const[]){"--http-threads=1", "--work-threads=1", NULL});
    snprintf(path, sizeof path, "%s/models/pick/1.onnx", server.data_dir);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    for (int i = 0; i < WAITING; i++) {
        fds[i] = client_connect(&server);
        client_write(fds[i], request, sizeof request - 1);
    }
    reply_expect(client_post(&server, "/predict", "{\"inputs\":[1,2,3,9]}"), 200, "\"version\":2",
                 NULL);
    reply_expect(client_get(&server, "/health/ready"), 200, NULL);
    for (bool loading = false; !loading;) {
        struct reply reply = client_get(&server, "/models/pick");
        loading = strstr(reply.body, "\"state\":\"loading\"") != NULL;
        reply_clear(&reply);
    }
    close(open(path, O_WRONLY | O_CLOEXEC)); /* an empty file is no model */
    for (int i = 0; i < WAITING; i++) {
        char *text = client_read_all(fds[i], NULL);
        ck_assert_msg(strncmp(text, "HTTP/1.1 503 ", 13) == 0 && strstr(text, "damaged"), "%s",
                      text);
        free(text);
    }
    daemon_stop(&server);
}
END_TEST

/* ---- swapped under load ---- */

enum { BATCH = 40 };
static atomic_bool stop;
static atomic_long answers;

static int from_environment(const char *name, int usual)
{
    const char *text = getenv(name);
    return text ? atoi(text) : usual;
}

/* One reply of a kept connection; its body in text. */
static void read_reply(int fd, char *text, size_t size)
{
    size_t used = 0;
    char *end = NULL, *body = NULL;
    while (!body || text + used < end) {
        ssize_t got = recv(fd, text + used, size - used - 1, 0);
        ck_assert_msg(got > 0, "the connection ended after %zu bytes", used);
        used += (size_t)got;
        text[used] = '\0';
        if (body || !(body = strstr(text, "\r\n\r\n")))
            continue;
        const char *length = strstr(text, "Content-Length: ");
        ck_assert_msg(strncmp(text, "HTTP/1.1 200 ", 13) == 0 && length != NULL, "%s", text);
        end = body + 4 + atoi(length + 16);
    }
    memmove(text, body + 4, (size_t)(end - body) - 4 + 1);
}

/* Odd versions answer softmax([1,2,3]), even ones softmax([2,4,6]): each sample of the reply must
 * be what its version says. */
static void check_reply(const char *text, int samples)
{
    const char *at = strstr(text, "\"version\":");
    ck_assert_ptr_nonnull(at);
    const double expected = atoi(at + 10) % 2 ? .66524096 : .86681332;
    int seen = 0;
    while ((at = strstr(at, "\"score\":"))) {
        ck_assert_msg(fabs(atof(at + 8) - expected) < 1e-5, "%s", text);
        at = strstr(at, "\"top\":"); /* which says it once more */
        at = strstr(strstr(at, "\"score\":") + 1, "}");
        seen++;
    }
    ck_assert_int_eq(seen, samples);
    atomic_fetch_add(&answers, 1);
}

/* One sample at a time, or a batch that goes through the queue. */
static void *ask_all_along(void *context)
{
    const int samples = *(int *)context;
    struct buf body = {.data = NULL}, request = {.data = NULL};
    static const float sample[4] = {1, 2, 3, 0};
    for (int i = 0; i < samples; i++)
        buf_add(&body, sample, sizeof sample);
    buf_fmt(&request,
            "POST /predict?top=1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
            "Content-Length: %zu\r\n\r\n",
            body.size);
    buf_add(&request, body.data, body.size);
    char *text = malloc(64 << 10);
    int fd = client_connect(&server);
    while (!atomic_load(&stop)) {
        client_write(fd, request.data, request.size);
        read_reply(fd, text, 64 << 10);
        check_reply(text, samples);
    }
    close(fd);
    free(text);
    buf_clear(&body);
    buf_clear(&request);
    return NULL;
}

/* Every answer is wholly from one version, and none fails, whichever way versions change. */
START_TEST(versions_are_swapped_under_load)
{
    const int swaps = from_environment("SWAPS", 30), clients = from_environment("CLIENTS", 6);
    static const int samples[] = {1, BATCH, 1, 7, 1, 1};
    pthread_t *threads = calloc((size_t)clients, sizeof *threads);
    int newest = 2;
    daemon_start(&server, (const char *const[]){"--no-access-log", NULL});
    put_pick(1);
    put_pick(2);
    for (int i = 0; i < clients; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_all_along, (void *)&samples[i % 6]),
                         0);
    for (int i = 0; i < swaps; i++) {
        if (i % 3 == 2)
            put_pick(++newest % 2 ? 1 : 2);
        else
            activate(newest - i % 3);
    }
    while (atomic_load(&answers) < 10L * clients)
        usleep(1000);
    atomic_store(&stop, true);
    for (int i = 0; i < clients; i++)
        pthread_join(threads[i], NULL);
    printf("%ld answers over %d swaps\n", atomic_load(&answers), swaps);
    free(threads);
    daemon_stop(&server);
}
END_TEST

TEST_PROGRAM("server versions", a_put_file_serves_at_once_and_comes_back_as_it_was,
             labels_can_be_given_with_the_file, what_is_no_model_is_refused_with_the_reason,
             a_version_is_rolled_back_to_and_stays_so, what_is_not_there_cannot_be_activated,
             models_past_the_memory_limit_answer_all_the_same, who_waits_for_a_load_holds_up_nobody,
             versions_are_swapped_under_load)
