/* The kernels that work on feature maps element by element: every table this CPU runs against the
 * reference, with each buffer flush against an inaccessible page. */
#include "guarded.h"
#include "harness.h"
#include "kernels.h"
#include "nets.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static size_t volume(const int *size)
{
    return (size_t)size[0] * (size_t)size[1] * (size_t)size[2];
}

/* NaNs are equal to each other, and 0 to -0. */
static void check_equal(const struct buffer *got, const struct buffer *want, const char *table,
                        const char *what)
{
    for (size_t i = 0; i < want->count; i++) {
        const float a = got->data[i], b = want->data[i];
        if (a != b && !(isnan(a) && isnan(b)))
            ck_abort_msg("%s %s[%zu] is %.9g, expected %.9g", table, what, i, (double)a, (double)b);
    }
}

static void check_bytes(const struct buffer *got, const struct buffer *want, const char *table,
                        const char *what)
{
    for (size_t i = 0; i < want->count; i++)
        if (got->bytes[i] != want->bytes[i])
            ck_abort_msg("%s %s[%zu] is %d, expected %d", table, what, i, got->bytes[i],
                         want->bytes[i]);
}

/* Few different numbers, so that windows have ties, and NaNs and infinities among them. */
static struct buffer buffer_uneven(size_t count, enum edge edge, uint32_t seed)
{
    struct buffer b = buffer_random(count, edge, seed);
    for (size_t i = 0; i < count; i++) {
        const int level = (int)((b.data[i] + 1) * 8);
        b.data[i] = level == 0 ? NAN : level == 1 ? -INFINITY : level == 2 ? INFINITY : level - 8;
    }
    return b;
}

/* ---- max_pool ---------------------------------------------------------------------------------*/

/* Fills in g->out; `behind` is the padding at the far end. False when nothing fits. */
static bool pool_close(struct pool_geometry *g, const int behind[KERNEL_AXES])
{
    for (int i = 0; i < KERNEL_AXES; i++) {
        const int room = g->in[i] + g->before[i] + behind[i] - g->kernel[i];
        if (room < 0)
            return false;
        g->out[i] = room / g->stride[i] + 1;
        /* The last window must hold an element. */
        if ((g->out[i] - 1) * g->stride[i] - g->before[i] >= g->in[i])
            return false;
    }
    return true;
}

struct pooled {
    struct buffer y, y_alone, winner, dx; /* y_alone: run without winners */
};

static struct pooled pool_run(const struct cnn_kernels *table, const struct pool_geometry *g, int n,
                              enum edge edge)
{
    const size_t in = (size_t)n * volume(g->in) * (size_t)g->c;
    const size_t out = (size_t)n * volume(g->out) * (size_t)g->c;
    struct buffer x = buffer_uneven(in, edge, 1), dy = buffer_random(out, edge, 2);
    struct pooled p = {.y = buffer_filled(out, edge, 7),
                       .y_alone = buffer_filled(out, edge, 7),
                       .winner = buffer_of_bytes(out, edge),
                       .dx = buffer_filled(in, edge, NAN)};
    table->max_pool(g, n, x.data, p.y.data, p.winner.bytes);
    table->max_pool(g, n, x.data, p.y_alone.data, NULL);
    table->max_pool_backward(g, n, p.winner.bytes, dy.data, p.dx.data);
    buffer_free(&x);
    buffer_free(&dy);
    return p;
}

static void pooled_free(struct pooled *p)
{
    buffer_free(&p->y);
    buffer_free(&p->y_alone);
    buffer_free(&p->winner);
    buffer_free(&p->dx);
}

static void check_pool(const struct pool_geometry *g, int n)
{
    struct pooled want = pool_run(&cnn_kernels_ref, g, n, EDGE_BEHIND);
    const struct cnn_kernels *table;
    for (int i = 1; (table = cnn_kernels_at(i)); i++) {
        for (enum edge edge = 0; edge < EDGE_COUNT; edge++) {
            struct pooled got = pool_run(table, g, n, edge);
            check_equal(&got.y, &want.y, table->name, "y");
            check_equal(&got.y_alone, &want.y, table->name, "y without winners");
            check_bytes(&got.winner, &want.winner, table->name, "winner");
            check_equal(&got.dx, &want.dx, table->name, "dx");
            pooled_free(&got);
        }
    }
    pooled_free(&want);
}

