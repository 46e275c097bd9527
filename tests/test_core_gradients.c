/* Every layer's backward pass against finite differences of its forward pass, for inputs and
 * parameters, in 1-D, 2-D and 3-D; and whole nets that fan out, against the same.
 *
 * L = sum(weight * out) with random weights is differentiated: its gradient for out is `weight`.
 * A batch is run in two shards, as the trainer does it. */
#include <math.h>
#include <string.h>

#include "harness.h"
#include "nets.h"
#include "rng.h"

enum { SAMPLES = 3, SHARDS = 2 };
static const int shard_first[SHARDS + 1] = {0, 1, SAMPLES};
static const float STEP = 0.01f;
static const double TOLERANCE = 2e-3;

/* One layer alone, with its buffers for SAMPLES samples. */
struct bench {
    const struct cnn_net *net;
    const struct cnn_node *node;
    float *in[CNN_INPUTS_MAX], *din[CNN_INPUTS_MAX];
    float *params, *dparams, *stats;
    float *out, *weight, *scratch, *prepared;
    char *kept;
    double *up, *down; /* totals of the sums over the batch */
};

static size_t in_count(const struct bench *b, int k)
{
    return cnn_shape_count(&b->node->in[k]);
}

static size_t out_count(const struct bench *b)
{
    return cnn_shape_count(&b->node->out);
}

static size_t kept_bytes(const struct bench *b)
{
    return b->node->op->kept_bytes ? b->node->op->kept_bytes(b->node) : 0;
}

static struct cnn_pass shard_pass(const struct bench *b, int shard, const double *sync)
{
    size_t first = (size_t)shard_first[shard];
    struct cnn_pass pass = {
        .n = shard_first[shard + 1] - shard_first[shard],
        .training = true,
        .out = b->out + first * out_count(b),
        .params = b->params,
        .stats = b->stats,
        .kept = b->kept + first * kept_bytes(b),
        .scratch = b->scratch,
        .seed = 7,
        .step = 3,
        .node = 1,
        .first_sample = (int)first,
        .sync = sync,
        .batch_count = SAMPLES,
        .dout = b->weight + first * out_count(b),
        .dparams = b->dparams,
        .prepared = b->prepared,
    };
    for (int k = 0; k < b->node->input_count; k++) {
        pass.in[k] = b->in[k] + first * in_count(b, k);
        pass.din[k] = b->din[k] + first * in_count(b, k);
    }
    return pass;
}

typedef void sums_fn(const struct cnn_node *node, const struct cnn_pass *pass, double *sums);

static void total_sums(const struct bench *b, sums_fn *sums, double *total)
{
    int count = b->node->op->sync_doubles ? b->node->op->sync_doubles(b->node) : 0;
    double part[64];
    ck_assert_int_le(count, 64);
    memset(total, 0, (size_t)count * sizeof *total);
    for (int s = 0; s < SHARDS && count; s++) {
        struct cnn_pass pass = shard_pass(b, s, NULL);
        sums(b->node, &pass, part);
        for (int i = 0; i < count; i++)
            total[i] += part[i];
    }
}

static void bench_forward(const struct bench *b)
{
    if (b->node->op->prepare)
        b->node->op->prepare(b->node, b->params, true, b->prepared);
    total_sums(b, b->node->op->forward_sums, b->up);
    for (int s = 0; s < SHARDS; s++) {
        struct cnn_pass pass = shard_pass(b, s, b->up);
        b->node->op->forward(b->node, &pass);
    }
}

static void bench_backward(const struct bench *b)
{
    total_sums(b, b->node->op->backward_sums, b->down);
    for (int s = 0; s < SHARDS; s++) {
        struct cnn_pass pass = shard_pass(b, s, b->down);
        b->node->op->backward(b->node, &pass);
    }
}

static void fill_uniform(float *values, size_t count, struct cnn_rng *rng)
{
    for (size_t i = 0; i < count; i++)
        values[i] = cnn_rng_uniform(rng, -1.5f, 1.5f);
}

/* Distinct values more than 2 STEP apart and away from 0, in random order: no finite difference
 * then crosses a kink of relu or changes the winner of a maximum. */
static void fill_spaced(float *values, size_t count, struct cnn_rng *rng)
{
    for (size_t i = 0; i < count; i++)
        values[i] = ((float)i - (float)(count / 2) + 0.5f) * 0.05f;
    for (size_t i = count - 1; i > 0; i--) {
        size_t k = cnn_rng_below(rng, (uint32_t)(i + 1));
        float other = values[k];
        values[k] = values[i];
        values[i] = other;
    }
}

