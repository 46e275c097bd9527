/* vector.h - one vector of floats, as wide as the instruction set that this file is compiled for.
 *
 * GCC and Clang vector extensions; intrinsics for masked loads and stores alone (and, in lanes.h,
 * for what the extensions lack).
 * A masked access touches exactly `count` floats, 1..VEC_LANES: a kernel never reads or writes
 * past a buffer. Multiply and add written as `acc += x * w` become FMA by -ffp-contract=fast.
 */
#ifndef STRIDED_VECTOR_H
#define STRIDED_VECTOR_H

#include <stdint.h>

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

/* VEC_LANES may be set smaller than the widest: few columns waste less of a short vector.
 * TILE_VECS: vectors beside one another in a register tile (product.c). */
#if defined(__AVX512F__)
#ifndef VEC_LANES
#define VEC_LANES 16
#endif
#define TILE_VECS 4
#define VEC_REGISTERS 32
#elif defined(__AVX2__)
#define VEC_LANES 8
#define TILE_VECS 2
#define VEC_REGISTERS 16
#elif defined(__aarch64__)
#define VEC_LANES 4
#define TILE_VECS 4
#define VEC_REGISTERS 32
#else
#define VEC_LANES 4
#define TILE_VECS 2
#define VEC_REGISTERS 16
#endif

/* A loop that is unrolled into constants: only then does an array of vectors become registers. */
#if defined(__clang__)
#define VEC_FOR(i, count) _Pragma("clang loop unroll(full)") for (int i = 0; i < (count); i++)
#else
#define VEC_FOR(i, count) _Pragma("GCC unroll 32") for (int i = 0; i < (count); i++)
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

#if defined(__AVX512F__) && VEC_LANES == 8
static inline vec vec_load_masked(const float *p, int count)
{
    return _mm256_maskz_loadu_ps((__mmask8)((1u << count) - 1), p);
}

static inline void vec_store_masked(float *p, vec v, int count)
{
    _mm256_mask_storeu_ps(p, (__mmask8)((1u << count) - 1), v);
}
#elif defined(__AVX512F__)
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

/* max(x, 0) that leaves a NaN one. */
static inline vec vec_relu(vec x)
{
    typedef int32_t bits __attribute__((vector_size(sizeof(vec))));
    return (vec)((bits)x & ~(bits)(x < 0));
}

#endif
