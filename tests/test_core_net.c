/* Building nets: names, inputs, shapes, parameters, and the exact text of each refusal. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "nets.h"

static void refuse(struct cnn_spec *spec, const char *field, const char *detail)
{
    struct err e = {0};
    ck_assert_ptr_null(cnn_net_new(spec, &e));
    ck_assert_int_eq(e.code, ERR_INVALID);
    ck_assert_str_eq(e.detail, detail);
    ck_assert_str_eq(e.field, field);
    cnn_spec_clear(spec);
}

START_TEST(refuses_a_kernel_larger_than_its_input)
{
    struct cnn_spec spec = {.input = net_shape(1, 7, 7, 0)};
    net_conv(&spec, 2, 4, 3, 1, 0);
    net_add(&spec, CNN_RELU);
    struct cnn_layer_spec *layer = net_conv(&spec, 2, 4, 7, 1, 0);
    strcpy(layer->name, "conv3");
    refuse(&spec, "layers[2].kernel", "kernel 7 exceeds padded input 5 at layer 'conv3'");

    spec = (struct cnn_spec){.input = net_shape(1, 7, 0, 0)};
    layer = net_conv(&spec, 1, 1, 4, 1, 1);
    layer->u.conv.window.dilation[2] = 3;
    refuse(&spec, "layers[0].kernel",
           "kernel 4 dilated to 10 exceeds padded input 9 at layer 'conv1'");
}
END_TEST

START_TEST(refuses_window_numbers_out_of_range)
{
    struct cnn_spec spec = {.input = net_shape(1, 7, 7, 0)};
    net_conv(&spec, 2, 4, 0, 1, 0);
    refuse(&spec, "layers[0].kernel", "kernel is 0, expected 1 to 1024 at layer 'conv1'");
    spec.input = net_shape(1, 7, 7, 0);
    net_conv(&spec, 2, 4, 3, 0, 0);
    refuse(&spec, "layers[0].stride", "stride is 0, expected 1 to 1024 at layer 'conv1'");
    spec.input = net_shape(1, 7, 7, 0);
    net_conv(&spec, 2, 4, 3, 1, -1);
    refuse(&spec, "layers[0].padding", "padding is -1, expected 0 to 1024 at layer 'conv1'");
    spec.input = net_shape(1, 7, 7, 0);
    net_conv(&spec, 2, 4, 3, 1, 0)->u.conv.window.dilation[1] = 2000;
    refuse(&spec, "layers[0].dilation", "dilation is 2000, expected 1 to 1024 at layer 'conv1'");
}
END_TEST

START_TEST(refuses_a_window_of_another_rank)
{
    struct cnn_spec spec = {.input = net_shape(1, 24, 24, 24)};
    net_conv(&spec, 2, 4, 3, 1, 0);
    refuse(&spec, "layers[0].type",
           "conv2d wants a 2-D input, got [1,24,24,24]; use conv3d at layer 'conv1'");
    spec.input = net_shape(1, 24, 24, 0);
    net_pool(&spec, CNN_MAX_POOL, 3, 2, 0, 0);
    refuse(&spec, "layers[0].type",
           "max_pool3d wants a 3-D input, got [1,24,24]; use max_pool2d at layer 'max_pool1'");
    spec.input = net_shape(10, 0, 0, 0);
    net_conv(&spec, 1, 4, 3, 1, 0);
    refuse(&spec, "layers[0].type", "conv1d wants a 1-D input, got the flat [10] at layer 'conv1'");
    spec.input = net_shape(10, 5, 0, 0);
    net_conv(&spec, 1, 4, 3, 1, 0)->u.conv.window.dims = 4;
    refuse(&spec, "layers[0].type", "type is 4, expected 1 to 3 at layer 'conv1'");
}
END_TEST

START_TEST(refuses_groups_and_filters_that_do_not_divide)
{
    struct cnn_spec spec = {.input = net_shape(3, 7, 7, 0)};
    net_conv(&spec, 2, 4, 3, 1, 0)->u.conv.groups = 2;
    refuse(&spec, "layers[0].groups",
           "groups 2 does not divide the 3 input channels at layer 'conv1'");
    spec.input = net_shape(3, 7, 7, 0);
    net_conv(&spec, 2, 4, 3, 1, 0)->u.conv.groups = 3;
    refuse(&spec, "layers[0].groups", "groups 3 does not divide the 4 filters at layer 'conv1'");
    spec.input = net_shape(3, 7, 7, 0);
    net_conv(&spec, 2, 4, 3, 1, 0)->u.conv.groups = 0;
    refuse(&spec, "layers[0].groups", "groups is 0, expected 1 to 1048576 at layer 'conv1'");
    spec.input = net_shape(3, 7, 7, 0);
    net_conv(&spec, 2, -4, 3, 1, 0);
    refuse(&spec, "layers[0].filters", "filters is -4, expected 1 to 1048576 at layer 'conv1'");
}
END_TEST

START_TEST(refuses_pooling_it_cannot_do)
{
    struct cnn_spec spec = {.input = net_shape(1, 7, 7, 0)};
    net_pool(&spec, CNN_MAX_POOL, 2, 3, 1, 2);
    refuse(&spec, "layers[0].padding",
           "padding 2 is more than half of kernel 3 at layer 'max_pool1'");
    spec.input = net_shape(1, 7, 7, 0);
    net_pool(&spec, CNN_AVG_POOL, 2, 2, 1, 0)->u.pool.window.dilation[2] = 2;
    refuse(&spec, "layers[0].dilation",
           "dilation is 2, pooling supports only 1 at layer 'avg_pool1'");
    spec.input = net_shape(5, 0, 0, 0);
    net_add(&spec, CNN_GLOBAL_AVG_POOL);
    refuse(&spec, "layers[0]",
           "global_avg_pool wants a feature map, got the flat [5] at layer 'global_avg_pool1'");
}
END_TEST

START_TEST(refuses_dense_on_a_feature_map)
{
    struct cnn_spec spec = {.input = net_shape(32, 3, 3, 0)};
    net_dense(&spec, 10);
    refuse(&spec, "layers[0]",
           "dense wants a flat input, got [32,3,3]; put a flatten before it at layer 'dense1'");
    spec.input = net_shape(32, 0, 0, 0);
    net_dense(&spec, 0);
    refuse(&spec, "layers[0].units", "units is 0, expected 1 to 1048576 at layer 'dense1'");
}
END_TEST

START_TEST(refuses_options_out_of_range)
{
    const float rates[] = {-0.1f, 1, NAN, INFINITY};
    for (int i = 0; i < 4; i++) {
        struct cnn_spec spec = {.input = net_shape(4, 0, 0, 0)};
        char text[128];
        net_add(&spec, CNN_DROPOUT)->u.dropout.rate = rates[i];
        snprintf(text, sizeof text,
                 "rate is %g, expected at least 0 and below 1 at layer 'dropout1'",
                 (double)rates[i]);
        refuse(&spec, "layers[0].rate", text);
    }
    struct cnn_spec spec = {.input = net_shape(4, 0, 0, 0)};
    net_add(&spec, CNN_LEAKY_RELU)->u.leaky.slope = INFINITY;
    refuse(&spec, "layers[0].slope",
           "slope is inf, expected a finite number at layer 'leaky_relu1'");
    spec.input = net_shape(4, 0, 0, 0);
    net_add(&spec, CNN_BATCH_NORM)->u.norm.epsilon = 0;
    refuse(&spec, "layers[0].epsilon",
           "epsilon is 0, expected above 0 and at most 1 at layer 'batch_norm1'");
    spec.input = net_shape(4, 0, 0, 0);
    net_add(&spec, CNN_BATCH_NORM)->u.norm.momentum = 1.5f;
    refuse(&spec, "layers[0].momentum", "momentum is 1.5, expected 0 to 1 at layer 'batch_norm1'");
}
END_TEST

START_TEST(refuses_bad_graphs)
{
    struct cnn_spec spec = {.input = net_shape(2, 4, 4, 0)};
    net_add(&spec, CNN_RELU);
    net_inputs(net_add(&spec, CNN_ADD), 2, (const int[]){0, 1});
    refuse(&spec, "layers[1].inputs[1]", "input 1 is not an earlier layer at layer 'add1'");

    spec.input = net_shape(2, 4, 4, 0);
    net_inputs(net_add(&spec, CNN_RELU), 1, (const int[]){-2});
    refuse(&spec, "layers[0].inputs[0]", "input -2 is not an earlier layer at layer 'relu1'");

    spec.input = net_shape(2, 4, 4, 0);
    net_add(&spec, CNN_ADD);
    refuse(&spec, "layers[0].inputs", "add wants 2 to 8 inputs, got 1 at layer 'add1'");

    spec.input = net_shape(2, 4, 4, 0);
    net_inputs(net_add(&spec, CNN_RELU), 2, (const int[]){-1, -1});
    refuse(&spec, "layers[0].inputs", "relu wants 1 input, got 2 at layer 'relu1'");

    spec.input = net_shape(2, 4, 4, 0);
    net_add(&spec, CNN_ADD)->input_count = 9;
    refuse(&spec, "layers[0].inputs", "add wants 2 to 8 inputs, got 9 at layer 'add1'");

    spec.input = net_shape(2, 4, 4, 0);
    net_add(&spec, CNN_RELU);
    net_inputs(net_add(&spec, CNN_TANH), 1, (const int[]){CNN_FROM_INPUT});
    refuse(&spec, "layers[0]", "output is read by no other layer at layer 'relu1'");
}
END_TEST

START_TEST(refuses_to_merge_what_does_not_match)
{
    struct cnn_spec spec = {.input = net_shape(2, 4, 4, 0)};
    net_conv(&spec, 2, 3, 1, 1, 0);
    net_inputs(net_add(&spec, CNN_ADD), 2, (const int[]){0, CNN_FROM_INPUT});
    refuse(&spec, "layers[1].inputs",
           "add wants inputs of one shape, got [3,4,4] and [2,4,4] at layer 'add1'");
    spec.input = net_shape(2, 4, 4, 0);
    net_conv(&spec, 2, 3, 3, 1, 0);
    net_inputs(net_add(&spec, CNN_CONCAT), 2, (const int[]){CNN_FROM_INPUT, 0});
    refuse(&spec, "layers[1].inputs",
           "concat wants inputs alike but for their channels, got [2,4,4] and [3,2,2] "
           "at layer 'concat1'");
}
END_TEST

START_TEST(refuses_nets_past_the_limits)
{
    struct cnn_spec spec = {.input = net_shape(1, 7, 7, 0)};
    refuse(&spec, "layers", "net has 0 layers, expected 1 to 512");

    spec.input = net_shape(1, 7, 7, 0);
    spec.input.c = 0;
    net_add(&spec, CNN_RELU);
    refuse(&spec, "input", "dimension 0 of [0,7,7] is out of range 1 to 1048576");

    spec.input = net_shape(1, 1024, 1024, 0);
    net_conv(&spec, 2, 512, 1, 1, 0);
    refuse(&spec, "layers[0]",
           "shape [512,1024,1024] has more than 268435456 elements at layer 'conv1'");

    spec.input = net_shape(2, 1024, 1024, 0);
    net_add(&spec, CNN_FLATTEN);
    refuse(&spec, "layers[0]",
           "flattened [2,1024,1024] has 2097152 features, at most 1048576 are supported "
           "at layer 'flatten1'");

    spec.input = net_shape(1048576, 0, 0, 0);
    net_dense(&spec, 200);
    net_dense(&spec, 1048576);
    refuse(&spec, "layers[1]", "net grows past 268435456 parameters at layer 'dense2'");

    spec.input = net_shape(1048576, 0, 0, 0);
    net_dense(&spec, 1048576);
    refuse(&spec, "layers[0]", "net grows past 268435456 parameters at layer 'dense1'");
}
END_TEST

START_TEST(refuses_bad_names)
{
    struct cnn_spec spec = {.input = net_shape(4, 0, 0, 0)};
    strcpy(net_add(&spec, CNN_RELU)->name, "a");
    strcpy(net_add(&spec, CNN_TANH)->name, "a");
    refuse(&spec, "layers[1].name", "name 'a' is used by two layers");
    spec.input = net_shape(4, 0, 0, 0);
    strcpy(net_add(&spec, CNN_RELU)->name, "a\nb");
    refuse(&spec, "layers[0].name", "name holds the control character 0x0a");
    spec.input = net_shape(4, 0, 0, 0);
    memset(net_add(&spec, CNN_RELU)->name, 'a', CNN_NAME_MAX);
    refuse(&spec, "layers[0].name", "name is longer than 63 bytes");
}
END_TEST

START_TEST(names_count_up_per_type)
{
    struct cnn_spec spec = {.input = net_shape(1, 9, 9, 0)};
    net_conv(&spec, 2, 1, 3, 1, 0);
    net_add(&spec, CNN_RELU);
    net_conv(&spec, 2, 1, 3, 1, 0);
    net_pool(&spec, CNN_MAX_POOL, 2, 2, 0, 0);
    strcpy(net_add(&spec, CNN_TANH)->name, "relu2"); /* in the way of the next */
    net_add(&spec, CNN_RELU);
    struct cnn_net *net = net_build(&spec);
    const char *const names[] = {"conv1", "relu1", "conv2", "max_pool1", "relu2", "relu3"};
    for (int i = 0; i < 6; i++)
        ck_assert_str_eq(net->nodes[i].spec.name, names[i]);
    cnn_net_free(net);
}
END_TEST

