#include "rng.h"

#include <math.h>

static const uint64_t golden_ratio = 0x9e3779b97f4a7c15; /* 2^64 / phi, splitmix64's increment */

/* The output function of splitmix64 (Steele, Lea and Flood, 2014): a bijection. */
static uint64_t scramble(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

static uint64_t rotate_left(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

uint64_t cnn_rng_mix(uint64_t a, uint64_t b)
{
    return scramble(scramble(a + golden_ratio) + b + golden_ratio);
}

void cnn_rng_init(struct cnn_rng *rng, uint64_t seed, uint64_t stream)
{
    uint64_t x = cnn_rng_mix(seed, stream);
    for (int i = 0; i < 4; i++) {
        x += golden_ratio;
        rng->s[i] = scramble(x);
    }
}

uint64_t cnn_rng_next(struct cnn_rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t result = rotate_left(s[0] + s[3], 23) + s[0];
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/* Lemire, "Fast random integer generation in an interval" (2019): the high half of a product is
 * unbiased once the few low halves below 2^32 mod bound are drawn again. */
uint32_t cnn_rng_below(struct cnn_rng *rng, uint32_t bound)
{
    uint32_t refused = -bound % bound;
    for (;;) {
        uint64_t product = (cnn_rng_next(rng) >> 32) * bound;
        if ((uint32_t)product >= refused)
            return (uint32_t)(product >> 32);
    }
}

float cnn_rng_uniform(struct cnn_rng *rng, float low, float high)
{
    float unit = (float)(cnn_rng_next(rng) >> 40) * 0x1p-24f;
    float value = low + (high - low) * unit;
    return value < high ? value : nextafterf(high, low); /* the sum may round up to high */
}

/* Box and Muller (1958), one of the pair: no state is carried between calls. */
float cnn_rng_normal(struct cnn_rng *rng)
{
    double u = (double)((cnn_rng_next(rng) >> 11) + 1) * 0x1p-53; /* (0, 1] */
    double v = (double)(cnn_rng_next(rng) >> 11) * 0x1p-53;
    return (float)(sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * v));
}

void cnn_rng_shuffle(struct cnn_rng *rng, uint32_t *items, uint32_t count)
{
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = cnn_rng_below(rng, i);
        uint32_t held = items[i - 1];
        items[i - 1] = items[j];
        items[j] = held;
    }
}
