/* v2.h - the Open Inference Protocol (KServe's v2, Triton's extensions for binary tensors and
 * classification): infer requests to samples, scores to infer replies.
 *
 * Every model has one input, "input", and one output, "scores" ([N, classes], softmax). A body is
 * JSON, or JSON and the bytes of binary tensors behind it, or (a head of 0 bytes) the input's bytes
 * alone. Floats are the net's input as it is; integers, booleans and pictures (BYTES) go through
 * the model's preprocessing, as everywhere (predict_body.h).
 */
#ifndef STRIDED_V2_H
#define STRIDED_V2_H

#include "predict_body.h"

#define V2_INPUT "input"
#define V2_OUTPUT "scores"

enum { V2_HEAD_ALL = -1 }; /* the whole body is JSON */

struct v2_body {
    const void *bytes;
    size_t size;
    int64_t head; /* bytes of JSON (Inference-Header-Content-Length), or V2_HEAD_ALL */
};

/* What the reply must hold. */
struct v2_wanted {
    char *id;           /* owned; NULL: none was sent */
    bool binary;        /* as bytes behind the JSON */
    int classification; /* > 0: so many classes instead of the scores */
    int64_t timeout_us; /* 0: none was asked for */
};
void v2_wanted_clear(struct v2_wanted *wanted);

/* ERR_INVALID names the tensor, what was expected and what came; the errors of predict_body_decode
 * besides. On failure both are empty. */
bool v2_request_read(const struct v2_body *body, const struct cnn_shape *shape,
                     const struct preprocess *pre, struct predict_batch *batch,
                     struct v2_wanted *wanted, struct err *e);
/* Whether reading it takes some 100 us at most. */
bool v2_request_is_quick(const struct v2_body *body);

struct v2_reply {
    const char *model;
    int version;
    const struct v2_wanted *wanted;
    int count, classes;
    char *const *labels; /* [classes] */
    const float *scores; /* [count, classes] */
};
/* Appends the reply; *head: bytes of its JSON where more follows, else V2_HEAD_ALL. */
void v2_reply_write(const struct v2_reply *reply, struct buf *out, int64_t *head);

/* The body of /v2/repository/index: empty, or {"ready": true}. */
bool v2_index_read(const char *text, size_t size, bool *only_ready, struct err *e);
/* The body of .../load: empty, or an object without parameters that we would have to ignore. */
bool v2_load_check(const char *text, size_t size, struct err *e);

#endif
