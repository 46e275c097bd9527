/* base64, multipart and compressed bodies. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base64.h"
#include "exact.h"
#include "harness.h"
#include "inflate.h"
#include "limits.h"
#include "multipart.h"
#include "rng.h"

static bool decode64(const char *text, size_t size, size_t max, struct buf *out, struct err *e)
{
    char *copy = exact_copy(text, size);
    *out = (struct buf){0};
    *e = (struct err){0};
    bool ok = base64_decode(copy, size, max, out, e);
    free(copy);
    return ok;
}

static void decodes64(const char *text, const char *expected)
{
    struct buf out;
    struct err e;
    ck_assert_msg(decode64(text, strlen(text), 100, &out, &e), "%s: %s", text, e.detail);
    ck_assert_str_eq(buf_text(&out), expected);
    buf_clear(&out);
}

static void refuses64(const char *text, const char *why)
{
    struct buf out;
    struct err e;
    ck_assert_msg(!decode64(text, strlen(text), 100, &out, &e), "%s was accepted", text);
    ck_assert_int_eq(e.code, ERR_INVALID);
    ck_assert_msg(strstr(e.detail, why) != NULL, "%s: %s", text, e.detail);
    buf_clear(&out);
}

/* The vectors of RFC 4648, section 10. */
START_TEST(test_base64_vectors_of_the_rfc)
{
    decodes64("", "");
    decodes64("Zg==", "f");
    decodes64("Zm8=", "fo");
    decodes64("Zm9v", "foo");
    decodes64("Zm9vYg==", "foob");
    decodes64("Zm9vYmE=", "fooba");
    decodes64("Zm9vYmFy", "foobar");
}
END_TEST

START_TEST(test_base64_of_bytes_decodes_to_them)
{
    uint8_t bytes[256];
    struct buf text = {0}, out = {0};
    struct err e;
    for (int i = 0; i < 256; i++)
        bytes[i] = (uint8_t)(i * 7);
    for (size_t size = 0; size <= sizeof bytes; size++) {
        base64_encode(bytes, size, &text);
        ck_assert_uint_eq(text.size, (size + 2) / 3 * 4);
        ck_assert_msg(base64_decode(text.data, text.size, size, &out, &e), "%s", e.detail);
        ck_assert_uint_eq(out.size, size);
        ck_assert(size == 0 || memcmp(out.data, bytes, size) == 0);
        buf_clear(&text);
        buf_clear(&out);
    }
    base64_encode("fooba", 5, &text);
    ck_assert_str_eq(buf_text(&text), "Zm9vYmE=");
    buf_clear(&text);
}
END_TEST

START_TEST(test_base64_takes_line_breaks_and_data_prefixes)
{
    decodes64("Zm9v\r\nYmFy\n", "foobar");
    decodes64("data:image/png;base64,Zm9v", "foo");
    decodes64("data:;base64,Zm9v", "foo");
    refuses64("data:image/png,Zm9v", "without ';base64,'");
    refuses64("data:;base64", "without ';base64,'");
    refuses64("data:", "without ';base64,'");
}
END_TEST

START_TEST(test_base64_is_strict)
{
    refuses64("Zg=", "cut short");
    refuses64("Zg", "cut short");
    refuses64("Z", "cut short");
    refuses64("Zm9vY===", "unexpected byte 0x3d at 5");
    refuses64("====", "unexpected byte 0x3d at 0");
    refuses64("Zg==Zg==", "unexpected byte 0x5a at 4");
    refuses64("Zg=g", "unexpected byte 0x67 at 3");
    refuses64("Zh==", "bits that belong to no byte");
    refuses64("Zm9=", "bits that belong to no byte");
    refuses64("Zm 9v", "unexpected byte 0x20 at 2");
    refuses64("Zm9-", "unexpected byte 0x2d at 3");
    refuses64("Zm9v=", "unexpected byte 0x3d at 4");
}
END_TEST

