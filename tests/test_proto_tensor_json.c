/* Number arrays lifted out of JSON, and numbers rounded to floats. */
#include <cJSON.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exact.h"
#include "harness.h"
#include "json_read.h"
#include "number.h"
#include "rng.h"
#include "tensor_json.h"

static bool lift_bytes(const char *text, size_t size, size_t count_max, struct tensor *tensor,
                       struct buf *rest, struct err *e)
{
    char *copy = exact_copy(text, size);
    *rest = (struct buf){0};
    *e = (struct err){0};
    bool ok = tensor_json_lift(copy, size, "inputs", count_max, tensor, rest, e);
    ck_assert_int_eq(e->code == ERR_NONE, ok);
    if (!ok)
        ck_assert_ptr_null(tensor->data);
    free(copy);
    return ok;
}

static void lifts(const char *text, struct tensor *tensor, const char *expected_rest)
{
    struct buf rest;
    struct err e;
    ck_assert_msg(lift_bytes(text, strlen(text), 1000, tensor, &rest, &e), "%s", e.detail);
    ck_assert_str_eq(buf_text(&rest), expected_rest);
    buf_clear(&rest);
}

static void refused(const char *text, const char *field, const char *detail)
{
    struct tensor tensor;
    struct buf rest;
    struct err e;
    ck_assert_msg(!lift_bytes(text, strlen(text), 1000, &tensor, &rest, &e), "%s", text);
    ck_assert_int_eq(e.code, ERR_INVALID);
    ck_assert_str_eq(e.detail, detail);
    ck_assert_str_eq(e.field, field);
    buf_clear(&rest);
}

START_TEST(test_nested_numbers_become_a_tensor)
{
    struct tensor t;
    lifts(" { \"a\" : 1 , \"inputs\" : [ [ [1,2,3] , [4,5,6] ] ] , \"b\":\"]\"} ", &t,
          " { \"a\" : 1 , \"inputs\" : null , \"b\":\"]\"} ");
    ck_assert_int_eq(t.rank, 3);
    ck_assert_uint_eq(t.dims[0], 1);
    ck_assert_uint_eq(t.dims[1], 2);
    ck_assert_uint_eq(t.dims[2], 3);
    ck_assert_uint_eq(t.count, 6);
    for (int i = 0; i < 6; i++)
        ck_assert(t.data[i] == (float)(i + 1));
    tensor_clear(&t);
    ck_assert_ptr_null(t.data);
}
END_TEST

START_TEST(test_flat_numbers_become_a_tensor)
{
    struct tensor t;
    lifts("{\"inputs\":[0,-1.5,2e3,1E-2]}", &t, "{\"inputs\":null}");
    ck_assert_int_eq(t.rank, 1);
    ck_assert_uint_eq(t.dims[0], 4);
    ck_assert(t.data[0] == 0 && t.data[1] == -1.5f && t.data[2] == 2000 && t.data[3] == 0.01f);
    tensor_clear(&t);
    lifts("{\"inputs\":[[[[[[7]]]]]]}", &t, "{\"inputs\":null}");
    ck_assert_int_eq(t.rank, 6);
    ck_assert_uint_eq(t.count, 1);
    tensor_clear(&t);
}
END_TEST

/* What is not an array under the key, or no object at all, is left for json_parse to judge. */
START_TEST(test_other_documents_are_left_alone)
{
    static const char *const texts[] = {"{}",
                                        "[1,2]",
                                        "",
                                        "{\"inputs\":{\"image\":\"aGk=\"}}",
                                        "{\"inputs\":null}",
                                        "{\"x\":{\"inputs\":[1]}}",
                                        "{\"x\":[\"inputs\",[1]]}",
                                        "{\"x\":\"\\\"inputs\\\":[1]\"}",
                                        "{\"inputs\"",
                                        "{\"inputs\":",
                                        "{\"x\":\"",
                                        "{\"x\":\"\\",
                                        "{\"x\":[[",
                                        "{\"inputs\" [1]}",
                                        "{inputs:[1]}",
                                        "{\"input\":[1],\"inputsx\":[2]}",
                                        "{\"a\":1]",
                                        "{,",
                                        "{\"a\":}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct tensor t;
        lifts(texts[i], &t, texts[i]);
        ck_assert_ptr_null(t.data);
    }
}
END_TEST

