/* maps.h - the kernels that work element by element, on feature maps and on parameters; what each
 * does stands in kernels.h. */
#ifndef STRIDED_MAPS_H
#define STRIDED_MAPS_H

#include "isa.h"
#include "kernels.h"

void KERNEL(sum_rows)(size_t rows, int columns, const float *x, float *sum);
void KERNEL(transpose)(size_t rows, size_t columns, const float *from, float *to);
/* The same of a part of two matrices, whose rows lie from_row and to_row floats apart. */
void KERNEL(transpose_block)(size_t rows, size_t columns, const float *from, size_t from_row,
                             float *to, size_t to_row);
void KERNEL(activate)(enum kernel_act act, float slope, size_t count, const float *x, float *y);
void KERNEL(activate_backward)(enum kernel_act act, float slope, size_t count, const float *y,
                               const float *dy, float *dx);
void KERNEL(max_pool)(const struct pool_geometry *g, int n, const float *x, float *y,
                      uint8_t *winner);
void KERNEL(max_pool_backward)(const struct pool_geometry *g, int n, const uint8_t *winner,
                               const float *dy, float *dx);
void KERNEL(update_params)(const struct param_update *u, size_t count, float *params,
                           const float *grads, float *first, float *second);
double KERNEL(sum_squares)(size_t count, const float *x);

#endif
