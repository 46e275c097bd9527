/* What becomes of a convolution's sums before they are stored (bias, maximum over windows,
 * activation), in every kernel table, against the reference; buffers as in test_core_kernels. */
#include "guarded.h"
#include "harness.h"
#include "kernels.h"

#include <math.h>

static size_t volume(const int *size)
{
    return (size_t)size[0] * (size_t)size[1] * (size_t)size[2];
}

/* One convolution and its epilogue; sizes by axis, used axes are the last `axes`. */
struct test_case {
    int axes, n, c, k, groups;
    int in, kernel, stride, dilation, before;
    int window, window_stride, window_before; /* window 0: no pooling */
    enum kernel_act act;
};

static bool make(const struct test_case *t, struct conv_geometry *g, struct pool_geometry *pool)
{
    *g = (struct conv_geometry){.in_c = t->c, .out_k = t->k, .groups = t->groups};
    *pool = (struct pool_geometry){.c = t->k};
    for (int i = 0; i < KERNEL_AXES; i++) {
        const bool used = i >= KERNEL_AXES - t->axes, pools = used && t->window > 0;
        g->in[i] = used ? t->in + i : 1;
        g->kernel[i] = used ? t->kernel : 1;
        g->stride[i] = used ? t->stride : 1;
        g->dilation[i] = used ? t->dilation : 1;
        g->before[i] = used ? t->before : 0;
        const int span = (g->kernel[i] - 1) * g->dilation[i] + 1;
        const int room = g->in[i] + 2 * g->before[i] - span;
        if (room < 0)
            return false;
        g->out[i] = room / g->stride[i] + 1;
        pool->in[i] = g->out[i];
        pool->kernel[i] = pools ? t->window : 1;
        pool->stride[i] = pools ? t->window_stride : 1;
        pool->before[i] = pools ? t->window_before : 0;
        const int left = pool->in[i] + 2 * pool->before[i] - pool->kernel[i];
        if (left < 0)
            return false;
        pool->out[i] = left / pool->stride[i] + 1;
    }
    return true;
}

struct outcome {
    struct buffer y, winner;
};

static struct outcome run(const struct cnn_kernels *table, const struct test_case *t, bool pooled,
                          enum edge edge)
{
    struct conv_geometry g;
    struct pool_geometry pool;
    ck_assert(make(t, &g, &pool));
    const size_t n = (size_t)t->n, k = (size_t)t->k;
    const size_t weights = volume(g.kernel) * (size_t)(t->c / t->groups) * k;
    struct buffer x = buffer_random(n * volume(g.in) * (size_t)t->c, edge, 1);
    struct buffer w = buffer_random(weights, edge, 2), bias = buffer_random(k, edge, 3);
    const size_t out = n * volume(pooled ? pool.out : g.out) * k;
    struct outcome o = {buffer_filled(out, edge, NAN), buffer_of_bytes(out, edge)};
    const struct epilogue end = {
        .bias = bias.data,
        .act = pooled ? t->act : KERNEL_LINEAR,
        .slope = 0.25f,
        .pool = pooled ? &pool : NULL,
        .winner = pooled ? o.winner.bytes : NULL,
    };
    struct buffer scratch =
        buffer_filled(table->conv_scratch(&g, pooled ? &pool : NULL, t->n), edge, NAN);
    table->conv_forward(&g, t->n, x.data, w.data, NULL, &end, o.y.data, scratch.data);
    buffer_free(&x);
    buffer_free(&w);
    buffer_free(&bias);
    buffer_free(&scratch);
    return o;
}

static void outcome_free(struct outcome *o)
{
    buffer_free(&o->y);
    buffer_free(&o->winner);
}

/* The element of `map` that a winner names; ties may fall either way after rounding, so it is
 * held to its value rather than to its number. */
static float winning(const struct pool_geometry *p, const struct buffer *map, size_t at, int number)
{
    const size_t c = (size_t)p->c, pixel = at / c % volume(p->out),
                 sample = at / c / volume(p->out);
    int rest = number;
    size_t out = pixel, in = 0, scale = 1;
    for (int i = KERNEL_AXES - 1; i >= 0; i--) {
        const int o = (int)(out % (size_t)p->out[i]);
        const int position = o * p->stride[i] - p->before[i] + rest % p->kernel[i];
        out /= (size_t)p->out[i];
        rest /= p->kernel[i];
        ck_assert_int_ge(position, 0);
        ck_assert_int_lt(position, p->in[i]);
        in += (size_t)position * scale;
        scale *= (size_t)p->in[i];
    }
    ck_assert_int_eq(rest, 0);
    return map->data[(sample * volume(p->in) + in) * c + at % c];
}

static void check_winners(const struct test_case *t, const struct outcome *got,
                          const struct buffer *map)
{
    struct conv_geometry g;
    struct pool_geometry pool;
    make(t, &g, &pool);
    for (size_t i = 0; i < got->y.count; i++) {
        float best = winning(&pool, map, i, got->winner.bytes[i]), y = best;
        cnn_kernels_ref.activate(t->act, 0.25f, 1, &best, &y);
        if (fabsf(y - got->y.data[i]) > 1e-4f)
            ck_abort_msg("winner %d at %zu holds %g, the maximum is %g", got->winner.bytes[i], i,
                         (double)y, (double)got->y.data[i]);
    }
}

