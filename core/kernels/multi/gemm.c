/* gemm.c - row-major matrix products for dense layers. */
#include "product.h"
#include "vector.h"

/* Steps of the sum at a time: a tile's columns of b, this deep, stay in L1 while the rows pass. */
enum { DEPTH_MAX = 256 };

/* c[m,n] (+)= sum over k of a[m a_row + k a_k] b[k,n] */
static void gemm(int m, int n, int k, const float *a, ptrdiff_t a_row, ptrdiff_t a_k,
                 const float *b, float *c, bool accumulate)
{
    int from = 0;
    do {
        const int depth = k - from < DEPTH_MAX ? k - from : DEPTH_MAX;
        KERNEL(product)
        (&(struct product){
            .rows = {.count = {1, 1, 1, m}, .a = {[3] = a_row}, .other = {[3] = n}},
            .sum = {.count = {1, 1, 1, depth}, .a = {[3] = a_k}, .other = {[3] = n}},
            .columns = n,
            .accumulate = accumulate || from > 0,
            .a = a + from * a_k,
            .b = b + from * (ptrdiff_t)n,
            .c = c,
        });
        from += depth;
    } while (from < k);
}

void KERNEL(gemm_nn)(int m, int n, int k, const float *a, const float *b, float *c, int accumulate)
{
    gemm(m, n, k, a, k, 1, b, c, accumulate);
}

void KERNEL(gemm_tn)(int m, int n, int k, const float *a, const float *b, float *c, int accumulate)
{
    gemm(m, n, k, a, 1, m, b, c, accumulate);
}

/* nt multiplies rows with rows: 3 x 4 inner products, whose sums share 7 loads. */
enum { DOT_ROWS = 3, DOT_COLUMNS = 4 };

struct dots_job {
    int k;
    const float *a, *b;
    float *c;
    ptrdiff_t c_row;
    bool accumulate;
};

static VEC_INLINE vec load_some(const float *p, int count)
{
    return count < VEC_LANES ? vec_load_masked(p, count) : vec_load(p);
}

/* One vector of each row; count is the constant VEC_LANES but for the last. */
static VEC_INLINE void dots_step(const struct dots_job *job, int at, int count, const int rows,
                                 const int columns, vec sum[DOT_ROWS][DOT_COLUMNS])
{
    const ptrdiff_t k = job->k;
    vec b[DOT_COLUMNS];
    VEC_FOR (j, columns)
        b[j] = load_some(job->b + j * k + at, count);
    VEC_FOR (i, rows) {
        const vec a = load_some(job->a + i * k + at, count);
        VEC_FOR (j, columns)
            sum[i][j] += a * b[j];
    }
}

static VEC_INLINE void dots(const struct dots_job *job, const int rows, const int columns)
{
    vec sum[DOT_ROWS][DOT_COLUMNS];
    VEC_FOR (i, rows) {
        VEC_FOR (j, columns)
            sum[i][j] = (vec){0};
    }
    int at = 0;
    for (; at + VEC_LANES <= job->k; at += VEC_LANES)
        dots_step(job, at, VEC_LANES, rows, columns, sum);
    if (at < job->k)
        dots_step(job, at, job->k - at, rows, columns, sum);
    VEC_FOR (i, rows) {
        VEC_FOR (j, columns) {
            float *c = job->c + i * job->c_row + j;
            *c = (job->accumulate ? *c : 0) + vec_sum(sum[i][j]);
        }
    }
}

static void KERNEL(dots_3x4)(const struct dots_job *job)
{
    dots(job, DOT_ROWS, DOT_COLUMNS);
}

static void KERNEL(dots_1x4)(const struct dots_job *job)
{
    dots(job, 1, DOT_COLUMNS);
}

static void KERNEL(dots_1x1)(const struct dots_job *job)
{
    dots(job, 1, 1);
}

void KERNEL(gemm_nt)(int m, int n, int k, const float *a, const float *b, float *c, int accumulate)
{
    struct dots_job job = {.k = k, .c_row = n, .accumulate = accumulate};
    for (int j = 0; j < n;) {
        const bool wide = j + DOT_COLUMNS <= n;
        for (int i = 0; i < m;) {
            const bool tall = wide && i + DOT_ROWS <= m;
            job.a = a + i * (ptrdiff_t)k;
            job.b = b + j * (ptrdiff_t)k;
            job.c = c + i * (ptrdiff_t)n + j;
            if (tall)
                KERNEL(dots_3x4)(&job);
            else if (wide)
                KERNEL(dots_1x4)(&job);
            else
                KERNEL(dots_1x1)(&job);
            i += tall ? DOT_ROWS : 1;
        }
        j += wide ? DOT_COLUMNS : 1;
    }
}
