/* predict_body.h - every body of POST /predict, decoded into one batch of net inputs.
 *
 * Numbers in JSON and raw float32 are the net's input as it is; pictures and raw uint8 go through
 * the model's preprocessing. Raw bytes: float32 if the size is a multiple of 4 * elements, else
 * uint8; ?dtype= says it outright.
 */
#ifndef STRIDED_PREDICT_BODY_H
#define STRIDED_PREDICT_BODY_H

#include "model_meta.h"

enum predict_dtype { PREDICT_ANY, PREDICT_FLOAT32, PREDICT_UINT8 };

struct predict_body {
    const char *content_type; /* the header's value, or NULL */
    const void *bytes;
    size_t size;
    enum invert invert;       /* ?invert= */
    enum predict_dtype dtype; /* ?dtype= */
};

struct predict_batch {
    int count;
    float *x; /* [count, C, D, H, W] canonical, owned */
};

/* ERR_MEDIA_TYPE for a type we do not read, ERR_INVALID for a wrong shape ("expected 784 numbers
 * for [1,28,28], got 783"), ERR_UNPROCESSABLE for a broken picture, ERR_TOO_LARGE past
 * LIMIT_PREDICT_SAMPLES. Sniffs pictures, and JSON by a first `{` or `[`, whatever the type says.
 */
bool predict_body_decode(const struct predict_body *body, const struct cnn_shape *shape,
                         const struct preprocess *pre, struct predict_batch *batch, struct err *e);
void predict_batch_clear(struct predict_batch *batch);

#endif
