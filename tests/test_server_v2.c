/* The Open Inference Protocol (/v2): every endpoint as KServe's and Triton's clients use it. */
#include <cJSON.h>
#include <stdlib.h>
#include <zlib.h>

#include "png_write.h"
#include "served.h"
#include "v2.h"

static struct daemon server;

#define INFER "/v2/models/pick/infer"
#define NUMBERS "[1,2,3,9]"
#define INPUT(type, shape, data) \
    "{\"name\":\"input\",\"datatype\":\"" type "\",\"shape\":" shape ",\"data\":" data "}"
#define REQUEST(input) "{\"inputs\":[" input "]}"

/* Like Triton's clients: no Content-Type, header names in lower case. */
static struct reply infer_with(const char *path, long head, const void *body, size_t size)
{
    char header[64];
    snprintf(header, sizeof header, "inference-header-content-length: %ld", head);
    const char *const headers[] = {head >= 0 ? header : NULL, NULL};
    return client_send(&server, "POST", path, headers, body, size);
}

static struct reply infer(const char *body)
{
    return infer_with(INFER, -1, body, strlen(body));
}

/* JSON, and bytes behind it. */
static struct reply infer_binary(const char *json, const void *blob, size_t size)
{
    char body[1 << 16];
    const size_t head = strlen(json);
    ck_assert_uint_le(head + size, sizeof body);
    memcpy(body, json, head);
    memcpy(body + head, blob, size);
    return infer_with(INFER, (long)head, body, head + size);
}

static void expect_error(struct reply reply, int status, const char *says)
{
    ck_assert_msg(reply.status == status, "status %d, expected %d: %s", reply.status, status,
                  reply.body);
    ck_assert_str_eq(reply_header(&reply, "Content-Type"), "application/json");
    cJSON *json = cJSON_Parse(reply.body);
    const cJSON *error = cJSON_GetObjectItem(json, "error");
    ck_assert_msg(cJSON_IsString(error), "no error in %s", reply.body);
    ck_assert_msg(cJSON_GetArraySize(json) == 1, "more than an error in %s", reply.body);
    ck_assert_msg(strstr(error->valuestring, says) != NULL, "'%s' not in '%s'", says,
                  error->valuestring);
    cJSON_Delete(json);
    reply_clear(&reply);
}

/* [count, 3] of softmax([1,2,3]) in "data". */
static void expect_scores(struct reply reply, int count)
{
    static const double expected[] = {.09003057, .24472847, .66524096};
    ck_assert_msg(reply.status == 200, "status %d: %s", reply.status, reply.body);
    cJSON *json = cJSON_Parse(reply.body);
    const cJSON *output = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "outputs"), 0);
    const cJSON *data = cJSON_GetObjectItem(output, "data");
    ck_assert_str_eq(cJSON_GetObjectItem(output, "name")->valuestring, "scores");
    ck_assert_str_eq(cJSON_GetObjectItem(output, "datatype")->valuestring, "FP32");
    ck_assert_int_eq(cJSON_GetArrayItem(cJSON_GetObjectItem(output, "shape"), 0)->valueint, count);
    ck_assert_int_eq(cJSON_GetArraySize(data), 3 * count);
    for (int i = 0; i < 3 * count; i++)
        ck_assert_double_eq_tol(cJSON_GetArrayItem(data, i)->valuedouble, expected[i % 3], 1e-6);
    cJSON_Delete(json);
    reply_clear(&reply);
}

