/* png_write.c - libpng reports errors by a callback that must not return: ours keeps the text and
 * jumps back. What is freed after the jump lives in a struct, as in image.c. */
#include "png_write.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <png.h>

#include "limits.h"

struct png_sink {
    struct buf *out;
    jmp_buf jump;
    char text[128];
    png_structp png;
    png_infop info;
};

static _Noreturn void sink_failed(png_structp png, png_const_charp text)
{
    struct png_sink *sink = png_get_error_ptr(png);
    snprintf(sink->text, sizeof sink->text, "%s", text);
    longjmp(sink->jump, 1);
}

static void sink_warned(png_structp png, png_const_charp text)
{
    (void)png, (void)text;
}

static void sink_add(png_structp png, png_bytep bytes, size_t size)
{
    struct png_sink *sink = png_get_io_ptr(png);
    buf_add(sink->out, bytes, size); /* a failure is asked for once, at the end */
}

static void sink_flush(png_structp png)
{
    (void)png;
}

/* Runs inside setjmp. */
static void sink_write(struct png_sink *sink, const struct image *image)
{
    png_structp png = sink->png;
    png_set_write_fn(png, sink, sink_add, sink_flush);
    png_set_IHDR(png, sink->info, (uint32_t)image->width, (uint32_t)image->height, 8,
                 image->channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, sink->info);
    size_t row_bytes = (size_t)image->width * (size_t)image->channels;
    for (int y = 0; y < image->height; y++)
        png_write_row(png, image->pixels + (size_t)y * row_bytes);
    png_write_end(png, NULL);
}

static bool check_image(const struct image *image, struct err *e)
{
    if (image->width < 1 || image->height < 1 ||
        (size_t)image->width * (size_t)image->height > LIMIT_IMAGE_PIXELS)
        return err_set(e, ERR_UNPROCESSABLE, "picture of %dx%d pixels, 1 to %d are written",
                       image->width, image->height, LIMIT_IMAGE_PIXELS);
    if (image->channels != 1 && image->channels != 3)
        return err_set(e, ERR_UNPROCESSABLE, "picture of %d channels, 1 or 3 are written",
                       image->channels);
    return true;
}

bool png_write_picture(const struct image *image, struct buf *out, struct err *e)
{
    if (!check_image(image, e))
        return false;
    struct png_sink *sink = calloc(1, sizeof *sink);
    if (!sink)
        return err_no_memory(e);
    sink->out = out;
    volatile bool ok = false;
    sink->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, sink, sink_failed, sink_warned);
    if (sink->png)
        sink->info = png_create_info_struct(sink->png);
    if (!sink->info) {
        err_no_memory(e);
    } else if (setjmp(sink->jump)) {
        err_set(e, ERR_UNPROCESSABLE, "PNG cannot be written: %s", sink->text);
    } else {
        sink_write(sink, image);
        ok = buf_ok(out) || err_no_memory(e);
    }
    png_destroy_write_struct(&sink->png, &sink->info);
    free(sink);
    return ok;
}
