#include <math.h>
#include <string.h>

#include "eval.h"
#include "small_nets.h"
#include "workspace.h"

static const struct cnn_loss cross_entropy = {.type = CNN_CROSS_ENTROPY};

static struct cnn_eval evaluate(const struct cnn_net *net, const struct cnn_samples *samples,
                                const uint32_t *index, uint32_t n, int threads, int failures_max)
{
    struct err e = {0};
    struct cnn_eval eval;
    ck_assert_msg(
        cnn_evaluate(net, samples, index, n, cross_entropy, threads, failures_max, &eval, &e), "%s",
        e.detail);
    return eval;
}

/* The outputs of all small samples in one run, [SMALL_SAMPLES, SMALL_CLASSES]. */
static const float *run_all(const struct cnn_net *net, const struct cnn_samples *samples,
                            struct cnn_workspace **ws)
{
    struct err e;
    *ws = cnn_workspace_new(net, SMALL_SAMPLES, CNN_INFER, &e);
    ck_assert_ptr_nonnull(*ws);
    return cnn_forward_canonical(net, *ws, samples->x, SMALL_SAMPLES);
}

START_TEST(loss_accuracy_and_confusion_are_those_of_the_outputs)
{
    struct cnn_samples samples = small_samples();
    struct cnn_net *net = small_net(SMALL_NORM);
    struct cnn_workspace *ws;
    const float *out = run_all(net, &samples, &ws);
    uint32_t confusion[SMALL_CLASSES * SMALL_CLASSES] = {0}, correct = 0, sum = 0;
    for (int i = 0; i < SMALL_SAMPLES; i++) {
        int predicted = cnn_argmax(out + i * SMALL_CLASSES, SMALL_CLASSES);
        confusion[samples.labels[i] * SMALL_CLASSES + predicted]++;
        correct += predicted == samples.labels[i];
    }
    double loss =
        cnn_loss_eval(cross_entropy, SMALL_SAMPLES, SMALL_CLASSES, out, samples.labels, 1, NULL);
    struct cnn_eval eval = evaluate(net, &samples, NULL, 0, 2, 0);
    ck_assert_uint_eq(eval.count, SMALL_SAMPLES);
    ck_assert_int_eq(eval.classes, SMALL_CLASSES);
    ck_assert_double_eq_tol(eval.loss, loss / SMALL_SAMPLES, 1e-6);
    ck_assert_double_eq(eval.accuracy, (double)correct / SMALL_SAMPLES);
    ck_assert_mem_eq(eval.confusion, confusion, sizeof confusion);
    for (int i = 0; i < SMALL_CLASSES * SMALL_CLASSES; i++)
        sum += eval.confusion[i];
    ck_assert_uint_eq(sum, SMALL_SAMPLES);
    ck_assert_int_eq(eval.failure_count, 0);
    cnn_eval_clear(&eval);
    ck_assert_ptr_null(eval.confusion);
    cnn_workspace_free(ws);
    cnn_net_free(net);
    small_samples_clear(&samples);
}
END_TEST

START_TEST(failures_are_the_misclassified_most_confident_first)
{
    struct cnn_samples samples = small_samples();
    struct cnn_net *net = small_net(SMALL_PLAIN);
    struct cnn_workspace *ws;
    const float *out = run_all(net, &samples, &ws);
    struct cnn_eval eval = evaluate(net, &samples, NULL, 0, 2, SMALL_SAMPLES);
    int wrong = 0;
    bool listed[SMALL_SAMPLES] = {false};
    ck_assert_int_gt(eval.failure_count, 10);
    for (int i = 0; i < eval.failure_count; i++) {
        const struct cnn_failure *failure = &eval.failures[i];
        const float *scores = eval.failure_scores + i * SMALL_CLASSES;
        float expected[SMALL_CLASSES];
        ck_assert(!listed[failure->sample]);
        listed[failure->sample] = true;
        memcpy(expected, out + failure->sample * SMALL_CLASSES, sizeof expected);
        ck_assert_int_eq(failure->predicted, cnn_argmax(expected, SMALL_CLASSES));
        ck_assert_int_eq(failure->actual, samples.labels[failure->sample]);
        cnn_scores(net, expected, 1);
        harness_close(scores, expected, SMALL_CLASSES, 1e-6, "scores");
        ck_assert_float_eq_tol(failure->score, scores[failure->predicted], 1e-6f);
        if (i > 0)
            ck_assert(failure[-1].score > failure->score || (failure[-1].score == failure->score &&
                                                             failure[-1].sample < failure->sample));
    }
    for (int i = 0; i < SMALL_SAMPLES; i++) {
        bool failed = cnn_argmax(out + i * SMALL_CLASSES, SMALL_CLASSES) != samples.labels[i];
        ck_assert_int_eq(failed, listed[i]);
        wrong += failed;
    }
    ck_assert_int_eq(wrong, eval.failure_count);

    struct cnn_eval few = evaluate(net, &samples, NULL, 0, 2, 3);
    ck_assert_int_eq(few.failure_count, 3);
    ck_assert_mem_eq(few.failures, eval.failures, 3 * sizeof *few.failures);
    cnn_eval_clear(&few);
    cnn_eval_clear(&eval);
    cnn_workspace_free(ws);
    cnn_net_free(net);
    small_samples_clear(&samples);
}
END_TEST

