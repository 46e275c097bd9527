/* The strict reader of JSON documents and the writer. */
#include <cJSON.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exact.h"
#include "harness.h"
#include "json_read.h"
#include "json_write.h"
#include "limits.h"
#include "name.h"
#include "rng.h"
#include "utf8.h"

static bool parses(const char *text, size_t size, struct err *e)
{
    char *copy = exact_copy(text, size);
    *e = (struct err){0};
    cJSON *json = json_parse(copy, size, e);
    bool ok = json != NULL;
    ck_assert_int_eq(json_check(copy, size, &(struct err){0}), ok);
    ck_assert_int_eq(e->code == ERR_NONE, ok);
    json_free(json);
    free(copy);
    return ok;
}

static void accepted(const char *text)
{
    struct err e;
    ck_assert_msg(parses(text, strlen(text), &e), "%s: %s", text, e.detail);
}

/* `why` must be part of the error text. */
static void refused_bytes(const char *text, size_t size, const char *why)
{
    struct err e;
    ck_assert_msg(!parses(text, size, &e), "%.60s was accepted", text);
    ck_assert_int_eq(e.code, ERR_INVALID);
    ck_assert_msg(strstr(e.detail, why) != NULL, "%.60s: '%s' lacks '%s'", text, e.detail, why);
}

static void refused(const char *text, const char *why)
{
    refused_bytes(text, strlen(text), why);
}

