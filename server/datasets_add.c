/* Adding samples to a dataset: the newest version's samples, then the new ones, written as a new
 * version. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "datasets_make.h"
#include "datasets_sample.h"
#include "datasets_spool.h"
#include "json_read.h"
#include "memory.h"
#include "multipart.h"
#include "predict_body.h"
#include "tensor_lift.h"

struct addition {
    const struct datasets_add *request;
    struct dataset base; /* the newest version; empty if there is none */
    bool has_base;
    struct dataset_info info; /* of the version to come; shape.c = 0 until it is known */
    uint16_t label;
    struct spool spool; /* the new samples */
    void *sample;       /* room for one */
};

/* ---- the first sample ever says what samples are ---- */

static bool shape_of_picture(struct addition *a, const void *bytes, size_t size, struct err *e)
{
    const struct datasets_convert *convert = &a->request->convert;
    struct image head;
    if (!image_peek(bytes, size, &head))
        return err_set(e, ERR_UNPROCESSABLE, "neither a PNG nor a JPEG picture");
    int width = convert->width ? convert->width : head.width;
    int height = convert->height ? convert->height : head.height;
    if (width > LIMIT_IMPORT_SIDE || height > LIMIT_IMPORT_SIDE)
        return err_field(e, ERR_INVALID, "size", "%dx%d pixels, at most %d either way", width,
                         height, LIMIT_IMPORT_SIDE);
    a->info.shape = (struct cnn_shape){.c = convert->channels ? convert->channels : head.channels,
                                       .size = {1, height, width},
                                       .rank = 2};
    a->info.preprocess.normalize.scale = 1.0f / 255;
    a->info.preprocess.invert = convert->invert;
    return true;
}

static void shape_of_mesh(struct addition *a)
{
    int side = a->request->convert.grid;
    a->info.shape = (struct cnn_shape){.c = 1, .size = {side, side, side}, .rank = 3};
    a->info.preprocess.voxelize = a->request->convert.voxelize;
}

/* A document with a mesh, points or a list of voxels: ?grid= says how many. */
static bool names_grid(const char *text, size_t size)
{
    static const char *const names[] = {"\"mesh", "\"points\"", "\"voxels\"", NULL};
    for (int i = 0; names[i]; i++)
        if (memmem(text, size, names[i], strlen(names[i])))
            return true;
    return false;
}

static bool shape_of_array(struct addition *a, const void *bytes, size_t size, struct err *e)
{
    struct npy npy;
    if (!npy_parse(bytes, size, &npy, e) || !sample_array_shape(&npy, 0, &a->info.shape, e))
        return false;
    a->info.dtype = sample_array_dtype(&npy);
    if (a->info.dtype == CNN_U8)
        a->info.preprocess.normalize.scale = 1.0f / 255;
    return true;
}

static bool shape_of_tensor(struct addition *a, const struct tensor *tensor, struct err *e)
{
    struct npy view = {.rank = tensor->rank};
    if (tensor->rank > NPY_RANK_MAX)
        return err_field(e, ERR_INVALID, "inputs", "numbers nested %d deep", tensor->rank);
    for (int i = 0; i < tensor->rank; i++)
        view.dims[i] = tensor->dims[i];
    if (sample_array_shape(&view, 0, &a->info.shape, e))
        return true;
    e->code = ERR_INVALID;
    return err_within(e, "inputs");
}

/* {"inputs": nested numbers}: the nesting is the shape. */
static bool shape_of_numbers(struct addition *a, const void *bytes, size_t size, struct err *e)
{
    static const char *const names[] = {"inputs", NULL};
    static const size_t numbers_max[] = {CNN_ELEMENTS_MAX};
    const struct tensor_lift lift = {names, numbers_max, 1};
    struct tensor_list list;
    struct cJSON *json = tensor_lift(bytes, size, &lift, &list, e);
    bool ok = json != NULL;
    if (ok && list.count == 0)
        ok = err_set(e, ERR_INVALID,
                     "the first sample of a dataset must say its shape: send a picture, a mesh, "
                     "points, voxels, an npy array or nested numbers as 'inputs'");
    ok = ok && shape_of_tensor(a, &list.items[0], e);
    a->info.dtype = CNN_F32;
    json_free(json);
    tensor_list_clear(&list);
    return ok;
}

