#include <math.h>
#include <stdio.h>
#include <string.h>

#include "presets.h"
#include "small_nets.h"
#include "step.h"
#include "synth.h"
#include "train.h"

static struct cnn_samples make_shapes(int split, uint32_t count)
{
    const struct cnn_generator *generator = cnn_generator_find("shapes");
    size_t bytes = cnn_shape_count(&generator->shape);
    uint8_t *x = malloc(count * bytes);
    uint16_t *labels = malloc(count * sizeof *labels);
    for (uint32_t i = 0; i < count; i++) {
        generator->make(0, split, i, x + i * bytes);
        labels[i] = (uint16_t)(i % 2);
    }
    return (struct cnn_samples){
        .shape = generator->shape,
        .count = count,
        .classes = generator->classes,
        .dtype = CNN_U8,
        .x = x,
        .labels = labels,
        .normalize = {.scale = 1.0f / 255},
    };
}

static struct cnn_net *make_preset(const char *name, uint64_t seed)
{
    struct err e;
    struct cnn_spec spec = {0};
    ck_assert(cnn_preset_spec(cnn_preset_find(name), NULL, 0, &spec, &e));
    struct cnn_net *net = cnn_net_new(&spec, &e);
    ck_assert_ptr_nonnull(net);
    cnn_spec_clear(&spec);
    cnn_net_init(net, CNN_INIT_UNIFORM, seed);
    return net;
}

static struct cnn_train_config quick(int epochs, int threads)
{
    struct cnn_train_config config = cnn_train_defaults();
    config.epochs = epochs;
    config.threads = threads;
    config.optimizer.lr = 0.01;
    return config;
}

START_TEST(shapes_cnn_learns_shapes)
{
    struct err e;
    struct cnn_samples train = make_shapes(0, 1000), test = make_shapes(1, 200);
    struct cnn_net *net = make_preset("shapes-cnn", 0);
    struct cnn_train_config config = cnn_train_defaults();
    struct cnn_train_result result;
    config.epochs = 10;
    config.batch_size = 10;
    ck_assert_double_eq(config.optimizer.lr, 0.001);
    ck_assert_msg(cnn_train(net, &train, &test, &config, NULL, &result, &e), "%s", e.detail);
    struct cnn_eval eval;
    struct cnn_loss loss = cnn_loss_for(config.loss, net);
    ck_assert(cnn_evaluate(net, &test, NULL, 0, loss, 2, 0, &eval, &e));
    ck_assert_double_gt(eval.accuracy, 0.95);
    cnn_eval_clear(&eval);
    cnn_net_free(net);
    small_samples_clear(&train);
    small_samples_clear(&test);
}
END_TEST

/* What a run leaves behind, all of which must repeat. */
struct trace {
    int epochs;
    double loss[8], val_loss[8];
    float *weights;
};

static bool note_epoch(void *context, const struct cnn_epoch_report *report, struct err *e)
{
    struct trace *trace = context;
    (void)e;
    trace->loss[trace->epochs] = report->loss;
    trace->val_loss[trace->epochs++] = report->val ? report->val->loss : 0;
    return true;
}

/* Trains and frees net. */
static struct trace trace_net(struct cnn_net *net, uint64_t seed, int threads)
{
    struct err e;
    struct trace trace = {0};
    struct cnn_samples samples = small_samples();
    struct cnn_train_config config = quick(3, threads);
    struct cnn_train_hooks hooks = {.context = &trace, .epoch = note_epoch};
    struct cnn_train_result result;
    config.seed = seed;
    config.validation_split = 0.2;
    config.clip_norm = 0.5;
    config.batch_size = 50; /* the last batch of 120 is smaller */
    ck_assert(cnn_train(net, &samples, NULL, &config, &hooks, &result, &e));
    ck_assert_int_eq(trace.epochs, 3);
    trace.weights = malloc(net->state_count * sizeof(float));
    memcpy(trace.weights, net->params, net->state_count * sizeof(float));
    cnn_net_free(net);
    small_samples_clear(&samples);
    return trace;
}

static struct trace run_traced(enum small_kind kind, uint64_t seed, int threads)
{
    return trace_net(small_net(kind), seed, threads);
}

