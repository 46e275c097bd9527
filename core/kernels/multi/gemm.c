/* gemm.c - matrix products for dense layers. */
#include "maps.h"
#include "product.h"
#include "vector.h"

enum { DEPTH_MAX = 256, PANEL = TILE_VECS * VEC_LANES };

size_t KERNEL(gemm_packed_floats)(int n, int k)
{
    return (size_t)n * (size_t)k;
}

static void pack(const struct gemm *p, int column, int columns, int from, int depth, float *to)
{
    const float *b = p->b + column * p->b_column + from * p->b_k;
    for (int l = 0; l < depth; l++)
        for (int j = 0; j < columns; j++)
            to[l * columns + j] = b[l * p->b_k + j * p->b_column];
}

void KERNEL(gemm_pack)(const struct gemm *p, float *packed)
{
    for (int j = 0; j < p->n; j += PANEL) {
        const int columns = p->n - j < PANEL ? p->n - j : PANEL;
        pack(p, j, columns, 0, p->k, packed + (ptrdiff_t)j * p->k);
    }
}

void KERNEL(gemm)(const struct gemm *p)
{
    float panel[DEPTH_MAX * PANEL];
    for (int j = 0; j < p->n; j += PANEL) {
        const int columns = p->n - j < PANEL ? p->n - j : PANEL;
        for (int from = 0; from < p->k; from += DEPTH_MAX) {
            const int depth = p->k - from < DEPTH_MAX ? p->k - from : DEPTH_MAX;
            const float *b = p->b + (ptrdiff_t)j * p->k + (ptrdiff_t)from * columns;
            if (!p->packed) {
                pack(p, j, columns, from, depth, panel);
                b = panel;
            }
            KERNEL(product)
            (&(struct product){
                .rows = {.count = {1, 1, 1, p->m},
                         .a = {[3] = p->a_row},
                         .other = {[3] = p->c_row}},
                .sum = {.count = {1, 1, 1, depth}, .a = {[3] = p->a_k}, .other = {[3] = columns}},
                .columns = columns,
                .accumulate = p->accumulate || from > 0,
                .a = p->a + from * p->a_k,
                .b = b,
                .bias = !p->accumulate && from == 0 && p->end.bias ? p->end.bias + j : NULL,
                .c = p->c + j,
            });
        }
        for (int i = 0; !p->accumulate && i < p->m; i++)
            KERNEL(activate)
            (p->end.act, p->end.slope, (size_t)columns, p->c + j + i * p->c_row,
             p->c + j + i * p->c_row);
    }
}
