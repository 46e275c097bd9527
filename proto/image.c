/* image.c - PNG and JPEG decoding.
 *
 * Both libraries report errors by a callback that must not return; ours keeps the text and jumps
 * back to decode_png or decode_jpeg. What those functions free after a jump lives in a struct that
 * the jump cannot have left half-updated, never in a local that the compiler may keep in a
 * register.
 */
#include "image.h"

#include <setjmp.h>
#include <stdio.h> /* jpeglib.h needs FILE */
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>
#include <png.h>

#include "limits.h"
#include "memory.h"

enum {
    JPEG_SCANS_MAX = 100,
    /* Of libjpeg: a progressive file keeps every coefficient, 2 bytes times up to 4 components,
     * and some rows. */
    JPEG_MEMORY_BYTES_MAX = 10 * LIMIT_IMAGE_PIXELS,
};

const char *image_sniff(const void *bytes, size_t size)
{
    if (size >= 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0)
        return "image/png";
    if (size >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0)
        return "image/jpeg";
    return NULL;
}

void image_clear(struct image *image)
{
    free(image->pixels);
    *image = (struct image){0};
}

/* The pixels a header announces, refused before anything is allocated for them. */
static bool check_size(uint32_t width, uint32_t height, struct err *e)
{
    if (width == 0 || height == 0)
        return err_set(e, ERR_UNPROCESSABLE, "picture of %ux%u pixels is empty", width, height);
    if ((uint64_t)width * height > LIMIT_IMAGE_PIXELS)
        return err_set(e, ERR_UNPROCESSABLE, "picture of %ux%u pixels, at most %d are read", width,
                       height, LIMIT_IMAGE_PIXELS);
    return true;
}

/* PNG */

struct png_source {
    const uint8_t *at;
    size_t left;
    jmp_buf jump;
    char text[128];
    png_structp png;
    png_infop info;
    uint8_t *pixels; /* [height, width, channels], channels as libpng gives them: 1..4 */
    png_bytep *rows;
};

static _Noreturn void png_failed(png_structp png, png_const_charp text)
{
    struct png_source *source = png_get_error_ptr(png);
    snprintf(source->text, sizeof source->text, "%s", text);
    longjmp(source->jump, 1);
}

static void png_warned(png_structp png, png_const_charp text)
{
    (void)png, (void)text;
}

static void png_read_bytes(png_structp png, png_bytep out, size_t size)
{
    struct png_source *source = png_get_io_ptr(png);
    if (size > source->left)
        png_error(png, "truncated");
    memcpy(out, source->at, size);
    source->at += size;
    source->left -= size;
}

/* 8 bits a channel, no palette, grey or colour with or without alpha. Gamma and colour profiles
 * are left alone: nets are trained on stored values. */
static void png_set_output(png_structp png, png_infop info)
{
    png_set_scale_16(png);
    png_set_expand(png); /* palette, 1, 2 and 4 bits, and tRNS to alpha */
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
}

/* White where the picture is transparent; drops alpha, in place. */
static void composite_on_white(uint8_t *pixels, size_t count, int channels)
{
    int colours = channels - 1;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *from = pixels + i * (size_t)channels;
        uint8_t *to = pixels + i * (size_t)colours;
        unsigned alpha = from[colours];
        for (int c = 0; c < colours; c++)
            to[c] = (uint8_t)((from[c] * alpha + 255 * (255 - alpha) + 127) / 255);
    }
}

/* Runs inside setjmp: leaves the pixels in source. */
static bool png_decode(struct png_source *source, struct image *image, struct err *e)
{
    png_structp png = source->png;
    png_set_read_fn(png, source, png_read_bytes);
    png_set_user_limits(png, LIMIT_IMAGE_PIXELS, LIMIT_IMAGE_PIXELS);
    /* Text, profiles and the like are skipped unread: they may inflate to anything. */
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(png, source->info);
    uint32_t width = png_get_image_width(png, source->info);
    uint32_t height = png_get_image_height(png, source->info);
    if (!check_size(width, height, e))
        return false;

    png_set_output(png, source->info);
    int channels = png_get_channels(png, source->info);
    size_t row_bytes = (size_t)width * (size_t)channels;
    if (png_get_rowbytes(png, source->info) != row_bytes)
        png_error(png, "unexpected row size");
    source->pixels = malloc(row_bytes * height);
    source->rows = malloc(height * sizeof *source->rows);
    if (!source->pixels || !source->rows)
        return err_no_memory(e);
    for (uint32_t y = 0; y < height; y++)
        source->rows[y] = source->pixels + y * row_bytes;
    png_read_image(png, source->rows);
    png_read_end(png, NULL);

    if (channels == 2 || channels == 4)
        composite_on_white(source->pixels, (size_t)width * height, channels);
    *image = (struct image){.width = (int)width,
                            .height = (int)height,
                            .channels = channels > 2 ? 3 : 1,
                            .pixels = source->pixels};
    source->pixels = NULL;
    return true;
}

