/* api_storage.c - what lies in the data directory, and how much more may. */
#include "api.h"
#include "files.h"
#include "json_write.h"

static uint64_t database_bytes(void)
{
    char path[FILES_PATH_BYTES];
    files_database_path(path, sizeof path);
    return file_size(path);
}

bool api_storage(struct app *app, const struct http_request *request,
                 struct http_response *response, struct err *e)
{
    static const char *const folders[][2] = {{"datasets_bytes", "datasets"},
                                             {"models_bytes", "models"},
                                             {"checkpoints_bytes", "checkpoints"}};
    struct space_usage usage;
    struct json_writer w;
    (void)app, (void)request, (void)e;
    space_look(&usage);
    jw_begin(&w, &response->body);
    jw_object(&w);
    jw_key(&w, "quota_bytes");
    if (usage.quota)
        jw_int(&w, (int64_t)usage.quota);
    else
        jw_null(&w);
    jw_key_int(&w, "used_bytes", (int64_t)usage.used);
    jw_key_int(&w, "available_bytes", (int64_t)usage.available);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        jw_key_int(&w, folders[i][0], (int64_t)space_of_folder(folders[i][1]));
    jw_key_int(&w, "database_bytes", (int64_t)database_bytes());
    jw_object_end(&w);
    return true;
}
