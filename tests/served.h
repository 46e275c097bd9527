/* served.h - nets with known weights put into a stopped daemon's data directory, and checks of
 * replies; for the tests of models and predictions. */
#ifndef STRIDED_TESTS_SERVED_H
#define STRIDED_TESTS_SERVED_H

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "arch_json.h"
#include "client.h"
#include "files.h"
#include "harness.h"
#include "onnx.h"
#include "registry.h"

/* [1,2,2] -> 3 logits, which are the first three inputs. */
#define PICK_NET                                             \
    "{\"input\":[1,2,2],\"layers\":[{\"type\":\"flatten\"}," \
    "{\"type\":\"dense\",\"units\":3,\"bias\":false}]}"
/* [1,28,28] -> 2 logits, both 0: always class 0, at a loss of ln 2. */
#define BLIND_NET                                              \
    "{\"input\":[1,28,28],\"layers\":[{\"type\":\"flatten\"}," \
    "{\"type\":\"dense\",\"units\":2,\"bias\":false}]}"

/* Weights [units, in] of the last layer: 1 where unit and input agree, times `weight`. */
static inline void served_fill(struct cnn_net *net, float weight)
{
    float canonical[2 * 784] = {0};
    const struct cnn_param *tensor = &net->tensors[0];
    ck_assert_uint_le(tensor->count, sizeof canonical / sizeof canonical[0]);
    for (int unit = 0; unit < tensor->dims[0]; unit++)
        canonical[unit * tensor->dims[1] + unit] = weight;
    cnn_net_import(net, 0, canonical);
}

static inline void served_write(const struct cnn_net *net, const char *const *labels, char *temp,
                                size_t size)
{
    struct err e;
    struct buf bytes = {.data = NULL};
    struct file_writer w;
    struct model_meta meta = {
        .preprocess = {.normalize = {.scale = 1.0f / 255}, .background = BACKGROUND_DARK},
        .dataset = "made-up",
        .dataset_version = 4,
        .split = "test",
        .test_loss = .5,
        .test_accuracy = .75,
        .created = "2024-05-06T07:08:09Z"};
    int classes = (int)cnn_shape_count(cnn_net_output(net));
    ck_assert(model_meta_set_labels(&meta, (char *const *)labels, classes, &e));
    ck_assert_msg(onnx_write(net, &meta, &bytes, &e), "%s", e.detail);
    ck_assert(file_begin(&w, &e));
    snprintf(temp, size, "%s/tmp/model", files_data_dir());
    file_write(&w, bytes.data, bytes.size);
    ck_assert_msg(file_commit(&w, temp, &e), "%s", e.detail);
    buf_clear(&bytes);
    model_meta_clear(&meta);
}

/* Publishes the next version of `name` as the daemon would. The daemon must not run. */
static inline void served_add(const struct daemon *daemon, const char *name,
                              const char *architecture, const char *const *labels, float weight)
{
    struct err e;
    struct cnn_spec spec = {.layer_count = 0};
    struct store_model row;
    struct model *model;
    char path[400], temp[FILES_PATH_BYTES];
    ck_assert_msg(files_open(daemon->data_dir, &e), "%s", e.detail);
    snprintf(path, sizeof path, "%s/strided.db", daemon->data_dir);
    struct store *store = store_open(path, &e);
    const struct registry_options options = {.lanes = 1, .memory_max = (size_t)1 << 30};
    struct registry *registry = registry_new(store, &options, &e);
    ck_assert(store && registry);
    ck_assert_msg(arch_parse_text(architecture, strlen(architecture), NULL, 0, &spec, &e), "%s",
                  e.detail);
    struct cnn_net *net = cnn_net_new(&spec, &e);
    ck_assert_msg(net != NULL, "%s", e.detail);
    served_fill(net, weight);
    served_write(net, labels, temp, sizeof temp);
    ck_assert_msg(registry_stage(registry, name, temp, "", &row, &model, &e), "%s", e.detail);
    ck_assert_msg(store_model_add(store, &row, &e), "%s", e.detail);
    registry_serve(registry, model);
    cnn_net_free(net);
    cnn_spec_clear(&spec);
    registry_free(registry);
    store_close(store);
    files_close();
}

static const char *const served_abc[] = {"a", "b", "c"};
static const char *const served_shapes[] = {"square", "circle"};

/* A daemon that serves PICK_NET as "pick", version 1, labels a, b, c. */
static inline void served_start(struct daemon *daemon)
{
    daemon_start(daemon, NULL);
    daemon_terminate(daemon);
    daemon_wait(daemon);
    served_add(daemon, "pick", PICK_NET, served_abc, 1);
    daemon_launch(daemon, NULL);
}

/* Stops it, adds a model, starts it again. */
static inline void served_add_more(struct daemon *daemon, const char *name,
                                   const char *architecture, const char *const *labels,
                                   float weight)
{
    daemon_terminate(daemon);
    daemon_wait(daemon);
    served_add(daemon, name, architecture, labels, weight);
    daemon_launch(daemon, NULL);
}

/* Fails unless the reply has this status and every one of the texts (NULL-terminated) is in its
 * body; clears it. */
static inline void reply_expect(struct reply reply, int status, ...)
{
    va_list parts;
    ck_assert_msg(reply.status == status, "status %d, expected %d: %s", reply.status, status,
                  reply.body);
    va_start(parts, status);
    for (const char *part = va_arg(parts, const char *); part; part = va_arg(parts, const char *))
        ck_assert_msg(strstr(reply.body, part), "no %s in %s", part, reply.body);
    va_end(parts);
    reply_clear(&reply);
}

/* A problem document of this status that names the field. */
static inline void expect_problem(struct reply reply, int status, const char *field,
                                  const char *detail)
{
    char text[160];
    if (field) {
        snprintf(text, sizeof text, "\"field\":\"%s\"", field);
        ck_assert_msg(strstr(reply.body, text), "no %s in %s", text, reply.body);
    }
    reply_expect_problem(&reply, status, detail);
}

static inline struct reply send_type(const struct daemon *daemon, const char *method,
                                     const char *path, const char *type, const void *body,
                                     size_t size)
{
    char header[160];
    snprintf(header, sizeof header, "Content-Type: %s", type);
    const char *headers[] = {header, NULL};
    return client_send(daemon, method, path, headers, body, size);
}

#endif
