/* optim.h - optimizers and learning-rate schedules: one loop over one block each.
 *
 * Formulas and defaults are PyTorch's (torch.optim): SGD with momentum, dampening 0 and Nesterov;
 * Adam (Kingma and Ba 2015) with L2 weight decay; AdamW (Loshchilov and Hutter 2019) with decoupled
 * decay; RMSprop (Hinton) with smoothing alpha and optional momentum.
 */
#ifndef STRIDED_OPTIM_H
#define STRIDED_OPTIM_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

enum { CNN_LR_MAX = 1000000 }; /* a learning rate past it is refused */

enum cnn_optim_type { CNN_SGD, CNN_ADAM, CNN_ADAMW, CNN_RMSPROP, CNN_OPTIM_COUNT };
const char *cnn_optim_name(enum cnn_optim_type type); /* "sgd", "adam", "adamw", "rmsprop" */

struct cnn_optim_config {
    enum cnn_optim_type type;
    double lr;
    double momentum;     /* sgd, rmsprop; default 0 */
    bool nesterov;       /* sgd */
    double weight_decay; /* default 0; adamw 0.01 */
    double beta1, beta2; /* adam, adamw; .9 .999 */
    double alpha;        /* rmsprop; .99 */
    double epsilon;      /* 1e-8 */
};
/* The defaults of a type; lr: sgd .01, adam and adamw .001, rmsprop .01. */
struct cnn_optim_config cnn_optim_defaults(enum cnn_optim_type type);
/* Refuses what is out of range or not finite, and momentum or nesterov where the type has none;
 * names "optimizer.lr" and so on. */
bool cnn_optim_check(const struct cnn_optim_config *config, struct err *e);

struct cnn_optim; /* config, step count and moment blocks */
struct cnn_optim *cnn_optim_new(const struct cnn_optim_config *config, size_t count, struct err *e);
void cnn_optim_free(struct cnn_optim *optim);
/* One step with learning rate lr: begin, then every parameter once, in runs of any size, by any
 * threads, in any order. Elementwise, so that how it is shared changes no bit. */
void cnn_optim_begin(struct cnn_optim *optim, double lr);
/* Parameters first .. first+count-1. */
void cnn_optim_update(const struct cnn_optim *optim, float *params, const float *grads,
                      size_t first, size_t count);

/* What makes the next step what it is: how many came before, and the moments. */
struct cnn_optim_state {
    int64_t steps;
    const float *first, *second; /* [count] each; NULL where the type and options use none */
};
/* Borrowed from the optimizer; an update changes the numbers in place. */
struct cnn_optim_state cnn_optim_state(const struct cnn_optim *optim);
/* Copies it in. ERR_INVALID when it has other moments than this optimizer. */
bool cnn_optim_restore(struct cnn_optim *optim, const struct cnn_optim_state *state, struct err *e);

enum cnn_schedule_type { CNN_CONSTANT, CNN_STEP, CNN_COSINE, CNN_SCHEDULE_COUNT };
const char *cnn_schedule_name(enum cnn_schedule_type type); /* "constant", "step", "cosine" */

struct cnn_schedule {
    enum cnn_schedule_type type;
    int step_epochs;      /* step: every so many epochs ... */
    double gamma;         /* ... the rate is multiplied by this */
    double min_lr;        /* cosine: the floor, reached at the last step of several */
    double warmup_epochs; /* linear from 0 over the first epochs; 0 = none. The type's own curve
                             starts where warm-up ends; the first step is above 0 */
};
/* Checks what the type reads; names "schedule.gamma" and so on. */
bool cnn_schedule_check(const struct cnn_schedule *schedule, struct err *e);
/* The rate at `step` (0-based, of steps_per_epoch * epochs in all). Only cosine reads epochs: a run
 * that goes on for more of them follows the longer curve from there. */
double cnn_schedule_lr(const struct cnn_schedule *schedule, double lr, int64_t step,
                       int64_t steps_per_epoch, int epochs);

#endif
