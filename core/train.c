#include "train.h"

#include <math.h>
#include <omp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "balance.h"
#include "limits.h"
#include "memory.h"
#include "rng.h"
#include "step.h"

/* Streams of the training seed. */
enum { STREAM_SPLIT = 1, STREAM_SHUFFLE = 2 };

struct cnn_train_config cnn_train_defaults(void)
{
    int threads = omp_get_num_procs();
    return (struct cnn_train_config){
        .epochs = 5,
        .batch_size = 32,
        .threads = threads < CNN_THREADS_MAX ? threads : CNN_THREADS_MAX,
        .optimizer = cnn_optim_defaults(CNN_ADAM),
        .schedule = {.type = CNN_CONSTANT, .step_epochs = 1, .gamma = 0.1},
        .loss = CNN_CROSS_ENTROPY,
        .augment = cnn_augment_none(),
        .publish = CNN_PUBLISH_BEST,
    };
}

void cnn_train_start_threads(int threads)
{
    atomic_int there = 0;
#pragma omp parallel num_threads(threads)
    atomic_fetch_add(&there, 1);
}

static bool check_count(const char *field, int value, int low, int high, struct err *e)
{
    if (value >= low && value <= high)
        return true;
    return err_field(e, ERR_INVALID, field, "%s %d is not in %d..%d", field, value, low, high);
}

static bool check_balance(const struct cnn_train_config *config, struct err *e)
{
    if (config->sampling != CNN_SAMPLING_SHUFFLE && config->sampling != CNN_SAMPLING_BALANCED)
        return err_field(e, ERR_INVALID, "sampling", "unknown way of sampling");
    if (config->weighting == CNN_WEIGHTS_BALANCED && config->sampling == CNN_SAMPLING_BALANCED)
        return err_field(e, ERR_INVALID, "class_weights",
                         "weights and sampling are both balanced, which would count twice");
    if (config->weighting != CNN_WEIGHTS_GIVEN)
        return true;
    for (int i = 0; i < config->class_weight_count; i++) {
        const float weight = config->class_weights[i], most = CNN_CLASS_WEIGHT_MAX;
        if (!(weight >= 1 / most && weight <= most)) {
            err_field(e, ERR_INVALID, "", "weight %g is not in %g..%g", weight, 1 / most, most);
            return err_within(e, "class_weights[%d]", i);
        }
    }
    return true;
}

bool cnn_train_fits(const struct cnn_train_config *config, const struct cnn_samples *train,
                    struct err *e)
{
    if (config->weighting == CNN_WEIGHTS_GIVEN && config->class_weight_count != train->classes)
        return err_field(e, ERR_INVALID, "class_weights", "%d weights for %d classes",
                         config->class_weight_count, train->classes);
    return cnn_augment_fits(&config->augment, &train->shape, e);
}

bool cnn_train_check(const struct cnn_train_config *config, struct err *e)
{
    if (!check_count("epochs", config->epochs, 1, CNN_EPOCHS_MAX, e) ||
        !check_count("batch_size", config->batch_size, 1, CNN_BATCH_MAX, e) ||
        !check_count("threads", config->threads, 1, CNN_THREADS_MAX, e) ||
        !cnn_optim_check(&config->optimizer, e) || !cnn_schedule_check(&config->schedule, e) ||
        !check_balance(config, e) || !cnn_augment_check(&config->augment, e))
        return false;
    if (config->schedule.type == CNN_COSINE && config->schedule.min_lr > config->optimizer.lr)
        return err_field(e, ERR_INVALID, "schedule.min_lr", "min_lr %g exceeds learning rate %g",
                         config->schedule.min_lr, config->optimizer.lr);
    if ((int)config->loss < 0 || config->loss >= CNN_LOSS_COUNT)
        return err_field(e, ERR_INVALID, "loss", "unknown loss");
    if (!(config->label_smoothing >= 0 && config->label_smoothing < 1))
        return err_field(e, ERR_INVALID, "label_smoothing", "label_smoothing %g is not in [0, 1)",
                         config->label_smoothing);
    if (config->label_smoothing > 0 && config->loss != CNN_CROSS_ENTROPY)
        return err_field(e, ERR_INVALID, "label_smoothing",
                         "label_smoothing goes with cross_entropy, not with %s",
                         cnn_loss_name(config->loss));
    if (!isfinite(config->clip_norm))
        return err_field(e, ERR_INVALID, "clip_norm", "clip_norm is not finite");
    if (!(config->validation_split >= 0 && config->validation_split < 1))
        return err_field(e, ERR_INVALID, "validation_split", "validation_split %g is not in [0, 1)",
                         config->validation_split);
    if (config->publish != CNN_PUBLISH_BEST && config->publish != CNN_PUBLISH_LAST)
        return err_field(e, ERR_INVALID, "publish", "unknown choice of weights");
    if (config->patience < 0 || config->patience > CNN_EPOCHS_MAX)
        return err_field(e, ERR_INVALID, "early_stopping.patience", "patience %d is not in 0..%d",
                         config->patience, CNN_EPOCHS_MAX);
    return true;
}

