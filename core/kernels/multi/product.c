/* product.c - register tiles of rows x vectors, and how they cover a product.
 *
 * A tile keeps its part of c in registers over its part of the sum: a step loads up to TILE_VECS
 * vectors of b, broadcasts one float of each row of a, and multiplies and adds. A row is a pointer
 * of its own, so a tile takes any rows: pixels of two image lines, or of two samples, fill it as
 * well as neighbours do, and no shape leaves it half empty but the very last one.
 *
 * Loop order, outermost first: ROWS_AT_ONCE rows; columns of one tile; a part of the sum whose b
 * fits L2; tiles. (Parts that fit L1 were slower: their c travels more often.)
 */
#include "product.h"

#include "vector.h"

enum { TILE_ROWS_MAX = 12 };

struct tile_job {
    const struct nest *sum;
    const float *const *a; /* a pointer for each row */
    float *const *c;
    ptrdiff_t a_at;   /* where this part of the sum starts in each row of a */
    ptrdiff_t column; /* of c */
    const float *b;
    const float *bias; /* NULL: none */
    int tail;          /* floats of the last vector, 0: all */
    bool resume;       /* the sum goes on from what c holds */
    bool add;          /* c += this part of the sum */
    bool relu;
};

static VEC_INLINE vec load_part(const float *p, bool masked, int tail)
{
    return masked ? vec_load_masked(p, tail) : vec_load(p);
}

/* What a row's sums start from. */
static VEC_INLINE vec start_of(const struct tile_job *job, const float *c, int v, bool masked)
{
    if (job->resume)
        return load_part(c + v * VEC_LANES, masked, job->tail);
    if (job->bias)
        return load_part(job->bias + v * VEC_LANES, masked, job->tail);
    return (vec){0};
}

