/* peak.h - the most multiply-adds that this CPU can do: the line that kernels are held against. */
#ifndef BENCH_PEAK_H
#define BENCH_PEAK_H

/* GFLOP/s of `threads` threads that multiply and add float32 in registers alone, with the
 * instruction set of the kernels in use. */
double peak_gflops(int threads);

#endif
