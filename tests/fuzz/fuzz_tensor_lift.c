/* Any bytes as a document with arrays of numbers: what the lifted arrays and the rest hold is what
 * cJSON makes of the whole. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "json_read.h"
#include "tensor_lift.h"

#include <cJSON.h>

static const char *const names[] = {"inputs", "points", NULL};

static bool is_name(const char *text)
{
    for (int i = 0; text && names[i]; i++)
        if (strcmp(text, names[i]) == 0)
            return true;
    return false;
}

/* The numbers of a tree as a tensor holds them, row by row; how many. A float of a double of the
 * text may be the neighbour of the text's own. */
static size_t check_numbers(const cJSON *json, const struct tensor *tensor, int depth, size_t at)
{
    if (!cJSON_IsArray(json)) {
        CHECK(cJSON_IsNumber(json) && depth == tensor->rank && at < tensor->count);
        float near = (float)json->valuedouble, value = tensor->data[at];
        CHECK(isfinite(value));
        CHECK(near == value || nextafterf(near, value) == value);
        return 1;
    }
    CHECK(depth < tensor->rank && tensor->dims[depth] == (size_t)cJSON_GetArraySize(json));
    size_t count = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, json) count += check_numbers(item, tensor, depth + 1, at + count);
    return count;
}

static void check_same(const cJSON *whole, const cJSON *rest, const struct tensor_list *list)
{
    if (is_name(rest->string) && cJSON_IsNumber(rest)) {
        CHECK(rest->valueint >= 0 && rest->valueint < list->count);
        const struct tensor *tensor = &list->items[rest->valueint];
        CHECK(check_numbers(whole, tensor, 0, 0) == tensor->count && tensor->count > 0);
        return;
    }
    CHECK((whole->type & 0xff) == (rest->type & 0xff));
    const cJSON *a = whole->child, *b = rest->child;
    for (; a && b; a = a->next, b = b->next)
        check_same(a, b, list);
    CHECK(!a && !b);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const size_t numbers_max[] = {4096, 256};
    static const struct tensor_lift lift = {names, numbers_max, 16};
    struct tensor_list list;
    struct err e = {0};
    cJSON *rest = tensor_lift((const char *)bytes, size, &lift, &list, &e);
    cJSON *whole = json_parse((const char *)bytes, size, &(struct err){0});
    if (rest) {
        CHECK(whole);
        check_same(whole, rest, &list);
    } else {
        CHECK(list.count == 0 && (e.code == ERR_INVALID || e.code == ERR_TOO_LARGE));
        CHECK(e.detail[0] != '\0');
    }
    json_free(whole);
    json_free(rest);
    tensor_list_clear(&list);
    return 0;
}
