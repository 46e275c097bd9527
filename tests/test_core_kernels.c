/* Every kernel table this CPU runs, against the reference, with each buffer flush against an
 * inaccessible page, behind it in one run and in front of it in another. */
#include "guarded.h"
#include "harness.h"
#include "kernels.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t volume(const int *size)
{
    return (size_t)size[0] * (size_t)size[1] * (size_t)size[2];
}

/* Fills in g->out; `behind` is the padding at the far end. False when nothing fits. */
static bool geometry_close(struct conv_geometry *g, const int behind[3])
{
    for (int i = 0; i < KERNEL_AXES; i++) {
        const int span = (g->kernel[i] - 1) * g->dilation[i] + 1;
        const int room = g->in[i] + g->before[i] + behind[i] - span;
        if (room < 0)
            return false;
        g->out[i] = room / g->stride[i] + 1;
    }
    return true;
}

/* The three directions of one table, started on what must be overwritten or added to. */
struct results {
    struct buffer y, dx, dw;
};

static struct results conv_run(const struct cnn_kernels *table, const struct conv_geometry *g,
                               int n, enum edge edge)
{
    const size_t in = (size_t)n * volume(g->in) * (size_t)g->in_c;
    const size_t out = (size_t)n * volume(g->out) * (size_t)g->out_k;
    const size_t weights = volume(g->kernel) * (size_t)(g->in_c / g->groups) * (size_t)g->out_k;
    const size_t scratch_floats = table->conv_scratch(g, NULL, n);
    struct buffer x = buffer_random(in, edge, 1), w = buffer_random(weights, edge, 2);
    struct buffer bias = buffer_random((size_t)g->out_k, edge, 3);
    struct buffer dy = buffer_random(out, edge, 4);
    struct buffer wt = buffer_filled(table->conv_transposed_floats(g), edge, NAN);
    struct buffer prepared = buffer_filled(table->conv_prepared_floats(g), edge, NAN);
    struct buffer scratch = buffer_new(scratch_floats, edge);
    struct results r = {
        .y = buffer_filled(out, edge, NAN),
        .dx = buffer_filled(in, edge, NAN),
        .dw = buffer_filled(weights, edge, 0.5f),
    };
    /* Without a bias every other time. */
    const bool bare = g->kernel[2] % 2 == 0;

    const struct epilogue end = {.bias = bare ? NULL : bias.data};

    fill(&scratch, NAN);
    table->conv_prepare(g, w.data, prepared.data);
    /* Prepared weights in one run, prepared on the way in the other. */
    table->conv_forward(g, n, x.data, w.data, edge == EDGE_FRONT ? prepared.data : NULL, &end,
                        r.y.data, scratch.data);
    buffer_free(&prepared);
    table->conv_transpose(g, w.data, wt.data);
    fill(&scratch, NAN);
    table->conv_backward_data(g, n, dy.data, wt.data, r.dx.data, scratch.data);
    fill(&scratch, NAN);
    table->conv_backward_weight(g, n, x.data, dy.data, r.dw.data, scratch.data);
    buffer_free(&wt);
    buffer_free(&x);
    buffer_free(&w);
    buffer_free(&bias);
    buffer_free(&dy);
    buffer_free(&scratch);
    return r;
}

static void results_free(struct results *r)
{
    buffer_free(&r->y);
    buffer_free(&r->dx);
    buffer_free(&r->dw);
}

static void check_conv_within(const struct conv_geometry *g, int n, double unit)
{
    const double taps = (double)volume(g->kernel), pixels = n * (double)volume(g->out);
    struct results want = conv_run(&cnn_kernels_ref, g, n, EDGE_BEHIND);
    const struct cnn_kernels *table;
    for (int i = 1; (table = cnn_kernels_at(i)); i++) {
        for (enum edge edge = 0; edge < EDGE_COUNT; edge++) {
            struct results got = conv_run(table, g, n, edge);
            check_within(&got.y, &want.y, unit, taps * g->in_c, table->name, "y");
            check_within(&got.dx, &want.dx, unit, taps * g->out_k, table->name, "dx");
            check_within(&got.dw, &want.dw, unit, pixels, table->name, "dw");
            results_free(&got);
        }
    }
    results_free(&want);
}

static void check_conv(const struct conv_geometry *g, int n)
{
    check_conv_within(g, n, 1e-6);
}

#define ONES    \
    {           \
        1, 1, 1 \
    }

