/* metrics_text.h - Prometheus' text format, version 0.0.4.
 *
 * A family first, then its samples. Labels come in pairs of name and value, NULL-terminated; values
 * are escaped. */
#ifndef STRIDED_METRICS_TEXT_H
#define STRIDED_METRICS_TEXT_H

#include <stdint.h>

#include "buf.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* type: "counter", "gauge" or "histogram". */
void metrics_family(struct buf *out, const char *name, const char *type, const char *help);
/* labels: at most 4 pairs; NULL: none. */
void metrics_sample(struct buf *out, const char *name, const char *const *labels, double value);
/* The buckets, sum and count of a histogram. counts: [bound_count + 1], of values up to each bound
 * and of those above the last; not cumulative. */
void metrics_histogram(struct buf *out, const char *name, const char *const *labels,
                       const double *bounds, const uint64_t *counts, int bound_count, double sum);

#endif
