/* engine.h - runs a net node by node over a workspace; what inference and training share.
 *
 * Internal to core. Serial: a caller that wants threads gives each its own workspace. Gradients:
 * a layer overwrites its inputs' gradients; where a feature map has several readers the engine
 * adds them up. No gradient is computed for the net's input, nor for any node that has no
 * trainable parameter at or before it.
 *
 * A training step on one workspace:
 *   fill cnn_workspace_input(); cnn_run_forward(ws, run, 0, node_count);
 *   the loss reads cnn_workspace_map(ws, -1) and writes cnn_workspace_output_grad(ws);
 *   cnn_run_backward_begin(ws); cnn_run_backward(ws, run, 0, node_count).
 * A net with nodes that need sums over the whole batch (op->sync_doubles) is run in ranges: up to
 * such a node, its sums on every shard, their total into run->sync, onwards from that node; and
 * the same downwards, with the node as the last of its range.
 */
#ifndef STRIDED_ENGINE_H
#define STRIDED_ENGINE_H

#include "layer.h"
#include "workspace.h"

struct cnn_run {
    int n;            /* samples in this workspace, 1..capacity */
    int first_sample; /* position of sample 0 in the whole batch */
    int batch_count;  /* samples of the whole batch */
    bool training;    /* needs a workspace of mode CNN_TRAIN */
    uint64_t seed, step;
    const double *const *sync; /* [node_count]: totals over the batch of the direction being run,
                                  for nodes with sync_doubles; NULL when the net has none */
    float *grads;              /* [net->param_count], accumulated; backward only */
};

/* Doubles that this node sums over the batch when training; 0 for most. */
int cnn_node_sync_doubles(const struct cnn_node *node);

/* Nodes first .. end-1, upwards. */
void cnn_run_forward(struct cnn_workspace *ws, const struct cnn_run *run, int first, int end);
/* This workspace's part of the node's sums over its input; overwrites sums[sync_doubles]. Every
 * node before it must have run. */
void cnn_run_forward_sums(struct cnn_workspace *ws, const struct cnn_run *run, int node,
                          double *sums);

/* Where the loss writes its gradient: [n, out]. */
float *cnn_workspace_output_grad(struct cnn_workspace *ws);
/* Once a batch, before the first backward range: the output's gradient is set, no other. */
void cnn_run_backward_begin(struct cnn_workspace *ws);
/* Nodes end-1 .. first, downwards. */
void cnn_run_backward(struct cnn_workspace *ws, const struct cnn_run *run, int first, int end);
/* Overwrites sums[sync_doubles]. Every node after it must have run backward. */
void cnn_run_backward_sums(struct cnn_workspace *ws, const struct cnn_run *run, int node,
                           double *sums);
/* After the step, once: moves every node's running statistics in net->params (stats part) by the
 * forward totals. */
void cnn_net_update_stats(struct cnn_net *net, const double *const *sync, int batch_count);

#endif
