/* hash.h - SHA-256 (GnuTLS), as 64 hexadecimal digits and a NUL. */
#ifndef STRIDED_HASH_H
#define STRIDED_HASH_H

#include <stddef.h>

void hash_sha256(const void *bytes, size_t size, char hex[65]);

/* The same in pieces. Begin's NULL: out of memory. End frees. */
struct hash;
struct hash *hash_begin(void);
void hash_add(struct hash *hash, const void *bytes, size_t size);
void hash_end(struct hash *hash, char hex[65]); /* hex NULL: only frees; hash NULL is fine then */

#endif
