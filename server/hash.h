/* hash.h - SHA-256 (GnuTLS), as 64 hexadecimal digits and a NUL. */
#ifndef STRIDED_HASH_H
#define STRIDED_HASH_H

#include <stddef.h>

void hash_sha256(const void *bytes, size_t size, char hex[65]);

#endif
