/* onnx_ops.h - which ONNX operator stands for which layer, and which attributes we understand. */
#ifndef STRIDED_ONNX_OPS_H
#define STRIDED_ONNX_OPS_H

#include "spec.h"

enum {
    ONNX_IR_VERSION = 8,
    ONNX_OPSET = 13,     /* written */
    ONNX_OPSET_MIN = 7,  /* read: since then Add broadcasts and BatchNormalization infers */
    ONNX_OPSET_MAX = 22, /* the newest whose operators below were checked */
    ONNX_NAME_BYTES = CNN_NAME_MAX + 16, /* "<layer>.running_mean" */
};

#define ONNX_PRODUCER "strided"
/* Metadata: "softmax" when a Softmax that is not a layer of the net follows it. */
#define ONNX_HEAD_KEY "strided.head"
#define ONNX_HEAD_SOFTMAX "softmax"
#define ONNX_HEAD_NONE "none"
#define ONNX_INPUT "input"
#define ONNX_SCORES "scores"
#define ONNX_LOGITS "logits"

enum { ONNX_NO_LAYER = -1 }; /* Identity, Constant: vanish when read */

struct onnx_op {
    const char *op_type;
    int layer; /* enum cnn_layer_type or ONNX_NO_LAYER */
    /* Every attribute the reader looks at; a node with another one is refused. */
    const char *const attributes[8];
};

const struct onnx_op *onnx_op_find(const char *op_type); /* NULL: not supported */
/* The operator written for a layer. */
const struct onnx_op *onnx_op_of(enum cnn_layer_type layer);

#endif
