/* rng.h - the explicit, seeded generator; there is no global one.
 *
 * xoshiro256++ (Blackman and Vigna, 2019), seeded through splitmix64. A (seed, stream) pair names
 * an independent sequence: what is drawn for epoch e, or for dropout in node k of step s on
 * sample i, depends on those numbers alone and never on which thread asks.
 */
#ifndef STRIDED_RNG_H
#define STRIDED_RNG_H

#include <stdint.h>

struct cnn_rng {
    uint64_t s[4];
};

void cnn_rng_init(struct cnn_rng *rng, uint64_t seed, uint64_t stream);
/* Mixes numbers into one stream id: cnn_rng_mix(cnn_rng_mix(step, node), sample). */
uint64_t cnn_rng_mix(uint64_t a, uint64_t b);

uint64_t cnn_rng_next(struct cnn_rng *rng);
uint32_t cnn_rng_below(struct cnn_rng *rng, uint32_t bound); /* 0..bound-1, unbiased; bound > 0 */
float cnn_rng_uniform(struct cnn_rng *rng, float low, float high); /* [low, high) */
float cnn_rng_normal(struct cnn_rng *rng);                         /* mean 0, deviation 1 */
/* Fisher-Yates. */
void cnn_rng_shuffle(struct cnn_rng *rng, uint32_t *items, uint32_t count);

#endif
