/* The reports of a job: loss curve, confusion matrix. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_query.h"
#include "api_reports.h"
#include "dataset_file.h"
#include "limits.h"

enum { SAMPLES_DEFAULT = 100 };

bool api_report_job(struct app *app, const struct http_request *request, struct store_job *row,
                    struct err *e)
{
    int64_t id;
    return api_job_id(request, &id, e) && store_job_get(app->store, id, row, e);
}

void api_labels_clear(struct api_labels *labels)
{
    for (int i = 0; i < labels->count; i++)
        free(labels->texts[i]);
    free(labels->texts);
    *labels = (struct api_labels){0};
}

bool api_labels_read(struct store *store, int64_t id, struct api_labels *labels, struct err *e)
{
    if (store_job_labels(store, id, &labels->texts, &labels->count, e))
        return true;
    *labels = (struct api_labels){0};
    return false;
}

bool api_labels_query(const struct http_request *request, const char *name,
                      const struct api_labels *labels, int *class, struct err *e)
{
    const char *text = http_query(request, name);
    *class = -1;
    if (!text)
        return true;
    for (int i = 0; i < labels->count; i++)
        if (strcmp(text, labels->texts[i]) == 0) {
            *class = i;
            return true;
        }
    struct err ignored;
    if (api_query_int(request, name, 0, labels->count - 1, class, &ignored))
        return true;
    return err_field(e, ERR_INVALID, name, "no class '%.64s', expected a label or 0..%d", text,
                     labels->count - 1);
}

/* ---- loss ---- */

struct loss {
    struct report_batch *live; /* of the epoch being trained */
    int live_count;
    struct report_epoch *epochs;
    int epoch_count;
    struct report_batch *batches;
    int batch_count;
};

static void loss_clear(struct loss *loss)
{
    free(loss->live);
    free(loss->epochs);
    free(loss->batches);
}

static bool loss_read(struct app *app, int64_t id, int since_epoch, struct loss *loss,
                      struct err *e)
{
    return jobs_live_points(app->jobs, id, &loss->live, &loss->live_count, e) &&
           store_job_epochs(app->store, id, since_epoch, 1, &loss->epochs, &loss->epoch_count, e) &&
           store_job_batches(app->store, id, since_epoch, LIMIT_LOSS_POINTS, &loss->batches,
                             &loss->batch_count, e);
}

static void write_points(struct json_writer *w, const struct report_batch *points, int count,
                         int since_epoch)
{
    for (int i = 0; i < count; i++) {
        if (points[i].epoch <= since_epoch)
            continue;
        jw_object(w);
        jw_key_int(w, "epoch", points[i].epoch);
        jw_key_int(w, "batch", points[i].batch);
        jw_key_double(w, "loss", points[i].loss);
        jw_key_double(w, "lr", points[i].lr);
        jw_object_end(w);
    }
}

static void write_loss(struct json_writer *w, const struct loss *loss, int since_epoch)
{
    jw_object(w);
    jw_key(w, "epochs");
    jw_array(w);
    for (int i = 0; i < loss->epoch_count; i++) {
        const struct report_epoch *epoch = &loss->epochs[i];
        jw_object(w);
        jw_key_int(w, "epoch", epoch->epoch);
        jw_key_double(w, "loss", epoch->loss);
        jw_key_double(w, "accuracy", epoch->accuracy);
        jw_key_double(w, "val_loss", epoch->val_loss);
        jw_key_double(w, "val_accuracy", epoch->val_accuracy);
        jw_key_double(w, "seconds", epoch->seconds);
        jw_object_end(w);
    }
    jw_array_end(w);
    /* An epoch stored since the live points were asked for holds them too. */
    int stored = loss->batch_count ? loss->batches[loss->batch_count - 1].epoch : 0;
    jw_key(w, "batches");
    jw_array(w);
    write_points(w, loss->batches, loss->batch_count, since_epoch);
    write_points(w, loss->live, loss->live_count, stored > since_epoch ? stored : since_epoch);
    jw_array_end(w);
    jw_object_end(w);
}

