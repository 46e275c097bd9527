/* router.h - method and path -> handler. The table of routes is routes.c, one line each. */
#ifndef STRIDED_ROUTER_H
#define STRIDED_ROUTER_H

#include "http.h"

struct route {
    const char *method;  /* "GET" also answers HEAD */
    const char *pattern; /* "/models/{model}/versions/{version}/predict" */
    http_handler *handler;
    size_t body_max; /* bytes, before and after decoding; 0 = no body read */
    bool slow;       /* runs on the work pool */
};

extern const struct route routes[]; /* ends with a NULL method */

/* Matches a decoded path without trailing slash; fills params ("" past the pattern's; a segment
 * that does not fit is cut, which is longer than any valid name). NULL for a 405 with `allow` set
 * to the methods the path has ("GET, HEAD, PUT"), or for a 404 with `allow` empty. */
const struct route *router_find(const char *method, const char *path,
                                char params[HTTP_PARAMS_MAX][HTTP_PARAM_BYTES], char *allow,
                                size_t allow_size);

#endif
