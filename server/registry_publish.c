/* registry_publish.c - versions into the table and the catalogue, and out of both. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "log.h"
#include "registry_table.h"

/* ---- publication ---- */

static void fill_row(const struct model *model, const char *job, struct store_model *row)
{
    *row = (struct store_model){.version = model->version, .active = true, .info = model->info};
    snprintf(row->name, sizeof row->name, "%s", model->name);
    memcpy(row->sha256, model->sha256, sizeof row->sha256);
    snprintf(row->job, sizeof row->job, "%s", job ? job : "");
    store_now(row->created);
}

/* Its place in the table is made now, so that serving it later cannot fail. */
static bool add_staged(struct registry *registry, struct version *version, struct err *e)
{
    pthread_mutex_lock(&registry->mutex);
    struct named *named = registry_named_make(registry, version->name, e);
    if (named) {
        named->staged++;
        version->next = registry->staged;
        registry->staged = version;
    }
    pthread_mutex_unlock(&registry->mutex);
    return named != NULL;
}

bool registry_stage(struct registry *registry, const char *name, const char *temp, const char *job,
                    struct store_model *row, struct model **model, struct err *e)
{
    int number;
    struct version *version = NULL;
    struct err ignored;
    if (!store_next_version(registry->store, "model", name, &number, e) ||
        !(version = registry_version_new(name, number, e)) ||
        !(version->model = model_read(name, number, temp, NULL, e)) ||
        !model_warm(version->model, registry->options.lanes, e) ||
        !file_publish(temp, version->path, e))
        goto fail;
    if (!add_staged(registry, version, e)) {
        file_remove(version->path, &ignored);
        goto fail;
    }
    version->state = REGISTRY_LOADED;
    version->described = true;
    memcpy(version->sha256, version->model->sha256, sizeof version->sha256);
    fill_row(version->model, job, row);
    *model = version->model;
    return true;
fail:
    registry_version_free(version);
    file_remove(temp, &ignored); /* the first failure is the one to tell */
    return false;
}

void registry_hold(struct registry *registry)
{
    pthread_mutex_lock(&registry->change);
}

void registry_let_go(struct registry *registry)
{
    pthread_mutex_unlock(&registry->change);
}

/* Takes what was staged with this model from there. The mutex is held. */
static struct version *unstage(struct registry *registry, const struct model *model)
{
    struct version **link = &registry->staged;
    while (*link && (*link)->model != model)
        link = &(*link)->next;
    struct version *version = *link;
    CHECK(version);
    *link = version->next;
    registry_named(registry, version->name)->staged--;
    return version;
}

/* Takes out of memory, one a call, what was superseded before last: nobody rolls back to it, and
 * who asks for it by number loads it again. */
static struct model *unload_old(struct registry *registry, const char *name)
{
    struct model *model = NULL;
    pthread_mutex_lock(&registry->mutex);
    const struct named *named = registry_named(registry, name);
    for (struct version *v = named ? named->versions : NULL; v && !model; v = v->next)
        if (v->model && (named->unloaded || (v != named->active && v != named->previous)))
            model = registry_unload(v);
    pthread_mutex_unlock(&registry->mutex);
    return model;
}

/* After another version has become active. */
static void settle_memory(struct registry *registry, const struct model *active)
{
    struct model *old;
    while ((old = unload_old(registry, active->name)))
        model_release(old);
    registry_evict(registry, active);
}

void registry_serve(struct registry *registry, struct model *model)
{
    model_acquire(model);
    pthread_mutex_lock(&registry->mutex);
    struct version *version = unstage(registry, model);
    version->used = ++registry->uses;
    registry_insert(registry_named(registry, version->name), version, true);
    pthread_mutex_unlock(&registry->mutex);
    settle_memory(registry, model);
    model_release(model);
}

static void remove_file(const struct version *version)
{
    struct err cause;
    /* No row names it any more: left behind it is only wasted space. */
    if (!file_remove(version->path, &cause))
        log_event(LOG_WARN, "file_left_behind", "path", version->path, "reason", cause.detail,
                  NULL);
}

void registry_dispose(struct version *version)
{
    remove_file(version);
    registry_version_free(version);
}

void registry_discard(struct registry *registry, struct model *model)
{
    pthread_mutex_lock(&registry->mutex);
    struct version *version = unstage(registry, model);
    registry_named_settle(registry, registry_named(registry, version->name));
    pthread_mutex_unlock(&registry->mutex);
    registry_dispose(version);
}

bool registry_publish(struct registry *registry, const char *name, const char *temp, int *number,
                      struct err *e)
{
    struct store_model row;
    struct model *model;
    if (!registry_stage(registry, name, temp, "", &row, &model, e))
        return false;
    *number = row.version;
    registry_hold(registry);
    const bool ok = store_model_add(registry->store, &row, e);
    if (ok)
        registry_serve(registry, model);
    registry_let_go(registry);
    if (!ok)
        registry_discard(registry, model);
    return ok;
}

/* ---- activation ---- */

static void set_active(struct registry *registry, const struct model *model)
{
    pthread_mutex_lock(&registry->mutex);
    struct named *named = registry_named(registry, model->name);
    struct version *version = named->versions;
    while (version && version->number != model->version)
        version = version->next;
    CHECK(version); /* its row is there, and `change` is held */
    if (named->active != version) {
        named->previous = named->active;
        named->active = version;
    }
    pthread_mutex_unlock(&registry->mutex);
}

bool registry_activate(struct registry *registry, const char *name, int number, struct err *e)
{
    struct model *model = registry_acquire(registry, name, number, e);
    if (!model)
        return false;
    registry_hold(registry);
    const bool ok = store_model_activate(registry->store, name, number, e);
    if (ok)
        set_active(registry, model);
    registry_let_go(registry);
    if (ok)
        settle_memory(registry, model);
    model_release(model);
    return ok;
}

/* ---- deleting ---- */

/* The mutex is held. */
static void forget(struct named *named, struct version *version)
{
    if (named->previous == version)
        named->previous = NULL;
    if (named->active == version)
        named->active = NULL;
    version->gone = true;
}

/* Takes this version (0 = all) out of the table, as a list of their own, without those that a
 * thread loads: it sees that they are gone. */
static struct version *detach(struct registry *registry, const char *name, int number)
{
    struct version *detached = NULL;
    pthread_mutex_lock(&registry->mutex);
    struct named *named = registry_named(registry, name);
    for (struct version **link = &named->versions; *link;) {
        struct version *version = *link;
        if (number && version->number != number) {
            link = &version->next;
            continue;
        }
        *link = version->next;
        forget(named, version);
        if (version->state == REGISTRY_LOADING)
            continue;
        version->next = detached;
        detached = version;
    }
    if (!named->active)
        named->active = named->versions; /* the newest, as in the store */
    registry_named_settle(registry, named);
    pthread_mutex_unlock(&registry->mutex);
    return detached;
}

bool registry_delete(struct registry *registry, const char *name, int number, struct err *e)
{
    registry_hold(registry);
    bool ok = store_model_delete(registry->store, name, number, e);
    struct version *version = ok ? detach(registry, name, number) : NULL;
    registry_let_go(registry);
    for (struct version *next; version; version = next) {
        next = version->next;
        registry_dispose(version);
    }
    return ok;
}
