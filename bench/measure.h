/* measure.h - timing one thing again and again, requests in and CSV lines out; shared by our
 * benchmark and the peers in C.
 *
 * A program of this folder is asked for `KIND [NAME [THREADS]]`, KIND being peak, layers, train,
 * infer or memory, NAME one case or `all`, THREADS a number or 0 for 1 and 2. The request is its
 * argument list, or, when that is `-`, each line of standard input; then an empty line ends each
 * answer. That way peers.py holds all programs open and measures in turns.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* How long one measurement lasts, without warming up: BENCH_SECONDS, .2 by default. */
double measure_budget_s(void);
/* Warms up, then calls for about the budget in five rounds, fewer of what takes longer; the median
 * round's seconds a call. */
double measure_call_s(void (*call)(void *), void *context);

struct request {
    char kind[32], name[64];
    int threads;
};
/* Whether this case, and this number of threads, is asked for. */
bool request_wants(const struct request *request, const char *name, int threads);
/* Answers every request with `answer`; the exit status. */
int requests_serve(int argc, char **argv, const char *usage,
                   bool (*answer)(const struct request *request));

/* engine,threads,kind,name,metric,value */
void measure_print(const char *engine, int threads, const char *kind, const char *name,
                   const char *metric, double value);

/* count floats in [-1, 1), the same each time; aligned; ends the program when out of memory. */
float *random_floats(size_t count);
/* "VmHWM" or "VmRSS" of this process in bytes; 0 when there is no /proc. */
size_t process_bytes(const char *key);
/* The high-water mark starts again from what is resident now. */
void process_peak_reset(void);

#endif
