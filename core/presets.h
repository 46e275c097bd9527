/* presets.h - the named architectures of the reference notebooks and two classics. */
#ifndef STRIDED_PRESETS_H
#define STRIDED_PRESETS_H

#include "spec.h"

struct cnn_preset_row; /* one layer; presets.c */

struct cnn_preset {
    const char *name;                  /* "lenet" */
    const char *description;           /* one line for people */
    int dims[1 + CNN_AXES], dim_count; /* its usual input, C first: {1,28,28}, 3 */
    int classes;                       /* its usual number of classes */
    const struct cnn_preset_row *rows;
    size_t row_count;
};

const struct cnn_preset *cnn_preset_find(const char *name); /* NULL if unknown */
const struct cnn_preset *cnn_preset_at(int index);          /* NULL past the end */

/* The preset's spec for an input shape (NULL: its usual one) and classes (0: its usual number). The
 * spec is checked later, by cnn_net_new: a preset may not fit every input. */
bool cnn_preset_spec(const struct cnn_preset *preset, const struct cnn_shape *input, int classes,
                     struct cnn_spec *spec, struct err *e);

#endif
