#include "number.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MANTISSA_DIGITS = 19, /* what a uint64_t always holds */
    POWER_MAX = 22,       /* 10^22 is the largest power of ten that a double holds exactly */
    EXPONENT_MAX = 1 << 30,
    /* The midpoint of two floats has at most 112 significant digits: beyond them only whether
     * anything follows matters. */
    SLOW_DIGITS = 120,
};

/* The number is +- mantissa * 10^exponent, and a little more if digits were dropped. */
struct decimal {
    bool negative;
    uint64_t mantissa;
    int64_t exponent;
    int significant;
    const char *digits; /* the text's digits and point */
    size_t digits_size;
};

static bool is_digit(const char *p, const char *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

/* Takes a run of digits into d; false if there is none. */
static bool take_digits(struct decimal *d, const char **p, const char *end, bool fraction)
{
    if (!is_digit(*p, end))
        return false;
    for (; is_digit(*p, end); ++*p) {
        if (d->significant < MANTISSA_DIGITS) {
            d->mantissa = d->mantissa * 10 + (uint64_t)(**p - '0');
            d->significant += d->mantissa != 0;
            d->exponent -= fraction;
        } else {
            d->exponent += !fraction;
        }
    }
    return true;
}

static bool take_exponent(struct decimal *d, const char **p, const char *end)
{
    bool negative = *p < end && **p == '-';
    if (*p < end && (**p == '-' || **p == '+'))
        ++*p;
    if (!is_digit(*p, end))
        return false;
    int64_t exponent = 0;
    for (; is_digit(*p, end); ++*p)
        if (exponent < EXPONENT_MAX)
            exponent = exponent * 10 + (**p - '0');
    d->exponent += negative ? -exponent : exponent;
    return true;
}

static const char *scan(const char *p, const char *end, struct decimal *d)
{
    *d = (struct decimal){0};
    if (p < end && *p == '-') {
        d->negative = true;
        p++;
    }
    d->digits = p;
    if (p < end && *p == '0')
        p++;
    else if (!take_digits(d, &p, end, false))
        return NULL;
    if (p < end && *p == '.') {
        p++;
        if (!take_digits(d, &p, end, true))
            return NULL;
    }
    d->digits_size = (size_t)(p - d->digits);
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (!take_exponent(d, &p, end))
            return NULL;
    }
    return p;
}

/* At most three roundings of a double separate x from the number, so rounding x to a float rounds
 * the number, unless x is that close to the middle between two floats. */
static bool read_fast(const struct decimal *d, float *value)
{
    static const double powers[POWER_MAX + 1] = {
        1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
    };
    if (d->exponent < -POWER_MAX || d->exponent > POWER_MAX)
        return false;
    double x = (double)d->mantissa;
    x = d->exponent < 0 ? x / powers[-d->exponent] : x * powers[d->exponent];
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    /* A double has 29 bits more than a float. */
    int64_t from_middle = (int64_t)(bits & ((1 << 29) - 1)) - (1 << 28);
    if (x > 3.4e38 || (from_middle >= -8 && from_middle <= 8))
        return false;
    *value = (float)x;
    return true;
}

/* strtof on the significant digits, written without a point so that no locale matters. */
static float read_slow(const struct decimal *d)
{
    char copy[SLOW_DIGITS + 32];
    int64_t exponent = d->exponent;
    int count = 0;
    bool more = false;
    for (size_t i = 0; i < d->digits_size; i++) {
        char c = d->digits[i];
        if (c == '.' || (count == 0 && c == '0'))
            continue;
        if (count < SLOW_DIGITS)
            copy[count++] = c;
        else
            more |= c != '0';
    }
    /* d->exponent belongs to the first 19 digits. */
    if (count > MANTISSA_DIGITS)
        exponent -= count - MANTISSA_DIGITS;
    if (more) {
        copy[count++] = '1';
        exponent--;
    }
    exponent = exponent < -EXPONENT_MAX ? -EXPONENT_MAX : exponent;
    exponent = exponent > EXPONENT_MAX ? EXPONENT_MAX : exponent;
    snprintf(copy + count, sizeof copy - (size_t)count, "e%d", (int)exponent);
    return strtof(copy, NULL);
}

size_t number_read(const char *text, size_t size, float *value)
{
    struct decimal d;
    const char *end = scan(text, text + size, &d);
    if (!end)
        return 0;
    if (d.mantissa == 0)
        *value = 0;
    else if (!read_fast(&d, value))
        *value = read_slow(&d);
    if (d.negative)
        *value = -*value;
    return (size_t)(end - text);
}
