#include "safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_read.h"
#include "json_write.h"
#include "memory.h"

#include <cjson/cJSON.h>

enum {
    SIZE_BYTES = 8, /* of the header's size, little-endian */
    HEADER_BYTES_MAX = 1 << 20,
    DATA_ALIGN_BYTES = 64,
};

static size_t dtype_bytes(const char *dtype)
{
    static const struct {
        const char *name;
        size_t bytes;
    } dtypes[] = {{"BOOL", 1}, {"U8", 1},   {"I8", 1},  {"U16", 2}, {"I16", 2},
                  {"F16", 2},  {"BF16", 2}, {"U32", 4}, {"I32", 4}, {"F32", 4},
                  {"U64", 8},  {"I64", 8},  {"F64", 8}};
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (strcmp(dtype, dtypes[i].name) == 0)
            return dtypes[i].bytes;
    return 0;
}

/* Bytes that dtype and dims ask for; false when they overflow or the dtype is unknown. */
static bool tensor_bytes(const struct safetensors_tensor *tensor, uint64_t *bytes, struct err *e)
{
    size_t product = dtype_bytes(tensor->dtype);
    if (product == 0)
        return err_set(e, ERR_UNPROCESSABLE, "unknown dtype '%s' of tensor '%s'", tensor->dtype,
                       tensor->name);
    for (int i = 0; i < tensor->rank; i++)
        if (!memory_mul(product, tensor->dims[i], &product))
            return err_set(e, ERR_UNPROCESSABLE, "shape of tensor '%s' overflows", tensor->name);
    *bytes = product;
    return true;
}

static void write_tensor(struct json_writer *w, const struct safetensors_tensor *tensor)
{
    jw_key(w, tensor->name);
    jw_object(w);
    jw_key_string(w, "dtype", tensor->dtype);
    jw_key(w, "shape");
    jw_array(w);
    for (int i = 0; i < tensor->rank; i++)
        jw_int(w, (int64_t)tensor->dims[i]);
    jw_array_end(w);
    jw_key(w, "data_offsets");
    jw_array(w);
    jw_int(w, (int64_t)tensor->begin);
    jw_int(w, (int64_t)tensor->end);
    jw_array_end(w);
    jw_object_end(w);
}

static void write_header(struct buf *json, const struct safetensors_tensor *tensors, int count,
                         const char *metadata_key, const char *metadata_value)
{
    struct json_writer w;
    jw_begin(&w, json);
    jw_object(&w);
    if (metadata_key) {
        jw_key(&w, "__metadata__");
        jw_object(&w);
        jw_key_string(&w, metadata_key, metadata_value);
        jw_object_end(&w);
    }
    for (int i = 0; i < count; i++)
        write_tensor(&w, &tensors[i]);
    jw_object_end(&w);
}

bool safetensors_header(struct safetensors_tensor *tensors, int count, const char *metadata_key,
                        const char *metadata_value, struct buf *out, struct err *e)
{
    uint64_t at = 0;
    for (int i = 0; i < count; i++) {
        uint64_t bytes;
        if (!tensor_bytes(&tensors[i], &bytes, e))
            return false;
        if (bytes > INT64_MAX - at)
            return err_set(e, ERR_TOO_LARGE, "tensors of more than 2^63 bytes");
        tensors[i].begin = at;
        tensors[i].end = at += bytes;
    }

    struct buf json = {0};
    write_header(&json, tensors, count, metadata_key, metadata_value);
    while (buf_ok(&json) && (SIZE_BYTES + json.size) % DATA_ALIGN_BYTES != 0)
        buf_str(&json, " ");
    uint8_t size[SIZE_BYTES];
    for (int i = 0; i < SIZE_BYTES; i++)
        size[i] = (uint8_t)((uint64_t)json.size >> (8 * i));
    buf_add(out, size, sizeof size);
    buf_add(out, json.data, json.size);
    bool ok = buf_ok(&json) && buf_ok(out);
    bool fits = json.size <= HEADER_BYTES_MAX;
    buf_clear(&json);
    if (!ok)
        return err_no_memory(e);
    return fits || err_set(e, ERR_TOO_LARGE, "header of more than %d bytes", HEADER_BYTES_MAX);
}

/* A whole number that a double holds exactly. */
static bool read_uint(const struct cJSON *item, uint64_t *value)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble > 0x1p53)
        return false;
    *value = (uint64_t)item->valuedouble;
    return (double)*value == item->valuedouble;
}

/* An array of at most `most` whole numbers. */
static bool read_uints(const struct cJSON *object, const char *key, uint64_t *values, int most,
                       int *count)
{
    const struct cJSON *array = json_get(object, key), *item;
    *count = 0;
    if (!cJSON_IsArray(array))
        return false;
    cJSON_ArrayForEach(item, array)
    {
        if (*count == most || !read_uint(item, &values[*count]))
            return false;
        ++*count;
    }
    return true;
}

