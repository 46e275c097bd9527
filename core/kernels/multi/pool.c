/* DESIGN: a vector holds neighbouring channels of one pixel, so a window's maximum is a chain of
 * lane-wise choices, with the winner's number beside each lane. Work goes line by line of the
 * output; what of a window lies in the padding is cut off per axis, never per element.
 *
 * Where C is no multiple of the vector, whole vectors are stored all the same, in rising order:
 * what spills over into the next pixel is overwritten when that one's turn comes. Only the last
 * pixels of a line, where a whole vector would leave the line, are masked. */
#include "maps.h"

#include <string.h>

#include "lanes.h"

static size_t volume(const int *size)
{
    return (size_t)size[0] * (size_t)size[1] * (size_t)size[2];
}

static int min(int a, int b)
{
    return a < b ? a : b;
}

/* The taps of a window that lie inside the input, and the position of the first of these. */
struct taps {
    int first, end, at;
};

static struct taps taps_at(const struct pool_geometry *g, int axis, int out)
{
    const int start = out * g->stride[axis] - g->before[axis];
    const int first = start < 0 ? -start : 0;
    return (struct taps){first, min(g->kernel[axis], g->in[axis] - start), start + first};
}

/* The windows over one line of output. */
struct line {
    const struct pool_geometry *g;
    struct taps d, h;
    const float *x;       /* the line of x under taps d.first, h.first */
    ptrdiff_t plane, row; /* of x, floats */
    float *y;
    uint8_t *winner; /* NULL: not wanted */
};

/* How much of a window is looked at: constants where it is worth code of its own. */
struct extent {
    int d, h, w;
};

/* One vector of channels: the window's first tap stands at x and is its element `number`. */
static VEC_INLINE void window_max(const struct line *l, const float *x, int number,
                                  struct extent taps, int lanes, float *y, uint8_t *winner)
{
    const ptrdiff_t kh = l->g->kernel[1], kw = l->g->kernel[2], c = l->g->c;
    vec best = lanes_load(x, lanes);
    lane_bytes won = bytes_of(number);
    for (int d = 0; d < taps.d; d++) {
        for (int h = 0; h < taps.h; h++) {
            for (int w = d + h ? 0 : 1; w < taps.w; w++) {
                const vec value = lanes_load(x + d * l->plane + h * l->row + w * c, lanes);
                const lane_mask hold = lanes_hold(best, value);
                best = lanes_select(hold, best, value);
                if (winner)
                    won = bytes_select(hold, won, bytes_of(number + (int)((d * kh + h) * kw + w)));
            }
        }
    }
    lanes_store(y, best, lanes);
    if (winner)
        bytes_store(winner, won, lanes);
}

/* Output pixels first..end-1 of the line, whose windows lie inside on the w axis; whole vectors. */
static VEC_INLINE void pixels_max(const struct line *l, int first, int end, struct extent taps,
                                  bool want_winner)
{
    const struct pool_geometry *g = l->g;
    const ptrdiff_t c = g->c;
    const int number = (l->d.first * g->kernel[1] + l->h.first) * g->kernel[2];
    for (int out = first; out < end; out++) {
        const float *x = l->x + (out * g->stride[2] - g->before[2]) * c;
        float *y = l->y + out * c;
        uint8_t *winner = want_winner ? l->winner + out * c : NULL;
        for (ptrdiff_t k = 0; k < c; k += VEC_LANES)
            window_max(l, x + k, number, taps, VEC_LANES, y + k, want_winner ? winner + k : NULL);
    }
}

/* The same for any window, touching nothing but the pixels themselves. */
static void pixels_max_masked(const struct line *l, int first, int end)
{
    const struct pool_geometry *g = l->g;
    const ptrdiff_t c = g->c;
    for (int out = first; out < end; out++) {
        const struct taps w = taps_at(g, 2, out);
        const struct extent taps = {l->d.end - l->d.first, l->h.end - l->h.first, w.end - w.first};
        const int number = (l->d.first * g->kernel[1] + l->h.first) * g->kernel[2] + w.first;
        for (int k = 0; k < g->c; k += VEC_LANES)
            window_max(l, l->x + w.at * c + k, number, taps, min(VEC_LANES, g->c - k),
                       l->y + out * c + k, l->winner ? l->winner + out * c + k : NULL);
    }
}

/* Which pixels of a line whole vectors may take: windows inside the input, and neither their
 * input's last vector nor their output's past the end of the line. */
