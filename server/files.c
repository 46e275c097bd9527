#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hash.h"

enum {
    CLAIM_STEP_BYTES = 1 << 20, /* where a file's size is not known */
    LOCK_WAIT_MS = 1000,
    LOCK_PAUSE_MS = 10,
};

static char data_dir[4096];
static int lock_fd = -1;

/* The failure of a system call on a file, from errno. */
static bool io_error(struct err *e, const char *action, const char *path)
{
    int number = errno;
    enum err_code code = ERR_IO;
    if (number == ENOSPC || number == EDQUOT || number == EFBIG)
        code = ERR_NO_SPACE;
    else if (number == EMFILE || number == ENFILE)
        code = ERR_UNAVAILABLE; /* other requests will give descriptors back */
    else if (number == ENOMEM)
        code = ERR_NO_MEMORY;
    return err_set(e, code, "cannot %s '%s': %s", action, path, strerror(number));
}

static bool sync_folder(const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return io_error(e, "open folder", path);
    bool ok = fsync(fd) == 0;
    if (!ok)
        io_error(e, "sync folder", path);
    close(fd);
    return ok;
}

/* Cuts the last component off a path, in place: "a/b" -> "a", "a" -> ".", "/a" -> "/". */
static void parent_of(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash)
        path[0] = '.';
    if (!slash || slash == path)
        path[1] = '\0';
    else
        *slash = '\0';
}

/* Makes one folder durable in its parent; an existing one is fine. */
static bool make_folder(const char *path, struct err *e)
{
    if (mkdir(path, 0755) != 0) {
        if (errno == EEXIST)
            return true;
        return io_error(e, "make folder", path);
    }
    char parent[FILES_PATH_BYTES];
    snprintf(parent, sizeof parent, "%s", path);
    parent_of(parent);
    return sync_folder(parent, e);
}

/* Makes a folder and those above it. */
static bool make_folders(const char *path, struct err *e)
{
    char part[FILES_PATH_BYTES];
    if (!*path || strlen(path) >= sizeof part)
        return err_set(e, ERR_INVALID, "folder name of %zu bytes", strlen(path));
    for (size_t i = 0; path[i]; i++) {
        if (i > 0 && path[i] == '/') {
            part[i] = '\0';
            if (!make_folder(part, e))
                return false;
        }
        part[i] = path[i];
        part[i + 1] = '\0';
    }
    return make_folder(part, e);
}

/* A process that a killed daemon was about to make its worker shares the lock until it is one, a
 * moment later. */
static bool lock_file(int fd)
{
    int tries = LOCK_WAIT_MS / LOCK_PAUSE_MS;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK || --tries == 0)
            return false;
        usleep(LOCK_PAUSE_MS * 1000);
    }
    return true;
}

/* Takes <data>/lock and writes our process id into it, for the message of the next one. */
static bool take_lock(struct err *e)
{
    char path[FILES_PATH_BYTES], pid[32] = "";
    snprintf(path, sizeof path, "%s/lock", data_dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return io_error(e, "open", path);
    if (!lock_file(fd)) {
        if (errno != EWOULDBLOCK)
            io_error(e, "lock", path);
        else if (pread(fd, pid, sizeof pid - 1, 0) > 0)
            err_set(e, ERR_CONFLICT, "another strided uses this data directory (pid %s): '%s'", pid,
                    data_dir);
        else
            err_set(e, ERR_CONFLICT, "another strided uses this data directory: '%s'", data_dir);
        close(fd);
        return false;
    }
    int size = snprintf(pid, sizeof pid, "%ld", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)size, 0) != size) {
        io_error(e, "write", path);
        close(fd);
        return false;
    }
    lock_fd = fd;
    return true;
}