/* One training run. */
struct trainer {
    struct cnn_net *net;
    const struct cnn_samples *train, *validation; /* validation: NULL when there is none */
    const struct cnn_train_config *config;
    const struct cnn_train_hooks *hooks;
    struct cnn_loss loss;        /* unweighted: of validation */
    float *weights;              /* [classes], of training; NULL: even */
    struct cnn_balance *balance; /* NULL: every sample once */
    struct cnn_step *step;
    struct cnn_optim *optim;
    /* Positions in `train`: [train_count] to train on, then [held_count] held out. */
    uint32_t *positions, train_count, held_count;
    uint32_t *order; /* [train_count], of this epoch */
    int batches;     /* an epoch */

    struct cnn_train_state at; /* its blocks are set when it is shown */
    float *best;               /* [state_count] */
};

bool cnn_train_split(uint32_t count, const struct cnn_train_config *config, uint32_t **positions,
                     uint32_t *held, struct err *e)
{
    *held = 0;
    *positions = memory_new(count, sizeof **positions, e);
    if (!*positions)
        return false;
    for (uint32_t i = 0; i < count; i++)
        (*positions)[i] = i;
    if (config->validation_split > 0) {
        if (count < 2)
            return err_field(e, ERR_INVALID, "validation_split", "one sample cannot be split");
        struct cnn_rng rng;
        cnn_rng_init(&rng, config->seed, STREAM_SPLIT);
        cnn_rng_shuffle(&rng, *positions, count);
        double part = floor(count * config->validation_split + 0.5);
        *held = (uint32_t)fmin(fmax(part, 1), count - 1);
    }
    return true;
}

static bool split_samples(struct trainer *t, struct err *e)
{
    if (!cnn_train_split(t->train->count, t->config, &t->positions, &t->held_count, e))
        return false;
    t->train_count = t->train->count - t->held_count;
    return true;
}

static bool init_balance(struct trainer *t, struct err *e)
{
    const struct cnn_train_config *config = t->config;
    const size_t classes = (size_t)t->train->classes;
    if (config->sampling == CNN_SAMPLING_BALANCED &&
        !(t->balance = cnn_balance_new(t->train, t->positions, t->train_count, e)))
        return false;
    if (config->weighting == CNN_WEIGHTS_EVEN)
        return true;
    if (!(t->weights = memory_new(classes, sizeof *t->weights, e)))
        return false;
    if (config->weighting == CNN_WEIGHTS_GIVEN)
        memcpy(t->weights, config->class_weights, classes * sizeof *t->weights);
    else
        cnn_balance_weights(t->train, t->positions, t->train_count, t->weights);
    return true;
}

