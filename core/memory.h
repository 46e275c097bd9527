/* memory.h - aligned, overflow-checked allocation for tensors. */
#ifndef STRIDED_MEMORY_H
#define STRIDED_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

enum { MEMORY_ALIGN_BYTES = 64 };

/* count * size bytes, zeroed, aligned to MEMORY_ALIGN_BYTES; free with free(). Never NULL for
 * count 0. On overflow or out of memory: NULL and *e is ERR_NO_MEMORY. Any thread. */
void *memory_new(size_t count, size_t size, struct err *e);

/* The next multiple of MEMORY_ALIGN_BYTES: where the next piece of a block may begin. */
size_t memory_aligned(size_t bytes);

/* a * b into *product; false on overflow. */
bool memory_mul(size_t a, size_t b, size_t *product);

#endif