/* Whatever is in tmp/ was never acknowledged. */
static bool empty_tmp(struct err *e)
{
    char path[FILES_PATH_BYTES];
    snprintf(path, sizeof path, "%s/tmp", data_dir);
    DIR *folder = opendir(path);
    if (!folder)
        return io_error(e, "read folder", path);
    bool ok = true;
    for (struct dirent *entry; ok && (entry = readdir(folder));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(folder), entry->d_name, 0) != 0 && errno != ENOENT)
            ok = io_error(e, "remove", entry->d_name);
    }
    closedir(folder);
    return ok;
}

bool files_attach(const char *path, struct err *e)
{
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    if (size == 0 || size >= sizeof data_dir)
        return err_field(e, ERR_INVALID, "data-dir", "data directory name of %zu bytes", size);
    memcpy(data_dir, path, size);
    data_dir[size] = '\0';
    return true;
}

bool files_open(const char *path, struct err *e)
{
    static const char *const folders[] = {"datasets", "models", "checkpoints", "tmp"};
    if (!files_attach(path, e) || !make_folders(data_dir, e) || !take_lock(e))
        return false;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        char folder[FILES_PATH_BYTES];
        snprintf(folder, sizeof folder, "%s/%s", data_dir, folders[i]);
        if (!make_folder(folder, e))
            goto out;
    }
    if (empty_tmp(e))
        return true;
out:
    files_close();
    return false;
}

void files_close(void)
{
    if (lock_fd >= 0)
        close(lock_fd);
    lock_fd = -1;
}

const char *files_data_dir(void)
{
    return data_dir;
}

void files_database_path(char *path, size_t size)
{
    snprintf(path, size, "%s/strided.db", data_dir);
}

void files_path(char *path, size_t size, const char *folder, const char *name, int version,
                const char *suffix)
{
    snprintf(path, size, "%s/%s/%s/%d%s", data_dir, folder, name, version, suffix);
}

void files_checkpoint_path(char *path, size_t size, int64_t job)
{
    snprintf(path, size, "%s/checkpoints/%lld.safetensors", data_dir, (long long)job);
}

static void temp_path(const struct file_writer *w, char path[FILES_PATH_BYTES])
{
    snprintf(path, FILES_PATH_BYTES, "%s/tmp/%s", data_dir, w->name);
}

bool file_begin(struct file_writer *w, struct err *e)
{
    char path[FILES_PATH_BYTES];
    *w = (struct file_writer){.name = "write-XXXXXX"};
    temp_path(w, path);
    w->fd = mkostemp(path, O_CLOEXEC);
    memcpy(w->name, path + strlen(path) - strlen(w->name), strlen(w->name));
    return w->fd >= 0 || io_error(e, "make", path);
}

bool file_begin_again(struct file_writer *w, const char *name, struct err *e)
{
    char path[FILES_PATH_BYTES];
    *w = (struct file_writer){.name = ""};
    snprintf(w->name, sizeof w->name, "%s", name);
    temp_path(w, path);
    /* A new file, not the old one cut: its writer may have been killed within its last write. */
    unlink(path);
    w->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return w->fd >= 0 || io_error(e, "make", path);
}

