#include "uploads.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store.h"

struct upload {
    struct upload *next;
    struct upload_view view;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards the list and all in it */
static struct upload *first;

struct upload *upload_begin(const char *pattern, const char *dataset, const char *request_id,
                            uint64_t bytes)
{
    static const char followed[] = "/datasets/{dataset}";
    if (strncmp(pattern, followed, sizeof followed - 1) != 0)
        return NULL;
    struct upload *upload = calloc(1, sizeof *upload); /* unfollowed when memory is out */
    if (!upload)
        return NULL;
    struct upload_view *view = &upload->view;
    snprintf(view->dataset, sizeof view->dataset, "%s", dataset);
    snprintf(view->request_id, sizeof view->request_id, "%s", request_id);
    store_now(view->started);
    view->bytes = bytes;
    pthread_mutex_lock(&mutex);
    struct upload **last = &first;
    while (*last)
        last = &(*last)->next;
    *last = upload;
    pthread_mutex_unlock(&mutex);
    return upload;
}

void upload_received(struct upload *upload, uint64_t bytes)
{
    if (!upload)
        return;
    pthread_mutex_lock(&mutex);
    upload->view.bytes_received += bytes;
    pthread_mutex_unlock(&mutex);
}

void upload_importing(struct upload *upload, uint64_t entries)
{
    if (!upload)
        return;
    pthread_mutex_lock(&mutex);
    upload->view.importing = true;
    upload->view.entries = entries;
    pthread_mutex_unlock(&mutex);
}

void upload_entry_done(struct upload *upload)
{
    if (!upload)
        return;
    pthread_mutex_lock(&mutex);
    upload->view.entries_done++;
    pthread_mutex_unlock(&mutex);
}

void upload_end(struct upload *upload)
{
    if (!upload)
        return;
    pthread_mutex_lock(&mutex);
    struct upload **at = &first;
    while (*at != upload)
        at = &(*at)->next;
    *at = upload->next;
    pthread_mutex_unlock(&mutex);
    free(upload);
}

int uploads_list(const char *dataset, struct upload_view *views, int max)
{
    int count = 0;
    pthread_mutex_lock(&mutex);
    for (const struct upload *u = first; u && count < max; u = u->next) {
        if (!dataset || strcmp(u->view.dataset, dataset) == 0)
            views[count++] = u->view;
    }
    pthread_mutex_unlock(&mutex);
    return count;
}
