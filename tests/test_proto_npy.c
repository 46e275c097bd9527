/* NPY: headers as numpy writes them and near misses, values of every type. */
#include "harness.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "exact.h"
#include "npy.h"

static struct err e;
static struct npy npy;

/* A file of the given version, dict and values. */
struct file {
    char bytes[512];
    size_t size;
};

static struct file make(int version, const char *dict, const void *values, size_t size)
{
    struct file file;
    size_t length = strlen(dict), head = version == 1 ? 10 : 12;
    ck_assert_uint_le(head + length + size, sizeof file.bytes);
    memcpy(file.bytes, "\x93NUMPY", 6);
    file.bytes[6] = (char)version;
    memset(file.bytes + 7, 0, 5);
    file.bytes[8] = (char)length;
    file.bytes[9] = (char)(length >> 8);
    memcpy(file.bytes + head, dict, length);
    memcpy(file.bytes + head + length, values, size);
    file.size = head + length + size;
    return file;
}

static bool parses(const struct file *file)
{
    e = (struct err){0};
    char *exact = exact_copy(file->bytes, file->size);
    bool ok = npy_parse(exact, file->size, &npy, &e);
    free(exact);
    return ok;
}

#define NUMPY_DICT "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }  \n"
static const float six[] = {0, 1.5f, -2, 3, 4, 5};

START_TEST(what_numpy_writes_is_read_in_place)
{
    for (int version = 1; version <= 3; version++) {
        struct file file = make(version, NUMPY_DICT, six, sizeof six);
        ck_assert_msg(npy_parse(file.bytes, file.size, &npy, &e), "%s", e.detail);
        ck_assert_int_eq(npy.dtype, NPY_F32);
        ck_assert_int_eq(npy.rank, 2);
        ck_assert_uint_eq(npy.dims[0], 2);
        ck_assert_uint_eq(npy.dims[1], 3);
        ck_assert_uint_eq(npy.count, 6);
        ck_assert_ptr_eq(npy.data, file.bytes + file.size - sizeof six);
    }
}
END_TEST

START_TEST(every_shape_up_to_five_axes_is_read)
{
    static const struct {
        const char *shape;
        int rank;
        size_t count;
    } cases[] = {{"()", 0, 1},           {"(3,)", 1, 3},           {"( 3 , )", 1, 3},
                 {"(3, 4)", 2, 12},      {"(3, 4,)", 2, 12},       {"(2,1,3)", 3, 6},
                 {"(0,)", 1, 0},         {"(7, 0)", 2, 0},         {"(3L, 4L)", 2, 12},
                 {"(1, 2, 1, 3)", 4, 6}, {"(2, 1, 1, 1, 3)", 5, 6}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char dict[128];
        snprintf(dict, sizeof dict, "{'descr': '|u1', 'fortran_order': False, 'shape': %s}\n",
                 cases[i].shape);
        struct file file = make(1, dict, "abcdefghijklmnopqrst", cases[i].count);
        ck_assert_msg(parses(&file), "%s: %s", cases[i].shape, e.detail);
        ck_assert_int_eq(npy.rank, cases[i].rank);
        ck_assert_uint_eq(npy.count, cases[i].count);
    }
}
END_TEST

START_TEST(keys_come_in_any_order_quotes_and_spacing)
{
    static const char *const dicts[] = {
        "{'shape':(2,3),'fortran_order':False,'descr':'<f4'}",
        "{\"fortran_order\": False, \"descr\": \"<f4\", \"shape\": (2, 3)}\n",
        " \n{ 'descr'\t: '<f4' , 'shape' : ( 2 ,\n3 ) , 'fortran_order' : False , } \n",
    };
    for (size_t i = 0; i < sizeof dicts / sizeof dicts[0]; i++) {
        struct file file = make(1, dicts[i], six, sizeof six);
        ck_assert_msg(parses(&file), "%s: %s", dicts[i], e.detail);
        ck_assert_uint_eq(npy.dims[1], 3);
    }
}
END_TEST

START_TEST(truncated_at_every_byte_or_too_long_is_refused)
{
    for (int version = 1; version <= 2; version++) {
        struct file file = make(version, NUMPY_DICT, six, sizeof six), cut = file;
        for (cut.size = 0; cut.size < file.size; cut.size++) {
            ck_assert_msg(!parses(&cut), "%zu bytes", cut.size);
            ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
        }
        ck_assert_str_eq(e.detail, "npy file holds 23 bytes of values, its header says 24");
        cut.size = file.size + 1;
        cut.bytes[file.size] = 0;
        ck_assert(!parses(&cut));
        ck_assert_str_eq(e.detail, "npy file holds 25 bytes of values, its header says 24");
    }
}
END_TEST

