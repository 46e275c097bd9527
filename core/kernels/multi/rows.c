/* rows.c - sums of rows. */
#include "maps.h"

#include "lanes.h"

/* So many rows are added up before they join the total: errors grow with this and with the number
 * of runs, not with the number of rows. */
enum { RUN_ROWS = 256, SUM_VECS = 4, SUM_CHAINS = 4 };

/* sum[vecs vectors] += so many columns of x[rows, columns]. Constants: vecs vectors beside one
 * another, the last of `lanes`; `chains` sums of each, so that additions need not wait. */
static VEC_INLINE void columns_sum(size_t rows, size_t columns, const float *x, float *sum,
                                   int vecs, int lanes, int chains)
{
    vec total[SUM_VECS] = {{0}};
    for (size_t first = 0; first < rows; first += RUN_ROWS) {
        const size_t end = rows - first < RUN_ROWS ? rows : first + RUN_ROWS;
        vec part[SUM_CHAINS][SUM_VECS] = {{{0}}};
        size_t row = first;
        for (; row + (size_t)chains <= end; row += (size_t)chains)
            VEC_FOR (i, chains)
                VEC_FOR (v, vecs)
                    part[i][v] +=
                        lanes_load(x + (row + (size_t)i) * columns + v * VEC_LANES, lanes);
        for (; row < end; row++)
            VEC_FOR (v, vecs)
                part[0][v] += lanes_load(x + row * columns + v * VEC_LANES, lanes);
        VEC_FOR (v, vecs)
            VEC_FOR (i, chains)
                total[v] += part[i][v];
    }
    VEC_FOR (v, vecs)
        lanes_store(sum + v * VEC_LANES, lanes_load(sum + v * VEC_LANES, lanes) + total[v], lanes);
}

static void rows_sum(size_t rows, size_t columns, const float *x, float *sum)
{
    size_t c = 0;
    for (; c + 4 * VEC_LANES <= columns; c += 4 * VEC_LANES)
        columns_sum(rows, columns, x + c, sum + c, 4, VEC_LANES, 2);
    for (; c + 2 * VEC_LANES <= columns; c += 2 * VEC_LANES)
        columns_sum(rows, columns, x + c, sum + c, 2, VEC_LANES, 4);
    for (; c + VEC_LANES <= columns; c += VEC_LANES)
        columns_sum(rows, columns, x + c, sum + c, 1, VEC_LANES, 4);
    if (c < columns)
        columns_sum(rows, columns, x + c, sum + c, 1, (int)(columns - c), 4);
}

/* Columns of which several rows fill a vector: the sum of vectors first, then within one. */
static void narrow_rows_sum(size_t rows, size_t columns, const float *x, float *sum)
{
    float lanes[VEC_LANES] = {0};
    const size_t count = rows * columns, whole = count / VEC_LANES;
    rows_sum(whole, VEC_LANES, x, lanes);
    for (size_t i = 0; i < VEC_LANES; i++)
        sum[i % columns] += lanes[i];
    for (size_t i = whole * VEC_LANES; i < count; i++)
        sum[i % columns] += x[i];
}

void KERNEL(sum_rows)(size_t rows, int columns, const float *x, float *sum)
{
    if (columns < VEC_LANES && VEC_LANES % columns == 0)
        narrow_rows_sum(rows, (size_t)columns, x, sum);
    else
        rows_sum(rows, (size_t)columns, x, sum);
}