START_TEST(test_a_second_array_is_still_a_duplicate_key)
{
    struct tensor t;
    struct buf rest;
    struct err e;
    static const char text[] = "{\"inputs\":[1],\"inputs\":[2]}";
    ck_assert(lift_bytes(text, strlen(text), 10, &t, &rest, &e));
    ck_assert(!json_check(rest.data, rest.size, &e));
    ck_assert_msg(strstr(e.detail, "duplicate key 'inputs'") != NULL, "%s", e.detail);
    tensor_clear(&t);
    buf_clear(&rest);
}
END_TEST

START_TEST(test_ragged_arrays_are_refused_with_their_index)
{
    refused("{\"inputs\":[[1,2],[3]]}", "inputs[1]",
            "ragged array at inputs[1]: 1 numbers, expected 2");
    refused("{\"inputs\":[[[1,2],[3,4]],[[5,6],[7,8,9]]]}", "inputs[1][1]",
            "ragged array at inputs[1][1]: 3 numbers, expected 2");
    refused("{\"inputs\":[[[1],[2]],[[3]]]}", "inputs[1]",
            "ragged array at inputs[1]: 1 arrays, expected 2");
    refused("{\"inputs\":[1,[2]]}", "inputs[1]", "expected a number at inputs[1], got an array");
    refused("{\"inputs\":[[1],2]}", "inputs[1]", "expected an array at inputs[1], got a number");
    refused("{\"inputs\":[[[1]],[2]]}", "inputs[1][0]",
            "expected an array at inputs[1][0], got a number");
    refused("{\"inputs\":[]}", "inputs", "empty array at inputs");
    refused("{\"inputs\":[[1],[ ]]}", "inputs[1]", "empty array at inputs[1]");
    refused("{\"inputs\":[[[[[[[1]]]]]]]}", "inputs", "array nested deeper than 6 in inputs");
}
END_TEST

START_TEST(test_what_is_no_number_is_refused_by_name)
{
    refused("{\"inputs\":[1,\"2\"]}", "inputs[1]", "expected a number at inputs[1], got a string");
    refused("{\"inputs\":[[1,true]]}", "inputs[0][1]",
            "expected a number at inputs[0][1], got a boolean");
    refused("{\"inputs\":[null]}", "inputs[0]", "expected a number at inputs[0], got null");
    refused("{\"inputs\":[{}]}", "inputs[0]", "expected a number at inputs[0], got an object");
    refused("{\"inputs\":[NaN]}", "inputs[0]",
            "unexpected 'N' at inputs[0], byte 11, expected a number");
    refused("{\"inputs\":[-Infinity]}", "inputs[0]",
            "unexpected '-' at inputs[0], byte 11, expected a number");
    refused("{\"inputs\":[01]}", "inputs[1]",
            "unexpected '1' at inputs[1], byte 12, expected ',' or ']'");
    refused("{\"inputs\":[1.]}", "inputs[0]",
            "unexpected '1' at inputs[0], byte 11, expected a number");
    refused("{\"inputs\":[1,]}", "inputs[1]",
            "unexpected ']' at inputs[1], byte 13, expected a number");
    refused("{\"inputs\":[1 2]}", "inputs[1]",
            "unexpected '2' at inputs[1], byte 13, expected ',' or ']'");
    refused("{\"inputs\":[[1}]}", "inputs[0][1]",
            "unexpected '}' at inputs[0][1], byte 13, expected ',' or ']'");
    refused("{\"inputs\":[1\x01]}", "inputs[1]",
            "unexpected byte 0x01 at inputs[1], byte 12, expected ',' or ']'");
}
END_TEST

START_TEST(test_numbers_that_overflow_a_float_are_refused)
{
    struct tensor t;
    refused("{\"inputs\":[0,1e39]}", "inputs[1]", "number 1e39 at inputs[1] overflows a float");
    refused("{\"inputs\":[-3.5e38]}", "inputs[0]", "number -3.5e38 at inputs[0] overflows a float");
    refused("{\"inputs\":[1e99999999999999999999]}", "inputs[0]",
            "number 1e99999999999999999999 at inputs[0] overflows a float");
    lifts("{\"inputs\":[3.4028234e38,1e-99999999999999999999,-0]}", &t, "{\"inputs\":null}");
    ck_assert(t.data[0] == 3.40282347e38f && t.data[1] == 0 && signbit(t.data[2]));
    tensor_clear(&t);
}
END_TEST

START_TEST(test_numbers_past_the_limit_are_refused)
{
    struct tensor t;
    struct buf rest;
    struct err e;
    static const char text[] = "{\"inputs\":[[1,2,3],[4,5,6]]}";
    ck_assert(lift_bytes(text, strlen(text), 6, &t, &rest, &e));
    tensor_clear(&t);
    buf_clear(&rest);
    ck_assert(!lift_bytes(text, strlen(text), 5, &t, &rest, &e));
    ck_assert_int_eq(e.code, ERR_TOO_LARGE);
    ck_assert_str_eq(e.detail, "more than 5 numbers in inputs");
    buf_clear(&rest);
}
END_TEST

