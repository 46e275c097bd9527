/* product.c - register tiles of TILE_ROWS rows x TILE_VECS vectors, and how they cover a product.
 *
 * A tile keeps its part of c in registers over the whole sum: a step loads up to TILE_VECS vectors
 * of b, broadcasts one float of each row of a, and multiplies and adds. A row is a pointer of its
 * own, so a tile takes any rows: pixels of two image lines, or of two samples, fill it as well as
 * neighbours do, and no shape leaves it half empty but the very last one.
 */
#include "product.h"

#include "vector.h"

struct tile_job {
    const struct nest *sum;
    const float *const *a; /* a pointer for each row */
    float *const *c;
    const float *b, *bias;
    int tail; /* floats of the last vector, 0: all */
    bool accumulate;
};

static VEC_INLINE vec load_part(const float *p, bool masked, int tail)
{
    return masked ? vec_load_masked(p, tail) : vec_load(p);
}

/* Rows, vectors and the presence of a tail are constants once inlined. */
static VEC_INLINE void tile(const struct tile_job *job, const int rows, const int vecs,
                            const bool has_tail)
{
    const struct nest s = *job->sum;
    const int tail = job->tail;
    const float *a[TILE_ROWS];
    vec acc[TILE_ROWS][TILE_VECS];

    VEC_FOR (r, rows) {
        a[r] = job->a[r];
        VEC_FOR (v, vecs)
            acc[r][v] = (vec){0};
    }
    for (int i0 = 0; i0 < s.count[0]; i0++) {
        for (int i1 = 0; i1 < s.count[1]; i1++) {
            for (int i2 = 0; i2 < s.count[2]; i2++) {
                ptrdiff_t at = i0 * s.a[0] + i1 * s.a[1] + i2 * s.a[2];
                const float *b = job->b + i0 * s.other[0] + i1 * s.other[1] + i2 * s.other[2];
                for (int i3 = 0; i3 < s.count[3]; i3++, at += s.a[3], b += s.other[3]) {
                    vec bv[TILE_VECS];
                    VEC_FOR (v, vecs)
                        bv[v] = load_part(b + v * VEC_LANES, has_tail && v == vecs - 1, tail);
                    VEC_FOR (r, rows) {
                        const float x = a[r][at];
                        VEC_FOR (v, vecs)
                            acc[r][v] += x * bv[v];
                    }
                }
            }
        }
    }
    /* Row after row, because accumulated rows may overlap. */
    VEC_FOR (r, rows) {
        VEC_FOR (v, vecs) {
            const bool masked = has_tail && v == vecs - 1;
            float *c = job->c[r] + v * VEC_LANES;
            vec sum = acc[r][v];
            if (job->bias)
                sum += load_part(job->bias + v * VEC_LANES, masked, tail);
            if (job->accumulate)
                sum += load_part(c, masked, tail);
            if (masked)
                vec_store_masked(c, sum, tail);
            else
                vec_store(c, sum);
        }
    }
}

typedef void tile_fn(const struct tile_job *job);

