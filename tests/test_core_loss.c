#include <math.h>
#include <string.h>

#include "harness.h"
#include "loss.h"
#include "rng.h"

static const struct cnn_loss cross_entropy = {.type = CNN_CROSS_ENTROPY};
static const float class_weights[] = {1, 2, 4, 0.5f, 3};
static const struct cnn_loss smooth = {.type = CNN_CROSS_ENTROPY, .smoothing = 0.1};
static const struct cnn_loss smooth_weighted = {
    .type = CNN_CROSS_ENTROPY, .smoothing = 0.1, .weights = class_weights};
static const struct cnn_loss binary_logits = {.type = CNN_BINARY_CROSS_ENTROPY};
static const struct cnn_loss binary_chances = {.type = CNN_BINARY_CROSS_ENTROPY,
                                               .probabilities = true};
static const struct cnn_loss square = {.type = CNN_MSE};

static double one(struct cnn_loss loss, int classes, const float *out, uint16_t label)
{
    return cnn_loss_eval(loss, 1, classes, out, &label, 1, NULL);
}

/* softmax([1,2,3,4,1,2,3]), the reference's row: the loss is the logarithm of an entry, and the
 * gradient the row itself, less one at the label. */
START_TEST(cross_entropy_is_the_log_of_softmax)
{
    static const float out[] = {1, 2, 3, 4, 1, 2, 3};
    static const double softmax[] = {.02364054, .06426166, .1746813, .474833,
                                     .02364054, .06426166, .1746813};
    for (uint16_t label = 0; label < 7; label++) {
        float dout[7];
        double loss = cnn_loss_eval(cross_entropy, 1, 7, out, &label, 1, dout);
        ck_assert_double_eq_tol(loss, -log(softmax[label]), 1e-6);
        for (int c = 0; c < 7; c++)
            ck_assert_double_eq_tol(dout[c], softmax[c] - (c == label), 1e-7);
    }
}
END_TEST

START_TEST(cross_entropy_of_log_softmax_outputs_is_their_negative)
{
    float out[] = {logf(0.2f), logf(0.5f), logf(0.3f)};
    ck_assert_double_eq_tol(one(cross_entropy, 3, out, 0), -log(0.2), 1e-6);
    ck_assert_double_eq_tol(one(cross_entropy, 3, out, 1), -log(0.5), 1e-6);
}
END_TEST

/* softmax(.2, .5, .3) taken a second time: e^.2 / (e^.2 + e^.5 + e^.3). */
START_TEST(cross_entropy_of_softmax_outputs_applies_softmax_again)
{
    static const float out[] = {0.2f, 0.5f, 0.3f};
    double sum = exp(0.2) + exp(0.5) + exp(0.3);
    ck_assert_double_eq_tol(one(cross_entropy, 3, out, 0), log(sum) - 0.2, 1e-6);
}
END_TEST

START_TEST(cross_entropy_does_not_overflow)
{
    static const float out[] = {1e30f, -1e30f, 0};
    ck_assert_double_eq(one(cross_entropy, 3, out, 0), 0);
    ck_assert_double_eq_tol(one(cross_entropy, 3, out, 2), 1e30, 1e24);
}
END_TEST

/* -log softmax(1,2,3) is 2.4076060, 1.4076060, .4076060; .9 of the label's and a thirtieth of each,
 * all by the weights of their classes, as PyTorch's cross_entropy(label_smoothing=.1) has it. */
START_TEST(smoothing_spreads_a_part_over_the_classes)
{
    static const float out[] = {1, 2, 3};
    ck_assert_double_eq_tol(one(smooth, 3, out, 0), 2.3076060, 1e-6);
    ck_assert_double_eq_tol(one(smooth, 3, out, 2), 0.5076060, 1e-6);
    ck_assert_double_eq_tol(one(smooth_weighted, 3, out, 0), 2.3952868, 1e-6);
    ck_assert_double_eq_tol(one(smooth_weighted, 3, out, 2), 1.6958228, 1e-6);
}
END_TEST

/* One-hot target (1, 0): -(ln .8 + ln(1 - .4)) / 2. */
START_TEST(binary_cross_entropy_on_probabilities)
{
    static const float out[] = {0.8f, 0.4f};
    ck_assert_double_eq_tol(one(binary_chances, 2, out, 0), -(log(.8) + log(.6)) / 2, 1e-6);
    ck_assert_double_eq_tol(one(binary_chances, 2, out, 1), -(log(.2) + log(.4)) / 2, 1e-6);
}
END_TEST