#define ONES    \
    {           \
        1, 1, 1 \
    }

/* Kernels 1..kernel_max, strides from overlap to gaps, paddings up to half a window. */
static void check_pool_axes(int axes, int channels, int kernel_max, int n)
{
    for (int kernel = 1; kernel <= kernel_max; kernel++) {
        for (int stride = 1; stride <= kernel + 1; stride++) {
            for (int before = 0; before <= kernel / 2; before++) {
                struct pool_geometry g = {
                    .c = channels, .in = ONES, .kernel = ONES, .stride = ONES};
                int behind[KERNEL_AXES] = {0};
                for (int i = KERNEL_AXES - axes; i < KERNEL_AXES; i++) {
                    g.in[i] = 4 + i;
                    g.kernel[i] = kernel;
                    g.stride[i] = stride;
                    g.before[i] = before;
                    behind[i] = (before + i) % (kernel / 2 + 1);
                }
                if (pool_close(&g, behind))
                    check_pool(&g, n);
            }
        }
    }
}

START_TEST(pooling_agrees_in_1d)
{
    static const int channels[] = {1, 3, 6, 8, 17, 33};
    for (int i = 0; i < 6; i++)
        check_pool_axes(1, channels[i], 7, 3);
}
END_TEST

START_TEST(pooling_agrees_in_2d)
{
    static const int channels[] = {1, 2, 5, 6, 16, 24, 33};
    for (int i = 0; i < 7; i++)
        check_pool_axes(2, channels[i], 4, 2);
}
END_TEST

START_TEST(pooling_agrees_in_3d)
{
    static const int channels[] = {1, 6, 16, 19};
    for (int i = 0; i < 4; i++)
        check_pool_axes(3, channels[i], 3, 1);
}
END_TEST

START_TEST(pooling_agrees_at_every_count_of_channels)
{
    for (int c = 1; c <= 66; c++) {
        struct pool_geometry g = {
            .c = c, .in = {1, 5, 6 + c % 3}, .kernel = {1, 2, 2}, .stride = {1, 2, 2}};
        ck_assert(pool_close(&g, g.before));
        check_pool(&g, 2);
    }
}
END_TEST

START_TEST(pooling_axes_may_all_differ)
{
    struct pool_geometry g = {
        .c = 9, .in = {6, 7, 23}, .kernel = {3, 2, 5}, .stride = {3, 1, 2}, .before = {1, 0, 2}};
    ck_assert(pool_close(&g, (int[]){0, 1, 1}));
    check_pool(&g, 2);
    g.stride[1] = 4, g.stride[2] = 7;
    ck_assert(pool_close(&g, (int[]){0, 1, 1}));
    check_pool(&g, 2);
}
END_TEST

START_TEST(the_largest_window_with_winners_agrees)
{
    struct pool_geometry g = {.c = 5, .in = {1, 17, 33}, .kernel = {1, 16, 16}, .stride = ONES};
    g.stride[1] = g.stride[2] = 16;
    ck_assert_int_eq((int)volume(g.kernel), POOL_WINDOW_MAX);
    ck_assert(pool_close(&g, g.before));
    check_pool(&g, 1);
}
END_TEST

START_TEST(the_first_among_equals_and_the_last_nan_win)
{
    static const float x[] = {3,   3, 3,         3,         NAN,       9,
                              NAN, 8, -INFINITY, -INFINITY, -INFINITY, -INFINITY};
    const struct pool_geometry g = {
        .c = 1, .in = {1, 1, 12}, .out = {1, 1, 3}, .kernel = {1, 1, 4}, .stride = {1, 1, 4}};
    const struct cnn_kernels *table;
    for (int i = 0; (table = cnn_kernels_at(i)); i++) {
        float y[3] = {0};
        uint8_t winner[3] = {9, 9, 9};
        table->max_pool(&g, 1, x, y, winner);
        ck_assert(y[0] == 3 && isnan(y[1]) && y[2] == -INFINITY);
        ck_assert_mem_eq(winner, ((uint8_t[]){0, 2, 0}), 3);
    }
}
END_TEST

