/* In which settings requests differ. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "job_compare.h"

static void expect_settings(const char *const *texts, int count, const char *expected)
{
    struct buf out = {0};
    struct json_writer w;
    struct err e;
    jw_begin(&w, &out);
    ck_assert_msg(job_compare_write(&w, texts, count, &e), "%s", e.detail);
    ck_assert_str_eq(buf_text(&out), expected);
    buf_clear(&out);
}

#define EXPECT(expected, ...)                           \
    expect_settings((const char *const[]){__VA_ARGS__}, \
                    (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)), expected)

START_TEST(equal_requests_differ_in_nothing)
{
    EXPECT("[]", "{}", "{}");
    EXPECT("[]", "{\"a\":1,\"b\":{\"c\":[1,2]}}", "{\"b\":{\"c\":[1,2]},\"a\":1}");
}
END_TEST

START_TEST(differences_are_named_by_their_path)
{
    EXPECT("[{\"name\":\"lr\",\"values\":[0.1,0.01]}]", "{\"lr\":0.1,\"k\":3}",
           "{\"lr\":0.01,\"k\":3}");
    EXPECT("[{\"name\":\"optimizer.lr\",\"values\":[1,1,2]}]", "{\"optimizer\":{\"lr\":1}}",
           "{\"optimizer\":{\"lr\":1}}", "{\"optimizer\":{\"lr\":2}}");
    EXPECT("[{\"name\":\"a.layers[1].k\",\"values\":[3,5]}]",
           "{\"a\":{\"layers\":[{\"k\":1},{\"k\":3}]}}",
           "{\"a\":{\"layers\":[{\"k\":1},{\"k\":5}]}}");
}
END_TEST

START_TEST(what_is_absent_is_null)
{
    EXPECT("[{\"name\":\"a\",\"values\":[1,null]},{\"name\":\"b\",\"values\":[null,\"x\"]}]",
           "{\"a\":1}", "{\"b\":\"x\"}");
    EXPECT("[{\"name\":\"l[1].k\",\"values\":[null,2]}]", "{\"l\":[{\"k\":1}]}",
           "{\"l\":[{\"k\":1},{\"k\":2}]}");
    EXPECT("[{\"name\":\"o.a\",\"values\":[null,1]}]", "{}", "{\"o\":{\"a\":1}}");
}
END_TEST

START_TEST(values_of_different_kinds_stand_whole)
{
    EXPECT("[{\"name\":\"arch\",\"values\":[\"lenet\",{\"layers\":[]}]}]", "{\"arch\":\"lenet\"}",
           "{\"arch\":{\"layers\":[]}}");
    EXPECT("[{\"name\":\"w\",\"values\":[[1,2],[1,3]]}]", "{\"w\":[1,2]}", "{\"w\":[1,3]}");
    EXPECT("[{\"name\":\"w\",\"values\":[null,[1]]}]", "{\"w\":null}", "{\"w\":[1]}");
}
END_TEST

START_TEST(a_broken_document_is_refused)
{
    static const char *const texts[] = {"{}", "{"};
    struct buf out = {0};
    struct json_writer w;
    struct err e;
    jw_begin(&w, &out);
    ck_assert(!job_compare_write(&w, texts, 2, &e));
    buf_clear(&out);
}
END_TEST

TEST_PROGRAM("proto_job_compare", equal_requests_differ_in_nothing,
             differences_are_named_by_their_path, what_is_absent_is_null,
             values_of_different_kinds_stand_whole, a_broken_document_is_refused)