START_TEST(test_base64_is_bounded_by_its_decoded_size)
{
    struct buf out;
    struct err e;
    ck_assert(decode64("Zm9vYg==", 8, 4, &out, &e));
    buf_clear(&out);
    ck_assert(!decode64("Zm9vYg==", 8, 3, &out, &e));
    ck_assert_int_eq(e.code, ERR_TOO_LARGE);
    buf_clear(&out);
}
END_TEST

START_TEST(test_base64_cut_anywhere_but_at_a_group_is_refused)
{
    static const char text[] = "AAECAwQFBgcICQoLDA0ODw==";
    for (size_t size = 0; size <= strlen(text); size++) {
        struct buf out;
        struct err e;
        ck_assert_int_eq(decode64(text, size, 100, &out, &e), size % 4 == 0);
        if (size % 4 == 0)
            for (size_t i = 0; i < out.size; i++)
                ck_assert_int_eq(out.data[i], (char)i);
        buf_clear(&out);
    }
}
END_TEST

enum { WINDOW_GZIP = 31, WINDOW_ZLIB = 15, WINDOW_RAW = -15 };
static const int windows[] = {WINDOW_GZIP, WINDOW_ZLIB, WINDOW_RAW};

static void compress_as(int window, const void *bytes, size_t size, struct buf *out)
{
    z_stream z = {0};
    ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
    ck_assert(buf_reserve(out, deflateBound(&z, size)));
    z.next_in = (unsigned char *)bytes;
    z.avail_in = (uInt)size;
    z.next_out = (unsigned char *)out->data + out->size;
    z.avail_out = (uInt)(out->capacity - out->size);
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->size += z.total_out;
    deflateEnd(&z);
}

static bool inflates(const struct buf *packed, size_t size, size_t max, struct buf *out,
                     struct err *e)
{
    char *copy = exact_copy(packed->data, size);
    *out = (struct buf){0};
    *e = (struct err){0};
    bool ok = inflate_bytes(copy, size, max, out, e);
    free(copy);
    return ok;
}

START_TEST(test_compressed_bodies_come_back_the_same)
{
    enum { SIZE = 300000 };
    unsigned char *bytes = malloc(SIZE);
    struct cnn_rng rng;
    cnn_rng_init(&rng, 6, 0);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (unsigned char)cnn_rng_below(&rng, 16);
    static const size_t sizes[] = {0, 1, 1000, 65536, SIZE};
    for (size_t w = 0; w < 3; w++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            struct buf packed = {0}, out;
            struct err e;
            compress_as(windows[w], bytes, sizes[s], &packed);
            ck_assert_int_eq(inflate_is_gzip(packed.data, packed.size), windows[w] == WINDOW_GZIP);
            ck_assert_msg(inflates(&packed, packed.size, SIZE, &out, &e), "%s", e.detail);
            ck_assert_uint_eq(out.size, sizes[s]);
            if (sizes[s])
                ck_assert_mem_eq(out.data, bytes, sizes[s]);
            buf_clear(&out);
            buf_clear(&packed);
        }
    free(bytes);
}
END_TEST

START_TEST(test_gzip_members_are_joined)
{
    struct buf packed = {0}, out;
    struct err e;
    compress_as(WINDOW_GZIP, "one ", 4, &packed);
    compress_as(WINDOW_GZIP, "", 0, &packed);
    compress_as(WINDOW_GZIP, "two", 3, &packed);
    ck_assert_msg(inflates(&packed, packed.size, 7, &out, &e), "%s", e.detail);
    ck_assert_str_eq(buf_text(&out), "one two");
    buf_clear(&out);
    ck_assert(!inflates(&packed, packed.size, 6, &out, &e)); /* the bound is on their sum */
    ck_assert_int_eq(e.code, ERR_TOO_LARGE);
    buf_clear(&out);
    buf_clear(&packed);
}
END_TEST

