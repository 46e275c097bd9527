/* Each augmentation by cases made by hand; and that training with them repeats bit for bit. */
#include "augment.h"

#include <math.h>
#include <string.h>

#include "limits.h"
#include "memory.h"
#include "small_nets.h"
#include "train.h"

enum { VALUES_MAX = 4096, PLACES = 400, OUTCOMES_MAX = 64 };

static struct cnn_samples samples_of(int c, int d, int h, int w, int rank)
{
    return (struct cnn_samples){
        .shape = {.c = c, .size = {d, h, w}, .rank = rank},
        .normalize = {.scale = 1},
    };
}

/* Applies in a scratch that held something else before. */
static void apply(const struct cnn_augment *augment, const struct cnn_samples *samples,
                  uint64_t seed, uint64_t step, int place, const float *x, float *out)
{
    struct err e;
    const size_t bytes = cnn_augment_scratch_bytes(&samples->shape);
    void *scratch = memory_new(bytes, 1, &e);
    memset(scratch, 0x7f, bytes);
    memcpy(out, x, cnn_shape_count(&samples->shape) * sizeof *out);
    ck_assert_msg(cnn_augment_check(augment, &e), "%s: %s", e.field, e.detail);
    ck_assert_msg(cnn_augment_fits(augment, &samples->shape, &e), "%s: %s", e.field, e.detail);
    cnn_augment_apply(augment, samples, seed, step, place, out, scratch);
    free(scratch);
}

/* Every outcome of PLACES applications is one of expected[count], and each of these occurs. */
static void check_outcomes(const struct cnn_augment *augment, const struct cnn_samples *samples,
                           const float *x, const float *expected, int count)
{
    const size_t n = cnn_shape_count(&samples->shape);
    int seen[OUTCOMES_MAX] = {0};
    ck_assert_int_le(count, OUTCOMES_MAX);
    for (int place = 0; place < PLACES; place++) {
        float out[VALUES_MAX];
        int k = 0;
        apply(augment, samples, 1, 0, place, x, out);
        while (k < count && memcmp(out, expected + (size_t)k * n, n * sizeof *out) != 0)
            k++;
        ck_assert_msg(k < count, "place %d: none of the expected outcomes", place);
        seen[k]++;
    }
    for (int k = 0; k < count; k++)
        ck_assert_msg(seen[k] > 0, "outcome %d never occurs", k);
}

/* 1, 2, 3, ... */
static void count_up(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(i + 1);
}

START_TEST(everything_off_changes_nothing)
{
    struct cnn_augment none = cnn_augment_none();
    struct cnn_samples samples = samples_of(2, 1, 3, 4, 2);
    float x[24], out[24];
    count_up(x, 24);
    ck_assert(!cnn_augment_any(&none));
    for (int place = 0; place < 10; place++) {
        apply(&none, &samples, 1, 2, place, x, out);
        ck_assert_mem_eq(x, out, sizeof x);
    }
}
END_TEST

/* [1,2,2] by -1..1 each way: what comes in is background, which is -mean/deviation. */
START_TEST(shift_moves_by_whole_pixels_and_background_comes_in)
{
    const float o = -2;
    static const float x[] = {1, 2, 3, 4};
    const float expected[] = {
        4, o, o, o, /**/ 3, 4, o, o, /**/ o, 3, o, o, /**/
        2, o, 4, o, /**/ 1, 2, 3, 4, /**/ o, 1, o, 3, /**/
        o, o, 2, o, /**/ o, o, 1, 2, /**/ o, o, o, 1,
    };
    struct cnn_augment augment = cnn_augment_none();
    struct cnn_samples samples = samples_of(1, 1, 2, 2, 2);
    samples.normalize.channels = 1;
    samples.normalize.mean[0] = 1;
    samples.normalize.deviation[0] = 0.5f;
    augment.shift = 1;
    check_outcomes(&augment, &samples, x, expected, 9);
}
END_TEST

START_TEST(shift_of_a_signal_can_repeat_its_edge)
{
    static const float x[] = {1, 2, 3};
    static const float expected[] = {3, 3, 3, 2, 3, 3, 1, 2, 3, 1, 1, 2, 1, 1, 1};
    struct cnn_augment augment = cnn_augment_none();
    struct cnn_samples samples = samples_of(1, 1, 1, 3, 1);
    augment.shift = 2;
    augment.fill = CNN_FILL_EDGE;
    check_outcomes(&augment, &samples, x, expected, 5);
}
END_TEST

