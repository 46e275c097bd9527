/* DESIGN: a square tile is loaded row by row into registers, turned there and stored. Where a size
 * is no multiple of the tile, the last tile overlaps the one before it and writes the same again.
 * Matrices narrower than a tile gain nothing by it and are copied element by element. */
#ifdef __AVX512F__
#define VEC_LANES 8 /* a tile of 16 needs more registers than there are */
#endif

#include "maps.h"

#include <string.h>

#include "vector.h"

enum { TILE = VEC_LANES };

/* The lanes of two vectors in turn: the lower halves, the upper halves. */
#if VEC_LANES == 8
#define ZIP_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define ZIP_HIGH 4, 12, 5, 13, 6, 14, 7, 15
enum { ZIP_STEPS = 3 };
#else
#define ZIP_LOW 0, 4, 1, 5
#define ZIP_HIGH 2, 6, 3, 7
enum { ZIP_STEPS = 2 };
#endif

/* Each step moves one bit of the row's number into the lane's. */
static VEC_INLINE void tile_turn(vec tile[TILE])
{
    vec next[TILE];
    VEC_FOR (step, ZIP_STEPS) {
        VEC_FOR (i, TILE / 2) {
            const vec a = tile[i], b = tile[i + TILE / 2];
            next[2 * i] = __builtin_shufflevector(a, b, ZIP_LOW);
            next[2 * i + 1] = __builtin_shufflevector(a, b, ZIP_HIGH);
        }
        VEC_FOR (i, TILE)
            tile[i] = next[i];
    }
}

static VEC_INLINE void tile_transpose(const float *from, ptrdiff_t from_row, float *to,
                                      ptrdiff_t to_row)
{
    vec tile[TILE];
    VEC_FOR (i, TILE)
        tile[i] = vec_load(from + i * from_row);
    tile_turn(tile);
    VEC_FOR (i, TILE)
        vec_store(to + i * to_row, tile[i]);
}

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

void KERNEL(transpose_block)(size_t rows, size_t columns, const float *from, size_t from_row,
                             float *to, size_t to_row)
{
    if (rows < TILE || columns < TILE) {
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < columns; j++)
                to[j * to_row + i] = from[i * from_row + j];
        return;
    }
    for (size_t i = 0; i < rows; i += TILE) {
        const size_t row = min(i, rows - TILE);
        for (size_t j = 0; j < columns; j += TILE) {
            const size_t column = min(j, columns - TILE);
            tile_transpose(from + row * from_row + column, (ptrdiff_t)from_row,
                           to + column * to_row + row, (ptrdiff_t)to_row);
        }
    }
}

void KERNEL(transpose)(size_t rows, size_t columns, const float *from, float *to)
{
    if (rows == 1 || columns == 1)
        memcpy(to, from, rows * columns * sizeof *to);
    else
        KERNEL(transpose_block)(rows, columns, from, columns, to, rows);
}
