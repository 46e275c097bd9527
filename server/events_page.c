#include "events_page.h"

#include <math.h>
#include <stdlib.h>

bool events_page_read(struct store *store, int64_t job, int64_t after, struct events_page *page,
                      struct err *e)
{
    *page = (struct events_page){.count = 0};
    if (!store_job_events(store, job, after, EVENTS_PAGE, &page->rows, &page->count, e))
        return false;
    if (store_job_get(store, job, &page->job, e))
        return true;
    free(page->rows);
    return false;
}

void events_page_clear(struct events_page *page)
{
    store_job_clear(&page->job);
    free(page->rows);
}

static void write_state(struct buf *out, const struct store_job *job, const struct store_event *row)
{
    bool newest = row->number == job->last_event;
    const struct event_state event = {
        .job = job->id,
        .id = {row->number, 0},
        .state = job_state_name(row->state),
        .time = row->time,
        .model = job->model,
        .epochs = job->epochs,
        .error = newest && job->error[0] ? job->error : NULL,
        .model_version = newest ? job->model_version : 0,
        .test_loss = newest ? job->test_loss : NAN,
        .test_accuracy = newest ? job->test_accuracy : NAN,
    };
    event_write_state(out, &event);
}

bool events_page_write(const struct events_page *page, int i, struct buf *out)
{
    const struct store_event *row = &page->rows[i];
    const struct event_epoch epoch = {
        .job = page->job.id,
        .id = {row->number, 0},
        .time = row->time,
        .epochs = page->job.epochs,
        .figures = row->figures,
    };
    bool newest = row->number == page->job.last_event;
    if (row->figures.epoch)
        event_write_epoch(out, &epoch);
    else if (newest || !job_state_is_end(row->state))
        write_state(out, &page->job, row);
    return newest && job_state_is_end(row->state);
}