START_TEST(shift_of_voxels_goes_along_all_three_axes)
{
    struct cnn_augment augment = cnn_augment_none();
    struct cnn_samples samples = samples_of(1, 2, 2, 2, 3);
    float x[8], expected[27 * 8] = {0};
    count_up(x, 8);
    for (int k = 0; k < 27; k++) {
        const int by[3] = {k / 9 - 1, k / 3 % 3 - 1, k % 3 - 1};
        for (int i = 0; i < 8; i++) {
            const int from[3] = {i / 4 - by[0], i / 2 % 2 - by[1], i % 2 - by[2]};
            bool inside = true;
            for (int axis = 0; axis < 3; axis++)
                inside = inside && from[axis] >= 0 && from[axis] < 2;
            if (inside)
                expected[k * 8 + i] = x[from[0] * 4 + from[1] * 2 + from[2]];
        }
    }
    augment.shift = 1;
    check_outcomes(&augment, &samples, x, expected, 27);
}
END_TEST

START_TEST(flips_mirror_the_axes_they_name)
{
    /* [2,1,2,3] channels-last: pixels of two channels, numbered 1.2 3.4 ... */
    static const float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    static const float expected[] = {
        1,  2,  3, 4,  5,  6,  7,  8,  9, 10, 11, 12, /* as it is */
        5,  6,  3, 4,  1,  2,  11, 12, 9, 10, 7,  8,  /* left and right */
        7,  8,  9, 10, 11, 12, 1,  2,  3, 4,  5,  6,  /* top and bottom */
        11, 12, 9, 10, 7,  8,  5,  6,  3, 4,  1,  2,  /* both */
    };
    static const float vertical[] = {1, 2, 3, 4,  5,  6,  7, 8, 9, 10, 11, 12,
                                     7, 8, 9, 10, 11, 12, 1, 2, 3, 4,  5,  6};
    struct cnn_augment augment = cnn_augment_none();
    struct cnn_samples samples = samples_of(2, 1, 2, 3, 2);
    augment.flip = CNN_FLIP_HORIZONTAL;
    check_outcomes(&augment, &samples, x, expected, 2);
    augment.flip = CNN_FLIP_VERTICAL;
    check_outcomes(&augment, &samples, x, vertical, 2);
    augment.flip = CNN_FLIP_BOTH;
    check_outcomes(&augment, &samples, x, expected, 4);
}
END_TEST

START_TEST(a_flipped_signal_runs_backwards)
{
    static const float x[] = {1, 2, 3, 4}, expected[] = {1, 2, 3, 4, 4, 3, 2, 1};
    struct cnn_augment augment = cnn_augment_none();
    struct cnn_samples samples = samples_of(1, 1, 1, 4, 1);
    augment.flip = CNN_FLIP_HORIZONTAL;
    check_outcomes(&augment, &samples, x, expected, 2);
}
END_TEST

/* [1,2,2,2], x slowest: z stays up. */
START_TEST(voxels_are_mirrored_along_x_and_y)
{
    static const float x[] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const float along_x[] = {1, 2, 3, 4, 5, 6, 7, 8, 5, 6, 7, 8, 1, 2, 3, 4};
    static const float along_y[] = {1, 2, 3, 4, 5, 6, 7, 8, 3, 4, 1, 2, 7, 8, 5, 6};
    struct cnn_augment augment = cnn_augment_none();
    struct cnn_samples samples = samples_of(1, 2, 2, 2, 3);
    augment.flip = CNN_FLIP_X;
    check_outcomes(&augment, &samples, x, along_x, 2);
    augment.flip = CNN_FLIP_Y;
    check_outcomes(&augment, &samples, x, along_y, 2);
}
END_TEST

START_TEST(rotate90_turns_by_quarters)
{
    static const float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    static const float expected[] = {
        1, 2, 3, 4, 5, 6, 7, 8, 9, /**/ 7, 4, 1, 8, 5, 2, 9, 6, 3,
        9, 8, 7, 6, 5, 4, 3, 2, 1, /**/ 3, 6, 9, 2, 5, 8, 1, 4, 7,
    };
    struct cnn_augment augment = cnn_augment_none();
    struct cnn_samples samples = samples_of(1, 1, 3, 3, 2);
    augment.rotate90 = true;
    check_outcomes(&augment, &samples, x, expected, 4);
}
END_TEST

