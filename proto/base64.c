#include "base64.h"

#include <stdint.h>
#include <string.h>

/* The six bits of a character, -1 if it has none. */
static const int8_t sextets[256] = {
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 62, -1, -1, -1, 63,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, -1, -1, -1, -1, -1, -1, -1, 0,  1,  2,  3,  4,  5,  6,
    7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, -1, -1, -1, -1, -1,
    -1, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48,
    49, 50, 51, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
};

/* Past "data:image/png;base64,", if text begins so. */
static bool skip_data_prefix(const char **text, size_t *size, struct err *e)
{
    if (*size < 5 || memcmp(*text, "data:", 5) != 0)
        return true;
    const char *comma = memchr(*text, ',', *size);
    static const char mark[] = ";base64";
    size_t mark_size = sizeof mark - 1;
    if (!comma || (size_t)(comma - *text) < 5 + mark_size ||
        memcmp(comma - mark_size, mark, mark_size) != 0)
        return err_set(e, ERR_INVALID, "data: text without ';base64,'");
    *size -= (size_t)(comma + 1 - *text);
    *text = comma + 1;
    return true;
}

struct decoder {
    struct buf *out;
    size_t decoded, decoded_max;
    uint32_t bits;
    int count, padding; /* of the group of four under way */
};

static bool end_group(struct decoder *d, struct err *e)
{
    int bytes = 3 - d->padding;
    if ((bytes < 3 && (d->bits & 0xff) != 0) || (bytes < 2 && (d->bits & 0xffff) != 0))
        return err_set(e, ERR_INVALID, "base64 ends in bits that belong to no byte");
    d->decoded += (size_t)bytes;
    if (d->decoded > d->decoded_max)
        return err_set(e, ERR_TOO_LARGE, "base64 decodes to more than %zu bytes", d->decoded_max);
    const char decoded[3] = {(char)(d->bits >> 16), (char)(d->bits >> 8), (char)d->bits};
    buf_add(d->out, decoded, (size_t)bytes);
    d->bits = 0;
    d->count = 0;
    return true;
}

static bool take(struct decoder *d, char c, size_t at, struct err *e)
{
    int value = sextets[(unsigned char)c];
    if (c == '=' && d->padding < 2 && d->count >= 2) {
        d->padding++;
        value = 0;
    } else if (value < 0 || d->padding > 0) {
        return err_set(e, ERR_INVALID, "unexpected byte 0x%02x at %zu of the base64",
                       (unsigned char)c, at);
    }
    d->bits = d->bits << 6 | (uint32_t)value;
    return ++d->count < 4 || end_group(d, e);
}

/* Whole groups as long as they come one after the other; the bytes of text they took. */
static size_t take_groups(struct decoder *d, const unsigned char *text, size_t size)
{
    size_t at = 0;
    if (size < 4 || d->count > 0 || d->padding > 0 || !buf_reserve(d->out, size / 4 * 3))
        return 0;
    uint8_t *to = (uint8_t *)d->out->data + d->out->size;
    for (; size - at >= 4 && d->decoded_max - d->decoded >= 3; at += 4) {
        int first = sextets[text[at]], second = sextets[text[at + 1]];
        int third = sextets[text[at + 2]], fourth = sextets[text[at + 3]];
        if ((first | second | third | fourth) < 0)
            break;
        uint32_t bits = (uint32_t)(first << 18 | second << 12 | third << 6 | fourth);
        *to++ = (uint8_t)(bits >> 16);
        *to++ = (uint8_t)(bits >> 8);
        *to++ = (uint8_t)bits;
        d->decoded += 3;
    }
    d->out->size += at / 4 * 3;
    return at;
}

bool base64_decode(const char *text, size_t size, size_t decoded_max, struct buf *out,
                   struct err *e)
{
    struct decoder d = {.out = out, .decoded_max = decoded_max};
    if (!skip_data_prefix(&text, &size, e))
        return false;
    for (size_t i = 0; i < size; i++) {
        i += take_groups(&d, (const unsigned char *)text + i, size - i);
        if (i < size && text[i] != '\n' && text[i] != '\r' && !take(&d, text[i], i, e))
            return false;
    }
    if (d.count != 0)
        return err_set(e, ERR_INVALID, "base64 is cut short: %d characters after the last group",
                       d.count);
    return buf_ok(out) || err_no_memory(e);
}

void base64_encode(const void *bytes, size_t size, struct buf *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *from = bytes;
    if (!buf_reserve(out, (size + 2) / 3 * 4))
        return;
    for (size_t i = 0; i < size; i += 3) {
        const size_t left = size - i;
        const uint32_t bits = (uint32_t)from[i] << 16 |
                              (left > 1 ? (uint32_t)from[i + 1] << 8 : 0) |
                              (left > 2 ? (uint32_t)from[i + 2] : 0);
        const char group[4] = {digits[bits >> 18], digits[bits >> 12 & 63],
                               left > 1 ? digits[bits >> 6 & 63] : '=',
                               left > 2 ? digits[bits & 63] : '='};
        buf_add(out, group, sizeof group);
    }
}
