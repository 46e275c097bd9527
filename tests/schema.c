#include "schema.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct check {
    const cJSON *document;
    char path[512];
    char *reason;
    size_t size;
};

static bool fits(struct check *check, const cJSON *schema, const cJSON *value);

static const cJSON *member(const cJSON *json, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(json, key);
}

const cJSON *schema_resolve(const cJSON *document, const char *reference)
{
    char text[256];
    if (strncmp(reference, "#/", 2) != 0)
        return NULL;
    snprintf(text, sizeof text, "%s", reference + 2);
    char *rest = text;
    for (char *part; document && (part = strsep(&rest, "/"));)
        document = member(document, part);
    return document;
}

static bool __attribute__((format(printf, 2, 3)))
refuse(struct check *check, const char *format, ...)
{
    va_list args;
    int used = snprintf(check->reason, check->size, "%s: ", check->path[0] ? check->path : "value");
    va_start(args, format);
    vsnprintf(check->reason + used, check->size - (size_t)used, format, args);
    va_end(args);
    return false;
}

static bool is_type(const cJSON *value, const char *type)
{
    if (strcmp(type, "object") == 0)
        return cJSON_IsObject(value);
    if (strcmp(type, "array") == 0)
        return cJSON_IsArray(value);
    if (strcmp(type, "string") == 0)
        return cJSON_IsString(value);
    if (strcmp(type, "boolean") == 0)
        return cJSON_IsBool(value);
    if (strcmp(type, "null") == 0)
        return cJSON_IsNull(value);
    if (strcmp(type, "integer") == 0)
        return cJSON_IsNumber(value) && floor(value->valuedouble) == value->valuedouble;
    return strcmp(type, "number") == 0 && cJSON_IsNumber(value);
}

static bool fits_type(struct check *check, const cJSON *type, const cJSON *value)
{
    const cJSON *one;
    if (!type || (cJSON_IsString(type) && is_type(value, type->valuestring)))
        return true;
    if (cJSON_IsArray(type))
        cJSON_ArrayForEach(one, type)
        {
            if (is_type(value, one->valuestring))
                return true;
        }
    return refuse(check, "is not of the type");
}

static bool fits_choice(struct check *check, const cJSON *schema, const cJSON *value)
{
    const cJSON *constant = member(schema, "const"), *choices = member(schema, "enum"), *choice;
    if (constant && !cJSON_Compare(constant, value, true))
        return refuse(check, "is not '%s'", constant->valuestring);
    if (!choices)
        return true;
    cJSON_ArrayForEach(choice, choices)
    {
        if (cJSON_Compare(choice, value, true))
            return true;
    }
    return refuse(check, "is none of the choices");
}

static bool fits_bounds(struct check *check, const cJSON *schema, const cJSON *value)
{
    const cJSON *low = member(schema, "minimum"), *high = member(schema, "maximum"),
                *over = member(schema, "exclusiveMinimum"),
                *under = member(schema, "exclusiveMaximum");
    if (!cJSON_IsNumber(value))
        return true;
    double number = value->valuedouble;
    if ((low && number < low->valuedouble) || (high && number > high->valuedouble) ||
        (over && number <= over->valuedouble) || (under && number >= under->valuedouble))
        return refuse(check, "%g is out of bounds", number);
    return true;
}

/* The value one step further down the path. */
static bool fits_below(struct check *check, const char *step, int index, const cJSON *schema,
                       const cJSON *value)
{
    size_t used = strlen(check->path);
    if (step)
        snprintf(check->path + used, sizeof check->path - used, ".%s", step);
    else
        snprintf(check->path + used, sizeof check->path - used, "[%d]", index);
    bool ok = fits(check, schema, value);
    check->path[used] = '\0';
    return ok;
}

static bool fits_object(struct check *check, const cJSON *schema, const cJSON *value)
{
    const cJSON *properties = member(schema, "properties"),
                *others = member(schema, "additionalProperties"), *item;
    cJSON_ArrayForEach(item, member(schema, "required"))
    {
        if (!member(value, item->valuestring))
            return refuse(check, "lacks '%s'", item->valuestring);
    }
    cJSON_ArrayForEach(item, value)
    {
        const cJSON *known = member(properties, item->string);
        if (!known && cJSON_IsFalse(others))
            return refuse(check, "has an unknown '%s'", item->string);
        known = known ? known : others;
        if (known && !fits_below(check, item->string, 0, known, item))
            return false;
    }
    return true;
}

static bool fits_array(struct check *check, const cJSON *schema, const cJSON *value)
{
    const cJSON *items = member(schema, "items"), *fewest = member(schema, "minItems"),
                *most = member(schema, "maxItems"), *item;
    int count = cJSON_GetArraySize(value), index = 0;
    if ((fewest && count < fewest->valueint) || (most && count > most->valueint))
        return refuse(check, "has %d items", count);
    cJSON_ArrayForEach(item, value)
    {
        if (items && !fits_below(check, NULL, index++, items, item))
            return false;
    }
    return true;
}

static bool fits_parts(struct check *check, const cJSON *schema, const cJSON *value)
{
    const cJSON *part, *choices = member(schema, "oneOf");
    int fitting = 0;
    cJSON_ArrayForEach(part, member(schema, "allOf"))
    {
        if (!fits(check, part, value))
            return false;
    }
    cJSON_ArrayForEach(part, choices)
    {
        fitting += fits(check, part, value);
    }
    if (!choices || fitting == 1)
        return true;
    return fitting == 0 ? false : refuse(check, "fits %d schemas of oneOf", fitting);
}

static bool fits(struct check *check, const cJSON *schema, const cJSON *value)
{
    const cJSON *reference = member(schema, "$ref");
    if (reference) {
        const cJSON *target = schema_resolve(check->document, reference->valuestring);
        if (!target)
            return refuse(check, "%s names nothing", reference->valuestring);
        if (!fits(check, target, value))
            return false;
    }
    return fits_type(check, member(schema, "type"), value) && fits_choice(check, schema, value) &&
           fits_bounds(check, schema, value) && fits_parts(check, schema, value) &&
           (!cJSON_IsObject(value) || fits_object(check, schema, value)) &&
           (!cJSON_IsArray(value) || fits_array(check, schema, value));
}

bool schema_fits(const cJSON *document, const cJSON *schema, const cJSON *value, char *reason,
                 size_t size)
{
    struct check check = {.document = document, .reason = reason, .size = size};
    return fits(&check, schema, value);
}