/* [1,2,2,2]: columns of two voxels go round, and stay as they are. */
START_TEST(rotate_z_turns_columns_about_the_vertical_axis)
{
    static const float x[] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const float expected[] = {
        1, 2, 3, 4, 5, 6, 7, 8, /**/ 5, 6, 1, 2, 7, 8, 3, 4,
        7, 8, 5, 6, 3, 4, 1, 2, /**/ 3, 4, 7, 8, 1, 2, 5, 6,
    };
    struct cnn_augment augment = cnn_augment_none();
    struct cnn_samples samples = samples_of(1, 2, 2, 2, 3);
    augment.rotate_z = 4;
    check_outcomes(&augment, &samples, x, expected, 4);
}
END_TEST

/* [1,8,8,2], by the definition: each column of the result is the one nearest to where a turn about
 * the middle takes it from. */
START_TEST(rotate_z_of_12_gives_12_turns_by_30_degrees)
{
    enum { SIDE = 8, COUNT = SIDE * SIDE * 2 };
    const double middle = (SIDE - 1) / 2.0;
    struct cnn_augment augment = cnn_augment_none();
    struct cnn_samples samples = samples_of(1, SIDE, SIDE, 2, 3);
    float x[COUNT], expected[12 * COUNT] = {0};
    count_up(x, COUNT);
    for (int k = 0; k < 12; k++) {
        const double angle = k * 30 * 3.14159265358979323846 / 180;
        for (int i = 0; i < SIDE * SIDE; i++) {
            const double to_x = i / SIDE - middle, to_y = i % SIDE - middle;
            const long from_x = lround(cos(angle) * to_x - sin(angle) * to_y + middle);
            const long from_y = lround(sin(angle) * to_x + cos(angle) * to_y + middle);
            if (from_x >= 0 && from_x < SIDE && from_y >= 0 && from_y < SIDE)
                memcpy(&expected[k * COUNT + 2 * i], &x[2 * (from_x * SIDE + from_y)],
                       2 * sizeof *x);
        }
    }
    augment.rotate_z = 12;
    check_outcomes(&augment, &samples, x, expected, 12);
}
END_TEST

START_TEST(scale_reads_between_the_pixels_of_pictures_and_signals)
{
    static const float x[] = {1, 2, 3, 4};
    static const float larger[] = {1.75f, 2.25f, 2.75f, 3.25f}, smaller[] = {0, 1.5f, 3.5f, 0};
    struct cnn_augment augment = cnn_augment_none();
    struct cnn_samples signal = samples_of(1, 1, 1, 4, 1), picture = samples_of(1, 1, 2, 2, 2);
    augment.scale[0] = augment.scale[1] = 2;
    check_outcomes(&augment, &signal, x, larger, 1);
    augment.scale[0] = augment.scale[1] = 0.5;
    check_outcomes(&augment, &signal, x, smaller, 1);
    static const float larger_picture[] = {1.75f, 2.25f, 2.75f, 3.25f}; /* of 1 2, 3 4 */
    augment.scale[0] = augment.scale[1] = 2;
    check_outcomes(&augment, &picture, x, larger_picture, 1);
}
END_TEST

START_TEST(scale_takes_the_nearest_voxel_on_all_three_axes)
{
    enum { SIDE = 4, COUNT = SIDE * SIDE * SIDE };
    struct cnn_augment augment = cnn_augment_none();
    struct cnn_samples samples = samples_of(1, SIDE, SIDE, SIDE, 3);
    float x[COUNT], expected[COUNT];
    count_up(x, COUNT);
    for (int i = 0; i < COUNT; i++)
        expected[i] = x[(i / 16 / 2 + 1) * 16 + (i / 4 % 4 / 2 + 1) * 4 + i % 4 / 2 + 1];
    augment.scale[0] = augment.scale[1] = 2;
    check_outcomes(&augment, &samples, x, expected, 1);
}
END_TEST

