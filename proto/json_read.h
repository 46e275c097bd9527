/* json_read.h - strict JSON documents for the other readers of proto/. (cJSON stays in proto/.)
 *
 * json_parse is stricter than cJSON: the whole input must be one document of valid UTF-8 by the
 * grammar of RFC 8259, at most LIMIT_JSON_DEPTH deep and LIMIT_JSON_VALUES long, with no lone
 * surrogates, no number of more than JSON_NUMBER_BYTES_MAX characters or past a double's range,
 * nothing before or after it (a scan of our own sees to that before cJSON sees it). Errors give the
 * byte of the document, counted from 0. "\u0000" is read as "\u0001": a C string cannot hold it,
 * and no name, label or choice may hold either. Keys may repeat, as the RFC has it: json_only
 * refuses those that it knows.
 *
 * The json_get functions read one member of an object: absent = left at the default; wrong type
 * or out of range = ERR_INVALID whose field is the key and whose text says what was expected and
 * what came.
 */
#ifndef STRIDED_JSON_READ_H
#define STRIDED_JSON_READ_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

struct cJSON;

enum { JSON_NUMBER_BYTES_MAX = 1023 };

struct cJSON *json_parse(const char *text, size_t size, struct err *e); /* json_free it */
void json_free(struct cJSON *json);

/* Arrays that another reader takes out of the text before there is a tree. */
struct json_lift {
    const char *const *names; /* of the members whose arrays these are; NULL-terminated */
    /* The array of a member names[name] begins at text[*at], and path is the way to it,
     * "inputs[1].points"; *at becomes the byte after it. False with *e ends the parse. */
    bool (*take)(void *context, int name, const char *path, const char *text, size_t size,
                 size_t *at, struct err *e);
    void *context;
};
/* As json_parse, in the same one pass. Wherever a member of such a name has an array that holds no
 * objects, the tree has the number of arrays taken before it; a plain number there is refused, so
 * that each number of such a name is one of these. */
struct cJSON *json_parse_lifted(const char *text, size_t size, const struct json_lift *lift,
                                struct err *e);

/* Checks the grammar and bounds above without building anything. */
bool json_check(const char *text, size_t size, struct err *e);
/* The same, and takes arrays out (lift may be NULL). *rest is what cJSON is to read, unless that is
 * the text itself: then it stays empty. */
bool json_scan(const char *text, size_t size, const struct json_lift *lift, struct buf *rest,
               struct err *e);

bool json_is_object(const struct cJSON *json, const char *what, struct err *e);
/* Refuses members not named in keys (at most 63 and NULL), and a second one of a name: "unknown
 * field 'epoch'", "field 'epochs' is given twice". */
bool json_only(const struct cJSON *object, const char *const *keys, struct err *e);
bool json_get_int(const struct cJSON *object, const char *key, int64_t low, int64_t high,
                  int64_t *value, struct err *e);
bool json_get_double(const struct cJSON *object, const char *key, double low, double high,
                     double *value, struct err *e);
bool json_get_bool(const struct cJSON *object, const char *key, bool *value, struct err *e);
/* Borrowed from the document. */
bool json_get_string(const struct cJSON *object, const char *key, const char **value,
                     struct err *e);
/* One of `count` texts; *value is its position. */
bool json_get_choice(const struct cJSON *object, const char *key, const char *const *choices,
                     int count, int *value, struct err *e);
const struct cJSON *json_get(const struct cJSON *object, const char *key); /* NULL if absent */

/* For values that are not members, and for what the functions above do not cover. */
bool json_int(const struct cJSON *json, const char *field, int64_t low, int64_t high,
              int64_t *value, struct err *e);
/* "expected `expected`, got 'lenet'": a wrong value; returns false. */
bool json_wrong(const char *field, const struct cJSON *json, const char *expected, struct err *e);
/* What came, for an error message: "'lenet'", "3.5", "null", "an array". Returns out. */
enum { JSON_DESCRIBE_BYTES = 96 };
char *json_describe(char out[JSON_DESCRIBE_BYTES], const struct cJSON *json);

#endif