static void refuses(const char *dict, const char *why)
{
    struct file file = make(1, dict, six, sizeof six);
    ck_assert_msg(!parses(&file), "%s was accepted", dict);
    ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
    ck_assert_msg(strstr(e.detail, why) != NULL, "%s: %s", dict, e.detail);
}

#define WITH_SHAPE(shape) "{'descr': '<f4', 'fortran_order': False, 'shape': " shape "}"
#define WITH_TYPE(type) "{'descr': " type ", 'fortran_order': False, 'shape': (6,)}"

START_TEST(anything_else_in_the_dict_is_refused)
{
    refuses("", "npy header ends, expected '{'");
    refuses("()", "expected '{' in the npy header before '()'");
    refuses("{}", "no key 'descr' in the npy header");
    refuses("{'descr': '<f4', 'shape': (6,)}", "no key 'fortran_order'");
    refuses("{'descr': '<f4', 'fortran_order': False}", "no key 'shape'");
    refuses("{'descr': '<f4', 'fortran_order': False, 'shape': (6,), 'x': 1}", "unknown key 'x'");
    refuses("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (6,)}",
            "key 'descr' twice");
    refuses("{'descr' '<f4', 'fortran_order': False, 'shape': (6,)}", "expected ':'");
    refuses("{'descr': '<f4' 'fortran_order': False, 'shape': (6,)}", "expected ',' or '}'");
    refuses("{'descr': '<f4', 'fortran_order': False, 'shape': (6,)", "expected ',' or '}'");
    refuses("{,'descr': '<f4', 'fortran_order': False, 'shape': (6,)}", "expected a key");
    refuses("{descr: '<f4', 'fortran_order': False, 'shape': (6,)}", "expected a key");
    refuses("{'descr\": '<f4', 'fortran_order': False, 'shape': (6,)}", "unknown key");
    refuses("{'descr': '<f4', 'fortran_order': False, 'shape': (6,)} x", "expected nothing more");
    refuses("{'descr': '<f4', 'fortran_order': false, 'shape': (6,)}", "expected True or False");
    refuses("{'descr': '<f4', 'fortran_order': Falsex, 'shape': (6,)}", "expected ',' or '}'");
    refuses("{'descr': '<f4", "expected a closing quote");
    refuses("{'desc\\x72': '<f4'}", "expected a closing quote");
    refuses(WITH_SHAPE("6"), "expected a shape in parentheses");
    refuses(WITH_SHAPE("[6]"), "expected a shape in parentheses");
    refuses(WITH_SHAPE("(6)"), "expected ','");
    refuses(WITH_SHAPE("(,)"), "expected a size");
    refuses(WITH_SHAPE("(2 3)"), "expected ','");
    refuses(WITH_SHAPE("(2,,3)"), "expected a size");
    refuses(WITH_SHAPE("(2,3"), "expected ',' or ')'");
    refuses(WITH_SHAPE("(-6,)"), "expected a size");
    refuses(WITH_SHAPE("(06,)"), "expected ','");
    refuses(WITH_SHAPE("(6.0,)"), "expected ','");
    refuses(WITH_SHAPE("(6e0,)"), "expected ','");
    refuses(WITH_SHAPE("(1,1,1,1,1,6)"), "npy array of more than 5 axes");
}
END_TEST

START_TEST(sizes_that_overflow_are_refused)
{
    refuses(WITH_SHAPE("(18446744073709551616,)"), "size in the npy header exceeds 2^64");
    refuses(WITH_SHAPE("(18446744073709551615,)"), "npy header announces more than 2^64 bytes");
    refuses(WITH_SHAPE("(4294967296, 4294967296)"), "npy header announces more than 2^64 bytes");
    /* 2^62 floats are 2^64 bytes, which would wrap to 0. */
    refuses(WITH_SHAPE("(4611686018427387904,)"), "npy header announces more than 2^64 bytes");
    refuses(WITH_SHAPE("(4611686018427387903,)"), "its header says 18446744073709551612");
}
END_TEST

