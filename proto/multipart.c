#include "multipart.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "limits.h"
#include "utf8.h"

enum { BOUNDARY_BYTES_MAX = 70 }; /* RFC 2046 */

/* A delimiter with the line break before it, which is not part of the data. */
static const char delimiter_start[] = "\r\n--";

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return p;
}

/* A token, or a quoted string with its quotes and backslashes taken off, into out; the position
 * after it, NULL when it is malformed or too long. */
static const char *take_value(const char *p, const char *end, char *out, size_t out_size)
{
    size_t used = 0;
    bool quoted = p < end && *p == '"';
    for (p += quoted; p < end; p++) {
        if (quoted ? *p == '"' : (*p == ';' || *p == ' ' || *p == '\t'))
            break;
        /* Only these two: file names from Windows hold bare backslashes. */
        if (quoted && *p == '\\' && end - p > 1 && (p[1] == '"' || p[1] == '\\'))
            p++;
        if (used + 1 == out_size || *p == '\0')
            return NULL;
        out[used++] = *p;
    }
    out[used] = '\0';
    if (quoted && p == end)
        return NULL;
    return p + quoted;
}

/* The parameter `key` of a header value such as: form-data; name="a"; filename="b". Empty if
 * absent; false when the header is malformed. */
static bool take_parameter(const char *value, const char *end, const char *key, char *out,
                           size_t out_size)
{
    size_t key_size = strlen(key);
    out[0] = '\0';
    const char *p = value;
    while (p < end && *p != ';')
        p++;
    while (p < end) {
        char ignored[512];
        p = skip_blanks(p + 1, end); /* past ';' */
        const char *name = p;
        while (p < end && *p != '=' && *p != ';')
            p++;
        if (p == end || *p == ';') {
            if (skip_blanks(name, p) != p)
                return false;
            continue;
        }
        bool wanted = (size_t)(p - name) == key_size && strncasecmp(name, key, key_size) == 0;
        p = take_value(p + 1, end, wanted ? out : ignored, wanted ? out_size : sizeof ignored);
        if (!p)
            return false;
        p = skip_blanks(p, end);
        if (p < end && *p != ';')
            return false;
    }
    return true;
}

static bool read_boundary(struct multipart *m, const char *content_type, struct err *e)
{
    static const char type[] = "multipart/form-data";
    char boundary[BOUNDARY_BYTES_MAX + 1], quoted[UTF8_QUOTE_BYTES];
    size_t type_size = sizeof type - 1, size = content_type ? strlen(content_type) : 0;
    if (size < type_size || strncasecmp(content_type, type, type_size) != 0 ||
        (size > type_size && !strchr("; \t", content_type[type_size])))
        return err_set(e, ERR_MEDIA_TYPE, "content type '%s' is not multipart/form-data",
                       utf8_quote(quoted, content_type ? content_type : "", size));
    if (!take_parameter(content_type, content_type + size, "boundary", boundary, sizeof boundary) ||
        boundary[0] == '\0')
        return err_set(e, ERR_INVALID, "multipart content type has no boundary of 1 to %d bytes",
                       BOUNDARY_BYTES_MAX);
    m->boundary_size =
        (size_t)snprintf(m->boundary, sizeof m->boundary, "%s%s", delimiter_start, boundary);
    return true;
}

bool multipart_begin(struct multipart *m, const char *content_type, const void *body, size_t size,
                     struct err *e)
{
    *m = (struct multipart){0};
    if (!read_boundary(m, content_type, e))
        return false;
    m->at = body;
    m->end = m->at + size;
    size_t opening = m->boundary_size - 2; /* the first delimiter may open the body */
    if (size >= opening && memcmp(m->at, m->boundary + 2, opening) == 0) {
        m->at += opening;
        return true;
    }
    const char *found = memmem(m->at, size, m->boundary, m->boundary_size);
    if (!found)
        return err_set(e, ERR_INVALID, "multipart body does not hold its boundary");
    m->at = found + m->boundary_size;
    return true;
}

static bool header_is(const char *line, const char *colon, const char *name)
{
    return (size_t)(colon - line) == strlen(name) && strncasecmp(line, name, strlen(name)) == 0;
}

