#include <math.h>
#include <string.h>

#include "engine.h"
#include "small_nets.h"
#include "step.h"
#include "workspace.h"

static const struct cnn_loss cross_entropy = {.type = CNN_CROSS_ENTROPY};
static const uint64_t seed = 3, number = 17;

/* Every third sample, so that index matters. */
static void fill_index(uint32_t *index, int n)
{
    for (int i = 0; i < n; i++)
        index[i] = (uint32_t)(i * 3 % SMALL_SAMPLES + i * 3 / SMALL_SAMPLES);
}

static struct cnn_step *make_step(struct cnn_net *net, int batch_max, int threads)
{
    struct err e;
    struct cnn_step *step = cnn_step_new(net, batch_max, cross_entropy, threads, &e);
    ck_assert_ptr_nonnull(step);
    return step;
}

/* The whole batch in one workspace, serially, with no shards; nets without batch-norm. */
static double whole_batch(const struct cnn_net *net, const struct cnn_samples *samples,
                          const uint32_t *index, int n, float *grads)
{
    struct err e;
    uint16_t labels[SMALL_SAMPLES];
    struct cnn_workspace *ws = cnn_workspace_new(net, n, CNN_TRAIN, &e);
    struct cnn_run run = {
        .n = n, .batch_count = n, .training = true, .seed = seed, .step = number, .grads = grads};
    for (int i = 0; i < n; i++)
        labels[i] = samples->labels[index[i]];
    cnn_samples_gather(samples, index, 0, n, cnn_workspace_input(ws));
    cnn_workspace_prepare(ws);
    cnn_run_forward(cnn_workspace_frame(ws), &run, 0, net->node_count);
    double sum = cnn_loss_eval(cross_entropy, n, SMALL_CLASSES, cnn_workspace_map(ws, -1), labels,
                               1.0f / (float)n, cnn_workspace_output_grad(ws));
    cnn_run_backward(cnn_workspace_frame(ws), &run, 0, net->node_count);
    cnn_workspace_free(ws);
    return sum / n;
}

START_TEST(gradient_equals_that_of_the_whole_batch_at_once)
{
    static const int sizes[] = {1, 2, 7, 8, 9, 64, 127, SMALL_SAMPLES};
    struct cnn_samples samples = small_samples();
    for (int kind = SMALL_PLAIN; kind <= SMALL_DROPOUT; kind++) {
        struct cnn_net *net = small_net((enum small_kind)kind);
        struct cnn_step *step = make_step(net, SMALL_SAMPLES, 2);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            uint32_t index[SMALL_SAMPLES];
            int n = sizes[i];
            float *expected = calloc(net->param_count, sizeof *expected);
            fill_index(index, n);
            double loss = whole_batch(net, &samples, index, n, expected);
            struct cnn_step_result result = cnn_step_run(step, &samples, index, n, seed, number);
            ck_assert_double_eq_tol(result.loss, loss, 1e-6);
            harness_close(cnn_step_grads(step), expected, net->param_count, 2e-6, "gradient");
            free(expected);
        }
        cnn_step_free(step);
        cnn_net_free(net);
    }
    small_samples_clear(&samples);
}
END_TEST

/* Central differences of the batch's own loss, dropout masks held by seed and number. */
START_TEST(gradient_matches_finite_differences_through_batch_norm_and_dropout)
{
    enum { N = 20 };
    const float h = 1e-2f;
    struct cnn_samples samples = small_samples();
    uint32_t index[N];
    fill_index(index, N);
    for (int kind = 0; kind < SMALL_KINDS; kind++) {
        struct cnn_net *net = small_net((enum small_kind)kind);
        struct cnn_step *step = make_step(net, N, 2);
        float *grads = malloc(net->param_count * sizeof *grads);
        cnn_step_run(step, &samples, index, N, seed, number);
        memcpy(grads, cnn_step_grads(step), net->param_count * sizeof *grads);
        for (size_t i = 0; i < net->param_count; i += 3) {
            float kept = net->params[i];
            net->params[i] = kept + h;
            double above = cnn_step_run(step, &samples, index, N, seed, number).loss;
            net->params[i] = kept - h;
            double below = cnn_step_run(step, &samples, index, N, seed, number).loss;
            net->params[i] = kept;
            double slope = (above - below) / (2 * (double)h);
            ck_assert_msg(fabs(grads[i] - slope) < 2e-4, "net %d, parameter %zu: %g, expected %g",
                          kind, i, (double)grads[i], slope);
        }
        free(grads);
        cnn_step_free(step);
        cnn_net_free(net);
    }
    small_samples_clear(&samples);
}
END_TEST