START_TEST(types_that_are_not_read_are_named)
{
    refuses(WITH_TYPE("'>f4'"), "big-endian npy type '>f4', save it as '<f4'");
    refuses(WITH_TYPE("'<f2'"), "npy type '<f2' is not read, only b1, i1 to i8");
    refuses(WITH_TYPE("'<c8'"), "npy type '<c8'");
    refuses(WITH_TYPE("'|O'"), "npy type '|O'");
    refuses(WITH_TYPE("'<U4'"), "npy type '<U4'");
    refuses(WITH_TYPE("'=f4'"), "npy type '=f4'");
    refuses(WITH_TYPE("'|f4'"), "npy type '|f4'");
    refuses(WITH_TYPE("[('x', '<f4')]"), "npy arrays of structures are not read");
    refuses(WITH_TYPE("4"), "expected a type in quotes");
}
END_TEST

START_TEST(fortran_order_is_read_only_where_it_is_the_same)
{
    refuses("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}",
            "npy array in Fortran order, save it with numpy.ascontiguousarray");
    struct file file =
        make(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (6,)}", six, sizeof six);
    ck_assert_msg(parses(&file), "%s", e.detail);
}
END_TEST

START_TEST(other_files_and_versions_are_refused)
{
    struct file file = make(1, NUMPY_DICT, six, sizeof six);
    file.bytes[1] = 'n';
    ck_assert(!npy_sniff(file.bytes, file.size));
    ck_assert(!parses(&file));
    ck_assert_str_eq(e.detail, "not an npy file: it does not begin with \\x93NUMPY");
    file.bytes[1] = 'N';
    ck_assert(npy_sniff(file.bytes, file.size));
    file.bytes[6] = 4;
    ck_assert(!parses(&file));
    ck_assert_str_eq(e.detail, "npy version 4.0, versions 1.0 to 3.0 are read");
    file.bytes[6] = 2; /* the length's upper half is now the dict's first bytes */
    ck_assert(!parses(&file));
    ck_assert_msg(strstr(e.detail, "exceeds 65536"), "%s", e.detail);
}
END_TEST

/* Values */

static void check_values(const char *type, const void *values, size_t size, const float *expected,
                         size_t n)
{
    char dict[128];
    snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': False, 'shape': (%zu,)}", type,
             n);
    struct file file = make(1, dict, values, size);
    float out[8];
    ck_assert_msg(npy_parse(file.bytes, file.size, &npy, &e), "%s", e.detail);
    ck_assert_uint_eq(npy_dtype_bytes(npy.dtype) * n, size);
    ck_assert_msg(npy_read_f32(&npy, 0, n, out, &e), "%s", e.detail);
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(out[i] == expected[i], "%s[%zu] is %g", type, i, (double)out[i]);
    ck_assert(npy_read_f32(&npy, 1, n - 1, out, &e));
    ck_assert(out[0] == expected[1]);
}

START_TEST(values_of_every_type_become_floats)
{
    check_values("|b1", (uint8_t[]){0, 1, 2}, 3, (float[]){0, 1, 1}, 3);
    check_values("|u1", (uint8_t[]){0, 200}, 2, (float[]){0, 200}, 2);
    check_values("|i1", (int8_t[]){-128, 127}, 2, (float[]){-128, 127}, 2);
    check_values("<u2", (uint16_t[]){1, 65535}, 4, (float[]){1, 65535}, 2);
    check_values("<i2", (int16_t[]){-32768, 32767}, 4, (float[]){-32768, 32767}, 2);
    check_values("<u4", (uint32_t[]){1, UINT32_MAX}, 8, (float[]){1, 0x1p32f}, 2);
    check_values("<i4", (int32_t[]){INT32_MIN, 7}, 8, (float[]){-0x1p31f, 7}, 2);
    check_values("<u8", (uint64_t[]){3, UINT64_MAX}, 16, (float[]){3, 0x1p64f}, 2);
    check_values("<i8", (int64_t[]){INT64_MIN, -9}, 16, (float[]){-0x1p63f, -9}, 2);
    check_values("<f4", (float[]){-0.5f, FLT_MAX}, 8, (float[]){-0.5f, FLT_MAX}, 2);
    check_values("<f8", (double[]){0.1, 1e-300}, 16, (float[]){0.1f, 0}, 2);
}
END_TEST

