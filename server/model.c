#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "files.h"
#include "hash.h"
#include "onnx.h"

/* Of the warm-up: the best of several runs is the cost, since others may use the CPU too. */
enum { WARM_RUNS_MAX = 8, WARM_NS_MAX = 5000000 };

static void model_free(struct model *model)
{
    for (int i = 0; i < model->idle_count; i++)
        cnn_lane_free(model->idle[i]);
    cnn_predictor_free(model->predictor);
    cnn_net_free(model->net);
    model_meta_clear(&model->meta);
    free(model->info);
    pthread_mutex_destroy(&model->mutex);
    free(model);
}

static struct model *model_new(const char *name, int version, struct err *e)
{
    struct model *model = calloc(1, sizeof *model);
    if (!model) {
        err_no_memory(e);
        return NULL;
    }
    model->version = version;
    snprintf(model->name, sizeof model->name, "%s", name);
    model->metrics = metrics_model(name);
    atomic_init(&model->users, 1);
    pthread_mutex_init(&model->mutex, NULL);
    return model;
}

/* Checks that what a file holds can be served. */
static bool check(const struct model *model, struct err *e)
{
    int node;
    size_t outputs = cnn_shape_count(cnn_net_output(model->net));
    if (outputs > CNN_CLASSES_MAX)
        return err_set(e, ERR_UNPROCESSABLE, "model has %zu outputs, at most %d are served",
                       outputs, CNN_CLASSES_MAX);
    if ((size_t)model->meta.label_count != outputs)
        return err_set(e, ERR_UNPROCESSABLE, "model has %d labels for %zu outputs",
                       model->meta.label_count, outputs);
    if (!cnn_net_finite(model->net, &node))
        return err_set(e, ERR_UNPROCESSABLE, "weights of layer '%s' are not finite",
                       model->net->nodes[node].spec.name);
    return true;
}

static void write_shape(struct json_writer *w, const struct cnn_shape *shape)
{
    int dims[1 + CNN_AXES], count = cnn_shape_dims(shape, dims);
    jw_key(w, "input");
    jw_array(w);
    for (int i = 0; i < count; i++)
        jw_int(w, dims[i]);
    jw_array_end(w);
}

static void write_labels(struct json_writer *w, const struct model_meta *meta)
{
    jw_key(w, "labels");
    jw_array(w);
    for (int i = 0; i < meta->label_count; i++)
        jw_string(w, meta->labels[i]);
    jw_array_end(w);
}

static void write_provenance(struct json_writer *w, const struct model_meta *meta)
{
    jw_key_string(w, "split", meta->split[0] ? meta->split : NULL);
    jw_key_double(w, "test_loss", meta->test_loss);
    jw_key_double(w, "test_accuracy", meta->test_accuracy);
    jw_key_string(w, "weights_sha256", meta->weights_sha256[0] ? meta->weights_sha256 : NULL);
    jw_key_string(w, "dataset", meta->dataset[0] ? meta->dataset : NULL);
    jw_key(w, "dataset_version");
    if (meta->dataset_version)
        jw_int(w, meta->dataset_version);
    else
        jw_null(w);
}

static bool describe(struct model *model, struct err *e)
{
    struct buf text = {.data = NULL};
    struct json_writer w;
    jw_begin(&w, &text);
    jw_object(&w);
    write_shape(&w, &model->net->input);
    write_labels(&w, &model->meta);
    jw_key_int(&w, "parameters", (int64_t)model->net->param_count);
    jw_key_int(&w, "macs", (int64_t)cnn_net_macs(model->net));
    jw_key_int(&w, "bytes", (int64_t)model->bytes);
    jw_key(&w, "preprocess");
    preprocess_write(&w, &model->meta.preprocess);
    write_provenance(&w, &model->meta);
    jw_object_end(&w);
    model->info = strdup(buf_text(&text));
    const bool ok = buf_ok(&text) && model->info;
    buf_clear(&text);
    return ok || err_no_memory(e);
}

