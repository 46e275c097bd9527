#include "http_problem.h"

#include <stddef.h>
#include <stdio.h>

#include "json_write.h"

static const int statuses[ERR_CODE_COUNT] = {
    [ERR_NONE] = 500,          [ERR_INVALID] = 400,   [ERR_NOT_FOUND] = 404,
    [ERR_CONFLICT] = 409,      [ERR_TOO_LARGE] = 413, [ERR_MEDIA_TYPE] = 415,
    [ERR_UNPROCESSABLE] = 422, [ERR_BUSY] = 429,      [ERR_UNAVAILABLE] = 503,
    [ERR_NO_SPACE] = 507,      [ERR_NO_MEMORY] = 503, [ERR_IO] = 500,
    [ERR_DIVERGED] = 422,      [ERR_CANCELLED] = 409, [ERR_INTERNAL] = 500,
};

int http_status_of(enum err_code code)
{
    return (unsigned)code < ERR_CODE_COUNT ? statuses[code] : 500;
}

const char *http_status_title(int status)
{
    static const struct {
        int status;
        const char *title;
    } titles[] = {
        {400, "Bad Request"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++)
        if (titles[i].status == status)
            return titles[i].title;
    return "Error";
}

/* An empty response of this status; what it held before is dropped. */
static void begin(struct http_response *response, int status)
{
    const struct http_response before = *response;
    http_response_clear(response);
    response->figures = before.figures;
    response->waits = before.waits;
    response->status = status;
    if (status == 429 || status == 503)
        http_set_header(response, "Retry-After", "1");
}

void http_problem(struct http_response *response, int status, const struct err *e,
                  const char *request_id)
{
    struct json_writer w;
    begin(response, status);
    response->content_type = "application/problem+json";
    jw_begin(&w, &response->body);
    jw_object(&w);
    jw_key_string(&w, "type", "about:blank");
    jw_key_string(&w, "title", http_status_title(status));
    jw_key_int(&w, "status", status);
    jw_key_string(&w, "detail", e->detail);
    if (e->field[0] != '\0')
        jw_key_string(&w, "field", e->field);
    jw_key_string(&w, "request_id", request_id);
    jw_object_end(&w);
    buf_str(&response->body, "\n");
}

void http_problem_v2(struct http_response *response, int status, const struct err *e)
{
    char text[sizeof e->detail + sizeof e->field + 4];
    struct json_writer w;
    snprintf(text, sizeof text, "%s%s%s", e->field, e->field[0] ? ": " : "", e->detail);
    begin(response, status);
    jw_begin(&w, &response->body);
    jw_object(&w);
    jw_key_string(&w, "error", text);
    jw_object_end(&w);
}
