#include "dataset_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_read.h"
#include "labels_json.h"
#include "limits.h"
#include "memory.h"
#include "safetensors.h"

#include <cjson/cJSON.h>

#define METADATA_KEY "strided.dataset"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are mapped as they are");

const char *dataset_split_name(enum dataset_split split)
{
    return split == SPLIT_TRAIN ? "train" : "test";
}

bool dataset_info_set_labels(struct dataset_info *info, const char *const *labels, int count,
                             struct err *e)
{
    return labels_copy(&info->labels, &info->label_count, labels, count, e);
}

void dataset_info_clear(struct dataset_info *info)
{
    labels_free(info->labels, info->label_count);
    *info = (struct dataset_info){0};
}

static struct safetensors_tensor samples_tensor(const struct dataset_info *info,
                                                enum dataset_split split)
{
    struct safetensors_tensor tensor = {0};
    int dims[1 + CNN_AXES], rank = cnn_shape_dims(&info->shape, dims);
    snprintf(tensor.name, sizeof tensor.name, "%s_x", dataset_split_name(split));
    snprintf(tensor.dtype, sizeof tensor.dtype, "%s", info->dtype == CNN_F32 ? "F32" : "U8");
    tensor.rank = 1 + rank;
    tensor.dims[0] = info->counts[split];
    for (int i = 0; i < rank; i++)
        tensor.dims[1 + i] = (uint64_t)dims[i];
    return tensor;
}

static struct safetensors_tensor labels_tensor(const struct dataset_info *info,
                                               enum dataset_split split)
{
    struct safetensors_tensor tensor = {.dtype = "U16", .rank = 1};
    snprintf(tensor.name, sizeof tensor.name, "%s_y", dataset_split_name(split));
    tensor.dims[0] = info->counts[split];
    return tensor;
}

/* {"labels":[...],"preprocess":{...},"source":"..."} */
static void write_description(const struct dataset_info *info, struct buf *out)
{
    struct json_writer w;
    jw_begin(&w, out);
    jw_object(&w);
    jw_key(&w, "labels");
    labels_write(&w, info->labels, info->label_count);
    jw_key(&w, "preprocess");
    preprocess_write(&w, &info->preprocess);
    jw_key_string(&w, "source", info->source);
    jw_object_end(&w);
}

bool dataset_file_head(const struct dataset_info *info, struct buf *out, struct err *e)
{
    struct safetensors_tensor tensors[2 * SPLIT_COUNT];
    int x = info->dtype == CNN_F32 ? 0 : SPLIT_COUNT, y = SPLIT_COUNT - x;
    for (int split = 0; split < SPLIT_COUNT; split++) {
        tensors[x + split] = samples_tensor(info, (enum dataset_split)split);
        tensors[y + split] = labels_tensor(info, (enum dataset_split)split);
    }
    struct buf description = {0};
    write_description(info, &description);
    const char *text = buf_text(&description);
    bool ok = buf_ok(&description)
                  ? safetensors_header(tensors, 2 * SPLIT_COUNT, METADATA_KEY, text, out, e)
                  : err_no_memory(e);
    buf_clear(&description);
    return ok;
}

static bool read_description(const struct cJSON *json, struct dataset_info *info, struct err *e)
{
    static const char *const keys[] = {"labels", "preprocess", "source", NULL};
    const char *source = "";
    if (!json_is_object(json, METADATA_KEY, e) || !json_only(json, keys, e) ||
        !labels_parse(json_get(json, "labels"), &info->labels, &info->label_count, e) ||
        !preprocess_parse(json_get(json, "preprocess"), &info->preprocess, e) ||
        !json_get_string(json, "source", &source, e))
        return false;
    if (info->label_count > CNN_CLASSES_MAX)
        return err_set(e, ERR_UNPROCESSABLE, "%d labels, at most %d are read", info->label_count,
                       CNN_CLASSES_MAX);
    snprintf(info->source, sizeof info->source, "%s", source);
    return true;
}

/* The description stands as JSON text inside the JSON of the file's header. */
static bool parse_description(const struct safetensors *st, struct dataset_info *info,
                              struct err *e)
{
    const char *text = NULL;
    if (!st->metadata)
        return err_set(e, ERR_UNPROCESSABLE, "no '" METADATA_KEY "' in the file's metadata");
    struct cJSON *outer = json_parse(st->metadata, strlen(st->metadata), e), *inner = NULL;
    bool ok = outer && json_get_string(outer, METADATA_KEY, &text, e);
    if (ok && !text)
        ok = err_set(e, ERR_UNPROCESSABLE, "no '" METADATA_KEY "' in the file's metadata");
    ok = ok && (inner = json_parse(text, strlen(text), e)) && read_description(inner, info, e);
    json_free(inner);
    json_free(outer);
    return ok;
}

