/* http_cors.h - pages of which other origins may use the API from a browser (the CORS protocol of
 * the Fetch standard). Off unless origins are configured; no credentials are involved. */
#ifndef STRIDED_HTTP_CORS_H
#define STRIDED_HTTP_CORS_H

#include "http.h"

/* The setting: "" = off, "*" = every origin, or a list "https://a.example, http://localhost:3000".
 * Says what is wrong with it. */
bool http_cors_check(const char *origins, struct err *e);

/* Marks any reply, errors too, as readable by the page. */
void http_cors_answer(const char *origins, const struct http_request *request,
                      struct http_response *response);

/* Whether this OPTIONS request, to a path with the methods `allow`, is a browser that asks first;
 * then the response is the answer, which http_cors_answer completes. */
bool http_cors_preflight(const char *origins, const struct http_request *request, const char *allow,
                         struct http_response *response);

#endif
