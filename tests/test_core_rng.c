#include <math.h>
#include <stdlib.h>

#include "harness.h"
#include "rng.h"

/* First outputs of the authors' xoshiro256++ from state 1, 2, 3, 4. */
START_TEST(next_follows_published_sequence)
{
    static const uint64_t expected[] = {
        41943041,
        58720359,
        3588806011781223,
        3591011842654386,
        9228616714210784205u,
        9973669472204895162u,
        14011001112246962877u,
        12406186145184390807u,
        15849039046786891736u,
        10450023813501588000u,
    };
    struct cnn_rng rng = {{1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        ck_assert_uint_eq(cnn_rng_next(&rng), expected[i]);
}
END_TEST

START_TEST(same_seed_and_stream_repeat)
{
    struct cnn_rng a, b;
    cnn_rng_init(&a, 7, 3);
    cnn_rng_init(&b, 7, 3);
    for (int i = 0; i < 100; i++)
        ck_assert_uint_eq(cnn_rng_next(&a), cnn_rng_next(&b));
}
END_TEST

START_TEST(neighbouring_seeds_and_streams_differ)
{
    enum { SIDE = 32 };
    uint64_t first[SIDE * SIDE];
    for (int seed = 0; seed < SIDE; seed++) {
        for (int stream = 0; stream < SIDE; stream++) {
            struct cnn_rng rng;
            cnn_rng_init(&rng, (uint64_t)seed, (uint64_t)stream);
            first[seed * SIDE + stream] = cnn_rng_next(&rng);
        }
    }
    for (int i = 0; i < SIDE * SIDE; i++) {
        for (int j = 0; j < i; j++)
            ck_assert_uint_ne(first[i], first[j]);
    }
}
END_TEST

START_TEST(mix_depends_on_order)
{
    ck_assert_uint_ne(cnn_rng_mix(1, 2), cnn_rng_mix(2, 1));
    ck_assert_uint_ne(cnn_rng_mix(0, 0), 0);
}
END_TEST

START_TEST(below_is_uniform_and_below)
{
    enum { BOUND = 7, DRAWS = 70000 };
    int counts[BOUND] = {0};
    struct cnn_rng rng;
    cnn_rng_init(&rng, 1, 0);
    for (int i = 0; i < DRAWS; i++) {
        uint32_t value = cnn_rng_below(&rng, BOUND);
        if (value >= BOUND) /* not ck_assert: passing ones cost a message each */
            ck_abort_msg("%u is not below %d", value, BOUND);
        counts[value]++;
    }
    for (int value = 0; value < BOUND; value++) /* sd is 93 */
        ck_assert_int_lt(abs(counts[value] - DRAWS / BOUND), 450);
}
END_TEST

/* Without a second draw, 2^32 values would fall on 3 * 2^30 places: twice on each third one. */
START_TEST(below_is_unbiased_where_bounds_do_not_divide)
{
    enum { DRAWS = 30000 };
    struct cnn_rng rng;
    int thirds = 0;
    cnn_rng_init(&rng, 1, 1);
    for (int i = 0; i < DRAWS; i++)
        thirds += cnn_rng_below(&rng, 3u << 30) % 3 == 0;
    ck_assert_int_gt(thirds, 9600); /* 10000, deviation 82; with the bias 15000 */
    ck_assert_int_lt(thirds, 10400);
}
END_TEST

START_TEST(below_one_is_zero_and_large_bounds_are_reached)
{
    struct cnn_rng rng;
    cnn_rng_init(&rng, 1, 0);
    uint32_t largest = 0;
    for (int i = 0; i < 1000; i++) {
        ck_assert_uint_eq(cnn_rng_below(&rng, 1), 0);
        uint32_t value = cnn_rng_below(&rng, UINT32_MAX);
        largest = value > largest ? value : largest;
    }
    ck_assert_uint_gt(largest, UINT32_MAX / 100u * 98u);
}
END_TEST

START_TEST(uniform_stays_in_range_with_its_mean)
{
    struct cnn_rng rng;
    cnn_rng_init(&rng, 2, 0);
    double sum = 0;
    for (int i = 0; i < 100000; i++) {
        float value = cnn_rng_uniform(&rng, -1, 3);
        if (!(value >= -1 && value < 3))
            ck_abort_msg("%g is not in [-1,3)", (double)value);
        sum += value;
    }
    ck_assert_double_eq_tol(sum / 100000, 1, 0.02); /* sd of the mean is .0037 */
}
END_TEST

START_TEST(uniform_never_rounds_up_to_high)
{
    struct cnn_rng rng;
    cnn_rng_init(&rng, 3, 0);
    const float low = 1, high = nextafterf(nextafterf(1, 2), 2); /* two floats fit */
    for (int i = 0; i < 1000; i++) {
        float value = cnn_rng_uniform(&rng, low, high);
        ck_assert(value >= low && value < high);
    }
}
END_TEST

START_TEST(normal_has_mean_0_and_deviation_1)
{
    enum { DRAWS = 100000 };
    struct cnn_rng rng;
    cnn_rng_init(&rng, 4, 0);
    double sum = 0, squares = 0;
    int within = 0;
    for (int i = 0; i < DRAWS; i++) {
        double value = cnn_rng_normal(&rng);
        sum += value;
        squares += value * value;
        within += fabs(value) < 1;
    }
    ck_assert_double_eq_tol(sum / DRAWS, 0, 0.015);
    ck_assert_double_eq_tol(squares / DRAWS, 1, 0.025);
    ck_assert_double_eq_tol((double)within / DRAWS, 0.6827, 0.01);
}
END_TEST

START_TEST(shuffle_permutes_evenly)
{
    enum { COUNT = 5, DRAWS = 50000 };
    int counts[COUNT][COUNT] = {0};
    struct cnn_rng rng;
    cnn_rng_init(&rng, 5, 0);
    for (int i = 0; i < DRAWS; i++) {
        uint32_t items[COUNT] = {0, 1, 2, 3, 4}, seen = 0;
        cnn_rng_shuffle(&rng, items, COUNT);
        for (int place = 0; place < COUNT; place++) {
            seen |= 1u << items[place];
            counts[place][items[place]]++;
        }
        ck_assert_uint_eq(seen, (1u << COUNT) - 1);
    }
    for (int place = 0; place < COUNT; place++) {
        for (int item = 0; item < COUNT; item++) /* sd is 89 */
            ck_assert_int_lt(abs(counts[place][item] - DRAWS / COUNT), 450);
    }
}
END_TEST

TEST_PROGRAM("core_rng", next_follows_published_sequence, same_seed_and_stream_repeat,
             neighbouring_seeds_and_streams_differ, mix_depends_on_order,
             below_is_uniform_and_below, below_is_unbiased_where_bounds_do_not_divide,
             below_one_is_zero_and_large_bounds_are_reached, uniform_stays_in_range_with_its_mean,
             uniform_never_rounds_up_to_high, normal_has_mean_0_and_deviation_1,
             shuffle_permutes_evenly)