static struct bench bench_new(const struct cnn_net *net, int node, bool spaced)
{
    struct bench b = {.net = net, .node = &net->nodes[node]};
    struct cnn_rng rng;
    cnn_rng_init(&rng, 42, 0);
    for (int k = 0; k < b.node->input_count; k++) {
        size_t count = SAMPLES * in_count(&b, k);
        b.in[k] = net_floats(count);
        b.din[k] = net_floats(count);
        (spaced ? fill_spaced : fill_uniform)(b.in[k], count, &rng);
        for (size_t i = 0; i < count; i++)
            b.din[k][i] = NAN; /* must be overwritten */
    }
    b.params = net_floats(net->state_count);
    b.dparams = net_floats(net->param_count);
    fill_uniform(b.params, net->param_count, &rng);
    for (size_t i = 0; i < net->param_count; i++)
        b.dparams[i] = 1; /* must be added to */
    b.out = net_floats(SAMPLES * out_count(&b));
    b.weight = net_floats(SAMPLES * out_count(&b));
    fill_uniform(b.weight, SAMPLES * out_count(&b), &rng);
    b.kept = (char *)net_floats(SAMPLES * kept_bytes(&b) / sizeof(float) + 1);
    const struct cnn_op *op = b.node->op;
    b.scratch =
        net_floats(op->scratch_floats ? op->scratch_floats(b.node, NULL, SAMPLES, true) : 0);
    b.prepared = net_floats(op->prepared_floats ? op->prepared_floats(b.node, true) : 0);
    b.up = (double *)(void *)net_floats(128);
    b.down = b.up + 32;
    return b;
}

static void bench_free(struct bench *b)
{
    for (int k = 0; k < b->node->input_count; k++) {
        free(b->in[k]);
        free(b->din[k]);
    }
    free(b->params);
    free(b->dparams);
    free(b->out);
    free(b->weight);
    free(b->kept);
    free(b->scratch);
    free(b->prepared);
    free(b->up);
}

/* dL/d*value by a central difference. */
static double slope(const struct bench *b, float *value, float *before)
{
    const size_t count = SAMPLES * out_count(b);
    const float original = *value;
    *value = original - STEP;
    double width = -(double)*value;
    bench_forward(b);
    memcpy(before, b->out, count * sizeof *before);
    *value = original + STEP;
    width += (double)*value;
    bench_forward(b);
    *value = original;
    double change = 0;
    for (size_t i = 0; i < count; i++)
        change += (double)b->weight[i] * ((double)b->out[i] - (double)before[i]);
    return change / width;
}

static void check_slopes(const struct bench *b, float *values, const float *gradient, double offset,
                         size_t count, const char *what)
{
    float *before = net_floats(SAMPLES * out_count(b));
    for (size_t i = 0; i < count; i++) {
        double expected = slope(b, &values[i], before);
        double got = (double)gradient[i] - offset;
        ck_assert_msg(fabs(got - expected) <= TOLERANCE * fmax(1, fabs(expected)),
                      "%s: %s[%zu] has gradient %g, finite difference %g", b->node->spec.name, what,
                      i, got, expected);
    }
    free(before);
}

static void check_node(const struct cnn_net *net, int node, bool spaced)
{
    struct bench b = bench_new(net, node, spaced);
    bench_forward(&b);
    bench_backward(&b);
    for (int k = 0; k < b.node->input_count; k++)
        check_slopes(&b, b.in[k], b.din[k], 0, SAMPLES * in_count(&b, k), "input");
    check_slopes(&b, b.params, b.dparams, 1, net->param_count, "parameter");
    bench_free(&b);
}

static void check_net_of_one(struct cnn_spec *spec, bool spaced)
{
    struct cnn_net *net = net_build(spec);
    ck_assert_int_eq(net->node_count, 1);
    check_node(net, 0, spaced);
    cnn_net_free(net);
}

/* A small shape of each rank. */
static struct cnn_shape shape_of_rank(int c, int rank)
{
    return net_shape(c, rank ? 7 : 0, rank > 1 ? 6 : 0, rank > 2 ? 5 : 0);
}

static void check_conv(int dims, int channels, int filters, int kernel, int stride, int padding,
                       int dilation, int groups, bool bias)
{
    struct cnn_spec spec = {.input = shape_of_rank(channels, dims)};
    struct cnn_layer_spec *layer = net_conv(&spec, dims, filters, kernel, stride, padding);
    for (int axis = CNN_AXES - dims; axis < CNN_AXES; axis++)
        layer->u.conv.window.dilation[axis] = dilation;
    layer->u.conv.groups = groups;
    layer->u.conv.bias = bias;
    check_net_of_one(&spec, false);
}

