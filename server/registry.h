/* registry.h - every version of every model that the catalogue lists, and those of them that are in
 * memory.
 *
 * A version is loaded at start when it is the active one, else when it is first asked for; it is
 * warmed up before it answers, and unloaded when others need its memory (the least recently used
 * first), when a newer one has taken the place it had before the present one, or on request.
 * Whoever acquired it may use it until release, whatever happens meanwhile. Look-ups and swaps hold
 * one mutex for a moment; nothing waits for a load but who asks for that very version.
 */
#ifndef STRIDED_REGISTRY_H
#define STRIDED_REGISTRY_H

#include "files.h"
#include "model.h"
#include "store.h"

struct registry;

struct registry_options {
    int lanes;         /* made and warmed up before a version answers */
    size_t memory_max; /* of all that is loaded, as model_memory counts; one may always be */
};

/* ---- start and stop ---- */

struct registry *registry_new(struct store *store, const struct registry_options *options,
                              struct err *e);
/* Reads the catalogue. Nothing is loaded yet. */
bool registry_open(struct registry *registry, struct err *e);
/* Starts the threads that load, with the active versions as their first work, as far as memory_max
 * goes. `loaded` is called once, when they are done, by one of them or at once. A file that is
 * missing or damaged is logged and left out. */
bool registry_start(struct registry *registry, void (*loaded)(void *context), void *context,
                    struct err *e);
/* Loads that have not begun are given up: who awaits them gets ERR_UNAVAILABLE. */
void registry_drain(struct registry *registry);
void registry_free(struct registry *registry); /* drains; NULL is fine */

/* ---- look-up ---- */

enum registry_state { REGISTRY_UNLOADED, REGISTRY_LOADING, REGISTRY_LOADED, REGISTRY_DAMAGED };
const char *registry_state_name(enum registry_state state); /* "unloaded", ... */

struct registry_version {
    char name[LIMIT_NAME_BYTES + 1];
    int version;
    bool active; /* answers when none is named */
    enum registry_state state;
    char reason[384]; /* why it is damaged, or was unloaded; "" when there is nothing to tell */
    char sha256[65], path[FILES_PATH_BYTES];
};

/* In all of these: name NULL or "": the only model there is, or the one named "default"; version 0:
 * the active one. ERR_NOT_FOUND says which names exist. */

/* What is known of a version without loading it. */
bool registry_find(struct registry *registry, const char *name, int version,
                   struct registry_version *found, struct err *e);

/* For model_release. Waits for the load if need be: not for HTTP threads. ERR_UNAVAILABLE when it
 * is damaged, ERR_CONFLICT when it was unloaded on request. */
struct model *registry_acquire(struct registry *registry, const char *name, int version,
                               struct err *e);
/* Never waits. NULL with *e as above, or with *absent set and *e as it was: it must be awaited. */
struct model *registry_acquire_loaded(struct registry *registry, const char *name, int version,
                                      bool *absent, struct err *e);
/* ready is called exactly once, by the calling thread or one that loads, without a lock: with the
 * model, for model_release, or NULL and an error. It must be quick; the waiter may be freed in it.
 */
struct registry_waiter {
    void (*ready)(struct registry_waiter *waiter, struct model *model, const struct err *e);
    struct registry_waiter *next; /* the registry's own */
};
void registry_await(struct registry *registry, const char *name, int version,
                    struct registry_waiter *waiter);

/* ---- publication ---- */

/* Takes a finished ONNX file (in tmp/; removed on failure): checks that it reads, warms it up,
 * moves it to its place, and fills in what the catalogue's row must hold (row->info is borrowed).
 * The caller stores the row (store_model_add or store_job_end) and then calls registry_serve, both
 * between registry_hold and registry_let_go, or a delete could come between and leave the version
 * served; if storing fails, registry_discard. */
bool registry_stage(struct registry *registry, const char *name, const char *temp, const char *job,
                    struct store_model *row, struct model **model, struct err *e);
void registry_hold(struct registry *registry); /* deletes wait; take it before the store's mutex */
void registry_let_go(struct registry *registry);
void registry_serve(struct registry *registry, struct model *model);   /* takes model; active now */
void registry_discard(struct registry *registry, struct model *model); /* and its file */

/* The three in one, for a version that no job made. *version: its number. */
bool registry_publish(struct registry *registry, const char *name, const char *temp, int *version,
                      struct err *e);
/* This version answers from now on, durably. It is loaded first. Waits. */
bool registry_activate(struct registry *registry, const char *name, int version, struct err *e);
/* version 0 = all. ERR_NOT_FOUND if there is none; a new newest becomes active. */
bool registry_delete(struct registry *registry, const char *name, int version, struct err *e);

/* ---- memory ---- */

/* Loads the model's active version, after registry_unload_model or damage too. Waits. */
bool registry_load_model(struct registry *registry, const char *name, struct err *e);
/* Takes all its versions out of memory, and refuses them until registry_load_model or a restart. */
bool registry_unload_model(struct registry *registry, const char *name, struct err *e);

#endif