static void check(const struct test_case *t)
{
    struct conv_geometry g;
    struct pool_geometry pool;
    if (!make(t, &g, &pool))
        return;
    const double terms = (double)volume(g.kernel) * t->c;
    struct outcome want = run(&cnn_kernels_ref, t, true, EDGE_BEHIND);
    struct outcome map = run(&cnn_kernels_ref, t, false, EDGE_BEHIND);
    const struct cnn_kernels *table;
    for (int i = 0; (table = cnn_kernels_at(i)); i++)
        for (enum edge edge = 0; edge < EDGE_COUNT; edge++) {
            struct outcome got = run(table, t, true, edge);
            check_close(&got.y, &want.y, terms, table->name, "y");
            check_winners(t, &got, &map.y);
            outcome_free(&got);
        }
    outcome_free(&want);
    outcome_free(&map);
}

static const int channels[] = {1, 2, 3, 4, 5, 17}, filters[] = {1, 6, 8, 16, 17, 33, 70};

START_TEST(pooled_convolutions_agree_whatever_their_channels)
{
    for (size_t c = 0; c < sizeof channels / sizeof *channels; c++)
        for (size_t k = c % 2; k < sizeof filters / sizeof *filters; k += 2)
            check(&(struct test_case){2, 3, channels[c], filters[k], 1, 9, 3, 1, 1, (int)(k % 2), 2,
                                      2, 0, KERNEL_RELU});
}
END_TEST

START_TEST(windows_of_every_kind_agree)
{
    for (int axes = 1; axes <= 3; axes++)
        for (int window = 1; window <= 3; window++)
            for (int stride = 1; stride <= 4; stride++)
                for (int before = 0; before <= window / 2; before++)
                    check(&(struct test_case){axes, 2, (window + stride) % 2 ? 1 : 5, 9, 1, 7, 2, 1,
                                              1, 1, window, stride, before, KERNEL_LINEAR});
}
END_TEST

START_TEST(every_activation_follows_a_pooled_sum)
{
    for (enum kernel_act act = KERNEL_LINEAR; act <= KERNEL_SIGMOID; act++)
        for (int c = 1; c <= 6; c += 5)
            for (int stride = 1; stride <= 2; stride++)
                check(&(struct test_case){2, 2, c, 18, 1, 8, 3, stride, 1, 0, 2, 2, 0, act});
}
END_TEST

START_TEST(strided_dilated_and_grouped_convolutions_pool)
{
    for (int stride = 1; stride <= 3; stride++)
        for (int dilation = 1; dilation <= 2; dilation++)
            for (int groups = 1; groups <= 2; groups++)
                check(&(struct test_case){2, 2, 4, 12, groups, 13, 3, stride, dilation, 2, 2, 2, 0,
                                          KERNEL_RELU});
}
END_TEST

/* Lines of every length, for tiles that are moved back over their neighbours. */
START_TEST(lines_of_every_length_agree)
{
    for (int in = 1; in <= 31; in++)
        check(&(struct test_case){1, 2, in % 4 + 1, 5 + in % 3 * 16, 1, in, 1, 1, 1, 0, 1, 1, 0,
                                  KERNEL_RELU});
}
END_TEST

static float activated(const struct cnn_kernels *table, enum kernel_act act, int c, bool pooled)
{
    const struct conv_geometry g = {.in_c = c,
                                    .out_k = 1,
                                    .groups = 1,
                                    .in = {1, 1, 1},
                                    .out = {1, 1, 1},
                                    .kernel = {1, 1, 1},
                                    .stride = {1, 1, 1},
                                    .dilation = {1, 1, 1}};
    const struct pool_geometry pool = {
        .c = 1, .in = {1, 1, 1}, .out = {1, 1, 1}, .kernel = {1, 1, 1}, .stride = {1, 1, 1}};
    float x[8] = {NAN, 1, 1, 1, 1, 1, 1, 1}, w[8] = {1, 1, 1, 1, 1, 1, 1, 1}, y = 0;
    float scratch[64];
    ck_assert_uint_le(table->conv_scratch(&g, &pool, 1), 64);
    table->conv_forward(
        &g, 1, x, w, NULL,
        &(struct epilogue){.act = act, .slope = 0.5f, .pool = pooled ? &pool : NULL}, &y, scratch);
    return y;
}

START_TEST(a_nan_is_never_hidden)
{
    const struct cnn_kernels *table;
    for (int i = 0; (table = cnn_kernels_at(i)); i++)
        for (enum kernel_act act = KERNEL_LINEAR; act <= KERNEL_SIGMOID; act++)
            for (int c = 1; c <= 8; c += 7)
                for (int pooled = 0; pooled < 2; pooled++)
                    if (!isnan(activated(table, act, c, pooled)))
                        ck_abort_msg("%s loses a NaN in activation %d", table->name, (int)act);
}
END_TEST

TEST_PROGRAM("epilogue", pooled_convolutions_agree_whatever_their_channels,
             windows_of_every_kind_agree, every_activation_follows_a_pooled_sum,
             strided_dilated_and_grouped_convolutions_pool, lines_of_every_length_agree,
             a_nan_is_never_hidden)