/* More elements than a winner's byte can number: the layer goes its own way when training. */
START_TEST(a_window_too_large_for_bytes_pools_alike)
{
    enum { SIZE = 20, IN = 3 * SIZE * SIZE, KERNEL = 17, OUT = 3 * 4 * 4 };
    struct cnn_spec spec = {.input = net_shape(3, SIZE, SIZE, 0)};
    net_pool(&spec, CNN_MAX_POOL, 2, KERNEL, 1, 0);
    struct cnn_net *net = net_build(&spec);
    struct buffer x = buffer_random(IN, EDGE_BEHIND, 1), dy = buffer_random(OUT, EDGE_BEHIND, 2);
    struct buffer y = buffer_filled(OUT, EDGE_BEHIND, NAN);
    struct buffer want = buffer_filled(OUT, EDGE_BEHIND, NAN);
    struct buffer dx = buffer_filled(IN, EDGE_BEHIND, NAN),
                  sums = buffer_filled(IN, EDGE_BEHIND, 0);
    struct buffer kept = buffer_of_bytes(net->nodes[0].op->kept_bytes(&net->nodes[0]), EDGE_BEHIND);
    struct cnn_pass pass = {.n = 1,
                            .training = true,
                            .in = {x.data},
                            .out = y.data,
                            .kept = kept.bytes,
                            .dout = dy.data,
                            .din = {dx.data}};
    net->nodes[0].op->forward(&net->nodes[0], &pass);
    net->nodes[0].op->backward(&net->nodes[0], &pass);

    const struct pool_geometry g = {.c = 3,
                                    .in = {1, SIZE, SIZE},
                                    .out = {1, 4, 4},
                                    .kernel = {1, KERNEL, KERNEL},
                                    .stride = ONES};
    cnn_kernels_ref.max_pool(&g, 1, x.data, want.data, NULL);
    check_equal(&y, &want, "layer", "y");
    /* No two numbers of x are equal, so the maximum tells where it stood. */
    for (size_t k = 0; k < OUT; k++)
        for (size_t i = k % 3; i < IN; i += 3)
            if (x.data[i] == want.data[k])
                sums.data[i] += dy.data[k];
    check_equal(&dx, &sums, "layer", "dx");
    struct buffer *const buffers[] = {&x, &dy, &y, &want, &dx, &sums, &kept};
    for (int i = 0; i < 7; i++)
        buffer_free(buffers[i]);
    cnn_net_free(net);
}
END_TEST

/* ---- activations ------------------------------------------------------------------------------*/

#define ACTS (KERNEL_SIGMOID + 1)
static const char *const act_names[ACTS] = {"linear", "relu", "leaky_relu", "tanh", "sigmoid"};
static const float slope = 0.1f;

static void activations_agree_on(const struct buffer *x, double ulps_max)
{
    const struct cnn_kernels *table;
    struct buffer want = buffer_new(x->count, EDGE_BEHIND), got = buffer_new(x->count, EDGE_BEHIND);
    for (int i = 1; (table = cnn_kernels_at(i)); i++) {
        for (enum kernel_act act = 0; act < ACTS; act++) {
            cnn_kernels_ref.activate(act, slope, x->count, x->data, want.data);
            table->activate(act, slope, x->count, x->data, got.data);
            for (size_t k = 0; k < x->count; k++) {
                const float a = got.data[k], b = want.data[k];
                const double ulp = (double)nextafterf(fabsf(b), INFINITY) - fabs((double)b);
                const double bound = act >= KERNEL_TANH ? ulps_max * ulp : 0;
                if (isnan(a) != isnan(b) || fabs((double)a - (double)b) > bound ||
                    (!isnan(b) && !signbit(a) != !signbit(b)))
                    ck_abort_msg("%s %s(%.9g) is %.9g, expected %.9g", table->name, act_names[act],
                                 (double)x->data[k], (double)a, (double)b);
            }
        }
    }
    buffer_free(&want);
    buffer_free(&got);
}

START_TEST(activations_agree_over_their_range)
{
    enum { COUNT = 200000 };
    for (int scale = -3; scale <= 7; scale++) {
        struct buffer x = buffer_random(COUNT / 10, EDGE_FRONT, (uint32_t)(scale + 9));
        for (size_t i = 0; i < x.count; i++)
            x.data[i] = ldexpf(x.data[i], scale);
        activations_agree_on(&x, 2);
        buffer_free(&x);
    }
}
END_TEST

