/* predict_numbers.c - numbers that are samples already: raw, npy, and arrays of JSON. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "memory.h"
#include "npy.h"
#include "predict_decode.h"

_Static_assert((int)NPY_RANK_MAX <= (int)TENSOR_RANK_MAX, "an npy array's sizes fit a tensor's");

static bool check_total(const struct decoding *d, size_t count, struct err *e)
{
    size_t total = (size_t)d->batch->count + count, bytes;
    if (count > LIMIT_PREDICT_SAMPLES || total > LIMIT_PREDICT_SAMPLES)
        return err_set(e, ERR_TOO_LARGE, "%zu samples or more, at most %d are taken at a time",
                       total, LIMIT_PREDICT_SAMPLES);
    if (!memory_mul(total, d->elements * sizeof(float), &bytes) ||
        bytes > LIMIT_PREDICT_BATCH_BYTES)
        return err_set(e, ERR_TOO_LARGE, "%zu samples need more than %d bytes", total,
                       LIMIT_PREDICT_BATCH_BYTES);
    return true;
}

float *predict_extend(struct decoding *d, size_t count, struct err *e)
{
    if (!check_total(d, count, e))
        return NULL;
    size_t total = (size_t)d->batch->count + count;
    if (total > d->capacity) {
        size_t capacity = total > 2 * d->capacity ? total : 2 * d->capacity;
        float *x = realloc(d->batch->x, capacity * d->elements * sizeof(float));
        if (!x) {
            err_no_memory(e);
            return NULL;
        }
        d->batch->x = x;
        d->capacity = capacity;
    }
    return d->batch->x + (size_t)d->batch->count * d->elements;
}

/* ---- raw ---- */

static bool all_finite(const float *x, size_t count, struct err *e)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(x[i]))
            return err_set(e, ERR_INVALID, "number %zu is not finite", i);
    return true;
}

static bool add_floats(struct decoding *d, const void *bytes, size_t count, struct err *e)
{
    float *x = predict_extend(d, count, e);
    if (!x)
        return false;
    memcpy(x, bytes, count * d->elements * sizeof *x);
    if (!all_finite(x, count * d->elements, e))
        return false;
    d->batch->count += (int)count;
    return true;
}

static bool add_bytes(struct decoding *d, const uint8_t *bytes, size_t count, struct err *e)
{
    float *x = predict_extend(d, count, e);
    if (!x)
        return false;
    uint8_t *inverted = NULL;
    if (d->body->invert == INVERT_YES) {
        inverted = malloc(count * d->elements);
        if (!inverted)
            return err_no_memory(e);
        for (size_t i = 0; i < count * d->elements; i++)
            inverted[i] = (uint8_t)(255 - bytes[i]);
    }
    cnn_normalize_u8(&d->pre->normalize, d->shape, inverted ? inverted : bytes, (int)count, x);
    free(inverted);
    d->batch->count += (int)count;
    return true;
}

static bool fits(const struct decoding *d, size_t size, size_t value_bytes)
{
    return size > 0 && size % (value_bytes * d->elements) == 0;
}

bool predict_raw_fits(const struct decoding *d, size_t size)
{
    return fits(d, size, d->body->dtype == PREDICT_FLOAT32 ? sizeof(float) : 1);
}

bool predict_add_raw(struct decoding *d, const void *bytes, size_t size, struct err *e)
{
    char text[CNN_SHAPE_TEXT];
    if (d->body->dtype != PREDICT_UINT8 && fits(d, size, sizeof(float)))
        return add_floats(d, bytes, size / sizeof(float) / d->elements, e);
    if (d->body->dtype != PREDICT_FLOAT32 && fits(d, size, 1))
        return add_bytes(d, bytes, size / d->elements, e);
    cnn_shape_text(d->shape, text);
    if (d->body->dtype == PREDICT_ANY)
        return err_set(e, ERR_INVALID,
                       "%zu raw bytes, expected a multiple of %zu (float32) or %zu (uint8) for %s",
                       size, d->elements * sizeof(float), d->elements, text);
    size_t sample = d->elements * (d->body->dtype == PREDICT_FLOAT32 ? sizeof(float) : 1);
    return err_set(e, ERR_INVALID, "%zu raw bytes, expected a multiple of %zu for %s", size, sample,
                   text);
}

