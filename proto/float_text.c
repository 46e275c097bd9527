/* float_text.c - tries 6 to 9 digits, the most that are needed, and reads each try back.
 *
 * All in doubles, which have 29 bits more than a float: n digits m of the value are m = value *
 * 10^k, rounded, and what they read back as is m / 10^k, rounded to a float. Powers up to 10^22 are
 * exact, so each is wrong by a few units of the 53rd bit at most: m may then be the second best
 * choice, and what is read back is certain unless it lies that close to the middle between two
 * floats. Such a try is taken for failed. What is left over (subnormal numbers, and one value in
 * millions) goes the slow way, through printf and strtof.
 */
#include "float_text.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POWER_MAX = 22, DIGITS_MAX = FLT_DECIMAL_DIG };

static const double powers[POWER_MAX + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                             1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                             1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* x * 10^k */
static double scale(double x, int k)
{
    for (; k > POWER_MAX; k -= POWER_MAX)
        x *= powers[POWER_MAX];
    for (; k < -POWER_MAX; k += POWER_MAX)
        x /= powers[POWER_MAX];
    return k < 0 ? x / powers[-k] : x * powers[k];
}

/* Whether digits * 10^k, which is x but for a few units of its last bit, reads as `value`. */
static bool reads_as(double digits, int k, double x, float value)
{
    const uint64_t bits_below = (1u << 29) - 1, middle = 1u << 28, doubt = 16;
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint64_t below = bits & bits_below;
    if ((float)x != value)
        return false;
    if (below < middle - doubt || below > middle + doubt)
        return true;
    /* The middle itself is rounded as any reader does, if x is not beside it. */
    return (k >= 0 && k <= POWER_MAX && fma(digits, powers[k], -x) == 0) ||
           (k < 0 && k >= -POWER_MAX && fma(x, powers[-k], -digits) == 0);
}

/* value = digits * 10^(exponent - count + 1), of count digits. */
struct decimal {
    uint32_t digits;
    int count, exponent;
};

/* value: positive, normal. */
static bool find_decimal(float value, struct decimal *d)
{
    int exponent2;
    frexp((double)value, &exponent2);
    const int least = (int)floor((exponent2 - 1) * 0.30102999566398120); /* or one more */
    for (d->count = FLT_DIG; d->count <= DIGITS_MAX; d->count++) {
        int k = d->count - 1 - least;
        double digits = nearbyint(scale((double)value, k));
        if (digits >= powers[d->count])
            digits = nearbyint(scale((double)value, --k));
        d->digits = (uint32_t)digits;
        d->exponent = d->count - 1 - k;
        if (reads_as(digits, -k, scale(digits, -k), value))
            return true;
    }
    return false;
}

static char *put_digits(char *at, const char *digits, int count)
{
    memcpy(at, digits, (size_t)count);
    return at + count;
}

static char *put_zeros(char *at, int count)
{
    memset(at, '0', (size_t)count);
    return at + count;
}

/* "e-05", "e+12" */
static char *put_exponent(char *at, int exponent)
{
    *at++ = 'e';
    *at++ = exponent < 0 ? '-' : '+';
    exponent = abs(exponent);
    *at++ = (char)('0' + exponent / 10);
    *at++ = (char)('0' + exponent % 10);
    return at;
}

/* As %.*g with d->count digits: without zeros at the end of the fraction. */
static char *put_decimal(char *at, const struct decimal *d)
{
    char digits[DIGITS_MAX];
    uint32_t rest = d->digits;
    for (int i = d->count - 1; i >= 0; i--, rest /= 10)
        digits[i] = (char)('0' + rest % 10);
    int count = d->count;
    while (count > 1 && digits[count - 1] == '0')
        count--;
    const bool plain = d->exponent >= -4 && d->exponent < d->count;
    const int whole = !plain ? 1 : d->exponent + 1; /* digits in front of the point */
    if (whole <= 0) {
        *at++ = '0';
        *at++ = '.';
        return put_digits(put_zeros(at, -whole), digits, count);
    }
    if (count <= whole) {
        at = put_zeros(put_digits(at, digits, count), whole - count);
    } else {
        at = put_digits(at, digits, whole);
        *at++ = '.';
        at = put_digits(at, digits + whole, count - whole);
    }
    return plain ? at : put_exponent(at, d->exponent);
}

/* Subnormal numbers have fewer digits. */
static size_t slow_text(float value, char *text)
{
    int digits = fabsf(value) < FLT_MIN ? 1 : FLT_DIG;
    do
        snprintf(text, FLOAT_TEXT_BYTES, "%.*g", digits, (double)value);
    while (digits++ < FLT_DECIMAL_DIG &&
           (strtof(text, NULL) != value || (float)strtod(text, NULL) != value));
    return strlen(text);
}

size_t float_text(float value, char text[FLOAT_TEXT_BYTES])
{
    struct decimal decimal = {.digits = 0, .count = 1};
    const float size = fabsf(value);
    if (size != 0 && (size < FLT_MIN || !find_decimal(size, &decimal)))
        return slow_text(value, text);
    char *at = text;
    if (signbit(value))
        *at++ = '-';
    at = put_decimal(at, &decimal);
    *at = '\0';
    return (size_t)(at - text);
}
