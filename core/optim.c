/* DESIGN: an optimizer is one elementwise loop over the parameter block. The block is cut into
 * fixed runs of BLOCK floats, which threads share out: what is computed for a parameter, and by
 * which instructions, never depends on the number of threads. */
#include "optim.h"

#include <math.h>
#include <stdlib.h>

#include "limits.h"
#include "memory.h"

enum { BLOCK = 16384 }; /* floats; four blocks of it stay within a 256 KiB cache */

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
    float *first;  /* [count] momentum buffer, or mean of gradients; NULL if not used */
    float *second; /* [count] mean of squared gradients; NULL if not used */
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

/* What a step does to one run of parameters: constants as floats, then the loops. */
struct update {
    enum cnn_optim_type type;
    bool nesterov;
    float lr, momentum, decay, epsilon;
    float keep1, take1, keep2, take2; /* mean = keep * mean + take * new */
    float keep_weight;                /* adamw: 1 - lr * decay */
    float step_size, root_scale;      /* adam: lr / bias1, 1 / sqrt(bias2) */
};

static struct update update_of(const struct cnn_optim *optim, double lr)
{
    const struct cnn_optim_config *c = &optim->config;
    double steps = (double)optim->steps;
    double second = c->type == CNN_RMSPROP ? c->alpha : c->beta2;
    return (struct update){
        .type = c->type,
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

static void update_sgd(const struct update *u, size_t n, float *restrict w, const float *restrict g,
                       float *restrict first)
{
    for (size_t i = 0; i < n; i++) {
        float gradient = g[i] + u->decay * w[i];
        if (first) {
            first[i] = u->momentum * first[i] + gradient;
            gradient = u->nesterov ? gradient + u->momentum * first[i] : first[i];
        }
        w[i] -= u->lr * gradient;
    }
}

static void update_adam(const struct update *u, size_t n, float *restrict w,
                        const float *restrict g, float *restrict first, float *restrict second)
{
    for (size_t i = 0; i < n; i++) {
        float weight = w[i] * u->keep_weight;
        float gradient = g[i] + u->decay * weight;
        first[i] = u->keep1 * first[i] + u->take1 * gradient;
        second[i] = u->keep2 * second[i] + u->take2 * gradient * gradient;
        w[i] = weight - u->step_size * first[i] / (sqrtf(second[i]) * u->root_scale + u->epsilon);
    }
}

static void update_rmsprop(const struct update *u, size_t n, float *restrict w,
                           const float *restrict g, float *restrict first, float *restrict second)
{
    for (size_t i = 0; i < n; i++) {
        float gradient = g[i] + u->decay * w[i];
        second[i] = u->keep2 * second[i] + u->take2 * gradient * gradient;
        gradient /= sqrtf(second[i]) + u->epsilon;
        if (first)
            gradient = first[i] = u->momentum * first[i] + gradient;
        w[i] -= u->lr * gradient;
    }
}

void cnn_optim_step(struct cnn_optim *optim, float *params, const float *grads, double lr,
                    int threads)
{
    optim->steps++;
    struct update u = update_of(optim, lr);
    size_t blocks = (optim->count + BLOCK - 1) / BLOCK;
    float *firsts = optim->first, *seconds = optim->second;
#pragma omp parallel for num_threads(threads) schedule(static) if (blocks > 1)
    for (size_t block = 0; block < blocks; block++) {
        size_t at = block * BLOCK;
        size_t n = optim->count - at < BLOCK ? optim->count - at : BLOCK;
        float *first = firsts ? firsts + at : NULL;
        float *second = seconds ? seconds + at : NULL;
        if (u.type == CNN_SGD)
            update_sgd(&u, n, params + at, grads + at, first);
        else if (u.type == CNN_RMSPROP)
            update_rmsprop(&u, n, params + at, grads + at, first, second);
        else
            update_adam(&u, n, params + at, grads + at, first, second);
    }
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

/* Sum of squares in four lanes, so that additions need not wait for each other. */
static double squares(const float *x, size_t n)
{
    double lanes[4] = {0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        for (int lane = 0; lane < 4; lane++)
            lanes[lane] += (double)x[i + lane] * x[i + lane];
    }
    for (; i < n; i++)
        lanes[0] += (double)x[i] * x[i];
    return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

double cnn_clip_norm(float *grads, size_t count, double limit)
{
    double sum = 0;
    for (size_t at = 0; at < count; at += BLOCK)
        sum += squares(grads + at, count - at < BLOCK ? count - at : BLOCK);
    double norm = sqrt(sum);
    if (limit > 0 && norm > limit && isfinite(norm)) {
        float scale = (float)(limit / norm);
        for (size_t i = 0; i < count; i++)
            grads[i] *= scale;
    }
    return norm;
}
