/* tensor_lift.c - a walk over the document that knows names, brackets and quotes, and no more.
 *
 * Where the text is no JSON the walk gives up: the remainder is handed on as it is, for json_parse
 * to say what is wrong with it.
 */
#include "tensor_lift.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"

enum { PATH_BYTES = 128 };

/* One step of the way to a value: a member's name, or (NULL) an index. */
struct step {
    const char *name; /* as it stands between the quotes */
    size_t size, index;
};

struct walk {
    const char *at, *end;
    const char *copied; /* up to here the text is in the rest */
    const struct tensor_lift *lift;
    size_t numbers; /* lifted so far */
    int depth;
    struct step path[LIMIT_JSON_DEPTH];
    struct tensor_list *list;
    struct buf *rest;
    struct err *e;
};

void tensor_list_clear(struct tensor_list *list)
{
    for (int i = 0; i < list->count; i++)
        tensor_clear(&list->items[i]);
    free(list->items);
    *list = (struct tensor_list){0};
}

static char peek(struct walk *w)
{
    while (w->at < w->end && memchr(" \t\r\n", *w->at, 4))
        w->at++;
    return w->at < w->end ? *w->at : '\0';
}

static bool give_up(struct walk *w)
{
    w->at = w->end;
    return true;
}

/* From an opening quote to after the closing one, or to the end. */
static void skip_string(struct walk *w)
{
    for (w->at++; w->at < w->end && *w->at != '"'; w->at++)
        if (*w->at == '\\' && w->at + 1 < w->end)
            w->at++;
    if (w->at < w->end)
        w->at++;
}

static void skip_scalar(struct walk *w)
{
    while (w->at < w->end && !memchr(",]}", *w->at, 3))
        w->at++;
}

/* "inputs[1].points", cut where it grows long. */
static void path_text(const struct walk *w, char out[PATH_BYTES])
{
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < w->depth && used < PATH_BYTES - 1; i++) {
        const struct step *step = &w->path[i];
        int size = step->name ? snprintf(out + used, PATH_BYTES - used, "%s%.*s", i ? "." : "",
                                         (int)(step->size < PATH_BYTES ? step->size : PATH_BYTES),
                                         step->name)
                              : snprintf(out + used, PATH_BYTES - used, "[%zu]", step->index);
        used += (size_t)size;
    }
}

static bool is_lifted(const struct walk *w)
{
    const struct step *last = &w->path[w->depth - 1];
    for (int i = 0; last->name && w->lift->names[i]; i++)
        if (strlen(w->lift->names[i]) == last->size &&
            memcmp(w->lift->names[i], last->name, last->size) == 0)
            return true;
    return false;
}

/* Whether the array begun here holds objects, however deep. */
static bool holds_objects(const struct walk *w)
{
    const char *at = w->at;
    while (at < w->end && memchr("[ \t\r\n", *at, 5))
        at++;
    return at < w->end && *at == '{';
}

static struct tensor *list_add(struct walk *w, const char *path)
{
    struct tensor_list *list = w->list;
    if (list->count == w->lift->list_max) {
        err_field(w->e, ERR_TOO_LARGE, path, "more than %d arrays of numbers", w->lift->list_max);
        return NULL;
    }
    if ((list->count & (list->count - 1)) == 0) { /* full: the capacity is a power of two */
        size_t capacity = list->count ? 2 * (size_t)list->count : 1;
        struct tensor *items = realloc(list->items, capacity * sizeof *items);
        if (!items) {
            err_no_memory(w->e);
            return NULL;
        }
        list->items = items;
    }
    return &list->items[list->count];
}

static bool lift_array(struct walk *w)
{
    char path[PATH_BYTES];
    size_t used;
    path_text(w, path);
    struct tensor *tensor = list_add(w, path);
    if (!tensor || !tensor_json_read(w->at, (size_t)(w->end - w->at), path,
                                     w->lift->count_max - w->numbers, tensor, &used, w->e))
        return false;
    buf_add(w->rest, w->copied, (size_t)(w->at - w->copied));
    buf_fmt(w->rest, "%d", w->list->count++);
    w->numbers += tensor->count;
    w->copied = w->at += used;
    return true;
}

static bool walk_value(struct walk *w);

/* The value under way is one step further down. */
static bool walk_step(struct walk *w, struct step step)
{
    if (w->depth == LIMIT_JSON_DEPTH)
        return give_up(w);
    w->path[w->depth++] = step;
    bool ok = walk_value(w);
    w->depth--;
    return ok;
}

static bool walk_object(struct walk *w)
{
    do {
        w->at++; /* past '{' or ',' */
        if (peek(w) != '"')
            break; /* an empty object, or no JSON */
        const char *name = w->at + 1;
        skip_string(w);
        size_t size = (size_t)(w->at - name) - 1;
        if (peek(w) != ':')
            return give_up(w);
        if (memchr(name, '\\', size))
            return err_set(w->e, ERR_INVALID, "escape in the name \"%.40s", name);
        w->at++;
        if (!walk_step(w, (struct step){.name = name, .size = size}))
            return false;
    } while (peek(w) == ',');
    if (peek(w) != '}')
        return give_up(w);
    w->at++;
    return true;
}

static bool walk_list(struct walk *w)
{
    size_t index = 0;
    do {
        w->at++; /* past '[' or ',' */
        if (peek(w) == ']')
            break;
        if (!walk_step(w, (struct step){.index = index++}))
            return false;
    } while (peek(w) == ',');
    if (peek(w) != ']')
        return give_up(w);
    w->at++;
    return true;
}

static bool refuse_number(struct walk *w)
{
    char path[PATH_BYTES];
    path_text(w, path);
    return err_field(w->e, ERR_INVALID, path, "expected an array of numbers, got a number");
}

static bool walk_value(struct walk *w)
{
    const char first = peek(w);
    const bool lifted = w->depth > 0 && is_lifted(w);
    if (lifted && first == '[' && !holds_objects(w))
        return lift_array(w);
    if (lifted && (first == '-' || (first >= '0' && first <= '9')))
        return refuse_number(w);
    if (first == '{')
        return walk_object(w);
    if (first == '[')
        return walk_list(w);
    if (first == '"')
        skip_string(w);
    else
        skip_scalar(w);
    return true;
}

bool tensor_lift(const char *text, size_t size, const struct tensor_lift *lift,
                 struct tensor_list *list, struct buf *rest, struct err *e)
{
    struct walk w = {.at = text,
                     .end = text + size,
                     .copied = text,
                     .lift = lift,
                     .list = list,
                     .rest = rest,
                     .e = e};
    *list = (struct tensor_list){0};
    bool ok = walk_value(&w);
    if (ok)
        buf_add(rest, w.copied, (size_t)(w.end - w.copied));
    if (ok && !buf_ok(rest))
        ok = err_no_memory(e);
    if (!ok)
        tensor_list_clear(list);
    return ok;
}
