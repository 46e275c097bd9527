/* Many jobs at once: the list. */
#include <string.h>

#include "api.h"
#include "api_query.h"
#include "job_view.h"
#include "limits.h"
#include "name.h"

enum { LIST_DEFAULT = 1000 }; /* jobs in one reply unless asked otherwise */

/* "loss", or "-loss" for the highest first. */
static bool query_sort(const struct http_request *request, struct store_job_filter *filter,
                       struct err *e)
{
    static const char *const names[] = {
        [JOB_BY_CREATED] = "created",
        [JOB_BY_FINISHED] = "finished",
        [JOB_BY_LOSS] = "loss",
        [JOB_BY_ACCURACY] = "accuracy",
        [JOB_BY_VAL_ACCURACY] = "val_accuracy",
        [JOB_BY_TEST_ACCURACY] = "test_accuracy",
    };
    const char *text = http_query(request, "sort");
    if (!text)
        return true;
    filter->ascending = text[0] != '-';
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text + !filter->ascending, names[i]) == 0) {
            filter->sort = (enum store_job_sort)i;
            return true;
        }
    return err_field(e, ERR_INVALID, "sort",
                     "expected created, finished, loss, accuracy, val_accuracy or test_accuracy, "
                     "'-' before it for the highest first, got '%.40s'",
                     text);
}

static bool query_state(const struct http_request *request, int *state, struct err *e)
{
    const char *names[JOB_STATE_COUNT + 1] = {NULL};
    for (int i = 0; i < JOB_STATE_COUNT; i++)
        names[i] = job_state_name((enum job_state)i);
    return api_query_choice(request, "state", names, state, e);
}

static bool query_filter(const struct http_request *request, struct store_job_filter *filter,
                         struct err *e)
{
    *filter = (struct store_job_filter){.model = http_query(request, "model"), .state = -1};
    if (!api_query_bool(request, "full", &filter->with_request, e))
        return false;
    int limit_max = filter->with_request ? LIMIT_JOBS_LISTED_FULL : LIMIT_JOBS_LISTED;
    filter->limit = limit_max < LIST_DEFAULT ? limit_max : LIST_DEFAULT;
    return (!filter->model || name_check(filter->model, "model", e)) &&
           query_state(request, &filter->state, e) && query_sort(request, filter, e) &&
           api_query_int(request, "limit", 1, limit_max, &filter->limit, e) &&
           api_query_int(request, "offset", 0, INT32_MAX, &filter->offset, e);
}

static void write_list(struct json_writer *w, const struct jobs_list *list)
{
    jw_object(w);
    jw_key(w, "jobs");
    jw_array(w);
    for (int i = 0; i < list->count; i++) {
        const struct jobs_live *live = NULL;
        for (int k = 0; k < list->live_count; k++)
            if (list->live[k].id == list->rows[i].id && list->rows[i].state == JOB_RUNNING)
                live = &list->live[k];
        job_view_write(w, &list->rows[i], live, 0);
    }
    jw_array_end(w);
    jw_key_int(w, "total", list->total);
    jw_object_end(w);
}

bool api_jobs_list(struct app *app, const struct http_request *request,
                   struct http_response *response, struct err *e)
{
    struct store_job_filter filter;
    struct jobs_list list;
    if (!query_filter(request, &filter, e) || !jobs_list(app->jobs, &filter, &list, e))
        return false;
    struct json_writer w;
    jw_begin(&w, &response->body);
    write_list(&w, &list);
    buf_str(&response->body, "\n");
    jobs_list_clear(&list);
    return true;
}
