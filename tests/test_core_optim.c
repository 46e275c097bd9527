#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "optim.h"
#include "rng.h"

/* Three steps from the same start over the same gradients; what remains was worked out from the
 * formulas in PyTorch's torch.optim documentation, in double. */
enum { WIDTH = 3, STEPS = 3 };

static void check_three_steps(const struct cnn_optim_config *config, const float *expected)
{
    static const float grads[STEPS][WIDTH] = {
        {0.1f, -0.4f, 2.0f},
        {0.3f, 0.2f, -1.0f},
        {-0.2f, 0.5f, 0.25f},
    };
    float params[WIDTH] = {1, -2, 0.5f};
    struct err e;
    ck_assert_msg(cnn_optim_check(config, &e), "%s", e.detail);
    struct cnn_optim *optim = cnn_optim_new(config, WIDTH, &e);
    ck_assert_ptr_nonnull(optim);
    for (int step = 0; step < STEPS; step++) {
        cnn_optim_begin(optim, config->lr);
        cnn_optim_update(optim, params, grads[step], 0, WIDTH);
    }
    harness_close(params, expected, WIDTH, 2e-6, cnn_optim_name(config->type));
    cnn_optim_free(optim);
}

static struct cnn_optim_config sgd(double momentum, bool nesterov, double weight_decay)
{
    struct cnn_optim_config config = cnn_optim_defaults(CNN_SGD);
    config.lr = 0.1;
    config.momentum = momentum;
    config.nesterov = nesterov;
    config.weight_decay = weight_decay;
    return config;
}

START_TEST(sgd_is_a_step_down_the_gradient)
{
    struct cnn_optim_config config = sgd(0, false, 0);
    check_three_steps(&config, (const float[]){0.98f, -2.03f, 0.375f});
}
END_TEST

START_TEST(sgd_weight_decay_adds_to_the_gradient)
{
    struct cnn_optim_config config = sgd(0, false, 0.5);
    check_three_steps(&config, (const float[]){0.83985f, -1.74765f, 0.3181875f});
}
END_TEST

START_TEST(sgd_momentum)
{
    struct cnn_optim_config config = sgd(0.9, false, 0);
    check_three_steps(&config, (const float[]){0.9359f, -1.9796f, 0.123f});
}
END_TEST

START_TEST(sgd_nesterov)
{
    struct cnn_optim_config config = sgd(0.9, true, 0);
    check_three_steps(&config, (const float[]){0.92231f, -2.01164f, 0.0357f});
}
END_TEST

START_TEST(sgd_nesterov_with_weight_decay)
{
    struct cnn_optim_config config = sgd(0.9, true, 0.5);
    check_three_steps(&config, (const float[]){0.56416515f, -1.29086535f, -0.0670681875f});
}
END_TEST

START_TEST(adam_with_its_defaults)
{
    struct cnn_optim_config config = cnn_optim_defaults(CNN_ADAM);
    config.lr = 0.01;
    check_three_steps(&config, (const float[]){0.978243152f, -1.99072813f, 0.484580183f});
}
END_TEST

START_TEST(adam_with_every_option)
{
    struct cnn_optim_config config = cnn_optim_defaults(CNN_ADAM);
    config.lr = 0.01;
    config.beta1 = 0.8;
    config.beta2 = 0.95;
    config.epsilon = 1e-3;
    config.weight_decay = 0.5;
    check_three_steps(&config, (const float[]){0.970998368f, -1.97195215f, 0.482537533f});
}
END_TEST

START_TEST(adamw_decays_apart_from_the_gradient)
{
    struct cnn_optim_config config = cnn_optim_defaults(CNN_ADAMW);
    config.lr = 0.01;
    config.weight_decay = 0.5;
    check_three_steps(&config, (const float[]){0.963463666f, -1.96099095f, 0.477230687f});
}
END_TEST

