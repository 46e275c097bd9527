#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api_datasets.h"
#include "api_models.h"
#include "api_query.h"
#include "memory.h"
#include "predict_body.h"
#include "workspace.h"

enum { TOP_DEFAULT = 3 };

struct predict_options {
    int top;         /* how many classes of each prediction are named */
    bool all_scores; /* and every class's score besides */
    bool raw;        /* only the scores, as float32 */
    enum invert invert;
    enum predict_dtype dtype;
    struct cnn_voxelize voxelize;
};

struct predict_timing {
    int64_t decode_us, queue_us, compute_us;
};

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- options ---- */

/* ?name= as one of `choices` (NULL-terminated); absent = left as it is. */
static bool query_choice(const struct http_request *request, const char *name,
                         const char *const *choices, const char *expected, int *choice,
                         struct err *e)
{
    const char *text = http_query(request, name);
    if (!text)
        return true;
    for (int i = 0; choices[i]; i++) {
        if (strcmp(choices[i], text) == 0) {
            *choice = i;
            return true;
        }
    }
    return err_field(e, ERR_INVALID, name, "expected %s, got '%.40s'", expected, text);
}

static bool read_options(const struct http_request *request, const struct model *model,
                         struct predict_options *options, struct err *e)
{
    static const char *const offers[] = {"application/json", "application/octet-stream", NULL};
    static const char *const scores[] = {"top", "all", NULL};
    static const char *const inverts[] = {"auto", "true", "false", NULL};
    static const char *const dtypes[] = {"any", "float32", "uint8", NULL};
    _Static_assert(INVERT_AUTO == 0 && INVERT_YES == 1 && INVERT_NO == 2, "order of inverts[]");
    _Static_assert(PREDICT_FLOAT32 == 1 && PREDICT_UINT8 == 2, "order of dtypes[]");
    const int classes = model->meta.label_count;
    int all = 0, invert = INVERT_AUTO, dtype = PREDICT_ANY;
    options->voxelize = preprocess_voxelize(&model->meta.preprocess);
    options->top = classes < TOP_DEFAULT ? classes : TOP_DEFAULT;
    if (!api_query_int(request, "top", 1, classes, &options->top, e) ||
        !query_choice(request, "scores", scores, "all", &all, e) ||
        !query_choice(request, "invert", inverts, "true, false or auto", &invert, e) ||
        !query_choice(request, "dtype", dtypes, "float32 or uint8", &dtype, e) ||
        !api_query_voxelize(request, &options->voxelize, e))
        return false;
    options->all_scores = all == 1;
    options->invert = (enum invert)invert;
    options->dtype = (enum predict_dtype)dtype;
    options->raw = http_accept(request, offers) == 1;
    return true;
}

/* ---- computing ---- */

enum { LANES_MAX = 16 }; /* that share one request's samples */

/* As many lanes as the batch is worth; false when there is no memory for one. */
static bool take_lanes(struct app *app, struct model *model, int samples, struct cnn_lane **lanes,
                       int *count, struct err *e)
{
    const int most = app->config.threads < LANES_MAX ? app->config.threads : LANES_MAX;
    const int wanted = cnn_predictor_lanes(model->predictor, samples, most);
    *count = 0;
    while (*count < wanted && (lanes[*count] = registry_lane_take(app->registry, model, e)))
        ++*count;
    return *count > 0;
}

/* Scores of the whole batch, [count, classes]. */
static float *compute(struct app *app, struct model *model, const struct predict_batch *batch,
                      struct predict_timing *timing, struct err *e)
{
    const size_t classes = (size_t)model->meta.label_count;
    struct cnn_lane *lanes[LANES_MAX];
    int lane_count;
    const int64_t start = now_us();
    float *scores = memory_new((size_t)batch->count * classes, sizeof *scores, e);
    if (!scores || !take_lanes(app, model, batch->count, lanes, &lane_count, e)) {
        free(scores);
        return NULL;
    }
    const int64_t taken = now_us();
    cnn_predict(lanes, lane_count, batch->x, batch->count, scores);
    cnn_scores(model->net, scores, batch->count);
    for (int i = 0; i < lane_count; i++)
        registry_lane_give(app->registry, model, lanes[i]);
    timing->queue_us = taken - start;
    timing->compute_us = now_us() - taken;
    return scores;
}

