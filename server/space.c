#include "space.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "files.h"
#include "log.h"

#define MIB ((uint64_t)1 << 20)

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards the four */
static uint64_t quota;                                    /* bytes; 0 = none */
static uint64_t counted;                                  /* bytes of files and claims */
static bool reserved;                                     /* the reserve is there */
static bool opened;

static void path_to(char path[FILES_PATH_BYTES], const char *name)
{
    snprintf(path, FILES_PATH_BYTES, "%s/%s", files_data_dir(), name);
}

static uint64_t size_of(const char *name)
{
    char path[FILES_PATH_BYTES];
    struct stat st;
    path_to(path, name);
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static uint64_t database_bytes(void)
{
    return size_of("strided.db") + size_of("strided.db-wal") + size_of("strided.db-shm");
}

/* With the mutex. */
static uint64_t used_bytes(void)
{
    return counted + database_bytes() + (reserved ? SPACE_RESERVE_MIB * MIB : 0);
}

static uint64_t disk_bytes(void)
{
    struct statvfs disk;
    return statvfs(files_data_dir(), &disk) == 0 ? (uint64_t)disk.f_bavail * disk.f_frsize
                                                 : UINT64_MAX;
}

static uint64_t minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* ---- the sum at the start ---- */

/* Folders are at most two deep: datasets/NAME/VERSION. */
static uint64_t sum(int parent, const char *folder, int depth)
{
    uint64_t bytes = 0;
    int fd = openat(parent, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISREG(st.st_mode))
            bytes += (uint64_t)st.st_size;
        else if (S_ISDIR(st.st_mode) && depth > 0)
            bytes += sum(fd, entry->d_name, depth - 1);
    }
    closedir(dir);
    return bytes;
}

uint64_t space_of_folder(const char *folder)
{
    char path[FILES_PATH_BYTES];
    path_to(path, folder);
    return sum(AT_FDCWD, path, 1);
}

/* ---- the reserve ---- */

/* Without room for it the daemon does without, until there is. With the mutex. */
static void make_reserve(void)
{
    char path[FILES_PATH_BYTES];
    path_to(path, "reserve");
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int failed = fd < 0 ? errno : posix_fallocate(fd, 0, SPACE_RESERVE_MIB * MIB);
    if (fd >= 0)
        close(fd);
    if (failed && fd >= 0)
        unlink(path);
    if (failed)
        log_event(LOG_WARN, "no_reserve", "path", path, "reason", strerror(failed), NULL);
    reserved = !failed;
}

bool space_spend_reserve(const struct err *e)
{
    char path[FILES_PATH_BYTES];
    path_to(path, "reserve");
    pthread_mutex_lock(&mutex);
    bool spent = reserved && e->code == ERR_NO_SPACE && unlink(path) == 0;
    if (spent)
        reserved = false;
    pthread_mutex_unlock(&mutex);
    if (spent)
        log_event(LOG_WARN, "reserve_spent", "reason", e->detail, NULL);
    return spent;
}

bool space_open(int quota_mib, struct err *e)
{
    if (quota_mib != 0 && quota_mib < SPACE_QUOTA_MIB_MIN)
        return err_field(e, ERR_INVALID, "quota-mib",
                         "a quota of %d MiB is too small, expected at least %d, or 0 for none",
                         quota_mib, SPACE_QUOTA_MIB_MIN);
    uint64_t there = space_of_folder("datasets") + space_of_folder("models") +
                     space_of_folder("checkpoints") + space_of_folder("tmp");
    pthread_mutex_lock(&mutex);
    quota = (uint64_t)quota_mib * MIB;
    counted = there;
    make_reserve();
    opened = true;
    bool over = quota && used_bytes() > quota;
    pthread_mutex_unlock(&mutex);
    if (over)
        log_event(LOG_WARN, "quota_exceeded", "detail", "delete something, or raise the quota",
                  NULL);
    return true;
}

/* ---- claims ---- */

static bool no_room(struct err *e, const char *where, uint64_t have, const char *left,
                    uint64_t more)
{
    return err_set(e, ERR_NO_SPACE, "no room for %.1f MiB more: %s %.1f MiB %s", (double)more / MIB,
                   where, (double)have / MIB, left);
}

/* With the mutex. */
static bool has_room(uint64_t more, struct err *e)
{
    char where[64];
    uint64_t used = used_bytes(), disk = disk_bytes();
    if (quota && used + more > minus(quota, SPACE_ROWS_MIB * MIB)) {
        snprintf(where, sizeof where, "of the quota of %llu MiB",
                 (unsigned long long)(quota / MIB));
        return no_room(e, where, used, "are used", more);
    }
    return more <= disk || no_room(e, "on the disk", disk, "are free", more);
}

bool space_claim(struct space_claim *claim, uint64_t bytes, struct err *e)
{
    if (bytes <= claim->bytes)
        return true;
    uint64_t more = bytes - claim->bytes;
    pthread_mutex_lock(&mutex);
    bool ok = !opened || has_room(more, e);
    if (ok) {
        counted += more;
        claim->bytes = bytes;
    }
    pthread_mutex_unlock(&mutex);
    return ok;
}

void space_settle(struct space_claim *claim, uint64_t kept)
{
    pthread_mutex_lock(&mutex);
    counted = minus(counted + kept, claim->bytes);
    pthread_mutex_unlock(&mutex);
    claim->bytes = 0;
}

void space_freed(uint64_t bytes)
{
    pthread_mutex_lock(&mutex);
    counted = minus(counted, bytes);
    if (opened && !reserved && disk_bytes() > 2 * SPACE_RESERVE_MIB * MIB)
        make_reserve();
    pthread_mutex_unlock(&mutex);
}

bool space_check_rows(struct err *e)
{
    pthread_mutex_lock(&mutex);
    uint64_t used = quota ? used_bytes() : 0;
    bool ok = used <= quota;
    if (!ok)
        err_set(e, ERR_NO_SPACE, "the quota of %llu MiB is used up: %.1f MiB are used",
                (unsigned long long)(quota / MIB), (double)used / MIB);
    pthread_mutex_unlock(&mutex);
    return ok;
}

void space_look(struct space_usage *usage)
{
    pthread_mutex_lock(&mutex);
    *usage = (struct space_usage){.quota = quota, .used = used_bytes(), .available = disk_bytes()};
    pthread_mutex_unlock(&mutex);
    if (quota && minus(quota, usage->used + SPACE_ROWS_MIB * MIB) < usage->available)
        usage->available = minus(quota, usage->used + SPACE_ROWS_MIB * MIB);
}