START_TEST(test_compressed_bodies_cut_anywhere_are_refused)
{
    static const char text[] = "hello hello hello, 0123456789 abcdefghijklmnopqrstuvwxyz";
    for (size_t w = 0; w < 3; w++) {
        struct buf packed = {0}, out;
        struct err e;
        compress_as(windows[w], text, sizeof text, &packed);
        for (size_t size = 0; size < packed.size; size++) {
            ck_assert_msg(!inflates(&packed, size, 1000, &out, &e), "%zu of %zu bytes", size,
                          packed.size);
            ck_assert_int_eq(e.code, ERR_INVALID);
            buf_clear(&out);
        }
        buf_clear(&packed);
    }
}
END_TEST

START_TEST(test_broken_or_trailing_compressed_bytes_are_refused)
{
    for (size_t w = 0; w < 3; w++) {
        struct buf packed = {0}, out;
        struct err e;
        compress_as(windows[w], "abcdefgh", 8, &packed);
        buf_add(&packed, "x", 1);
        ck_assert(!inflates(&packed, packed.size, 1000, &out, &e));
        ck_assert_str_eq(e.detail, "1 bytes follow the end of the compressed body");
        buf_clear(&out);
        buf_clear(&packed);
    }
    struct buf packed = {0}, out;
    struct err e;
    compress_as(WINDOW_GZIP, "abcdefgh", 8, &packed);
    packed.data[packed.size - 6] ^= 1; /* of the CRC */
    ck_assert(!inflates(&packed, packed.size, 1000, &out, &e));
    ck_assert_str_eq(e.detail, "compressed body is broken: incorrect data check");
    buf_clear(&out);
    buf_clear(&packed);
}
END_TEST

START_TEST(test_a_compression_bomb_stops_at_its_limit)
{
    enum { BOMB = 64 << 20, LIMIT = 1 << 20 };
    char *zeros = calloc(1, BOMB);
    for (size_t w = 0; w < 3; w++) {
        struct buf packed = {0}, out;
        struct err e;
        compress_as(windows[w], zeros, BOMB, &packed);
        ck_assert_uint_lt(packed.size, BOMB / 900);
        ck_assert(!inflates(&packed, packed.size, LIMIT, &out, &e));
        ck_assert_int_eq(e.code, ERR_TOO_LARGE);
        ck_assert_str_eq(e.detail, "compressed body decodes to more than 1048576 bytes");
        ck_assert_uint_le(out.size, LIMIT);
        buf_clear(&out);
        buf_clear(&packed);
    }
    free(zeros);
}
END_TEST

static const char type[] = "multipart/form-data; boundary=XyZ";
static const char body[] =
    "preamble\r\n--XyZ\r\n"
    "Content-Disposition: form-data; name=\"file\"; filename=\"a\\\"b.png\"\r\n"
    "Content-Type: image/png\r\n\r\n"
    "\x89PNG\r\n--Xy not yet\r\n"
    "\r\n--XyZ \t\r\n"
    "content-disposition:form-data; NAME=note\r\n\r\n"
    "\r\n--XyZ--\r\nepilogue";

/* All parts of `text`: how many, or -1. */
static int parts(const char *content_type, const char *text, size_t size, struct err *e)
{
    char *copy = exact_copy(text, size);
    struct multipart m;
    struct multipart_part part;
    int count = 0, status = -1;
    *e = (struct err){0};
    if (multipart_begin(&m, content_type, copy, size, e)) {
        while ((status = multipart_next(&m, &part, e)) == 1) {
            ck_assert(part.data >= copy && part.data + part.size <= copy + size);
            count++;
        }
        if (status == 0)
            ck_assert_int_eq(multipart_next(&m, &part, e), 0); /* and stays at the end */
    }
    ck_assert_int_eq(status < 0, e->code != ERR_NONE);
    free(copy);
    return status < 0 ? -1 : count;
}

