/* Pictures: every kind of PNG and JPEG to the right pixels, broken ones refused, and from pixels
 * to a model's input. The files are made here by the libraries' own encoders. */
#include "harness.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>
#include <zlib.h>

#include "image.h"
#include "limits.h"
#include "preprocess.h"

static struct err e;

/* PNG files */

struct file {
    uint8_t data[1 << 16];
    size_t size;
};
static struct file file;

static void append(png_structp png, png_bytep bytes, size_t size)
{
    struct file *to = png_get_io_ptr(png);
    ck_assert_uint_le(to->size + size, sizeof to->data);
    memcpy(to->data + to->size, bytes, size);
    to->size += size;
}

static void no_flush(png_structp png)
{
    (void)png;
}

struct png_kind {
    int width, height, depth, type;
    bool interlaced;
    const png_color *palette;
    int palette_size;
    const uint8_t *alpha;            /* tRNS of a palette */
    const png_color_16 *transparent; /* tRNS of grey and colour */
};

/* rows as PNG stores them: packed, big-endian. */
static void make_png(const struct png_kind *kind, const uint8_t *rows)
{
    file.size = 0;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_set_write_fn(png, &file, append, no_flush);
    png_set_IHDR(png, info, (uint32_t)kind->width, (uint32_t)kind->height, kind->depth, kind->type,
                 kind->interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (kind->palette)
        png_set_PLTE(png, info, kind->palette, kind->palette_size);
    if (kind->alpha)
        png_set_tRNS(png, info, kind->alpha, kind->palette_size, NULL);
    if (kind->transparent)
        png_set_tRNS(png, info, NULL, 0, kind->transparent);
    png_write_info(png, info);
    size_t row_bytes = png_get_rowbytes(png, info);
    png_bytep *list = calloc((size_t)kind->height, sizeof *list);
    for (int y = 0; y < kind->height; y++)
        list[y] = (png_bytep)(uintptr_t)rows + (size_t)y * row_bytes;
    png_write_image(png, list);
    png_write_end(png, NULL);
    free(list);
    png_destroy_write_struct(&png, &info);
}

/* The header alone says what decoding gives; with fewer bytes it says that or nothing. */
static void check_peek(int width, int height, int channels)
{
    struct image head;
    ck_assert(image_peek(file.data, file.size, &head));
    for (size_t size = file.size < 700 ? file.size : 700; size > 0; size--) {
        uint8_t *exact = malloc(size);
        memcpy(exact, file.data, size);
        if (image_peek(exact, size, &head)) {
            ck_assert_int_eq(head.width, width);
            ck_assert_int_eq(head.height, height);
            ck_assert_int_eq(head.channels, channels);
            ck_assert_ptr_null(head.pixels);
        }
        free(exact);
    }
}

static void check_pixels(int width, int height, int channels, const uint8_t *expected)
{
    struct image image;
    ck_assert_msg(image_decode(file.data, file.size, &image, &e), "%s", e.detail);
    ck_assert_int_eq(image.width, width);
    ck_assert_int_eq(image.height, height);
    ck_assert_int_eq(image.channels, channels);
    for (int i = 0; i < width * height * channels; i++)
        ck_assert_msg(image.pixels[i] == expected[i], "pixel value %d is %d, expected %d", i,
                      image.pixels[i], expected[i]);
    image_clear(&image);
    check_peek(width, height, channels);
}

START_TEST(grey_png_of_every_depth_is_read)
{
    static const uint8_t one[] = {0xa0, 0x40}; /* 3 pixels a row: 1 0 1, 0 1 0 */
    make_png(&(struct png_kind){3, 2, 1, PNG_COLOR_TYPE_GRAY, .interlaced = false}, one);
    check_pixels(3, 2, 1, (uint8_t[]){255, 0, 255, 0, 255, 0});
    static const uint8_t two[] = {0x1b}; /* 0 1 2 3 */
    make_png(&(struct png_kind){4, 1, 2, PNG_COLOR_TYPE_GRAY, .interlaced = false}, two);
    check_pixels(4, 1, 1, (uint8_t[]){0, 85, 170, 255});
    static const uint8_t four[] = {0x0f, 0x80};
    make_png(&(struct png_kind){3, 1, 4, PNG_COLOR_TYPE_GRAY, .interlaced = false}, four);
    check_pixels(3, 1, 1, (uint8_t[]){0, 255, 136});
    static const uint8_t eight[] = {0, 7, 255};
    make_png(&(struct png_kind){3, 1, 8, PNG_COLOR_TYPE_GRAY, .interlaced = false}, eight);
    check_pixels(3, 1, 1, eight);
    static const uint8_t sixteen[] = {0, 0, 0x80, 0x80, 0xff, 0xff, 0x12, 0x34};
    make_png(&(struct png_kind){4, 1, 16, PNG_COLOR_TYPE_GRAY, .interlaced = false}, sixteen);
    check_pixels(4, 1, 1, (uint8_t[]){0, 0x80, 255, 0x12});
}
END_TEST

START_TEST(colour_and_palette_png_is_read)
{
    static const uint8_t rgb[] = {255, 0, 0, 1, 2, 3};
    make_png(&(struct png_kind){2, 1, 8, PNG_COLOR_TYPE_RGB, .interlaced = false}, rgb);
    check_pixels(2, 1, 3, rgb);
    static const uint8_t deep[] = {0xff, 0xff, 0, 0, 0x80, 0x80};
    make_png(&(struct png_kind){1, 1, 16, PNG_COLOR_TYPE_RGB, .interlaced = false}, deep);
    check_pixels(1, 1, 3, (uint8_t[]){255, 0, 128});
    static const png_color palette[] = {{10, 20, 30}, {40, 50, 60}};
    static const uint8_t bits[] = {0x40};
    make_png(&(struct png_kind){2, 1, 1, PNG_COLOR_TYPE_PALETTE, false, palette, 2, NULL, NULL},
             bits);
    check_pixels(2, 1, 3, (uint8_t[]){10, 20, 30, 40, 50, 60});
}
END_TEST

START_TEST(transparency_is_composited_on_white)
{
    static const uint8_t grey[] = {0, 0, 0, 255, 100, 128};
    make_png(&(struct png_kind){3, 1, 8, PNG_COLOR_TYPE_GRAY_ALPHA, .interlaced = false}, grey);
    check_pixels(3, 1, 1, (uint8_t[]){255, 0, 177}); /* (100*128 + 255*127)/255 = 177.2 */
    static const uint8_t rgba[] = {255, 0, 0, 0, 1, 2, 3, 255, 0, 0, 255, 51};
    make_png(&(struct png_kind){3, 1, 8, PNG_COLOR_TYPE_RGB_ALPHA, .interlaced = false}, rgba);
    check_pixels(3, 1, 3, (uint8_t[]){255, 255, 255, 1, 2, 3, 204, 204, 255});
    static const png_color palette[] = {{0, 0, 0}, {9, 9, 9}};
    static const uint8_t alpha[] = {0, 255}, indexes[] = {0, 1};
    make_png(&(struct png_kind){2, 1, 8, PNG_COLOR_TYPE_PALETTE, false, palette, 2, alpha, NULL},
             indexes);
    check_pixels(2, 1, 3, (uint8_t[]){255, 255, 255, 9, 9, 9});
    static const png_color_16 key = {.gray = 7};
    static const uint8_t keyed[] = {7, 8};
    make_png(&(struct png_kind){2, 1, 8, PNG_COLOR_TYPE_GRAY, .transparent = &key}, keyed);
    check_pixels(2, 1, 1, (uint8_t[]){255, 8});
}
END_TEST

START_TEST(interlaced_png_is_read)
{
    uint8_t rows[9 * 11 * 3];
    for (size_t i = 0; i < sizeof rows; i++)
        rows[i] = (uint8_t)(i * 7);
    make_png(&(struct png_kind){9, 11, 8, PNG_COLOR_TYPE_RGB, .interlaced = true}, rows);
    check_pixels(9, 11, 3, rows);
}
END_TEST

/* Refused from a copy of exactly its size, so that a sanitizer sees each byte past it. */
static void check_prefix_refused(size_t size)
{
    struct image image;
    uint8_t *exact = malloc(size ? size : 1);
    memcpy(exact, file.data, size);
    ck_assert_msg(!image_decode(exact, size, &image, &e), "%zu bytes", size);
    ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
    free(exact);
}

START_TEST(a_png_truncated_at_every_byte_is_refused)
{
    uint8_t rows[20 * 20];
    for (size_t i = 0; i < sizeof rows; i++)
        rows[i] = (uint8_t)(i * i);
    for (int interlaced = 0; interlaced < 2; interlaced++) {
        make_png(&(struct png_kind){20, 20, 8, PNG_COLOR_TYPE_GRAY, .interlaced = interlaced},
                 rows);
        for (size_t size = 0; size < file.size; size++)
            check_prefix_refused(size);
    }
}
END_TEST

START_TEST(a_png_with_flipped_bytes_never_crashes)
{
    uint8_t rows[16 * 16];
    for (size_t i = 0; i < sizeof rows; i++)
        rows[i] = (uint8_t)(i * i);
    make_png(&(struct png_kind){16, 16, 8, PNG_COLOR_TYPE_GRAY, .interlaced = true}, rows);
    for (size_t at = 0; at < file.size; at++) {
        struct image image = {0};
        file.data[at] ^= 0xff;
        if (image_decode(file.data, file.size, &image, &e))
            image_clear(&image);
        else
            ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
        file.data[at] ^= 0xff;
    }
}
END_TEST

static void put_be32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (24 - 8 * i));
}