START_TEST(server_and_models_describe_themselves)
{
    served_start(&server);
    reply_expect(client_get(&server, "/v2"), 200, "\"name\":\"strided\"", "\"extensions\":[",
                 "\"binary_tensor_data\"", "\"classification\"", NULL);
    reply_expect(client_get(&server, "/v2/health/live"), 200, "{\"live\":true}", NULL);
    reply_expect(client_get(&server, "/v2/health/ready"), 200, "{\"ready\":true}", NULL);
    reply_expect(client_get(&server, "/v2/models"), 200, "{\"models\":[\"pick\"]}", NULL);
    static const char *const paths[] = {"/v2/models/pick", "/v2/models/pick/versions/1"};
    for (int i = 0; i < 2; i++) {
        char path[64];
        reply_expect(client_get(&server, paths[i]), 200,
                     "{\"name\":\"pick\",\"versions\":[\"1\"],\"platform\":\"strided_onnx\","
                     "\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[-1,1,2,2]}],"
                     "\"outputs\":[{\"name\":\"scores\",\"datatype\":\"FP32\",\"shape\":[-1,3]}]}",
                     NULL);
        snprintf(path, sizeof path, "%s/ready", paths[i]);
        reply_expect(client_get(&server, path), 200, "\"ready\":true", NULL);
        snprintf(path, sizeof path, "%s/config", paths[i]);
        reply_expect(client_get(&server, path), 200, "\"max_batch_size\":4096",
                     "\"data_type\":\"TYPE_FP32\",\"dims\":[1,2,2]", "\"dims\":[3]", NULL);
    }
    daemon_stop(&server);
}
END_TEST