static bool decode_png(const uint8_t *bytes, size_t size, struct image *image, struct err *e)
{
    struct png_source *source = calloc(1, sizeof *source);
    if (!source)
        return err_no_memory(e);
    source->at = bytes;
    source->left = size;
    volatile bool ok = false;
    source->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, source, png_failed, png_warned);
    if (source->png)
        source->info = png_create_info_struct(source->png);
    if (!source->info)
        err_no_memory(e);
    else if (setjmp(source->jump))
        err_set(e, ERR_UNPROCESSABLE, "broken PNG: %s", source->text);
    else
        ok = png_decode(source, image, e);
    png_destroy_read_struct(&source->png, &source->info, NULL);
    free(source->rows);
    free(source->pixels);
    free(source);
    return ok;
}

/* JPEG */

struct jpeg_source {
    struct jpeg_error_mgr errors; /* first: libjpeg hands it back */
    struct jpeg_source_mgr manager;
    struct jpeg_progress_mgr progress;
    struct jpeg_decompress_struct jpeg;
    jmp_buf jump;
    const char *broken; /* our own reason, or NULL: libjpeg's */
    uint8_t *pixels;    /* [height, width, components] */
};

static _Noreturn void jpeg_failed(j_common_ptr jpeg)
{
    longjmp(((struct jpeg_source *)jpeg->err)->jump, 1);
}

static _Noreturn void jpeg_refuse(j_common_ptr jpeg, const char *reason)
{
    ((struct jpeg_source *)jpeg->err)->broken = reason;
    jpeg_failed(jpeg);
}

/* libjpeg goes on after damaged data and makes up the rest; a wrong picture is worse than none.
 * Stray bytes between markers are common and harmless. */
static void jpeg_message(j_common_ptr jpeg, int level)
{
    if (level < 0 && jpeg->err->msg_code != JWRN_EXTRANEOUS_DATA)
        jpeg_failed(jpeg);
}

static void jpeg_start_source(j_decompress_ptr jpeg)
{
    (void)jpeg;
}

static boolean jpeg_fill(j_decompress_ptr jpeg)
{
    jpeg_refuse((j_common_ptr)jpeg, "truncated"); /* all bytes were there from the start */
}

static void jpeg_skip(j_decompress_ptr jpeg, long count)
{
    if (count <= 0)
        return;
    if ((size_t)count > jpeg->src->bytes_in_buffer)
        jpeg_fill(jpeg);
    jpeg->src->next_input_byte += count;
    jpeg->src->bytes_in_buffer -= (size_t)count;
}

/* Each scan of a progressive file is a pass over all its coefficients. */
static void jpeg_count_scans(j_common_ptr jpeg)
{
    if (((j_decompress_ptr)jpeg)->input_scan_number > JPEG_SCANS_MAX)
        jpeg_refuse(jpeg, "too many scans");
}

static void jpeg_set_source(struct jpeg_source *source, const uint8_t *bytes, size_t size)
{
    source->manager = (struct jpeg_source_mgr){
        .next_input_byte = bytes,
        .bytes_in_buffer = size,
        .init_source = jpeg_start_source,
        .fill_input_buffer = jpeg_fill,
        .skip_input_data = jpeg_skip,
        .resync_to_restart = jpeg_resync_to_restart,
        .term_source = jpeg_start_source,
    };
    source->progress.progress_monitor = jpeg_count_scans;
    source->jpeg.src = &source->manager;
    source->jpeg.progress = &source->progress;
    source->jpeg.mem->max_memory_to_use = JPEG_MEMORY_BYTES_MAX;
}

/* Four inks to RGB, in place. Adobe's files, nearly all there are, store them inverted. */
static void cmyk_to_rgb(uint8_t *pixels, size_t count, bool inverted)
{
    for (size_t i = 0; i < count; i++) {
        const uint8_t *from = pixels + 4 * i;
        uint8_t *to = pixels + 3 * i;
        unsigned black = inverted ? from[3] : 255u - from[3];
        for (int c = 0; c < 3; c++) {
            unsigned ink = inverted ? from[c] : 255u - from[c];
            to[c] = (uint8_t)((ink * black + 127) / 255);
        }
    }
}

