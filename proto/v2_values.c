#include "v2_values.h"

#include <cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "limits.h"
#include "memory.h"

enum { LENGTH_BYTES = 4 }; /* in front of each element of BYTES */

static const struct v2_type types[] = {
    {"FP32", NPY_F32, 4, V2_PLAIN, 0, 0},
    {"UINT8", NPY_U8, 1, V2_PLAIN, 0, UINT8_MAX},
    {"BOOL", NPY_BOOL, 1, V2_PLAIN, 0, 1},
    {"FP64", NPY_F64, 8, V2_PLAIN, 0, 0},
    {"FP16", NPY_F32, 2, V2_FP16, 0, 0},
    {"BF16", NPY_F32, 2, V2_BF16, 0, 0},
    {"INT8", NPY_I8, 1, V2_PLAIN, INT8_MIN, INT8_MAX},
    {"INT16", NPY_I16, 2, V2_PLAIN, INT16_MIN, INT16_MAX},
    {"INT32", NPY_I32, 4, V2_PLAIN, INT32_MIN, INT32_MAX},
    {"INT64", NPY_I64, 8, V2_PLAIN, -0x1p63, 0x1p63},
    {"UINT16", NPY_U16, 2, V2_PLAIN, 0, UINT16_MAX},
    {"UINT32", NPY_U32, 4, V2_PLAIN, 0, UINT32_MAX},
    {"UINT64", NPY_U64, 8, V2_PLAIN, 0, 0x1p64},
    {"BYTES", NPY_U8, 0, V2_PLAIN, 0, 0},
};

