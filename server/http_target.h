/* http_target.h - a request's target, decoded once: the path and the query's parameters.
 *
 * A pure function of the raw request line, so that no other part of the daemon ever sees an
 * escape. What could mean two things to two readers is refused: anything but an absolute path,
 * control characters and spaces (escaped or not), an escaped slash, empty, "." and ".." segments,
 * broken escapes. A trailing slash is dropped.
 */
#ifndef STRIDED_HTTP_TARGET_H
#define STRIDED_HTTP_TARGET_H

#include "err.h"

enum { HTTP_PATH_BYTES = 2048, HTTP_QUERY_PARAMS_MAX = 32 };

struct http_target {
    char *text; /* owned; the strings below point into it */
    const char *path;
    int query_count;
    struct {
        const char *name, *value;
    } query[HTTP_QUERY_PARAMS_MAX];
};

bool http_target_parse(const char *raw, struct http_target *target, struct err *e);
void http_target_clear(struct http_target *target);

#endif
