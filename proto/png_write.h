/* png_write.h - pixels to a PNG file (libpng). The same pixels give the same bytes. */
#ifndef STRIDED_PNG_WRITE_H
#define STRIDED_PNG_WRITE_H

#include "buf.h"
#include "err.h"
#include "image.h"

/* Appends image (grey or RGB, 8 bits a channel) as a PNG. More than LIMIT_IMAGE_PIXELS or none at
 * all is ERR_UNPROCESSABLE, as when reading. After a failure out may hold a part of the file. */
bool png_write_picture(const struct image *image, struct buf *out, struct err *e);

#endif
