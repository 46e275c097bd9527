/* Classes of uneven size: weights, the balanced order, and what either does to recall. */
#include "balance.h"

#include <math.h>
#include <string.h>

#include "small_nets.h"
#include "step.h"
#include "train.h"

enum { COUNT = 200, RARE_EVERY = 10, CLASSES = 2 };

/* Two overlapping clouds on a plane, 9 to 1. */
static struct cnn_samples uneven_samples(uint64_t seed)
{
    struct cnn_rng rng;
    float *x = malloc(COUNT * 2 * sizeof *x);
    uint16_t *labels = malloc(COUNT * sizeof *labels);
    cnn_rng_init(&rng, seed, 0);
    for (int i = 0; i < COUNT; i++) {
        labels[i] = i % RARE_EVERY == 0;
        x[2 * i] = cnn_rng_normal(&rng) + 1.5f * labels[i];
        x[2 * i + 1] = cnn_rng_normal(&rng);
    }
    return (struct cnn_samples){
        .shape = {.c = 2, .size = {1, 1, 1}},
        .count = COUNT,
        .classes = CLASSES,
        .dtype = CNN_F32,
        .x = x,
        .labels = labels,
        .normalize = {.scale = 1},
    };
}

static struct cnn_net *linear_net(void)
{
    struct err e = {0};
    struct cnn_spec spec = {.input = {.c = 2, .size = {1, 1, 1}}};
    small_layer(&spec, CNN_DENSE)->u.dense.units = CLASSES;
    struct cnn_net *net = cnn_net_new(&spec, &e);
    ck_assert_ptr_nonnull(net);
    cnn_spec_clear(&spec);
    cnn_net_init(net, CNN_INIT_UNIFORM, 1);
    return net;
}

static const uint16_t some_labels[] = {0, 2, 0, 0, 2, 0, 3, 0};
static const uint32_t all[] = {0, 1, 2, 3, 4, 5, 6, 7};

START_TEST(balanced_weights_are_inverse_to_the_counts_of_classes)
{
    const struct cnn_samples samples = {.count = 8, .classes = 4, .labels = some_labels};
    float weights[4];
    cnn_balance_weights(&samples, all, 8, weights);
    ck_assert_float_eq(weights[0], 8.0f / (3 * 5));
    ck_assert_float_eq(weights[1], 1); /* never occurs */
    ck_assert_float_eq(weights[2], 8.0f / (3 * 2));
    ck_assert_float_eq(weights[3], 8.0f / (3 * 1));
    cnn_balance_weights(&samples, all + 1, 2, weights); /* a 2 and a 0 */
    ck_assert_float_eq(weights[0], 1);
    ck_assert_float_eq(weights[2], 1);
    ck_assert_float_eq(weights[3], 1);
}
END_TEST

START_TEST(a_balanced_epoch_draws_classes_and_their_samples_equally)
{
    struct err e;
    const struct cnn_samples samples = {.count = 8, .classes = 4, .labels = some_labels};
    struct cnn_balance *balance = cnn_balance_new(&samples, all, 8, &e);
    ck_assert_ptr_nonnull(balance);
    bool most[4] = {0};
    for (uint64_t epoch = 0; epoch < 20; epoch++) {
        struct cnn_rng rng;
        uint32_t order[8];
        int of_class[4] = {0}, of_sample[8] = {0};
        cnn_rng_init(&rng, 1, epoch);
        cnn_balance_draw(balance, &rng, order);
        for (int i = 0; i < 8; i++) {
            of_class[samples.labels[order[i]]]++;
            of_sample[order[i]]++;
        }
        ck_assert_int_eq(of_class[1], 0);
        for (int c = 0; c < 4; c++) {
            ck_assert(c == 1 || of_class[c] == 2 || of_class[c] == 3);
            most[c] = most[c] || of_class[c] == 3;
        }
        for (int i = 0; i < 8; i++) /* 2 or 3 draws of 5, 2 and 1 samples */
            ck_assert_int_le(of_sample[i], samples.labels[i] == 0 ? 1 : samples.labels[i]);
        ck_assert(of_sample[1] >= 1 && of_sample[4] >= 1);
    }
    ck_assert(most[0] && most[2] && most[3]); /* what is left over goes round */
    cnn_balance_free(balance);
}
END_TEST