START_TEST(test_documents_of_rfc_8259_are_read)
{
    static const char *const texts[] = {"null",
                                        "true",
                                        "false",
                                        "0",
                                        "-0",
                                        "1.5e-3",
                                        "1E+2",
                                        "\"\"",
                                        "[]",
                                        "{}",
                                        " \t\r\n[ 1 , 2 ] ",
                                        "{\"a\":{\"b\":[{},[],null]},\"c\":\"\"}",
                                        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\"",
                                        "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f\"",
                                        "[1e308,-1.7976931348623157e308,1e-400]"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        accepted(texts[i]);
}
END_TEST

START_TEST(test_broken_grammar_is_refused_with_its_byte)
{
    refused("", "empty JSON document");
    refused("  ", "empty JSON document");
    refused("[1,]", "unexpected ']' at byte 3");
    refused("[1 2]", "unexpected '2' at byte 3");
    refused("{\"a\":1,}", "unexpected '}' at byte 7");
    refused("{a:1}", "unexpected 'a' at byte 1");
    refused("{'a':1}", "unexpected ''' at byte 1");
    refused("{\"a\" 1}", "unexpected '1' at byte 5");
    refused("{\"a\":}", "unexpected '}' at byte 5");
    refused("[1}", "unexpected '}' at byte 2");
    refused("{\"a\":1]", "unexpected ']' at byte 6");
    refused("[1", "ends at byte 2");
    refused("\"abc", "ends at byte 4");
    refused("nul", "ends at byte 3");
    refused("nulL", "unexpected 'L' at byte 3");
    refused("True", "unexpected 'T' at byte 0");
    refused("01", "unexpected '1' at byte 1");
    refused("+1", "unexpected '+' at byte 0");
    refused(".5", "unexpected '.' at byte 0");
    refused("1.", "ends at byte 2");
    refused("1.e5", "unexpected 'e' at byte 2");
    refused("1e", "ends at byte 2");
    refused("-", "ends at byte 1");
    refused("0x10", "unexpected 'x' at byte 1");
    refused("[1]// no", "unexpected '/' at byte 3");
    refused("/**/1", "unexpected '/' at byte 0");
    refused("\x0b"
            "1",
            "byte 0x0b at byte 0");
}
END_TEST

START_TEST(test_trailing_garbage_is_refused)
{
    refused("{} {}", "unexpected '{' at byte 3");
    refused("1 x", "expected the end");
    refused_bytes("{}\0", 3, "byte 0x00 at byte 2");
    refused("[]]", "unexpected ']' at byte 2");
}
END_TEST

START_TEST(test_numbers_that_overflow_or_are_none_are_refused)
{
    refused("[1e999]", "number 1e999 at byte 1 overflows");
    refused("-1e309", "overflows");
    refused("NaN", "unexpected 'N'");
    refused("[Infinity]", "unexpected 'I'");
    refused("[-Infinity]", "unexpected 'I'");
    accepted("1e-999");
}
END_TEST

/* cJSON reads 63 characters of a number and then stumbles over the rest. */
START_TEST(test_long_numbers_are_read_to_the_last_digit)
{
    char text[JSON_NUMBER_BYTES_MAX + 2] = "0.";
    struct err e;
    for (size_t size = 60; size <= JSON_NUMBER_BYTES_MAX; size++) {
        memset(text + 2, '0', size - 4);
        memcpy(text + size - 4, "12e9", 5);
        cJSON *json = json_parse(text, size, &e);
        ck_assert_msg(json && cJSON_IsNumber(json), "%s", e.detail);
        ck_assert(json->valuedouble == strtod(text, NULL));
        json_free(json);
    }
    memcpy(text, "[1,", 3);
    memset(text + 3, '2', 80);
    memcpy(text + 83, ",3]", 4);
    cJSON *json = json_parse(text, 86, &e);
    ck_assert_msg(json != NULL, "%s", e.detail);
    ck_assert(cJSON_GetArrayItem(json, 1)->valuedouble == strtod(text + 3, NULL));
    ck_assert(cJSON_GetArrayItem(json, 2)->valuedouble == 3);
    json_free(json);
    memset(text, '1', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    refused(text, "number of 1024 characters at byte 0 exceeds 1023");
}
END_TEST

START_TEST(test_other_encodings_are_refused)
{
    refused("\xef\xbb\xbf{}", "byte order mark");
    refused_bytes("{\0}\0", 4, "byte 0x00 at byte 1");
    refused_bytes("\xff\xfe{\0}\0", 6, "byte 0xff at byte 0");
    refused_bytes("\0{\0}", 4, "byte 0x00 at byte 0");
    refused("\"\xff\"", "invalid UTF-8 at byte 1");
    refused("\"ab\xc3\"", "invalid UTF-8 at byte 3");
    refused("\"\xc0\xaf\"", "invalid UTF-8 at byte 1");
    refused("\"\xed\xa0\x80\"", "invalid UTF-8 at byte 1");
    refused("\"\xf4\x90\x80\x80\"", "invalid UTF-8 at byte 1");
    refused("{\"\x80\":1}", "invalid UTF-8 at byte 2");
}
END_TEST

START_TEST(test_control_characters_in_strings_are_refused)
{
    refused_bytes("\"a\0b\"", 5, "control character 0x00 at byte 2");
    refused("\"a\nb\"", "control character 0x0a at byte 2");
    refused("\"\\x41\"", "unexpected 'x' at byte 2");
    refused("\"\\u12g4\"", "unexpected 'g' at byte 5");
}
END_TEST

/* A C string would end there: "digits\u0000x" must not be read as "digits". */
START_TEST(test_an_escaped_nul_is_a_character_that_no_name_has)
{
    struct err e;
    static const char text[] = "{\"a\\u0000b\":\"\\u0000\\u0000c\\u0000\"}";
    cJSON *json = json_parse(text, strlen(text), &e);
    ck_assert_msg(json != NULL, "%s", e.detail);
    ck_assert_str_eq(json->child->string, "a\001b");
    ck_assert_str_eq(json->child->valuestring, "\001\001c\001");
    ck_assert(!name_check("digits\001x", "model", &e) && !label_check("cat\001", &e));
    json_free(json);
}
END_TEST

START_TEST(test_lone_surrogates_are_refused)
{
    refused("\"\\ud800\"", "lone surrogate at byte 1");
    refused("\"\\udc00\"", "lone surrogate at byte 1");
    refused("\"\\ud800\\ud800\"", "lone surrogate at byte 1");
    refused("\"\\ud800x\"", "lone surrogate at byte 1");
    refused("\"\\udc00\\ud800\"", "lone surrogate at byte 1");
    accepted("\"\\udbff\\udfff\"");
}
END_TEST

START_TEST(test_depth_is_bounded)
{
    char text[2 * LIMIT_JSON_DEPTH + 3];
    memset(text, '[', LIMIT_JSON_DEPTH);
    memset(text + LIMIT_JSON_DEPTH, ']', LIMIT_JSON_DEPTH);
    text[2 * LIMIT_JSON_DEPTH] = '\0';
    accepted(text);
    memset(text, '[', LIMIT_JSON_DEPTH + 1);
    memset(text + LIMIT_JSON_DEPTH + 1, ']', LIMIT_JSON_DEPTH + 1);
    text[2 * LIMIT_JSON_DEPTH + 2] = '\0';
    refused(text, "nested deeper than 64 at byte 64");

    enum { DEEP = 250000 };
    char *deep = malloc(5 * DEEP);
    memset(deep, '[', DEEP);
    refused_bytes(deep, DEEP, "nested deeper than 64");
    for (int i = 0; i < DEEP; i++)
        memcpy(deep + 5 * i, "{\"a\":", 5);
    refused_bytes(deep, 5 * DEEP, "nested deeper than 64");
    free(deep);
}
END_TEST

/* RFC 8259 lets names repeat, and so does the scan; json_only does not. */
START_TEST(test_keys_may_repeat_but_those_that_are_known)
{
    static const char *const keys[] = {"a", "", "b", NULL};
    static const struct {
        const char *text, *detail;
    } repeats[] = {{"{\"a\":1,\"b\":2,\"a\":3}", "field 'a' is given twice"},
                   {"{\"a\":1,\"\\u0061\":3}", "field 'a' is given twice"},
                   {"{\"\":1,\"\":3}", "field '' is given twice"},
                   {"{\"c\":1,\"c\":2}", "unknown field 'c'"}};
    for (size_t i = 0; i < sizeof repeats / sizeof *repeats; i++) {
        struct err e;
        cJSON *json = json_parse(repeats[i].text, strlen(repeats[i].text), &e);
        ck_assert_msg(json != NULL, "%s", e.detail);
        ck_assert(!json_only(json, keys, &e));
        ck_assert_str_eq(e.detail, repeats[i].detail);
        json_free(json);
    }
}
END_TEST

START_TEST(test_many_keys_cost_no_more_than_few)
{
    struct buf text = {0};
    struct err e;
    buf_str(&text, "{");
    for (int i = 0; i < LIMIT_JSON_VALUES - 1; i++)
        buf_fmt(&text, "%s\"key%d\":0", i ? "," : "", i % 7);
    buf_str(&text, "}");
    ck_assert_msg(parses(text.data, text.size, &e), "%s", e.detail);
    text.size = 1;
    for (int i = 0; i < 1000000; i++)
        buf_fmt(&text, "%s\"k\":0", i ? "," : "");
    buf_str(&text, "}");
    refused_bytes(text.data, text.size, "more than 262144 values");
    buf_clear(&text);
}
END_TEST

START_TEST(test_values_are_bounded)
{
    struct buf text = {0};
    struct err e;
    for (int i = 0; i < LIMIT_JSON_VALUES; i++)
        buf_str(&text, i ? ",0" : "[0");
    buf_str(&text, "]");
    refused_bytes(text.data, text.size, "more than 262144 values");
    text.size -= 3;
    buf_str(&text, "]");
    ck_assert(json_check(text.data, text.size, &e));
    buf_clear(&text);
}
END_TEST

START_TEST(test_truncation_anywhere_is_refused)
{
    static const char text[] = "{\"a\":[1.5e3,true,null,\"x\\u00e9\\ud83d\\ude00\\n\xe2\x82\xac\"],"
                               "\"b\":{\"c\":[-0.25,{}]}}";
    accepted(text);
    for (size_t size = 0; size < sizeof text - 1; size++)
        refused_bytes(text, size, "");
}
END_TEST

static cJSON *document(const char *text)
{
    struct err e;
    cJSON *json = json_parse(text, strlen(text), &e);
    ck_assert_msg(json != NULL, "%s", e.detail);
    return json;
}

START_TEST(test_members_are_read_by_type_and_range)
{
    cJSON *json = document("{\"n\":7,\"x\":0.5,\"b\":true,\"s\":\"hi\",\"max\":9007199254740992,"
                           "\"c\":\"sgd\"}");
    static const char *const choices[] = {"adam", "sgd"};
    struct err e;
    int64_t n = 1, absent = 42, max = 0;
    double x = 0;
    bool b = false;
    const char *s = NULL;
    int choice = 0;
    ck_assert(json_get_int(json, "n", 0, 7, &n, &e) && n == 7);
    ck_assert(json_get_int(json, "none", 0, 1, &absent, &e) && absent == 42);
    ck_assert(json_get_int(json, "max", 0, INT64_MAX, &max, &e) && max == (int64_t)1 << 53);
    ck_assert(json_get_double(json, "x", 0, 1, &x, &e) && x == 0.5);
    ck_assert(json_get_bool(json, "b", &b, &e) && b);
    ck_assert(json_get_string(json, "s", &s, &e));
    ck_assert_str_eq(s, "hi");
    ck_assert(json_get_choice(json, "c", choices, 2, &choice, &e) && choice == 1);
    ck_assert(json_is_object(json, "body", &e));
    ck_assert_ptr_null(json_get(json, "N"));
    json_free(json);
}
END_TEST

static void int_refused(const char *text, const char *detail)
{
    cJSON *json = document(text);
    struct err e = {0};
    int64_t value = 5;
    ck_assert(!json_get_int(json, "epochs", 1, 100, &value, &e));
    ck_assert_int_eq(e.code, ERR_INVALID);
    ck_assert_str_eq(e.field, "epochs");
    ck_assert_str_eq(e.detail, detail);
    ck_assert_int_eq(value, 5);
    json_free(json);
}

START_TEST(test_wrong_members_say_what_was_expected_and_what_came)
{
    int_refused("{\"epochs\":0}", "expected an integer from 1 to 100, got 0");
    int_refused("{\"epochs\":101}", "expected an integer from 1 to 100, got 101");
    int_refused("{\"epochs\":3.5}", "expected an integer from 1 to 100, got 3.5");
    int_refused("{\"epochs\":1e300}", "expected an integer from 1 to 100, got 1e+300");
    int_refused("{\"epochs\":\"5\"}", "expected an integer from 1 to 100, got '5'");
    int_refused("{\"epochs\":null}", "expected an integer from 1 to 100, got null");
    int_refused("{\"epochs\":[5]}", "expected an integer from 1 to 100, got an array");
    int_refused("{\"epochs\":{}}", "expected an integer from 1 to 100, got an object");
    int_refused("{\"epochs\":true}", "expected an integer from 1 to 100, got true");

    static const char *const keys[] = {"epochs", NULL};
    static const char *const choices[] = {"best", "last", "none"};
    cJSON *json = document("{\"epoch\":\"x\\u0007\"}");
    struct err e = {0};
    double x;
    bool b;
    int choice;
    ck_assert(!json_only(json, keys, &e));
    ck_assert_str_eq(e.field, "epoch");
    ck_assert_str_eq(e.detail, "unknown field 'epoch'");
    ck_assert(!json_get_double(json, "epoch", 0, 1, &x, &e));
    ck_assert_str_eq(e.detail, "expected a number from 0 to 1, got 'x\\x07'");
    ck_assert(!json_get_bool(json, "epoch", &b, &e));
    ck_assert_str_eq(e.detail, "expected true or false, got 'x\\x07'");
    ck_assert(!json_get_choice(json, "epoch", choices, 3, &choice, &e));
    ck_assert_str_eq(e.detail, "expected 'best', 'last' or 'none', got 'x\\x07'");
    ck_assert(!json_is_object(json->child, "body", &e));
    ck_assert_str_eq(e.field, "body");
    json_free(json);
}
END_TEST

START_TEST(test_writer_places_commas_and_escapes)
{
    struct buf out = {0};
    struct json_writer w;
    jw_begin(&w, &out);
    jw_object(&w);
    jw_key(&w, "a\"b");
    jw_array(&w);
    jw_int(&w, -5);
    jw_bool(&w, true);
    jw_null(&w);
    jw_object(&w);
    jw_object_end(&w);
    jw_raw(&w, "[1]", 3);
    jw_array_end(&w);
    jw_key_string(&w, "s", "\"\\\b\f\n\r\t\x01\x7f\xc3\xa9");
    jw_key_string(&w, "bad", "x\xff\xc3y\xed\xa0\x80");
    jw_key_string(&w, "none", NULL);
    jw_key_double(&w, "nan", NAN);
    jw_key_double(&w, "inf", -INFINITY);
    jw_key_bool(&w, "f", false);
    jw_key_int(&w, "max", INT64_MAX);
    jw_object_end(&w);
    ck_assert_int_eq(w.depth, 0);
    ck_assert_str_eq(buf_text(&out),
                     "{\"a\\\"b\":[-5,true,null,{},[1]],"
                     "\"s\":\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\x7f\xc3\xa9\","
                     "\"bad\":\"x\xef\xbf\xbd\xef\xbf\xbdy\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\","
                     "\"none\":null,\"nan\":null,\"inf\":null,\"f\":false,"
                     "\"max\":9223372036854775807}");
    accepted(buf_text(&out));
    buf_clear(&out);
}
END_TEST

START_TEST(test_any_bytes_as_text_make_valid_json)
{
    struct cnn_rng rng;
    cnn_rng_init(&rng, 1, 0);
    for (int round = 0; round < 2000; round++) {
        char text[33] = "";
        struct buf out = {0};
        struct json_writer w;
        for (uint32_t i = 0, n = cnn_rng_below(&rng, 32); i < n; i++)
            text[i] = (char)(1 + cnn_rng_below(&rng, 255));
        jw_begin(&w, &out);
        jw_string(&w, text);
        accepted(buf_text(&out));
        buf_clear(&out);
    }
}
END_TEST

static void number_text(double value, const char *expected)
{
    struct buf out = {0};
    struct json_writer w;
    jw_begin(&w, &out);
    jw_double(&w, value);
    ck_assert_str_eq(buf_text(&out), expected);
    buf_clear(&out);
}

START_TEST(test_doubles_are_written_shortest)
{
    number_text(0, "0");
    number_text(0.1, "0.1");
    number_text(1.0 / 3, "0.3333333333333333");
    number_text(0.1 + 0.2, "0.30000000000000004");
    number_text(1e300, "1e+300");
    number_text(5e-324, "5e-324");
    number_text(123456789, "123456789");
}
END_TEST

START_TEST(test_numbers_read_back_the_same)
{
    struct cnn_rng rng;
    cnn_rng_init(&rng, 2, 0);
    for (int round = 0; round < 20000; round++) {
        uint64_t bits = cnn_rng_next(&rng);
        uint32_t half = (uint32_t)bits;
        double d;
        float f;
        memcpy(&d, &bits, sizeof d);
        memcpy(&f, &half, sizeof f);
        struct buf out = {0};
        struct json_writer w;
        jw_begin(&w, &out);
        jw_array(&w);
        jw_double(&w, d);
        jw_float(&w, f);
        jw_array_end(&w);
        cJSON *json = document(buf_text(&out));
        if (isfinite(d))
            ck_assert(json->child->valuedouble == d);
        if (isfinite(f))
            ck_assert((float)json->child->next->valuedouble == f);
        json_free(json);
        buf_clear(&out);
    }
}
END_TEST

START_TEST(test_names_are_whitelisted)
{
    static const char *const good[] = {"a", "Z9", "mnist-cnn", "v1.0_x", "a.b.c", "0"};
    static const char *const bad[] = {"",         ".",   "..",   "a..b", "-a",  "_a",
                                      ".a",       "a/b", "a\\b", "a b",  "a\n", "a%2e",
                                      "\xc3\xa9", "a:1", "../x", "a\x7f"};
    struct err e;
    char longest[66];
    memset(longest, 'n', sizeof longest);
    longest[64] = '\0';
    ck_assert(name_check(longest, "model", &e));
    longest[64] = 'n';
    longest[65] = '\0';
    ck_assert(!name_check(longest, "model", &e));
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert_msg(name_check(good[i], "model", &e), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_msg(!name_check(bad[i], "model", &e), "'%s' was accepted", bad[i]);
        ck_assert_int_eq(e.code, ERR_INVALID);
        ck_assert_str_eq(e.field, "model");
    }
    ck_assert(!name_check("x\r\ny", "dataset", &e));
    ck_assert_msg(strstr(e.detail, "invalid name 'x\\x0d\\x0ay'") != NULL, "%s", e.detail);
}
END_TEST

START_TEST(test_labels_are_utf8_without_control_characters)
{
    struct err e;
    char longest[LIMIT_LABEL_BYTES + 2];
    memset(longest, 'n', sizeof longest);
    longest[LIMIT_LABEL_BYTES + 1] = '\0';
    ck_assert(!label_check(longest, &e));
    longest[LIMIT_LABEL_BYTES] = '\0';
    ck_assert(label_check(longest, &e));
    ck_assert(label_check("=SUM(A1)", &e));
    ck_assert(label_check("caf\xc3\xa9 <b>", &e));
    ck_assert(!label_check("", &e));
    ck_assert(!label_check("a\nb", &e));
    ck_assert(!label_check("a\x1b[31m", &e));
    ck_assert(!label_check("\xc2\x9b", &e));
    ck_assert(!label_check("\xff", &e));
}
END_TEST

START_TEST(test_quotes_are_cut_at_whole_characters)
{
    char text[400], out[UTF8_QUOTE_BYTES];
    for (size_t i = 0; i < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    for (size_t first = 0; first < 4; first++) {
        memset(text, 'a', first * 2 + first % 2);
        utf8_quote(out, text + first % 2, sizeof text - first % 2);
        size_t size = strlen(out);
        ck_assert_uint_lt(size, UTF8_QUOTE_BYTES);
        ck_assert_str_eq(out + size - 3, "...");
        for (size_t at = 0, length; at < size; at += length) {
            length = utf8_next(out + at, size - at);
            ck_assert_uint_gt(length, 0);
        }
    }
    ck_assert_str_eq(utf8_quote(out, "a\0b\xff", 4), "a\\x00b\\xff");
}
END_TEST

TEST_PROGRAM("proto_json", test_documents_of_rfc_8259_are_read,
             test_broken_grammar_is_refused_with_its_byte, test_trailing_garbage_is_refused,
             test_numbers_that_overflow_or_are_none_are_refused, test_other_encodings_are_refused,
             test_control_characters_in_strings_are_refused, test_lone_surrogates_are_refused,
             test_depth_is_bounded, test_keys_may_repeat_but_those_that_are_known,
             test_many_keys_cost_no_more_than_few, test_long_numbers_are_read_to_the_last_digit,
             test_an_escaped_nul_is_a_character_that_no_name_has, test_values_are_bounded,
             test_truncation_anywhere_is_refused, test_members_are_read_by_type_and_range,
             test_wrong_members_say_what_was_expected_and_what_came,
             test_writer_places_commas_and_escapes, test_any_bytes_as_text_make_valid_json,
             test_doubles_are_written_shortest, test_numbers_read_back_the_same,
             test_names_are_whitelisted, test_labels_are_utf8_without_control_characters,
             test_quotes_are_cut_at_whole_characters)
