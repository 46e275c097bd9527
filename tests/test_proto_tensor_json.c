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
#include "rng.h"
#include "tensor_lift.h"

/* The document's tree with the array of "inputs" in *tensor; NULL when it is refused. */
static cJSON *lift_bytes(const char *text, size_t size, size_t count_max, struct tensor *tensor,
                         struct err *e)
{
    static const char *const names[] = {"inputs", NULL};
    const struct tensor_lift lift = {names, &count_max, 1};
    struct tensor_list list;
    char *copy = exact_copy(text, size);
    *e = (struct err){0};
    cJSON *json = tensor_lift(copy, size, &lift, &list, e);
    ck_assert_int_eq(e->code == ERR_NONE, json != NULL);
    *tensor = list.count ? list.items[0] : (struct tensor){0};
    free(list.items);
    free(copy);
    return json;
}

static void lifts(const char *text, struct tensor *tensor, const char *expected)
{
    struct err e;
    cJSON *json = lift_bytes(text, strlen(text), 1000, tensor, &e);
    ck_assert_msg(json != NULL, "%s: %s", text, e.detail);
    char *rest = cJSON_PrintUnformatted(json);
    ck_assert_str_eq(rest, expected);
    cJSON_free(rest);
    cJSON_Delete(json);
}

static void refused(const char *text, const char *field, const char *detail)
{
    struct tensor tensor;
    struct err e;
    ck_assert_msg(!lift_bytes(text, strlen(text), 1000, &tensor, &e), "%s", text);
    ck_assert_int_eq(e.code, ERR_INVALID);
    ck_assert_str_eq(e.detail, detail);
    ck_assert_str_eq(e.field, field);
}

START_TEST(test_nested_numbers_become_a_tensor)
{
    struct tensor t;
    lifts(" { \"a\" : 1 , \"inputs\" : [ [ [1,2,3] , [4,5,6] ] ] , \"b\":\"]\"} ", &t,
          "{\"a\":1,\"inputs\":0,\"b\":\"]\"}");
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
    lifts("{\"inputs\":[0,-1.5,2e3,1E-2]}", &t, "{\"inputs\":0}");
    ck_assert_int_eq(t.rank, 1);
    ck_assert_uint_eq(t.dims[0], 4);
    ck_assert(t.data[0] == 0 && t.data[1] == -1.5f && t.data[2] == 2000 && t.data[3] == 0.01f);
    tensor_clear(&t);
    lifts("{\"inputs\":[[[[[[7]]]]]]}", &t, "{\"inputs\":0}");
    ck_assert_int_eq(t.rank, 6);
    ck_assert_uint_eq(t.count, 1);
    tensor_clear(&t);
}
END_TEST

START_TEST(test_other_documents_are_left_alone)
{
    static const char *const texts[] = {"{}",
                                        "[1,2]",
                                        "{\"inputs\":{\"image\":\"aGk=\"}}",
                                        "{\"inputs\":null}",
                                        "{\"x\":[\"inputs\",[1]]}",
                                        "{\"x\":\"\\\"inputs\\\":[1]\"}",
                                        "{\"input\":[1],\"inputsx\":[2]}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct tensor t;
        lifts(texts[i], &t, texts[i]);
        ck_assert_ptr_null(t.data);
    }
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
    refused("{\"inputs\":[1,{}]}", "inputs[1]", "expected a number at inputs[1], got an object");
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
    lifts("{\"inputs\":[3.4028234e38,1e-99999999999999999999,-0]}", &t, "{\"inputs\":0}");
    ck_assert(t.data[0] == 3.40282347e38f && t.data[1] == 0 && signbit(t.data[2]));
    tensor_clear(&t);
}
END_TEST

START_TEST(test_numbers_past_the_limit_are_refused)
{
    struct tensor t;
    struct err e;
    static const char text[] = "{\"inputs\":[[1,2,3],[4,5,6]]}";
    cJSON_Delete(lift_bytes(text, strlen(text), 6, &t, &e));
    ck_assert_uint_eq(t.count, 6);
    tensor_clear(&t);
    ck_assert(!lift_bytes(text, strlen(text), 5, &t, &e));
    ck_assert_int_eq(e.code, ERR_TOO_LARGE);
    ck_assert_str_eq(e.detail, "more than 5 numbers in inputs");
}
END_TEST

START_TEST(test_a_million_numbers_are_read)
{
    enum { ROWS = 1000, COLUMNS = 1000 };
    struct buf text = {0};
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
    cJSON *json = lift_bytes(text.data, text.size, ROWS * COLUMNS, &t, &e);
    ck_assert_msg(json != NULL, "%s", e.detail);
    ck_assert_uint_eq(t.dims[0], ROWS);
    ck_assert_uint_eq(t.dims[1], COLUMNS);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        if (t.data[i] != (float)((i / COLUMNS) ^ (i % COLUMNS)) + 0.5f)
            ck_abort_msg("number %d is %g", i, (double)t.data[i]);
    tensor_clear(&t);
    cJSON_Delete(json);
    buf_clear(&text);
}
END_TEST

START_TEST(test_truncation_anywhere_is_an_error)
{
    static const char text[] = "{\"a\":\"\\\"x\",\"inputs\":[[1.5e1,-2],[0.25,4]],\"b\":[1,{}]}";
    for (size_t size = 0; size <= strlen(text); size++) {
        struct tensor t;
        struct err e;
        cJSON *json = lift_bytes(text, size, 10, &t, &e);
        ck_assert_int_eq(json != NULL, size == strlen(text));
        tensor_clear(&t);
        cJSON_Delete(json);
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
        struct err e;
        size_t size = cnn_rng_below(&rng, 2) ? strlen(text) : 0;
        for (uint32_t n = cnn_rng_below(&rng, 40); n > 0; n--)
            text[size++] = alphabet[cnn_rng_below(&rng, sizeof alphabet - 1)];
        cJSON *json = lift_bytes(text, size, 100, &t, &e);
        if (t.data) {
            size_t product = 1;
            for (int d = 0; d < t.rank; d++)
                product *= t.dims[d];
            ck_assert_uint_eq(product, t.count);
        }
        tensor_clear(&t);
        cJSON_Delete(json);
    }
}
END_TEST

TEST_PROGRAM("proto tensor_json", test_nested_numbers_become_a_tensor,
             test_flat_numbers_become_a_tensor, test_other_documents_are_left_alone,

             test_ragged_arrays_are_refused_with_their_index,
             test_what_is_no_number_is_refused_by_name,
             test_numbers_that_overflow_a_float_are_refused,
             test_numbers_past_the_limit_are_refused, test_a_million_numbers_are_read,
             test_truncation_anywhere_is_an_error, test_random_bytes_are_refused_or_read)
