#include "registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "registry_table.h"

const char *registry_state_name(enum registry_state state)
{
    static const char *const names[] = {
        [REGISTRY_UNLOADED] = "unloaded",
        [REGISTRY_LOADING] = "loading",
        [REGISTRY_LOADED] = "loaded",
        [REGISTRY_DAMAGED] = "damaged",
    };
    return names[state];
}

/* ---- names ---- */

/* Where the name is, or belongs, in the table. */
static int named_index(const struct registry *registry, const char *name, bool *found)
{
    int low = 0, high = registry->name_count;
    while (low < high) {
        const int middle = low + (high - low) / 2,
                  order = strcmp(registry->names[middle]->name, name);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = false;
    return low;
}

struct named *registry_named(const struct registry *registry, const char *name)
{
    bool found;
    const int index = named_index(registry, name, &found);
    return found ? registry->names[index] : NULL;
}

static bool grow_names(struct registry *registry)
{
    if (registry->name_count < registry->name_capacity)
        return true;
    const int capacity = registry->name_capacity * 2 + 16;
    struct named **names = realloc(registry->names, (size_t)capacity * sizeof *names);
    if (!names)
        return false;
    registry->names = names;
    registry->name_capacity = capacity;
    return true;
}

struct named *registry_named_make(struct registry *registry, const char *name, struct err *e)
{
    bool found;
    const int index = named_index(registry, name, &found);
    if (found)
        return registry->names[index];
    struct named *named = calloc(1, sizeof *named);
    if (!named || !grow_names(registry)) {
        free(named);
        err_no_memory(e);
        return NULL;
    }
    snprintf(named->name, sizeof named->name, "%s", name);
    memmove(registry->names + index + 1, registry->names + index,
            (size_t)(registry->name_count - index) * sizeof(struct named *));
    registry->names[index] = named;
    registry->name_count++;
    return named;
}

void registry_named_settle(struct registry *registry, struct named *named)
{
    bool found;
    const int index = named_index(registry, named->name, &found);
    if (named->versions || named->staged > 0)
        return;
    registry->name_count--;
    memmove(registry->names + index, registry->names + index + 1,
            (size_t)(registry->name_count - index) * sizeof(struct named *));
    free(named);
}

/* ---- versions ---- */

struct version *registry_version_new(const char *name, int number, struct err *e)
{
    struct version *version = calloc(1, sizeof *version);
    if (!version) {
        err_no_memory(e);
        return NULL;
    }
    version->number = number;
    snprintf(version->name, sizeof version->name, "%s", name);
    files_path(version->path, sizeof version->path, "models", name, number, ".onnx");
    return version;
}

void registry_version_free(struct version *version)
{
    if (version)
        model_release(version->model);
    free(version);
}

void registry_insert(struct named *named, struct version *version, bool active)
{
    struct version **link = &named->versions;
    while (*link && (*link)->number > version->number)
        link = &(*link)->next;
    version->next = *link;
    *link = version;
    if (active && named->active != version) {
        named->previous = named->active;
        named->active = version;
    }
}

struct model *registry_unload(struct version *version)
{
    struct model *model = version->model;
    version->model = NULL;
    version->state = REGISTRY_UNLOADED;
    return model;
}

/* ---- start and stop ---- */

struct registry *registry_new(struct store *store, const struct registry_options *options,
                              struct err *e)
{
    struct registry *registry = calloc(1, sizeof *registry);
    if (!registry) {
        err_no_memory(e);
        return NULL;
    }
    registry->store = store;
    registry->options = *options;
    pthread_mutex_init(&registry->change, NULL);
    pthread_mutex_init(&registry->mutex, NULL);
    pthread_cond_init(&registry->loaded, NULL);
    pthread_cond_init(&registry->load, NULL);
    return registry;
}

static bool add_row(struct registry *registry, const struct store_model *row, struct err *e)
{
    struct version *version = registry_version_new(row->name, row->version, e);
    struct named *named = version ? registry_named_make(registry, row->name, e) : NULL;
    if (!named) {
        registry_version_free(version);
        return false;
    }
    snprintf(version->sha256, sizeof version->sha256, "%s", row->sha256);
    version->described = row->info[0] != '\0';
    registry_insert(named, version, row->active);
    named->previous = NULL;
    return true;
}

bool registry_open(struct registry *registry, struct err *e)
{
    struct store_model *rows = NULL;
    int count = 0;
    bool ok = store_models(registry->store, &rows, &count, e);
    pthread_mutex_lock(&registry->mutex);
    for (int i = 0; ok && i < count; i++)
        ok = add_row(registry, &rows[i], e);
    pthread_mutex_unlock(&registry->mutex);
    store_models_free(rows, count);
    return ok;
}

void registry_free(struct registry *registry)
{
    if (!registry)
        return;
    registry_drain(registry);
    for (; registry->loader_count > 0; registry->loader_count--)
        pthread_join(registry->loaders[registry->loader_count - 1], NULL);
    for (int i = 0; i < registry->name_count; i++) {
        struct named *named = registry->names[i];
        for (struct version *version = named->versions, *next; version; version = next) {
            next = version->next;
            registry_version_free(version);
        }
        free(named);
    }
    free(registry->names);
    pthread_cond_destroy(&registry->load);
    pthread_cond_destroy(&registry->loaded);
    pthread_mutex_destroy(&registry->mutex);
    pthread_mutex_destroy(&registry->change);
    free(registry);
}

/* ---- look-up; the mutex is held ---- */

/* "'a', 'b'" of the models there are. */
static void list_names(const struct registry *registry, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < registry->name_count; i++) {
        const struct named *named = registry->names[i];
        if (!named->active)
            continue; /* its first version is on its way */
        int n = snprintf(text + used, size - used, "%s'%s'", used ? ", " : "", named->name);
        if (n < 0 || (size_t)n >= size - used) {
            snprintf(text + used, size - used, "...");
            return;
        }
        used += (size_t)n;
    }
}