START_TEST(odd_channels_agree_with_the_reference)
{
    static const int channels[] = {1, 3, 5, 17, 33};
    for (int c = 0; c < 5; c++) {
        for (int k = 0; k < 5; k++) {
            for (int pad = 0; pad < 2; pad++) {
                struct conv_geometry g = {.in_c = channels[c],
                                          .out_k = channels[k],
                                          .groups = 1,
                                          .in = {1, 5, 6},
                                          .kernel = {1, 3, 3},
                                          .stride = ONES,
                                          .dilation = ONES,
                                          .before = {0, pad, pad}};
                ck_assert(geometry_close(&g, g.before));
                check_conv(&g, 2);
            }
        }
    }
}
END_TEST

START_TEST(every_output_width_up_to_two_tiles_agrees)
{
    for (int k = 1; k <= 130; k += k < 34 ? 1 : 8) {
        struct conv_geometry g = {.in_c = k % 4 + 1,
                                  .out_k = k,
                                  .groups = 1,
                                  .in = {1, 3, 1 + k % 7},
                                  .kernel = {1, 2, 1},
                                  .stride = ONES,
                                  .dilation = ONES};
        ck_assert(geometry_close(&g, g.before));
        check_conv(&g, 1);
    }
}
END_TEST

/* Kernels 1..7, strides 1..3, and padding of each end from none to the whole kernel. */
static void check_axes(int axes, int kernel_max, int n)
{
    for (int kernel = 1; kernel <= kernel_max; kernel++) {
        for (int stride = 1; stride <= 3; stride++) {
            for (int before = 0; before <= kernel; before += kernel > 3 ? 2 : 1) {
                struct conv_geometry g = {.in_c = 3,
                                          .out_k = 5,
                                          .groups = 1,
                                          .in = ONES,
                                          .kernel = ONES,
                                          .stride = ONES,
                                          .dilation = ONES};
                int behind[KERNEL_AXES] = {0};
                for (int i = KERNEL_AXES - axes; i < KERNEL_AXES; i++) {
                    g.in[i] = 5 + i;
                    g.kernel[i] = kernel;
                    g.stride[i] = stride;
                    g.before[i] = before;
                    behind[i] = (before + i + stride) % (kernel + 1);
                }
                if (geometry_close(&g, behind))
                    check_conv(&g, n);
            }
        }
    }
}

START_TEST(kernels_strides_and_uneven_paddings_agree_in_1d)
{
    check_axes(1, 7, 3);
}
END_TEST

START_TEST(kernels_strides_and_uneven_paddings_agree_in_2d)
{
    check_axes(2, 7, 2);
}
END_TEST

START_TEST(kernels_strides_and_uneven_paddings_agree_in_3d)
{
    check_axes(3, 7, 1);
}
END_TEST

START_TEST(axes_may_all_differ)
{
    struct conv_geometry g = {.in_c = 4,
                              .out_k = 9,
                              .groups = 1,
                              .in = {6, 7, 9},
                              .kernel = {2, 3, 5},
                              .stride = {3, 1, 2},
                              .dilation = {2, 3, 1},
                              .before = {1, 0, 4}};
    ck_assert(geometry_close(&g, (int[]){0, 2, 3}));
    check_conv(&g, 2);
}
END_TEST

START_TEST(dilation_agrees)
{
    for (int dilation = 2; dilation <= 4; dilation++) {
        for (int stride = 1; stride <= 3; stride++) {
            struct conv_geometry g = {.in_c = 3,
                                      .out_k = 6,
                                      .groups = 1,
                                      .in = {1, 9, 11},
                                      .kernel = {1, 2, 3},
                                      .stride = {1, stride, stride},
                                      .dilation = {1, dilation, dilation},
                                      .before = {0, 1, dilation}};
            ck_assert(geometry_close(&g, (int[]){0, dilation, 0}));
            check_conv(&g, 2);
        }
    }
}
END_TEST

START_TEST(groups_and_depthwise_agree)
{
    static const int groups[][3] = {{2, 4, 6}, {3, 9, 3}, {5, 5, 5}, {5, 5, 10}, {2, 34, 66}};
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        for (int stride = 1; stride <= 2; stride++) {
            struct conv_geometry g = {.groups = groups[i][0],
                                      .in_c = groups[i][1],
                                      .out_k = groups[i][2],
                                      .in = {1, 5, 4},
                                      .kernel = {1, 3, 3},
                                      .stride = {1, stride, stride},
                                      .dilation = ONES,
                                      .before = {0, 1, 1}};
            ck_assert(geometry_close(&g, (int[]){0, 0, 2}));
            check_conv(&g, 2);
        }
    }
}
END_TEST