/* Runs inside setjmp: leaves the pixels in source. */
static bool jpeg_decode(struct jpeg_source *source, struct image *image, struct err *e)
{
    struct jpeg_decompress_struct *jpeg = &source->jpeg;
    jpeg_read_header(jpeg, TRUE);
    if (!check_size(jpeg->image_width, jpeg->image_height, e))
        return false;
    bool four = jpeg->num_components == 4;
    jpeg->out_color_space = jpeg->num_components == 1 ? JCS_GRAYSCALE : (four ? JCS_CMYK : JCS_RGB);
    jpeg_start_decompress(jpeg);

    size_t row_bytes = (size_t)jpeg->output_width * (size_t)jpeg->output_components;
    source->pixels = malloc(row_bytes * jpeg->output_height);
    if (!source->pixels)
        return err_no_memory(e);
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = source->pixels + jpeg->output_scanline * row_bytes;
        jpeg_read_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_decompress(jpeg);

    *image = (struct image){.width = (int)jpeg->output_width,
                            .height = (int)jpeg->output_height,
                            .channels = jpeg->num_components == 1 ? 1 : 3,
                            .pixels = source->pixels};
    if (four)
        cmyk_to_rgb(source->pixels, (size_t)image->width * (size_t)image->height,
                    jpeg->saw_Adobe_marker);
    source->pixels = NULL;
    return true;
}

static bool decode_jpeg(const uint8_t *bytes, size_t size, struct image *image, struct err *e)
{
    struct jpeg_source *source = calloc(1, sizeof *source);
    if (!source)
        return err_no_memory(e);
    source->jpeg.err = jpeg_std_error(&source->errors);
    source->errors.error_exit = jpeg_failed;
    source->errors.emit_message = jpeg_message;
    volatile bool ok = false;
    if (setjmp(source->jump)) {
        char text[JMSG_LENGTH_MAX];
        source->errors.format_message((j_common_ptr)&source->jpeg, text);
        err_set(e, ERR_UNPROCESSABLE, "broken JPEG: %s", source->broken ? source->broken : text);
    } else {
        jpeg_create_decompress(&source->jpeg);
        jpeg_set_source(source, bytes, size);
        ok = jpeg_decode(source, image, e);
    }
    jpeg_destroy_decompress(&source->jpeg);
    free(source->pixels);
    free(source);
    return ok;
}

bool image_decode(const void *bytes, size_t size, struct image *image, struct err *e)
{
    const char *type = image_sniff(bytes, size);
    if (!type)
        return err_set(e, ERR_UNPROCESSABLE, "neither a PNG nor a JPEG picture");
    if (strcmp(type, "image/png") == 0)
        return decode_png(bytes, size, image, e);
    return decode_jpeg(bytes, size, image, e);
}

/* Headers alone */

static uint32_t big_endian(const uint8_t *bytes, int count)
{
    uint32_t value = 0;
    for (int i = 0; i < count; i++)
        value = value << 8 | bytes[i];
    return value;
}

static bool peeked(struct image *image, uint32_t width, uint32_t height, int channels)
{
    struct err ignored;
    if (!check_size(width, height, &ignored))
        return false;
    *image = (struct image){.width = (int)width, .height = (int)height, .channels = channels};
    return true;
}

/* Signature, length and name of IHDR, then width, height, depth and colour type. */
static bool peek_png(const uint8_t *bytes, size_t size, struct image *image)
{
    if (size < 26 || memcmp(bytes + 12, "IHDR", 4) != 0)
        return false;
    bool colour = bytes[25] & 2; /* RGB, RGBA, palette */
    return peeked(image, big_endian(bytes + 16, 4), big_endian(bytes + 20, 4), colour ? 3 : 1);
}

/* Markers with their lengths until a start of frame: precision, height, width, components. What
 * stands between them is passed over, as libjpeg does. */
static bool peek_jpeg(const uint8_t *bytes, size_t size, struct image *image)
{
    size_t at = 2;
    while (at + 10 <= size) {
        uint8_t marker = bytes[at + 1];
        bool frame =
            marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
        bool bare = marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7); /* TEM, RST: no length */
        if (bytes[at] != 0xff || marker == 0x00 || marker == 0xff) {
            at++;
        } else if (frame) {
            return peeked(image, big_endian(bytes + at + 7, 2), big_endian(bytes + at + 5, 2),
                          bytes[at + 9] == 1 ? 1 : 3);
        } else {
            uint32_t length = bare ? 0 : big_endian(bytes + at + 2, 2);
            at += 2 + (size_t)(bare || length > 2 ? length : 2);
        }
    }
    return false;
}

bool image_peek(const void *bytes, size_t size, struct image *image)
{
    const char *type = image_sniff(bytes, size);
    if (!type)
        return false;
    return strcmp(type, "image/png") == 0 ? peek_png(bytes, size, image)
                                          : peek_jpeg(bytes, size, image);
}
