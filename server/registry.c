/* Locks: registry.mutex guards the lists and which versions are active. It is never held while a
 * file is read, the store is asked, or a net runs. registry.change makes the catalogue's rows and
 * the list change as one: held over both by whoever publishes or deletes, and taken before the
 * store's mutex and registry.mutex.
 *
 * A version that could not be loaded stays in the list without a net: it is known, refused with a
 * clear text, and can be deleted.
 */
#include "registry.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "log.h"

struct entry {
    char name[LIMIT_NAME_BYTES + 1];
    int version;
    char path[FILES_PATH_BYTES];
    struct model *model; /* NULL: it could not be loaded */
    bool active;
    struct entry *next;
};

struct registry {
    struct store *store;
    int lanes; /* warmed up before a version serves */
    pthread_mutex_t change, mutex;
    struct entry *entries; /* newest first */
    struct entry *staged;  /* not served yet */
};

/* ---- entries ---- */

static void entry_free(struct entry *entry)
{
    model_release(entry->model);
    free(entry);
}

static struct entry *entry_new(const char *name, int version, struct err *e)
{
    struct entry *entry = calloc(1, sizeof *entry);
    if (!entry) {
        err_no_memory(e);
        return NULL;
    }
    entry->version = version;
    snprintf(entry->name, sizeof entry->name, "%s", name);
    files_path(entry->path, sizeof entry->path, "models", name, version, ".onnx");
    return entry;
}

/* ---- the table ---- */

struct registry *registry_new(struct store *store, int lanes)
{
    struct registry *registry = calloc(1, sizeof *registry);
    if (!registry)
        return NULL;
    registry->store = store;
    registry->lanes = lanes;
    pthread_mutex_init(&registry->change, NULL);
    pthread_mutex_init(&registry->mutex, NULL);
    return registry;
}

void registry_free(struct registry *registry)
{
    if (!registry)
        return;
    for (struct entry *entry = registry->entries, *next; entry; entry = next) {
        next = entry->next;
        entry_free(entry);
    }
    pthread_mutex_destroy(&registry->mutex);
    pthread_mutex_destroy(&registry->change);
    free(registry);
}

static void insert(struct registry *registry, struct entry *entry)
{
    pthread_mutex_lock(&registry->mutex);
    for (struct entry *other = registry->entries; other && entry->active; other = other->next) {
        if (strcmp(other->name, entry->name) == 0)
            other->active = false;
    }
    entry->next = registry->entries;
    registry->entries = entry;
    pthread_mutex_unlock(&registry->mutex);
}

static bool load_row(struct registry *registry, const struct store_model *row, struct err *e)
{
    struct err cause;
    struct entry *entry = entry_new(row->name, row->version, e);
    if (!entry)
        return false;
    entry->active = row->active;
    entry->model = model_read(row->name, row->version, entry->path, row->sha256, &cause);
    if (!entry->model || !model_warm(entry->model, registry->lanes, &cause)) {
        char version[16];
        snprintf(version, sizeof version, "%d", row->version);
        log_event(LOG_ERROR, "model_left_out", "model", row->name, "version", version, "reason",
                  cause.detail, NULL);
        model_release(entry->model);
        entry->model = NULL;
    }
    insert(registry, entry);
    return true;
}

bool registry_load(struct registry *registry, struct err *e)
{
    struct store_model *rows = NULL;
    int count = 0;
    bool ok = store_models(registry->store, &rows, &count, e);
    for (int i = 0; ok && i < count; i++)
        ok = load_row(registry, &rows[i], e);
    free(rows);
    return ok;
}

/* ---- publication ---- */

static void fill_row(const struct model *model, const char *job, struct store_model *row)
{
    *row = (struct store_model){.version = model->version, .active = true};
    snprintf(row->name, sizeof row->name, "%s", model->name);
    memcpy(row->sha256, model->sha256, sizeof row->sha256);
    snprintf(row->job, sizeof row->job, "%s", job ? job : "");
    store_now(row->created);
}

bool registry_stage(struct registry *registry, const char *name, const char *temp, const char *job,
                    struct store_model *row, struct model **model, struct err *e)
{
    int version;
    struct entry *entry = NULL;
    struct err ignored;
    if (!store_next_version(registry->store, "model", name, &version, e) ||
        !(entry = entry_new(name, version, e)) ||
        !(entry->model = model_read(name, version, temp, NULL, e)) ||
        !model_warm(entry->model, registry->lanes, e) || !file_publish(temp, entry->path, e))
        goto fail;
    fill_row(entry->model, job, row);
    *model = entry->model;
    pthread_mutex_lock(&registry->mutex);
    entry->next = registry->staged;
    registry->staged = entry;
    pthread_mutex_unlock(&registry->mutex);
    return true;
fail:
    if (entry)
        entry_free(entry);
    file_remove(temp, &ignored); /* the first failure is the one to tell */
    return false;
}

/* The entry that was staged with this model, no longer among those that are. */
static struct entry *unstage(struct registry *registry, const struct model *model)
{
    pthread_mutex_lock(&registry->mutex);
    struct entry **link = &registry->staged;
    while (*link && (*link)->model != model)
        link = &(*link)->next;
    struct entry *entry = *link;
    CHECK(entry);
    *link = entry->next;
    pthread_mutex_unlock(&registry->mutex);
    return entry;
}

