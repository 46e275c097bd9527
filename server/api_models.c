#include "api_models.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_query.h"
#include "datasets_labels.h"
#include "files.h"
#include "name.h"
#include "onnx.h"

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

bool api_which_model(const struct http_request *request, const char **name, int *version,
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
    if (!api_which_model(request, &name, &version, e))
        return NULL;
    return registry_acquire(app->registry, name, version, e);
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

/* The members that describe one version. */
static void write_version(struct json_writer *w, struct app *app, const struct store_model *row)
{
    struct registry_version found;
    struct err e;
    jw_key_string(w, "name", row->name);
    jw_key_int(w, "version", row->version);
    jw_key_bool(w, "active", row->active);
    jw_key_string(w, "sha256", row->sha256);
    jw_key_string(w, "created", row->created);
    jw_key_string(w, "job", row->job[0] ? row->job : NULL);
    if (registry_find(app->registry, row->name, row->version, &found, &e)) {
        jw_key_string(w, "state", registry_state_name(found.state));
        jw_key_string(w, "reason", found.reason[0] ? found.reason : NULL);
    } /* else it has just been deleted */
    if (row->info[0])
        jw_members(w, row->info, strlen(row->info));
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

/* The catalogue's rows of versions that answer as well: a row is there a moment before its model
 * is, and whoever reads of a version asks for it next. */
static bool served_models(struct app *app, struct store_model **rows, int *count, struct err *e)
{
    struct registry_version found;
    struct err absent;
    int kept = 0;
    if (!store_models(app->store, rows, count, e))
        return false;
    for (int i = 0; i < *count; i++) {
        struct store_model *row = &(*rows)[i];
        if (!registry_find(app->registry, row->name, row->version, &found, &absent)) {
            store_model_clear(row);
            continue;
        }
        row->active = found.active;
        (*rows)[kept++] = *row;
    }
    *count = kept;
    return true;
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
    if (!served_models(app, &rows, &count, e))
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
    store_models_free(rows, count);
    return true;
}

bool api_models_get(struct app *app, const struct http_request *request,
                    struct http_response *response, struct err *e)
{
    const char *name = request->params[0];
    struct store_model *rows = NULL;
    int count = 0, at = 0;
    if (!name_check(name, "model", e) || !served_models(app, &rows, &count, e))
        return false;
    while (at < count && strcmp(rows[at].name, name) != 0)
        at++;
    bool ok = at < count || err_set(e, ERR_NOT_FOUND, "no model '%s'", name);
    if (ok) {
        struct json_writer w;
        jw_begin(&w, &response->body);
        write_model(&w, app, rows + at, same_name(rows + at, count - at));
    }
    store_models_free(rows, count);
    return ok;
}

/* Reads the file that the catalogue names, whether it is loaded or not. */
static bool open_file(const struct registry_version *found, int *fd, struct err *e)
{
    if (found->state == REGISTRY_DAMAGED)
        return err_set(e, ERR_UNAVAILABLE, "version %d of model '%s' is damaged: %s",
                       found->version, found->name, found->reason);
    *fd = open(found->path, O_RDONLY | O_CLOEXEC);
    if (*fd >= 0)
        return true;
    if (errno == ENOENT) /* deleted since it was found */
        return err_set(e, ERR_NOT_FOUND, "no version %d of model '%s'", found->version,
                       found->name);
    return err_set(e, ERR_IO, "cannot open version %d of model '%s': %s", found->version,
                   found->name, strerror(errno));
}

bool api_models_onnx(struct app *app, const struct http_request *request,
                     struct http_response *response, struct err *e)
{
    struct registry_version found;
    const char *name;
    int version;
    char header[256];
    if (!api_which_model(request, &name, &version, e) ||
        !registry_find(app->registry, name, version, &found, e) ||
        !open_file(&found, &response->file, e))
        return false;
    response->content_type = "application/octet-stream";
    snprintf(header, sizeof header, "attachment; filename=\"%s-%d.onnx\"", found.name,
             found.version);
    http_set_header(response, "Content-Disposition", header);
    snprintf(header, sizeof header, "\"%s\"", found.sha256);
    http_set_header(response, "ETag", header);
    return true;
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

/* ---- activating ---- */

/* The document of one version. */
static bool answer_version(struct app *app, const char *name, int version,
                           struct http_response *response, struct err *e)
{
    struct store_model *rows = NULL;
    int count = 0, at = 0;
    if (!store_models(app->store, &rows, &count, e))
        return false;
    while (at < count && (rows[at].version != version || strcmp(rows[at].name, name) != 0))
        at++;
    bool ok = at < count || err_set(e, ERR_NOT_FOUND, "no version %d of model '%s'", version, name);
    if (ok) {
        struct json_writer w;
        jw_begin(&w, &response->body);
        jw_object(&w);
        write_version(&w, app, &rows[at]);
        jw_object_end(&w);
    }
    store_models_free(rows, count);
    return ok;
}

bool api_models_activate(struct app *app, const struct http_request *request,
                         struct http_response *response, struct err *e)
{
    const char *name;
    int version;
    return api_which_model(request, &name, &version, e) &&
           registry_activate(app->registry, name, version, e) &&
           answer_version(app, name, version, response, e);
}

/* ---- putting ---- */

/* The body's net, with the labels "cat,dog" instead of those of the file. */
static bool relabel(const struct http_request *request, const char *text, struct buf *out,
                    struct err *e)
{
    struct model_meta meta;
    struct dataset_info named = {.label_count = 0};
    struct cnn_net *net = onnx_read(request->body, request->body_size, &meta, e);
    if (!net)
        return false;
    const bool ok = datasets_set_labels(&named, text, meta.label_count, e) &&
                    model_meta_set_labels(&meta, named.labels, named.label_count, e) &&
                    onnx_write(net, &meta, out, e);
    dataset_info_clear(&named);
    model_meta_clear(&meta);
    cnn_net_free(net);
    return ok;
}

/* The body as a finished file in tmp/, with these labels if any are given. */
static bool write_temp(const struct http_request *request, char path[FILES_PATH_BYTES],
                       struct err *e)
{
    static atomic_uint count;
    const char *labels = http_query(request, "labels");
    struct buf relabelled = {.data = NULL};
    struct file_writer w;
    bool ok = !labels || relabel(request, labels, &relabelled, e);
    ok = ok && file_begin(&w, e);
    if (ok) {
        if (labels)
            file_write(&w, relabelled.data, relabelled.size);
        else
            file_write(&w, request->body, request->body_size);
        snprintf(path, FILES_PATH_BYTES, "%.4000s/tmp/put-%u", files_data_dir(),
                 atomic_fetch_add(&count, 1));
        ok = file_commit(&w, path, e);
    }
    buf_clear(&relabelled);
    return ok;
}

bool api_models_put(struct app *app, const struct http_request *request,
                    struct http_response *response, struct err *e)
{
    const char *name = request->params[0];
    char temp[FILES_PATH_BYTES];
    int version;
    if (!name_check(name, "model", e) || !write_temp(request, temp, e) ||
        !registry_publish(app->registry, name, temp, &version, e))
        return false;
    response->status = 201;
    char location[HTTP_PARAM_BYTES + 16];
    snprintf(location, sizeof location, "/models/%s", name);
    http_set_header(response, "Location", location);
    return answer_version(app, name, version, response, e);
}