START_TEST(a_png_of_100000_by_100000_is_refused_by_its_header)
{
    uint8_t pixel = 0;
    struct image image;
    make_png(&(struct png_kind){1, 1, 8, PNG_COLOR_TYPE_GRAY, .interlaced = false}, &pixel);
    put_be32(file.data + 16, 100000);
    put_be32(file.data + 20, 100000);
    put_be32(file.data + 29, (uint32_t)crc32(0, file.data + 12, 17));
    ck_assert(!image_decode(file.data, file.size, &image, &e));
    ck_assert_str_eq(e.detail, "picture of 100000x100000 pixels, at most 16777216 are read");
    ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
    /* Long and thin stays under libpng's own limits, not under ours. */
    put_be32(file.data + 16, 1);
    put_be32(file.data + 20, LIMIT_IMAGE_PIXELS + 1);
    put_be32(file.data + 29, (uint32_t)crc32(0, file.data + 12, 17));
    ck_assert(!image_decode(file.data, file.size, &image, &e));
}
END_TEST

START_TEST(text_and_profiles_in_a_png_are_skipped_unread)
{
    uint8_t pixel = 77;
    make_png(&(struct png_kind){1, 1, 8, PNG_COLOR_TYPE_GRAY, .interlaced = false}, &pixel);
    /* After IHDR a zTXt chunk whose stream is garbage: unread means not refused. */
    static const char content[] = "Comment\0\0garbage that does not inflate";
    uint8_t chunk[12 + sizeof content];
    put_be32(chunk, sizeof content);
    memcpy(chunk + 4, "zTXt", 4);
    memcpy(chunk + 8, content, sizeof content);
    put_be32(chunk + 8 + sizeof content,
             (uint32_t)crc32(0, chunk + 4, (unsigned)(4 + sizeof content)));
    memmove(file.data + 33 + sizeof chunk, file.data + 33, file.size - 33);
    memcpy(file.data + 33, chunk, sizeof chunk);
    file.size += sizeof chunk;
    check_pixels(1, 1, 1, &pixel);
}
END_TEST

