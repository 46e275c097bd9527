#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double report_confusion_cell(const struct report_confusion *c, const uint64_t *divisors, int actual,
                             int predicted)
{
    uint32_t count = c->confusion[(size_t)actual * (size_t)c->classes + (size_t)predicted];
    if (!divisors)
        return count;
    uint64_t divisor = c->normalize == REPORT_BY_ACTUAL      ? divisors[actual]
                       : c->normalize == REPORT_BY_PREDICTED ? divisors[predicted]
                                                             : divisors[0];
    return divisor ? (double)count / (double)divisor : 0;
}

bool report_confusion_divisors(const struct report_confusion *c, uint64_t **divisors)
{
    *divisors = NULL;
    if (c->normalize == REPORT_COUNTS)
        return true;
    size_t n = (size_t)c->classes;
    *divisors = calloc(n ? n : 1, sizeof **divisors);
    if (!*divisors)
        return false;
    for (size_t actual = 0; actual < n; actual++)
        for (size_t predicted = 0; predicted < n; predicted++)
            (*divisors)[c->normalize == REPORT_BY_ACTUAL      ? actual
                        : c->normalize == REPORT_BY_PREDICTED ? predicted
                                                              : 0] +=
                c->confusion[actual * n + predicted];
    return true;
}

static void write_matrix(struct json_writer *w, const struct report_confusion *c,
                         const uint64_t *divisors)
{
    jw_key(w, "matrix");
    jw_array(w);
    for (int actual = 0; actual < c->classes; actual++) {
        jw_array(w);
        for (int predicted = 0; predicted < c->classes; predicted++)
            jw_double(w, report_confusion_cell(c, divisors, actual, predicted));
        jw_array_end(w);
    }
    jw_array_end(w);
}

static void write_totals(struct json_writer *w, const struct report_confusion *c)
{
    size_t n = (size_t)c->classes;
    uint64_t total = 0, correct = 0;
    for (size_t i = 0; i < n * n; i++)
        total += c->confusion[i];
    for (size_t i = 0; i < n; i++)
        correct += c->confusion[i * n + i];
    jw_key_int(w, "total", (int64_t)total);
    jw_key_double(w, "accuracy", total ? (double)correct / (double)total : NAN);
}

static void write_metrics(struct json_writer *w, const struct cnn_class_metrics *metrics)
{
    jw_key_double(w, "precision", metrics->precision);
    jw_key_double(w, "recall", metrics->recall);
    jw_key_double(w, "f1", metrics->f1);
    jw_key_int(w, "support", metrics->support);
}

static void write_means(struct json_writer *w, const struct report_confusion *c,
                        const struct cnn_class_metrics *metrics)
{
    struct cnn_class_metrics macro, weighted;
    cnn_confusion_means(metrics, c->classes, &macro, &weighted);
    jw_key(w, "macro");
    jw_object(w);
    write_metrics(w, &macro);
    jw_object_end(w);
    jw_key(w, "weighted");
    jw_object(w);
    write_metrics(w, &weighted);
    jw_object_end(w);
}

static void write_per_class(struct json_writer *w, const struct report_confusion *c,
                            const struct cnn_class_metrics *metrics)
{
    jw_key(w, "per_class");
    jw_array(w);
    for (int i = 0; i < c->classes; i++) {
        jw_object(w);
        jw_key_string(w, "label", c->labels[i]);
        write_metrics(w, &metrics[i]);
        jw_object_end(w);
    }
    jw_array_end(w);
}

void report_confusion_members(struct json_writer *w, const struct report_confusion *c)
{
    uint64_t *divisors = NULL;
    struct cnn_class_metrics *metrics = calloc((size_t)c->classes + 1, sizeof *metrics);
    if (!metrics || !report_confusion_divisors(c, &divisors)) {
        w->out->failed = true;
        goto out;
    }
    cnn_confusion_metrics(c->confusion, c->classes, metrics);
    jw_key(w, "labels");
    jw_array(w);
    for (int i = 0; i < c->classes; i++)
        jw_string(w, c->labels[i]);
    jw_array_end(w);
    write_matrix(w, c, divisors);
    write_totals(w, c);
    write_per_class(w, c, metrics);
    write_means(w, c, metrics);
out:
    free(divisors);
    free(metrics);
}

/* A cell of text: quoted where RFC 4180 asks for it, and no formula to a spreadsheet. */
static void csv_text(struct buf *out, const char *text)
{
    bool formula = text[0] && strchr("=+-@\t\r", text[0]);
    bool quoted = strpbrk(text, "\",\r\n") != NULL;
    if (quoted)
        buf_str(out, "\"");
    if (formula)
        buf_str(out, "'");
    for (const char *p = text; *p; p++)
        buf_add(out, *p == '"' ? "\"\"" : p, *p == '"' ? 2 : 1);
    if (quoted)
        buf_str(out, "\"");
}

/* Empty for NAN. */
void report_csv_number(struct buf *out, double value)
{
    if (isfinite(value))
        buf_fmt(out, "%.10g", value);
}

void report_confusion_csv(struct buf *out, const struct report_confusion *c)
{
    uint64_t *divisors;
    if (!report_confusion_divisors(c, &divisors)) {
        out->failed = true;
        return;
    }
    for (int i = 0; i < c->classes; i++) {
        buf_str(out, ",");
        csv_text(out, c->labels[i]);
    }
    buf_str(out, "\n");
    for (int actual = 0; actual < c->classes; actual++) {
        csv_text(out, c->labels[actual]);
        for (int predicted = 0; predicted < c->classes; predicted++) {
            buf_str(out, ",");
            report_csv_number(out, report_confusion_cell(c, divisors, actual, predicted));
        }
        buf_str(out, "\n");
    }
    free(divisors);
}

void report_loss_csv(struct buf *out, const struct report_epoch *epochs, int count)
{
    buf_str(out, "epoch,loss,accuracy,val_loss,val_accuracy,seconds\n");
    for (int i = 0; i < count; i++) {
        const struct report_epoch *epoch = &epochs[i];
        const double cells[] = {epoch->loss, epoch->accuracy, epoch->val_loss, epoch->val_accuracy,
                                epoch->seconds};
        buf_fmt(out, "%d", epoch->epoch);
        for (size_t k = 0; k < sizeof cells / sizeof *cells; k++) {
            buf_str(out, ",");
            report_csv_number(out, cells[k]);
        }
        buf_str(out, "\n");
    }
}
