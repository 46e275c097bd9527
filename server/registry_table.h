/* registry_table.h - the registry's table, private to server/registry*.c.
 *
 * Locks: registry.mutex guards everything below but what is set once. It is never held while a file
 * is read, the store is asked, a net runs, or a callback is called. registry.change makes the
 * catalogue's rows and the table change as one: held over both by whoever publishes, activates or
 * deletes, and taken before the store's mutex and registry.mutex.
 */
#ifndef STRIDED_REGISTRY_TABLE_H
#define STRIDED_REGISTRY_TABLE_H

#include "registry.h"

/* One row of the catalogue. */
struct version {
    char name[LIMIT_NAME_BYTES + 1];
    int number;
    char sha256[65], path[FILES_PATH_BYTES];
    bool described; /* its row says what the file holds */
    enum registry_state state;
    struct err failure;  /* of REGISTRY_DAMAGED */
    struct model *model; /* REGISTRY_LOADED: the table is one of its users */
    uint64_t used;       /* registry.uses when it was last asked for */

    /* REGISTRY_LOADING: in the line of loads or with a thread, which disposes of it if it is gone.
     */
    bool gone;       /* no longer in the table */
    bool background; /* loaded at start, for nobody yet */
    struct registry_waiter *waiters;
    int waiter_count;
    struct version *next_load;

    struct version *next; /* of its name, newest first; or of those staged */
};

struct named {
    char name[LIMIT_NAME_BYTES + 1];
    struct version *versions, *active, *previous; /* previous: what was active before, or NULL */
    int staged;                                   /* versions on their way here */
    bool unloaded;                                /* on request */
};

enum { LOADERS = 2 }; /* so that a large model does not hold up a small one */

struct registry {
    struct store *store;
    struct registry_options options;
    pthread_mutex_t change, mutex;
    struct named **names; /* by name */
    int name_count, name_capacity;
    struct version *staged; /* not served yet */
    uint64_t uses;
    pthread_cond_t loaded; /* a version stopped loading */

    pthread_cond_t load; /* the line is not empty, or draining */
    struct version *first_load, *last_load;
    bool draining;
    int background; /* loads at start that are not over */
    void (*on_loaded)(void *context);
    void *on_loaded_context;
    pthread_t loaders[LOADERS];
    int loader_count;
};

/* The mutex is held in all of these. */
struct named *registry_named(const struct registry *registry, const char *name); /* NULL: none */
/* The same, made if need be; NULL when out of memory. */
struct named *registry_named_make(struct registry *registry, const char *name, struct err *e);
/* Forgets a name of which nothing is left. */
void registry_named_settle(struct registry *registry, struct named *named);
struct version *registry_version(struct registry *registry, const char *name, int number,
                                 struct err *e);
void registry_insert(struct named *named, struct version *version, bool active);
/* Out of memory; the caller releases the model once it has let go of the mutex. */
struct model *registry_unload(struct version *version);
/* Why the version cannot be acquired now and by waiting; false: nothing is wrong. */
bool registry_refuses(const struct registry *registry, const struct version *version,
                      struct err *e);

/* Without the mutex. */
struct version *registry_version_new(const char *name, int number, struct err *e);
void registry_version_free(struct version *version);
void registry_dispose(struct version *version); /* and its file: no row names it any more */
/* Loads a version that the caller has set to REGISTRY_LOADING, and tells who waits for it. Then
 * only the mutex keeps the version where it is. */
bool registry_load_version(struct registry *registry, struct version *version, struct err *e);
/* Unloads what was used least recently until the limit is kept, but not this one. */
void registry_evict(struct registry *registry, const struct model *keep);

#endif