static bool take_disposition(const char *value, const char *end, struct multipart_part *part)
{
    static const char type[] = "form-data";
    size_t type_size = sizeof type - 1;
    return (size_t)(end - value) >= type_size && strncasecmp(value, type, type_size) == 0 &&
           take_parameter(value, end, "name", part->name, sizeof part->name) &&
           take_parameter(value, end, "filename", part->filename, sizeof part->filename);
}

static bool take_header(const char *line, const char *end, struct multipart_part *part, int number,
                        struct err *e)
{
    const char *colon = memchr(line, ':', (size_t)(end - line));
    if (!colon)
        return err_set(e, ERR_INVALID, "header without a colon in multipart part %d", number);
    const char *value = skip_blanks(colon + 1, end);
    size_t size = (size_t)(end - value);
    if (header_is(line, colon, "Content-Disposition") && !take_disposition(value, end, part))
        return err_set(e, ERR_INVALID, "malformed Content-Disposition in multipart part %d",
                       number);
    if (header_is(line, colon, "Content-Type")) {
        if (size >= sizeof part->content_type || memchr(value, '\0', size))
            return err_set(e, ERR_INVALID, "malformed Content-Type in multipart part %d", number);
        memcpy(part->content_type, value, size);
        part->content_type[size] = '\0';
    }
    if (header_is(line, colon, "Content-Transfer-Encoding") &&
        !(size == 6 && strncasecmp(value, "binary", 6) == 0) &&
        !(size == 4 && (strncasecmp(value, "8bit", 4) == 0 || strncasecmp(value, "7bit", 4) == 0)))
        return err_set(e, ERR_MEDIA_TYPE, "transfer encoding of multipart part %d is not binary",
                       number);
    return true;
}

/* The header lines up to the empty one. */
static bool take_headers(struct multipart *m, struct multipart_part *part, struct err *e)
{
    const char *limit = m->end;
    if (limit - m->at > LIMIT_MULTIPART_HEADER_BYTES)
        limit = m->at + LIMIT_MULTIPART_HEADER_BYTES;
    for (;;) {
        const char *line = m->at, *end = memmem(line, (size_t)(limit - line), "\r\n", 2);
        if (!end && limit < m->end)
            return err_set(e, ERR_TOO_LARGE, "headers of multipart part %d exceed %d bytes",
                           m->parts, LIMIT_MULTIPART_HEADER_BYTES);
        if (!end)
            return err_set(e, ERR_INVALID, "multipart body ends in the headers of part %d",
                           m->parts);
        m->at = end + 2;
        if (end == line)
            break;
        if (!take_header(line, end, part, m->parts, e))
            return false;
    }
    if (part->name[0] == '\0')
        return err_set(e, ERR_INVALID, "multipart part %d has no name", m->parts);
    return true;
}

/* After a boundary: 1 = a part follows, 0 = it was the last, -1 = error. */
static int after_boundary(struct multipart *m, struct err *e)
{
    if (m->end - m->at >= 2 && memcmp(m->at, "--", 2) == 0)
        return 0;
    m->at = skip_blanks(m->at, m->end);
    if (m->end - m->at < 2 || memcmp(m->at, "\r\n", 2) != 0) {
        err_set(e, ERR_INVALID, "multipart boundary %d is not followed by a line break or '--'",
                m->parts + 1);
        return -1;
    }
    m->at += 2;
    return 1;
}

int multipart_next(struct multipart *m, struct multipart_part *part, struct err *e)
{
    int more = after_boundary(m, e);
    if (more <= 0)
        return more;
    *part = (struct multipart_part){0};
    if (m->parts == LIMIT_MULTIPART_PARTS) {
        err_set(e, ERR_TOO_LARGE, "more than %d multipart parts", LIMIT_MULTIPART_PARTS);
        return -1;
    }
    m->parts++;
    if (!take_headers(m, part, e))
        return -1;
    const char *end = memmem(m->at, (size_t)(m->end - m->at), m->boundary, m->boundary_size);
    if (!end) {
        err_set(e, ERR_INVALID, "multipart body ends inside part %d", m->parts);
        return -1;
    }
    part->data = m->at;
    part->size = (size_t)(end - m->at);
    m->at = end + m->boundary_size;
    return 1;
}
