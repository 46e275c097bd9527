/* Models as clients of the Open Inference Protocol see them: metadata, configuration (as Triton has
 * it), readiness, statistics. */
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "api_v2.h"
#include "json_write.h"
#include "limits.h"
#include "v2.h"

/* The model of the path. Waits for the load if need be. */
static struct model *acquire(struct app *app, const struct http_request *request, struct err *e)
{
    const char *name;
    int version;
    if (!api_v2_path(request, &name, &version, e))
        return NULL;
    struct model *model = registry_acquire(app->registry, name, version, e);
    if (!model)
        api_v2_error(name, version, e);
    return model;
}

static void write_version(struct json_writer *w, int version)
{
    char text[16];
    snprintf(text, sizeof text, "%d", version);
    jw_string(w, text);
}

/* The sizes of one sample, behind a batch axis where there is one. */
static void write_dims(struct json_writer *w, const char *key, const struct cnn_shape *shape,
                       bool batch)
{
    int dims[1 + CNN_AXES], count = cnn_shape_dims(shape, dims);
    jw_key(w, key);
    jw_array(w);
    if (batch)
        jw_int(w, -1);
    for (int i = 0; i < count; i++)
        jw_int(w, dims[i]);
    jw_array_end(w);
}

/* ---- metadata ---- */

/* A list of one tensor: as metadata has it, or as Triton's configuration does. */
static void write_tensor(struct json_writer *w, const char *key, const char *name,
                         const struct cnn_shape *shape, bool config)
{
    jw_key(w, key);
    jw_array(w);
    jw_object(w);
    jw_key_string(w, "name", name);
    jw_key_string(w, config ? "data_type" : "datatype", config ? "TYPE_FP32" : "FP32");
    write_dims(w, config ? "dims" : "shape", shape, !config);
    jw_object_end(w);
    jw_array_end(w);
}

static void write_tensors(struct json_writer *w, const struct model *model, bool config)
{
    const struct cnn_shape scores = {.c = model->meta.label_count, .size = {1, 1, 1}, .rank = 0};
    write_tensor(w, config ? "input" : "inputs", V2_INPUT, &model->net->input, config);
    write_tensor(w, config ? "output" : "outputs", V2_OUTPUT, &scores, config);
}

static bool write_versions(struct json_writer *w, struct app *app, const char *name, struct err *e)
{
    struct store_model *rows;
    int count;
    if (!store_models(app->store, &rows, &count, e))
        return false;
    jw_key(w, "versions");
    jw_array(w);
    for (int i = 0; i < count; i++)
        if (strcmp(rows[i].name, name) == 0)
            write_version(w, rows[i].version);
    jw_array_end(w);
    store_models_free(rows, count);
    return true;
}

bool api_v2_model(struct app *app, const struct http_request *request,
                  struct http_response *response, struct err *e)
{
    struct model *model = acquire(app, request, e);
    if (!model)
        return false;
    struct json_writer w;
    jw_begin(&w, &response->body);
    jw_object(&w);
    jw_key_string(&w, "name", model->name);
    const bool ok = write_versions(&w, app, model->name, e);
    jw_key_string(&w, "platform", "strided_onnx");
    write_tensors(&w, model, false);
    jw_object_end(&w);
    model_release(model);
    return ok;
}

bool api_v2_list(struct app *app, const struct http_request *request,
                 struct http_response *response, struct err *e)
{
    struct store_model *rows;
    int count;
    (void)request;
    if (!store_models(app->store, &rows, &count, e))
        return false;
    struct json_writer w;
    jw_begin(&w, &response->body);
    jw_object(&w);
    jw_key(&w, "models");
    jw_array(&w);
    for (int i = 0; i < count; i++)
        if (rows[i].active)
            jw_string(&w, rows[i].name);
    jw_array_end(&w);
    jw_object_end(&w);
    store_models_free(rows, count);
    return true;
}

bool api_v2_model_ready(struct app *app, const struct http_request *request,
                        struct http_response *response, struct err *e)
{
    struct registry_version found;
    const char *name;
    int version;
    if (!api_v2_path(request, &name, &version, e))
        return false;
    if (!registry_find(app->registry, name, version, &found, e))
        return api_v2_error(name, version, e);
    /* One that was only evicted comes back when it is asked. */
    if (found.reason[0] || found.state == REGISTRY_LOADING)
        return err_set(e, ERR_UNAVAILABLE, "model '%s' is not ready: %.200s", name,
                       found.reason[0] ? found.reason : "it is being loaded");
    struct json_writer w;
    jw_begin(&w, &response->body);
    jw_object(&w);
    jw_key_string(&w, "name", found.name);
    jw_key_bool(&w, "ready", true);
    jw_object_end(&w);
    return true;
}

/* ---- configuration ---- */