START_TEST(conv_gradients)
{
    for (int dims = 1; dims <= 3; dims++) {
        check_conv(dims, 1, 3, 3, 1, 0, 1, 1, true);
        check_conv(dims, 3, 2, 3, 2, 1, 1, 1, true);
        check_conv(dims, 2, 5, 2, 3, 2, 1, 1, false);
        check_conv(dims, 2, 2, 3, 1, 2, 2, 1, true);
        check_conv(dims, 4, 6, 3, 2, 1, 1, 2, true);
        check_conv(dims, 3, 3, 2, 1, 1, 2, 3, false);
        check_conv(dims, 5, 4, 1, 1, 0, 1, 1, true);
    }
}
END_TEST

START_TEST(conv_gradients_with_another_window_on_each_axis)
{
    struct cnn_spec spec = {.input = net_shape(2, 5, 6, 7)};
    struct cnn_layer_spec *layer = net_conv(&spec, 3, 3, 1, 1, 0);
    layer->u.conv.window = (struct cnn_window){
        .dims = 3,
        .kernel = {2, 3, 1},
        .stride = {1, 2, 3},
        .dilation = {2, 1, 1},
        .padding = CNN_PAD_NUMBER,
        .before = {1, 0, 2},
        .after = {0, 2, 1},
    };
    check_net_of_one(&spec, false);
}
END_TEST

START_TEST(conv_gradients_in_each_padding_mode)
{
    const enum cnn_padding modes[] = {CNN_PAD_VALID, CNN_PAD_SAME, CNN_PAD_FULL};
    for (int dims = 1; dims <= 3; dims++)
        for (int mode = 0; mode < 3; mode++) {
            struct cnn_spec spec = {.input = shape_of_rank(2, dims)};
            struct cnn_layer_spec *layer = net_conv(&spec, dims, 2, mode == 1 ? 4 : 3, 2, 0);
            layer->u.conv.window.padding = modes[mode];
            check_net_of_one(&spec, false);
        }
}
END_TEST

static void check_pool(enum cnn_layer_type type, int dims, int size, int stride, int padding,
                       bool count_padding)
{
    struct cnn_spec spec = {.input = shape_of_rank(3, dims)};
    net_pool(&spec, type, dims, size, stride, padding)->u.pool.count_padding = count_padding;
    check_net_of_one(&spec, true);
}

START_TEST(max_pool_gradients)
{
    for (int dims = 1; dims <= 3; dims++) {
        check_pool(CNN_MAX_POOL, dims, 2, 0, 0, false);
        check_pool(CNN_MAX_POOL, dims, 3, 1, 1, false); /* overlapping */
        check_pool(CNN_MAX_POOL, dims, 3, 2, 1, false);
        check_pool(CNN_MAX_POOL, dims, 2, 3, 1, false); /* with gaps */
    }
}
END_TEST

START_TEST(avg_pool_gradients)
{
    for (int dims = 1; dims <= 3; dims++) {
        check_pool(CNN_AVG_POOL, dims, 2, 0, 0, false);
        check_pool(CNN_AVG_POOL, dims, 3, 1, 1, false);
        check_pool(CNN_AVG_POOL, dims, 3, 2, 1, true);
        check_pool(CNN_AVG_POOL, dims, 2, 3, 1, true);
    }
}
END_TEST

static void check_plain(enum cnn_layer_type type, int channels, int rank, bool spaced)
{
    struct cnn_spec spec = {.input = shape_of_rank(channels, rank)};
    net_add(&spec, type);
    check_net_of_one(&spec, spaced);
}

START_TEST(global_avg_pool_gradients)
{
    for (int rank = 1; rank <= 3; rank++)
        check_plain(CNN_GLOBAL_AVG_POOL, 3, rank, false);
}
END_TEST

START_TEST(dense_gradients)
{
    for (int bias = 0; bias <= 1; bias++) {
        struct cnn_spec spec = {.input = net_shape(13, 0, 0, 0)};
        net_dense(&spec, 7)->u.dense.bias = bias;
        check_net_of_one(&spec, false);
    }
}
END_TEST

START_TEST(flatten_gradients)
{
    for (int rank = 0; rank <= 3; rank++)
        check_plain(CNN_FLATTEN, 3, rank, false);
}
END_TEST