START_TEST(the_server_takes_another_name)
{
    daemon_start(&server, (const char *const[]){"--server-name", "triton", NULL});
    reply_expect(client_get(&server, "/v2"), 200, "{\"name\":\"triton\",", NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(errors_are_what_the_protocols_clients_read)
{
    served_start(&server);
    expect_error(client_get(&server, "/v2/nothing"), 404, "no route");
    expect_error(client_get(&server, INFER), 405, "not allowed");
    expect_error(client_get(&server, "/v2/models/none"), 404, "Request for unknown model: 'none'");
    expect_error(client_get(&server, "/v2/models/none/stats"), 404, "Request for unknown model");
    expect_error(client_get(&server, "/v2/models/a%20b/ready"), 404, "Request for unknown model");
    expect_error(client_get(&server, "/v2/models/pick/versions/2"), 404,
                 "Request for unknown model: version 2 of model 'pick'");
    expect_error(client_get(&server, "/v2/models/pick/versions/x/ready"), 404,
                 "Request for unknown model: version 'x'");
    expect_error(client_post(&server, "/v2/models/none/infer", "{}"), 404,
                 "Request for unknown model: 'none' is not found");
    /* Elsewhere they stay problem documents. */
    expect_problem(client_get(&server, "/v22"), 404, NULL, "no route");
    daemon_stop(&server);
}
END_TEST

START_TEST(json_tensors_are_nested_or_flat_one_or_many)
{
    served_start(&server);
    expect_scores(infer(REQUEST(INPUT("FP32", "[1,1,2,2]", NUMBERS))), 1);
    expect_scores(infer(REQUEST(INPUT("FP32", "[1,1,2,2]", "[[[[1,2],[3,9]]]]"))), 1);
    expect_scores(infer(REQUEST(INPUT("FP64", "[2,1,2,2]", "[1,2,3,9,1,2,3,9]"))), 2);
    expect_scores(infer(REQUEST(INPUT("FP32", "[2,4]", "[[1,2,3,9],[1,2,3,9]]"))), 2);
    reply_expect(infer("{\"id\":\"a \\\"7\\\"\","
                       "\"inputs\":[" INPUT("FP32", "[1,1,2,2]",
                                            NUMBERS) "],\"outputs\":[{\"name\":\"scores\"}]}"),
                 200, "{\"id\":\"a \\\"7\\\"\",\"model_name\":\"pick\",\"model_version\":\"1\",",
                 NULL);
    daemon_stop(&server);
}
END_TEST

/* Integers and booleans go through the model's preprocessing: / 255. */
START_TEST(whole_numbers_are_preprocessed_whatever_their_type)
{
    static const char *const types[] = {"UINT8",  "INT16",  "INT32", "INT64",
                                        "UINT16", "UINT32", "UINT64"};
    char body[256], first[512] = "";
    served_start(&server);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        snprintf(body, sizeof body,
                 "{\"inputs\":[{\"name\":\"input\",\"datatype\":\"%s\",\"shape\":[1,1,2,2],"
                 "\"data\":[0,255,0,255]}]}",
                 types[i]);
        struct reply reply = infer(body);
        ck_assert_msg(reply.status == 200, "%s: %s", types[i], reply.body);
        if (i == 0)
            snprintf(first, sizeof first, "%s", reply.body);
        ck_assert_str_eq(reply.body, first);
        reply_clear(&reply);
    }
    ck_assert_ptr_nonnull(strstr(first, "\"data\":[0.211941"));
    reply_expect(infer(REQUEST(INPUT("BOOL", "[1,1,2,2]", "[true,false,[true],false]"))), 200,
                 "\"data\":[", NULL);
    expect_error(infer(REQUEST(INPUT("UINT8", "[1,1,2,2]", "[0,256,0,0]"))), 400,
                 "value 1, 256, is no UINT8");
    expect_error(infer(REQUEST(INPUT("INT32", "[1,1,2,2]", "[0,0.5,0,0]"))), 400, "is no INT32");
    daemon_stop(&server);
}
END_TEST

START_TEST(wrong_requests_name_what_is_wrong)
{
    static const struct {
        const char *body, *says;
    } cases[] = {
        {"", "JSON"},
        {"[]", "object"},
        {"{\"inputs\":[]}", "one input"},
        {"{\"inputs\":[{},{}]}", "one input"},
        {"{\"inputs\":[7]}", "object"},
        {REQUEST("{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1],\"data\":[1]}"),
         "unexpected inference input 'x', expected 'input'"},
        {REQUEST(INPUT("FLOAT", "[1,1,2,2]", NUMBERS)), "unknown datatype 'FLOAT'"},
        {REQUEST(INPUT("FP16", "[1,1,2,2]", NUMBERS)), "binary data only"},
        {REQUEST(INPUT("FP32", "7", NUMBERS)), "shape"},
        {REQUEST(INPUT("FP32", "[-1,1,2,2]", NUMBERS)), "shape"},
        {REQUEST(INPUT("FP32", "[1,1,1,1,2,2]", NUMBERS)), "more than 5 axes"},
        {REQUEST(INPUT("FP32", "[268435456,268435456,268435456]", NUMBERS)), "values"},
        {REQUEST(INPUT("FP32", "[1,1,2,2]", "[1,2,3]")), "3 values, its shape has 4"},
        {REQUEST(INPUT("FP32", "[1,2,2,1]", NUMBERS)), "[1,2,2]"},
        {REQUEST(INPUT("FP32", "[3]", "[1,2,3]")), "expected 4"},
        {REQUEST(INPUT("FP32", "[0,1,2,2]", "[]")), "empty array"},
        {REQUEST(INPUT("FP32", "[1,1,2,2]", "[1,2,3,\"x\"]")), "data"},
        {REQUEST(INPUT("FP32", "[1,1,2,2]", "[true,true,true,true]")), "expected numbers"},
        {REQUEST(INPUT("BOOL", "[1,1,2,2]", "[true,true,true]")), "3 values, its shape has 4"},
        {REQUEST(INPUT("BOOL", "[1,1,2,2]", "[true,true,true,true,true]")), "more values"},
        {REQUEST(INPUT("FP32", "[1,1,2,2]", "5")), "data"},
        {REQUEST(INPUT("BYTES", "[1]", "[\"!!\"]")), "base64"},
        {REQUEST(INPUT("BYTES", "[1]", "[1]")), "texts"},
        {REQUEST("{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[1,1,2,2]}"), "neither"},
        {"{\"inputs\":[" INPUT("FP32", "[1,1,2,2]", NUMBERS) "],\"outputs\":[{\"name\":\"y\"}]}",
         "unexpected inference output 'y', expected 'scores'"},
        {"{\"inputs\":[" INPUT("FP32", "[1,1,2,2]", NUMBERS) "],\"id\":7}", "id"},
        {REQUEST(INPUT("FP32", "[1,1,2,2]", NUMBERS)) "x", "JSON"},
    };
    served_start(&server);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct reply reply = infer(cases[i].body);
        ck_assert_msg(reply.status == 400 || reply.status == 413 || reply.status == 422,
                      "%s: status %d: %s", cases[i].body, reply.status, reply.body);
        expect_error(reply, reply.status, cases[i].says);
    }
    reply_expect(client_get(&server, "/health/live"), 200, "ok", NULL);
    daemon_stop(&server);
}
END_TEST

