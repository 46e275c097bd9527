#include "dataset.h"

#include <math.h>

/* One channel's values, `step` apart in out. */

static void normalize_u8(const struct cnn_normalize *normalize, int c, const uint8_t *x,
                         size_t count, float *out, size_t step)
{
    float scale = normalize->scale;
    if (c >= normalize->channels) {
        for (size_t i = 0; i < count; i++)
            out[i * step] = x[i] * scale;
        return;
    }
    float mean = normalize->mean[c], deviation = normalize->deviation[c];
    for (size_t i = 0; i < count; i++)
        out[i * step] = (x[i] * scale - mean) / deviation;
}

static void normalize_f32(const struct cnn_normalize *normalize, int c, const float *x,
                          size_t count, float *out, size_t step)
{
    float scale = normalize->scale;
    if (c >= normalize->channels) {
        for (size_t i = 0; i < count; i++)
            out[i * step] = x[i] * scale;
        return;
    }
    float mean = normalize->mean[c], deviation = normalize->deviation[c];
    for (size_t i = 0; i < count; i++)
        out[i * step] = (x[i] * scale - mean) / deviation;
}

void cnn_samples_gather(const struct cnn_samples *samples, const uint32_t *index, uint32_t first,
                        int n, float *out)
{
    const struct cnn_shape *shape = &samples->shape;
    size_t pixels = cnn_shape_pixels(shape), channels = (size_t)shape->c;
    size_t count = pixels * channels;
    for (int i = 0; i < n; i++) {
        size_t sample = index ? index[i] : first + (size_t)i;
        for (size_t c = 0; c < channels; c++) {
            size_t at = sample * count + c * pixels;
            float *to = out + (size_t)i * count + c;
            if (samples->dtype == CNN_U8)
                normalize_u8(&samples->normalize, (int)c, (const uint8_t *)samples->x + at, pixels,
                             to, channels);
            else
                normalize_f32(&samples->normalize, (int)c, (const float *)samples->x + at, pixels,
                              to, channels);
        }
    }
}

void cnn_normalize_u8(const struct cnn_normalize *normalize, const struct cnn_shape *shape,
                      const uint8_t *x, int count, float *out)
{
    size_t pixels = cnn_shape_pixels(shape);
    for (int i = 0; i < count; i++) {
        for (int c = 0; c < shape->c; c++) {
            normalize_u8(normalize, c, x, pixels, out, 1);
            x += pixels;
            out += pixels;
        }
    }
}

static bool normalize_check(const struct cnn_normalize *normalize, struct err *e)
{
    if (!isfinite(normalize->scale))
        return err_set(e, ERR_UNPROCESSABLE, "normalization scale is not finite");
    if (normalize->channels < 0 || normalize->channels > CNN_CHANNELS_NORM_MAX)
        return err_set(e, ERR_UNPROCESSABLE, "normalization has %d channels, at most %d",
                       normalize->channels, CNN_CHANNELS_NORM_MAX);
    for (int c = 0; c < normalize->channels; c++) {
        if (!isfinite(normalize->mean[c]))
            return err_set(e, ERR_UNPROCESSABLE, "mean of channel %d is not finite", c);
        if (!isfinite(normalize->deviation[c]) || normalize->deviation[c] <= 0)
            return err_set(e, ERR_UNPROCESSABLE, "deviation of channel %d is not positive", c);
    }
    return true;
}

bool cnn_samples_check(const struct cnn_samples *samples, struct err *e)
{
    if (!normalize_check(&samples->normalize, e))
        return false;
    for (uint32_t i = 0; i < samples->count; i++) {
        if (samples->labels[i] >= samples->classes)
            return err_set(e, ERR_UNPROCESSABLE, "label %u of sample %u is not below %d",
                           samples->labels[i], i, samples->classes);
    }
    if (samples->dtype != CNN_F32)
        return true;
    size_t count = cnn_shape_count(&samples->shape);
    const float *x = samples->x;
    for (uint32_t i = 0; i < samples->count; i++, x += count) {
        for (size_t j = 0; j < count; j++) {
            if (!isfinite(x[j]))
                return err_set(e, ERR_UNPROCESSABLE, "value %zu of sample %u is not finite", j, i);
        }
    }
    return true;
}