/* Every exponent and sign, denormals too, with four fractions each; then what is not a number. */
START_TEST(activations_agree_from_the_tiniest_to_the_largest)
{
    struct buffer x = buffer_new(2 * 256 * 4, EDGE_BEHIND);
    for (uint32_t i = 0; i < x.count; i++) {
        const uint32_t bits = i % 512 << 23 | i / 512 * 0x1fffff;
        memcpy(&x.data[i], &bits, sizeof bits);
    }
    activations_agree_on(&x, 2);
    buffer_free(&x);
}
END_TEST

/* Any cut of an array gives the same bits: where a number stands does not matter. */
START_TEST(an_activation_does_not_depend_on_the_place)
{
    enum { COUNT = 37 };
    const struct cnn_kernels *table;
    for (int i = 1; (table = cnn_kernels_at(i)); i++) {
        for (enum edge edge = 0; edge < EDGE_COUNT; edge++) {
            for (int n = 0; n <= COUNT; n++) {
                for (enum kernel_act act = 0; act < ACTS; act++) {
                    struct buffer x = buffer_random((size_t)n, edge, 3);
                    struct buffer dy = buffer_random((size_t)n, edge, 4);
                    struct buffer y = buffer_filled((size_t)n, edge, NAN);
                    struct buffer dx = buffer_filled((size_t)n, edge, NAN);
                    table->activate(act, slope, x.count, x.data, y.data);
                    table->activate_backward(act, slope, x.count, y.data, dy.data, dx.data);
                    for (int k = 0; k < n; k++) {
                        float one, one_dx;
                        table->activate(act, slope, 1, &x.data[k], &one);
                        table->activate_backward(act, slope, 1, &one, &dy.data[k], &one_dx);
                        if (memcmp(&one, &y.data[k], sizeof one) ||
                            memcmp(&one_dx, &dx.data[k], sizeof one_dx))
                            ck_abort_msg("%s %s differs at %d of %d", table->name, act_names[act],
                                         k, n);
                    }
                    table->activate(act, slope, x.count, x.data, x.data);
                    table->activate_backward(act, slope, x.count, y.data, dy.data, dy.data);
                    check_equal(&x, &y, table->name, "y in place");
                    check_equal(&dy, &dx, table->name, "dx in place");
                    buffer_free(&x);
                    buffer_free(&dy);
                    buffer_free(&y);
                    buffer_free(&dx);
                }
            }
        }
    }
}
END_TEST

START_TEST(gradients_of_activations_agree)
{
    const struct cnn_kernels *table;
    struct buffer x = buffer_uneven(1003, EDGE_BEHIND, 5), dy = buffer_random(1003, EDGE_BEHIND, 6);
    struct buffer want = buffer_new(1003, EDGE_BEHIND), got = buffer_new(1003, EDGE_BEHIND);
    for (int i = 1; (table = cnn_kernels_at(i)); i++) {
        for (enum kernel_act act = 0; act < ACTS; act++) {
            /* An infinity is no value that tanh or the sigmoid can have. */
            for (size_t k = 0; k < x.count; k++)
                if (act >= KERNEL_TANH && isinf(x.data[k]))
                    x.data[k] = 0.25f;
            cnn_kernels_ref.activate_backward(act, slope, x.count, x.data, dy.data, want.data);
            table->activate_backward(act, slope, x.count, x.data, dy.data, got.data);
            for (size_t k = 0; k < x.count; k++) {
                const float a = got.data[k], b = want.data[k];
                if (isnan(a) != isnan(b) || fabsf(a - b) > 2e-7f * fabsf(b))
                    ck_abort_msg("%s %s' at %.9g is %.9g, expected %.9g", table->name,
                                 act_names[act], (double)x.data[k], (double)a, (double)b);
            }
        }
    }
    buffer_free(&x);
    buffer_free(&dy);
    buffer_free(&want);
    buffer_free(&got);
}
END_TEST

/* ---- rows -------------------------------------------------------------------------------------*/

