/* Numbers of JSON to floats: rounded as strtof rounds them, in lists and alone. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "exact.h"
#include "harness.h"
#include "number.h"
#include "rng.h"

/* number_read and number_list_read must give the bits of strtof, at the end of the text and with
 * more behind it, where numbers are read by words. (An assertion costs a system call even when it
 * holds: not for a million numbers.) */
static void same_as_strtof(const char *text)
{
    static const char behind[] = " ,2.5,3.5,4.5,5.5,6.5,7.5,8.5,9.5,0.5,1.5,2.5";
    size_t size = strlen(text), count;
    float value = NAN, list[2] = {NAN, NAN}, expected = strtof(text, NULL);
    char *alone = exact_copy(text, size), *longer = malloc(size + sizeof behind);
    memcpy(longer, text, size);
    memcpy(longer + size, behind, sizeof behind);
    if (number_read(alone, size, &value) != size)
        ck_abort_msg("%s was not read whole", text);
    if (memcmp(&value, &expected, sizeof value) != 0)
        ck_abort_msg("%s: %a, expected %a", text, (double)value, (double)expected);
    size_t end = number_list_read(longer, size + sizeof behind - 1, list, 2, &count);
    if (isinf(expected) ? count != 0 : count != 2 || end != size + 5 || list[1] != 2.5f)
        ck_abort_msg("%s: %zu numbers and %zu bytes of a list", text, count, end);
    if (!isinf(expected) && memcmp(list, &expected, sizeof expected) != 0)
        ck_abort_msg("%s: %a in a list, expected %a", text, (double)list[0], (double)expected);
    free(alone);
    free(longer);
}

START_TEST(rounding_is_that_of_strtof_on_random_numbers)
{
    struct cnn_rng rng;
    cnn_rng_init(&rng, 4, 0);
    char text[128];
    for (int round = 0; round < 300000; round++) {
        uint32_t bits = (uint32_t)cnn_rng_next(&rng);
        float f;
        memcpy(&f, &bits, sizeof f);
        if (!isfinite(f))
            continue;
        int digits = 1 + (int)cnn_rng_below(&rng, 20);
        snprintf(text, sizeof text, "%.*g", digits, (double)f);
        if (strncmp(text, "nan", 3) != 0)
            same_as_strtof(text);
        snprintf(text, sizeof text, "%.*f", digits, (double)cnn_rng_uniform(&rng, -300, 300));
        same_as_strtof(text);
        snprintf(text, sizeof text, "%llue%d", (unsigned long long)cnn_rng_next(&rng),
                 (int)cnn_rng_below(&rng, 90) - 65);
        same_as_strtof(text);
    }
}
END_TEST

/* The middle between two floats, exactly and a little beside it, where a double in between rounds
 * twice. */
START_TEST(rounding_is_right_beside_the_middle_of_two_floats)
{
    struct cnn_rng rng;
    cnn_rng_init(&rng, 5, 0);
    for (int round = 0; round < 20000; round++) {
        uint32_t bits = (uint32_t)cnn_rng_below(&rng, 0x7f000000);
        float low, high;
        memcpy(&low, &bits, sizeof low);
        high = nextafterf(low, INFINITY);
        char text[400];
        int size = snprintf(text, sizeof text, "%.160e", ((double)low + (double)high) / 2);
        same_as_strtof(text);
        char *point = strchr(text, 'e');
        if (!point || size >= 300)
            ck_abort_msg("%s", text);
        point[-1] = '1'; /* the 160th digit: far below a double's last bit */
        same_as_strtof(text);
    }
}
END_TEST

/* The same with as few digits as clients send, cut off and one more in the last place: that close
 * to the middle the digits allow. */
START_TEST(rounding_is_right_beside_a_middle_of_few_digits)
{
    struct cnn_rng rng;
    cnn_rng_init(&rng, 6, 0);
    for (int round = 0; round < 200000; round++) {
        float low = cnn_rng_uniform(&rng, -1, 1) * (float)(1 << cnn_rng_below(&rng, 24));
        double middle = ((double)low + (double)nextafterf(low, INFINITY)) / 2;
        char text[64];
        int digits = 1 + (int)cnn_rng_below(&rng, 24);
        int size = snprintf(text, sizeof text, "%.*f", digits, middle);
        same_as_strtof(text);
        if (text[size - 1] < '9')
            text[size - 1]++;
        else
            text[size - 1]--;
        same_as_strtof(text);
    }
}
END_TEST

