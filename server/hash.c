#include "hash.h"

#include <gnutls/crypto.h>
#include <stdint.h>

#include "check.h"

void hash_sha256(const void *bytes, size_t size, char hex[65])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[32];
    CHECK(gnutls_hash_fast(GNUTLS_DIG_SHA256, size ? bytes : "", size, digest) == 0);
    for (size_t i = 0; i < sizeof digest; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[64] = '\0';
}
