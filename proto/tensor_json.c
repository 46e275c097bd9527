#include "tensor_json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "number.h"

enum { PATH_BYTES = 128, FIRST_CAPACITY = 1 << 14 };

struct reader {
    const char *text, *at, *end;
    const char *key;
    size_t count_max, capacity;
    struct tensor *tensor;
    int depth;                     /* open arrays */
    size_t index[TENSOR_RANK_MAX]; /* of the element under way in each of them */
    struct err *e;
};

void tensor_clear(struct tensor *tensor)
{
    free(tensor->data);
    *tensor = (struct tensor){0};
}

static void skip_space(struct reader *r)
{
    while (r->at < r->end && memchr(" \t\r\n", *r->at, 4))
        r->at++;
}

/* "inputs[3][2]": the way to an element, through `depth` arrays. */
static char *path_text(const struct reader *r, int depth, char out[PATH_BYTES])
{
    int used = snprintf(out, PATH_BYTES, "%s", r->key);
    for (int d = 0; d < depth && used < PATH_BYTES; d++)
        used += snprintf(out + used, PATH_BYTES - (size_t)used, "[%zu]", r->index[d]);
    return out;
}

static bool ended(struct reader *r)
{
    char path[PATH_BYTES];
    path_text(r, r->depth, path);
    return err_field(r->e, ERR_INVALID, path, "JSON ends at byte %zu, inside %s",
                     (size_t)(r->end - r->text), path);
}

static bool unexpected(struct reader *r, const char *expected)
{
    if (r->at >= r->end)
        return ended(r);
    char path[PATH_BYTES], came[32];
    char c = *r->at;
    if (c > 0x20 && c < 0x7f)
        snprintf(came, sizeof came, "'%c'", c);
    else
        snprintf(came, sizeof came, "byte 0x%02x", (unsigned char)c);
    path_text(r, r->depth, path);
    return err_field(r->e, ERR_INVALID, path, "unexpected %s at %s, byte %zu, expected %s", came,
                     path, (size_t)(r->at - r->text), expected);
}

static bool wrong_type(struct reader *r, const char *expected, const char *came)
{
    char path[PATH_BYTES];
    path_text(r, r->depth, path);
    return err_field(r->e, ERR_INVALID, path, "expected %s at %s, got %s", expected, path, came);
}

static bool not_a_number(struct reader *r)
{
    switch (r->at < r->end ? *r->at : '\0') {
    case '"':
        return wrong_type(r, "a number", "a string");
    case '{':
        return wrong_type(r, "a number", "an object");
    case 't':
    case 'f':
        return wrong_type(r, "a number", "a boolean");
    case 'n':
        return wrong_type(r, "a number", "null");
    default:
        return unexpected(r, "a number");
    }
}

/* Room for a number more, unless there are count_max of them. */
static bool reserve(struct reader *r)
{
    struct tensor *t = r->tensor;
    if (t->count < r->capacity || t->count == r->count_max)
        return true;
    size_t possible = (size_t)(r->end - r->at) / 2 + 1; /* "0," */
    size_t capacity = r->capacity                 ? r->capacity * 2
                      : possible < FIRST_CAPACITY ? possible
                                                  : FIRST_CAPACITY;
    if (capacity > r->count_max)
        capacity = r->count_max;
    float *data = realloc(t->data, capacity * sizeof *data);
    if (!data)
        return err_no_memory(r->e);
    t->data = data;
    r->capacity = capacity;
    return true;
}

/* Says why no number is taken here. */
static bool refuse_number(struct reader *r)
{
    float value;
    size_t size = number_read(r->at, (size_t)(r->end - r->at), &value);
    if (size == 0)
        return not_a_number(r);
    if (r->depth != r->tensor->rank)
        return wrong_type(r, "an array", "a number");
    if (isinf(value)) {
        char path[PATH_BYTES];
        path_text(r, r->depth, path);
        return err_field(r->e, ERR_INVALID, path, "number %.*s at %s overflows a float",
                         size > 40 ? 40 : (int)size, r->at, path);
    }
    return err_field(r->e, ERR_TOO_LARGE, r->key, "more than %zu numbers in %s", r->count_max,
                     r->key);
}

/* The numbers of the innermost array, as far as they and the room for them go. */
static bool read_numbers(struct reader *r)
{
    struct tensor *t = r->tensor;
    size_t count = 0;
    if (t->rank == 0)
        t->rank = r->depth;
    if (!reserve(r))
        return false;
    if (r->depth == t->rank)
        r->at += number_list_read(r->at, (size_t)(r->end - r->at), t->data + t->count,
                                  r->capacity - t->count, &count);
    if (count == 0)
        return refuse_number(r);
    t->count += count;
    r->index[r->depth - 1] += count;
    return true;
}

static bool open_array(struct reader *r)
{
    if (r->tensor->rank != 0 && r->depth >= r->tensor->rank)
        return wrong_type(r, "a number", "an array");
    if (r->depth == TENSOR_RANK_MAX)
        return err_field(r->e, ERR_INVALID, r->key, "array nested deeper than %d in %s",
                         TENSOR_RANK_MAX, r->key);
    r->at++;
    skip_space(r);
    if (r->at < r->end && *r->at == ']') {
        char path[PATH_BYTES];
        path_text(r, r->depth, path);
        return err_field(r->e, ERR_INVALID, path, "empty array at %s", path);
    }
    r->index[r->depth++] = 0;
    return true;
}

/* At ']': the innermost array must be as long as the first one at its depth. */
static bool close_array(struct reader *r)
{
    int depth = r->depth - 1;
    size_t count = r->index[depth], *expected = &r->tensor->dims[depth];
    if (*expected == 0)
        *expected = count;
    if (count != *expected) {
        char path[PATH_BYTES];
        path_text(r, depth, path);
        return err_field(r->e, ERR_INVALID, path, "ragged array at %s: %zu %s, expected %zu", path,
                         count, r->depth == r->tensor->rank ? "numbers" : "arrays", *expected);
    }
    r->at++;
    r->depth--;
    if (r->depth > 0)
        r->index[r->depth - 1]++;
    return true;
}

static bool read_array(struct reader *r)
{
    do {
        while (r->at < r->end && *r->at == '[')
            if (!open_array(r))
                return false;
        if (!read_numbers(r))
            return false;
        skip_space(r);
        while (r->depth > 0 && r->at < r->end && *r->at == ']') {
            if (!close_array(r))
                return false;
            if (r->depth > 0)
                skip_space(r);
        }
        if (r->depth == 0)
            return true;
        if (r->at >= r->end || *r->at != ',')
            return unexpected(r, "',' or ']'");
        r->at++;
        skip_space(r);
    } while (true);
}

/* Lists of many small arrays are as small as their numbers. */
static void trim(struct reader *r)
{
    struct tensor *t = r->tensor;
    float *data = t->count < r->capacity / 2 ? realloc(t->data, t->count * sizeof *data) : NULL;
    if (data)
        t->data = data;
}

bool tensor_json_read(const char *text, size_t size, size_t *at, const char *name, size_t count_max,
                      struct tensor *tensor, struct err *e)
{
    struct reader r = {.text = text,
                       .at = text + *at,
                       .end = text + size,
                       .key = name,
                       .count_max = count_max,
                       .tensor = tensor,
                       .e = e};
    *tensor = (struct tensor){0};
    if (!read_array(&r)) {
        tensor_clear(tensor);
        return false;
    }
    trim(&r);
    *at = (size_t)(r.at - text);
    return true;
}
