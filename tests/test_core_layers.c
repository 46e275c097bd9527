/* Layers against worked examples: REFERENCE's convolutions, sizes, pooling and activations; what
 * PyTorch's documentation promises of the rest; and the engine around them. */
#include <math.h>
#include <string.h>

#include "harness.h"
#include "nets.h"
#include "rng.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Runs one canonical sample and compares the canonical output; frees the net. */
static void expect_out(struct cnn_net *net, const float *x, const float *expected, size_t count)
{
    ck_assert_uint_eq(cnn_shape_count(cnn_net_output(net)), count);
    float *out = net_run(net, x);
    harness_close(out, expected, count, 1e-5, net->nodes[net->node_count - 1].spec.name);
    free(out);
    cnn_net_free(net);
}

/* One convolution without bias; weight in canonical order. */
static struct cnn_net *conv_net(struct cnn_shape input, int filters, int kernel, int stride,
                                enum cnn_padding mode, int padding, const float *weight)
{
    struct cnn_spec spec = {.input = input};
    struct cnn_layer_spec *layer = net_conv(&spec, input.rank, filters, kernel, stride, padding);
    layer->u.conv.window.padding = mode;
    layer->u.conv.bias = false;
    struct cnn_net *net = net_build(&spec);
    cnn_net_import(net, 0, weight);
    return net;
}

/* True convolution turns the kernel round. */
static const float *flipped(const float *kernel, size_t count)
{
    static float turned[64];
    for (size_t i = 0; i < count; i++)
        turned[i] = kernel[count - 1 - i];
    return turned;
}

static void count_up(float *values, size_t count, float first)
{
    for (size_t i = 0; i < count; i++)
        values[i] = first + (float)i;
}

START_TEST(conv_sobel)
{
    const float kernel[] = {-1, 0, 1, -2, 0, 2, -1, 0, 1}, expected[] = {8};
    float x[9];
    count_up(x, 9, 1);
    expect_out(conv_net(net_shape(1, 3, 3, 0), 1, 3, 1, CNN_PAD_NUMBER, 0, kernel), x, expected, 1);
}
END_TEST

START_TEST(conv_laplace_padded)
{
    const float x[] = {1, 0, 2, 3, 0, 4, 5, 6, 0}, kernel[] = {0, 1, 0, 1, -4, 1, 0, 1, 0};
    const float expected[] = {-1, 3, -4, -6, 13, -14, -11, -19, 10};
    expect_out(conv_net(net_shape(1, 3, 3, 0), 1, 3, 1, CNN_PAD_NUMBER, 1, kernel), x, expected, 9);
}
END_TEST

START_TEST(conv_stride_two)
{
    const float x[] = {1, 1, 2, 4, 2, 2, 3, 5, 3, 3, 1, 0, 4, 4, 0, 0};
    const float kernel[] = {1, -1, -1, 1}, expected[] = {0, 0, 0, 1};
    expect_out(conv_net(net_shape(1, 4, 4, 0), 1, 2, 2, CNN_PAD_NUMBER, 0, kernel), x, expected, 4);
}
END_TEST

START_TEST(conv_1d_true_convolution_same)
{
    const float x[] = {1, 3, 2, 4, 5, 6, 1, 3}, kernel[] = {1, 0, 3, 1, 2};
    const float expected[] = {5, 14, 16, 26, 24, 34, 19, 22};
    struct cnn_shape input = net_shape(1, 8, 0, 0);
    expect_out(conv_net(input, 1, 5, 1, CNN_PAD_NUMBER, 2, flipped(kernel, 5)), x, expected, 8);
    expect_out(conv_net(input, 1, 5, 1, CNN_PAD_SAME, 0, flipped(kernel, 5)), x, expected, 8);
}
END_TEST

START_TEST(conv_1d_true_convolution_strided)
{
    const float x[] = {3, 2, 1, 7, 1, 2, 5, 4}, kernel[] = {0.5f, 0.75f, 1, 0.25f};
    const float expected[] = {7, 9, 8};
    expect_out(conv_net(net_shape(1, 8, 0, 0), 1, 4, 2, CNN_PAD_VALID, 0, flipped(kernel, 4)), x,
               expected, 3);
}
END_TEST

static const float convolved_x[] = {1, 3, 2, 4, 5, 6, 1, 3, 1, 2, 0, 2, 3, 4, 3, 2};
static const float convolving_kernel[] = {1, 0, 3, 1, 2, 1, 0, 1, 1};

