#include "datasets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets_make.h"
#include "json_write.h"
#include "log.h"
#include "memory.h"

enum { CHUNK_BYTES = 1 << 20, LABELS_CHUNK = 4096 };

/* ---- reading ---- */

bool dataset_open(struct dataset *dataset, const char *name, int version, struct err *e)
{
    char path[FILES_PATH_BYTES];
    struct err cause;
    *dataset = (struct dataset){.version = version};
    files_path(path, sizeof path, "datasets", name, version, ".safetensors");
    if (!file_map_open(&dataset->map, path, &cause) ||
        !dataset_file_parse(dataset->map.bytes, dataset->map.size, &dataset->info, dataset->samples,
                            &cause)) {
        dataset_close(dataset);
        enum err_code code = cause.code == ERR_NO_MEMORY ? ERR_NO_MEMORY : ERR_UNAVAILABLE;
        return err_set(e, code, "cannot read version %d of dataset '%s': %s", version, name,
                       cause.detail);
    }
    return true;
}

void dataset_close(struct dataset *dataset)
{
    dataset_info_clear(&dataset->info);
    file_map_close(&dataset->map);
    *dataset = (struct dataset){.version = 0};
}

/* ---- making a version ---- */

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* counts: [label_count] of the split, added up from zero. */
static void write_labels(struct file_writer *w, const struct dataset_info *info,
                         const struct dataset_source *source, enum dataset_split split,
                         uint32_t *counts)
{
    uint16_t labels[LABELS_CHUNK];
    uint32_t n;
    for (uint32_t first = 0; first < info->counts[split]; first += n) {
        n = min_u32(LABELS_CHUNK, info->counts[split] - first);
        source->labels(source, split, first, n, labels);
        for (uint32_t i = 0; i < n; i++)
            counts[labels[i]]++;
        file_write(w, labels, n * sizeof *labels);
    }
}

static void write_samples(struct file_writer *w, const struct dataset_info *info,
                          const struct dataset_source *source, enum dataset_split split,
                          uint8_t *buffer, uint32_t chunk)
{
    size_t bytes = cnn_shape_count(&info->shape);
    uint32_t n;
    for (uint32_t first = 0; first < info->counts[split]; first += n) {
        n = min_u32(chunk, info->counts[split] - first);
        file_write(w, source->samples(source, split, first, n, buffer), n * bytes);
    }
}

/* The whole file into the writer; *bytes is its size. */
static bool write_file(struct file_writer *w, const struct dataset_info *info,
                       const struct dataset_source *source, uint32_t *counts, uint64_t *bytes,
                       struct err *e)
{
    size_t sample_bytes = cnn_shape_count(&info->shape);
    uint32_t chunk = sample_bytes < CHUNK_BYTES ? (uint32_t)(CHUNK_BYTES / sample_bytes) : 1;
    uint64_t samples = (uint64_t)info->counts[SPLIT_TRAIN] + info->counts[SPLIT_TEST];
    struct buf head = {0};
    uint8_t *buffer = memory_new(chunk, sample_bytes, e);
    bool ok = buffer && dataset_file_head(info, &head, e);
    if (ok && !buf_ok(&head))
        ok = err_no_memory(e);
    if (ok) {
        file_write(w, head.data, head.size);
        for (int s = 0; s < SPLIT_COUNT; s++)
            write_labels(w, info, source, (enum dataset_split)s, counts + s * info->label_count);
        for (int s = 0; s < SPLIT_COUNT; s++)
            write_samples(w, info, source, (enum dataset_split)s, buffer, chunk);
    }
    *bytes = head.size + samples * (sample_bytes + sizeof(uint16_t));
    buf_clear(&head);
    free(buffer);
    return ok;
}

/* The document of GET /datasets/D, but for its versions. counts: [SPLIT_COUNT, label_count] */
static bool describe(struct store_dataset *row, const struct dataset_info *info,
                     const uint32_t *counts, struct err *e)
{
    struct buf out = {0};
    struct json_writer w;
    int dims[1 + CNN_AXES], rank = cnn_shape_dims(&info->shape, dims);
    jw_begin(&w, &out);
    jw_object(&w);
    jw_key_string(&w, "name", row->name);
    jw_key_int(&w, "version", row->version);
    jw_key(&w, "input");
    jw_array(&w);
    for (int i = 0; i < rank; i++)
        jw_int(&w, dims[i]);
    jw_array_end(&w);
    jw_key_string(&w, "dtype", info->dtype == CNN_U8 ? "uint8" : "float32");
    jw_key_int(&w, "train", info->counts[SPLIT_TRAIN]);
    jw_key_int(&w, "test", info->counts[SPLIT_TEST]);
    jw_key(&w, "classes");
    jw_array(&w);
    for (int i = 0; i < info->label_count; i++) {
        jw_object(&w);
        jw_key_string(&w, "label", info->labels[i]);
        jw_key_int(&w, "train", counts[i]);
        jw_key_int(&w, "test", counts[info->label_count + i]);
        jw_object_end(&w);
    }
    jw_array_end(&w);
    jw_key_string(&w, "source", info->source);
    jw_key_int(&w, "bytes", (int64_t)row->bytes);
    jw_key_string(&w, "created", row->created);
    jw_object_end(&w);
    buf_text(&out);
    if (!buf_ok(&out)) {
        buf_clear(&out);
        return err_no_memory(e);
    }
    row->info = out.data; /* the row frees it */
    return true;
}