START_TEST(binary_cross_entropy_of_certain_wrong_answers_is_100)
{
    static const float out[] = {0, 1};
    float dout[2];
    uint16_t label = 0;
    ck_assert_double_eq(cnn_loss_eval(binary_chances, 1, 2, out, &label, 1, dout), 100);
    ck_assert(isfinite(dout[0]) && dout[0] < 0 && isfinite(dout[1]) && dout[1] > 0);
    ck_assert_double_eq(one(binary_chances, 2, out, 1), 0);
}
END_TEST

/* sigmoid(0) = 1/2 and sigmoid(ln 3) = 3/4. */
START_TEST(binary_cross_entropy_on_logits)
{
    float out[] = {0, logf(3)};
    ck_assert_double_eq_tol(one(binary_logits, 2, out, 0), -(log(.5) + log(.25)) / 2, 1e-6);
    ck_assert_double_eq_tol(one(binary_logits, 2, out, 1), -(log(.5) + log(.75)) / 2, 1e-6);
    static const float far[] = {-1e4f, 1e4f};
    ck_assert_double_eq_tol(one(binary_logits, 2, far, 0), 1e4, 1e-6);
    ck_assert_double_eq(one(binary_logits, 2, far, 1), 0);
}
END_TEST

/* ((.5-0)^2 + (2-1)^2 + (-1-0)^2) / 3; derivative 2 (out - target) / 3. */
START_TEST(mse_against_one_hot)
{
    static const float out[] = {0.5f, 2, -1};
    float dout[3];
    uint16_t label = 1;
    ck_assert_double_eq_tol(cnn_loss_eval(square, 1, 3, out, &label, 1, dout), 2.25 / 3, 1e-7);
    harness_close(dout, (const float[]){1.f / 3, 2.f / 3, -2.f / 3}, 3, 1e-6, "gradient");
}
END_TEST

START_TEST(losses_sum_over_samples_and_gradients_are_weighted)
{
    static const struct cnn_loss losses[] = {
        {.type = CNN_CROSS_ENTROPY}, {.type = CNN_BINARY_CROSS_ENTROPY}, {.type = CNN_MSE}};
    static const float out[] = {0.1f, -0.4f, 0.9f, 2, 0.3f, -1};
    static const uint16_t labels[] = {2, 0};
    for (int i = 0; i < 3; i++) {
        float both[6], single[6];
        double sum = cnn_loss_eval(losses[i], 2, 3, out, labels, 0.25f, both);
        double apart = cnn_loss_eval(losses[i], 1, 3, out, labels, 1, single) +
                       cnn_loss_eval(losses[i], 1, 3, out + 3, labels + 1, 1, single + 3);
        ck_assert_double_eq(sum, apart);
        for (int j = 0; j < 6; j++)
            ck_assert_double_eq_tol(both[j], 0.25 * single[j], 1e-8);
    }
}
END_TEST

/* Central differences in the outputs, which are floats: the step is what they can tell apart. */
static void check_gradient(struct cnn_loss loss, float low, float high)
{
    enum { CLASSES = 5 };
    struct cnn_rng rng;
    cnn_rng_init(&rng, 1, (uint64_t)loss.type);
    for (int trial = 0; trial < 20; trial++) {
        float out[CLASSES], dout[CLASSES];
        uint16_t label = (uint16_t)cnn_rng_below(&rng, CLASSES);
        for (int c = 0; c < CLASSES; c++)
            out[c] = cnn_rng_uniform(&rng, low, high);
        cnn_loss_eval(loss, 1, CLASSES, out, &label, 1, dout);
        for (int c = 0; c < CLASSES; c++) {
            float kept = out[c], above = kept + 1e-3f, below = kept - 1e-3f;
            out[c] = above;
            double more = one(loss, CLASSES, out, label);
            out[c] = below;
            double less = one(loss, CLASSES, out, label);
            out[c] = kept;
            double slope = (more - less) / ((double)above - (double)below);
            ck_assert_double_eq_tol(dout[c], slope, 1e-4 * fmax(1, fabs(slope)));
        }
    }
}

