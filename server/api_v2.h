/* api_v2.h - what the handlers of the Open Inference Protocol share. Its clients look for an
 * unknown model in the error's text, which begins "Request for unknown model". */
#ifndef STRIDED_API_V2_H
#define STRIDED_API_V2_H

#include "app.h"
#include "http.h"

/* The {model} and {version} (0: none is named) of the path. */
bool api_v2_path(const struct http_request *request, const char **name, int *version,
                 struct err *e);
/* "Request for unknown model: ..."; returns false. */
bool api_v2_unknown(const char *name, int version, struct err *e);
/* The registry's error in the words of the protocol; returns false. */
bool api_v2_error(const char *name, int version, struct err *e);

#endif