static void check_sum_rows(size_t rows, int columns)
{
    struct buffer want = buffer_filled((size_t)columns, EDGE_BEHIND, 0.5f);
    const struct cnn_kernels *table;
    for (int i = 0; (table = cnn_kernels_at(i)); i++) {
        for (enum edge edge = 0; edge < EDGE_COUNT; edge++) {
            struct buffer x = buffer_random(rows * (size_t)columns, edge, 1);
            struct buffer got = buffer_filled((size_t)columns, edge, 0.5f);
            table->sum_rows(rows, columns, x.data, i == 0 ? want.data : got.data);
            if (i > 0)
                check_close(&got, &want, (double)rows, table->name, "sum");
            else if (edge == EDGE_FRONT)
                fill(&want, 0.5f);
            buffer_free(&x);
            buffer_free(&got);
        }
    }
    buffer_free(&want);
}

START_TEST(sums_of_rows_agree)
{
    for (int columns = 1; columns <= 140; columns++)
        check_sum_rows((size_t)columns % 13, columns);
    static const int columns[] = {1, 2, 6, 8, 10, 16, 33, 64};
    for (int i = 0; i < 8; i++)
        for (size_t rows = 255; rows < 1100; rows += 281)
            check_sum_rows(rows, columns[i]);
    check_sum_rows(100003, 1);
}
END_TEST

/* Near 3e7 a float counts in twos: one chain of additions would be off by hundreds. */
START_TEST(a_long_sum_loses_nothing)
{
    enum { ROWS = 3 << 18, EACH = 37 };
    const struct cnn_kernels *table;
    struct buffer x = buffer_filled(ROWS, EDGE_BEHIND, EACH);
    for (int i = 0; (table = cnn_kernels_at(i)); i++) {
        float sum = 0;
        table->sum_rows(ROWS, 1, x.data, &sum);
        ck_assert_float_eq(sum, (float)ROWS * EACH);
    }
    buffer_free(&x);
}
END_TEST

static void check_transpose(size_t rows, size_t columns)
{
    const struct cnn_kernels *table;
    for (int i = 0; (table = cnn_kernels_at(i)); i++) {
        for (enum edge edge = 0; edge < EDGE_COUNT; edge++) {
            struct buffer from = buffer_new(rows * columns, edge);
            struct buffer to = buffer_filled(rows * columns, edge, NAN);
            for (size_t k = 0; k < from.count; k++)
                from.data[k] = (float)k;
            table->transpose(rows, columns, from.data, to.data);
            for (size_t k = 0; k < to.count; k++)
                if (to.data[k] != (float)(k % rows * columns + k / rows))
                    ck_abort_msg("%s [%zu,%zu]: %zu is %g", table->name, rows, columns, k,
                                 (double)to.data[k]);
            buffer_free(&from);
            buffer_free(&to);
        }
    }
}

START_TEST(transposes_agree)
{
    for (size_t rows = 1; rows <= 35; rows++)
        for (size_t columns = 1; columns <= 35; columns += rows % 3 + 1)
            check_transpose(rows, columns);
    check_transpose(3, 1000);
    check_transpose(1000, 3);
    check_transpose(128, 64);
}
END_TEST

/* ---- parameters -------------------------------------------------------------------------------*/

/* Every rule with and without what it may leave out; of one step's constants, what it does not use
 * stays 0. */
static const struct param_update updates[] = {
    {.rule = UPDATE_SGD, .lr = 0.1f, .keep_weight = 1},
    {.rule = UPDATE_SGD, .lr = 0.1f, .momentum = 0.9f, .decay = 0.01f, .keep_weight = 1},
    {.rule = UPDATE_SGD, .nesterov = true, .lr = 0.1f, .momentum = 0.9f, .keep_weight = 1},
    {.rule = UPDATE_ADAM,
     .epsilon = 1e-8f,
     .keep1 = 0.9f,
     .take1 = 0.1f,
     .keep2 = 0.999f,
     .take2 = 0.001f,
     .decay = 0.02f,
     .keep_weight = 0.99f,
     .step_size = 0.01f,
     .root_scale = 31},
    {.rule = UPDATE_RMSPROP,
     .lr = 0.1f,
     .epsilon = 1e-3f,
     .keep2 = 0.9f,
     .take2 = 0.1f,
     .keep_weight = 1},
    {.rule = UPDATE_RMSPROP,
     .lr = 0.1f,
     .momentum = 0.5f,
     .epsilon = 1e-3f,
     .keep2 = 0.9f,
     .take2 = 0.1f,
     .decay = 0.1f,
     .keep_weight = 1},
};

