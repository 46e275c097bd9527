/* Locks: registry.mutex guards the list, the entries' counts, which are active, and their idle
 * lanes. It is never held while a file is read, the store is asked, or a net runs.
 * registry.change makes the catalogue's rows and the list change as one: held over both by whoever
 * publishes or deletes, and taken before the store's mutex and registry.mutex.
 *
 * A version that could not be loaded stays in the list without a net: it is known, refused with a
 * clear text, and can be deleted.
 */
#include "registry.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "hash.h"
#include "log.h"
#include "onnx.h"

enum { IDLE_MAX = 16 }; /* lanes kept for the next requests, a version */

struct entry {
    struct model model; /* first: a struct model * of ours is its entry */
    struct entry *next;
    int references; /* one is the list's */
    bool active;
    int idle_count;
    struct cnn_lane *idle[IDLE_MAX];
};

struct registry {
    struct store *store;
    pthread_mutex_t change, mutex;
    struct entry *entries; /* newest first */
};

_Static_assert(offsetof(struct entry, model) == 0, "a model is its entry");

static struct entry *entry_of(struct model *model)
{
    return (struct entry *)(void *)model;
}

/* ---- entries ---- */

static void entry_free(struct entry *entry)
{
    for (int i = 0; i < entry->idle_count; i++)
        cnn_lane_free(entry->idle[i]);
    cnn_predictor_free(entry->model.predictor);
    cnn_net_free(entry->model.net);
    model_meta_clear(&entry->model.meta);
    free(entry);
}

static struct entry *entry_new(const char *name, int version, struct err *e)
{
    struct entry *entry = calloc(1, sizeof *entry);
    if (!entry) {
        err_no_memory(e);
        return NULL;
    }
    entry->references = 1;
    entry->model.version = version;
    snprintf(entry->model.name, sizeof entry->model.name, "%s", name);
    files_path(entry->model.path, sizeof entry->model.path, "models", name, version, ".onnx");
    return entry;
}

/* Checks that what a file holds can be served. */
static bool check_model(const struct model *model, struct err *e)
{
    int node;
    size_t outputs = cnn_shape_count(cnn_net_output(model->net));
    if (outputs > CNN_CLASSES_MAX)
        return err_set(e, ERR_UNPROCESSABLE, "model has %zu outputs, at most %d are served",
                       outputs, CNN_CLASSES_MAX);
    if ((size_t)model->meta.label_count != outputs)
        return err_set(e, ERR_UNPROCESSABLE, "model has %d labels for %zu outputs",
                       model->meta.label_count, outputs);
    if (!cnn_net_finite(model->net, &node))
        return err_set(e, ERR_UNPROCESSABLE, "weights of layer '%s' are not finite",
                       model->net->nodes[node].spec.name);
    return true;
}

/* Reads the file at `path` into the entry. sha256: what it must be, or NULL. */
static bool entry_read(struct entry *entry, const char *path, const char *sha256, struct err *e)
{
    struct model *model = &entry->model;
    struct file_map map;
    if (!file_map_open(&map, path, e))
        return false;
    bool ok = false;
    model->bytes = map.size;
    hash_sha256(map.bytes, map.size, model->sha256);
    if (sha256 && strcmp(sha256, model->sha256) != 0) {
        err_set(e, ERR_IO, "its SHA-256 is %s, the catalogue says %s", model->sha256, sha256);
        goto out;
    }
    model->net = onnx_read(map.bytes, map.size, &model->meta, e);
    ok = model->net && check_model(model, e) &&
         (model->predictor = cnn_predictor_new(model->net, e));
out:
    file_map_close(&map);
    return ok;
}

/* ---- the table ---- */