/* [n, C, ...] of U8 or F32: the split's count, and the shape and type it shares with the other. */
static bool read_samples(const struct safetensors *st, enum dataset_split split,
                         struct dataset_info *info, struct cnn_samples *samples, struct err *e)
{
    char name[16];
    snprintf(name, sizeof name, "%s_x", dataset_split_name(split));
    const struct safetensors_tensor *tensor = safetensors_find(st, name);
    if (!tensor)
        return err_set(e, ERR_UNPROCESSABLE, "no tensor '%s'", name);
    bool is_float = strcmp(tensor->dtype, "F32") == 0;
    if (!is_float && strcmp(tensor->dtype, "U8") != 0)
        return err_set(e, ERR_UNPROCESSABLE, "dtype '%s' of tensor '%s', expected U8 or F32",
                       tensor->dtype, name);
    if (tensor->rank < 2 || tensor->rank > 2 + CNN_AXES || tensor->dims[0] > CNN_SAMPLES_MAX)
        return err_set(e, ERR_UNPROCESSABLE, "tensor '%s' is not [n, C, ...] of at most %d samples",
                       name, CNN_SAMPLES_MAX);
    long long dims[1 + CNN_AXES];
    for (int i = 1; i < tensor->rank; i++)
        dims[i - 1] = (long long)tensor->dims[i];
    if (!cnn_shape_from_dims(&samples->shape, dims, tensor->rank - 1, e))
        return false;
    samples->dtype = is_float ? CNN_F32 : CNN_U8;
    samples->count = (uint32_t)tensor->dims[0];
    samples->x = st->data + tensor->begin;
    if (is_float && (uintptr_t)samples->x % sizeof(float) != 0)
        return err_set(e, ERR_UNPROCESSABLE, "tensor '%s' is misaligned", name);
    info->shape = samples->shape;
    info->dtype = samples->dtype;
    info->counts[split] = samples->count;
    return true;
}

static bool read_labels(const struct safetensors *st, enum dataset_split split,
                        struct cnn_samples *samples, struct err *e)
{
    char name[16];
    snprintf(name, sizeof name, "%s_y", dataset_split_name(split));
    const struct safetensors_tensor *tensor = safetensors_find(st, name);
    if (!tensor)
        return err_set(e, ERR_UNPROCESSABLE, "no tensor '%s'", name);
    if (strcmp(tensor->dtype, "U16") != 0 || tensor->rank != 1)
        return err_set(e, ERR_UNPROCESSABLE, "tensor '%s' is not [n] of U16", name);
    if (tensor->dims[0] != samples->count)
        return err_set(e, ERR_UNPROCESSABLE, "%llu labels in '%s' for %u samples",
                       (unsigned long long)tensor->dims[0], name, samples->count);
    samples->labels = (const uint16_t *)(const void *)(st->data + tensor->begin);
    if ((uintptr_t)samples->labels % sizeof(uint16_t) != 0)
        return err_set(e, ERR_UNPROCESSABLE, "tensor '%s' is misaligned", name);
    return true;
}

static bool read_splits(const struct safetensors *st, bool check, struct dataset_info *info,
                        struct cnn_samples samples[SPLIT_COUNT], struct err *e)
{
    for (int i = 0; i < SPLIT_COUNT; i++) {
        enum dataset_split split = (enum dataset_split)i;
        samples[i] = (struct cnn_samples){.classes = info->label_count,
                                          .normalize = info->preprocess.normalize};
        if (!read_samples(st, split, info, &samples[i], e) ||
            !read_labels(st, split, &samples[i], e) ||
            (check && !cnn_samples_check(&samples[i], e)))
            return false;
    }
    const struct cnn_shape *train = &samples[SPLIT_TRAIN].shape, *test = &samples[SPLIT_TEST].shape;
    if (!cnn_shape_equal(train, test) || train->rank != test->rank ||
        samples[SPLIT_TRAIN].dtype != samples[SPLIT_TEST].dtype)
        return err_set(e, ERR_UNPROCESSABLE, "train_x and test_x differ in shape or dtype");
    return true;
}

static bool parse_file(const void *bytes, size_t size, bool check, struct dataset_info *info,
                       struct cnn_samples samples[SPLIT_COUNT], struct err *e)
{
    *info = (struct dataset_info){0};
    struct safetensors st;
    if (!safetensors_parse(bytes, size, &st, e))
        return false;
    bool ok = parse_description(&st, info, e) && read_splits(&st, check, info, samples, e);
    safetensors_clear(&st);
    if (!ok) {
        dataset_info_clear(info);
        if (e->code == ERR_INVALID)
            e->code = ERR_UNPROCESSABLE;
    }
    return ok;
}

bool dataset_file_parse(const void *bytes, size_t size, struct dataset_info *info,
                        struct cnn_samples samples[SPLIT_COUNT], struct err *e)
{
    return parse_file(bytes, size, true, info, samples, e);
}

bool dataset_file_parse_unread(const void *bytes, size_t size, struct dataset_info *info,
                               struct cnn_samples samples[SPLIT_COUNT], struct err *e)
{
    return parse_file(bytes, size, false, info, samples, e);
}
