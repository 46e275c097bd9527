/* vector.h - one vector of floats, as wide as the instruction set that this file is compiled for.
 *
 * GCC and Clang vector extensions; the only file with intrinsics, for masked loads and stores.
 * A masked access touches exactly `count` floats, 1..VEC_LANES: a kernel never reads or writes
 * past a buffer. Multiply and add written as `acc += x * w` become FMA by -ffp-contract=fast.
 */
#ifndef STRIDED_VECTOR_H
#define STRIDED_VECTOR_H

#include <stdint.h>

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

/* TILE_ROWS x TILE_VECS accumulators, TILE_VECS weights and a broadcast fill the register file:
 * 32 registers with AVX-512 and NEON, 16 with AVX2, 16 without FMA (products need some too). */
#if defined(__AVX512F__)
#define VEC_LANES 16
#define TILE_ROWS 6
#define TILE_VECS 4
#elif defined(__AVX2__)
#define VEC_LANES 8
#define TILE_ROWS 6
#define TILE_VECS 2
#elif defined(__aarch64__)
#define VEC_LANES 4
#define TILE_ROWS 6
#define TILE_VECS 4
#else
#define VEC_LANES 4
#define TILE_ROWS 4
#define TILE_VECS 2
#endif

/* A loop that is unrolled into constants: only then does an array of vectors become registers. */
#if defined(__clang__)
#define VEC_FOR(i, count) _Pragma("clang loop unroll(full)") for (int i = 0; i < (count); i++)
#else
#define VEC_FOR(i, count) _Pragma("GCC unroll 8") for (int i = 0; i < (count); i++)
#endif
#define VEC_INLINE inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(VEC_LANES * sizeof(float))));
/* The same at any address. */
typedef float vec_unaligned
    __attribute__((vector_size(VEC_LANES * sizeof(float)), aligned(sizeof(float)), may_alias));

static inline vec vec_load(const float *p)
{
    return *(const vec_unaligned *)p;
}

static inline void vec_store(float *p, vec v)
{
    *(vec_unaligned *)p = v;
}

#if defined(__AVX512F__)
static inline vec vec_load_masked(const float *p, int count)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), p);
}

static inline void vec_store_masked(float *p, vec v, int count)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), v);
}
#elif defined(__AVX2__)
static inline __m256i vec_mask(int count)
{
    static const int32_t ones_then_zeros[2 * VEC_LANES] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i_u *)(ones_then_zeros + VEC_LANES - count));
}

static inline vec vec_load_masked(const float *p, int count)
{
    return _mm256_maskload_ps(p, vec_mask(count));
}

static inline void vec_store_masked(float *p, vec v, int count)
{
    _mm256_maskstore_ps(p, vec_mask(count), v);
}
#else
static inline vec vec_load_masked(const float *p, int count)
{
    vec v = {0};
    for (int i = 0; i < VEC_LANES; i++)
        v[i] = i < count ? p[i] : 0;
    return v;
}

static inline void vec_store_masked(float *p, vec v, int count)
{
    for (int i = 0; i < VEC_LANES; i++)
        if (i < count)
            p[i] = v[i];
}
#endif

static inline float vec_sum(vec v)
{
    float lanes[VEC_LANES];
    __builtin_memcpy(lanes, &v, sizeof lanes);
    for (int half = VEC_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lanes[i] += lanes[i + half];
    return lanes[0];
}

#endif
