/* spec.h - what a net is before it exists: a list of layer descriptions.
 *
 * Plain data, filled by proto/ (architecture JSON, ONNX) and by presets.h; cnn_net_new() checks it
 * and infers every shape. Layers stand in topological order: an input index names an earlier
 * layer, or CNN_FROM_INPUT for the net's input. The last layer is the net's output.
 */
#ifndef STRIDED_SPEC_H
#define STRIDED_SPEC_H

#include <stdbool.h>

#include "err.h"
#include "limits.h"
#include "shape.h"

enum cnn_layer_type {
    CNN_CONV,
    CNN_MAX_POOL,
    CNN_AVG_POOL,
    CNN_GLOBAL_AVG_POOL,
    CNN_DENSE,
    CNN_FLATTEN,
    CNN_RELU,
    CNN_LEAKY_RELU,
    CNN_TANH,
    CNN_SIGMOID,
    CNN_SOFTMAX,
    CNN_LOG_SOFTMAX,
    CNN_DROPOUT,
    CNN_BATCH_NORM,
    CNN_ADD,
    CNN_CONCAT,
    CNN_LAYER_TYPE_COUNT
};

enum { CNN_FROM_INPUT = -1 };

enum cnn_padding {
    CNN_PAD_NUMBER, /* before[] and after[] as given */
    CNN_PAD_VALID,  /* none */
    CNN_PAD_SAME,   /* out = ceil(in / stride); the odd one goes after (ONNX SAME_UPPER) */
    CNN_PAD_FULL,   /* dilation * (kernel - 1) on both sides */
};

/* A sliding window; arrays are by axis D, H, W. Axes past the rank of `dims` hold kernel 1,
 * stride 1, dilation 1, padding 0. */
struct cnn_window {
    int dims; /* 1, 2, 3: conv1d, conv2d, conv3d; must equal the input's rank */
    int kernel[CNN_AXES];
    int stride[CNN_AXES];
    int dilation[CNN_AXES]; /* pooling: always 1 */
    enum cnn_padding padding;
    int before[CNN_AXES], after[CNN_AXES]; /* of CNN_PAD_NUMBER; resolved by shape inference */
};

struct cnn_layer_spec {
    enum cnn_layer_type type;
    char name[CNN_NAME_MAX]; /* unique; empty = given by the net: "conv1", "relu1", "dense2" */
    int inputs[CNN_INPUTS_MAX];
    int input_count; /* 0 = the layer before (the net's input for the first) */
    union {
        struct {
            struct cnn_window window;
            int filters;
            int groups; /* channels and filters are multiples of it */
            bool bias;
        } conv;
        struct {
            struct cnn_window window;
            bool count_padding; /* average pooling: padded zeros count in the divisor */
        } pool;
        struct {
            int units;
            bool bias;
        } dense;
        struct {
            float slope; /* leaky_relu below zero; default 0.01 */
        } leaky;
        struct {
            float rate; /* probability of dropping, [0,1) */
        } dropout;
        struct {
            float epsilon, momentum; /* running = (1-momentum)*running + momentum*batch */
        } norm;
    } u;
};

struct cnn_spec {
    struct cnn_shape input;
    int layer_count;
    struct cnn_layer_spec *layers; /* owned */
};

/* Appends a layer of this type with every option at its default (kernel 1, stride 1, padding
 * valid, bias on, groups 1, ...; pooling stride 0 = the kernel) and returns it, valid until the
 * next append; NULL past CNN_LAYERS_MAX (ERR_INVALID) or out of memory. */
struct cnn_layer_spec *cnn_spec_add(struct cnn_spec *spec, enum cnn_layer_type type, struct err *e);
bool cnn_spec_copy(struct cnn_spec *to, const struct cnn_spec *from, struct err *e);
void cnn_spec_clear(struct cnn_spec *spec);

/* Convenience: the same number on each of the first `dims` user axes (W; H,W; D,H,W). */
void cnn_window_set(struct cnn_window *window, int dims, int kernel, int stride);

/* "conv", "max_pool", "relu"...: the type without its dimensions; and back, -1 if unknown. */
const char *cnn_layer_type_name(enum cnn_layer_type type);
int cnn_layer_type_find(const char *name);

#endif
