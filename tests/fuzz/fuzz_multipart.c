/* The first line is the request's Content-Type, what follows it the body. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "limits.h"
#include "multipart.h"

static void check_part(const struct multipart_part *part, const char *body, size_t size)
{
    CHECK(part->name[0] != '\0');
    CHECK(memchr(part->filename, '\0', sizeof part->filename));
    CHECK(memchr(part->content_type, '\0', sizeof part->content_type));
    CHECK(part->data >= body && part->data + part->size <= body + size);
}

static void read_parts(const char *type, const char *body, size_t size)
{
    struct multipart multipart;
    struct multipart_part part;
    struct err e = {0};
    int more = -1, count = 0;
    if (multipart_begin(&multipart, type, body, size, &e))
        while ((more = multipart_next(&multipart, &part, &e)) > 0) {
            check_part(&part, body, size);
            CHECK(++count <= LIMIT_MULTIPART_PARTS);
        }
    if (more < 0)
        CHECK(e.detail[0] != '\0' &&
              (e.code == ERR_INVALID || e.code == ERR_MEDIA_TYPE || e.code == ERR_TOO_LARGE));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const uint8_t *line = memchr(bytes, '\n', size);
    if (!line)
        return 0;
    size_t type_size = (size_t)(line - bytes);
    char *type = strndup((const char *)bytes, type_size);
    CHECK(type);
    read_parts(type, (const char *)line + 1, size - type_size - 1);
    free(type);
    return 0;
}
