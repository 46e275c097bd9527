/* job_json.h - a training job's request as JSON <-> struct job_request. */
#ifndef STRIDED_JOB_JSON_H
#define STRIDED_JOB_JSON_H

#include "json_write.h"
#include "train.h"

struct job_request {
    char model[LIMIT_NAME_BYTES + 1];
    char dataset[LIMIT_NAME_BYTES + 1];
    int dataset_version; /* 0 = the newest when posted; the daemon fills in the one used */
    char *architecture;  /* owned JSON text: a quoted preset name or an object; NULL = default */
    char init_from[LIMIT_NAME_BYTES + 16]; /* "digits:3", "digits" or "" */
    enum cnn_init init;
    int priority;                  /* -LIMIT_JOB_PRIORITY..LIMIT_JOB_PRIORITY; higher runs first */
    float *class_weights;          /* owned; what train.class_weights points to */
    struct cnn_train_config train; /* threads 0 = the daemon's default */
};

/* Reads POST /jobs' body. Fields: model, dataset, dataset_version, architecture, epochs,
 * batch_size, seed, threads, optimizer{type,lr,momentum,nesterov,weight_decay,beta1,beta2,alpha,
 * epsilon}, schedule{type,step_epochs,gamma,min_lr,warmup_epochs}, loss, class_weights (null,
 * "balanced" or one a class), label_smoothing, sampling ("shuffle","balanced"), augment
 * (augment_json.h), clip_norm, validation_split, publish ("best","last"), early_stopping{patience},
 * init, init_from, priority. `dataset` may be "name:version". Refuses unknown fields; every error
 * names its field. */
bool job_request_parse(const char *text, size_t size, struct job_request *request, struct err *e);
void job_request_clear(struct job_request *request);
/* The whole request with its defaults filled in, as an object; parse reads it back the same. */
void job_request_write(struct json_writer *w, const struct job_request *request);

/* Reads POST /jobs/ID/resume's body, {"epochs": N}; absent = left as it is. */
bool job_resume_parse(const char *text, size_t size, int *epochs, struct err *e);

#endif
