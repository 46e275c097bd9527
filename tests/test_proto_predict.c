/* Every body of POST /predict to the same batch of inputs, and the wrong ones refused. */
#include "harness.h"

#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "limits.h"
#include "predict_body.h"

static struct err e;
static struct predict_batch batch;
static const struct preprocess plain = {.normalize = {.scale = 1}};
static const struct cnn_shape digit = {.c = 1, .size = {1, 2, 3}, .rank = 2};
static const float counting[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};

static bool decode_as(const struct cnn_shape *shape, const struct preprocess *pre,
                      struct predict_body body)
{
    char *exact =
        malloc(body.size ? body.size : 1); /* so that a sanitizer sees each byte past it */
    if (body.size)
        memcpy(exact, body.bytes, body.size);
    body.bytes = exact;
    bool ok = predict_body_decode(&body, shape, pre, &batch, &e);
    free(exact);
    return ok;
}

static bool decode(const char *type, const void *bytes, size_t size)
{
    return decode_as(&digit, &plain,
                     (struct predict_body){.content_type = type, .bytes = bytes, .size = size});
}

static bool decode_text(const char *type, const char *text)
{
    return decode(type, text, strlen(text));
}

/* The last batch is `count` samples of these values. */
static void check_batch(int count, const float *values)
{
    ck_assert_int_eq(batch.count, count);
    harness_close(batch.x, values, (size_t)count * 6, 0, "x");
    predict_batch_clear(&batch);
}

static void check_json(const char *text, int count)
{
    ck_assert_msg(decode_text("application/json", text), "%s: %s", text, e.detail);
    check_batch(count, counting);
}

static void check_refused(enum err_code code, const char *field, const char *detail)
{
    ck_assert_int_eq(e.code, code);
    ck_assert_str_eq(e.field, field);
    ck_assert_msg(strstr(e.detail, detail), "'%s' lacks '%s'", e.detail, detail);
    ck_assert_int_eq(batch.count, 0);
    ck_assert_ptr_null(batch.x);
}

START_TEST(json_numbers_nest_as_one_sample_or_a_batch)
{
    check_json("{\"inputs\":[0,1,2,3,4,5]}", 1);
    check_json("{\"inputs\":[[0,1,2],[3,4,5]]}", 1);
    check_json("{\"inputs\":[[[0,1,2],[3,4,5]]]}", 1);
    check_json("{\"inputs\":[[[[0,1,2],[3,4,5]]]]}", 1);
    check_json("{\"inputs\":[[0,1,2,3,4,5]]}", 1);
    check_json("{\"inputs\":[0,1,2,3,4,5,6,7,8,9,10,11]}", 2);
    check_json("{\"inputs\":[[0,1,2,3,4,5],[6,7,8,9,10,11]]}", 2);
    check_json("{\"inputs\":[[[0,1,2],[3,4,5]],[[6,7,8],[9,10,11]]]}", 2);
    check_json("{\"inputs\":[[[[0,1,2],[3,4,5]]],[[[6,7,8],[9,10,11]]]]}", 2);
    check_json(" \n{ \"inputs\" : [ 0, 1, 2, 3, 4, 5.0 ] } ", 1);
}
END_TEST

START_TEST(json_numbers_are_the_input_as_it_is)
{
    const struct preprocess pre = {.normalize = {.scale = 1.0f / 255}};
    const char *text = "{\"inputs\":[0,1,2,3,4,5]}";
    ck_assert(decode_as(&digit, &pre, (struct predict_body){.bytes = text, .size = strlen(text)}));
    check_batch(1, counting);
}
END_TEST

