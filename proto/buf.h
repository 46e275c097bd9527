/* buf.h - a growing byte buffer for encoders.
 *
 * A failed allocation is remembered instead of returned: writers append without checking and the
 * owner asks buf_ok() once at the end. After a failure appends do nothing.
 */
#ifndef STRIDED_BUF_H
#define STRIDED_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; /* not NUL-terminated unless buf_text() was called */
    size_t size, capacity;
    bool failed;
};

void buf_clear(struct buf *buf); /* frees; the buffer is empty and usable again */
bool buf_ok(const struct buf *buf);
void buf_add(struct buf *buf, const void *bytes, size_t size);
void buf_str(struct buf *buf, const char *text);
void buf_fmt(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool buf_reserve(struct buf *buf, size_t extra); /* room for `extra` more; false = failed */
/* The contents as a NUL-terminated string, owned by the buffer; "" after a failure. */
const char *buf_text(struct buf *buf);

#endif
