/* The first byte chooses the model's input, the second how much of the body is JSON; the rest is
 * the body of an infer request. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "limits.h"
#include "v2.h"

static const struct cnn_shape shapes[] = {
    {.c = 1, .size = {1, 2, 2}, .rank = 2},
    {.c = 3, .size = {1, 2, 3}, .rank = 2},
    {.c = 2, .size = {1, 1, 5}, .rank = 1},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void check_batch(const struct predict_batch *batch, const struct cnn_shape *shape)
{
    CHECK(batch->count > 0 && batch->count <= LIMIT_PREDICT_SAMPLES && batch->x);
    for (size_t i = 0; i < (size_t)batch->count * cnn_shape_count(shape); i++)
        CHECK(isfinite(batch->x[i]));
}

static void read_others(const char *text, size_t size)
{
    struct err e;
    bool only_ready;
    v2_index_read(text, size, &only_ready, &e);
    v2_load_check(text, size, &e);
}

/* 254: all of it is JSON; 255: the body is the input; else so many bytes, or what is there. */
static int64_t head_of(uint8_t byte, size_t size)
{
    if (byte >= 254)
        return byte == 254 ? V2_HEAD_ALL : 0;
    return byte % 2 == 0 && (size_t)byte * 8 > size ? (int64_t)size : (int64_t)byte * 8;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 2)
        return 0;
    const struct cnn_shape *shape = &shapes[bytes[0] % SHAPES];
    const struct preprocess pre = {.normalize = {.scale = 1.0f / 255}};
    const struct v2_body body = {
        .bytes = bytes + 2, .size = size - 2, .head = head_of(bytes[1], size - 2)};
    struct predict_batch batch;
    struct v2_wanted wanted;
    struct err e = {0};
    if (v2_request_read(&body, shape, &pre, &batch, &wanted, &e)) {
        check_batch(&batch, shape);
        CHECK(wanted.classification >= 0 && wanted.timeout_us >= 0);
        v2_wanted_clear(&wanted);
        predict_batch_clear(&batch);
    } else {
        CHECK(e.code != ERR_NONE && e.code != ERR_INTERNAL && e.code != ERR_IO);
        CHECK(e.detail[0] != '\0' && !batch.x && !wanted.id);
    }
    read_others((const char *)bytes, size);
    return 0;
}
