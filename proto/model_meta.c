#include "model_meta.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "json_read.h"
#include "labels_json.h"

#include <cjson/cJSON.h>

bool model_meta_set_labels(struct model_meta *meta, char *const *labels, int count, struct err *e)
{
    return labels_copy(&meta->labels, &meta->label_count, (const char *const *)labels, count, e);
}

bool model_meta_copy(struct model_meta *to, const struct model_meta *from, struct err *e)
{
    struct model_meta copy = *from;
    copy.labels = NULL;
    copy.label_count = 0;
    if (from->label_count > 0 && !model_meta_set_labels(&copy, from->labels, from->label_count, e))
        return false;
    *to = copy;
    return true;
}

void model_meta_clear(struct model_meta *meta)
{
    labels_free(meta->labels, meta->label_count);
    *meta = (struct model_meta){.test_loss = NAN, .test_accuracy = NAN};
}

const char *model_meta_key(enum model_meta_entry entry)
{
    static const char *const keys[META_ENTRY_COUNT] = {
        [META_LABELS] = "strided.labels",
        [META_PREPROCESS] = "strided.preprocess",
        [META_PROVENANCE] = "strided.provenance",
    };
    return keys[entry];
}

static void write_provenance(struct json_writer *w, const struct model_meta *meta)
{
    jw_object(w);
    jw_key_string(w, "job", meta->job);
    jw_key_string(w, "dataset", meta->dataset);
    jw_key_int(w, "dataset_version", meta->dataset_version);
    jw_key_string(w, "created", meta->created);
    jw_key_string(w, "split", meta->split);
    jw_key_double(w, "loss", meta->test_loss);
    jw_key_double(w, "accuracy", meta->test_accuracy);
    jw_key_string(w, "weights_sha256", meta->weights_sha256);
    jw_object_end(w);
}

void model_meta_write(const struct model_meta *meta, enum model_meta_entry entry, struct buf *out)
{
    struct json_writer w;
    jw_begin(&w, out);
    switch (entry) {
    case META_LABELS:
        labels_write(&w, meta->labels, meta->label_count);
        break;
    case META_PREPROCESS:
        preprocess_write(&w, &meta->preprocess);
        break;
    case META_PROVENANCE:
    case META_ENTRY_COUNT:
        write_provenance(&w, meta);
        break;
    }
}

/* Text of at most size - 1 bytes; longer is refused rather than cut. */
static bool get_text(const struct cJSON *json, const char *key, char *text, size_t size,
                     struct err *e)
{
    const char *value = "";
    if (!json_get_string(json, key, &value, e))
        return false;
    if (strlen(value) >= size)
        return err_field(e, ERR_INVALID, key, "more than %zu bytes", size - 1);
    snprintf(text, size, "%s", value);
    return true;
}

/* null or absent: not measured. */
static bool get_measure(const struct cJSON *json, const char *key, double *value, struct err *e)
{
    *value = NAN;
    return cJSON_IsNull(json_get(json, key)) || json_get_double(json, key, 0, 1e300, value, e);
}

static bool parse_provenance(const struct cJSON *json, struct model_meta *meta, struct err *e)
{
    int64_t version = 0;
    if (!json_is_object(json, "provenance", e) ||
        !get_text(json, "job", meta->job, sizeof meta->job, e) ||
        !get_text(json, "dataset", meta->dataset, sizeof meta->dataset, e) ||
        !json_get_int(json, "dataset_version", 0, INT32_MAX, &version, e) ||
        !get_text(json, "created", meta->created, sizeof meta->created, e) ||
        !get_text(json, "split", meta->split, sizeof meta->split, e) ||
        !get_measure(json, "loss", &meta->test_loss, e) ||
        !get_measure(json, "accuracy", &meta->test_accuracy, e) ||
        !get_text(json, "weights_sha256", meta->weights_sha256, sizeof meta->weights_sha256, e))
        return false;
    meta->dataset_version = (int)version;
    return true;
}

bool model_meta_parse(struct model_meta *meta, enum model_meta_entry entry, const char *text,
                      size_t size, struct err *e)
{
    struct cJSON *json = json_parse(text, size, e);
    bool ok = json != NULL;
    if (ok && entry == META_LABELS)
        ok = labels_parse(json, &meta->labels, &meta->label_count, e);
    else if (ok && entry == META_PREPROCESS)
        ok = preprocess_parse(json, &meta->preprocess, e);
    else if (ok)
        ok = parse_provenance(json, meta, e);
    json_free(json);
    return ok || err_within(e, "%s", model_meta_key(entry));
}
