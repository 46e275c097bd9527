/* inflate.h - gzip and zlib bodies, bounded by their decoded size. */
#ifndef STRIDED_INFLATE_H
#define STRIDED_INFLATE_H

#include "buf.h"
#include "err.h"

bool inflate_is_gzip(const void *bytes, size_t size);
/* Appends the decoded bytes to out; past decoded_max ERR_TOO_LARGE; broken, truncated or trailing
 * bytes ERR_INVALID. Reads gzip (several members too), zlib and raw deflate. */
bool inflate_bytes(const void *bytes, size_t size, size_t decoded_max, struct buf *out,
                   struct err *e);

#endif
