/* http_body.h - a request's body as it arrives: in memory while small, then in an unlinked file
 * that is mapped, and decoded from its Content-Encoding, always within the route's limit. */
#ifndef STRIDED_HTTP_BODY_H
#define STRIDED_HTTP_BODY_H

#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "files.h"

struct http_body {
    size_t max;              /* bytes, before and after decoding */
    uint64_t received;       /* bytes so far, before decoding */
    struct buf memory;       /* the body while it is small, and what decoding gives */
    struct file_writer file; /* the body past LIMIT_BODY_MEMORY_BYTES; fd -1 = none */
    void *map;               /* the file's bytes, NULL until http_body_open */
    bool encoded;            /* gzip or deflate */
    bool counted;            /* it takes of the quota while it is here */
};

void http_body_init(struct http_body *body, size_t max);
void http_body_clear(struct http_body *body);

/* content_encoding: the header, or NULL. ERR_MEDIA_TYPE for one that is not read. */
bool http_body_set_encoding(struct http_body *body, const char *content_encoding, struct err *e);
/* For what will be kept: it counts, and of an announced size (0 = unknown) is refused before it is
 * sent. Other bodies, of predictions, must be taken when the quota is used up. */
bool http_body_expect(struct http_body *body, uint64_t size, struct err *e);
/* ERR_TOO_LARGE past the limit, ERR_NO_SPACE when the disk is full. */
bool http_body_add(struct http_body *body, const void *bytes, size_t size, struct err *e);
/* The whole body, decoded; once, after the last byte. Borrowed from body; "" when empty. */
bool http_body_open(struct http_body *body, const void **bytes, size_t *size, struct err *e);

/* "body of N bytes exceeds the limit of M bytes"; returns false. */
bool http_body_too_large(size_t max, struct err *e);

#endif
