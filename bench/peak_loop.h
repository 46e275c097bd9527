/* peak_loop.h - the loop of peak.c, compiled once per instruction set. */
#ifndef BENCH_PEAK_LOOP_H
#define BENCH_PEAK_LOOP_H

/* Multiplies and adds in independent vector registers, `steps` times each; how many float32
 * operations that were. */
typedef double peak_loop(long steps, float factor);

#endif