START_TEST(a_balanced_epoch_depends_on_its_own_numbers_alone)
{
    struct err e;
    const struct cnn_samples samples = {.count = 8, .classes = 4, .labels = some_labels};
    struct cnn_balance *balance = cnn_balance_new(&samples, all, 8, &e);
    uint32_t first[8], other[8], again[8];
    struct cnn_rng rng;
    cnn_rng_init(&rng, 1, 1);
    cnn_balance_draw(balance, &rng, first);
    cnn_rng_init(&rng, 1, 2);
    cnn_balance_draw(balance, &rng, other);
    cnn_rng_init(&rng, 1, 1);
    cnn_balance_draw(balance, &rng, again);
    ck_assert_mem_eq(first, again, sizeof first);
    ck_assert_mem_ne(first, other, sizeof first);
    cnn_balance_free(balance);
}
END_TEST

/* PyTorch: sum of weight[label] * loss over the sum of weight[label]; the gradient likewise. */
START_TEST(a_weighted_step_is_the_weighted_mean_of_its_samples)
{
    enum { N = 20 };
    static const float weights[SMALL_CLASSES] = {0.5f, 1, 4};
    struct err e;
    struct cnn_samples samples = small_samples();
    struct cnn_net *net = small_net(SMALL_PLAIN);
    const struct cnn_loss plain = {.type = CNN_CROSS_ENTROPY},
                          weighted = {.type = CNN_CROSS_ENTROPY, .weights = weights};
    struct cnn_step *single = cnn_step_new(net, 1, plain, 1, &e),
                    *step = cnn_step_new(net, N, weighted, 2, &e);
    double loss = 0, sum = 0;
    float *grads = calloc(net->param_count, sizeof *grads);
    uint32_t index[N];
    for (uint32_t i = 0; i < N; i++) {
        const float weight = weights[samples.labels[index[i] = i]];
        loss += weight * cnn_step_run(single, &samples, &index[i], 1, 0, 0).loss;
        sum += weight;
        for (size_t k = 0; k < net->param_count; k++)
            grads[k] += weight * cnn_step_grads(single)[k];
    }
    for (size_t k = 0; k < net->param_count; k++)
        grads[k] /= (float)sum;
    ck_assert_double_eq_tol(cnn_step_run(step, &samples, index, N, 0, 0).loss, loss / sum, 1e-6);
    harness_close(cnn_step_grads(step), grads, net->param_count, 1e-5, "gradient");
    free(grads);
    cnn_step_free(single);
    cnn_step_free(step);
    cnn_net_free(net);
    small_samples_clear(&samples);
}
END_TEST

static struct cnn_train_config quick(int threads)
{
    struct cnn_train_config config = cnn_train_defaults();
    config.epochs = 40;
    config.batch_size = 20;
    config.threads = threads;
    config.optimizer.lr = 0.01;
    config.publish = CNN_PUBLISH_LAST;
    return config;
}

/* Trains a linear net and judges it on other samples: recall[CLASSES]. */
static void recall_after(const struct cnn_train_config *config, double recall[CLASSES])
{
    struct err e = {0};
    struct cnn_samples train = uneven_samples(1), test = uneven_samples(2);
    struct cnn_net *net = linear_net();
    struct cnn_train_result result;
    struct cnn_eval eval;
    ck_assert_msg(cnn_train(net, &train, NULL, config, NULL, &result, &e), "%s", e.detail);
    ck_assert(cnn_evaluate(net, &test, NULL, 0, cnn_loss_for(config->loss, net), 1, 0, &eval, &e));
    for (int c = 0; c < CLASSES; c++) {
        const uint32_t *row = eval.confusion + c * CLASSES;
        recall[c] = (double)row[c] / (row[0] + row[1]);
    }
    cnn_eval_clear(&eval);
    cnn_net_free(net);
    small_samples_clear(&train);
    small_samples_clear(&test);
}

