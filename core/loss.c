#include "loss.h"

#include <math.h>

static const char *const loss_names[CNN_LOSS_COUNT] = {
    [CNN_CROSS_ENTROPY] = "cross_entropy",
    [CNN_BINARY_CROSS_ENTROPY] = "binary_cross_entropy",
    [CNN_MSE] = "mse",
};

const char *cnn_loss_name(enum cnn_loss_type type)
{
    return loss_names[type];
}

struct cnn_loss cnn_loss_for(enum cnn_loss_type type, const struct cnn_net *net)
{
    enum cnn_layer_type last = net->nodes[net->node_count - 1].spec.type;
    return (struct cnn_loss){
        .type = type,
        .probabilities = last == CNN_SIGMOID || last == CNN_SOFTMAX,
    };
}

int cnn_argmax(const float *values, int classes)
{
    int best = 0;
    for (int c = 1; c < classes; c++) {
        if (values[c] > values[best] || (isnan(values[best]) && !isnan(values[c])))
            best = c;
    }
    return best;
}

/* Each of these: one sample's loss; unless dout is NULL, dout = weight * gradient. */

static double cross_entropy(int classes, const float *out, int label, double weight, float *dout)
{
    double largest = out[cnn_argmax(out, classes)];
    double sum = 0;
    for (int c = 0; c < classes; c++)
        sum += exp(out[c] - largest);
    if (dout) {
        for (int c = 0; c < classes; c++)
            dout[c] = (float)(weight * (exp(out[c] - largest) / sum - (c == label)));
    }
    return log(sum) + largest - out[label];
}

/* (1 - smoothing) of the loss on the label, the rest in even parts of that on each class. */
static double smooth_cross_entropy(const struct cnn_loss *loss, int classes, const float *out,
                                   int label, double weight, float *dout)
{
    const float *weights = loss->weights;
    const double own = (1 - loss->smoothing) * (weights ? weights[label] : 1);
    const double part = loss->smoothing / classes;
    const double hard = cross_entropy(classes, out, label, weight * own, dout);
    const double log_sum = hard + out[label];
    double spread = 0, total = 0;
    for (int c = 0; c < classes; c++) {
        const double other = weights ? weights[c] : 1;
        spread += other * (log_sum - out[c]);
        total += other;
    }
    for (int c = 0; dout && c < classes; c++) {
        const double other = weights ? weights[c] : 1;
        dout[c] += (float)(weight * part * (total * exp(out[c] - log_sum) - other));
    }
    return own * hard + part * spread;
}

/* PyTorch's binary_cross_entropy: logarithms are at least -100 and the gradient's divisor at
 * least 1e-12, so that a certain, wrong answer costs much but not infinity. */
static double binary_on_probability(double p, bool target, double *gradient)
{
    *gradient = (p - target) / fmax(p * (1 - p), 1e-12);
    double chance = target ? p : 1 - p;
    double logarithm = log(chance);
    return logarithm < -100 ? 100 : -logarithm; /* NaN stays NaN */
}

static double binary_on_logit(double x, bool target, double *gradient)
{
    double small = exp(-fabs(x)); /* in (0, 1]: neither form overflows */
    *gradient = (x >= 0 ? 1 / (1 + small) : small / (1 + small)) - target;
    double positive = x < 0 ? 0 : x;
    return positive - x * target + log1p(small);
}

static double binary_cross_entropy(bool probabilities, int classes, const float *out, int label,
                                   double weight, float *dout)
{
    double sum = 0;
    for (int c = 0; c < classes; c++) {
        double gradient;
        sum += probabilities ? binary_on_probability(out[c], c == label, &gradient)
                             : binary_on_logit(out[c], c == label, &gradient);
        if (dout)
            dout[c] = (float)(weight / classes * gradient);
    }
    return sum / classes;
}

static double mean_square_error(int classes, const float *out, int label, double weight,
                                float *dout)
{
    double sum = 0;
    for (int c = 0; c < classes; c++) {
        double difference = (double)out[c] - (c == label);
        sum += difference * difference;
        if (dout)
            dout[c] = (float)(weight / classes * 2 * difference);
    }
    return sum / classes;
}

double cnn_loss_eval(struct cnn_loss loss, int n, int classes, const float *out,
                     const uint16_t *labels, float weight, float *dout)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        const float *row = out + (size_t)i * classes;
        float *drow = dout ? dout + (size_t)i * classes : NULL;
        const double own = loss.weights ? loss.weights[labels[i]] : 1, scale = weight * own;
        switch (loss.type) {
        case CNN_BINARY_CROSS_ENTROPY:
            sum += own *
                   binary_cross_entropy(loss.probabilities, classes, row, labels[i], scale, drow);
            break;
        case CNN_MSE:
            sum += own * mean_square_error(classes, row, labels[i], scale, drow);
            break;
        default:
            if (loss.smoothing > 0)
                sum += smooth_cross_entropy(&loss, classes, row, labels[i], weight, drow);
            else
                sum += own * cross_entropy(classes, row, labels[i], scale, drow);
        }
    }
    return sum;
}
