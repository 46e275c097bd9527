#include "peak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "measure.h"
#include "peak_loop.h"

#if defined(__x86_64__)
#define PEAK_LOOPS(X) X(baseline) X(avx2) X(avx512)
#elif defined(__aarch64__)
#define PEAK_LOOPS(X) X(neon)
#else
#define PEAK_LOOPS(X) X(baseline)
#endif

#define DECLARE_LOOP(isa) double peak_loop_##isa(long steps, float factor);
PEAK_LOOPS(DECLARE_LOOP)
#define LOOP_ROW(isa) {#isa, peak_loop_##isa},
static const struct {
    const char *name;
    peak_loop *loop;
} loops[] = {PEAK_LOOPS(LOOP_ROW)};

enum { STEPS = 20000 };

struct peak {
    peak_loop *loop;
    int threads;
    double flops; /* of one thread in one call */
};

static void peak_call(void *context)
{
    struct peak *peak = context;
    double flops = 0;
#pragma omp parallel num_threads(peak->threads) reduction(max : flops)
    flops = peak->loop(STEPS, 0.5f);
    peak->flops = flops;
}

double peak_gflops(int threads)
{
    struct peak peak = {.loop = loops[0].loop, .threads = threads};
    for (size_t i = 0; i < sizeof loops / sizeof loops[0]; i++)
        if (strcmp(loops[i].name, cnn_kernels()->name) == 0)
            peak.loop = loops[i].loop;
    double seconds = measure_call_s(peak_call, &peak);
    return peak.flops * threads / seconds * 1e-9;
}
