/* GET /jobs/ID/failures: what the published weights take for something else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_query.h"
#include "api_reports.h"
#include "base64.h"
#include "datasets.h"
#include "limits.h"
#include "png_write.h"
#include "sample_picture.h"
#include "sample_points.h"

enum { FAILURES_DEFAULT = 100 };

struct failures {
    struct store_job job;
    struct store_failures rows;
    struct api_labels labels;
    bool images, points;    /* ?include= */
    size_t numbers, pixels; /* of what was included so far */
    bool there;             /* what was trained on: not deleted since */
    bool open;              /* and mapped, for what is included of it */
    struct dataset dataset;
};

static void failures_clear(struct failures *failures)
{
    if (failures->open)
        dataset_close(&failures->dataset);
    free(failures->rows.failures);
    free(failures->rows.scores);
    api_labels_clear(&failures->labels);
    store_job_clear(&failures->job);
}

/* ---- queries ---- */

/* ?include=image,points */
static bool query_include(const struct http_request *request, struct failures *failures,
                          struct err *e)
{
    const char *at = http_query(request, "include");
    while (at && *at) {
        size_t size = strcspn(at, ",");
        if (size == 5 && memcmp(at, "image", size) == 0)
            failures->images = true;
        else if (size == 6 && memcmp(at, "points", size) == 0)
            failures->points = true;
        else
            return err_field(e, ERR_INVALID, "include",
                             "expected image, points or both, got '%.40s'", at);
        at += size + (at[size] == ',');
    }
    return true;
}

/* ---- where the samples are ---- */

/* Held-out samples belong to the training split. */
static enum dataset_split split_of(const struct failures *failures)
{
    return strcmp(failures->rows.split, "test") == 0 ? SPLIT_TEST : SPLIT_TRAIN;
}

/* Versions are never given twice: if it is there, it is what was trained on. */
static bool find_dataset(struct app *app, struct failures *failures, struct err *e)
{
    const struct store_job *job = &failures->job;
    struct store_dataset row;
    struct err cause;
    if (!store_dataset_get(app->store, job->dataset, job->dataset_version, &row, &cause)) {
        if (cause.code == ERR_NOT_FOUND)
            return true;
        *e = cause;
        return false;
    }
    store_dataset_clear(&row);
    failures->there = true;
    return true;
}

static bool open_dataset(struct failures *failures, struct err *e)
{
    char text[CNN_SHAPE_TEXT];
    const struct store_job *job = &failures->job;
    if (!failures->images && !failures->points)
        return true;
    if (!failures->there)
        return err_field(e, ERR_NOT_FOUND, "include", "version %d of dataset '%s' has been deleted",
                         job->dataset_version, job->dataset);
    if (!dataset_open_unread(&failures->dataset, job->dataset, job->dataset_version, e))
        return false;
    failures->open = true;
    const struct cnn_shape *shape = &failures->dataset.info.shape;
    return !failures->points || sample_has_points(shape) ||
           err_field(e, ERR_INVALID, "include", "samples of shape %s have no points, only images",
                     cnn_shape_text(shape, text));
}

/* ---- the reply ---- */

static bool write_points(struct json_writer *w, struct failures *failures, const void *x,
                         struct err *e)
{
    const struct dataset_info *info = &failures->dataset.info;
    failures->numbers += CNN_AXES * sample_points_count(&info->shape, info->dtype, x);
    if (failures->numbers > LIMIT_SAMPLE_NUMBERS)
        return err_field(e, ERR_TOO_LARGE, "limit", "more than %d points: ask for fewer failures",
                         LIMIT_SAMPLE_NUMBERS / CNN_AXES);
    jw_key(w, "points");
    sample_points_write(w, &info->shape, info->dtype, x);
    return true;
}

/* As a data: URI, which browsers show and "image" of /predict takes. */
static bool write_image(struct json_writer *w, struct failures *failures, const void *x,
                        struct err *e)
{
    const struct dataset_info *info = &failures->dataset.info;
    struct image image = {0};
    struct buf png = {0}, uri = {0};
    bool ok = sample_picture_draw(&info->shape, info->dtype, x, &image, e);
    failures->pixels += ok ? (size_t)image.width * (size_t)image.height : 0;
    if (ok && failures->pixels > LIMIT_IMAGE_PIXELS)
        ok = err_field(e, ERR_TOO_LARGE, "limit", "more than %d pixels: ask for fewer failures",
                       LIMIT_IMAGE_PIXELS);
    ok = ok && png_write_picture(&image, &png, e);
    if (ok) {
        buf_str(&uri, "data:image/png;base64,");
        base64_encode(png.data, png.size, &uri);
        jw_key_string(w, "image", buf_text(&uri));
        ok = buf_ok(&uri) || err_no_memory(e);
    }
    buf_clear(&uri);
    buf_clear(&png);
    image_clear(&image);
    return ok;
}