#define BINARY(type, shape, bytes)                                                \
    "{\"inputs\":[{\"name\":\"input\",\"datatype\":\"" type "\",\"shape\":" shape \
    ",\"parameters\":{\"binary_data_size\":" bytes "}}]"

START_TEST(binary_tensors_come_and_go_behind_the_json)
{
    static const float one[] = {1, 2, 3, 9};
    static const double wide[] = {1, 2, 3, 9};
    static const uint16_t half[] = {0x3c00, 0x4000, 0x4200, 0x4880}, /* 1 2 3 9 */
        brain[] = {0x3f80, 0x4000, 0x4040, 0x4110};
    served_start(&server);
    expect_scores(infer_binary(BINARY("FP32", "[1,1,2,2]", "16") "}", one, sizeof one), 1);
    expect_scores(infer_binary(BINARY("FP64", "[1,1,2,2]", "32") "}", wide, sizeof wide), 1);
    expect_scores(infer_binary(BINARY("FP16", "[1,1,2,2]", "8") "}", half, sizeof half), 1);
    expect_scores(infer_binary(BINARY("BF16", "[1,1,2,2]", "8") "}", brain, sizeof brain), 1);

    static const char *const wanted[] = {
        ",\"parameters\":{\"binary_data_output\":true}}",
        ",\"outputs\":[{\"name\":\"scores\",\"parameters\":{\"binary_data\":true}}]}"};
    for (int i = 0; i < 2; i++) {
        char json[300];
        snprintf(json, sizeof json, "%s%s", BINARY("FP32", "[1,1,2,2]", "16"), wanted[i]);
        struct reply reply = infer_binary(json, one, sizeof one);
        ck_assert_int_eq(reply.status, 200);
        ck_assert_str_eq(reply_header(&reply, "Content-Type"), "application/octet-stream");
        const long head = atol(reply_header(&reply, "Inference-Header-Content-Length"));
        ck_assert_int_eq(head + 12, (long)reply.size);
        ck_assert_ptr_nonnull(strstr(reply.body, "\"shape\":[1,3],\"parameters\":{"
                                                 "\"binary_data_size\":12}}]}"));
        float scores[3];
        memcpy(scores, reply.body + head, sizeof scores);
        harness_close(scores, (const float[]){.09003057f, .24472847f, .66524096f}, 3, 1e-6,
                      "score");
        reply_clear(&reply);
    }
    /* An output's own word wins. */
    expect_scores(
        infer_binary(
            BINARY("FP32", "[1,1,2,2]",
                   "16") ",\"parameters\":{\"binary_data_output\":"
                         "true},\"outputs\":[{\"name\":\"scores\",\"parameters\":{\"binary_data\":"
                         "false}}]}",
            one, sizeof one),
        1);
    daemon_stop(&server);
}
END_TEST

