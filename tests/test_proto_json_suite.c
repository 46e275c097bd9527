/* The strict reader on every kind of JSON and of what only looks like it. */
#include <cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "exact.h"
#include "harness.h"
#include "json_read.h"
#include "json_suite.h"
#include "tensor_lift.h"

static struct err e;

static bool parses(const char *text, size_t size)
{
    char *copy = exact_copy(text, size);
    cJSON *json = json_parse(copy, size, &e);
    bool ok = json != NULL;
    ck_assert_int_eq(json_check(copy, size, &(struct err){0}), ok);
    json_free(json);
    free(copy);
    return ok;
}

START_TEST(documents_are_taken_or_refused_as_the_suite_says)
{
    for (size_t i = 0; i < JSON_SUITE_COUNT; i++) {
        const struct json_case *c = &json_suite[i];
        ck_assert_msg(parses(c->text, c->size) == c->taken, "%s: %s", c->name, e.detail);
    }
}
END_TEST

/* As a value of a larger document, and where an array of numbers is read by itself. */
static void check_inside(const struct json_case *c)
{
    static const char *const names[] = {"inputs", NULL};
    static const size_t numbers_max[] = {100};
    static const struct tensor_lift lift = {names, numbers_max, 10};
    struct tensor_list list;
    struct buf text = {0};
    buf_str(&text, "{\"a\":1,\"inputs\":");
    buf_add(&text, c->text, c->size);
    buf_str(&text, "}");
    ck_assert_msg(parses(text.data, text.size) == c->taken, "%s: %s", c->name, e.detail);
    cJSON *json = tensor_lift(text.data, text.size, &lift, &list, &e);
    ck_assert_msg(!json || c->taken, "%s", c->name);
    json_free(json);
    tensor_list_clear(&list);
    buf_clear(&text);
}

START_TEST(what_is_no_value_is_none_inside_a_document)
{
    for (size_t i = 0; i < JSON_SUITE_COUNT; i++)
        check_inside(&json_suite[i]);
}
END_TEST

START_TEST(brackets_without_end_are_refused)
{
    static char text[500000];
    static const char *const pieces[] = {"[", "{\"\":", "[{\"\":", "[[],"};
    for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
        for (size_t i = 0; i < sizeof text; i++)
            text[i] = pieces[p][i % strlen(pieces[p])];
        ck_assert(!parses(text, sizeof text));
        ck_assert_msg(strstr(e.detail, "nested deeper than"), "%s", e.detail);
    }
}
END_TEST

TEST_PROGRAM("proto json_suite", documents_are_taken_or_refused_as_the_suite_says,
             what_is_no_value_is_none_inside_a_document, brackets_without_end_are_refused)