static bool init_step(struct trainer *t, int batch_max, struct err *e)
{
    struct cnn_loss loss = t->loss;
    loss.weights = t->weights;
    loss.smoothing = t->config->label_smoothing;
    t->step = cnn_step_new(t->net, batch_max, loss,
                           cnn_step_threads(t->net, batch_max, t->config->threads), e);
    return t->step && (!cnn_augment_any(&t->config->augment) ||
                       cnn_step_augment(t->step, &t->config->augment, &t->train->shape, e));
}

static bool trainer_init(struct trainer *t, struct err *e)
{
    const struct cnn_train_config *config = t->config;
    if (!cnn_train_check(config, e) || !cnn_samples_fit(t->net, t->train, e) ||
        (t->validation && !cnn_samples_fit(t->net, t->validation, e)))
        return false;
    if (t->train->count == 0)
        return err_set(e, ERR_INVALID, "there are no samples to train on");
    if (t->net->param_count == 0)
        return err_set(e, ERR_INVALID, "model has no parameters to train");
    if (!cnn_train_fits(config, t->train, e) || !split_samples(t, e))
        return false;
    uint32_t batch_size = (uint32_t)config->batch_size;
    t->batches = (int)((t->train_count - 1) / batch_size + 1);
    int batch_max = (int)(t->train_count < batch_size ? t->train_count : batch_size);
    t->loss = cnn_loss_for(config->loss, t->net);
    return (t->order = memory_new(t->train_count, sizeof *t->order, e)) &&
           (t->best = memory_new(t->net->state_count, sizeof *t->best, e)) &&
           (t->optim = cnn_optim_new(&config->optimizer, t->net->param_count, e)) &&
           init_balance(t, e) && init_step(t, batch_max, e);
}

static void trainer_clear(struct trainer *t)
{
    free(t->positions);
    free(t->order);
    free(t->best);
    free(t->weights);
    cnn_balance_free(t->balance);
    cnn_optim_free(t->optim);
    cnn_step_free(t->step);
}

/* An epoch's order depends on the seed and its number alone, not on the epochs before. */
static void shuffle_epoch(struct trainer *t, int epoch)
{
    struct cnn_rng rng;
    cnn_rng_init(&rng, t->config->seed, cnn_rng_mix(STREAM_SHUFFLE, (uint64_t)epoch));
    if (t->balance) {
        cnn_balance_draw(t->balance, &rng, t->order);
        return;
    }
    memcpy(t->order, t->positions, t->train_count * sizeof *t->order);
    cnn_rng_shuffle(&rng, t->order, t->train_count);
}

/* Steps before the next one; also its number. */
static int64_t steps_done(const struct trainer *t)
{
    return (int64_t)(t->at.epoch - 1) * t->batches + t->at.batch;
}

/* Samples in the batches of this epoch that are done. */
static uint32_t samples_seen(const struct trainer *t)
{
    uint64_t seen = (uint64_t)t->at.batch * (uint64_t)t->config->batch_size;
    return seen < t->train_count ? (uint32_t)seen : t->train_count;
}

static void report_batch(struct trainer *t, double batch_loss, double lr)
{
    const struct cnn_batch_report report = {
        .epoch = t->at.epoch,
        .batch = t->at.batch,
        .batches = t->batches,
        .loss = t->at.loss_sum / samples_seen(t),
        .accuracy = (double)t->at.correct / samples_seen(t),
        .batch_loss = batch_loss,
        .lr = lr,
    };
    if (t->hooks->batch)
        t->hooks->batch(t->hooks->context, &report);
}

/* One gradient and one optimizer step over the next samples in order. */
static bool run_batch(struct trainer *t, struct err *e)
{
    const struct cnn_train_config *config = t->config;
    int64_t number = steps_done(t);
    uint32_t first = samples_seen(t);
    const struct cnn_step_update update = {
        .optim = t->optim,
        .lr = cnn_schedule_lr(&config->schedule, config->optimizer.lr, number, t->batches,
                              config->epochs),
        .clip_norm = config->clip_norm,
    };
    int epoch = t->at.epoch, batch = ++t->at.batch;
    int n = (int)(samples_seen(t) - first);
    struct cnn_step_result result = cnn_step_train(t->step, t->train, t->order + first, n,
                                                   config->seed, (uint64_t)number, &update);
    if (!isfinite(result.loss))
        return err_set(e, ERR_DIVERGED, "non-finite loss at epoch %d, batch %d", epoch, batch);
    if (!isfinite(result.norm))
        return err_set(e, ERR_DIVERGED, "non-finite loss gradient at epoch %d, batch %d", epoch,
                       batch);
    t->at.correct += (uint32_t)result.correct;
    t->at.loss_sum += result.loss * n;
    report_batch(t, result.loss, update.lr);
    return true;
}

