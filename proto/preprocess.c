#include "preprocess.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "json_read.h"
#include "limits.h"
#include "memory.h"

#include <cjson/cJSON.h>

enum { BACKGROUND_SAMPLES_MAX = 1000 }; /* enough for a mean; a split may hold millions */

/* Sum of the outermost ring of [h, w] values; adds their number to *count. */
static uint64_t border_sum(const uint8_t *x, int w, int h, uint64_t *count)
{
    uint64_t sum = 0;
    for (int row = 0; row < h; row++) {
        bool whole = row == 0 || row == h - 1;
        for (int col = 0; col < w; col += whole || col == w - 1 ? 1 : w - 1) {
            sum += x[(size_t)row * (size_t)w + (size_t)col];
            ++*count;
        }
    }
    return sum;
}

enum background preprocess_background(const struct cnn_samples *samples)
{
    const struct cnn_shape *shape = &samples->shape;
    if (samples->dtype != CNN_U8 || shape->rank != 2 || samples->count == 0)
        return BACKGROUND_NONE;
    size_t pixels = cnn_shape_pixels(shape), planes = (size_t)shape->c;
    uint32_t used =
        samples->count < BACKGROUND_SAMPLES_MAX ? samples->count : (uint32_t)BACKGROUND_SAMPLES_MAX;
    uint64_t sum = 0, count = 0;
    for (uint32_t i = 0; i < used; i++) {
        size_t sample = (size_t)i * samples->count / used; /* spread over the split */
        const uint8_t *x = (const uint8_t *)samples->x + sample * planes * pixels;
        for (size_t c = 0; c < planes; c++)
            sum += border_sum(x + c * pixels, shape->size[2], shape->size[1], &count);
    }
    double mean = (double)sum / (255.0 * (double)count);
    return mean < 0.25 ? BACKGROUND_DARK : mean > 0.75 ? BACKGROUND_LIGHT : BACKGROUND_NONE;
}

/* Which source values one output value is made of, along one axis. */
struct taps {
    int first, count;
    const float *weights; /* [count], sum 1 */
};

struct resampler {
    struct taps *taps; /* [out] */
    float *weights;    /* [out, widest] */
};

static void resampler_clear(struct resampler *r)
{
    free(r->taps);
    free(r->weights);
}

/* Triangle filter of the half width max(1, in/out) source pixels about each output's centre: what
 * Pillow calls BILINEAR. Equal sizes give one tap of weight 1. */
static bool resampler_init(struct resampler *r, int in, int out, struct err *e)
{
    double scale = (double)in / out, support = scale > 1 ? scale : 1;
    size_t widest = 2 * (size_t)ceil(support) + 1;
    r->taps = memory_new((size_t)out, sizeof *r->taps, e);
    r->weights = memory_new((size_t)out * widest, sizeof *r->weights, e);
    if (!r->taps || !r->weights)
        return false;
    for (int i = 0; i < out; i++) {
        double centre = (i + 0.5) * scale, sum = 0;
        int low = (int)fmax(0, centre - support + 0.5);
        int high = (int)fmin(in, centre + support + 0.5);
        float *weights = r->weights + (size_t)i * widest;
        for (int at = low; at < high; at++)
            sum += fmax(0, 1 - fabs(at + 0.5 - centre) / support);
        for (int at = low; at < high; at++)
            weights[at - low] = (float)(fmax(0, 1 - fabs(at + 0.5 - centre) / support) / sum);
        r->taps[i] = (struct taps){low, high - low, weights};
    }
    return true;
}

/* One output row of one plane: rows first into `row` [in_w], then along it. */
static void resample_row(const uint8_t *plane, int in_w, const struct taps *vertical,
                         const struct resampler *horizontal, int out_w, float *row, float *out)
{
    memset(row, 0, (size_t)in_w * sizeof *row);
    for (int k = 0; k < vertical->count; k++) {
        const uint8_t *from = plane + (size_t)(vertical->first + k) * (size_t)in_w;
        float weight = vertical->weights[k];
        for (int x = 0; x < in_w; x++)
            row[x] += weight * from[x];
    }
    for (int x = 0; x < out_w; x++) {
        const struct taps *taps = &horizontal->taps[x];
        float sum = 0;
        for (int k = 0; k < taps->count; k++)
            sum += taps->weights[k] * row[taps->first + k];
        out[x] = sum;
    }
}