#define TILE(rows, vecs)                                                 \
    static void KERNEL(tile_##rows##x##vecs)(const struct tile_job *job) \
    {                                                                    \
        if (job->tail)                                                   \
            tile(job, rows, vecs, true);                                 \
        else                                                             \
            tile(job, rows, vecs, false);                                \
    }
#define TILE_NAME(rows, vecs) KERNEL(tile_##rows##x##vecs),

#if TILE_VECS == 4
#define TILE_COLUMN(X, rows) X(rows, 1) X(rows, 2) X(rows, 3) X(rows, 4)
#else
#define TILE_COLUMN(X, rows) X(rows, 1) X(rows, 2)
#endif

TILE_COLUMN(TILE, 1)
TILE_COLUMN(TILE, 2)
TILE_COLUMN(TILE, 3)
TILE_COLUMN(TILE, 4)
#if TILE_ROWS == 6
TILE_COLUMN(TILE, 5)
TILE_COLUMN(TILE, 6)
#endif

static tile_fn *const tiles[TILE_ROWS][TILE_VECS] = {
    {TILE_COLUMN(TILE_NAME, 1)}, {TILE_COLUMN(TILE_NAME, 2)},
    {TILE_COLUMN(TILE_NAME, 3)}, {TILE_COLUMN(TILE_NAME, 4)},
#if TILE_ROWS == 6
    {TILE_COLUMN(TILE_NAME, 5)}, {TILE_COLUMN(TILE_NAME, 6)},
#endif
};

/* Rows whose pointers are computed at a time: enough for b's columns to be reused from L1, few
 * enough that their part of a stays in L2. A multiple of each tile's rows. */
enum { ROWS_AT_ONCE = 96 };
_Static_assert(ROWS_AT_ONCE % TILE_ROWS == 0, "only the last rows may leave a tile smaller");

static int at_most(int x, int most)
{
    return x < most ? x : most;
}

static int divide_up(int x, int by)
{
    return (x + by - 1) / by;
}

/* The pointers of the next rows, up to ROWS_AT_ONCE; `at` is the nest's position. Returns how
 * many; 0 at the end. */
static int rows_next(const struct product *p, int at[NEST_DEPTH], const float **a, float **c)
{
    const struct nest *rows = &p->rows;
    int filled = 0;
    while (filled < ROWS_AT_ONCE && at[0] < rows->count[0]) {
        ptrdiff_t in_a = 0, in_c = 0;
        for (int l = 0; l < NEST_DEPTH; l++) {
            in_a += at[l] * rows->a[l];
            in_c += at[l] * rows->other[l];
        }
        const int line = at_most(rows->count[3] - at[3], ROWS_AT_ONCE - filled);
        for (int i = 0; i < line; i++, filled++) {
            a[filled] = p->a + in_a + i * rows->a[3];
            c[filled] = p->c + in_c + i * rows->other[3];
        }
        at[3] += line;
        for (int l = NEST_DEPTH - 1; l > 0 && at[l] == rows->count[l]; l--) {
            at[l] = 0;
            at[l - 1]++;
        }
    }
    return filled;
}

/* Joins loops whose steps continue one another, so that the innermost loop is as long as it can
 * be: the taps of a line with their channels, or all of a 1x1 convolution. */
static struct nest nest_joined(struct nest s)
{
    int inner = NEST_DEPTH - 1;
    for (int l = NEST_DEPTH - 2; l >= 0; l--) {
        const int count = s.count[l];
        const ptrdiff_t a = s.a[l], other = s.other[l];
        s.count[l] = 1;
        if (count == 1)
            continue;
        if (s.count[inner] == 1 ||
            (a == s.count[inner] * s.a[inner] && other == s.count[inner] * s.other[inner])) {
            if (s.count[inner] == 1) {
                s.a[inner] = a;
                s.other[inner] = other;
            }
            s.count[inner] *= count;
        } else {
            inner--;
            s.count[inner] = count;
            s.a[inner] = a;
            s.other[inner] = other;
        }
    }
    return s;
}

/* All columns of m rows, in blocks of up to TILE_VECS vectors by TILE_ROWS rows. Both divisions
 * are even (9 rows are 5 + 4, not 6 + 3), because a small tile cannot hide the latency of FMA. */
static void rows_product(const struct product *p, const struct nest *sum, int m,
                         const float *const *a, float **c)
{
    const int vecs = divide_up(p->columns, VEC_LANES);
    const int column_blocks = divide_up(vecs, TILE_VECS), row_blocks = divide_up(m, TILE_ROWS);
    struct tile_job job = {.sum = sum, .accumulate = p->accumulate, .b = p->b, .bias = p->bias};

    for (int j = 0, vec_from = 0; j < column_blocks; j++) {
        const int vec_to = (int)((long)vecs * (j + 1) / column_blocks), width = vec_to - vec_from;
        job.tail = vec_to == vecs ? p->columns % VEC_LANES : 0;
        for (int i = 0, row = 0; i < row_blocks; i++) {
            const int row_to = m * (i + 1) / row_blocks;
            job.a = a + row;
            job.c = c + row;
            tiles[row_to - row - 1][width - 1](&job);
            row = row_to;
        }
        for (int row = 0; row < m; row++)
            c[row] += width * VEC_LANES;
        job.b += width * VEC_LANES;
        if (job.bias)
            job.bias += width * VEC_LANES;
        vec_from = vec_to;
    }
}

void KERNEL(product)(const struct product *p)
{
    const struct nest sum = nest_joined(p->sum);
    const float *a[ROWS_AT_ONCE];
    float *c[ROWS_AT_ONCE];
    int at[NEST_DEPTH] = {0};
    int m;
    while ((m = rows_next(p, at, a, c)) > 0)
        rows_product(p, &sum, m, a, c);
}