START_TEST(rmsprop_with_its_defaults)
{
    struct cnn_optim_config config = cnn_optim_defaults(CNN_RMSPROP);
    check_three_steps(&config, (const float[]){0.858747608f, -2.01973553f, 0.433690567f});
}
END_TEST

START_TEST(rmsprop_with_every_option)
{
    struct cnn_optim_config config = cnn_optim_defaults(CNN_RMSPROP);
    config.alpha = 0.9;
    config.epsilon = 1e-3;
    config.weight_decay = 0.5;
    config.momentum = 0.9;
    check_three_steps(&config, (const float[]){0.857787059f, -1.87450739f, 0.427871105f});
}
END_TEST

START_TEST(defaults_are_those_of_the_header)
{
    ck_assert_double_eq(cnn_optim_defaults(CNN_SGD).lr, 0.01);
    ck_assert_double_eq(cnn_optim_defaults(CNN_RMSPROP).lr, 0.01);
    ck_assert_double_eq(cnn_optim_defaults(CNN_ADAM).lr, 0.001);
    ck_assert_double_eq(cnn_optim_defaults(CNN_ADAM).weight_decay, 0);
    ck_assert_double_eq(cnn_optim_defaults(CNN_ADAMW).lr, 0.001);
    ck_assert_double_eq(cnn_optim_defaults(CNN_ADAMW).weight_decay, 0.01);
    for (int type = 0; type < CNN_OPTIM_COUNT; type++) {
        struct cnn_optim_config config = cnn_optim_defaults((enum cnn_optim_type)type);
        struct err e;
        ck_assert(cnn_optim_check(&config, &e));
        ck_assert_int_eq(config.type, type);
    }
}
END_TEST

START_TEST(same_bits_in_runs_of_any_size)
{
    enum { COUNT = 10007 };
    float *grads = malloc(COUNT * sizeof *grads);
    float *params[2] = {calloc(COUNT, sizeof(float)), calloc(COUNT, sizeof(float))};
    struct cnn_rng rng;
    cnn_rng_init(&rng, 1, 1);
    for (int i = 0; i < COUNT; i++)
        grads[i] = cnn_rng_normal(&rng);
    static const size_t sizes[2] = {COUNT, 777};
    struct cnn_optim_config config = cnn_optim_defaults(CNN_ADAM);
    for (int run = 0; run < 2; run++) {
        struct err e;
        struct cnn_optim *optim = cnn_optim_new(&config, COUNT, &e);
        ck_assert_ptr_nonnull(optim);
        for (int step = 0; step < 3; step++) {
            cnn_optim_begin(optim, config.lr);
            for (size_t at = 0; at < COUNT; at += sizes[run])
                cnn_optim_update(optim, params[run], grads, at,
                                 COUNT - at < sizes[run] ? COUNT - at : sizes[run]);
        }
        cnn_optim_free(optim);
    }
    ck_assert_mem_eq(params[0], params[1], COUNT * sizeof(float));
    ck_assert_float_ne(params[0][COUNT - 1], 0);
    free(grads);
    free(params[0]);
    free(params[1]);
}
END_TEST

static void refused(struct cnn_optim_config config, const char *field)
{
    struct err e = {0};
    ck_assert_msg(!cnn_optim_check(&config, &e), "%s was accepted", field);
    ck_assert_int_eq(e.code, ERR_INVALID);
    ck_assert_str_eq(e.field, field);
    ck_assert_str_ne(e.detail, "");
}

static void refused_values(enum cnn_optim_type type, size_t member, const char *field,
                           const double *values, int count)
{
    for (int i = 0; i < count + 3; i++) {
        const double never[] = {NAN, INFINITY, -INFINITY};
        struct cnn_optim_config config = cnn_optim_defaults(type);
        double value = i < count ? values[i] : never[i - count];
        memcpy((char *)&config + member, &value, sizeof value);
        refused(config, field);
    }
}

#define REFUSED(type, member, ...)                                                        \
    refused_values(type, offsetof(struct cnn_optim_config, member), "optimizer." #member, \
                   (const double[]){__VA_ARGS__},                                         \
                   (int)(sizeof((const double[]){__VA_ARGS__}) / sizeof(double)))