/* JPEG files */

static void make_jpeg(int width, int height, int components, J_COLOR_SPACE space, bool progressive,
                      const uint8_t *pixels)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *bytes = NULL;
    unsigned long size = 0;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &bytes, &size);
    jpeg.image_width = (unsigned)width;
    jpeg.image_height = (unsigned)height;
    jpeg.input_components = components;
    jpeg.in_color_space = space;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 98, TRUE);
    if (progressive)
        jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    while (jpeg.next_scanline < jpeg.image_height) {
        JSAMPROW row =
            (JSAMPROW)(uintptr_t)pixels + jpeg.next_scanline * (unsigned)(width * components);
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    ck_assert_uint_le(size, sizeof file.data);
    memcpy(file.data, bytes, size);
    file.size = size;
    free(bytes);
}

/* One colour all over survives JPEG nearly unharmed. */
static void check_colour(int channels, const uint8_t *expected)
{
    struct image image;
    ck_assert_msg(image_decode(file.data, file.size, &image, &e), "%s", e.detail);
    ck_assert_int_eq(image.width, 24);
    ck_assert_int_eq(image.height, 16);
    ck_assert_int_eq(image.channels, channels);
    for (int i = 0; i < 24 * 16 * channels; i++)
        ck_assert_int_le(abs(image.pixels[i] - expected[i % channels]), 3);
    image_clear(&image);
    check_peek(24, 16, channels);
}

