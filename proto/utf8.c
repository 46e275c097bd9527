#include "utf8.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

size_t utf8_next(const char *text, size_t size)
{
    const unsigned char *p = (const unsigned char *)text;
    if (size == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    size_t length = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || size < length)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    /* The first continuation byte decides overlong forms, surrogates and the upper end. */
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return length;
}

char *utf8_quote(char out[UTF8_QUOTE_BYTES], const char *text, size_t size)
{
    size_t used = 0;
    for (size_t at = 0; at < size;) {
        char piece[8];
        size_t length = utf8_next(text + at, size - at);
        if (length == 0 || (unsigned char)text[at] < 0x20 || text[at] == 0x7f) {
            snprintf(piece, sizeof piece, "\\x%02x", (unsigned char)text[at]);
            length = 1;
        } else {
            memcpy(piece, text + at, length);
            piece[length] = '\0';
        }
        size_t room = UTF8_QUOTE_BYTES - sizeof "..." - used;
        if (strlen(piece) > room) {
            memcpy(out + used, "...", 3);
            used += 3;
            break;
        }
        memcpy(out + used, piece, strlen(piece));
        used += strlen(piece);
        at += length;
    }
    out[used] = '\0';
    return out;
}