/* Linear interpolation is exact on a slope: a turned slope is a slope, turned as far. */
START_TEST(rotate_turns_by_no_more_than_asked)
{
    enum { SIDE = 15, MIDDLE = SIDE / 2 };
    struct cnn_augment augment = cnn_augment_none();
    struct cnn_samples samples = samples_of(1, 1, SIDE, SIDE, 2);
    float x[SIDE * SIDE], out[SIDE * SIDE];
    double least = 90, most = -90;
    for (int i = 0; i < SIDE * SIDE; i++)
        x[i] = (float)(i % SIDE);
    augment.rotate = 20;
    for (int place = 0; place < PLACES; place++) {
        apply(&augment, &samples, 1, 0, place, x, out);
        const float *middle = out + MIDDLE * SIDE + MIDDLE;
        const double right = middle[1] - middle[0], down = middle[SIDE] - middle[0];
        const double angle = atan2(down, right) * 180 / 3.14159265358979323846;
        ck_assert_double_eq_tol(hypot(right, down), 1, 1e-5);
        ck_assert_float_eq_tol(middle[0], MIDDLE, 1e-5f);
        ck_assert_float_eq_tol(middle[3 * SIDE - 4], (float)(MIDDLE + 3 * down - 4 * right), 1e-4f);
        least = fmin(least, angle);
        most = fmax(most, angle);
    }
    ck_assert(least >= -20.001 && least < -18 && most <= 20.001 && most > 18);
}
END_TEST

START_TEST(noise_has_the_deviation_asked_for_and_no_mean)
{
    enum { COUNT = 4000 };
    struct cnn_augment augment = cnn_augment_none();
    struct cnn_samples samples = samples_of(COUNT, 1, 1, 1, 0);
    float x[COUNT] = {0}, out[COUNT];
    double sum = 0, squares = 0;
    int beyond = 0;
    augment.noise = 0.5;
    apply(&augment, &samples, 1, 0, 0, x, out);
    for (int i = 0; i < COUNT; i++) {
        sum += out[i];
        squares += (double)out[i] * out[i];
        beyond += fabsf(out[i]) > 0.5f;
    }
    ck_assert_double_eq_tol(sum / COUNT, 0, 0.02);
    ck_assert_double_eq_tol(sqrt(squares / COUNT), 0.5, 0.02);
    ck_assert_double_eq_tol((double)beyond / COUNT, 0.317, 0.03); /* normal: past one deviation */
}
END_TEST

/* 2 x 2 of 3 x 4: at six places. */
START_TEST(cutout_clears_one_square)
{
    struct cnn_augment augment = cnn_augment_none();
    struct cnn_samples samples = samples_of(1, 1, 3, 4, 2);
    float x[12], expected[6 * 12];
    count_up(x, 12);
    for (int k = 0; k < 6; k++) {
        float *it = expected + k * 12 + k / 3 * 4 + k % 3;
        memcpy(expected + k * 12, x, sizeof x);
        it[0] = it[1] = it[4] = it[5] = 0;
    }
    augment.cutout = 2;
    check_outcomes(&augment, &samples, x, expected, 6);
}
END_TEST

START_TEST(cutout_clears_one_cube_of_voxels)
{
    struct cnn_augment augment = cnn_augment_none();
    struct cnn_samples samples = samples_of(2, 3, 3, 3, 3);
    float x[54], expected[8 * 54];
    count_up(x, 54);
    for (int k = 0; k < 8; k++) {
        memcpy(expected + k * 54, x, sizeof x);
        for (int i = 0; i < 8; i++) {
            const int voxel = (k / 4 + i / 4) * 9 + (k / 2 % 2 + i / 2 % 2) * 3 + k % 2 + i % 2;
            expected[k * 54 + 2 * voxel] = expected[k * 54 + 2 * voxel + 1] = 0;
        }
    }
    augment.cutout = 2;
    check_outcomes(&augment, &samples, x, expected, 8);
}
END_TEST

static struct cnn_augment everything(void)
{
    return (struct cnn_augment){
        .shift = 1,
        .flip = CNN_FLIP_BOTH,
        .rotate90 = true,
        .rotate = 10,
        .scale = {0.8, 1.2},
        .noise = 0.1,
        .cutout = 2,
    };
}

START_TEST(what_happens_follows_seed_step_and_place)
{
    const struct cnn_augment augment = everything();
    struct cnn_samples samples = samples_of(1, 1, 6, 6, 2);
    float x[36], first[36], out[36];
    count_up(x, 36);
    apply(&augment, &samples, 1, 2, 3, x, first);
    ck_assert_mem_ne(first, x, sizeof x);
    apply(&augment, &samples, 1, 2, 3, x, out);
    ck_assert_mem_eq(first, out, sizeof x);
    apply(&augment, &samples, 2, 2, 3, x, out);
    ck_assert_mem_ne(first, out, sizeof x);
    apply(&augment, &samples, 1, 3, 3, x, out);
    ck_assert_mem_ne(first, out, sizeof x);
    apply(&augment, &samples, 1, 2, 4, x, out);
    ck_assert_mem_ne(first, out, sizeof x);
}
END_TEST

