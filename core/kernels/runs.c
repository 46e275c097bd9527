#include "runs.h"

static int at_most(int x, int most)
{
    return x < most ? x : most;
}

static int at_least(int x, int least)
{
    return x > least ? x : least;
}

/* Divisions that round down and up, for any dividend and a divisor above 0. */
static int divide_down(int x, int by)
{
    return x >= 0 ? x / by : -((-x + by - 1) / by);
}

static int divide_up(int x, int by)
{
    return -divide_down(-x, by);
}

/* Those of `count` positions whose element first + i * step lies in 0 .. size - 1: *from .. *to
 * - 1. step > 0. */
static void inside(int first, int step, int count, int size, int *from, int *to)
{
    *from = at_most(at_least(divide_up(-first, step), 0), count);
    *to = at_least(at_most(divide_down(size - 1 - first, step) + 1, count), *from);
}

bool run_forward(const struct conv_geometry *g, int axis, int *at, struct run *run)
{
    const int stride = g->stride[axis], dilation = g->dilation[axis], size = g->in[axis];
    if (*at >= g->out[axis])
        return false;
    int from, to, next_from, next_to, count = 1;
    const int first = *at * stride - g->before[axis];
    inside(first, dilation, g->kernel[axis], size, &from, &to);
    for (; *at + count < g->out[axis]; count++) {
        inside(first + count * stride, dilation, g->kernel[axis], size, &next_from, &next_to);
        if (next_from != from || next_to != to)
            break;
    }
    *run = (struct run){
        .first = *at,
        .count = count,
        .step = 1,
        .tap = from,
        .taps = to - from,
        .tap_step = 1,
        .other = first + from * dilation,
        .other_step = stride,
        .other_tap = dilation,
    };
    *at += count;
    return true;
}

static int greatest_divisor(int a, int b)
{
    return b == 0 ? a : greatest_divisor(b, a % b);
}

/* The taps t through which input position `in` is read by some output: in + before - t * dilation
 * is a multiple of the stride there, and an output. They are `period` apart. */
static void taps_of(const struct conv_geometry *g, int axis, int in, int period, int *tap,
                    int *taps)
{
    const int stride = g->stride[axis], dilation = g->dilation[axis], at = in + g->before[axis];
    const int last = at_most(divide_down(at, dilation), g->kernel[axis] - 1);
    int first = at_least(divide_up(at - (g->out[axis] - 1) * stride, dilation), 0), tries = period;
    while (tries > 0 && (at - first * dilation) % stride != 0)
        first++, tries--;
    *taps = tries > 0 && first <= last ? (last - first) / period + 1 : 0;
    *tap = *taps > 0 ? first : 0;
}

/* *at counts positions in the order 0, s, 2s, ... 1, s + 1, ...: rest after rest of the stride. */
bool run_backward_data(const struct conv_geometry *g, int axis, int *at, struct run *run)
{
    const int stride = g->stride[axis], dilation = g->dilation[axis], size = g->in[axis];
    const int period = stride / greatest_divisor(stride, dilation);
    int rest = 0, before = 0;
    while (rest < stride && rest < size && *at - before >= (size - 1 - rest) / stride + 1)
        before += (size - 1 - rest++) / stride + 1;
    if (rest >= stride || rest >= size)
        return false;
    const int first = rest + (*at - before) * stride;
    int tap, taps, next_tap, next_taps, count = 1;
    taps_of(g, axis, first, period, &tap, &taps);
    for (; first + count * stride < size; count++) {
        taps_of(g, axis, first + count * stride, period, &next_tap, &next_taps);
        if (next_tap != tap || next_taps != taps)
            break;
    }
    *run = (struct run){
        .first = first,
        .count = count,
        .step = stride,
        .tap = tap,
        .taps = taps,
        .tap_step = period,
        .other = (first + g->before[axis] - tap * dilation) / stride,
        .other_step = 1,
        .other_tap = -(period * dilation / stride),
    };
    *at += count;
    return true;
}

bool run_backward_weight(const struct conv_geometry *g, int axis, int *at, struct run *run)
{
    const int stride = g->stride[axis], dilation = g->dilation[axis], size = g->in[axis];
    int from = 0, to = 0, next_from, next_to, count = 1;
    for (; *at < g->kernel[axis]; ++*at) {
        inside(*at * dilation - g->before[axis], stride, g->out[axis], size, &from, &to);
        if (to > from)
            break;
    }
    if (*at >= g->kernel[axis])
        return false;
    for (; *at + count < g->kernel[axis]; count++) {
        inside((*at + count) * dilation - g->before[axis], stride, g->out[axis], size, &next_from,
               &next_to);
        if (next_from != from || next_to != to)
            break;
    }
    *run = (struct run){
        .first = *at,
        .count = count,
        .step = 1,
        .taps = to - from,
        .tap_step = 1,
        .other = from,
        .other_step = 0,
        .other_tap = 1,
    };
    *at += count;
    return true;
}