struct whole {
    int first, end;
};

static struct whole whole_pixels(const struct pool_geometry *g)
{
    const int stride = g->stride[2], before = g->before[2];
    const int vectors = (g->c + VEC_LANES - 1) / VEC_LANES;
    const int spill = (vectors * VEC_LANES - 1) / g->c; /* pixels beyond the first */
    const int first = (before + stride - 1) / stride;
    const int room = g->in[2] + before - g->kernel[2] - spill;
    const int end = room < 0 ? 0 : min(room / stride + 1, g->out[2] - spill);
    return (struct whole){min(first, g->out[2]), end};
}

static VEC_INLINE void pixels_max_usual(const struct line *l, struct whole whole, bool want_winner)
{
    const struct extent taps = {l->d.end - l->d.first, l->h.end - l->h.first, l->g->kernel[2]};
    if (taps.d == 1 && taps.h == 2 && taps.w == 2)
        pixels_max(l, whole.first, whole.end, (struct extent){1, 2, 2}, want_winner);
    else if (taps.d == 2 && taps.h == 2 && taps.w == 2)
        pixels_max(l, whole.first, whole.end, (struct extent){2, 2, 2}, want_winner);
    else if (taps.d == 1 && taps.h == 3 && taps.w == 3)
        pixels_max(l, whole.first, whole.end, (struct extent){1, 3, 3}, want_winner);
    else
        pixels_max(l, whole.first, whole.end, taps, want_winner);
}

static void line_max(const struct line *l, struct whole whole)
{
    if (whole.first >= whole.end) {
        pixels_max_masked(l, 0, l->g->out[2]);
        return;
    }
    pixels_max_masked(l, 0, whole.first);
    if (l->winner)
        pixels_max_usual(l, whole, true);
    else
        pixels_max_usual(l, whole, false);
    pixels_max_masked(l, whole.end, l->g->out[2]);
}

void KERNEL(max_pool)(const struct pool_geometry *g, int n, const float *x, float *y,
                      uint8_t *winner)
{
    const size_t in_count = volume(g->in) * (size_t)g->c, line = (size_t)g->out[2] * (size_t)g->c;
    const struct whole whole = whole_pixels(g);
    struct line l = {.g = g, .row = (ptrdiff_t)g->in[2] * g->c, .y = y, .winner = winner};
    l.plane = l.row * g->in[1];
    for (int i = 0; i < n; i++, x += in_count) {
        for (int d = 0; d < g->out[0]; d++) {
            l.d = taps_at(g, 0, d);
            for (int h = 0; h < g->out[1]; h++) {
                l.h = taps_at(g, 1, h);
                l.x = x + l.d.at * l.plane + l.h.at * l.row;
                line_max(&l, whole);
                l.y += line;
                l.winner = winner ? l.winner + line : NULL;
            }
        }
    }
}

/* dx of one pixel = dy where the window's element `number` won, else 0. `exact`: no lane beyond. */
static VEC_INLINE void pixel_spread(int c, bool exact, const uint8_t *winner, int number,
                                    const float *dy, float *dx)
{
    const lane_bytes wanted = bytes_of(number);
    for (int k = 0; k < c; k += VEC_LANES) {
        const int lanes = exact ? min(VEC_LANES, c - k) : VEC_LANES;
        const lane_mask won = bytes_equal(bytes_load(winner + k, lanes), wanted);
        lanes_store(dx + k, lanes_select(won, lanes_load(dy + k, lanes), (vec){0}), lanes);
    }
}

static void zero(float *x, ptrdiff_t count)
{
    if (count > 0)
        memset(x, 0, (size_t)count * sizeof *x);
}

/* One line of dx under windows that do not overlap: the windows' elements from `number` on, zeros
 * between and beyond them. */
static void line_spread(const struct pool_geometry *g, struct whole whole, const uint8_t *winner,
                        int number, const float *dy, float *dx)
{
    const ptrdiff_t c = g->c;
    int done = 0; /* pixels of dx */
    for (int out = 0; out < g->out[2]; out++, winner += c, dy += c) {
        const struct taps w = taps_at(g, 2, out);
        zero(dx + done * c, (w.at - done) * c);
        done = w.at + w.end - w.first;
        float *to = dx + (w.at - w.first) * c;
        if (out >= whole.first && out < whole.end)
            for (int tap = 0; tap < g->kernel[2]; tap++)
                pixel_spread(g->c, false, winner, number + tap, dy, to + tap * c);
        else
            for (int tap = w.first; tap < w.end; tap++)
                pixel_spread(g->c, true, winner, number + tap, dy, to + tap * c);
    }
    zero(dx + done * c, (g->in[2] - done) * c);
}

