/* What the trainer takes: which samples it holds out, and which requests it refuses. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "small_nets.h"
#include "train.h"

static struct cnn_train_config quick(int epochs, int threads)
{
    struct cnn_train_config config = cnn_train_defaults();
    config.epochs = epochs;
    config.threads = threads;
    config.optimizer.lr = 0.01;
    return config;
}

static bool note_val_count(void *context, const struct cnn_epoch_report *report, struct err *e)
{
    (void)e;
    ck_assert_ptr_nonnull(report->val);
    *(uint32_t *)context = report->val->count;
    return true;
}

START_TEST(validation_split_holds_out_its_part_and_trains_on_the_rest)
{
    static const double parts[] = {0.2, 0.001, 0.999};
    static const uint32_t held[] = {30, 1, 149};
    struct cnn_samples samples = small_samples();
    for (int i = 0; i < 3; i++) {
        struct err e;
        uint32_t val_count = 0;
        struct cnn_net *net = small_net(SMALL_PLAIN);
        struct cnn_train_config config = quick(1, 2);
        struct cnn_train_hooks hooks = {.context = &val_count, .epoch = note_val_count};
        struct cnn_train_result result;
        config.validation_split = parts[i];
        ck_assert(cnn_train(net, &samples, NULL, &config, &hooks, &result, &e));
        ck_assert_uint_eq(val_count, held[i]);
        cnn_net_free(net);
    }
    small_samples_clear(&samples);
}
END_TEST

/* Labels that cannot be guessed can be learnt by heart, but only those trained on. */
START_TEST(held_out_samples_are_not_trained_on)
{
    struct err e;
    struct cnn_samples samples = small_samples();
    struct cnn_net *net = small_net(SMALL_PLAIN);
    struct cnn_train_config config = quick(150, 2);
    struct cnn_train_result result;
    struct cnn_eval eval;
    config.validation_split = 0.5;
    config.publish = CNN_PUBLISH_LAST;
    ck_assert(cnn_train(net, &samples, NULL, &config, NULL, &result, &e));
    struct cnn_loss loss = cnn_loss_for(config.loss, net);
    ck_assert(cnn_evaluate(net, &samples, NULL, 0, loss, 2, 0, &eval, &e));
    ck_assert_double_gt(eval.accuracy, 0.55); /* half by heart, a third of the rest by luck */
    ck_assert_double_lt(eval.accuracy, 0.85);
    cnn_eval_clear(&eval);
    cnn_net_free(net);
    small_samples_clear(&samples);
}
END_TEST

static bool note_losses(void *context, const struct cnn_epoch_report *report, struct err *e)
{
    (void)e;
    ((double *)context)[0] = report->loss;
    ((double *)context)[1] = report->val->loss;
    return true;
}

/* No net is better than the entropy of a smoothed target: what it learns by heart stays above in
 * training, and is judged without. */
START_TEST(labels_are_smoothed_in_training_alone)
{
    struct err e;
    double losses[2];
    struct cnn_samples samples = small_samples();
    struct cnn_net *net = small_net(SMALL_PLAIN);
    struct cnn_train_config config = quick(150, 2);
    struct cnn_train_hooks hooks = {.context = losses, .epoch = note_losses};
    struct cnn_train_result result;
    config.label_smoothing = 0.3;
    ck_assert(cnn_train(net, &samples, &samples, &config, &hooks, &result, &e));
    const double entropy = -0.8 * log(0.8) - 0.2 * log(0.1); /* of .8, .1 and .1 */
    ck_assert_double_gt(losses[0], entropy);
    ck_assert_double_lt(losses[1], entropy);
    cnn_net_free(net);
    small_samples_clear(&samples);
}
END_TEST

START_TEST(bad_configurations_are_refused_by_field)
{
    struct cnn_train_config good = cnn_train_defaults(), bad[18];
    static const char *const fields[] = {
        "epochs",           "epochs",
        "batch_size",       "batch_size",
        "threads",          "threads",
        "optimizer.lr",     "schedule.gamma",
        "schedule.min_lr",  "loss",
        "clip_norm",        "validation_split",
        "validation_split", "validation_split",
        "publish",          "early_stopping.patience",
        "label_smoothing",  "label_smoothing",
    };
    struct err e = {0};
    ck_assert_msg(cnn_train_check(&good, &e), "%s", e.detail);
    for (int i = 0; i < 18; i++)
        bad[i] = good;
    bad[0].epochs = 0;
    bad[1].epochs = 100001;
    bad[2].batch_size = 0;
    bad[3].batch_size = 16385;
    bad[4].threads = 0;
    bad[5].threads = 257;
    bad[6].optimizer.lr = NAN;
    bad[7].schedule = (struct cnn_schedule){.type = CNN_STEP, .step_epochs = 1};
    bad[8].schedule = (struct cnn_schedule){.type = CNN_COSINE, .min_lr = 0.5};
    bad[9].loss = CNN_LOSS_COUNT;
    bad[10].clip_norm = NAN;
    bad[11].validation_split = -0.1;
    bad[12].validation_split = 1;
    bad[13].validation_split = NAN;
    bad[14].publish = (enum cnn_publish)7;
    bad[15].patience = -1;
    bad[16].label_smoothing = 1;
    bad[17].label_smoothing = 0.1;
    bad[17].loss = CNN_MSE;
    for (int i = 0; i < 18; i++) {
        memset(&e, 0, sizeof e);
        ck_assert_msg(!cnn_train_check(&bad[i], &e), "case %d (%s)", i, fields[i]);
        ck_assert_int_eq(e.code, ERR_INVALID);
        ck_assert_str_eq(e.field, fields[i]);
    }
}
END_TEST

static void refused(const struct cnn_samples *train, const char *detail)
{
    struct err e = {0};
    struct cnn_net *net = small_net(SMALL_PLAIN);
    struct cnn_train_config config = quick(1, 1);
    struct cnn_train_result result;
    ck_assert(!cnn_train(net, train, NULL, &config, NULL, &result, &e));
    ck_assert_int_eq(e.code, ERR_INVALID);
    ck_assert_str_eq(e.detail, detail);
    cnn_net_free(net);
}

START_TEST(samples_that_do_not_fit_the_net_are_refused)
{
    struct cnn_samples samples = small_samples(), other = samples;
    other.shape.size[1] = 5;
    refused(&other, "model takes [2,6,6] but the samples are [2,5,6]");
    other = samples;
    other.classes = 4;
    refused(&other, "model has 3 outputs but the samples have 4 classes");
    other = samples;
    other.count = 0;
    refused(&other, "there are no samples to train on");
    small_samples_clear(&samples);
}
END_TEST

TEST_PROGRAM("core_train_input", validation_split_holds_out_its_part_and_trains_on_the_rest,
             held_out_samples_are_not_trained_on, labels_are_smoothed_in_training_alone,
             bad_configurations_are_refused_by_field, samples_that_do_not_fit_the_net_are_refused)