/* ---- arrays ---- */

static bool dims_end_with(const struct tensor *tensor, int lead, const int *dims, int rank)
{
    if (tensor->rank != lead + rank)
        return false;
    for (int i = 0; i < rank; i++)
        if (tensor->dims[lead + i] != (size_t)dims[i])
            return false;
    return true;
}

/* One sample or a batch, each nested as the shape says (the channel axis may be left out when
 * there is one channel) or flat. */
static bool nesting_fits(const struct decoding *d, const struct tensor *tensor)
{
    int dims[1 + CNN_AXES], rank = cnn_shape_dims(d->shape, dims);
    for (int lead = 0; lead <= 1; lead++)
        if (dims_end_with(tensor, lead, dims, rank) ||
            (dims[0] == 1 && rank > 1 && dims_end_with(tensor, lead, dims + 1, rank - 1)))
            return true;
    return tensor->rank == 1 || (tensor->rank == 2 && tensor->dims[1] == d->elements);
}

/* The first samples of a batch are the tensor's own memory. Its numbers are known to be finite. */
static bool take_floats(struct decoding *d, struct tensor *tensor, size_t count, struct err *e)
{
    if (!d->batch->x && check_total(d, count, e)) {
        d->batch->x = tensor->data;
        d->capacity = count;
        tensor->data = NULL;
    } else {
        float *x = predict_extend(d, count, e);
        if (!x)
            return false;
        memcpy(x, tensor->data, tensor->count * sizeof *x);
    }
    d->batch->count += (int)count;
    return true;
}

bool predict_add_tensor(struct decoding *d, struct tensor *tensor, struct err *e)
{
    char text[CNN_SHAPE_TEXT];
    if (tensor->count == 0 || tensor->count % d->elements != 0)
        return err_set(e, ERR_INVALID, "expected %zu numbers for %s, got %zu", d->elements,
                       cnn_shape_text(d->shape, text), tensor->count);
    if (!nesting_fits(d, tensor))
        return err_set(e, ERR_INVALID,
                       "nesting does not match %s: expected it, a batch of it, or flat numbers",
                       cnn_shape_text(d->shape, text));
    return take_floats(d, tensor, tensor->count / d->elements, e);
}

/* ---- typed arrays ---- */

static bool check_axes(const struct decoding *d, const struct npy *npy, struct err *e)
{
    char text[CNN_SHAPE_TEXT];
    struct tensor view = {.rank = npy->rank, .count = npy->count};
    for (int i = 0; i < npy->rank; i++)
        view.dims[i] = npy->dims[i];
    cnn_shape_text(d->shape, text);
    if (npy->count == 0 || npy->count % d->elements != 0)
        return err_set(e, ERR_INVALID, "array of %zu values, expected %zu for %s", npy->count,
                       d->elements, text);
    return nesting_fits(d, &view) ||
           err_set(e, ERR_INVALID,
                   "axes of the array do not match %s: expected it, a batch of it, or flat", text);
}

static bool add_npy_bytes(struct decoding *d, const struct npy *npy, size_t count, struct err *e)
{
    uint8_t *bytes = memory_new(npy->count, 1, e);
    bool ok = bytes && npy_read_u8(npy, 0, npy->count, bytes, e) && add_bytes(d, bytes, count, e);
    free(bytes);
    return ok;
}

bool predict_add_array(struct decoding *d, const struct npy *array, struct err *e)
{
    if (!check_axes(d, array, e))
        return false;
    const size_t count = array->count / d->elements;
    if (array->dtype == NPY_U8 || array->dtype == NPY_BOOL)
        return add_npy_bytes(d, array, count, e);
    float *x = predict_extend(d, count, e);
    if (!x || !npy_read_f32(array, 0, array->count, x, e))
        return false;
    for (size_t i = 0; array->dtype < NPY_F32 && i < count; i++)
        preprocess_values(d->pre, d->shape, x + i * d->elements);
    d->batch->count += (int)count;
    return true;
}

bool predict_add_npy(struct decoding *d, const void *bytes, size_t size, struct err *e)
{
    struct npy npy;
    return npy_parse(bytes, size, &npy, e) && predict_add_array(d, &npy, e);
}