START_TEST(values_out_of_range_are_refused)
{
    REFUSED(CNN_SGD, lr, 0, -0.1, 1e308, 1.1e6);
    REFUSED(CNN_SGD, momentum, -0.1, 1, 2);
    REFUSED(CNN_SGD, weight_decay, -1, 1000);
    REFUSED(CNN_ADAM, beta1, -0.1, 1);
    REFUSED(CNN_ADAMW, beta2, -0.1, 1);
    REFUSED(CNN_RMSPROP, alpha, -0.1, 1);
    REFUSED(CNN_ADAM, epsilon, 0, -1e-8, 1e-300, 1);
}
END_TEST

START_TEST(options_of_other_types_are_refused)
{
    struct cnn_optim_config config = cnn_optim_defaults(CNN_ADAM);
    config.momentum = 0.9;
    refused(config, "optimizer.momentum");
    config = cnn_optim_defaults(CNN_RMSPROP);
    config.momentum = 0.9;
    config.nesterov = true;
    refused(config, "optimizer.nesterov");
    config = sgd(0, true, 0);
    refused(config, "optimizer.nesterov");
    config.type = CNN_OPTIM_COUNT;
    refused(config, "optimizer.type");
}
END_TEST

/* Ten steps an epoch, 4 epochs, base rate .1. */
static double rate(const struct cnn_schedule *schedule, int64_t step)
{
    struct err e;
    ck_assert(cnn_schedule_check(schedule, &e));
    return cnn_schedule_lr(schedule, 0.1, step, 10, 4);
}

START_TEST(constant_schedule_stays)
{
    struct cnn_schedule schedule = {.type = CNN_CONSTANT};
    ck_assert_double_eq(rate(&schedule, 0), 0.1);
    ck_assert_double_eq(rate(&schedule, 39), 0.1);
}
END_TEST

START_TEST(step_schedule_drops_every_step_epochs)
{
    struct cnn_schedule schedule = {.type = CNN_STEP, .step_epochs = 2, .gamma = 0.1};
    ck_assert_double_eq_tol(rate(&schedule, 0), 0.1, 1e-15);
    ck_assert_double_eq_tol(rate(&schedule, 19), 0.1, 1e-15);
    ck_assert_double_eq_tol(rate(&schedule, 20), 0.01, 1e-15);
    ck_assert_double_eq_tol(rate(&schedule, 39), 0.01, 1e-15);
    ck_assert_double_eq_tol(rate(&schedule, 40), 0.001, 1e-15);
}
END_TEST

START_TEST(cosine_schedule_ends_at_its_floor)
{
    struct cnn_schedule schedule = {.type = CNN_COSINE, .min_lr = 0.02};
    ck_assert_double_eq_tol(rate(&schedule, 0), 0.1, 1e-15);
    ck_assert_double_eq_tol(rate(&schedule, 13), 0.02 + 0.08 * 0.75, 1e-15); /* a third: cos 60° */
    ck_assert_double_eq_tol(rate(&schedule, 39), 0.02, 1e-15);
}
END_TEST

/* A run of one step, or with one step left after warm-up, must not be spent at the floor of 0. */
START_TEST(cosine_of_a_single_step_takes_it_at_the_full_rate)
{
    struct cnn_schedule schedule = {.type = CNN_COSINE};
    ck_assert_double_eq_tol(cnn_schedule_lr(&schedule, 0.1, 0, 1, 1), 0.1, 1e-15);
    schedule.warmup_epochs = 1;
    ck_assert_double_eq_tol(cnn_schedule_lr(&schedule, 0.1, 1, 1, 2), 0.1, 1e-15);
}
END_TEST