static bool learn_shape(struct addition *a, enum sample_kind kind, const void *bytes, size_t size,
                        struct err *e)
{
    a->info.dtype = CNN_U8;
    a->info.preprocess.normalize.scale = 1;
    switch (kind) {
    case SAMPLE_PICTURE:
        return shape_of_picture(a, bytes, size, e);
    case SAMPLE_MESH:
        shape_of_mesh(a);
        return true;
    case SAMPLE_ARRAY:
        return shape_of_array(a, bytes, size, e);
    default:
        if (!names_grid(bytes, size))
            return shape_of_numbers(a, bytes, size, e);
        shape_of_mesh(a);
        return true;
    }
}

/* ---- one piece of the body ---- */

static bool store_sample(struct addition *a, const void *sample, struct err *e)
{
    const struct spool_sample about = {.label = a->label, .split = (uint8_t)a->request->split};
    if (a->spool.count == LIMIT_PREDICT_SAMPLES)
        return err_set(e, ERR_TOO_LARGE, "more than %d samples, which are taken at a time",
                       LIMIT_PREDICT_SAMPLES);
    return spool_add(&a->spool, sample, about, e);
}

static bool prepare_spool(struct addition *a, struct err *e)
{
    size_t bytes = dataset_sample_bytes(&a->info);
    a->sample = memory_new(1, bytes, e);
    return a->sample && spool_open(&a->spool, bytes, e);
}

/* Floats are stored as they are; bytes must be whole, unless they come from a picture. */
static bool store_floats(struct addition *a, const float *x, bool whole, struct err *e)
{
    size_t count = cnn_shape_count(&a->info.shape);
    uint8_t *bytes = a->sample;
    if (a->info.dtype == CNN_F32)
        return store_sample(a, x, e);
    for (size_t i = 0; i < count; i++) {
        if (!(x[i] >= 0 && x[i] <= 255) || (whole && x[i] != floorf(x[i])))
            return err_set(e, ERR_INVALID,
                           "value %zu is %g: samples of this dataset are whole numbers 0..255", i,
                           (double)x[i]);
        bytes[i] = (uint8_t)(x[i] + 0.5f);
    }
    return store_sample(a, bytes, e);
}

/* What raw bytes are: as asked, or what the dataset holds. A document is none. */
static enum predict_dtype raw_dtype(const struct addition *a, const void *bytes, size_t size)
{
    const char *text = bytes;
    if (a->request->dtype)
        return (enum predict_dtype)a->request->dtype;
    if (memchr("{[ \t\r\n", text[0], 6) && predict_body_is_json(bytes, size))
        return PREDICT_ANY;
    return a->info.dtype == CNN_F32 ? PREDICT_FLOAT32 : PREDICT_UINT8;
}

/* Numbers in JSON, pictures in JSON, raw bytes: as /predict reads them, but not normalised. */
static bool add_numbers(struct addition *a, const char *type, const void *bytes, size_t size,
                        struct err *e)
{
    const struct preprocess plain = {.normalize = {.scale = 1},
                                     .voxelize = a->info.preprocess.voxelize};
    struct predict_body body = {
        .content_type = type,
        .bytes = bytes,
        .size = size,
        .invert = a->request->invert == 1 ? INVERT_YES : INVERT_NO,
        .dtype = raw_dtype(a, bytes, size),
    };
    struct predict_batch batch;
    size_t count = cnn_shape_count(&a->info.shape);
    bool pictures = memmem(bytes, size, "\"image", 6) != NULL;
    if (!predict_body_decode(&body, &a->info.shape, &plain, &batch, e))
        return false;
    bool ok = true;
    for (int i = 0; ok && i < batch.count; i++)
        ok = store_floats(a, batch.x + (size_t)i * count, !pictures, e);
    predict_batch_clear(&batch);
    return ok;
}

