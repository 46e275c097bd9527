/* Shapes, layouts, specs, and the errors and memory beneath them. */
#include <stdint.h>
#include <string.h>

#include "harness.h"
#include "nets.h"

static struct err refused(const long long *dims, int count)
{
    struct err e = {0};
    struct cnn_shape shape;
    ck_assert(!cnn_shape_from_dims(&shape, dims, count, &e));
    ck_assert_int_eq(e.code, ERR_INVALID);
    return e;
}

START_TEST(shape_puts_user_axes_last)
{
    const struct {
        struct cnn_shape shape;
        int size[CNN_AXES], rank;
        const char *text;
    } rows[] = {
        {net_shape(10, 0, 0, 0), {1, 1, 1}, 0, "[10]"},
        {net_shape(2, 9, 0, 0), {1, 1, 9}, 1, "[2,9]"},
        {net_shape(3, 4, 5, 0), {1, 4, 5}, 2, "[3,4,5]"},
        {net_shape(1, 6, 7, 8), {6, 7, 8}, 3, "[1,6,7,8]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[CNN_SHAPE_TEXT];
        ck_assert_mem_eq(rows[i].shape.size, rows[i].size, sizeof rows[i].size);
        ck_assert_int_eq(rows[i].shape.rank, rows[i].rank);
        ck_assert_str_eq(cnn_shape_text(&rows[i].shape, text), rows[i].text);
    }
}
END_TEST

START_TEST(shape_gives_back_the_dims_it_was_made_of)
{
    struct cnn_shape shape = net_shape(3, 4, 5, 0);
    int dims[4];
    ck_assert_int_eq(cnn_shape_dims(&shape, dims), 3);
    ck_assert_int_eq(dims[0], 3);
    ck_assert_int_eq(dims[1], 4);
    ck_assert_int_eq(dims[2], 5);
    ck_assert_uint_eq(cnn_shape_count(&shape), 60);
    ck_assert_uint_eq(cnn_shape_pixels(&shape), 20);
}
END_TEST

START_TEST(shape_equality_ignores_rank)
{
    struct cnn_shape flat = net_shape(8, 0, 0, 0), pixel = net_shape(8, 1, 1, 0);
    struct cnn_shape other = net_shape(8, 1, 2, 0);
    ck_assert(cnn_shape_equal(&flat, &pixel));
    ck_assert(!cnn_shape_equal(&flat, &other));
}
END_TEST

START_TEST(shape_refuses_bad_dims)
{
    struct err e = refused((const long long[]){3, 0, 5}, 3);
    ck_assert_str_eq(e.detail, "dimension 0 is out of range 1 to 1048576");
    ck_assert_str_eq(e.field, "[1]");
    e = refused((const long long[]){-1}, 1);
    ck_assert_str_eq(e.detail, "dimension -1 is out of range 1 to 1048576");
    e = refused((const long long[]){INT64_MAX, 2}, 2);
    ck_assert_str_eq(e.detail, "dimension 9223372036854775807 is out of range 1 to 1048576");
    e = refused((const long long[]){1, 2, 3, 4, 5}, 5);
    ck_assert_str_eq(e.detail, "shape has 5 dimensions, expected 1 to 4");
    e = refused((const long long[]){1}, 0);
    ck_assert_str_eq(e.detail, "shape has 0 dimensions, expected 1 to 4");
}
END_TEST

START_TEST(shape_refuses_products_past_the_limit)
{
    struct err e = refused((const long long[]){1, 65536, 65536, 65536}, 4);
    ck_assert_str_eq(e.detail, "shape [1,65536,65536,65536] has more than 268435456 elements");
    struct cnn_shape largest = net_shape(1, 16384, 16384, 0);
    ck_assert_uint_eq(cnn_shape_count(&largest), CNN_ELEMENTS_MAX);
    refused((const long long[]){2, 16384, 16384}, 3);
}
END_TEST

START_TEST(layout_moves_channels_last_and_back)
{
    struct cnn_shape shape = net_shape(2, 1, 3, 0);
    const float canonical[] = {1, 2, 3, 10, 20, 30}, expected[] = {1, 10, 2, 20, 3, 30};
    float last[6], back[6];
    cnn_layout_to_last(&shape, canonical, last);
    ck_assert_mem_eq(last, expected, sizeof expected);
    cnn_layout_to_canonical(&shape, last, back);
    ck_assert_mem_eq(back, canonical, sizeof canonical);
}
END_TEST

START_TEST(layout_roundtrips_odd_shapes)
{
    const struct cnn_shape shapes[] = {net_shape(7, 0, 0, 0), net_shape(1, 5, 3, 0),
                                       net_shape(5, 3, 2, 7), net_shape(3, 1, 1, 0)};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        size_t count = cnn_shape_count(&shapes[s]);
        float canonical[256], last[256], back[256];
        for (size_t i = 0; i < count; i++)
            canonical[i] = (float)i;
        cnn_layout_to_last(&shapes[s], canonical, last);
        cnn_layout_to_canonical(&shapes[s], last, back);
        ck_assert_mem_eq(back, canonical, count * sizeof *back);
    }
}
END_TEST

