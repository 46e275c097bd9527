#include "job_json.h"

#include <cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "augment_json.h"
#include "json_read.h"
#include "name.h"

static const char *const publish_names[] = {
    [CNN_PUBLISH_BEST] = "best", [CNN_PUBLISH_LAST] = "last"};
enum { PUBLISH_COUNT = sizeof publish_names / sizeof *publish_names };
static const char *const sampling_names[] = {
    [CNN_SAMPLING_SHUFFLE] = "shuffle", [CNN_SAMPLING_BALANCED] = "balanced"};
enum { SAMPLING_COUNT = sizeof sampling_names / sizeof *sampling_names };

static const int64_t seed_max = (int64_t)1 << 53; /* the integers that every JSON reader holds */

/* Null is for writers to say "none": the same as leaving the field out. */
static const cJSON *get_unless_null(const cJSON *json, const char *key)
{
    const cJSON *value = json_get(json, key);
    return cJSON_IsNull(value) ? NULL : value;
}

static bool get_int(const cJSON *json, const char *key, int low, int high, int *value,
                    struct err *e)
{
    int64_t number = *value;
    if (!json_get_int(json, key, low, high, &number, e))
        return false;
    *value = (int)number;
    return true;
}

/* Any finite number: cnn_train_check knows the ranges. */
static bool get_double(const cJSON *json, const char *key, double *value, struct err *e)
{
    return json_get_double(json, key, -INFINITY, INFINITY, value, e);
}

/* Names of an enum, gathered from the core's function. */
enum { CHOICES_MAX = 8 };
static const char *optim_text(int i)
{
    return cnn_optim_name((enum cnn_optim_type)i);
}
static const char *schedule_text(int i)
{
    return cnn_schedule_name((enum cnn_schedule_type)i);
}
static const char *loss_text(int i)
{
    return cnn_loss_name((enum cnn_loss_type)i);
}
static const char *init_text(int i)
{
    return cnn_init_name((enum cnn_init)i);
}
_Static_assert((int)CNN_OPTIM_COUNT <= (int)CHOICES_MAX &&
                   (int)CNN_SCHEDULE_COUNT <= (int)CHOICES_MAX &&
                   (int)CNN_LOSS_COUNT <= (int)CHOICES_MAX &&
                   (int)CNN_INIT_COUNT <= (int)CHOICES_MAX,
               "room for every choice");

static bool get_enum(const cJSON *json, const char *key, const char *(*name)(int), int count,
                     int *value, struct err *e)
{
    const char *choices[CHOICES_MAX];
    for (int i = 0; i < count; i++)
        choices[i] = name(i);
    return json_get_choice(json, key, choices, count, value, e);
}

/* The fields of each optimizer: what it does not use is refused as unknown. */
static bool optimizer_fields(const cJSON *json, enum cnn_optim_type type, struct err *e)
{
    static const char *const sgd[] = {"type", "lr", "momentum", "nesterov", "weight_decay", NULL};
    static const char *const adam[] = {"type",    "lr", "weight_decay", "beta1", "beta2",
                                       "epsilon", NULL};
    static const char *const rmsprop[] = {"type",  "lr",      "momentum", "weight_decay",
                                          "alpha", "epsilon", NULL};
    static const char *const *const fields[CNN_OPTIM_COUNT] = {
        [CNN_SGD] = sgd, [CNN_ADAM] = adam, [CNN_ADAMW] = adam, [CNN_RMSPROP] = rmsprop};
    if (json_only(json, fields[type], e))
        return true;
    size_t used = strlen(e->detail);
    snprintf(e->detail + used, sizeof e->detail - used, " of %s", cnn_optim_name(type));
    return false;
}

static bool optimizer_parse(const cJSON *json, struct cnn_optim_config *config, struct err *e)
{
    int type = config->type;
    if (!json_is_object(json, "", e) ||
        !get_enum(json, "type", optim_text, CNN_OPTIM_COUNT, &type, e))
        return false;
    *config = cnn_optim_defaults((enum cnn_optim_type)type);
    return optimizer_fields(json, config->type, e) && get_double(json, "lr", &config->lr, e) &&
           get_double(json, "momentum", &config->momentum, e) &&
           json_get_bool(json, "nesterov", &config->nesterov, e) &&
           get_double(json, "weight_decay", &config->weight_decay, e) &&
           get_double(json, "beta1", &config->beta1, e) &&
           get_double(json, "beta2", &config->beta2, e) &&
           get_double(json, "alpha", &config->alpha, e) &&
           get_double(json, "epsilon", &config->epsilon, e);
}

