/* datasets_labels.h - the names of classes as a query gives them. */
#ifndef STRIDED_DATASETS_LABELS_H
#define STRIDED_DATASETS_LABELS_H

#include "dataset_file.h"

/* "0", "1", ... or, if `text` is not NULL, its parts: "cat,dog". These must be as many as there are
 * classes and differ; errors name the field "labels". */
bool datasets_set_labels(struct dataset_info *info, const char *text, int classes, struct err *e);

#endif