START_TEST(same_bits_with_1_2_3_and_8_threads)
{
    static const int threads[] = {1, 2, 3, 8};
    static const int sizes[] = {5, 45, SMALL_SAMPLES};
    struct cnn_samples samples = small_samples();
    for (int kind = 0; kind < SMALL_KINDS; kind++) {
        struct cnn_net *first_net = small_net((enum small_kind)kind);
        struct cnn_step *first = make_step(first_net, SMALL_SAMPLES, 1);
        for (int t = 1; t < 4; t++) {
            struct cnn_net *net = small_net((enum small_kind)kind);
            struct cnn_step *step = make_step(net, SMALL_SAMPLES, threads[t]);
            memcpy(first_net->params, net->params, net->state_count * sizeof(float));
            for (int i = 0; i < 3; i++) {
                uint32_t index[SMALL_SAMPLES];
                int n = sizes[i];
                fill_index(index, n);
                struct cnn_step_result a = cnn_step_run(first, &samples, index, n, seed, number);
                struct cnn_step_result b = cnn_step_run(step, &samples, index, n, seed, number);
                ck_assert_mem_eq(&a.loss, &b.loss, sizeof a.loss);
                ck_assert_int_eq(a.correct, b.correct);
                ck_assert_mem_eq(cnn_step_grads(first), cnn_step_grads(step),
                                 net->param_count * sizeof(float));
                ck_assert_mem_eq(first_net->params, net->params, net->state_count * sizeof(float));
            }
            cnn_step_free(step);
            cnn_net_free(net);
        }
        cnn_step_free(first);
        cnn_net_free(first_net);
    }
    small_samples_clear(&samples);
}
END_TEST

START_TEST(dropout_masks_follow_seed_and_number)
{
    enum { N = 16 };
    struct cnn_samples samples = small_samples();
    struct cnn_net *net = small_net(SMALL_DROPOUT);
    struct cnn_step *step = make_step(net, N, 2);
    uint32_t index[N];
    fill_index(index, N);
    double loss = cnn_step_run(step, &samples, index, N, 1, 1).loss;
    ck_assert(cnn_step_run(step, &samples, index, N, 1, 2).loss != loss);
    ck_assert(cnn_step_run(step, &samples, index, N, 2, 1).loss != loss);
    ck_assert(cnn_step_run(step, &samples, index, N, 1, 1).loss == loss);
    cnn_step_free(step);
    cnn_net_free(net);
    small_samples_clear(&samples);
}
END_TEST

START_TEST(running_statistics_move_and_parameters_do_not)
{
    enum { N = 32 };
    struct cnn_samples samples = small_samples();
    struct cnn_net *net = small_net(SMALL_NORM);
    struct cnn_step *step = make_step(net, N, 2);
    uint32_t index[N];
    fill_index(index, N);
    float *before = malloc(net->state_count * sizeof *before);
    memcpy(before, net->params, net->state_count * sizeof *before);
    cnn_step_run(step, &samples, index, N, seed, number);
    ck_assert_mem_eq(before, net->params, net->param_count * sizeof *before);
    ck_assert_uint_gt(net->state_count, net->param_count);
    for (size_t i = net->param_count; i < net->state_count; i++)
        ck_assert_float_ne(before[i], net->params[i]);
    free(before);
    cnn_step_free(step);
    cnn_net_free(net);
    small_samples_clear(&samples);
}
END_TEST

START_TEST(correct_counts_samples_whose_largest_output_is_their_label)
{
    struct cnn_samples samples = small_samples();
    struct cnn_net *net = small_net(SMALL_PLAIN);
    struct cnn_step *step = make_step(net, SMALL_SAMPLES, 2);
    uint32_t index[SMALL_SAMPLES];
    for (uint32_t i = 0; i < SMALL_SAMPLES; i++)
        index[i] = i;
    struct cnn_step_result result =
        cnn_step_run(step, &samples, index, SMALL_SAMPLES, seed, number);

    struct err e;
    int correct = 0;
    struct cnn_workspace *ws = cnn_workspace_new(net, SMALL_SAMPLES, CNN_INFER, &e);
    const float *out = cnn_forward_canonical(net, ws, samples.x, SMALL_SAMPLES);
    for (int i = 0; i < SMALL_SAMPLES; i++)
        correct += cnn_argmax(out + i * SMALL_CLASSES, SMALL_CLASSES) == samples.labels[i];
    ck_assert_int_eq(result.correct, correct);
    ck_assert(correct > 0 && correct < SMALL_SAMPLES);
    cnn_workspace_free(ws);
    cnn_step_free(step);
    cnn_net_free(net);
    small_samples_clear(&samples);
}
END_TEST

START_TEST(bytes_cover_gradients_and_the_batch)
{
    struct cnn_net *net = small_net(SMALL_NORM);
    struct cnn_step *small = make_step(net, 8, 1), *large = make_step(net, SMALL_SAMPLES, 1);
    ck_assert_uint_ge(cnn_step_bytes(small), net->param_count * sizeof(float));
    ck_assert_uint_gt(cnn_step_bytes(large),
                      SMALL_SAMPLES * cnn_shape_count(&net->input) * sizeof(float));
    ck_assert_uint_gt(cnn_step_bytes(large), cnn_step_bytes(small));
    cnn_step_free(small);
    cnn_step_free(large);
    cnn_step_free(NULL);
    cnn_net_free(net);
}
END_TEST

