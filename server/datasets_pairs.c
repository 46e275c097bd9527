#include <stdio.h>
#include <string.h>

#include "datasets_labels.h"
#include "datasets_make.h"
#include "idx.h"
#include "inflate.h"
#include "npy.h"

enum { LABELS_CHUNK = 1024 };

/* The parts, decoded; an IDX file is an array of bytes like any other. A part that is absent has
 * rank 0. */
struct import {
    const struct datasets_pairs *request;
    struct buf inflated[PART_COUNT]; /* of gzip parts */
    struct npy arrays[PART_COUNT];
    bool idx; /* whether train_x is */
};

static enum datasets_part x_of(enum dataset_split split)
{
    return split == SPLIT_TRAIN ? PART_TRAIN_X : PART_TEST_X;
}

static enum datasets_part y_of(enum dataset_split split)
{
    return split == SPLIT_TRAIN ? PART_TRAIN_Y : PART_TEST_Y;
}

/* ---- decoding and checking ---- */

static bool inflate_part(struct import *import, int part, struct err *e)
{
    const struct datasets_pairs *request = import->request;
    size_t left = request->decoded_max;
    for (int i = 0; i < PART_COUNT; i++)
        left -= import->inflated[i].size;
    if (inflate_bytes(request->bytes[part], request->sizes[part], left, &import->inflated[part], e))
        return true;
    if (e->code == ERR_TOO_LARGE)
        err_set(e, ERR_TOO_LARGE, "parts decompress to more than %zu bytes in all",
                request->decoded_max);
    return false;
}

static bool parse_idx(const void *bytes, size_t size, struct npy *array, struct err *e)
{
    struct idx idx;
    if (!idx_parse(bytes, size, &idx, e))
        return false;
    *array = (struct npy){.dtype = NPY_U8, .rank = idx.rank, .count = idx.count, .data = idx.data};
    for (int i = 0; i < idx.rank; i++)
        array->dims[i] = idx.dims[i];
    return true;
}

static bool decode_part(struct import *import, int part, struct err *e)
{
    const void *bytes = import->request->bytes[part];
    size_t size = import->request->sizes[part];
    struct npy *array = &import->arrays[part];
    if (inflate_is_gzip(bytes, size)) {
        if (!inflate_part(import, part, e))
            return err_within(e, "%s", import->request->names[part]);
        bytes = import->inflated[part].data;
        size = import->inflated[part].size;
    }
    bool is_npy = npy_sniff(bytes, size);
    if (part == PART_TRAIN_X)
        import->idx = !is_npy;
    if (!(is_npy ? npy_parse(bytes, size, array, e) : parse_idx(bytes, size, array, e)))
        return err_within(e, "%s", import->request->names[part]);
    return true;
}

static bool check_present(const struct datasets_pairs *request, struct err *e)
{
    for (int part = PART_TRAIN_X; part <= PART_TRAIN_Y; part++) {
        if (!request->bytes[part])
            return err_field(e, ERR_INVALID, request->names[part], "part '%s' is missing",
                             request->names[part]);
    }
    if (!request->bytes[PART_TEST_X] == !request->bytes[PART_TEST_Y])
        return true;
    const char *missing = request->names[request->bytes[PART_TEST_X] ? PART_TEST_Y : PART_TEST_X];
    return err_field(e, ERR_INVALID, missing,
                     "part '%s' is missing: test samples and labels come together", missing);
}

static const char *noun(const struct import *import)
{
    return import->idx ? "images" : "samples";
}

/* ?input= says how one sample's numbers are to be seen, whatever the array's axes. */
static bool given_shape(const struct import *import, const struct npy *array,
                        struct cnn_shape *shape, const char *part, struct err *e)
{
    char text[CNN_SHAPE_TEXT];
    *shape = import->request->input;
    size_t values = array->dims[0] ? array->count / array->dims[0] : 0;
    if (array->dims[0] == 0 || values == cnn_shape_count(shape))
        return true;
    return err_field(e, ERR_UNPROCESSABLE, part, "%zu values a sample do not fit input %s", values,
                     cnn_shape_text(shape, text));
}

/* [n,W] -> [1,W]; [n,H,W] -> [1,H,W]; [n,C,H,W] -> [C,H,W]; [n,C,D,H,W] -> [C,D,H,W]. */
static bool samples_shape(const struct import *import, const struct npy *array,
                          struct cnn_shape *shape, const char *part, struct err *e)
{
    int low = import->idx ? 3 : 2;
    if (array->rank < (import->request->input.c ? 1 : low))
        return err_field(e, ERR_UNPROCESSABLE, part,
                         "%s of rank %d, expected 3 [n,H,W] or 4 [n,C,H,W]%s", noun(import),
                         array->rank, import->idx ? "" : ", 2 [n,W] or 5 [n,C,D,H,W]");
    if (import->request->input.c)
        return given_shape(import, array, shape, part, e);
    long long dims[1 + CNN_AXES] = {1};
    int lead = array->rank <= 3 ? 1 : 0;
    for (int i = 1; i < array->rank; i++)
        dims[i - 1 + lead] = array->dims[i] <= CNN_DIM_MAX ? (long long)array->dims[i] : -1;
    struct err cause;
    return cnn_shape_from_dims(shape, dims, array->rank - 1 + lead, &cause) ||
           err_field(e, ERR_UNPROCESSABLE, part, "%s", cause.detail);
}

