/* json_scan.c - one iterative pass over the text that holds it to the grammar and the bounds of
 * json_read.h before cJSON, which is more forgiving, sees it, and hands number arrays to whoever
 * reads them. */
#include "json_read.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "utf8.h"

struct level {
    bool object;
    size_t name, name_size; /* of the member under way of this object, in scan.names */
    size_t index;           /* of the element under way of this array */
};

struct scan {
    const char *text;
    size_t size, at;
    int depth;
    struct level levels[LIMIT_JSON_DEPTH];
    struct buf names; /* the way to the value under way, unescaped; kept for lift alone */
    size_t values;
    const struct json_lift *lift; /* or NULL */
    int lifted;
    struct buf *rest; /* the text as far as `copied`, once anything in it was replaced */
    size_t copied;
    struct err *e;
};

enum { PATH_BYTES = 128, CJSON_NUMBER_BYTES_MAX = 63 };

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

/* What stands between begin and here becomes something else in the rest. */
static void replace(struct scan *s, size_t begin, const char *by)
{
    buf_add(s->rest, s->text + s->copied, begin - s->copied);
    buf_str(s->rest, by);
    s->copied = s->at;
}

static bool number_value(struct scan *s, size_t begin)
{
    char copy[JSON_NUMBER_BYTES_MAX + 1];
    size_t length = s->at - begin;
    if (length > JSON_NUMBER_BYTES_MAX)
        return err_set(s->e, ERR_INVALID, "number of %zu characters at byte %zu exceeds %d", length,
                       begin, JSON_NUMBER_BYTES_MAX);
    memcpy(copy, s->text + begin, length);
    copy[length] = '\0';
    double value = strtod(copy, NULL);
    if (!isfinite(value))
        return err_set(s->e, ERR_INVALID, "number %.40s at byte %zu overflows", copy, begin);
    if (length > CJSON_NUMBER_BYTES_MAX) {
        snprintf(copy, sizeof copy, "%.17g", value);
        replace(s, begin, copy);
    }
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
    return number_value(s, begin);
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
    if (code == 0) { /* json_read.h says why */
        replace(s, begin, "\\u0001");
        code = 1;
    }
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

/* Whether none of eight bytes ends a plain stretch of a string: ASCII but for controls, quotes and
 * backslashes. A borrow may only call a byte unplain that is not. */
static bool plain_word(const char *p)
{
    const uint64_t each = 0x0101010101010101;
    uint64_t word;
    memcpy(&word, p, sizeof word);
    uint64_t quote = word ^ (each * '"'), backslash = word ^ (each * '\\');
    return (((word - each * 0x20) | (quote - each) | (backslash - each) | word) & (each * 0x80)) ==
           0;
}

/* Past the bytes that stand for themselves. */
static void skip_plain(struct scan *s)
{
    while (s->at < s->size) {
        while (s->size - s->at >= 8 && plain_word(s->text + s->at))
            s->at += 8;
        unsigned char c = s->at < s->size ? (unsigned char)s->text[s->at] : '"';
        size_t length = utf8_next(s->text + s->at, s->size - s->at);
        if (c == '"' || c == '\\' || c < 0x20 || length == 0)
            return;
        s->at += length;
    }
}

/* A string; its text is appended to names unless that is NULL. */
static bool string(struct scan *s, struct buf *names)
{
    s->at++;
    for (;;) {
        size_t begin = s->at;
        skip_plain(s);
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

/* An object's member up to the colon. */
static bool member_name(struct scan *s)
{
    struct level *level = &s->levels[s->depth - 1];
    if (peek(s) != '"')
        return unexpected(s, "a key in double quotes");
    s->names.size = level->name;
    if (!string(s, s->lift ? &s->names : NULL))
        return false;
    if (!buf_ok(&s->names))
        return err_no_memory(s->e);
    level->name_size = s->names.size - level->name;
    skip_space(s);
    if (peek(s) != ':')
        return unexpected(s, "':'");
    s->at++;
    skip_space(s);
    return true;
}

/* After '{' or '[': true when the scan stands at the container's first value. */
static bool open_level(struct scan *s, bool *empty)
{
    bool object = s->text[s->at] == '{';
    if (s->depth == LIMIT_JSON_DEPTH)
        return err_set(s->e, ERR_INVALID, "JSON nested deeper than %d at byte %zu",
                       LIMIT_JSON_DEPTH, s->at);
    s->levels[s->depth++] = (struct level){.object = object, .name = s->names.size};
    s->at++;
    skip_space(s);
    *empty = peek(s) == (object ? '}' : ']');
    return *empty || !object || member_name(s);
}

/* Lifting */

/* "inputs[1].points", cut where it grows long. */
static void path_text(const struct scan *s, char out[PATH_BYTES])
{
    size_t used = 0;
    char quoted[UTF8_QUOTE_BYTES];
    out[0] = '\0';
    for (int i = 0; i < s->depth && used < PATH_BYTES - 1; i++) {
        const struct level *level = &s->levels[i];
        int size = level->object
                       ? snprintf(out + used, PATH_BYTES - used, "%s%s", i ? "." : "",
                                  utf8_quote(quoted, s->names.data + level->name, level->name_size))
                       : snprintf(out + used, PATH_BYTES - used, "[%zu]", level->index);
        used += (size_t)size;
    }
}

/* Which of the names to be lifted the member under way has, or -1. */
static int lifted_name(const struct scan *s)
{
    if (!s->lift || s->depth == 0 || !s->levels[s->depth - 1].object)
        return -1;
    const struct level *level = &s->levels[s->depth - 1];
    const char *const *names = s->lift->names;
    for (int i = 0; names[i]; i++)
        if (strlen(names[i]) == level->name_size &&
            memcmp(names[i], s->names.data + level->name, level->name_size) == 0)
            return i;
    return -1;
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
    char path[PATH_BYTES], index[16];
    size_t begin = s->at;
    path_text(s, path);
    if (!s->lift->take(s->lift->context, lifted_name(s), path, s->text, s->size, &s->at, s->e))
        return false;
    snprintf(index, sizeof index, "%d", s->lifted++);
    replace(s, begin, index);
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
        if (lifted_name(s) >= 0 && !holds_objects(s))
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
            return lifted_name(s) >= 0 ? refuse_number(s) : number(s);
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
            return !level->object || member_name(s);
        }
        if (peek(s) != (level->object ? '}' : ']'))
            return unexpected(s, level->object ? "',' or '}'" : "',' or ']'");
        s->names.size = level->name;
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
    if (ok && s.copied > 0)
        buf_add(rest, text + s.copied, size - s.copied);
    if (ok && !buf_ok(rest))
        ok = err_no_memory(e);
    buf_clear(&s.names);
    return ok;
}

bool json_check(const char *text, size_t size, struct err *e)
{
    struct buf rest = {0};
    bool ok = json_scan(text, size, NULL, &rest, e);
    buf_clear(&rest);
    return ok;
}
