/* predict_body.c - what a body is, then its samples one after the other into one array.
 *
 * The kinds are told apart by looking at the bytes first and at the content type second, since
 * `curl -d` and `curl -T` send types that say nothing.
 */
#include "predict_body.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base64.h"
#include "json_read.h"
#include "limits.h"
#include "memory.h"
#include "multipart.h"
#include "tensor_json.h"

#include <cjson/cJSON.h>

/* What every kind's reader needs. */
struct decoding {
    const struct predict_body *body;
    const struct cnn_shape *shape;
    const struct preprocess *pre;
    struct predict_batch *batch;
    size_t elements, capacity; /* of one sample; of batch->x, in samples */
};

void predict_batch_clear(struct predict_batch *batch)
{
    free(batch->x);
    *batch = (struct predict_batch){0};
}

/* Room for `count` more samples; NULL with *e when there is none. The caller fills them and adds
 * to batch->count. */
static float *batch_extend(struct decoding *d, size_t count, struct err *e)
{
    size_t total = (size_t)d->batch->count + count, bytes;
    if (count > LIMIT_PREDICT_SAMPLES || total > LIMIT_PREDICT_SAMPLES) {
        err_set(e, ERR_TOO_LARGE, "%zu samples or more, at most %d are taken at a time", total,
                LIMIT_PREDICT_SAMPLES);
        return NULL;
    }
    if (total > d->capacity) {
        size_t capacity = total > 2 * d->capacity ? total : 2 * d->capacity;
        if (!memory_mul(total, d->elements * sizeof(float), &bytes) ||
            bytes > LIMIT_PREDICT_BATCH_BYTES) {
            err_set(e, ERR_TOO_LARGE, "%zu samples need more than %d bytes", total,
                    LIMIT_PREDICT_BATCH_BYTES);
            return NULL;
        }
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

static bool add_image(struct decoding *d, const void *bytes, size_t size, struct err *e)
{
    struct image image = {0};
    if (!image_decode(bytes, size, &image, e))
        return false;
    float *x = batch_extend(d, 1, e);
    bool ok = x && preprocess_image(d->pre, d->shape, &image, d->body->invert, x, e);
    image_clear(&image);
    d->batch->count += ok;
    return ok;
}

/* Raw numbers */

static bool all_finite(const float *x, size_t count, struct err *e)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(x[i]))
            return err_set(e, ERR_INVALID, "number %zu is not finite", i);
    return true;
}