static void refused(const struct cnn_augment *augment, const char *field)
{
    struct err e = {0};
    ck_assert_msg(!cnn_augment_check(augment, &e), "%s", field);
    ck_assert_int_eq(e.code, ERR_INVALID);
    ck_assert_str_eq(e.field, field);
}

START_TEST(values_out_of_range_are_refused_by_field)
{
    static const char *const fields[] = {
        "augment.shift",    "augment.shift",    "augment.flip",  "augment.rotate",
        "augment.rotate",   "augment.rotate_z", "augment.scale", "augment.scale[0]",
        "augment.scale[1]", "augment.noise",    "augment.noise", "augment.cutout",
        "augment.fill",
    };
    enum { COUNT = sizeof fields / sizeof *fields };
    struct cnn_augment bad[COUNT];
    for (int i = 0; i < COUNT; i++)
        bad[i] = cnn_augment_none();
    bad[0].shift = -1;
    bad[1].shift = CNN_DIM_MAX + 1;
    bad[2].flip = CNN_FLIP_COUNT;
    bad[3].rotate = NAN;
    bad[4].rotate = 181;
    bad[5].rotate_z = 361;
    bad[6].scale[0] = 1.5;
    bad[7].scale[0] = 0;
    bad[8].scale[1] = INFINITY;
    bad[9].noise = -1;
    bad[10].noise = NAN;
    bad[11].cutout = -1;
    bad[12].fill = CNN_FILL_COUNT;
    for (int i = 0; i < COUNT; i++)
        refused(&bad[i], fields[i]);
}
END_TEST

static void no_fit(const struct cnn_augment *augment, const struct cnn_samples *samples,
                   const char *field, const char *detail)
{
    struct err e = {0};
    ck_assert_msg(!cnn_augment_fits(augment, &samples->shape, &e), "%s", field);
    ck_assert_int_eq(e.code, ERR_INVALID);
    ck_assert_str_eq(e.field, field);
    ck_assert_str_eq(e.detail, detail);
}

START_TEST(what_the_samples_have_no_axes_for_is_refused_by_field)
{
    const struct cnn_samples features = samples_of(5, 1, 1, 1, 0),
                             signal = samples_of(1, 1, 1, 9, 1),
                             picture = samples_of(1, 1, 8, 9, 2), grid = samples_of(1, 4, 4, 4, 3);
    struct cnn_augment augment = cnn_augment_none();
    augment.shift = 8;
    no_fit(&augment, &picture, "augment.shift", "8 is not below the samples' size of 8");
    no_fit(&augment, &features, "augment.shift", "it takes samples with axes, the samples are [5]");
    augment = cnn_augment_none();
    augment.cutout = 4;
    no_fit(&augment, &grid, "augment.cutout", "4 is not below the samples' size of 4");
    augment = cnn_augment_none();
    augment.flip = CNN_FLIP_VERTICAL;
    no_fit(&augment, &signal, "augment.flip", "'vertical' flips pictures, the samples are [1,9]");
    augment.flip = CNN_FLIP_HORIZONTAL;
    no_fit(&augment, &grid, "augment.flip",
           "'horizontal' flips pictures and signals, the samples are [1,4,4,4]");
    augment.flip = CNN_FLIP_X;
    no_fit(&augment, &picture, "augment.flip", "'x' flips voxel grids, the samples are [1,8,9]");
    augment = cnn_augment_none();
    augment.rotate90 = true;
    no_fit(&augment, &picture, "augment.rotate90",
           "'rotate90' turns square pictures, the samples are [1,8,9]");
    augment = cnn_augment_none();
    augment.rotate = 5;
    no_fit(&augment, &signal, "augment.rotate",
           "'rotate' turns pictures and voxel grids, the samples are [1,9]");
    augment = cnn_augment_none();
    augment.rotate_z = 12;
    no_fit(&augment, &picture, "augment.rotate_z",
           "'rotate_z' turns voxel grids, the samples are [1,8,9]");
    augment = cnn_augment_none();
    augment.scale[1] = 2;
    no_fit(&augment, &features, "augment.scale", "it takes samples with axes, the samples are [5]");
}
END_TEST

/* ---- in training ---- */

static bool note_val_loss(void *context, const struct cnn_epoch_report *report, struct err *e)
{
    (void)e;
    *(double *)context = report->val->loss;
    return true;
}

