#include "harness.h"
#include "memory.h"
#include "rng.h"
#include "span.h"

START_TEST(blocks_that_never_meet_share_memory)
{
    struct span spans[] = {{.bytes = 640, .from = 0, .to = 1}, {.bytes = 640, .from = 2, .to = 3}};
    int order[2];
    ck_assert_uint_eq(spans_place(spans, 2, order), 640);
    ck_assert_uint_eq(spans[0].offset, spans[1].offset);
}
END_TEST

START_TEST(blocks_that_meet_in_one_moment_do_not)
{
    struct span spans[] = {{.bytes = 640, .from = 0, .to = 2}, {.bytes = 320, .from = 2, .to = 3}};
    int order[2];
    ck_assert_uint_eq(spans_place(spans, 2, order), 960);
}
END_TEST

/* A chain in which each block meets the next needs room for the two largest neighbours. */
START_TEST(a_chain_needs_two_buffers)
{
    enum { COUNT = 9 };
    struct span spans[COUNT];
    int order[COUNT];
    for (int i = 0; i < COUNT; i++)
        spans[i] = (struct span){.bytes = 6400, .from = i, .to = i + 1};
    ck_assert_uint_eq(spans_place(spans, COUNT, order), 2 * 6400);
}
END_TEST

static bool overlap(const struct span *a, const struct span *b)
{
    return a->bytes && b->bytes && a->offset < b->offset + b->bytes &&
           b->offset < a->offset + a->bytes;
}

START_TEST(no_two_live_blocks_share_a_byte)
{
    enum { COUNT = 60, TRIALS = 50 };
    for (uint64_t trial = 0; trial < TRIALS; trial++) {
        struct span spans[COUNT];
        int order[COUNT];
        struct cnn_rng rng;
        size_t total = 0;
        cnn_rng_init(&rng, 1, trial);
        for (int i = 0; i < COUNT; i++) {
            int from = (int)cnn_rng_below(&rng, 40);
            spans[i] = (struct span){.bytes = cnn_rng_below(&rng, 5000),
                                     .from = from,
                                     .to = from + (int)cnn_rng_below(&rng, 8)};
            total += spans[i].bytes;
        }
        const size_t bytes = spans_place(spans, COUNT, order);
        ck_assert_uint_lt(bytes, total);
        for (int i = 0; i < COUNT; i++) {
            ck_assert_uint_eq(spans[i].offset % MEMORY_ALIGN_BYTES, 0);
            ck_assert_uint_le(spans[i].offset + spans[i].bytes, bytes);
            for (int k = 0; k < i; k++)
                if (spans[i].from <= spans[k].to && spans[k].from <= spans[i].to)
                    ck_assert(!overlap(&spans[i], &spans[k]));
        }
    }
}
END_TEST

TEST_PROGRAM("core span", blocks_that_never_meet_share_memory,
             blocks_that_meet_in_one_moment_do_not, a_chain_needs_two_buffers,
             no_two_live_blocks_share_a_byte)