START_TEST(inputs_default_to_the_layer_before)
{
    struct cnn_spec spec = {.input = net_shape(2, 4, 4, 0)};
    net_add(&spec, CNN_RELU);
    net_add(&spec, CNN_TANH);
    net_inputs(net_add(&spec, CNN_CONCAT), 3, (const int[]){CNN_FROM_INPUT, 0, 1});
    struct cnn_net *net = net_build(&spec);
    ck_assert_int_eq(net->nodes[0].inputs[0], CNN_FROM_INPUT);
    ck_assert_int_eq(net->nodes[1].inputs[0], 0);
    ck_assert_int_eq(net->nodes[0].consumer_count, 2);
    ck_assert_int_eq(net->nodes[2].out.c, 6);
    cnn_net_free(net);
}
END_TEST

START_TEST(spec_of_a_net_builds_the_same_net)
{
    struct cnn_spec spec = {.input = net_shape(2, 9, 9, 0)}, again;
    struct err e = {0};
    net_conv(&spec, 2, 4, 3, 2, 0)->u.conv.window.padding = CNN_PAD_SAME;
    net_pool(&spec, CNN_MAX_POOL, 2, 2, 0, 0);
    net_add(&spec, CNN_FLATTEN);
    net_dense(&spec, 3);
    struct cnn_net *net = net_build(&spec);
    ck_assert(cnn_net_spec(net, &again, &e));
    ck_assert_int_eq(again.layers[1].u.pool.window.stride[2], 2); /* defaults are resolved */
    ck_assert_int_eq(again.layers[3].input_count, 1);
    ck_assert_int_eq(again.layers[3].inputs[0], 2);
    struct cnn_net *twin = net_build(&again);
    ck_assert_uint_eq(twin->state_count, net->state_count);
    for (int i = 0; i < net->node_count; i++) {
        ck_assert(cnn_shape_equal(&twin->nodes[i].out, &net->nodes[i].out));
        ck_assert_str_eq(twin->nodes[i].spec.name, net->nodes[i].spec.name);
    }
    cnn_net_free(twin);
    cnn_net_free(net);
}
END_TEST

