/* api_health.c - is it alive, is it ready, what is it. */
#include "api.h"
#include "json_write.h"
#include "kernels.h"
#include "openapi.h"

static bool answer_status(struct http_response *response, const char *status)
{
    struct json_writer w;
    jw_begin(&w, &response->body);
    jw_object(&w);
    jw_key_string(&w, "status", status);
    jw_object_end(&w);
    return true;
}

bool api_health_live(struct app *app, const struct http_request *request,
                     struct http_response *response, struct err *e)
{
    (void)app, (void)request, (void)e;
    return answer_status(response, "ok");
}

bool api_health_ready(struct app *app, const struct http_request *request,
                      struct http_response *response, struct err *e)
{
    (void)request;
    if (atomic_load(&app->draining))
        return err_set(e, ERR_UNAVAILABLE, "the daemon is stopping");
    if (!atomic_load(&app->ready))
        return err_set(e, ERR_UNAVAILABLE, "the daemon is loading");
    return answer_status(response, "ready");
}

bool api_version(struct app *app, const struct http_request *request,
                 struct http_response *response, struct err *e)
{
    (void)request, (void)e;
    struct json_writer w;
    jw_begin(&w, &response->body);
    jw_object(&w);
    jw_key_string(&w, "name", "strided");
    jw_key_string(&w, "version", STRIDED_VERSION);
    jw_key_string(&w, "cpu", cnn_kernels()->name);
    jw_key_int(&w, "threads", app->config.threads);
    jw_object_end(&w);
    return true;
}

bool api_openapi(struct app *app, const struct http_request *request,
                 struct http_response *response, struct err *e)
{
    (void)app, (void)request, (void)e;
    buf_add(&response->body, openapi_json, (size_t)(openapi_json_end - openapi_json));
    return true;
}

bool api_index(struct app *app, const struct http_request *request, struct http_response *response,
               struct err *e)
{
    static const char *const links[][2] = {
        {"openapi", "/openapi.json"},
        {"predict", "/predict"},
        {"models", "/models"},
        {"datasets", "/datasets"},
        {"jobs", "/jobs"},
        {"architectures", "/architectures"},
        {"storage", "/storage"},
        {"health", "/health/ready"},
        {"metrics", "/metrics"},
        {"version", "/version"},
    };
    (void)app, (void)request, (void)e;
    struct json_writer w;
    jw_begin(&w, &response->body);
    jw_object(&w);
    jw_key_string(&w, "name", "strided");
    jw_key_string(&w, "version", STRIDED_VERSION);
    jw_key(&w, "links");
    jw_object(&w);
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        jw_key_string(&w, links[i][0], links[i][1]);
    jw_object_end(&w);
    jw_object_end(&w);
    return true;
}
