/* Any bytes as a picture: what is decoded is as large as its header says. */
#include <string.h>

#include "check.h"
#include "image.h"
#include "limits.h"

#include <zlib.h>

enum { MAGIC_BYTES = 8, CHUNK_EXTRA_BYTES = 12 }; /* a chunk's length, name and checksum */

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Sums the chunks of a PNG again: else libpng would look at no byte of a changed one. */
static void mend_checksums(uint8_t *bytes, size_t size)
{
    size_t at = MAGIC_BYTES;
    while (at + CHUNK_EXTRA_BYTES <= size) {
        uint32_t length = big_endian(bytes + at);
        if (length > size - at - CHUNK_EXTRA_BYTES)
            break;
        uint32_t sum = (uint32_t)crc32(0, bytes + at + 4, length + 4);
        for (int i = 0; i < 4; i++)
            bytes[at + 8 + length + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
        at += CHUNK_EXTRA_BYTES + length;
    }
}

size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t size_max, unsigned seed);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t size_max, unsigned seed)
{
    size = LLVMFuzzerMutate(bytes, size, size_max);
    const char *type = image_sniff(bytes, size);
    if (type && strcmp(type, "image/png") == 0 && seed % 8 != 0)
        mend_checksums(bytes, size);
    return size;
}

static void check_sound(const struct image *image, const struct image *peeked)
{
    CHECK(image->width > 0 && image->height > 0);
    CHECK((uint64_t)image->width * (uint64_t)image->height <= LIMIT_IMAGE_PIXELS);
    CHECK(image->channels == 1 || image->channels == 3);
    CHECK(peeked->width == image->width && peeked->height == image->height);
    size_t count = (size_t)image->width * (size_t)image->height * (size_t)image->channels;
    volatile uint8_t last = image->pixels[count - 1];
    (void)last;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct image image = {0}, peeked = {0};
    struct err e = {0};
    bool seen = image_peek(bytes, size, &peeked);
    if (image_decode(bytes, size, &image, &e)) {
        CHECK(seen);
        check_sound(&image, &peeked);
    } else {
        CHECK(e.code == ERR_UNPROCESSABLE || e.code == ERR_NO_MEMORY);
        CHECK(e.detail[0] != '\0' && !image.pixels);
    }
    image_clear(&image);
    return 0;
}
