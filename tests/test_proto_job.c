/* Job and dataset requests. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset_json.h"
#include "exact.h"
#include "harness.h"
#include "job_json.h"

static bool parse(const char *text, struct job_request *request, struct err *e)
{
    char *copy = exact_copy(text, strlen(text));
    *e = (struct err){0};
    bool ok = job_request_parse(copy, strlen(text), request, e);
    free(copy);
    return ok;
}

/* {"model":"m","dataset":"d", <more>} */
static struct job_request request_of(const char *more)
{
    char text[2048];
    struct job_request request;
    struct err e;
    snprintf(text, sizeof text, "{\"model\":\"m\",\"dataset\":\"d\"%s%s}", more[0] ? "," : "",
             more);
    ck_assert_msg(parse(text, &request, &e), "%s: %s: %s", more, e.field, e.detail);
    return request;
}

static char *written(const struct job_request *request)
{
    struct buf out = {0};
    struct json_writer w;
    jw_begin(&w, &out);
    job_request_write(&w, request);
    char *text = strdup(buf_text(&out));
    buf_clear(&out);
    return text;
}

/* Written, read and written again: the same; the request too. Clears it. */
static void survives(struct job_request *request)
{
    struct job_request back;
    struct err e;
    char *text = written(request);
    ck_assert_msg(parse(text, &back, &e), "%s: %s: %s", text, e.field, e.detail);
    char *again = written(&back);
    ck_assert_str_eq(text, again);
    ck_assert_int_eq(request->train.threads, back.train.threads);
    ck_assert_uint_eq(request->train.seed, back.train.seed);
    ck_assert(request->train.optimizer.lr == back.train.optimizer.lr);
    free(text);
    free(again);
    job_request_clear(&back);
    job_request_clear(request);
}

START_TEST(test_a_job_needs_only_model_and_dataset)
{
    struct job_request request = request_of("");
    ck_assert_str_eq(request.model, "m");
    ck_assert_str_eq(request.dataset, "d");
    ck_assert_int_eq(request.dataset_version, 0);
    ck_assert_ptr_null(request.architecture);
    ck_assert_str_eq(request.init_from, "");
    ck_assert_int_eq(request.init, CNN_INIT_UNIFORM);
    ck_assert_int_eq(request.train.epochs, 5);
    ck_assert_int_eq(request.train.batch_size, 32);
    ck_assert_int_eq(request.train.threads, 0);
    ck_assert_uint_eq(request.train.seed, 0);
    ck_assert_int_eq(request.train.optimizer.type, CNN_ADAM);
    ck_assert(request.train.optimizer.lr == 0.001);
    ck_assert_int_eq(request.train.schedule.type, CNN_CONSTANT);
    ck_assert_int_eq(request.train.loss, CNN_CROSS_ENTROPY);
    ck_assert(request.train.clip_norm <= 0 && request.train.validation_split == 0);
    ck_assert(request.train.label_smoothing == 0);
    ck_assert_int_eq(request.train.publish, CNN_PUBLISH_BEST);
    ck_assert_int_eq(request.train.patience, 0);
    ck_assert_int_eq(request.train.weighting, CNN_WEIGHTS_EVEN);
    ck_assert_int_eq(request.train.sampling, CNN_SAMPLING_SHUFFLE);
    ck_assert(!cnn_augment_any(&request.train.augment));
    survives(&request);
}
END_TEST