static bool add_floats(struct decoding *d, const void *bytes, size_t count, struct err *e)
{
    float *x = batch_extend(d, count, e);
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
    float *x = batch_extend(d, count, e);
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

static bool raw_fits(const struct decoding *d, size_t size, size_t value_bytes)
{
    return size > 0 && size % (value_bytes * d->elements) == 0;
}

static bool add_raw(struct decoding *d, const void *bytes, size_t size, struct err *e)
{
    char text[CNN_SHAPE_TEXT];
    if (d->body->dtype != PREDICT_UINT8 && raw_fits(d, size, sizeof(float)))
        return add_floats(d, bytes, size / sizeof(float) / d->elements, e);
    if (d->body->dtype != PREDICT_FLOAT32 && raw_fits(d, size, 1))
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

/* JSON */

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

static bool add_tensor(struct decoding *d, const struct tensor *tensor, struct err *e)
{
    char text[CNN_SHAPE_TEXT];
    if (tensor->count == 0 || tensor->count % d->elements != 0)
        return err_field(e, ERR_INVALID, "inputs", "expected %zu numbers for %s, got %zu",
                         d->elements, cnn_shape_text(d->shape, text), tensor->count);
    if (!nesting_fits(d, tensor))
        return err_field(e, ERR_INVALID, "inputs",
                         "nesting does not match %s: expected it, a batch of it, or flat numbers",
                         cnn_shape_text(d->shape, text));
    return add_floats(d, tensor->data, tensor->count / d->elements, e);
}

static bool add_base64(struct decoding *d, const struct cJSON *item, struct err *e)
{
    if (!cJSON_IsString(item))
        return err_set(e, ERR_INVALID, "expected base64 text");
    struct buf bytes = {0};
    bool ok = base64_decode(item->valuestring, strlen(item->valuestring), LIMIT_PREDICT_BODY_BYTES,
                            &bytes, e) &&
              add_image(d, bytes.data, bytes.size, e);
    buf_clear(&bytes);
    return ok;
}

static bool add_base64_list(struct decoding *d, const struct cJSON *images, struct err *e)
{
    const struct cJSON *item;
    int index = 0;
    if (!cJSON_IsArray(images) || cJSON_GetArraySize(images) == 0)
        return err_field(e, ERR_INVALID, "images", "expected a list of base64 texts");
    cJSON_ArrayForEach(item, images)
    {
        if (!add_base64(d, item, e))
            return err_within(e, "images[%d]", index);
        index++;
    }
    return true;
}

/* The document without its number array, which is in *tensor when there was one. */
static bool add_document(struct decoding *d, const struct cJSON *json, const struct tensor *tensor,
                         struct err *e)
{
    static const char *const keys[] = {"inputs", "image", "images", NULL};
    const struct cJSON *image, *images;
    if (!json_is_object(json, "body", e) || !json_only(json, keys, e))
        return false;
    image = json_get(json, "image");
    images = json_get(json, "images");
    int given = (json_get(json, "inputs") != NULL) + (image != NULL) + (images != NULL);
    if (given != 1)
        return err_set(e, ERR_INVALID, "expected one of 'inputs', 'image' and 'images', got %d",
                       given);
    if (image)
        return add_base64(d, image, e) || err_within(e, "image");
    if (images)
        return add_base64_list(d, images, e);
    if (!tensor->data)
        return err_field(e, ERR_INVALID, "inputs", "expected an array of numbers");
    return add_tensor(d, tensor, e);
}

static bool add_json(struct decoding *d, const char *text, size_t size, struct err *e)
{
    struct tensor tensor = {0};
    struct buf rest = {0};
    struct cJSON *json = NULL;
    size_t count_max = (size_t)LIMIT_PREDICT_SAMPLES * d->elements;
    bool ok = tensor_json_lift(text, size, "inputs", count_max, &tensor, &rest, e) &&
              (json = json_parse(rest.data, rest.size, e)) && add_document(d, json, &tensor, e);
    json_free(json);
    buf_clear(&rest);
    tensor_clear(&tensor);
    return ok;
}

/* Kinds */

/* Whether the header's media type, parameters aside, is this one. */
static bool type_is(const char *content_type, const char *type)
{
    size_t size = strcspn(content_type, "; \t");
    return size == strlen(type) && strncasecmp(content_type, type, size) == 0;
}

static bool looks_like_json(const char *bytes, size_t size)
{
    size_t at = 0;
    while (at < size && memchr(" \t\r\n", bytes[at], 4))
        at++;
    return at < size && (bytes[at] == '{' || bytes[at] == '[');
}

static bool add_parts(struct decoding *d, const char *content_type, const void *bytes, size_t size,
                      struct err *e);

/* One body, or one part of a multipart body (nested: parts have no parts). */
static bool add_body(struct decoding *d, const char *type, const void *bytes, size_t size,
                     bool nested, struct err *e)
{
    if (size == 0)
        return err_set(e, ERR_INVALID, "empty body");
    bool raw = !type[0] || type_is(type, "application/octet-stream");
    if (raw && d->body->dtype != PREDICT_ANY)
        return add_raw(d, bytes, size, e);
    if (image_sniff(bytes, size) || type_is(type, "image/png") || type_is(type, "image/jpeg"))
        return add_image(d, bytes, size, e);
    if (!nested && type_is(type, "multipart/form-data"))
        return add_parts(d, type, bytes, size, e);
    /* Raw samples may begin with the byte of a brace: there the whole must be a document. */
    struct err ignored;
    if (looks_like_json(bytes, size) && (!raw || json_check(bytes, size, &ignored)))
        return add_json(d, bytes, size, e);
    if (type_is(type, "application/json"))
        return add_json(d, bytes, size, e);
    if (raw)
        return add_raw(d, bytes, size, e);
    return err_set(e, ERR_MEDIA_TYPE,
                   "media type '%.80s' is not read; send application/json, image/png, image/jpeg, "
                   "application/octet-stream or multipart/form-data of these",
                   type);
}

static bool add_parts(struct decoding *d, const char *content_type, const void *bytes, size_t size,
                      struct err *e)
{
    struct multipart multipart;
    struct multipart_part part;
    int more, index = 0;
    if (!multipart_begin(&multipart, content_type, bytes, size, e))
        return false;
    while ((more = multipart_next(&multipart, &part, e)) > 0) {
        if (!add_body(d, part.content_type, part.data, part.size, true, e))
            return err_within(e, "parts[%d]", index);
        index++;
    }
    if (more < 0)
        return false;
    return index > 0 || err_set(e, ERR_INVALID, "multipart body without parts");
}

bool predict_body_decode(const struct predict_body *body, const struct cnn_shape *shape,
                         const struct preprocess *pre, struct predict_batch *batch, struct err *e)
{
    *batch = (struct predict_batch){0};
    struct decoding d = {.body = body,
                         .shape = shape,
                         .pre = pre,
                         .batch = batch,
                         .elements = cnn_shape_count(shape)};
    const char *type = body->content_type ? body->content_type : "";
    if (add_body(&d, type, body->bytes, body->size, false, e))
        return true;
    predict_batch_clear(batch);
    return false;
}
