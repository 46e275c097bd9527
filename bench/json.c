/* json - how fast number arrays in JSON become floats: the tensor reader, and whole predict bodies,
 * against cJSON, strtof and a raw body.
 *
 * Every reader takes its turn in each round; what is printed is the median of the rounds, in time
 * of the thread, so that a busy machine changes little.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cJSON.h>

#include "check.h"
#include "predict_body.h"
#include "rng.h"
#include "tensor_lift.h"

enum { ROUNDS = 7, SIDE_MAX = 24, COUNT_MAX = SIDE_MAX * SIDE_MAX * SIDE_MAX };
static const double ROUND_S = 0.05;

struct body {
    const char *name;
    struct cnn_shape shape;
    int kind;          /* of number */
    const char *comma; /* as Python or JavaScript write it */
    struct buf text;
    float raw[COUNT_MAX];
};

enum { BITS, FOUR_DIGITS, SEVEN_DIGITS, SIXTEEN_DIGITS, DIGIT_IMAGE };

/* Text of a number that a client would send. */
static void add_number(struct buf *out, int kind, size_t at, struct cnn_rng *rng)
{
    double value = cnn_rng_uniform(rng, 0, 1);
    bool ink = kind != DIGIT_IMAGE || (at / 28 > 5 && at / 28 < 24 && at % 28 > 9 && at % 28 < 17);
    if (kind == BITS)
        buf_str(out, value < 0.5 ? "0" : "1");
    else if (!ink)
        buf_str(out, "0.0");
    else if (kind == FOUR_DIGITS)
        buf_fmt(out, "%.4f", value);
    else if (kind == SEVEN_DIGITS)
        buf_fmt(out, "%.7f", value);
    else
        buf_fmt(out, "%.16g", floor(value * 256) / 255);
}

/* {"inputs":[[[...]]]}, nested as the shape is. */
static void body_fill(struct body *body)
{
    struct cnn_rng rng;
    cnn_rng_init(&rng, 1, 0);
    int dims[1 + CNN_AXES], rank = cnn_shape_dims(&body->shape, dims);
    size_t count = cnn_shape_count(&body->shape);
    buf_str(&body->text, "{\"inputs\":");
    for (size_t at = 0; at < count; at++) {
        size_t inner = 1;
        if (at > 0)
            buf_str(&body->text, body->comma);
        for (int d = rank - 1; d >= 0; d--)
            if (at % (inner *= (size_t)dims[d]) == 0)
                buf_str(&body->text, "[");
        size_t before = body->text.size;
        add_number(&body->text, body->kind, at, &rng);
        body->raw[at] = strtof(buf_text(&body->text) + before, NULL);
        inner = 1;
        for (int d = rank - 1; d >= 0; d--)
            if ((at + 1) % (inner *= (size_t)dims[d]) == 0)
                buf_str(&body->text, "]");
    }
    buf_str(&body->text, "}");
    CHECK(buf_text(&body->text)[0] == '{');
}

/* Readers; each leaves its floats in out. */

static void read_lift(const struct body *body, float *out)
{
    static const char *const names[] = {"inputs", NULL};
    static const size_t numbers_max[] = {COUNT_MAX};
    const struct tensor_lift lift = {names, numbers_max, 1};
    struct tensor_list list;
    struct err e;
    struct cJSON *json = tensor_lift(body->text.data, body->text.size, &lift, &list, &e);
    CHECK(json && list.count == 1);
    memcpy(out, list.items[0].data, list.items[0].count * sizeof *out);
    cJSON_Delete(json);
    tensor_list_clear(&list);
}

static size_t tree_to_floats(const cJSON *json, float *out)
{
    size_t count = 0;
    if (!cJSON_IsArray(json)) {
        *out = (float)json->valuedouble;
        return 1;
    }
    const cJSON *item;
    cJSON_ArrayForEach(item, json) count += tree_to_floats(item, out + count);
    return count;
}

static void read_cjson(const struct body *body, float *out)
{
    cJSON *json = cJSON_ParseWithLength(body->text.data, body->text.size);
    CHECK(json);
    tree_to_floats(json->child, out);
    cJSON_Delete(json);
}

