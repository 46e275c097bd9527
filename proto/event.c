#include "event.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* Decimal digits up to `end`, without sign or zeros in front. */
static bool take_number(const char *text, char end, long long high, long long *value,
                        const char **rest)
{
    char *at;
    if (text[0] < '0' || text[0] > '9' || (text[0] == '0' && text[1] != end))
        return false;
    errno = 0;
    *value = strtoll(text, &at, 10);
    *rest = at;
    return *at == end && errno == 0 && *value <= high;
}

bool event_id_parse(const char *text, struct event_id *id)
{
    long long number, batch = 0;
    const char *rest;
    if (!take_number(text, '\0', LLONG_MAX, &number, &rest) &&
        !(take_number(text, '.', LLONG_MAX, &number, &rest) &&
          take_number(rest + 1, '\0', INT_MAX, &batch, &rest)))
        return false;
    *id = (struct event_id){number, (int)batch};
    return true;
}

void event_id_text(struct event_id id, char text[EVENT_ID_BYTES])
{
    if (id.batch)
        snprintf(text, EVENT_ID_BYTES, "%lld.%d", (long long)id.number, id.batch);
    else
        snprintf(text, EVENT_ID_BYTES, "%lld", (long long)id.number);
}

/* Up to the document's first member, which is the job. */
static void begin(struct json_writer *w, struct buf *out, const char *name, struct event_id id,
                  int64_t job)
{
    char text[EVENT_ID_BYTES];
    event_id_text(id, text);
    buf_fmt(out, "event: %s\nid: %s\ndata: ", name, text);
    jw_begin(w, out);
    jw_object(w);
    event_id_text((struct event_id){job, 0}, text);
    jw_key_string(w, "job", text);
}

static void end(struct json_writer *w)
{
    jw_object_end(w);
    buf_str(w->out, "\n\n");
}

void event_write_state(struct buf *out, const struct event_state *event)
{
    struct json_writer w;
    begin(&w, out, "state", event->id, event->job);
    jw_key_string(&w, "state", event->state);
    jw_key_string(&w, "time", event->time);
    jw_key_string(&w, "model", event->model);
    jw_key_int(&w, "epochs", event->epochs);
    jw_key_string(&w, "error", event->error);
    jw_key(&w, "model_version");
    if (event->model_version > 0)
        jw_int(&w, event->model_version);
    else
        jw_null(&w);
    jw_key_double(&w, "test_loss", event->test_loss);
    jw_key_double(&w, "test_accuracy", event->test_accuracy);
    end(&w);
}

void event_write_epoch(struct buf *out, const struct event_epoch *event)
{
    struct json_writer w;
    begin(&w, out, "epoch", event->id, event->job);
    jw_key_int(&w, "epoch", event->figures.epoch);
    jw_key_int(&w, "epochs", event->epochs);
    jw_key_double(&w, "loss", event->figures.loss);
    jw_key_double(&w, "accuracy", event->figures.accuracy);
    jw_key_double(&w, "val_loss", event->figures.val_loss);
    jw_key_double(&w, "val_accuracy", event->figures.val_accuracy);
    jw_key_double(&w, "seconds", event->figures.seconds);
    jw_key_string(&w, "time", event->time);
    end(&w);
}

void event_write_batch(struct buf *out, int64_t job, struct event_id id,
                       const struct event_batch *batch)
{
    struct json_writer w;
    begin(&w, out, "batch", id, job);
    jw_key_int(&w, "epoch", batch->epoch);
    jw_key_int(&w, "epochs", batch->epochs);
    jw_key_int(&w, "batch", batch->batch);
    jw_key_int(&w, "batches", batch->batches);
    jw_key_double(&w, "loss", batch->loss);
    jw_key_double(&w, "accuracy", batch->accuracy);
    jw_key_double(&w, "batch_loss", batch->batch_loss);
    jw_key_double(&w, "lr", batch->lr);
    jw_key_double(&w, "samples_per_second", batch->samples_per_second);
    jw_key_double(&w, "eta_seconds", batch->eta_seconds);
    end(&w);
}
