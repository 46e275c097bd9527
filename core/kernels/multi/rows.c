/* rows.c - sums and transposition of rows. */
#include "maps.h"

void KERNEL(sum_rows)(size_t rows, int columns, const float *x, float *sum)
{
    for (int c = 0; c < columns; c++) {
        double total = 0;
        for (size_t row = 0; row < rows; row++)
            total += (double)x[row * (size_t)columns + (size_t)c];
        sum[c] += (float)total;
    }
}

void KERNEL(transpose)(size_t rows, size_t columns, const float *from, float *to)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            to[j * rows + i] = from[i * columns + j];
}