START_TEST(same_seed_gives_the_same_weights_with_1_2_3_and_8_threads)
{
    static const int threads[] = {1, 2, 3, 8};
    for (int kind = 0; kind < SMALL_KINDS; kind++) {
        struct cnn_net *net = small_net((enum small_kind)kind);
        struct trace first = run_traced((enum small_kind)kind, 1, 1);
        ck_assert_mem_ne(first.weights, net->params, net->param_count * sizeof(float));
        for (int t = 0; t < 4; t++) {
            struct trace again = run_traced((enum small_kind)kind, 1, threads[t]);
            ck_assert_mem_eq(first.weights, again.weights, net->state_count * sizeof(float));
            ck_assert_mem_eq(first.loss, again.loss, sizeof first.loss);
            ck_assert_mem_eq(first.val_loss, again.val_loss, sizeof first.val_loss);
            free(again.weights);
        }
        struct trace other = run_traced((enum small_kind)kind, 2, 1);
        ck_assert_mem_ne(first.weights, other.weights, net->param_count * sizeof(float));
        free(other.weights);
        free(first.weights);
        cnn_net_free(net);
    }
}
END_TEST

/* A net with work for 8 threads, in every kind of phase. */
static struct cnn_net *wide_net(void)
{
    struct err e;
    struct cnn_spec spec = {
        .input = {.c = SMALL_CHANNELS, .size = {1, SMALL_SIDE, SMALL_SIDE}, .rank = 2}};
    small_conv(&spec, 64);
    small_layer(&spec, CNN_BATCH_NORM);
    small_layer(&spec, CNN_RELU);
    small_conv(&spec, 32);
    small_layer(&spec, CNN_FLATTEN);
    small_layer(&spec, CNN_DENSE)->u.dense.units = 70;
    small_layer(&spec, CNN_TANH);
    small_layer(&spec, CNN_DROPOUT);
    small_layer(&spec, CNN_DENSE)->u.dense.units = SMALL_CLASSES;
    struct cnn_net *net = cnn_net_new(&spec, &e);
    ck_assert_ptr_nonnull(net);
    cnn_spec_clear(&spec);
    cnn_net_init(net, CNN_INIT_UNIFORM, 3);
    return net;
}

START_TEST(same_weights_when_the_work_is_worth_8_threads)
{
    struct cnn_net *net = wide_net();
    const size_t bytes = net->state_count * sizeof(float);
    ck_assert_int_eq(cnn_step_threads(net, 50, 8), 8);
    ck_assert_int_eq(cnn_step_threads(net, 1, 8), 1);
    struct trace first = trace_net(net, 1, 1);
    for (int threads = 2; threads <= 8; threads += 3) {
        struct trace again = trace_net(wide_net(), 1, threads);
        ck_assert_mem_eq(first.weights, again.weights, bytes);
        ck_assert_mem_eq(first.val_loss, again.val_loss, sizeof first.val_loss);
        free(again.weights);
    }
    free(first.weights);
}
END_TEST

/* Collects what the hooks see, and steps in when told to. */
struct watch {
    struct cnn_net *net;
    int batches, epochs;
    bool stops; /* before the batch after ... */
    int stop_at_batch;
    int fail_at_epoch;     /* 0: never */
    int poison_from_epoch; /* makes the weights NaN after this epoch; 0: never */
    int wreck_from_epoch;  /* makes the net useless after this epoch; 0: never */
    struct cnn_batch_report last_batch;
    int best_epoch;
    float *best; /* [state_count] of the last epoch reported best; NULL before */
};

static void watch_batch(void *context, const struct cnn_batch_report *report)
{
    struct watch *watch = context;
    watch->batches++;
    ck_assert_int_eq(report->epoch, watch->epochs + 1);
    ck_assert_int_eq(report->batch, (watch->batches - 1) % report->batches + 1);
    watch->last_batch = *report;
}

static bool watch_state(void *context, const struct cnn_train_state *state, struct err *e)
{
    struct watch *watch = context;
    ck_assert_int_eq((int)state->optim.steps, watch->batches);
    if (watch->stops && watch->batches == watch->stop_at_batch)
        return err_set(e, ERR_CANCELLED, "stopped");
    return true;
}

