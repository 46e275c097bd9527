/* presets.h - the named architectures of the reference notebooks and two classics. */
#ifndef STRIDED_PRESETS_H
#define STRIDED_PRESETS_H

#include "spec.h"

struct cnn_preset {
    const char *name;        /* "lenet" */
    const char *description; /* one line for people */
    int dims[4], dim_count;  /* its usual input, C first: {1,28,28}, 3 */
    int classes;             /* its usual number of classes */
    /* Appends the layers for this input and number of classes to spec (spec->input is set). */
    bool (*build)(struct cnn_spec *spec, int classes, struct err *e);
};

const struct cnn_preset *cnn_preset_find(const char *name); /* NULL if unknown */
const struct cnn_preset *cnn_preset_at(int index);          /* NULL past the end */

/* The preset's spec for an input shape (NULL: its usual one) and classes (0: its usual number). The
 * spec is checked later, by cnn_net_new: a preset may not fit every input. */
bool cnn_preset_spec(const struct cnn_preset *preset, const struct cnn_shape *input, int classes,
                     struct cnn_spec *spec, struct err *e);

#endif
