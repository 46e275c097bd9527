#include "span.h"

#include "memory.h"

/* Indexes by falling size; equal ones in the order given. Insertion: hundreds of blocks at most. */
static void order_by_size(const struct span *spans, int count, int *order)
{
    for (int i = 0; i < count; i++) {
        int at = i;
        for (; at > 0 && spans[order[at - 1]].bytes < spans[i].bytes; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

static bool live_together(const struct span *a, const struct span *b)
{
    return a->from <= b->to && b->from <= a->to;
}

/* The lowest offset free of what is placed: order[0..placed), by rising offset. */
static size_t lowest_free(const struct span *spans, const int *order, int placed,
                          const struct span *block)
{
    size_t offset = 0;
    for (int i = 0; i < placed; i++) {
        const struct span *other = &spans[order[i]];
        if (!live_together(other, block))
            continue;
        if (offset + memory_aligned(block->bytes) <= other->offset)
            break;
        const size_t end = other->offset + memory_aligned(other->bytes);
        offset = end > offset ? end : offset;
    }
    return offset;
}

size_t spans_place(struct span *spans, int count, int *order)
{
    size_t bytes = 0;
    order_by_size(spans, count, order);
    for (int i = 0; i < count; i++) {
        const int next = order[i];
        struct span *block = &spans[next];
        block->offset = lowest_free(spans, order, i, block);
        const size_t end = block->offset + memory_aligned(block->bytes);
        bytes = end > bytes ? end : bytes;
        int at = i; /* the placed ones stay ordered by offset */
        for (; at > 0 && spans[order[at - 1]].offset > block->offset; at--)
            order[at] = order[at - 1];
        order[at] = next;
    }
    return bytes;
}