static bool watch_epoch(void *context, const struct cnn_epoch_report *report, struct err *e)
{
    struct watch *watch = context;
    size_t count = watch->net->state_count;
    ck_assert_int_eq(report->epoch, ++watch->epochs);
    if (report->best) {
        free(watch->best);
        watch->best = malloc(count * sizeof *watch->best);
        memcpy(watch->best, watch->net->params, count * sizeof *watch->best);
        watch->best_epoch = report->epoch;
    }
    if (watch->epochs == watch->poison_from_epoch)
        watch->net->params[0] = NAN;
    if (watch->wreck_from_epoch && watch->epochs >= watch->wreck_from_epoch)
        for (size_t i = 0; i < watch->net->param_count; i++)
            watch->net->params[i] = i % 2 ? 30 : -30;
    if (watch->epochs == watch->fail_at_epoch)
        return err_set(e, ERR_NO_SPACE, "disk full");
    return true;
}

/* Trains a small net on random samples, validated on themselves. */
static bool run_watched(struct watch *watch, const struct cnn_train_config *config,
                        struct cnn_train_result *result, struct err *e)
{
    struct cnn_samples samples = small_samples();
    struct cnn_train_hooks hooks = {
        .context = watch, .batch = watch_batch, .epoch = watch_epoch, .checkpoint = watch_state};
    bool done = cnn_train(watch->net, &samples, &samples, config, &hooks, result, e);
    small_samples_clear(&samples);
    return done;
}

static void watch_clear(struct watch *watch)
{
    free(watch->best);
    cnn_net_free(watch->net);
}

static void holds_best(const struct watch *watch, const struct cnn_train_result *result)
{
    ck_assert_ptr_nonnull(watch->best);
    ck_assert_int_eq(result->best_epoch, watch->best_epoch);
    ck_assert_mem_eq(watch->net->params, watch->best, watch->net->state_count * sizeof(float));
}

START_TEST(every_batch_and_epoch_is_reported)
{
    struct err e;
    struct watch watch = {.net = small_net(SMALL_PLAIN)};
    struct cnn_train_config config = quick(3, 2);
    struct cnn_train_result result;
    ck_assert(run_watched(&watch, &config, &result, &e));
    ck_assert_int_eq(watch.epochs, 3);
    ck_assert_int_eq(watch.batches, 3 * 5); /* 150 samples by 32 */
    ck_assert_int_eq(watch.last_batch.batches, 5);
    ck_assert_double_eq(watch.last_batch.lr, 0.01);
    ck_assert(watch.last_batch.loss > 0 && watch.last_batch.batch_loss > 0);
    ck_assert(watch.last_batch.accuracy > 0 && watch.last_batch.accuracy <= 1);
    ck_assert_int_eq(result.epochs_run, 3);
    ck_assert(!result.stopped_early);
    watch_clear(&watch);
}
END_TEST

enum { ORDER_EPOCHS = 2, ORDER_BATCHES = 5 };

static void note_loss(void *context, const struct cnn_batch_report *report)
{
    double *losses = context;
    losses[(report->epoch - 1) * ORDER_BATCHES + report->batch - 1] = report->batch_loss;
}

/* The losses of every batch at a rate that moves nothing: they tell which samples it held. */
static void batch_losses(uint64_t seed, double losses[ORDER_EPOCHS * ORDER_BATCHES])
{
    struct err e;
    struct cnn_samples samples = small_samples();
    struct cnn_net *net = small_net(SMALL_PLAIN);
    struct cnn_train_config config = quick(ORDER_EPOCHS, 2);
    struct cnn_train_result result;
    struct cnn_train_hooks hooks = {.context = losses, .batch = note_loss};
    config.seed = seed;
    config.batch_size = SMALL_SAMPLES / ORDER_BATCHES;
    config.optimizer = cnn_optim_defaults(CNN_SGD);
    config.optimizer.lr = 1e-30;
    ck_assert(cnn_train(net, &samples, NULL, &config, &hooks, &result, &e));
    cnn_net_free(net);
    small_samples_clear(&samples);
}