START_TEST(a_head_of_0_makes_the_body_the_input)
{
    static const float two[] = {1, 2, 3, 9, 1, 2, 3, 9};
    served_start(&server);
    struct reply reply = infer_with(INFER, 0, two, sizeof two);
    ck_assert_int_eq(reply.status, 200);
    const long head = atol(reply_header(&reply, "Inference-Header-Content-Length"));
    ck_assert_int_eq(head + 24, (long)reply.size);
    reply_clear(&reply);
    expect_error(infer_with(INFER, 0, two, 15), 400, "15 raw bytes");
    daemon_stop(&server);
}
END_TEST

START_TEST(wrong_binary_sizes_are_refused)
{
    static const uint8_t zeros[64];
    served_start(&server);
    expect_error(infer_binary(BINARY("FP32", "[1,1,2,2]", "16") "}", zeros, 15), 400,
                 "16 bytes of binary data, and 15 are there");
    expect_error(infer_binary(BINARY("FP32", "[1,1,2,2]", "16") "}", zeros, 17), 400,
                 "1 bytes are left");
    expect_error(infer_binary(BINARY("FP32", "[1,1,2,2]", "12") "}", zeros, 12), 400,
                 "12 bytes of binary data, its shape has 4 values of FP32");
    expect_error(infer_binary(BINARY("FP32", "[1,1,2,2]", "-1") "}", zeros, 16), 400,
                 "binary_data_size");
    expect_error(infer_binary(BINARY("FP32", "[1,1,2,2]", "9223372036854775807") "}", zeros, 16),
                 400, "binary_data_size");
    const char *json = REQUEST(INPUT("FP32", "[1,1,2,2]", NUMBERS));
    static const long heads[] = {1000000, 10};
    for (int i = 0; i < 2; i++) {
        struct reply reply = infer_with(INFER, heads[i], json, strlen(json));
        expect_error(reply, 400, i ? "JSON" : "Inference-Header-Content-Length");
    }
    struct reply reply = client_send(
        &server, "POST", INFER, (const char *const[]){"inference-header-content-length: -5", NULL},
        json, strlen(json));
    expect_error(reply, 400, "Inference-Header-Content-Length");
    daemon_stop(&server);
}
END_TEST

START_TEST(classification_names_the_best_classes)
{
    served_start(&server);
    reply_expect(infer("{\"inputs\":[" INPUT("FP32", "[1,1,2,2]",
                                             NUMBERS) "],\"outputs\":[{\"name\":\"scores\","
                                                      "\"parameters\":{\"classification\":2}}]}"),
                 200,
                 "\"datatype\":\"BYTES\",\"shape\":[1,2],\"data\":[\"0.665241:2:c\","
                 "\"0.244728:1:b\"]",
                 NULL);
    struct reply reply = infer("{\"inputs\":[" INPUT(
        "FP32", "[1,1,2,2]",
        NUMBERS) "],\"outputs\":[{\"name\":\"scores\",\"parameters\":{\"classification\":1,"
                 "\"binary_data\":true}}]}");
    ck_assert_int_eq(reply.status, 200);
    const long head = atol(reply_header(&reply, "Inference-Header-Content-Length"));
    ck_assert_uint_eq(reply.size - (size_t)head, 4 + 12);
    ck_assert_int_eq(memcmp(reply.body + head,
                            "\014\0\0\0"
                            "0.665241:2:c",
                            16),
                     0);
    reply_clear(&reply);
    daemon_stop(&server);
}
END_TEST

/* A 2 x 2 picture, as the model's input is. */
static size_t make_picture(uint8_t *out, size_t room)
{
    static const uint8_t pixels[] = {0, 255, 0, 255};
    struct buf png = {.data = NULL};
    struct err e;
    const struct image image = {
        .width = 2, .height = 2, .channels = 1, .pixels = (uint8_t *)pixels};
    ck_assert_msg(png_write_picture(&image, &png, &e), "%s", e.detail);
    ck_assert_uint_le(png.size, room);
    memcpy(out, png.data, png.size);
    const size_t size = png.size;
    buf_clear(&png);
    return size;
}