START_TEST(activation_gradients)
{
    for (int rank = 0; rank <= 3; rank++) {
        check_plain(CNN_RELU, 3, rank, true);
        check_plain(CNN_LEAKY_RELU, 3, rank, true);
        check_plain(CNN_TANH, 3, rank, false);
        check_plain(CNN_SIGMOID, 3, rank, false);
    }
}
END_TEST

START_TEST(leaky_relu_gradients_with_a_slope_below_zero)
{
    struct cnn_spec spec = {.input = net_shape(9, 0, 0, 0)};
    net_add(&spec, CNN_LEAKY_RELU)->u.leaky.slope = -0.5f;
    check_net_of_one(&spec, true);
}
END_TEST

START_TEST(softmax_gradients)
{
    for (int rank = 0; rank <= 3; rank++) {
        check_plain(CNN_SOFTMAX, 5, rank, false);
        check_plain(CNN_LOG_SOFTMAX, 5, rank, false);
    }
}
END_TEST

START_TEST(dropout_gradients)
{
    const float rates[] = {0, 0.3f, 0.9f};
    for (int rank = 0; rank <= 3; rank++)
        for (int i = 0; i < 3; i++) {
            struct cnn_spec spec = {.input = shape_of_rank(4, rank)};
            net_add(&spec, CNN_DROPOUT)->u.dropout.rate = rates[i];
            check_net_of_one(&spec, false);
        }
}
END_TEST

START_TEST(batch_norm_gradients_through_the_batch_sums)
{
    for (int rank = 0; rank <= 3; rank++) {
        struct cnn_spec spec = {.input = shape_of_rank(4, rank)};
        /* Three samples of features alone can be nearly equal: keep the curve tame. */
        net_add(&spec, CNN_BATCH_NORM)->u.norm.epsilon = 0.1f;
        check_net_of_one(&spec, false);
    }
}
END_TEST

START_TEST(add_gradients)
{
    for (int rank = 0; rank <= 3; rank++) {
        struct cnn_spec spec = {.input = shape_of_rank(2, rank)};
        net_add(&spec, CNN_TANH);
        net_add(&spec, CNN_SIGMOID);
        net_inputs(net_add(&spec, CNN_ADD), 3, (const int[]){0, 1, CNN_FROM_INPUT});
        struct cnn_net *net = net_build(&spec);
        check_node(net, 2, false);
        cnn_net_free(net);
    }
}
END_TEST

START_TEST(concat_gradients)
{
    for (int dims = 1; dims <= 3; dims++) {
        struct cnn_spec spec = {.input = shape_of_rank(2, dims)};
        struct cnn_layer_spec *layer = net_conv(&spec, dims, 3, 1, 1, 0);
        layer->u.conv.bias = false;
        net_inputs(net_add(&spec, CNN_CONCAT), 3, (const int[]){CNN_FROM_INPUT, 0, 0});
        struct cnn_net *net = net_build(&spec);
        ck_assert_int_eq(net->nodes[1].out.c, 8);
        struct bench b = bench_new(net, 1, false);
        bench_forward(&b);
        bench_backward(&b);
        for (int k = 0; k < 3; k++)
            check_slopes(&b, b.in[k], b.din[k], 0, SAMPLES * in_count(&b, k), "input");
        bench_free(&b);
        cnn_net_free(net);
    }
}
END_TEST

/* L of a whole net for its present parameters, run on one workspace. */
static double net_loss(const struct cnn_net *net, struct cnn_workspace *ws, const float *weight)
{
    struct cnn_run run = {.n = SAMPLES, .batch_count = SAMPLES, .training = true, .seed = 5};
    cnn_workspace_prepare(ws);
    cnn_run_forward(cnn_workspace_frame(ws), &run, 0, net->node_count);
    const float *out = cnn_workspace_map(ws, -1);
    double loss = 0;
    for (size_t i = 0; i < SAMPLES * cnn_shape_count(cnn_net_output(net)); i++)
        loss += (double)weight[i] * (double)out[i];
    return loss;
}

