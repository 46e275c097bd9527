#include "datasets_make.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "hash.h"
#include "json_write.h"
#include "memory.h"

enum { CHUNK_BYTES = 1 << 20, LABELS_CHUNK = 4096 };

/* Held from choosing a version's number until its row stands, so that the newest number is what
 * was stored last; and by who adds to a version, from reading it on. */
static pthread_mutex_t versions_mutex = PTHREAD_MUTEX_INITIALIZER;

void datasets_lock(void)
{
    pthread_mutex_lock(&versions_mutex);
}

void datasets_unlock(void)
{
    pthread_mutex_unlock(&versions_mutex);
}

size_t dataset_sample_bytes(const struct dataset_info *info)
{
    return cnn_shape_count(&info->shape) * (info->dtype == CNN_F32 ? sizeof(float) : 1);
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t chunk_samples(const struct dataset_info *info)
{
    size_t bytes = dataset_sample_bytes(info);
    return bytes < CHUNK_BYTES ? (uint32_t)(CHUNK_BYTES / bytes) : 1;
}

/* ---- the file ---- */

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

static bool write_samples(struct file_writer *w, const struct dataset_info *info,
                          const struct dataset_source *source, enum dataset_split split,
                          void *buffer, struct err *e)
{
    size_t bytes = dataset_sample_bytes(info);
    uint32_t chunk = chunk_samples(info), n;
    for (uint32_t first = 0; first < info->counts[split]; first += n) {
        n = min_u32(chunk, info->counts[split] - first);
        const void *samples = source->samples(source, split, first, n, buffer, e);
        if (!samples)
            return false;
        file_write(w, samples, n * bytes);
    }
    return true;
}

/* Labels and samples in the order that dataset_file.h asks for. */
static bool write_values(struct file_writer *w, const struct dataset_info *info,
                         const struct dataset_source *source, void *buffer, uint32_t *counts,
                         struct err *e)
{
    for (int part = 0; part < 2; part++) {
        bool is_labels = (part == 0) == (info->dtype == CNN_U8);
        for (int s = 0; s < SPLIT_COUNT; s++) {
            enum dataset_split split = (enum dataset_split)s;
            if (is_labels)
                write_labels(w, info, source, split, counts + s * info->label_count);
            else if (!write_samples(w, info, source, split, buffer, e))
                return false;
        }
    }
    return true;
}

static bool check_size(const struct dataset_info *info, uint64_t *bytes, struct err *e)
{
    uint64_t samples = (uint64_t)info->counts[SPLIT_TRAIN] + info->counts[SPLIT_TEST];
    *bytes = samples * (dataset_sample_bytes(info) + sizeof(uint16_t));
    if (*bytes >> 20 < LIMIT_DATASET_MIB)
        return true;
    char text[CNN_SHAPE_TEXT];
    return err_set(e, ERR_TOO_LARGE, "%llu samples of %s need more than %d MiB",
                   (unsigned long long)samples, cnn_shape_text(&info->shape, text),
                   LIMIT_DATASET_MIB);
}

bool datasets_check_room(const struct dataset_info *info, struct err *e)
{
    struct space_claim claim = {0};
    uint64_t bytes;
    bool ok = check_size(info, &bytes, e) && space_claim(&claim, bytes, e);
    space_settle(&claim, 0);
    return ok;
}

static bool begin_file(struct file_writer *w, struct err *e)
{
    return file_begin(w, e) && ((w->hash = hash_begin()) || err_no_memory(e));
}

/* The whole file into the writer; *bytes is its size. */
static bool write_file(struct file_writer *w, const struct dataset_info *info,
                       const struct dataset_source *source, uint32_t *counts, uint64_t *bytes,
                       struct err *e)
{
    struct buf head = {0};
    if (!check_size(info, bytes, e) || !file_expect(w, *bytes, e))
        return false;
    void *buffer = memory_new(chunk_samples(info), dataset_sample_bytes(info), e);
    bool ok = buffer && dataset_file_head(info, &head, e) && (buf_ok(&head) || err_no_memory(e));
    if (ok) {
        file_write(w, head.data, head.size);
        ok = write_values(w, info, source, buffer, counts, e);
    }
    *bytes += head.size;
    buf_clear(&head);
    free(buffer);
    return ok;
}

/* ---- the version ---- */

static void describe_classes(struct json_writer *w, const struct dataset_info *info,
                             const uint32_t *counts)
{
    jw_key(w, "classes");
    jw_array(w);
    for (int i = 0; i < info->label_count; i++) {
        jw_object(w);
        jw_key_string(w, "label", info->labels[i]);
        jw_key_int(w, "train", counts[i]);
        jw_key_int(w, "test", counts[info->label_count + i]);
        jw_object_end(w);
    }
    jw_array_end(w);
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
    describe_classes(&w, info, counts);
    jw_key(&w, "preprocess");
    preprocess_write(&w, &info->preprocess);
    jw_key_string(&w, "source", info->source);
    jw_key_int(&w, "bytes", (int64_t)row->bytes);
    jw_key_string(&w, "sha256", row->sha256);
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

/* What is written gets its number, its place and its row. */
static bool publish(struct store *store, struct file_writer *w, struct store_dataset *row,
                    const struct dataset_info *info, const uint32_t *counts, struct err *e)
{
    char path[FILES_PATH_BYTES];
    if (!store_next_version(store, "dataset", row->name, &row->version, e))
        return false;
    store_now(row->created);
    files_path(path, sizeof path, "datasets", row->name, row->version, ".safetensors");
    hash_end(w->hash, row->sha256);
    w->hash = NULL;
    if (!describe(row, info, counts, e) || !file_commit(w, path, e))
        return false;
    if (store_dataset_add(store, row, e))
        return true;
    struct err ignored; /* a file that no row names is only wasted space */
    file_remove(path, &ignored);
    return false;
}

static bool make(struct store *store, const char *name, const struct dataset_info *info,
                 const struct dataset_source *source, bool locked, int *version, struct err *e)
{
    struct store_dataset row = {.info = NULL};
    struct file_writer w = {.fd = -1};
    uint32_t *counts =
        memory_new((size_t)SPLIT_COUNT * (size_t)info->label_count, sizeof *counts, e);
    snprintf(row.name, sizeof row.name, "%s", name);
    bool ok = counts && begin_file(&w, e) && write_file(&w, info, source, counts, &row.bytes, e);
    if (ok) {
        if (!locked)
            datasets_lock();
        ok = publish(store, &w, &row, info, counts, e);
        if (!locked)
            datasets_unlock();
    }
    *version = row.version;
    hash_end(w.hash, NULL);
    file_abort(&w);
    store_dataset_clear(&row);
    free(counts);
    return ok;
}

bool datasets_make(struct store *store, const char *name, const struct dataset_info *info,
                   const struct dataset_source *source, int *version, struct err *e)
{
    return make(store, name, info, source, false, version, e);
}

bool datasets_make_locked(struct store *store, const char *name, const struct dataset_info *info,
                          const struct dataset_source *source, int *version, struct err *e)
{
    return make(store, name, info, source, true, version, e);
}
