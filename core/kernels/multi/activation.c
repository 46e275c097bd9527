/* DESIGN: each activation is a function of one vector; the last, partly filled vector of an array
 * goes through the same instructions under a mask, so a number's result does not depend on where it
 * stands. Comparisons are written so that a NaN stays one. */
#include "maps.h"

#include "lanes.h"

typedef uint32_t lane_words __attribute__((vector_size(sizeof(vec))));

static VEC_INLINE vec all(float x)
{
    return x - (vec){0};
}

static VEC_INLINE vec magnitude(vec x)
{
    return (vec)((lane_words)x & 0x7fffffff);
}

/* 2^n, n in -126..127 as two's complement. */
static VEC_INLINE vec power_of_2(lane_words n)
{
    return (vec)((n + 127) << 23);
}

/* e^-x for x in 0..104, within an ulp; below 2^-126 denormal, as it should be. x = n ln 2 + r with
 * ln 2 in two parts, whose first has so few bits that n times it is exact; e^r by the polynomial of
 * Cephes (Moshier, expf.c). */
static VEC_INLINE vec exp_minus(vec x)
{
    const vec shift = all(0x1.8p23f); /* adding it leaves the nearest integer in the lowest bits */
    const vec shifted = x * -0x1.715476p0f + shift;
    const vec n = shifted - shift;
    const vec r = -x - n * 0x1.63p-1f - n * -0x1.bd0106p-13f;
    vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1;
    /* In two steps, as 2^n itself may be too small for a normal float. */
    const lane_ints whole = (lane_ints)shifted - (lane_ints)shift;
    const lane_ints half = whole >> 1;
    return p * power_of_2((lane_words)half) * power_of_2((lane_words)(whole - half));
}

static VEC_INLINE vec linear(vec x, float slope)
{
    (void)slope;
    return x;
}

static VEC_INLINE vec relu(vec x, float slope)
{
    (void)slope;
    return lanes_select(lanes_below(x, all(0)), all(0), x);
}

static VEC_INLINE vec leaky(vec x, float slope)
{
    return lanes_select(lanes_below(x, all(0)), slope * x, x);
}

/* Near 0 by the polynomial of Cephes (tanhf.c), else 1 - 2 / (e^2x + 1); 1 from 10 on. */
static VEC_INLINE vec hyperbolic_tangent(vec x, float slope)
{
    (void)slope;
    const vec size = magnitude(x), limit = all(10);
    const vec a = lanes_select(lanes_below(limit, size), limit, size), z = a * a;
    vec p = z * -5.70498872745e-3f + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    const vec t = exp_minus(a + a);
    const vec y = lanes_select(lanes_below(a, all(0.625f)), p * z * a + a, 1 - (t + t) / (1 + t));
    return (vec)((lane_words)y | ((lane_words)x & 0x80000000));
}

/* From e^-|x|, which cannot overflow; it is 0 from 104 on. */
static VEC_INLINE vec sigmoid(vec x, float slope)
{
    (void)slope;
    const vec size = magnitude(x), limit = all(104);
    const vec t = exp_minus(lanes_select(lanes_below(limit, size), limit, size));
    return lanes_select(lanes_below(x, all(0)), t, all(1)) / (1 + t);
}

/* y = f(x) for a whole array; f is inlined. */
static VEC_INLINE void map(vec f(vec x, float slope), float slope, size_t count, const float *x,
                           float *y)
{
    size_t i = 0;
    for (; i + VEC_LANES <= count; i += VEC_LANES)
        vec_store(y + i, f(vec_load(x + i), slope));
    if (i < count)
        vec_store_masked(y + i, f(vec_load_masked(x + i, (int)(count - i)), slope),
                         (int)(count - i));
}

void KERNEL(activate)(enum kernel_act act, float slope, size_t count, const float *x, float *y)
{
    switch (act) {
    case KERNEL_RELU:
        map(relu, slope, count, x, y);
        break;
    case KERNEL_LEAKY_RELU:
        map(leaky, slope, count, x, y);
        break;
    case KERNEL_TANH:
        map(hyperbolic_tangent, slope, count, x, y);
        break;
    case KERNEL_SIGMOID:
        map(sigmoid, slope, count, x, y);
        break;
    default:
        map(linear, slope, count, x, y);
    }
}

/* The gradients: dy times the derivative, told from y. */

static VEC_INLINE vec linear_back(vec y, vec dy, float slope)
{
    (void)y;
    (void)slope;
    return dy;
}

static VEC_INLINE vec relu_back(vec y, vec dy, float slope)
{
    (void)slope;
    return lanes_select(lanes_below(all(0), y), dy, all(0));
}

static VEC_INLINE vec leaky_back(vec y, vec dy, float slope)
{
    return lanes_select(lanes_below(all(0), y), dy, slope * dy);
}

static VEC_INLINE vec tangent_back(vec y, vec dy, float slope)
{
    (void)slope;
    return dy * (1 - y * y);
}

static VEC_INLINE vec sigmoid_back(vec y, vec dy, float slope)
{
    (void)slope;
    return dy * (y * (1 - y));
}

static VEC_INLINE void map_back(vec f(vec y, vec dy, float slope), float slope, size_t count,
                                const float *y, const float *dy, float *dx)
{
    size_t i = 0;
    for (; i + VEC_LANES <= count; i += VEC_LANES)
        vec_store(dx + i, f(vec_load(y + i), vec_load(dy + i), slope));
    if (i < count) {
        const int rest = (int)(count - i);
        vec_store_masked(
            dx + i, f(vec_load_masked(y + i, rest), vec_load_masked(dy + i, rest), slope), rest);
    }
}

void KERNEL(activate_backward)(enum kernel_act act, float slope, size_t count, const float *y,
                               const float *dy, float *dx)
{
    switch (act) {
    case KERNEL_RELU:
        map_back(relu_back, slope, count, y, dy, dx);
        break;
    case KERNEL_LEAKY_RELU:
        map_back(leaky_back, slope, count, y, dy, dx);
        break;
    case KERNEL_TANH:
        map_back(tangent_back, slope, count, y, dy, dx);
        break;
    case KERNEL_SIGMOID:
        map_back(sigmoid_back, slope, count, y, dy, dx);
        break;
    default:
        map_back(linear_back, slope, count, y, dy, dx);
    }
}