/* planes[channels, in_h, in_w] to out[channels, out_h, out_w]. Needs one row besides the weights,
 * whatever the sizes. */
static bool resize(const uint8_t *planes, int channels, int in_w, int in_h, int out_w, int out_h,
                   float *out, struct err *e)
{
    struct resampler vertical = {0}, horizontal = {0};
    float *row = memory_new((size_t)in_w, sizeof *row, e);
    bool ok = row && resampler_init(&vertical, in_h, out_h, e) &&
              resampler_init(&horizontal, in_w, out_w, e);
    for (int c = 0; ok && c < channels; c++) {
        const uint8_t *plane = planes + (size_t)c * (size_t)in_w * (size_t)in_h;
        for (int y = 0; y < out_h; y++)
            resample_row(plane, in_w, &vertical.taps[y], &horizontal, out_w, row,
                         out + ((size_t)c * (size_t)out_h + (size_t)y) * (size_t)out_w);
    }
    resampler_clear(&vertical);
    resampler_clear(&horizontal);
    free(row);
    return ok;
}

/* The picture as planes [channels, height, width]: grey by ITU-R BT.601 luma, or colour. */
static uint8_t *image_planes(const struct image *image, int channels, struct err *e)
{
    size_t pixels = (size_t)image->width * (size_t)image->height;
    uint8_t *planes = malloc(pixels * (size_t)channels);
    if (!planes) {
        err_no_memory(e);
        return NULL;
    }
    const uint8_t *from = image->pixels;
    for (size_t i = 0; i < pixels; i++, from += image->channels) {
        if (channels == 1 && image->channels == 3)
            planes[i] =
                (uint8_t)((19595u * from[0] + 38470u * from[1] + 7471u * from[2] + 32768u) >> 16);
        else
            for (int c = 0; c < channels; c++)
                planes[(size_t)c * pixels + i] = from[image->channels == 3 ? c : 0];
    }
    return planes;
}

static bool wants_inversion(const struct preprocess *pre, enum invert invert, const uint8_t *planes,
                            int channels, int w, int h)
{
    if (invert != INVERT_AUTO)
        return invert == INVERT_YES;
    if (pre->background == BACKGROUND_NONE)
        return pre->invert;
    uint64_t sum = 0, count = 0;
    for (int c = 0; c < channels; c++)
        sum += border_sum(planes + (size_t)c * (size_t)w * (size_t)h, w, h, &count);
    bool light = 2 * sum > 255 * count;
    return light != (pre->background == BACKGROUND_LIGHT);
}

static void normalize_planes(const struct cnn_normalize *normalize, int channels, size_t pixels,
                             float *x)
{
    for (int c = 0; c < channels; c++, x += pixels) {
        float mean = 0, deviation = 1;
        if (c < normalize->channels) {
            mean = normalize->mean[c];
            deviation = normalize->deviation[c];
        }
        for (size_t i = 0; i < pixels; i++)
            x[i] = (x[i] * normalize->scale - mean) / deviation;
    }
}

bool preprocess_image(const struct preprocess *pre, const struct cnn_shape *shape,
                      const struct image *image, enum invert invert, float *x, struct err *e)
{
    char text[CNN_SHAPE_TEXT];
    if (shape->rank != 2 || (shape->c != 1 && shape->c != 3))
        return err_set(e, ERR_INVALID, "a picture does not fit the model's input %s",
                       cnn_shape_text(shape, text));
    int w = image->width, h = image->height, channels = shape->c;
    uint8_t *planes = image_planes(image, channels, e);
    if (!planes)
        return false;
    if (wants_inversion(pre, invert, planes, channels, w, h)) {
        size_t count = (size_t)channels * (size_t)w * (size_t)h;
        for (size_t i = 0; i < count; i++)
            planes[i] = (uint8_t)(255 - planes[i]);
    }
    bool ok = resize(planes, channels, w, h, shape->size[2], shape->size[1], x, e);
    free(planes);
    if (ok)
        normalize_planes(&pre->normalize, channels, cnn_shape_pixels(shape), x);
    return ok;
}