/* Cell after cell of the matrix: as many of its samples as it counts. */
START_TEST(samples_stand_behind_their_cells_most_confident_first)
{
    struct cnn_samples samples = small_samples();
    struct cnn_net *net = small_net(SMALL_PLAIN);
    struct cnn_workspace *ws;
    const float *out = run_all(net, &samples, &ws);
    struct cnn_eval eval = evaluate(net, &samples, NULL, 0, 2, 0);
    bool listed[SMALL_SAMPLES] = {false};
    uint32_t at = 0;
    for (int cell = 0; cell < SMALL_CLASSES * SMALL_CLASSES; cell++) {
        int predicted = cell % SMALL_CLASSES;
        float before = INFINITY;
        for (uint32_t i = 0; i < eval.confusion[cell]; i++, at++) {
            uint32_t sample = eval.samples[at];
            float scores[SMALL_CLASSES];
            ck_assert_uint_lt(sample, SMALL_SAMPLES);
            ck_assert(!listed[sample]);
            listed[sample] = true;
            memcpy(scores, out + sample * SMALL_CLASSES, sizeof scores);
            ck_assert_int_eq(samples.labels[sample], cell / SMALL_CLASSES);
            ck_assert_int_eq(cnn_argmax(scores, SMALL_CLASSES), predicted);
            cnn_scores(net, scores, 1);
            ck_assert_float_le(scores[predicted], before + 1e-6f);
            before = scores[predicted];
        }
    }
    ck_assert_uint_eq(at, SMALL_SAMPLES);
    cnn_eval_clear(&eval);
    ck_assert_ptr_null(eval.samples);
    cnn_workspace_free(ws);
    cnn_net_free(net);
    small_samples_clear(&samples);
}
END_TEST

START_TEST(equal_scores_are_listed_by_sample)
{
    struct cnn_samples samples = small_samples();
    struct cnn_net *net = small_net(SMALL_PLAIN);
    memset(net->params, 0, net->state_count * sizeof(float)); /* every score is a third */
    struct cnn_eval eval = evaluate(net, &samples, NULL, 0, 2, SMALL_SAMPLES);
    ck_assert_int_gt(eval.failure_count, 10);
    for (int i = 1; i < eval.failure_count; i++)
        ck_assert_uint_lt(eval.failures[i - 1].sample, eval.failures[i].sample);
    ck_assert_double_eq_tol(eval.loss, log(SMALL_CLASSES), 1e-6);
    cnn_eval_clear(&eval);
    cnn_net_free(net);
    small_samples_clear(&samples);
}
END_TEST

START_TEST(index_picks_samples_and_failures_name_their_place_in_the_split)
{
    struct cnn_samples samples = small_samples();
    struct cnn_net *net = small_net(SMALL_PLAIN);
    struct cnn_eval all = evaluate(net, &samples, NULL, 0, 1, SMALL_SAMPLES);
    uint32_t index[SMALL_SAMPLES], n = (uint32_t)all.failure_count;
    for (uint32_t i = 0; i < n; i++)
        index[i] = all.failures[i].sample;
    struct cnn_eval wrong = evaluate(net, &samples, index, n, 2, SMALL_SAMPLES);
    ck_assert_uint_eq(wrong.count, n);
    ck_assert_double_eq(wrong.accuracy, 0);
    ck_assert_int_eq(wrong.failure_count, all.failure_count);
    for (uint32_t i = 0; i < n; i++)
        ck_assert_uint_eq(wrong.failures[i].sample, index[i]);
    /* The matrix has the same cells off its diagonal, with the same samples. */
    for (uint32_t cell = 0, in_all = 0, in_wrong = 0; cell < SMALL_CLASSES * SMALL_CLASSES;
         cell++) {
        for (uint32_t i = 0; i < wrong.confusion[cell]; i++)
            ck_assert_uint_eq(wrong.samples[in_wrong++], all.samples[in_all + i]);
        in_all += all.confusion[cell];
    }
    cnn_eval_clear(&all);
    cnn_eval_clear(&wrong);
    cnn_net_free(net);
    small_samples_clear(&samples);
}
END_TEST

START_TEST(same_bits_with_1_2_3_and_8_threads)
{
    static const int threads[] = {2, 3, 8};
    struct cnn_samples samples = small_samples();
    struct cnn_net *net = small_net(SMALL_RESIDUAL);
    struct cnn_eval first = evaluate(net, &samples, NULL, 0, 1, 20);
    for (int t = 0; t < 3; t++) {
        struct cnn_eval again = evaluate(net, &samples, NULL, 0, threads[t], 20);
        ck_assert_mem_eq(&first.loss, &again.loss, sizeof first.loss);
        ck_assert_mem_eq(first.confusion, again.confusion,
                         SMALL_CLASSES * SMALL_CLASSES * sizeof *first.confusion);
        ck_assert_mem_eq(first.samples, again.samples, first.count * sizeof *first.samples);
        ck_assert_mem_eq(first.failures, again.failures, 20 * sizeof *first.failures);
        ck_assert_mem_eq(first.failure_scores, again.failure_scores,
                         20 * SMALL_CLASSES * sizeof(float));
        cnn_eval_clear(&again);
    }
    cnn_eval_clear(&first);
    cnn_net_free(net);
    small_samples_clear(&samples);
}
END_TEST

