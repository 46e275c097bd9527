/* ref.h - the reference kernels that are not products; ref.c puts all into one table. */
#ifndef STRIDED_REF_H
#define STRIDED_REF_H

#include "kernels.h"

void ref_sum_rows(size_t rows, int columns, const float *x, float *sum);
void ref_transpose(size_t rows, size_t columns, const float *from, float *to);
void ref_activate(enum kernel_act act, float slope, size_t count, const float *x, float *y);
void ref_activate_backward(enum kernel_act act, float slope, size_t count, const float *y,
                           const float *dy, float *dx);
void ref_max_pool(const struct pool_geometry *g, int n, const float *x, float *y, uint8_t *winner);
void ref_max_pool_backward(const struct pool_geometry *g, int n, const uint8_t *winner,
                           const float *dy, float *dx);
void ref_update_params(const struct param_update *u, size_t count, float *params,
                       const float *grads, float *first, float *second);
double ref_sum_squares(size_t count, const float *x);

#endif