START_TEST(shapes_with_channels_and_depth_are_matched_whole)
{
    static const struct cnn_shape colour = {.c = 2, .size = {1, 1, 3}, .rank = 2};
    static const struct cnn_shape voxels = {.c = 1, .size = {2, 1, 3}, .rank = 3};
    static const struct cnn_shape features = {.c = 6, .size = {1, 1, 1}};
    static const struct {
        const struct cnn_shape *shape;
        const char *text;
        bool ok;
    } cases[] = {
        {&colour, "{\"inputs\":[[[0,1,2]],[[3,4,5]]]}", true},
        {&colour, "{\"inputs\":[[0,1,2],[3,4,5]]}", false},
        {&voxels, "{\"inputs\":[[[0,1,2]],[[3,4,5]]]}", true},
        {&voxels, "{\"inputs\":[[[[[0,1,2]],[[3,4,5]]]]]}", true},
        {&voxels, "{\"inputs\":[[0,1,2],[3,4,5]]}", false},
        {&features, "{\"inputs\":[0,1,2,3,4,5]}", true},
        {&features, "{\"inputs\":[[0,1,2,3,4,5]]}", true},
        {&features, "{\"inputs\":[[0,1,2],[3,4,5]]}", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool ok =
            decode_as(cases[i].shape, &plain,
                      (struct predict_body){.bytes = cases[i].text, .size = strlen(cases[i].text)});
        ck_assert_msg(ok == cases[i].ok, "case %zu", i);
        if (ok)
            check_batch(1, counting);
        else
            check_refused(ERR_INVALID, "inputs", "nesting does not match");
    }
}
END_TEST

START_TEST(json_of_the_wrong_size_says_both_numbers)
{
    ck_assert(!decode_text(NULL, "{\"inputs\":[0,1,2,3,4]}"));
    check_refused(ERR_INVALID, "inputs", "expected 6 numbers for [1,2,3], got 5");
    ck_assert(!decode_text(NULL, "{\"inputs\":[]}"));
    check_refused(ERR_INVALID, "inputs", "");
    ck_assert(!decode_text(NULL, "{\"inputs\":[[0,1],[2,3],[4,5]]}"));
    check_refused(ERR_INVALID, "inputs", "nesting does not match [1,2,3]");
    ck_assert(!decode_text(NULL, "{\"inputs\":[[0,1,2],[3,4]]}"));
    ck_assert_int_eq(e.code, ERR_INVALID);
}
END_TEST

START_TEST(json_that_is_not_a_request_is_refused)
{
    static const char *const bad[] = {
        "{}",
        "{\"inputs\":3}",
        "{\"inputs\":null}",
        "{\"inputs\":[1e999,1,2,3,4,5]}",
        "{\"inputs\":[0,1,2,3,4,\"5\"]}",
        "{\"inputs\":[0,1,2,3,4,5]",
        "{\"inputs\":[0,1,2,3,4,5]} x",
        "{\"inputs\":[0,1,2,3,4,5],\"inputs\":[0,1,2,3,4,5]}",
        "{\"inputs\":[0,1,2,3,4,5],\"epochs\":1}",
        "{\"inputs\":[0,1,2,3,4,5],\"image\":\"\"}",
        "{\"image\":7}",
        "{\"images\":[]}",
        "{\"images\":{}}",
        "[0,1,2,3,4,5]",
        "{\"a\":\"\\ud800\"}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_msg(!decode_text("application/json", bad[i]), "%s", bad[i]);
        ck_assert_msg(e.code == ERR_INVALID, "%s: %s", bad[i], e.detail);
        ck_assert_ptr_null(batch.x);
    }
    ck_assert(!decode_text("application/json", "nonsense"));
    ck_assert_int_eq(e.code, ERR_INVALID);
}
END_TEST

START_TEST(a_json_body_cut_at_any_byte_is_refused)
{
    const char *text = "{\"inputs\":[[0,1,2],[3,4,5]]}";
    for (size_t size = 0; size < strlen(text); size++) {
        ck_assert(!decode("application/json", text, size));
        ck_assert_int_eq(e.code, ERR_INVALID);
    }
}
END_TEST

/* Raw numbers */

START_TEST(raw_float32_is_the_input_as_it_is)
{
    ck_assert(decode("application/octet-stream", counting, 6 * sizeof(float)));
    check_batch(1, counting);
    ck_assert(decode(NULL, counting, 12 * sizeof(float)));
    check_batch(2, counting);
    float bad[6] = {0, 0, NAN, 0, 0, 0};
    ck_assert(!decode(NULL, bad, sizeof bad));
    check_refused(ERR_INVALID, "", "number 2 is not finite");
}
END_TEST

START_TEST(raw_uint8_goes_through_preprocessing)
{
    const struct preprocess pre = {.normalize = {.scale = 0.5f}};
    const uint8_t bytes[] = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22};
    struct predict_body body = {.bytes = bytes, .size = 12};
    ck_assert(decode_as(&digit, &pre, body));
    check_batch(2, counting);
    body.invert = INVERT_YES;
    body.size = 6;
    ck_assert(decode_as(&digit, &pre, body));
    ck_assert(batch.x[0] == 127.5f && batch.x[1] == 126.5f);
    predict_batch_clear(&batch);
}
END_TEST

