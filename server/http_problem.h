/* http_problem.h - errors as RFC 9457 problem documents. */
#ifndef STRIDED_HTTP_PROBLEM_H
#define STRIDED_HTTP_PROBLEM_H

#include "http.h"

/* The standard phrase of a status ("Not Found"). */
const char *http_status_title(int status);

/* Makes the response the problem document of e; what it held before is dropped. 429 and 503 get
 * Retry-After. */
void http_problem(struct http_response *response, int status, const struct err *e,
                  const char *request_id);

/* The same as clients of the Open Inference Protocol read it: {"error":"..."}. */
void http_problem_v2(struct http_response *response, int status, const struct err *e);

#endif