static void check_f64(double value, const char *f32, const char *u8)
{
    double values[] = {1, 255, value};
    struct npy array = {NPY_F64, 1, {3}, 3, (const uint8_t *)values};
    float floats[3];
    uint8_t bytes[3];
    ck_assert_int_eq(npy_read_f32(&array, 0, 3, floats, &e), !f32);
    if (f32)
        ck_assert_str_eq(e.detail, f32);
    ck_assert_int_eq(npy_read_u8(&array, 0, 3, bytes, &e), !u8);
    if (u8)
        ck_assert_str_eq(e.detail, u8);
    else
        ck_assert_uint_eq(bytes[2], (uint8_t)value);
}

START_TEST(values_that_do_not_fit_are_refused_with_their_index)
{
#define NOT_U8 ", not a whole number from 0 to 255"
    check_f64(7, NULL, NULL);
    check_f64(-0.0, NULL, NULL);
    check_f64(256, NULL, "value 2 of the npy array is 256" NOT_U8);
    check_f64(-1, NULL, "value 2 of the npy array is -1" NOT_U8);
    check_f64(0.5, NULL, "value 2 of the npy array is 0.5" NOT_U8);
    check_f64(1e39, "value 2 of the npy array is 1e+39, too large for float32",
              "value 2 of the npy array is 1e+39" NOT_U8);
    check_f64(-INFINITY, "value 2 of the npy array is -inf, not finite",
              "value 2 of the npy array is -inf" NOT_U8);
    double nan = copysign((double)NAN, 1);
    check_f64(nan, "value 2 of the npy array is nan, not finite",
              "value 2 of the npy array is nan" NOT_U8);
}
END_TEST

START_TEST(whole_numbers_of_every_type_become_bytes)
{
    int64_t wide[] = {0, 255, 17};
    uint8_t out[2];
    struct npy array = {NPY_I64, 1, {3}, 3, (const uint8_t *)wide};
    ck_assert(npy_read_u8(&array, 1, 2, out, &e));
    ck_assert_uint_eq(out[0], 255);
    ck_assert_uint_eq(out[1], 17);
    wide[0] = INT64_MAX;
    ck_assert(!npy_read_u8(&array, 0, 2, out, &e));
    uint8_t truth[] = {0, 5};
    struct npy flags = {NPY_BOOL, 1, {2}, 2, truth};
    ck_assert(npy_read_u8(&flags, 0, 2, out, &e));
    ck_assert_uint_eq(out[1], 1);
}
END_TEST

START_TEST(a_written_head_is_numpys_and_reads_back)
{
    static const char one[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }";
    struct buf out = {0};
    npy_write_head(&out, NPY_F32, 1, (size_t[]){6});
    ck_assert_uint_eq(out.size, 128);
    ck_assert_mem_eq(out.data, "\x93NUMPY\1\0\x76\0", 10);
    ck_assert_mem_eq(out.data + 10, one, sizeof one - 1);
    ck_assert_mem_eq(out.data + 125, "  \n", 3);
    buf_clear(&out);

    size_t dims[NPY_RANK_MAX] = {2, 3, 1, 2, 1};
    for (int type = 0; type < NPY_DTYPE_COUNT; type++)
        for (int rank = 0; rank <= NPY_RANK_MAX; rank++) {
            npy_write_head(&out, (enum npy_dtype)type, rank, dims);
            ck_assert_uint_eq(out.size % 64, 0);
            size_t count = 1;
            for (int i = 0; i < rank; i++)
                count *= dims[i];
            static const uint8_t zeros[96];
            buf_add(&out, zeros, count * npy_dtype_bytes((enum npy_dtype)type));
            ck_assert_msg(npy_parse(out.data, out.size, &npy, &e), "%s", e.detail);
            ck_assert_int_eq(npy.dtype, type);
            ck_assert_int_eq(npy.rank, rank);
            ck_assert_mem_eq(npy.dims, dims, (size_t)rank * sizeof *dims);
            buf_clear(&out);
        }
}
END_TEST

TEST_PROGRAM("proto_npy", what_numpy_writes_is_read_in_place, every_shape_up_to_five_axes_is_read,
             keys_come_in_any_order_quotes_and_spacing,
             truncated_at_every_byte_or_too_long_is_refused, anything_else_in_the_dict_is_refused,
             sizes_that_overflow_are_refused, types_that_are_not_read_are_named,
             fortran_order_is_read_only_where_it_is_the_same, other_files_and_versions_are_refused,
             values_of_every_type_become_floats,
             values_that_do_not_fit_are_refused_with_their_index,
             whole_numbers_of_every_type_become_bytes, a_written_head_is_numpys_and_reads_back)