static bool schedule_parse(const cJSON *json, struct cnn_schedule *schedule, struct err *e)
{
    static const char *const fields[] = {"type",   "step_epochs",   "gamma",
                                         "min_lr", "warmup_epochs", NULL};
    int type = schedule->type;
    if (!json_is_object(json, "", e) || !json_only(json, fields, e) ||
        !get_enum(json, "type", schedule_text, CNN_SCHEDULE_COUNT, &type, e))
        return false;
    schedule->type = (enum cnn_schedule_type)type;
    return get_int(json, "step_epochs", 1, CNN_EPOCHS_MAX, &schedule->step_epochs, e) &&
           get_double(json, "gamma", &schedule->gamma, e) &&
           get_double(json, "min_lr", &schedule->min_lr, e) &&
           get_double(json, "warmup_epochs", &schedule->warmup_epochs, e);
}

static bool stopping_parse(const cJSON *json, int *patience, struct err *e)
{
    static const char *const fields[] = {"patience", NULL};
    if (!json_is_object(json, "", e) || !json_only(json, fields, e))
        return false;
    if (!json_get(json, "patience"))
        return err_field(e, ERR_INVALID, "patience", "missing 'patience'");
    return get_int(json, "patience", 1, CNN_EPOCHS_MAX, patience, e);
}

/* "name" or "name:version" into name (room for LIMIT_NAME_BYTES + 1); version 0 if absent. */
static bool reference_parse(const char *text, const char *what, char *name, int *version,
                            struct err *e)
{
    const char *colon = strchr(text, ':');
    size_t size = colon ? (size_t)(colon - text) : strlen(text);
    *version = 0;
    if (size > LIMIT_NAME_BYTES)
        return name_check(text, what, e);
    memcpy(name, text, size);
    name[size] = '\0';
    if (!name_check(name, what, e))
        return false;
    if (!colon)
        return true;
    size_t digits = strspn(colon + 1, "0123456789");
    if (digits == 0 || digits > 9 || colon[1 + digits] != '\0' || colon[1] == '0')
        return err_field(e, ERR_INVALID, what, "invalid version after '%s:', expected 1, 2, ...",
                         name);
    *version = atoi(colon + 1);
    return true;
}

static bool dataset_parse(const cJSON *json, struct job_request *request, struct err *e)
{
    const char *text = NULL;
    int named;
    if (!json_get_string(json, "dataset", &text, e))
        return false;
    if (!text)
        return err_field(e, ERR_INVALID, "dataset", "missing 'dataset'");
    if (!reference_parse(text, "dataset", request->dataset, &named, e) ||
        !get_int(json, "dataset_version", 0, INT32_MAX, &request->dataset_version, e))
        return false;
    if (named && request->dataset_version && named != request->dataset_version)
        return err_field(e, ERR_INVALID, "dataset_version", "version %d differs from dataset '%s'",
                         request->dataset_version, text);
    if (named)
        request->dataset_version = named;
    return true;
}

static bool names_parse(const cJSON *json, struct job_request *request, struct err *e)
{
    const char *model = NULL, *init_from = NULL;
    char name[LIMIT_NAME_BYTES + 1];
    int version;
    if (!json_get_string(json, "model", &model, e))
        return false;
    if (!model)
        return err_field(e, ERR_INVALID, "model", "missing 'model'");
    if (!name_check(model, "model", e) || !dataset_parse(json, request, e))
        return false;
    snprintf(request->model, sizeof request->model, "%s", model);
    if (!get_unless_null(json, "init_from"))
        return true;
    if (!json_get_string(json, "init_from", &init_from, e) ||
        !reference_parse(init_from, "init_from", name, &version, e))
        return false;
    snprintf(request->init_from, sizeof request->init_from, "%s", init_from);
    return true;
}

/* Kept as text: what it means depends on the dataset, which the caller knows. */
static bool architecture_parse(const cJSON *json, struct job_request *request, struct err *e)
{
    const cJSON *value = get_unless_null(json, "architecture");
    if (!value)
        return true;
    if (!cJSON_IsString(value) && !cJSON_IsObject(value))
        return json_wrong("architecture", value, "a preset's name or an object with layers", e);
    char *text = cJSON_PrintUnformatted(value);
    request->architecture = text ? strdup(text) : NULL;
    cJSON_free(text);
    return request->architecture || err_no_memory(e);
}

static bool weights_list(const cJSON *list, struct job_request *request, struct err *e)
{
    const int count = cJSON_GetArraySize(list);
    if (count < 1 || count > CNN_CLASSES_MAX)
        return err_field(e, ERR_INVALID, "class_weights", "%d weights, expected 1 to %d", count,
                         CNN_CLASSES_MAX);
    request->class_weights = malloc((size_t)count * sizeof *request->class_weights);
    if (!request->class_weights)
        return err_no_memory(e);
    const cJSON *weight = list->child;
    for (int i = 0; i < count; i++, weight = weight->next) {
        char field[32];
        snprintf(field, sizeof field, "class_weights[%d]", i);
        if (!cJSON_IsNumber(weight))
            return json_wrong(field, weight, "a number", e);
        request->class_weights[i] = (float)weight->valuedouble;
    }
    request->train.weighting = CNN_WEIGHTS_GIVEN;
    request->train.class_weights = request->class_weights;
    request->train.class_weight_count = count;
    return true;
}

