/* step.h - the gradient of one batch, on many threads, with the same bits for any number of them.
 *
 * The batch is cut into shards whose number and borders depend on the net's parameter count and
 * the batch size alone. Each shard runs forward, loss and backward serially into a gradient block
 * of its own; the blocks are then added in shard order. Batch-norm needs sums over the whole
 * batch, so nets that hold one run in segments with a barrier, and a fixed-order sum, between
 * them. Memory: a gradient block a shard, at most 64 MiB in all or 8 blocks, and a workspace a
 * thread (a shard, in nets with batch-norm).
 */
#ifndef STRIDED_STEP_H
#define STRIDED_STEP_H

#include "dataset.h"
#include "loss.h"
#include "net.h"

struct cnn_step;

/* For batches of up to batch_max (at least 1); allocates all that a gradient needs besides the
 * net, so that running it allocates nothing. Belongs to one caller; borrows net. threads is at
 * least 1. NULL when out of memory. */
struct cnn_step *cnn_step_new(struct cnn_net *net, int batch_max, struct cnn_loss loss, int threads,
                              struct err *e);
void cnn_step_free(struct cnn_step *step);
size_t cnn_step_bytes(const struct cnn_step *step);

struct cnn_step_result {
    double loss; /* mean over the batch */
    int correct; /* samples whose largest output is their label */
};

/* Gradients of the mean loss over samples index[0..n), n up to batch_max, into the step's block;
 * the net's running statistics move; parameters do not. seed and number name the dropout masks.
 * The samples fit the net (cnn_samples_fit). Cannot fail; a loss that is not finite is returned
 * as it is. */
struct cnn_step_result cnn_step_run(struct cnn_step *step, const struct cnn_samples *samples,
                                    const uint32_t *index, int n, uint64_t seed, uint64_t number);
/* [net->param_count], laid out as the head of net->params; valid until the next run. The caller
 * may change it (clipping). */
float *cnn_step_grads(struct cnn_step *step);

#endif
