/* safetensors and dataset files: what is written is read back, and nothing else is accepted. */
#include "harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset_file.h"
#include "memory.h"
#include "safetensors.h"

static struct err e;

/* A copy at the alignment a mapping has, of exactly its size. */
static void *aligned_copy(const void *bytes, size_t size)
{
    void *copy = memory_new(size, 1, &e);
    memcpy(copy, bytes, size);
    return copy;
}

static bool parse(const struct buf *file, size_t size)
{
    struct safetensors st;
    char *copy = aligned_copy(file->data, size);
    bool ok = safetensors_parse(copy, size, &st, &e);
    if (ok)
        safetensors_clear(&st);
    else
        ck_assert_ptr_null(st.tensors);
    free(copy);
    return ok;
}

START_TEST(tensors_and_metadata_come_back)
{
    struct safetensors_tensor tensors[] = {
        {.name = "w", .dtype = "F32", .rank = 2, .dims = {2, 3}},
        {.name = "empty", .dtype = "F32", .rank = 1, .dims = {0}},
        {.name = "scalar", .dtype = "U16", .rank = 0},
        {.name = "b\"yte", .dtype = "U8", .rank = 1, .dims = {5}},
    };
    struct buf file = {0};
    ck_assert(safetensors_header(tensors, 4, "note", "a \"b\"", &file, &e));
    ck_assert_uint_eq(file.size % 64, 0);
    ck_assert_uint_eq(tensors[3].begin, 26);
    ck_assert_uint_eq(tensors[3].end, 31);
    for (char i = 0; i < 31; i++)
        buf_add(&file, &i, 1);

    struct safetensors st;
    ck_assert_msg(safetensors_parse(file.data, file.size, &st, &e), "%s", e.detail);
    ck_assert_int_eq(st.count, 4);
    ck_assert_str_eq(st.metadata, "{\"note\":\"a \\\"b\\\"\"}");
    const struct safetensors_tensor *tensor = safetensors_find(&st, "b\"yte");
    ck_assert_ptr_nonnull(tensor);
    ck_assert_uint_eq(tensor->begin, 26);
    ck_assert_uint_eq(st.data[tensor->begin], 26);
    tensor = safetensors_find(&st, "w");
    ck_assert_int_eq(tensor->rank, 2);
    ck_assert_uint_eq(tensor->dims[1], 3);
    ck_assert_str_eq(tensor->dtype, "F32");
    ck_assert_ptr_null(safetensors_find(&st, "x"));
    safetensors_clear(&st);

    for (size_t size = 0; size < file.size; size++) {
        ck_assert(!parse(&file, size));
        ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
    }
    buf_str(&file, "x");
    ck_assert(!parse(&file, file.size));
    ck_assert_str_eq(e.detail, "file holds 32 bytes of data, its header says 31");
    buf_clear(&file);
}
END_TEST

/* A file of this header and `data` bytes. */
static bool parse_header(const char *header, size_t data)
{
    struct buf file = {0};
    uint8_t size[8] = {(uint8_t)strlen(header), (uint8_t)(strlen(header) >> 8)};
    buf_add(&file, size, 8);
    buf_str(&file, header);
    for (size_t i = 0; i < data; i++)
        buf_add(&file, "", 1);
    bool ok = parse(&file, file.size);
    buf_clear(&file);
    return ok;
}

#define TENSOR(name, dtype, shape, begin, end)                                                   \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end \
    "]}"

