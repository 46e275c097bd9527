/* onnx_tensor.h - the constants of an ONNX file, checked against the bytes that are there. */
#ifndef STRIDED_ONNX_TENSOR_H
#define STRIDED_ONNX_TENSOR_H

#include "err.h"
#include "onnx.pb-c.h"

/* Checks that the tensor is float32, inside the file, and as long as its dims say: 1 to
 * CNN_PARAMS_MAX values. */
bool onnx_tensor_floats(const Onnx__TensorProto *tensor, size_t *count, struct err *e);
/* Copies a checked tensor's values. */
void onnx_tensor_copy(const Onnx__TensorProto *tensor, float *out);
/* At most `most` values of an int64 tensor of rank 0 or 1. */
bool onnx_tensor_ints(const Onnx__TensorProto *tensor, int64_t *out, int most, int *count,
                      struct err *e);

#endif
