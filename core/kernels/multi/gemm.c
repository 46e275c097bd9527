/* gemm.c - row-major matrix products for dense layers. */
#include "product.h"
#include "vector.h"

/* Depth of b taken at a time. Many rows of c: its columns stay in L1 while the rows pass. One
 * tile of rows: b is read once from far away, so its lines are walked along, not across. */
enum { DEPTH_MANY_ROWS = 256, DEPTH_FEW_ROWS = 16 };

/* c[m,n] (+)= sum over k of a[m a_row + k a_k] b[k,n] */
static void gemm(int m, int n, int k, const float *a, ptrdiff_t a_row, ptrdiff_t a_k,
                 const float *b, float *c, bool accumulate)
{
    const int depth = m > TILE_ROWS ? DEPTH_MANY_ROWS : DEPTH_FEW_ROWS;
    int from = 0;
    do {
        const int part = k - from < depth ? k - from : depth;
        KERNEL(product)
        (&(struct product){
            .rows = {.count = {1, 1, 1, m}, .a = {[3] = a_row}, .other = {[3] = n}},
            .sum = {.count = {1, 1, 1, part}, .a = {[3] = a_k}, .other = {[3] = n}},
            .columns = n,
            .accumulate = accumulate || from > 0,
            .a = a + from * a_k,
            .b = b + from * (ptrdiff_t)n,
            .c = c,
        });
        from += part;
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

/* Rows of a against rows of b: 3 x 4 inner products share 7 loads. */
enum { DOT_ROWS = 3, DOT_COLUMNS = 4 };

static inline __attribute__((always_inline)) void dots(const int rows, const int columns, int k,
                                                       const float *a, const float *b, float *c,
                                                       ptrdiff_t c_row, bool accumulate)
{
    vec sum[DOT_ROWS][DOT_COLUMNS] = {{{0}}};
    for (int at = 0; at < k; at += VEC_LANES) {
        const int left = k - at;
        vec bv[DOT_COLUMNS];
        for (int j = 0; j < columns; j++) {
            const float *p = b + j * (ptrdiff_t)k + at;
            bv[j] = left < VEC_LANES ? vec_load_masked(p, left) : vec_load(p);
        }
        for (int i = 0; i < rows; i++) {
            const float *p = a + i * (ptrdiff_t)k + at;
            const vec av = left < VEC_LANES ? vec_load_masked(p, left) : vec_load(p);
            for (int j = 0; j < columns; j++)
                sum[i][j] += av * bv[j];
        }
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            float *to = c + i * c_row + j;
            *to = (accumulate ? *to : 0) + vec_sum(sum[i][j]);
        }
}

static void KERNEL(dots_3x4)(int k, const float *a, const float *b, float *c, ptrdiff_t c_row,
                             bool accumulate)
{
    dots(DOT_ROWS, DOT_COLUMNS, k, a, b, c, c_row, accumulate);
}

static void KERNEL(dots_1x4)(int k, const float *a, const float *b, float *c, bool accumulate)
{
    dots(1, DOT_COLUMNS, k, a, b, c, 0, accumulate);
}

static void KERNEL(dots_1x1)(int k, const float *a, const float *b, float *c, bool accumulate)
{
    dots(1, 1, k, a, b, c, 0, accumulate);
}

void KERNEL(gemm_nt)(int m, int n, int k, const float *a, const float *b, float *c, int accumulate)
{
    int j = 0;
    for (; j + DOT_COLUMNS <= n; j += DOT_COLUMNS, b += DOT_COLUMNS * (ptrdiff_t)k) {
        int i = 0;
        for (; i + DOT_ROWS <= m; i += DOT_ROWS)
            KERNEL(dots_3x4)(k, a + i * (ptrdiff_t)k, b, c + i * (ptrdiff_t)n + j, n, accumulate);
        for (; i < m; i++)
            KERNEL(dots_1x4)(k, a + i * (ptrdiff_t)k, b, c + i * (ptrdiff_t)n + j, accumulate);
    }
    for (; j < n; j++, b += k)
        for (int i = 0; i < m; i++)
            KERNEL(dots_1x1)(k, a + i * (ptrdiff_t)k, b, c + i * (ptrdiff_t)n + j, accumulate);
}
