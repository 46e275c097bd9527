/* DESIGN: an optimizer is one elementwise loop over runs of the parameter block: what is computed
 * for a parameter never depends on how a caller shares it out. */
#include "optim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "limits.h"
#include "memory.h"

static const char *const optim_names[CNN_OPTIM_COUNT] = {
    [CNN_SGD] = "sgd",
    [CNN_ADAM] = "adam",
    [CNN_ADAMW] = "adamw",
    [CNN_RMSPROP] = "rmsprop",
};

const char *cnn_optim_name(enum cnn_optim_type type)
{
    return optim_names[type];
}

struct cnn_optim_config cnn_optim_defaults(enum cnn_optim_type type)
{
    bool adam = type == CNN_ADAM || type == CNN_ADAMW;
    return (struct cnn_optim_config){
        .type = type,
        .lr = adam ? 0.001 : 0.01,
        .weight_decay = type == CNN_ADAMW ? 0.01 : 0,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .alpha = 0.99,
        .epsilon = 1e-8,
    };
}

/* low <= value < high; NaN is out of range too. */
static bool check_range(const char *field, const char *name, double value, double low, double high,
                        struct err *e)
{
    if (value >= low && value < high)
        return true;
    return err_field(e, ERR_INVALID, field, "%s %g is not in [%g, %g)", name, value, low, high);
}

static bool check_lr(const char *field, double lr, struct err *e)
{
    if (lr > 0 && lr <= CNN_LR_MAX)
        return true;
    return err_field(e, ERR_INVALID, field, "learning rate %g is not in (0, %d]", lr, CNN_LR_MAX);
}

bool cnn_optim_check(const struct cnn_optim_config *config, struct err *e)
{
    if ((int)config->type < 0 || config->type >= CNN_OPTIM_COUNT)
        return err_field(e, ERR_INVALID, "optimizer.type", "unknown optimizer");
    const char *name = optim_names[config->type];
    bool adam = config->type == CNN_ADAM || config->type == CNN_ADAMW;
    if (!check_lr("optimizer.lr", config->lr, e) ||
        !check_range("optimizer.momentum", "momentum", config->momentum, 0, 1, e) ||
        !check_range("optimizer.weight_decay", "weight decay", config->weight_decay, 0, 1000, e) ||
        !check_range("optimizer.beta1", "beta1", config->beta1, 0, 1, e) ||
        !check_range("optimizer.beta2", "beta2", config->beta2, 0, 1, e) ||
        !check_range("optimizer.alpha", "alpha", config->alpha, 0, 1, e) ||
        !check_range("optimizer.epsilon", "epsilon", config->epsilon, 1e-30, 1, e))
        return false;
    if (adam && config->momentum > 0)
        return err_field(e, ERR_INVALID, "optimizer.momentum",
                         "momentum is not an option of '%s'; set beta1", name);
    if (config->nesterov && config->type != CNN_SGD)
        return err_field(e, ERR_INVALID, "optimizer.nesterov", "nesterov is not an option of '%s'",
                         name);
    if (config->nesterov && config->momentum == 0)
        return err_field(e, ERR_INVALID, "optimizer.nesterov", "nesterov needs a momentum above 0");
    return true;
}

struct cnn_optim {
    struct cnn_optim_config config;
    size_t count;
    int64_t steps;
    struct param_update update; /* of the present step */
    float *first;  /* [count] momentum buffer, or mean of gradients; NULL if not used */
    float *second; /* [count] mean of squared gradients; NULL if not used */
};

static const enum update_rule rules[CNN_OPTIM_COUNT] = {
    [CNN_SGD] = UPDATE_SGD,
    [CNN_ADAM] = UPDATE_ADAM,
    [CNN_ADAMW] = UPDATE_ADAM,
    [CNN_RMSPROP] = UPDATE_RMSPROP,
};

struct cnn_optim *cnn_optim_new(const struct cnn_optim_config *config, size_t count, struct err *e)
{
    bool uses_second = config->type != CNN_SGD;
    bool uses_first = config->momentum > 0 || config->type == CNN_ADAM || config->type == CNN_ADAMW;
    struct cnn_optim *optim = calloc(1, sizeof *optim);
    if (!optim) {
        err_no_memory(e);
        return NULL;
    }
    optim->config = *config;
    optim->count = count;
    if ((uses_first && !(optim->first = memory_new(count, sizeof(float), e))) ||
        (uses_second && !(optim->second = memory_new(count, sizeof(float), e)))) {
        cnn_optim_free(optim);
        return NULL;
    }
    return optim;
}

void cnn_optim_free(struct cnn_optim *optim)
{
    if (!optim)
        return;
    free(optim->first);
    free(optim->second);
    free(optim);
}