void preprocess_values(const struct preprocess *pre, const struct cnn_shape *shape, float *x)
{
    normalize_planes(&pre->normalize, shape->c, cnn_shape_pixels(shape), x);
}

void preprocess_grid(const struct preprocess *pre, const struct cnn_shape *shape,
                     const uint8_t *grid, float *x)
{
    struct cnn_normalize normalize = pre->normalize;
    if (normalize.scale == 1.0f / 255)
        normalize.scale = 1;
    cnn_normalize_u8(&normalize, shape, grid, 1, x);
}

struct cnn_voxelize preprocess_voxelize(const struct preprocess *pre)
{
    return pre->voxelize.samples > 0 ? pre->voxelize : cnn_voxelize_defaults();
}

/* {"scale":0.00392,"mean":[..],"std":[..],"background":"dark","invert":true,
 *  "voxelize":{"fit":"stretch","axes":"xyz","solid":false,"points":2048,"seed":0}}; the last two
 * only where they apply. */

static const char *const background_names[] = {
    [BACKGROUND_NONE] = "none", [BACKGROUND_DARK] = "dark", [BACKGROUND_LIGHT] = "light"};

static const char *const fit_names[] = {
    [CNN_VOXEL_STRETCH] = "stretch", [CNN_VOXEL_ASPECT] = "aspect"};

static void write_floats(struct json_writer *w, const char *key, const float *values, int count)
{
    jw_key(w, key);
    jw_array(w);
    for (int i = 0; i < count; i++)
        jw_float(w, values[i]);
    jw_array_end(w);
}

bool preprocess_parse_axes(const char *text, uint8_t axes[CNN_AXES])
{
    bool used[CNN_AXES] = {false};
    for (int i = 0; i < CNN_AXES; i++) {
        if (text[i] < 'x' || text[i] > 'z' || used[text[i] - 'x'])
            return false;
        axes[i] = (uint8_t)(text[i] - 'x');
        used[axes[i]] = true;
    }
    return text[CNN_AXES] == '\0';
}

static void write_voxelize(struct json_writer *w, const struct cnn_voxelize *voxelize)
{
    char axes[CNN_AXES + 1] = "";
    jw_key(w, "voxelize");
    jw_object(w);
    jw_key_string(w, "fit", fit_names[voxelize->fit]);
    for (int i = 0; i < CNN_AXES; i++)
        axes[i] = "xyz"[voxelize->axes[i]];
    jw_key_string(w, "axes", axes);
    jw_key_bool(w, "solid", voxelize->solid);
    jw_key_int(w, "points", voxelize->samples);
    jw_key_int(w, "seed", (int64_t)voxelize->seed);
    jw_object_end(w);
}

void preprocess_write(struct json_writer *w, const struct preprocess *pre)
{
    const struct cnn_normalize *normalize = &pre->normalize;
    jw_object(w);
    jw_key(w, "scale");
    jw_float(w, normalize->scale);
    if (normalize->channels > 0) {
        write_floats(w, "mean", normalize->mean, normalize->channels);
        write_floats(w, "std", normalize->deviation, normalize->channels);
    }
    jw_key_string(w, "background", background_names[pre->background]);
    if (pre->invert)
        jw_key_bool(w, "invert", true);
    if (pre->voxelize.samples > 0)
        write_voxelize(w, &pre->voxelize);
    jw_object_end(w);
}

