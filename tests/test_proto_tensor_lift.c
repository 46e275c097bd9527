/* Number arrays lifted out of documents by the names of their members. */
#include "harness.h"

#include <cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_read.h"
#include "tensor_lift.h"

static struct err e;
static struct tensor_list list;
static char *rest; /* the document without its arrays */

static bool lift_bytes(const char *text, size_t size, size_t count_max, int list_max)
{
    static const char *const names[] = {"inputs", "points", NULL};
    const size_t numbers_max[] = {2 * count_max, count_max};
    const struct tensor_lift lift = {names, numbers_max, list_max};
    char *exact = malloc(size ? size : 1); /* so that a sanitizer sees each byte past it */
    if (size)
        memcpy(exact, text, size);
    cJSON *json = tensor_lift(exact, size, &lift, &list, &e);
    cJSON_free(rest);
    rest = json ? cJSON_PrintUnformatted(json) : NULL;
    cJSON_Delete(json);
    free(exact);
    return rest != NULL;
}

static bool lift(const char *text)
{
    return lift_bytes(text, strlen(text), 100, 4);
}

static void check_lifted(const char *text, const char *expected_rest, int expected_count)
{
    ck_assert_msg(lift(text), "%s: %s", text, e.detail);
    ck_assert_str_eq(rest, expected_rest);
    ck_assert_int_eq(list.count, expected_count);
}

static void check_refused(const char *text, const char *field, const char *detail)
{
    ck_assert_msg(!lift(text), "%s", text);
    ck_assert_str_eq(e.field, field);
    ck_assert_msg(strstr(e.detail, detail), "'%s' lacks '%s'", e.detail, detail);
    ck_assert_int_eq(list.count, 0);
}

START_TEST(arrays_are_lifted_wherever_their_names_stand)
{
    check_lifted("{\"inputs\":[{\"points\":[[1,2],[3,4]]},{\"points\": [5] ,\"a\":\"\\\"[\"}]}",
                 "{\"inputs\":[{\"points\":0},{\"points\":1,\"a\":\"\\\"[\"}]}", 2);
    ck_assert_int_eq(list.items[0].rank, 2);
    harness_close(list.items[0].data, (float[]){1, 2, 3, 4}, 4, 0, "first");
    harness_close(list.items[1].data, (float[]){5}, 1, 0, "second");
    tensor_list_clear(&list);
    check_lifted(" { \"a\":[1,2],\"inputs\":[[1],[2]]}", "{\"a\":[1,2],\"inputs\":0}", 1);
    tensor_list_clear(&list);
    check_lifted("[{\"points\":[1]},[],{}]", "[{\"points\":0},[],{}]", 1);
    tensor_list_clear(&list);
    check_lifted("{\"inputs\":{\"points\":\"x\"},\"points\":null}",
                 "{\"inputs\":{\"points\":\"x\"},\"points\":null}", 0);
}
END_TEST

START_TEST(a_list_of_objects_is_no_array_of_numbers)
{
    check_lifted("{\"inputs\":[ {}]}", "{\"inputs\":[{}]}", 0);
    check_lifted("{\"inputs\":[[{}]]}", "{\"inputs\":[[{}]]}", 0);
    check_refused("{\"inputs\":[1,{}]}", "inputs[1]", "expected a number");
}
END_TEST

START_TEST(errors_name_the_way)
{
    check_refused("{\"inputs\":[{},{\"points\":[[0,0,0],[1,NaN,2]]}]}", "inputs[1].points[1][1]",
                  "expected a number");
    check_refused("{\"a\":{\"points\":[[0,0,0],[1,2]]}}", "a.points[1]", "ragged");
    check_refused("{\"points\":[]}", "points", "empty array");
    check_refused("{\"points\":[1e99]}", "points[0]", "overflows");
}
END_TEST

START_TEST(nothing_in_the_rest_looks_like_an_index)
{
    check_refused("{\"inputs\":[{\"points\":0}]}", "inputs[0].points", "got a number");
    check_refused("{\"points\":-1}", "points", "got a number");
    check_refused("{\"po\\u0069nts\":0}", "points", "got a number");
    check_lifted("{\"po\\u0069nts\":[0]}", "{\"points\":0}", 1);
    tensor_list_clear(&list);
}
END_TEST

START_TEST(numbers_and_arrays_are_bounded)
{
    const char *text = "{\"inputs\":[{\"points\":[1,2]},{\"points\":[3,4]}]}";
    ck_assert(lift_bytes(text, strlen(text), 4, 2));
    tensor_list_clear(&list);
    ck_assert(!lift_bytes(text, strlen(text), 3, 2));
    ck_assert_int_eq(e.code, ERR_TOO_LARGE);
    ck_assert(lift_bytes("{\"inputs\":[1,2,3,4]}", 20, 2, 2)); /* names have bounds of their own */
    tensor_list_clear(&list);
    ck_assert(!lift_bytes(text, strlen(text), 4, 1));
    ck_assert_int_eq(e.code, ERR_TOO_LARGE);
}
END_TEST

START_TEST(a_document_cut_at_any_byte_is_refused)
{
    const char *text = "{\"inputs\":[{\"points\":[[1,2]]},{\"a\":\"b\\\"c\",\"points\":[5]}]}";
    for (size_t size = 0; size < strlen(text); size++)
        ck_assert_msg(!lift_bytes(text, size, 100, 4), "%.*s", (int)size, text);
}
END_TEST

START_TEST(deep_documents_are_refused)
{
    enum { DEPTH = 100000 };
    char *text = malloc(DEPTH);
    for (int open = 0; open < 2; open++) {
        for (int i = 0; i < DEPTH; i++)
            text[i] = open ? '[' : "{\"a\":"[i % 5];
        ck_assert(!lift_bytes(text, DEPTH, 100, 4));
        ck_assert_msg(strstr(e.detail, "nested deeper"), "%s", e.detail);
    }
    free(text);
    check_refused("{\"points\":[[[[[[[1]]]]]]]}", "points", "nested deeper than 6");
}
END_TEST

/* The way to an array may be longer than an error's field. */
START_TEST(long_names_on_the_way_are_cut)
{
    char text[4096] = "", name[200];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    for (int i = 0; i < 8; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "{\"%s\":", name);
    strcat(text, "{\"points\":[x]}");
    ck_assert(!lift(text));
    ck_assert_int_eq(strncmp(e.field, "nnnn", 4), 0);
}
END_TEST

TEST_PROGRAM("proto tensor_lift", arrays_are_lifted_wherever_their_names_stand,
             a_list_of_objects_is_no_array_of_numbers, errors_name_the_way,
             nothing_in_the_rest_looks_like_an_index, numbers_and_arrays_are_bounded,
             a_document_cut_at_any_byte_is_refused, deep_documents_are_refused,
             long_names_on_the_way_are_cut)