static bool read_file(struct model *model, const char *path, const char *sha256, struct err *e)
{
    struct file_map map;
    if (!file_map_open(&map, path, e))
        return false;
    bool ok = false;
    model->bytes = map.size;
    hash_sha256(map.bytes, map.size, model->sha256);
    if (sha256 && strcmp(sha256, model->sha256) != 0) {
        err_set(e, ERR_UNPROCESSABLE, "its SHA-256 is %s, the catalogue says %s", model->sha256,
                sha256);
        goto out;
    }
    model->net = onnx_read(map.bytes, map.size, &model->meta, e);
    ok = model->net && check(model, e) && describe(model, e) &&
         (model->predictor = cnn_predictor_new(model->net, e));
out:
    file_map_close(&map);
    return ok;
}

struct model *model_read(const char *name, int version, const char *path, const char *sha256,
                         struct err *e)
{
    struct model *model = model_new(name, version, e);
    if (model && !read_file(model, path, sha256, e)) {
        model_free(model);
        model = NULL;
    }
    return model;
}

/* ---- warm-up ---- */

static int64_t run_ns(struct cnn_lane *lane)
{
    int64_t start = clock_ns();
    cnn_lane_run(lane, 1);
    return clock_ns() - start;
}

/* The first run brings weights and memory in; so it counts only where no other follows. */
static int64_t measure_ns(struct cnn_lane *lane)
{
    int64_t best = run_ns(lane), total = best;
    for (int i = 1; i < WARM_RUNS_MAX && total < WARM_NS_MAX; i++) {
        int64_t ns = run_ns(lane);
        total += ns;
        best = ns < best ? ns : best;
    }
    return best;
}

bool model_warm(struct model *model, int lanes, struct err *e)
{
    struct cnn_lane *taken[MODEL_LANES_IDLE_MAX];
    int count = 0, wanted = lanes < MODEL_LANES_IDLE_MAX ? lanes : MODEL_LANES_IDLE_MAX;
    while (count < wanted && (taken[count] = model_lane_take(model, e)))
        count++;
    bool ok = count == wanted;
    for (int i = 0; i < count; i++) {
        /* A lane's memory is zeroed: so is this sample. */
        if (ok && i == 0)
            model->sample_ns = measure_ns(taken[i]);
        else if (ok)
            cnn_lane_run(taken[i], 1);
        model_lane_give(model, taken[i]);
    }
    return ok;
}

/* ---- users ---- */

struct model *model_acquire(struct model *model)
{
    atomic_fetch_add_explicit(&model->users, 1, memory_order_relaxed);
    return model;
}

void model_release(struct model *model)
{
    if (model && atomic_fetch_sub_explicit(&model->users, 1, memory_order_acq_rel) == 1)
        model_free(model);
}

/* ---- lanes ---- */

struct cnn_lane *model_lane_take(struct model *model, struct err *e)
{
    struct cnn_lane *lane = NULL;
    pthread_mutex_lock(&model->mutex);
    if (model->idle_count > 0)
        lane = model->idle[--model->idle_count];
    else
        model->lane_count++;
    pthread_mutex_unlock(&model->mutex);
    if (!lane) {
        lane = cnn_lane_new(model->predictor, e);
        pthread_mutex_lock(&model->mutex);
        model->lane_bytes = lane ? cnn_lane_bytes(lane) : model->lane_bytes;
        model->lane_count -= !lane;
        pthread_mutex_unlock(&model->mutex);
    }
    return lane;
}

void model_lane_give(struct model *model, struct cnn_lane *lane)
{
    if (!lane)
        return;
    pthread_mutex_lock(&model->mutex);
    bool keep = model->idle_count < MODEL_LANES_IDLE_MAX;
    if (keep)
        model->idle[model->idle_count++] = lane;
    else
        model->lane_count--;
    pthread_mutex_unlock(&model->mutex);
    if (!keep)
        cnn_lane_free(lane);
}

size_t model_memory(struct model *model)
{
    pthread_mutex_lock(&model->mutex);
    size_t lanes = (size_t)model->lane_count * model->lane_bytes;
    pthread_mutex_unlock(&model->mutex);
    return model->net->state_count * sizeof(float) + cnn_predictor_bytes(model->predictor) + lanes;
}

/* ---- counting ---- */

void model_count_request(struct model *model, const struct metrics_prediction *request)
{
    model_stats_request(&model->stats, request);
    metrics_predicted(model->metrics, request);
}

void model_count_batch(struct model *model, int samples, int64_t ns)
{
    model_stats_batch(&model->stats, samples, ns);
    metrics_batch(model->metrics, samples);
}