/* No JSON: the numbers alone, whatever stands between them. */
static void read_strtof(const struct body *body, float *out)
{
    const char *p = body->text.data + strlen("{\"inputs\":");
    while (*p && *p != '}') {
        char *end;
        if (strchr("[], ", *p)) {
            p++;
            continue;
        }
        *out++ = strtof(p, &end);
        p = end;
    }
}

static void predict(const struct body *body, const void *bytes, size_t size, const char *type,
                    float *out)
{
    static const struct preprocess as_it_is = {.normalize = {.scale = 1}};
    struct predict_body request = {.content_type = type, .bytes = bytes, .size = size};
    struct predict_batch batch;
    struct err e;
    CHECK(predict_body_decode(&request, &body->shape, &as_it_is, &batch, &e));
    memcpy(out, batch.x, cnn_shape_count(&body->shape) * sizeof *out);
    predict_batch_clear(&batch);
}

static void predict_json(const struct body *body, float *out)
{
    predict(body, body->text.data, body->text.size, "application/json", out);
}

static void predict_raw(const struct body *body, float *out)
{
    predict(body, body->raw, cnn_shape_count(&body->shape) * sizeof(float),
            "application/octet-stream", out);
}

static const struct {
    const char *name;
    void (*read)(const struct body *body, float *out);
} readers[] = {{"tensor_lift", read_lift},
               {"cJSON", read_cjson},
               {"strtof", read_strtof},
               {"predict, JSON", predict_json},
               {"predict, raw", predict_raw}};
enum { READERS = sizeof readers / sizeof readers[0], PEERS = 3 };

/* Timing */

static double thread_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double time_round(const struct body *body, int reader, float *out)
{
    double start = thread_s(), spent;
    long calls = 0;
    do {
        for (int i = 0; i < 8; i++)
            readers[reader].read(body, out);
        calls += 8;
        spent = thread_s() - start;
    } while (spent < ROUND_S);
    return spent / (double)calls;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void body_measure(const struct body *body)
{
    static double seconds[READERS][ROUNDS];
    static float out[COUNT_MAX];
    size_t count = cnn_shape_count(&body->shape);
    for (int round = 0; round < ROUNDS; round++)
        for (int reader = 0; reader < READERS; reader++) {
            memset(out, 0, sizeof out);
            seconds[reader][round] = time_round(body, reader, out);
            CHECK(reader == 1 || memcmp(out, body->raw, count * sizeof *out) == 0);
        }
    printf("| %s | %zu |", body->name, body->text.size);
    for (int reader = 0; reader < READERS; reader++) {
        qsort(seconds[reader], ROUNDS, sizeof(double), compare_doubles);
        double median = seconds[reader][ROUNDS / 2], first = seconds[0][ROUNDS / 2];
        if (reader == 0)
            printf(" %.0f |", (double)body->text.size / median / 1e6);
        else if (reader < PEERS)
            printf(" %.0f, **%.1fx** |", (double)body->text.size / median / 1e6, median / first);
        else
            printf(" %.2f |", median * 1e6);
    }
    puts("");
}

int main(void)
{
    static struct body bodies[] = {
        {"28x28, 7 digits", {1, {1, 28, 28}, 2}, SEVEN_DIGITS, ", ", .text = {0}},
        {"28x28, 16 digits", {1, {1, 28, 28}, 2}, SIXTEEN_DIGITS, ",", .text = {0}},
        {"28x28, a drawn digit", {1, {1, 28, 28}, 2}, DIGIT_IMAGE, ", ", .text = {0}},
        {"784, 4 digits", {784, {1, 1, 1}, 0}, FOUR_DIGITS, ",", .text = {0}},
        {"24x24x24, 0 and 1", {1, {24, 24, 24}, 3}, BITS, ",", .text = {0}},
        {"24x24x24, 7 digits", {1, {24, 24, 24}, 3}, SEVEN_DIGITS, ",", .text = {0}},
    };
    printf("MB/s, and times the peer's; microseconds a whole body\n\n| numbers | bytes |");
    for (int reader = 0; reader < READERS; reader++)
        printf(" %s |", readers[reader].name);
    puts("\n|---|---|---|---|---|---|---|");
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        body_fill(&bodies[i]);
        body_measure(&bodies[i]);
        buf_clear(&bodies[i].text);
    }
    return 0;
}
