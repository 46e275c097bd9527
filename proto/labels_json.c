#include "labels_json.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "name.h"

#include <cjson/cJSON.h>

void labels_free(char **labels, int count)
{
    for (int i = 0; labels && i < count; i++)
        free(labels[i]);
    free(labels);
}

bool labels_copy(char ***labels, int *label_count, const char *const *from, int count,
                 struct err *e)
{
    if (count < 1 || count > CNN_DIM_MAX)
        return err_field(e, ERR_INVALID, "labels", "%d labels, expected 1 to %d", count,
                         CNN_DIM_MAX);
    char **copies = memory_new((size_t)count, sizeof *copies, e);
    if (!copies)
        return false;
    for (int i = 0; i < count; i++) {
        if (!label_check(from[i], e) || !((copies[i] = strdup(from[i])) || err_no_memory(e))) {
            labels_free(copies, count);
            return false;
        }
    }
    labels_free(*labels, *label_count);
    *labels = copies;
    *label_count = count;
    return true;
}

void labels_write(struct json_writer *w, char *const *labels, int count)
{
    jw_array(w);
    for (int i = 0; i < count; i++)
        jw_string(w, labels[i]);
    jw_array_end(w);
}

bool labels_parse(const struct cJSON *json, char ***labels, int *count, struct err *e)
{
    int size = cJSON_IsArray(json) ? cJSON_GetArraySize(json) : 0, i = 0;
    if (size < 1 || size > CNN_DIM_MAX)
        return err_field(e, ERR_INVALID, "labels", "expected an array of 1 to %d strings",
                         CNN_DIM_MAX);
    const char **borrowed = memory_new((size_t)size, sizeof *borrowed, e);
    if (!borrowed)
        return false;
    const struct cJSON *item;
    bool ok = true;
    cJSON_ArrayForEach(item, json)
    {
        if (!cJSON_IsString(item)) {
            ok = err_field(e, ERR_INVALID, "labels", "label %d is not a string", i);
            break;
        }
        borrowed[i++] = item->valuestring;
    }
    ok = ok && labels_copy(labels, count, borrowed, size, e);
    free(borrowed);
    return ok;
}
