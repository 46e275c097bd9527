/* pool.c - max pooling. */
#include "maps.h"

#include <string.h>

/* Calls for every element of x's windows: the window's index in y, the element's in x, and its
 * number within the window; false in the padding. */
static bool window_element(const struct pool_geometry *g, const int out[KERNEL_AXES], int number,
                           size_t *pixel)
{
    int rest = number;
    size_t at = 0, scale = 1;
    for (int i = KERNEL_AXES - 1; i >= 0; i--) {
        int in = out[i] * g->stride[i] - g->before[i] + rest % g->kernel[i];
        rest /= g->kernel[i];
        if (in < 0 || in >= g->in[i])
            return false;
        at += (size_t)in * scale;
        scale *= (size_t)g->in[i];
    }
    *pixel = at;
    return true;
}

static size_t volume(const int *size)
{
    return (size_t)size[0] * (size_t)size[1] * (size_t)size[2];
}

/* A NaN beats what came before it. */
static bool beats(float x, float best)
{
    return x > best || x != x;
}

static void pool_one(const struct pool_geometry *g, const float *x, const int out[KERNEL_AXES],
                     float *best, uint8_t *winner)
{
    bool any = false;
    for (int number = 0; number < (int)volume(g->kernel); number++) {
        size_t pixel;
        if (!window_element(g, out, number, &pixel))
            continue;
        const float value = x[pixel * (size_t)g->c];
        if (any && !beats(value, *best))
            continue;
        any = true;
        *best = value;
        if (winner)
            *winner = (uint8_t)number;
    }
}

static void locate(size_t index, const int *size, int *at)
{
    for (int axis = KERNEL_AXES - 1; axis >= 0; axis--) {
        at[axis] = (int)(index % (size_t)size[axis]);
        index /= (size_t)size[axis];
    }
}

void KERNEL(max_pool)(const struct pool_geometry *g, int n, const float *x, float *y,
                      uint8_t *winner)
{
    const size_t channels = (size_t)g->c, pixels = volume(g->out);
    const size_t in_count = volume(g->in) * channels;
    for (size_t i = 0; i < (size_t)n * pixels; i++) {
        int out[KERNEL_AXES];
        locate(i % pixels, g->out, out);
        for (size_t c = 0; c < channels; c++)
            pool_one(g, x + i / pixels * in_count + c, out, &y[i * channels + c],
                     winner ? &winner[i * channels + c] : NULL);
    }
}

void KERNEL(max_pool_backward)(const struct pool_geometry *g, int n, const uint8_t *winner,
                               const float *dy, float *dx)
{
    const size_t channels = (size_t)g->c, pixels = volume(g->out);
    const size_t in_count = volume(g->in) * channels;
    memset(dx, 0, (size_t)n * in_count * sizeof *dx);
    for (size_t i = 0; i < (size_t)n * pixels; i++) {
        int out[KERNEL_AXES];
        locate(i % pixels, g->out, out);
        for (size_t c = 0; c < channels; c++) {
            size_t pixel;
            if (window_element(g, out, winner[i * channels + c], &pixel))
                dx[i / pixels * in_count + pixel * channels + c] += dy[i * channels + c];
        }
    }
}