START_TEST(conv_2d_true_convolution_valid_and_same)
{
    const float valid[] = {25, 24, 28, 25};
    const float same[] = {11, 25, 32, 13, 19, 25, 24, 13, 13, 28, 25, 17, 11, 17, 14, 9};
    struct cnn_shape input = net_shape(1, 4, 4, 0);
    const float *kernel = flipped(convolving_kernel, 9);
    expect_out(conv_net(input, 1, 3, 1, CNN_PAD_VALID, 0, kernel), convolved_x, valid, 4);
    expect_out(conv_net(input, 1, 3, 1, CNN_PAD_SAME, 0, kernel), convolved_x, same, 16);
}
END_TEST

START_TEST(conv_full_is_the_whole_convolution)
{
    const float x1[] = {1, 3, 2, 4, 5, 6, 1, 3}, kernel1[] = {1, 0, 3, 1, 2};
    const float full1[] = {1, 3, 5, 14, 16, 26, 24, 34, 19, 22, 5, 6};
    expect_out(conv_net(net_shape(1, 8, 0, 0), 1, 5, 1, CNN_PAD_FULL, 0, flipped(kernel1, 5)), x1,
               full1, 12);
    const float full2[] = {1, 3,  5,  13, 6,  12, 6, 11, 25, 32, 13, 13, 6, 19, 25, 24, 13, 13,
                           4, 13, 28, 25, 17, 11, 3, 11, 17, 14, 9,  4,  0, 3,  7,  7,  5,  2};
    expect_out(
        conv_net(net_shape(1, 4, 4, 0), 1, 3, 1, CNN_PAD_FULL, 0, flipped(convolving_kernel, 9)),
        convolved_x, full2, 36);
    /* In 3-D a cube of ones over one pixel is a cube of it. */
    const float ones[] = {1, 1, 1, 1, 1, 1, 1, 1}, x3[] = {5};
    const float full3[] = {5, 5, 5, 5, 5, 5, 5, 5};
    expect_out(conv_net(net_shape(1, 1, 1, 1), 1, 2, 1, CNN_PAD_FULL, 0, ones), x3, full3, 8);
}
END_TEST

START_TEST(conv_two_channels)
{
    const float weight[] = {.1f, .2f, -.4f, -.5f, .4f, .3f, -.42f, -.45f};
    const float expected[] = {-10.25f, -11.02f, -11.79f, -13.33f, -14.1f,
                              -14.87f, -16.41f, -17.18f, -17.95f};
    float x[32];
    count_up(x, 32, 0);
    expect_out(conv_net(net_shape(2, 4, 4, 0), 1, 2, 1, CNN_PAD_NUMBER, 0, weight), x, expected, 9);
}
END_TEST

START_TEST(conv_bias_is_added_once_a_filter)
{
    struct cnn_spec spec = {.input = net_shape(1, 2, 2, 0)};
    net_conv(&spec, 2, 2, 1, 1, 0);
    struct cnn_net *net = net_build(&spec);
    const float weight[] = {1, -1}, bias[] = {10, 20}, x[] = {1, 2, 3, 4};
    const float expected[] = {11, 12, 13, 14, 19, 18, 17, 16};
    cnn_net_import(net, 0, weight);
    cnn_net_import(net, 1, bias);
    expect_out(net, x, expected, 8);
}
END_TEST

START_TEST(conv_worked_gradients)
{
    struct cnn_spec spec = {.input = net_shape(1, 4, 4, 0)};
    net_conv(&spec, 2, 2, 3, 1, 0);
    struct cnn_net *net = net_build(&spec);
    const float weight[] = {0, 0, 0, 0, 1, 0, 0, -1, 0, 0, 0, 0, 0, -1, 1, 0, 0, 0};
    const float out[] = {-4, -4, -4, -4, 1, 1, 1, 1};
    const float grad_output[] = {-4, -4, -4, -4, 1, -7, 1, -11};
    const float grad_input[] = {0, 0, 0, 0, 0, -5, 4, -7, 0, -1, 12, -11, 0, 4, 4, 0};
    const float grad_weight[] = {-56, -72, -88,  -120, -136, -152, -184, -200, -216,
                                 -74, -90, -106, -138, -154, -170, -202, -218, -234};
    const float grad_bias[] = {-16, -16};
    float x[16], y[8], canonical[8], dout[8], din[16];
    count_up(x, 16, 1);
    cnn_net_import(net, 0, weight);
    struct cnn_node *node = &net->nodes[0];
    float *scratch = net_floats(node->op->scratch_floats(node, NULL, 1, true));
    float *grads = net_floats(net->param_count);
    float *prepared = net_floats(node->op->prepared_floats(node, true));
    node->op->prepare(node, net->params, true, prepared);
    struct cnn_pass pass = {.n = 1,
                            .training = true,
                            .in = {x},
                            .out = y,
                            .params = net->params,
                            .scratch = scratch,
                            .batch_count = 1,
                            .dout = dout,
                            .din = {din},
                            .dparams = grads,
                            .prepared = prepared};
    node->op->forward(node, &pass);
    cnn_layout_to_canonical(&node->out, y, canonical);
    harness_close(canonical, out, 8, 1e-6, "out");
    cnn_layout_to_last(&node->out, grad_output, dout);
    node->op->backward(node, &pass);
    harness_close(din, grad_input, 16, 1e-6, "grad_input");
    memcpy(net->params, grads, net->param_count * sizeof *grads); /* to read them canonically */
    float exported[18];
    cnn_net_export(net, 0, exported);
    harness_close(exported, grad_weight, 18, 1e-6, "grad_weight");
    cnn_net_export(net, 1, exported);
    harness_close(exported, grad_bias, 2, 1e-6, "grad_bias");
    free(scratch);
    free(prepared);
    free(grads);
    cnn_net_free(net);
}
END_TEST

