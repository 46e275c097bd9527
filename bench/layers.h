/* layers.h - our convolution kernels, one layer and one direction at a time. */
#ifndef BENCH_LAYERS_H
#define BENCH_LAYERS_H

#include "measure.h"

/* GFLOP/s of the layers asked for. */
void layers_measure(const struct request *request);

#endif