START_TEST(pictures_come_as_bytes)
{
    uint8_t blob[4096];
    char json[300];
    served_start(&server);
    const size_t size = make_picture(blob + 4, sizeof blob - 4);
    blob[0] = (uint8_t)size;
    blob[1] = (uint8_t)(size >> 8);
    blob[2] = blob[3] = 0;
    snprintf(json, sizeof json, BINARY("BYTES", "[1,1]", "%zu") "}", size + 4);
    reply_expect(infer_binary(json, blob, size + 4), 200, "\"data\":[0.211941", NULL);
    for (size_t cut = 0; cut < size + 4; cut++) {
        snprintf(json, sizeof json, BINARY("BYTES", "[1,1]", "%zu") "}", cut);
        struct reply reply = infer_binary(json, blob, cut);
        ck_assert_msg(reply.status == 400, "cut at %zu: %d %s", cut, reply.status, reply.body);
        reply_clear(&reply);
    }
    blob[4] ^= 1; /* its magic */
    snprintf(json, sizeof json, BINARY("BYTES", "[1]", "%zu") "}", size + 4);
    expect_error(infer_binary(json, blob, size + 4), 422, "[0]");
    daemon_stop(&server);
}
END_TEST

/* Whatever may take long to read is not read on a thread that serves others. */
START_TEST(only_small_bodies_without_pictures_are_quick)
{
    static const char numbers[] = REQUEST(INPUT("FP32", "[1,4]", NUMBERS));
    static const char picture[] = REQUEST(INPUT("BYTES", "[1]", "[\"\"]"));
    static const char blob[] = "{}\"BYTES\""; /* behind the head: values, not a datatype */
    struct v2_body body = {numbers, sizeof numbers - 1, V2_HEAD_ALL};
    ck_assert(v2_request_is_quick(&body));
    body.size = 1 << 20;
    ck_assert(!v2_request_is_quick(&body));
    body = (struct v2_body){picture, sizeof picture - 1, V2_HEAD_ALL};
    ck_assert(!v2_request_is_quick(&body));
    body = (struct v2_body){blob, sizeof blob - 1, 2};
    ck_assert(v2_request_is_quick(&body));
    body.head = INT64_MAX;
    ck_assert(!v2_request_is_quick(&body));
}
END_TEST

START_TEST(compressed_requests_count_the_head_before_compression)
{
    static const float one[] = {1, 2, 3, 9};
    static const char json[] = BINARY("FP32", "[1,1,2,2]", "16") "}";
    uint8_t plain[400], packed[500];
    uLongf packed_size = sizeof packed;
    char header[64];
    served_start(&server);
    memcpy(plain, json, sizeof json - 1);
    memcpy(plain + sizeof json - 1, one, sizeof one);
    ck_assert_int_eq(compress(packed, &packed_size, plain, sizeof json - 1 + sizeof one), Z_OK);
    snprintf(header, sizeof header, "inference-header-content-length: %zu", sizeof json - 1);
    expect_scores(client_send(&server, "POST", INFER,
                              (const char *const[]){header, "content-encoding: deflate", NULL},
                              packed, packed_size),
                  1);
    daemon_stop(&server);
}
END_TEST

static double stat_of(const char *path, const char *group, const char *name)
{
    struct reply reply = client_get(&server, path);
    ck_assert_int_eq(reply.status, 200);
    cJSON *json = cJSON_Parse(reply.body);
    const cJSON *model = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "model_stats"), 0);
    const cJSON *value = cJSON_GetObjectItem(model, name);
    if (group)
        value = cJSON_GetObjectItem(cJSON_GetObjectItem(cJSON_GetObjectItem(model, group), name),
                                    "count");
    ck_assert_msg(cJSON_IsNumber(value), "no %s in %s", name, reply.body);
    const double number = value->valuedouble;
    cJSON_Delete(json);
    reply_clear(&reply);
    return number;
}

