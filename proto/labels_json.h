/* labels_json.h - the list of class labels that datasets and models carry. */
#ifndef STRIDED_LABELS_JSON_H
#define STRIDED_LABELS_JSON_H

#include "err.h"
#include "json_write.h"
#include "limits.h"

struct cJSON;

/* Copies count labels into a new array, checked by label_check; replaces what *labels held only
 * on success. At most CNN_DIM_MAX, as many as a net may have outputs. */
bool labels_copy(char ***labels, int *label_count, const char *const *from, int count,
                 struct err *e);
void labels_free(char **labels, int count);

void labels_write(struct json_writer *w, char *const *labels, int count);
/* A JSON array of 1..CNN_DIM_MAX strings. */
bool labels_parse(const struct cJSON *json, char ***labels, int *count, struct err *e);

#endif
