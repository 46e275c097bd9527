#include "job_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job_net.h"
#include "job_space.h"
#include "name.h"
#include "step.h"

/* An error about what a field of the request names. */
static bool within_field(struct err *e, const char *field)
{
    snprintf(e->field, sizeof e->field, "%s", field);
    return false;
}

/* The model to start from: pins its version; without an architecture its own is taken. */
static bool check_base(struct registry *registry, struct job_request *request, struct model **base,
                       struct err *e)
{
    char name[LIMIT_NAME_BYTES + 1];
    int version;
    if (!job_net_base(request, name, &version, e))
        return false;
    *base = registry_acquire(registry, name, version, e);
    if (!*base)
        return within_field(e, "init_from");
    snprintf(request->init_from, sizeof request->init_from, "%s:%d", name, (*base)->version);
    if (request->architecture)
        return true;
    request->architecture = job_net_architecture((*base)->net, e);
    return request->architecture != NULL;
}

static bool check_samples(const struct job_request *request, const struct dataset *dataset,
                          struct err *e)
{
    uint32_t count = dataset->samples[SPLIT_TRAIN].count;
    if (count == 0)
        return err_field(e, ERR_INVALID, "dataset", "dataset '%s' has no training samples",
                         request->dataset);
    if (count < 2 && request->train.validation_split > 0)
        return err_field(e, ERR_INVALID, "validation_split", "one sample cannot be split");
    return cnn_train_fits(&request->train, &dataset->samples[SPLIT_TRAIN], e);
}

/* A net that can be trained on the dataset, starting from the base model's weights if any. Fills
 * in the threads. */
static bool check_net(const struct config *config, struct job_request *request,
                      const struct dataset *dataset, const struct model *base, struct err *e)
{
    struct cnn_net *net = job_net_plan(request, dataset, e);
    if (!net)
        return false;
    bool ok = net->param_count > 0 ||
              err_field(e, ERR_INVALID, "architecture", "net has no parameters to train");
    ok = ok && (!base || job_net_agree(net, base->net, request->init_from, e)) &&
         job_space_check(net->state_count, e);
    if (ok && request->train.threads == 0)
        request->train.threads = cnn_step_threads(net, request->train.batch_size, config->threads);
    cnn_net_free(net);
    return ok;
}

/* Its content is for the worker to check. */
static bool open_dataset(struct store *store, struct job_request *request, struct dataset *dataset,
                         struct err *e)
{
    if (!datasets_open(store, request->dataset, request->dataset_version, false, dataset, e))
        return within_field(e, "dataset");
    request->dataset_version = dataset->version;
    return true;
}

bool job_check(const struct config *config, struct store *store, struct registry *registry,
               struct job_request *request, struct err *e)
{
    struct dataset dataset;
    struct model *base = NULL;
    struct cnn_train_config train = request->train;
    if (train.threads == 0)
        train.threads = 1; /* chosen below */
    if (!name_check(request->model, "model", e) || !cnn_train_check(&train, e) ||
        !open_dataset(store, request, &dataset, e))
        return false;
    bool ok = check_samples(request, &dataset, e) &&
              (!request->init_from[0] || check_base(registry, request, &base, e)) &&
              job_net_default(request, &dataset, e) &&
              check_net(config, request, &dataset, base, e);
    if (base)
        model_release(base);
    dataset_close(&dataset);
    return ok;
}
