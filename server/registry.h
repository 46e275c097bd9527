/* registry.h - the models that serve: loaded versions, counted references, atomic publication.
 *
 * The table is guarded by one mutex held only for look-ups and swaps, so that no request waits. A
 * version is immutable once loaded; whoever acquired it may use it until release, also after a
 * newer one took its place or it was deleted.
 */
#ifndef STRIDED_REGISTRY_H
#define STRIDED_REGISTRY_H

#include "model.h"
#include "store.h"

struct registry;

/* lanes: how many are made and warmed up before a version serves. NULL: out of memory. */
struct registry *registry_new(struct store *store, int lanes);
void registry_free(struct registry *registry); /* NULL is fine */
/* Loads what the catalogue lists; a file that is missing or damaged is logged and left out. */
bool registry_load(struct registry *registry, struct err *e);

/* Takes a finished ONNX file (in tmp/; removed on failure): checks that it reads, moves it to its
 * place, and fills in what the catalogue's row must hold. The caller stores the row
 * (store_model_add or store_job_end) and then calls registry_serve, both between registry_hold and
 * registry_let_go, or a delete could come between and leave the version served; if storing
 * fails, registry_discard. */
bool registry_stage(struct registry *registry, const char *name, const char *temp, const char *job,
                    struct store_model *row, struct model **model, struct err *e);
void registry_hold(struct registry *registry); /* deletes wait; take it before the store's mutex */
void registry_let_go(struct registry *registry);
void registry_serve(struct registry *registry, struct model *model);   /* takes model; active now */
void registry_discard(struct registry *registry, struct model *model); /* and its file */

/* name NULL or "": the only model there is, or the one named "default"; ERR_NOT_FOUND says which
 * names exist. version 0 = the active one; ERR_UNAVAILABLE if that could not be loaded.
 * Give it back by model_release. */
struct model *registry_acquire(struct registry *registry, const char *name, int version,
                               struct err *e);

/* version 0 = all. ERR_NOT_FOUND if there is none; a new newest becomes active. */
bool registry_delete(struct registry *registry, const char *name, int version, struct err *e);

#endif
