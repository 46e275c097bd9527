#include "metrics_text.h"

#include <math.h>
#include <stdio.h>

#include "check.h"

enum { LABELS_MAX = 10, NAME_BYTES = 128 };

void metrics_family(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_fmt(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_escaped(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\')
            buf_str(out, "\\\\");
        else if (*text == '"')
            buf_str(out, "\\\"");
        else if (*text == '\n')
            buf_str(out, "\\n");
        else
            buf_add(out, text, 1);
    }
}

static void add_labels(struct buf *out, const char *const *labels)
{
    const char *separator = "{";
    for (; labels && labels[0]; labels += 2) {
        buf_fmt(out, "%s%s=\"", separator, labels[0]);
        add_escaped(out, labels[1]);
        buf_str(out, "\"");
        separator = ",";
    }
    if (separator[0] == ',')
        buf_str(out, "}");
}

static void add_value(struct buf *out, double value)
{
    if (isnan(value))
        buf_str(out, " NaN\n");
    else if (isinf(value))
        buf_str(out, value > 0 ? " +Inf\n" : " -Inf\n");
    else if (value == floor(value) && fabs(value) < 0x1p53)
        buf_fmt(out, " %.0f\n", value);
    else
        buf_fmt(out, " %.15g\n", value);
}

void metrics_sample(struct buf *out, const char *name, const char *const *labels, double value)
{
    buf_str(out, name);
    add_labels(out, labels);
    add_value(out, value);
}

void metrics_histogram(struct buf *out, const char *name, const char *const *labels,
                       const double *bounds, const uint64_t *counts, int bound_count, double sum)
{
    const char *with_bound[LABELS_MAX + 1] = {NULL};
    char bucket[NAME_BYTES], bound[32];
    uint64_t total = 0;
    int used = 0;
    for (; labels && labels[used]; used++) {
        CHECK(used < LABELS_MAX - 2);
        with_bound[used] = labels[used];
    }
    with_bound[used] = "le";
    with_bound[used + 1] = bound;
    snprintf(bucket, sizeof bucket, "%s_bucket", name);
    for (int i = 0; i <= bound_count; i++) {
        total += counts[i];
        if (i < bound_count)
            snprintf(bound, sizeof bound, "%g", bounds[i]);
        else
            snprintf(bound, sizeof bound, "+Inf");
        metrics_sample(out, bucket, with_bound, (double)total);
    }
    snprintf(bucket, sizeof bucket, "%s_sum", name);
    metrics_sample(out, bucket, labels, sum);
    snprintf(bucket, sizeof bucket, "%s_count", name);
    metrics_sample(out, bucket, labels, (double)total);
}
