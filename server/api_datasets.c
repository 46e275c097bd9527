#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "api_datasets.h"
#include "api_query.h"
#include "datasets.h"
#include "json_write.h"
#include "name.h"
#include "uploads.h"

/* ---- reading ---- */

/* The versions of row's name, newest first, as a member that follows others. */
static void write_versions(struct buf *out, const char *name, const struct store_dataset *rows,
                           int count)
{
    bool first = true;
    buf_str(out, ",\"versions\":[");
    for (int i = count - 1; i >= 0; i--) { /* rows are by name, then version */
        if (strcmp(rows[i].name, name) != 0)
            continue;
        buf_fmt(out, "%s%d", first ? "" : ",", rows[i].version);
        first = false;
    }
    buf_str(out, "]");
}

/* The stored document of one version and the list of all of its name, without the last brace. */
static void write_document(struct buf *out, const struct store_dataset *row,
                           const struct store_dataset *rows, int count)
{
    buf_add(out, row->info, strlen(row->info) - 1);
    write_versions(out, row->name, rows, count);
}

/* 0: not announced, or not known yet. */
static void key_known(struct json_writer *w, const char *key, uint64_t value)
{
    jw_key(w, key);
    if (value)
        jw_int(w, (int64_t)value);
    else
        jw_null(w);
}

/* The list of uploads in flight, to one dataset or (NULL) to any. Returns how many. */
static int write_uploads(struct buf *out, const char *name)
{
    static _Thread_local struct upload_view views[LIMIT_UPLOADS_LISTED];
    struct json_writer w;
    int count = uploads_list(name, views, LIMIT_UPLOADS_LISTED);
    jw_begin(&w, out);
    jw_array(&w);
    for (int i = 0; i < count; i++) {
        jw_object(&w);
        jw_key_string(&w, "dataset", views[i].dataset);
        jw_key_string(&w, "state", views[i].importing ? "importing" : "receiving");
        jw_key_int(&w, "bytes_received", (int64_t)views[i].bytes_received);
        key_known(&w, "bytes", views[i].bytes);
        jw_key_int(&w, "entries_done", (int64_t)views[i].entries_done);
        key_known(&w, "entries", views[i].entries);
        jw_key_string(&w, "started", views[i].started);
        jw_key_string(&w, "request_id", views[i].request_id);
        jw_object_end(&w);
    }
    jw_array_end(&w);
    return count;
}

static void free_rows(struct store_dataset *rows, int count)
{
    for (int i = 0; i < count; i++)
        store_dataset_clear(&rows[i]);
    free(rows);
}

bool api_dataset_document(struct app *app, const char *name, int version, struct buf *out,
                          struct err *e)
{
    struct store_dataset *rows = NULL;
    const struct store_dataset *found = NULL;
    int count = 0;
    if (!store_datasets(app->store, &rows, &count, e))
        return false;
    for (int i = 0; i < count; i++) {
        if (strcmp(rows[i].name, name) == 0 && (version == 0 || rows[i].version == version))
            found = &rows[i]; /* the newest is the last */
    }
    bool ok = found != NULL;
    if (ok)
        write_document(out, found, rows, count);
    else if (version == 0)
        err_set(e, ERR_NOT_FOUND, "no dataset '%s'", name);
    else
        err_set(e, ERR_NOT_FOUND, "no version %d of dataset '%s'", version, name);
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
        buf_str(out, "}");
        first = false;
    }
    buf_str(out, "],\"uploads\":");
    write_uploads(out, NULL);
    buf_str(out, "}");
    free_rows(rows, count);
    return true;
}

/* A name whose first version is still on its way. */
static bool write_arriving(struct buf *out, const char *name)
{
    buf_fmt(out, "{\"name\":\"%s\",\"versions\":[],\"uploads\":", name);
    if (write_uploads(out, name) > 0)
        return true;
    buf_clear(out);
    return false;
}

bool api_datasets_get(struct app *app, const struct http_request *request,
                      struct http_response *response, struct err *e)
{
    const char *name = request->params[0];
    struct buf *out = &response->body;
    int version = 0;
    if (!name_check(name, "dataset", e) ||
        !api_query_int(request, "version", 1, INT32_MAX, &version, e))
        return false;
    if (api_dataset_document(app, name, version, out, e)) {
        buf_str(out, ",\"uploads\":");
        write_uploads(out, name);
    } else if (e->code != ERR_NOT_FOUND || version != 0 || !write_arriving(out, name)) {
        return false;
    }
    buf_str(out, "}");
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