START_TEST(each_epoch_and_seed_has_an_order_of_its_own)
{
    double losses[ORDER_EPOCHS * ORDER_BATCHES], other[ORDER_EPOCHS * ORDER_BATCHES];
    double sums[ORDER_EPOCHS] = {0};
    batch_losses(1, losses);
    for (int batch = 0; batch < ORDER_BATCHES; batch++) {
        ck_assert_double_ne(losses[batch], losses[ORDER_BATCHES + batch]);
        for (int epoch = 0; epoch < ORDER_EPOCHS; epoch++)
            sums[epoch] += losses[epoch * ORDER_BATCHES + batch];
    }
    ck_assert_double_eq_tol(sums[0], sums[1], 1e-9); /* every sample once an epoch */
    batch_losses(2, other);
    ck_assert_double_ne(losses[0], other[0]);
}
END_TEST

START_TEST(schedule_sets_the_rate_of_each_step)
{
    struct err e;
    struct watch watch = {.net = small_net(SMALL_PLAIN)};
    struct cnn_train_config config = quick(3, 1);
    struct cnn_train_result result;
    config.schedule = (struct cnn_schedule){.type = CNN_STEP, .step_epochs = 1, .gamma = 0.5};
    ck_assert(run_watched(&watch, &config, &result, &e));
    ck_assert_double_eq_tol(watch.last_batch.lr, 0.0025, 1e-12);
    watch_clear(&watch);
}
END_TEST

/* One step of plain SGD moves the weights by lr times the norm of the clipped gradient. */
START_TEST(clip_norm_bounds_each_step)
{
    struct err e;
    struct cnn_samples samples = small_samples();
    struct cnn_net *net = small_net(SMALL_PLAIN), *fresh = small_net(SMALL_PLAIN);
    struct cnn_train_config config = quick(1, 2);
    struct cnn_train_result result;
    config.batch_size = SMALL_SAMPLES;
    config.optimizer = cnn_optim_defaults(CNN_SGD);
    config.optimizer.lr = 1;
    config.clip_norm = 0.01;
    double moved = 0;
    ck_assert(cnn_train(net, &samples, NULL, &config, NULL, &result, &e));
    for (size_t i = 0; i < net->param_count; i++)
        moved += pow((double)net->params[i] - (double)fresh->params[i], 2);
    ck_assert_double_eq_tol(sqrt(moved), 0.01, 1e-5);
    cnn_net_free(net);
    cnn_net_free(fresh);
    small_samples_clear(&samples);
}
END_TEST

START_TEST(best_weights_are_kept)
{
    struct err e;
    struct watch watch = {.net = small_net(SMALL_NORM), .wreck_from_epoch = 2};
    struct cnn_train_config config = quick(4, 2);
    struct cnn_train_result result;
    ck_assert(run_watched(&watch, &config, &result, &e));
    ck_assert_int_eq(result.best_epoch, 2);
    ck_assert_int_eq(result.epochs_run, 4);
    holds_best(&watch, &result);
    watch_clear(&watch);
}
END_TEST

/* The best so far by the rule of train.h, told again from the reports. */
struct rule {
    int epochs, ties_won, not_best; /* ties_won: best by the loss at the same accuracy */
    double accuracy, loss;
};

static bool follow_rule(void *context, const struct cnn_epoch_report *report, struct err *e)
{
    (void)e;
    struct rule *rule = context;
    double accuracy = report->val ? report->val->accuracy : 0;
    double loss = report->val ? report->val->loss : report->loss;
    bool tie = rule->epochs++ > 0 && accuracy == rule->accuracy;
    bool best = rule->epochs == 1 || accuracy > rule->accuracy || (tie && loss < rule->loss);
    ck_assert_int_eq(report->best, best);
    rule->ties_won += tie && best;
    rule->not_best += !best;
    if (best) {
        rule->accuracy = accuracy;
        rule->loss = loss;
    }
    return true;
}

START_TEST(the_best_has_the_highest_accuracy_then_the_lowest_loss)
{
    struct err e;
    struct cnn_samples samples = small_samples(), few = samples;
    few.count = 5; /* so that accuracies are often equal */
    const struct cnn_samples *const validations[] = {&few, NULL};
    int not_best = 0;
    for (int i = 0; i < 2; i++) {
        struct cnn_net *net = small_net(SMALL_PLAIN);
        struct cnn_train_config config = quick(20, 2);
        struct cnn_train_result result;
        struct rule rule = {0};
        struct cnn_train_hooks hooks = {.context = &rule, .epoch = follow_rule};
        config.optimizer.lr = 0.05;
        ck_assert(cnn_train(net, &samples, validations[i], &config, &hooks, &result, &e));
        ck_assert_int_gt(rule.ties_won, 0);
        not_best += rule.not_best;
        cnn_net_free(net);
    }
    ck_assert_int_gt(not_best, 0);
    small_samples_clear(&samples);
}
END_TEST