struct registry *registry_new(struct store *store)
{
    struct registry *registry = calloc(1, sizeof *registry);
    if (!registry)
        return NULL;
    registry->store = store;
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
        CHECK(entry->references == 1);
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
        if (strcmp(other->model.name, entry->model.name) == 0)
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
    if (!entry_read(entry, entry->model.path, row->sha256, &cause)) {
        char version[16];
        snprintf(version, sizeof version, "%d", row->version);
        log_event(LOG_ERROR, "model_left_out", "model", row->name, "version", version, "reason",
                  cause.detail, NULL);
        cnn_net_free(entry->model.net);
        entry->model.net = NULL;
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
    if (!store_next_version(registry->store, "model", name, &version, e))
        goto fail;
    entry = entry_new(name, version, e);
    if (!entry || !entry_read(entry, temp, NULL, e) || !file_publish(temp, entry->model.path, e))
        goto fail;
    fill_row(&entry->model, job, row);
    *model = &entry->model;
    return true;
fail:
    if (entry)
        entry_free(entry);
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

void registry_serve(struct registry *registry, struct model *model)
{
    struct entry *entry = entry_of(model);
    entry->active = true;
    insert(registry, entry);
}

static void remove_file(const struct model *model)
{
    struct err cause;
    /* No row names it any more: left behind it is only wasted space. */
    if (!file_remove(model->path, &cause))
        log_event(LOG_WARN, "file_left_behind", "path", model->path, "reason", cause.detail, NULL);
}

void registry_discard(struct registry *registry, struct model *model)
{
    (void)registry;
    remove_file(model);
    entry_free(entry_of(model));
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
        int n = snprintf(text + used, size - used, "%s'%s'", used ? ", " : "", entry->model.name);
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
        if (strcmp(entry->model.name, "default") == 0)
            return entry->model.name;
        several = several || (only && strcmp(only, entry->model.name) != 0);
        only = entry->model.name;
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
        if (strcmp(entry->model.name, name) != 0)
            continue;
        known = true;
        if (version == 0 ? entry->active : entry->model.version == version)
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
    if (entry && !entry->model.net) {
        err_set(e, ERR_UNAVAILABLE, "version %d of model '%s' is damaged and was left out",
                entry->model.version, entry->model.name);
        entry = NULL;
    }
    if (entry)
        entry->references++;
    pthread_mutex_unlock(&registry->mutex);
    return entry ? &entry->model : NULL;
}

void registry_release(struct registry *registry, struct model *model)
{
    if (!model)
        return;
    struct entry *entry = entry_of(model);
    pthread_mutex_lock(&registry->mutex);
    bool last = --entry->references == 0;
    pthread_mutex_unlock(&registry->mutex);
    if (last)
        entry_free(entry);
}

/* ---- lanes ---- */

struct cnn_lane *registry_lane_take(struct registry *registry, struct model *model, struct err *e)
{
    struct entry *entry = entry_of(model);
    struct cnn_lane *lane = NULL;
    pthread_mutex_lock(&registry->mutex);
    if (entry->idle_count > 0)
        lane = entry->idle[--entry->idle_count];
    pthread_mutex_unlock(&registry->mutex);
    return lane ? lane : cnn_lane_new(model->predictor, e);
}

void registry_lane_give(struct registry *registry, struct model *model, struct cnn_lane *lane)
{
    struct entry *entry = entry_of(model);
    pthread_mutex_lock(&registry->mutex);
    if (lane && entry->idle_count < IDLE_MAX) {
        entry->idle[entry->idle_count++] = lane;
        lane = NULL;
    }
    pthread_mutex_unlock(&registry->mutex);
    cnn_lane_free(lane);
}

/* ---- deleting ---- */

/* Without an active version the newest becomes it, as in the store; the mutex is held. */
static void activate_newest(struct registry *registry, const char *name)
{
    struct entry *newest = NULL;
    for (struct entry *entry = registry->entries; entry; entry = entry->next) {
        if (strcmp(entry->model.name, name) != 0)
            continue;
        if (entry->active)
            return;
        if (!newest || entry->model.version > newest->model.version)
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
        if (strcmp(entry->model.name, name) != 0 || (version && entry->model.version != version)) {
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
        remove_file(&entry->model);
        registry_release(registry, &entry->model);
    }
    return ok;
}