START_TEST(conv_3d_sums_a_cube)
{
    float ones[27], x[27];
    for (int i = 0; i < 27; i++)
        ones[i] = 1;
    count_up(x, 27, 1);
    const float whole[] = {378};
    struct cnn_shape input = net_shape(1, 3, 3, 3);
    expect_out(conv_net(input, 1, 3, 1, CNN_PAD_VALID, 0, ones), x, whole, 1);
    /* same: the corner sees the 2x2x2 block 1,2,4,5,10,11,13,14; the centre everything. */
    struct cnn_net *net = conv_net(input, 1, 3, 1, CNN_PAD_SAME, 0, ones);
    float *out = net_run(net, x);
    ck_assert_float_eq(out[0], 60);
    ck_assert_float_eq(out[13], 378);
    free(out);
    cnn_net_free(net);
}
END_TEST

START_TEST(conv_dilation_skips)
{
    const float x[] = {1, 2, 3, 4, 5, 6}, kernel[] = {1, 10};
    const float expected[] = {41, 52, 63};
    struct cnn_spec spec = {.input = net_shape(1, 6, 0, 0)};
    struct cnn_layer_spec *layer = net_conv(&spec, 1, 1, 2, 1, 0);
    layer->u.conv.window.dilation[2] = 3;
    layer->u.conv.bias = false;
    struct cnn_net *net = net_build(&spec);
    cnn_net_import(net, 0, kernel);
    expect_out(net, x, expected, 3);
}
END_TEST

START_TEST(conv_groups_keep_channels_apart)
{
    const float x[] = {1, 2, 3, 4}, weight[] = {1, 1, 10, 100};
    const float expected[] = {3, 430};
    struct cnn_spec spec = {.input = net_shape(4, 1, 0, 0)};
    struct cnn_layer_spec *layer = net_conv(&spec, 1, 2, 1, 1, 0);
    layer->u.conv.groups = 2;
    layer->u.conv.bias = false;
    struct cnn_net *net = net_build(&spec);
    cnn_net_import(net, 0, weight);
    expect_out(net, x, expected, 2);
}
END_TEST

START_TEST(window_sizes)
{
    const struct {
        int n, kernel, stride, padding, out;
    } rows[] = {{10, 5, 1, 2, 10}, {144, 3, 1, 0, 142}, {20, 3, 2, 0, 9}, {8, 3, 2, 1, 4},
                {4, 3, 2, 1, 2},   {8, 2, 2, 0, 4},     {4, 2, 2, 0, 2},  {7, 3, 3, 0, 2}};
    for (size_t i = 0; i < COUNT(rows); i++)
        for (int dims = 1; dims <= 3; dims++) {
            struct cnn_window window = {.padding = CNN_PAD_NUMBER, .dilation = {1, 1, 1}};
            struct cnn_shape in =
                net_shape(1, rows[i].n, dims > 1 ? rows[i].n : 0, dims > 2 ? rows[i].n : 0);
            struct cnn_shape out;
            struct err e = {0};
            cnn_window_set(&window, dims, rows[i].kernel, rows[i].stride);
            net_pad(&window, rows[i].padding);
            ck_assert(cnn_window_infer("conv", &window, &in, &out, &e));
            for (int axis = 0; axis < CNN_AXES; axis++)
                ck_assert_int_eq(out.size[axis], axis < CNN_AXES - dims ? 1 : rows[i].out);
            ck_assert_int_eq(out.rank, dims);
        }
}
END_TEST

