/* v2_values.h - the values of an infer request's tensor, to samples; private to v2_*.c. */
#ifndef STRIDED_V2_VALUES_H
#define STRIDED_V2_VALUES_H

#include "npy.h"
#include "predict_decode.h"

struct v2_type {
    const char *name;     /* "FP32" */
    enum npy_dtype dtype; /* unless bytes or half */
    int size;             /* bytes of a value; 0: BYTES, each with its length in front */
    enum { V2_PLAIN, V2_FP16, V2_BF16 } half;
    double low, high; /* of integers, as JSON has them; both 0: floats */
};
const struct v2_type *v2_type_of(const char *name); /* NULL: there is none of this name */

struct v2_tensor {
    const struct v2_type *type;
    int rank;
    size_t dims[NPY_RANK_MAX];
    size_t count; /* their product */
};

/* Each appends the tensor's samples, or fails as predict_add_array. */
bool v2_add_binary(struct decoding *d, const struct v2_tensor *tensor, const uint8_t *bytes,
                   size_t size, struct err *e);
/* numbers: of the member "data", as many as the tensor has. */
bool v2_add_numbers(struct decoding *d, const struct v2_tensor *tensor, const float *numbers,
                    struct err *e);
/* data: an array of booleans, or of base64 texts, nested or flat. */
bool v2_add_tree(struct decoding *d, const struct v2_tensor *tensor, const struct cJSON *data,
                 struct err *e);

#endif
