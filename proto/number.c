/* DESIGN: scan() reads any number a digit at a time, usual() most numbers eight digits at a time,
 * as one 64-bit word. Both give the number as mantissa * 10^exponent; round_fast makes a float of
 * it where that is sure to be right, and strtof does the rest. */
#include "number.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MANTISSA_DIGITS = 19, /* what a uint64_t always holds */
    POWER_MAX = 22,       /* 10^22 is the largest power of ten that a double holds exactly */
    EXPONENT_MAX = 1 << 30,
    FLOAT_INTEGER_MAX = 1 << 24, /* floats hold all integers up to it */
    FLOAT_POWER_MAX = 10,        /* and all powers of ten up to 10^10 */
    /* The midpoint of two floats has at most 112 significant digits: beyond them only whether
     * anything follows matters. */
    SLOW_DIGITS = 120,
    /* What usual() may look at: a sign, 7 digits, the point, 24 digits, a character. */
    USUAL_BYTES = 40,
    USUAL_FRACTION = 24,
};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words hold the first digit lowest");

/* The middle between the largest float and the next, if there were one. */
#define FLOAT_END 0x1.ffffffp127

/* A call a number, with what lies in registers saved, would cost a third of the speed. */
#define INLINE static inline __attribute__((always_inline))

/* The number is +- mantissa * 10^exponent, and a little more if digits were dropped. */
struct decimal {
    bool negative;
    int significant; /* digits of the mantissa */
    uint64_t mantissa;
    int64_t exponent;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool digit_at(const char *p, const char *end)
{
    return p < end && is_digit(*p);
}

/* Takes a run of digits into d; false if there is none. */
static bool take_digits(struct decimal *d, const char **p, const char *end, bool fraction)
{
    if (!digit_at(*p, end))
        return false;
    for (; digit_at(*p, end); ++*p) {
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
    if (!digit_at(*p, end))
        return false;
    int64_t exponent = 0;
    for (; digit_at(*p, end); ++*p)
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
    if (p < end && *p == '0')
        p++;
    else if (!take_digits(d, &p, end, false))
        return NULL;
    if (p < end && *p == '.') {
        p++;
        if (!take_digits(d, &p, end, true))
            return NULL;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (!take_exponent(d, &p, end))
            return NULL;
    }
    return p;
}

/* A word's bytes from the first on that are digits, 0 to 8. A byte that is none carries into those
 * behind it alone. */
static int digits_of(uint64_t word)
{
    const uint64_t each = 0x0101010101010101;
    uint64_t value = word ^ (each * '0');
    uint64_t others = (value | (value + each * (0x80 - 10))) & (each * 0x80);
    return others ? __builtin_ctzll(others) / 8 : 8;
}

/* The number that the first `count` digits of a word make: neighbours are joined to numbers below
 * 100, these to numbers below 10^4, and these to one. */
static uint64_t value_of(uint64_t word, int count)
{
    word = (word & 0x0f0f0f0f0f0f0f0f) << (64 - 8 * count);
    word = (word * 10 + (word >> 8)) & 0x00ff00ff00ff00ff;
    word = (word * 100 + (word >> 16)) & 0x0000ffff0000ffff;
    return (word * 10000 + (word >> 32)) & 0xffffffff;
}

static uint64_t load_word(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

INLINE const char *usual_fraction(const char *p, struct decimal *d)
{
    static const uint64_t powers[] = {1,      10,      100,      1000,     10000,
                                      100000, 1000000, 10000000, 100000000};
    static const uint64_t room[] = {/* 10^(18 - count): an int64_t holds 18 digits */
                                    1000000000000000000, 100000000000000000, 10000000000000000,
                                    1000000000000000,    100000000000000,    10000000000000,
                                    1000000000000,       100000000000,       10000000000};
    int count;
    do {
        uint64_t word = load_word(p);
        count = digits_of(word);
        if (count == 0)
            break;
        if (d->mantissa >= room[count])
            return NULL;
        d->mantissa = d->mantissa * powers[count] + value_of(word, count);
        d->exponent -= count;
        p += count;
    } while (count == 8 && d->exponent > -USUAL_FRACTION);
    return count == 8 || d->exponent == 0 ? NULL : p;
}

/* Reads a number of up to 7 digits before the point and no exponent, at p, where USUAL_BYTES can be
 * read; NULL if it is another, or none. Single digits need no word, and let the processor guess
 * what follows them. */
INLINE const char *usual(const char *p, struct decimal *d)
{
    d->negative = *p == '-';
    if (d->negative)
        p++;
    if (!is_digit(*p))
        return NULL;
    d->mantissa = (uint64_t)(*p - '0');
    d->exponent = 0;
    if (is_digit(p[1])) {
        uint64_t word = load_word(p);
        int count = digits_of(word);
        if (d->mantissa == 0 || count == 8)
            return NULL;
        d->mantissa = value_of(word, count);
        p += count - 1;
    }
    p++;
    if (*p == '.') {
        p++;
        if (is_digit(*p) && !is_digit(p[1])) {
            d->mantissa = d->mantissa * 10 + (uint64_t)(*p++ - '0');
            d->exponent = -1;
        } else {
            p = usual_fraction(p, d);
            if (!p)
                return NULL;
        }
    }
    return (*p | 0x20) == 'e' ? NULL : p;
}

/* The middles between floats that matter are those of x, a double with at most four roundings
 * behind it: true where the number may be on the other side of one. */
static inline bool near_middle(double x)
{
    if (x < FLT_MIN) { /* whole multiples of the smallest float, of which a double has 2^30 parts */
        double multiple = x / FLT_TRUE_MIN;
        return fabs(multiple - floor(multiple) - 0.5) < 0x1p-20;
    }
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    /* A double has 29 bits more than a float. */
    int64_t from_middle = (int64_t)(bits & ((1 << 29) - 1)) - (1 << 28);
    return from_middle >= -8 && from_middle <= 8;
}

/* False where only all digits can tell. */
INLINE bool round_fast(const struct decimal *d, float *value)
{
    static const double powers[POWER_MAX + 1] = {
        1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
    };
    static const float float_powers[FLOAT_POWER_MAX + 1] = {1e0f, 1e1f, 1e2f, 1e3f, 1e4f, 1e5f,
                                                            1e6f, 1e7f, 1e8f, 1e9f, 1e10f};
    int64_t exponent = d->exponent;
    if (d->mantissa <= FLOAT_INTEGER_MAX && exponent <= 0 && exponent >= -FLOAT_POWER_MAX) {
        float exact = (float)(int32_t)d->mantissa / float_powers[-exponent]; /* rounded once */
        *value = d->negative ? -exact : exact;
        return true;
    }
    /* A mantissa has 20 digits, floats end at 10^39 and below 10^-45: past these bounds nothing
     * changes. */
    exponent = exponent < -3 * POWER_MAX ? -3 * POWER_MAX : exponent;
    exponent = exponent > 2 * POWER_MAX ? 2 * POWER_MAX : exponent;
    double x = (double)d->mantissa;
    for (; exponent < -POWER_MAX; exponent += POWER_MAX)
        x /= powers[POWER_MAX];
    for (; exponent > POWER_MAX; exponent -= POWER_MAX)
        x *= powers[POWER_MAX];
    x = exponent < 0 ? x / powers[-exponent] : x * powers[exponent];
    if (near_middle(x))
        return false;
    float rounded = x < FLOAT_END ? (float)x : INFINITY;
    *value = d->negative ? -rounded : rounded;
    return true;
}

/* strtof on the significant digits of text, written without a point so that no locale matters. */
static float round_slow(const struct decimal *d, const char *text, const char *end)
{
    char copy[SLOW_DIGITS + 32];
    int64_t exponent = d->exponent;
    int count = 0;
    bool more = false;
    for (text += d->negative; text < end && *text != 'e' && *text != 'E'; text++) {
        if (*text == '.' || (count == 0 && *text == '0'))
            continue;
        if (count < SLOW_DIGITS)
            copy[count++] = *text;
        else
            more |= *text != '0';
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
    float value = strtof(copy, NULL);
    return d->negative ? -value : value;
}

static const char *read_any(const char *text, const char *end, float *value)
{
    struct decimal d;
    end = scan(text, end, &d);
    if (end && !round_fast(&d, value))
        *value = round_slow(&d, text, end);
    return end;
}

INLINE const char *read_one(const char *p, const char *end, float *value)
{
    if (end - p >= USUAL_BYTES) {
        struct decimal d;
        const char *after = usual(p, &d);
        if (after && round_fast(&d, value))
            return after;
    }
    return read_any(p, end, value);
}

size_t number_read(const char *text, size_t size, float *value)
{
    const char *end = read_one(text, text + size, value);
    return end ? (size_t)(end - text) : 0;
}

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && (unsigned char)*p <= ' ' &&
           (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

size_t number_list_read(const char *text, size_t size, float *values, size_t most, size_t *count)
{
    const char *p = text, *end = text + size, *done = text;
    size_t read = 0;
    while (read < most) {
        if (end - p >= 2 && is_digit(*p) && p[1] == ',') { /* voxels are 0 and 1 */
            values[read] = (float)(*p++ - '0');
        } else {
            p = read_one(p, end, &values[read]);
            if (!p || isinf(values[read]))
                break;
        }
        read++;
        done = p;
        p = skip_space(p, end);
        if (p == end || *p != ',')
            break;
        p = skip_space(p + 1, end);
    }
    *count = read;
    return (size_t)(done - text);
}
