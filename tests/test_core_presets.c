/* The named architectures: sizes, maps and parameters as REFERENCE's tables have them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "nets.h"
#include "presets.h"

static struct cnn_net *preset_net(const char *name, const struct cnn_shape *input, int classes)
{
    struct cnn_spec spec;
    struct err e = {0};
    const struct cnn_preset *preset = cnn_preset_find(name);
    ck_assert_ptr_nonnull(preset);
    ck_assert_msg(cnn_preset_spec(preset, input, classes, &spec, &e), "%s", e.detail);
    return net_build(&spec);
}

/* "conv1 [32,26,26] 320" a line, of every layer. */
static char *trace(const struct cnn_net *net, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < net->node_count; i++) {
        const struct cnn_node *node = &net->nodes[i];
        char shape[CNN_SHAPE_TEXT];
        used += (size_t)snprintf(text + used, size - used, "%s %s %zu\n", node->spec.name,
                                 cnn_shape_text(&node->out, shape), cnn_node_params(net, node));
    }
    return text;
}

static void check_trace(const char *name, const char *expected, size_t params)
{
    char text[4096];
    struct cnn_net *net = preset_net(name, NULL, 0);
    ck_assert_str_eq(trace(net, text, sizeof text), expected);
    ck_assert_uint_eq(net->param_count, params);
    cnn_net_free(net);
}

START_TEST(shapes_presets_trace)
{
    check_trace("shapes-mlp",
                "flatten1 [784] 0\ndense1 [20] 15700\ntanh1 [20] 0\ndense2 [2] 42\n"
                "softmax1 [2] 0\n",
                15742);
    check_trace("shapes-tiny",
                "conv1 [1,28,28] 10\ntanh1 [1,28,28] 0\nmax_pool1 [1,9,9] 0\n"
                "conv2 [1,9,9] 10\ntanh2 [1,9,9] 0\nmax_pool2 [1,3,3] 0\n"
                "flatten1 [9] 0\ndense1 [2] 20\nsoftmax1 [2] 0\n",
                40);
    check_trace("shapes-cnn",
                "conv1 [8,28,28] 80\ntanh1 [8,28,28] 0\nmax_pool1 [8,9,9] 0\n"
                "conv2 [16,9,9] 1168\ntanh2 [16,9,9] 0\nmax_pool2 [16,3,3] 0\n"
                "flatten1 [144] 0\ndense1 [2] 290\nsoftmax1 [2] 0\n",
                1538);
    check_trace("shapes-color",
                "conv1 [2,28,28] 56\ntanh1 [2,28,28] 0\nmax_pool1 [2,9,9] 0\n"
                "conv2 [2,9,9] 38\ntanh2 [2,9,9] 0\nmax_pool2 [2,3,3] 0\n"
                "flatten1 [18] 0\ndense1 [2] 38\nsoftmax1 [2] 0\n",
                132);
}
END_TEST

START_TEST(digit_presets_trace)
{
    check_trace("mnist-cnn",
                "conv1 [32,26,26] 320\nrelu1 [32,26,26] 0\nmax_pool1 [32,13,13] 0\n"
                "conv2 [64,11,11] 18496\nrelu2 [64,11,11] 0\nmax_pool2 [64,5,5] 0\n"
                "conv3 [64,3,3] 36928\nrelu3 [64,3,3] 0\nflatten1 [576] 0\n"
                "dense1 [64] 36928\nrelu4 [64] 0\ndropout1 [64] 0\ndense2 [10] 650\n",
                93322);
    check_trace("scratch",
                "conv1 [8,28,28] 80\nrelu1 [8,28,28] 0\nmax_pool1 [8,14,14] 0\n"
                "flatten1 [1568] 0\ndense1 [64] 100416\nrelu2 [64] 0\ndense2 [10] 650\n",
                101146);
    check_trace("lenet",
                "conv1 [6,24,24] 156\nrelu1 [6,24,24] 0\nmax_pool1 [6,12,12] 0\n"
                "conv2 [16,8,8] 2416\nrelu2 [16,8,8] 0\nmax_pool2 [16,4,4] 0\n"
                "flatten1 [256] 0\ndense1 [120] 30840\nrelu3 [120] 0\n"
                "dense2 [84] 10164\nrelu4 [84] 0\ndense3 [10] 850\n",
                44426);
}
END_TEST