/* Enough samples, and maps so large, that the work is cut: by samples, by planes and by lines. */
START_TEST(work_larger_than_one_part_agrees)
{
    static const struct {
        int n, in_c, out_k, in[KERNEL_AXES], kernel[KERNEL_AXES], stride, before;
    } cases[] = {
        {41, 1, 6, {1, 28, 28}, {1, 5, 5}, 1, 0},  {23, 8, 7, {1, 9, 9}, {1, 3, 3}, 1, 1},
        {2, 17, 33, {1, 40, 21}, {1, 3, 3}, 1, 1}, {2, 17, 33, {1, 40, 21}, {1, 3, 3}, 2, 0},
        {2, 9, 8, {13, 12, 11}, {3, 3, 3}, 1, 1},  {1, 33, 5, {1, 1, 900}, {1, 1, 7}, 3, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct conv_geometry g = {
            .in_c = cases[i].in_c, .out_k = cases[i].out_k, .groups = 1, .dilation = ONES};
        for (int axis = 0; axis < KERNEL_AXES; axis++) {
            g.in[axis] = cases[i].in[axis];
            g.kernel[axis] = cases[i].kernel[axis];
            g.stride[axis] = g.in[axis] > 1 ? cases[i].stride : 1;
            g.before[axis] = g.in[axis] > 1 ? cases[i].before : 0;
        }
        ck_assert(geometry_close(&g, g.before));
        check_conv(&g, cases[i].n);
    }
}
END_TEST

/* Kernels of 3 with channels enough for transformed tiles: tiles that fill the output, that hang
 * over its end and into the padding, and more of them than are taken at a time. The transforms
 * cost about one bit an axis. */
START_TEST(kernels_of_3_with_many_channels_agree)
{
    static const int channels[][2] = {{16, 16}, {17, 40}, {33, 21}, {48, 64}};
    for (int axes = 2; axes <= 3; axes++) {
        for (int size = 6; size <= 9; size++) {
            for (int pad = 0; pad <= 2; pad++) {
                const int *c = channels[(size + pad) % 4];
                struct conv_geometry g = {.in_c = c[0],
                                          .out_k = c[1],
                                          .groups = 1,
                                          .in = {axes == 3 ? 6 : 2, size, 14 - size},
                                          .kernel = {axes == 3 ? 3 : 1, 3, 3},
                                          .stride = ONES,
                                          .dilation = ONES,
                                          .before = {axes == 3 ? pad : 0, pad, pad}};
                const int behind[] = {g.before[0], (pad + size) % 3, pad};
                ck_assert(geometry_close(&g, behind));
                check_conv_within(&g, axes == 3 ? 2 : 3, axes == 3 ? 3e-6 : 2e-6);
            }
        }
    }
}
END_TEST

START_TEST(padding_beyond_the_input_needs_no_great_scratch)
{
    struct conv_geometry g = {.in_c = 2,
                              .out_k = 3,
                              .groups = 1,
                              .in = {1, 1, 1},
                              .kernel = ONES,
                              .stride = {1024, 1024, 1024},
                              .dilation = ONES,
                              .before = {1024, 1024, 1024}};
    ck_assert(geometry_close(&g, g.before));
    const struct cnn_kernels *table;
    for (int i = 0; (table = cnn_kernels_at(i)); i++)
        ck_assert_uint_lt(table->conv_scratch(&g, NULL, 1), 1 << 24);
    check_conv(&g, 1);
}
END_TEST

START_TEST(a_tap_that_sees_only_padding_gets_no_gradient)
{
    struct conv_geometry g = {.in_c = 2,
                              .out_k = 3,
                              .groups = 1,
                              .in = {1, 1, 2},
                              .kernel = {1, 1, 3},
                              .stride = ONES,
                              .dilation = {1, 1, 4},
                              .before = {0, 0, 9}};
    ck_assert(geometry_close(&g, (int[]){0, 0, 0}));
    check_conv(&g, 2);
}
END_TEST

/* Which operand of a product lies transposed in memory. */
enum gemm_form { GEMM_NN, GEMM_NT, GEMM_TN, GEMM_FORMS };

static struct buffer gemm_run(const struct cnn_kernels *table, enum gemm_form form, int m, int n,
                              int k, int accumulate, bool packed, enum edge edge)
{
    struct buffer a = buffer_random((size_t)m * (size_t)k, edge, 5);
    struct buffer b = buffer_random((size_t)n * (size_t)k, edge, 6);
    struct buffer bias = buffer_random((size_t)n, edge, 7);
    struct buffer panels = buffer_filled(table->gemm_packed_floats(n, k), edge, NAN);
    struct buffer c = buffer_filled((size_t)m * (size_t)n, edge, accumulate ? 0.5f : NAN);
    struct gemm p = {.m = m, .n = n, .k = k, .accumulate = accumulate};
    p.a = a.data, p.a_row = form == GEMM_TN ? 1 : k, p.a_k = form == GEMM_TN ? m : 1;
    p.b = b.data, p.b_k = form == GEMM_NT ? 1 : n, p.b_column = form == GEMM_NT ? k : 1;
    p.c = c.data, p.c_row = n;
    if (k % 2)
        p.end = (struct epilogue){.bias = bias.data, .act = KERNEL_RELU};
    if (packed) {
        table->gemm_pack(&p, panels.data);
        p.b = panels.data, p.packed = true;
    }
    table->gemm(&p);
    buffer_free(&a);
    buffer_free(&b);
    buffer_free(&bias);
    buffer_free(&panels);
    return c;
}

static void check_gemm(int m, int n, int k)
{
    static const char *const names[] = {"nn", "nt", "tn"};
    const struct cnn_kernels *table;
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        for (enum gemm_form form = 0; form < GEMM_FORMS; form++) {
            struct buffer want =
                gemm_run(&cnn_kernels_ref, form, m, n, k, accumulate, false, EDGE_BEHIND);
            for (int i = 0; (table = cnn_kernels_at(i)); i++) {
                for (int run = 0; run < 2 * EDGE_COUNT; run++) {
                    struct buffer got =
                        gemm_run(table, form, m, n, k, accumulate, run / 2, run % 2);
                    check_close(&got, &want, k, table->name, names[form]);
                    buffer_free(&got);
                }
            }
            buffer_free(&want);
        }
    }
}

