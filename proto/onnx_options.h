/* onnx_options.h - between onnx_node.c and onnx_options.c: a node while it becomes a layer. Errors
 * are ERR_UNPROCESSABLE and do not name the node yet. */
#ifndef STRIDED_ONNX_OPTIONS_H
#define STRIDED_ONNX_OPTIONS_H

#include "onnx_graph.h"
#include "onnx_ops.h"

struct onnx_reading {
    struct onnx_graph *graph;
    const Onnx__NodeProto *node;
    const struct onnx_op *op;
    int uses;
    struct cnn_layer_spec *spec; /* the layer's, in graph->spec */
    struct onnx_layer *layer;
    const struct onnx_value *in[CNN_INPUTS_MAX]; /* feature maps */
    int in_count;
};

/* Whether the node has this input: ONNX leaves one out by an empty name. */
bool onnx_input_given(const struct onnx_reading *r, size_t index);
/* The value of an input, which a node before it has defined; NULL with *e if it is missing. */
const struct onnx_value *onnx_input_value(const struct onnx_reading *r, size_t index,
                                          struct err *e);
/* The same of an input that is a constant. */
const Onnx__TensorProto *onnx_input_tensor(const struct onnx_reading *r, size_t index,
                                           struct err *e);

/* Fills r->spec and r->layer from the node; r->in is known. *features: what a Reshape expects its
 * input to hold, else as it was. */
bool onnx_options_read(struct onnx_reading *r, int64_t *features, struct err *e);

#endif
