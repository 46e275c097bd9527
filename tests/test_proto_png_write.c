/* Pixels to PNG and back, and the three views of a voxel grid. */
#include "harness.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "png_write.h"
#include "rng.h"
#include "voxel_picture.h"

static struct err e;

static void check_roundtrip(int width, int height, int channels)
{
    size_t size = (size_t)width * (size_t)height * (size_t)channels;
    struct image image = {width, height, channels, malloc(size)}, back;
    for (size_t i = 0; i < size; i++)
        image.pixels[i] = (uint8_t)(i * 2654435761u >> 13);
    struct buf out = {0}, again = {0};
    ck_assert_msg(png_write_picture(&image, &out, &e), "%s", e.detail);
    ck_assert(png_write_picture(&image, &again, &e));
    ck_assert_uint_eq(out.size, again.size);
    ck_assert_mem_eq(out.data, again.data, out.size);
    ck_assert_msg(image_decode(out.data, out.size, &back, &e), "%s", e.detail);
    ck_assert_int_eq(back.width, width);
    ck_assert_int_eq(back.height, height);
    ck_assert_int_eq(back.channels, channels);
    ck_assert_mem_eq(back.pixels, image.pixels, size);
    image_clear(&back);
    image_clear(&image);
    buf_clear(&out);
    buf_clear(&again);
}

START_TEST(pixels_come_back_from_a_written_png)
{
    check_roundtrip(1, 1, 1);
    check_roundtrip(1, 1, 3);
    check_roundtrip(7, 5, 1);
    check_roundtrip(31, 65, 3);
    check_roundtrip(1000, 2, 3);
}
END_TEST

START_TEST(a_png_is_appended_to_what_the_buffer_holds)
{
    uint8_t pixel = 9;
    struct image image = {1, 1, 1, &pixel}, back;
    struct buf out = {0};
    buf_str(&out, "head");
    ck_assert(png_write_picture(&image, &out, &e));
    ck_assert_mem_eq(out.data, "head\x89PNG", 8);
    ck_assert(image_decode(out.data + 4, out.size - 4, &back, &e));
    image_clear(&back);
    buf_clear(&out);
}
END_TEST

START_TEST(empty_huge_and_odd_pictures_are_refused)
{
    uint8_t pixels[8] = {0};
    struct buf out = {0};
    ck_assert(!png_write_picture(&(struct image){0, 1, 1, pixels}, &out, &e));
    ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
    ck_assert_str_eq(e.detail, "picture of 0x1 pixels, 1 to 16777216 are written");
    ck_assert(!png_write_picture(&(struct image){4096, 4097, 1, pixels}, &out, &e));
    ck_assert(!png_write_picture(&(struct image){1, 1, 4, pixels}, &out, &e));
    ck_assert_str_eq(e.detail, "picture of 4 channels, 1 or 3 are written");
    ck_assert_uint_eq(out.size, 0);
    buf_clear(&out);
}
END_TEST

START_TEST(a_failed_buffer_is_out_of_memory)
{
    uint8_t pixel = 0;
    struct buf out = {.failed = true};
    ck_assert(!png_write_picture(&(struct image){1, 1, 1, &pixel}, &out, &e));
    ck_assert_int_eq(e.code, ERR_NO_MEMORY);
}
END_TEST

/* Views: [front: x right, z up] [side: y right, z up] [above: x right, y up]. */

enum { MARGIN = 24, PAPER = 255 };

static struct image draw(const void *grid, enum cnn_dtype dtype, int x, int y, int z)
{
    struct image image;
    ck_assert_msg(voxel_picture_draw(grid, dtype, (int[]){x, y, z}, &image, &e), "%s", e.detail);
    ck_assert_int_eq(image.channels, 1);
    return image;
}

static int pixel(const struct image *image, int x, int y)
{
    ck_assert(x >= 0 && x < image->width && y >= 0 && y < image->height);
    return image->pixels[y * image->width + x];
}

START_TEST(each_view_shows_its_axes_the_right_way_round)
{
    /* 4 x 4 x 4, 48 pixels a cell: each view is 192 x 192. One voxel, at x 0, y 1, z 3. */
    uint8_t grid[64] = {0};
    grid[(0 * 4 + 1) * 4 + 3] = 1;
    struct image image = draw(grid, CNN_U8, 4, 4, 4);
    ck_assert_int_eq(image.width, 3 * 192 + 4 * MARGIN);
    ck_assert_int_eq(image.height, 192 + 2 * MARGIN);
    static const struct {
        int right, up; /* of the voxel */
    } at[3] = {{0, 3}, {1, 3}, {0, 1}};
    for (int v = 0; v < 3; v++)
        for (int right = 0; right < 4; right++)
            for (int up = 0; up < 4; up++) {
                int x = MARGIN + v * (192 + MARGIN) + right * 48 + 24;
                int y = MARGIN + (3 - up) * 48 + 24;
                bool inked = pixel(&image, x, y) != PAPER;
                ck_assert_msg(inked == (right == at[v].right && up == at[v].up),
                              "view %d, cell %d, %d", v, right, up);
            }
    image_clear(&image);
}
END_TEST