static void fill_pixels(uint8_t *pixels, size_t count, const uint8_t *colour, int components)
{
    for (size_t i = 0; i < count; i++)
        pixels[i] = colour[i % (size_t)components];
}

START_TEST(jpeg_of_every_colour_space_is_read)
{
    static const uint8_t grey[] = {200}, red[] = {220, 30, 40}, cmyk[] = {255, 100, 50, 200};
    uint8_t pixels[24 * 16 * 4];
    for (int progressive = 0; progressive < 2; progressive++) {
        fill_pixels(pixels, 24 * 16, grey, 1);
        make_jpeg(24, 16, 1, JCS_GRAYSCALE, progressive, pixels);
        check_colour(1, grey);
        fill_pixels(pixels, 24 * 16 * 3, red, 3);
        make_jpeg(24, 16, 3, JCS_RGB, progressive, pixels);
        check_colour(3, red);
        fill_pixels(pixels, 24 * 16 * 4, cmyk, 4);
        make_jpeg(24, 16, 4, JCS_CMYK, progressive, pixels); /* with Adobe's marker: inverted */
        check_colour(3, (uint8_t[]){200, 78, 39});
    }
}
END_TEST

START_TEST(a_jpeg_truncated_at_every_byte_is_refused)
{
    uint8_t pixels[40 * 30];
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * i);
    for (int progressive = 0; progressive < 2; progressive++) {
        make_jpeg(40, 30, 1, JCS_GRAYSCALE, progressive, pixels);
        for (size_t size = 0; size < file.size; size++)
            check_prefix_refused(size);
    }
}
END_TEST

START_TEST(a_jpeg_with_flipped_bytes_never_crashes)
{
    uint8_t pixels[40 * 30 * 3];
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 31);
    for (int progressive = 0; progressive < 2; progressive++) {
        make_jpeg(40, 30, 3, JCS_RGB, progressive, pixels);
        for (size_t at = 0; at < file.size; at++) {
            struct image image = {0};
            file.data[at] ^= 0xff;
            if (image_decode(file.data, file.size, &image, &e))
                image_clear(&image);
            else
                ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
            file.data[at] ^= 0xff;
        }
    }
}
END_TEST

/* Offset of the first marker 0xff `code` after the start. */
static size_t find_marker(uint8_t code)
{
    for (size_t at = 2; at + 1 < file.size; at++)
        if (file.data[at] == 0xff && file.data[at + 1] == code)
            return at;
    ck_abort_msg("no marker %02x", code);
    return 0;
}

