/* api_query.h - numbers in queries and paths, for the handlers. */
#ifndef STRIDED_API_QUERY_H
#define STRIDED_API_QUERY_H

#include <stdint.h>

#include "http.h"

/* ?name=N into *value; absent = left as it is. ERR_INVALID, naming it, unless low..high. */
bool api_query_int(const struct http_request *request, const char *name, int low, int high,
                   int *value, struct err *e);

/* The same for a number, for true|false|1|0, and for one of `choices` (NULL-terminated; its index).
 */
bool api_query_double(const struct http_request *request, const char *name, double low, double high,
                      double *value, struct err *e);
bool api_query_bool(const struct http_request *request, const char *name, bool *value,
                    struct err *e);
bool api_query_choice(const struct http_request *request, const char *name,
                      const char *const *choices, int *value, struct err *e);

/* Index into `types` (NULL-terminated) of the wanted form: ?format= by its name in `formats`, else
 * the Accept header. ERR_INVALID for a format that is not there. */
bool api_query_format(const struct http_request *request, const char *const *formats,
                      const char *const *types, int *format, struct err *e);

/* The job named by the path. What is not a job's number is ERR_NOT_FOUND. */
bool api_job_id(const struct http_request *request, int64_t *id, struct err *e);

#endif
