/* loss.h - losses on class labels: value and gradient at the net's output.
 *
 * cross_entropy: mean over samples of -log softmax(out)[label]. It always applies its own
 *   log-softmax, so nets that end in softmax are trained "softmax twice" as the reference nets
 *   are, and for nets that end in log-softmax it is the plain negative log-likelihood.
 *   Smoothing (Szegedy et al. 2016) spreads that part of the target evenly over the classes.
 * binary_cross_entropy: mean over samples and units against one-hot targets; on probabilities
 *   when the net ends in sigmoid or softmax (clamped as in PyTorch: log >= -100), else on logits.
 * mse: mean over samples and units of (out - onehot)^2.
 *
 * Weights of classes multiply each sample's loss by that of its label; means over a batch are then
 * divided by the sum of its samples' weights, as PyTorch's cross_entropy(weight=...) does it. The
 * part that smoothing spreads counts by the weights of the classes it goes to, as there.
 */
#ifndef STRIDED_LOSS_H
#define STRIDED_LOSS_H

#include <stdint.h>

#include "net.h"

enum cnn_loss_type { CNN_CROSS_ENTROPY, CNN_BINARY_CROSS_ENTROPY, CNN_MSE, CNN_LOSS_COUNT };
const char *cnn_loss_name(enum cnn_loss_type type); /* "cross_entropy", ... */

struct cnn_loss {
    enum cnn_loss_type type;
    bool probabilities;   /* the net's output already is: matters to binary_cross_entropy */
    const float *weights; /* [classes], borrowed; NULL: all 1 */
    double smoothing;     /* cross_entropy: [0, 1) */
};
struct cnn_loss cnn_loss_for(enum cnn_loss_type type, const struct cnn_net *net);

/* Sum (not mean) over n samples of the per-sample loss, in double; out is [n, classes].
 * Unless dout is NULL: dout[n, classes] = weight * gradient, weight being 1/batch size (or 1/sum
 * of the batch's class weights). */
double cnn_loss_eval(struct cnn_loss loss, int n, int classes, const float *out,
                     const uint16_t *labels, float weight, float *dout);

/* Index of the largest of `classes` values; the first among equals; NaN never wins. */
int cnn_argmax(const float *values, int classes);

#endif