static bool show_state(struct trainer *t, struct err *e)
{
    if (!t->hooks->checkpoint)
        return true;
    t->at.optim = cnn_optim_state(t->optim);
    t->at.params = t->net->params;
    t->at.best = t->at.best_epoch > 0 ? t->best : NULL;
    return t->hooks->checkpoint(t->hooks->context, &t->at, e);
}

static bool run_batches(struct trainer *t, struct err *e)
{
    shuffle_epoch(t, t->at.epoch);
    while (t->at.batch < t->batches)
        if (!show_state(t, e) || !run_batch(t, e))
            return false;
    return true;
}

/* Fills *val; false in *has when there is nothing to validate on. */
static bool validate(struct trainer *t, int epoch, struct cnn_eval *val, bool *has, struct err *e)
{
    *has = t->held_count > 0 || t->validation;
    if (!*has)
        return true;
    const struct cnn_samples *samples = t->held_count > 0 ? t->train : t->validation;
    const uint32_t *index = t->held_count > 0 ? t->positions + t->train_count : NULL;
    if (!cnn_evaluate(t->net, samples, index, t->held_count, t->loss, t->config->threads, 0, val,
                      e))
        return false;
    if (isfinite(val->loss))
        return true;
    cnn_eval_clear(val);
    return err_set(e, ERR_DIVERGED, "non-finite validation loss at epoch %d", epoch);
}

/* Keeps the weights if this epoch is the best so far. */
static bool keep_best(struct trainer *t, const struct cnn_epoch_report *report)
{
    double accuracy = report->val ? report->val->accuracy : 0;
    double loss = report->val ? report->val->loss : report->loss;
    bool better = t->at.best_epoch == 0 || accuracy > t->at.best_accuracy ||
                  (accuracy == t->at.best_accuracy && loss < t->at.best_loss);
    if (!better)
        return false;
    t->at.best_epoch = report->epoch;
    t->at.best_accuracy = accuracy;
    t->at.best_loss = loss;
    memcpy(t->best, t->net->params, t->net->state_count * sizeof *t->best);
    return true;
}

static void begin_epoch(struct trainer *t, int epoch)
{
    t->at.epoch = epoch;
    t->at.batch = 0;
    t->at.loss_sum = 0;
    t->at.correct = 0;
}

static bool run_epoch(struct trainer *t, struct err *e)
{
    struct cnn_epoch_report report = {.epoch = t->at.epoch};
    struct cnn_eval val = {0};
    bool has_val;
    int node;
    if (!run_batches(t, e))
        return false;
    if (!cnn_net_finite(t->net, &node))
        return err_set(e, ERR_DIVERGED, "non-finite weights in layer '%s' at epoch %d, batch %d",
                       t->net->nodes[node].spec.name, report.epoch, t->batches);
    if (!validate(t, report.epoch, &val, &has_val, e))
        return false;
    report.loss = t->at.loss_sum / t->train_count;
    report.accuracy = (double)t->at.correct / t->train_count;
    report.val = has_val ? &val : NULL;
    report.best = keep_best(t, &report);
    bool go_on = !t->hooks->epoch || t->hooks->epoch(t->hooks->context, &report, e);
    cnn_eval_clear(&val);
    if (go_on)
        begin_epoch(t, report.epoch + 1);
    return go_on;
}

/* Whether the last epoch was one too many without a better one. */
static bool out_of_patience(const struct trainer *t)
{
    int epochs = t->at.epoch - 1, patience = t->config->patience;
    return patience > 0 && epochs > 0 && epochs - t->at.best_epoch >= patience;
}