START_TEST(voxel_presets_trace)
{
    check_trace("voxel-cnn",
                "conv1 [16,22,22,22] 448\nrelu1 [16,22,22,22] 0\nmax_pool1 [16,11,11,11] 0\n"
                "conv2 [32,9,9,9] 13856\nrelu2 [32,9,9,9] 0\nmax_pool2 [32,4,4,4] 0\n"
                "conv3 [64,2,2,2] 55360\nrelu3 [64,2,2,2] 0\nmax_pool3 [64,1,1,1] 0\n"
                "flatten1 [64] 0\ndense1 [512] 33280\nrelu4 [512] 0\ndropout1 [512] 0\n"
                "dense2 [4] 2052\nlog_softmax1 [4] 0\n",
                104996);
    check_trace("voxel-cnn-wide",
                "conv1 [32,24,24,24] 896\nrelu1 [32,24,24,24] 0\nmax_pool1 [32,12,12,12] 0\n"
                "conv2 [64,12,12,12] 55360\nrelu2 [64,12,12,12] 0\nmax_pool2 [64,6,6,6] 0\n"
                "conv3 [128,6,6,6] 221312\nrelu3 [128,6,6,6] 0\nmax_pool3 [128,4,4,4] 0\n"
                "flatten1 [8192] 0\ndense1 [512] 4194816\nrelu4 [512] 0\ndropout1 [512] 0\n"
                "dense2 [4] 2052\nlog_softmax1 [4] 0\n",
                4474436);
}
END_TEST

START_TEST(alexnet_has_its_published_size)
{
    struct cnn_net *net = preset_net("alexnet", NULL, 0);
    ck_assert_uint_eq(net->param_count, 61100840);
    ck_assert_int_eq(net->nodes[net->node_count - 1].out.c, 1000);
    ck_assert_uint_eq(cnn_net_macs(net), 714188480);
    cnn_net_free(net);
}
END_TEST

START_TEST(vgg16_has_its_published_size)
{
    struct cnn_net *net = preset_net("vgg16", NULL, 0);
    ck_assert_uint_eq(net->param_count, 138357544);
    ck_assert_int_eq(net->nodes[net->node_count - 1].out.c, 1000);
    ck_assert_uint_eq(cnn_net_macs(net), 15470264320);
    cnn_net_free(net);
}
END_TEST

START_TEST(every_preset_runs_forward)
{
    /* Each on its usual input; VGG on the least that its five halvings leave a pixel of. */
    const struct cnn_shape small = net_shape(3, 32, 32, 0);
    for (int i = 0; cnn_preset_at(i); i++) {
        const struct cnn_preset *preset = cnn_preset_at(i);
        bool shrink = strcmp(preset->name, "vgg16") == 0;
        struct cnn_net *net = preset_net(preset->name, shrink ? &small : NULL, shrink ? 10 : 0);
        const size_t count = cnn_shape_count(&net->input);
        float *x = net_floats(count), sum = 0;
        for (size_t k = 0; k < count; k++)
            x[k] = (float)(k % 17) / 17;
        cnn_net_init(net, CNN_INIT_UNIFORM, 1);
        float *out = net_run(net, x);
        int classes = cnn_net_output(net)->c;
        ck_assert_int_eq(classes, shrink ? 10 : preset->classes);
        cnn_scores(net, out, 1);
        for (int k = 0; k < classes; k++)
            sum += out[k];
        ck_assert_msg(fabsf(sum - 1) < 1e-5f, "%s: scores add up to %g", preset->name, (double)sum);
        free(x);
        free(out);
        cnn_net_free(net);
    }
}
END_TEST

START_TEST(presets_take_another_input_and_number_of_classes)
{
    struct cnn_shape input = net_shape(3, 32, 32, 0);
    struct cnn_net *net = preset_net("lenet", &input, 7);
    ck_assert_int_eq(cnn_net_output(net)->c, 7);
    ck_assert_int_eq(net->nodes[0].in[0].c, 3);
    ck_assert_int_eq(net->nodes[6].out.c, 400);
    cnn_net_free(net);
}
END_TEST

START_TEST(presets_that_do_not_fit_their_input_say_why)
{
    struct cnn_shape input = net_shape(1, 4, 28, 0);
    struct cnn_spec spec;
    struct err e = {0};
    ck_assert(cnn_preset_spec(cnn_preset_find("lenet"), &input, 0, &spec, &e));
    ck_assert_ptr_null(cnn_net_new(&spec, &e));
    ck_assert_str_eq(e.detail, "kernel 5 exceeds padded input 4 at layer 'conv1'");
    cnn_spec_clear(&spec);
}
END_TEST

START_TEST(preset_names_are_found)
{
    int count = 0;
    for (; cnn_preset_at(count); count++)
        ck_assert_ptr_eq(cnn_preset_find(cnn_preset_at(count)->name), cnn_preset_at(count));
    ck_assert_int_eq(count, 11);
    ck_assert_ptr_null(cnn_preset_find("resnet"));
    ck_assert_ptr_null(cnn_preset_at(-1));
}
END_TEST

TEST_PROGRAM("core presets", shapes_presets_trace, digit_presets_trace, voxel_presets_trace,
             alexnet_has_its_published_size, vgg16_has_its_published_size,
             every_preset_runs_forward, presets_take_another_input_and_number_of_classes,
             presets_that_do_not_fit_their_input_say_why, preset_names_are_found)