/* The window on an axis that covers input position `in`, and which of its taps does; false in a
 * gap between windows or behind the last. */
static bool window_over(const struct pool_geometry *g, int axis, int in, int *out, int *tap)
{
    *out = (in + g->before[axis]) / g->stride[axis];
    *tap = (in + g->before[axis]) % g->stride[axis];
    return *out < g->out[axis] && *tap < g->kernel[axis];
}

static void spread_apart(const struct pool_geometry *g, const uint8_t *winner, const float *dy,
                         float *dx)
{
    const ptrdiff_t row = (ptrdiff_t)g->in[2] * g->c;
    const struct whole whole = whole_pixels(g);
    for (int d = 0; d < g->in[0]; d++) {
        int out_d, tap_d, out_h, tap_h;
        const bool covered = window_over(g, 0, d, &out_d, &tap_d);
        for (int h = 0; h < g->in[1]; h++, dx += row) {
            if (!covered || !window_over(g, 1, h, &out_h, &tap_h)) {
                zero(dx, row);
                continue;
            }
            const ptrdiff_t at = ((ptrdiff_t)out_d * g->out[1] + out_h) * g->out[2] * g->c;
            line_spread(g, whole, winner + at, (tap_d * g->kernel[1] + tap_h) * g->kernel[2],
                        dy + at, dx);
        }
    }
}

/* dx of one pixel += dy where the window's element `number` won. */
static void pixel_add(int c, const uint8_t *winner, int number, const float *dy, float *dx)
{
    const lane_bytes wanted = bytes_of(number);
    for (int k = 0; k < c; k += VEC_LANES) {
        const int lanes = min(VEC_LANES, c - k);
        const lane_mask won = bytes_equal(bytes_load(winner + k, lanes), wanted);
        const vec more = lanes_select(won, lanes_load(dy + k, lanes), (vec){0});
        lanes_store(dx + k, lanes_load(dx + k, lanes) + more, lanes);
    }
}

static void window_add(const struct pool_geometry *g, const int out[KERNEL_AXES],
                       const uint8_t *winner, const float *dy, float *dx)
{
    struct taps taps[KERNEL_AXES];
    for (int axis = 0; axis < KERNEL_AXES; axis++)
        taps[axis] = taps_at(g, axis, out[axis]);
    const ptrdiff_t row = g->in[2], plane = row * g->in[1];
    for (int d = taps[0].first; d < taps[0].end; d++)
        for (int h = taps[1].first; h < taps[1].end; h++)
            for (int w = taps[2].first; w < taps[2].end; w++)
                pixel_add(g->c, winner, (d * g->kernel[1] + h) * g->kernel[2] + w, dy,
                          dx + ((taps[0].at - taps[0].first + d) * plane +
                                (taps[1].at - taps[1].first + h) * row + taps[2].at -
                                taps[2].first + w) *
                                   g->c);
}

static void spread_overlapping(const struct pool_geometry *g, const uint8_t *winner,
                               const float *dy, float *dx)
{
    int out[KERNEL_AXES];
    memset(dx, 0, volume(g->in) * (size_t)g->c * sizeof *dx);
    for (out[0] = 0; out[0] < g->out[0]; out[0]++)
        for (out[1] = 0; out[1] < g->out[1]; out[1]++)
            for (out[2] = 0; out[2] < g->out[2]; out[2]++, winner += g->c, dy += g->c)
                window_add(g, out, winner, dy, dx);
}

void KERNEL(max_pool_backward)(const struct pool_geometry *g, int n, const uint8_t *winner,
                               const float *dy, float *dx)
{
    const size_t in_count = volume(g->in) * (size_t)g->c;
    const size_t out_count = volume(g->out) * (size_t)g->c;
    bool apart = true;
    for (int axis = 0; axis < KERNEL_AXES; axis++)
        apart = apart && g->stride[axis] >= g->kernel[axis];
    for (int i = 0; i < n; i++, dx += in_count, winner += out_count, dy += out_count) {
        if (apart)
            spread_apart(g, winner, dy, dx);
        else
            spread_overlapping(g, winner, dy, dx);
    }
}
