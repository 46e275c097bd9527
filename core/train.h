/* train.h - the trainer: epochs of shuffled batches over a net, with validation after each.
 *
 * Same net, samples, configuration and seed: the same weights bit for bit, at any number of
 * threads (on one instruction set), and however often it was stopped and went on.
 */
#ifndef STRIDED_TRAIN_H
#define STRIDED_TRAIN_H

#include "augment.h"
#include "eval.h"
#include "optim.h"

enum cnn_publish { CNN_PUBLISH_BEST, CNN_PUBLISH_LAST };

/* An epoch: every sample once, or as many draws in which every class is as frequent. */
enum cnn_sampling { CNN_SAMPLING_SHUFFLE, CNN_SAMPLING_BALANCED };

/* What the loss on a sample of each class counts (loss.h); in training only: what is validated and
 * evaluated is unweighted. */
enum cnn_weighting { CNN_WEIGHTS_EVEN, CNN_WEIGHTS_BALANCED, CNN_WEIGHTS_GIVEN };

struct cnn_train_config {
    int epochs, batch_size;
    int threads;   /* at most; a small batch is trained on fewer (cnn_step_threads) */
    uint64_t seed; /* of shuffling, dropout and the validation split (not of the weights) */
    struct cnn_optim_config optimizer;
    struct cnn_schedule schedule;
    enum cnn_loss_type loss;
    double label_smoothing; /* [0, 1), of cross-entropy (loss.h); in training only */
    enum cnn_weighting weighting;
    const float *class_weights; /* GIVEN: [class_weight_count], borrowed */
    int class_weight_count;
    enum cnn_sampling sampling;
    struct cnn_augment augment; /* of the samples trained on, not of those validated on */
    double clip_norm;           /* <= 0: none */
    double validation_split;    /* [0,1): this part of the training samples, drawn by the seed, is
                                   held out and validated on instead of `validation` */
    enum cnn_publish publish;   /* which weights the net holds at the end */
    int patience;               /* early stopping: epochs without a better one; 0 = off */
};
/* 5 epochs, batch 32, Adam, cross-entropy, best weights, all threads of the machine. */
struct cnn_train_config cnn_train_defaults(void);
/* Bounds of limits.h and finite numbers; errors name the API's field ("batch_size"). */
bool cnn_train_check(const struct cnn_train_config *config, struct err *e);
/* Whether a good configuration goes with these samples: weights for each class, axes to augment. */
bool cnn_train_fits(const struct cnn_train_config *config, const struct cnn_samples *train,
                    struct err *e);

/* Which of `count` training samples validation_split holds out, at least one on each side:
 * *positions, to be freed also on failure, lists those to train on and then *held held out ones.
 * With a split of 0 none are. Fails with ERR_INVALID when there is one sample to split. */
bool cnn_train_split(uint32_t count, const struct cnn_train_config *config, uint32_t **positions,
                     uint32_t *held, struct err *e);

struct cnn_batch_report {
    int epoch, batch, batches; /* 1-based */
    double loss, accuracy;     /* of the epoch so far */
    double batch_loss;         /* of this batch */
    double lr;
};

struct cnn_epoch_report {
    int epoch;
    double loss, accuracy;      /* running means over the epoch's batches */
    const struct cnn_eval *val; /* NULL when there is nothing to validate on */
    bool best;                  /* the best so far: highest validation accuracy, then lowest
                                   validation loss; without validation, lowest training loss */
};

/* Where a run stands between two batches: with the net's shape, the samples and the configuration,
 * all that decides how it goes on. The random generator needs no place in it: what it draws is
 * named by the seed and the number of the epoch or step (rng.h), not by what was drawn before. */
struct cnn_train_state {
    int epoch,
        batch; /* so many batches of this epoch are done; past the last epoch: epochs + 1, 0 */
    /* Over those batches: loss times samples, and samples that were right. */
    double loss_sum;
    uint32_t correct;
    int best_epoch; /* 0: no epoch was completed; and its figures */
    double best_accuracy, best_loss;
    struct cnn_optim_state optim;
    const float *params; /* [state_count]; borrowed, like the moments and `best` */
    const float *best;   /* [state_count]; NULL: best_epoch is 0 */
};

struct cnn_train_hooks {
    void *context;
    /* After every optimizer step. */
    void (*batch)(void *context, const struct cnn_batch_report *report); /* may be NULL */
    /* After every epoch; false (with *e) ends training with that error. May be NULL. */
    bool (*epoch)(void *context, const struct cnn_epoch_report *report, struct err *e);
    /* Before every batch and, past the last epoch, at the end: the state to go on from, should the
     * caller wish to keep it. False (with *e) ends training. May be NULL. */
    bool (*checkpoint)(void *context, const struct cnn_train_state *state, struct err *e);
};

/* Starts the threads that so many need, in case what a process may allocate is limited later: their
 * stacks are there then. */
void cnn_train_start_threads(int threads);

struct cnn_train_result {
    int epochs_run, best_epoch;
    bool stopped_early;
};

/* Trains net in place. validation may be NULL or empty; hooks may be NULL. Fails with ERR_INVALID
 * (the configuration, or samples that do not fit), ERR_DIVERGED ("non-finite loss at epoch 2, batch
 * 17"), ERR_NO_MEMORY or a hook's error; then the net holds the best finite weights so far if an
 * epoch was completed (result->best_epoch > 0). */
bool cnn_train(struct cnn_net *net, const struct cnn_samples *train,
               const struct cnn_samples *validation, const struct cnn_train_config *config,
               const struct cnn_train_hooks *hooks, struct cnn_train_result *result, struct err *e);
/* Goes on from a state that a run of such a net on the same samples and configuration was in: every
 * bit becomes what it would have been without the stop, and reports are made as if, but for those
 * before it. config->epochs may be larger than it was. ERR_INVALID also for a state that no such
 * run can be in. */
bool cnn_train_resume(struct cnn_net *net, const struct cnn_samples *train,
                      const struct cnn_samples *validation, const struct cnn_train_config *config,
                      const struct cnn_train_state *state, const struct cnn_train_hooks *hooks,
                      struct cnn_train_result *result, struct err *e);

#endif