const struct v2_type *v2_type_of(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

static bool add_view(struct decoding *d, const struct v2_tensor *tensor, enum npy_dtype dtype,
                     const void *data, struct err *e)
{
    struct npy view = {.dtype = dtype, .rank = tensor->rank, .count = tensor->count, .data = data};
    memcpy(view.dims, tensor->dims, sizeof view.dims);
    return predict_add_array(d, &view, e);
}

/* ---- pictures ---- */

/* [N] or [N, 1] of them. */
static bool check_pictures(const struct v2_tensor *tensor, struct err *e)
{
    const bool fits = tensor->rank == 1 || (tensor->rank == 2 && tensor->dims[1] == 1);
    return (fits && tensor->count > 0) ||
           err_set(e, ERR_INVALID, "expected shape [N] or [N,1] of pictures (BYTES)");
}

static bool add_pictures(struct decoding *d, const struct v2_tensor *tensor, const uint8_t *bytes,
                         size_t size, struct err *e)
{
    if (!check_pictures(tensor, e))
        return false;
    for (size_t i = 0; i < tensor->count; i++) {
        if (size < LENGTH_BYTES)
            return err_set(e, ERR_INVALID, "binary data ends at element %zu of %zu", i,
                           tensor->count);
        const size_t length =
            bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16 | (size_t)bytes[3] << 24;
        bytes += LENGTH_BYTES;
        size -= LENGTH_BYTES;
        if (length > size)
            return err_set(e, ERR_INVALID, "element %zu has %zu bytes, and %zu are left", i, length,
                           size);
        if (!predict_add_image(d, bytes, length, e))
            return err_within(e, "[%zu]", i);
        bytes += length;
        size -= length;
    }
    return size == 0 || err_set(e, ERR_INVALID, "%zu bytes are left after the last element", size);
}

/* ---- half floats ---- */

/* IEEE 754 binary16: sign, 5 bits of exponent (bias 15), 10 of fraction. */
static float half_value(uint16_t bits)
{
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float magnitude = ldexpf((float)fraction, -24);
    if (exponent == 31)
        magnitude = fraction ? NAN : INFINITY;
    else if (exponent > 0)
        magnitude = ldexpf((float)(fraction + 1024), exponent - 25);
    return bits >> 15 ? -magnitude : magnitude;
}

/* The upper half of a float. */
static float brain_value(uint16_t bits)
{
    const uint32_t word = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

static bool add_halves(struct decoding *d, const struct v2_tensor *tensor, const uint8_t *bytes,
                       struct err *e)
{
    float *wide = memory_new(tensor->count, sizeof *wide, e);
    if (!wide)
        return false;
    for (size_t i = 0; i < tensor->count; i++) {
        const uint16_t bits = (uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
        wide[i] = tensor->type->half == V2_FP16 ? half_value(bits) : brain_value(bits);
    }
    const bool ok = add_view(d, tensor, NPY_F32, wide, e);
    free(wide);
    return ok;
}

bool v2_add_binary(struct decoding *d, const struct v2_tensor *tensor, const uint8_t *bytes,
                   size_t size, struct err *e)
{
    const struct v2_type *type = tensor->type;
    size_t expected;
    if (type->size == 0)
        return add_pictures(d, tensor, bytes, size, e);
    if (!memory_mul(tensor->count, (size_t)type->size, &expected) || size != expected)
        return err_set(e, ERR_INVALID, "%zu bytes of binary data, its shape has %zu values of %s",
                       size, tensor->count, type->name);
    return type->half ? add_halves(d, tensor, bytes, e)
                      : add_view(d, tensor, type->dtype, bytes, e);
}

/* ---- JSON ---- */

/* Whole numbers of the type's range: what they are as integers decides about preprocessing. */
static bool add_integers(struct decoding *d, const struct v2_tensor *tensor, const float *numbers,
                         struct err *e)
{
    const struct v2_type *type = tensor->type;
    const bool bytes = type->size == 1 && type->low == 0;
    int64_t *wide = memory_new(tensor->count, sizeof *wide, e);
    uint8_t *narrow = (uint8_t *)wide;
    bool ok = wide != NULL;
    for (size_t i = 0; ok && i < tensor->count; i++) {
        const double x = (double)numbers[i];
        if (x != floor(x) || x < type->low || x > type->high || x >= 0x1p63)
            ok = err_set(e, ERR_INVALID, "value %zu, %g, is no %s", i, x, type->name);
        else if (bytes)
            narrow[i] = (uint8_t)x;
        else
            wide[i] = (int64_t)x;
    }
    ok = ok && add_view(d, tensor, bytes ? type->dtype : NPY_I64, wide, e);
    free(wide);
    return ok;
}

bool v2_add_numbers(struct decoding *d, const struct v2_tensor *tensor, const float *numbers,
                    struct err *e)
{
    const struct v2_type *type = tensor->type;
    if (type->size == 0)
        return err_set(e, ERR_INVALID, "expected texts for BYTES, got numbers");
    if (type->half)
        return err_set(e, ERR_INVALID, "%s is taken as binary data only", type->name);
    return type->high > 0 ? add_integers(d, tensor, numbers, e)
                          : add_view(d, tensor, NPY_F32, numbers, e);
}

/* The leaves of nested arrays, in order. */
static bool for_each_leaf(const struct cJSON *item,
                          bool (*visit)(void *context, const struct cJSON *leaf, struct err *e),
                          void *context, struct err *e)
{
    const struct cJSON *child;
    if (!cJSON_IsArray(item))
        return visit(context, item, e);
    cJSON_ArrayForEach(child, item) if (!for_each_leaf(child, visit, context, e)) return false;
    return true;
}

struct leaves {
    struct decoding *d;
    uint8_t *bits; /* of booleans */
    size_t count, count_max;
};

static bool take_leaf(struct leaves *l, struct err *e)
{
    return ++l->count <= l->count_max ||
           err_set(e, ERR_INVALID, "more values than the %zu of its shape", l->count_max);
}

static bool visit_boolean(void *context, const struct cJSON *leaf, struct err *e)
{
    struct leaves *l = context;
    if (!cJSON_IsBool(leaf))
        return err_set(e, ERR_INVALID, "expected true or false at value %zu", l->count);
    if (!take_leaf(l, e))
        return false;
    l->bits[l->count - 1] = cJSON_IsTrue(leaf) != 0;
    return true;
}

static bool visit_picture(void *context, const struct cJSON *leaf, struct err *e)
{
    struct leaves *l = context;
    struct buf bytes = {0};
    if (!cJSON_IsString(leaf))
        return err_set(e, ERR_INVALID, "expected base64 text at element %zu", l->count);
    if (!take_leaf(l, e))
        return false;
    const bool ok = base64_decode(leaf->valuestring, strlen(leaf->valuestring),
                                  LIMIT_PREDICT_BODY_BYTES, &bytes, e) &&
                    predict_add_image(l->d, bytes.data, bytes.size, e);
    buf_clear(&bytes);
    return ok || err_within(e, "[%zu]", l->count - 1);
}

static bool has_all(const struct leaves *l, struct err *e)
{
    return l->count == l->count_max ||
           err_set(e, ERR_INVALID, "%zu values, its shape has %zu", l->count, l->count_max);
}

bool v2_add_tree(struct decoding *d, const struct v2_tensor *tensor, const struct cJSON *data,
                 struct err *e)
{
    struct leaves l = {.d = d, .count_max = tensor->count};
    const struct v2_type *type = tensor->type;
    if (type->size == 0)
        return check_pictures(tensor, e) && for_each_leaf(data, visit_picture, &l, e) &&
               has_all(&l, e);
    if (type->dtype != NPY_BOOL)
        return err_set(e, ERR_INVALID, "expected numbers for %s", type->name);
    l.bits = memory_new(tensor->count, 1, e);
    const bool ok = l.bits && for_each_leaf(data, visit_boolean, &l, e) && has_all(&l, e) &&
                    add_view(d, tensor, NPY_BOOL, l.bits, e);
    free(l.bits);
    return ok;
}
