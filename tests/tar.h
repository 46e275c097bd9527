/* tar.h - tar archives built by hand, entry by entry, for tests that need odd ones. */
#ifndef STRIDED_TESTS_TAR_H
#define STRIDED_TESTS_TAR_H

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "buf.h"

enum { TAR_BLOCK = 512 };

/* One header block of ustar. type: '0' file, '1' hard link, '2' symbolic link, '5' folder, ... */
static inline void tar_header(uint8_t block[TAR_BLOCK], const char *path, char type,
                              const char *link, uint64_t size)
{
    memset(block, 0, TAR_BLOCK);
    char *text = (char *)block;
    ck_assert_uint_le(strlen(path), 100);
    ck_assert_uint_le(strlen(link), 100);
    memcpy(text, path, strlen(path));
    memcpy(text + 100, "0000644\0000000000\0000000000", 24);
    snprintf(text + 124, 12, "%011llo", (unsigned long long)size);
    memcpy(text + 136, "00000000000", 12);
    text[156] = type;
    memcpy(text + 157, link, strlen(link));
    memcpy(text + 257, "ustar\00000", 8);
    memset(text + 148, ' ', 8);
    unsigned sum = 0;
    for (int i = 0; i < TAR_BLOCK; i++)
        sum += block[i];
    snprintf(text + 148, 8, "%06o", sum);
}

static inline void tar_add(struct buf *tar, const char *path, char type, const char *link,
                           const void *bytes, size_t size)
{
    static const uint8_t zeros[TAR_BLOCK];
    uint8_t block[TAR_BLOCK];
    tar_header(block, path, type, link, size);
    buf_add(tar, block, sizeof block);
    buf_add(tar, bytes, size);
    buf_add(tar, zeros, (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
}

static inline void tar_file(struct buf *tar, const char *path, const char *text)
{
    tar_add(tar, path, '0', "", text, strlen(text));
}

static inline void tar_end(struct buf *tar)
{
    static const uint8_t zeros[2 * TAR_BLOCK];
    buf_add(tar, zeros, sizeof zeros);
}

#endif
