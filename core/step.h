/* step.h - one training step on many threads, with the same bits for any number of them: the
 * gradient of a batch and, if wanted, the optimizer's update, in one parallel region.
 *
 * The batch is cut into shards whose number and borders depend on the net and the batch size alone.
 * Convolutions and whatever else has no weights of dense layers runs shard by shard, each adding
 * into a gradient block of its own, and the blocks are added in shard order; dense layers run over
 * the whole batch (phases.h). Memory: what backward reads again, for the whole batch; maps of a few
 * samples a thread; the shards' gradient blocks, 64 MiB in all or four of them.
 */
#ifndef STRIDED_STEP_H
#define STRIDED_STEP_H

#include "augment.h"
#include "loss.h"
#include "net.h"
#include "optim.h"

struct cnn_step;

/* For batches of up to batch_max (at least 1); allocates all that a step needs besides the net and
 * the optimizer, so that running it allocates nothing. Belongs to one caller; borrows net. threads
 * is at least 1. NULL when out of memory. */
struct cnn_step *cnn_step_new(struct cnn_net *net, int batch_max, struct cnn_loss loss, int threads,
                              struct err *e);
void cnn_step_free(struct cnn_step *step);
/* From now on samples are changed before they are looked at; they have this shape, which the
 * augmentation fits. At most once. False when out of memory. */
bool cnn_step_augment(struct cnn_step *step, const struct cnn_augment *augment,
                      const struct cnn_shape *shape, struct err *e);
/* All that it allocated, the net's gradient included. */
size_t cnn_step_bytes(const struct cnn_step *step);

/* How many threads, up to `most`, a step of such a batch is worth. More of them than work would
 * wait for each other, and the longer the busier the machine. */
int cnn_step_threads(const struct cnn_net *net, int batch, int most);

struct cnn_step_result {
    double loss; /* mean over the batch, weighted if classes are */
    double norm; /* Euclidean, of the gradient before clipping */
    int correct; /* samples whose largest output is their label */
};

/* Gradients of the mean loss over samples index[0..n), n up to batch_max, into the step's block;
 * the net's running statistics move; parameters do not. seed and number name the dropout masks and
 * what augmentation draws.
 * The samples fit the net (cnn_samples_fit). Cannot fail; a loss or norm that is not finite is
 * returned as it is. */
struct cnn_step_result cnn_step_run(struct cnn_step *step, const struct cnn_samples *samples,
                                    const uint32_t *index, int n, uint64_t seed, uint64_t number);
/* [net->param_count], laid out as the head of net->params; valid until the next run. */
const float *cnn_step_grads(const struct cnn_step *step);

struct cnn_step_update {
    struct cnn_optim *optim; /* of the net's param_count parameters */
    double lr;
    double clip_norm; /* the gradient is scaled down to this norm; <= 0: never */
};

/* The same, and then the update of the net's parameters, unless loss or norm is not finite. */
struct cnn_step_result cnn_step_train(struct cnn_step *step, const struct cnn_samples *samples,
                                      const uint32_t *index, int n, uint64_t seed, uint64_t number,
                                      const struct cnn_step_update *update);

#endif
