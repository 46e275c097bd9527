#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets_make.h"
#include "idx.h"
#include "inflate.h"
#include "name.h"

const char *const datasets_part_names[4] = {"train_images", "train_labels", "test_images",
                                            "test_labels"};

/* The parts, decoded. A part that is absent has count 0. */
struct import {
    struct buf inflated[4]; /* of gzip parts */
    struct idx idx[4];
};

static enum datasets_part images_of(enum dataset_split split)
{
    return split == SPLIT_TRAIN ? PART_TRAIN_IMAGES : PART_TEST_IMAGES;
}

static enum datasets_part labels_of(enum dataset_split split)
{
    return split == SPLIT_TRAIN ? PART_TRAIN_LABELS : PART_TEST_LABELS;
}

/* ---- decoding and checking ---- */

static bool inflate_part(struct import *import, const struct datasets_idx *request, int part,
                         struct err *e)
{
    size_t left = request->decoded_max;
    for (int i = 0; i < 4; i++)
        left -= import->inflated[i].size;
    if (inflate_bytes(request->bytes[part], request->sizes[part], left, &import->inflated[part], e))
        return true;
    if (e->code == ERR_TOO_LARGE)
        err_set(e, ERR_TOO_LARGE, "parts decompress to more than %zu bytes in all",
                request->decoded_max);
    return false;
}

static bool decode_part(struct import *import, const struct datasets_idx *request, int part,
                        struct err *e)
{
    const void *bytes = request->bytes[part];
    size_t size = request->sizes[part];
    if (inflate_is_gzip(bytes, size)) {
        if (!inflate_part(import, request, part, e))
            return err_within(e, "%s", datasets_part_names[part]);
        bytes = import->inflated[part].data;
        size = import->inflated[part].size;
    }
    if (!idx_parse(bytes, size, &import->idx[part], e))
        return err_within(e, "%s", datasets_part_names[part]);
    return true;
}

static bool check_present(const struct datasets_idx *request, struct err *e)
{
    for (int part = PART_TRAIN_IMAGES; part <= PART_TRAIN_LABELS; part++) {
        if (!request->bytes[part])
            return err_field(e, ERR_INVALID, datasets_part_names[part], "part '%s' is missing",
                             datasets_part_names[part]);
    }
    if (!request->bytes[PART_TEST_IMAGES] == !request->bytes[PART_TEST_LABELS])
        return true;
    int missing = request->bytes[PART_TEST_IMAGES] ? PART_TEST_LABELS : PART_TEST_IMAGES;
    return err_field(e, ERR_INVALID, datasets_part_names[missing],
                     "part '%s' is missing: test images and labels come together",
                     datasets_part_names[missing]);
}

/* [n,H,W] -> [1,H,W]; [n,C,H,W] -> [C,H,W] */
static bool images_shape(const struct idx *idx, struct cnn_shape *shape, const char *part,
                         struct err *e)
{
    if (idx->rank != 3 && idx->rank != 4)
        return err_field(e, ERR_UNPROCESSABLE, part,
                         "images of rank %d, expected 3 [n,H,W] or 4 [n,C,H,W]", idx->rank);
    long long dims[3] = {1};
    for (int i = 1; i < idx->rank; i++)
        dims[i - idx->rank + 3] = idx->dims[i];
    struct err cause;
    return cnn_shape_from_dims(shape, dims, 3, &cause) ||
           err_field(e, ERR_UNPROCESSABLE, part, "%s", cause.detail);
}

/* One split's images and labels belong together. */
static bool check_split(const struct import *import, enum dataset_split split,
                        struct cnn_shape *shape, struct err *e)
{
    const char *images_part = datasets_part_names[images_of(split)];
    const char *labels_part = datasets_part_names[labels_of(split)];
    const struct idx *images = &import->idx[images_of(split)];
    const struct idx *labels = &import->idx[labels_of(split)];
    if (!images_shape(images, shape, images_part, e))
        return false;
    if (labels->rank != 1)
        return err_field(e, ERR_UNPROCESSABLE, labels_part, "labels of rank %d, expected 1 [n]",
                         labels->rank);
    if (images->dims[0] == 0)
        return err_field(e, ERR_UNPROCESSABLE, images_part, "no images in it");
    if (images->dims[0] > CNN_SAMPLES_MAX)
        return err_field(e, ERR_UNPROCESSABLE, images_part, "%u images, at most %d are taken",
                         images->dims[0], CNN_SAMPLES_MAX);
    if (labels->dims[0] != images->dims[0])
        return err_field(e, ERR_UNPROCESSABLE, labels_part, "%u labels for %u images",
                         labels->dims[0], images->dims[0]);
    return true;
}

static bool check_shapes(const struct import *import, bool with_test, struct cnn_shape *shape,
                         struct err *e)
{
    struct cnn_shape test;
    char ours[CNN_SHAPE_TEXT], theirs[CNN_SHAPE_TEXT];
    if (!check_split(import, SPLIT_TRAIN, shape, e))
        return false;
    if (!with_test)
        return true;
    if (!check_split(import, SPLIT_TEST, &test, e))
        return false;
    return cnn_shape_equal(shape, &test) ||
           err_field(e, ERR_UNPROCESSABLE, datasets_part_names[PART_TEST_IMAGES],
                     "test images are %s, training images %s", cnn_shape_text(&test, theirs),
                     cnn_shape_text(shape, ours));
}

