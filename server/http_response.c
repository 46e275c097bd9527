#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "http.h"

void http_response_init(struct http_response *response)
{
    memset(response, 0, offsetof(struct http_response, headers));
    response->status = 200;
    response->content_type = "application/json";
    response->file = -1;
}

void http_response_clear(struct http_response *response)
{
    buf_clear(&response->body);
    if (response->stream.free)
        response->stream.free(response->stream.context);
    if (response->file >= 0)
        close(response->file);
    http_response_init(response);
}

void http_set_header(struct http_response *response, const char *name, const char *value)
{
    CHECK(response->header_count < HTTP_HEADERS_MAX);
    int at = response->header_count++;
    snprintf(response->headers[at].name, sizeof response->headers[at].name, "%s", name);
    snprintf(response->headers[at].value, sizeof response->headers[at].value, "%s", value);
    for (char *c = response->headers[at].value; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
}