static void check_whole_net(struct cnn_spec *spec)
{
    struct cnn_net *net = net_build(spec);
    struct err e = {0};
    struct cnn_workspace *ws = cnn_workspace_new(net, SAMPLES, CNN_TRAIN, &e);
    ck_assert_ptr_nonnull(ws);
    const size_t outputs = SAMPLES * cnn_shape_count(cnn_net_output(net));
    float *grads = net_floats(net->param_count), *weight = net_floats(outputs);
    struct cnn_rng rng;
    cnn_rng_init(&rng, 1, 1);
    fill_uniform(weight, outputs, &rng);
    fill_uniform(cnn_workspace_input(ws), SAMPLES * cnn_shape_count(&net->input), &rng);
    cnn_net_init(net, CNN_INIT_UNIFORM, 9);

    net_loss(net, ws, weight);
    memcpy(cnn_workspace_output_grad(ws), weight, outputs * sizeof *weight);
    struct cnn_run run = {
        .n = SAMPLES, .batch_count = SAMPLES, .training = true, .seed = 5, .grads = grads};
    /* In two ranges, as around a batch-norm. */
    cnn_run_backward(cnn_workspace_frame(ws), &run, net->node_count / 2, net->node_count);
    cnn_run_backward(cnn_workspace_frame(ws), &run, 0, net->node_count / 2);
    for (size_t i = 0; i < net->param_count; i++) {
        float original = net->params[i];
        net->params[i] = original - STEP;
        double width = -(double)net->params[i], before = net_loss(net, ws, weight);
        net->params[i] = original + STEP;
        width += (double)net->params[i];
        double expected = (net_loss(net, ws, weight) - before) / width;
        net->params[i] = original;
        ck_assert_msg(fabs((double)grads[i] - expected) <= TOLERANCE * fmax(1, fabs(expected)),
                      "parameter %zu has gradient %g, finite difference %g", i, (double)grads[i],
                      expected);
    }
    free(grads);
    free(weight);
    cnn_workspace_free(ws);
    cnn_net_free(net);
}

START_TEST(plain_net_gradients)
{
    struct cnn_spec spec = {.input = net_shape(2, 8, 7, 0)};
    net_conv(&spec, 2, 3, 3, 1, 1);
    net_add(&spec, CNN_TANH);
    net_pool(&spec, CNN_AVG_POOL, 2, 2, 0, 0);
    net_add(&spec, CNN_FLATTEN);
    net_dense(&spec, 6);
    net_add(&spec, CNN_DROPOUT);
    net_add(&spec, CNN_SIGMOID);
    net_dense(&spec, 4);
    net_add(&spec, CNN_LOG_SOFTMAX);
    check_whole_net(&spec);
}
END_TEST

START_TEST(residual_net_gradients_add_up_where_maps_fan_out)
{
    struct cnn_spec spec = {.input = net_shape(2, 5, 4, 0)};
    net_conv(&spec, 2, 3, 3, 1, 1);                                               /* 0 */
    net_add(&spec, CNN_TANH);                                                     /* 1 */
    net_conv(&spec, 2, 3, 3, 1, 1);                                               /* 2 */
    net_inputs(net_add(&spec, CNN_ADD), 2, (const int[]){2, 1});                  /* 3 */
    net_add(&spec, CNN_SIGMOID);                                                  /* 4 */
    net_inputs(net_add(&spec, CNN_CONCAT), 4, (const int[]){4, 1, 4, 4});         /* 5 */
    net_inputs(net_add(&spec, CNN_ADD), 3, (const int[]){5, 5, 5});               /* 6 */
    net_conv(&spec, 2, 2, 2, 1, 0);                                               /* 7 */
    net_inputs(net_conv(&spec, 2, 2, 2, 1, 0), 1, (const int[]){CNN_FROM_INPUT}); /* 8 */
    net_inputs(net_add(&spec, CNN_ADD), 2, (const int[]){7, 8});                  /* 9 */
    check_whole_net(&spec);
}
END_TEST

START_TEST(nets_with_nothing_to_train_first_gradients)
{
    /* Nodes 0 and 1 stand before any parameter: they get no gradient and need none. */
    struct cnn_spec spec = {.input = net_shape(2, 6, 6, 0)};
    net_add(&spec, CNN_TANH);
    net_pool(&spec, CNN_MAX_POOL, 2, 2, 0, 0);
    net_conv(&spec, 2, 2, 2, 1, 0);
    net_inputs(net_conv(&spec, 2, 2, 2, 1, 0), 1, (const int[]){1});
    net_inputs(net_add(&spec, CNN_ADD), 2, (const int[]){2, 3});
    check_whole_net(&spec);
}
END_TEST

TEST_PROGRAM("core gradients", conv_gradients, conv_gradients_with_another_window_on_each_axis,
             conv_gradients_in_each_padding_mode, max_pool_gradients, avg_pool_gradients,
             global_avg_pool_gradients, dense_gradients, flatten_gradients, activation_gradients,
             leaky_relu_gradients_with_a_slope_below_zero, softmax_gradients, dropout_gradients,
             batch_norm_gradients_through_the_batch_sums, add_gradients, concat_gradients,
             plain_net_gradients, residual_net_gradients_add_up_where_maps_fan_out,
             nets_with_nothing_to_train_first_gradients)