/* Classes are 0..max over the whole training file, every one of them present. */
static bool count_classes(const struct import *import, int *classes, struct err *e)
{
    bool seen[256] = {false};
    const struct idx *train = &import->idx[PART_TRAIN_LABELS];
    const struct idx *test = &import->idx[PART_TEST_LABELS];
    int count = 0;
    for (size_t i = 0; i < train->count; i++) {
        seen[train->data[i]] = true;
        if (train->data[i] >= count)
            count = train->data[i] + 1;
    }
    for (int label = 0; label < count; label++) {
        if (!seen[label])
            return err_field(e, ERR_UNPROCESSABLE, datasets_part_names[PART_TRAIN_LABELS],
                             "no sample has label %d: labels must be 0..%d without gaps", label,
                             count - 1);
    }
    for (size_t i = 0; i < test->count; i++) {
        if (test->data[i] >= count)
            return err_field(e, ERR_UNPROCESSABLE, datasets_part_names[PART_TEST_LABELS],
                             "label %u of sample %zu is not among the %d classes of training",
                             test->data[i], i, count);
    }
    *classes = count;
    return true;
}

/* ---- labels ---- */

static bool number_labels(struct dataset_info *info, int classes, struct err *e)
{
    char text[256][12];
    const char *labels[256];
    for (int i = 0; i < classes; i++) {
        snprintf(text[i], sizeof text[i], "%d", i);
        labels[i] = text[i];
    }
    return dataset_info_set_labels(info, labels, classes, e);
}

/* "cat,dog" */
static bool split_labels(struct dataset_info *info, const char *text, int classes, struct err *e)
{
    const char *labels[256];
    int count = 0;
    char *copy = strdup(text), *rest = copy;
    if (!copy)
        return err_no_memory(e);
    bool ok = true;
    for (char *label; ok && (label = strsep(&rest, ","));) {
        for (int i = 0; ok && i < count && i < classes; i++) {
            if (strcmp(labels[i], label) == 0)
                ok = err_field(e, ERR_INVALID, "labels", "label '%s' is given twice", label);
        }
        if (ok && !label_check(label, e))
            ok = err_within(e, "labels[%d]", count);
        if (count < classes)
            labels[count] = label;
        count++;
    }
    if (ok && count != classes)
        ok = err_field(e, ERR_INVALID, "labels", "%d labels for %d classes", count, classes);
    ok = ok && dataset_info_set_labels(info, labels, classes, e);
    free(copy);
    return ok;
}

/* ---- source ---- */

static void idx_labels(const struct dataset_source *source, enum dataset_split split,
                       uint32_t first, uint32_t n, uint16_t *labels)
{
    const struct import *import = source->context;
    const uint8_t *from = import->idx[labels_of(split)].data + first;
    for (uint32_t i = 0; i < n; i++)
        labels[i] = from[i];
}

static const uint8_t *idx_samples(const struct dataset_source *source, enum dataset_split split,
                                  uint32_t first, uint32_t n, uint8_t *buffer)
{
    const struct import *import = source->context;
    const struct idx *images = &import->idx[images_of(split)];
    (void)n, (void)buffer;
    return images->data + images->count / images->dims[0] * first;
}

/* ---- import ---- */

static bool describe_import(const struct import *import, const struct datasets_idx *request,
                            struct dataset_info *info, struct err *e)
{
    bool with_test = request->bytes[PART_TEST_IMAGES] != NULL;
    int classes = 0;
    if (!check_shapes(import, with_test, &info->shape, e) || !count_classes(import, &classes, e))
        return false;
    for (int split = 0; split < SPLIT_COUNT; split++) {
        uint32_t take = request->take[split];
        const struct idx *images = &import->idx[images_of((enum dataset_split)split)];
        info->counts[split] = take && take < images->dims[0] ? take : images->dims[0];
    }
    info->dtype = CNN_U8;
    info->preprocess.normalize.scale = 1.0f / 255;
    snprintf(info->source, sizeof info->source, "idx");
    return request->labels ? split_labels(info, request->labels, classes, e)
                           : number_labels(info, classes, e);
}

/* Of the training images that are kept. */
static enum background import_background(const struct import *import,
                                         const struct dataset_info *info)
{
    const struct cnn_samples samples = {
        .shape = info->shape,
        .count = info->counts[SPLIT_TRAIN],
        .classes = info->label_count,
        .dtype = CNN_U8,
        .x = import->idx[PART_TRAIN_IMAGES].data,
        .normalize = info->preprocess.normalize,
    };
    return preprocess_background(&samples);
}

bool datasets_import_idx(struct store *store, const char *name, const struct datasets_idx *request,
                         int *version, struct err *e)
{
    struct import import = {.idx = {{.rank = 0}}};
    struct dataset_info info = {.label_count = 0};
    const struct dataset_source source = {
        .context = &import, .labels = idx_labels, .samples = idx_samples};
    bool ok = check_present(request, e);
    for (int part = 0; ok && part < 4; part++) {
        if (request->bytes[part])
            ok = decode_part(&import, request, part, e);
    }
    ok = ok && describe_import(&import, request, &info, e);
    if (ok) {
        info.preprocess.background = import_background(&import, &info);
        ok = datasets_make(store, name, &info, &source, version, e);
    }
    dataset_info_clear(&info);
    for (int part = 0; part < 4; part++)
        buf_clear(&import.inflated[part]);
    return ok;
}