/* Rows, vectors and the presence of a tail are constants once inlined. */
static VEC_INLINE void tile(const struct tile_job *job, const int rows, const int vecs,
                            const bool has_tail)
{
    const struct nest s = *job->sum;
    const int tail = job->tail;
    const float *a[TILE_ROWS_MAX];
    vec acc[TILE_ROWS_MAX][TILE_VECS];

    VEC_FOR (r, rows) {
        a[r] = job->a[r] + job->a_at;
        VEC_FOR (v, vecs)
            acc[r][v] = start_of(job, job->c[r] + job->column, v, has_tail && v == vecs - 1);
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
    VEC_FOR (r, rows) {
        VEC_FOR (v, vecs) {
            const bool masked = has_tail && v == vecs - 1;
            float *c = job->c[r] + job->column + v * VEC_LANES;
            vec y = job->relu ? vec_relu(acc[r][v]) : acc[r][v];
            if (job->add)
                y += load_part(c, masked, tail);
            if (masked)
                vec_store_masked(c, y, tail);
            else
                vec_store(c, y);
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

#define ROWS_TO_4(X, vecs) X(1, vecs) X(2, vecs) X(3, vecs) X(4, vecs)
#define ROWS_TO_6(X, vecs) ROWS_TO_4(X, vecs) X(5, vecs) X(6, vecs)
#define ROWS_TO_8(X, vecs) ROWS_TO_6(X, vecs) X(7, vecs) X(8, vecs)
#define ROWS_TO_12(X, vecs) ROWS_TO_8(X, vecs) X(9, vecs) X(10, vecs) X(11, vecs) X(12, vecs)

/* rows x vecs accumulators, vecs weights and a broadcast fill the register file: 32 registers
 * with AVX-512 and NEON, 16 with AVX2, and without FMA products need some too. */
#if TILE_VECS == 4
#define TILES(X) X(12, 1) X(12, 2) X(8, 3) X(6, 4)
#elif defined(__AVX2__)
#define TILES(X) X(12, 1) X(6, 2)
#else
#define TILES(X) X(8, 1) X(4, 2)
#endif

#define TILE_COLUMN(rows, vecs) ROWS_TO_##rows(TILE, vecs)
TILES(TILE_COLUMN)

#define TILE_COLUMN_NAMES(rows, vecs) {ROWS_TO_##rows(TILE_NAME, vecs)},
static tile_fn *const tiles[TILE_VECS][TILE_ROWS_MAX] = {TILES(TILE_COLUMN_NAMES)};

#define TILE_COLUMN_ROWS(rows, vecs) rows,
static const int tile_rows[TILE_VECS] = {TILES(TILE_COLUMN_ROWS)};

enum {
    ROWS_AT_ONCE = 96, /* rows whose pointers are computed at a time */
    /* Steps in one part of the sum: a full tile's columns of b fill 256 KiB, a part of L2. */
    SUM_STEPS = (256 << 10) / (int)sizeof(vec) / TILE_VECS,
    /* Of a sum that is added to c: few, as a float's rounding errors grow with the terms. */
    ADD_STEPS = 512,
};

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

/* A sum in parts of about `steps` steps: whole loops inside of `level`, and some of its rounds. */
struct sum_parts {
    const struct nest *sum;
    int level, rounds;
    int at[NEST_DEPTH];
};

static struct sum_parts sum_parts_make(const struct nest *sum, int steps)
{
    struct sum_parts parts = {.sum = sum, .level = NEST_DEPTH - 1};
    int inside = 1;
    while (parts.level > 0 && (long)inside * sum->count[parts.level] <= steps)
        inside *= sum->count[parts.level--];
    if (inside == 0)
        inside = 1;
    parts.rounds = steps / inside > 1 ? steps / inside : 1;
    /* Even parts: 3 + 3 rounds rather than 5 + 1. */
    parts.rounds =
        divide_up(sum->count[parts.level], divide_up(sum->count[parts.level], parts.rounds));
    return parts;
}

/* The next part, and where it starts in a and b; false at the end. */
static bool sum_parts_next(struct sum_parts *parts, struct nest *part, ptrdiff_t *a, ptrdiff_t *b)
{
    const struct nest *sum = parts->sum;
    if (parts->at[0] >= sum->count[0])
        return false;
    *part = *sum;
    *a = *b = 0;
    for (int l = 0; l <= parts->level; l++) {
        *a += parts->at[l] * sum->a[l];
        *b += parts->at[l] * sum->other[l];
        part->count[l] = 1;
    }
    const int l = parts->level;
    part->count[l] = at_most(parts->rounds, sum->count[l] - parts->at[l]);
    parts->at[l] += part->count[l];
    for (int up = l; up > 0 && parts->at[up] == sum->count[up]; up--) {
        parts->at[up] = 0;
        parts->at[up - 1]++;
    }
    return true;
}

/* One tile's columns of m rows: all of the sum, part after part. The rows are divided evenly (9
 * are 5 + 4, not 6 + 3), because a small tile cannot hide the latency of FMA. */
static void column_product(const struct product *p, const struct nest *sum, int m,
                           const float *const *a, float *const *c, int vecs, struct tile_job *job)
{
    const int row_blocks = divide_up(m, tile_rows[vecs - 1]);
    const float *b = p->b + job->column;
    struct nest part;
    ptrdiff_t b_at;
    job->sum = &part;
    job->resume = p->start == PRODUCT_RESUME;
    job->add = p->start == PRODUCT_ADD;
    struct sum_parts parts = sum_parts_make(sum, job->add ? ADD_STEPS : SUM_STEPS);
    while (sum_parts_next(&parts, &part, &job->a_at, &b_at)) {
        job->b = b + b_at;
        job->relu = p->relu && parts.at[0] >= sum->count[0];
        for (int i = 0, row = 0; i < row_blocks; i++) {
            const int row_to = m * (i + 1) / row_blocks;
            job->a = a + row;
            job->c = c + row;
            tiles[vecs - 1][row_to - row - 1](job);
            row = row_to;
        }
        job->resume = !job->add;
    }
}

static void rows_product(const struct product *p, const struct nest *sum, int m,
                         const float *const *a, float *const *c)
{
    const int vecs = divide_up(p->columns, VEC_LANES), blocks = divide_up(vecs, TILE_VECS);
    for (int j = 0, from = 0; j < blocks; j++) {
        const int to = (int)((long)vecs * (j + 1) / blocks);
        struct tile_job job = {
            .column = (ptrdiff_t)from * VEC_LANES,
            .bias = p->bias && p->start == PRODUCT_SET ? p->bias + from * VEC_LANES : NULL,
            .tail = to == vecs ? p->columns % VEC_LANES : 0,
        };
        column_product(p, sum, m, a, c, to - from, &job);
        from = to;
    }
}

/* No taps, no terms: what is left of the sum is where it starts. */
static bool is_empty(const struct nest *sum)
{
    return sum->count[0] == 0 || sum->count[1] == 0 || sum->count[2] == 0 || sum->count[3] == 0;
}

void KERNEL(product)(const struct product *p)
{
    struct nest sum =
        is_empty(&p->sum) ? (struct nest){.count = {1, 1, 1, 0}} : nest_joined(p->sum);
    const float *a[ROWS_AT_ONCE];
    float *c[ROWS_AT_ONCE];
    int at[NEST_DEPTH] = {0};
    int m;
    while ((m = rows_next(p, at, a, c)) > 0)
        rows_product(p, &sum, m, a, c);
}
