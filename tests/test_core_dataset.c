#include <math.h>
#include <string.h>

#include "dataset.h"
#include "harness.h"

/* Three samples of two channels and 2 x 3 pixels; value = 100 sample + 10 channel + pixel. */
enum { SAMPLES = 3, CHANNELS = 2, PIXELS = 6, COUNT = CHANNELS * PIXELS };

static uint8_t bytes[SAMPLES * COUNT];
static float floats[SAMPLES * COUNT];
static uint16_t labels[SAMPLES] = {0, 1, 2};

static struct cnn_samples make(enum cnn_dtype dtype)
{
    for (int i = 0; i < SAMPLES * COUNT; i++) {
        int value = i / COUNT * 100 + i % COUNT / PIXELS * 10 + i % PIXELS;
        bytes[i] = (uint8_t)value;
        floats[i] = (float)value;
    }
    return (struct cnn_samples){
        .shape = {.c = CHANNELS, .size = {1, 2, 3}, .rank = 2},
        .count = SAMPLES,
        .classes = 3,
        .dtype = dtype,
        .x = dtype == CNN_U8 ? (const void *)bytes : floats,
        .labels = labels,
        .normalize = {.scale = 1},
    };
}

START_TEST(gather_picks_samples_and_puts_channels_last)
{
    static const enum cnn_dtype dtypes[] = {CNN_U8, CNN_F32};
    static const uint32_t index[] = {2, 0};
    for (int d = 0; d < 2; d++) {
        struct cnn_samples samples = make(dtypes[d]);
        float out[2 * COUNT];
        cnn_samples_gather(&samples, index, 99, 2, out);
        for (int i = 0; i < 2; i++) {
            for (int p = 0; p < PIXELS; p++) {
                for (int c = 0; c < CHANNELS; c++)
                    ck_assert_float_eq(out[i * COUNT + p * CHANNELS + c],
                                       (float)index[i] * 100 + (float)(c * 10 + p));
            }
        }
    }
}
END_TEST

START_TEST(gather_without_index_runs_from_first)
{
    struct cnn_samples samples = make(CNN_U8);
    static const uint32_t index[] = {1, 2};
    float run[2 * COUNT], picked[2 * COUNT];
    cnn_samples_gather(&samples, NULL, 1, 2, run);
    cnn_samples_gather(&samples, index, 0, 2, picked);
    ck_assert_mem_eq(run, picked, sizeof run);
}
END_TEST

START_TEST(gather_normalizes_by_channel)
{
    static const enum cnn_dtype dtypes[] = {CNN_U8, CNN_F32};
    for (int d = 0; d < 2; d++) {
        struct cnn_samples samples = make(dtypes[d]);
        samples.normalize = (struct cnn_normalize){
            .scale = 0.5f, .channels = 2, .mean = {1, 2}, .deviation = {4, 8}};
        float out[COUNT];
        cnn_samples_gather(&samples, NULL, 1, 1, out);
        ck_assert_float_eq(out[0], (100 * 0.5f - 1) / 4);
        ck_assert_float_eq(out[1], (110 * 0.5f - 2) / 8);
        ck_assert_float_eq(out[2 * 5 + 1], (115 * 0.5f - 2) / 8);
    }
}
END_TEST

START_TEST(normalize_u8_stays_canonical_and_equals_gather)
{
    struct cnn_samples samples = make(CNN_U8);
    samples.normalize = (struct cnn_normalize){
        .scale = 1.0f / 255, .channels = 2, .mean = {0.1f, 0.3f}, .deviation = {0.7f, 0.9f}};
    float canonical[SAMPLES * COUNT], last[SAMPLES * COUNT];
    cnn_normalize_u8(&samples.normalize, &samples.shape, bytes, SAMPLES, canonical);
    cnn_samples_gather(&samples, NULL, 0, SAMPLES, last);
    for (int i = 0; i < SAMPLES; i++) {
        for (int c = 0; c < CHANNELS; c++) {
            for (int p = 0; p < PIXELS; p++)
                ck_assert_float_eq(canonical[i * COUNT + c * PIXELS + p],
                                   last[i * COUNT + p * CHANNELS + c]);
        }
    }
}
END_TEST

START_TEST(bytes_and_equal_floats_gather_the_same)
{
    struct cnn_samples from_bytes = make(CNN_U8), from_floats = make(CNN_F32);
    from_bytes.normalize.scale = from_floats.normalize.scale = 1.0f / 255;
    float a[SAMPLES * COUNT], b[SAMPLES * COUNT];
    cnn_samples_gather(&from_bytes, NULL, 0, SAMPLES, a);
    cnn_samples_gather(&from_floats, NULL, 0, SAMPLES, b);
    ck_assert_mem_eq(a, b, sizeof a);
}
END_TEST

static void refused(const struct cnn_samples *samples, const char *detail)
{
    struct err e = {0};
    ck_assert(!cnn_samples_check(samples, &e));
    ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
    ck_assert_str_eq(e.detail, detail);
}

START_TEST(check_names_the_bad_label)
{
    struct cnn_samples samples = make(CNN_U8);
    struct err e;
    ck_assert(cnn_samples_check(&samples, &e));
    labels[1] = 3;
    refused(&samples, "label 3 of sample 1 is not below 3");
}
END_TEST

START_TEST(check_names_the_value_that_is_not_finite)
{
    struct cnn_samples samples = make(CNN_F32);
    struct err e;
    ck_assert(cnn_samples_check(&samples, &e));
    floats[2 * COUNT + 7] = NAN;
    refused(&samples, "value 7 of sample 2 is not finite");
    floats[2 * COUNT + 7] = -INFINITY;
    refused(&samples, "value 7 of sample 2 is not finite");
}
END_TEST

START_TEST(check_refuses_a_normalization_that_divides_by_zero)
{
    struct cnn_samples samples = make(CNN_U8);
    samples.normalize.channels = 2;
    samples.normalize.deviation[0] = 1;
    refused(&samples, "deviation of channel 1 is not positive");
    samples.normalize.deviation[1] = 1;
    samples.normalize.mean[0] = NAN;
    refused(&samples, "mean of channel 0 is not finite");
    samples.normalize.channels = CNN_CHANNELS_NORM_MAX + 1;
    refused(&samples, "normalization has 17 channels, at most 16");
    samples.normalize = (struct cnn_normalize){.scale = INFINITY};
    refused(&samples, "normalization scale is not finite");
}
END_TEST

TEST_PROGRAM("core_dataset", gather_picks_samples_and_puts_channels_last,
             gather_without_index_runs_from_first, gather_normalizes_by_channel,
             normalize_u8_stays_canonical_and_equals_gather, bytes_and_equal_floats_gather_the_same,
             check_names_the_bad_label, check_names_the_value_that_is_not_finite,
             check_refuses_a_normalization_that_divides_by_zero)