START_TEST(test_a_million_numbers_are_read)
{
    enum { ROWS = 1000, COLUMNS = 1000 };
    struct buf text = {0}, rest;
    struct tensor t;
    struct err e;
    buf_str(&text, "{\"inputs\":[");
    for (int row = 0; row < ROWS; row++) {
        buf_str(&text, row ? ",[" : "[");
        for (int column = 0; column < COLUMNS; column++)
            buf_fmt(&text, "%s%d.5", column ? "," : "", row ^ column);
        buf_str(&text, "]");
    }
    buf_str(&text, "]}");
    ck_assert_msg(lift_bytes(text.data, text.size, ROWS * COLUMNS, &t, &rest, &e), "%s", e.detail);
    ck_assert_uint_eq(t.dims[0], ROWS);
    ck_assert_uint_eq(t.dims[1], COLUMNS);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        if (t.data[i] != (float)((i / COLUMNS) ^ (i % COLUMNS)) + 0.5f)
            ck_abort_msg("number %d is %g", i, (double)t.data[i]);
    tensor_clear(&t);
    buf_clear(&rest);
    buf_clear(&text);
}
END_TEST

START_TEST(test_truncation_anywhere_is_an_error)
{
    static const char text[] = "{\"a\":\"\\\"x\",\"inputs\":[[1.5e1,-2],[0.25,4]],\"b\":[1,{}]}";
    for (size_t size = 0; size <= strlen(text); size++) {
        struct tensor t;
        struct buf rest;
        struct err e;
        bool ok = lift_bytes(text, size, 10, &t, &rest, &e) && json_check(rest.data, rest.size, &e);
        ck_assert_int_eq(ok, size == strlen(text));
        tensor_clear(&t);
        buf_clear(&rest);
    }
}
END_TEST

START_TEST(test_random_bytes_are_refused_or_read)
{
    static const char alphabet[] = "{}[]\",:\\ 0123456789.-+eEtrufalsn\"inputs\":[[[[";
    struct cnn_rng rng;
    cnn_rng_init(&rng, 3, 0);
    for (int round = 0; round < 50000; round++) {
        char text[64] = "{\"inputs\":[";
        struct tensor t;
        struct buf rest;
        struct err e;
        size_t size = cnn_rng_below(&rng, 2) ? strlen(text) : 0;
        for (uint32_t n = cnn_rng_below(&rng, 40); n > 0; n--)
            text[size++] = alphabet[cnn_rng_below(&rng, sizeof alphabet - 1)];
        if (lift_bytes(text, size, 100, &t, &rest, &e) && t.data) {
            size_t product = 1;
            for (int d = 0; d < t.rank; d++)
                product *= t.dims[d];
            ck_assert_uint_eq(product, t.count);
        }
        tensor_clear(&t);
        buf_clear(&rest);
    }
}
END_TEST

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

START_TEST(test_rounding_is_that_of_strtof_on_random_numbers)
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
START_TEST(test_rounding_is_right_beside_the_middle_of_two_floats)
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
START_TEST(test_rounding_is_right_beside_a_middle_of_few_digits)
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

START_TEST(test_long_numbers_are_rounded_right)
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
    same_as_strtof("1.1754943508222875e-38"); /* the smallest normal float and around it */
    same_as_strtof("1.1754942807573643e-38");
}
END_TEST

START_TEST(test_number_grammar_is_that_of_json)
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
START_TEST(test_lists_stop_where_the_grammar_does)
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

TEST_PROGRAM(
    "proto_tensor_json", test_nested_numbers_become_a_tensor, test_flat_numbers_become_a_tensor,
    test_other_documents_are_left_alone, test_a_second_array_is_still_a_duplicate_key,
    test_ragged_arrays_are_refused_with_their_index, test_what_is_no_number_is_refused_by_name,
    test_numbers_that_overflow_a_float_are_refused, test_numbers_past_the_limit_are_refused,
    test_a_million_numbers_are_read, test_truncation_anywhere_is_an_error,
    test_random_bytes_are_refused_or_read, test_rounding_is_that_of_strtof_on_random_numbers,
    test_rounding_is_right_beside_the_middle_of_two_floats,
    test_rounding_is_right_beside_a_middle_of_few_digits, test_long_numbers_are_rounded_right,
    test_number_grammar_is_that_of_json, test_lists_stop_where_the_grammar_does)