START_TEST(window_same_keeps_ceil_of_size_over_stride)
{
    for (int n = 1; n <= 12; n++)
        for (int kernel = 1; kernel <= 7; kernel++)
            for (int stride = 1; stride <= 4; stride++) {
                struct cnn_window window = {.padding = CNN_PAD_SAME, .dilation = {1, 1, 1}};
                struct cnn_shape in = net_shape(1, n, 0, 0), out;
                struct err e = {0};
                cnn_window_set(&window, 1, kernel, stride);
                ck_assert(cnn_window_infer("conv", &window, &in, &out, &e));
                ck_assert_int_eq(out.size[2], (n + stride - 1) / stride);
                int odd = window.after[2] - window.before[2];
                ck_assert(odd == 0 || odd == 1); /* the odd one goes after */
            }
}
END_TEST

/* The extra zero of an even kernel stands after, as in TensorFlow, ONNX's SAME_UPPER and PyTorch.
 */
START_TEST(conv_same_with_an_even_kernel_pads_after)
{
    const float x[] = {1, 2, 3, 4}, kernel[] = {1, 10}, expected[] = {21, 32, 43, 4};
    expect_out(conv_net(net_shape(1, 4, 0, 0), 1, 2, 1, CNN_PAD_SAME, 0, kernel), x, expected, 4);
    const float strided[] = {21, 43};
    expect_out(conv_net(net_shape(1, 4, 0, 0), 1, 2, 2, CNN_PAD_SAME, 0, kernel), x, strided, 2);
}
END_TEST

START_TEST(window_same_and_full_count_the_dilated_kernel)
{
    struct cnn_window window = {.padding = CNN_PAD_SAME, .dilation = {1, 1, 3}};
    struct cnn_shape in = net_shape(1, 10, 0, 0), out;
    struct err e = {0};
    cnn_window_set(&window, 1, 3, 1);
    ck_assert(cnn_window_infer("conv", &window, &in, &out, &e));
    ck_assert_int_eq(out.size[2], 10);
    ck_assert_int_eq(window.before[2], 3);
    window.padding = CNN_PAD_FULL;
    ck_assert(cnn_window_infer("conv", &window, &in, &out, &e));
    ck_assert_int_eq(out.size[2], 16);
    ck_assert_int_eq(window.after[2], 6);
}
END_TEST

static struct cnn_net *pool_net(struct cnn_shape input, enum cnn_layer_type type, int size,
                                int stride, int padding, bool count_padding)
{
    struct cnn_spec spec = {.input = input};
    net_pool(&spec, type, input.rank, size, stride, padding)->u.pool.count_padding = count_padding;
    return net_build(&spec);
}

START_TEST(max_pool_stride_defaults_to_its_size)
{
    const float x[] = {1, 3, 2, 4, 5, 6, 1, 3, 1, 2, 0, 2, 3, 4, 3, 2}, expected[] = {6, 4, 4, 3};
    expect_out(pool_net(net_shape(1, 4, 4, 0), CNN_MAX_POOL, 2, 0, 0, false), x, expected, 4);
}
END_TEST

START_TEST(max_pool_overlapping)
{
    const float x[] = {1, 3, 2, 4, 5, 6, 1, 3, 1, 2, 0, 2, 3, 4, 3, 2};
    const float expected[] = {6, 6, 4, 6, 6, 3, 4, 4, 3};
    expect_out(pool_net(net_shape(1, 4, 4, 0), CNN_MAX_POOL, 2, 1, 0, false), x, expected, 9);
}
END_TEST

START_TEST(max_pool_padding_never_wins)
{
    const float x[] = {-5, -4, -3, -2}, expected[] = {-4, -2};
    expect_out(pool_net(net_shape(1, 4, 0, 0), CNN_MAX_POOL, 3, 2, 1, false), x,
               (const float[]){-4, -2}, 2);
    expect_out(pool_net(net_shape(1, 4, 0, 0), CNN_MAX_POOL, 2, 2, 0, false), x, expected, 2);
}
END_TEST

START_TEST(max_pool_keeps_channels_apart_in_3d)
{
    float x[16];
    count_up(x, 16, 0);
    const float expected[] = {7, 15};
    expect_out(pool_net(net_shape(2, 2, 2, 2), CNN_MAX_POOL, 2, 0, 0, false), x, expected, 2);
}
END_TEST

START_TEST(max_pool_lets_nan_through)
{
    const float x[] = {1, NAN, 3, 4};
    struct cnn_net *net = pool_net(net_shape(1, 2, 2, 0), CNN_MAX_POOL, 2, 0, 0, false);
    float *out = net_run(net, x);
    ck_assert(isnan(out[0]));
    free(out);
    cnn_net_free(net);
}
END_TEST