START_TEST(long_numbers_are_rounded_right)
{
    struct buf text = {0};
    static const char *const tails[] = {"", "1", "0000001", "e-400", "1e-400", "e400"};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        text.size = 0;
        buf_str(&text, "16777217."); /* the middle of 2^24 and 2^24 + 2 */
        for (int k = 0; k < 5000; k++)
            buf_str(&text, "0");
        buf_str(&text, tails[i]);
        same_as_strtof(buf_text(&text));
        text.size = 0;
        buf_str(&text, "0.");
        for (int k = 0; k < 400; k++)
            buf_str(&text, "0");
        buf_str(&text, "16777217");
        buf_str(&text, tails[i]);
        same_as_strtof(buf_text(&text));
    }
    buf_clear(&text);
    same_as_strtof("340282356779733661637539395458142568447"); /* just below overflow to infinity */
    same_as_strtof("340282356779733661637539395458142568448");
    same_as_strtof("7.006492321624085e-46"); /* half of the smallest float */
    same_as_strtof("7.006492321624086e-46");
    same_as_strtof("1.0509738482436128e-45"); /* half way between the two smallest, and beside it */
    same_as_strtof("1.0509738482436127e-45");
    same_as_strtof(
        "9999999999999999999e-66"); /* the largest mantissa, at the ends of what is computed */
    same_as_strtof("9999999999999999999e-65");
    same_as_strtof("1e44");
    same_as_strtof("0.0000000001e44");
    same_as_strtof("3.4028235677973366e38");
    same_as_strtof("3.4028235677973362e38");
    same_as_strtof("-0e999");
    same_as_strtof("1.1754943508222875e-38"); /* the smallest normal float and around it */
    same_as_strtof("1.1754942807573643e-38");
}
END_TEST

START_TEST(number_grammar_is_that_of_json)
{
    static const char *const none[] = {"",   "-",   "+1",  ".5",  "1.",  "1.e3", "1e",
                                       "e5", "1e+", "nan", "inf", "-.1", "0x"};
    float value;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        size_t read = number_read(none[i], strlen(none[i]), &value);
        ck_assert_msg(read == (strcmp(none[i], "0x") == 0), "%s", none[i]);
    }
    ck_assert_uint_eq(number_read("12,", 3, &value), 2);
    ck_assert_uint_eq(number_read("007", 3, &value), 1);
}
END_TEST

/* Each begins a long list, so that words are read, and a short one, where there is no room. */
START_TEST(lists_stop_where_the_grammar_does)
{
    static const struct {
        const char *text;
        size_t count, bytes;
    } lists[] = {
        {"", 0, 0},
        {"x", 0, 0},
        {",1", 0, 0},
        {"1", 1, 1},
        {"1]", 1, 1},
        {"1 ,\t2\r\n, 3 ]", 3, 10},
        {"1,,2", 1, 1},
        {"1,]", 1, 1},
        {"1 2", 1, 1},
        {"1\v,2", 1, 1},
        {"1,02", 2, 3},
        {"1,-", 1, 1},
        {"1,-02", 2, 4},
        {"1,+2", 1, 1},
        {"1,.5", 1, 1},
        {"1,2.", 1, 1},
        {"1,2.,", 1, 1},
        {"1,2.x", 1, 1},
        {"1,0.5.5", 2, 5},
        {"1,1e", 1, 1},
        {"1,1e5,2", 3, 7},
        {"1,0.5E-1", 2, 8},
        {"1,12345678", 2, 10},
        {"1,123456789.5", 2, 13},
        {"1,0.12345678", 2, 12},
        {"1,0.000000000000000000000001", 2, 28},
        {"1,0.0000000000000000000000001", 2, 29},
        {"1,999999.9999999999999999999999", 2, 31},
        {"1,1e39", 1, 1},
        {"1,NaN", 1, 1},
        {"0x10", 1, 1},
        {"1,1:2", 2, 3},
        {"1,1/2", 2, 3},
    };
    float values[8];
    size_t count;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        char longer[128];
        memset(longer, ' ', sizeof longer);
        memcpy(longer, lists[i].text, strlen(lists[i].text));
        char *exact = exact_copy(lists[i].text, strlen(lists[i].text));
        size_t bytes = number_list_read(exact, strlen(lists[i].text), values, 8, &count);
        ck_assert_msg(count == lists[i].count && bytes == lists[i].bytes, "%s", lists[i].text);
        bytes = number_list_read(longer, sizeof longer, values, 8, &count);
        ck_assert_msg(count == lists[i].count && bytes == lists[i].bytes, "%s", lists[i].text);
        free(exact);
    }
    ck_assert_uint_eq(number_list_read("1,2,3", 5, values, 2, &count), 3);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(number_list_read("1,2,3", 5, values, 0, &count), 0);
    ck_assert_uint_eq(count, 0);
}
END_TEST

TEST_PROGRAM("proto number", rounding_is_that_of_strtof_on_random_numbers,
             rounding_is_right_beside_the_middle_of_two_floats,
             rounding_is_right_beside_a_middle_of_few_digits, long_numbers_are_rounded_right,
             number_grammar_is_that_of_json, lists_stop_where_the_grammar_does)
