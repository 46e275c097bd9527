/* GET /datasets/D/samples and one of them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_datasets.h"
#include "api_query.h"
#include "json_write.h"
#include "name.h"
#include "npy.h"
#include "png_write.h"
#include "sample_picture.h"
#include "sample_points.h"

enum { LIMIT_DEFAULT = 50 };

/* ?version= of the dataset in the path, or its newest. */
static bool open_dataset(struct app *app, const struct http_request *request,
                         struct dataset *dataset, struct err *e)
{
    const char *name = request->params[0];
    int version = 0;
    return name_check(name, "dataset", e) &&
           api_query_int(request, "version", 1, INT32_MAX, &version, e) &&
           datasets_open(app->store, name, version, true, dataset, e);
}

/* ---- the list ---- */

struct listing {
    const struct http_request *request;
    const struct dataset *dataset;
    enum dataset_split split;
    int label; /* -1: all */
    int offset, limit;
};

static bool read_label(struct listing *listing, struct err *e)
{
    const char *label = http_query(listing->request, "label");
    const struct dataset_info *info = &listing->dataset->info;
    listing->label = -1;
    if (!label || !*label)
        return true;
    for (int i = 0; i < info->label_count; i++) {
        if (strcmp(info->labels[i], label) == 0) {
            listing->label = i;
            return true;
        }
    }
    return err_field(e, ERR_INVALID, "label", "no class '%.128s' in this dataset", label);
}

static bool read_listing(struct listing *listing, struct err *e)
{
    static const char *const splits[] = {"train", "test", NULL};
    int split = SPLIT_TRAIN;
    listing->limit = LIMIT_DEFAULT;
    if (!api_query_choice(listing->request, "split", splits, &split, e) ||
        !api_query_int(listing->request, "offset", 0, CNN_SAMPLES_MAX, &listing->offset, e) ||
        !api_query_int(listing->request, "limit", 0, LIMIT_SAMPLES_LISTED, &listing->limit, e))
        return false;
    listing->split = (enum dataset_split)split;
    return read_label(listing, e);
}

/* A label that a damaged file may hold is shown as null. */
static const char *label_text(const struct dataset_info *info, uint16_t label)
{
    return label < info->label_count ? info->labels[label] : NULL;
}

static void write_entry(struct json_writer *w, const struct listing *listing, uint32_t index)
{
    const char *name = listing->request->params[0];
    uint16_t label = listing->dataset->samples[listing->split].labels[index];
    char link[HTTP_PARAM_BYTES + 64];
    snprintf(link, sizeof link, "/datasets/%s/samples/%s/%u?version=%d", name,
             dataset_split_name(listing->split), index, listing->dataset->version);
    jw_object(w);
    jw_key_int(w, "index", index);
    jw_key_string(w, "label", label_text(&listing->dataset->info, label));
    jw_key_string(w, "link", link);
    jw_object_end(w);
}

static void write_listing(struct buf *out, const struct listing *listing)
{
    const struct cnn_samples *samples = &listing->dataset->samples[listing->split];
    struct json_writer w;
    int total = 0;
    jw_begin(&w, out);
    jw_object(&w);
    jw_key_string(&w, "dataset", listing->request->params[0]);
    jw_key_int(&w, "version", listing->dataset->version);
    jw_key_string(&w, "split", dataset_split_name(listing->split));
    jw_key_int(&w, "offset", listing->offset);
    jw_key_int(&w, "limit", listing->limit);
    jw_key(&w, "samples");
    jw_array(&w);
    for (uint32_t i = 0; i < samples->count; i++) {
        if (listing->label >= 0 && samples->labels[i] != listing->label)
            continue;
        if (total >= listing->offset && total - listing->offset < listing->limit)
            write_entry(&w, listing, i);
        total++;
    }
    jw_array_end(&w);
    jw_key_int(&w, "total", total);
    jw_object_end(&w);
}

bool api_samples_list(struct app *app, const struct http_request *request,
                      struct http_response *response, struct err *e)
{
    struct dataset dataset;
    struct listing listing = {.request = request, .dataset = &dataset};
    if (!open_dataset(app, request, &dataset, e))
        return false;
    bool ok = read_listing(&listing, e);
    if (ok)
        write_listing(&response->body, &listing);
    dataset_close(&dataset);
    return ok;
}

/* ---- one sample ---- */

struct sample {
    const struct http_request *request;
    const struct dataset *dataset;
    enum dataset_split split;
    uint32_t index;
    const void *x;
};

static bool find_sample(struct sample *sample, struct err *e)
{
    const char *split = sample->request->params[1], *text = sample->request->params[2];
    char *end;
    for (int s = 0; s < SPLIT_COUNT; s++) {
        const struct cnn_samples *samples = &sample->dataset->samples[s];
        if (strcmp(split, dataset_split_name((enum dataset_split)s)) != 0)
            continue;
        errno = 0;
        unsigned long long index = strtoull(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end || errno || index >= samples->count)
            return err_set(e, ERR_NOT_FOUND, "no sample '%.20s' among %u of split '%s'", text,
                           samples->count, split);
        sample->split = (enum dataset_split)s;
        sample->index = (uint32_t)index;
        sample->x = (const char *)samples->x + index * cnn_shape_count(&samples->shape) *
                                                   (samples->dtype == CNN_F32 ? sizeof(float) : 1);
        return true;
    }
    return err_set(e, ERR_NOT_FOUND, "no split '%.20s', expected train or test", split);
}

