/* Whether a version's file still holds what was stored.
 *
 * Reading a file once more than needed costs little beside training on it, and much beside showing
 * one of its samples. So the daemon remembers the files that it found whole, by what the kernel
 * tells of them, and reads one again only after it was touched. */
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "datasets.h"
#include "hash.h"

enum { REMEMBERED = 64 };

struct whole {
    dev_t device;
    ino_t inode;
    struct timespec changed;
    char sha256[65];
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards the two */
static struct whole remembered[REMEMBERED];
static unsigned next;

static bool same(const struct whole *a, const struct whole *b)
{
    return a->device == b->device && a->inode == b->inode &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec &&
           strcmp(a->sha256, b->sha256) == 0;
}

static bool is_remembered(const struct whole *file)
{
    bool found = false;
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < REMEMBERED && !found; i++)
        found = same(&remembered[i], file);
    pthread_mutex_unlock(&mutex);
    return found;
}

static void remember(const struct whole *file)
{
    pthread_mutex_lock(&mutex);
    remembered[next++ % REMEMBERED] = *file;
    pthread_mutex_unlock(&mutex);
}

bool dataset_check(const struct dataset *dataset, const char *name, struct err *e)
{
    char found[65];
    if (!dataset->sha256[0])
        return true;
    hash_sha256(dataset->map.bytes, dataset->map.size, found);
    return strcmp(found, dataset->sha256) == 0 ||
           err_set(e, ERR_UNAVAILABLE,
                   "version %d of dataset '%s' is damaged: its SHA-256 is %s, the catalogue says "
                   "%s",
                   dataset->version, name, found, dataset->sha256);
}

/* The file as the kernel knows it: ctime cannot be set back. */
static bool look_at(const char *path, struct whole *file)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return false;
    file->device = st.st_dev;
    file->inode = st.st_ino;
    file->changed = st.st_ctim;
    return true;
}

static bool check_once(const struct dataset *dataset, const struct store_dataset *row,
                       struct err *e)
{
    char path[FILES_PATH_BYTES];
    struct whole file = {.device = 0};
    memcpy(file.sha256, row->sha256, sizeof file.sha256);
    files_path(path, sizeof path, "datasets", row->name, row->version, ".safetensors");
    bool known = look_at(path, &file);
    if (known && is_remembered(&file))
        return true;
    if (!dataset_check(dataset, row->name, e))
        return false;
    if (known)
        remember(&file);
    return true;
}

static bool check(const struct dataset *dataset, const struct store_dataset *row, bool content,
                  struct err *e)
{
    if (dataset->map.size != row->bytes)
        return err_set(e, ERR_UNAVAILABLE,
                       "version %d of dataset '%s' is damaged: %zu bytes, the catalogue says %llu",
                       row->version, row->name, dataset->map.size, (unsigned long long)row->bytes);
    return !content || check_once(dataset, row, e);
}

bool datasets_open(struct store *store, const char *name, int version, bool content,
                   struct dataset *dataset, struct err *e)
{
    struct store_dataset row = {.info = NULL};
    if (!store_dataset_get(store, name, version, &row, e))
        return false;
    /* Without a sum at least the values are looked at. */
    bool ok = content && !row.sha256[0] ? dataset_open(dataset, name, row.version, e)
                                        : dataset_open_unread(dataset, name, row.version, e);
    if (ok)
        memcpy(dataset->sha256, row.sha256, sizeof dataset->sha256);
    if (ok && !check(dataset, &row, content, e)) {
        dataset_close(dataset);
        ok = false;
    }
    store_dataset_clear(&row);
    return ok;
}
