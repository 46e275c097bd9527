/* json_scan.c - one iterative pass over the text that holds it to the grammar and the bounds of
 * json_read.h before cJSON, which is more forgiving, sees it, and hands number arrays to whoever
 * reads them. */
#include "json_read.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "utf8.h"

struct key {
    size_t name, size; /* the unescaped key inside scan.names */
    size_t at;         /* byte of the document where it stands */
};

struct level {
    bool object;
    size_t first_key; /* of this object, in scan.keys */
    size_t names;     /* scan.names.size when it began */
    size_t index;     /* of the element under way of this array */
};

struct scan {
    const char *text;
    size_t size, at;
    int depth;
    struct level levels[LIMIT_JSON_DEPTH];
    struct buf
        names; /* the keys of all objects that are still open, unescaped, one after the other */
    struct key *keys;
    size_t key_count, key_capacity;
    size_t values;
    const struct json_lift *lift; /* or NULL */
    struct buf *rest;
    size_t copied; /* up to here the text is in rest, once anything is */
    int lifted;
    struct err *e;
};

enum { PATH_BYTES = 128 };

static bool unexpected(struct scan *s, const char *expected)
{
    if (s->at >= s->size)
        return err_set(s->e, ERR_INVALID, "JSON ends at byte %zu, expected %s", s->at, expected);
    unsigned char c = (unsigned char)s->text[s->at];
    if (c > 0x20 && c < 0x7f)
        return err_set(s->e, ERR_INVALID, "unexpected '%c' at byte %zu of the JSON, expected %s", c,
                       s->at, expected);
    return err_set(s->e, ERR_INVALID, "unexpected byte 0x%02x at byte %zu of the JSON, expected %s",
                   c, s->at, expected);
}

static void skip_space(struct scan *s)
{
    while (s->at < s->size && memchr(" \t\r\n", s->text[s->at], 4))
        s->at++;
}

static char peek(const struct scan *s)
{
    return s->at < s->size ? s->text[s->at] : '\0';
}

static bool literal(struct scan *s, const char *word)
{
    for (; *word; word++, s->at++)
        if (s->at >= s->size || s->text[s->at] != *word)
            return unexpected(s, "null, true or false");
    return true;
}

static bool digits(struct scan *s)
{
    if (peek(s) < '0' || peek(s) > '9')
        return unexpected(s, "a digit");
    while (peek(s) >= '0' && peek(s) <= '9')
        s->at++;
    return true;
}

static bool number(struct scan *s)
{
    size_t begin = s->at;
    if (peek(s) == '-')
        s->at++;
    if (peek(s) == '0')
        s->at++;
    else if (!digits(s))
        return false;
    if (peek(s) == '.') {
        s->at++;
        if (!digits(s))
            return false;
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        s->at++;
        if (peek(s) == '+' || peek(s) == '-')
            s->at++;
        if (!digits(s))
            return false;
    }
    char copy[JSON_NUMBER_BYTES_MAX + 1];
    size_t length = s->at - begin;
    if (length > JSON_NUMBER_BYTES_MAX)
        return err_set(s->e, ERR_INVALID, "number of %zu characters at byte %zu exceeds %d", length,
                       begin, JSON_NUMBER_BYTES_MAX);
    memcpy(copy, s->text + begin, length);
    copy[length] = '\0';
    if (!isfinite(strtod(copy, NULL)))
        return err_set(s->e, ERR_INVALID, "number %s at byte %zu overflows", copy, begin);
    return true;
}

