/* guarded.h - buffers flush against an inaccessible page, so that a kernel that reads or writes
 * past one faults. */
#ifndef STRIDED_TESTS_GUARDED_H
#define STRIDED_TESTS_GUARDED_H

#include <check.h>
#include <math.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* Where a buffer touches the inaccessible page. */
enum edge { EDGE_FRONT, EDGE_BEHIND, EDGE_COUNT };

struct buffer {
    union {
        float *data;
        uint8_t *bytes; /* of buffer_of_bytes */
    };
    size_t count;
    void *pages;
    size_t pages_bytes;
};

/* `bytes` between inaccessible pages, flush against one of them. */
static inline void *guarded_new(void **pages, size_t *pages_bytes, size_t bytes, enum edge edge)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t inside = (bytes / page + 1) * page;
    *pages_bytes = inside + 2 * page;
    *pages = mmap(NULL, *pages_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(*pages, MAP_FAILED);
    char *first = (char *)*pages + page;
    ck_assert_int_eq(mprotect(first, inside, PROT_READ | PROT_WRITE), 0);
    return edge == EDGE_FRONT ? first : first + inside - bytes;
}

static inline struct buffer buffer_new(size_t count, enum edge edge)
{
    struct buffer b = {.count = count};
    b.data = (float *)guarded_new(&b.pages, &b.pages_bytes, count * sizeof(float), edge);
    return b;
}

static inline struct buffer buffer_of_bytes(size_t count, enum edge edge)
{
    struct buffer b = {.count = count};
    b.bytes = (uint8_t *)guarded_new(&b.pages, &b.pages_bytes, count, edge);
    return b;
}

static inline void buffer_free(struct buffer *b)
{
    munmap(b->pages, b->pages_bytes);
}

static inline void fill(struct buffer *b, float value)
{
    for (size_t i = 0; i < b->count; i++)
        b->data[i] = value;
}

/* Uniform in [-1, 1). */
static inline void fill_random(struct buffer *b, uint32_t seed)
{
    uint32_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < b->count; i++) {
        state = state * 1664525u + 1013904223u;
        b->data[i] = (float)(state >> 8) / (1 << 23) - 1;
    }
}

static inline struct buffer buffer_random(size_t count, enum edge edge, uint32_t seed)
{
    struct buffer b = buffer_new(count, edge);
    fill_random(&b, seed);
    return b;
}

static inline struct buffer buffer_filled(size_t count, enum edge edge, float value)
{
    struct buffer b = buffer_new(count, edge);
    fill(&b, value);
    return b;
}

/* Sums of `terms` products of numbers in [-1, 1): rounding errors add up like a random walk, and
 * grow with the sum itself; `unit` is their size. */
static inline void check_within(const struct buffer *got, const struct buffer *want, double unit,
                                double terms, const char *table, const char *what)
{
    for (size_t i = 0; i < want->count; i++) {
        const double difference = fabs((double)got->data[i] - (double)want->data[i]);
        const double bound = unit * (1 + sqrt(terms) + fabs((double)want->data[i]));
        /* A passing ck_assert is a write to check's pipe: not for each float. */
        if (!(difference <= bound))
            ck_abort_msg("%s %s[%zu] is %.9g, expected %.9g", table, what, i, (double)got->data[i],
                         (double)want->data[i]);
    }
}

static inline void check_close(const struct buffer *got, const struct buffer *want, double terms,
                               const char *table, const char *what)
{
    check_within(got, want, 1e-6, terms, table, what);
}

#endif
