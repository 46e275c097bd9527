#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "api_query.h"
#include "datasets.h"
#include "multipart.h"
#include "name.h"

/* ---- reading ---- */

/* The stored document of one version, with the list of all of the same name put before its end. */
static void write_document(struct buf *out, const struct store_dataset *row,
                           const struct store_dataset *rows, int count)
{
    bool first = true;
    buf_add(out, row->info, strlen(row->info) - 1);
    buf_str(out, ",\"versions\":[");
    for (int i = count - 1; i >= 0; i--) { /* newest first */
        if (strcmp(rows[i].name, row->name) != 0)
            continue;
        buf_fmt(out, "%s%d", first ? "" : ",", rows[i].version);
        first = false;
    }
    buf_str(out, "]}");
}

static void free_rows(struct store_dataset *rows, int count)
{
    for (int i = 0; i < count; i++)
        store_dataset_clear(&rows[i]);
    free(rows);
}

/* The newest version's document into the reply. */
static bool reply_document(struct app *app, const char *name, struct http_response *response,
                           struct err *e)
{
    struct store_dataset *rows = NULL;
    const struct store_dataset *newest = NULL;
    int count = 0;
    if (!store_datasets(app->store, &rows, &count, e))
        return false;
    for (int i = 0; i < count; i++) {
        if (strcmp(rows[i].name, name) == 0)
            newest = &rows[i]; /* rows are by name, then version */
    }
    bool ok = newest || err_set(e, ERR_NOT_FOUND, "no dataset '%s'", name);
    if (ok)
        write_document(&response->body, newest, rows, count);
    free_rows(rows, count);
    return ok;
}

bool api_datasets_list(struct app *app, const struct http_request *request,
                       struct http_response *response, struct err *e)
{
    struct store_dataset *rows = NULL;
    int count = 0;
    (void)request;
    if (!store_datasets(app->store, &rows, &count, e))
        return false;
    struct buf *out = &response->body;
    bool first = true;
    buf_str(out, "{\"datasets\":[");
    for (int i = 0; i < count; i++) {
        if (i + 1 < count && strcmp(rows[i].name, rows[i + 1].name) == 0)
            continue; /* not the newest of its name */
        buf_str(out, first ? "" : ",");
        write_document(out, &rows[i], rows, count);
        first = false;
    }
    buf_str(out, "]}");
    free_rows(rows, count);
    return true;
}

bool api_datasets_get(struct app *app, const struct http_request *request,
                      struct http_response *response, struct err *e)
{
    const char *name = request->params[0];
    return name_check(name, "dataset", e) && reply_document(app, name, response, e);
}

/* ---- making ---- */

static bool put_generated(struct app *app, const struct http_request *request, int *version,
                          struct err *e)
{
    struct dataset_request generate;
    return dataset_request_parse(request->body, request->body_size, &generate, e) &&
           datasets_generate(app->store, request->params[0], &generate, version, e);
}

static bool take_part(const struct multipart_part *part, struct datasets_idx *idx, struct err *e)
{
    for (int i = 0; i < 4; i++) {
        if (strcmp(part->name, datasets_part_names[i]) != 0)
            continue;
        if (idx->bytes[i])
            return err_field(e, ERR_INVALID, part->name, "part '%s' is given twice", part->name);
        idx->bytes[i] = part->data;
        idx->sizes[i] = part->size;
        return true;
    }
    return err_field(e, ERR_INVALID, part->name,
                     "unknown part '%s', expected train_images, train_labels, test_images or "
                     "test_labels",
                     part->name);
}

static bool read_parts(const struct http_request *request, struct datasets_idx *idx, struct err *e)
{
    struct multipart multipart;
    struct multipart_part part;
    int more;
    if (!multipart_begin(&multipart, request->content_type, request->body, request->body_size, e))
        return false;
    while ((more = multipart_next(&multipart, &part, e)) == 1) {
        if (!take_part(&part, idx, e))
            return false;
    }
    return more == 0;
}

static bool put_idx(struct app *app, const struct http_request *request, int *version,
                    struct err *e)
{
    struct datasets_idx idx = {.labels = http_query(request, "labels"),
                               .decoded_max = LIMIT_DATASET_BODY_BYTES};
    int train = 0, test = 0;
    if (!api_query_int(request, "train", 1, CNN_SAMPLES_MAX, &train, e) ||
        !api_query_int(request, "test", 1, CNN_SAMPLES_MAX, &test, e) ||
        !read_parts(request, &idx, e))
        return false;
    idx.take[SPLIT_TRAIN] = (uint32_t)train;
    idx.take[SPLIT_TEST] = (uint32_t)test;
    return datasets_import_idx(app->store, request->params[0], &idx, version, e);
}

static bool is_type(const struct http_request *request, const char *type)
{
    size_t size = strlen(type);
    const char *given = request->content_type;
    return given && strncasecmp(given, type, size) == 0 && strchr("; \t", given[size]);
}

/* A body that begins with a brace or bracket is JSON whatever the header says. */
static bool is_json(const struct http_request *request)
{
    const char *body = request->body;
    return is_type(request, "application/json") ||
           (!is_type(request, "multipart/form-data") && request->body_size > 0 &&
            (body[0] == '{' || body[0] == '['));
}

bool api_datasets_put(struct app *app, const struct http_request *request,
                      struct http_response *response, struct err *e)
{
    const char *name = request->params[0];
    char location[HTTP_PARAM_BYTES + 16];
    int version;
    bool ok;
    if (!name_check(name, "dataset", e))
        return false;
    if (is_json(request))
        ok = put_generated(app, request, &version, e);
    else if (is_type(request, "multipart/form-data"))
        ok = put_idx(app, request, &version, e);
    else
        return err_set(e, ERR_MEDIA_TYPE,
                       "cannot read '%.60s', expected application/json (a generator) or "
                       "multipart/form-data (IDX files)",
                       request->content_type ? request->content_type : "no content type");
    if (!ok || !reply_document(app, name, response, e))
        return false;
    response->status = 201;
    snprintf(location, sizeof location, "/datasets/%s", name);
    http_set_header(response, "Location", location);
    return true;
}

bool api_datasets_delete(struct app *app, const struct http_request *request,
                         struct http_response *response, struct err *e)
{
    const char *name = request->params[0];
    if (!name_check(name, "dataset", e) || !datasets_delete(app->store, name, e))
        return false;
    response->status = 204;
    return true;
}
