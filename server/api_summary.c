#include <stdio.h>
#include <string.h>

#include "api_models.h"
#include "arch_json.h"
#include "json_read.h"
#include "presets.h"
#include "report.h"
#include "tensor_json.h"

static void write_summary(const struct http_request *request, struct http_response *response,
                          const struct cnn_net *net, const char *title)
{
    static const char *const offers[] = {"application/json", "text/plain", NULL};
    if (http_accept(request, offers) == 1) {
        response->content_type = "text/plain; charset=utf-8";
        report_summary_text(&response->body, net, title);
        return;
    }
    struct json_writer w;
    jw_begin(&w, &response->body);
    report_summary_json(&w, net);
}

bool api_models_summary(struct app *app, const struct http_request *request,
                        struct http_response *response, struct err *e)
{
    struct model *model = api_model_acquire(app, request, e);
    if (!model)
        return false;
    char title[LIMIT_NAME_BYTES + 32];
    snprintf(title, sizeof title, "%s, version %d", model->name, model->version);
    write_summary(request, response, model->net, title);
    model_release(model);
    return true;
}

/* ---- POST /summary ---- */

static bool refuse_input(struct err *e)
{
    return err_field(e, ERR_INVALID, "input", "expected a flat list of 1 to %d sizes",
                     1 + CNN_AXES);
}

/* Takes "input" out of the body, if it is a list of numbers; *rest is the body without it. */
static bool lift_input(const struct http_request *request, struct tensor *input, struct buf *rest,
                       struct err *e)
{
    if (tensor_json_lift(request->body, request->body_size, "input", 1 + CNN_AXES, input, rest, e))
        return true;
    return e->code == ERR_TOO_LARGE ? refuse_input(e) : false;
}

/* The lifted "input": 1 to 4 whole numbers. */
static bool read_input(const struct tensor *tensor, struct cnn_shape *shape, struct err *e)
{
    long long dims[1 + CNN_AXES];
    if (tensor->rank != 1 || tensor->count < 1 || tensor->count > 1 + CNN_AXES)
        return refuse_input(e);
    for (size_t i = 0; i < tensor->count; i++) {
        float size = tensor->data[i];
        if (!(size >= 1 && size <= CNN_DIM_MAX) || size != (float)(int)size)
            return err_field(e, ERR_INVALID, "input", "size %g is not a whole number in 1..%d",
                             (double)size, CNN_DIM_MAX);
        dims[i] = (long long)size;
    }
    return cnn_shape_from_dims(shape, dims, (int)tensor->count, e) || err_within(e, "input");
}

/* {"architecture":..., "input":[1,28,28], "classes":10}; input is NULL when it was not there. */
static struct cnn_net *plan(const struct cJSON *document, const struct cnn_shape *input,
                            struct err *e)
{
    static const char *const keys[] = {"architecture", "input", "classes", NULL};
    struct cnn_spec spec = {.layer_count = 0};
    struct cnn_net *net = NULL;
    int64_t classes = 0;
    const struct cJSON *architecture;
    if (!json_is_object(document, "body", e) || !json_only(document, keys, e) ||
        !json_get_int(document, "classes", 1, CNN_DIM_MAX, &classes, e))
        return NULL;
    if (!input && json_get(document, "input")) {
        json_wrong("input", json_get(document, "input"), "a list of sizes", e);
        return NULL;
    }
    architecture = json_get(document, "architecture");
    if (!architecture) {
        err_field(e, ERR_INVALID, "architecture",
                  "missing 'architecture', expected a preset's name or an object");
        return NULL;
    }
    if (arch_parse(architecture, input, (int)classes, &spec, e))
        net = cnn_net_plan(&spec, e);
    if (!net)
        err_within(e, "architecture");
    cnn_spec_clear(&spec);
    return net;
}

bool api_summary(struct app *app, const struct http_request *request,
                 struct http_response *response, struct err *e)
{
    struct tensor tensor = {.rank = 0};
    struct buf rest = {.data = NULL};
    struct cnn_shape input;
    struct cJSON *document = NULL;
    struct cnn_net *net = NULL;
    (void)app;
    if (!lift_input(request, &tensor, &rest, e) || (tensor.data && !read_input(&tensor, &input, e)))
        goto out;
    document = json_parse(rest.data, rest.size, e);
    if (!document)
        goto out;
    net = plan(document, tensor.data ? &input : NULL, e);
    if (net)
        write_summary(request, response, net, "");
out:
    cnn_net_free(net);
    json_free(document);
    buf_clear(&rest);
    tensor_clear(&tensor);
    return net != NULL;
}

/* ---- GET /architectures ---- */

static bool write_preset(struct json_writer *w, const struct cnn_preset *preset, struct err *e)
{
    struct cnn_spec spec = {.layer_count = 0};
    struct cnn_net *net = NULL;
    if (cnn_preset_spec(preset, NULL, 0, &spec, e))
        net = cnn_net_plan(&spec, e);
    cnn_spec_clear(&spec);
    if (!net)
        return false;
    jw_object(w);
    jw_key_string(w, "name", preset->name);
    jw_key_string(w, "description", preset->description);
    api_write_shape(w, "input", &net->input);
    jw_key_int(w, "classes", preset->classes);
    jw_key_int(w, "parameters", (int64_t)net->param_count);
    jw_key_int(w, "macs", (int64_t)cnn_net_macs(net));
    jw_key(w, "summary");
    report_summary_json(w, net);
    jw_object_end(w);
    cnn_net_free(net);
    return true;
}

bool api_architectures(struct app *app, const struct http_request *request,
                       struct http_response *response, struct err *e)
{
    struct json_writer w;
    const struct cnn_preset *preset;
    (void)app, (void)request;
    jw_begin(&w, &response->body);
    jw_object(&w);
    jw_key(&w, "architectures");
    jw_array(&w);
    for (int i = 0; (preset = cnn_preset_at(i)); i++) {
        if (!write_preset(&w, preset, e))
            return false;
    }
    jw_array_end(&w);
    jw_object_end(&w);
    return true;
}
