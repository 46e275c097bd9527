#include "buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_clear(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}

bool buf_ok(const struct buf *buf)
{
    return !buf->failed;
}

bool buf_reserve(struct buf *buf, size_t extra)
{
    if (buf->failed)
        return false;
    if (extra <= buf->capacity - buf->size)
        return true;
    if (extra > SIZE_MAX / 2 - buf->size) {
        buf->failed = true;
        return false;
    }
    size_t capacity = buf->capacity < 64 ? 64 : buf->capacity;
    while (capacity < buf->size + extra)
        capacity *= 2;
    char *data = realloc(buf->data, capacity);
    if (!data) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

void buf_add(struct buf *buf, const void *bytes, size_t size)
{
    if (size == 0 || !buf_reserve(buf, size))
        return;
    memcpy(buf->data + buf->size, bytes, size);
    buf->size += size;
}

void buf_str(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_fmt(struct buf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    if (length < 0) {
        buf->failed = true;
    } else if (buf_reserve(buf, (size_t)length + 1)) {
        vsnprintf(buf->data + buf->size, (size_t)length + 1, format, again);
        buf->size += (size_t)length;
    }
    va_end(again);
    va_end(args);
}

const char *buf_text(struct buf *buf)
{
    if (!buf_reserve(buf, 1))
        return "";
    buf->data[buf->size] = '\0';
    return buf->data;
}