static struct cnn_net *one_conv(int c, int size, int filters, int kernel, int stride)
{
    struct cnn_spec spec = {.input = net_shape(c, size, size, 0)};
    net_conv(&spec, 2, filters, kernel, stride, 0);
    return net_build(&spec);
}

START_TEST(parameters_are_counted_as_in_the_reference)
{
    const struct {
        int c, size, filters, kernel, stride, out;
        size_t params;
    } rows[] = {
        {3, 144, 6, 3, 1, 142, 168},
        {24, 60, 48, 3, 1, 58, 10416},
        {10, 20, 20, 3, 2, 9, 1820},
        {5, 4, 10, 2, 1, 3, 210},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cnn_net *net =
            one_conv(rows[i].c, rows[i].size, rows[i].filters, rows[i].kernel, rows[i].stride);
        struct cnn_shape out = net_shape(rows[i].filters, rows[i].out, rows[i].out, 0);
        ck_assert(cnn_shape_equal(cnn_net_output(net), &out));
        ck_assert_uint_eq(net->param_count, rows[i].params);
        ck_assert_uint_eq(cnn_node_params(net, &net->nodes[0]), rows[i].params);
        cnn_net_free(net);
    }
}
END_TEST

START_TEST(weights_have_canonical_dims)
{
    struct cnn_spec spec = {.input = net_shape(4, 6, 7, 8)};
    struct cnn_layer_spec *layer = net_conv(&spec, 3, 6, 1, 1, 0);
    memcpy(layer->u.conv.window.kernel, (const int[]){1, 2, 3}, sizeof(int[3]));
    layer->u.conv.groups = 2;
    net_add(&spec, CNN_BATCH_NORM);
    struct cnn_net *net = net_build(&spec);
    ck_assert_int_eq(net->tensor_count, 6);
    ck_assert_int_eq(net->tensors[0].rank, 5);
    ck_assert_mem_eq(net->tensors[0].dims, ((const int[]){6, 2, 1, 2, 3}), sizeof(int[5]));
    ck_assert_int_eq(net->tensors[0].fan_in, 12);
    ck_assert_uint_eq(net->param_count, 72 + 6 + 6 + 6);
    ck_assert_uint_eq(net->state_count, net->param_count + 12);
    const char *const roles[] = {"weight", "bias", "weight", "bias", "running_mean", "running_var"};
    for (int t = 0; t < 6; t++)
        ck_assert_str_eq(net->tensors[t].role, roles[t]);
    ck_assert_uint_ge(net->tensors[4].offset, net->param_count);
    cnn_net_free(net);
}
END_TEST

