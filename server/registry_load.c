/* registry_load.c - versions into memory and out of it.
 *
 * A version that is to be loaded is REGISTRY_LOADING from then on: in the line, or with the thread
 * that loads it. Nobody else touches it but to add a waiter, or to take it out of the table: then
 * it is `gone`, and the thread that loads it frees it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "log.h"
#include "registry_table.h"

static void log_version(enum log_level level, const char *event, const char *name, int number,
                        const char *reason)
{
    char text[16];
    snprintf(text, sizeof text, "%d", number);
    log_event(level, event, "model", name, "version", text, "reason", reason, NULL);
}

/* ---- limits ---- */

/* The mutex is held. */
static size_t memory_used(const struct registry *registry)
{
    size_t bytes = 0;
    for (int i = 0; i < registry->name_count; i++)
        for (struct version *v = registry->names[i]->versions; v; v = v->next)
            bytes += v->model ? model_memory(v->model) : 0;
    return bytes;
}

/* The mutex is held. */
static struct version *least_used(const struct registry *registry, const struct model *keep)
{
    struct version *least = NULL;
    for (int i = 0; i < registry->name_count; i++)
        for (struct version *v = registry->names[i]->versions; v; v = v->next)
            if (v->model && v->model != keep && (!least || v->used < least->used))
                least = v;
    return least;
}

void registry_evict(struct registry *registry, const struct model *keep)
{
    for (;;) {
        struct model *model = NULL;
        pthread_mutex_lock(&registry->mutex);
        if (memory_used(registry) > registry->options.memory_max) {
            struct version *version = least_used(registry, keep);
            model = version ? registry_unload(version) : NULL;
        }
        pthread_mutex_unlock(&registry->mutex);
        if (!model)
            return;
        log_version(LOG_INFO, "model_unloaded", model->name, model->version, "memory");
        model_release(model);
    }
}

/* ---- one load ---- */

static struct model *read_version(const struct registry *registry, const struct version *version,
                                  struct err *e)
{
    struct model *model =
        model_read(version->name, version->number, version->path, version->sha256, e);
    if (model && !model_warm(model, registry->options.lanes, e)) {
        model_release(model);
        model = NULL;
    }
    return model;
}

/* Rows of catalogues from before descriptions get theirs. */
static void describe(struct registry *registry, struct version *version, const struct model *model)
{
    struct err e;
    if (!version->described &&
        !store_model_describe(registry->store, version->name, version->number, model->info, &e))
        log_version(LOG_WARN, "model_not_described", version->name, version->number, e.detail);
    version->described = true;
}

/* Whether the file itself is at fault, so that trying again is of no use. */
static bool is_damage(const struct err *e)
{
    return e->code != ERR_NO_MEMORY && e->code != ERR_IO && e->code != ERR_UNAVAILABLE;
}

/* The load is over, with a model or with *e. Whether the table takes the model; else *e is what who
 * waits for it is told. The mutex is held. */
static bool settle(struct registry *registry, struct version *version, struct model *model,
                   struct err *e)
{
    version->state = REGISTRY_UNLOADED;
    registry->background -= version->background;
    version->background = false;
    if (version->gone)
        return err_set(e, ERR_NOT_FOUND, "no version %d of model '%s'", version->number,
                       version->name);
    if (!model && is_damage(e)) {
        version->state = REGISTRY_DAMAGED;
        version->failure = *e;
    }
    if (registry_refuses(registry, version, e))
        return false;
    if (!model) {
        const struct err cause = *e;
        return err_set(e, ERR_UNAVAILABLE, "cannot load version %d of model '%s': %.250s",
                       version->number, version->name, cause.detail);
    }
    version->state = REGISTRY_LOADED;
    version->model = model_acquire(model);
    return true;
}