/* An array of up to CNN_CHANNELS_NORM_MAX finite numbers; absent leaves *count at 0. */
static bool parse_floats(const struct cJSON *json, const char *key, float *values, int *count,
                         struct err *e)
{
    const struct cJSON *array = json_get(json, key), *item;
    *count = 0;
    if (!array)
        return true;
    if (!cJSON_IsArray(array))
        return err_field(e, ERR_INVALID, key, "expected an array of numbers");
    cJSON_ArrayForEach(item, array)
    {
        if (*count == CNN_CHANNELS_NORM_MAX)
            return err_field(e, ERR_INVALID, key, "more than %d channels", CNN_CHANNELS_NORM_MAX);
        if (!cJSON_IsNumber(item) || !isfinite((float)item->valuedouble))
            return err_field(e, ERR_INVALID, key, "expected an array of numbers");
        values[(*count)++] = (float)item->valuedouble;
    }
    return true;
}

static bool parse_background(const struct cJSON *json, enum background *background, struct err *e)
{
    const char *name = background_names[BACKGROUND_NONE];
    if (!json_get_string(json, "background", &name, e))
        return false;
    for (int i = 0; i < (int)(sizeof background_names / sizeof background_names[0]); i++) {
        if (strcmp(name, background_names[i]) == 0) {
            *background = (enum background)i;
            return true;
        }
    }
    return err_field(e, ERR_INVALID, "background", "unknown background '%.32s'", name);
}

static bool parse_voxelize(const struct cJSON *json, struct cnn_voxelize *voxelize, struct err *e)
{
    static const char *const keys[] = {"fit", "axes", "solid", "points", "seed", NULL};
    struct cnn_voxelize usual = cnn_voxelize_defaults();
    int fit = CNN_VOXEL_STRETCH;
    int64_t points = usual.samples, seed = 0;
    bool solid = false;
    const char *axes = "xyz";
    const struct cJSON *object = json_get(json, "voxelize");
    if (!object)
        return true;
    if (!json_is_object(object, "voxelize", e) || !json_only(object, keys, e) ||
        !json_get_choice(object, "fit", fit_names, 2, &fit, e) ||
        !json_get_string(object, "axes", &axes, e) || !json_get_bool(object, "solid", &solid, e) ||
        !json_get_int(object, "points", 1, CNN_VOXEL_SAMPLES_MAX, &points, e) ||
        !json_get_int(object, "seed", 0, (int64_t)1 << 53, &seed, e))
        return err_within(e, "voxelize");
    usual.fit = (enum cnn_voxel_fit)fit;
    usual.solid = solid;
    usual.samples = (uint32_t)points;
    usual.seed = (uint64_t)seed;
    if (!preprocess_parse_axes(axes, usual.axes))
        return err_field(e, ERR_INVALID, "voxelize.axes", "expected xyz in some order");
    *voxelize = usual;
    return true;
}

bool preprocess_parse(const struct cJSON *json, struct preprocess *pre, struct err *e)
{
    static const char *const keys[] = {"scale",  "mean",     "std", "background",
                                       "invert", "voxelize", NULL};
    struct preprocess parsed = {.normalize.scale = 1};
    struct cnn_normalize *normalize = &parsed.normalize;
    double scale = 1;
    int deviations = 0;
    if (!json_is_object(json, "preprocess", e) || !json_only(json, keys, e) ||
        !json_get_double(json, "scale", -1e6, 1e6, &scale, e) ||
        !parse_floats(json, "mean", normalize->mean, &normalize->channels, e) ||
        !parse_floats(json, "std", normalize->deviation, &deviations, e) ||
        !parse_background(json, &parsed.background, e) ||
        !json_get_bool(json, "invert", &parsed.invert, e) ||
        !parse_voxelize(json, &parsed.voxelize, e))
        return false;
    if (normalize->channels != deviations)
        return err_field(e, ERR_INVALID, "std", "%d values, but %d of mean", deviations,
                         normalize->channels);
    for (int i = 0; i < deviations; i++)
        if (!(normalize->deviation[i] > 0))
            return err_field(e, ERR_INVALID, "std", "deviation %g is not positive",
                             (double)normalize->deviation[i]);
    normalize->scale = (float)scale;
    *pre = parsed;
    return true;
}