static bool is_shape(const struct addition *a, const struct npy *npy, int lead)
{
    struct cnn_shape shape;
    struct err ignored;
    return sample_array_shape(npy, lead, &shape, &ignored) &&
           cnn_shape_equal(&shape, &a->info.shape) && shape.rank == a->info.shape.rank;
}

/* One sample, or a batch of them along the first axis. */
static bool add_array(struct addition *a, const void *bytes, size_t size, struct err *e)
{
    struct npy npy;
    char text[CNN_SHAPE_TEXT];
    size_t count = cnn_shape_count(&a->info.shape);
    if (!npy_parse(bytes, size, &npy, e))
        return false;
    if (!is_shape(a, &npy, 0) && !is_shape(a, &npy, 1))
        return err_set(e, ERR_INVALID, "array is neither a sample of shape %s nor a batch of them",
                       cnn_shape_text(&a->info.shape, text));
    for (size_t first = 0; first < npy.count; first += count)
        if (!sample_from_array(&a->info, &npy, first, count, a->sample, e) ||
            !store_sample(a, a->sample, e))
            return false;
    return true;
}

static bool add_picture(struct addition *a, const void *bytes, size_t size, struct err *e)
{
    bool invert = a->request->invert < 0 ? a->info.preprocess.invert : a->request->invert == 1;
    return sample_from_picture(&a->info, invert ? INVERT_YES : INVERT_NO, bytes, size, a->sample,
                               e) &&
           store_sample(a, a->sample, e);
}

static bool add_piece(struct addition *a, const char *type, const void *bytes, size_t size,
                      struct err *e)
{
    enum sample_kind kind = sample_kind_of_bytes(bytes, size);
    if (size == 0)
        return err_set(e, ERR_INVALID, "empty body");
    if (a->info.shape.c == 0 && !learn_shape(a, kind, bytes, size, e))
        return false;
    if (!a->sample && !prepare_spool(a, e))
        return false;
    switch (kind) {
    case SAMPLE_PICTURE:
        return add_picture(a, bytes, size, e);
    case SAMPLE_MESH:
        return sample_convert(&a->info, kind, bytes, size, a->sample, e) &&
               store_sample(a, a->sample, e);
    case SAMPLE_ARRAY:
        return add_array(a, bytes, size, e);
    default:
        return add_numbers(a, type, bytes, size, e);
    }
}

static bool add_parts(struct addition *a, struct err *e)
{
    const struct datasets_add *request = a->request;
    struct multipart multipart;
    struct multipart_part part;
    int more, index = 0;
    if (!multipart_begin(&multipart, request->content_type, request->bytes, request->size, e))
        return false;
    while ((more = multipart_next(&multipart, &part, e)) > 0) {
        if (!add_piece(a, part.content_type, part.data, part.size, e))
            return err_within(e, "parts[%d]", index);
        index++;
    }
    return more == 0 && (index > 0 || err_set(e, ERR_INVALID, "multipart body without parts"));
}

/* ---- the version ---- */

/* The dataset's label, or a new one behind the others. */
static bool choose_label(struct addition *a, struct err *e)
{
    const char *labels[CNN_CLASSES_MAX];
    const struct dataset_info *base = &a->base.info;
    for (int i = 0; i < base->label_count; i++) {
        labels[i] = base->labels[i];
        if (strcmp(labels[i], a->request->label) == 0) {
            a->label = (uint16_t)i;
            return dataset_info_set_labels(&a->info, (const char *const *)base->labels,
                                           base->label_count, e);
        }
    }
    if (base->label_count == CNN_CLASSES_MAX)
        return err_field(e, ERR_INVALID, "label", "the dataset has %d classes already",
                         CNN_CLASSES_MAX);
    labels[base->label_count] = a->request->label;
    a->label = (uint16_t)base->label_count;
    return dataset_info_set_labels(&a->info, labels, base->label_count + 1, e);
}

