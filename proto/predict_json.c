/* predict_json.c - the documents of POST /predict. Their number arrays never become trees. */
#include <cJSON.h>
#include <stdio.h>
#include <string.h>

#include "base64.h"
#include "json_read.h"
#include "limits.h"
#include "predict_decode.h"
#include "tensor_lift.h"

/* A document without its number arrays, in whose places their indices are: each is read once. */
struct document {
    struct tensor_list lifted;
};

static bool add_base64(struct decoding *d, const struct cJSON *item, struct document *doc,
                       struct err *e)
{
    (void)doc;
    if (!cJSON_IsString(item))
        return err_set(e, ERR_INVALID, "expected base64 text");
    struct buf bytes = {0};
    bool ok = base64_decode(item->valuestring, strlen(item->valuestring), LIMIT_PREDICT_BODY_BYTES,
                            &bytes, e) &&
              predict_add_image(d, bytes.data, bytes.size, e);
    buf_clear(&bytes);
    return ok;
}

static bool add_mesh_text(struct decoding *d, const struct cJSON *item, struct document *doc,
                          struct err *e)
{
    (void)doc;
    if (!cJSON_IsString(item))
        return err_set(e, ERR_INVALID, "expected the text of an OFF, STL or OBJ file");
    return predict_add_mesh(d, item->valuestring, strlen(item->valuestring), e);
}

static bool add_points(struct decoding *d, const struct cJSON *item, struct document *doc,
                       struct err *e)
{
    if (!cJSON_IsNumber(item))
        return err_set(e, ERR_INVALID, "expected a list of [x,y,z]");
    return predict_add_points(d, &doc->lifted.items[item->valueint], e);
}

static bool add_voxels(struct decoding *d, const struct cJSON *item, struct document *doc,
                       struct err *e)
{
    return predict_add_voxels(d, item, &doc->lifted, e);
}

typedef bool add_fn(struct decoding *d, const struct cJSON *item, struct document *doc,
                    struct err *e);

/* Every item of a list, or the one there is. */
static bool add_each(struct decoding *d, add_fn *add, const struct cJSON *items,
                     struct document *doc, struct err *e)
{
    const struct cJSON *item;
    int index = 0;
    if (!cJSON_IsArray(items))
        return add(d, items, doc, e);
    if (!items->child)
        return err_set(e, ERR_INVALID, "empty list");
    cJSON_ArrayForEach(item, items)
    {
        /* Only a member's value can be an index. */
        bool ok = cJSON_IsNumber(item) ? err_set(e, ERR_INVALID, "a number among other things")
                                       : add(d, item, doc, e);
        if (!ok)
            return err_within(e, "[%d]", index);
        index++;
    }
    return true;
}

static add_fn add_inputs;

static const struct {
    const char *key;
    add_fn *add;
    bool one;   /* takes a single item */
    bool inner; /* stands in an object of "inputs", too */
} members[] = {
    {"inputs", add_inputs, true, false},     {"image", add_base64, true, true},
    {"images", add_base64, false, false},    {"mesh", add_mesh_text, true, true},
    {"meshes", add_mesh_text, false, false}, {"points", add_points, true, true},
    {"voxels", add_voxels, true, true},
};
enum { MEMBERS = sizeof members / sizeof members[0] };

static const char *expected_members(char out[128], bool inner)
{
    out[0] = '\0';
    for (int i = 0; i < MEMBERS; i++)
        if (!inner || members[i].inner)
            snprintf(out + strlen(out), 128 - strlen(out), "%s'%s'", out[0] ? ", " : "",
                     members[i].key);
    return out;
}

/* The one member of the object that is a sample or samples. */
static bool add_object(struct decoding *d, const struct cJSON *object, bool inner,
                       struct document *doc, struct err *e)
{
    char expected[128];
    const struct cJSON *value = object->child;
    int found = 0;
    while (value && found < MEMBERS &&
           (strcmp(members[found].key, value->string) != 0 || (inner && !members[found].inner)))
        found++;
    if (!value || found == MEMBERS)
        return err_field(e, ERR_INVALID, value ? value->string : "", "expected one of %s%s%.64s",
                         expected_members(expected, inner), value ? ", got " : "",
                         value ? value->string : "");
    if (value->next)
        return err_field(e, ERR_INVALID, value->next->string, "nothing may stand beside '%s'",
                         value->string);
    if (!members[found].one && !cJSON_IsArray(value))
        return err_field(e, ERR_INVALID, value->string, "expected a list");
    return add_each(d, members[found].add, value, doc, e) || err_within(e, "%s", value->string);
}

static bool add_inputs(struct decoding *d, const struct cJSON *item, struct document *doc,
                       struct err *e)
{
    if (cJSON_IsNumber(item))
        return predict_add_tensor(d, &doc->lifted.items[item->valueint], e);
    if (!cJSON_IsObject(item))
        return err_set(e, ERR_INVALID, "expected an array of numbers, or objects");
    return add_object(d, item, true, doc, e);
}

static struct cJSON *parse(const char *text, size_t size, size_t elements, struct document *doc,
                           struct err *e)
{
    static const char *const names[] = {"inputs", "points", "occupied", NULL};
    const size_t points = CNN_AXES * (size_t)LIMIT_PREDICT_POINTS;
    const size_t numbers_max[] = {LIMIT_PREDICT_SAMPLES * elements, points, points};
    const struct tensor_lift lift = {names, numbers_max, .list_max = LIMIT_PREDICT_SAMPLES};
    return tensor_lift(text, size, &lift, &doc->lifted, e);
}

bool predict_add_json(struct decoding *d, const char *text, size_t size, struct err *e)
{
    struct document doc = {0};
    struct cJSON *json = parse(text, size, d->elements, &doc, e);
    bool ok = json && json_is_object(json, "body", e) && add_object(d, json, false, &doc, e);
    json_free(json);
    tensor_list_clear(&doc.lifted);
    return ok;
}

bool predict_body_is_json(const void *bytes, size_t size)
{
    struct document doc = {0};
    struct err ignored;
    struct cJSON *json = parse(bytes, size, CNN_ELEMENTS_MAX, &doc, &ignored);
    json_free(json);
    tensor_list_clear(&doc.lifted);
    return json != NULL;
}
