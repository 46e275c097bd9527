/* The training step, which fuses layers, runs depth first and keeps only what backward reads,
 * against the plain runner that takes one node after the other over the whole batch. */
#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "random_nets.h"
#include "step.h"

enum { BATCH = 21, NETS = 80, SUMS_MAX = 160 };
static const uint64_t seed = 3, number = 17;
static const struct cnn_loss cross_entropy = {.type = CNN_CROSS_ENTROPY};

static struct cnn_samples random_samples(const struct cnn_net *net)
{
    const size_t count = BATCH * cnn_shape_count(&net->input);
    float *x = net_floats(count);
    uint16_t *labels = malloc(BATCH * sizeof *labels);
    struct cnn_rng rng;
    cnn_rng_init(&rng, 5, 0);
    for (size_t i = 0; i < count; i++)
        x[i] = cnn_rng_normal(&rng);
    for (int i = 0; i < BATCH; i++)
        labels[i] = (uint16_t)cnn_rng_below(&rng, CLASSES);
    return (struct cnn_samples){
        .shape = net->input,
        .count = BATCH,
        .classes = CLASSES,
        .dtype = CNN_F32,
        .x = x,
        .labels = labels,
        .normalize = {.scale = 1},
    };
}

static void samples_clear(struct cnn_samples *samples)
{
    free((void *)samples->x);
    free((void *)samples->labels);
}

/* Backwards, so that the index matters. */
static void fill_index(uint32_t *index)
{
    for (uint32_t i = 0; i < BATCH; i++)
        index[i] = BATCH - 1 - i;
}

/* ---- the plain runner ---- */

/* Up to the next node with sums over the batch, its sums, and so on; and the same downwards. */
static void plain_forward(const struct cnn_frame *frame, struct cnn_run *run,
                          double (*sums)[SUMS_MAX], const double **sync)
{
    int first = 0;
    run->sync = sync;
    for (int i = 0; i < frame->plan->stage_count; i++) {
        if (!cnn_stage_sync_doubles(frame->plan, i))
            continue;
        ck_assert_int_le(cnn_stage_sync_doubles(frame->plan, i), SUMS_MAX);
        cnn_run_forward(frame, run, first, i);
        cnn_run_forward_sums(frame, run, i, sums[i]);
        sync[i] = sums[i];
        first = i;
    }
    cnn_run_forward(frame, run, first, frame->plan->stage_count);
}

static void plain_backward(const struct cnn_frame *frame, struct cnn_run *run,
                           double (*sums)[SUMS_MAX], const double **sync)
{
    int end = frame->plan->stage_count;
    run->sync = sync;
    for (int i = frame->plan->stage_count - 1; i >= 0; i--) {
        if (!cnn_stage_sync_doubles(frame->plan, i))
            continue;
        cnn_run_backward(frame, run, i + 1, end);
        cnn_run_backward_sums(frame, run, i, sums[i]);
        sync[i] = sums[i];
        end = i + 1;
    }
    cnn_run_backward(frame, run, 0, end);
}

static double plain_step(const struct cnn_net *net, const struct cnn_samples *samples,
                         const uint32_t *index, int n, float *grads)
{
    struct err e;
    uint16_t labels[BATCH];
    double sums[64][SUMS_MAX];
    const double *sync[64] = {0};
    struct cnn_workspace *ws = cnn_workspace_new(net, n, CNN_TRAIN, &e);
    ck_assert_int_le(net->node_count, 64);
    struct cnn_run run = {
        .n = n, .batch_count = n, .training = true, .seed = seed, .step = number, .grads = grads};
    for (int i = 0; i < n; i++)
        labels[i] = samples->labels[index[i]];
    cnn_samples_gather(samples, index, 0, n, cnn_workspace_input(ws));
    cnn_workspace_prepare(ws);
    plain_forward(cnn_workspace_frame(ws), &run, sums, sync);
    double loss = cnn_loss_eval(cross_entropy, n, CLASSES, cnn_workspace_map(ws, -1), labels,
                                1.0f / (float)n, cnn_workspace_output_grad(ws));
    plain_backward(cnn_workspace_frame(ws), &run, sums, sync);
    cnn_workspace_free(ws);
    return loss / n;
}

/* ---- tests ---- */

static struct cnn_step *make_step(struct cnn_net *net, int threads)
{
    struct err e;
    struct cnn_step *step = cnn_step_new(net, BATCH, cross_entropy, threads, &e);
    ck_assert_ptr_nonnull(step);
    return step;
}

START_TEST(step_gives_the_plain_runner_s_loss_and_gradients)
{
    static const int sizes[] = {1, 8, BATCH};
    uint32_t index[BATCH];
    fill_index(index);
    for (uint64_t which = 0; which < NETS; which++) {
        struct cnn_net *net = random_net(which);
        struct cnn_samples samples = random_samples(net);
        struct cnn_step *step = make_step(net, 2);
        for (int i = 0; i < 3; i++) {
            float *expected = net_floats(net->param_count);
            char what[32];
            double loss = plain_step(net, &samples, index, sizes[i], expected);
            struct cnn_step_result result =
                cnn_step_run(step, &samples, index, sizes[i], seed, number);
            ck_assert_double_eq_tol(result.loss, loss, 1e-5);
            snprintf(what, sizeof what, "net %d, batch %d", (int)which, sizes[i]);
            harness_close(cnn_step_grads(step), expected, net->param_count, 1e-4, what);
            free(expected);
        }
        cnn_step_free(step);
        samples_clear(&samples);
        cnn_net_free(net);
    }
}
END_TEST

/* Two steps, so that the second sees what the first made of the parameters. */
static struct cnn_step_result train_twice(struct cnn_net *net, const struct cnn_samples *samples,
                                          int threads)
{
    struct err e;
    uint32_t index[BATCH];
    const struct cnn_optim_config config = cnn_optim_defaults(CNN_ADAM);
    struct cnn_step *step = make_step(net, threads);
    struct cnn_optim *optim = cnn_optim_new(&config, net->param_count, &e);
    ck_assert_ptr_nonnull(optim);
    const struct cnn_step_update update = {.optim = optim, .lr = 0.01, .clip_norm = 0.1};
    fill_index(index);
    cnn_step_train(step, samples, index, BATCH, seed, number, &update);
    struct cnn_step_result result =
        cnn_step_train(step, samples, index, BATCH, seed, number + 1, &update);
    cnn_optim_free(optim);
    cnn_step_free(step);
    return result;
}

START_TEST(same_bits_with_any_number_of_threads)
{
    static const int threads[] = {2, 3, 8};
    for (uint64_t which = 0; which < NETS; which += 2) {
        struct cnn_net *first = random_net(which);
        struct cnn_samples samples = random_samples(first);
        struct cnn_step_result a = train_twice(first, &samples, 1);
        for (int t = 0; t < 3; t++) {
            struct cnn_net *net = random_net(which);
            struct cnn_step_result b = train_twice(net, &samples, threads[t]);
            ck_assert_mem_eq(&a.loss, &b.loss, sizeof a.loss);
            ck_assert_mem_eq(&a.norm, &b.norm, sizeof a.norm);
            ck_assert_mem_eq(first->params, net->params, net->state_count * sizeof(float));
            cnn_net_free(net);
        }
        samples_clear(&samples);
        cnn_net_free(first);
    }
}
END_TEST

TEST_PROGRAM("core fused", step_gives_the_plain_runner_s_loss_and_gradients,
             same_bits_with_any_number_of_threads)
