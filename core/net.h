/* net.h - a net: a DAG of nodes in topological order over one block of parameters.
 *
 * A net is read-only while it serves: any number of threads may run it, each with a workspace of
 * its own (workspace.h). Only training, and whoever loads parameters before publishing the net,
 * writes `params`.
 */
#ifndef STRIDED_NET_H
#define STRIDED_NET_H

#include <stdint.h>

#include "spec.h"

struct cnn_op; /* layer.h */

/* One named tensor inside the parameter block. */
struct cnn_param {
    int node;
    const char *role; /* "weight", "bias", "running_mean", "running_var" */
    bool trainable;
    int fan_in; /* of initialisation; 0 for what is not initialised at random */
    int rank;   /* of dims: canonical (ONNX, PyTorch) order: [out,in/groups,k...], [out,in], [n] */
    int dims[2 + CNN_AXES];
    size_t offset, count; /* floats into cnn_net.params */
};

struct cnn_node {
    const struct cnn_op *op;
    struct cnn_layer_spec spec; /* name filled in, padding resolved into before/after */
    int inputs[CNN_INPUTS_MAX]; /* node indexes or CNN_FROM_INPUT */
    int input_count;
    int consumer_count; /* nodes that read this one's output */
    struct cnn_shape in[CNN_INPUTS_MAX], out;
    int param_first, param_count; /* its tensors in cnn_net.tensors */
};

struct cnn_net {
    struct cnn_shape input;
    int node_count;
    struct cnn_node *nodes;
    int tensor_count;
    struct cnn_param *tensors;
    size_t param_count; /* trainable floats: the head of the block; a gradient block has as many */
    size_t state_count; /* the whole block: trainable, then running statistics */
    float *params;      /* [state_count]; in the kernels' order, see cnn_net_export */
};

enum cnn_init {
    CNN_INIT_UNIFORM, /* weights and biases uniform +-1/sqrt(fan_in): the default */
    CNN_INIT_XAVIER,  /* Glorot and Bengio 2010: uniform +-sqrt(6/(fan_in+fan_out)), bias 0 */
    CNN_INIT_HE,      /* He et al. 2015: normal, sd sqrt(2/fan_in), bias 0 */
    CNN_INIT_NORMAL,  /* normal, sd sqrt(1/fan_in), bias 0 */
    CNN_INIT_COUNT
};
const char *cnn_init_name(enum cnn_init init); /* "uniform", "xavier", "he", "normal" */

/* Builds a net: checks every layer, infers shapes, lays out and zeroes the parameters (batch-norm
 * scales and running variances are 1). On failure NULL; *e names the layer in its text and
 * "layers[i].field" in its field: "kernel 7 exceeds padded input 5 at layer 'conv3'". */
struct cnn_net *cnn_net_new(const struct cnn_spec *spec, struct err *e);
/* The same without parameters (params is NULL): for shapes and counts; it cannot run. */
struct cnn_net *cnn_net_plan(const struct cnn_spec *spec, struct err *e);
void cnn_net_free(struct cnn_net *net); /* NULL is fine */
/* The spec of this net with every default resolved; the caller clears it. */
bool cnn_net_spec(const struct cnn_net *net, struct cnn_spec *spec, struct err *e);

void cnn_net_init(struct cnn_net *net, enum cnn_init init, uint64_t seed);

const struct cnn_shape *cnn_net_output(const struct cnn_net *net);
/* Multiply-adds of one sample's forward pass, of one node and of all. */
uint64_t cnn_node_macs(const struct cnn_node *node);
uint64_t cnn_net_macs(const struct cnn_net *net);
size_t cnn_node_params(const struct cnn_net *net, const struct cnn_node *node); /* trainable */

/* Copies tensor `index` out of (into) the block in canonical order. The block holds convolution
 * weights as [kd,kh,kw,in/groups,out] and dense weights as [in,out]. canonical has tensor.count. */
void cnn_net_export(const struct cnn_net *net, int index, float *canonical);
void cnn_net_import(struct cnn_net *net, int index, const float *canonical);
/* True when every parameter is finite; else false and the node at fault in *node. */
bool cnn_net_finite(const struct cnn_net *net, int *node);

#endif
