/* json_write.h - writes a JSON document into a buf, in order, with commas and escapes right.
 *
 * Text must be UTF-8; control characters are escaped and invalid bytes become U+FFFD, so the
 * output is always valid JSON. Numbers that are not finite become null. Nesting is checked:
 * an unbalanced document is a bug and fails a CHECK.
 */
#ifndef STRIDED_JSON_WRITE_H
#define STRIDED_JSON_WRITE_H

#include <stdint.h>

#include "buf.h"

enum { JSON_WRITE_DEPTH = 32 };

struct json_writer {
    struct buf *out; /* borrowed */
    int depth;
    bool first[JSON_WRITE_DEPTH], after_key;
};

void jw_begin(struct json_writer *w, struct buf *out);
void jw_object(struct json_writer *w);
void jw_object_end(struct json_writer *w);
void jw_array(struct json_writer *w);
void jw_array_end(struct json_writer *w);
void jw_key(struct json_writer *w, const char *key);
void jw_null(struct json_writer *w);
void jw_bool(struct json_writer *w, bool value);
void jw_int(struct json_writer *w, int64_t value);
void jw_double(struct json_writer *w, double value); /* shortest text that reads back the same */
void jw_float(struct json_writer *w, float value);   /* the same for a float */
void jw_string(struct json_writer *w, const char *text);           /* NULL = null */
void jw_raw(struct json_writer *w, const char *json, size_t size); /* a finished document */
/* The members of a finished object, into the open one. */
void jw_members(struct json_writer *w, const char *json, size_t size);
/* Key and value in one. */
void jw_key_bool(struct json_writer *w, const char *key, bool value);
void jw_key_int(struct json_writer *w, const char *key, int64_t value);
void jw_key_double(struct json_writer *w, const char *key, double value);
void jw_key_string(struct json_writer *w, const char *key, const char *text);

#endif