struct cnn_optim_state cnn_optim_state(const struct cnn_optim *optim)
{
    return (struct cnn_optim_state){optim->steps, optim->first, optim->second};
}

bool cnn_optim_restore(struct cnn_optim *optim, const struct cnn_optim_state *state, struct err *e)
{
    if (!state->first != !optim->first || !state->second != !optim->second)
        return err_set(e, ERR_INVALID, "moments are not those of '%s'",
                       optim_names[optim->config.type]);
    if (state->steps < 0)
        return err_set(e, ERR_INVALID, "optimizer has made %lld steps", (long long)state->steps);
    optim->steps = state->steps;
    if (optim->first)
        memcpy(optim->first, state->first, optim->count * sizeof *optim->first);
    if (optim->second)
        memcpy(optim->second, state->second, optim->count * sizeof *optim->second);
    return true;
}

static struct param_update update_of(const struct cnn_optim *optim, double lr)
{
    const struct cnn_optim_config *c = &optim->config;
    double steps = (double)optim->steps;
    double second = c->type == CNN_RMSPROP ? c->alpha : c->beta2;
    return (struct param_update){
        .rule = rules[c->type],
        .nesterov = c->nesterov,
        .lr = (float)lr,
        .momentum = (float)c->momentum,
        .decay = c->type == CNN_ADAMW ? 0 : (float)c->weight_decay,
        .epsilon = (float)c->epsilon,
        .keep1 = (float)c->beta1,
        .take1 = (float)(1 - c->beta1),
        .keep2 = (float)second,
        .take2 = (float)(1 - second),
        .keep_weight = c->type == CNN_ADAMW ? (float)(1 - lr * c->weight_decay) : 1,
        .step_size = (float)(lr / (1 - pow(c->beta1, steps))),
        .root_scale = (float)(1 / sqrt(1 - pow(c->beta2, steps))),
    };
}

void cnn_optim_begin(struct cnn_optim *optim, double lr)
{
    optim->steps++;
    optim->update = update_of(optim, lr);
}

void cnn_optim_update(const struct cnn_optim *optim, float *params, const float *grads,
                      size_t first, size_t count)
{
    cnn_kernels()->update_params(&optim->update, count, params + first, grads + first,
                                 optim->first ? optim->first + first : NULL,
                                 optim->second ? optim->second + first : NULL);
}

static const char *const schedule_names[CNN_SCHEDULE_COUNT] = {
    [CNN_CONSTANT] = "constant",
    [CNN_STEP] = "step",
    [CNN_COSINE] = "cosine",
};

const char *cnn_schedule_name(enum cnn_schedule_type type)
{
    return schedule_names[type];
}

bool cnn_schedule_check(const struct cnn_schedule *schedule, struct err *e)
{
    if ((int)schedule->type < 0 || schedule->type >= CNN_SCHEDULE_COUNT)
        return err_field(e, ERR_INVALID, "schedule.type", "unknown schedule");
    if (schedule->type == CNN_STEP) {
        if (schedule->step_epochs < 1 || schedule->step_epochs > CNN_EPOCHS_MAX)
            return err_field(e, ERR_INVALID, "schedule.step_epochs",
                             "step_epochs %d is not in 1..%d", schedule->step_epochs,
                             CNN_EPOCHS_MAX);
        if (!(schedule->gamma > 0 && schedule->gamma <= 1))
            return err_field(e, ERR_INVALID, "schedule.gamma", "gamma %g is not in (0, 1]",
                             schedule->gamma);
    }
    if (schedule->type == CNN_COSINE &&
        !check_range("schedule.min_lr", "min_lr", schedule->min_lr, 0, CNN_LR_MAX, e))
        return false;
    return check_range("schedule.warmup_epochs", "warmup_epochs", schedule->warmup_epochs, 0,
                       CNN_EPOCHS_MAX, e);
}

double cnn_schedule_lr(const struct cnn_schedule *schedule, double lr, int64_t step,
                       int64_t steps_per_epoch, int epochs)
{
    double warmup = schedule->warmup_epochs * (double)steps_per_epoch; /* steps */
    if ((double)step < warmup)
        return lr * fmin(1, (double)(step + 1) / warmup);
    double past = (double)step - warmup;
    if (schedule->type == CNN_STEP) {
        double period = (double)schedule->step_epochs * (double)steps_per_epoch;
        return lr * pow(schedule->gamma, floor(past / period));
    }
    if (schedule->type == CNN_COSINE) {
        double last = (double)steps_per_epoch * epochs - 1 - warmup;
        double done = last > 0 ? fmin(1, past / last) : 0;
        const double pi = 3.14159265358979323846;
        return schedule->min_lr + (lr - schedule->min_lr) * 0.5 * (1 + cos(pi * done));
    }
    return lr;
}