START_TEST(avg_pool_counts_padding_only_when_told)
{
    const float x[] = {2, 4, 6, 8}, without[] = {3, 6}, with[] = {2, 6};
    struct cnn_shape input = net_shape(1, 4, 0, 0);
    expect_out(pool_net(input, CNN_AVG_POOL, 3, 2, 1, false), x, without, 2);
    expect_out(pool_net(input, CNN_AVG_POOL, 3, 2, 1, true), x, with, 2);
}
END_TEST

START_TEST(avg_pool_overlapping)
{
    float x[9];
    count_up(x, 9, 1);
    const float expected[] = {3, 4, 6, 7};
    expect_out(pool_net(net_shape(1, 3, 3, 0), CNN_AVG_POOL, 2, 1, 0, false), x, expected, 4);
}
END_TEST

static struct cnn_net *plain_net(struct cnn_shape input, enum cnn_layer_type type)
{
    struct cnn_spec spec = {.input = input};
    net_add(&spec, type);
    return net_build(&spec);
}

START_TEST(global_avg_pool_keeps_the_rank)
{
    const float x[] = {1, 2, 3, 4, 10, 20, 30, 40}, expected[] = {2.5f, 25};
    struct cnn_net *net = plain_net(net_shape(2, 2, 2, 0), CNN_GLOBAL_AVG_POOL);
    ck_assert_int_eq(cnn_net_output(net)->rank, 2);
    expect_out(net, x, expected, 2);
}
END_TEST

START_TEST(dense_is_weights_times_input_plus_bias)
{
    struct cnn_spec spec = {.input = net_shape(3, 0, 0, 0)};
    net_dense(&spec, 2);
    struct cnn_net *net = net_build(&spec);
    const float weight[] = {1, 2, 3, -1, 0, 1}, bias[] = {10, 20}, x[] = {1, 2, 3};
    const float expected[] = {24, 22};
    cnn_net_import(net, 0, weight);
    cnn_net_import(net, 1, bias);
    expect_out(net, x, expected, 2);
}
END_TEST

START_TEST(flatten_gives_canonical_order)
{
    float x[24];
    count_up(x, 24, 0);
    expect_out(plain_net(net_shape(4, 3, 2, 0), CNN_FLATTEN), x, x, 24);
    expect_out(plain_net(net_shape(2, 3, 2, 2), CNN_FLATTEN), x, x, 24);
    struct cnn_net *net = plain_net(net_shape(4, 3, 2, 0), CNN_FLATTEN);
    ck_assert_int_eq(cnn_net_output(net)->rank, 0);
    cnn_net_free(net);
}
END_TEST

START_TEST(activations)
{
    const float x[] = {-2, -0.5f, 0, 0.5f, 2};
    const struct cnn_shape input = net_shape(5, 0, 0, 0);
    expect_out(plain_net(input, CNN_RELU), x, (const float[]){0, 0, 0, 0.5f, 2}, 5);
    expect_out(plain_net(input, CNN_LEAKY_RELU), x, (const float[]){-0.02f, -0.005f, 0, 0.5f, 2},
               5);
    expect_out(plain_net(input, CNN_TANH), x,
               (const float[]){-0.96402758f, -0.46211716f, 0, 0.46211716f, 0.96402758f}, 5);
    expect_out(plain_net(input, CNN_SIGMOID), x,
               (const float[]){0.11920292f, 0.37754067f, 0.5f, 0.62245933f, 0.88079708f}, 5);
}
END_TEST

START_TEST(activations_hold_at_the_extremes)
{
    const float x[] = {-1000, 1000};
    const struct cnn_shape input = net_shape(2, 0, 0, 0);
    expect_out(plain_net(input, CNN_SIGMOID), x, (const float[]){0, 1}, 2);
    expect_out(plain_net(input, CNN_TANH), x, (const float[]){-1, 1}, 2);
    expect_out(plain_net(input, CNN_SOFTMAX), x, (const float[]){0, 1}, 2);
    expect_out(plain_net(input, CNN_LOG_SOFTMAX), x, (const float[]){-2000, 0}, 2);
}
END_TEST

START_TEST(relu_lets_nan_through)
{
    const float x[] = {NAN};
    const enum cnn_layer_type types[] = {CNN_RELU, CNN_LEAKY_RELU};
    for (size_t i = 0; i < COUNT(types); i++) {
        struct cnn_net *net = plain_net(net_shape(1, 0, 0, 0), types[i]);
        float *out = net_run(net, x);
        ck_assert(isnan(out[0]));
        free(out);
        cnn_net_free(net);
    }
}
END_TEST

