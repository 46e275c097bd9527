/* step.h - the gradient of one batch, on many threads, with the same bits for any number of them.
 *
 * The batch is cut into shards whose number and borders depend on the net and the batch size
 * alone. Each shard runs forward, loss and backward serially into a gradient block of its own;
 * the blocks are then added in shard order. Batch-norm needs sums over the whole batch, so nets
 * that hold one run in segments with a barrier, and a fixed-order sum, between them.
 */
#ifndef STRIDED_STEP_H
#define STRIDED_STEP_H

#include "dataset.h"
#include "loss.h"
#include "net.h"

struct cnn_step;

/* For batches of up to batch_max; allocates all that training needs besides the net and the
 * optimizer. Belongs to one caller; borrows net. */
struct cnn_step *cnn_step_new(struct cnn_net *net, int batch_max, struct cnn_loss loss,
                              int threads, struct err *e);
void cnn_step_free(struct cnn_step *step);
size_t cnn_step_bytes(const struct cnn_step *step);

struct cnn_step_result {
    double loss;     /* mean over the batch */
    int correct;     /* samples whose largest output is their label */
};

/* Gradients of the mean loss over samples index[0..n) into the step's block; the net's running
 * statistics move; parameters do not. seed and number name the dropout masks. */
struct cnn_step_result cnn_step_run(struct cnn_step *step, const struct cnn_samples *samples,
                                    const uint32_t *index, int n, uint64_t seed, uint64_t number);
float *cnn_step_grads(struct cnn_step *step); /* [net->param_count] */

#endif
