/* IDX: the header against the bytes. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "idx.h"

static struct err e;
static struct idx idx;

static const uint8_t images[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6};

START_TEST(dimensions_and_values_are_read)
{
    ck_assert(idx_parse(images, sizeof images, &idx, &e));
    ck_assert_int_eq(idx.rank, 3);
    ck_assert_uint_eq(idx.dims[0], 2);
    ck_assert_uint_eq(idx.dims[1], 1);
    ck_assert_uint_eq(idx.dims[2], 3);
    ck_assert_uint_eq(idx.count, 6);
    ck_assert_ptr_eq(idx.data, images + 16);
}
END_TEST

START_TEST(labels_are_rank_one)
{
    static const uint8_t labels[] = {0, 0, 8, 1, 0, 0, 1, 1};
    uint8_t file[8 + 257] = {0};
    memcpy(file, labels, sizeof labels);
    ck_assert(idx_parse(file, sizeof file, &idx, &e));
    ck_assert_int_eq(idx.rank, 1);
    ck_assert_uint_eq(idx.dims[0], 257);
}
END_TEST

START_TEST(truncated_at_every_byte_is_refused)
{
    for (size_t size = 0; size < sizeof images; size++) {
        uint8_t *exact = malloc(size ? size : 1);
        memcpy(exact, images, size);
        ck_assert(!idx_parse(exact, size, &idx, &e));
        ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
        free(exact);
    }
    ck_assert_str_eq(e.detail, "idx file holds 5 values, its header says 6");
}
END_TEST

static void check_refused(size_t at, uint8_t value, size_t size, const char *text)
{
    uint8_t file[sizeof images + 1] = {0};
    memcpy(file, images, sizeof images);
    file[at] = value;
    ck_assert(!idx_parse(file, size, &idx, &e));
    ck_assert_str_eq(e.detail, text);
}

START_TEST(a_wrong_header_is_refused_by_what_it_says)
{
    check_refused(0, 0x1f, sizeof images, "not an idx file: it begins with 1f 00");
    check_refused(2, 0x0d, sizeof images,
                  "idx value type 0x0d, only unsigned bytes (0x08) are read");
    check_refused(3, 0, sizeof images, "idx rank 0, expected 1 to 4");
    check_refused(3, 5, sizeof images, "idx rank 5, expected 1 to 4");
    check_refused(7, 2, sizeof images + 1, "idx file holds 7 values, its header says 6");
}
END_TEST

START_TEST(sizes_whose_product_overflows_are_refused)
{
    uint8_t file[20] = {0, 0, 8, 4};
    memset(file + 4, 0xff, 16);
    ck_assert(!idx_parse(file, sizeof file, &idx, &e));
    ck_assert_str_eq(e.detail, "idx header announces more than 2^64 values");
    memset(file + 4, 0, 16); /* 2^31 * 2^31 * 4 * 1 = 2^64 would wrap to 0 */
    file[4] = file[8] = 0x80;
    file[15] = 4;
    file[19] = 1;
    ck_assert(!idx_parse(file, sizeof file, &idx, &e));
}
END_TEST

TEST_PROGRAM("proto_idx", dimensions_and_values_are_read, labels_are_rank_one,
             truncated_at_every_byte_is_refused, a_wrong_header_is_refused_by_what_it_says,
             sizes_whose_product_overflows_are_refused)