START_TEST(error_paths_grow_outwards)
{
    struct err e = {0};
    ck_assert(!err_field(&e, ERR_INVALID, "kernel", "kernel %d is bad", 7));
    err_within(&e, "layers[%d]", 2);
    err_within(&e, "architecture");
    ck_assert_str_eq(e.field, "architecture.layers[2].kernel");
    ck_assert_str_eq(e.detail, "kernel 7 is bad");

    err_field(&e, ERR_INVALID, "[1]", "bad");
    err_within(&e, "inputs");
    ck_assert_str_eq(e.field, "inputs[1]");

    err_set(&e, ERR_INVALID, "bad");
    err_within(&e, "input");
    ck_assert_str_eq(e.field, "input");
}
END_TEST

START_TEST(error_texts_are_cut_not_overrun)
{
    struct err e = {0};
    char subject[1000];
    memset(subject, 'x', sizeof subject);
    subject[sizeof subject - 1] = '\0';
    err_field(&e, ERR_INVALID, subject, "%s", subject);
    ck_assert_uint_eq(strlen(e.detail), sizeof e.detail - 1);
    for (int i = 0; i < 20; i++)
        err_within(&e, "layers[%d]", i);
    ck_assert_uint_lt(strlen(e.field), sizeof e.field);
}
END_TEST

START_TEST(memory_is_aligned_zeroed_and_checked)
{
    struct err e = {0};
    char *block = memory_new(3, 7, &e);
    ck_assert_ptr_nonnull(block);
    ck_assert_uint_eq((uintptr_t)block % MEMORY_ALIGN_BYTES, 0);
    for (int i = 0; i < 21; i++)
        ck_assert_int_eq(block[i], 0);
    free(block);
    block = memory_new(0, 4, &e);
    ck_assert_ptr_nonnull(block);
    free(block);

    ck_assert_ptr_null(memory_new(SIZE_MAX / 2, 3, &e));
    ck_assert_int_eq(e.code, ERR_NO_MEMORY);
    e.code = ERR_NONE;
    ck_assert_ptr_null(memory_new(SIZE_MAX, 1, &e));
    ck_assert_int_eq(e.code, ERR_NO_MEMORY);
}
END_TEST

START_TEST(layer_types_have_names_both_ways)
{
    for (int type = 0; type < CNN_LAYER_TYPE_COUNT; type++)
        ck_assert_int_eq(cnn_layer_type_find(cnn_layer_type_name(type)), type);
    ck_assert_int_eq(cnn_layer_type_find("conv4d"), -1);
    ck_assert_int_eq(cnn_layer_type_find(""), -1);
}
END_TEST

START_TEST(spec_refuses_too_many_layers)
{
    struct cnn_spec spec = {0};
    struct err e = {0};
    for (int i = 0; i < CNN_LAYERS_MAX; i++)
        net_add(&spec, CNN_RELU);
    ck_assert_ptr_null(cnn_spec_add(&spec, CNN_RELU, &e));
    ck_assert_str_eq(e.detail, "more than 512 layers");
    cnn_spec_clear(&spec);
}
END_TEST

START_TEST(spec_copies_stand_alone)
{
    struct cnn_spec spec = {.input = net_shape(1, 8, 8, 0)}, copy;
    struct err e = {0};
    for (int i = 0; i < 5; i++)
        net_conv(&spec, 2, i + 1, 3, 1, 1);
    ck_assert(cnn_spec_copy(&copy, &spec, &e));
    cnn_spec_clear(&spec);
    net_add(&copy, CNN_RELU); /* a copy grows like any other */
    ck_assert_int_eq(copy.layer_count, 6);
    ck_assert_int_eq(copy.layers[4].u.conv.filters, 5);
    cnn_spec_clear(&copy);
}
END_TEST

TEST_PROGRAM("core shape", shape_puts_user_axes_last, shape_gives_back_the_dims_it_was_made_of,
             shape_equality_ignores_rank, shape_refuses_bad_dims,
             shape_refuses_products_past_the_limit, layout_moves_channels_last_and_back,
             layout_roundtrips_odd_shapes, error_paths_grow_outwards,
             error_texts_are_cut_not_overrun, memory_is_aligned_zeroed_and_checked,
             layer_types_have_names_both_ways, spec_refuses_too_many_layers,
             spec_copies_stand_alone)
