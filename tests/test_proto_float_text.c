/* Floats as text: what is written reads back, and is no longer than it must be. */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "float_text.h"
#include "harness.h"
#include "rng.h"

static float of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The obvious way. */
static void plain_text(float value, char *text)
{
    int digits = fabsf(value) < FLT_MIN ? 1 : FLT_DIG;
    do
        snprintf(text, FLOAT_TEXT_BYTES, "%.*g", digits, (double)value);
    while (digits++ < FLT_DECIMAL_DIG &&
           (strtof(text, NULL) != value || (float)strtod(text, NULL) != value));
}

static void check(float value)
{
    char text[FLOAT_TEXT_BYTES], plain[FLOAT_TEXT_BYTES];
    size_t length = float_text(value, text);
    ck_assert_uint_eq(length, strlen(text));
    const float back = strtof(text, NULL), narrowed = (float)strtod(text, NULL);
    ck_assert_msg(memcmp(&back, &value, sizeof back) == 0, "%s is not %.9g", text, (double)value);
    ck_assert_msg(memcmp(&narrowed, &value, sizeof back) == 0, "%s as a double is not %.9g", text,
                  (double)value);
    plain_text(value, plain);
    ck_assert_msg(length <= strlen(plain), "%s is longer than %s", text, plain);
}

static void check_text(float value, const char *expected)
{
    char text[FLOAT_TEXT_BYTES];
    float_text(value, text);
    ck_assert_str_eq(text, expected);
}

START_TEST(the_form_is_that_of_printf)
{
    check_text(0, "0");
    check_text(-0.0f, "-0");
    check_text(1, "1");
    check_text(-2.5f, "-2.5");
    check_text(.1f, "0.1");
    check_text(100, "100");
    check_text(123456, "123456");
    check_text(1000000, "1e+06");
    check_text(1234567, "1234567");
    check_text(16777216, "16777216");
    check_text(1e9f, "1e+09");
    check_text(.0001f, "0.0001");
    check_text(.00001f, "1e-05");
    check_text(.66524096f, "0.66524094");
    check_text(1.0f / 3, "0.33333334");
    check_text(FLT_MAX, "3.4028235e+38");
    check_text(FLT_MIN, "1.1754944e-38");
    check_text(-FLT_EPSILON, "-1.1920929e-07");
    check_text(of_bits(1), "1e-45");
    check_text(of_bits(0x007fffff), "1.1754942e-38");
}
END_TEST

START_TEST(values_of_every_size_read_back)
{
    struct cnn_rng rng;
    cnn_rng_init(&rng, 7, 0);
    for (int i = 0; i < 400000; i++) {
        const float value = of_bits((uint32_t)cnn_rng_next(&rng));
        if (isfinite(value))
            check(value);
    }
}
END_TEST

START_TEST(scores_read_back)
{
    struct cnn_rng rng;
    cnn_rng_init(&rng, 8, 0);
    for (int i = 0; i < 400000; i++)
        check(cnn_rng_uniform(&rng, 0, 1));
}
END_TEST

/* Powers of two, where the distance to the next float changes, and of ten, where digits do. */
START_TEST(values_at_the_edges_read_back)
{
    for (uint32_t exponent = 0; exponent < 255; exponent++)
        for (int32_t beside = -3; beside <= 3; beside++) {
            const float value = of_bits((exponent << 23) + (uint32_t)beside);
            if (isfinite(value))
                check(value);
        }
    for (int power = -45; power <= 38; power++)
        for (int digit = 1; digit <= 9; digit++) {
            char text[32];
            snprintf(text, sizeof text, "%de%d", digit, power);
            const float value = strtof(text, NULL);
            if (!isfinite(value))
                continue;
            check(value);
            check(nextafterf(value, INFINITY) < INFINITY ? nextafterf(value, INFINITY) : value);
            check(nextafterf(value, 0));
        }
}
END_TEST

TEST_PROGRAM("proto float text", the_form_is_that_of_printf, values_of_every_size_read_back,
             scores_read_back, values_at_the_edges_read_back)