START_TEST(hostile_headers_are_refused)
{
    static const struct {
        const char *header;
        const char *text;
    } cases[] = {
        {"{" TENSOR("a", "U8", "[4]", "0", "4") "," TENSOR("b", "U8", "[5]", "3", "8") "}",
         "overlap before tensor 'b' at byte 3"},
        {"{" TENSOR("a", "U8", "[3]", "0", "3") "," TENSOR("b", "U8", "[4]", "4", "8") "}",
         "hole before tensor 'b' at byte 4"},
        {"{" TENSOR("a", "U8", "[7]", "1", "8") "}", "hole before tensor 'a' at byte 1"},
        {"{" TENSOR("a", "U8", "[7]", "0", "7") "}",
         "file holds 8 bytes of data, its header says 7"},
        {"{" TENSOR("a", "U8", "[9]", "0", "9") "}",
         "file holds 8 bytes of data, its header says 9"},
        {"{" TENSOR("a", "F32", "[8]", "0", "8") "}",
         "tensor 'a' has 8 bytes, its shape asks for 32"},
        {"{" TENSOR("a", "X9", "[8]", "0", "8") "}", "unknown dtype 'X9' of tensor 'a'"},
        {"{" TENSOR("a", "U8U8U8U8", "[8]", "0", "8") "}", "unknown dtype of tensor 'a'"},
        {"{" TENSOR("a", "U8", "[8]", "8", "0") "}", "data_offsets of tensor 'a' are not a range"},
        {"{" TENSOR("a", "U8", "[8]", "0", "8.5") "}",
         "data_offsets of tensor 'a' are not a range"},
        {"{" TENSOR("a", "U8", "[8]", "-1", "8") "}", "data_offsets of tensor 'a' are not a range"},
        {"{" TENSOR("a", "U8", "[-8]", "0", "8") "}", "shape of tensor 'a'"},
        {"{" TENSOR("a", "U8", "[1,1,1,1,1,1,8]", "0", "8") "}", "shape of tensor 'a'"},
        {"{" TENSOR("a", "U8", "8", "0", "8") "}", "shape of tensor 'a'"},
        {"{" TENSOR("a", "U64", "[4294967296,4294967296]", "0", "8") "}",
         "shape of tensor 'a' overflows"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[8]}}", "data_offsets of tensor 'a'"},
        {"{\"a\":7}", ""},
        {"[]", ""},
        {"{", ""},
        {"", ""},
        {"{\"__metadata__\":{\"k\":1}," TENSOR("a", "U8", "[8]", "0", "8") "}",
         "a value of '__metadata__' is not text"},
        {"{" TENSOR("a", "U8", "[4]", "0", "4") "," TENSOR("a", "U8", "[4]", "4", "8") "}",
         "'a' is there twice"},
        {"{\"__metadata__\":{\"k\":\"\"},\"__metadata__\":{\"k\":\"\"}}",
         "'__metadata__' is there twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_msg(!parse_header(cases[i].header, 8), "%s", cases[i].header);
        ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
        ck_assert_msg(strstr(e.detail, cases[i].text), "%s: %s", cases[i].header, e.detail);
    }
    ck_assert(parse_header("{" TENSOR("a", "U8", "[8]", "0", "8") "}", 8));
}
END_TEST