START_TEST(multiply_adds_are_counted)
{
    struct cnn_spec spec = {.input = net_shape(4, 9, 9, 0)};
    net_conv(&spec, 2, 6, 3, 2, 0)->u.conv.groups = 2; /* [6,4,4] */
    net_add(&spec, CNN_RELU);
    net_add(&spec, CNN_FLATTEN);
    net_dense(&spec, 10);
    struct cnn_net *net = net_build(&spec);
    ck_assert_uint_eq(cnn_node_macs(&net->nodes[0]), 96 * 2 * 9);
    ck_assert_uint_eq(cnn_node_macs(&net->nodes[1]), 0);
    ck_assert_uint_eq(cnn_net_macs(net), 96 * 2 * 9 + 960);
    cnn_net_free(net);
}
END_TEST

START_TEST(import_takes_canonical_order_and_export_gives_it_back)
{
    struct cnn_spec spec = {.input = net_shape(2, 5, 5, 0)};
    net_conv(&spec, 2, 3, 2, 1, 0);
    net_add(&spec, CNN_FLATTEN);
    net_dense(&spec, 4);
    struct cnn_net *net = net_build(&spec);
    for (int t = 0; t < net->tensor_count; t++) {
        size_t count = net->tensors[t].count;
        float *in = net_floats(count), *out = net_floats(count);
        for (size_t i = 0; i < count; i++)
            in[i] = (float)(i + 1);
        cnn_net_import(net, t, in);
        cnn_net_export(net, t, out);
        ck_assert_mem_eq(in, out, count * sizeof *in);
        free(in);
        free(out);
    }
    /* [out,in,kh,kw] = [2,1,1,0] stands at [kh,kw,in,out] = [1,0,1,2]. */
    size_t canonical = ((2 * 2 + 1) * 2 + 1) * 2 + 0, block = ((1 * 2 + 0) * 2 + 1) * 3 + 2;
    ck_assert_float_eq(net->params[net->tensors[0].offset + block], (float)(canonical + 1));
    /* dense [out,in] = [3,5] stands at [in,out] = [5,3] */
    ck_assert_float_eq(net->params[net->tensors[2].offset + 5 * 4 + 3], (float)(3 * 48 + 5 + 1));
    cnn_net_free(net);
}
END_TEST