START_TEST(softmax_of_the_reference)
{
    const float x[] = {1, 2, 3, 4, 1, 2, 3};
    const float expected[] = {.02364054f, .06426166f, .1746813f, .474833f,
                              .02364054f, .06426166f, .1746813f};
    float logs[7];
    for (int i = 0; i < 7; i++)
        logs[i] = logf(expected[i]);
    expect_out(plain_net(net_shape(7, 0, 0, 0), CNN_SOFTMAX), x, expected, 7);
    expect_out(plain_net(net_shape(7, 0, 0, 0), CNN_LOG_SOFTMAX), x, logs, 7);
}
END_TEST

START_TEST(softmax_is_over_the_channels_of_each_pixel)
{
    const float x[] = {0, 5, 0, 5}; /* two channels, two pixels: equal at both */
    expect_out(plain_net(net_shape(2, 2, 0, 0), CNN_SOFTMAX), x,
               (const float[]){0.5f, 0.5f, 0.5f, 0.5f}, 4);
}
END_TEST

START_TEST(add_and_concat_join_branches)
{
    const float x[] = {-1, 2, 3, -4}; /* [2,2] */
    struct cnn_spec spec = {.input = net_shape(2, 2, 0, 0)};
    net_add(&spec, CNN_RELU);
    net_inputs(net_add(&spec, CNN_ADD), 2, (const int[]){CNN_FROM_INPUT, 0});
    expect_out(net_build(&spec), x, (const float[]){-1, 4, 6, -4}, 4);
    spec.input = net_shape(2, 2, 0, 0);
    net_add(&spec, CNN_RELU);
    net_inputs(net_add(&spec, CNN_CONCAT), 2, (const int[]){0, CNN_FROM_INPUT});
    expect_out(net_build(&spec), x, (const float[]){0, 2, 3, 0, -1, 2, 3, -4}, 8);
}
END_TEST

/* One dropout layer in training on `n` samples that start at `first` of the batch. */
static void drop(const struct cnn_net *net, uint64_t seed, uint64_t step, int first, int n,
                 float *out)
{
    struct err e = {0};
    struct cnn_workspace *ws = cnn_workspace_new(net, n, CNN_TRAIN, &e);
    ck_assert_ptr_nonnull(ws);
    const size_t count = (size_t)n * cnn_shape_count(&net->input);
    for (size_t i = 0; i < count; i++)
        cnn_workspace_input(ws)[i] = 1;
    struct cnn_run run = {.n = n,
                          .first_sample = first,
                          .batch_count = 8,
                          .training = true,
                          .seed = seed,
                          .step = step};
    cnn_run_forward(cnn_workspace_frame(ws), &run, 0, net->node_count);
    memcpy(out, cnn_workspace_map(ws, -1), count * sizeof *out);
    cnn_workspace_free(ws);
}

START_TEST(dropout_drops_its_share_and_scales_the_rest)
{
    struct cnn_spec spec = {.input = net_shape(1000, 0, 0, 0)};
    net_add(&spec, CNN_DROPOUT)->u.dropout.rate = 0.2f;
    struct cnn_net *net = net_build(&spec);
    float *out = net_floats(8000);
    drop(net, 1, 1, 0, 8, out);
    int dropped = 0;
    for (int i = 0; i < 8000; i++) {
        ck_assert(out[i] == 0 || out[i] == 1.25f);
        dropped += out[i] == 0;
    }
    ck_assert_int_ge(dropped, 1450); /* 1600, deviation 36 */
    ck_assert_int_le(dropped, 1750);
    free(out);
    cnn_net_free(net);
}
END_TEST

START_TEST(dropout_masks_do_not_depend_on_shards)
{
    struct cnn_net *net = plain_net(net_shape(50, 0, 0, 0), CNN_DROPOUT);
    float whole[400], parts[400], other[400];
    drop(net, 1, 1, 0, 8, whole);
    drop(net, 1, 1, 0, 3, parts);
    drop(net, 1, 1, 3, 5, parts + 150);
    ck_assert_mem_eq(whole, parts, sizeof whole);
    drop(net, 1, 2, 0, 8, other); /* another step */
    ck_assert_mem_ne(whole, other, sizeof whole);
    drop(net, 2, 1, 0, 8, other); /* another seed */
    ck_assert_mem_ne(whole, other, sizeof whole);
    ck_assert_mem_ne(whole, whole + 50, 50 * sizeof *whole); /* another sample */
    cnn_net_free(net);
}
END_TEST

