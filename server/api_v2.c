/* The Open Inference Protocol: the server itself, and what its handlers share. */
#include "api_v2.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "json_write.h"
#include "name.h"

/* Triton's names of what goes beyond the protocol. */
static const char *const extensions[] = {"classification", "binary_tensor_data", "statistics",
                                         "model_configuration", "model_repository"};

bool api_v2_server(struct app *app, const struct http_request *request,
                   struct http_response *response, struct err *e)
{
    struct json_writer w;
    (void)request, (void)e;
    jw_begin(&w, &response->body);
    jw_object(&w);
    jw_key_string(&w, "name", app->config.server_name);
    jw_key_string(&w, "version", STRIDED_VERSION);
    jw_key(&w, "extensions");
    jw_array(&w);
    for (size_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++)
        jw_string(&w, extensions[i]);
    jw_array_end(&w);
    jw_object_end(&w);
    return true;
}

static bool answer_flag(struct http_response *response, const char *key)
{
    struct json_writer w;
    jw_begin(&w, &response->body);
    jw_object(&w);
    jw_key_bool(&w, key, true);
    jw_object_end(&w);
    return true;
}

bool api_v2_live(struct app *app, const struct http_request *request,
                 struct http_response *response, struct err *e)
{
    (void)app, (void)request, (void)e;
    return answer_flag(response, "live");
}

bool api_v2_ready(struct app *app, const struct http_request *request,
                  struct http_response *response, struct err *e)
{
    struct http_response unused;
    http_response_init(&unused);
    const bool ready = api_health_ready(app, request, &unused, e);
    http_response_clear(&unused);
    return ready && answer_flag(response, "ready");
}

/* ---- shared ---- */

bool api_v2_unknown(const char *name, int version, struct err *e)
{
    if (version > 0)
        return err_set(e, ERR_NOT_FOUND,
                       "Request for unknown model: version %d of model '%.64s' is not found",
                       version, name);
    return err_set(e, ERR_NOT_FOUND, "Request for unknown model: '%.64s' is not found", name);
}

bool api_v2_path(const struct http_request *request, const char **name, int *version, struct err *e)
{
    const char *text = request->params[1];
    char *end = NULL;
    struct err unused;
    *name = request->params[0];
    *version = 0;
    if (!name_check(*name, "model", &unused))
        return api_v2_unknown(*name, 0, e);
    if (!text[0])
        return true;
    errno = 0;
    const long number = strtol(text, &end, 10);
    if (text[0] < '1' || text[0] > '9' || *end || errno || number > INT_MAX)
        return err_set(e, ERR_NOT_FOUND,
                       "Request for unknown model: version '%.40s' of model '%.64s' is not found",
                       text, *name);
    *version = (int)number;
    return true;
}

bool api_v2_error(const char *name, int version, struct err *e)
{
    if (e->code == ERR_NOT_FOUND)
        return api_v2_unknown(name, version, e);
    if (e->code == ERR_CONFLICT) /* unloaded on request */
        return err_set(e, ERR_NOT_FOUND,
                       "Request for unknown model: '%.64s' has no available versions", name);
    return false;
}