START_TEST(gradients_match_finite_differences)
{
    check_gradient(cross_entropy, -3, 3);
    check_gradient(smooth, -3, 3);
    check_gradient(smooth_weighted, -3, 3);
    check_gradient(binary_logits, -3, 3);
    check_gradient(binary_chances, 0.1f, 0.9f);
    check_gradient(square, -2, 2);
}
END_TEST

START_TEST(bad_outputs_give_a_loss_that_is_not_finite)
{
    static const struct cnn_loss losses[] = {{.type = CNN_CROSS_ENTROPY},
                                             {.type = CNN_BINARY_CROSS_ENTROPY},
                                             {.type = CNN_BINARY_CROSS_ENTROPY, true},
                                             {.type = CNN_MSE}};
    for (int i = 0; i < 4; i++) {
        for (uint16_t label = 0; label < 2; label++) {
            ck_assert(!isfinite(one(losses[i], 2, (const float[]){NAN, 1}, label)));
            ck_assert(!isfinite(one(losses[i], 2, (const float[]){NAN, NAN}, label)));
        }
    }
    ck_assert(!isfinite(one(cross_entropy, 2, (const float[]){INFINITY, 1}, 0)));
    ck_assert(!isfinite(one(cross_entropy, 2, (const float[]){-INFINITY, 1}, 0)));
    ck_assert(!isfinite(one(square, 2, (const float[]){INFINITY, 1}, 0)));
}
END_TEST

START_TEST(argmax_takes_the_first_of_equals_and_never_nan)
{
    ck_assert_int_eq(cnn_argmax((const float[]){1, 3, 2}, 3), 1);
    ck_assert_int_eq(cnn_argmax((const float[]){2, 1, 2}, 3), 0);
    ck_assert_int_eq(cnn_argmax((const float[]){-5, -3, -4}, 3), 1);
    ck_assert_int_eq(cnn_argmax((const float[]){NAN, -1, -2}, 3), 1);
    ck_assert_int_eq(cnn_argmax((const float[]){1, NAN, 2}, 3), 2);
    ck_assert_int_eq(cnn_argmax((const float[]){NAN, -INFINITY}, 2), 1);
    ck_assert_int_eq(cnn_argmax((const float[]){7}, 1), 0);
}
END_TEST

START_TEST(probabilities_are_what_sigmoid_and_softmax_give)
{
    static const enum cnn_layer_type types[] = {CNN_DENSE, CNN_SIGMOID, CNN_SOFTMAX,
                                                CNN_LOG_SOFTMAX};
    static const bool expected[] = {false, true, true, false};
    for (int i = 0; i < 4; i++) {
        struct cnn_node nodes[2] = {{.spec.type = CNN_DENSE}, {.spec.type = types[i]}};
        struct cnn_net net = {.node_count = 2, .nodes = nodes};
        struct cnn_loss loss = cnn_loss_for(CNN_MSE, &net);
        ck_assert_int_eq(loss.type, CNN_MSE);
        ck_assert_int_eq(loss.probabilities, expected[i]);
    }
}
END_TEST

START_TEST(names_are_those_of_the_api)
{
    ck_assert_str_eq(cnn_loss_name(CNN_CROSS_ENTROPY), "cross_entropy");
    ck_assert_str_eq(cnn_loss_name(CNN_BINARY_CROSS_ENTROPY), "binary_cross_entropy");
    ck_assert_str_eq(cnn_loss_name(CNN_MSE), "mse");
}
END_TEST

TEST_PROGRAM("core_loss", cross_entropy_is_the_log_of_softmax,
             cross_entropy_of_log_softmax_outputs_is_their_negative,
             cross_entropy_of_softmax_outputs_applies_softmax_again,
             cross_entropy_does_not_overflow, smoothing_spreads_a_part_over_the_classes,
             binary_cross_entropy_on_probabilities,
             binary_cross_entropy_of_certain_wrong_answers_is_100, binary_cross_entropy_on_logits,
             mse_against_one_hot, losses_sum_over_samples_and_gradients_are_weighted,
             gradients_match_finite_differences, bad_outputs_give_a_loss_that_is_not_finite,
             argmax_takes_the_first_of_equals_and_never_nan,
             probabilities_are_what_sigmoid_and_softmax_give, names_are_those_of_the_api)
