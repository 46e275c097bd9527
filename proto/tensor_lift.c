#include "tensor_lift.h"

#include <stdlib.h>

#include "check.h"
#include "json_read.h"

struct lifting {
    const struct tensor_lift *lift;
    struct tensor_list *list;
    size_t numbers[TENSOR_NAMES_MAX]; /* so far */
};

void tensor_list_clear(struct tensor_list *list)
{
    for (int i = 0; i < list->count; i++)
        tensor_clear(&list->items[i]);
    free(list->items);
    *list = (struct tensor_list){0};
}

/* Room for one more. */
static bool list_extend(struct tensor_list *list, struct err *e)
{
    if ((list->count & (list->count - 1)) != 0)
        return true; /* the capacity is a power of two */
    size_t capacity = list->count ? 2 * (size_t)list->count : 1;
    struct tensor *items = realloc(list->items, capacity * sizeof *items);
    if (!items)
        return err_no_memory(e);
    list->items = items;
    return true;
}

static bool take_array(void *context, int name, const char *path, const char *text, size_t size,
                       size_t *at, struct err *e)
{
    struct lifting *l = context;
    struct tensor_list *list = l->list;
    CHECK(name < TENSOR_NAMES_MAX);
    size_t left = l->lift->numbers_max[name] - l->numbers[name];
    if (list->count == l->lift->list_max)
        return err_field(e, ERR_TOO_LARGE, path, "more than %d arrays of numbers", list->count);
    if (!list_extend(list, e) ||
        !tensor_json_read(text, size, at, path, left, &list->items[list->count], e))
        return false;
    l->numbers[name] += list->items[list->count++].count;
    return true;
}

struct cJSON *tensor_lift(const char *text, size_t size, const struct tensor_lift *lift,
                          struct tensor_list *list, struct err *e)
{
    struct lifting lifting = {.lift = lift, .list = list};
    const struct json_lift arrays = {lift->names, take_array, &lifting};
    *list = (struct tensor_list){0};
    struct cJSON *json = json_parse_lifted(text, size, &arrays, e);
    if (!json)
        tensor_list_clear(list);
    return json;
}