bool api_v2_model_config(struct app *app, const struct http_request *request,
                         struct http_response *response, struct err *e)
{
    struct model *model = acquire(app, request, e);
    if (!model)
        return false;
    struct json_writer w;
    jw_begin(&w, &response->body);
    jw_object(&w);
    jw_key_string(&w, "name", model->name);
    jw_key_string(&w, "platform", "strided_onnx");
    jw_key_string(&w, "backend", "strided");
    jw_key_int(&w, "max_batch_size", LIMIT_PREDICT_SAMPLES);
    write_tensors(&w, model, true);
    jw_key(&w, "instance_group");
    jw_array(&w);
    jw_object(&w);
    jw_key_string(&w, "name", model->name);
    jw_key_string(&w, "kind", "KIND_CPU");
    jw_key_int(&w, "count", app->config.infer_threads);
    jw_object_end(&w);
    jw_array_end(&w);
    jw_key(&w, "dynamic_batching");
    jw_object(&w);
    jw_key_int(&w, "max_queue_delay_microseconds", app->config.batch_delay_us);
    jw_object_end(&w);
    jw_object_end(&w);
    model_release(model);
    return true;
}

/* ---- statistics ---- */

static void write_sum(struct json_writer *w, const char *key, const struct stats_sum *sum)
{
    jw_key(w, key);
    jw_object(w);
    jw_key_int(w, "count", sum ? (int64_t)sum->count : 0);
    jw_key_int(w, "ns", sum ? (int64_t)sum->ns : 0);
    jw_object_end(w);
}

static void write_batches(struct json_writer *w, const struct model_stats *stats)
{
    jw_key(w, "batch_stats");
    jw_array(w);
    for (int i = 0; stats && i < STATS_BATCH_MAX; i++) {
        if (stats->batches[i].count == 0)
            continue;
        jw_object(w);
        jw_key_int(w, "batch_size", i + 1);
        write_sum(w, "compute_input", NULL);
        write_sum(w, "compute_infer", &stats->batches[i]);
        write_sum(w, "compute_output", NULL);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static int64_t executions(const struct model_stats *stats)
{
    int64_t count = 0;
    for (int i = 0; i < STATS_BATCH_MAX; i++)
        count += (int64_t)stats->batches[i].count;
    return count;
}

/* stats NULL: it is not in memory, and starts from zero when it is. */
static void write_stats(struct json_writer *w, const char *name, int version,
                        const struct model_stats *stats)
{
    jw_object(w);
    jw_key_string(w, "name", name);
    jw_key(w, "version");
    write_version(w, version);
    jw_key_int(w, "last_inference", stats ? stats->last_ms : 0);
    jw_key_int(w, "inference_count", stats ? (int64_t)stats->samples : 0);
    jw_key_int(w, "execution_count", stats ? executions(stats) : 0);
    jw_key(w, "inference_stats");
    jw_object(w);
    write_sum(w, "success", stats ? &stats->success : NULL);
    write_sum(w, "fail", stats ? &stats->fail : NULL);
    write_sum(w, "queue", stats ? &stats->queue : NULL);
    write_sum(w, "compute_input", stats ? &stats->decode : NULL);
    write_sum(w, "compute_infer", stats ? &stats->compute : NULL);
    write_sum(w, "compute_output", stats ? &stats->encode : NULL);
    write_sum(w, "cache_hit", NULL);
    write_sum(w, "cache_miss", NULL);
    jw_object_end(w);
    write_batches(w, stats);
    jw_object_end(w);
}

/* Of a version that may be in memory, which it need not become for this. */
static void write_version_stats(struct json_writer *w, struct app *app, const char *name,
                                int version)
{
    struct err unused;
    bool absent;
    struct model *model = registry_acquire_loaded(app->registry, name, version, &absent, &unused);
    write_stats(w, name, version, model ? &model->stats : NULL);
    model_release(model);
}

/* Of those of this name (NULL: all), and of this version (0: all). */
static bool answer_stats(struct app *app, const char *name, int version,
                         struct http_response *response, struct err *e)
{
    struct store_model *rows;
    int count, found = 0;
    if (!store_models(app->store, &rows, &count, e))
        return false;
    struct json_writer w;
    jw_begin(&w, &response->body);
    jw_object(&w);
    jw_key(&w, "model_stats");
    jw_array(&w);
    for (int i = 0; i < count; i++) {
        if ((name && strcmp(rows[i].name, name) != 0) || (version && rows[i].version != version))
            continue;
        write_version_stats(&w, app, rows[i].name, rows[i].version);
        found++;
    }
    jw_array_end(&w);
    jw_object_end(&w);
    store_models_free(rows, count);
    return found > 0 || !name || api_v2_unknown(name, version, e);
}

bool api_v2_model_stats(struct app *app, const struct http_request *request,
                        struct http_response *response, struct err *e)
{
    const char *name;
    int version;
    return api_v2_path(request, &name, &version, e) &&
           answer_stats(app, name, version, response, e);
}

bool api_v2_stats(struct app *app, const struct http_request *request,
                  struct http_response *response, struct err *e)
{
    (void)request;
    return answer_stats(app, NULL, 0, response, e);
}
