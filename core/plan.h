/* plan.h - a net's nodes grouped into stages, each of which runs as one.
 *
 * A stage is a node and what is fused behind it, each with one reader, the next:
 *   conv, then an activation and a max_pool of windows up to POOL_WINDOW_MAX, in either order;
 *   dense, then an activation;
 * and, for inference, a batch_norm in front of those, which then is part of the weights. Any other
 * node is a stage of its own. Only a stage's output is ever in memory: not the sums of a pooled
 * convolution, not what stands in front of an activation. Activations whose slope cannot be told
 * from their output (leaky_relu with a slope of 0 or less) are not fused.
 *
 * Nodes that change nothing are no stage at all: a flatten that moves nothing and, for inference,
 * dropout and a flatten that only dense layers read, whose weights are then brought into the map's
 * own order; readers get what those read. Stages stand in topological order. Read-only once made.
 */
#ifndef STRIDED_PLAN_H
#define STRIDED_PLAN_H

#include "kernels.h"
#include "net.h"

enum cnn_fusion {
    CNN_EACH_NODE, /* nothing is fused: stage i is node i */
    CNN_FOR_TRAINING,
    CNN_FOR_INFERENCE,
};

struct cnn_stage {
    int node;             /* its op runs */
    int norm;             /* the batch_norm that its weights hold, or -1 */
    int flatten;          /* the flatten that the order of its weights makes up for, or -1 */
    int last;             /* the node whose output the stage's is; `node` when nothing is fused */
    struct epilogue tail; /* act and pool; without bias and winner */
    struct pool_geometry pool;
    int inputs[CNN_INPUTS_MAX]; /* stages, or CNN_FROM_INPUT; as many as the node has */
    bool adds[CNN_INPUTS_MAX];  /* backward: this input's gradient is already there in part,
                                   because another reader runs earlier */
    bool wants_grad;            /* a trainable parameter stands at or before the stage */
};

struct cnn_plan {
    const struct cnn_net *net; /* borrowed */
    int stage_count;
    struct cnn_stage stages[]; /* [stage_count]; the last gives the net's output */
};

/* NULL when out of memory; free with free(). */
struct cnn_plan *cnn_plan_new(const struct cnn_net *net, enum cnn_fusion fusion, struct err *e);

const struct cnn_node *cnn_stage_node(const struct cnn_plan *plan, int stage);
/* Of CNN_FROM_INPUT: the net's input. */
const struct cnn_shape *cnn_stage_out(const struct cnn_plan *plan, int stage);
/* Trainable floats of the stage, from *offset of net->params on. */
size_t cnn_stage_params(const struct cnn_plan *plan, int stage, size_t *offset);
/* What the stage keeps from forward to backward, bytes a sample. */
size_t cnn_stage_kept_bytes(const struct cnn_plan *plan, int stage);
/* Whether its backward pass reads its inputs, and its output. */
bool cnn_stage_reads_in(const struct cnn_plan *plan, int stage);
bool cnn_stage_reads_out(const struct cnn_plan *plan, int stage);

#endif