START_TEST(last_weights_are_kept_when_asked)
{
    struct err e;
    struct watch watch = {.net = small_net(SMALL_PLAIN), .wreck_from_epoch = 2};
    struct cnn_train_config config = quick(4, 2);
    struct cnn_train_result result;
    config.publish = CNN_PUBLISH_LAST;
    ck_assert(run_watched(&watch, &config, &result, &e));
    ck_assert_int_eq(result.best_epoch, 2);
    ck_assert_float_eq(watch.net->params[1], 30);
    watch_clear(&watch);
}
END_TEST

START_TEST(patience_stops_early)
{
    struct err e;
    struct watch watch = {.net = small_net(SMALL_PLAIN), .wreck_from_epoch = 2};
    struct cnn_train_config config = quick(50, 2);
    struct cnn_train_result result;
    config.patience = 3;
    ck_assert(run_watched(&watch, &config, &result, &e));
    ck_assert(result.stopped_early);
    ck_assert_int_eq(result.best_epoch, 2);
    ck_assert_int_eq(result.epochs_run, 5);
    holds_best(&watch, &result);
    watch_clear(&watch);
}
END_TEST

START_TEST(patience_that_ends_with_the_last_epoch_stops_nothing_early)
{
    struct err e;
    struct watch watch = {.net = small_net(SMALL_PLAIN), .wreck_from_epoch = 2};
    struct cnn_train_config config = quick(5, 2);
    struct cnn_train_result result;
    config.patience = 3;
    ck_assert(run_watched(&watch, &config, &result, &e));
    ck_assert_int_eq(result.best_epoch, 2);
    ck_assert_int_eq(result.epochs_run, 5);
    ck_assert(!result.stopped_early);
    watch_clear(&watch);
}
END_TEST

START_TEST(a_stop_is_heard_before_the_next_batch)
{
    struct err e = {0};
    struct watch watch = {.net = small_net(SMALL_PLAIN), .stops = true, .stop_at_batch = 7};
    struct cnn_train_config config = quick(50, 2);
    struct cnn_train_result result;
    ck_assert(!run_watched(&watch, &config, &result, &e));
    ck_assert_int_eq(e.code, ERR_CANCELLED);
    ck_assert_int_eq(watch.batches, 7);
    ck_assert_int_eq(result.epochs_run, 1);
    holds_best(&watch, &result);
    watch_clear(&watch);
}
END_TEST

START_TEST(a_stop_before_the_first_batch_trains_nothing)
{
    struct err e = {0};
    struct cnn_net *fresh = small_net(SMALL_PLAIN);
    struct watch watch = {.net = small_net(SMALL_PLAIN), .stops = true};
    struct cnn_train_config config = quick(2, 2);
    struct cnn_train_result result;
    ck_assert(!run_watched(&watch, &config, &result, &e));
    ck_assert_int_eq(e.code, ERR_CANCELLED);
    ck_assert_int_eq(result.best_epoch, 0);
    ck_assert_mem_eq(watch.net->params, fresh->params, fresh->state_count * sizeof(float));
    cnn_net_free(fresh);
    watch_clear(&watch);
}
END_TEST

START_TEST(a_failing_epoch_hook_ends_training_with_its_error)
{
    struct err e = {0};
    struct watch watch = {.net = small_net(SMALL_PLAIN), .fail_at_epoch = 2};
    struct cnn_train_config config = quick(50, 2);
    struct cnn_train_result result;
    ck_assert(!run_watched(&watch, &config, &result, &e));
    ck_assert_int_eq(e.code, ERR_NO_SPACE);
    ck_assert_str_eq(e.detail, "disk full");
    ck_assert_int_eq(watch.epochs, 2);
    holds_best(&watch, &result);
    watch_clear(&watch);
}
END_TEST

