#include "peak_loop.h"

#include "isa.h"
#include "vector.h"

/* As many chains as registers allow: two units of latency 4 need 8 to be always busy. */
#if defined(__AVX512F__) || defined(__aarch64__)
enum { CHAINS = 24 };
#elif defined(__AVX2__)
enum { CHAINS = 12 };
#else
enum { CHAINS = 12 };
#endif
enum { CHAINS_A_BLOCK = 6, BLOCKS = CHAINS / CHAINS_A_BLOCK };

peak_loop KERNEL(peak_loop);

double KERNEL(peak_loop)(long steps, float factor)
{
    vec acc[BLOCKS][CHAINS_A_BLOCK], sum = {0};
    const vec times = sum + factor, plus = sum + 1;

    VEC_FOR (i, BLOCKS)
        VEC_FOR (j, CHAINS_A_BLOCK)
            acc[i][j] = sum + (float)(i * CHAINS_A_BLOCK + j);
    for (long step = 0; step < steps; step++)
        VEC_FOR (i, BLOCKS)
            VEC_FOR (j, CHAINS_A_BLOCK)
                acc[i][j] = acc[i][j] * times + plus;
    VEC_FOR (i, BLOCKS)
        VEC_FOR (j, CHAINS_A_BLOCK)
            sum += acc[i][j];
    volatile float kept = sum[0];
    (void)kept;
    return 2.0 * CHAINS * VEC_LANES * (double)steps;
}
