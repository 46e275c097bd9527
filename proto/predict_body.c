/* predict_body.c - what a body is, then its samples one after the other into one array.
 *
 * The kinds are told apart by looking at the bytes first and at the content type second, since
 * `curl -d` and `curl -T` send types that say nothing.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "limits.h"
#include "mesh.h"
#include "multipart.h"
#include "npy.h"
#include "predict_decode.h"

void predict_batch_clear(struct predict_batch *batch)
{
    free(batch->x);
    *batch = (struct predict_batch){0};
}

/* Pixels cost time: 16 kB of PNG may have 16 million. */
static bool count_pixels(struct decoding *d, const void *bytes, size_t size, struct err *e)
{
    struct image head = {0};
    if (image_peek(bytes, size, &head))
        d->pixels += (size_t)head.width * (size_t)head.height;
    return d->pixels <= LIMIT_PREDICT_PIXELS ||
           err_set(e, ERR_TOO_LARGE,
                   "pictures of %zu pixels or more, at most %d are taken at a time", d->pixels,
                   LIMIT_PREDICT_PIXELS);
}

bool predict_add_image(struct decoding *d, const void *bytes, size_t size, struct err *e)
{
    struct image image = {0};
    if (!count_pixels(d, bytes, size, e) || !image_decode(bytes, size, &image, e))
        return false;
    float *x = predict_extend(d, 1, e);
    bool ok = x && preprocess_image(d->pre, d->shape, &image, d->body->invert, x, e);
    image_clear(&image);
    d->batch->count += ok;
    return ok;
}

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

enum kind { KIND_UNKNOWN, KIND_IMAGE, KIND_NPY, KIND_MESH, KIND_JSON, KIND_RAW };

static bool add_parts(struct decoding *d, const char *content_type, const void *bytes, size_t size,
                      struct err *e);

/* What the bytes say, whatever the type does. Raw samples may begin like a document or a mesh:
 * among them only what is one as a whole counts. */
static enum kind kind_of_bytes(const struct decoding *d, bool raw, const void *bytes, size_t size)
{
    struct err ignored;
    struct cnn_mesh mesh;
    const bool may_be_raw = raw && predict_raw_fits(d, size);
    if (image_sniff(bytes, size))
        return KIND_IMAGE;
    if (npy_sniff(bytes, size))
        return KIND_NPY;
    if (looks_like_json(bytes, size))
        return !may_be_raw || predict_body_is_json(bytes, size) ? KIND_JSON : KIND_UNKNOWN;
    if (mesh_sniff(bytes, size) == MESH_UNKNOWN)
        return KIND_UNKNOWN;
    if (!may_be_raw)
        return KIND_MESH;
    bool whole = mesh_parse(bytes, size, &mesh, &ignored);
    cnn_mesh_clear(&mesh);
    return whole ? KIND_MESH : KIND_UNKNOWN;
}

static enum kind kind_of_type(const char *type)
{
    static const struct {
        const char *type;
        enum kind kind;
    } types[] = {
        {"application/json", KIND_JSON}, {"image/png", KIND_IMAGE},
        {"image/jpeg", KIND_IMAGE},      {"application/x-npy", KIND_NPY},
        {"model/off", KIND_MESH},        {"model/stl", KIND_MESH},
        {"model/obj", KIND_MESH},        {"application/octet-stream", KIND_RAW},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (type_is(type, types[i].type))
            return types[i].kind;
    return type[0] ? KIND_UNKNOWN : KIND_RAW;
}

/* One body, or one part of a multipart body (nested: parts have no parts). */
static bool add_body(struct decoding *d, const char *type, const void *bytes, size_t size,
                     bool nested, struct err *e)
{
    if (size == 0)
        return err_set(e, ERR_INVALID, "empty body");
    enum kind said = kind_of_type(type);
    if (said == KIND_RAW && d->body->dtype != PREDICT_ANY)
        return predict_add_raw(d, bytes, size, e);
    if (!nested && type_is(type, "multipart/form-data"))
        return add_parts(d, type, bytes, size, e);
    enum kind kind = kind_of_bytes(d, said == KIND_RAW, bytes, size);
    switch (kind == KIND_UNKNOWN ? said : kind) {
    case KIND_IMAGE:
        return predict_add_image(d, bytes, size, e);
    case KIND_NPY:
        return predict_add_npy(d, bytes, size, e);
    case KIND_MESH:
        return predict_add_mesh(d, bytes, size, e);
    case KIND_JSON:
        return predict_add_json(d, bytes, size, e);
    case KIND_RAW:
        return predict_add_raw(d, bytes, size, e);
    case KIND_UNKNOWN:
        break;
    }
    return err_set(e, ERR_MEDIA_TYPE,
                   "media type '%.80s' is not read; send application/json, image/png, image/jpeg, "
                   "model/off, model/stl, model/obj, application/x-npy, application/octet-stream "
                   "or multipart/form-data of these",
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
                         .voxelize = body->voxelize ? *body->voxelize : preprocess_voxelize(pre),
                         .batch = batch,
                         .elements = cnn_shape_count(shape)};
    const char *type = body->content_type ? body->content_type : "";
    if (add_body(&d, type, body->bytes, body->size, false, e))
        return true;
    predict_batch_clear(batch);
    return false;
}
