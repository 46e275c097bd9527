/* layer.h - what a layer is to the engine: one table of operations, one file under layers/.
 *
 * All tensors are channels-last, n samples: [n, D, H, W, C]. Layers are serial and keep no state:
 * the caller runs them on many threads with different buffers. Adding a layer touches its file,
 * the table in layers/table.c, the architecture reader, the ONNX map and its test.
 */
#ifndef STRIDED_LAYER_H
#define STRIDED_LAYER_H

#include "kernels.h"
#include "net.h"

/* One call of a layer: which samples, and where everything is. */
struct cnn_pass {
    int n;                           /* samples */
    bool training;                   /* dropout drops, batch-norm uses the batch */
    const float *in[CNN_INPUTS_MAX]; /* [n, in shape] */
    float *out;                      /* [n, out shape] */
    const float *params;             /* the node's part of the block: tensor t of the node is at
                                        params + tensors[first+t].offset - tensors[first].offset
                                        for trainable ones */
    const float *stats;              /* the node's running statistics (batch_norm), else NULL */
    const struct epilogue *tail;     /* conv, dense: what is fused behind it (plan.h), NULL for
                                        nothing; out is then the output of that. A bias in it takes
                                        the place of the layer's own */
    bool packed;                     /* dense: params are what gemm_pack made of the weights */
    void *kept;                      /* kept from forward to backward: n * kept_bytes; of a
                                        conv with a pool behind it: the winners */
    float *scratch;                  /* scratch_floats, contents undefined between calls */
    uint64_t seed, step;             /* of dropout: masks depend on (seed, step, node, sample) */
    int node;
    int first_sample; /* position of sample 0 in the whole batch */
    /* Sums over the whole batch, for layers with sync_doubles; batch_count samples in all. */
    const double *sync;
    int batch_count;
    /* Backward only. in, out and kept are those of the forward pass; in and out only if the op
     * says that it reads them. */
    const float *dout;          /* [n, out shape], of what stands in front of the tail's act */
    float *din[CNN_INPUTS_MAX]; /* overwritten; NULL = gradient not wanted */
    float *dparams;             /* accumulated (+=), laid out as params */
    const float *prepared;      /* what op->prepare made of params; forward: or NULL */
    /* Of backward_part, which may also overwrite dparams and add to din. */
    bool overwrites_dparams, adds_to_din;
};

enum { CNN_READS_IN = 1, CNN_READS_OUT = 2 };

struct cnn_op {
    const char *type;
    /* Checks spec against in[], resolves padding, sets out. Errors name the field only; the net
     * adds "layers[i]" and the layer's name. */
    bool (*infer)(struct cnn_node *node, struct err *e);
    /* Describes tensor t = 0, 1, ... (role, trainable, fan_in, rank, dims); false when there are
     * no more. Trainable ones first. NULL: the layer has none. */
    bool (*param)(const struct cnn_node *node, int t, struct cnn_param *param);
    uint64_t (*macs)(const struct cnn_node *node);     /* NULL: 0 */
    size_t (*kept_bytes)(const struct cnn_node *node); /* a sample; NULL: 0 */
    /* For up to n samples and this tail (NULL: none), both ways or forward only; NULL: 0 */
    size_t (*scratch_floats)(const struct cnn_node *node, const struct epilogue *tail, int n,
                             bool training);
    void (*forward)(const struct cnn_node *node, const struct cnn_pass *pass);
    void (*backward)(const struct cnn_node *node, const struct cnn_pass *pass);
    int backward_reads; /* CNN_READS_IN, CNN_READS_OUT: what must be kept for it */

    /* Parameters as its kernels read them, made once for many calls: both ways or forward only. */
    size_t (*prepared_floats)(const struct cnn_node *node, bool training); /* NULL: 0 */
    void (*prepare)(const struct cnn_node *node, const float *params, bool training,
                    float *prepared);

    /* Layers that are one matrix product over the whole batch (dense) cut it into parts, by the
     * node and the batch alone: any thread runs any part, in any order, and together they do what
     * forward (backward) does. NULL: the layer is run a few samples at a time. */
    int (*forward_parts)(const struct cnn_node *node, int n);
    void (*forward_part)(const struct cnn_node *node, const struct cnn_pass *pass, int part);
    int (*backward_parts)(const struct cnn_node *node, int n);
    void (*backward_part)(const struct cnn_node *node, const struct cnn_pass *pass, int part);

    /* Layers that need sums over the whole batch when training (batch_norm): the engine calls
     * forward_sums (which overwrites sums) on every shard before any forward, adds the results in
     * shard order, and hands the total to forward as pass->sync; likewise backward_sums before
     * backward. */
    int (*sync_doubles)(const struct cnn_node *node); /* NULL: 0 */
    void (*forward_sums)(const struct cnn_node *node, const struct cnn_pass *pass, double *sums);
    void (*backward_sums)(const struct cnn_node *node, const struct cnn_pass *pass, double *sums);
    /* After a training step: moves running statistics towards the batch's. */
    void (*update_stats)(const struct cnn_node *node, const double *sync, int batch_count,
                         float *stats);
};

extern const struct cnn_op cnn_op_conv, cnn_op_max_pool, cnn_op_avg_pool, cnn_op_global_avg_pool,
    cnn_op_dense, cnn_op_flatten, cnn_op_relu, cnn_op_leaky_relu, cnn_op_tanh, cnn_op_sigmoid,
    cnn_op_softmax, cnn_op_log_softmax, cnn_op_dropout, cnn_op_batch_norm, cnn_op_add,
    cnn_op_concat;

/* The table of layers/table.c, by type. */
const struct cnn_op *cnn_op_of(enum cnn_layer_type type);

/* Sizes of a sliding window: floor((n + before + after - dilation*(kernel-1) - 1)/stride) + 1 on
 * each axis (REFERENCE: floor((n + 2p - k)/s) + 1). Checks every number, resolves padding modes
 * into before/after. `type` is the layer's, without dimensions, for the error when window->dims is
 * not the input's rank. Fails when the window does not fit ("kernel 7 exceeds padded input 5").
 * Leaves out->c to the caller. layers/window.c */
bool cnn_window_infer(const char *type, struct cnn_window *window, const struct cnn_shape *in,
                      struct cnn_shape *out, struct err *e);

/* What several layers share; layers/table.c. */

/* The infer of layers whose output has the shape of their input. */
bool cnn_infer_same(struct cnn_node *node, struct err *e);
/* Fails unless low <= value <= high: "filters is 0, expected 1 to 1048576". */
bool cnn_check_range(const char *field, long long value, long long low, long long high,
                     struct err *e);

#endif
