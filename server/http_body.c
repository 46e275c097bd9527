#include "http_body.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

#include "inflate.h"
#include "limits.h"

void http_body_init(struct http_body *body, size_t max)
{
    *body = (struct http_body){.max = max, .file.fd = -1};
}

void http_body_clear(struct http_body *body)
{
    if (body->map)
        munmap(body->map, (size_t)body->received);
    file_abort(&body->file);
    buf_clear(&body->memory);
    http_body_init(body, 0);
}

bool http_body_too_large(size_t max, struct err *e)
{
    if (max == 0)
        return err_set(e, ERR_TOO_LARGE, "this request takes no body");
    return err_set(e, ERR_TOO_LARGE, "body exceeds the limit of %zu bytes", max);
}

bool http_body_set_encoding(struct http_body *body, const char *content_encoding, struct err *e)
{
    static const char *const inflated[] = {"gzip", "x-gzip", "deflate"};
    if (!content_encoding || strcasecmp(content_encoding, "identity") == 0)
        return true;
    for (size_t i = 0; i < sizeof inflated / sizeof inflated[0]; i++)
        if (strcasecmp(content_encoding, inflated[i]) == 0)
            return body->encoded = true;
    return err_set(e, ERR_MEDIA_TYPE, "unsupported content encoding, expected gzip or deflate");
}

bool http_body_expect(struct http_body *body, uint64_t size, struct err *e)
{
    body->counted = true;
    return size <= LIMIT_BODY_MEMORY_BYTES ||
           (file_begin_unnamed(&body->file, e) && file_expect(&body->file, size, e));
}

static bool write_file(struct http_body *body, const void *bytes, size_t size, struct err *e)
{
    file_write(&body->file, bytes, size);
    if (body->file.error.code == ERR_NONE)
        return true;
    *e = body->file.error;
    return false;
}

static bool spill(struct http_body *body, struct err *e)
{
    if (!file_begin_unnamed(&body->file, e))
        return false;
    body->file.uncounted = !body->counted;
    bool ok = write_file(body, body->memory.data, body->memory.size, e);
    buf_clear(&body->memory);
    return ok;
}

bool http_body_add(struct http_body *body, const void *bytes, size_t size, struct err *e)
{
    if (size > body->max - body->received)
        return http_body_too_large(body->max, e);
    if (body->file.fd < 0 && body->received + size > LIMIT_BODY_MEMORY_BYTES && !spill(body, e))
        return false;
    body->received += size;
    if (body->file.fd >= 0)
        return write_file(body, bytes, size, e);
    buf_add(&body->memory, bytes, size);
    return buf_ok(&body->memory) || err_no_memory(e);
}

static bool decode(struct http_body *body, const void **bytes, size_t *size, struct err *e)
{
    struct buf decoded = {0};
    bool ok = inflate_bytes(*bytes, *size, body->max, &decoded, e);
    buf_clear(&body->memory);
    body->memory = decoded;
    if (!ok)
        return false;
    *bytes = decoded.data;
    *size = decoded.size;
    return true;
}

bool http_body_open(struct http_body *body, const void **bytes, size_t *size, struct err *e)
{
    *bytes = body->memory.data;
    *size = body->memory.size;
    if (body->file.fd >= 0) {
        *size = (size_t)body->received;
        void *map = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, body->file.fd, 0);
        if (map == MAP_FAILED)
            return err_set(e, ERR_IO, "cannot map the request's body: %s", strerror(errno));
        *bytes = body->map = map;
    }
    if (body->encoded && *size > 0 && !decode(body, bytes, size, e))
        return false;
    if (*size == 0)
        *bytes = "";
    return true;
}
