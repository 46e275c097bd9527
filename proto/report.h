/* report.h - results as people and programs read them: JSON, CSV, SVG, text. */
#ifndef STRIDED_REPORT_H
#define STRIDED_REPORT_H

#include "eval.h"
#include "json_write.h"
#include "net.h"

enum report_normalize { REPORT_COUNTS, REPORT_BY_ACTUAL, REPORT_BY_PREDICTED, REPORT_BY_ALL };

struct report_confusion {
    int classes;
    char *const *labels;             /* [classes], borrowed */
    const uint32_t *confusion;       /* [classes, classes], borrowed */
    enum report_normalize normalize; /* ?normalize=true|pred|all; the rest stays as of counts */
    const char *title;               /* of the SVG; may be NULL */
};

/* All writers append; out of memory is left in the buffer (buf_ok). */

/* The members of {"labels","matrix","total","accuracy","per_class":[{"label","precision","recall",
 * "f1","support"}],"macro":{"precision",...},"weighted":{...}}, without the braces; accuracy is
 * null when total is 0. */
void report_confusion_members(struct json_writer *w, const struct report_confusion *c);
/* First line ",label,label,...", then one line an actual class; RFC 4180 quoting, and labels that
 * a spreadsheet would take for a formula are prefixed with '. */
void report_confusion_csv(struct buf *out, const struct report_confusion *c);
/* A heat map with labels and counts; text is escaped. Past 40 classes cells carry no counts. */
void report_confusion_svg(struct buf *out, const struct report_confusion *c);

/* {"input","output","layers":[{"name","type","inputs","input","output","parameters","macs"}],
 * "parameters","macs","activation_bytes"} */
void report_summary_json(struct json_writer *w, const struct cnn_net *net);
/* A table as torchinfo prints it. */
void report_summary_text(struct buf *out, const struct cnn_net *net, const char *title);

/* What a cell shows: the count, or its share of its divisor (0 if that is 0). Divisors are NULL for
 * counts; the caller frees them. False = out of memory. */
bool report_confusion_divisors(const struct report_confusion *c, uint64_t **divisors);
double report_confusion_cell(const struct report_confusion *c, const uint64_t *divisors, int actual,
                             int predicted);

struct report_epoch {
    int epoch;
    double loss, accuracy, val_loss, val_accuracy, seconds; /* NAN = not measured */
};
struct report_batch {
    int epoch, batch;
    double loss, lr;
};
/* epoch,loss,accuracy,val_loss,val_accuracy,seconds with a heading; empty cells for NAN. */
void report_loss_csv(struct buf *out, const struct report_epoch *epochs, int count);
/* What a cell of these tables holds; nothing for a number that is not finite. */
void report_csv_number(struct buf *out, double value);

#endif
