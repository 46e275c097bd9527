#include "conv.h"

#include <string.h>

/* Input positions that the taps of all outputs cover, padding included. */
static int span(const struct conv_geometry *g, int axis)
{
    return (g->out[axis] - 1) * g->stride[axis] + (g->kernel[axis] - 1) * g->dilation[axis] + 1;
}

bool conv_is_padded(const struct conv_geometry *g)
{
    for (int i = 0; i < KERNEL_AXES; i++)
        if (g->before[i] > 0 || span(g, i) > g->in[i])
            return true;
    return false;
}

bool conv_pads_sensibly(const struct conv_geometry *g)
{
    double in = g->in_c, padded = g->in_c;
    for (int i = 0; i < KERNEL_AXES; i++) {
        in *= g->in[i];
        padded *= (g->out[i] - 1.0) * g->stride[i] + (g->kernel[i] - 1.0) * g->dilation[i] + 1;
    }
    return padded <= 8 * in + (1 << 16);
}

struct conv_geometry conv_padded(const struct conv_geometry *g)
{
    struct conv_geometry padded = *g;
    for (int i = 0; i < KERNEL_AXES; i++) {
        padded.in[i] = span(g, i);
        padded.before[i] = 0;
    }
    return padded;
}

void conv_pad(const struct conv_geometry *g, const struct conv_geometry *padded, int n,
              const float *x, float *to)
{
    const size_t c = (size_t)g->in_c;
    const size_t line = (size_t)g->in[2] * c, plane = (size_t)g->in[1] * line;
    const size_t to_line = (size_t)padded->in[2] * c, to_plane = (size_t)padded->in[1] * to_line;
    int size[KERNEL_AXES];
    for (int i = 0; i < KERNEL_AXES; i++) {
        const int reached = padded->in[i] - g->before[i];
        size[i] = reached < 0 ? 0 : reached < g->in[i] ? reached : g->in[i];
    }
    memset(to, 0, sizeof(float) * (size_t)n * (size_t)padded->in[0] * to_plane);
    to +=
        (size_t)g->before[0] * to_plane + (size_t)g->before[1] * to_line + (size_t)g->before[2] * c;
    for (size_t s = 0; s < (size_t)n; s++)
        for (size_t d = 0; d < (size_t)size[0]; d++)
            for (size_t h = 0; h < (size_t)size[1]; h++)
                memcpy(to + (s * (size_t)padded->in[0] + d) * to_plane + h * to_line,
                       x + (s * (size_t)g->in[0] + d) * plane + h * line,
                       (size_t)size[2] * c * sizeof(float));
}