/* Links to the sample and its picture, null when it is gone. */
static void write_links(struct json_writer *w, const struct failures *failures, uint32_t sample)
{
    const struct store_job *job = &failures->job;
    char link[192], picture[208];
    snprintf(link, sizeof link, "/datasets/%s/samples/%s/%u?version=%d", job->dataset,
             dataset_split_name(split_of(failures)), sample, job->dataset_version);
    snprintf(picture, sizeof picture, "%s&format=png", link);
    jw_key_string(w, "link", failures->there ? link : NULL);
    jw_key_string(w, "picture", failures->there ? picture : NULL);
}

/* The sample itself, in the forms that were asked for. */
static bool write_included(struct json_writer *w, struct failures *failures, uint32_t sample,
                           struct err *e)
{
    if (!failures->open)
        return true;
    const struct cnn_samples *samples = &failures->dataset.samples[split_of(failures)];
    if (sample >= samples->count)
        return err_set(e, ERR_INTERNAL, "job %lld failed on sample %u of %u",
                       (long long)failures->job.id, sample, samples->count);
    const size_t bytes = cnn_shape_count(&samples->shape) *
                         (samples->dtype == CNN_F32 ? sizeof(float) : sizeof(uint8_t));
    const void *x = (const uint8_t *)samples->x + sample * bytes;
    return (!failures->points || write_points(w, failures, x, e)) &&
           (!failures->images || write_image(w, failures, x, e));
}

static bool write_failure(struct json_writer *w, struct failures *failures, int index,
                          struct err *e)
{
    const struct store_failures *rows = &failures->rows;
    const struct cnn_failure *failure = &rows->failures[index];
    const float *scores = rows->scores + (size_t)index * (size_t)rows->classes;
    jw_object(w);
    jw_key_int(w, "sample", failure->sample);
    jw_key_string(w, "actual", failures->labels.texts[failure->actual]);
    jw_key_string(w, "predicted", failures->labels.texts[failure->predicted]);
    jw_key(w, "score");
    jw_float(w, failure->score);
    jw_key(w, "scores");
    jw_array(w);
    for (int i = 0; i < rows->classes; i++)
        jw_float(w, scores[i]);
    jw_array_end(w);
    write_links(w, failures, failure->sample);
    if (!write_included(w, failures, failure->sample, e))
        return false;
    jw_object_end(w);
    return true;
}

static bool write_failures(struct buf *out, struct failures *failures, struct err *e)
{
    struct json_writer w;
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)failures->job.id);
    jw_begin(&w, out);
    jw_object(&w);
    jw_key_string(&w, "job", id);
    jw_key_string(&w, "split", failures->rows.split);
    jw_key(&w, "failures");
    jw_array(&w);
    for (int i = 0; i < failures->rows.count; i++)
        if (!write_failure(&w, failures, i, e))
            return false;
    jw_array_end(&w);
    jw_object_end(&w);
    buf_str(out, "\n");
    return true;
}

static bool read_failures(struct app *app, const struct http_request *request,
                          struct failures *failures, struct err *e)
{
    struct store_job *job = &failures->job;
    struct store_failures *rows = &failures->rows;
    int actual, predicted, limit = FAILURES_DEFAULT;
    if (!api_report_job(app, request, job, e) ||
        !api_query_int(request, "limit", 0, CNN_FAILURES_MAX, &limit, e) ||
        !query_include(request, failures, e) ||
        !api_labels_read(app->store, job->id, &failures->labels, e) ||
        !api_labels_query(request, "actual", &failures->labels, &actual, e) ||
        !api_labels_query(request, "predicted", &failures->labels, &predicted, e))
        return false;
    if (job->state != JOB_SUCCEEDED)
        return err_set(e, ERR_NOT_FOUND, "job %lld has no failures yet: it is %s",
                       (long long)job->id, job_state_name(job->state));
    if (!store_job_failures(app->store, job->id, actual, predicted, limit, rows, e)) {
        *rows = (struct store_failures){.count = 0};
        return false;
    }
    if (rows->count > 0 && failures->labels.count != rows->classes)
        return err_set(e, ERR_INTERNAL, "job has %d labels for %d classes", failures->labels.count,
                       rows->classes);
    return find_dataset(app, failures, e) && open_dataset(failures, e);
}

bool api_jobs_failures(struct app *app, const struct http_request *request,
                       struct http_response *response, struct err *e)
{
    struct failures failures = {.there = false};
    bool ok =
        read_failures(app, request, &failures, e) && write_failures(&response->body, &failures, e);
    failures_clear(&failures);
    return ok;
}
