/* The first byte chooses the model's input, the second the content type and the query; the rest is
 * the body of a prediction. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "limits.h"
#include "predict_body.h"

static const struct cnn_shape shapes[] = {
    {.c = 1, .size = {1, 4, 4}, .rank = 2}, {.c = 3, .size = {1, 2, 3}, .rank = 2},
    {.c = 1, .size = {4, 4, 4}, .rank = 3}, {.c = 2, .size = {1, 1, 5}, .rank = 1},
    {.c = 6, .size = {1, 1, 1}, .rank = 0},
};
static const char *const types[] = {
    NULL,
    "application/json",
    "application/octet-stream",
    "multipart/form-data; boundary=b",
    "image/png",
    "application/x-npy",
    "model/off",
    "text/plain",
};
enum { SHAPES = sizeof shapes / sizeof *shapes, TYPES = sizeof types / sizeof *types };

static void check_batch(const struct predict_batch *batch, const struct cnn_shape *shape)
{
    CHECK(batch->count > 0 && batch->count <= LIMIT_PREDICT_SAMPLES && batch->x);
    for (size_t i = 0; i < (size_t)batch->count * cnn_shape_count(shape); i++)
        CHECK(isfinite(batch->x[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 2)
        return 0;
    const struct cnn_shape *shape = &shapes[bytes[0] % SHAPES];
    const struct preprocess pre = {.normalize = {.scale = 1.0f / 255},
                                   .voxelize = {.axes = {1, 0, 2}, .solid = true, .samples = 64}};
    const struct predict_body body = {.content_type = types[bytes[1] % TYPES],
                                      .bytes = bytes + 2,
                                      .size = size - 2,
                                      .invert = (enum invert)(bytes[1] / TYPES % 3),
                                      .dtype = (enum predict_dtype)(bytes[1] / TYPES / 3 % 3)};
    struct predict_batch batch;
    struct err e = {0};
    if (predict_body_decode(&body, shape, &pre, &batch, &e)) {
        check_batch(&batch, shape);
        predict_batch_clear(&batch);
    } else {
        CHECK(e.code != ERR_NONE && e.code != ERR_INTERNAL && e.code != ERR_IO);
        CHECK(e.detail[0] != '\0' && !batch.x);
    }
    return 0;
}
