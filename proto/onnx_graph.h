/* onnx_graph.h - between onnx_read.c and onnx_node.c: a graph while it becomes a net.
 *
 * Shapes are inferred node by node with the engine's own rules as the graph is read, so that every
 * parameter's size is known and compared with the file before the net is allocated.
 */
#ifndef STRIDED_ONNX_GRAPH_H
#define STRIDED_ONNX_GRAPH_H

#include "onnx.pb-c.h"
#include "spec.h"

enum {
    ONNX_NODE_INPUTS_MAX = 16,
    ONNX_VALUE_NAME_BYTES = 255, /* names are compared with one another: keep them short */
};

/* Weight, bias, running mean, running variance. */
enum onnx_role { ROLE_WEIGHT, ROLE_BIAS, ROLE_MEAN, ROLE_VARIANCE, ROLE_COUNT };
int onnx_role_find(const char *role); /* of cnn_param.role */

/* A named edge: a constant, or the output of a layer (CNN_FROM_INPUT: of no layer). */
struct onnx_value {
    const char *name;
    const Onnx__TensorProto *tensor; /* NULL: a feature map */
    int layer;
    struct cnn_shape shape; /* without the batch */
};

/* What a layer takes from the file besides its spec. */
struct onnx_layer {
    const Onnx__TensorProto *tensors[ROLE_COUNT];
    bool transposed; /* dense weights stand as [in,out] */
    bool open;       /* a MatMul whose bias may follow as an Add */
};

struct onnx_graph {
    int64_t opset;
    struct cnn_spec spec;      /* layers so far */
    struct onnx_layer *layers; /* [CNN_LAYERS_MAX] */
    struct onnx_value *values; /* [value_capacity] */
    size_t value_count, value_capacity;
    size_t floats_left; /* parameters that the file's size still allows */
};

const struct onnx_value *onnx_value_find(const struct onnx_graph *graph, const char *name);
/* Copies *value in under a new name; refuses a name that is taken. */
bool onnx_value_define(struct onnx_graph *graph, const char *name, struct onnx_value value,
                       struct err *e);

/* Reads one node: appends a layer, or only defines a value. `uses` is how many inputs read the
 * node's output. */
bool onnx_node_read(struct onnx_graph *graph, const Onnx__NodeProto *node, int uses, struct err *e);

#endif
