/* base64.h - RFC 4648 base64, strict but for line breaks; "data:...;base64," prefixes accepted. */
#ifndef STRIDED_BASE64_H
#define STRIDED_BASE64_H

#include "buf.h"
#include "err.h"

bool base64_decode(const char *text, size_t size, size_t decoded_max, struct buf *out,
                   struct err *e);
/* Appends the text of the bytes, padded, without line breaks. */
void base64_encode(const void *bytes, size_t size, struct buf *out);

#endif