void registry_hold(struct registry *registry)
{
    pthread_mutex_lock(&registry->change);
}

void registry_let_go(struct registry *registry)
{
    pthread_mutex_unlock(&registry->change);
}

void registry_serve(struct registry *registry, struct model *model)
{
    struct entry *entry = unstage(registry, model);
    entry->active = true;
    insert(registry, entry);
}

static void remove_file(const struct entry *entry)
{
    struct err cause;
    /* No row names it any more: left behind it is only wasted space. */
    if (!file_remove(entry->path, &cause))
        log_event(LOG_WARN, "file_left_behind", "path", entry->path, "reason", cause.detail, NULL);
}

void registry_discard(struct registry *registry, struct model *model)
{
    struct entry *entry = unstage(registry, model);
    remove_file(entry);
    entry_free(entry);
}

/* ---- look-up ---- */

/* "'a', 'b'" of the models there are; the mutex is held. */
static void list_names(const struct registry *registry, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (const struct entry *entry = registry->entries; entry; entry = entry->next) {
        if (!entry->active)
            continue; /* each name has one that is */
        int n = snprintf(text + used, size - used, "%s'%s'", used ? ", " : "", entry->name);
        if (n < 0 || (size_t)n >= size - used) {
            snprintf(text + used, size - used, "...");
            return;
        }
        used += (size_t)n;
    }
}

/* The name that is meant by none; the mutex is held. */
static const char *default_name(const struct registry *registry, struct err *e)
{
    const char *only = NULL;
    bool several = false;
    for (const struct entry *entry = registry->entries; entry; entry = entry->next) {
        if (strcmp(entry->name, "default") == 0)
            return entry->name;
        several = several || (only && strcmp(only, entry->name) != 0);
        only = entry->name;
    }
    if (only && !several)
        return only;
    char names[256];
    list_names(registry, names, sizeof names);
    if (!only)
        err_field(e, ERR_NOT_FOUND, "model", "there is no model yet: train one by POST /jobs");
    else
        err_field(e, ERR_NOT_FOUND, "model", "there are several models, name one: %s", names);
    return NULL;
}

/* The mutex is held. */
static struct entry *find(const struct registry *registry, const char *name, int version,
                          struct err *e)
{
    bool known = false;
    for (struct entry *entry = registry->entries; entry; entry = entry->next) {
        if (strcmp(entry->name, name) != 0)
            continue;
        known = true;
        if (version == 0 ? entry->active : entry->version == version)
            return entry;
    }
    char names[256];
    list_names(registry, names, sizeof names);
    if (known)
        err_field(e, ERR_NOT_FOUND, "version", "no version %d of model '%s'", version, name);
    else if (names[0])
        err_field(e, ERR_NOT_FOUND, "model", "no model '%s'; there are %s", name, names);
    else
        err_field(e, ERR_NOT_FOUND, "model", "no model '%s'", name);
    return NULL;
}

struct model *registry_acquire(struct registry *registry, const char *name, int version,
                               struct err *e)
{
    struct entry *entry = NULL;
    pthread_mutex_lock(&registry->mutex);
    if (!name || !*name)
        name = default_name(registry, e);
    if (name)
        entry = find(registry, name, version, e);
    struct model *model = entry ? entry->model : NULL;
    if (model)
        model_acquire(model);
    else if (entry)
        err_set(e, ERR_UNAVAILABLE, "version %d of model '%s' is damaged and was left out",
                entry->version, entry->name);
    pthread_mutex_unlock(&registry->mutex);
    return model;
}

/* ---- deleting ---- */

/* Without an active version the newest becomes it, as in the store; the mutex is held. */
static void activate_newest(struct registry *registry, const char *name)
{
    struct entry *newest = NULL;
    for (struct entry *entry = registry->entries; entry; entry = entry->next) {
        if (strcmp(entry->name, name) != 0)
            continue;
        if (entry->active)
            return;
        if (!newest || entry->version > newest->version)
            newest = entry;
    }
    if (newest)
        newest->active = true;
}

/* Takes this version (0 = all) out of the table, as a list of their own. */
static struct entry *detach(struct registry *registry, const char *name, int version)
{
    struct entry *detached = NULL;
    pthread_mutex_lock(&registry->mutex);
    for (struct entry **link = &registry->entries; *link;) {
        struct entry *entry = *link;
        if (strcmp(entry->name, name) != 0 || (version && entry->version != version)) {
            link = &entry->next;
            continue;
        }
        *link = entry->next;
        entry->next = detached;
        detached = entry;
    }
    activate_newest(registry, name);
    pthread_mutex_unlock(&registry->mutex);
    return detached;
}

bool registry_delete(struct registry *registry, const char *name, int version, struct err *e)
{
    registry_hold(registry);
    bool ok = store_model_delete(registry->store, name, version, e);
    struct entry *entry = ok ? detach(registry, name, version) : NULL;
    registry_let_go(registry);
    for (struct entry *next; entry; entry = next) {
        next = entry->next;
        remove_file(entry);
        entry_free(entry);
    }
    return ok;
}
