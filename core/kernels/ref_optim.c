/* ref_optim.c - the reference of what an optimizer does to each parameter, in double. */
#include "ref.h"

#include <math.h>

static void update_one(const struct param_update *u, float *param, double g, float *first,
                       float *second)
{
    const double w = (double)*param * (double)u->keep_weight;
    double gradient = g + (double)u->decay * w;
    if (u->rule == UPDATE_ADAM) {
        *first = (float)((double)u->keep1 * (double)*first + (double)u->take1 * gradient);
        *second =
            (float)((double)u->keep2 * (double)*second + (double)u->take2 * gradient * gradient);
        *param =
            (float)(w - (double)u->step_size * (double)*first /
                            (sqrt((double)*second) * (double)u->root_scale + (double)u->epsilon));
        return;
    }
    if (u->rule == UPDATE_RMSPROP) {
        *second =
            (float)((double)u->keep2 * (double)*second + (double)u->take2 * gradient * gradient);
        gradient /= sqrt((double)*second) + (double)u->epsilon;
    }
    if (first) {
        *first = (float)((double)u->momentum * (double)*first + gradient);
        gradient = u->nesterov ? gradient + (double)u->momentum * (double)*first : (double)*first;
    }
    *param = (float)(w - (double)u->lr * gradient);
}

void ref_update_params(const struct param_update *u, size_t count, float *params,
                       const float *grads, float *first, float *second)
{
    for (size_t i = 0; i < count; i++)
        update_one(u, &params[i], (double)grads[i], first ? &first[i] : NULL,
                   second ? &second[i] : NULL);
}

double ref_sum_squares(size_t count, const float *x)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}
