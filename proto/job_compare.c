#include "job_compare.h"

#include <cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_read.h"
#include "limits.h"

enum { NAME_BYTES = 512 };

/* One member of each document; NULL where it is absent. */
struct values {
    const cJSON *of[LIMIT_JOBS_COMPARED];
    int count;
};

static bool all_equal(const struct values *values)
{
    for (int i = 1; i < values->count; i++) {
        if (!values->of[0] != !values->of[i])
            return false;
        if (values->of[0] && !cJSON_Compare(values->of[0], values->of[i], true))
            return false;
    }
    return true;
}

static bool is_object_list(const cJSON *json)
{
    return cJSON_IsArray(json) && cJSON_IsObject(json->child);
}

/* Whether each that is there passes. */
static bool all_are(const struct values *values, bool (*is)(const cJSON *json))
{
    for (int i = 0; i < values->count; i++)
        if (values->of[i] && !is(values->of[i]))
            return false;
    return true;
}

static bool is_object(const cJSON *json)
{
    return cJSON_IsObject(json);
}

static bool write_value(struct json_writer *w, const cJSON *value, struct err *e)
{
    if (!value) {
        jw_null(w);
        return true;
    }
    char *text = cJSON_PrintUnformatted(value);
    if (!text)
        return err_no_memory(e);
    jw_raw(w, text, strlen(text));
    cJSON_free(text);
    return true;
}

static bool write_difference(struct json_writer *w, const char *name, const struct values *values,
                             struct err *e)
{
    jw_object(w);
    jw_key_string(w, "name", name);
    jw_key(w, "values");
    jw_array(w);
    for (int i = 0; i < values->count; i++)
        if (!write_value(w, values->of[i], e))
            return false;
    jw_array_end(w);
    jw_object_end(w);
    return true;
}

static bool compare(struct json_writer *w, const char *name, const struct values *values,
                    struct err *e);

static bool compare_member(struct json_writer *w, const char *name, const struct values *objects,
                           const char *key, struct err *e)
{
    struct values members = {.count = objects->count};
    char path[NAME_BYTES];
    for (int i = 0; i < objects->count; i++)
        members.of[i] = objects->of[i] ? json_get(objects->of[i], key) : NULL;
    snprintf(path, sizeof path, "%s%s%s", name, name[0] ? "." : "", key);
    return compare(w, path, &members, e);
}

/* Whether an object before number `end` has this key: then it was compared with that one's. */
static bool seen_before(const struct values *objects, int end, const char *key)
{
    for (int i = 0; i < end; i++)
        if (objects->of[i] && json_get(objects->of[i], key))
            return true;
    return false;
}

static bool compare_objects(struct json_writer *w, const char *name, const struct values *objects,
                            struct err *e)
{
    for (int i = 0; i < objects->count; i++) {
        const cJSON *member;
        cJSON_ArrayForEach(member, objects->of[i])
        {
            if (!seen_before(objects, i, member->string) &&
                !compare_member(w, name, objects, member->string, e))
                return false;
        }
    }
    return true;
}

static bool compare_lists(struct json_writer *w, const char *name, const struct values *lists,
                          struct err *e)
{
    struct values elements = {.count = lists->count};
    for (int i = 0; i < lists->count; i++)
        elements.of[i] = lists->of[i] ? lists->of[i]->child : NULL;
    for (int index = 0;; index++) {
        char path[NAME_BYTES];
        bool any = false;
        for (int i = 0; i < elements.count; i++)
            any = any || elements.of[i];
        if (!any)
            return true;
        snprintf(path, sizeof path, "%s[%d]", name, index);
        if (!compare(w, path, &elements, e))
            return false;
        for (int i = 0; i < elements.count; i++)
            elements.of[i] = elements.of[i] ? elements.of[i]->next : NULL;
    }
}

static bool compare(struct json_writer *w, const char *name, const struct values *values,
                    struct err *e)
{
    if (all_equal(values))
        return true;
    if (all_are(values, is_object))
        return compare_objects(w, name, values, e);
    if (all_are(values, is_object_list))
        return compare_lists(w, name, values, e);
    return write_difference(w, name, values, e);
}

bool job_compare_write(struct json_writer *w, const char *const *texts, int count, struct err *e)
{
    cJSON *documents[LIMIT_JOBS_COMPARED] = {NULL};
    struct values roots = {.count = count};
    bool ok = true;
    for (int i = 0; ok && i < count; i++) {
        documents[i] = json_parse(texts[i], strlen(texts[i]), e);
        ok = documents[i] != NULL;
        roots.of[i] = documents[i];
    }
    if (ok) {
        jw_array(w);
        ok = compare(w, "", &roots, e);
    }
    if (ok)
        jw_array_end(w);
    for (int i = 0; i < count; i++)
        if (documents[i])
            json_free(documents[i]);
    return ok;
}
