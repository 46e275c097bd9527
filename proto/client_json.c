#include "client_json.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_read.h"

enum { EVENT_BYTES_MAX = 64 << 10 };

/* ---- members ---- */

static void text_of(const cJSON *object, const char *key, char *out, size_t size)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
    snprintf(out, size, "%s", text ? text : "");
}

static double number_of(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : (double)NAN;
}

static int count_of(const cJSON *object, const char *key)
{
    const double number = number_of(object, key);
    return number >= 0 && number <= INT32_MAX ? (int)number : 0;
}

/* ---- jobs ---- */

static void read_job(const cJSON *object, struct client_job *job)
{
    *job = (struct client_job){
        .model_version = count_of(object, "model_version"),
        .dataset_version = count_of(object, "dataset_version"),
        .epoch = count_of(object, "epoch"),
        .epochs = count_of(object, "epochs"),
        .loss = number_of(object, "loss"),
        .accuracy = number_of(object, "accuracy"),
        .val_loss = number_of(object, "val_loss"),
        .val_accuracy = number_of(object, "val_accuracy"),
        .test_loss = number_of(object, "test_loss"),
        .test_accuracy = number_of(object, "test_accuracy"),
    };
    text_of(object, "id", job->id, sizeof job->id);
    text_of(object, "state", job->state, sizeof job->state);
    text_of(object, "model", job->model, sizeof job->model);
    text_of(object, "dataset", job->dataset, sizeof job->dataset);
    text_of(object, "error", job->error, sizeof job->error);
    text_of(object, "created", job->created, sizeof job->created);
    text_of(object, "finished", job->finished, sizeof job->finished);
    text_of(object, "last_event_id", job->event, sizeof job->event);
}

bool client_job_read(const char *text, size_t size, struct client_job *job, struct err *e)
{
    cJSON *json = json_parse(text, size, e);
    bool ok = json && json_is_object(json, "job", e);
    if (ok)
        read_job(json, job);
    json_free(json);
    return ok;
}

bool client_jobs_read(const char *text, size_t size, struct client_job **jobs, int *count,
                      struct err *e)
{
    cJSON *json = json_parse(text, size, e);
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "jobs"), *item;
    bool ok = json != NULL;
    if (ok && !cJSON_IsArray(list))
        ok = err_set(e, ERR_INVALID, "answer has no list of jobs");
    *jobs = ok ? calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof **jobs) : NULL;
    *count = 0;
    if (ok && !*jobs)
        ok = err_no_memory(e);
    if (ok)
        cJSON_ArrayForEach(item, list) read_job(item, &(*jobs)[(*count)++]);
    json_free(json);
    return ok;
}

bool client_problem_read(const char *text, size_t size, char detail[512], char field[128])
{
    struct err unused;
    cJSON *json = json_parse(text, size, &unused);
    text_of(json, "detail", detail, 512);
    text_of(json, "field", field, 128);
    json_free(json);
    return detail[0] != '\0';
}

/* ---- predictions ---- */

static bool read_predictions(const cJSON *list, struct client_predictions *p, struct err *e)
{
    const cJSON *sample, *class;
    p->count = cJSON_GetArraySize(list);
    p->top = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(list->child, "top"));
    p->classes = calloc((size_t)p->count * (size_t)p->top + 1, sizeof *p->classes);
    if (!p->classes)
        return err_no_memory(e);
    struct client_class *out = p->classes;
    cJSON_ArrayForEach(sample, list)
    {
        const cJSON *top = cJSON_GetObjectItemCaseSensitive(sample, "top");
        if (cJSON_GetArraySize(top) != p->top)
            return err_set(e, ERR_INVALID, "answer names %d classes of one sample, %d of another",
                           p->top, cJSON_GetArraySize(top));
        cJSON_ArrayForEach(class, top)
        {
            text_of(class, "label", out->label, sizeof out->label);
            out->score = number_of(class, "score");
            out++;
        }
    }
    return true;
}

