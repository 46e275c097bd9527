/* line.c - register tiles of neighbouring pixels of a line x vectors of output channels. */
#include "lines.h"

#include <limits.h>

#include "vector.h"

enum { PIXELS_MAX = 28 };

static int at_most(int x, int most)
{
    return x < most ? x : most;
}

/* Where a tile is in the line, and the weights of its columns. */
struct place {
    int pixel, column, width; /* width: its columns; a part of the last vector may be empty */
    const float *w, *bias;
    int full; /* pixels whose last vector may be stored whole: what it spoils is stored after */
};

/* Pixels, vectors and step are constants once inlined. */
static VEC_INLINE void tile(const struct line_job *job, const struct place *at, const int pixels,
                            const int vecs, const int step)
{
    const float *x = job->x + at->pixel * step, *w = at->w;
    float *y = job->y + (ptrdiff_t)at->pixel * job->columns + at->column;
    const int *taps = job->taps;
    const int columns = job->columns, terms = job->terms, tail = at->width - (vecs - 1) * VEC_LANES;
    vec acc[PIXELS_MAX][2];

    VEC_FOR (v, vecs) {
        const vec start = vec_load(at->bias + v * VEC_LANES);
        VEC_FOR (p, pixels)
            acc[p][v] = start;
    }
    for (int t = 0; t < terms; t++, w += job->w_step) {
        const float *xt = x + taps[t];
        vec wv[2];
        VEC_FOR (v, vecs)
            wv[v] = vec_load(w + v * VEC_LANES);
        VEC_FOR (p, pixels) {
            VEC_FOR (v, vecs)
                acc[p][v] += xt[p * step] * wv[v];
        }
    }
    if (job->relu)
        VEC_FOR (p, pixels) {
            VEC_FOR (v, vecs)
                acc[p][v] = vec_relu(acc[p][v]);
        }
    VEC_FOR (p, pixels) {
        float *to = y + (ptrdiff_t)p * columns;
        VEC_FOR (v, vecs - 1)
            vec_store(to + v * VEC_LANES, acc[p][v]);
        to += (vecs - 1) * VEC_LANES;
        if (p < at->full)
            vec_store(to, acc[p][vecs - 1]);
        else
            vec_store_masked(to, acc[p][vecs - 1], tail);
    }
}

typedef void tile_fn(const struct line_job *job, const struct place *at);

#define TILE_NAME(pixels, vecs, step) KERNEL(tile_##pixels##x##vecs##_step_##step)
#define TILE(pixels, vecs, step)                                                                  \
    static void TILE_NAME(pixels, vecs, step)(const struct line_job *job, const struct place *at) \
    {                                                                                             \
        tile(job, at, pixels, vecs, step);                                                        \
    }

#define STEPS(X, pixels, vecs) \
    X(pixels, vecs, 1) X(pixels, vecs, 2) X(pixels, vecs, 3) X(pixels, vecs, 4)
#define STEP_NAMES(pixels, vecs)                                                         \
    {TILE_NAME(pixels, vecs, 1), TILE_NAME(pixels, vecs, 2), TILE_NAME(pixels, vecs, 3), \
     TILE_NAME(pixels, vecs, 4)},

/* Tile sizes in pixels, for one vector and for two: accumulators, weights and a broadcast fill 32
 * registers (AVX-512, NEON) or 16. The odd ones divide the lines of 28, 26, 24 and 22 pixels that
 * pictures of 28 and grids of 24 leave. */
#if VEC_REGISTERS == 32
#define SIZES_1(X) \
    X(1, 1)        \
    X(2, 1) X(4, 1) X(6, 1) X(8, 1) X(11, 1) X(12, 1) X(14, 1) X(22, 1) X(24, 1) X(26, 1) X(28, 1)
#define SIZES_2(X) X(1, 2) X(2, 2) X(4, 2) X(6, 2) X(8, 2) X(11, 2) X(12, 2) X(13, 2) X(14, 2)
#else
#define SIZES_1(X) X(1, 1) X(2, 1) X(4, 1) X(6, 1) X(8, 1) X(9, 1) X(10, 1) X(11, 1) X(12, 1)
#define SIZES_2(X) X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2)
#endif

#define TILES_OF(pixels, vecs) STEPS(TILE, pixels, vecs)
SIZES_1(TILES_OF)
SIZES_2(TILES_OF)

#define SIZE_OF(pixels, vecs) pixels,
static const int sizes_1[] = {SIZES_1(SIZE_OF)}, sizes_2[] = {SIZES_2(SIZE_OF)};
static tile_fn *const tiles_1[][LINE_STEP_MAX] = {SIZES_1(STEP_NAMES)};
static tile_fn *const tiles_2[][LINE_STEP_MAX] = {SIZES_2(STEP_NAMES)};

/* The size that covers a line with the least work: its last tile is moved back over its neighbour
 * rather than cut short, and a tile costs about two pixels whatever its size. */
static int best_size(const int *sizes, int count, int pixels)
{
    int best = 0, least = INT_MAX;
    for (int i = 0; i < count && sizes[i] <= pixels; i++) {
        const int work = (pixels + sizes[i] - 1) / sizes[i] * (sizes[i] + 2);
        if (work <= least) {
            least = work;
            best = i;
        }
    }
    return best;
}

/* Of a tile's pixels those that are followed, in the tile, by at least the floats that their last
 * vector has too many. Only where one stripe makes the whole line: else another stripe's columns
 * follow, and are there already. */
static int full_pixels(const struct line_job *job, int pixels, int width)
{
    const int spoiled = (VEC_LANES - width % VEC_LANES) % VEC_LANES;
    if (spoiled == 0)
        return pixels;
    if (width < job->columns)
        return 0;
    const int kept = (spoiled + width - 1) / width;
    return pixels > kept ? pixels - kept : 0;
}

/* All pixels of one or two vectors of columns. */
static void stripe(const struct line_job *job, int size, tile_fn *run, struct place *at)
{
    at->full = full_pixels(job, size, at->width);
    for (at->pixel = 0;; at->pixel += size) {
        at->pixel = at_most(at->pixel, job->pixels - size);
        run(job, at);
        if (at->pixel + size == job->pixels)
            return;
    }
}

struct line_sizes KERNEL(line_sizes)(int pixels)
{
    return (struct line_sizes){
        best_size(sizes_1, sizeof sizes_1 / sizeof *sizes_1, pixels),
        best_size(sizes_2, sizeof sizes_2 / sizeof *sizes_2, pixels),
    };
}

int KERNEL(line_columns)(int columns)
{
    return (columns + VEC_LANES - 1) / VEC_LANES * VEC_LANES;
}

void KERNEL(line)(const struct line_job *job)
{
    const int one = job->sizes.one, two = job->sizes.two;
    for (int column = 0; column < job->columns;) {
        const int left = job->columns - column;
        const bool pair = left > VEC_LANES;
        struct place at = {
            .column = column,
            .width = at_most(left, pair ? 2 * VEC_LANES : VEC_LANES),
            .w = job->w + column,
            .bias = job->bias + column,
        };
        stripe(job, pair ? sizes_2[two] : sizes_1[one],
               (pair ? tiles_2[two] : tiles_1[one])[job->x_step - 1], &at);
        column += at.width;
    }
}