static bool finish(struct registry *registry, struct version *version, struct model *model,
                   struct err *e)
{
    pthread_mutex_lock(&registry->mutex);
    const bool ok = settle(registry, version, model, e), gone = version->gone;
    struct registry_waiter *waiters = version->waiters;
    version->waiters = NULL;
    version->waiter_count = 0;
    pthread_cond_broadcast(&registry->loaded);
    pthread_mutex_unlock(&registry->mutex);
    for (struct registry_waiter *waiter = waiters, *next; waiter; waiter = next) {
        next = waiter->next;
        waiter->ready(waiter, ok ? model_acquire(model) : NULL, e);
    }
    if (gone)
        registry_dispose(version);
    return ok;
}

/* Says so, once, when the loads at start are over. */
static void tell_loaded(struct registry *registry)
{
    pthread_mutex_lock(&registry->mutex);
    void (*on_loaded)(void *) = registry->background == 0 ? registry->on_loaded : NULL;
    if (on_loaded)
        registry->on_loaded = NULL;
    pthread_mutex_unlock(&registry->mutex);
    if (on_loaded)
        on_loaded(registry->on_loaded_context);
}

bool registry_load_version(struct registry *registry, struct version *version, struct err *e)
{
    struct model *model = read_version(registry, version, e);
    if (model)
        describe(registry, version, model);
    else
        log_version(LOG_ERROR, "model_left_out", version->name, version->number, e->detail);
    const bool ok = finish(registry, version, model, e);
    if (ok)
        registry_evict(registry, model);
    tell_loaded(registry);
    model_release(model);
    return ok;
}

/* ---- the line of loads; the mutex is held ---- */

static void line_append(struct registry *registry, struct version *version)
{
    version->state = REGISTRY_LOADING;
    version->next_load = NULL;
    if (registry->first_load)
        registry->last_load->next_load = version;
    else
        registry->first_load = version;
    registry->last_load = version;
    pthread_cond_signal(&registry->load);
}

/* The first that somebody waits for, else the first. */
static struct version *line_take(struct registry *registry)
{
    struct version *before = NULL, *version = registry->first_load;
    while (version && !version->waiters) {
        before = version;
        version = version->next_load;
    }
    if (!version) {
        before = NULL;
        version = registry->first_load;
    }
    if (before)
        before->next_load = version->next_load;
    else
        registry->first_load = version->next_load;
    if (registry->last_load == version)
        registry->last_load = before;
    return version;
}

/* Nobody has asked for it and the memory is used up, or the daemon stops. */
static bool is_given_up(const struct registry *registry, const struct version *version,
                        struct err *e)
{
    const bool idle = version->background && !version->waiters;
    if (registry->draining)
        err_set(e, ERR_UNAVAILABLE, "the daemon is stopping");
    else if (idle && memory_used(registry) >= registry->options.memory_max)
        err_set(e, ERR_UNAVAILABLE, "the memory for models is used up");
    else
        return false;
    return true;
}

static void *load_line(void *context)
{
    struct registry *registry = context;
    pthread_mutex_lock(&registry->mutex);
    while (registry->first_load || !registry->draining) {
        struct err e;
        if (!registry->first_load) {
            pthread_cond_wait(&registry->load, &registry->mutex);
            continue;
        }
        struct version *version = line_take(registry);
        const bool given_up = is_given_up(registry, version, &e);
        pthread_mutex_unlock(&registry->mutex);
        if (given_up) {
            finish(registry, version, NULL, &e);
            tell_loaded(registry);
        } else {
            registry_load_version(registry, version, &e);
        }
        pthread_mutex_lock(&registry->mutex);
    }
    pthread_mutex_unlock(&registry->mutex);
    return NULL;
}

/* ---- from outside ---- */

