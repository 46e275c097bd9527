/* workspace.h - a net run node by node, with every feature map kept to be looked at.
 *
 * The plain way, against which the fast ones (step.h, predictor.h) are tested. Belongs to one
 * thread at a time. Sized when made; running allocates nothing. A workspace of mode CNN_TRAIN also
 * holds the gradients of feature maps and what layers keep for backward.
 */
#ifndef STRIDED_WORKSPACE_H
#define STRIDED_WORKSPACE_H

#include "net.h"

enum cnn_mode { CNN_INFER, CNN_TRAIN };

struct cnn_workspace;
struct cnn_frame; /* engine.h */

/* For up to `capacity` samples at a time; borrows net, which must outlive it. */
struct cnn_workspace *cnn_workspace_new(const struct cnn_net *net, int capacity, enum cnn_mode mode,
                                        struct err *e);
void cnn_workspace_free(struct cnn_workspace *ws);
int cnn_workspace_capacity(const struct cnn_workspace *ws);
size_t cnn_workspace_bytes(const struct cnn_workspace *ws);

/* Where the caller puts its n samples, channels-last: [n, D, H, W, C]. */
float *cnn_workspace_input(struct cnn_workspace *ws);
/* A node's feature map after a run, channels-last; -1 is the net's last node. */
const float *cnn_workspace_map(const struct cnn_workspace *ws, int node);

/* For cnn_run_forward and so on; stage i is node i. In mode CNN_TRAIN layers read weights as they
 * like them, made from the net's present parameters by cnn_workspace_prepare: before each run on
 * other parameters. */
const struct cnn_frame *cnn_workspace_frame(const struct cnn_workspace *ws);
void cnn_workspace_prepare(struct cnn_workspace *ws);
/* Where the loss writes its gradient: [n, out]. Mode CNN_TRAIN. */
float *cnn_workspace_output_grad(struct cnn_workspace *ws);

/* Inference on the first n samples of the input buffer; serial. Returns the output, [n, units],
 * valid until the next run. */
const float *cnn_forward(const struct cnn_net *net, struct cnn_workspace *ws, int n);

/* The same from canonical samples [n, C, D, H, W] of the caller, n up to the capacity. */
const float *cnn_forward_canonical(const struct cnn_net *net, struct cnn_workspace *ws,
                                   const float *x, int n);

/* Class scores (probabilities) from a net's output, in place, [n, classes]: softmax of logits
 * and of log-softmax; what softmax and sigmoid layers give stands as it is. */
void cnn_scores(const struct cnn_net *net, float *out, int n);

#endif
