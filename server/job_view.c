#include "job_view.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void key_text_or_null(struct json_writer *w, const char *key, const char *text)
{
    jw_key_string(w, key, text[0] ? text : NULL);
}

static void key_count_or_null(struct json_writer *w, const char *key, int64_t value)
{
    jw_key(w, key);
    if (value > 0)
        jw_int(w, value);
    else
        jw_null(w);
}

static void write_figures(struct json_writer *w, const struct store_job *row,
                          const struct jobs_live *live)
{
    bool fresh = live && live->batch > 0;
    jw_key_int(w, "epoch", live ? live->epoch : row->epoch);
    jw_key_int(w, "epochs", row->epochs);
    jw_key_int(w, "batch", live ? live->batch : 0);
    jw_key_int(w, "batches", live ? live->batches : 0);
    jw_key_double(w, "loss", fresh ? live->loss : row->loss);
    jw_key_double(w, "accuracy", fresh ? live->accuracy : row->accuracy);
    jw_key_double(w, "val_loss", row->val_loss);
    jw_key_double(w, "val_accuracy", row->val_accuracy);
    jw_key_double(w, "test_loss", row->test_loss);
    jw_key_double(w, "test_accuracy", row->test_accuracy);
    key_count_or_null(w, "best_epoch", row->best_epoch);
    jw_key_double(w, "samples_per_second", fresh ? live->samples_per_second : (double)NAN);
    jw_key_double(w, "eta_seconds", fresh ? live->eta_seconds : (double)NAN);
    jw_key_double(w, "early_stop_eta_seconds", fresh ? live->early_stop_eta_seconds : (double)NAN);
}

static void write_attempts(struct json_writer *w, const struct store_job *row)
{
    jw_key_int(w, "attempts", row->attempts);
    jw_key_int(w, "crashes", row->crashes);
    jw_key_int(w, "interruptions", row->interruptions);
    key_text_or_null(w, "last_crash", row->last_crash);
    jw_key(w, "resumed_from");
    if (row->resumed_epoch == 0) {
        jw_null(w);
        return;
    }
    jw_object(w);
    jw_key_int(w, "epoch", row->resumed_epoch);
    jw_key_int(w, "batch", row->resumed_batch);
    jw_object_end(w);
}

static void write_links(struct json_writer *w, const struct store_job *row)
{
    static const char *const names[] = {"events",   "loss",   "confusion",
                                        "failures", "cancel", "resume"};
    char path[192];
    int used = snprintf(path, sizeof path, "/jobs/%lld", (long long)row->id);
    jw_key(w, "links");
    jw_object(w);
    jw_key_string(w, "self", path);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path + used, sizeof path - (size_t)used, "/%s", names[i]);
        jw_key_string(w, names[i], path);
    }
    snprintf(path, sizeof path, "/datasets/%s", row->dataset);
    jw_key_string(w, "dataset", path);
    snprintf(path, sizeof path, "/models/%s", row->model);
    jw_key_string(w, "model", row->model_version ? path : NULL);
    jw_object_end(w);
}

void job_view_write(struct json_writer *w, const struct store_job *row,
                    const struct jobs_live *live, int queue_position)
{
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)row->id);
    jw_object(w);
    jw_key_string(w, "id", id);
    jw_key_string(w, "state", job_state_name(row->state));
    jw_key_string(w, "model", row->model);
    key_count_or_null(w, "model_version", row->model_version);
    jw_key_string(w, "dataset", row->dataset);
    jw_key_int(w, "dataset_version", row->dataset_version);
    jw_key_int(w, "priority", row->priority);
    key_count_or_null(w, "queue_position", queue_position);
    write_figures(w, row, live && live->id == row->id ? live : NULL);
    jw_key_int(w, "threads", row->threads);
    key_text_or_null(w, "cpu", row->cpu);
    key_count_or_null(w, "parameters", (int64_t)row->parameters);
    key_text_or_null(w, "weights_sha256", row->weights_sha256);
    key_text_or_null(w, "error", row->error);
    write_attempts(w, row);
    snprintf(id, sizeof id, "%lld", (long long)row->last_event);
    jw_key_string(w, "last_event_id", id);
    jw_key_string(w, "created", row->created);
    key_text_or_null(w, "started", row->started);
    key_text_or_null(w, "finished", row->finished);
    if (row->request) {
        jw_key(w, "request");
        jw_raw(w, row->request, strlen(row->request));
    }
    write_links(w, row);
    jw_object_end(w);
}