START_TEST(the_nearest_voxel_shows_and_near_is_darker)
{
    /* 1 x 2 x 1: seen from the front (small y is near) and the side (y to the right). */
    uint8_t grid[2] = {0, 1};
    struct image far = draw(grid, CNN_U8, 1, 2, 1);
    grid[0] = 1;
    struct image both = draw(grid, CNN_U8, 1, 2, 1);
    /* 96 pixels a cell; the front view is one cell and stands on the views' common base. */
    int x = MARGIN + 48, y = MARGIN + 96 + 48;
    ck_assert_int_ne(pixel(&far, x, y), PAPER);
    ck_assert_int_lt(pixel(&both, x, y), pixel(&far, x, y));
    /* From above everything is equally near: both cells have the same shade. */
    int above = MARGIN + 96 + MARGIN + 192 + MARGIN + 48;
    ck_assert_int_eq(pixel(&both, above, MARGIN + 48), pixel(&both, above, MARGIN + 144));
    ck_assert_int_eq(pixel(&far, above, MARGIN + 144), PAPER); /* y 0 lies at the bottom */
    image_clear(&far);
    image_clear(&both);
}
END_TEST

/* Ink of the letter centred at (x, y), as text. */
static void check_letter(const struct image *image, int x, int y, const char *dots)
{
    for (int row = 0; row < 7; row++)
        for (int column = 0; column < 5; column++) {
            int grey = pixel(image, x - 5 + 2 * column, y - 7 + 2 * row);
            ck_assert_msg((grey == 0) == (dots[row * 5 + column] == '#'), "row %d column %d: %d",
                          row, column, grey);
        }
}

START_TEST(each_view_has_the_letters_of_its_axes)
{
    static const char letter_x[] = "#...##...#.#.#...#...#.#.#...##...#";
    static const char letter_y[] = "#...##...#.#.#...#....#....#....#..";
    static const char letter_z[] = "#####....#...#...#...#...#....#####";
    uint8_t grid[8] = {0};
    struct image image = draw(grid, CNN_U8, 2, 2, 2);
    const char *below[] = {letter_x, letter_y, letter_x};
    const char *beside[] = {letter_z, letter_z, letter_y};
    for (int v = 0; v < 3; v++) {
        int left = MARGIN + v * (192 + MARGIN);
        check_letter(&image, left + 96, MARGIN + 192 + 13, below[v]);
        check_letter(&image, left - 12, MARGIN + 96, beside[v]);
    }
    image_clear(&image);
}
END_TEST

START_TEST(floats_draw_as_bytes_do)
{
    uint8_t bytes[3 * 5 * 7];
    float floats[3 * 5 * 7];
    for (int i = 0; i < 3 * 5 * 7; i++) {
        bytes[i] = i % 3 == 0 ? (uint8_t)(1 + i) : 0;
        floats[i] = bytes[i] ? 0.25f : (i % 3 == 1 ? -1 : NAN);
    }
    struct image a = draw(bytes, CNN_U8, 3, 5, 7), b = draw(floats, CNN_F32, 3, 5, 7);
    ck_assert_int_eq(a.width, b.width);
    ck_assert_mem_eq(a.pixels, b.pixels, (size_t)a.width * (size_t)a.height);
    image_clear(&a);
    image_clear(&b);
}
END_TEST

START_TEST(grids_of_any_shape_stay_within_bounds)
{
    static const int sizes[][3] = {{1, 1, 1},   {24, 24, 24}, {191, 1, 1},  {192, 2, 1},
                                   {1, 383, 1}, {1, 1, 384},  {1000, 3, 2}, {1, 1, 1 << 20}};
    uint8_t *grid = malloc(1 << 20);
    memset(grid, 1, 1 << 20);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct image image = draw(grid, CNN_U8, sizes[i][0], sizes[i][1], sizes[i][2]);
        ck_assert(image.width >= 200 || image.height >= 200);
        ck_assert_int_le(image.width, 3 * 383 + 4 * MARGIN);
        ck_assert_int_le(image.height, 383 + 2 * MARGIN);
        struct buf out = {0};
        ck_assert(png_write_picture(&image, &out, &e));
        buf_clear(&out);
        image_clear(&image);
    }
    free(grid);
}
END_TEST

TEST_PROGRAM("proto_png_write", pixels_come_back_from_a_written_png,
             a_png_is_appended_to_what_the_buffer_holds, empty_huge_and_odd_pictures_are_refused,
             a_failed_buffer_is_out_of_memory, each_view_shows_its_axes_the_right_way_round,
             the_nearest_voxel_shows_and_near_is_darker, each_view_has_the_letters_of_its_axes,
             floats_draw_as_bytes_do, grids_of_any_shape_stay_within_bounds)