START_TEST(stray_bytes_between_a_jpegs_markers_are_passed_over)
{
    static const uint8_t grey[] = {200}, stray[] = {0x18, 0xff, 0x00, 0xff, 0xd0, 0xff, 0xff};
    uint8_t pixels[24 * 16];
    fill_pixels(pixels, 24 * 16, grey, 1);
    make_jpeg(24, 16, 1, JCS_GRAYSCALE, false, pixels);
    size_t at = find_marker(0xdb);
    memmove(file.data + at + sizeof stray, file.data + at, file.size - at);
    memcpy(file.data + at, stray, sizeof stray);
    file.size += sizeof stray;
    check_colour(1, grey);
}
END_TEST

START_TEST(a_huge_or_12_bit_jpeg_is_refused_by_its_header)
{
    uint8_t pixels[64] = {0};
    struct image image;
    make_jpeg(8, 8, 1, JCS_GRAYSCALE, false, pixels);
    size_t sof = find_marker(0xc0);
    memset(file.data + sof + 5, 0xf0, 4);
    ck_assert(!image_decode(file.data, file.size, &image, &e));
    ck_assert_str_eq(e.detail, "picture of 61680x61680 pixels, at most 16777216 are read");
    make_jpeg(8, 8, 1, JCS_GRAYSCALE, false, pixels);
    file.data[sof + 4] = 12;
    ck_assert(!image_decode(file.data, file.size, &image, &e));
    ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
}
END_TEST

START_TEST(a_jpeg_of_more_than_100_scans_is_refused)
{
    uint8_t pixels[64] = {0};
    struct image image;
    make_jpeg(8, 8, 1, JCS_GRAYSCALE, true, pixels);
    /* The last scan again and again. */
    size_t last = 0, end = file.size - 2;
    for (size_t at = 2; at + 1 < end; at++)
        if (file.data[at] == 0xff && file.data[at + 1] == 0xda)
            last = at;
    size_t scan = end - last;
    ck_assert_uint_le(file.size + 120 * scan, sizeof file.data);
    for (int i = 0; i < 120; i++, end += scan)
        memcpy(file.data + end, file.data + last, scan);
    file.data[end++] = 0xff;
    file.data[end++] = 0xd9;
    file.size = end;
    ck_assert(!image_decode(file.data, file.size, &image, &e));
    ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
}
END_TEST

START_TEST(other_bytes_are_no_picture)
{
    struct image image;
    ck_assert(!image_decode("GIF89a", 6, &image, &e));
    ck_assert_str_eq(e.detail, "neither a PNG nor a JPEG picture");
    ck_assert_ptr_null(image_sniff("", 0));
    ck_assert_str_eq(image_sniff("\xff\xd8\xff\xe0", 4), "image/jpeg");
    ck_assert_str_eq(image_sniff("\x89PNG\r\n\x1a\n", 8), "image/png");
    ck_assert_ptr_null(image_sniff("\x89PNG\r\n\x1a\n", 7));
}
END_TEST

/* From pixels to a model's input */

static struct cnn_shape shape_of(int c, int h, int w)
{
    return (struct cnn_shape){.c = c, .size = {1, h, w}, .rank = 2};
}

static const struct preprocess as_is = {.normalize = {.scale = 1}};

static void prepare(const struct preprocess *pre, struct cnn_shape shape, struct image image,
                    enum invert invert, float *x)
{
    ck_assert_msg(preprocess_image(pre, &shape, &image, invert, x, &e), "%s", e.detail);
}

START_TEST(a_picture_of_the_right_size_is_copied_exactly)
{
    uint8_t pixels[28 * 28];
    float x[28 * 28];
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 13);
    prepare(&as_is, shape_of(1, 28, 28), (struct image){28, 28, 1, pixels}, INVERT_NO, x);
    for (size_t i = 0; i < sizeof pixels; i++)
        ck_assert(x[i] == pixels[i]);
}
END_TEST

