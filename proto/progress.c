/* DESIGN: one table says which members each message has, so that what is written is what is read.
 * Matrices, samples and scores travel as text inside one JSON string ("3 0 1 ..."): a confusion
 * matrix may have a million cells, which would make a million nodes of a tree. */
#include "progress.h"

#include <cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_read.h"
#include "json_write.h"
#include "limits.h"
#include "memory.h"

static const char *const type_names[] = {
    [PROGRESS_START] = "start", [PROGRESS_BATCH] = "batch", [PROGRESS_EPOCH] = "epoch",
    [PROGRESS_DONE] = "done",   [PROGRESS_FAIL] = "fail",   [PROGRESS_STOPPED] = "stopped",
};
enum { TYPE_COUNT = sizeof type_names / sizeof *type_names };

enum kind { INT, UINT64, DOUBLE, BOOL, TEXT, PROSE, CODE }; /* PROSE: text that may be cut */

struct field {
    const char *key;
    enum kind kind;
    size_t offset, size;
    unsigned types; /* bits of progress_type */
};

#define START (1u << PROGRESS_START)
#define BATCH (1u << PROGRESS_BATCH)
#define EPOCH (1u << PROGRESS_EPOCH)
#define DONE (1u << PROGRESS_DONE)
#define FAIL (1u << PROGRESS_FAIL)
#define STOPPED (1u << PROGRESS_STOPPED)
#define FIELD(key, kind, member, types)                                                       \
    {                                                                                         \
        key, kind, offsetof(struct progress, member), sizeof(((struct progress *)0)->member), \
            types                                                                             \
    }

static const struct field fields[] = {
    FIELD("parameters", UINT64, parameters, START),
    FIELD("threads", INT, threads, START),
    FIELD("cpu", TEXT, cpu, START),
    FIELD("resumed", BOOL, resumed, START),
    FIELD("resumed_cpu", TEXT, resumed_cpu, START),
    FIELD("epoch", INT, epoch, START | BATCH | EPOCH | STOPPED),
    FIELD("batch", INT, batch, START | BATCH | EPOCH | STOPPED),
    FIELD("batches", INT, batches, START | BATCH | EPOCH),
    FIELD("loss", DOUBLE, loss, BATCH | EPOCH),
    FIELD("accuracy", DOUBLE, accuracy, BATCH | EPOCH),
    FIELD("batch_loss", DOUBLE, batch_loss, BATCH | EPOCH),
    FIELD("lr", DOUBLE, lr, BATCH | EPOCH),
    FIELD("samples_per_second", DOUBLE, samples_per_second, BATCH | EPOCH),
    FIELD("seconds", DOUBLE, seconds, EPOCH),
    FIELD("best", BOOL, best, EPOCH),
    FIELD("split", TEXT, split, EPOCH | DONE),
    FIELD("best_epoch", INT, best_epoch, DONE),
    FIELD("stopped_early", BOOL, stopped_early, DONE),
    FIELD("weights_sha256", TEXT, weights_sha256, DONE),
    FIELD("code", CODE, error.code, FAIL),
    FIELD("field", PROSE, error.field, FAIL),
    FIELD("detail", PROSE, error.detail, FAIL),
};
enum { FIELD_COUNT = sizeof fields / sizeof *fields };

void progress_clear(struct progress *progress)
{
    cnn_eval_clear(&progress->val);
    *progress = (struct progress){0};
}

static void write_field(struct json_writer *w, const struct field *field, const char *at)
{
    jw_key(w, field->key);
    switch (field->kind) {
    case INT:
        jw_int(w, *(const int *)at);
        break;
    case UINT64:
        jw_int(w, (int64_t) * (const uint64_t *)at);
        break;
    case DOUBLE:
        jw_double(w, *(const double *)at);
        break;
    case BOOL:
        jw_bool(w, *(const bool *)at);
        break;
    case TEXT:
    case PROSE:
        jw_string(w, at);
        break;
    case CODE:
        jw_int(w, *(const enum err_code *)at);
        break;
    }
}

static void write_eval(struct json_writer *w, const struct cnn_eval *eval)
{
    struct buf numbers = {0};
    size_t cells = (size_t)eval->classes * (size_t)eval->classes;
    uint32_t samples = eval->samples && eval->count <= CNN_CELL_SAMPLES_MAX ? eval->count : 0;
    jw_key(w, "val");
    jw_object(w);
    jw_key_double(w, "loss", eval->loss);
    jw_key_double(w, "accuracy", eval->accuracy);
    jw_key_int(w, "count", eval->count);
    jw_key_int(w, "classes", eval->classes);
    for (size_t i = 0; i < cells; i++)
        buf_fmt(&numbers, "%u ", eval->confusion[i]);
    jw_key_string(w, "confusion", buf_text(&numbers));
    numbers.size = 0;
    for (uint32_t i = 0; i < samples; i++)
        buf_fmt(&numbers, "%u ", eval->samples[i]);
    jw_key_string(w, "samples", buf_text(&numbers));
    jw_key_int(w, "failure_count", eval->failure_count);
    numbers.size = 0;
    for (int i = 0; i < eval->failure_count; i++) {
        const struct cnn_failure *failure = &eval->failures[i];
        const float *scores = eval->failure_scores + (size_t)i * (size_t)eval->classes;
        buf_fmt(&numbers, "%u %u %u %.9g ", failure->sample, failure->actual, failure->predicted,
                (double)failure->score);
        for (int k = 0; k < eval->classes; k++)
            buf_fmt(&numbers, "%.9g ", (double)scores[k]);
    }
    jw_key_string(w, "failures", buf_text(&numbers));
    jw_object_end(w);
    if (!buf_ok(&numbers))
        w->out->failed = true;
    buf_clear(&numbers);
}

