#include "memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

bool memory_mul(size_t a, size_t b, size_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}

size_t memory_aligned(size_t bytes)
{
    const size_t mask = MEMORY_ALIGN_BYTES - 1;
    return (bytes + mask) & ~mask;
}

void *memory_new(size_t count, size_t size, struct err *e)
{
    size_t bytes;
    if (!memory_mul(count, size, &bytes) || bytes > PTRDIFF_MAX - MEMORY_ALIGN_BYTES) {
        err_no_memory(e);
        return NULL;
    }
    /* aligned_alloc wants a multiple of the alignment; kernels may then read a whole last vector.
     */
    bytes = bytes ? memory_aligned(bytes) : MEMORY_ALIGN_BYTES;
    void *block = aligned_alloc(MEMORY_ALIGN_BYTES, bytes);
    if (!block) {
        err_no_memory(e);
        return NULL;
    }
    return memset(block, 0, bytes);
}
