#include "sweep.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "log.h"

/* What the catalogue says about a file. */
enum verdict {
    KEEP,
    REMOVE,
    UNKNOWN, /* not of this catalogue */
};

/* One kind of folder below the data directory. */
struct kind {
    const char *folder, *counter, *suffix;
    bool (*has_row)(struct store *store, const char *name, int version, bool *has, struct err *e);
};

static bool remove_orphan(const char *path, struct err *e)
{
    if (!file_remove(path, e))
        return false;
    log_event(LOG_WARN, "orphan_removed", "path", path, NULL);
    return true;
}

static bool act(enum verdict verdict, const char *path, struct err *e)
{
    if (verdict == REMOVE)
        return remove_orphan(path, e);
    if (verdict == UNKNOWN)
        log_event(LOG_WARN, "file_not_in_catalogue", "path", path, NULL);
    return true;
}

/* The number that a name like "12.onnx" begins with; 0 when it is not of that form. */
static long long number_of(const char *name, const char *suffix)
{
    char *end;
    long long number = strtoll(name, &end, 10);
    bool plain = name[0] >= '1' && name[0] <= '9' && strcmp(end, suffix) == 0;
    return plain ? number : 0;
}

/* ---- entries of a folder ---- */

/* Calls `each` with every entry but "." and ".."; an absent folder has none. */
static bool walk(const char *folder, struct err *e, void *context,
                 bool (*each)(void *context, const char *folder, const char *name, struct err *e))
{
    DIR *dir = opendir(folder);
    if (!dir)
        return errno == ENOENT || errno == ENOTDIR ||
               err_set(e, ERR_IO, "cannot read folder '%s': %s", folder, strerror(errno));
    bool ok = true;
    for (struct dirent *entry; ok && (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            ok = each(context, folder, entry->d_name, e);
    }
    closedir(dir);
    return ok;
}

static bool join(char path[FILES_PATH_BYTES], const char *folder, const char *name, struct err *e)
{
    int size = snprintf(path, FILES_PATH_BYTES, "%s/%s", folder, name);
    return (size >= 0 && size < FILES_PATH_BYTES) ||
           err_set(e, ERR_IO, "file name of %d bytes below '%s'", size, files_data_dir());
}

/* ---- versions of datasets and models ---- */

struct sweep {
    struct store *store;
    const struct kind *kind;
    const char *name; /* of the dataset or model */
};

static bool judge_version(const struct sweep *sweep, int version, enum verdict *verdict,
                          struct err *e)
{
    bool has;
    int given;
    if (!sweep->kind->has_row(sweep->store, sweep->name, version, &has, e) ||
        !store_last_version(sweep->store, sweep->kind->counter, sweep->name, &given, e))
        return false;
    *verdict = has ? KEEP : version <= given ? REMOVE : UNKNOWN;
    return true;
}

static bool sweep_version(void *context, const char *folder, const char *file, struct err *e)
{
    const struct sweep *sweep = context;
    char path[FILES_PATH_BYTES];
    enum verdict verdict = UNKNOWN;
    long long version = number_of(file, sweep->kind->suffix);
    if (version > 0 && version <= INT32_MAX && !judge_version(sweep, (int)version, &verdict, e))
        return false;
    return join(path, folder, file, e) && act(verdict, path, e);
}

static bool sweep_name(void *context, const char *folder, const char *name, struct err *e)
{
    struct sweep *sweep = context;
    char path[FILES_PATH_BYTES];
    sweep->name = name;
    if (!join(path, folder, name, e) || !walk(path, e, sweep, sweep_version))
        return false;
    rmdir(path); /* fails, as it should, unless it is an empty folder */
    return true;
}

static bool sweep_kind(struct store *store, const struct kind *kind, struct err *e)
{
    struct sweep sweep = {.store = store, .kind = kind};
    char path[FILES_PATH_BYTES];
    return join(path, files_data_dir(), kind->folder, e) && walk(path, e, &sweep, sweep_name);
}

/* ---- checkpoints ---- */

static bool judge_checkpoint(struct store *store, int64_t job, enum verdict *verdict, struct err *e)
{
    struct store_job row = {.id = 0};
    bool found = store_job_get(store, job, &row, e);
    if (!found && e->code != ERR_NOT_FOUND)
        return false;
    *verdict = found && row.state != JOB_SUCCEEDED ? KEEP : REMOVE;
    store_job_clear(&row);
    return true;
}

/* What does not have the name of a whole checkpoint was being written. */
static bool sweep_checkpoint(void *context, const char *folder, const char *file, struct err *e)
{
    char path[FILES_PATH_BYTES];
    enum verdict verdict = REMOVE;
    int64_t job = number_of(file, ".safetensors");
    if (job > 0 && !judge_checkpoint(context, job, &verdict, e))
        return false;
    return join(path, folder, file, e) && act(verdict, path, e);
}

/* ---- the reverse ---- */

/* What a row promises is not there, or not whole: it is named here, refused when it is asked for,
 * and can be deleted. Models are read at start anyway (registry.h). */
static bool name_damaged_datasets(struct store *store, struct err *e)
{
    struct store_dataset *rows = NULL;
    int count = 0;
    if (!store_datasets(store, &rows, &count, e))
        return false;
    for (int i = 0; i < count; i++) {
        char path[FILES_PATH_BYTES], version[16];
        files_path(path, sizeof path, "datasets", rows[i].name, rows[i].version, ".safetensors");
        snprintf(version, sizeof version, "%d", rows[i].version);
        if (file_size(path) != rows[i].bytes)
            log_event(LOG_ERROR, "dataset_damaged", "dataset", rows[i].name, "version", version,
                      "path", path, NULL);
        store_dataset_clear(&rows[i]);
    }
    free(rows);
    return true;
}

bool sweep_run(struct store *store, struct err *e)
{
    static const struct kind kinds[] = {
        {"datasets", "dataset", ".safetensors", store_dataset_exists},
        {"models", "model", ".onnx", store_model_exists},
    };
    char path[FILES_PATH_BYTES];
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (!sweep_kind(store, &kinds[i], e))
            return false;
    return join(path, files_data_dir(), "checkpoints", e) &&
           walk(path, e, store, sweep_checkpoint) && name_damaged_datasets(store, e);
}
