/* span.h - blocks of memory that live for a while, placed into one arena. */
#ifndef STRIDED_SPAN_H
#define STRIDED_SPAN_H

#include <stdbool.h>
#include <stddef.h>

struct span {
    size_t bytes;
    int from, to;  /* the first and the last moment at which it holds something */
    size_t offset; /* in the arena, aligned to MEMORY_ALIGN_BYTES; set by spans_place */
};

/* Places every block so that no two that live at one moment share a byte, the largest first, each
 * at the lowest offset that is free for all its life. Returns the bytes of the arena. `order` is
 * scratch for as many numbers. Sizes must add up to less than SIZE_MAX. */
size_t spans_place(struct span *spans, int count, int *order);

#endif
