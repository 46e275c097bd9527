/* POST /predict: every kind of body and option against a net whose answers are known. */
#include <png.h>
#include <stdlib.h>
#include <zlib.h>

#include "served.h"

/* softmax([1,2,3]) */
#define SCORES_123                         \
    {                                      \
        .09003057f, .24472847f, .66524096f \
    }

static struct daemon server;

static void expect_scores(struct reply reply, const float *expected, int count)
{
    ck_assert_int_eq(reply.status, 200);
    ck_assert_uint_eq(reply.size, (size_t)count * sizeof(float));
    float scores[128];
    ck_assert_int_le(count, 128);
    memcpy(scores, reply.body, reply.size);
    harness_close(scores, expected, (size_t)count, 1e-6, "score");
    reply_clear(&reply);
}

/* The reply as raw scores. */
static struct reply raw(const char *path, const char *type, const void *body, size_t size)
{
    char header[160];
    snprintf(header, sizeof header, "Content-Type: %s", type);
    const char *headers[] = {header, "Accept: application/octet-stream", NULL};
    return client_send(&server, "POST", path, headers, body, size);
}

START_TEST(json_answer_has_the_promised_members)
{
    served_start(&server);
    struct reply reply = client_post(&server, "/models/pick/predict", "{\"inputs\":[1,2,3,9]}");
    ck_assert_ptr_eq(strstr(reply.body, "{\"model\":\"pick\",\"version\":1,\"predictions\":[{"
                                        "\"label\":\"c\",\"index\":2,\"score\":0.66524"),
                     reply.body);
    ck_assert_str_eq(reply_header(&reply, "Content-Type"), "application/json");
    reply_expect(reply, 200, "\"top\":[{\"label\":\"c\",\"index\":2,\"score\":0.66524",
                 "{\"label\":\"b\",\"index\":1,\"score\":0.24472",
                 "{\"label\":\"a\",\"index\":0,\"score\":0.09003",
                 "\"timing_us\":{\"decode\":", "\"queue\":", "\"compute\":", NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(json_is_nested_or_flat_and_curl_needs_no_type)
{
    static const float expected[] = SCORES_123;
    static const char *const form = "application/x-www-form-urlencoded";
    const char *bodies[] = {"{\"inputs\":[1,2,3,9]}", "{\"inputs\":[[[1,2],[3,9]]]}",
                            "{\"inputs\":[[[[1,2],[3,9]]]]}"};
    served_start(&server);
    for (int i = 0; i < 3; i++)
        expect_scores(raw("/predict", form, bodies[i], strlen(bodies[i])), expected, 3);
    daemon_stop(&server);
}
END_TEST

START_TEST(batch_past_the_workspace_keeps_its_order)
{
    enum { COUNT = 100 };
    struct buf body = {.data = NULL};
    served_start(&server);
    buf_str(&body, "{\"inputs\":[");
    for (int i = 0; i < COUNT; i++)
        buf_fmt(&body, "%s[%d,%d,%d,0]", i ? "," : "", 9 * (i % 3 == 0), 9 * (i % 3 == 1),
                9 * (i % 3 == 2));
    buf_str(&body, "]}");
    struct reply reply = client_post(&server, "/predict?top=1", buf_text(&body));
    ck_assert_int_eq(reply.status, 200);
    const char *at = reply.body;
    for (int i = 0; i < COUNT; i++) {
        char expected[64];
        snprintf(expected, sizeof expected, "{\"label\":\"%s\",\"index\":%d,\"score\":0.999",
                 served_abc[i % 3], i % 3);
        at = strstr(at, "{\"label\":\"");
        ck_assert_ptr_nonnull(at);
        ck_assert_msg(strncmp(at, expected, strlen(expected)) == 0, "sample %d: %.60s", i, at);
        at = strstr(strstr(at, "\"top\":[{") + 8, "}"); /* past its own top entry */
    }
    ck_assert_ptr_null(strstr(at, "{\"label\":\""));
    reply_clear(&reply);
    buf_clear(&body);
    daemon_stop(&server);
}
END_TEST

START_TEST(raw_float32_is_the_input_and_uint8_is_scaled)
{
    static const float input[8] = {1, 2, 3, 9, 0, 0, 0, 0}, third = 1.0f / 3;
    static const uint8_t pixels[4] = {255, 0, 255, 0};
    const float expected[6] = {.09003057f, .24472847f, .66524096f, third, third, third};
    const float scaled[3] = {.42231880f, .15536241f, .42231880f}; /* softmax([1,0,1]) */
    const char *type = "application/octet-stream";
    served_start(&server);
    expect_scores(raw("/predict", type, input, sizeof input), expected, 6);
    expect_scores(raw("/predict", type, pixels, sizeof pixels), scaled, 3);
    expect_scores(raw("/predict?dtype=uint8", type, pixels, sizeof pixels), scaled, 3);
    daemon_stop(&server);
}
END_TEST

/* A 2x2 grey picture as PNG; returns its size. */
static size_t make_png(const uint8_t pixels[4], uint8_t *png, size_t room)
{
    png_image image = {.version = PNG_IMAGE_VERSION, .width = 2, .height = 2};
    png_alloc_size_t size = room;
    image.format = PNG_FORMAT_GRAY;
    ck_assert(png_image_write_to_memory(&image, png, &size, 0, pixels, 2, NULL));
    return size;
}

START_TEST(picture_goes_through_the_models_preprocessing)
{
    static const uint8_t dark[4] = {255, 0, 0, 0}, light[4] = {0, 255, 255, 255};
    const float lit[3] = {.57611688f, .21194156f, .21194156f};   /* softmax([1,0,0]) */
    const float unlit[3] = {.15536241f, .42231880f, .42231880f}; /* softmax([0,1,1]) */
    uint8_t png[400];
    served_start(&server);
    size_t size = make_png(dark, png, sizeof png);
    expect_scores(raw("/predict?invert=false", "image/png", png, size), lit, 3);
    expect_scores(raw("/predict?invert=true", "image/png", png, size), unlit, 3);
    expect_scores(raw("/predict?invert=false", "application/x-www-form-urlencoded", png, size), lit,
                  3);
    size = make_png(light, png, sizeof png);
    expect_scores(raw("/predict?invert=auto", "image/png", png, size), lit, 3);
    expect_scores(raw("/predict", "image/png", png, size), lit, 3);
    expect_scores(raw("/predict?invert=false", "image/png", png, size), unlit, 3);
    daemon_stop(&server);
}
END_TEST

START_TEST(multipart_files_are_a_batch)
{
    static const uint8_t pixels[4] = {255, 0, 0, 0};
    const float expected[6] = {.57611688f, .21194156f, .21194156f,
                               .57611688f, .21194156f, .21194156f};
    uint8_t png[400];
    struct buf body = {.data = NULL};
    served_start(&server);
    size_t size = make_png(pixels, png, sizeof png);
    for (int i = 0; i < 2; i++) {
        buf_str(&body, "--XX\r\nContent-Disposition: form-data; name=\"file\"; "
                       "filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n");
        buf_add(&body, png, size);
        buf_str(&body, "\r\n");
    }
    buf_str(&body, "--XX--\r\n");
    expect_scores(
        raw("/predict?invert=false", "multipart/form-data; boundary=XX", body.data, body.size),
        expected, 6);
    buf_clear(&body);
    daemon_stop(&server);
}
END_TEST

START_TEST(top_bounds_the_list)
{
    served_start(&server);
    struct reply reply = client_post(&server, "/predict?top=1", "{\"inputs\":[1,2,3,9]}");
    ck_assert_ptr_null(strstr(reply.body, "\"label\":\"b\""));
    ck_assert_ptr_null(strstr(reply.body, "\"scores\""));
    reply_expect(reply, 200, "\"top\":[{\"label\":\"c\"", NULL);
    expect_problem(client_post(&server, "/predict?top=0", "{\"inputs\":[1,2,3,9]}"), 400, "top",
                   "0");
    expect_problem(client_post(&server, "/predict?top=4", "{\"inputs\":[1,2,3,9]}"), 400, "top",
                   "1..3");
    expect_problem(client_post(&server, "/predict?top=x", "{\"inputs\":[1,2,3,9]}"), 400, "top",
                   "'x'");
    daemon_stop(&server);
}
END_TEST

START_TEST(all_scores_are_by_class)
{
    served_start(&server);
    reply_expect(client_post(&server, "/predict?scores=all", "{\"inputs\":[[1,2,3,9]]}"), 200,
                 "\"scores\":[0.09003", ",0.24472", ",0.66524", NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(unknown_option_values_are_refused)
{
    served_start(&server);
    const char *body = "{\"inputs\":[1,2,3,9]}";
    expect_problem(client_post(&server, "/predict?scores=some", body), 400, "scores", "some");
    expect_problem(client_post(&server, "/predict?invert=maybe", body), 400, "invert", "maybe");
    expect_problem(client_post(&server, "/predict?dtype=int64", body), 400, "dtype", "int64");
    expect_problem(client_post(&server, "/predict?version=0", body), 400, "version", "0");
    daemon_stop(&server);
}
END_TEST

START_TEST(scores_that_are_not_finite_become_null)
{
    served_start(&server);
    served_add_more(&server, "loud", PICK_NET, served_abc, 100);
    struct reply reply = client_post(&server, "/predict?model=loud&scores=all",
                                     "{\"inputs\":[3e38,3e38,0,0]}"); /* logits overflow */
    ck_assert_ptr_null(strstr(reply.body, "nan"));
    ck_assert_ptr_null(strstr(reply.body, "inf"));
    reply_expect(reply, 200, "\"scores\":[null,", NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(inputs_that_are_not_finite_are_refused)
{
    static const float input[4] = {NAN, 1, 2, 3};
    served_start(&server);
    expect_problem(
        send_type(&server, "POST", "/predict", "application/octet-stream", input, sizeof input),
        400, NULL, "not finite");
    daemon_stop(&server);
}
END_TEST

START_TEST(version_is_named_by_path_or_query)
{
    const char *body = "{\"inputs\":[1,2,3,9]}";
    served_start(&server);
    served_add_more(&server, "pick", PICK_NET, served_abc, 100);
    reply_expect(client_post(&server, "/predict", body), 200, "\"version\":2", "\"score\":1,",
                 NULL);
    reply_expect(client_post(&server, "/models/pick/versions/1/predict", body), 200,
                 "\"version\":1", "\"score\":0.665", NULL);
    reply_expect(client_post(&server, "/predict?model=pick&version=1", body), 200, "\"version\":1",
                 NULL);
    expect_problem(client_post(&server, "/models/pick/versions/3/predict", body), 404, NULL,
                   "no version 3 of model 'pick'");
    expect_problem(client_post(&server, "/models/pick/versions/x/predict", body), 404, NULL,
                   "no version 'x'");
    daemon_stop(&server);
}
END_TEST

START_TEST(nameless_model_is_the_only_or_the_default_one)
{
    const char *body = "{\"inputs\":[1,2,3,9]}";
    daemon_start(&server, NULL);
    expect_problem(client_post(&server, "/predict", body), 404, NULL, "no model yet");
    served_add_more(&server, "one", PICK_NET, served_abc, 1);
    reply_expect(client_post(&server, "/predict", body), 200, "\"model\":\"one\"", NULL);
    served_add_more(&server, "two", PICK_NET, served_abc, 1);
    struct reply reply = client_post(&server, "/predict", body);
    ck_assert(strstr(reply.body, "'one'") && strstr(reply.body, "'two'"));
    expect_problem(reply, 404, "model", "several models");
    reply_expect(client_post(&server, "/predict?model=two", body), 200, "\"model\":\"two\"", NULL);
    served_add_more(&server, "default", PICK_NET, served_abc, 1);
    reply_expect(client_post(&server, "/predict", body), 200, "\"model\":\"default\"", NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(unknown_and_bad_model_names_are_told_apart)
{
    const char *body = "{\"inputs\":[1,2,3,9]}";
    served_start(&server);
    expect_problem(client_post(&server, "/models/none/predict", body), 404, "model",
                   "no model 'none'; there are 'pick'");
    expect_problem(client_post(&server, "/models/.pick/predict", body), 400, "model",
                   "invalid name");
    expect_problem(client_post(&server, "/predict?model=a..b", body), 400, "model", "invalid name");
    daemon_stop(&server);
}
END_TEST

START_TEST(bodies_that_do_not_fit_are_refused_with_the_numbers)
{
    static const uint8_t bytes[5] = {0};
    served_start(&server);
    expect_problem(client_post(&server, "/predict", "{\"inputs\":[1,2,3]}"), 400, NULL, "4");
    expect_problem(client_post(&server, "/predict", "{\"inputs\":[[1,2],[3]]}"), 400, NULL,
                   "ragged");
    expect_problem(client_post(&server, "/predict", "{\"inputs\":"), 400, NULL, "");
    expect_problem(client_post(&server, "/predict", "{}"), 400, NULL, "");
    expect_problem(client_post(&server, "/predict", "{\"inputs\":[1,2,3,1e99]}"), 400, NULL, "");
    expect_problem(
        send_type(&server, "POST", "/predict", "application/octet-stream", bytes, sizeof bytes),
        400, NULL, "5");
    reply_expect(client_post(&server, "/predict", "{\"inputs\":[1,2,3,9]}"), 200, NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(types_that_are_not_read_are_named)
{
    served_start(&server);
    expect_problem(send_type(&server, "POST", "/predict", "application/pdf", "%PDF", 4), 415, NULL,
                   "application/pdf");
    daemon_stop(&server);
}
END_TEST

START_TEST(broken_picture_is_unprocessable)
{
    static const char png[] = "\x89PNG\r\n\x1a\nbroken";
    served_start(&server);
    expect_problem(send_type(&server, "POST", "/predict", "image/png", png, sizeof png - 1), 422,
                   NULL, "");
    daemon_stop(&server);
}
END_TEST

/* zlib's window bits: 15 is a zlib stream (what HTTP calls deflate), 31 gzip. */
static struct buf packed(const char *text, int window_bits)
{
    struct buf out = {.data = NULL};
    z_stream z = {0};
    ck_assert(buf_reserve(&out, 1024));
    ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)text;
    z.avail_in = (uInt)strlen(text);
    z.next_out = (Bytef *)out.data;
    z.avail_out = 1024;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    out.size = 1024 - z.avail_out;
    deflateEnd(&z);
    return out;
}

START_TEST(packed_bodies_are_unpacked)
{
    served_start(&server);
    for (int i = 0; i < 2; i++) {
        struct buf body = packed("{\"inputs\":[1,2,3,9]}", i ? 31 : 15);
        const char *headers[] = {i ? "Content-Encoding: gzip" : "Content-Encoding: deflate", NULL};
        reply_expect(client_send(&server, "POST", "/predict", headers, body.data, body.size), 200,
                     "\"score\":0.665", NULL);
        body.data[body.size / 2] ^= 0x55;
        expect_problem(client_send(&server, "POST", "/predict", headers, body.data, body.size), 400,
                       NULL, "");
        buf_clear(&body);
    }
    daemon_stop(&server);
}
END_TEST

TEST_PROGRAM("server predict", json_answer_has_the_promised_members,
             json_is_nested_or_flat_and_curl_needs_no_type,
             batch_past_the_workspace_keeps_its_order, raw_float32_is_the_input_and_uint8_is_scaled,
             picture_goes_through_the_models_preprocessing, multipart_files_are_a_batch,
             top_bounds_the_list, all_scores_are_by_class, unknown_option_values_are_refused,
             scores_that_are_not_finite_become_null, inputs_that_are_not_finite_are_refused,
             version_is_named_by_path_or_query, nameless_model_is_the_only_or_the_default_one,
             unknown_and_bad_model_names_are_told_apart,
             bodies_that_do_not_fit_are_refused_with_the_numbers, types_that_are_not_read_are_named,
             broken_picture_is_unprocessable, packed_bodies_are_unpacked)
