/* multipart.h - the parts of a multipart/form-data body (RFC 7578) that is wholly in memory. */
#ifndef STRIDED_MULTIPART_H
#define STRIDED_MULTIPART_H

#include <stddef.h>

#include "err.h"

struct multipart_part {
    char name[128], filename[256], content_type[128]; /* unquoted; empty if absent */
    const char *data;                                 /* borrowed from the body */
    size_t size;
};

struct multipart {
    const char *at, *end; /* private */
    char boundary[80];
    size_t boundary_size;
    int parts;
};

/* content_type is the request's header: multipart/form-data; boundary=... */
bool multipart_begin(struct multipart *m, const char *content_type, const void *body, size_t size,
                     struct err *e);
/* 1 = *part is the next part, 0 = the end was reached properly, -1 = error. At most
 * LIMIT_MULTIPART_PARTS parts, LIMIT_MULTIPART_HEADER_BYTES of headers each. */
int multipart_next(struct multipart *m, struct multipart_part *part, struct err *e);

#endif