START_TEST(test_every_field_is_read)
{
    struct job_request request = request_of(
        "\"dataset_version\":3,\"architecture\":\"lenet\",\"epochs\":7,\"batch_size\":150,"
        "\"seed\":9007199254740992,\"threads\":2,\"optimizer\":{\"type\":\"sgd\",\"lr\":0.1,"
        "\"momentum\":0.9,\"nesterov\":true,\"weight_decay\":0.0001},"
        "\"schedule\":{\"type\":\"step\",\"step_epochs\":2,\"gamma\":0.5,\"warmup_epochs\":0.5},"
        "\"loss\":\"mse\",\"clip_norm\":1.5,\"validation_split\":0.2,\"publish\":\"last\","
        "\"early_stopping\":{\"patience\":3},\"init\":\"he\",\"init_from\":\"digits:12\"");
    const struct cnn_train_config *train = &request.train;
    ck_assert_int_eq(request.dataset_version, 3);
    ck_assert_str_eq(request.architecture, "\"lenet\"");
    ck_assert_int_eq(train->epochs, 7);
    ck_assert_int_eq(train->batch_size, 150);
    ck_assert_uint_eq(train->seed, (uint64_t)1 << 53);
    ck_assert_int_eq(train->threads, 2);
    ck_assert_int_eq(train->optimizer.type, CNN_SGD);
    ck_assert(train->optimizer.lr == 0.1 && train->optimizer.momentum == 0.9);
    ck_assert(train->optimizer.nesterov && train->optimizer.weight_decay == 0.0001);
    ck_assert_int_eq(train->schedule.type, CNN_STEP);
    ck_assert_int_eq(train->schedule.step_epochs, 2);
    ck_assert(train->schedule.gamma == 0.5 && train->schedule.warmup_epochs == 0.5);
    ck_assert_int_eq(train->loss, CNN_MSE);
    ck_assert(train->clip_norm == 1.5 && train->validation_split == 0.2);
    ck_assert_int_eq(train->publish, CNN_PUBLISH_LAST);
    ck_assert_int_eq(train->patience, 3);
    ck_assert_int_eq(request.init, CNN_INIT_HE);
    ck_assert_str_eq(request.init_from, "digits:12");
    survives(&request);
}
END_TEST

START_TEST(test_augmentation_is_read)
{
    struct job_request request = request_of(
        "\"augment\":{\"shift\":2,\"flip\":\"both\",\"rotate90\":true,\"rotate\":12.5,"
        "\"rotate_z\":12,\"scale\":[0.9,1.1],\"noise\":0.05,\"cutout\":8,\"fill\":\"edge\"}");
    const struct cnn_augment *augment = &request.train.augment;
    ck_assert_int_eq(augment->shift, 2);
    ck_assert_int_eq(augment->flip, CNN_FLIP_BOTH);
    ck_assert(augment->rotate90 && augment->rotate == 12.5);
    ck_assert_int_eq(augment->rotate_z, 12);
    ck_assert(augment->scale[0] == 0.9 && augment->scale[1] == 1.1);
    ck_assert(augment->noise == 0.05);
    ck_assert_int_eq(augment->cutout, 8);
    ck_assert_int_eq(augment->fill, CNN_FILL_EDGE);
    survives(&request);
}
END_TEST

START_TEST(test_augmentation_is_echoed_with_its_defaults)
{
    struct job_request request = request_of("\"augment\":{\"shift\":3}");
    char *text = written(&request);
    ck_assert_ptr_nonnull(strstr(
        text, "\"class_weights\":null,\"sampling\":\"shuffle\",\"augment\":{\"shift\":3,"
              "\"flip\":\"none\",\"rotate90\":false,\"rotate\":0,\"rotate_z\":0,\"scale\":[1,1],"
              "\"noise\":0,\"cutout\":0,\"fill\":\"zero\"}"));
    free(text);
    survives(&request);
}
END_TEST

START_TEST(test_class_weights_and_sampling_are_read)
{
    struct job_request request = request_of("\"class_weights\":[0.1,1,25]");
    ck_assert_int_eq(request.train.weighting, CNN_WEIGHTS_GIVEN);
    ck_assert_int_eq(request.train.class_weight_count, 3);
    ck_assert_float_eq(request.train.class_weights[0], 0.1f);
    ck_assert_float_eq(request.train.class_weights[2], 25);
    char *text = written(&request);
    ck_assert_ptr_nonnull(strstr(text, "\"class_weights\":[0.1,1,25]"));
    free(text);
    survives(&request);
    request = request_of("\"class_weights\":\"balanced\"");
    ck_assert_int_eq(request.train.weighting, CNN_WEIGHTS_BALANCED);
    text = written(&request);
    ck_assert_ptr_nonnull(strstr(text, "\"class_weights\":\"balanced\""));
    free(text);
    survives(&request);
    request = request_of("\"sampling\":\"balanced\"");
    ck_assert_int_eq(request.train.sampling, CNN_SAMPLING_BALANCED);
    survives(&request);
    request = request_of("\"label_smoothing\":0.1");
    ck_assert(request.train.label_smoothing == 0.1);
    text = written(&request);
    ck_assert_ptr_nonnull(strstr(text, "\"label_smoothing\":0.1,"));
    free(text);
    survives(&request);
}
END_TEST