START_TEST(an_absurd_rate_ends_diverged_naming_epoch_and_batch)
{
    struct err e = {0};
    struct watch watch = {.net = small_net(SMALL_PLAIN)};
    struct cnn_train_config config = quick(50, 2);
    struct cnn_train_result result;
    int epoch, batch;
    config.loss = CNN_MSE;
    config.optimizer = cnn_optim_defaults(CNN_SGD);
    config.optimizer.lr = 1e6;
    ck_assert(!run_watched(&watch, &config, &result, &e));
    ck_assert_int_eq(e.code, ERR_DIVERGED);
    ck_assert_ptr_nonnull(strstr(e.detail, "non-finite loss"));
    ck_assert_int_eq(sscanf(strstr(e.detail, " at "), " at epoch %d, batch %d", &epoch, &batch), 2);
    ck_assert_int_eq(epoch, watch.epochs + 1);
    ck_assert_int_eq(batch, watch.batches % 5 + 1);
    watch_clear(&watch);
}
END_TEST

/* Decay throws each weight 10^9 times as far the other way: the last of five steps is the first to
 * leave the floats, and no batch after it would show it. */
START_TEST(weights_that_the_last_step_made_infinite_end_diverged)
{
    struct err e;
    struct cnn_samples samples = small_samples();
    struct cnn_net *net = small_net(SMALL_PLAIN);
    struct cnn_train_config config = quick(1, 2);
    struct cnn_train_result result;
    config.batch_size = SMALL_SAMPLES / 5;
    config.optimizer = cnn_optim_defaults(CNN_SGD);
    config.optimizer.lr = CNN_LR_MAX;
    config.optimizer.weight_decay = 999;
    ck_assert(!cnn_train(net, &samples, NULL, &config, NULL, &result, &e));
    ck_assert_int_eq(e.code, ERR_DIVERGED);
    ck_assert_str_eq(e.detail, "non-finite weights in layer 'conv1' at epoch 1, batch 5");
    cnn_net_free(net);
    small_samples_clear(&samples);
}
END_TEST

START_TEST(a_validation_loss_that_is_not_finite_ends_diverged)
{
    struct err e;
    struct cnn_samples samples = small_samples(), huge = samples;
    struct cnn_net *net = small_net(SMALL_PLAIN);
    struct cnn_train_config config = quick(1, 2);
    struct cnn_train_result result;
    huge.normalize.scale = 3e38f;
    ck_assert(!cnn_train(net, &samples, &huge, &config, NULL, &result, &e));
    ck_assert_int_eq(e.code, ERR_DIVERGED);
    ck_assert_str_eq(e.detail, "non-finite validation loss at epoch 1");
    cnn_net_free(net);
    small_samples_clear(&samples);
}
END_TEST

START_TEST(diverging_later_leaves_the_last_good_weights)
{
    struct err e = {0};
    struct watch watch = {.net = small_net(SMALL_PLAIN), .poison_from_epoch = 2};
    struct cnn_train_config config = quick(50, 2);
    struct cnn_train_result result;
    int node;
    config.publish = CNN_PUBLISH_LAST;
    ck_assert(!run_watched(&watch, &config, &result, &e));
    ck_assert_int_eq(e.code, ERR_DIVERGED);
    ck_assert_str_eq(e.detail, "non-finite loss at epoch 3, batch 1");
    ck_assert_int_eq(result.epochs_run, 2);
    ck_assert(cnn_net_finite(watch.net, &node));
    holds_best(&watch, &result);
    watch_clear(&watch);
}
END_TEST

TEST_PROGRAM("core_train", shapes_cnn_learns_shapes,
             same_seed_gives_the_same_weights_with_1_2_3_and_8_threads,
             same_weights_when_the_work_is_worth_8_threads, every_batch_and_epoch_is_reported,
             each_epoch_and_seed_has_an_order_of_its_own, schedule_sets_the_rate_of_each_step,
             clip_norm_bounds_each_step, best_weights_are_kept,
             the_best_has_the_highest_accuracy_then_the_lowest_loss,
             last_weights_are_kept_when_asked, patience_stops_early,
             patience_that_ends_with_the_last_epoch_stops_nothing_early,
             a_stop_is_heard_before_the_next_batch, a_stop_before_the_first_batch_trains_nothing,
             a_failing_epoch_hook_ends_training_with_its_error,
             an_absurd_rate_ends_diverged_naming_epoch_and_batch,
             weights_that_the_last_step_made_infinite_end_diverged,
             a_validation_loss_that_is_not_finite_ends_diverged,
             diverging_later_leaves_the_last_good_weights)