void progress_write(struct buf *out, const struct progress *progress)
{
    struct json_writer w;
    jw_begin(&w, out);
    jw_object(&w);
    jw_key_string(&w, "type", type_names[progress->type]);
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (fields[i].types & (1u << progress->type))
            write_field(&w, &fields[i], (const char *)progress + fields[i].offset);
    if (progress->has_val)
        write_eval(&w, &progress->val);
    jw_object_end(&w);
    buf_str(out, "\n");
}

static bool missing(const char *key, struct err *e)
{
    return err_field(e, ERR_INVALID, key, "missing '%s'", key);
}

static bool read_int(const cJSON *json, const char *key, int64_t low, int64_t high, int64_t *value,
                     struct err *e)
{
    return json_get(json, key) ? json_get_int(json, key, low, high, value, e) : missing(key, e);
}

/* Null is what the writer makes of a number that is not finite. */
static bool read_double(const cJSON *json, const char *key, double *value, struct err *e)
{
    const cJSON *member = json_get(json, key);
    if (!member)
        return missing(key, e);
    *value = NAN;
    return cJSON_IsNull(member) || json_get_double(json, key, -INFINITY, INFINITY, value, e);
}

static bool read_text(const cJSON *json, const struct field *field, char *out, struct err *e)
{
    const char *text = NULL;
    if (!json_get_string(json, field->key, &text, e))
        return false;
    if (!text)
        return missing(field->key, e);
    size_t size = strlen(text);
    if (size >= field->size && field->kind != PROSE)
        return err_field(e, ERR_INVALID, field->key, "%zu bytes exceed %zu", size, field->size - 1);
    snprintf(out, field->size, "%s", text);
    return true;
}

static bool read_field(const cJSON *json, const struct field *field, char *at, struct err *e)
{
    int64_t number = 0;
    switch (field->kind) {
    case INT:
        if (!read_int(json, field->key, 0, INT32_MAX, &number, e))
            return false;
        *(int *)at = (int)number;
        return true;
    case UINT64:
        if (!read_int(json, field->key, 0, (int64_t)1 << 53, &number, e))
            return false;
        *(uint64_t *)at = (uint64_t)number;
        return true;
    case DOUBLE:
        return read_double(json, field->key, (double *)at, e);
    case BOOL:
        return json_get(json, field->key) ? json_get_bool(json, field->key, (bool *)at, e)
                                          : missing(field->key, e);
    case TEXT:
    case PROSE:
        return read_text(json, field, at, e);
    case CODE:
        if (!read_int(json, field->key, ERR_INVALID, ERR_CODE_COUNT - 1, &number, e))
            return false;
        *(enum err_code *)at = (enum err_code)number;
        return true;
    }
    return false;
}

/* The next number of a row of them, each followed by one blank. */
static bool take_uint(const char **text, uint64_t high, uint64_t *value)
{
    char *end;
    if (**text < '0' || **text > '9')
        return false;
    errno = 0;
    *value = strtoull(*text, &end, 10);
    if (errno || *value > high || *end != ' ')
        return false;
    *text = end + 1;
    return true;
}

static bool take_float(const char **text, float *value)
{
    char *end;
    *value = strtof(*text, &end);
    if (end == *text || *end != ' ')
        return false;
    *text = end + 1;
    return true;
}

static bool read_confusion(const char *text, struct cnn_eval *eval, struct err *e)
{
    size_t cells = (size_t)eval->classes * (size_t)eval->classes;
    uint64_t count = 0;
    eval->confusion = memory_new(cells, sizeof *eval->confusion, e);
    if (!eval->confusion)
        return false;
    for (size_t i = 0; i < cells; i++) {
        uint64_t cell;
        if (!take_uint(&text, UINT32_MAX, &cell))
            return err_field(e, ERR_INVALID, "confusion", "broken count %zu of %zu", i, cells);
        eval->confusion[i] = (uint32_t)cell;
        count += cell;
    }
    if (*text || count != eval->count)
        return err_field(e, ERR_INVALID, "confusion", "counts do not sum to %u", eval->count);
    return true;
}