START_TEST(test_each_optimizer_has_its_own_defaults_and_fields)
{
    static const struct {
        const char *text;
        enum cnn_optim_type type;
        double lr, weight_decay;
    } cases[] = {
        {"\"optimizer\":{\"type\":\"sgd\"}", CNN_SGD, 0.01, 0},
        {"\"optimizer\":{\"type\":\"adam\",\"beta1\":0.8,\"beta2\":0.99,\"epsilon\":1e-7}",
         CNN_ADAM, 0.001, 0},
        {"\"optimizer\":{\"type\":\"adamw\"}", CNN_ADAMW, 0.001, 0.01},
        {"\"optimizer\":{\"type\":\"rmsprop\",\"alpha\":0.9,\"momentum\":0.1}", CNN_RMSPROP, 0.01,
         0},
        {"\"optimizer\":{\"lr\":0.5}", CNN_ADAM, 0.5, 0},
        {"\"optimizer\":{}", CNN_ADAM, 0.001, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct job_request request = request_of(cases[i].text);
        ck_assert_int_eq(request.train.optimizer.type, cases[i].type);
        ck_assert(request.train.optimizer.lr == cases[i].lr);
        ck_assert(request.train.optimizer.weight_decay == cases[i].weight_decay);
        survives(&request);
    }
}
END_TEST

START_TEST(test_schedules_are_read)
{
    struct job_request request =
        request_of("\"schedule\":{\"type\":\"cosine\",\"min_lr\":0.0001,\"warmup_epochs\":1}");
    ck_assert_int_eq(request.train.schedule.type, CNN_COSINE);
    ck_assert(request.train.schedule.min_lr == 0.0001);
    survives(&request);
    request = request_of("\"schedule\":{\"type\":\"constant\"}");
    survives(&request);
}
END_TEST

START_TEST(test_null_means_none_where_the_writer_says_so)
{
    struct job_request request = request_of("\"architecture\":null,\"clip_norm\":null,"
                                            "\"early_stopping\":null,\"init_from\":null,"
                                            "\"class_weights\":null,\"augment\":null");
    ck_assert_int_eq(request.train.weighting, CNN_WEIGHTS_EVEN);
    ck_assert(!cnn_augment_any(&request.train.augment));
    ck_assert_ptr_null(request.architecture);
    ck_assert_int_eq(request.train.patience, 0);
    survives(&request);
}
END_TEST

START_TEST(test_an_architecture_object_is_kept_as_text)
{
    struct job_request request =
        request_of("\"architecture\":{ \"layers\" : [ {\"type\":\"leaky_relu\", \"slope\":0.1,"
                   " \"name\":\"caf\\u00e9 \\\"x\\\"\"} ] }");
    ck_assert_str_eq(request.architecture, "{\"layers\":[{\"type\":\"leaky_relu\",\"slope\":0.1,"
                                           "\"name\":\"caf\xc3\xa9 \\\"x\\\"\"}]}");
    survives(&request);
}
END_TEST

START_TEST(test_a_dataset_may_carry_its_version)
{
    struct job_request request;
    struct err e;
    ck_assert(parse("{\"model\":\"m\",\"dataset\":\"mnist:4\"}", &request, &e));
    ck_assert_str_eq(request.dataset, "mnist");
    ck_assert_int_eq(request.dataset_version, 4);
    survives(&request);
    ck_assert(parse("{\"model\":\"m\",\"dataset\":\"d:4\",\"dataset_version\":4}", &request, &e));
    job_request_clear(&request);
}
END_TEST

static void refused(const char *text, const char *field, const char *why)
{
    struct job_request request;
    struct err e;
    ck_assert_msg(!parse(text, &request, &e), "%s was accepted", text);
    ck_assert_int_eq(e.code, ERR_INVALID);
    ck_assert_msg(strcmp(e.field, field) == 0, "%s: field '%s': %s", text, e.field, e.detail);
    ck_assert_msg(strstr(e.detail, why) != NULL, "%s: '%s' lacks '%s'", text, e.detail, why);
    ck_assert_ptr_null(request.architecture);
}

static void more_refused(const char *more, const char *field, const char *why)
{
    char text[1024];
    snprintf(text, sizeof text, "{\"model\":\"m\",\"dataset\":\"d\",%s}", more);
    refused(text, field, why);
}

START_TEST(test_bad_requests_are_refused)
{
    refused("", "", "empty JSON");
    refused("[]", "", "expected an object, got an array");
    refused("{\"model\":\"m\",\"dataset\":\"d\"", "", "ends at byte");
    refused("{\"dataset\":\"d\"}", "model", "missing 'model'");
    refused("{\"model\":\"m\"}", "dataset", "missing 'dataset'");
    refused("{\"model\":\"m\",\"dataset\":7}", "dataset", "expected a string, got 7");
    refused("{\"model\":\"../m\",\"dataset\":\"d\"}", "model", "invalid name '../m'");
    refused("{\"model\":\"m\",\"dataset\":\"..\"}", "dataset", "invalid name '..'");
    refused("{\"model\":\"m\",\"dataset\":\"d:\"}", "dataset", "invalid version after 'd:'");
    refused("{\"model\":\"m\",\"dataset\":\"d:0\"}", "dataset", "invalid version after 'd:'");
    refused("{\"model\":\"m\",\"dataset\":\"d:x\"}", "dataset", "invalid version after 'd:'");
    refused("{\"model\":\"m\",\"dataset\":\"d:1:2\"}", "dataset", "invalid version after 'd:'");
    refused("{\"model\":\"m\",\"dataset\":\"d:99999999999\"}", "dataset",
            "invalid version after 'd:'");
    refused("{\"model\":\"m\",\"dataset\":\"d:2\",\"dataset_version\":3}", "dataset_version",
            "version 3 differs from dataset 'd:2'");
    more_refused("\"epoch\":3", "epoch", "unknown field 'epoch'");
    more_refused("\"model\":\"n\"", "model", "field 'model' is given twice");
}
END_TEST

/* HARDENING: lr NaN/Inf/1e308, epochs 2^31, batch 0, ... */
START_TEST(test_bad_numbers_are_refused_by_field)
{
    more_refused("\"epochs\":0", "epochs", "expected an integer from 1 to 100000, got 0");
    more_refused("\"epochs\":2147483648", "epochs", "got 2147483648");
    more_refused("\"epochs\":-1", "epochs", "got -1");
    more_refused("\"epochs\":1.5", "epochs", "got 1.5");
    more_refused("\"epochs\":\"5\"", "epochs", "got '5'");
    more_refused("\"epochs\":null", "epochs", "got null");
    more_refused("\"label_smoothing\":1", "label_smoothing", "not in [0, 1)");
    more_refused("\"label_smoothing\":0.1,\"loss\":\"mse\"", "label_smoothing", "not with mse");
    more_refused("\"batch_size\":0", "batch_size", "got 0");
    more_refused("\"batch_size\":2147483648", "batch_size", "got 2147483648");
    more_refused("\"threads\":100000", "threads", "got 100000");
    more_refused("\"threads\":-1", "threads", "got -1");
    more_refused("\"seed\":-1", "seed", "got -1");
    more_refused("\"seed\":1e300", "seed", "got 1e+300");
    more_refused("\"seed\":0.5", "seed", "got 0.5");
    more_refused("\"dataset_version\":-1", "dataset_version", "got -1");
    more_refused("\"validation_split\":1", "validation_split", "not in [0, 1)");
    more_refused("\"validation_split\":-0.1", "validation_split", "not in [0, 1)");
    more_refused("\"clip_norm\":-1", "clip_norm", "expected a number of at least 0, got -1");
    more_refused("\"early_stopping\":{}", "early_stopping.patience", "missing 'patience'");
    more_refused("\"early_stopping\":3", "early_stopping", "expected an object, got 3");
    more_refused("\"early_stopping\":{\"patience\":0}", "early_stopping.patience", "got 0");
    more_refused("\"early_stopping\":{\"min_delta\":0}", "early_stopping.min_delta",
                 "unknown field 'min_delta'");
}
END_TEST

START_TEST(test_bad_optimizers_are_refused_by_field)
{
    more_refused("\"optimizer\":{\"lr\":NaN}", "", "unexpected 'N'");
    more_refused("\"optimizer\":{\"lr\":1e999}", "", "number 1e999");
    more_refused("\"optimizer\":{\"lr\":1e308}", "optimizer.lr", "1e+308");
    more_refused("\"optimizer\":{\"lr\":0}", "optimizer.lr", "");
    more_refused("\"optimizer\":{\"lr\":-0.1}", "optimizer.lr", "-0.1");
    more_refused("\"optimizer\":{\"lr\":\"0.1\"}", "optimizer.lr", "expected a number, got '0.1'");
    more_refused("\"optimizer\":{\"lr\":null}", "optimizer.lr", "expected a number, got null");
    more_refused("\"optimizer\":\"adam\"", "optimizer", "expected an object, got 'adam'");
    more_refused("\"optimizer\":{\"type\":\"lion\"}", "optimizer.type",
                 "expected 'sgd', 'adam', 'adamw' or 'rmsprop', got 'lion'");
    more_refused("\"optimizer\":{\"type\":\"sgd\",\"beta1\":0.9}", "optimizer.beta1",
                 "unknown field 'beta1' of sgd");
    more_refused("\"optimizer\":{\"momentum\":0.9}", "optimizer.momentum",
                 "unknown field 'momentum' of adam");
    more_refused("\"optimizer\":{\"type\":\"sgd\",\"momentum\":1}", "optimizer.momentum", "");
    more_refused("\"optimizer\":{\"type\":\"sgd\",\"nesterov\":true}", "optimizer.nesterov", "");
    more_refused("\"optimizer\":{\"beta2\":1}", "optimizer.beta2", "");
    more_refused("\"optimizer\":{\"epsilon\":0}", "optimizer.epsilon", "");
    more_refused("\"optimizer\":{\"weight_decay\":-1}", "optimizer.weight_decay", "");
}
END_TEST

START_TEST(test_bad_choices_are_refused_by_field)
{
    more_refused("\"schedule\":{\"type\":\"linear\"}", "schedule.type",
                 "expected 'constant', 'step' or 'cosine', got 'linear'");
    more_refused("\"schedule\":{\"type\":\"step\",\"step_epochs\":0}", "schedule.step_epochs",
                 "got 0");
    more_refused("\"schedule\":{\"type\":\"step\",\"gamma\":-1}", "schedule.gamma", "");
    more_refused("\"schedule\":{\"type\":\"cosine\",\"min_lr\":1}", "schedule.min_lr", "");
    more_refused("\"schedule\":{\"warmup_epochs\":-1}", "schedule.warmup_epochs", "");
    more_refused("\"schedule\":{\"steps\":1}", "schedule.steps", "unknown field 'steps'");
    more_refused("\"loss\":\"hinge\"", "loss", "got 'hinge'");
    more_refused("\"loss\":1", "loss", "expected a string, got 1");
    more_refused("\"publish\":\"never\"", "publish", "expected 'best' or 'last', got 'never'");
    more_refused("\"init\":\"zeros\"", "init", "got 'zeros'");
    more_refused("\"init_from\":\"a/b\"", "init_from", "invalid name 'a/b'");
    more_refused("\"init_from\":\"digits:x\"", "init_from", "invalid version after 'digits:'");
    more_refused("\"architecture\":3", "architecture", "got 3");
    more_refused("\"architecture\":[]", "architecture", "got an array");
}
END_TEST

START_TEST(test_bad_augmentation_is_refused_by_field)
{
    more_refused("\"augment\":3", "augment", "expected an object, got 3");
    more_refused("\"augment\":{\"mixup\":1}", "augment.mixup", "unknown field 'mixup'");
    more_refused("\"augment\":{\"shift\":-1}", "augment.shift", "got -1");
    more_refused("\"augment\":{\"shift\":1.5}", "augment.shift", "got 1.5");
    more_refused("\"augment\":{\"flip\":true}", "augment.flip", "expected a string, got true");
    more_refused("\"augment\":{\"flip\":\"z\"}", "augment.flip",
                 "expected 'none', 'horizontal', 'vertical', 'x', 'y' or 'both', got 'z'");
    more_refused("\"augment\":{\"rotate90\":1}", "augment.rotate90", "got 1");
    more_refused("\"augment\":{\"rotate\":181}", "augment.rotate", "from 0 to 180, got 181");
    more_refused("\"augment\":{\"rotate_z\":361}", "augment.rotate_z", "got 361");
    more_refused("\"augment\":{\"scale\":1}", "augment.scale", "a range [from, to], got 1");
    more_refused("\"augment\":{\"scale\":[1]}", "augment.scale", "a range [from, to]");
    more_refused("\"augment\":{\"scale\":[1,\"x\"]}", "augment.scale[1]", "got 'x'");
    more_refused("\"augment\":{\"scale\":[0,1]}", "augment.scale[0]", "0 is not in 0.1..10");
    more_refused("\"augment\":{\"scale\":[1.2,1]}", "augment.scale", "1.2..1 is no range");
    more_refused("\"augment\":{\"noise\":101}", "augment.noise", "got 101");
    more_refused("\"augment\":{\"cutout\":2147483648}", "augment.cutout", "got 2147483648");
    more_refused("\"augment\":{\"fill\":0}", "augment.fill", "expected a string, got 0");
}
END_TEST

START_TEST(test_bad_weights_and_sampling_are_refused_by_field)
{
    more_refused("\"class_weights\":\"even\"", "class_weights",
                 "expected 'balanced' or a list of numbers, got 'even'");
    more_refused("\"class_weights\":{}", "class_weights", "got an object");
    more_refused("\"class_weights\":[]", "class_weights", "0 weights, expected 1 to 1024");
    more_refused("\"class_weights\":[1,null]", "class_weights[1]", "expected a number, got null");
    more_refused("\"class_weights\":[1,-1]", "class_weights[1]", "weight -1 is not in");
    more_refused("\"class_weights\":[1e300]", "class_weights[0]", "is not in");
    more_refused("\"sampling\":\"random\"", "sampling", "expected 'shuffle' or 'balanced'");
    more_refused("\"class_weights\":\"balanced\",\"sampling\":\"balanced\"", "class_weights",
                 "both balanced");
}
END_TEST

START_TEST(test_failing_after_the_architecture_frees_it)
{
    more_refused("\"architecture\":{\"layers\":[]},\"epochs\":0", "epochs", "got 0");
    more_refused("\"class_weights\":[1,2],\"epochs\":0", "epochs", "got 0");
}
END_TEST

static bool dataset(const char *text, struct dataset_request *request, struct err *e)
{
    char *copy = exact_copy(text, strlen(text));
    bool ok = dataset_request_parse(copy, strlen(text), request, e);
    free(copy);
    return ok;
}

START_TEST(test_dataset_requests_have_defaults)
{
    struct dataset_request request;
    struct err e;
    ck_assert(dataset("{\"generator\":\"shapes\"}", &request, &e));
    ck_assert_str_eq(request.generator->name, "shapes");
    ck_assert_uint_eq(request.train, 1000);
    ck_assert_uint_eq(request.test, 200);
    ck_assert_uint_eq(request.seed, 0);
    ck_assert(dataset("{\"generator\":\"color-shapes\",\"train\":20,\"test\":0,\"seed\":7}",
                      &request, &e));
    ck_assert_str_eq(request.generator->name, "color-shapes");
    ck_assert(request.train == 20 && request.test == 0 && request.seed == 7);
}
END_TEST

START_TEST(test_bad_dataset_requests_are_refused_by_field)
{
    static const struct {
        const char *text, *field;
    } cases[] = {
        {"[]", ""},
        {"{}", "generator"},
        {"{\"generator\":\"dogs\"}", "generator"},
        {"{\"generator\":1}", "generator"},
        {"{\"generator\":\"shapes\",\"train\":0}", "train"},
        {"{\"generator\":\"shapes\",\"train\":1.5}", "train"},
        {"{\"generator\":\"shapes\",\"train\":4294967296}", "train"},
        {"{\"generator\":\"shapes\",\"train\":1000000,\"test\":1}", "train"},
        {"{\"generator\":\"shapes\",\"test\":-1}", "test"},
        {"{\"generator\":\"shapes\",\"seed\":-1}", "seed"},
        {"{\"generator\":\"shapes\",\"size\":28}", "size"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dataset_request request;
        struct err e = {0};
        ck_assert_msg(!dataset(cases[i].text, &request, &e), "%s", cases[i].text);
        ck_assert_int_eq(e.code, ERR_INVALID);
        ck_assert_str_eq(e.field, cases[i].field);
    }
}
END_TEST

START_TEST(test_an_unknown_generator_is_told_which_there_are)
{
    struct dataset_request request;
    struct err e = {0};
    ck_assert(!dataset("{\"generator\":\"dogs\"}", &request, &e));
    ck_assert_str_eq(e.detail, "unknown generator 'dogs', expected one of shapes, color-shapes, "
                               "solids, signals");
}
END_TEST

START_TEST(test_a_priority_is_read_bounded_and_echoed)
{
    static const char *const bad[] = {"\"priority\":101", "\"priority\":-101", "\"priority\":1.5",
                                      "\"priority\":null"};
    struct job_request request = request_of("\"priority\":-100");
    ck_assert_int_eq(request.priority, -100);
    char *text = written(&request);
    ck_assert_ptr_nonnull(strstr(text, "\"priority\":-100"));
    free(text);
    job_request_clear(&request);
    request = request_of("");
    ck_assert_int_eq(request.priority, 0);
    job_request_clear(&request);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char body[128];
        struct err e;
        snprintf(body, sizeof body, "{\"model\":\"m\",\"dataset\":\"d\",%s}", bad[i]);
        ck_assert(!parse(body, &request, &e));
        ck_assert_str_eq(e.field, "priority");
    }
}
END_TEST

START_TEST(test_a_resume_may_name_its_epochs)
{
    static const char *const bad[] = {
        "{\"epochs\":0}", "{\"epochs\":100001}", "{\"epoch\":1}", "[]", "", "{"};
    struct err e;
    int epochs = -1;
    ck_assert(job_resume_parse("{}", 2, &epochs, &e));
    ck_assert_int_eq(epochs, -1);
    ck_assert(job_resume_parse("{\"epochs\":7}", 12, &epochs, &e));
    ck_assert_int_eq(epochs, 7);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!job_resume_parse(bad[i], strlen(bad[i]), &epochs, &e), "%s", bad[i]);
}
END_TEST

TEST_PROGRAM("proto_job", test_a_priority_is_read_bounded_and_echoed,
             test_a_resume_may_name_its_epochs, test_a_job_needs_only_model_and_dataset,
             test_every_field_is_read, test_augmentation_is_read,
             test_augmentation_is_echoed_with_its_defaults,
             test_class_weights_and_sampling_are_read,
             test_each_optimizer_has_its_own_defaults_and_fields, test_schedules_are_read,
             test_null_means_none_where_the_writer_says_so,
             test_an_architecture_object_is_kept_as_text, test_a_dataset_may_carry_its_version,
             test_bad_requests_are_refused, test_bad_numbers_are_refused_by_field,
             test_bad_optimizers_are_refused_by_field, test_bad_choices_are_refused_by_field,
             test_bad_augmentation_is_refused_by_field,
             test_bad_weights_and_sampling_are_refused_by_field,
             test_failing_after_the_architecture_frees_it, test_dataset_requests_have_defaults,
             test_bad_dataset_requests_are_refused_by_field,
             test_an_unknown_generator_is_told_which_there_are)