START_TEST(raw_bytes_of_either_type_are_told_apart_by_size_or_dtype)
{
    /* 24 bytes are one float32 sample or four of uint8. */
    struct predict_body body = {
        .content_type = "application/octet-stream", .bytes = counting, .size = 24};
    ck_assert(decode_as(&digit, &plain, body));
    ck_assert_int_eq(batch.count, 1);
    predict_batch_clear(&batch);
    body.dtype = PREDICT_UINT8;
    ck_assert(decode_as(&digit, &plain, body));
    ck_assert_int_eq(batch.count, 4);
    predict_batch_clear(&batch);
    body.dtype = PREDICT_FLOAT32;
    body.size = 12;
    ck_assert(!decode_as(&digit, &plain, body));
    check_refused(ERR_INVALID, "", "12 raw bytes, expected a multiple of 24 for [1,2,3]");
}
END_TEST

START_TEST(raw_bytes_of_a_wrong_size_are_refused)
{
    ck_assert(!decode("application/octet-stream", counting, 23));
    check_refused(ERR_INVALID, "",
                  "23 raw bytes, expected a multiple of 24 (float32) or 6 (uint8) for [1,2,3]");
    ck_assert(!decode("application/octet-stream", "", 0));
    check_refused(ERR_INVALID, "", "empty body");
}
END_TEST

START_TEST(raw_bytes_that_begin_like_json_stay_raw)
{
    const uint8_t bytes[] = {'{', 1, 2, 3, 4, 5};
    ck_assert(decode("application/octet-stream", bytes, sizeof bytes));
    ck_assert_int_eq(batch.count, 1);
    ck_assert(batch.x[0] == '{');
    predict_batch_clear(&batch);
    /* A whole document is one, even as octet-stream and 24 bytes long. */
    const char *text = "{\"inputs\":[0,1,2,3,4,5]}";
    ck_assert_uint_eq(strlen(text), 24);
    ck_assert(decode_text("application/octet-stream", text));
    check_batch(1, counting);
}
END_TEST

START_TEST(too_many_samples_are_refused)
{
    size_t size = 6 * (LIMIT_PREDICT_SAMPLES + 1);
    uint8_t *bytes = calloc(size, 1);
    struct predict_body body = {.bytes = bytes, .size = size - 6, .dtype = PREDICT_UINT8};
    ck_assert(decode_as(&digit, &plain, body));
    ck_assert_int_eq(batch.count, LIMIT_PREDICT_SAMPLES);
    predict_batch_clear(&batch);
    body.size = size;
    ck_assert(!decode_as(&digit, &plain, body));
    check_refused(ERR_TOO_LARGE, "", "at most 4096 are taken at a time");
    free(bytes);
}
END_TEST

START_TEST(a_batch_that_grows_past_memory_is_refused)
{
    const struct cnn_shape wide = {.c = 1, .size = {1, 1024, 1024}, .rank = 2};
    size_t samples = LIMIT_PREDICT_BATCH_BYTES / (4 << 20) + 1;
    uint8_t *bytes = calloc(samples, 1 << 20);
    struct predict_body body = {.bytes = bytes, .size = samples << 20, .dtype = PREDICT_UINT8};
    ck_assert(!decode_as(&wide, &plain, body));
    check_refused(ERR_TOO_LARGE, "", "need more than");
    free(bytes);
}
END_TEST

/* Pictures */

/* A grey PNG of 3x2 with the values 0..5 times `step`. */
static struct buf png_of(int step)
{
    uint8_t pixels[6];
    struct buf out = {0};
    for (int i = 0; i < 6; i++)
        pixels[i] = (uint8_t)(i * step);
    png_image image = {.version = PNG_IMAGE_VERSION, .width = 3, .height = 2};
    image.format = PNG_FORMAT_GRAY;
    png_alloc_size_t size = 0;
    ck_assert(png_image_write_to_memory(&image, NULL, &size, 0, pixels, 0, NULL));
    ck_assert(buf_reserve(&out, size));
    ck_assert(png_image_write_to_memory(&image, out.data, &size, 0, pixels, 0, NULL));
    out.size = size;
    return out;
}