/* The one that is meant by no name. */
static struct named *default_named(const struct registry *registry, struct err *e)
{
    struct named *named = registry_named(registry, "default"), *only = NULL;
    if (named && named->active)
        return named;
    int served = 0;
    for (int i = 0; i < registry->name_count; i++) {
        if (!registry->names[i]->active)
            continue;
        only = registry->names[i];
        served++;
    }
    if (served == 1)
        return only;
    char names[256];
    list_names(registry, names, sizeof names);
    if (served == 0)
        err_field(e, ERR_NOT_FOUND, "model", "there is no model yet: train one by POST /jobs");
    else
        err_field(e, ERR_NOT_FOUND, "model", "there are several models, name one: %s", names);
    return NULL;
}

static bool refuse_name(const struct registry *registry, const char *name, struct err *e)
{
    char names[256];
    list_names(registry, names, sizeof names);
    if (names[0])
        return err_field(e, ERR_NOT_FOUND, "model", "no model '%s'; there are %s", name, names);
    return err_field(e, ERR_NOT_FOUND, "model", "no model '%s'", name);
}

struct version *registry_version(struct registry *registry, const char *name, int number,
                                 struct err *e)
{
    const bool is_default = !name || !*name;
    struct named *named = is_default ? default_named(registry, e) : registry_named(registry, name);
    if (!named || !named->active) {
        if (!is_default)
            refuse_name(registry, name, e);
        return NULL;
    }
    struct version *version = named->active;
    if (number != 0 && version->number != number)
        for (version = named->versions; version && version->number != number;)
            version = version->next;
    if (!version)
        err_field(e, ERR_NOT_FOUND, "version", "no version %d of model '%s'", number, named->name);
    return version;
}

bool registry_refuses(const struct registry *registry, const struct version *version, struct err *e)
{
    if (registry_named(registry, version->name)->unloaded)
        err_set(e, ERR_CONFLICT, "model '%s' was unloaded; it answers again once it is loaded",
                version->name);
    else if (version->state == REGISTRY_DAMAGED)
        err_set(e, ERR_UNAVAILABLE, "version %d of model '%s' is damaged: %s", version->number,
                version->name, version->failure.detail);
    else
        return false;
    return true;
}

/* ---- look-up from outside ---- */

bool registry_find(struct registry *registry, const char *name, int number,
                   struct registry_version *found, struct err *e)
{
    pthread_mutex_lock(&registry->mutex);
    const struct version *version = registry_version(registry, name, number, e);
    if (version) {
        const struct named *named = registry_named(registry, version->name);
        *found = (struct registry_version){.version = version->number,
                                           .active = named->active == version,
                                           .state = version->state};
        memcpy(found->name, version->name, sizeof found->name);
        memcpy(found->sha256, version->sha256, sizeof found->sha256);
        memcpy(found->path, version->path, sizeof found->path);
        if (version->state == REGISTRY_DAMAGED)
            memcpy(found->reason, version->failure.detail, sizeof found->reason);
        else if (named->unloaded)
            snprintf(found->reason, sizeof found->reason, "unloaded on request");
    }
    pthread_mutex_unlock(&registry->mutex);
    return version != NULL;
}

struct model *registry_acquire_loaded(struct registry *registry, const char *name, int number,
                                      bool *absent, struct err *e)
{
    struct model *model = NULL;
    pthread_mutex_lock(&registry->mutex);
    struct version *version = registry_version(registry, name, number, e);
    if (version && version->model) {
        version->used = ++registry->uses;
        model = model_acquire(version->model);
    } else if (version && !registry_refuses(registry, version, e)) {
        *absent = true;
    }
    pthread_mutex_unlock(&registry->mutex);
    return model;
}

/* Loads what nobody does yet on this very thread. */
struct model *registry_acquire(struct registry *registry, const char *name, int number,
                               struct err *e)
{
    struct model *model = NULL;
    struct version *version;
    bool failed = false;
    pthread_mutex_lock(&registry->mutex);
    while (!model && !failed && (version = registry_version(registry, name, number, e)) &&
           !registry_refuses(registry, version, e)) {
        version->used = ++registry->uses;
        if (version->model) {
            model = model_acquire(version->model);
        } else if (version->state == REGISTRY_LOADING) {
            pthread_cond_wait(&registry->loaded, &registry->mutex);
        } else {
            version->state = REGISTRY_LOADING;
            pthread_mutex_unlock(&registry->mutex);
            failed = !registry_load_version(registry, version, e);
            pthread_mutex_lock(&registry->mutex);
        }
    }
    pthread_mutex_unlock(&registry->mutex);
    return model;
}
