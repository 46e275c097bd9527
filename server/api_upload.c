/* PUT /datasets/D and POST /datasets/D/samples. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api_datasets.h"
#include "api_query.h"
#include "json_write.h"
#include "multipart.h"
#include "name.h"
#include "predict_body.h"

/* ---- what the body is ---- */

static bool is_type(const struct http_request *request, const char *type)
{
    size_t size = strlen(type);
    const char *given = request->content_type;
    return given && strncasecmp(given, type, size) == 0 && strchr("; \t", given[size]);
}

/* Is JSON whatever the header says. */
static bool begins_like_json(const struct http_request *request)
{
    const char *body = request->body;
    return request->body_size > 0 && (body[0] == '{' || body[0] == '[');
}

/* By magic bytes: what curl sends without a type, or with a wrong one. */
static bool looks_like_archive(const char *bytes, size_t size)
{
    static const struct {
        size_t at;
        const char *magic;
    } known[] = {{257, "ustar"},
                 {0, "\x1f\x8b"},
                 {0, "PK\x03\x04"},
                 {0, "PK\x05\x06"},
                 {0, "BZh"},
                 {0, "\xfd"
                     "7zXZ"},
                 {0, "\x28\xb5\x2f\xfd"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t length = strlen(known[i].magic);
        if (size >= known[i].at + length &&
            memcmp(bytes + known[i].at, known[i].magic, length) == 0)
            return true;
    }
    return false;
}

static bool is_archive(const struct http_request *request)
{
    static const char *const types[] = {"application/x-tar",
                                        "application/tar",
                                        "application/gzip",
                                        "application/x-gzip",
                                        "application/zip",
                                        "application/zstd",
                                        "application/x-zip-compressed",
                                        "application/x-bzip2"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (is_type(request, types[i]))
            return true;
    return looks_like_archive(request->body, request->body_size);
}

/* ---- reply ---- */

static void write_skipped(struct buf *out, const struct datasets_skipped *skipped)
{
    struct json_writer w;
    buf_str(out, ",\"skipped\":");
    jw_begin(&w, out);
    jw_array(&w);
    for (int i = 0; i < skipped->count && i < LIMIT_SKIPPED_LISTED; i++) {
        jw_object(&w);
        jw_key_string(&w, "file", skipped->files[i].file);
        jw_key_string(&w, "reason", skipped->files[i].reason);
        jw_object_end(&w);
    }
    jw_array_end(&w);
    buf_fmt(out, ",\"skipped_total\":%d", skipped->count);
}

/* 201 with the version's document, still open for more members. */
static bool reply_created(struct app *app, const char *name, int version,
                          struct http_response *response, struct err *e)
{
    char location[HTTP_PARAM_BYTES + 16];
    if (!api_dataset_document(app, name, version, &response->body, e))
        return false;
    response->status = 201;
    snprintf(location, sizeof location, "/datasets/%s", name);
    http_set_header(response, "Location", location);
    return true;
}

/* ---- PUT ---- */

static bool put_generated(struct app *app, const struct http_request *request, int *version,
                          struct err *e)
{
    struct dataset_request generate;
    struct dataset_scaling scaling;
    return dataset_request_parse(request->body, request->body_size, &generate, e) &&
           api_dataset_scaling(request, &scaling, e) &&
           datasets_generate(app->store, request->params[0], &generate, &scaling, version, e);
}

static const char *const idx_names[PART_COUNT] = {"train_images", "train_labels", "test_images",
                                                  "test_labels"};
static const char *const npy_names[PART_COUNT] = {"train_x", "train_y", "test_x", "test_y"};

/* Index of the part of this name, in either family; -1: none. */
static int part_index(const char *name, const char *const **family)
{
    static const char *const *const families[] = {idx_names, npy_names};
    for (int f = 0; f < 2; f++) {
        for (int i = 0; i < PART_COUNT; i++) {
            if (strcmp(name, families[f][i]) == 0) {
                *family = families[f];
                return i;
            }
        }
    }
    return -1;
}

static bool take_part(const struct multipart_part *part, struct datasets_pairs *pairs,
                      struct err *e)
{
    const char *const *family = idx_names;
    int i = part_index(part->name, &family);
    if (i < 0)
        return err_field(e, ERR_INVALID, part->name,
                         "unknown part '%s', expected train_images, train_labels, test_images and "
                         "test_labels (IDX), or train_x, train_y, test_x and test_y (npy)",
                         part->name);
    if (pairs->bytes[i])
        return err_field(e, ERR_INVALID, part->name, "part '%s' is given twice", part->name);
    pairs->bytes[i] = part->data;
    pairs->sizes[i] = part->size;
    pairs->names[i] = family[i];
    /* What is missing later is named like what came. */
    for (int other = 0; other < PART_COUNT; other++)
        if (!pairs->bytes[other])
            pairs->names[other] = family[other];
    return true;
}

static bool read_parts(const struct http_request *request, struct datasets_pairs *pairs,
                       struct err *e)
{
    struct multipart multipart;
    struct multipart_part part;
    int more;
    memcpy(pairs->names, idx_names, sizeof idx_names);
    if (!multipart_begin(&multipart, request->content_type, request->body, request->body_size, e))
        return false;
    while ((more = multipart_next(&multipart, &part, e)) == 1) {
        if (!take_part(&part, pairs, e))
            return false;
    }
    return more == 0;
}

static bool put_pairs(struct app *app, const struct http_request *request, int *version,
                      struct err *e)
{
    struct datasets_pairs pairs = {.labels = http_query(request, "labels"),
                                   .decoded_max = LIMIT_DATASET_BODY_BYTES};
    int train = 0, test = 0;
    if (!api_query_int(request, "train", 1, CNN_SAMPLES_MAX, &train, e) ||
        !api_query_int(request, "test", 1, CNN_SAMPLES_MAX, &test, e) ||
        !api_dataset_scaling(request, &pairs.scaling, e) ||
        !api_dataset_voxelize(request, &pairs.voxelize, e) ||
        !api_dataset_input(request, &pairs.input, e) || !read_parts(request, &pairs, e))
        return false;
    pairs.take[SPLIT_TRAIN] = (uint32_t)train;
    pairs.take[SPLIT_TEST] = (uint32_t)test;
    return datasets_import_pairs(app->store, request->params[0], &pairs, version, e);
}

static bool put_archive(struct app *app, const struct http_request *request,
                        struct datasets_skipped *skipped, int *version, struct err *e)
{
    struct datasets_archive archive = {.bytes = request->body,
                                       .size = request->body_size,
                                       .test_split = 0.2,
                                       .upload = request->upload};
    if (!api_dataset_convert(request, &archive.convert, e) ||
        !api_dataset_scaling(request, &archive.scaling, e) ||
        !api_query_double(request, "test_split", 0, 0.9, &archive.test_split, e) ||
        !api_query_bool(request, "strict", &archive.strict, e))
        return false;
    archive.seed = archive.convert.voxelize.seed;
    return datasets_import_archive(app->store, request->params[0], &archive, skipped, version, e);
}

static bool put_body(struct app *app, const struct http_request *request,
                     struct datasets_skipped *skipped, bool *with_skipped, int *version,
                     struct err *e)
{
    if (is_type(request, "application/json"))
        return put_generated(app, request, version, e);
    if (is_type(request, "multipart/form-data"))
        return put_pairs(app, request, version, e);
    if (!is_archive(request) && begins_like_json(request))
        return put_generated(app, request, version, e);
    if (!is_archive(request))
        return err_set(e, ERR_MEDIA_TYPE,
                       "cannot read '%.60s', expected application/json (a generator), "
                       "multipart/form-data (IDX or npy files), or an archive: application/x-tar, "
                       "application/gzip or application/zip",
                       request->content_type ? request->content_type : "no content type");
    *with_skipped = true;
    return put_archive(app, request, skipped, version, e);
}

bool api_datasets_put(struct app *app, const struct http_request *request,
                      struct http_response *response, struct err *e)
{
    const char *name = request->params[0];
    struct datasets_skipped skipped = {.count = 0};
    bool with_skipped = false;
    int version;
    bool ok = name_check(name, "dataset", e) &&
              put_body(app, request, &skipped, &with_skipped, &version, e) &&
              reply_created(app, name, version, response, e);
    if (ok && with_skipped)
        write_skipped(&response->body, &skipped);
    if (ok)
        buf_str(&response->body, "}");
    datasets_skipped_clear(&skipped);
    return ok;
}

/* ---- POST samples ---- */

static bool read_addition(const struct http_request *request, struct datasets_add *add,
                          struct err *e)
{
    static const char *const splits[] = {"train", "test", NULL};
    static const char *const dtypes[] = {"any", "float32", "uint8", NULL}; /* enum predict_dtype */
    int split = SPLIT_TRAIN;
    bool invert = false;
    if (!add->label)
        return err_field(e, ERR_INVALID, "label", "missing '?label='");
    if (!label_check(add->label, e))
        return err_within(e, "label");
    if (!api_query_choice(request, "split", splits, &split, e) ||
        !api_query_choice(request, "dtype", dtypes, &add->dtype, e) ||
        !api_query_bool(request, "invert", &invert, e) ||
        !api_dataset_convert(request, &add->convert, e))
        return false;
    add->split = (enum dataset_split)split;
    add->invert = http_query(request, "invert") ? invert : -1;
    return true;
}

bool api_samples_post(struct app *app, const struct http_request *request,
                      struct http_response *response, struct err *e)
{
    const char *name = request->params[0];
    struct datasets_add add = {.label = http_query(request, "label"),
                               .content_type = request->content_type,
                               .bytes = request->body,
                               .size = request->body_size};
    int version, added;
    if (!name_check(name, "dataset", e) || !read_addition(request, &add, e) ||
        !datasets_add(app->store, name, &add, &version, &added, e) ||
        !reply_created(app, name, version, response, e))
        return false;
    buf_fmt(&response->body, ",\"added\":%d}", added);
    return true;
}