START_TEST(dropout_is_the_identity_at_inference)
{
    float x[20];
    count_up(x, 20, 1);
    expect_out(plain_net(net_shape(20, 0, 0, 0), CNN_DROPOUT), x, x, 20);
}
END_TEST

START_TEST(batch_norm_normalises_by_the_batch_and_moves_its_statistics)
{
    /* Two samples [1,2]: values 1, 3, 5, 7: mean 4, variance 5 biased, 20/3 unbiased. */
    struct cnn_net *net = plain_net(net_shape(1, 2, 0, 0), CNN_BATCH_NORM);
    struct err e = {0};
    struct cnn_workspace *ws = cnn_workspace_new(net, 2, CNN_TRAIN, &e);
    ck_assert_ptr_nonnull(ws);
    memcpy(cnn_workspace_input(ws), (const float[]){1, 3, 5, 7}, 4 * sizeof(float));
    net->params[0] = 2; /* scale */
    net->params[1] = 1; /* shift */
    ck_assert_int_eq(cnn_stage_sync_doubles(cnn_workspace_frame(ws)->plan, 0), 2);
    double sums[2];
    const double *sync[] = {sums};
    struct cnn_run run = {.n = 2, .batch_count = 2, .training = true, .sync = sync};
    cnn_run_forward_sums(cnn_workspace_frame(ws), &run, 0, sums);
    ck_assert_double_eq(sums[0], 16);
    ck_assert_double_eq(sums[1], 84);
    cnn_run_forward(cnn_workspace_frame(ws), &run, 0, 1);
    const float unit = 2 / sqrtf(5.00001f);
    const float expected[] = {1 - 3 * unit, 1 - unit, 1 + unit, 1 + 3 * unit};
    harness_close(cnn_workspace_map(ws, 0), expected, 4, 1e-6, "batch_norm");

    cnn_net_update_stats(net, sync, 2);
    float variance = 0.9f + 2.0f / 3;
    harness_close(net->params + 2, (const float[]){0.4f, variance}, 2, 1e-6, "statistics");
    cnn_net_update_stats(net, sync, 2);
    variance = 0.9f * variance + 2.0f / 3;
    harness_close(net->params + 2, (const float[]){0.76f, variance}, 2, 1e-6, "statistics");

    cnn_workspace_free(ws);
    const float x[] = {0.76f, 1.76f}, inferred[] = {1, 1 + 2 / sqrtf(variance + 1e-5f)};
    expect_out(net, x, inferred, 2);
}
END_TEST

START_TEST(batch_norm_of_a_constant_is_its_shift)
{
    struct cnn_net *net = plain_net(net_shape(1, 4, 0, 0), CNN_BATCH_NORM);
    struct err e = {0};
    struct cnn_workspace *ws = cnn_workspace_new(net, 1, CNN_TRAIN, &e);
    ck_assert_ptr_nonnull(ws);
    for (int i = 0; i < 4; i++)
        cnn_workspace_input(ws)[i] = 1234.567f;
    double sums[2];
    const double *sync[] = {sums};
    struct cnn_run run = {.n = 1, .batch_count = 1, .training = true, .sync = sync};
    cnn_run_forward_sums(cnn_workspace_frame(ws), &run, 0, sums);
    cnn_run_forward(cnn_workspace_frame(ws), &run, 0, 1);
    harness_close(cnn_workspace_map(ws, 0), (const float[]){0, 0, 0, 0}, 4, 1e-2, "constant");
    cnn_workspace_free(ws);
    cnn_net_free(net);
}
END_TEST

START_TEST(a_batch_runs_as_its_samples_do)
{
    struct cnn_spec spec = {.input = net_shape(3, 9, 8, 0)};
    net_conv(&spec, 2, 5, 3, 1, 1);
    net_add(&spec, CNN_BATCH_NORM);
    net_add(&spec, CNN_RELU);
    net_pool(&spec, CNN_MAX_POOL, 2, 2, 0, 0);
    net_add(&spec, CNN_FLATTEN);
    net_dense(&spec, 4);
    struct cnn_net *net = net_build(&spec);
    cnn_net_init(net, CNN_INIT_HE, 3);
    struct err e = {0};
    struct cnn_workspace *ws = cnn_workspace_new(net, 5, CNN_INFER, &e);
    ck_assert_ptr_nonnull(ws);
    ck_assert_int_eq(cnn_workspace_capacity(ws), 5);
    const size_t count = cnn_shape_count(&net->input);
    float *x = net_floats(5 * count), together[20];
    struct cnn_rng rng;
    cnn_rng_init(&rng, 1, 1);
    for (size_t i = 0; i < 5 * count; i++)
        x[i] = cnn_rng_uniform(&rng, -1, 1);
    memcpy(together, cnn_forward_canonical(net, ws, x, 5), sizeof together);
    for (size_t i = 0; i < 5; i++) {
        float *alone = net_run(net, x + i * count);
        harness_close(alone, together + i * 4, 4, 1e-5, "sample");
        free(alone);
    }
    /* Every map can be looked at. */
    ck_assert_ptr_eq(cnn_workspace_map(ws, 5), cnn_workspace_map(ws, -1));
    const float *map = cnn_workspace_map(ws, 2);
    for (size_t i = 0; i < 5 * cnn_shape_count(&net->nodes[2].out); i++)
        ck_assert(map[i] >= 0);
    free(x);
    cnn_workspace_free(ws);
    cnn_net_free(net);
}
END_TEST

