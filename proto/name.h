/* name.h - names of models and datasets: [A-Za-z0-9][A-Za-z0-9_.-]{0,63}, no "..". */
#ifndef STRIDED_NAME_H
#define STRIDED_NAME_H

#include "err.h"

/* `what` is the field ("model"); the offending text is quoted, escaped and cut. */
bool name_check(const char *name, const char *what, struct err *e);
/* Labels: 1..LIMIT_LABEL_BYTES bytes of UTF-8 without control characters. */
bool label_check(const char *label, struct err *e);

#endif
