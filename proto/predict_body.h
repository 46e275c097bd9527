/* predict_body.h - every body of POST /predict, decoded into one batch of net inputs.
 *
 * Numbers in JSON and floats, raw or npy, are the net's input as it is; pictures, raw uint8, and
 * integers and booleans of npy go through the model's preprocessing, as do the grids that meshes,
 * points and lists of voxels become. Raw bytes: float32 if the size is a multiple of 4 * elements,
 * else uint8; ?dtype= says it outright.
 *
 * JSON is an object with one of: "inputs": numbers, nested or flat, one sample or a batch, or one
 * or a list of the objects {"image"}, {"mesh"}, {"points"}, {"voxels"}; "image", "images", "mesh",
 * "meshes": base64 and texts of OFF, STL or OBJ; "points": [[x,y,z],...], or a list of such lists
 * of one length; "voxels": {"shape":[D,H,W],"occupied":[[x,y,z],...]}, or a list of them.
 */
#ifndef STRIDED_PREDICT_BODY_H
#define STRIDED_PREDICT_BODY_H

#include "model_meta.h"

enum predict_dtype { PREDICT_ANY, PREDICT_FLOAT32, PREDICT_UINT8 };

struct predict_body {
    const char *content_type; /* the header's value, or NULL */
    const void *bytes;
    size_t size;
    enum invert invert;                  /* ?invert= */
    enum predict_dtype dtype;            /* ?dtype= */
    const struct cnn_voxelize *voxelize; /* NULL: as the model's preprocessing says */
};

struct predict_batch {
    int count;
    float *x; /* [count, C, D, H, W] canonical, owned */
};

/* ERR_MEDIA_TYPE for a type we do not read, ERR_INVALID for a wrong shape ("expected 784 numbers
 * for [1,28,28], got 783"), ERR_UNPROCESSABLE for a broken picture, mesh or npy file, ERR_TOO_LARGE
 * past LIMIT_PREDICT_SAMPLES and LIMIT_PREDICT_POINTS. Sniffs pictures, npy, meshes, and JSON by a
 * first `{` or `[`, whatever the type says. */
bool predict_body_decode(const struct predict_body *body, const struct cnn_shape *shape,
                         const struct preprocess *pre, struct predict_batch *batch, struct err *e);
void predict_batch_clear(struct predict_batch *batch);
/* Whether decoding takes some 100 us at most: by the size, and what a picture's header announces.
 */
bool predict_body_is_quick(const struct predict_body *body);

/* Whether the bytes are one whole JSON document, however many numbers its arrays hold. */
bool predict_body_is_json(const void *bytes, size_t size);

#endif
