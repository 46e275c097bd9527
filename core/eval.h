/* eval.h - how good a net is on labelled samples: loss, accuracy, confusion matrix, failures. */
#ifndef STRIDED_EVAL_H
#define STRIDED_EVAL_H

#include "dataset.h"
#include "loss.h"
#include "net.h"

struct cnn_failure {
    uint32_t sample; /* position in the split */
    uint16_t actual, predicted;
    float score; /* of the predicted class */
};

struct cnn_eval {
    double loss, accuracy;
    uint32_t count;
    int classes;
    uint32_t *confusion; /* [classes, classes]: rows actual, columns predicted; sums to count */
    int failure_count;   /* at most failures_max; most confident first, then by sample */
    struct cnn_failure *failures;
    float *failure_scores; /* [failure_count, classes] */
};

/* Evaluates index[0..n) of samples (NULL: all). failures_max may be 0. The result does not
 * depend on threads; the caller clears it. */
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

#endif