/* An empty text where there are too many. */
static bool read_samples(const char *text, struct cnn_eval *eval, struct err *e)
{
    if (!*text)
        return true;
    if (eval->count > CNN_CELL_SAMPLES_MAX)
        return err_field(e, ERR_INVALID, "samples", "more than %d samples", CNN_CELL_SAMPLES_MAX);
    eval->samples = memory_new(eval->count, sizeof *eval->samples, e);
    if (!eval->samples)
        return false;
    for (uint32_t i = 0; i < eval->count; i++) {
        uint64_t sample;
        if (!take_uint(&text, UINT32_MAX, &sample))
            return err_field(e, ERR_INVALID, "samples", "broken sample %u of %u", i, eval->count);
        eval->samples[i] = (uint32_t)sample;
    }
    return *text == '\0' ||
           err_field(e, ERR_INVALID, "samples", "more than %u samples", eval->count);
}

static bool take_failure(const char **text, const struct cnn_eval *eval, int i)
{
    struct cnn_failure *failure = &eval->failures[i];
    float *scores = eval->failure_scores + (size_t)i * (size_t)eval->classes;
    uint64_t sample, actual, predicted, class_max = (uint64_t)eval->classes - 1;
    if (!take_uint(text, UINT32_MAX, &sample) || !take_uint(text, class_max, &actual) ||
        !take_uint(text, class_max, &predicted) || !take_float(text, &failure->score))
        return false;
    failure->sample = (uint32_t)sample;
    failure->actual = (uint16_t)actual;
    failure->predicted = (uint16_t)predicted;
    for (int k = 0; k < eval->classes; k++)
        if (!take_float(text, &scores[k]))
            return false;
    return true;
}

static bool read_failures(const char *text, int count, struct cnn_eval *eval, struct err *e)
{
    size_t n = (size_t)count;
    eval->failures = memory_new(n, sizeof *eval->failures, e);
    eval->failure_scores = memory_new(n * (size_t)eval->classes, sizeof(float), e);
    if (!eval->failures || !eval->failure_scores)
        return false;
    for (int i = 0; i < count; i++)
        if (!take_failure(&text, eval, i))
            return err_field(e, ERR_INVALID, "failures", "broken failure %d of %d", i, count);
    eval->failure_count = count;
    return *text == '\0' || err_field(e, ERR_INVALID, "failures", "more than %d failures", count);
}

static bool read_eval(const cJSON *json, struct cnn_eval *eval, struct err *e)
{
    static const char *const keys[] = {"loss",          "accuracy",  "count",
                                       "classes",       "confusion", "samples",
                                       "failure_count", "failures",  NULL};
    const char *confusion = NULL, *samples = NULL, *failures = NULL;
    int64_t count, classes, failure_count;
    if (!json_is_object(json, "", e) || !json_only(json, keys, e) ||
        !read_double(json, "loss", &eval->loss, e) ||
        !read_double(json, "accuracy", &eval->accuracy, e) ||
        !read_int(json, "count", 0, CNN_SAMPLES_MAX, &count, e) ||
        !read_int(json, "classes", 1, CNN_CLASSES_MAX, &classes, e) ||
        !read_int(json, "failure_count", 0, CNN_FAILURES_MAX, &failure_count, e) ||
        !json_get_string(json, "confusion", &confusion, e) ||
        !json_get_string(json, "samples", &samples, e) ||
        !json_get_string(json, "failures", &failures, e))
        return false;
    if (!confusion || !samples || !failures)
        return missing(!confusion ? "confusion" : !samples ? "samples" : "failures", e);
    eval->count = (uint32_t)count;
    eval->classes = (int)classes;
    return read_confusion(confusion, eval, e) && read_samples(samples, eval, e) &&
           read_failures(failures, (int)failure_count, eval, e);
}

static bool known_only(const cJSON *json, enum progress_type type, struct err *e)
{
    const char *keys[FIELD_COUNT + 3] = {"type"};
    size_t count = 1;
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (fields[i].types & (1u << type))
            keys[count++] = fields[i].key;
    if ((EPOCH | DONE) & (1u << type))
        keys[count++] = "val";
    return json_only(json, keys, e);
}

static bool message_parse(const cJSON *json, struct progress *progress, struct err *e)
{
    int type = -1;
    if (!json_is_object(json, "", e) ||
        !json_get_choice(json, "type", type_names, TYPE_COUNT, &type, e))
        return false;
    if (type < 0)
        return missing("type", e);
    progress->type = (enum progress_type)type;
    if (!known_only(json, progress->type, e))
        return false;
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if ((fields[i].types & (1u << type)) &&
            !read_field(json, &fields[i], (char *)progress + fields[i].offset, e))
            return false;
    const cJSON *val = json_get(json, "val");
    progress->has_val = val != NULL;
    return !val || read_eval(val, &progress->val, e) || err_within(e, "val");
}

bool progress_parse(const char *line, size_t size, struct progress *progress, struct err *e)
{
    *progress = (struct progress){0};
    cJSON *json = json_parse(line, size, e);
    if (!json)
        return false;
    bool ok = message_parse(json, progress, e);
    json_free(json);
    if (!ok)
        progress_clear(progress);
    return ok;
}