static bool balance_parse(const cJSON *json, struct job_request *request, struct err *e)
{
    const cJSON *weights = get_unless_null(json, "class_weights");
    int sampling = request->train.sampling;
    if (!json_get_choice(json, "sampling", sampling_names, SAMPLING_COUNT, &sampling, e))
        return false;
    request->train.sampling = (enum cnn_sampling)sampling;
    if (!weights)
        return true;
    if (cJSON_IsArray(weights))
        return weights_list(weights, request, e);
    if (!cJSON_IsString(weights) || strcmp(weights->valuestring, "balanced") != 0)
        return json_wrong("class_weights", weights, "'balanced' or a list of numbers", e);
    request->train.weighting = CNN_WEIGHTS_BALANCED;
    return true;
}

static bool parts_parse(const cJSON *json, struct cnn_train_config *train, struct err *e)
{
    const cJSON *optimizer = json_get(json, "optimizer"), *schedule = json_get(json, "schedule"),
                *stopping = get_unless_null(json, "early_stopping"),
                *augment = get_unless_null(json, "augment");
    if (optimizer && !optimizer_parse(optimizer, &train->optimizer, e))
        return err_within(e, "optimizer");
    if (schedule && !schedule_parse(schedule, &train->schedule, e))
        return err_within(e, "schedule");
    if (augment && !augment_parse(augment, &train->augment, e))
        return err_within(e, "augment");
    if (stopping && !stopping_parse(stopping, &train->patience, e))
        return err_within(e, "early_stopping");
    return true;
}

static bool train_parse(const cJSON *json, struct cnn_train_config *train, struct err *e)
{
    int64_t seed = 0;
    int loss = train->loss, publish = train->publish;
    if (!get_int(json, "epochs", 1, CNN_EPOCHS_MAX, &train->epochs, e) ||
        !get_int(json, "batch_size", 1, CNN_BATCH_MAX, &train->batch_size, e) ||
        !get_int(json, "threads", 0, CNN_THREADS_MAX, &train->threads, e) ||
        !json_get_int(json, "seed", 0, seed_max, &seed, e) || !parts_parse(json, train, e) ||
        !get_enum(json, "loss", loss_text, CNN_LOSS_COUNT, &loss, e) ||
        !get_double(json, "label_smoothing", &train->label_smoothing, e) ||
        !json_get_choice(json, "publish", publish_names, PUBLISH_COUNT, &publish, e) ||
        !get_double(json, "validation_split", &train->validation_split, e))
        return false;
    if (get_unless_null(json, "clip_norm") &&
        !json_get_double(json, "clip_norm", 0, INFINITY, &train->clip_norm, e))
        return false;
    train->seed = (uint64_t)seed;
    train->loss = (enum cnn_loss_type)loss;
    train->publish = (enum cnn_publish)publish;

    struct cnn_train_config checked = *train;
    checked.threads = checked.threads ? checked.threads : 1;
    return cnn_train_check(&checked, e);
}

static bool request_parse(const cJSON *json, struct job_request *request, struct err *e)
{
    static const char *const fields[] = {"model",
                                         "dataset",
                                         "dataset_version",
                                         "architecture",
                                         "epochs",
                                         "batch_size",
                                         "seed",
                                         "threads",
                                         "optimizer",
                                         "schedule",
                                         "loss",
                                         "class_weights",
                                         "sampling",
                                         "augment",
                                         "label_smoothing",
                                         "clip_norm",
                                         "validation_split",
                                         "publish",
                                         "early_stopping",
                                         "init",
                                         "init_from",
                                         "priority",
                                         NULL};
    int init = request->init;
    if (!json_is_object(json, "", e) || !json_only(json, fields, e) ||
        !names_parse(json, request, e) || !architecture_parse(json, request, e) ||
        !get_enum(json, "init", init_text, CNN_INIT_COUNT, &init, e) ||
        !get_int(json, "priority", -LIMIT_JOB_PRIORITY, LIMIT_JOB_PRIORITY, &request->priority, e))
        return false;
    request->init = (enum cnn_init)init;
    return balance_parse(json, request, e) && train_parse(json, &request->train, e);
}

