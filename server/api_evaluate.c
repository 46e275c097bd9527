#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "api_models.h"
#include "datasets.h"
#include "evaluator.h"
#include "json_read.h"
#include "name.h"
#include "report.h"

struct evaluation {
    char dataset[LIMIT_NAME_BYTES + 1];
    int dataset_version; /* 0 = the newest */
    int split;           /* enum dataset_split */
};

/* "mnist" or "mnist:2" */
static bool read_reference(const char *text, struct evaluation *evaluation, struct err *e)
{
    const char *colon = strchr(text, ':');
    size_t size = colon ? (size_t)(colon - text) : strlen(text);
    if (colon) {
        char *end;
        errno = 0;
        long number = strtol(colon + 1, &end, 10);
        if (colon[1] < '1' || colon[1] > '9' || *end || errno || number > INT_MAX)
            return err_field(e, ERR_INVALID, "dataset",
                             "version '%.40s' is not a positive whole number", colon + 1);
        evaluation->dataset_version = (int)number;
    }
    if (size >= sizeof evaluation->dataset)
        return err_field(e, ERR_INVALID, "dataset", "name of %zu bytes exceeds %d", size,
                         LIMIT_NAME_BYTES);
    memcpy(evaluation->dataset, text, size);
    evaluation->dataset[size] = '\0';
    return name_check(evaluation->dataset, "dataset", e);
}

static bool read_members(const struct cJSON *json, struct evaluation *evaluation, struct err *e)
{
    static const char *const keys[] = {"dataset", "split", NULL};
    static const char *const splits[] = {"train", "test"};
    const char *dataset = NULL;
    _Static_assert(SPLIT_TRAIN == 0 && SPLIT_TEST == 1, "splits[] is by enum dataset_split");
    evaluation->split = SPLIT_TEST;
    if (!json_is_object(json, "body", e) || !json_only(json, keys, e) ||
        !json_get_string(json, "dataset", &dataset, e) ||
        !json_get_choice(json, "split", splits, SPLIT_COUNT, &evaluation->split, e))
        return false;
    if (!dataset)
        return err_field(e, ERR_INVALID, "dataset", "missing 'dataset'");
    return read_reference(dataset, evaluation, e);
}

static bool read_body(const struct http_request *request, struct evaluation *evaluation,
                      struct err *e)
{
    struct cJSON *json = json_parse(request->body, request->body_size, e);
    bool ok = json && read_members(json, evaluation, e);
    json_free(json);
    return ok;
}

/* Opens the dataset that is meant; its version is filled in. */
static bool open_dataset(struct app *app, struct evaluation *evaluation, struct dataset *dataset,
                         struct err *e)
{
    if (!datasets_open(app->store, evaluation->dataset, evaluation->dataset_version, true, dataset,
                       e))
        return err_within(e, "dataset");
    evaluation->dataset_version = dataset->version;
    return true;
}

static bool check_fit(const struct model *model, const struct cnn_samples *samples,
                      const struct evaluation *evaluation, struct err *e)
{
    char ours[CNN_SHAPE_TEXT], theirs[CNN_SHAPE_TEXT];
    if (samples->count == 0)
        return err_field(e, ERR_UNPROCESSABLE, "split", "dataset '%s' has no %s samples",
                         evaluation->dataset,
                         dataset_split_name((enum dataset_split)evaluation->split));
    if (!cnn_shape_equal(&samples->shape, &model->net->input))
        return err_field(e, ERR_UNPROCESSABLE, "dataset", "samples are %s, model '%s' takes %s",
                         cnn_shape_text(&samples->shape, theirs), model->name,
                         cnn_shape_text(&model->net->input, ours));
    if (samples->classes != model->meta.label_count)
        return err_field(e, ERR_UNPROCESSABLE, "dataset", "dataset has %d classes, model '%s' %d",
                         samples->classes, model->name, model->meta.label_count);
    return true;
}

static void write_evaluation(struct http_response *response, const struct model *model,
                             const struct evaluation *evaluation, const struct cnn_eval *eval)
{
    struct json_writer w;
    uint32_t right = 0;
    for (int i = 0; i < eval->classes; i++)
        right += eval->confusion[(size_t)i * (size_t)eval->classes + (size_t)i];
    const struct report_confusion confusion = {
        .classes = eval->classes,
        .labels = model->meta.labels,
        .confusion = eval->confusion,
        .normalize = REPORT_COUNTS,
    };
    jw_begin(&w, &response->body);
    jw_object(&w);
    jw_key_string(&w, "model", model->name);
    jw_key_int(&w, "version", model->version);
    jw_key_string(&w, "dataset", evaluation->dataset);
    jw_key_int(&w, "dataset_version", evaluation->dataset_version);
    jw_key_string(&w, "split", dataset_split_name((enum dataset_split)evaluation->split));
    jw_key_double(&w, "loss", eval->loss);
    report_confusion_members(&w, &confusion);
    jw_key_int(&w, "failures", eval->count - right);
    jw_object_end(&w);
}

/* The dataset's samples as this model wants them: pixels go through its own preprocessing. */
static struct cnn_samples samples_for(const struct model *model, const struct dataset *dataset,
                                      int split)
{
    struct cnn_samples samples = dataset->samples[split];
    if (samples.dtype == CNN_U8)
        samples.normalize = model->meta.preprocess.normalize;
    return samples;
}

bool api_models_evaluate(struct app *app, const struct http_request *request,
                         struct http_response *response, struct err *e)
{
    struct evaluation evaluation = {.dataset_version = 0};
    struct dataset dataset = {.version = 0};
    struct cnn_eval eval = {.count = 0};
    bool ok = false;
    struct model *model = api_model_acquire(app, request, e);
    if (!model || !read_body(request, &evaluation, e) ||
        !open_dataset(app, &evaluation, &dataset, e))
        goto out;
    struct cnn_samples samples = samples_for(model, &dataset, evaluation.split);
    struct cnn_loss loss = cnn_loss_for(CNN_CROSS_ENTROPY, model->net);
    if (!check_fit(model, &samples, &evaluation, e) ||
        !evaluator_run(app->evaluator, model->net, &samples, loss, &eval, e))
        goto out;
    write_evaluation(response, model, &evaluation, &eval);
    ok = true;
out:
    cnn_eval_clear(&eval);
    dataset_close(&dataset);
    model_release(model);
    return ok;
}
