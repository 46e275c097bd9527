#include "json_write.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "float_text.h"
#include "utf8.h"

void jw_begin(struct json_writer *w, struct buf *out)
{
    *w = (struct json_writer){.out = out};
    w->first[0] = true;
}

/* The comma before a value, unless it is the first of its container or follows its key. */
static void separate(struct json_writer *w)
{
    if (w->after_key)
        w->after_key = false;
    else if (w->first[w->depth])
        w->first[w->depth] = false;
    else
        buf_add(w->out, ",", 1);
}

static void open_container(struct json_writer *w, const char *bracket)
{
    separate(w);
    buf_add(w->out, bracket, 1);
    CHECK(w->depth + 1 < JSON_WRITE_DEPTH);
    w->first[++w->depth] = true;
}

static void close_container(struct json_writer *w, const char *bracket)
{
    CHECK(w->depth > 0 && !w->after_key);
    w->depth--;
    buf_add(w->out, bracket, 1);
}

void jw_object(struct json_writer *w)
{
    open_container(w, "{");
}

void jw_object_end(struct json_writer *w)
{
    close_container(w, "}");
}

void jw_array(struct json_writer *w)
{
    open_container(w, "[");
}

void jw_array_end(struct json_writer *w)
{
    close_container(w, "]");
}

static void add_escaped(struct buf *out, unsigned char c)
{
    static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* byte, letter; byte, letter ... */
    for (size_t i = 0; i + 1 < sizeof letters; i += 2) {
        if ((unsigned char)letters[i] == c) {
            buf_add(out, (char[]){'\\', letters[i + 1]}, 2);
            return;
        }
    }
    buf_fmt(out, "\\u%04x", c);
}

static void add_text(struct buf *out, const char *text)
{
    size_t size = strlen(text), plain = 0; /* text[plain..at) waits to be copied as it is */
    buf_add(out, "\"", 1);
    for (size_t at = 0; at < size;) {
        unsigned char c = (unsigned char)text[at];
        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            at++;
            continue;
        }
        size_t length = utf8_next(text + at, size - at);
        if (length > 1) {
            at += length;
            continue;
        }
        buf_add(out, text + plain, at - plain);
        if (length == 0)
            buf_str(out, "\xef\xbf\xbd"); /* U+FFFD */
        else
            add_escaped(out, c);
        plain = ++at;
    }
    buf_add(out, text + plain, size - plain);
    buf_add(out, "\"", 1);
}

void jw_key(struct json_writer *w, const char *key)
{
    CHECK(w->depth > 0 && !w->after_key);
    separate(w);
    add_text(w->out, key);
    buf_add(w->out, ":", 1);
    w->after_key = true;
}

void jw_null(struct json_writer *w)
{
    separate(w);
    buf_str(w->out, "null");
}

void jw_bool(struct json_writer *w, bool value)
{
    separate(w);
    buf_str(w->out, value ? "true" : "false");
}

void jw_int(struct json_writer *w, int64_t value)
{
    char text[20], *at = text + sizeof text; /* "-9223372036854775808" */
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do
        *--at = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (value < 0)
        *--at = '-';
    separate(w);
    buf_add(w->out, at, (size_t)(text + sizeof text - at));
}

/* Every decimal of up to DBL_DIG digits survives the way through a normal double, so the first
 * precision from there on that reads back is the shortest; subnormals start from one digit. */
void jw_double(struct json_writer *w, double value)
{
    if (!isfinite(value)) {
        jw_null(w);
        return;
    }
    char text[40];
    int digits = fabs(value) < DBL_MIN ? 1 : DBL_DIG;
    do
        snprintf(text, sizeof text, "%.*g", digits, value);
    while (digits++ < DBL_DECIMAL_DIG && strtod(text, NULL) != value);
    separate(w);
    buf_str(w->out, text);
}

void jw_float(struct json_writer *w, float value)
{
    if (!isfinite(value)) {
        jw_null(w);
        return;
    }
    char text[FLOAT_TEXT_BYTES];
    separate(w);
    buf_add(w->out, text, float_text(value, text));
}

void jw_string(struct json_writer *w, const char *text)
{
    if (!text) {
        jw_null(w);
        return;
    }
    separate(w);
    add_text(w->out, text);
}

void jw_raw(struct json_writer *w, const char *json, size_t size)
{
    separate(w);
    buf_add(w->out, json, size);
}

void jw_members(struct json_writer *w, const char *json, size_t size)
{
    CHECK(size >= 2 && json[0] == '{' && json[size - 1] == '}');
    if (size > 2)
        jw_raw(w, json + 1, size - 2);
}

void jw_key_bool(struct json_writer *w, const char *key, bool value)
{
    jw_key(w, key);
    jw_bool(w, value);
}

void jw_key_int(struct json_writer *w, const char *key, int64_t value)
{
    jw_key(w, key);
    jw_int(w, value);
}

void jw_key_double(struct json_writer *w, const char *key, double value)
{
    jw_key(w, key);
    jw_double(w, value);
}

void jw_key_string(struct json_writer *w, const char *key, const char *text)
{
    jw_key(w, key);
    jw_string(w, text);
}