START_TEST(a_header_longer_than_the_file_is_refused)
{
    uint8_t file[16] = {9, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    struct safetensors st;
    ck_assert(!safetensors_parse(file, sizeof file, &st, &e));
    ck_assert_str_eq(e.detail, "safetensors header of 9 bytes is truncated");
    memset(file, 0xff, 8);
    ck_assert(!safetensors_parse(file, sizeof file, &st, &e));
    ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
}
END_TEST

/* Datasets */

static const char *const labels[] = {"cat", "dog \"d\""};

static struct dataset_info info_of(enum cnn_dtype dtype)
{
    struct dataset_info info = {
        .shape = {.c = 1, .size = {1, 2, 3}, .rank = 2},
        .dtype = dtype,
        .preprocess = {.normalize = {.scale = dtype == CNN_U8 ? 1.0f / 255 : 1},
                       .background = BACKGROUND_LIGHT},
        .counts = {3, 1},
        .source = "generator shapes, seed 0",
    };
    ck_assert(dataset_info_set_labels(&info, labels, 2, &e));
    return info;
}

static const float floats[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
                               12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23};
static const uint16_t answers[] = {0, 1, 0, 1};

/* Both splits: three and one samples counting up, labels alternating. */
static struct buf dataset_of(enum cnn_dtype dtype)
{
    struct dataset_info info = info_of(dtype);
    struct buf file = {0};
    ck_assert_msg(dataset_file_head(&info, &file, &e), "%s", e.detail);
    dataset_info_clear(&info);
    if (dtype == CNN_F32)
        buf_add(&file, floats, sizeof floats);
    buf_add(&file, answers, sizeof answers);
    for (uint8_t i = 0; dtype == CNN_U8 && i < 24; i++)
        buf_add(&file, &i, 1);
    ck_assert(buf_ok(&file));
    return file;
}

static bool parse_dataset(const struct buf *file, size_t size)
{
    struct dataset_info info;
    struct cnn_samples samples[SPLIT_COUNT];
    char *copy = aligned_copy(file->data, size);
    bool ok = dataset_file_parse(copy, size, &info, samples, &e);
    dataset_info_clear(&info);
    free(copy);
    return ok;
}

START_TEST(a_dataset_comes_back)
{
    for (int dtype = CNN_U8; dtype <= CNN_F32; dtype++) {
        struct buf file = dataset_of((enum cnn_dtype)dtype);
        struct dataset_info info;
        struct cnn_samples samples[SPLIT_COUNT];
        char *copy = aligned_copy(file.data, file.size);
        ck_assert_msg(dataset_file_parse(copy, file.size, &info, samples, &e), "%s", e.detail);
        ck_assert_int_eq(info.dtype, dtype);
        ck_assert_int_eq(info.shape.rank, 2);
        ck_assert_int_eq(info.shape.size[2], 3);
        ck_assert_uint_eq(info.counts[SPLIT_TRAIN], 3);
        ck_assert_uint_eq(info.counts[SPLIT_TEST], 1);
        ck_assert_int_eq(info.label_count, 2);
        ck_assert_str_eq(info.labels[1], "dog \"d\"");
        ck_assert_str_eq(info.source, "generator shapes, seed 0");
        ck_assert_int_eq(info.preprocess.background, BACKGROUND_LIGHT);
        const struct cnn_samples *test = &samples[SPLIT_TEST];
        ck_assert_uint_eq(samples[SPLIT_TRAIN].count, 3);
        ck_assert_uint_eq(test->count, 1);
        ck_assert_int_eq(test->classes, 2);
        ck_assert_uint_eq(test->labels[0], 1);
        ck_assert_uint_eq(samples[SPLIT_TRAIN].labels[1], 1);
        float x[6], expected[6];
        cnn_samples_gather(test, NULL, 0, 1, x);
        for (int i = 0; i < 6; i++)
            expected[i] = dtype == CNN_U8 ? (float)(18 + i) * (1.0f / 255) : (float)(18 + i);
        harness_close(x, expected, 6, 0, "x");
        dataset_info_clear(&info);
        free(copy);
        buf_clear(&file);
    }
}
END_TEST

START_TEST(a_dataset_truncated_at_every_byte_is_refused)
{
    for (int dtype = CNN_U8; dtype <= CNN_F32; dtype++) {
        struct buf file = dataset_of((enum cnn_dtype)dtype);
        ck_assert(parse_dataset(&file, file.size));
        for (size_t size = 0; size < file.size; size++) {
            ck_assert(!parse_dataset(&file, size));
            ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
        }
        buf_clear(&file);
    }
}
END_TEST

START_TEST(a_dataset_with_flipped_header_bytes_never_crashes)
{
    struct buf file = dataset_of(CNN_F32);
    for (size_t at = 0; at < file.size - sizeof floats - sizeof answers; at++) {
        for (int bit = 0; bit < 8; bit++) {
            file.data[at] = (char)(file.data[at] ^ 1 << bit);
            if (!parse_dataset(&file, file.size))
                ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
            file.data[at] = (char)(file.data[at] ^ 1 << bit);
        }
    }
    buf_clear(&file);
}
END_TEST

START_TEST(labels_and_floats_out_of_range_are_refused)
{
    struct buf file = dataset_of(CNN_F32);
    char *label = file.data + file.size - 2, *x = file.data + file.size - 8 - 4;
    *label = 2;
    ck_assert(!parse_dataset(&file, file.size));
    ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
    *label = 1;
    ck_assert(parse_dataset(&file, file.size));
    const float bad = NAN;
    memcpy(x, &bad, sizeof bad);
    ck_assert(!parse_dataset(&file, file.size));
    ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
    buf_clear(&file);
}
END_TEST

#define META                                                               \
    "\"__metadata__\":{\"strided.dataset\":\"{\\\"labels\\\":[\\\"a\\\"]," \
    "\\\"preprocess\\\":{\\\"scale\\\":1}}\"},"

START_TEST(tensors_that_do_not_make_a_dataset_are_refused)
{
    static const struct {
        const char *header;
        size_t data;
        const char *text; /* NULL: accepted */
    } cases[] = {
        {"{" META TENSOR("train_y", "U16", "[1]", "0", "2") "," TENSOR(
             "test_y", "U16", "[1]", "2", "4") "," TENSOR("train_x", "U8", "[1,2]", "4", "6") "," //
         TENSOR("test_x", "U8", "[1,2]", "6", "8") "}",
         8, NULL},
        {"{" META TENSOR("train_y", "U16", "[2]", "0", "4") "," TENSOR(
             "test_y", "U16", "[1]", "4", "6") "," TENSOR("train_x", "U8", "[1,2]", "6", "8") "," //
         TENSOR("test_x", "U8", "[1,2]", "8", "10") "}",
         10, "2 labels in 'train_y' for 1 samples"},
        {"{" META TENSOR("train_y", "U8", "[1]", "0", "1") "," TENSOR(
             "test_y", "U8", "[1]", "1", "2") "," TENSOR("train_x", "U8", "[1,2]", "2", "4") "," //
         TENSOR("test_x", "U8", "[1,2]", "4", "6") "}",
         6, "tensor 'train_y' is not [n] of U16"},
        {"{" META TENSOR("train_y", "U16", "[1]", "0", "2") "," TENSOR(
             "test_y", "U16", "[1]", "2", "4") "," TENSOR("train_x", "I8", "[1,2]", "4", "6") "," //
         TENSOR("test_x", "I8", "[1,2]", "6", "8") "}",
         8, "dtype 'I8' of tensor 'train_x', expected U8 or F32"},
        {"{" META TENSOR("train_y", "U16", "[1]", "0", "2") "," TENSOR(
             "test_y", "U16", "[1]", "2", "4") "," TENSOR("train_x", "U8", "[1,2]", "4", "6") "," //
         TENSOR("test_x", "U8", "[1,3]", "6", "9") "}",
         9, "train_x and test_x differ"},
        {"{" META TENSOR("train_y", "U16", "[2]", "0", "4") "," TENSOR(
             "test_y", "U16", "[0]", "4", "4") "," TENSOR("train_x", "U8", "[2]", "4", "6") "," //
         TENSOR("test_x", "U8", "[0,1]", "6", "6") "}",
         6, "tensor 'train_x' is not [n, C, ...]"},
        {"{" META TENSOR("train_x", "U8", "[1,1]", "0", "1") "," TENSOR(
             "train_y", "U16", "[1]", "1", "3") "," TENSOR("test_x", "U8", "[0,1]", "3", "3") "," //
         TENSOR("test_y", "U16", "[0]", "3", "3") "}",
         3, "tensor 'train_y' is misaligned"},
        {"{" META TENSOR("train_x", "U8", "[1,1]", "0", "1") "}", 1, "no tensor 'train_y'"},
        {"{" TENSOR("train_x", "U8", "[1,1]", "0", "1") "}", 1, "no 'strided.dataset'"},
        {"{\"__metadata__\":{\"a\":\"b\"}," TENSOR("train_x", "U8", "[1,1]", "0", "1") "}", 1,
         "no 'strided.dataset'"},
        {"{\"__metadata__\":{\"strided.dataset\":\"{\"}," //
         TENSOR("train_x", "U8", "[1,1]", "0", "1") "}",
         1, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf file = {0};
        size_t size = strlen(cases[i].header), padded = (size + 8 + 7) / 8 * 8 - 8;
        uint8_t prefix[8] = {(uint8_t)padded, (uint8_t)(padded >> 8)};
        buf_add(&file, prefix, 8);
        buf_str(&file, cases[i].header);
        for (; size < padded; size++)
            buf_str(&file, " ");
        for (size_t k = 0; k < cases[i].data; k++)
            buf_add(&file, "", 1);
        bool ok = parse_dataset(&file, file.size);
        ck_assert_msg(ok == !cases[i].text, "case %zu: %s", i, e.detail);
        if (!ok) {
            ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
            ck_assert_msg(strstr(e.detail, cases[i].text), "case %zu: %s", i, e.detail);
        }
        buf_clear(&file);
    }
}
END_TEST

START_TEST(labels_that_are_no_labels_are_refused)
{
    struct dataset_info info = {0};
    static const char *const bad[] = {"ok", "line\nbreak"}, *const empty[] = {""};
    ck_assert(!dataset_info_set_labels(&info, bad, 2, &e));
    ck_assert_int_eq(e.code, ERR_INVALID);
    ck_assert(!dataset_info_set_labels(&info, empty, 1, &e));
    ck_assert(!dataset_info_set_labels(&info, bad, 0, &e));
    ck_assert_ptr_null(info.labels);
}
END_TEST

TEST_PROGRAM("proto_files", tensors_and_metadata_come_back, hostile_headers_are_refused,
             a_header_longer_than_the_file_is_refused, a_dataset_comes_back,
             a_dataset_truncated_at_every_byte_is_refused,
             a_dataset_with_flipped_header_bytes_never_crashes,
             labels_and_floats_out_of_range_are_refused,
             tensors_that_do_not_make_a_dataset_are_refused, labels_that_are_no_labels_are_refused)