START_TEST(matrix_products_agree_at_odd_sizes)
{
    static const int sizes[] = {1, 2, 3, 5, 7, 17, 33};
    for (int m = 0; m < 7; m++)
        for (int n = 0; n < 7; n++)
            for (int k = 0; k < 7; k++)
                check_gemm(sizes[m], sizes[n], sizes[k]);
}
END_TEST

START_TEST(matrix_products_agree_at_sizes_of_dense_layers)
{
    check_gemm(4, 64, 576);
    check_gemm(150, 10, 64);
    check_gemm(1, 513, 300);
    check_gemm(101, 40, 515);
}
END_TEST

/* In a process of its own, as the first call decides. */
static const char *table_when_forced(const char *name)
{
    static char chosen[32];
    int ends[2];
    memset(chosen, 0, sizeof chosen);
    ck_assert_int_eq(pipe(ends), 0);
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        setenv("STRIDED_CPU", name, 1);
        const char *got = cnn_kernels()->name;
        _exit(write(ends[1], got, strlen(got)) < 0);
    }
    close(ends[1]);
    ck_assert_int_gt(read(ends[0], chosen, sizeof chosen - 1), 0);
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    return chosen;
}

START_TEST(strided_cpu_forces_a_table_this_cpu_runs)
{
    static const char *const names[] = {"reference", "baseline", "avx2", "avx512", "neon"};
    char forced[5][32];
    for (int i = 0; i < 5; i++)
        strcpy(forced[i], table_when_forced(names[i]));

    const char *best = NULL;
    bool found[5] = {false};
    const struct cnn_kernels *table;
    for (int i = 0; (table = cnn_kernels_at(i)); i++) {
        best = table->name;
        for (int j = 0; j < 5; j++)
            found[j] = found[j] || strcmp(table->name, names[j]) == 0;
    }
    for (int i = 0; i < 5; i++)
        ck_assert_str_eq(forced[i], found[i] ? names[i] : best);
}
END_TEST

START_TEST(the_best_table_is_used_when_nothing_is_forced)
{
    unsetenv("STRIDED_CPU");
    const struct cnn_kernels *best = NULL, *table;
    for (int i = 0; (table = cnn_kernels_at(i)); i++)
        best = table;
    ck_assert_ptr_eq(cnn_kernels(), best);
    ck_assert_ptr_ne(best, &cnn_kernels_ref);
    ck_assert_ptr_eq(cnn_kernels_at(0), &cnn_kernels_ref);
    ck_assert_ptr_null(cnn_kernels_at(-1));
}
END_TEST

TEST_PROGRAM("kernels", odd_channels_agree_with_the_reference,
             every_output_width_up_to_two_tiles_agrees,
             kernels_strides_and_uneven_paddings_agree_in_1d,
             kernels_strides_and_uneven_paddings_agree_in_2d,
             kernels_strides_and_uneven_paddings_agree_in_3d, axes_may_all_differ, dilation_agrees,
             groups_and_depthwise_agree, work_larger_than_one_part_agrees,
             kernels_of_3_with_many_channels_agree, padding_beyond_the_input_needs_no_great_scratch,
             a_tap_that_sees_only_padding_gets_no_gradient, matrix_products_agree_at_odd_sizes,
             matrix_products_agree_at_sizes_of_dense_layers,
             strided_cpu_forces_a_table_this_cpu_runs,
             the_best_table_is_used_when_nothing_is_forced)
