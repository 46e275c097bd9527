/* A library for LD_PRELOAD, see faults.h. It stands between a program and the C library's calls on
 * files; what it lets pass goes to the kernel directly. Calls that the C library makes itself
 * (stdio, mkostemp's open) are not seen. */
#include "faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct faults *faults; /* NULL: nothing to do */
static enum faults_role role;

__attribute__((constructor)) static void faults_start(int argc, char **argv)
{
    const char *path = getenv("STRIDED_FAULTS");
    const char *command = argc > 1 ? argv[1] : "";
    bool worker = strcmp(command, "worker") == 0;
    if (!path || (!worker && strcmp(command, "serve") != 0))
        return;
    role = worker ? FAULTS_WORKER : FAULTS_DAEMON;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    faults = map == MAP_FAILED ? NULL : map;
}

/* ---- the rule ---- */

static _Noreturn void die(void)
{
    if (faults->action == FAULTS_CUT && role == FAULTS_WORKER)
        kill(getppid(), SIGKILL);
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* What is to be done about this call: FAULTS_COUNT = let it pass. */
static enum faults_action judge(enum faults_call call, const char *path)
{
    if (!faults || !strstr(path, faults->path) || !(faults->roles & 1u << role) ||
        !(faults->calls & 1u << call))
        return FAULTS_COUNT;
    uint32_t number = 1 + atomic_fetch_add(&faults->matched, 1);
    atomic_fetch_add(&faults->counts[role][call], 1);
    enum faults_action action = (enum faults_action)faults->action;
    if (action == FAULTS_COUNT || number < faults->from ||
        (faults->until && number > faults->until) ||
        (action == FAULTS_TEAR && call != FAULTS_WRITE))
        return FAULTS_COUNT;
    faults->acted_role = role;
    faults->acted_call = call;
    snprintf(faults->acted_path, sizeof faults->acted_path, "%s", path);
    atomic_fetch_add(&faults->acted, 1);
    return action;
}

/* Kills the process or fails the call, if that is due. */
static bool fails(enum faults_call call, const char *path)
{
    enum faults_action action = judge(call, path);
    if (action == FAULTS_KILL || action == FAULTS_CUT)
        die();
    if (action == FAULTS_FAIL)
        errno = (int)faults->error;
    return action == FAULTS_FAIL;
}

static const char *path_of(int fd, char path[512])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, 511);
    path[size > 0 ? size : 0] = '\0';
    return path;
}

static bool fails_fd(enum faults_call call, int fd)
{
    char path[512];
    return faults && fails(call, path_of(fd, path));
}

/* ---- the calls ---- */

static ssize_t write_at(int fd, const void *bytes, size_t size, off_t at)
{
    return at < 0 ? syscall(SYS_write, fd, bytes, size)
                  : syscall(SYS_pwrite64, fd, bytes, size, at);
}

static ssize_t faulty_write(int fd, const void *bytes, size_t size, off_t at)
{
    char path[512];
    enum faults_action action = faults ? judge(FAULTS_WRITE, path_of(fd, path)) : FAULTS_COUNT;
    if (action == FAULTS_TEAR)
        write_at(fd, bytes, size / 2, at);
    if (action == FAULTS_TEAR || action == FAULTS_KILL || action == FAULTS_CUT)
        die();
    if (action == FAULTS_FAIL) {
        errno = (int)faults->error;
        return -1;
    }
    return write_at(fd, bytes, size, at);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    return faulty_write(fd, bytes, size, -1);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    return faulty_write(fd, bytes, size, at);
}

int fsync(int fd)
{
    return fails_fd(FAULTS_SYNC, fd) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return fails_fd(FAULTS_SYNC, fd) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t size)
{
    return fails_fd(FAULTS_TRUNCATE, fd) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

int posix_fallocate(int fd, off_t at, off_t size)
{
    if (fails_fd(FAULTS_ALLOCATE, fd))
        return errno;
    return syscall(SYS_fallocate, fd, 0, at, size) == 0 ? 0 : errno;
}

int rename(const char *from, const char *to)
{
    return fails(FAULTS_RENAME, to) ? -1
                                    : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
    return fails(FAULTS_RENAME, to)
               ? -1
               : (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
}

int unlinkat(int folder, const char *path, int flags)
{
    char parent[512] = "", whole[1024];
    if (folder != AT_FDCWD && faults)
        path_of(folder, parent);
    snprintf(whole, sizeof whole, "%s%s%s", parent, parent[0] ? "/" : "", path);
    return fails(FAULTS_UNLINK, whole) ? -1 : (int)syscall(SYS_unlinkat, folder, path, flags);
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdir(const char *path, mode_t mode)
{
    return fails(FAULTS_MKDIR, path) ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

static int faulty_open(const char *path, int flags, mode_t mode)
{
    bool makes = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
    if (makes && fails(FAULTS_OPEN, path))
        return -1;
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return faulty_open(path, flags, mode);
}

int mkostemp(char *pattern, int flags)
{
    int (*real)(char *, int) = (int (*)(char *, int))dlsym(RTLD_NEXT, "mkostemp");
    return fails(FAULTS_OPEN, pattern) ? -1 : real(pattern, flags);
}

/* The names that programs built for large files call. */
ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at)
    __attribute__((alias("pwrite")));
int ftruncate64(int fd, off64_t size) __attribute__((alias("ftruncate")));
int posix_fallocate64(int fd, off64_t at, off64_t size) __attribute__((alias("posix_fallocate")));
int open64(const char *path, int flags, ...) __attribute__((alias("open")));
int mkostemp64(char *pattern, int flags) __attribute__((alias("mkostemp")));
