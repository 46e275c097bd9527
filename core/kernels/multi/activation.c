/* activation.c - activations over whole arrays. */
#include "maps.h"

#include <math.h>

static float act_of(enum kernel_act act, float slope, float x)
{
    switch (act) {
    case KERNEL_RELU:
        return x < 0 ? 0 : x;
    case KERNEL_LEAKY_RELU:
        return x < 0 ? slope * x : x;
    case KERNEL_TANH:
        return (float)tanh((double)x);
    case KERNEL_SIGMOID:
        return (float)(1 / (1 + exp(-(double)x)));
    default:
        return x;
    }
}

/* From y = act(x). */
static float derivative(enum kernel_act act, float slope, float y)
{
    switch (act) {
    case KERNEL_RELU:
        return y > 0 ? 1 : 0;
    case KERNEL_LEAKY_RELU:
        return y > 0 ? 1 : slope;
    case KERNEL_TANH:
        return 1 - y * y;
    case KERNEL_SIGMOID:
        return y * (1 - y);
    default:
        return 1;
    }
}

void KERNEL(activate)(enum kernel_act act, float slope, size_t count, const float *x, float *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = act_of(act, slope, x[i]);
}

void KERNEL(activate_backward)(enum kernel_act act, float slope, size_t count, const float *y,
                               const float *dy, float *dx)
{
    for (size_t i = 0; i < count; i++)
        dx[i] = act == KERNEL_RELU && !(y[i] > 0) ? 0 : dy[i] * derivative(act, slope, y[i]);
}
