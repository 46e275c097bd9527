/* utf8.h - UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing past U+10FFFF. */
#ifndef STRIDED_UTF8_H
#define STRIDED_UTF8_H

#include <stddef.h>

/* Bytes (1..4) of the valid sequence that text begins with; 0 if there is none. */
size_t utf8_next(const char *text, size_t size);

/* The first bytes of text made fit for an error message: control characters and invalid bytes
 * become \xNN, and what does not fit is cut to "...". Returns out, NUL-terminated. */
enum { UTF8_QUOTE_BYTES = 80 };
char *utf8_quote(char out[UTF8_QUOTE_BYTES], const char *text, size_t size);

#endif