START_TEST(test_multipart_parts_are_found)
{
    struct multipart m;
    struct multipart_part part;
    struct err e;
    ck_assert_msg(multipart_begin(&m, type, body, strlen(body), &e), "%s", e.detail);
    ck_assert_int_eq(multipart_next(&m, &part, &e), 1);
    ck_assert_str_eq(part.name, "file");
    ck_assert_str_eq(part.filename, "a\"b.png");
    ck_assert_str_eq(part.content_type, "image/png");
    ck_assert_uint_eq(part.size, strlen("\x89PNG\r\n--Xy not yet\r\n"));
    ck_assert_mem_eq(part.data, "\x89PNG\r\n--Xy not yet\r\n", part.size);
    ck_assert_int_eq(multipart_next(&m, &part, &e), 1);
    ck_assert_str_eq(part.name, "note");
    ck_assert_str_eq(part.filename, "");
    ck_assert_str_eq(part.content_type, "");
    ck_assert_uint_eq(part.size, 0);
    ck_assert_int_eq(multipart_next(&m, &part, &e), 0);
    ck_assert_int_eq(multipart_next(&m, &part, &e), 0);
}
END_TEST

START_TEST(test_multipart_content_types)
{
    struct err e;
    static const char simple[] =
        "--b:c\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b:c--";
    size_t size = strlen(simple);
    ck_assert_int_eq(
        parts("Multipart/Form-Data; charset=utf-8;  Boundary=\"b:c\"", simple, size, &e), 1);
    ck_assert_int_eq(parts("multipart/form-data;boundary=b:c ; x=y", simple, size, &e), 1);
    static const char *const others[] = {"multipart/mixed; boundary=b:c", "text/plain", "",
                                         "multipart/form-datax; boundary=b:c", NULL};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ck_assert_int_eq(parts(others[i], simple, size, &e), -1);
        ck_assert_int_eq(e.code, ERR_MEDIA_TYPE);
    }
    static const char boundary_of_71[] =
        "multipart/form-data; "
        "boundary=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    static const char *const malformed[] = {"multipart/form-data",
                                            "multipart/form-data; boundary=",
                                            "multipart/form-data; boundary",
                                            "multipart/form-data; boundary=\"b:c",
                                            "multipart/form-data; boundary=\"b:c\"x",
                                            boundary_of_71};
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        ck_assert_msg(parts(malformed[i], simple, size, &e) == -1, "%s", malformed[i]);
        ck_assert_int_eq(e.code, ERR_INVALID);
    }
}
END_TEST

START_TEST(test_multipart_cut_anywhere_is_refused)
{
    struct err e;
    size_t whole = strlen(body) - strlen("\r\nepilogue");
    for (size_t size = 0; size <= strlen(body); size++)
        ck_assert_msg(parts(type, body, size, &e) == (size < whole ? -1 : 2), "%zu bytes: %s", size,
                      e.detail);
}
END_TEST

static void multipart_refused(const char *text, enum err_code code, const char *detail)
{
    struct err e;
    ck_assert_msg(parts(type, text, strlen(text), &e) == -1, "%s", text);
    ck_assert_int_eq(e.code, code);
    ck_assert_str_eq(e.detail, detail);
}

START_TEST(test_malformed_multipart_is_refused)
{
    multipart_refused("", ERR_INVALID, "multipart body does not hold its boundary");
    multipart_refused("--Xy\r\n", ERR_INVALID, "multipart body does not hold its boundary");
    multipart_refused("--XyZq\r\n", ERR_INVALID,
                      "multipart boundary 1 is not followed by a line break or '--'");
    multipart_refused("--XyZ\n", ERR_INVALID,
                      "multipart boundary 1 is not followed by a line break or '--'");
    multipart_refused("--XyZ\r\nno colon\r\n\r\nx\r\n--XyZ--", ERR_INVALID,
                      "header without a colon in multipart part 1");
    multipart_refused("--XyZ\r\n\r\nx\r\n--XyZ--", ERR_INVALID, "multipart part 1 has no name");
    multipart_refused("--XyZ\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\nx\r\n--XyZ--",
                      ERR_INVALID, "malformed Content-Disposition in multipart part 1");
    multipart_refused("--XyZ\r\nContent-Disposition: form-data; name=\"a\r\n\r\nx\r\n--XyZ--",
                      ERR_INVALID, "malformed Content-Disposition in multipart part 1");
    multipart_refused("--XyZ\r\nContent-Disposition: form-data; name=a\r\n"
                      "Content-Transfer-Encoding: base64\r\n\r\nx\r\n--XyZ--",
                      ERR_MEDIA_TYPE, "transfer encoding of multipart part 1 is not binary");
}
END_TEST

