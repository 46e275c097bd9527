/* eval.h - how good a net is on labelled samples: loss, accuracy, confusion matrix, failures. */
#ifndef STRIDED_EVAL_H
#define STRIDED_EVAL_H

#include "dataset.h"
#include "loss.h"
#include "net.h"

/* True when the net takes these samples and has one output a class; else ERR_INVALID. */
bool cnn_samples_fit(const struct cnn_net *net, const struct cnn_samples *samples, struct err *e);

struct cnn_failure {
    uint32_t sample; /* position in the split (index[i], not i) */
    uint16_t actual, predicted;
    float score; /* of the predicted class */
};

struct cnn_eval {
    double loss, accuracy;
    uint32_t count;
    int classes;
    uint32_t *confusion; /* [classes, classes]: rows actual, columns predicted; sums to count */
    /* [count]: the samples behind the cells, cell after cell as in the matrix, each cell's most
     * confident first, then by position in the split. */
    uint32_t *samples;
    int failure_count; /* at most failures_max; most confident first, then by sample */
    struct cnn_failure *failures;
    float *failure_scores; /* [failure_count, classes] */
};

/* Evaluates index[0..n) of samples (index NULL: all, n ignored); ERR_INVALID when there are none
 * or they do not fit the net. failures_max may be 0. The net is only read. The result does not
 * depend on threads: the loss adds in double, chunk after chunk of fixed size. On success the
 * caller clears *eval; on failure it holds nothing. A loss that is not finite is no error. */
bool cnn_evaluate(const struct cnn_net *net, const struct cnn_samples *samples,
                  const uint32_t *index, uint32_t n, struct cnn_loss loss, int threads,
                  int failures_max, struct cnn_eval *eval, struct err *e);
void cnn_eval_clear(struct cnn_eval *eval);

/* Per class, from a confusion matrix; 0 where the divisor is 0 (as scikit-learn does). */
struct cnn_class_metrics {
    double precision, recall, f1;
    uint32_t support; /* samples that are of this class */
};
void cnn_confusion_metrics(const uint32_t *confusion, int classes,
                           struct cnn_class_metrics *metrics);
/* Their means over all classes, each counting the same (macro) or as often as it has samples
 * (weighted; 0 when there are none); support is the number of samples, at most 2^32 - 1. */
void cnn_confusion_means(const struct cnn_class_metrics *metrics, int classes,
                         struct cnn_class_metrics *macro, struct cnn_class_metrics *weighted);

#endif