/* The net's weights after two epochs; to be freed. */
static float *trained(const struct cnn_augment *augment, uint64_t seed, int threads, double lr,
                      double *val_loss)
{
    struct err e = {0};
    struct cnn_samples samples = small_samples();
    struct cnn_net *net = small_net(SMALL_DROPOUT);
    struct cnn_train_config config = cnn_train_defaults();
    struct cnn_train_hooks hooks = {.context = val_loss, .epoch = note_val_loss};
    struct cnn_train_result result;
    config.epochs = 2;
    config.batch_size = 40; /* the last batch is smaller */
    config.seed = seed;
    config.threads = threads;
    config.optimizer.lr = lr;
    config.publish = CNN_PUBLISH_LAST;
    config.augment = *augment;
    ck_assert_msg(cnn_train(net, &samples, &samples, &config, &hooks, &result, &e), "%s", e.detail);
    float *weights = malloc(net->state_count * sizeof *weights);
    memcpy(weights, net->params, net->state_count * sizeof *weights);
    cnn_net_free(net);
    small_samples_clear(&samples);
    return weights;
}

static size_t trained_bytes(void)
{
    struct cnn_net *net = small_net(SMALL_DROPOUT);
    const size_t bytes = net->state_count * sizeof(float);
    cnn_net_free(net);
    return bytes;
}

START_TEST(same_seed_gives_the_same_weights_at_any_number_of_threads)
{
    const struct cnn_augment augment = everything(), none = cnn_augment_none();
    const size_t bytes = trained_bytes();
    double loss;
    float *first = trained(&augment, 1, 1, 0.01, &loss);
    for (int threads = 1; threads <= 4; threads++) {
        float *again = trained(&augment, 1, threads, 0.01, &loss);
        ck_assert_mem_eq(first, again, bytes);
        free(again);
    }
    float *other = trained(&augment, 2, 1, 0.01, &loss), *plain = trained(&none, 1, 1, 0.01, &loss);
    ck_assert_mem_ne(first, other, bytes);
    ck_assert_mem_ne(first, plain, bytes);
    free(first);
    free(other);
    free(plain);
}
END_TEST

START_TEST(samples_validated_on_stay_as_they_are)
{
    const struct cnn_augment augment = everything(), none = cnn_augment_none();
    double with, without;
    free(trained(&augment, 1, 2, 1e-30, &with));
    free(trained(&none, 1, 2, 1e-30, &without));
    ck_assert_double_eq(with, without);
}
END_TEST

START_TEST(an_augmentation_that_does_not_fit_is_refused_before_training)
{
    struct err e = {0};
    struct cnn_samples samples = small_samples();
    struct cnn_net *net = small_net(SMALL_PLAIN);
    struct cnn_train_config config = cnn_train_defaults();
    struct cnn_train_result result;
    config.augment.rotate_z = 12;
    ck_assert(!cnn_train(net, &samples, NULL, &config, NULL, &result, &e));
    ck_assert_int_eq(e.code, ERR_INVALID);
    ck_assert_str_eq(e.field, "augment.rotate_z");
    config.augment = cnn_augment_none();
    config.augment.noise = -1;
    ck_assert(!cnn_train(net, &samples, NULL, &config, NULL, &result, &e));
    ck_assert_str_eq(e.field, "augment.noise");
    cnn_net_free(net);
    small_samples_clear(&samples);
}
END_TEST

TEST_PROGRAM("core_augment", everything_off_changes_nothing,
             shift_moves_by_whole_pixels_and_background_comes_in,
             shift_of_a_signal_can_repeat_its_edge, shift_of_voxels_goes_along_all_three_axes,
             flips_mirror_the_axes_they_name, a_flipped_signal_runs_backwards,
             voxels_are_mirrored_along_x_and_y, rotate90_turns_by_quarters,
             rotate_z_turns_columns_about_the_vertical_axis,
             rotate_z_of_12_gives_12_turns_by_30_degrees,
             scale_reads_between_the_pixels_of_pictures_and_signals,
             scale_takes_the_nearest_voxel_on_all_three_axes, rotate_turns_by_no_more_than_asked,
             noise_has_the_deviation_asked_for_and_no_mean, cutout_clears_one_square,
             cutout_clears_one_cube_of_voxels, what_happens_follows_seed_step_and_place,
             values_out_of_range_are_refused_by_field,
             what_the_samples_have_no_axes_for_is_refused_by_field,
             same_seed_gives_the_same_weights_at_any_number_of_threads,
             samples_validated_on_stay_as_they_are,
             an_augmentation_that_does_not_fit_is_refused_before_training)
