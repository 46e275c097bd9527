/* image.h - PNG and JPEG to pixels (libpng, libjpeg-turbo), with bounds checked before decoding. */
#ifndef STRIDED_IMAGE_H
#define STRIDED_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct image {
    int width, height;
    int channels;    /* 1 grey, 3 RGB */
    uint8_t *pixels; /* [height, width, channels], owned; transparency composited on white */
};

/* By magic bytes: "image/png", "image/jpeg", or NULL. */
const char *image_sniff(const void *bytes, size_t size);
/* Decodes PNG or JPEG; ERR_UNPROCESSABLE names what is broken; more than LIMIT_IMAGE_PIXELS is
 * refused from the header alone. 16-bit, palette, interlaced, CMYK are read; JPEGs of more than
 * 100 scans are refused. Memory is bounded by the pixels. */
bool image_decode(const void *bytes, size_t size, struct image *image, struct err *e);
/* Width, height and channels that the header announces, without decoding: image->pixels stays NULL.
 * False when there is no header to read; a true answer does not mean that the rest is sound. */
bool image_peek(const void *bytes, size_t size, struct image *image);
void image_clear(struct image *image);

#endif
