#include "job_post.h"

#include <stdlib.h>
#include <string.h>

#include "job_check.h"

/* What a request says itself, noted before job_check fills in the rest. */
struct job_given {
    bool version, architecture, threads;
    char init_from[sizeof((struct job_request *)0)->init_from];
};

static struct job_given given_by(const struct job_request *request)
{
    struct job_given given = {
        .version = request->dataset_version != 0,
        .architecture = request->architecture != NULL,
        .threads = request->train.threads != 0,
    };
    memcpy(given.init_from, request->init_from, sizeof given.init_from);
    return given;
}

static char *request_text(const struct job_request *request, struct err *e)
{
    struct buf text = {0};
    struct json_writer w;
    jw_begin(&w, &text);
    job_request_write(&w, request);
    char *copy = buf_ok(&text) ? strdup(buf_text(&text)) : NULL;
    buf_clear(&text);
    if (!copy)
        err_no_memory(e);
    return copy;
}

/* Takes over from `old` what the new request left open. */
static void fill_from(struct job_request *request, const struct job_given *given,
                      struct job_request *old)
{
    if (!given->version)
        request->dataset_version = old->dataset_version;
    if (!given->threads)
        request->train.threads = old->train.threads;
    if (!given->architecture) {
        char *ours = request->architecture;
        request->architecture = old->architecture;
        old->architecture = ours;
    }
    size_t size = strlen(given->init_from);
    if (size > 0 && !strchr(given->init_from, ':') &&
        strncmp(old->init_from, given->init_from, size) == 0 && old->init_from[size] == ':')
        memcpy(request->init_from, old->init_from, sizeof request->init_from);
}

/* Whether a request asks for the same job as the stored one (JSON), what was left open taken from
 * there. May change `request` to it. */
static bool is_same(struct job_request *request, const struct job_given *given, const char *stored,
                    bool *same, struct err *e)
{
    struct job_request old = {0};
    if (!job_request_parse(stored, strlen(stored), &old, e))
        return false;
    /* Written anew: an older strided knew fewer settings. */
    char *old_text = request_text(&old, e), *text = NULL;
    fill_from(request, given, &old);
    job_request_clear(&old);
    if (old_text)
        text = request_text(request, e);
    if (text)
        *same = strcmp(text, old_text) == 0;
    free(old_text);
    free(text);
    return text != NULL;
}

/* The key was seen before: fine if it asks for the same. */
static bool check_replay(struct store *store, struct job_request *request,
                         const struct job_given *given, int64_t id, struct err *e)
{
    struct store_job earlier = {0};
    bool same = false;
    if (!store_job_get(store, id, &earlier, e))
        return false;
    bool ok = is_same(request, given, earlier.request, &same, e);
    store_job_clear(&earlier);
    if (ok && !same)
        return err_field(e, ERR_CONFLICT, "Idempotency-Key",
                         "key was used for another request: job '%lld'", (long long)id);
    return ok;
}

static bool add(const struct config *config, struct store *store, const struct job_request *request,
                const char *key, int64_t *id, bool *replayed, struct err *e)
{
    struct store_job row = {.state = JOB_QUEUED};
    memcpy(row.model, request->model, sizeof row.model);
    memcpy(row.dataset, request->dataset, sizeof row.dataset);
    row.dataset_version = request->dataset_version;
    row.priority = request->priority;
    row.epochs = request->train.epochs;
    row.threads = request->train.threads;
    row.request = request_text(request, e);
    bool ok = row.request && store_job_add(store, &row, key, config->jobs_queued_max, replayed, e);
    *id = row.id;
    store_job_clear(&row);
    return ok;
}

bool job_post(const struct config *config, struct store *store, struct registry *registry,
              struct job_request *request, const char *idempotency_key, int64_t *id, bool *replayed,
              struct err *e)
{
    struct job_given given = given_by(request);
    *id = 0;
    if (idempotency_key && !store_job_by_key(store, idempotency_key, id, e))
        return false;
    *replayed = *id != 0;
    /* A job that was taken once is not checked again: its dataset may be gone, the queue full. */
    if (!*replayed && (!job_check(config, store, registry, request, e) ||
                       !add(config, store, request, idempotency_key, id, replayed, e)))
        return false;
    return !*replayed || check_replay(store, request, &given, *id, e);
}