/* Mean, deviation and largest magnitude of a tensor after an init. */
struct spread {
    double mean, deviation, largest;
};

static struct spread spread_of(const struct cnn_net *net, int tensor)
{
    const float *values = net->params + net->tensors[tensor].offset;
    double count = (double)net->tensors[tensor].count, sum = 0, squares = 0, largest = 0;
    for (size_t i = 0; i < net->tensors[tensor].count; i++) {
        double value = (double)values[i];
        sum += value;
        squares += value * value;
        largest = fmax(largest, fabs(value));
    }
    return (struct spread){sum / count, sqrt(squares / count), largest};
}

START_TEST(inits_have_their_spread)
{
    struct cnn_spec spec = {.input = net_shape(20, 9, 9, 0)};
    net_conv(&spec, 2, 40, 5, 1, 0); /* fan in 500, fan out 1000 */
    struct cnn_net *net = net_build(&spec);

    cnn_net_init(net, CNN_INIT_UNIFORM, 1);
    struct spread weight = spread_of(net, 0), bias = spread_of(net, 1);
    double bound = 1 / sqrt(500);
    ck_assert(weight.largest <= bound * 1.000001 && weight.largest > bound * 0.99);
    ck_assert_double_eq_tol(weight.deviation, bound / sqrt(3), bound * 0.02);
    ck_assert_double_eq_tol(weight.mean, 0, bound * 0.02);
    ck_assert(bias.largest <= bound * 1.000001 && bias.largest > bound * 0.8);

    cnn_net_init(net, CNN_INIT_XAVIER, 1);
    weight = spread_of(net, 0);
    ck_assert_double_eq_tol(weight.largest, sqrt(6.0 / 1500), 0.001);
    ck_assert_double_eq(spread_of(net, 1).largest, 0);

    cnn_net_init(net, CNN_INIT_HE, 1);
    ck_assert_double_eq_tol(spread_of(net, 0).deviation, sqrt(2.0 / 500), 0.002);
    ck_assert_double_eq(spread_of(net, 1).largest, 0);

    cnn_net_init(net, CNN_INIT_NORMAL, 1);
    ck_assert_double_eq_tol(spread_of(net, 0).deviation, sqrt(1.0 / 500), 0.002);
    ck_assert_double_eq(spread_of(net, 1).largest, 0);
    cnn_net_free(net);
}
END_TEST

