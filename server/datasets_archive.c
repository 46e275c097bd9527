/* Two passes over the archive, neither of which keeps a file: the first learns all paths, which
 * decide the layout, and what the heads of pictures and arrays announce, which decides one input
 * for all; the second turns each file into a sample in the spool. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive_files.h"
#include "archive_layout.h"
#include "datasets_make.h"
#include "datasets_sample.h"
#include "datasets_spool.h"
#include "memory.h"
#include "rng.h"
#include "utf8.h"

/* What the first pass learns of one file. */
struct seen {
    uint8_t kind;     /* enum sample_kind */
    uint8_t channels; /* of a picture; 0: its head could not be read */
    uint8_t dtype;    /* enum cnn_dtype of an array */
    bool has_shape;   /* an array whose head could be read */
    int width, height;
};

struct import {
    const struct datasets_archive *request;
    struct datasets_skipped *skipped;
    struct archive_layout *layout;
    struct buf seen; /* of struct seen, by place */
    enum sample_kind kind;
    struct cnn_shape array_shape; /* the first array's; c = 0: none */
    uint32_t taken;               /* files that the layout places */
    struct dataset_info info;
    struct spool spool;
};

static struct seen *seen_at(const struct import *import, size_t i)
{
    return (struct seen *)(void *)import->seen.data + i;
}

/* ---- skipped files ---- */

void datasets_skipped_clear(struct datasets_skipped *skipped)
{
    for (int i = 0; i < skipped->count && i < LIMIT_SKIPPED_LISTED; i++)
        free(skipped->files[i].file);
    skipped->count = 0;
}

/* Whether the import goes on without this file. */
static bool skip(struct import *import, const char *path, const char *reason, struct err *e)
{
    struct datasets_skipped *skipped = import->skipped;
    char quoted[UTF8_QUOTE_BYTES];
    if (import->request->strict)
        return err_set(e, ERR_UNPROCESSABLE, "'%s': %.250s", utf8_quote(quoted, path, strlen(path)),
                       reason);
    if (skipped->count < LIMIT_SKIPPED_LISTED) {
        char *copy = strndup(path, LIMIT_ARCHIVE_PATH_BYTES);
        if (!copy)
            return err_no_memory(e);
        skipped->files[skipped->count].file = copy;
        snprintf(skipped->files[skipped->count].reason, sizeof skipped->files[0].reason, "%s",
                 reason);
    }
    skipped->count++;
    return true;
}

/* A failure that is the file's own: the others may still be read. */
static bool is_of_file(const struct err *e)
{
    return e->code == ERR_UNPROCESSABLE || e->code == ERR_INVALID || e->code == ERR_TOO_LARGE;
}

/* ---- first pass ---- */

static void see_picture(struct seen *seen, const void *bytes, size_t size)
{
    struct image head;
    if (!image_peek(bytes, size, &head))
        return;
    seen->width = head.width;
    seen->height = head.height;
    seen->channels = (uint8_t)head.channels;
}

static void see_array(struct import *import, struct seen *seen, const void *bytes, size_t size)
{
    struct npy npy;
    struct cnn_shape shape;
    struct err ignored;
    if (!npy_parse(bytes, size, &npy, &ignored) || !sample_array_shape(&npy, 0, &shape, &ignored))
        return;
    seen->has_shape = true;
    seen->dtype = (uint8_t)sample_array_dtype(&npy);
    if (import->array_shape.c == 0)
        import->array_shape = shape;
}

static bool see_file(struct import *import, struct archive_files *files, const char *path,
                     struct err *e)
{
    const void *bytes;
    size_t size;
    struct err ignored;
    struct seen seen = {.kind = (uint8_t)sample_kind_of_path(path)};
    if (!archive_layout_add(import->layout, path, e))
        return false;
    /* What cannot be read here fails again, and is told, in the second pass. */
    if ((seen.kind == SAMPLE_PICTURE || seen.kind == SAMPLE_ARRAY) &&
        archive_files_read(files, &bytes, &size, &ignored)) {
        if (seen.kind == SAMPLE_PICTURE)
            see_picture(&seen, bytes, size);
        else
            see_array(import, &seen, bytes, size);
    }
    buf_add(&import->seen, &seen, sizeof seen);
    return buf_ok(&import->seen) || err_no_memory(e);
}

static bool see_all(struct import *import, struct err *e)
{
    struct archive_file file;
    struct archive_files *files =
        archive_files_open(import->request->bytes, import->request->size, e);
    bool ok = files != NULL;
    while (ok && (ok = archive_files_next(files, &file, e)) && file.path) {
        if (!file.skipped)
            ok = see_file(import, files, file.path, e);
    }
    archive_files_close(files);
    return ok && archive_layout_decide(import->layout, e);
}

/* ---- one input for all ---- */

static bool is_taken(const struct import *import, size_t i)
{
    return archive_layout_place(import->layout, i).fate == PLACE_TAKEN;
}

