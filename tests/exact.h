/* exact.h - bytes in an allocation of just their size, so that AddressSanitizer sees a reader that
 * goes past the end. */
#ifndef STRIDED_TESTS_EXACT_H
#define STRIDED_TESTS_EXACT_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

static inline char *exact_copy(const void *bytes, size_t size)
{
    char *copy = malloc(size ? size : 1);
    if (!copy)
        ck_abort_msg("out of memory");
    if (size)
        memcpy(copy, bytes, size);
    return copy;
}

#endif
