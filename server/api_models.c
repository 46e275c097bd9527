#include "api_models.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_query.h"
#include "name.h"

/* ---- shared ---- */

/* A version in a path: what is not a version's number names nothing. */
static bool path_version(const struct http_request *request, int *version, struct err *e)
{
    const char *text = request->params[1];
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (text[0] < '1' || text[0] > '9' || *end || errno || number > INT_MAX)
        return err_set(e, ERR_NOT_FOUND, "no version '%.40s' of model '%s'", text,
                       request->params[0]);
    *version = (int)number;
    return true;
}

static bool which_model(const struct http_request *request, const char **name, int *version,
                        struct err *e)
{
    *version = 0;
    *name = request->params[0][0] ? request->params[0] : http_query(request, "model");
    if (*name && !name_check(*name, "model", e))
        return false;
    if (request->params[1][0])
        return path_version(request, version, e);
    return api_query_int(request, "version", 1, INT_MAX, version, e);
}

struct model *api_model_acquire(struct app *app, const struct http_request *request, struct err *e)
{
    const char *name;
    int version;
    if (!which_model(request, &name, &version, e))
        return NULL;
    struct model *model = registry_acquire(app->registry, name, version, e);
    if (!model && e->code == ERR_NOT_FOUND && !atomic_load(&app->ready))
        err_set(e, ERR_UNAVAILABLE, "models are being loaded");
    return model;
}

void api_write_shape(struct json_writer *w, const char *key, const struct cnn_shape *shape)
{
    int dims[1 + CNN_AXES], count = cnn_shape_dims(shape, dims);
    jw_key(w, key);
    jw_array(w);
    for (int i = 0; i < count; i++)
        jw_int(w, dims[i]);
    jw_array_end(w);
}

/* ---- reading ---- */

static void write_labels(struct json_writer *w, const struct model_meta *meta)
{
    jw_key(w, "labels");
    jw_array(w);
    for (int i = 0; i < meta->label_count; i++)
        jw_string(w, meta->labels[i]);
    jw_array_end(w);
}

static void write_provenance(struct json_writer *w, const struct model_meta *meta)
{
    jw_key_string(w, "split", meta->split[0] ? meta->split : NULL);
    jw_key_double(w, "test_loss", meta->test_loss);
    jw_key_double(w, "test_accuracy", meta->test_accuracy);
    jw_key_string(w, "weights_sha256", meta->weights_sha256[0] ? meta->weights_sha256 : NULL);
    jw_key_string(w, "dataset", meta->dataset[0] ? meta->dataset : NULL);
    jw_key(w, "dataset_version");
    if (meta->dataset_version)
        jw_int(w, meta->dataset_version);
    else
        jw_null(w);
}

/* The members that describe one version; of a damaged one only what the catalogue knows. */
static void write_version(struct json_writer *w, struct app *app, const struct store_model *row)
{
    struct err damage; /* the log has the reason */
    struct model *model = registry_acquire(app->registry, row->name, row->version, &damage);
    jw_key_string(w, "name", row->name);
    jw_key_int(w, "version", row->version);
    jw_key_bool(w, "active", row->active);
    jw_key_string(w, "sha256", row->sha256);
    jw_key_string(w, "created", row->created);
    jw_key_string(w, "job", row->job[0] ? row->job : NULL);
    if (model) {
        api_write_shape(w, "input", &model->net->input);
        write_labels(w, &model->meta);
        jw_key_int(w, "parameters", (int64_t)model->net->param_count);
        jw_key_int(w, "macs", (int64_t)cnn_net_macs(model->net));
        jw_key_int(w, "bytes", (int64_t)model->bytes);
        jw_key(w, "preprocess");
        preprocess_write(w, &model->meta.preprocess);
        write_provenance(w, &model->meta);
    } else if (damage.code == ERR_UNAVAILABLE) { /* else: just being published or deleted */
        jw_key_bool(w, "damaged", true);
    }
    model_release(model);
}

/* The document of one model: its active version, and all. rows are its versions, oldest first. */
static void write_model(struct json_writer *w, struct app *app, const struct store_model *rows,
                        int count)
{
    jw_object(w);
    for (int i = 0; i < count; i++) {
        if (rows[i].active)
            write_version(w, app, &rows[i]);
    }
    jw_key(w, "versions");
    jw_array(w);
    for (int i = count - 1; i >= 0; i--) {
        jw_object(w);
        write_version(w, app, &rows[i]);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_object_end(w);
}

/* How many rows from the first on have its name. */
static int same_name(const struct store_model *rows, int count)
{
    int same = 1;
    while (same < count && strcmp(rows[same].name, rows[0].name) == 0)
        same++;
    return same;
}

bool api_models_list(struct app *app, const struct http_request *request,
                     struct http_response *response, struct err *e)
{
    struct store_model *rows = NULL;
    int count = 0, same;
    (void)request;
    if (!store_models(app->store, &rows, &count, e))
        return false;
    struct json_writer w;
    jw_begin(&w, &response->body);
    jw_object(&w);
    jw_key(&w, "models");
    jw_array(&w);
    for (int i = 0; i < count; i += same) {
        same = same_name(rows + i, count - i);
        write_model(&w, app, rows + i, same);
    }
    jw_array_end(&w);
    jw_object_end(&w);
    free(rows);
    return true;
}

bool api_models_get(struct app *app, const struct http_request *request,
                    struct http_response *response, struct err *e)
{
    const char *name = request->params[0];
    struct store_model *rows = NULL;
    int count = 0, at = 0;
    if (!name_check(name, "model", e) || !store_models(app->store, &rows, &count, e))
        return false;
    while (at < count && strcmp(rows[at].name, name) != 0)
        at++;
    bool ok = at < count || err_set(e, ERR_NOT_FOUND, "no model '%s'", name);
    if (ok) {
        struct json_writer w;
        jw_begin(&w, &response->body);
        write_model(&w, app, rows + at, same_name(rows + at, count - at));
    }
    free(rows);
    return ok;
}

bool api_models_onnx(struct app *app, const struct http_request *request,
                     struct http_response *response, struct err *e)
{
    struct model *model = api_model_acquire(app, request, e);
    if (!model)
        return false;
    char header[256];
    response->file = open(model->path, O_RDONLY | O_CLOEXEC);
    bool ok = response->file >= 0;
    if (ok) {
        response->content_type = "application/octet-stream";
        snprintf(header, sizeof header, "attachment; filename=\"%s-%d.onnx\"", model->name,
                 model->version);
        http_set_header(response, "Content-Disposition", header);
        snprintf(header, sizeof header, "\"%s\"", model->sha256);
        http_set_header(response, "ETag", header);
    } else if (errno == ENOENT) { /* deleted since it was acquired */
        err_set(e, ERR_NOT_FOUND, "no version %d of model '%s'", model->version, model->name);
    } else {
        err_set(e, ERR_IO, "cannot open version %d of model '%s': %s", model->version, model->name,
                strerror(errno));
    }
    model_release(model);
    return ok;
}

/* ---- deleting ---- */

bool api_models_delete(struct app *app, const struct http_request *request,
                       struct http_response *response, struct err *e)
{
    const char *name = request->params[0];
    int version = 0;
    if (!name_check(name, "model", e) ||
        (request->params[1][0] && !path_version(request, &version, e)) ||
        !registry_delete(app->registry, name, version, e))
        return false;
    response->status = 204;
    return true;
}
