#include "json_read.h"

#include <cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "utf8.h"

/* What json_scan passes cJSON reads, so that only memory can be missing. */
static struct cJSON *parse_scanned(const char *text, size_t size, struct err *e)
{
    cJSON *json = cJSON_ParseWithLengthOpts(text, size, NULL, 0);
    if (!json)
        err_no_memory(e);
    return json;
}

struct cJSON *json_parse(const char *text, size_t size, struct err *e)
{
    return json_parse_lifted(text, size, NULL, e);
}

struct cJSON *json_parse_lifted(const char *text, size_t size, const struct json_lift *lift,
                                struct err *e)
{
    struct buf rest = {0};
    struct cJSON *json = NULL;
    if (json_scan(text, size, lift, &rest, e))
        json = rest.data ? parse_scanned(rest.data, rest.size, e) : parse_scanned(text, size, e);
    buf_clear(&rest);
    return json;
}

void json_free(struct cJSON *json)
{
    cJSON_Delete(json);
}

char *json_describe(char out[JSON_DESCRIBE_BYTES], const struct cJSON *json)
{
    char quoted[UTF8_QUOTE_BYTES];
    if (cJSON_IsString(json))
        snprintf(out, JSON_DESCRIBE_BYTES, "'%s'",
                 utf8_quote(quoted, json->valuestring, strlen(json->valuestring)));
    else if (cJSON_IsNumber(json))
        snprintf(out, JSON_DESCRIBE_BYTES, "%.15g", json->valuedouble);
    else
        snprintf(out, JSON_DESCRIBE_BYTES, "%s",
                 cJSON_IsNull(json)    ? "null"
                 : cJSON_IsBool(json)  ? (cJSON_IsTrue(json) ? "true" : "false")
                 : cJSON_IsArray(json) ? "an array"
                                       : "an object");
    return out;
}

bool json_wrong(const char *field, const struct cJSON *json, const char *expected, struct err *e)
{
    char came[JSON_DESCRIBE_BYTES];
    return err_field(e, ERR_INVALID, field, "expected %s, got %s", expected,
                     json_describe(came, json));
}

bool json_is_object(const struct cJSON *json, const char *what, struct err *e)
{
    return cJSON_IsObject(json) || json_wrong(what, json, "an object", e);
}

bool json_only(const struct cJSON *object, const char *const *keys, struct err *e)
{
    const cJSON *member;
    uint64_t seen = 0;
    cJSON_ArrayForEach(member, object)
    {
        char quoted[UTF8_QUOTE_BYTES];
        int key = 0;
        while (keys[key] && strcmp(keys[key], member->string) != 0)
            key++;
        CHECK(key < 64);
        utf8_quote(quoted, member->string, strlen(member->string));
        if (!keys[key])
            return err_field(e, ERR_INVALID, quoted, "unknown field '%s'", quoted);
        if (seen & (uint64_t)1 << key)
            return err_field(e, ERR_INVALID, quoted, "field '%s' is given twice", quoted);
        seen |= (uint64_t)1 << key;
    }
    return true;
}

const struct cJSON *json_get(const struct cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

bool json_int(const struct cJSON *json, const char *field, int64_t low, int64_t high,
              int64_t *value, struct err *e)
{
    /* Doubles hold every integer up to 2^53; the parser has no others. */
    static const double exact = 0x1p53;
    double number = cJSON_IsNumber(json) ? json->valuedouble : NAN;
    bool fits = fabs(number) <= exact && number == floor(number);
    if (fits && (int64_t)number >= low && (int64_t)number <= high) {
        *value = (int64_t)number;
        return true;
    }
    char expected[80];
    snprintf(expected, sizeof expected, "an integer from %lld to %lld", (long long)low,
             (long long)high);
    return json_wrong(field, json, expected, e);
}

bool json_get_int(const struct cJSON *object, const char *key, int64_t low, int64_t high,
                  int64_t *value, struct err *e)
{
    const cJSON *json = json_get(object, key);
    return !json || json_int(json, key, low, high, value, e);
}

bool json_get_double(const struct cJSON *object, const char *key, double low, double high,
                     double *value, struct err *e)
{
    const cJSON *json = json_get(object, key);
    if (!json)
        return true;
    if (cJSON_IsNumber(json) && json->valuedouble >= low && json->valuedouble <= high) {
        *value = json->valuedouble;
        return true;
    }
    char expected[80];
    snprintf(expected, sizeof expected,
             isfinite(high)  ? "a number from %.15g to %.15g"
             : isfinite(low) ? "a number of at least %.15g"
                             : "a number",
             low, high);
    return json_wrong(key, json, expected, e);
}

bool json_get_bool(const struct cJSON *object, const char *key, bool *value, struct err *e)
{
    const cJSON *json = json_get(object, key);
    if (json && !cJSON_IsBool(json))
        return json_wrong(key, json, "true or false", e);
    if (json)
        *value = cJSON_IsTrue(json);
    return true;
}

bool json_get_string(const struct cJSON *object, const char *key, const char **value, struct err *e)
{
    const cJSON *json = json_get(object, key);
    if (json && !cJSON_IsString(json))
        return json_wrong(key, json, "a string", e);
    if (json)
        *value = json->valuestring;
    return true;
}

bool json_get_choice(const struct cJSON *object, const char *key, const char *const *choices,
                     int count, int *value, struct err *e)
{
    const char *text = NULL;
    if (!json_get_string(object, key, &text, e))
        return false;
    if (!text)
        return true;
    char expected[160] = "";
    for (int i = 0; i < count; i++) {
        if (strcmp(text, choices[i]) == 0) {
            *value = i;
            return true;
        }
        size_t used = strlen(expected);
        snprintf(expected + used, sizeof expected - used, "%s'%s'",
                 i == 0           ? ""
                 : i == count - 1 ? " or "
                                  : ", ",
                 choices[i]);
    }
    return json_wrong(key, json_get(object, key), expected, e);
}