START_TEST(colour_becomes_grey_by_bt601_and_grey_becomes_colour)
{
    uint8_t rgb[] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30};
    float x[12];
    prepare(&as_is, shape_of(1, 2, 2), (struct image){2, 2, 3, rgb}, INVERT_NO, x);
    harness_close(x, (float[]){76, 150, 29, 18}, 4, 0, "grey"); /* as Pillow's "L" */
    prepare(&as_is, shape_of(3, 2, 2), (struct image){2, 2, 3, rgb}, INVERT_NO, x);
    harness_close(x, (float[]){255, 0, 0, 10, 0, 255, 0, 20, 0, 0, 255, 30}, 12, 0, "planes");
    uint8_t grey[] = {1, 2, 3, 4};
    prepare(&as_is, shape_of(3, 2, 2), (struct image){2, 2, 1, grey}, INVERT_NO, x);
    harness_close(x, (float[]){1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4}, 12, 0, "colour");
}
END_TEST

START_TEST(pictures_shrink_through_a_triangle_filter)
{
    /* 8 to 2: the first output's centre is 2, its half width 4 pixels: weights 1 - |i + .5 - 2| / 4
     * for i = 0..5 are .625 .875 .875 .625 .375 .125, in all 3.5. */
    uint8_t pixels[] = {0, 10, 20, 30, 40, 50, 60, 70};
    float x[2];
    prepare(&as_is, shape_of(1, 1, 2), (struct image){8, 1, 1, pixels}, INVERT_NO, x);
    const float first = (.875f * 10 + .875f * 20 + .625f * 30 + .375f * 40 + .125f * 50) / 3.5f;
    harness_close(x, (float[]){first, 70 - first}, 2, 1e-6, "along a row");
    prepare(&as_is, shape_of(1, 2, 1), (struct image){1, 8, 1, pixels}, INVERT_NO, x);
    harness_close(x, (float[]){first, 70 - first}, 2, 1e-6, "along a column");
}
END_TEST

START_TEST(pictures_grow_by_linear_interpolation)
{
    uint8_t pixels[] = {0, 100};
    float x[4];
    prepare(&as_is, shape_of(1, 1, 4), (struct image){2, 1, 1, pixels}, INVERT_NO, x);
    harness_close(x, (float[]){0, 25, 75, 100}, 4, 1e-6, "grown");
}
END_TEST

START_TEST(extreme_aspects_are_resized_within_bounds)
{
    uint8_t *pixels = malloc(1 << 20);
    memset(pixels, 9, 1 << 20);
    float x[6];
    prepare(&as_is, shape_of(1, 2, 3), (struct image){1 << 20, 1, 1, pixels}, INVERT_NO, x);
    harness_close(x, (float[]){9, 9, 9, 9, 9, 9}, 6, 1e-4, "wide");
    prepare(&as_is, shape_of(1, 2, 3), (struct image){1, 1 << 20, 1, pixels}, INVERT_NO, x);
    harness_close(x, (float[]){9, 9, 9, 9, 9, 9}, 6, 1e-4, "tall");
    free(pixels);
}
END_TEST

START_TEST(values_are_scaled_and_normalised_by_channel)
{
    struct preprocess pre = {.normalize = {.scale = 1.0f / 255,
                                           .channels = 3,
                                           .mean = {0, 0.5f, 1},
                                           .deviation = {1, 0.5f, 0.25f}}};
    uint8_t rgb[] = {255, 0, 51};
    float x[3];
    prepare(&pre, shape_of(3, 1, 1), (struct image){1, 1, 3, rgb}, INVERT_NO, x);
    harness_close(x, (float[]){1, -1, -3.2f}, 3, 1e-6, "normalised");
}
END_TEST

