/* Jobs side by side: where their settings differ, and their curves. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "api_query.h"
#include "job_compare.h"
#include "job_view.h"
#include "limits.h"

struct compared {
    struct jobs_look look;
    struct report_epoch *epochs; /* in order */
    int count, at;               /* at: the next one to be written */
};

struct comparison {
    struct compared jobs[LIMIT_JOBS_COMPARED];
    int count;
    int every; /* of so many epochs one is shown, and each job's last */
};

static void comparison_clear(struct comparison *comparison)
{
    for (int i = 0; i < comparison->count; i++) {
        store_job_clear(&comparison->jobs[i].look.row);
        free(comparison->jobs[i].epochs);
    }
}

/* ---- which ---- */

static bool parse_ids(const char *text, int64_t ids[LIMIT_JOBS_COMPARED], int *count, struct err *e)
{
    const char *at = text;
    for (*count = 0; *count < LIMIT_JOBS_COMPARED; at++) {
        char *end;
        long long id = strtoll(at, &end, 10);
        if (*at < '1' || *at > '9' || (*end != ',' && *end != '\0') || id == INT64_MAX)
            break;
        for (int i = 0; i < *count; i++)
            if (ids[i] == id)
                return err_field(e, ERR_INVALID, "ids", "job %lld is named twice", id);
        ids[(*count)++] = id;
        if (*end == '\0' && *count >= 2)
            return true;
        if (*end == '\0')
            break;
        at = end;
    }
    return err_field(e, ERR_INVALID, "ids", "expected 2 to %d jobs' numbers like 3,4, got '%.40s'",
                     LIMIT_JOBS_COMPARED, text);
}

static bool read_jobs(struct app *app, const struct http_request *request,
                      struct comparison *comparison, struct err *e)
{
    int64_t ids[LIMIT_JOBS_COMPARED];
    int count;
    const char *text = http_query(request, "ids");
    if (!text)
        return err_field(e, ERR_INVALID, "ids", "missing 'ids'");
    if (!parse_ids(text, ids, &count, e))
        return false;
    for (; comparison->count < count; comparison->count++)
        if (!jobs_get(app->jobs, ids[comparison->count], &comparison->jobs[comparison->count].look,
                      e))
            return false;
    return true;
}

static bool read_curves(struct app *app, struct comparison *comparison, struct err *e)
{
    int longest = 1;
    for (int i = 0; i < comparison->count; i++)
        if (comparison->jobs[i].look.row.epoch > longest)
            longest = comparison->jobs[i].look.row.epoch;
    comparison->every = (longest - 1) / LIMIT_CURVE_EPOCHS + 1;
    for (int i = 0; i < comparison->count; i++) {
        struct compared *job = &comparison->jobs[i];
        if (!store_job_epochs(app->store, job->look.row.id, 0, comparison->every, &job->epochs,
                              &job->count, e)) {
            job->epochs = NULL;
            return false;
        }
    }
    return true;
}

/* ---- curves, epoch by epoch ---- */

/* The first epoch not yet written that any job has; 0 = none. */
static int next_epoch(const struct comparison *comparison)
{
    int next = 0;
    for (int i = 0; i < comparison->count; i++) {
        const struct compared *job = &comparison->jobs[i];
        if (job->at < job->count && (next == 0 || job->epochs[job->at].epoch < next))
            next = job->epochs[job->at].epoch;
    }
    return next;
}

/* A job's figures of this epoch, without them NULL; steps past them. */
static const struct report_epoch *take_epoch(struct compared *job, int epoch)
{
    bool has = job->at < job->count && job->epochs[job->at].epoch == epoch;
    return has ? &job->epochs[job->at++] : NULL;
}

enum { FIGURES = 4 };
static const char *const figure_names[FIGURES] = {"loss", "accuracy", "val_loss", "val_accuracy"};

static double figure(const struct report_epoch *epoch, int index)
{
    if (!epoch)
        return (double)NAN;
    const double figures[FIGURES] = {epoch->loss, epoch->accuracy, epoch->val_loss,
                                     epoch->val_accuracy};
    return figures[index];
}

static void write_epoch(struct json_writer *w, struct comparison *comparison, int epoch)
{
    const struct report_epoch *of[LIMIT_JOBS_COMPARED];
    for (int i = 0; i < comparison->count; i++)
        of[i] = take_epoch(&comparison->jobs[i], epoch);
    jw_object(w);
    jw_key_int(w, "epoch", epoch);
    for (int f = 0; f < FIGURES; f++) {
        jw_key(w, figure_names[f]);
        jw_array(w);
        for (int i = 0; i < comparison->count; i++)
            jw_double(w, figure(of[i], f));
        jw_array_end(w);
    }
    jw_object_end(w);
}

static bool write_json(struct buf *out, struct comparison *comparison, struct err *e)
{
    const char *requests[LIMIT_JOBS_COMPARED];
    struct json_writer w;
    jw_begin(&w, out);
    jw_object(&w);
    jw_key(&w, "settings");
    for (int i = 0; i < comparison->count; i++)
        requests[i] = comparison->jobs[i].look.row.request;
    if (!job_compare_write(&w, requests, comparison->count, e))
        return false;
    jw_key(&w, "jobs");
    jw_array(&w);
    for (int i = 0; i < comparison->count; i++) {
        struct jobs_look *look = &comparison->jobs[i].look;
        store_job_clear(&look->row); /* of its request: the settings tell what matters of it */
        job_view_write(&w, &look->row, &look->live, look->queue_position);
    }
    jw_array_end(&w);
    jw_key_int(&w, "every", comparison->every);
    jw_key(&w, "epochs");
    jw_array(&w);
    for (int epoch; (epoch = next_epoch(comparison));)
        write_epoch(&w, comparison, epoch);
    jw_array_end(&w);
    jw_object_end(&w);
    buf_str(out, "\n");
    return true;
}

/* epoch,loss_1,accuracy_1,val_loss_1,val_accuracy_1,loss_2,...: by jobs' numbers. */
static void write_csv(struct buf *out, struct comparison *comparison)
{
    buf_str(out, "epoch");
    for (int i = 0; i < comparison->count; i++)
        for (int f = 0; f < FIGURES; f++)
            buf_fmt(out, ",%s_%lld", figure_names[f], (long long)comparison->jobs[i].look.row.id);
    buf_str(out, "\n");
    for (int epoch; (epoch = next_epoch(comparison));) {
        buf_fmt(out, "%d", epoch);
        for (int i = 0; i < comparison->count; i++) {
            const struct report_epoch *of = take_epoch(&comparison->jobs[i], epoch);
            for (int f = 0; f < FIGURES; f++) {
                buf_str(out, ",");
                report_csv_number(out, figure(of, f));
            }
        }
        buf_str(out, "\n");
    }
}

bool api_jobs_compare(struct app *app, const struct http_request *request,
                      struct http_response *response, struct err *e)
{
    static const char *const formats[] = {"json", "csv", NULL};
    static const char *const types[] = {"application/json", "text/csv", NULL};
    struct comparison comparison = {.count = 0};
    int format;
    bool ok = api_query_format(request, formats, types, &format, e) &&
              read_jobs(app, request, &comparison, e) && read_curves(app, &comparison, e);
    if (ok && format == 1) {
        response->content_type = "text/csv; charset=utf-8";
        write_csv(&response->body, &comparison);
    } else if (ok) {
        ok = write_json(&response->body, &comparison, e);
    }
    comparison_clear(&comparison);
    return ok;
}