/* The four digits after "\u"; -1 after an error. */
static int hex4(struct scan *s)
{
    int value = 0;
    for (int i = 0; i < 4; i++, s->at++) {
        char c = peek(s);
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) {
            unexpected(s, "a hexadecimal digit");
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

static void add_utf8(struct buf *names, int code)
{
    char bytes[4];
    size_t count = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const int lead[] = {0, 0xc0, 0xe0, 0xf0};
    for (size_t i = count - 1; i > 0; i--, code >>= 6)
        bytes[i] = (char)(0x80 | (code & 0x3f));
    bytes[0] = (char)(lead[count - 1] | code);
    buf_add(names, bytes, count);
}

/* What follows "\u", surrogate pairs joined; names may be NULL. */
static bool unicode_escape(struct scan *s, struct buf *names)
{
    size_t begin = s->at - 2;
    int code = hex4(s);
    if (code < 0)
        return false;
    if (code == 0)
        return err_set(s->e, ERR_INVALID, "\\u0000 at byte %zu of the JSON is not accepted", begin);
    if (code >= 0xd800 && code <= 0xdfff) {
        int low = -1;
        if (code < 0xdc00 && s->size - s->at >= 2 && memcmp(s->text + s->at, "\\u", 2) == 0) {
            s->at += 2;
            low = hex4(s);
            if (low < 0)
                return false;
        }
        if (low < 0xdc00 || low > 0xdfff)
            return err_set(s->e, ERR_INVALID, "lone surrogate at byte %zu of the JSON", begin);
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    if (names)
        add_utf8(names, code);
    return true;
}

static bool escape(struct scan *s, struct buf *names)
{
    static const char letters[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    s->at++;
    char c = peek(s);
    if (c == 'u') {
        s->at++;
        return unicode_escape(s, names);
    }
    const char *letter = c ? strchr(letters, c) : NULL;
    if (!letter)
        return unexpected(s, "an escape of RFC 8259");
    s->at++;
    if (names)
        buf_add(names, bytes + (letter - letters), 1);
    return true;
}

/* A string; its text is appended to names unless that is NULL. */
static bool string(struct scan *s, struct buf *names)
{
    s->at++;
    for (;;) {
        size_t begin = s->at;
        while (s->at < s->size) {
            unsigned char c = (unsigned char)s->text[s->at];
            size_t length = utf8_next(s->text + s->at, s->size - s->at);
            if (c == '"' || c == '\\' || c < 0x20 || length == 0)
                break;
            s->at += length;
        }
        if (names)
            buf_add(names, s->text + begin, s->at - begin);
        if (s->at >= s->size)
            return unexpected(s, "the end of a string");
        unsigned char c = (unsigned char)s->text[s->at];
        if (c == '"') {
            s->at++;
            return true;
        }
        if (c < 0x20)
            return err_set(s->e, ERR_INVALID,
                           "unescaped control character 0x%02x at byte %zu of the JSON", c, s->at);
        if (c != '\\')
            return err_set(s->e, ERR_INVALID, "invalid UTF-8 at byte %zu of the JSON", s->at);
        if (!escape(s, names))
            return false;
    }
}

/* An object's member up to the colon, remembered for the check of duplicates. */
static bool member_key(struct scan *s)
{
    if (peek(s) != '"')
        return unexpected(s, "a key in double quotes");
    if (s->key_count == s->key_capacity) {
        size_t capacity = s->key_capacity ? s->key_capacity * 2 : 64;
        struct key *keys = realloc(s->keys, capacity * sizeof *keys);
        if (!keys)
            return err_no_memory(s->e);
        s->keys = keys;
        s->key_capacity = capacity;
    }
    struct key *key = &s->keys[s->key_count++];
    key->at = s->at;
    key->name = s->names.size;
    if (!string(s, &s->names))
        return false;
    if (!buf_ok(&s->names))
        return err_no_memory(s->e);
    key->size = s->names.size - key->name;
    skip_space(s);
    if (peek(s) != ':')
        return unexpected(s, "':'");
    s->at++;
    skip_space(s);
    return true;
}

static int compare_keys(const void *a, const void *b, void *names)
{
    const struct key *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    if (x->size == 0)
        return 0;
    return memcmp((const char *)names + x->name, (const char *)names + y->name, x->size);
}

/* Sorting, not hashing: no choice of keys makes it slower than n log n. */
static bool keys_unique(struct scan *s, const struct level *level)
{
    struct key *keys = s->keys + level->first_key;
    size_t count = s->key_count - level->first_key;
    if (count > 1)
        qsort_r(keys, count, sizeof *keys, compare_keys, s->names.data);
    for (size_t i = 1; i < count; i++) {
        if (compare_keys(&keys[i - 1], &keys[i], s->names.data) != 0)
            continue;
        char quoted[UTF8_QUOTE_BYTES];
        size_t at = keys[i].at > keys[i - 1].at ? keys[i].at : keys[i - 1].at;
        if (keys[i].size == 0)
            return err_set(s->e, ERR_INVALID, "duplicate key '' at byte %zu of the JSON", at);
        return err_set(s->e, ERR_INVALID, "duplicate key '%s' at byte %zu of the JSON",
                       utf8_quote(quoted, s->names.data + keys[i].name, keys[i].size), at);
    }
    s->key_count = level->first_key;
    s->names.size = level->names;
    return true;
}

/* After '{' or '[': true when the scan stands at the container's first value. */
static bool open_level(struct scan *s, bool *empty)
{
    bool object = s->text[s->at] == '{';
    if (s->depth == LIMIT_JSON_DEPTH)
        return err_set(s->e, ERR_INVALID, "JSON nested deeper than %d at byte %zu",
                       LIMIT_JSON_DEPTH, s->at);
    s->levels[s->depth++] = (struct level){object, s->key_count, s->names.size, 0};
    s->at++;
    skip_space(s);
    *empty = peek(s) == (object ? '}' : ']');
    return *empty || !object || member_key(s);
}

/* Lifting */

/* The key of the member under way in the innermost object but `above`. */
static const struct key *key_at(const struct scan *s, int depth)
{
    return &s->keys[(depth + 1 < s->depth ? s->levels[depth + 1].first_key : s->key_count) - 1];
}

/* "inputs[1].points", cut where it grows long. */
static void path_text(const struct scan *s, char out[PATH_BYTES])
{
    size_t used = 0;
    char quoted[UTF8_QUOTE_BYTES];
    out[0] = '\0';
    for (int i = 0; i < s->depth && used < PATH_BYTES - 1; i++) {
        const struct key *key = s->levels[i].object ? key_at(s, i) : NULL;
        int size = key ? snprintf(out + used, PATH_BYTES - used, "%s%s", i ? "." : "",
                                  utf8_quote(quoted, s->names.data + key->name, key->size))
                       : snprintf(out + used, PATH_BYTES - used, "[%zu]", s->levels[i].index);
        used += (size_t)size;
    }
}

/* Whether the value under way is a member whose arrays are lifted. */
static bool is_lifted(const struct scan *s)
{
    if (!s->lift || s->depth == 0 || !s->levels[s->depth - 1].object)
        return false;
    const struct key *key = key_at(s, s->depth - 1);
    for (const char *const *name = s->lift->names; *name; name++)
        if (strlen(*name) == key->size && memcmp(*name, s->names.data + key->name, key->size) == 0)
            return true;
    return false;
}

/* Whether the array begun here holds objects, however deep. */
static bool holds_objects(const struct scan *s)
{
    size_t at = s->at;
    while (at < s->size && memchr("[ \t\r\n", s->text[at], 5))
        at++;
    return at < s->size && s->text[at] == '{';
}

static bool lift_array(struct scan *s)
{
    char path[PATH_BYTES];
    size_t begin = s->at;
    path_text(s, path);
    if (!s->lift->take(s->lift->context, path, s->text, s->size, &s->at, s->e))
        return false;
    buf_add(s->rest, s->text + s->copied, begin - s->copied);
    buf_fmt(s->rest, "%d", s->lifted++);
    s->copied = s->at;
    return true;
}

/* Values */

static bool refuse_number(struct scan *s)
{
    char path[PATH_BYTES];
    path_text(s, path);
    return err_field(s->e, ERR_INVALID, path, "expected an array of numbers, got a number");
}

/* One value: a scalar, an empty container, or the opening of another (then *opened). */
static bool value(struct scan *s, bool *opened)
{
    bool empty = false;
    *opened = false;
    if (++s->values > LIMIT_JSON_VALUES)
        return err_set(s->e, ERR_INVALID, "more than %d values in the JSON", LIMIT_JSON_VALUES);
    switch (peek(s)) {
    case '[':
        if (is_lifted(s) && !holds_objects(s))
            return lift_array(s);
        /* fall through */
    case '{':
        if (!open_level(s, &empty))
            return false;
        *opened = !empty;
        if (empty) {
            s->depth--;
            s->at++;
        }
        return true;
    case '"':
        return string(s, NULL);
    case 'n':
        return literal(s, "null");
    case 't':
        return literal(s, "true");
    case 'f':
        return literal(s, "false");
    default:
        if (peek(s) == '-' || (peek(s) >= '0' && peek(s) <= '9'))
            return is_lifted(s) ? refuse_number(s) : number(s);
        return unexpected(s, "a value");
    }
}

/* After a value: closes what ends here; true with the scan at the next value or at depth 0. */
static bool next(struct scan *s)
{
    while (s->depth > 0) {
        struct level *level = &s->levels[s->depth - 1];
        skip_space(s);
        if (peek(s) == ',') {
            s->at++;
            level->index++;
            skip_space(s);
            return !level->object || member_key(s);
        }
        if (peek(s) != (level->object ? '}' : ']'))
            return unexpected(s, level->object ? "',' or '}'" : "',' or ']'");
        if (level->object && !keys_unique(s, level))
            return false;
        s->at++;
        s->depth--;
    }
    return true;
}

static bool document(struct scan *s)
{
    if (s->size >= 3 && memcmp(s->text, "\xef\xbb\xbf", 3) == 0)
        return err_set(s->e, ERR_INVALID, "byte order mark before the JSON");
    skip_space(s);
    if (s->at == s->size)
        return err_set(s->e, ERR_INVALID, "empty JSON document");
    do {
        bool opened;
        if (!value(s, &opened) || (!opened && !next(s)))
            return false;
    } while (s->depth > 0);
    skip_space(s);
    return s->at == s->size || unexpected(s, "the end");
}

bool json_scan(const char *text, size_t size, const struct json_lift *lift, struct buf *rest,
               struct err *e)
{
    struct scan s = {.text = text, .size = size, .lift = lift, .rest = rest, .e = e};
    bool ok = document(&s);
    if (ok && s.lifted > 0)
        buf_add(rest, text + s.copied, size - s.copied);
    if (ok && !buf_ok(rest))
        ok = err_no_memory(e);
    buf_clear(&s.names);
    free(s.keys);
    return ok;
}

bool json_check(const char *text, size_t size, struct err *e)
{
    struct buf rest = {0};
    return json_scan(text, size, NULL, &rest, e);
}