bool datasets_make(struct store *store, const char *name, const struct dataset_info *info,
                   const struct dataset_source *source, int *version, struct err *e)
{
    struct store_dataset row = {.info = NULL};
    struct file_writer w = {.fd = -1};
    char path[FILES_PATH_BYTES];
    bool ok = false;
    uint32_t *counts =
        memory_new((size_t)SPLIT_COUNT * (size_t)info->label_count, sizeof *counts, e);
    if (!counts || !store_next_version(store, "dataset", name, &row.version, e) ||
        !file_begin(&w, e) || !write_file(&w, info, source, counts, &row.bytes, e))
        goto out;
    snprintf(row.name, sizeof row.name, "%s", name);
    store_now(row.created);
    files_path(path, sizeof path, "datasets", name, row.version, ".safetensors");
    if (!describe(&row, info, counts, e) || !file_commit(&w, path, e))
        goto out;
    ok = store_dataset_add(store, &row, e);
    *version = row.version;
    if (!ok) {
        struct err ignored; /* a file that no row names is only wasted space */
        file_remove(path, &ignored);
    }
out:
    file_abort(&w);
    store_dataset_clear(&row);
    free(counts);
    return ok;
}

/* ---- generators ---- */

static void generated_labels(const struct dataset_source *source, enum dataset_split split,
                             uint32_t first, uint32_t n, uint16_t *labels)
{
    const struct dataset_request *request = source->context;
    (void)split;
    for (uint32_t i = 0; i < n; i++)
        labels[i] = (uint16_t)((first + i) % (uint32_t)request->generator->classes);
}

static const uint8_t *generated_samples(const struct dataset_source *source,
                                        enum dataset_split split, uint32_t first, uint32_t n,
                                        uint8_t *buffer)
{
    const struct dataset_request *request = source->context;
    size_t bytes = cnn_shape_count(&request->generator->shape);
    for (uint32_t i = 0; i < n; i++)
        request->generator->make(request->seed, (int)split, first + i, buffer + i * bytes);
    return buffer;
}

/* The background shows in the first samples as well as in all. */
static bool generated_background(const struct dataset_source *source, struct dataset_info *info,
                                 struct err *e)
{
    uint16_t labels[64];
    struct cnn_samples some = {
        .shape = info->shape,
        .count = min_u32(64, info->counts[SPLIT_TRAIN]),
        .classes = info->label_count,
        .dtype = info->dtype,
        .labels = labels,
        .normalize = info->preprocess.normalize,
    };
    uint8_t *buffer = memory_new(some.count, cnn_shape_count(&info->shape), e);
    if (!buffer)
        return false;
    some.x = source->samples(source, SPLIT_TRAIN, 0, some.count, buffer);
    source->labels(source, SPLIT_TRAIN, 0, some.count, labels);
    info->preprocess.background = preprocess_background(&some);
    free(buffer);
    return true;
}

bool datasets_generate(struct store *store, const char *name, const struct dataset_request *request,
                       int *version, struct err *e)
{
    const struct cnn_generator *generator = request->generator;
    const struct dataset_source source = {
        .context = request, .labels = generated_labels, .samples = generated_samples};
    struct dataset_info info = {
        .shape = generator->shape,
        .dtype = CNN_U8,
        .preprocess.normalize.scale = generator->scale,
        .counts = {request->train, request->test},
    };
    snprintf(info.source, sizeof info.source, "generator %s, seed %llu", generator->name,
             (unsigned long long)request->seed);
    bool ok = dataset_info_set_labels(&info, generator->labels, generator->classes, e) &&
              generated_background(&source, &info, e) &&
              datasets_make(store, name, &info, &source, version, e);
    dataset_info_clear(&info);
    return ok;
}

/* ---- deleting ---- */

bool datasets_delete(struct store *store, const char *name, struct err *e)
{
    struct store_dataset *rows = NULL;
    int count = 0;
    if (!store_datasets(store, &rows, &count, e))
        return false;
    bool ok = store_dataset_delete(store, name, e);
    for (int i = 0; i < count; i++) {
        char path[FILES_PATH_BYTES];
        struct err cause;
        files_path(path, sizeof path, "datasets", rows[i].name, rows[i].version, ".safetensors");
        /* The dataset is gone once its rows are: a file left behind is only wasted space. */
        if (ok && strcmp(rows[i].name, name) == 0 && !file_remove(path, &cause))
            log_event(LOG_WARN, "file_left_behind", "path", path, "reason", cause.detail, NULL);
        store_dataset_clear(&rows[i]);
    }
    free(rows);
    return ok;
}