START_TEST(init_depends_on_its_seed_alone)
{
    struct cnn_net *a = one_conv(3, 9, 8, 3, 1), *b = one_conv(3, 9, 8, 3, 1);
    const size_t bytes = a->param_count * sizeof(float);
    cnn_net_init(a, CNN_INIT_UNIFORM, 7);
    cnn_net_init(b, CNN_INIT_HE, 3);
    cnn_net_init(b, CNN_INIT_UNIFORM, 7);
    ck_assert_mem_eq(a->params, b->params, bytes);
    cnn_net_init(b, CNN_INIT_UNIFORM, 8);
    ck_assert_mem_ne(a->params, b->params, bytes);
    cnn_net_free(a);
    cnn_net_free(b);
}
END_TEST

START_TEST(batch_norm_starts_as_the_identity)
{
    struct cnn_spec spec = {.input = net_shape(3, 0, 0, 0)};
    net_add(&spec, CNN_BATCH_NORM);
    struct cnn_net *net = net_build(&spec);
    const float expected[] = {1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1};
    ck_assert_mem_eq(net->params, expected, sizeof expected);
    for (size_t i = 0; i < net->state_count; i++)
        net->params[i] = 5;
    cnn_net_init(net, CNN_INIT_XAVIER, 1);
    ck_assert_mem_eq(net->params, expected, sizeof expected);
    cnn_net_free(net);
}
END_TEST

START_TEST(a_parameter_that_is_not_finite_is_found)
{
    struct cnn_spec spec = {.input = net_shape(3, 0, 0, 0)};
    net_dense(&spec, 4);
    net_add(&spec, CNN_BATCH_NORM);
    struct cnn_net *net = net_build(&spec);
    int node = -1;
    ck_assert(cnn_net_finite(net, &node));
    net->params[net->state_count - 1] = INFINITY;
    ck_assert(!cnn_net_finite(net, &node));
    ck_assert_int_eq(node, 1);
    net->params[0] = NAN;
    ck_assert(!cnn_net_finite(net, &node));
    ck_assert_int_eq(node, 0);
    cnn_net_free(net);
}
END_TEST

START_TEST(init_names_are_those_of_the_api)
{
    ck_assert_str_eq(cnn_init_name(CNN_INIT_UNIFORM), "uniform");
    ck_assert_str_eq(cnn_init_name(CNN_INIT_XAVIER), "xavier");
    ck_assert_str_eq(cnn_init_name(CNN_INIT_HE), "he");
    ck_assert_str_eq(cnn_init_name(CNN_INIT_NORMAL), "normal");
}
END_TEST

TEST_PROGRAM("core net", refuses_a_kernel_larger_than_its_input,
             refuses_window_numbers_out_of_range, refuses_a_window_of_another_rank,
             refuses_groups_and_filters_that_do_not_divide, refuses_pooling_it_cannot_do,
             refuses_dense_on_a_feature_map, refuses_options_out_of_range, refuses_bad_graphs,
             refuses_to_merge_what_does_not_match, refuses_nets_past_the_limits, refuses_bad_names,
             names_count_up_per_type, inputs_default_to_the_layer_before,
             spec_of_a_net_builds_the_same_net, parameters_are_counted_as_in_the_reference,
             weights_have_canonical_dims, multiply_adds_are_counted,
             import_takes_canonical_order_and_export_gives_it_back, inits_have_their_spread,
             init_depends_on_its_seed_alone, batch_norm_starts_as_the_identity,
             a_parameter_that_is_not_finite_is_found, init_names_are_those_of_the_api)
