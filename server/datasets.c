#include "datasets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets_make.h"
#include "log.h"

/* ---- reading ---- */

static bool open_version(struct dataset *dataset, const char *name, int version, bool read,
                         struct err *e)
{
    char path[FILES_PATH_BYTES];
    struct err cause;
    *dataset = (struct dataset){.version = version};
    files_path(path, sizeof path, "datasets", name, version, ".safetensors");
    if (!file_map_open(&dataset->map, path, &cause) ||
        !(read ? dataset_file_parse : dataset_file_parse_unread)(
            dataset->map.bytes, dataset->map.size, &dataset->info, dataset->samples, &cause)) {
        dataset_close(dataset);
        enum err_code code = cause.code == ERR_NO_MEMORY ? ERR_NO_MEMORY : ERR_UNAVAILABLE;
        return err_set(e, code, "cannot read version %d of dataset '%s': %s", version, name,
                       cause.detail);
    }
    return true;
}

bool dataset_open(struct dataset *dataset, const char *name, int version, struct err *e)
{
    return open_version(dataset, name, version, true, e);
}

bool dataset_open_unread(struct dataset *dataset, const char *name, int version, struct err *e)
{
    return open_version(dataset, name, version, false, e);
}

void dataset_close(struct dataset *dataset)
{
    dataset_info_clear(&dataset->info);
    file_map_close(&dataset->map);
    *dataset = (struct dataset){.version = 0};
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

static const void *generated_samples(const struct dataset_source *source, enum dataset_split split,
                                     uint32_t first, uint32_t n, void *buffer, struct err *e)
{
    const struct dataset_request *request = source->context;
    size_t bytes = cnn_shape_count(&request->generator->shape);
    (void)e;
    for (uint32_t i = 0; i < n; i++)
        request->generator->make(request->seed, (int)split, first + i,
                                 (uint8_t *)buffer + i * bytes);
    return buffer;
}

/* Generated solids are filled and keep their proportions; many points leave no holes to fill
 * through. */
static struct cnn_voxelize solids_voxelize(void)
{
    struct cnn_voxelize how = cnn_voxelize_defaults();
    how.fit = CNN_VOXEL_ASPECT;
    how.solid = true;
    how.samples = LIMIT_IMPORT_POINTS;
    return how;
}

bool datasets_generate(struct store *store, const char *name, const struct dataset_request *request,
                       const struct dataset_scaling *scaling, int *version, struct err *e)
{
    const struct cnn_generator *generator = request->generator;
    const struct dataset_source source = {
        .context = request, .labels = generated_labels, .samples = generated_samples};
    struct dataset_info info = {
        .shape = generator->shape,
        .dtype = CNN_U8,
        .counts = {request->train, request->test},
    };
    struct dataset_scaling chosen = *scaling;
    if (generator->shape.rank == CNN_AXES)
        info.preprocess.voxelize = solids_voxelize();
    if (chosen.scale == 0)
        chosen.scale = generator->scale;
    snprintf(info.source, sizeof info.source, "generator %s, seed %llu", generator->name,
             (unsigned long long)request->seed);
    bool ok = dataset_info_set_labels(&info, generator->labels, generator->classes, e) &&
              datasets_check_room(&info, e) && dataset_measure(&info, &source, &chosen, e) &&
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