START_TEST(test_multipart_is_bounded)
{
    struct buf text = {0};
    struct err e;
    static const char part[] = "--XyZ\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n";
    for (int i = 0; i < LIMIT_MULTIPART_PARTS; i++)
        buf_str(&text, part);
    size_t size = text.size;
    buf_str(&text, "--XyZ--");
    ck_assert_int_eq(parts(type, text.data, text.size, &e), LIMIT_MULTIPART_PARTS);
    text.size = size;
    buf_str(&text, part);
    buf_str(&text, "--XyZ--");
    ck_assert_int_eq(parts(type, text.data, text.size, &e), -1);
    ck_assert_int_eq(e.code, ERR_TOO_LARGE);

    text.size = 0;
    buf_str(&text, "--XyZ\r\nX-Long: ");
    for (int i = 0; i < LIMIT_MULTIPART_HEADER_BYTES; i++)
        buf_str(&text, "a");
    buf_str(&text, "\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--XyZ--");
    ck_assert_int_eq(parts(type, text.data, text.size, &e), -1);
    ck_assert_int_eq(e.code, ERR_TOO_LARGE);

    text.size = 0;
    buf_str(&text, "--XyZ\r\nContent-Disposition: form-data; name=\"");
    for (int i = 0; i < 200; i++)
        buf_str(&text, "n");
    buf_str(&text, "\"\r\n\r\nx\r\n--XyZ--");
    ck_assert_int_eq(parts(type, text.data, text.size, &e), -1);
    ck_assert_int_eq(e.code, ERR_INVALID);
    buf_clear(&text);
}
END_TEST

START_TEST(test_random_multipart_never_reads_outside)
{
    static const char *const pieces[] = {"--XyZ",     "\r\n",    "--", "Content-Disposition:",
                                         "form-data", "; name=", "\"", "a",
                                         "\\",        ":",       ";",  " ",
                                         "\n",        "\t"};
    struct cnn_rng rng;
    struct err e;
    cnn_rng_init(&rng, 7, 0);
    for (int round = 0; round < 5000; round++) {
        struct buf text = {0};
        for (uint32_t n = cnn_rng_below(&rng, 30); n > 0; n--)
            buf_str(&text, pieces[cnn_rng_below(&rng, sizeof pieces / sizeof *pieces)]);
        parts(type, text.size ? text.data : "", text.size, &e);
        buf_clear(&text);
    }
}
END_TEST

TEST_PROGRAM("proto_codecs", test_base64_vectors_of_the_rfc, test_base64_of_bytes_decodes_to_them,
             test_base64_takes_line_breaks_and_data_prefixes, test_base64_is_strict,
             test_base64_is_bounded_by_its_decoded_size,
             test_base64_cut_anywhere_but_at_a_group_is_refused,
             test_compressed_bodies_come_back_the_same, test_gzip_members_are_joined,
             test_compressed_bodies_cut_anywhere_are_refused,
             test_broken_or_trailing_compressed_bytes_are_refused,
             test_a_compression_bomb_stops_at_its_limit, test_multipart_parts_are_found,
             test_multipart_content_types, test_multipart_cut_anywhere_is_refused,
             test_malformed_multipart_is_refused, test_multipart_is_bounded,
             test_random_multipart_never_reads_outside)