START_TEST(training_workspaces_are_larger)
{
    struct cnn_spec spec = {.input = net_shape(1, 8, 8, 0)};
    net_conv(&spec, 2, 4, 3, 1, 0);
    net_pool(&spec, CNN_MAX_POOL, 2, 2, 0, 0);
    struct cnn_net *net = net_build(&spec);
    struct err e = {0};
    struct cnn_workspace *infer = cnn_workspace_new(net, 2, CNN_INFER, &e);
    struct cnn_workspace *train = cnn_workspace_new(net, 2, CNN_TRAIN, &e);
    ck_assert_uint_gt(cnn_workspace_bytes(train), cnn_workspace_bytes(infer));
    ck_assert_uint_ge(cnn_workspace_bytes(infer), 2 * (64 + 144 + 36) * sizeof(float));
    cnn_workspace_free(infer);
    cnn_workspace_free(train);
    cnn_workspace_free(NULL);
    cnn_net_free(net);
}
END_TEST

static void check_scores(enum cnn_layer_type last, const float *out, const float *expected)
{
    struct cnn_net *net = plain_net(net_shape(2, 0, 0, 0), last);
    float scores[4];
    memcpy(scores, out, sizeof scores);
    cnn_scores(net, scores, 2);
    harness_close(scores, expected, 4, 1e-6, cnn_layer_type_name(last));
    cnn_net_free(net);
}

START_TEST(scores_are_probabilities_once)
{
    const float logits[] = {0, logf(3), 1000, 1000};
    const float logs[] = {logf(0.25f), logf(0.75f), logf(0.5f), logf(0.5f)};
    const float scores[] = {0.25f, 0.75f, 0.5f, 0.5f};
    check_scores(CNN_RELU, logits, scores);
    check_scores(CNN_LOG_SOFTMAX, logs, scores);
    check_scores(CNN_SOFTMAX, scores, scores);
    check_scores(CNN_SIGMOID, (const float[]){0.9f, 0.8f, 0, 1}, (const float[]){0.9f, 0.8f, 0, 1});
}
END_TEST

TEST_PROGRAM("core layers", conv_sobel, conv_laplace_padded, conv_stride_two,
             conv_1d_true_convolution_same, conv_1d_true_convolution_strided,
             conv_2d_true_convolution_valid_and_same, conv_full_is_the_whole_convolution,
             conv_two_channels, conv_bias_is_added_once_a_filter, conv_worked_gradients,
             conv_3d_sums_a_cube, conv_dilation_skips, conv_groups_keep_channels_apart,
             window_sizes, window_same_keeps_ceil_of_size_over_stride,
             conv_same_with_an_even_kernel_pads_after,
             window_same_and_full_count_the_dilated_kernel, max_pool_stride_defaults_to_its_size,
             max_pool_overlapping, max_pool_padding_never_wins, max_pool_keeps_channels_apart_in_3d,
             max_pool_lets_nan_through, avg_pool_counts_padding_only_when_told,
             avg_pool_overlapping, global_avg_pool_keeps_the_rank,
             dense_is_weights_times_input_plus_bias, flatten_gives_canonical_order, activations,
             activations_hold_at_the_extremes, relu_lets_nan_through, softmax_of_the_reference,
             softmax_is_over_the_channels_of_each_pixel, add_and_concat_join_branches,
             dropout_drops_its_share_and_scales_the_rest, dropout_masks_do_not_depend_on_shards,
             dropout_is_the_identity_at_inference,
             batch_norm_normalises_by_the_batch_and_moves_its_statistics,
             batch_norm_of_a_constant_is_its_shift, a_batch_runs_as_its_samples_do,
             training_workspaces_are_larger, scores_are_probabilities_once)