/* A net of many dense weights: they have one gradient, not one a shard. */
START_TEST(dense_layers_cost_one_gradient)
{
    struct err e = {0};
    struct cnn_spec spec = {.input = {.c = 500, .size = {1, 1, 1}}};
    small_layer(&spec, CNN_DENSE)->u.dense.units = 400;
    struct cnn_net *net = cnn_net_new(&spec, &e);
    ck_assert_ptr_nonnull(net);
    struct cnn_step *step = make_step(net, 64, 2);
    ck_assert_uint_lt(cnn_step_bytes(step), 2 * net->param_count * sizeof(float));
    cnn_step_free(step);
    cnn_net_free(net);
    cnn_spec_clear(&spec);
}
END_TEST

static struct cnn_optim *plain_sgd(const struct cnn_net *net, double lr)
{
    struct err e;
    struct cnn_optim_config config = cnn_optim_defaults(CNN_SGD);
    config.lr = lr;
    struct cnn_optim *optim = cnn_optim_new(&config, net->param_count, &e);
    ck_assert_ptr_nonnull(optim);
    return optim;
}

/* Trains one step with SGD at rate 1: the parameters move by the gradient, clipped. */
static void check_update(double clip_norm)
{
    struct cnn_samples samples = small_samples();
    struct cnn_net *net = small_net(SMALL_PLAIN);
    struct cnn_step *step = make_step(net, SMALL_SAMPLES, 2);
    struct cnn_optim *optim = plain_sgd(net, 1);
    uint32_t index[SMALL_SAMPLES];
    fill_index(index, SMALL_SAMPLES);
    cnn_step_run(step, &samples, index, SMALL_SAMPLES, seed, number);
    float *expected = calloc(net->param_count, sizeof *expected);
    double squares = 0;
    for (size_t i = 0; i < net->param_count; i++)
        squares += (double)cnn_step_grads(step)[i] * (double)cnn_step_grads(step)[i];
    const double norm = sqrt(squares);
    const double scale = clip_norm > 0 && clip_norm < norm ? clip_norm / norm : 1;
    for (size_t i = 0; i < net->param_count; i++)
        expected[i] = net->params[i] - (float)scale * cnn_step_grads(step)[i];

    const struct cnn_step_update update = {.optim = optim, .lr = 1, .clip_norm = clip_norm};
    struct cnn_step_result result =
        cnn_step_train(step, &samples, index, SMALL_SAMPLES, seed, number, &update);
    ck_assert_double_eq_tol(result.norm, norm, 1e-9);
    harness_close(net->params, expected, net->param_count, 1e-6, "parameters");
    free(expected);
    cnn_optim_free(optim);
    cnn_step_free(step);
    cnn_net_free(net);
    small_samples_clear(&samples);
}

START_TEST(update_follows_the_gradient_clipped_to_the_limit)
{
    check_update(0);
    check_update(-1);
    check_update(1e6);
    check_update(0.01);
}
END_TEST

START_TEST(a_gradient_that_is_not_finite_moves_no_parameter)
{
    enum { N = 16 };
    struct cnn_samples samples = small_samples();
    struct cnn_net *net = small_net(SMALL_PLAIN);
    struct cnn_step *step = make_step(net, N, 2);
    struct cnn_optim *optim = plain_sgd(net, 1);
    uint32_t index[N];
    fill_index(index, N);
    ((float *)samples.x)[index[3] * SMALL_CHANNELS * SMALL_SIDE * SMALL_SIDE] = INFINITY;
    float *before = malloc(net->state_count * sizeof *before);
    memcpy(before, net->params, net->state_count * sizeof *before);
    const struct cnn_step_update update = {.optim = optim, .lr = 1, .clip_norm = 1};
    struct cnn_step_result result = cnn_step_train(step, &samples, index, N, seed, number, &update);
    ck_assert(!isfinite(result.loss) || !isfinite(result.norm));
    ck_assert_mem_eq(before, net->params, net->param_count * sizeof *before);
    free(before);
    cnn_optim_free(optim);
    cnn_step_free(step);
    cnn_net_free(net);
    small_samples_clear(&samples);
}
END_TEST

TEST_PROGRAM("core_step", gradient_equals_that_of_the_whole_batch_at_once,
             gradient_matches_finite_differences_through_batch_norm_and_dropout,
             same_bits_with_1_2_3_and_8_threads, dropout_masks_follow_seed_and_number,
             running_statistics_move_and_parameters_do_not,
             correct_counts_samples_whose_largest_output_is_their_label,
             bytes_cover_gradients_and_the_batch, dense_layers_cost_one_gradient,
             update_follows_the_gradient_clipped_to_the_limit,
             a_gradient_that_is_not_finite_moves_no_parameter)
