#include "http_cors.h"

#include <string.h>

/* The next of a comma-separated list; NULL at its end. */
static const char *next_item(const char **list, size_t *size)
{
    *list += strspn(*list, ", ");
    const char *item = *list;
    *size = strcspn(item, ", ");
    *list += *size;
    return *size > 0 ? item : NULL;
}

/* What a browser sends: scheme://host[:port] or "null". */
static bool is_origin(const char *item, size_t size)
{
    const char *host = memmem(item, size, "://", 3);
    if (size == 4 && memcmp(item, "null", 4) == 0)
        return true;
    if (!host || host == item)
        return false;
    host += 3;
    size_t host_size = size - (size_t)(host - item);
    return host_size > 0 && !memchr(host, '/', host_size);
}

bool http_cors_check(const char *origins, struct err *e)
{
    size_t size;
    if (strcmp(origins, "*") == 0)
        return true;
    for (const char *item; (item = next_item(&origins, &size));)
        if (!is_origin(item, size))
            return err_field(e, ERR_INVALID, "cors-origin",
                             "expected '*' or origins like https://a.example:8080, got '%.*s'",
                             (int)size, item);
    return true;
}

static bool is_listed(const char *origins, const char *origin)
{
    size_t size;
    for (const char *item; (item = next_item(&origins, &size));)
        if (strlen(origin) == size && memcmp(item, origin, size) == 0)
            return true;
    return false;
}

void http_cors_answer(const char *origins, const struct http_request *request,
                      struct http_response *response)
{
    if (origins[0] == '\0')
        return;
    bool any = strcmp(origins, "*") == 0;
    const char *origin = http_header(request, "Origin");
    if (!any)
        http_set_header(response, "Vary", "Origin"); /* caches: for other origins another reply */
    if (!origin || (!any && !is_listed(origins, origin)))
        return;
    http_set_header(response, "Access-Control-Allow-Origin", any ? "*" : origin);
    http_set_header(response, "Access-Control-Expose-Headers",
                    "X-Request-Id, Location, Retry-After, Inference-Header-Content-Length");
}

/* A list of header names, short enough to be given back. */
static bool are_names(const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "-_, ";
    return strspn(text, allowed) == strlen(text) &&
           strlen(text) < sizeof((struct http_response *)0)->headers[0].value;
}

bool http_cors_preflight(const char *origins, const struct http_request *request, const char *allow,
                         struct http_response *response)
{
    const char *headers = http_header(request, "Access-Control-Request-Headers");
    if (origins[0] == '\0' || strcmp(request->method, "OPTIONS") != 0 ||
        !http_header(request, "Origin") || !http_header(request, "Access-Control-Request-Method"))
        return false;
    response->status = 204;
    http_set_header(response, "Allow", allow);
    http_set_header(response, "Access-Control-Allow-Methods", allow);
    if (headers && are_names(headers))
        http_set_header(response, "Access-Control-Allow-Headers", headers);
    http_set_header(response, "Access-Control-Max-Age", "600");
    return true;
}
