/* The model repository of the Open Inference Protocol: what there is, loading and unloading. */
#include <stdio.h>

#include "api.h"
#include "api_v2.h"
#include "json_write.h"
#include "v2.h"

static void write_entry(struct json_writer *w, const struct registry_version *found)
{
    static const char *const states[] = {[REGISTRY_UNLOADED] = "READY",
                                         [REGISTRY_LOADING] = "LOADING",
                                         [REGISTRY_LOADED] = "READY",
                                         [REGISTRY_DAMAGED] = "UNAVAILABLE"};
    char version[16];
    snprintf(version, sizeof version, "%d", found->version);
    jw_object(w);
    jw_key_string(w, "name", found->name);
    jw_key_string(w, "version", version);
    /* One that is only not in memory comes back when it is asked; one that was unloaded does not.
     */
    jw_key_string(w, "state", found->reason[0] ? "UNAVAILABLE" : states[found->state]);
    jw_key_string(w, "reason", found->reason);
    jw_object_end(w);
}

bool api_v2_index(struct app *app, const struct http_request *request,
                  struct http_response *response, struct err *e)
{
    struct store_model *rows;
    struct registry_version found;
    struct err gone;
    bool only_ready = false;
    int count;
    if (!v2_index_read(request->body, request->body_size, &only_ready, e) ||
        !store_models(app->store, &rows, &count, e))
        return false;
    struct json_writer w;
    jw_begin(&w, &response->body);
    jw_array(&w);
    for (int i = 0; i < count; i++)
        if (registry_find(app->registry, rows[i].name, rows[i].version, &found, &gone) &&
            (!only_ready || (!found.reason[0] && found.state != REGISTRY_LOADING)))
            write_entry(&w, &found);
    jw_array_end(&w);
    store_models_free(rows, count);
    return true;
}

/* Clients look at the status alone. */
static bool answer_done(struct http_response *response)
{
    buf_str(&response->body, "{}");
    return true;
}

/* Parameters (a configuration, files) are refused: models come by PUT /models/M or from a job. */
bool api_v2_load(struct app *app, const struct http_request *request,
                 struct http_response *response, struct err *e)
{
    const char *name;
    int version;
    if (!api_v2_path(request, &name, &version, e) ||
        !v2_load_check(request->body, request->body_size, e))
        return false;
    return registry_load_model(app->registry, name, e) ? answer_done(response)
                                                       : api_v2_error(name, 0, e);
}

bool api_v2_unload(struct app *app, const struct http_request *request,
                   struct http_response *response, struct err *e)
{
    const char *name;
    int version;
    if (!api_v2_path(request, &name, &version, e))
        return false;
    return registry_unload_model(app->registry, name, e) ? answer_done(response)
                                                         : api_v2_error(name, 0, e);
}