START_TEST(weights_and_balanced_sampling_find_the_rare_class)
{
    static const float given[CLASSES] = {0.5f, 4.5f};
    struct cnn_train_config configs[4];
    double recall[4][CLASSES];
    for (int i = 0; i < 4; i++)
        configs[i] = quick(1);
    configs[1].weighting = CNN_WEIGHTS_BALANCED;
    configs[2].weighting = CNN_WEIGHTS_GIVEN;
    configs[2].class_weights = given;
    configs[2].class_weight_count = CLASSES;
    configs[3].sampling = CNN_SAMPLING_BALANCED;
    for (int i = 0; i < 4; i++)
        recall_after(&configs[i], recall[i]);
    ck_assert_double_lt(recall[0][1], 0.3);
    for (int i = 1; i < 4; i++) {
        ck_assert_double_gt(recall[i][1], 0.6);
        ck_assert_double_gt(recall[i][0], 0.6);
    }
}
END_TEST

static void train_weights(const struct cnn_train_config *config, float *weights)
{
    struct err e;
    struct cnn_samples samples = uneven_samples(1);
    struct cnn_net *net = linear_net();
    struct cnn_train_result result;
    ck_assert(cnn_train(net, &samples, NULL, config, NULL, &result, &e));
    memcpy(weights, net->params, 6 * sizeof *weights);
    cnn_net_free(net);
    small_samples_clear(&samples);
}

START_TEST(balanced_training_repeats_at_any_number_of_threads)
{
    for (int sampled = 0; sampled < 2; sampled++) {
        float first[6], again[6];
        for (int threads = 1; threads <= 4; threads++) {
            struct cnn_train_config config = quick(threads);
            config.epochs = 2;
            config.validation_split = 0.1;
            if (sampled)
                config.sampling = CNN_SAMPLING_BALANCED;
            else
                config.weighting = CNN_WEIGHTS_BALANCED;
            train_weights(&config, threads == 1 ? first : again);
            if (threads > 1)
                ck_assert_mem_eq(first, again, sizeof first);
        }
    }
}
END_TEST

START_TEST(one_weight_for_all_changes_nothing)
{
    static const float ones[CLASSES] = {1, 1};
    struct cnn_train_config config = quick(1);
    float plain[6], weighted[6];
    train_weights(&config, plain);
    config.weighting = CNN_WEIGHTS_GIVEN;
    config.class_weights = ones;
    config.class_weight_count = CLASSES;
    train_weights(&config, weighted);
    ck_assert_mem_eq(plain, weighted, sizeof plain);
}
END_TEST

static void refused(const struct cnn_train_config *config, const char *field, const char *detail)
{
    struct err e = {0};
    struct cnn_samples samples = uneven_samples(1);
    struct cnn_net *net = linear_net();
    struct cnn_train_result result;
    ck_assert(!cnn_train(net, &samples, NULL, config, NULL, &result, &e));
    ck_assert_int_eq(e.code, ERR_INVALID);
    ck_assert_str_eq(e.field, field);
    ck_assert_str_eq(e.detail, detail);
    cnn_net_free(net);
    small_samples_clear(&samples);
}

START_TEST(weights_that_make_no_sense_are_refused_by_field)
{
    static const float bad[][3] = {{1, 1, 1}, {1, 0}, {NAN, 1}, {1, INFINITY}};
    struct cnn_train_config config = quick(1);
    config.weighting = CNN_WEIGHTS_GIVEN;
    config.class_weights = bad[0];
    config.class_weight_count = 3;
    refused(&config, "class_weights", "3 weights for 2 classes");
    config.class_weight_count = 2;
    config.class_weights = bad[1];
    refused(&config, "class_weights[1]", "weight 0 is not in 1e-06..1e+06");
    config.class_weights = bad[2];
    refused(&config, "class_weights[0]", "weight nan is not in 1e-06..1e+06");
    config.class_weights = bad[3];
    refused(&config, "class_weights[1]", "weight inf is not in 1e-06..1e+06");
    config.weighting = CNN_WEIGHTS_BALANCED;
    config.sampling = CNN_SAMPLING_BALANCED;
    refused(&config, "class_weights",
            "weights and sampling are both balanced, which would count twice");
}
END_TEST

TEST_PROGRAM("core_balance", balanced_weights_are_inverse_to_the_counts_of_classes,
             a_balanced_epoch_draws_classes_and_their_samples_equally,
             a_balanced_epoch_depends_on_its_own_numbers_alone,
             a_weighted_step_is_the_weighted_mean_of_its_samples,
             weights_and_balanced_sampling_find_the_rare_class,
             balanced_training_repeats_at_any_number_of_threads, one_weight_for_all_changes_nothing,
             weights_that_make_no_sense_are_refused_by_field)