/* ---- the reply ---- */

/* Highest score first, NaN last, then by class. */
static int compare_classes(const void *left, const void *right, void *context)
{
    int a = *(const int *)left, b = *(const int *)right;
    const float *scores = context;
    float x = isnan(scores[a]) ? -INFINITY : scores[a],
          y = isnan(scores[b]) ? -INFINITY : scores[b];
    if (x != y)
        return x > y ? -1 : 1;
    return a < b ? -1 : a > b;
}

static void write_class(struct json_writer *w, const struct model *model, int class, float score)
{
    jw_key_string(w, "label", model->meta.labels[class]);
    jw_key_int(w, "index", class);
    jw_key(w, "score");
    jw_float(w, score);
}

/* order: [classes] of scratch */
static void write_prediction(struct json_writer *w, const struct model *model, float *scores,
                             const struct predict_options *options, int *order)
{
    int classes = model->meta.label_count;
    for (int i = 0; i < classes; i++)
        order[i] = i;
    qsort_r(order, (size_t)classes, sizeof *order, compare_classes, scores);
    jw_object(w);
    write_class(w, model, order[0], scores[order[0]]);
    jw_key(w, "top");
    jw_array(w);
    for (int i = 0; i < options->top; i++) {
        jw_object(w);
        write_class(w, model, order[i], scores[order[i]]);
        jw_object_end(w);
    }
    jw_array_end(w);
    if (options->all_scores) {
        jw_key(w, "scores");
        jw_array(w);
        for (int i = 0; i < classes; i++)
            jw_float(w, scores[i]);
        jw_array_end(w);
    }
    jw_object_end(w);
}

static void write_reply(struct buf *out, const struct model *model, float *scores, int count,
                        const struct predict_options *options, const struct predict_timing *timing,
                        int *order)
{
    struct json_writer w;
    jw_begin(&w, out);
    jw_object(&w);
    jw_key_string(&w, "model", model->name);
    jw_key_int(&w, "version", model->version);
    jw_key(&w, "predictions");
    jw_array(&w);
    for (int i = 0; i < count; i++)
        write_prediction(&w, model, scores + (size_t)i * (size_t)model->meta.label_count, options,
                         order);
    jw_array_end(&w);
    jw_key(&w, "timing_us");
    jw_object(&w);
    jw_key_int(&w, "decode", timing->decode_us);
    jw_key_int(&w, "queue", timing->queue_us);
    jw_key_int(&w, "compute", timing->compute_us);
    jw_object_end(&w);
    jw_object_end(&w);
}

static bool predict(struct app *app, struct model *model, const struct http_request *request,
                    struct http_response *response, struct err *e)
{
    struct predict_options options;
    struct predict_batch batch = {.count = 0};
    struct predict_timing timing;
    float *scores = NULL;
    int *order = NULL;
    bool ok = false;
    size_t classes = (size_t)model->meta.label_count;
    int64_t start = now_us();
    if (!read_options(request, model, &options, e))
        return false;
    const struct predict_body body = {
        .content_type = request->content_type,
        .bytes = request->body,
        .size = request->body_size,
        .invert = options.invert,
        .dtype = options.dtype,
        .voxelize = &options.voxelize,
    };
    if (!predict_body_decode(&body, &model->net->input, &model->meta.preprocess, &batch, e))
        goto out;
    timing.decode_us = now_us() - start;
    scores = compute(app, model, &batch, &timing, e);
    order = memory_new(classes, sizeof *order, e);
    if (!scores || !order)
        goto out;
    if (options.raw) {
        response->content_type = "application/octet-stream";
        buf_add(&response->body, scores, (size_t)batch.count * classes * sizeof *scores);
    } else {
        write_reply(&response->body, model, scores, batch.count, &options, &timing, order);
    }
    ok = true;
out:
    free(order);
    free(scores);
    predict_batch_clear(&batch);
    return ok;
}

bool api_predict(struct app *app, const struct http_request *request,
                 struct http_response *response, struct err *e)
{
    struct model *model = api_model_acquire(app, request, e);
    bool ok = model && predict(app, model, request, response, e);
    registry_release(app->registry, model);
    return ok;
}
