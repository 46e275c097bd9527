/* POST /predict: every body that predict_body.h reads; JSON, or the scores as they are. */
#include <string.h>

#include "api_datasets.h"
#include "api_models.h"
#include "api_query.h"
#include "predict_reply.h"
#include "prediction.h"

enum { TOP_DEFAULT = 3 };

struct options {
    int top;         /* how many classes of each prediction are named */
    bool all_scores; /* and every class's score besides */
    bool raw;        /* only the scores, as float32 */
    enum invert invert;
    enum predict_dtype dtype;
    struct cnn_voxelize voxelize;
};

struct predict {
    struct prediction base;
    struct options options;
};

static struct predict *predict_of(struct prediction *p)
{
    return (struct predict *)(void *)p;
}

static const struct options *options_of(const struct prediction *p)
{
    return &((const struct predict *)(const void *)p)->options;
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

static bool read_options(struct prediction *p, struct options *options, struct err *e)
{
    static const char *const offers[] = {"application/json", "application/octet-stream", NULL};
    static const char *const scores[] = {"top", "all", NULL};
    static const char *const inverts[] = {"auto", "true", "false", NULL};
    static const char *const dtypes[] = {"any", "float32", "uint8", NULL};
    _Static_assert(INVERT_AUTO == 0 && INVERT_YES == 1 && INVERT_NO == 2, "order of inverts[]");
    _Static_assert(PREDICT_FLOAT32 == 1 && PREDICT_UINT8 == 2, "order of dtypes[]");
    const int classes = p->model->meta.label_count, longest = p->timeout_ms;
    int all = 0, invert = INVERT_AUTO, dtype = PREDICT_ANY;
    options->top = classes < TOP_DEFAULT ? classes : TOP_DEFAULT;
    options->voxelize = preprocess_voxelize(&p->model->meta.preprocess);
    if (!api_query_int(p->request, "top", 1, classes, &options->top, e) ||
        !api_query_int(p->request, "timeout_ms", 1, longest, &p->timeout_ms, e) ||
        !query_choice(p->request, "scores", scores, "all", &all, e) ||
        !query_choice(p->request, "invert", inverts, "true, false or auto", &invert, e) ||
        !query_choice(p->request, "dtype", dtypes, "float32 or uint8", &dtype, e) ||
        !api_query_voxelize(p->request, &options->voxelize, e))
        return false;
    options->all_scores = all == 1;
    options->invert = (enum invert)invert;
    options->dtype = (enum predict_dtype)dtype;
    options->raw = http_accept(p->request, offers) == 1;
    return true;
}

/* ---- the protocol ---- */

static struct predict_body body_of(const struct http_request *request)
{
    return (struct predict_body){
        .content_type = request->content_type, .bytes = request->body, .size = request->body_size};
}

static bool is_quick(const struct prediction *p)
{
    const struct predict_body body = body_of(p->request);
    return predict_body_is_quick(&body);
}

static bool decode(struct prediction *p, struct err *e)
{
    struct options *options = &predict_of(p)->options;
    struct predict_body body = body_of(p->request);
    if (!read_options(p, options, e))
        return false;
    body.invert = options->invert;
    body.dtype = options->dtype;
    body.voxelize = &options->voxelize;
    return predict_body_decode(&body, &p->model->net->input, &p->model->meta.preprocess, &p->batch,
                               e);
}

static size_t reply_classes(const struct prediction *p)
{
    const struct options *o = options_of(p);
    const int named = o->raw ? 0 : o->top + (o->all_scores ? p->model->meta.label_count : 0);
    return (size_t)named * (size_t)p->batch.count;
}

static void reply(struct prediction *p)
{
    const struct options *o = options_of(p);
    const int classes = p->model->meta.label_count;
    if (o->raw) {
        p->response->content_type = "application/octet-stream";
        buf_add(&p->response->body, p->scores,
                (size_t)p->batch.count * (size_t)classes * sizeof *p->scores);
        return;
    }
    const struct predict_reply document = {
        .model = p->model->name,
        .version = p->model->version,
        .classes = classes,
        .labels = p->model->meta.labels,
        .count = p->batch.count,
        .scores = p->scores,
        .top = o->top,
        .all_scores = o->all_scores,
        .decode_us = p->decode_ns / 1000,
        .queue_us = p->task.queue_ns / 1000,
        .compute_us = p->task.compute_ns / 1000,
    };
    predict_reply_write(&document, &p->response->body);
}

static const struct prediction_protocol protocol = {
    .size = sizeof(struct predict),
    .is_quick = is_quick,
    .decode = decode,
    .reply_classes = reply_classes,
    .reply = reply,
};

bool api_predict(struct app *app, const struct http_request *request,
                 struct http_response *response, struct err *e)
{
    const char *name;
    int version;
    return api_which_model(request, &name, &version, e) &&
           prediction_serve(app, &protocol, name, version, request, response, e);
}
