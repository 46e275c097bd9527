/* model_meta.h - what a model file says besides its graph; kept in ONNX metadata_props under
 * "strided.labels", "strided.preprocess", "strided.provenance" (JSON each). */
#ifndef STRIDED_MODEL_META_H
#define STRIDED_MODEL_META_H

#include "limits.h"
#include "preprocess.h"

struct model_meta {
    int label_count;
    char **labels; /* owned; one a class */
    struct preprocess preprocess;
    /* Provenance; empty or 0 when unknown. */
    char job[32], dataset[LIMIT_NAME_BYTES + 1];
    int dataset_version;
    char created[32];                /* RFC 3339, UTC */
    char split[16];                  /* of the metrics: "test", "validation" or "" */
    double test_loss, test_accuracy; /* NAN when not measured */
    char weights_sha256[65];
};

bool model_meta_set_labels(struct model_meta *meta, char *const *labels, int count,
                           struct err *e); /* copies */
bool model_meta_copy(struct model_meta *to, const struct model_meta *from, struct err *e);
void model_meta_clear(struct model_meta *meta);

/* The entries of metadata_props: key and JSON text of each. */
enum model_meta_entry { META_LABELS, META_PREPROCESS, META_PROVENANCE, META_ENTRY_COUNT };
const char *model_meta_key(enum model_meta_entry entry); /* "strided.labels", ... */
void model_meta_write(const struct model_meta *meta, enum model_meta_entry entry, struct buf *out);
/* Reads one entry's text into *meta; the others stay as they are. */
bool model_meta_parse(struct model_meta *meta, enum model_meta_entry entry, const char *text,
                      size_t size, struct err *e);

#endif