bool client_predictions_read(const char *text, size_t size, struct client_predictions *predictions,
                             struct err *e)
{
    *predictions = (struct client_predictions){.count = 0};
    cJSON *json = json_parse(text, size, e);
    if (!json)
        return false;
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "predictions");
    bool ok = cJSON_GetArraySize(list) > 0 ? read_predictions(list, predictions, e)
                                           : err_set(e, ERR_INVALID, "answer has no predictions");
    json_free(json);
    return ok;
}

/* ---- events ---- */

static enum client_event_type type_of(const char *name)
{
    static const char *const names[] = {"state", "epoch", "batch"};
    for (int i = 0; i < CLIENT_OTHER; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum client_event_type)i;
    return CLIENT_OTHER;
}

static void read_event(const cJSON *object, struct client_event *event)
{
    text_of(object, "state", event->state, sizeof event->state);
    text_of(object, "error", event->error, sizeof event->error);
    event->model_version = count_of(object, "model_version");
    event->epoch = count_of(object, "epoch");
    event->epochs = count_of(object, "epochs");
    event->batch = count_of(object, "batch");
    event->batches = count_of(object, "batches");
    event->loss = number_of(object, "loss");
    event->accuracy = number_of(object, "accuracy");
    event->val_loss = number_of(object, "val_loss");
    event->val_accuracy = number_of(object, "val_accuracy");
    event->test_loss = number_of(object, "test_loss");
    event->test_accuracy = number_of(object, "test_accuracy");
    event->seconds = number_of(object, "seconds");
    event->samples_per_second = number_of(object, "samples_per_second");
    event->eta_seconds = number_of(object, "eta_seconds");
}

/* An empty line: what was gathered is an event. */
static bool give_event(struct client_events *events, client_on_event *on_event, void *context,
                       struct err *e)
{
    if (events->data.size == 0)
        return true;
    struct client_event event = {.type = type_of(events->name)};
    memcpy(event.id, events->id, sizeof event.id);
    cJSON *json = json_parse(events->data.data, events->data.size, e);
    bool ok = json != NULL;
    if (ok) {
        read_event(json, &event);
        ok = on_event(context, &event);
    }
    json_free(json);
    events->data.size = 0;
    events->name[0] = '\0';
    return ok;
}

/* The value of a line "name: value"; NULL when it has another name. */
static const char *value_of(const char *line, const char *name)
{
    const size_t size = strlen(name);
    if (strncmp(line, name, size) != 0 || line[size] != ':')
        return NULL;
    return line + size + 1 + (line[size + 1] == ' ');
}

static void take_line(struct client_events *events, const char *line)
{
    const char *value;
    if ((value = value_of(line, "event")))
        snprintf(events->name, sizeof events->name, "%s", value);
    else if ((value = value_of(line, "id")))
        snprintf(events->id, sizeof events->id, "%s", value);
    else if ((value = value_of(line, "data")))
        buf_str(&events->data, value);
}

bool client_events_feed(struct client_events *events, const char *bytes, size_t size,
                        client_on_event *on_event, void *context, struct err *e)
{
    while (size > 0) {
        const char *end = memchr(bytes, '\n', size);
        const size_t n = end ? (size_t)(end - bytes) : size;
        buf_add(&events->line, bytes, n);
        if (events->line.size + events->data.size > EVENT_BYTES_MAX)
            return err_set(e, ERR_TOO_LARGE, "event is longer than %d bytes", EVENT_BYTES_MAX);
        if (!end)
            break;
        bytes += n + 1;
        size -= n + 1;
        const bool empty = events->line.size == 0;
        take_line(events, buf_text(&events->line));
        events->line.size = 0;
        if (empty && !give_event(events, on_event, context, e))
            return false;
    }
    return (buf_ok(&events->line) && buf_ok(&events->data)) || err_no_memory(e);
}

void client_events_clear(struct client_events *events)
{
    buf_clear(&events->line);
    buf_clear(&events->data);
    *events = (struct client_events){.name = ""};
}
