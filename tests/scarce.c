/* A library for LD_PRELOAD, see scarce.h. glibc's own callers (strdup, fopen, ...) come through
 * here as well; what passes goes to glibc by the names that it keeps for that. */
#include "scarce.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static struct scarce *scarce; /* NULL: nothing to do */

__attribute__((constructor)) static void scarce_start(int argc, char **argv)
{
    const char *path = getenv("STRIDED_SCARCE");
    if (!path || argc < 2 || strcmp(argv[1], "serve") != 0)
        return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof *scarce, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    scarce = map == MAP_FAILED ? NULL : map;
}

static bool fails(void)
{
    if (!scarce || !scarce->armed)
        return false;
    uint32_t number = 1 + atomic_fetch_add(&scarce->seen, 1);
    if (number < scarce->from || number > scarce->until)
        return false;
    atomic_fetch_add(&scarce->failed, 1);
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return fails() ? NULL : __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __libc_memalign(alignment, size);
}

void *memalign(size_t alignment, size_t size)
{
    return fails() ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size)
{
    void *got = fails() ? NULL : __libc_memalign(alignment, size);
    if (!got)
        return ENOMEM;
    *result = got;
    return 0;
}
