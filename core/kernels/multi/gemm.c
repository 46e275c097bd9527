/* gemm.c - matrix products for dense layers.
 *
 * b is brought into panels as wide as a register tile, [k][panel], so that a tile reads one stretch
 * of memory; as it goes, PANEL_DEPTH rows at a time into L1, or beforehand for a matrix that is
 * multiplied many times. The last panel is as wide as what is left.
 */
#include "maps.h"
#include "product.h"
#include "vector.h"

/* PANEL_DEPTH is at most product.c's ADD_STEPS, so that every element is summed in the same parts
 * however its matrix was cut. */
enum { PANEL_DEPTH = 96, PANEL = TILE_VECS * VEC_LANES };

size_t KERNEL(gemm_packed_floats)(int n, int k)
{
    return (size_t)n * (size_t)k;
}

static int at_most(int x, int most)
{
    return x < most ? x : most;
}

/* to[depth, columns] = rows from .. of b's columns column .. */
static void pack(const struct gemm *p, int column, int columns, int from, int depth, float *to)
{
    const float *b = p->b + column * p->b_column + from * p->b_k;
    if (p->b_k == 1) {
        const size_t rows = (size_t)columns, row = (size_t)p->b_column;
        KERNEL(transpose_block)(rows, (size_t)depth, b, row, to, rows);
        return;
    }
    for (int l = 0; l < depth; l++)
        for (int j = 0; j < columns; j++)
            to[l * columns + j] = b[l * p->b_k + j * p->b_column];
}

void KERNEL(gemm_pack)(const struct gemm *p, float *packed)
{
    for (int j = 0; j < p->n; j += PANEL)
        pack(p, j, at_most(PANEL, p->n - j), 0, p->k, packed + (ptrdiff_t)j * p->k);
}

/* One panel: some columns of c, and `depth` terms of their sums from term `from` on. */
struct panel {
    int column, columns, from, depth;
    const float *b; /* [depth, columns] */
};

static void panel_product(const struct gemm *p, const struct panel *panel)
{
    const bool first = panel->from == 0, last = panel->from + panel->depth == p->k;
    const struct product product = {
        .rows = {.count = {1, 1, 1, p->m}, .a = {[3] = p->a_row}, .other = {[3] = p->c_row}},
        .sum = {.count = {1, 1, 1, panel->depth},
                .a = {[3] = p->a_k},
                .other = {[3] = panel->columns}},
        .columns = panel->columns,
        .a = p->a + panel->from * p->a_k,
        .b = panel->b,
        .c = p->c + panel->column,
        .start = p->accumulate ? PRODUCT_ADD
                 : first       ? PRODUCT_SET
                               : PRODUCT_RESUME,
        .bias = p->end.bias ? p->end.bias + panel->column : NULL,
        .relu = !p->accumulate && last && p->end.act == KERNEL_RELU,
    };
    KERNEL(product)(&product);
}

static bool activates_later(const struct gemm *p)
{
    return !p->accumulate && p->end.act != KERNEL_LINEAR && p->end.act != KERNEL_RELU;
}

void KERNEL(gemm)(const struct gemm *p)
{
    float packed[PANEL_DEPTH * PANEL];
    for (int j = 0; j < p->n; j += PANEL) {
        for (int from = 0; from == 0 || from < p->k; from += PANEL_DEPTH) {
            struct panel panel = {
                .column = j,
                .columns = at_most(PANEL, p->n - j),
                .from = from,
                .depth = at_most(PANEL_DEPTH, p->k - from),
                .b = packed,
            };
            if (p->packed)
                panel.b = p->b + (ptrdiff_t)j * p->k + (ptrdiff_t)from * panel.columns;
            else
                pack(p, j, panel.columns, from, panel.depth, packed);
            panel_product(p, &panel);
        }
    }
    for (int i = 0; activates_later(p) && i < p->m; i++) {
        float *row = p->c + i * p->c_row;
        KERNEL(activate)(p->end.act, p->end.slope, (size_t)p->n, row, row);
    }
}
