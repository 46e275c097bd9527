#include "onnx_ops.h"

#include <string.h>

/* The first row of a layer is the operator written for it; all rows are read. */
static const struct onnx_op ops[] = {
    {"Conv", CNN_CONV, {"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"}},
    {"MaxPool",
     CNN_MAX_POOL,
     {"auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides"}},
    {"AveragePool",
     CNN_AVG_POOL,
     {"auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads",
      "strides"}},
    {"GlobalAveragePool", CNN_GLOBAL_AVG_POOL, {0}},
    {"Gemm", CNN_DENSE, {"alpha", "beta", "transA", "transB"}},
    {"MatMul", CNN_DENSE, {0}},
    {"Flatten", CNN_FLATTEN, {"axis"}},
    {"Reshape", CNN_FLATTEN, {"allowzero"}},
    {"Relu", CNN_RELU, {0}},
    {"LeakyRelu", CNN_LEAKY_RELU, {"alpha"}},
    {"Tanh", CNN_TANH, {0}},
    {"Sigmoid", CNN_SIGMOID, {0}},
    {"Softmax", CNN_SOFTMAX, {"axis"}},
    {"LogSoftmax", CNN_LOG_SOFTMAX, {"axis"}},
    {"Dropout", CNN_DROPOUT, {"ratio", "seed"}},
    {"BatchNormalization", CNN_BATCH_NORM, {"epsilon", "momentum", "spatial", "training_mode"}},
    {"Add", CNN_ADD, {0}},
    {"Sum", CNN_ADD, {0}},
    {"Concat", CNN_CONCAT, {"axis"}},
    {"Identity", ONNX_NO_LAYER, {0}},
    {"Constant", ONNX_NO_LAYER, {"value"}},
};

const struct onnx_op *onnx_op_find(const char *op_type)
{
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (strcmp(ops[i].op_type, op_type) == 0)
            return &ops[i];
    return NULL;
}

const struct onnx_op *onnx_op_of(enum cnn_layer_type layer)
{
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (ops[i].layer == (int)layer)
            return &ops[i];
    return NULL;
}
