#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets_make.h"
#include "memory.h"

enum { CHUNK_BYTES = 1 << 20, LOOK_BYTES = 16 << 20, LOOK_SAMPLES = 1000 };

/* Of one channel's values as they are stored. */
struct sums {
    double sum, squares;
};

static void add_u8(struct sums *sums, const uint8_t *x, size_t count)
{
    uint64_t sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        sum += x[i];
        squares += (uint32_t)x[i] * x[i];
    }
    sums->sum += (double)sum;
    sums->squares += (double)squares;
}

static void add_f32(struct sums *sums, const float *x, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sums->sum += x[i];
        sums->squares += (double)x[i] * x[i];
    }
}

static void add_sample(const struct dataset_info *info, struct sums *sums, const void *sample)
{
    size_t pixels = cnn_shape_pixels(&info->shape);
    for (int c = 0; c < info->shape.c; c++) {
        if (info->dtype == CNN_U8)
            add_u8(&sums[c], (const uint8_t *)sample + (size_t)c * pixels, pixels);
        else
            add_f32(&sums[c], (const float *)sample + (size_t)c * pixels, pixels);
    }
}

static bool has_byte_past_one(const uint8_t *x, size_t count)
{
    uint8_t all = 0;
    for (size_t i = 0; i < count; i++)
        all |= x[i];
    return all > 1;
}

/* One pass over the training samples for the sums, if wanted, and for whether a byte is past 1;
 * ends early when there is nothing left to learn. */
static bool measure_values(const struct dataset_info *info, const struct dataset_source *source,
                           struct sums *sums, bool *past_one, struct err *e)
{
    size_t bytes = dataset_sample_bytes(info);
    uint32_t chunk = bytes < CHUNK_BYTES ? (uint32_t)(CHUNK_BYTES / bytes) : 1, n;
    uint8_t *buffer = memory_new(chunk, bytes, e);
    bool ok = buffer != NULL;
    *past_one = info->dtype != CNN_U8;
    for (uint32_t first = 0; ok && first < info->counts[SPLIT_TRAIN]; first += n) {
        if (!sums && *past_one)
            break;
        n = info->counts[SPLIT_TRAIN] - first;
        n = n < chunk ? n : chunk;
        const uint8_t *x = source->samples(source, SPLIT_TRAIN, first, n, buffer, e);
        ok = x != NULL;
        if (ok && !*past_one)
            *past_one = has_byte_past_one(x, n * bytes);
        for (uint32_t i = 0; ok && sums && i < n; i++)
            add_sample(info, sums, x + i * bytes);
    }
    free(buffer);
    return ok;
}

static void set_mean_and_deviation(struct dataset_info *info, const struct sums *sums)
{
    struct cnn_normalize *normalize = &info->preprocess.normalize;
    double scale = normalize->scale;
    double count = (double)info->counts[SPLIT_TRAIN] * (double)cnn_shape_pixels(&info->shape);
    normalize->channels = info->shape.c;
    for (int c = 0; c < info->shape.c; c++) {
        double mean = sums[c].sum / count;
        double variance = fmax(0, sums[c].squares / count - mean * mean);
        float deviation = (float)(sqrt(variance) * fabs(scale));
        normalize->mean[c] = (float)(mean * scale);
        normalize->deviation[c] = deviation > 1e-6f ? deviation : 1;
    }
}

/* From samples spread over the training split: an archive comes class after class. */
bool dataset_measure_background(struct dataset_info *info, const struct dataset_source *source,
                                struct err *e)
{
    size_t bytes = dataset_sample_bytes(info), room = LOOK_BYTES / bytes + 1;
    uint32_t count = info->counts[SPLIT_TRAIN];
    struct cnn_samples some = {.shape = info->shape, .dtype = info->dtype};
    if (info->dtype != CNN_U8 || info->shape.rank != 2 || count == 0)
        return true;
    some.count = room < LOOK_SAMPLES ? (uint32_t)room : (uint32_t)LOOK_SAMPLES;
    some.count = some.count < count ? some.count : count;
    uint8_t *buffer = memory_new(some.count, bytes, e);
    bool ok = buffer != NULL;
    for (uint32_t i = 0; ok && i < some.count; i++) {
        uint8_t *to = buffer + i * bytes;
        uint32_t at = (uint32_t)((uint64_t)i * count / some.count);
        const void *x = source->samples(source, SPLIT_TRAIN, at, 1, to, e);
        ok = x != NULL;
        if (ok && x != to)
            memcpy(to, x, bytes);
    }
    some.x = buffer;
    if (ok)
        info->preprocess.background = preprocess_background(&some);
    free(buffer);
    return ok;
}

bool dataset_measure(struct dataset_info *info, const struct dataset_source *source,
                     const struct dataset_scaling *scaling, struct err *e)
{
    struct sums sums[CNN_CHANNELS_NORM_MAX] = {{0}};
    bool past_one = true, bytes = info->dtype == CNN_U8;
    if (scaling->normalize && info->shape.c > CNN_CHANNELS_NORM_MAX)
        return err_field(e, ERR_INVALID, "normalize", "%d channels, at most %d are normalised",
                         info->shape.c, CNN_CHANNELS_NORM_MAX);
    bool look = scaling->normalize || (bytes && scaling->scale == 0);
    if (look && !measure_values(info, source, scaling->normalize ? sums : NULL, &past_one, e))
        return false;
    float by_values = bytes && past_one ? 1.0f / 255 : 1;
    info->preprocess.normalize.scale = scaling->scale != 0 ? scaling->scale : by_values;
    if (scaling->normalize)
        set_mean_and_deviation(info, sums);
    return dataset_measure_background(info, source, e);
}