START_TEST(pictures_are_inverted_when_asked_or_when_their_border_differs)
{
    uint8_t light[] = {255, 255, 255, 255, 0, 255, 255, 255, 255}; /* dark dot on light */
    uint8_t dark[] = {0, 0, 0, 0, 255, 0, 0, 0, 0};
    struct image drawing = {3, 3, 1, light}, digit = {3, 3, 1, dark};
    static const struct {
        bool light_picture;
        enum background background;
        enum invert invert;
        float centre;
    } cases[] = {
        {true, BACKGROUND_DARK, INVERT_AUTO, 255}, {false, BACKGROUND_DARK, INVERT_AUTO, 255},
        {true, BACKGROUND_LIGHT, INVERT_AUTO, 0},  {false, BACKGROUND_LIGHT, INVERT_AUTO, 0},
        {true, BACKGROUND_NONE, INVERT_AUTO, 0},   {false, BACKGROUND_NONE, INVERT_AUTO, 255},
        {true, BACKGROUND_DARK, INVERT_NO, 0},     {false, BACKGROUND_NONE, INVERT_YES, 0},
        {true, BACKGROUND_LIGHT, INVERT_YES, 255},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct preprocess pre = as_is;
        pre.background = cases[i].background;
        float x[9];
        prepare(&pre, shape_of(1, 3, 3), cases[i].light_picture ? drawing : digit, cases[i].invert,
                x);
        ck_assert_msg(x[4] == cases[i].centre, "case %zu: centre %g", i, (double)x[4]);
    }
}
END_TEST

START_TEST(a_model_whose_input_is_no_picture_refuses_pictures)
{
    uint8_t pixel = 0;
    struct image image = {1, 1, 1, &pixel};
    struct cnn_shape signal = {.c = 1, .size = {1, 1, 28}, .rank = 1}, many = shape_of(4, 2, 2);
    float x[28];
    ck_assert(!preprocess_image(&as_is, &signal, &image, INVERT_AUTO, x, &e));
    ck_assert_str_eq(e.detail, "a picture does not fit the model's input [1,28]");
    ck_assert(!preprocess_image(&as_is, &many, &image, INVERT_AUTO, x, &e));
}
END_TEST

START_TEST(the_background_of_samples_is_told_by_their_borders)
{
    uint8_t x[3 * 9];
    struct cnn_samples samples = {.shape = shape_of(1, 3, 3), .count = 3, .dtype = CNN_U8, .x = x};
    static const struct {
        uint8_t border;
        enum background expected;
    } cases[] = {{0, BACKGROUND_DARK},   {63, BACKGROUND_DARK},   {64, BACKGROUND_NONE},
                 {191, BACKGROUND_NONE}, {192, BACKGROUND_LIGHT}, {255, BACKGROUND_LIGHT}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        memset(x, cases[i].border, sizeof x);
        for (int k = 0; k < 3; k++)
            x[9 * k + 4] = 255 - cases[i].border;
        ck_assert_int_eq(preprocess_background(&samples), cases[i].expected);
    }
    samples.shape.rank = 3;
    ck_assert_int_eq(preprocess_background(&samples), BACKGROUND_NONE);
    samples.count = 0;
    ck_assert_int_eq(preprocess_background(&samples), BACKGROUND_NONE);
}
END_TEST

TEST_PROGRAM("proto_image", grey_png_of_every_depth_is_read, colour_and_palette_png_is_read,
             transparency_is_composited_on_white, interlaced_png_is_read,
             a_png_truncated_at_every_byte_is_refused, a_png_with_flipped_bytes_never_crashes,
             a_png_of_100000_by_100000_is_refused_by_its_header,
             text_and_profiles_in_a_png_are_skipped_unread, jpeg_of_every_colour_space_is_read,
             a_jpeg_truncated_at_every_byte_is_refused, a_jpeg_with_flipped_bytes_never_crashes,
             stray_bytes_between_a_jpegs_markers_are_passed_over,
             a_huge_or_12_bit_jpeg_is_refused_by_its_header,
             a_jpeg_of_more_than_100_scans_is_refused, other_bytes_are_no_picture,
             a_picture_of_the_right_size_is_copied_exactly,
             colour_becomes_grey_by_bt601_and_grey_becomes_colour,
             pictures_shrink_through_a_triangle_filter, pictures_grow_by_linear_interpolation,
             extreme_aspects_are_resized_within_bounds, values_are_scaled_and_normalised_by_channel,
             pictures_are_inverted_when_asked_or_when_their_border_differs,
             a_model_whose_input_is_no_picture_refuses_pictures,
             the_background_of_samples_is_told_by_their_borders)