static bool open_base(struct addition *a, struct store *store, const char *name, struct err *e)
{
    struct err cause;
    if (!datasets_open(store, name, 0, true, &a->base, &cause)) {
        if (cause.code == ERR_NOT_FOUND)
            return true; /* this makes the first */
        *e = cause;
        return false;
    }
    a->has_base = true;
    a->info.shape = a->base.info.shape;
    a->info.dtype = a->base.info.dtype;
    a->info.preprocess = a->base.info.preprocess;
    memcpy(a->info.source, a->base.info.source, sizeof a->info.source);
    return true;
}

static uint32_t base_count(const struct addition *a, enum dataset_split split, uint32_t first,
                           uint32_t n)
{
    uint32_t there = a->base.samples[split].count;
    uint32_t left = first < there ? there - first : 0;
    return left < n ? left : n;
}

static void added_labels(const struct dataset_source *source, enum dataset_split split,
                         uint32_t first, uint32_t n, uint16_t *labels)
{
    const struct addition *a = source->context;
    const struct dataset_source spool = spool_source(&a->spool);
    uint32_t old = base_count(a, split, first, n);
    if (old > 0)
        memcpy(labels, a->base.samples[split].labels + first, old * sizeof *labels);
    if (old < n)
        spool.labels(&spool, split, first + old - a->base.samples[split].count, n - old,
                     labels + old);
}

static const void *added_samples(const struct dataset_source *source, enum dataset_split split,
                                 uint32_t first, uint32_t n, void *buffer, struct err *e)
{
    const struct addition *a = source->context;
    const struct dataset_source spool = spool_source(&a->spool);
    size_t bytes = dataset_sample_bytes(&a->info);
    uint32_t old = base_count(a, split, first, n);
    const uint8_t *from = (const uint8_t *)a->base.samples[split].x + first * bytes;
    if (old == n)
        return from;
    if (old > 0)
        memcpy(buffer, from, old * bytes);
    return spool.samples(&spool, split, first + old - a->base.samples[split].count, n - old,
                         (uint8_t *)buffer + old * bytes, e)
               ? buffer
               : NULL;
}

static bool write_version(struct addition *a, struct store *store, const char *name, int *version,
                          struct err *e)
{
    const struct dataset_source source = {
        .context = a, .labels = added_labels, .samples = added_samples};
    if (a->spool.count == 0)
        return err_set(e, ERR_INVALID, "no samples in the body");
    if (!spool_finish(&a->spool, e))
        return false;
    for (int split = 0; split < SPLIT_COUNT; split++) {
        uint64_t count = (uint64_t)a->base.samples[split].count + a->spool.counts[split];
        if (count > CNN_SAMPLES_MAX)
            return err_set(e, ERR_TOO_LARGE, "more than %d samples", CNN_SAMPLES_MAX);
        a->info.counts[split] = (uint32_t)count;
    }
    if (!a->has_base)
        snprintf(a->info.source, sizeof a->info.source, "samples");
    return dataset_measure_background(&a->info, &source, e) &&
           datasets_make_locked(store, name, &a->info, &source, version, e);
}

static bool is_multipart(const char *type)
{
    return type && strncasecmp(type, "multipart/form-data", strlen("multipart/form-data")) == 0;
}

bool datasets_add(struct store *store, const char *name, const struct datasets_add *request,
                  int *version, int *added, struct err *e)
{
    struct addition a = {.request = request};
    const char *type = request->content_type ? request->content_type : "";
    datasets_lock();
    bool ok = open_base(&a, store, name, e) && choose_label(&a, e) &&
              (is_multipart(type) ? add_parts(&a, e)
                                  : add_piece(&a, type, request->bytes, request->size, e)) &&
              write_version(&a, store, name, version, e);
    datasets_unlock();
    *added = (int)a.spool.count;
    spool_close(&a.spool);
    free(a.sample);
    dataset_info_clear(&a.info);
    dataset_close(&a.base);
    return ok;
}