bool job_request_parse(const char *text, size_t size, struct job_request *request, struct err *e)
{
    *request = (struct job_request){.init = CNN_INIT_UNIFORM, .train = cnn_train_defaults()};
    request->train.threads = 0;
    cJSON *json = json_parse(text, size, e);
    if (!json)
        return false;
    bool ok = request_parse(json, request, e);
    json_free(json);
    if (!ok)
        job_request_clear(request);
    return ok;
}

void job_request_clear(struct job_request *request)
{
    free(request->architecture);
    free(request->class_weights);
    *request = (struct job_request){0};
}

static void write_optimizer(struct json_writer *w, const struct cnn_optim_config *config)
{
    bool adam = config->type == CNN_ADAM || config->type == CNN_ADAMW;
    jw_key(w, "optimizer");
    jw_object(w);
    jw_key_string(w, "type", cnn_optim_name(config->type));
    jw_key_double(w, "lr", config->lr);
    if (!adam)
        jw_key_double(w, "momentum", config->momentum);
    if (config->type == CNN_SGD)
        jw_key_bool(w, "nesterov", config->nesterov);
    jw_key_double(w, "weight_decay", config->weight_decay);
    if (adam) {
        jw_key_double(w, "beta1", config->beta1);
        jw_key_double(w, "beta2", config->beta2);
    }
    if (config->type == CNN_RMSPROP)
        jw_key_double(w, "alpha", config->alpha);
    if (config->type != CNN_SGD)
        jw_key_double(w, "epsilon", config->epsilon);
    jw_object_end(w);
}

static void write_schedule(struct json_writer *w, const struct cnn_schedule *schedule)
{
    jw_key(w, "schedule");
    jw_object(w);
    jw_key_string(w, "type", cnn_schedule_name(schedule->type));
    jw_key_int(w, "step_epochs", schedule->step_epochs);
    jw_key_double(w, "gamma", schedule->gamma);
    jw_key_double(w, "min_lr", schedule->min_lr);
    jw_key_double(w, "warmup_epochs", schedule->warmup_epochs);
    jw_object_end(w);
}

static void write_weights(struct json_writer *w, const struct cnn_train_config *train)
{
    jw_key(w, "class_weights");
    if (train->weighting != CNN_WEIGHTS_GIVEN) {
        jw_string(w, train->weighting == CNN_WEIGHTS_BALANCED ? "balanced" : NULL);
        return;
    }
    jw_array(w);
    for (int i = 0; i < train->class_weight_count; i++)
        jw_float(w, train->class_weights[i]);
    jw_array_end(w);
}

static void write_train(struct json_writer *w, const struct cnn_train_config *train)
{
    jw_key_int(w, "epochs", train->epochs);
    jw_key_int(w, "batch_size", train->batch_size);
    jw_key_int(w, "seed", (int64_t)train->seed);
    jw_key_int(w, "threads", train->threads);
    write_optimizer(w, &train->optimizer);
    write_schedule(w, &train->schedule);
    jw_key_string(w, "loss", cnn_loss_name(train->loss));
    jw_key_double(w, "label_smoothing", train->label_smoothing);
    write_weights(w, train);
    jw_key_string(w, "sampling", sampling_names[train->sampling]);
    jw_key(w, "augment");
    augment_write(w, &train->augment);
    jw_key_double(w, "clip_norm", train->clip_norm > 0 ? train->clip_norm : NAN);
    jw_key_double(w, "validation_split", train->validation_split);
    jw_key_string(w, "publish", publish_names[train->publish]);
    jw_key(w, "early_stopping");
    if (train->patience == 0) {
        jw_null(w);
        return;
    }
    jw_object(w);
    jw_key_int(w, "patience", train->patience);
    jw_object_end(w);
}

void job_request_write(struct json_writer *w, const struct job_request *request)
{
    jw_object(w);
    jw_key_string(w, "model", request->model);
    jw_key_string(w, "dataset", request->dataset);
    jw_key_int(w, "dataset_version", request->dataset_version);
    jw_key(w, "architecture");
    if (request->architecture)
        jw_raw(w, request->architecture, strlen(request->architecture));
    else
        jw_null(w);
    jw_key_string(w, "init", cnn_init_name(request->init));
    jw_key_string(w, "init_from", request->init_from[0] ? request->init_from : NULL);
    write_train(w, &request->train);
    jw_key_int(w, "priority", request->priority);
    jw_object_end(w);
}

bool job_resume_parse(const char *text, size_t size, int *epochs, struct err *e)
{
    static const char *const fields[] = {"epochs", NULL};
    cJSON *json = json_parse(text, size, e);
    if (!json)
        return false;
    bool ok = json_is_object(json, "", e) && json_only(json, fields, e) &&
              get_int(json, "epochs", 1, CNN_EPOCHS_MAX, epochs, e);
    json_free(json);
    return ok;
}