static bool check_labels(const struct import *import, enum dataset_split split, struct err *e)
{
    const struct npy *x = &import->arrays[x_of(split)], *y = &import->arrays[y_of(split)];
    const char *part = import->request->names[y_of(split)];
    if (y->rank != 1)
        return err_field(e, ERR_UNPROCESSABLE, part, "labels of rank %d, expected 1 [n]", y->rank);
    if (y->dtype == NPY_F32 || y->dtype == NPY_F64)
        return err_field(e, ERR_UNPROCESSABLE, part, "labels are floats, expected integers");
    if (y->dims[0] != x->dims[0])
        return err_field(e, ERR_UNPROCESSABLE, part, "%zu labels for %zu %s", y->dims[0],
                         x->dims[0], noun(import));
    return true;
}

/* One split's samples and labels belong together. */
static bool check_split(const struct import *import, enum dataset_split split,
                        struct cnn_shape *shape, struct err *e)
{
    const char *part = import->request->names[x_of(split)];
    const struct npy *x = &import->arrays[x_of(split)];
    if (!samples_shape(import, x, shape, part, e))
        return false;
    if (x->dims[0] == 0)
        return err_field(e, ERR_UNPROCESSABLE, part, "no %s in it", noun(import));
    if (x->dims[0] > CNN_SAMPLES_MAX)
        return err_field(e, ERR_UNPROCESSABLE, part, "%zu %s, at most %d are taken", x->dims[0],
                         noun(import), CNN_SAMPLES_MAX);
    return check_labels(import, split, e);
}

static enum cnn_dtype stored_dtype(const struct npy *array)
{
    return array->dtype == NPY_U8 || array->dtype == NPY_BOOL ? CNN_U8 : CNN_F32;
}

static bool check_shapes(const struct import *import, struct cnn_shape *shape, struct err *e)
{
    struct cnn_shape test;
    char ours[CNN_SHAPE_TEXT], theirs[CNN_SHAPE_TEXT];
    const char *part = import->request->names[PART_TEST_X];
    if (!check_split(import, SPLIT_TRAIN, shape, e))
        return false;
    if (!import->request->bytes[PART_TEST_X])
        return true;
    if (!check_split(import, SPLIT_TEST, &test, e))
        return false;
    if (!cnn_shape_equal(shape, &test) || shape->rank != test.rank)
        return err_field(e, ERR_UNPROCESSABLE, part, "test %s are %s, training %s %s", noun(import),
                         cnn_shape_text(&test, theirs), noun(import), cnn_shape_text(shape, ours));
    if (stored_dtype(&import->arrays[PART_TRAIN_X]) != stored_dtype(&import->arrays[PART_TEST_X]))
        return err_field(e, ERR_UNPROCESSABLE, part,
                         "bytes and other numbers: training and test samples must be of one kind");
    return true;
}

/* ---- classes ---- */

struct classes {
    bool seen[CNN_CLASSES_MAX]; /* in training */
    int count;
};

/* labels[i] of the split, whole numbers as they came. */
static bool check_label(const struct import *import, enum dataset_split split, size_t i,
                        float label, struct classes *classes, struct err *e)
{
    const char *part = import->request->names[y_of(split)];
    if (!(label >= 0 && label < CNN_CLASSES_MAX))
        return err_field(e, ERR_UNPROCESSABLE, part, "label %.0f of sample %zu is not in 0..%d",
                         (double)label, i, CNN_CLASSES_MAX - 1);
    if (split == SPLIT_TEST && label >= (float)classes->count)
        return err_field(e, ERR_UNPROCESSABLE, part,
                         "label %.0f of sample %zu is not among the %d classes of training",
                         (double)label, i, classes->count);
    if (split == SPLIT_TRAIN) {
        classes->seen[(int)label] = true;
        classes->count = (int)label >= classes->count ? (int)label + 1 : classes->count;
    }
    return true;
}