/* All samples are of one kind. */
static bool choose_kind(struct import *import, struct err *e)
{
    uint32_t counts[SAMPLE_KIND_COUNT] = {0};
    int kinds = 0;
    for (size_t i = 0; i < archive_layout_count(import->layout); i++)
        counts[seen_at(import, i)->kind] += is_taken(import, i);
    for (int kind = 0; kind < SAMPLE_KIND_COUNT; kind++) {
        if (counts[kind] == 0)
            continue;
        import->kind = (enum sample_kind)kind;
        import->taken = counts[kind];
        kinds++;
    }
    if (kinds <= 1)
        return true;
    return err_set(
        e, ERR_UNPROCESSABLE,
        "archive mixes kinds: %u pictures, %u meshes, %u npy arrays; a dataset holds one",
        counts[SAMPLE_PICTURE], counts[SAMPLE_MESH], counts[SAMPLE_ARRAY]);
}

static int by_size(const void *a, const void *b)
{
    int p = *(const int *)a, q = *(const int *)b;
    return p < q ? -1 : p > q;
}

static int median(int *values, size_t count)
{
    qsort(values, count, sizeof *values, by_size);
    return values[count / 2];
}

/* Median width and height, which is every picture's if all are of one size, made smaller until
 * both fit. */
static void choose_size(struct import *import, int *widths, int *heights, size_t count)
{
    int width = 28, height = 28; /* no head could be read */
    if (count > 0) {
        width = median(widths, count);
        height = median(heights, count);
    }
    int longer = width > height ? width : height;
    if (longer > LIMIT_IMPORT_SIDE_CHOSEN) {
        width = (int)((long long)width * LIMIT_IMPORT_SIDE_CHOSEN / longer);
        height = (int)((long long)height * LIMIT_IMPORT_SIDE_CHOSEN / longer);
    }
    import->info.shape.size[1] = height > 0 ? height : 1;
    import->info.shape.size[2] = width > 0 ? width : 1;
}

static bool choose_picture(struct import *import, struct err *e)
{
    const struct datasets_convert *convert = &import->request->convert;
    int *sizes = memory_new(2 * (size_t)import->taken, sizeof *sizes, e);
    size_t count = 0;
    uint64_t pixels = 0;
    int channels = 1;
    if (!sizes)
        return false;
    for (size_t i = 0; i < archive_layout_count(import->layout); i++) {
        const struct seen *seen = seen_at(import, i);
        if (!is_taken(import, i) || seen->channels == 0)
            continue;
        sizes[count] = seen->width;
        sizes[import->taken + count++] = seen->height;
        pixels += (uint64_t)seen->width * (uint64_t)seen->height;
        channels = seen->channels > channels ? seen->channels : channels;
    }
    struct cnn_shape *shape = &import->info.shape;
    *shape = (struct cnn_shape){.c = convert->channels ? convert->channels : channels,
                                .size = {1, convert->height, convert->width},
                                .rank = 2};
    if (convert->width == 0)
        choose_size(import, sizes, sizes + import->taken, count);
    free(sizes);
    import->info.preprocess.invert = convert->invert;
    return pixels >> 20 < LIMIT_IMPORT_MPIXELS ||
           err_set(e, ERR_TOO_LARGE, "pictures of %llu million pixels in all, at most %d are read",
                   (unsigned long long)(pixels >> 20), LIMIT_IMPORT_MPIXELS);
}

static bool choose_grid(struct import *import)
{
    int side = import->request->convert.grid;
    import->info.shape = (struct cnn_shape){.c = 1, .size = {side, side, side}, .rank = 3};
    import->info.preprocess.voxelize = import->request->convert.voxelize;
    return true;
}

/* Bytes if all arrays are. */
static bool choose_array(struct import *import)
{
    import->info.shape = import->array_shape;
    if (import->array_shape.c == 0) /* none can be read: each will say why */
        import->info.shape = (struct cnn_shape){.c = 1, .size = {1, 1, 1}, .rank = 0};
    for (size_t i = 0; i < archive_layout_count(import->layout); i++)
        if (is_taken(import, i) && seen_at(import, i)->has_shape &&
            seen_at(import, i)->dtype == CNN_F32)
            import->info.dtype = CNN_F32;
    return true;
}

static bool choose_input(struct import *import, struct err *e)
{
    int count;
    char text[CNN_SHAPE_TEXT];
    if (!choose_kind(import, e))
        return false;
    bool ok = import->kind == SAMPLE_PICTURE ? choose_picture(import, e)
              : import->kind == SAMPLE_MESH  ? choose_grid(import)
                                             : choose_array(import);
    if (!ok)
        return false;
    uint64_t bytes = (uint64_t)import->taken * dataset_sample_bytes(&import->info);
    if (bytes >> 20 >= LIMIT_DATASET_MIB)
        return err_set(e, ERR_TOO_LARGE, "%u samples of %s need more than %d MiB", import->taken,
                       cnn_shape_text(&import->info.shape, text), LIMIT_DATASET_MIB);
    const char *const *labels = archive_layout_labels(import->layout, &count);
    return dataset_info_set_labels(&import->info, labels, count, e);
}

