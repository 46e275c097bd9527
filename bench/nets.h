/* nets.h - whole nets: training, inference, and the memory that a training step takes. */
#ifndef BENCH_NETS_H
#define BENCH_NETS_H

#include "measure.h"

/* Samples/s of training steps as core/train.c makes them: gradient, norm, optimizer. */
void nets_train(const struct request *request);
/* Microseconds of one sample (1 thread) and samples/s of batches of 64, canonical samples in,
 * class scores out. */
void nets_infer(const struct request *request);
/* Bytes that training adds to parameters, one block of gradients and the optimizer's state: by
 * cnn_step_bytes ("counted"), and as the process grows ("bytes"). Measures in child processes, so
 * it comes first in a process. */
void nets_memory(const struct request *request);

#endif
