/* lanes.h - choices lane by lane, and a byte beside each lane; on top of vector.h.
 *
 * `lane_mask` tells which lanes a comparison chose and `lane_bytes` holds a number 0..255 a lane,
 * each as the instruction set likes it best: mask registers and 16 bytes with AVX-512, else
 * integers as wide as a float. Loads and stores touch exactly `count` elements, 1..VEC_LANES. */
#ifndef STRIDED_LANES_H
#define STRIDED_LANES_H

#include "vector.h"

#if defined(__SSE__) && !defined(__AVX2__)
#include <xmmintrin.h>
#endif

typedef int32_t lane_ints __attribute__((vector_size(sizeof(vec))));

static inline vec lanes_load(const float *p, int count)
{
    return count == VEC_LANES ? vec_load(p) : vec_load_masked(p, count);
}

static inline void lanes_store(float *p, vec v, int count)
{
    if (count == VEC_LANES)
        vec_store(p, v);
    else
        vec_store_masked(p, v, count);
}

/* a * b + c, where it matters which product of a sum of two is the one not rounded: left to itself
 * the compiler may choose one way in the body of a loop and the other way in its end. */
static inline vec lanes_fma(vec a, vec b, vec c)
{
#if defined(__AVX512F__) && VEC_LANES == 16
    return _mm512_fmadd_ps(a, b, c);
#elif defined(__FMA__) && VEC_LANES == 8
    return _mm256_fmadd_ps(a, b, c);
#elif defined(__aarch64__)
    for (int i = 0; i < VEC_LANES; i++)
        a[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return a;
#else
    return a * b + c;
#endif
}

static inline vec lanes_sqrt(vec x)
{
#if defined(__AVX512F__) && VEC_LANES == 16
    return _mm512_sqrt_ps(x);
#elif defined(__AVX2__)
    return _mm256_sqrt_ps(x);
#elif defined(__SSE__)
    return _mm_sqrt_ps(x);
#else
    for (int i = 0; i < VEC_LANES; i++)
        x[i] = __builtin_sqrtf(x[i]);
    return x;
#endif
}

#if defined(__AVX512F__) && VEC_LANES == 16

typedef __mmask16 lane_mask;
typedef __m128i lane_bytes;

/* best stays the largest: x is a number and not above it. */
static inline lane_mask lanes_hold(vec best, vec x)
{
    const lane_mask number = _mm512_cmp_ps_mask(x, x, _CMP_ORD_Q);
    return _mm512_mask_cmp_ps_mask(number, x, best, _CMP_NGT_UQ);
}

static inline lane_mask lanes_below(vec x, vec bound)
{
    return _mm512_cmp_ps_mask(x, bound, _CMP_LT_OQ);
}

static inline vec lanes_select(lane_mask mask, vec chosen, vec other)
{
    return _mm512_mask_blend_ps(mask, other, chosen);
}

static inline lane_bytes bytes_of(int number)
{
    return _mm_set1_epi8((char)number);
}

static inline lane_bytes bytes_select(lane_mask mask, lane_bytes chosen, lane_bytes other)
{
    return _mm_mask_blend_epi8(mask, other, chosen);
}

static inline lane_mask bytes_equal(lane_bytes a, lane_bytes b)
{
    return _mm_cmpeq_epi8_mask(a, b);
}

static inline lane_bytes bytes_load(const uint8_t *p, int count)
{
    return _mm_maskz_loadu_epi8((__mmask16)((1u << count) - 1), p);
}

static inline void bytes_store(uint8_t *p, lane_bytes v, int count)
{
    _mm_mask_storeu_epi8(p, (__mmask16)((1u << count) - 1), v);
}

#else

typedef lane_ints lane_mask; /* -1: chosen, 0: not */
typedef lane_ints lane_bytes;

static inline lane_mask lanes_hold(vec best, vec x)
{
    return ~((x > best) | (x != x));
}

static inline lane_mask lanes_below(vec x, vec bound)
{
    return x < bound;
}

static inline vec lanes_select(lane_mask mask, vec chosen, vec other)
{
    return (vec)(((lane_ints)chosen & mask) | ((lane_ints)other & ~mask));
}

static inline lane_bytes bytes_of(int number)
{
    return number - (lane_bytes){0};
}

static inline lane_bytes bytes_select(lane_mask mask, lane_bytes chosen, lane_bytes other)
{
    return (chosen & mask) | (other & ~mask);
}

static inline lane_mask bytes_equal(lane_bytes a, lane_bytes b)
{
    return a == b;
}

/* Up to 8 bytes as one word, the first lowest. */
static inline uint64_t bytes_gather(const uint8_t *p, int count)
{
    uint64_t word = 0;
    if (count == VEC_LANES) {
        __builtin_memcpy(&word, p, VEC_LANES);
        return word;
    }
    for (int i = 0; i < count; i++)
        word |= (uint64_t)p[i] << 8 * i;
    return word;
}

static inline void bytes_scatter(uint8_t *p, uint64_t word, int count)
{
    if (count == VEC_LANES) {
        __builtin_memcpy(p, &word, VEC_LANES);
        return;
    }
    for (int i = 0; i < count; i++)
        p[i] = (uint8_t)(word >> 8 * i);
}

static inline lane_bytes bytes_load(const uint8_t *p, int count)
{
    const uint64_t word = bytes_gather(p, count);
#if defined(__AVX2__)
    return (lane_bytes)_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)word));
#else
    const uint32_t low = (uint32_t)word;
    return (lane_bytes){low & 255, low >> 8 & 255, low >> 16 & 255, low >> 24};
#endif
}

static inline void bytes_store(uint8_t *p, lane_bytes v, int count)
{
#if defined(__AVX2__)
    const __m256i packed = _mm256_shuffle_epi8((__m256i)v, _mm256_set1_epi32(0x0c080400));
    const uint32_t low = (uint32_t)_mm256_extract_epi32(packed, 0);
    const uint32_t high = (uint32_t)_mm256_extract_epi32(packed, 4);
    bytes_scatter(p, low | (uint64_t)high << 32, count);
#else
    bytes_scatter(p, (uint32_t)(v[0] | v[1] << 8 | v[2] << 16) | (uint32_t)v[3] << 24, count);
#endif
}

#endif
#endif
