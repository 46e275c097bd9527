#include <stdio.h>
#include <string.h>

#include "api_models.h"
#include "arch_json.h"
#include "json_read.h"
#include "presets.h"
#include "report.h"

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

/* {"architecture":..., "input":[1,28,28], "classes":10} */
static struct cnn_net *plan(const struct cJSON *document, struct err *e)
{
    static const char *const keys[] = {"architecture", "input", "classes", NULL};
    struct cnn_spec spec = {.layer_count = 0};
    struct cnn_shape shape;
    struct cnn_net *net = NULL;
    int64_t classes = 0;
    if (!json_is_object(document, "body", e) || !json_only(document, keys, e) ||
        !json_get_int(document, "classes", 1, CNN_DIM_MAX, &classes, e))
        return NULL;
    const struct cJSON *architecture = json_get(document, "architecture");
    const struct cJSON *input = json_get(document, "input");
    if (input && !arch_shape_parse(input, &shape, e)) {
        err_within(e, "input");
        return NULL;
    }
    if (!architecture) {
        err_field(e, ERR_INVALID, "architecture",
                  "missing 'architecture', expected a preset's name or an object");
        return NULL;
    }
    if (arch_parse(architecture, input ? &shape : NULL, (int)classes, &spec, e))
        net = cnn_net_plan(&spec, e);
    if (!net)
        err_within(e, "architecture");
    cnn_spec_clear(&spec);
    return net;
}

bool api_summary(struct app *app, const struct http_request *request,
                 struct http_response *response, struct err *e)
{
    (void)app;
    struct cJSON *document = json_parse(request->body, request->body_size, e);
    struct cnn_net *net = document ? plan(document, e) : NULL;
    if (net)
        write_summary(request, response, net, "");
    cnn_net_free(net);
    json_free(document);
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