bool api_jobs_loss(struct app *app, const struct http_request *request,
                   struct http_response *response, struct err *e)
{
    static const char *const formats[] = {"json", "csv", NULL};
    static const char *const types[] = {"application/json", "text/csv", NULL};
    struct store_job row = {0};
    struct loss loss = {0};
    int since_epoch = 0, format;
    bool ok = api_report_job(app, request, &row, e) &&
              api_query_int(request, "since_epoch", 0, CNN_EPOCHS_MAX, &since_epoch, e) &&
              api_query_format(request, formats, types, &format, e) &&
              loss_read(app, row.id, since_epoch, &loss, e);
    if (ok && format == 1) {
        response->content_type = "text/csv; charset=utf-8";
        report_loss_csv(&response->body, loss.epochs, loss.epoch_count);
    } else if (ok) {
        struct json_writer w;
        jw_begin(&w, &response->body);
        write_loss(&w, &loss, since_epoch);
        buf_str(&response->body, "\n");
    }
    loss_clear(&loss);
    store_job_clear(&row);
    return ok;
}

/* ---- confusion ---- */

static bool query_normalize(const struct http_request *request, enum report_normalize *normalize,
                            struct err *e)
{
    static const struct {
        const char *text;
        enum report_normalize normalize;
    } choices[] = {{"false", REPORT_COUNTS},
                   {"true", REPORT_BY_ACTUAL},
                   {"pred", REPORT_BY_PREDICTED},
                   {"all", REPORT_BY_ALL}};
    const char *text = http_query(request, "normalize");
    *normalize = REPORT_COUNTS;
    for (size_t i = 0; text && i < sizeof choices / sizeof choices[0]; i++)
        if (strcmp(text, choices[i].text) == 0) {
            *normalize = choices[i].normalize;
            return true;
        }
    return !text || err_field(e, ERR_INVALID, "normalize",
                              "expected true, false, pred or all, got '%.40s'", text);
}

static void write_confusion(struct json_writer *w, const struct store_job *row,
                            const struct store_confusion *confusion,
                            const struct report_confusion *report)
{
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)row->id);
    jw_object(w);
    jw_key_string(w, "job", id);
    jw_key_int(w, "epoch", confusion->epoch);
    jw_key_string(w, "split", confusion->split);
    report_confusion_members(w, report);
    jw_object_end(w);
}

static void respond_confusion(const struct store_job *row, const struct store_confusion *confusion,
                              const struct api_labels *labels, enum report_normalize normalize,
                              int format, struct http_response *response)
{
    char title[160];
    snprintf(title, sizeof title, "%s, job %lld, epoch %d, %s samples", row->model,
             (long long)row->id, confusion->epoch, confusion->split);
    struct report_confusion report = {
        .classes = confusion->classes,
        .labels = labels->texts,
        .confusion = confusion->confusion,
        .normalize = normalize,
        .title = title,
    };
    if (format == 1) {
        response->content_type = "text/csv; charset=utf-8";
        report_confusion_csv(&response->body, &report);
    } else if (format == 2) {
        response->content_type = "image/svg+xml";
        report_confusion_svg(&response->body, &report);
    } else {
        struct json_writer w;
        jw_begin(&w, &response->body);
        write_confusion(&w, row, confusion, &report);
        buf_str(&response->body, "\n");
    }
}

bool api_jobs_confusion(struct app *app, const struct http_request *request,
                        struct http_response *response, struct err *e)
{
    static const char *const formats[] = {"json", "csv", "svg", NULL};
    static const char *const types[] = {"application/json", "text/csv", "image/svg+xml", NULL};
    struct store_job row = {0};
    struct store_confusion confusion = {0};
    struct api_labels labels = {0};
    enum report_normalize normalize;
    int epoch = 0, format;
    bool ok = api_report_job(app, request, &row, e) &&
              api_query_int(request, "epoch", 1, CNN_EPOCHS_MAX, &epoch, e) &&
              query_normalize(request, &normalize, e) &&
              api_query_format(request, formats, types, &format, e) &&
              store_job_confusion(app->store, row.id, epoch, &confusion, e) &&
              api_labels_read(app->store, row.id, &labels, e);
    if (ok && labels.count != confusion.classes)
        ok = err_set(e, ERR_INTERNAL, "job has %d labels for %d classes", labels.count,
                     confusion.classes);
    if (ok)
        respond_confusion(&row, &confusion, &labels, normalize, format, response);
    api_labels_clear(&labels);
    free(confusion.confusion);
    store_job_clear(&row);
    return ok;
}