static void add_base64(struct buf *out, const struct buf *bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes->size; i += 3) {
        unsigned value = 0;
        size_t left = bytes->size - i;
        for (size_t k = 0; k < 3; k++)
            value = value << 8 | (k < left ? (unsigned char)bytes->data[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            buf_add(out, k <= left ? &digits[value >> (18 - 6 * k) & 63] : "=", 1);
    }
}

START_TEST(a_picture_is_known_by_its_bytes_whatever_the_type)
{
    static const char *const types[] = {
        "image/png", "application/octet-stream",          NULL,
        "",          "application/x-www-form-urlencoded", "text/plain",
        "image/jpeg"};
    struct buf png = png_of(1);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        ck_assert_msg(decode(types[i], png.data, png.size), "%zu: %s", i, e.detail);
        check_batch(1, counting);
    }
    for (size_t size = 1; size < png.size; size++) {
        ck_assert(!decode("image/png", png.data, size));
        check_refused(ERR_UNPROCESSABLE, "", "");
    }
    buf_clear(&png);
}
END_TEST

START_TEST(pictures_in_base64_are_one_or_many)
{
    struct buf png = png_of(1), text = {0};
    buf_str(&text, "{\"image\":\"");
    add_base64(&text, &png);
    buf_str(&text, "\"}");
    ck_assert_msg(decode("application/json", text.data, text.size), "%s", e.detail);
    check_batch(1, counting);
    buf_clear(&text);

    buf_str(&text, "{\"images\":[\"");
    add_base64(&text, &png);
    buf_str(&text, "\",\"data:image/png;base64,");
    add_base64(&text, &png);
    buf_str(&text, "\"]}");
    ck_assert_msg(decode("text/plain; charset=utf-8", text.data, text.size), "%s", e.detail);
    ck_assert_int_eq(batch.count, 2);
    ck_assert(batch.x[6 + 5] == 5);
    predict_batch_clear(&batch);
    buf_clear(&text);
    buf_clear(&png);

    ck_assert(!decode_text(NULL, "{\"image\":\"AAAA\"}"));
    check_refused(ERR_UNPROCESSABLE, "image", "neither a PNG nor a JPEG picture");
    ck_assert(!decode_text(NULL, "{\"image\":\"A*\"}"));
    ck_assert_int_eq(e.code, ERR_INVALID);
    ck_assert(!decode_text(NULL, "{\"images\":[\"AAAA\",1]}"));
    ck_assert_str_eq(e.field, "images[0]");
}
END_TEST

/* Multipart */

static void add_part(struct buf *out, const char *type, const void *bytes, size_t size)
{
    buf_fmt(out, "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n");
    if (type)
        buf_fmt(out, "Content-Type: %s\r\n", type);
    buf_str(out, "\r\n");
    buf_add(out, bytes, size);
    buf_str(out, "\r\n");
}

static const char form[] = "multipart/form-data; boundary=xyz";

START_TEST(parts_of_every_kind_make_one_batch)
{
    struct buf body = {0}, png = png_of(2);
    const uint8_t bytes[] = {6, 7, 8, 9, 10, 11};
    add_part(&body, "image/png", png.data, png.size);
    add_part(&body, "application/octet-stream", bytes, sizeof bytes);
    add_part(&body, "application/json", "{\"inputs\":[0,1,2,3,4,5]}", 24);
    add_part(&body, NULL, counting + 6, 24);
    buf_str(&body, "--xyz--\r\n");
    ck_assert_msg(decode(form, body.data, body.size), "%s", e.detail);
    ck_assert_int_eq(batch.count, 4);
    harness_close(batch.x, (float[]){0, 2, 4, 6, 8, 10}, 6, 0, "png");
    harness_close(batch.x + 6, counting + 6, 6, 0, "uint8");
    harness_close(batch.x + 12, counting, 6, 0, "json");
    harness_close(batch.x + 18, counting + 6, 6, 0, "float32");
    predict_batch_clear(&batch);
    for (size_t size = 1; size + 4 < body.size; size++) { /* all of "--xyz--" is wanted */
        ck_assert_msg(!decode(form, body.data, size), "%zu of %zu", size, body.size);
        ck_assert_ptr_null(batch.x);
    }
    buf_clear(&body);
    buf_clear(&png);
}
END_TEST