START_TEST(warmup_rises_in_a_line_and_then_the_curve_starts)
{
    struct cnn_schedule schedule = {.type = CNN_COSINE, .warmup_epochs = 0.5};
    for (int step = 0; step < 5; step++)
        ck_assert_double_eq_tol(rate(&schedule, step), 0.1 * (step + 1) / 5, 1e-15);
    ck_assert_double_eq_tol(rate(&schedule, 5), 0.1, 1e-15);
    ck_assert_double_lt(rate(&schedule, 6), 0.1);
    ck_assert_double_eq_tol(rate(&schedule, 39), 0, 1e-15);
    schedule =
        (struct cnn_schedule){.type = CNN_STEP, .step_epochs = 1, .gamma = 0.5, .warmup_epochs = 1};
    ck_assert_double_eq_tol(rate(&schedule, 19), 0.1, 1e-15);
    ck_assert_double_eq_tol(rate(&schedule, 20), 0.05, 1e-15);
}
END_TEST

START_TEST(bad_schedules_are_refused)
{
    static const struct {
        struct cnn_schedule schedule;
        const char *field;
    } cases[] = {
        {{.type = CNN_SCHEDULE_COUNT}, "schedule.type"},
        {{.type = CNN_STEP, .step_epochs = 0, .gamma = 0.1}, "schedule.step_epochs"},
        {{.type = CNN_STEP, .step_epochs = -1, .gamma = 0.1}, "schedule.step_epochs"},
        {{.type = CNN_STEP, .step_epochs = 1, .gamma = 0}, "schedule.gamma"},
        {{.type = CNN_STEP, .step_epochs = 1, .gamma = 1.5}, "schedule.gamma"},
        {{.type = CNN_STEP, .step_epochs = 1, .gamma = NAN}, "schedule.gamma"},
        {{.type = CNN_COSINE, .min_lr = -1}, "schedule.min_lr"},
        {{.type = CNN_COSINE, .min_lr = NAN}, "schedule.min_lr"},
        {{.type = CNN_CONSTANT, .warmup_epochs = -1}, "schedule.warmup_epochs"},
        {{.type = CNN_CONSTANT, .warmup_epochs = INFINITY}, "schedule.warmup_epochs"},
        {{.type = CNN_CONSTANT, .warmup_epochs = NAN}, "schedule.warmup_epochs"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = {0};
        ck_assert(!cnn_schedule_check(&cases[i].schedule, &e));
        ck_assert_int_eq(e.code, ERR_INVALID);
        ck_assert_str_eq(e.field, cases[i].field);
    }
}
END_TEST

START_TEST(names_are_those_of_the_api)
{
    ck_assert_str_eq(cnn_optim_name(CNN_SGD), "sgd");
    ck_assert_str_eq(cnn_optim_name(CNN_ADAM), "adam");
    ck_assert_str_eq(cnn_optim_name(CNN_ADAMW), "adamw");
    ck_assert_str_eq(cnn_optim_name(CNN_RMSPROP), "rmsprop");
    ck_assert_str_eq(cnn_schedule_name(CNN_CONSTANT), "constant");
    ck_assert_str_eq(cnn_schedule_name(CNN_STEP), "step");
    ck_assert_str_eq(cnn_schedule_name(CNN_COSINE), "cosine");
}
END_TEST

TEST_PROGRAM("core_optim", sgd_is_a_step_down_the_gradient, sgd_weight_decay_adds_to_the_gradient,
             sgd_momentum, sgd_nesterov, sgd_nesterov_with_weight_decay, adam_with_its_defaults,
             adam_with_every_option, adamw_decays_apart_from_the_gradient,
             rmsprop_with_its_defaults, rmsprop_with_every_option, defaults_are_those_of_the_header,
             same_bits_in_runs_of_any_size, values_out_of_range_are_refused,
             options_of_other_types_are_refused, constant_schedule_stays,
             step_schedule_drops_every_step_epochs, cosine_schedule_ends_at_its_floor,
             cosine_of_a_single_step_takes_it_at_the_full_rate,
             warmup_rises_in_a_line_and_then_the_curve_starts, bad_schedules_are_refused,
             names_are_those_of_the_api)