bool registry_start(struct registry *registry, void (*loaded)(void *context), void *context,
                    struct err *e)
{
    pthread_mutex_lock(&registry->mutex);
    for (int i = 0; i < registry->name_count; i++) {
        struct version *version = registry->names[i]->active;
        if (!version || version->state != REGISTRY_UNLOADED)
            continue;
        version->background = true;
        registry->background++;
        line_append(registry, version);
    }
    const bool nothing = registry->background == 0;
    registry->on_loaded = nothing ? NULL : loaded;
    registry->on_loaded_context = context;
    pthread_mutex_unlock(&registry->mutex);
    if (nothing)
        loaded(context);
    for (int i = 0; i < LOADERS; i++) {
        int error = pthread_create(&registry->loaders[i], NULL, load_line, registry);
        if (error)
            return err_set(e, ERR_NO_MEMORY, "cannot start a thread: %s", strerror(error));
        registry->loader_count++;
    }
    return true;
}

void registry_drain(struct registry *registry)
{
    pthread_mutex_lock(&registry->mutex);
    registry->draining = true;
    registry->on_loaded = NULL;
    pthread_cond_broadcast(&registry->load);
    pthread_mutex_unlock(&registry->mutex);
}

/* Whether the waiter was put with the version. Else the answer is the model, or *e. The mutex is
 * held. */
static bool put_waiter(struct registry *registry, struct version *version,
                       struct registry_waiter *waiter, struct model **model, struct err *e)
{
    if (registry_refuses(registry, version, e))
        return false;
    version->used = ++registry->uses;
    if (version->model) {
        *model = model_acquire(version->model);
        return false;
    }
    if (registry->draining)
        return err_set(e, ERR_UNAVAILABLE, "the daemon is stopping");
    if (version->waiter_count >= LIMIT_LOAD_WAITERS)
        return err_set(e, ERR_UNAVAILABLE, "%d requests wait for model '%s' to be loaded already",
                       LIMIT_LOAD_WAITERS, version->name);
    waiter->next = version->waiters;
    version->waiters = waiter;
    version->waiter_count++;
    if (version->state == REGISTRY_UNLOADED)
        line_append(registry, version);
    return true;
}

void registry_await(struct registry *registry, const char *name, int number,
                    struct registry_waiter *waiter)
{
    struct err e;
    struct model *model = NULL;
    pthread_mutex_lock(&registry->mutex);
    struct version *version = registry_version(registry, name, number, &e);
    const bool waits = version && put_waiter(registry, version, waiter, &model, &e);
    pthread_mutex_unlock(&registry->mutex);
    if (!waits)
        waiter->ready(waiter, model, &e);
}

bool registry_load_model(struct registry *registry, const char *name, struct err *e)
{
    pthread_mutex_lock(&registry->mutex);
    const struct version *active = registry_version(registry, name, 0, e);
    struct named *named = active ? registry_named(registry, active->name) : NULL;
    if (named) {
        named->unloaded = false;
        for (struct version *version = named->versions; version; version = version->next)
            if (version->state == REGISTRY_DAMAGED)
                version->state = REGISTRY_UNLOADED;
    }
    pthread_mutex_unlock(&registry->mutex);
    struct model *model = named ? registry_acquire(registry, name, 0, e) : NULL;
    model_release(model);
    return model != NULL;
}

/* Takes one version that is loaded out of memory; NULL: none is. The mutex is held. */
static struct model *unload_one(struct named *named)
{
    for (struct version *version = named->versions; version; version = version->next)
        if (version->model)
            return registry_unload(version);
    return NULL;
}

bool registry_unload_model(struct registry *registry, const char *name, struct err *e)
{
    struct model *model;
    bool known;
    do {
        pthread_mutex_lock(&registry->mutex);
        const struct version *active = registry_version(registry, name, 0, e);
        struct named *named = active ? registry_named(registry, active->name) : NULL;
        known = named != NULL;
        model = NULL;
        if (named) {
            named->unloaded = true;
            model = unload_one(named);
        }
        pthread_mutex_unlock(&registry->mutex);
        if (model)
            log_version(LOG_INFO, "model_unloaded", model->name, model->version, "on request");
        model_release(model);
    } while (model);
    return known;
}