/* The values from *at on, nested as dims[0..rank). */
static void write_nested(struct json_writer *w, const struct sample *sample, const int *dims,
                         int rank, size_t *at)
{
    jw_array(w);
    for (int i = 0; i < dims[0]; i++) {
        if (rank > 1)
            write_nested(w, sample, dims + 1, rank - 1, at);
        else if (sample->dataset->info.dtype == CNN_U8)
            jw_int(w, ((const uint8_t *)sample->x)[(*at)++]);
        else
            jw_float(w, ((const float *)sample->x)[(*at)++]);
    }
    jw_array_end(w);
}

/* With its values, or with the points that it is. */
static bool reply_json(const struct sample *sample, bool points, struct buf *out, struct err *e)
{
    char text[CNN_SHAPE_TEXT];
    const struct dataset_info *info = &sample->dataset->info;
    uint16_t label = sample->dataset->samples[sample->split].labels[sample->index];
    int dims[1 + CNN_AXES], rank = cnn_shape_dims(&info->shape, dims);
    size_t at = 0;
    struct json_writer w;
    if (cnn_shape_count(&info->shape) > LIMIT_SAMPLE_NUMBERS)
        return err_set(e, ERR_TOO_LARGE, "more than %d numbers: ask for application/x-npy",
                       LIMIT_SAMPLE_NUMBERS);
    if (points && !sample_has_points(&info->shape))
        return err_field(e, ERR_INVALID, "format", "samples of shape %s have no points",
                         cnn_shape_text(&info->shape, text));
    jw_begin(&w, out);
    jw_object(&w);
    jw_key_string(&w, "dataset", sample->request->params[0]);
    jw_key_int(&w, "version", sample->dataset->version);
    jw_key_string(&w, "split", dataset_split_name(sample->split));
    jw_key_int(&w, "index", sample->index);
    jw_key_string(&w, "label", label_text(info, label));
    jw_key_int(&w, "label_index", label);
    jw_key_string(&w, "dtype", info->dtype == CNN_U8 ? "uint8" : "float32");
    jw_key(&w, "shape");
    jw_array(&w);
    for (int i = 0; i < rank; i++)
        jw_int(&w, dims[i]);
    jw_array_end(&w);
    jw_key(&w, points ? "points" : "values");
    if (points)
        sample_points_write(&w, &info->shape, info->dtype, sample->x);
    else
        write_nested(&w, sample, dims, rank, &at);
    jw_object_end(&w);
    return true;
}

static bool reply_png(const struct sample *sample, struct buf *out, struct err *e)
{
    const struct dataset_info *info = &sample->dataset->info;
    struct image image;
    bool ok = sample_picture_draw(&info->shape, info->dtype, sample->x, &image, e) &&
              png_write_picture(&image, out, e);
    image_clear(&image);
    return ok;
}

static void reply_npy(const struct sample *sample, struct buf *out)
{
    const struct dataset_info *info = &sample->dataset->info;
    int dims[1 + CNN_AXES], rank = cnn_shape_dims(&info->shape, dims);
    size_t sizes[1 + CNN_AXES];
    for (int i = 0; i < rank; i++)
        sizes[i] = (size_t)dims[i];
    enum npy_dtype dtype = info->dtype == CNN_U8 ? NPY_U8 : NPY_F32;
    npy_write_head(out, dtype, rank, sizes);
    buf_add(out, sample->x, cnn_shape_count(&info->shape) * npy_dtype_bytes(dtype));
}

enum form { FORM_JSON, FORM_PNG, FORM_NPY, FORM_POINTS };

static bool reply_sample(struct sample *sample, struct http_response *response, struct err *e)
{
    static const char *const formats[] = {"json", "png", "npy", "points", NULL};
    static const char *const types[] = {"application/json", "image/png", "application/x-npy",
                                        "application/json", NULL};
    int form;
    if (!find_sample(sample, e) || !api_query_format(sample->request, formats, types, &form, e))
        return false;
    response->content_type = types[form];
    if (form == FORM_JSON || form == FORM_POINTS)
        return reply_json(sample, form == FORM_POINTS, &response->body, e);
    if (form == FORM_PNG)
        return reply_png(sample, &response->body, e);
    reply_npy(sample, &response->body);
    return true;
}

bool api_samples_get(struct app *app, const struct http_request *request,
                     struct http_response *response, struct err *e)
{
    struct dataset dataset;
    struct sample sample = {.request = request, .dataset = &dataset};
    if (!open_dataset(app, request, &dataset, e))
        return false;
    bool ok = reply_sample(&sample, response, e);
    dataset_close(&dataset);
    return ok;
}