START_TEST(a_broken_part_is_named)
{
    struct buf body = {0}, png = png_of(1);
    add_part(&body, "image/png", png.data, png.size);
    add_part(&body, "image/png", png.data, png.size - 9);
    buf_str(&body, "--xyz--\r\n");
    ck_assert(!decode(form, body.data, body.size));
    ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
    ck_assert_msg(strncmp(e.field, "parts[1]", 8) == 0, "%s", e.field);
    buf_clear(&body);
    add_part(&body, form, "--xyz--\r\n", 9); /* parts have no parts */
    buf_str(&body, "--xyz--\r\n");
    ck_assert(!decode(form, body.data, body.size));
    buf_clear(&body);
    ck_assert(!decode_text(form, "--xyz--\r\n"));
    ck_assert_int_eq(e.code, ERR_INVALID);
    buf_clear(&png);
}
END_TEST

START_TEST(types_we_do_not_read_are_named)
{
    ck_assert(!decode_text("image/gif", "GIF89a"));
    check_refused(ERR_MEDIA_TYPE, "", "media type 'image/gif' is not read");
    ck_assert(!decode_text("application/x-www-form-urlencoded", "a=b"));
    ck_assert_int_eq(e.code, ERR_MEDIA_TYPE);
    ck_assert(!decode_text("image/png", "GIF89a"));
    check_refused(ERR_UNPROCESSABLE, "", "neither a PNG nor a JPEG picture");
    ck_assert(decode_text("application/x-www-form-urlencoded", "{\"inputs\":[0,1,2,3,4,5]}"));
    check_batch(1, counting);
}
END_TEST

static bool quick(const char *type, const void *bytes, size_t size)
{
    const struct predict_body body = {.content_type = type, .bytes = bytes, .size = size};
    return predict_body_is_quick(&body);
}

START_TEST(bodies_that_take_long_are_told_by_their_first_bytes)
{
    static const char numbers[80 << 10] = "{\"inputs\": [1,2,3", picture[] = "{\"image\": \"";
    static const char raw[300 << 10] = "", mesh[] = "OFF\n3 1 0\n";
    const char *stream = "application/octet-stream";
    ck_assert(quick("application/json", numbers, 60 << 10));
    ck_assert(quick(NULL, numbers, 60 << 10));
    ck_assert(!quick("application/json", numbers, sizeof numbers));
    ck_assert(!quick("application/json", picture, sizeof picture));
    ck_assert(quick("application/json", "{ \"inputs\" :\n[[[-1", 18));
    ck_assert(!quick("application/json", "{\"inputs\":[{\"mesh\":", 20));
    ck_assert(!quick("application/json", "{\"inputs\":[[", 13));
    ck_assert(quick(stream, raw, 200 << 10));
    ck_assert(!quick(stream, raw, sizeof raw));
    ck_assert(!quick(stream, mesh, sizeof mesh));
    ck_assert(!quick("text/plain", mesh, sizeof mesh));
    ck_assert(!quick("multipart/form-data; boundary=x", "--x", 3));
    ck_assert(!quick(NULL, "", 0));
}
END_TEST

START_TEST(pictures_take_as_long_as_their_headers_say)
{
    /* Signature, then IHDR of 100 x 100 and of 1000 x 1000, 8 bit grey. */
    uint8_t png[33] = {0x89, 'P', 'N', 'G', 13, 10, 26,  10, 0, 0, 0,   13, 'I',
                       'H',  'D', 'R', 0,   0,  0,  100, 0,  0, 0, 100, 8};
    ck_assert(quick("image/png", png, sizeof png));
    png[18] = png[22] = 3;
    ck_assert(!quick("image/png", png, sizeof png));
    ck_assert(!quick("image/png", png, 20));
}
END_TEST

TEST_PROGRAM("proto_predict", json_numbers_nest_as_one_sample_or_a_batch,
             json_numbers_are_the_input_as_it_is, shapes_with_channels_and_depth_are_matched_whole,
             json_of_the_wrong_size_says_both_numbers, json_that_is_not_a_request_is_refused,
             a_json_body_cut_at_any_byte_is_refused, raw_float32_is_the_input_as_it_is,
             raw_uint8_goes_through_preprocessing,
             raw_bytes_of_either_type_are_told_apart_by_size_or_dtype,
             raw_bytes_of_a_wrong_size_are_refused, raw_bytes_that_begin_like_json_stay_raw,
             too_many_samples_are_refused, a_batch_that_grows_past_memory_is_refused,
             a_picture_is_known_by_its_bytes_whatever_the_type, pictures_in_base64_are_one_or_many,
             parts_of_every_kind_make_one_batch, a_broken_part_is_named,
             types_we_do_not_read_are_named, bodies_that_take_long_are_told_by_their_first_bytes,
             pictures_take_as_long_as_their_headers_say)