START_TEST(statistics_count_what_was_asked)
{
    served_start(&server);
    for (int i = 0; i < 3; i++)
        expect_scores(infer(REQUEST(INPUT("FP32", "[2,1,2,2]", "[1,2,3,9,1,2,3,9]"))), 2);
    expect_error(infer("{\"inputs\":[]}"), 400, "one input");
    reply_expect(client_post(&server, "/models/pick/predict", "{\"inputs\":[1,2,3,9]}"), 200, NULL);
    static const char *const paths[] = {"/v2/models/stats", "/v2/models/pick/stats",
                                        "/v2/models/pick/versions/1/stats"};
    for (int i = 0; i < 3; i++) {
        ck_assert_double_eq(stat_of(paths[i], NULL, "inference_count"), 7);
        ck_assert_double_eq(stat_of(paths[i], NULL, "execution_count"), 4);
        ck_assert_double_eq(stat_of(paths[i], "inference_stats", "success"), 4);
        ck_assert_double_eq(stat_of(paths[i], "inference_stats", "fail"), 1);
        ck_assert_double_eq(stat_of(paths[i], "inference_stats", "compute_infer"), 4);
        ck_assert_double_gt(stat_of(paths[i], NULL, "last_inference"), 1.5e12);
    }
    reply_expect(client_get(&server, paths[0]), 200, "{\"batch_size\":1,", "{\"batch_size\":2,",
                 NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(the_repository_unloads_and_loads)
{
    served_start(&server);
    reply_expect(client_post(&server, "/v2/repository/index", ""), 200,
                 "[{\"name\":\"pick\",\"version\":\"1\",\"state\":\"READY\",\"reason\":\"\"}]",
                 NULL);
    reply_expect(client_post(&server, "/v2/repository/models/pick/unload", "{}"), 200, "{}", NULL);
    reply_expect(client_post(&server, "/v2/repository/index", "{}"), 200,
                 "\"state\":\"UNAVAILABLE\",\"reason\":\"unloaded on request\"", NULL);
    reply_expect(client_post(&server, "/v2/repository/index", "{\"ready\":true}"), 200, "[]", NULL);
    expect_error(client_get(&server, "/v2/models/pick/ready"), 503, "not ready");
    expect_error(infer(REQUEST(INPUT("FP32", "[1,1,2,2]", NUMBERS))), 404,
                 "Request for unknown model: 'pick' has no available versions");
    expect_error(client_post(&server, "/v2/repository/models/pick/load",
                             "{\"parameters\":{\"config\":\"{}\"}}"),
                 400, "load parameter 'config'");
    reply_expect(client_post(&server, "/v2/repository/models/pick/load", "{}"), 200, NULL);
    reply_expect(client_get(&server, "/v2/models/pick/ready"), 200, "true", NULL);
    expect_scores(infer(REQUEST(INPUT("FP32", "[1,1,2,2]", NUMBERS))), 1);
    expect_error(client_post(&server, "/v2/repository/models/none/load", ""), 404,
                 "Request for unknown model");
    expect_error(client_post(&server, "/v2/repository/models/none/unload", ""), 404,
                 "Request for unknown model");
    expect_error(client_post(&server, "/v2/repository/index", "{\"ready\":7}"), 400, "ready");
    daemon_stop(&server);
}
END_TEST

TEST_PROGRAM("server v2", server_and_models_describe_themselves, the_server_takes_another_name,
             errors_are_what_the_protocols_clients_read,
             json_tensors_are_nested_or_flat_one_or_many,
             whole_numbers_are_preprocessed_whatever_their_type, wrong_requests_name_what_is_wrong,
             binary_tensors_come_and_go_behind_the_json, a_head_of_0_makes_the_body_the_input,
             wrong_binary_sizes_are_refused, classification_names_the_best_classes,
             pictures_come_as_bytes, only_small_bodies_without_pictures_are_quick,
             compressed_requests_count_the_head_before_compression, statistics_count_what_was_asked,
             the_repository_unloads_and_loads)