/* Rows actual, columns predicted; nothing is predicted as class 2, and class 3 does not occur. */
START_TEST(precision_recall_and_f1_of_a_matrix_by_hand)
{
    static const uint32_t confusion[] = {
        5, 3, 0, 0, /* */
        1, 6, 0, 1, /* */
        2, 2, 0, 0, /* */
        0, 0, 0, 0,
    };
    static const struct cnn_class_metrics expected[] = {
        {5. / 8, 5. / 8, 5. / 8, 8},
        {6. / 11, 6. / 8, 12. / 19, 8},
        {0, 0, 0, 4},
        {0, 0, 0, 0},
    };
    struct cnn_class_metrics metrics[4];
    cnn_confusion_metrics(confusion, 4, metrics);
    for (int c = 0; c < 4; c++) {
        ck_assert_double_eq_tol(metrics[c].precision, expected[c].precision, 1e-15);
        ck_assert_double_eq_tol(metrics[c].recall, expected[c].recall, 1e-15);
        ck_assert_double_eq_tol(metrics[c].f1, expected[c].f1, 1e-15);
        ck_assert_uint_eq(metrics[c].support, expected[c].support);
    }
}
END_TEST

START_TEST(means_count_classes_the_same_or_by_their_samples)
{
    static const struct cnn_class_metrics metrics[] = {
        {0.5, 1, 0.25, 30}, {1, 0.5, 0.75, 10}, {0, 0, 0, 0}};
    struct cnn_class_metrics macro, weighted;
    cnn_confusion_means(metrics, 3, &macro, &weighted);
    ck_assert_double_eq_tol(macro.precision, 0.5, 1e-15);
    ck_assert_double_eq_tol(macro.recall, 0.5, 1e-15);
    ck_assert_double_eq_tol(macro.f1, 1. / 3, 1e-15);
    ck_assert_uint_eq(macro.support, 40);
    ck_assert_double_eq_tol(weighted.precision, 0.625, 1e-15);
    ck_assert_double_eq_tol(weighted.recall, 0.875, 1e-15);
    ck_assert_double_eq_tol(weighted.f1, 0.375, 1e-15);
    ck_assert_uint_eq(weighted.support, 40);
    cnn_confusion_means(metrics + 2, 1, &macro, &weighted);
    ck_assert_double_eq(weighted.recall, 0);
}
END_TEST

START_TEST(no_samples_and_other_shapes_are_refused)
{
    struct cnn_samples samples = small_samples(), other = samples;
    struct cnn_net *net = small_net(SMALL_PLAIN);
    struct cnn_eval eval;
    struct err e = {0};
    other.count = 0;
    ck_assert(!cnn_evaluate(net, &other, NULL, 0, cross_entropy, 1, 0, &eval, &e));
    ck_assert_str_eq(e.detail, "there are no samples to evaluate");
    other = samples;
    other.shape.c = 1;
    ck_assert(!cnn_evaluate(net, &other, NULL, 0, cross_entropy, 1, 0, &eval, &e));
    ck_assert_int_eq(e.code, ERR_INVALID);
    ck_assert_str_eq(e.detail, "model takes [2,6,6] but the samples are [1,6,6]");
    cnn_net_free(net);
    small_samples_clear(&samples);
}
END_TEST

START_TEST(weights_that_are_not_finite_give_a_loss_that_is_not)
{
    struct cnn_samples samples = small_samples();
    struct cnn_net *net = small_net(SMALL_PLAIN);
    for (size_t i = 0; i < net->param_count; i++)
        net->params[i] = NAN;
    struct cnn_eval eval = evaluate(net, &samples, NULL, 0, 2, SMALL_SAMPLES);
    ck_assert(isnan(eval.loss));
    ck_assert_uint_eq(eval.count, SMALL_SAMPLES);
    ck_assert_uint_eq(eval.failures[0].predicted, 0);
    for (int i = 1; i < eval.failure_count; i++)
        ck_assert_uint_gt(eval.failures[i].sample, eval.failures[i - 1].sample);
    cnn_eval_clear(&eval);
    cnn_net_free(net);
    small_samples_clear(&samples);
}
END_TEST

TEST_PROGRAM("core_eval", loss_accuracy_and_confusion_are_those_of_the_outputs,
             failures_are_the_misclassified_most_confident_first,
             samples_stand_behind_their_cells_most_confident_first,
             equal_scores_are_listed_by_sample,
             index_picks_samples_and_failures_name_their_place_in_the_split,
             same_bits_with_1_2_3_and_8_threads, precision_recall_and_f1_of_a_matrix_by_hand,
             means_count_classes_the_same_or_by_their_samples,
             no_samples_and_other_shapes_are_refused,
             weights_that_are_not_finite_give_a_loss_that_is_not)