struct params {
    struct buffer w, g, first, second;
};

/* Two steps, the second in two runs cut at `cut`. */
static struct params params_run(const struct cnn_kernels *table, const struct param_update *u,
                                size_t count, size_t cut, enum edge edge)
{
    struct params p = {buffer_random(count, edge, 1), buffer_random(count, edge, 2),
                       buffer_filled(count, edge, 0), buffer_filled(count, edge, 0)};
    float *first = u->rule == UPDATE_ADAM || u->momentum > 0 ? p.first.data : NULL;
    float *second = u->rule == UPDATE_SGD ? NULL : p.second.data;
    table->update_params(u, count, p.w.data, p.g.data, first, second);
    table->update_params(u, cut, p.w.data, p.g.data, first, second);
    table->update_params(u, count - cut, p.w.data + cut, p.g.data + cut, first ? first + cut : NULL,
                         second ? second + cut : NULL);
    return p;
}

static void params_free(struct params *p)
{
    buffer_free(&p->w);
    buffer_free(&p->g);
    buffer_free(&p->first);
    buffer_free(&p->second);
}

static void check_update(const struct cnn_kernels *table, const struct param_update *u,
                         size_t count)
{
    struct params want = params_run(&cnn_kernels_ref, u, count, 0, EDGE_BEHIND);
    struct params whole = params_run(table, u, count, 0, EDGE_FRONT);
    for (size_t cut = 0; cut <= count; cut += 7) {
        struct params got = params_run(table, u, count, cut, EDGE_BEHIND);
        check_close(&got.w, &want.w, 0, table->name, "parameter");
        check_close(&got.first, &want.first, 0, table->name, "mean");
        check_close(&got.second, &want.second, 0, table->name, "mean of squares");
        ck_assert_mem_eq(got.w.data, whole.w.data, count * sizeof(float));
        ck_assert_mem_eq(got.first.data, whole.first.data, count * sizeof(float));
        ck_assert_mem_eq(got.second.data, whole.second.data, count * sizeof(float));
        params_free(&got);
    }
    params_free(&want);
    params_free(&whole);
}

START_TEST(optimizer_steps_agree_and_may_be_cut_anywhere)
{
    const struct cnn_kernels *table;
    for (int i = 1; (table = cnn_kernels_at(i)); i++)
        for (size_t k = 0; k < sizeof updates / sizeof updates[0]; k++)
            for (size_t count = 1; count <= 40; count += 13)
                check_update(table, &updates[k], count);
}
END_TEST

START_TEST(sums_of_squares_agree)
{
    const struct cnn_kernels *table;
    for (size_t count = 0; count < 150; count++) {
        struct buffer x = buffer_random(count, count % 2 ? EDGE_FRONT : EDGE_BEHIND, 1);
        const double want = cnn_kernels_ref.sum_squares(count, x.data);
        for (int i = 1; (table = cnn_kernels_at(i)); i++)
            ck_assert_double_eq_tol(table->sum_squares(count, x.data), want, 1e-12);
        buffer_free(&x);
    }
    for (int i = 0; (table = cnn_kernels_at(i)); i++)
        ck_assert(isfinite(table->sum_squares(2, (float[]){3e38f, 3e38f})));
}
END_TEST

TEST_PROGRAM("maps", pooling_agrees_in_1d, pooling_agrees_in_2d, pooling_agrees_in_3d,
             pooling_agrees_at_every_count_of_channels, pooling_axes_may_all_differ,
             the_largest_window_with_winners_agrees, the_first_among_equals_and_the_last_nan_win,
             a_window_too_large_for_bytes_pools_alike, activations_agree_over_their_range,
             activations_agree_from_the_tiniest_to_the_largest,
             an_activation_does_not_depend_on_the_place, gradients_of_activations_agree,
             sums_of_rows_agree, a_long_sum_loses_nothing, transposes_agree,
             optimizer_steps_agree_and_may_be_cut_anywhere, sums_of_squares_agree)