bool file_begin_unnamed(struct file_writer *w, struct err *e)
{
    char path[FILES_PATH_BYTES];
    *w = (struct file_writer){.name = ""};
    temp_path(w, path);
    w->fd = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (w->fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return w->fd >= 0 || io_error(e, "make a file in", path);
    if (!file_begin(w, e))
        return false;
    temp_path(w, path);
    unlink(path);
    w->name[0] = '\0';
    return true;
}

bool file_expect(struct file_writer *w, uint64_t size, struct err *e)
{
    return space_claim(&w->claim, size, e);
}

void file_write(struct file_writer *w, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint64_t end = w->size + size;
    if (w->error.code == ERR_NONE && !w->uncounted && end > w->claim.bytes)
        space_claim(&w->claim, end + CLAIM_STEP_BYTES, &w->error);
    while (size > 0 && w->error.code == ERR_NONE) {
        ssize_t written = write(w->fd, at, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            char path[FILES_PATH_BYTES];
            temp_path(w, path);
            io_error(&w->error, "write", path);
            return;
        }
        if (w->hash)
            hash_add(w->hash, at, (size_t)written);
        at += written;
        w->size += (uint64_t)written;
        size -= (size_t)written;
    }
}

static bool publish(const char *temp, const char *path, bool replace, struct err *e);

static bool commit(struct file_writer *w, const char *path, bool replace, struct err *e)
{
    char temp[FILES_PATH_BYTES];
    temp_path(w, temp);
    if (w->error.code != ERR_NONE) {
        *e = w->error;
        file_abort(w);
        return false;
    }
    if (fsync(w->fd) != 0) {
        io_error(e, "sync", temp);
        file_abort(w);
        return false;
    }
    int closed = close(w->fd);
    w->fd = -1;
    if (closed != 0) {
        io_error(e, "close", temp);
        unlink(temp);
    }
    bool ok = closed == 0 && publish(temp, path, replace, e);
    space_settle(&w->claim, ok ? w->size : 0);
    return ok;
}

bool file_commit(struct file_writer *w, const char *path, struct err *e)
{
    return commit(w, path, false, e);
}

bool file_replace(struct file_writer *w, const char *path, struct err *e)
{
    return commit(w, path, true, e);
}

void file_abort(struct file_writer *w)
{
    char temp[FILES_PATH_BYTES];
    if (w->fd < 0)
        return;
    close(w->fd);
    w->fd = -1;
    temp_path(w, temp);
    if (w->name[0])
        unlink(temp);
    space_settle(&w->claim, 0);
}

/* rename(2) would replace a file that this catalogue does not know (sweep.h). */
static int rename_new(const char *temp, const char *path)
{
    int failed = renameat2(AT_FDCWD, temp, AT_FDCWD, path, RENAME_NOREPLACE);
    if (failed && errno == EINVAL) /* not on this file system */
        failed = rename(temp, path);
    return failed;
}

static bool publish(const char *temp, const char *path, bool replace, struct err *e)
{
    char folder[FILES_PATH_BYTES];
    snprintf(folder, sizeof folder, "%s", path);
    parent_of(folder);
    if (!make_folders(folder, e)) {
        unlink(temp);
        return false;
    }
    if ((replace ? rename(temp, path) : rename_new(temp, path)) != 0) {
        io_error(e, "rename to", path);
        unlink(temp);
        return false;
    }
    if (!sync_folder(folder, e)) {
        if (!replace)
            unlink(path); /* it may not survive a power cut: better that it does not exist */
        return false;
    }
    return true;
}

bool file_publish(const char *temp, const char *path, struct err *e)
{
    uint64_t size = file_size(temp);
    bool ok = publish(temp, path, false, e);
    if (!ok)
        space_freed(size);
    return ok;
}

bool file_remove(const char *path, struct err *e)
{
    uint64_t size = file_size(path);
    if (unlink(path) != 0)
        return errno == ENOENT || io_error(e, "remove", path);
    space_freed(size);
    return true;
}

uint64_t file_size(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

bool file_map_open(struct file_map *map, const char *path, struct err *e)
{
    *map = (struct file_map){.bytes = NULL};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ENOENT)
            return err_set(e, ERR_NOT_FOUND, "no file '%s'", path);
        return io_error(e, "open", path);
    }
    struct stat st;
    bool ok = fstat(fd, &st) == 0;
    if (!ok)
        io_error(e, "inspect", path);
    if (ok && st.st_size > 0) {
        void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        ok = bytes != MAP_FAILED;
        if (ok)
            *map = (struct file_map){.bytes = bytes, .size = (size_t)st.st_size};
        else
            io_error(e, "map", path);
    }
    close(fd);
    return ok;
}

void file_map_close(struct file_map *map)
{
    if (map->size > 0)
        munmap((void *)(uintptr_t)map->bytes, map->size);
    *map = (struct file_map){.bytes = NULL};
}
