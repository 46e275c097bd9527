/* POST /v2/models/M/infer */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "api_v2.h"
#include "prediction.h"
#include "v2.h"

struct infer {
    struct prediction base;
    struct v2_wanted wanted;
};

static struct infer *infer_of(struct prediction *p)
{
    return (struct infer *)(void *)p;
}

static const char head_name[] = "Inference-Header-Content-Length";

/* A head that is no number is longer than any body, and refused as that. */
static struct v2_body body_of(const struct http_request *request)
{
    const char *text = http_header(request, head_name);
    struct v2_body body = {request->body, request->body_size, V2_HEAD_ALL};
    if (text) {
        const bool digits = text[0] && strspn(text, "0123456789") == strlen(text);
        body.head = digits && strlen(text) < 19 ? strtoll(text, NULL, 10) : INT64_MAX;
    }
    return body;
}

static bool is_quick(const struct prediction *p)
{
    const struct v2_body body = body_of(p->request);
    return v2_request_is_quick(&body);
}

static bool decode(struct prediction *p, struct err *e)
{
    struct v2_wanted *wanted = &infer_of(p)->wanted;
    const struct v2_body body = body_of(p->request);
    if (!v2_request_read(&body, &p->model->net->input, &p->model->meta.preprocess, &p->batch,
                         wanted, e))
        return false;
    const int64_t timeout_ms = (wanted->timeout_us + 999) / 1000;
    if (wanted->timeout_us > 0 && timeout_ms < p->timeout_ms)
        p->timeout_ms = (int)timeout_ms;
    return true;
}

static size_t reply_classes(const struct prediction *p)
{
    return (size_t)p->batch.count * (size_t)p->model->meta.label_count;
}

static void reply(struct prediction *p)
{
    const struct v2_reply document = {
        .model = p->model->name,
        .version = p->model->version,
        .wanted = &infer_of(p)->wanted,
        .count = p->batch.count,
        .classes = p->model->meta.label_count,
        .labels = p->model->meta.labels,
        .scores = p->scores,
    };
    int64_t head;
    v2_reply_write(&document, &p->response->body, &head);
    if (head == V2_HEAD_ALL)
        return;
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)head);
    http_set_header(p->response, head_name, text);
    p->response->content_type = "application/octet-stream";
}

static void clear(struct prediction *p)
{
    v2_wanted_clear(&infer_of(p)->wanted);
}

static const struct prediction_protocol protocol = {
    .size = sizeof(struct infer),
    .is_quick = is_quick,
    .decode = decode,
    .reply_classes = reply_classes,
    .reply = reply,
    .clear = clear,
};

bool api_v2_infer(struct app *app, const struct http_request *request,
                  struct http_response *response, struct err *e)
{
    const char *name;
    int version;
    if (!api_v2_path(request, &name, &version, e))
        return false;
    return prediction_serve(app, &protocol, name, version, request, response, e) ||
           api_v2_error(name, version, e);
}