/* ---- second pass ---- */

/* By the path alone, so that the split does not depend on what else is in the archive. */
static uint64_t path_key(uint64_t seed, const char *path)
{
    uint64_t key = cnn_rng_mix(seed, 0);
    for (; *path; path++)
        key = cnn_rng_mix(key, (unsigned char)*path);
    return key;
}

static bool take_file(struct import *import, struct archive_files *files, const char *path,
                      struct place place, void *sample, struct err *e)
{
    const void *bytes;
    size_t size;
    struct spool_sample about = {.key = path_key(import->request->seed, path),
                                 .label = (uint16_t)place.label,
                                 .split = (uint8_t)place.split};
    upload_entry_done(import->request->upload);
    if (archive_files_read(files, &bytes, &size, e) &&
        sample_convert(&import->info, import->kind, bytes, size, sample, e))
        return spool_add(&import->spool, sample, about, e);
    if (!is_of_file(e))
        return false;
    char reason[sizeof e->detail];
    snprintf(reason, sizeof reason, "%s", e->detail);
    return skip(import, path, reason, e);
}

static bool visit_file(struct import *import, struct archive_files *files,
                       const struct archive_file *file, size_t *index, void *sample, struct err *e)
{
    if (file->skipped)
        return skip(import, file->path, file->skipped, e);
    struct place place = archive_layout_place(import->layout, (*index)++);
    switch (place.fate) {
    case PLACE_TAKEN:
        return take_file(import, files, file->path, place, sample, e);
    case PLACE_IGNORED:
        return true;
    default:
        return skip(import, file->path, place.reason, e);
    }
}

static bool take_all(struct import *import, struct err *e)
{
    struct archive_file file;
    size_t index = 0;
    upload_importing(import->request->upload, import->taken);
    void *sample = memory_new(1, dataset_sample_bytes(&import->info), e);
    struct archive_files *files =
        sample ? archive_files_open(import->request->bytes, import->request->size, e) : NULL;
    bool ok = files && spool_open(&import->spool, dataset_sample_bytes(&import->info), e);
    while (ok && (ok = archive_files_next(files, &file, e)) && file.path)
        ok = visit_file(import, files, &file, &index, sample, e);
    archive_files_close(files);
    free(sample);
    return ok;
}

/* ---- import ---- */

static bool check_result(struct import *import, struct err *e)
{
    const struct datasets_skipped *skipped = import->skipped;
    char quoted[UTF8_QUOTE_BYTES];
    if (import->spool.count > 0)
        return true;
    if (skipped->count == 0)
        return err_set(e, ERR_UNPROCESSABLE, "archive holds no samples");
    const char *first = skipped->files[0].file;
    return err_set(e, ERR_UNPROCESSABLE, "none of %d files can be read, first '%s': %s",
                   skipped->count, utf8_quote(quoted, first, strlen(first)),
                   skipped->files[0].reason);
}

static bool split_and_finish(struct import *import, struct err *e)
{
    struct spool *spool = &import->spool;
    /* The layout has splits for all files or for none. */
    if (spool->samples[0].split == SPLIT_COUNT &&
        !spool_split(spool, import->request->test_split, e))
        return false;
    if (!spool_drop_labels(spool, &import->info, e) || !spool_finish(spool, e))
        return false;
    memcpy(import->info.counts, spool->counts, sizeof spool->counts);
    return import->info.counts[SPLIT_TRAIN] > 0 ||
           err_set(e, ERR_UNPROCESSABLE, "archive holds test samples only");
}

bool datasets_import_archive(struct store *store, const char *name,
                             const struct datasets_archive *archive,
                             struct datasets_skipped *skipped, int *version, struct err *e)
{
    struct import import = {.request = archive, .skipped = skipped};
    import.layout = archive_layout_new(sample_suffixes, e);
    bool ok = import.layout && see_all(&import, e) && choose_input(&import, e) &&
              take_all(&import, e) && check_result(&import, e) && split_and_finish(&import, e);
    if (ok) {
        const struct dataset_source source = spool_source(&import.spool);
        snprintf(import.info.source, sizeof import.info.source, "archive of %s",
                 sample_kind_names[import.kind]);
        ok = datasets_check_room(&import.info, e) &&
             dataset_measure(&import.info, &source, &archive->scaling, e) &&
             datasets_make(store, name, &import.info, &source, version, e);
    }
    spool_close(&import.spool);
    dataset_info_clear(&import.info);
    buf_clear(&import.seen);
    archive_layout_free(import.layout);
    return ok;
}