/* ---- samples ---- */

/* "/datasets/D/samples/test/17?version=1" of the sample at this place of what was evaluated. */
static void write_link(struct json_writer *w, const struct store_job *row, const char *split,
                       uint32_t sample)
{
    /* Held-out samples belong to the training split. */
    bool test = strcmp(split, "test") == 0;
    char link[160];
    snprintf(link, sizeof link, "/datasets/%s/samples/%s/%u?version=%d", row->dataset,
             dataset_split_name(test ? SPLIT_TEST : SPLIT_TRAIN), sample, row->dataset_version);
    jw_key_string(w, "link", link);
}

static void write_cell(struct json_writer *w, const struct store_job *row,
                       const struct store_cell *cell, const struct api_labels *labels)
{
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)row->id);
    jw_object(w);
    jw_key_string(w, "job", id);
    jw_key_int(w, "epoch", cell->epoch);
    jw_key_string(w, "split", cell->split);
    jw_key_string(w, "actual", labels->texts[cell->actual]);
    jw_key_string(w, "predicted", labels->texts[cell->predicted]);
    jw_key_int(w, "total", cell->total);
    jw_key_int(w, "offset", cell->offset);
    jw_key(w, "samples");
    jw_array(w);
    for (uint32_t i = 0; i < cell->count; i++) {
        jw_object(w);
        jw_key_int(w, "sample", cell->samples[i]);
        write_link(w, row, cell->split, cell->samples[i]);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_object_end(w);
}

/* Both classes must be given. */
static bool query_cell(const struct http_request *request, const struct api_labels *labels,
                       struct store_cell *cell, struct err *e)
{
    if (!api_labels_query(request, "actual", labels, &cell->actual, e) ||
        !api_labels_query(request, "predicted", labels, &cell->predicted, e) ||
        !api_query_int(request, "offset", 0, INT32_MAX, &cell->offset, e) ||
        !api_query_int(request, "limit", 0, LIMIT_SAMPLES_LISTED, &cell->limit, e))
        return false;
    if (cell->actual < 0)
        return err_field(e, ERR_INVALID, "actual", "missing 'actual', the cell's row");
    return cell->predicted >= 0 ||
           err_field(e, ERR_INVALID, "predicted", "missing 'predicted', the cell's column");
}

bool api_jobs_confusion_samples(struct app *app, const struct http_request *request,
                                struct http_response *response, struct err *e)
{
    struct store_job row = {0};
    struct store_cell cell = {.limit = SAMPLES_DEFAULT};
    struct api_labels labels = {0};
    int epoch = 0;
    bool ok = api_report_job(app, request, &row, e) &&
              api_query_int(request, "epoch", 1, CNN_EPOCHS_MAX, &epoch, e) &&
              api_labels_read(app->store, row.id, &labels, e);
    if (ok && labels.count == 0)
        ok = err_set(e, ERR_NOT_FOUND, "job %lld has no confusion matrix", (long long)row.id);
    ok = ok && query_cell(request, &labels, &cell, e) &&
         store_job_cell(app->store, row.id, epoch, &cell, e);
    if (ok) {
        struct json_writer w;
        jw_begin(&w, &response->body);
        write_cell(&w, &row, &cell, &labels);
        buf_str(&response->body, "\n");
    }
    free(cell.samples);
    api_labels_clear(&labels);
    store_job_clear(&row);
    return ok;
}