static bool parse_tensor(const struct cJSON *json, struct safetensors_tensor *tensor, struct err *e)
{
    static const char *const keys[] = {"dtype", "shape", "data_offsets", NULL};
    const char *dtype = "";
    uint64_t offsets[2], bytes;
    int count;
    if (strlen(json->string) >= sizeof tensor->name)
        return err_set(e, ERR_UNPROCESSABLE, "tensor name of more than %zu bytes",
                       sizeof tensor->name - 1);
    snprintf(tensor->name, sizeof tensor->name, "%s", json->string);
    if (!json_is_object(json, tensor->name, e) || !json_only(json, keys, e) ||
        !json_get_string(json, "dtype", &dtype, e))
        return false;
    if (strlen(dtype) >= sizeof tensor->dtype)
        return err_set(e, ERR_UNPROCESSABLE, "unknown dtype of tensor '%s'", tensor->name);
    snprintf(tensor->dtype, sizeof tensor->dtype, "%s", dtype);
    if (!read_uints(json, "shape", tensor->dims, SAFETENSORS_RANK_MAX, &tensor->rank))
        return err_set(e, ERR_UNPROCESSABLE, "shape of tensor '%s' is not a list of up to %d sizes",
                       tensor->name, SAFETENSORS_RANK_MAX);
    if (!read_uints(json, "data_offsets", offsets, 2, &count) || count != 2 ||
        offsets[0] > offsets[1])
        return err_set(e, ERR_UNPROCESSABLE, "data_offsets of tensor '%s' are not a range",
                       tensor->name);
    tensor->begin = offsets[0];
    tensor->end = offsets[1];
    if (!tensor_bytes(tensor, &bytes, e))
        return false;
    if (bytes != tensor->end - tensor->begin)
        return err_set(e, ERR_UNPROCESSABLE, "tensor '%s' has %llu bytes, its shape asks for %llu",
                       tensor->name, (unsigned long long)(tensor->end - tensor->begin),
                       (unsigned long long)bytes);
    return true;
}

static int compare_begin(const void *a, const void *b)
{
    const struct safetensors_tensor *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end); /* empty ones first */
}

/* The tensors, sorted by position, cover the data exactly. */
static bool check_layout(const struct safetensors *st, uint64_t data_bytes, struct err *e)
{
    uint64_t at = 0;
    for (int i = 0; i < st->count; i++) {
        const struct safetensors_tensor *tensor = &st->tensors[i];
        if (tensor->begin != at)
            return err_set(e, ERR_UNPROCESSABLE, "%s before tensor '%s' at byte %llu",
                           tensor->begin < at ? "overlap" : "hole", tensor->name,
                           (unsigned long long)tensor->begin);
        at = tensor->end;
    }
    if (at != data_bytes)
        return err_set(e, ERR_UNPROCESSABLE, "file holds %llu bytes of data, its header says %llu",
                       (unsigned long long)data_bytes, (unsigned long long)at);
    return true;
}

static bool parse_metadata(const struct cJSON *json, struct safetensors *st, struct err *e)
{
    const struct cJSON *item;
    if (!json_is_object(json, "__metadata__", e))
        return false;
    cJSON_ArrayForEach(item, json)
    {
        if (!cJSON_IsString(item))
            return err_set(e, ERR_UNPROCESSABLE, "a value of '__metadata__' is not text");
    }
    st->metadata = cJSON_PrintUnformatted(json);
    return st->metadata || err_no_memory(e);
}

static bool parse_members(const struct cJSON *json, struct safetensors *st, struct err *e)
{
    const struct cJSON *item;
    if (!json_is_object(json, "safetensors header", e))
        return false;
    int members = cJSON_GetArraySize(json);
    if (members > SAFETENSORS_TENSORS_MAX)
        return err_set(e, ERR_UNPROCESSABLE, "%d tensors, at most %d are read", members,
                       SAFETENSORS_TENSORS_MAX);
    st->tensors = memory_new((size_t)members, sizeof *st->tensors, e);
    if (!st->tensors)
        return false;
    cJSON_ArrayForEach(item, json)
    {
        bool metadata = strcmp(item->string, "__metadata__") == 0;
        if (metadata ? st->metadata != NULL : safetensors_find(st, item->string) != NULL)
            return err_set(e, ERR_UNPROCESSABLE, "'%.64s' is there twice", item->string);
        if (metadata) {
            if (!parse_metadata(item, st, e))
                return false;
        } else if (!parse_tensor(item, &st->tensors[st->count++], e)) {
            return false;
        }
    }
    return true;
}

bool safetensors_parse(const void *bytes, size_t size, struct safetensors *st, struct err *e)
{
    *st = (struct safetensors){0};
    const uint8_t *p = bytes;
    uint64_t header = 0;
    if (size < SIZE_BYTES)
        return err_set(e, ERR_UNPROCESSABLE, "safetensors file of %zu bytes is truncated", size);
    for (int i = 0; i < SIZE_BYTES; i++)
        header |= (uint64_t)p[i] << (8 * i);
    if (header > HEADER_BYTES_MAX)
        return err_set(e, ERR_UNPROCESSABLE,
                       "safetensors header of %llu bytes, at most %d are read",
                       (unsigned long long)header, HEADER_BYTES_MAX);
    if (header > size - SIZE_BYTES)
        return err_set(e, ERR_UNPROCESSABLE, "safetensors header of %llu bytes is truncated",
                       (unsigned long long)header);

    struct cJSON *json = json_parse((const char *)p + SIZE_BYTES, header, e);
    bool ok = json && parse_members(json, st, e);
    json_free(json);
    if (ok) {
        st->data = p + SIZE_BYTES + header;
        qsort(st->tensors, (size_t)st->count, sizeof *st->tensors, compare_begin);
        ok = check_layout(st, size - SIZE_BYTES - header, e);
    }
    if (!ok) {
        safetensors_clear(st);
        if (e->code == ERR_INVALID) /* the file is at fault, not the request's fields */
            e->code = ERR_UNPROCESSABLE;
    }
    return ok;
}

const struct safetensors_tensor *safetensors_find(const struct safetensors *st, const char *name)
{
    for (int i = 0; i < st->count; i++)
        if (strcmp(st->tensors[i].name, name) == 0)
            return &st->tensors[i];
    return NULL;
}

void safetensors_clear(struct safetensors *st)
{
    free(st->tensors);
    cJSON_free(st->metadata);
    *st = (struct safetensors){0};
}