static bool check_split_labels(const struct import *import, enum dataset_split split,
                               struct classes *classes, struct err *e)
{
    const struct npy *y = &import->arrays[y_of(split)];
    float values[LABELS_CHUNK];
    size_t n;
    for (size_t first = 0; first < y->count; first += n) {
        n = y->count - first < LABELS_CHUNK ? y->count - first : LABELS_CHUNK;
        if (!npy_read_f32(y, first, n, values, e))
            return err_within(e, "%s", import->request->names[y_of(split)]);
        for (size_t i = 0; i < n; i++)
            if (!check_label(import, split, first + i, values[i], classes, e))
                return false;
    }
    return true;
}

/* Classes are 0..max over the whole training file, every one of them present. */
static bool count_classes(const struct import *import, int *count, struct err *e)
{
    struct classes classes = {.count = 0};
    if (!check_split_labels(import, SPLIT_TRAIN, &classes, e))
        return false;
    for (int label = 0; label < classes.count; label++) {
        if (!classes.seen[label])
            return err_field(e, ERR_UNPROCESSABLE, import->request->names[PART_TRAIN_Y],
                             "no sample has label %d: labels must be 0..%d without gaps", label,
                             classes.count - 1);
    }
    *count = classes.count;
    return !import->request->bytes[PART_TEST_Y] ||
           check_split_labels(import, SPLIT_TEST, &classes, e);
}

/* ---- source ---- */

static void pair_labels(const struct dataset_source *source, enum dataset_split split,
                        uint32_t first, uint32_t n, uint16_t *labels)
{
    const struct import *import = source->context;
    const struct npy *y = &import->arrays[y_of(split)];
    float values[LABELS_CHUNK];
    struct err ignored; /* they were read before */
    uint32_t got;
    for (uint32_t at = 0; at < n; at += got) {
        got = n - at < LABELS_CHUNK ? n - at : LABELS_CHUNK;
        npy_read_f32(y, first + at, got, values, &ignored);
        for (uint32_t i = 0; i < got; i++)
            labels[at + i] = (uint16_t)values[i];
    }
}

static const void *pair_samples(const struct dataset_source *source, enum dataset_split split,
                                uint32_t first, uint32_t n, void *buffer, struct err *e)
{
    const struct import *import = source->context;
    const struct npy *x = &import->arrays[x_of(split)];
    size_t values = x->count / x->dims[0];
    if (x->dtype == NPY_U8)
        return x->data + values * first;
    if (x->dtype == NPY_BOOL ? npy_read_u8(x, values * first, values * n, buffer, e)
                             : npy_read_f32(x, values * first, values * n, buffer, e))
        return buffer;
    err_within(e, "%s", import->request->names[x_of(split)]);
    return NULL;
}

/* ---- import ---- */

/* Grids of voxels say how meshes become such grids; other samples have nothing to say it of. */
static bool take_voxelize(const struct datasets_pairs *request, struct dataset_info *info,
                          struct err *e)
{
    char text[CNN_SHAPE_TEXT];
    info->preprocess.voxelize = request->voxelize;
    return request->voxelize.samples == 0 || (info->shape.rank == CNN_AXES && info->shape.c == 1) ||
           err_set(e, ERR_INVALID,
                   "voxelization is given, but the samples are %s, not [1,D,H,W] (?input= says so)",
                   cnn_shape_text(&info->shape, text));
}

static bool describe_import(const struct import *import, struct dataset_info *info, struct err *e)
{
    const struct datasets_pairs *request = import->request;
    int classes = 0;
    if (!check_shapes(import, &info->shape, e) || !take_voxelize(request, info, e) ||
        !count_classes(import, &classes, e))
        return false;
    for (int split = 0; split < SPLIT_COUNT; split++) {
        uint32_t take = request->take[split];
        enum datasets_part part = x_of((enum dataset_split)split);
        size_t there = request->bytes[part] ? import->arrays[part].dims[0] : 0;
        info->counts[split] = take && take < there ? take : (uint32_t)there;
    }
    info->dtype = stored_dtype(&import->arrays[PART_TRAIN_X]);
    snprintf(info->source, sizeof info->source, "%s", import->idx ? "idx" : "npy");
    return datasets_set_labels(info, request->labels, classes, e);
}

bool datasets_import_pairs(struct store *store, const char *name,
                           const struct datasets_pairs *request, int *version, struct err *e)
{
    struct import import = {.request = request};
    struct dataset_info info = {.label_count = 0};
    const struct dataset_source source = {
        .context = &import, .labels = pair_labels, .samples = pair_samples};
    bool ok = check_present(request, e);
    for (int part = 0; ok && part < PART_COUNT; part++) {
        if (request->bytes[part])
            ok = decode_part(&import, part, e);
    }
    ok = ok && describe_import(&import, &info, e) && datasets_check_room(&info, e) &&
         dataset_measure(&info, &source, &request->scaling, e) &&
         datasets_make(store, name, &info, &source, version, e);
    dataset_info_clear(&info);
    for (int part = 0; part < PART_COUNT; part++)
        buf_clear(&import.inflated[part]);
    return ok;
}
