/* The prepared net against the plain one. */
#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "predictor.h"
#include "random_nets.h"

enum { NETS = 120, SAMPLES = 70, LANES = 3 };

static float *random_inputs(const struct cnn_net *net, int n)
{
    const size_t count = (size_t)n * cnn_shape_count(&net->input);
    float *x = net_floats(count);
    struct cnn_rng rng;
    cnn_rng_init(&rng, 8, 0);
    for (size_t i = 0; i < count; i++)
        x[i] = cnn_rng_normal(&rng);
    return x;
}

/* Scores of n samples from the plain runner. */
static float *plain_scores(const struct cnn_net *net, const float *x, int n)
{
    struct err e;
    struct cnn_workspace *ws = cnn_workspace_new(net, n, CNN_INFER, &e);
    const size_t count = (size_t)n * cnn_shape_count(cnn_net_output(net));
    float *out = net_floats(count);
    memcpy(out, cnn_forward_canonical(net, ws, x, n), count * sizeof *out);
    cnn_scores(net, out, n);
    cnn_workspace_free(ws);
    return out;
}

static struct cnn_predictor *prepare(const struct cnn_net *net)
{
    struct err e;
    struct cnn_predictor *predictor = cnn_predictor_new(net, &e);
    ck_assert_ptr_nonnull(predictor);
    return predictor;
}

/* Raw outputs of n samples over so many lanes. */
static float *predict(const struct cnn_predictor *predictor, const struct cnn_net *net, int lanes,
                      const float *x, int n)
{
    struct cnn_lane *all[LANES];
    struct err e;
    float *out = net_floats((size_t)n * cnn_shape_count(cnn_net_output(net)));
    for (int i = 0; i < lanes; i++)
        ck_assert_ptr_nonnull(all[i] = cnn_lane_new(predictor, &e));
    cnn_predict(all, lanes, x, n, out);
    for (int i = 0; i < lanes; i++)
        cnn_lane_free(all[i]);
    return out;
}

START_TEST(answers_are_the_plain_net_s)
{
    for (uint64_t which = 0; which < NETS; which++) {
        struct cnn_net *net = random_net(which);
        struct cnn_predictor *predictor = prepare(net);
        float *x = random_inputs(net, SAMPLES);
        float *expected = plain_scores(net, x, SAMPLES);
        float *out = predict(predictor, net, 1, x, SAMPLES);
        char what[16];
        snprintf(what, sizeof what, "net %d", (int)which);
        cnn_scores(net, out, SAMPLES);
        harness_close(out, expected, (size_t)SAMPLES * CLASSES, 1e-6, what);
        free(x);
        free(expected);
        free(out);
        cnn_predictor_free(predictor);
        cnn_net_free(net);
    }
}
END_TEST

START_TEST(answers_depend_on_neither_lanes_nor_neighbours)
{
    for (uint64_t which = 0; which < NETS; which += 4) {
        struct cnn_net *net = random_net(which);
        struct cnn_predictor *predictor = prepare(net);
        const size_t in = cnn_shape_count(&net->input);
        float *x = random_inputs(net, SAMPLES);
        float *together = predict(predictor, net, 1, x, SAMPLES);
        float *shared = predict(predictor, net, LANES, x, SAMPLES);
        ck_assert_mem_eq(together, shared, (size_t)SAMPLES * CLASSES * sizeof *shared);
        for (size_t i = 0; i < SAMPLES; i += 23) {
            float *alone = predict(predictor, net, 1, x + i * in, 1);
            ck_assert_mem_eq(alone, together + i * CLASSES, CLASSES * sizeof *alone);
            free(alone);
        }
        free(x);
        free(together);
        free(shared);
        cnn_predictor_free(predictor);
        cnn_net_free(net);
    }
}
END_TEST

/* 64x64 through six convolutions: two maps at a time, not all of them. */
START_TEST(a_lane_holds_few_maps)
{
    struct err e;
    struct cnn_spec spec = {.input = net_shape(1, 64, 64, 0)};
    for (int i = 0; i < 6; i++)
        net_conv(&spec, 2, 16, 3, 1, 1);
    struct cnn_net *net = net_build(&spec);
    struct cnn_predictor *predictor = prepare(net);
    struct cnn_lane *lane = cnn_lane_new(predictor, &e);
    struct cnn_workspace *ws =
        cnn_workspace_new(net, cnn_predictor_samples(predictor), CNN_INFER, &e);
    ck_assert_uint_lt(cnn_lane_bytes(lane), cnn_workspace_bytes(ws) / 2);
    cnn_workspace_free(ws);
    cnn_lane_free(lane);
    cnn_predictor_free(predictor);
    cnn_net_free(net);
}
END_TEST

START_TEST(little_work_gets_one_lane)
{
    struct cnn_spec spec = {.input = net_shape(100, 0, 0, 0)};
    net_dense(&spec, 100);
    struct cnn_net *net = net_build(&spec);
    struct cnn_predictor *predictor = prepare(net);
    ck_assert_int_eq(cnn_predictor_lanes(predictor, 1, 8), 1);
    ck_assert_int_eq(cnn_predictor_lanes(predictor, 100, 8), 1);
    ck_assert_int_gt(cnn_predictor_lanes(predictor, 4096, 8), 1);
    ck_assert_int_le(cnn_predictor_lanes(predictor, 1 << 20, 8), 8);
    cnn_predictor_free(predictor);
    cnn_net_free(net);
}
END_TEST

TEST_PROGRAM("core predictor", answers_are_the_plain_net_s,
             answers_depend_on_neither_lanes_nor_neighbours, a_lane_holds_few_maps,
             little_work_gets_one_lane)