static bool run_epochs(struct trainer *t, struct cnn_train_result *result, struct err *e)
{
    while (t->at.epoch <= t->config->epochs && !(t->at.batch == 0 && out_of_patience(t)))
        if (!run_epoch(t, e))
            return false;
    result->stopped_early = t->at.epoch <= t->config->epochs;
    return show_state(t, e);
}

static bool check_state(const struct trainer *t, const struct cnn_train_state *state, struct err *e)
{
    int last = t->config->epochs;
    if (state->epoch < 1 || state->epoch - 1 > last || state->batch < 0 ||
        state->batch >= t->batches || (state->epoch > last && state->batch > 0))
        return err_set(e, ERR_INVALID, "epoch %d, batch %d is not in %d epochs of %d batches",
                       state->epoch, state->batch, last, t->batches);
    if (state->optim.steps != (int64_t)(state->epoch - 1) * t->batches + state->batch)
        return err_set(e, ERR_INVALID, "%lld optimizer steps do not lead to epoch %d, batch %d",
                       (long long)state->optim.steps, state->epoch, state->batch);
    if (!isfinite(state->loss_sum) || state->loss_sum < 0 ||
        (state->batch == 0 && state->loss_sum > 0) ||
        state->correct > (uint64_t)state->batch * (uint64_t)t->config->batch_size)
        return err_set(e, ERR_INVALID, "sums %g and %u are not of %d batches", state->loss_sum,
                       state->correct, state->batch);
    if (state->best_epoch < 0 || state->best_epoch >= state->epoch ||
        (state->best_epoch == 0) != (state->epoch == 1) || !isfinite(state->best_accuracy) ||
        !isfinite(state->best_loss))
        return err_set(e, ERR_INVALID, "epoch %d is not the best before epoch %d",
                       state->best_epoch, state->epoch);
    if (!state->params || !state->best != (state->best_epoch == 0))
        return err_set(e, ERR_INVALID, "state has not the weights of its epochs");
    return true;
}

static bool trainer_restore(struct trainer *t, const struct cnn_train_state *state, struct err *e)
{
    if (!check_state(t, state, e) || !cnn_optim_restore(t->optim, &state->optim, e))
        return false;
    size_t bytes = t->net->state_count * sizeof *t->net->params;
    memcpy(t->net->params, state->params, bytes);
    if (state->best)
        memcpy(t->best, state->best, bytes);
    t->at = *state;
    return true;
}

bool cnn_train_resume(struct cnn_net *net, const struct cnn_samples *train,
                      const struct cnn_samples *validation, const struct cnn_train_config *config,
                      const struct cnn_train_state *state, const struct cnn_train_hooks *hooks,
                      struct cnn_train_result *result, struct err *e)
{
    static const struct cnn_train_hooks no_hooks;
    *result = (struct cnn_train_result){0};
    struct trainer t = {
        .net = net,
        .train = train,
        .validation = validation && validation->count > 0 ? validation : NULL,
        .config = config,
        .hooks = hooks ? hooks : &no_hooks,
    };
    begin_epoch(&t, 1);
    bool done = trainer_init(&t, e) && (!state || trainer_restore(&t, state, e)) &&
                run_epochs(&t, result, e);
    result->epochs_run = t.at.epoch - 1;
    result->best_epoch = t.at.best_epoch;
    if (t.at.best_epoch > 0 && (!done || config->publish == CNN_PUBLISH_BEST))
        memcpy(net->params, t.best, net->state_count * sizeof *t.best);
    trainer_clear(&t);
    return done;
}

bool cnn_train(struct cnn_net *net, const struct cnn_samples *train,
               const struct cnn_samples *validation, const struct cnn_train_config *config,
               const struct cnn_train_hooks *hooks, struct cnn_train_result *result, struct err *e)
{
    return cnn_train_resume(net, train, validation, config, NULL, hooks, result, e);
}
