#include "hash.h"

#include <gnutls/crypto.h>
#include <stdint.h>
#include <stdlib.h>

#include "check.h"

enum { DIGEST_BYTES = 32 };

struct hash {
    gnutls_hash_hd_t handle;
};

static void to_hex(const uint8_t digest[DIGEST_BYTES], char hex[65])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[64] = '\0';
}

void hash_sha256(const void *bytes, size_t size, char hex[65])
{
    uint8_t digest[DIGEST_BYTES];
    CHECK(gnutls_hash_fast(GNUTLS_DIG_SHA256, size ? bytes : "", size, digest) == 0);
    to_hex(digest, hex);
}

struct hash *hash_begin(void)
{
    struct hash *hash = malloc(sizeof *hash);
    if (hash && gnutls_hash_init(&hash->handle, GNUTLS_DIG_SHA256) != 0) {
        free(hash);
        hash = NULL;
    }
    return hash;
}

void hash_add(struct hash *hash, const void *bytes, size_t size)
{
    CHECK(gnutls_hash(hash->handle, bytes, size) == 0);
}

void hash_end(struct hash *hash, char hex[65])
{
    uint8_t digest[DIGEST_BYTES];
    if (!hash)
        return;
    gnutls_hash_deinit(hash->handle, digest);
    if (hex)
        to_hex(digest, hex);
    free(hash);
}
