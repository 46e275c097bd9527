/* Architectures as JSON: read, written, refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch_json.h"
#include "exact.h"
#include "harness.h"
#include "net.h"
#include "presets.h"

static bool parse(const char *text, struct cnn_spec *spec, struct err *e)
{
    char *copy = exact_copy(text, strlen(text));
    *e = (struct err){0};
    bool ok = arch_parse_text(copy, strlen(text), NULL, 0, spec, e);
    free(copy);
    return ok;
}

/* The spec of [1,8,8,8], [1,16,16] or [1,32] and these layers. */
static struct cnn_spec spec_of(int rank, const char *layers)
{
    static const char *const inputs[] = {"[16]", "[4,32]", "[4,16,16]", "[4,8,8,8]"};
    char text[2048];
    struct cnn_spec spec;
    struct err e;
    snprintf(text, sizeof text, "{\"input\":%s,\"layers\":[%s]}", inputs[rank], layers);
    ck_assert_msg(parse(text, &spec, &e), "%s: %s: %s", layers, e.field, e.detail);
    return spec;
}

static void axes_are(const int axes[CNN_AXES], int d, int h, int w)
{
    ck_assert_int_eq(axes[0], d);
    ck_assert_int_eq(axes[1], h);
    ck_assert_int_eq(axes[2], w);
}

static char *written(const struct cnn_spec *spec)
{
    struct buf out = {0};
    struct json_writer w;
    jw_begin(&w, &out);
    arch_write(&w, spec);
    char *text = strdup(buf_text(&out));
    buf_clear(&out);
    return text;
}

static void same_window(const struct cnn_window *a, const struct cnn_window *b)
{
    ck_assert_int_eq(a->dims, b->dims);
    ck_assert_int_eq(a->padding, b->padding);
    for (int axis = 0; axis < CNN_AXES; axis++) {
        ck_assert_int_eq(a->kernel[axis], b->kernel[axis]);
        ck_assert_int_eq(a->dilation[axis], b->dilation[axis]);
        /* 0 is a pool's way to say: its kernel. */
        ck_assert_int_eq(a->stride[axis] ? a->stride[axis] : a->kernel[axis], b->stride[axis]);
        if (a->padding == CNN_PAD_NUMBER) {
            ck_assert_int_eq(a->before[axis], b->before[axis]);
            ck_assert_int_eq(a->after[axis], b->after[axis]);
        }
    }
}

static void same_options(const struct cnn_layer_spec *a, const struct cnn_layer_spec *b)
{
    switch (a->type) {
    case CNN_CONV:
        same_window(&a->u.conv.window, &b->u.conv.window);
        ck_assert_int_eq(a->u.conv.filters, b->u.conv.filters);
        ck_assert_int_eq(a->u.conv.groups, b->u.conv.groups);
        ck_assert_int_eq(a->u.conv.bias, b->u.conv.bias);
        break;
    case CNN_MAX_POOL:
    case CNN_AVG_POOL:
        same_window(&a->u.pool.window, &b->u.pool.window);
        ck_assert_int_eq(a->u.pool.count_padding, b->u.pool.count_padding);
        break;
    case CNN_DENSE:
        ck_assert_int_eq(a->u.dense.units, b->u.dense.units);
        ck_assert_int_eq(a->u.dense.bias, b->u.dense.bias);
        break;
    case CNN_LEAKY_RELU:
        ck_assert(a->u.leaky.slope == b->u.leaky.slope);
        break;
    case CNN_DROPOUT:
        ck_assert(a->u.dropout.rate == b->u.dropout.rate);
        break;
    case CNN_BATCH_NORM:
        ck_assert(a->u.norm.epsilon == b->u.norm.epsilon);
        ck_assert(a->u.norm.momentum == b->u.norm.momentum);
        break;
    default:
        break;
    }
}

/* Writes the spec and reads it back: nothing may be lost. Clears it. */
static void survives(struct cnn_spec *spec)
{
    struct cnn_spec back;
    struct err e;
    char *text = written(spec);
    ck_assert_msg(parse(text, &back, &e), "%s: %s", text, e.detail);
    ck_assert(cnn_shape_equal(&spec->input, &back.input));
    ck_assert_int_eq(spec->input.rank, back.input.rank);
    ck_assert_int_eq(spec->layer_count, back.layer_count);
    for (int i = 0; i < spec->layer_count; i++) {
        const struct cnn_layer_spec *a = &spec->layers[i], *b = &back.layers[i];
        ck_assert_int_eq(a->type, b->type);
        ck_assert_str_eq(a->name, b->name);
        ck_assert_int_eq(a->input_count, b->input_count);
        for (int k = 0; k < a->input_count; k++)
            ck_assert_int_eq(a->inputs[k], b->inputs[k]);
        same_options(a, b);
    }
    char *again = written(&back);
    ck_assert_str_eq(text, again);
    free(again);
    free(text);
    cnn_spec_clear(&back);
    cnn_spec_clear(spec);
}

START_TEST(test_conv_has_defaults_and_options)
{
    struct cnn_spec spec = spec_of(2, "{\"type\":\"conv2d\",\"filters\":32,\"kernel\":3}");
    ck_assert_int_eq(spec.layers[0].type, CNN_CONV);
    const struct cnn_window *window = &spec.layers[0].u.conv.window;
    ck_assert_int_eq(spec.layers[0].u.conv.filters, 32);
    ck_assert_int_eq(spec.layers[0].u.conv.groups, 1);
    ck_assert(spec.layers[0].u.conv.bias);
    ck_assert_int_eq(window->dims, 2);
    axes_are(window->kernel, 1, 3, 3);
    axes_are(window->stride, 1, 1, 1);
    axes_are(window->dilation, 1, 1, 1);
    ck_assert_int_eq(window->padding, CNN_PAD_VALID);
    survives(&spec);

    spec = spec_of(3, "{\"type\":\"conv3d\",\"name\":\"c\",\"filters\":8,\"kernel\":[1,2,3],"
                      "\"stride\":[3,2,1],\"dilation\":[2,1,4],\"padding\":[0,1,2],\"groups\":4,"
                      "\"bias\":false,\"inputs\":[\"input\"]}");
    window = &spec.layers[0].u.conv.window;
    axes_are(window->kernel, 1, 2, 3);
    axes_are(window->stride, 3, 2, 1);
    axes_are(window->dilation, 2, 1, 4);
    axes_are(window->before, 0, 1, 2);
    axes_are(window->after, 0, 1, 2);
    ck_assert_int_eq(spec.layers[0].u.conv.groups, 4);
    ck_assert(!spec.layers[0].u.conv.bias);
    ck_assert_str_eq(spec.layers[0].name, "c");
    ck_assert_int_eq(spec.layers[0].inputs[0], CNN_FROM_INPUT);
    survives(&spec);

    spec = spec_of(1, "{\"type\":\"conv1d\",\"filters\":2,\"kernel\":5,\"stride\":2}");
    axes_are(spec.layers[0].u.conv.window.kernel, 1, 1, 5);
    axes_are(spec.layers[0].u.conv.window.stride, 1, 1, 2);
    survives(&spec);
    spec = spec_of(2, "{\"type\":\"conv2d\",\"filters\":2,\"kernel\":[5,7]}");
    axes_are(spec.layers[0].u.conv.window.kernel, 1, 5, 7);
    survives(&spec);
}
END_TEST

START_TEST(test_padding_is_a_number_a_list_or_a_mode)
{
    static const struct {
        const char *text;
        enum cnn_padding mode;
        int before[CNN_AXES], after[CNN_AXES];
    } cases[] = {
        {"0", CNN_PAD_NUMBER, {0, 0, 0}, {0, 0, 0}},
        {"2", CNN_PAD_NUMBER, {0, 2, 2}, {0, 2, 2}},
        {"[1,2]", CNN_PAD_NUMBER, {0, 1, 2}, {0, 1, 2}},
        {"[1,2,3,4]", CNN_PAD_NUMBER, {0, 1, 2}, {0, 3, 4}},
        {"\"valid\"", CNN_PAD_VALID, {0, 0, 0}, {0, 0, 0}},
        {"\"same\"", CNN_PAD_SAME, {0, 0, 0}, {0, 0, 0}},
        {"\"full\"", CNN_PAD_FULL, {0, 0, 0}, {0, 0, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char layer[128];
        snprintf(layer, sizeof layer,
                 "{\"type\":\"conv2d\",\"filters\":1,\"kernel\":3,\"padding\":%s}", cases[i].text);
        struct cnn_spec spec = spec_of(2, layer);
        const struct cnn_window *window = &spec.layers[0].u.conv.window;
        ck_assert_int_eq(window->padding, cases[i].mode);
        axes_are(window->before, cases[i].before[0], cases[i].before[1], cases[i].before[2]);
        axes_are(window->after, cases[i].after[0], cases[i].after[1], cases[i].after[2]);
        survives(&spec);
    }
}
END_TEST

START_TEST(test_pools_stride_by_their_size)
{
    static const char *const forms[] = {
        "{\"type\":\"max_pool2d\",\"size\":2}", "{\"type\":\"max_pool2d\",\"kernel\":[2,2]}",
        "{\"type\":\"avg_pool2d\",\"size\":2,\"stride\":2,\"count_include_pad\":false}"};
    struct cnn_spec spec;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        spec = spec_of(2, forms[i]);
        axes_are(spec.layers[0].u.pool.window.kernel, 1, 2, 2);
        axes_are(spec.layers[0].u.pool.window.stride, 1, 2, 2);
        ck_assert(!spec.layers[0].u.pool.count_padding);
        survives(&spec);
    }
    spec = spec_of(3, "{\"type\":\"avg_pool3d\",\"size\":[2,3,4],\"stride\":1,\"padding\":1,"
                      "\"count_include_pad\":true}");
    ck_assert_int_eq(spec.layers[0].type, CNN_AVG_POOL);
    axes_are(spec.layers[0].u.pool.window.kernel, 2, 3, 4);
    axes_are(spec.layers[0].u.pool.window.stride, 1, 1, 1);
    axes_are(spec.layers[0].u.pool.window.after, 1, 1, 1);
    ck_assert(spec.layers[0].u.pool.count_padding);
    survives(&spec);
    spec = spec_of(1, "{\"type\":\"max_pool1d\",\"size\":3}");
    axes_are(spec.layers[0].u.pool.window.kernel, 1, 1, 3);
    survives(&spec);
}
END_TEST

START_TEST(test_every_other_layer_is_read)
{
    struct cnn_spec spec = spec_of(
        2, "{\"type\":\"relu\"},{\"type\":\"leaky_relu\",\"slope\":0.2},{\"type\":\"leaky_relu\"},"
           "{\"type\":\"tanh\"},{\"type\":\"sigmoid\"},{\"type\":\"softmax\"},"
           "{\"type\":\"log_softmax\"},{\"type\":\"dropout\",\"rate\":0.25},"
           "{\"type\":\"dropout\",\"p\":0.1},{\"type\":\"dropout\"},"
           "{\"type\":\"batch_norm\",\"epsilon\":0.001,\"momentum\":0.01},"
           "{\"type\":\"batch_norm\"},{\"type\":\"global_avg_pool\"},{\"type\":\"flatten\"},"
           "{\"type\":\"dense\",\"units\":10,\"bias\":false},{\"type\":\"dense\",\"units\":3}");
    static const enum cnn_layer_type types[] = {
        CNN_RELU,       CNN_LEAKY_RELU,  CNN_LEAKY_RELU,      CNN_TANH,    CNN_SIGMOID,
        CNN_SOFTMAX,    CNN_LOG_SOFTMAX, CNN_DROPOUT,         CNN_DROPOUT, CNN_DROPOUT,
        CNN_BATCH_NORM, CNN_BATCH_NORM,  CNN_GLOBAL_AVG_POOL, CNN_FLATTEN, CNN_DENSE,
        CNN_DENSE};
    ck_assert_int_eq(spec.layer_count, (int)(sizeof types / sizeof *types));
    for (int i = 0; i < spec.layer_count; i++)
        ck_assert_int_eq(spec.layers[i].type, types[i]);
    ck_assert(spec.layers[1].u.leaky.slope == 0.2f && spec.layers[2].u.leaky.slope == 0.01f);
    ck_assert(spec.layers[7].u.dropout.rate == 0.25f && spec.layers[8].u.dropout.rate == 0.1f);
    ck_assert(spec.layers[9].u.dropout.rate == 0.5f);
    ck_assert(spec.layers[10].u.norm.epsilon == 0.001f);
    ck_assert(spec.layers[10].u.norm.momentum == 0.01f);
    ck_assert(spec.layers[11].u.norm.epsilon == 1e-5f && spec.layers[11].u.norm.momentum == 0.1f);
    ck_assert(spec.layers[14].u.dense.units == 10 && !spec.layers[14].u.dense.bias);
    ck_assert(spec.layers[15].u.dense.units == 3 && spec.layers[15].u.dense.bias);
    survives(&spec);
}
END_TEST

static const char residual[] =
    "{\"type\":\"conv2d\",\"name\":\"a\",\"filters\":4,\"kernel\":3,\"padding\":\"same\"},"
    "{\"type\":\"relu\"},"
    "{\"type\":\"add\",\"name\":\"sum\",\"inputs\":[\"a\",\"input\",1]},"
    "{\"type\":\"concat\",\"inputs\":[\"sum\",\"a\"]},"
    "{\"type\":\"flatten\"},{\"type\":\"dense\",\"units\":2}";

START_TEST(test_names_and_positions_make_a_dag)
{
    struct cnn_spec spec = spec_of(2, residual);
    ck_assert_int_eq(spec.layers[0].input_count, 0);
    ck_assert_int_eq(spec.layers[2].input_count, 3);
    ck_assert_int_eq(spec.layers[2].inputs[0], 0);
    ck_assert_int_eq(spec.layers[2].inputs[1], CNN_FROM_INPUT);
    ck_assert_int_eq(spec.layers[2].inputs[2], 1);
    ck_assert_int_eq(spec.layers[3].inputs[0], 2);
    ck_assert_int_eq(spec.layers[3].inputs[1], 0);
    struct err e;
    struct cnn_net *net = cnn_net_new(&spec, &e);
    ck_assert_msg(net != NULL, "%s", e.detail);
    ck_assert_int_eq(net->nodes[3].out.c, 8);
    cnn_net_free(net);
    survives(&spec);
}
END_TEST

START_TEST(test_a_built_net_is_written_and_read_back)
{
    struct cnn_spec spec = spec_of(2, residual), resolved;
    struct err e;
    struct cnn_net *net = cnn_net_new(&spec, &e);
    ck_assert_msg(net != NULL && cnn_net_spec(net, &resolved, &e), "%s", e.detail);
    size_t parameters = net->param_count;
    cnn_net_free(net);
    cnn_spec_clear(&spec);

    char *text = written(&resolved);
    ck_assert_msg(parse(text, &spec, &e), "%s: %s", text, e.detail);
    net = cnn_net_new(&spec, &e);
    ck_assert_msg(net != NULL, "%s", e.detail);
    ck_assert_uint_eq(net->param_count, parameters);
    ck_assert_str_eq(net->nodes[1].spec.name, "relu1");
    cnn_net_free(net);
    free(text);
    cnn_spec_clear(&spec);
    cnn_spec_clear(&resolved);
}
END_TEST

START_TEST(test_presets_are_named_by_a_string)
{
    struct err e;
    const struct cnn_preset *preset;
    for (int i = 0; (preset = cnn_preset_at(i)); i++) {
        char text[80];
        struct cnn_spec spec;
        snprintf(text, sizeof text, "\"%s\"", preset->name);
        ck_assert_msg(parse(text, &spec, &e), "%s: %s", text, e.detail);
        survives(&spec);
    }
    struct cnn_spec spec;
    struct cnn_shape shape = {.c = 3, .size = {1, 32, 32}, .rank = 2};
    ck_assert(arch_parse_text("\"lenet\"", 7, &shape, 7, &spec, &e));
    ck_assert(cnn_shape_equal(&spec.input, &shape));
    ck_assert_int_eq(spec.layers[spec.layer_count - 1].u.dense.units, 7);
    cnn_spec_clear(&spec);
}
END_TEST

START_TEST(test_input_comes_from_the_dataset_or_must_agree)
{
    static const char without[] = "{\"layers\":[{\"type\":\"flatten\"}]}";
    static const char with[] = "{\"input\":[1,28,28],\"layers\":[{\"type\":\"flatten\"}]}";
    struct cnn_shape shape = {.c = 1, .size = {1, 28, 28}, .rank = 2};
    struct cnn_spec spec;
    struct err e;
    ck_assert(arch_parse_text(without, strlen(without), &shape, 10, &spec, &e));
    ck_assert(cnn_shape_equal(&spec.input, &shape) && spec.input.rank == 2);
    cnn_spec_clear(&spec);
    ck_assert(arch_parse_text(with, strlen(with), &shape, 10, &spec, &e));
    cnn_spec_clear(&spec);
    shape.c = 3;
    ck_assert(!arch_parse_text(with, strlen(with), &shape, 10, &spec, &e));
    ck_assert_str_eq(e.field, "input");
    ck_assert_str_eq(e.detail, "input [1,28,28] differs from the dataset's [3,28,28]");
    ck_assert_ptr_null(spec.layers);
}
END_TEST

static void refused(const char *text, const char *field, const char *detail)
{
    struct cnn_spec spec;
    struct err e;
    ck_assert_msg(!parse(text, &spec, &e), "%s was accepted", text);
    ck_assert_int_eq(e.code, ERR_INVALID);
    ck_assert_str_eq(e.detail, detail);
    ck_assert_str_eq(e.field, field);
    ck_assert_ptr_null(spec.layers);
}

START_TEST(test_bad_documents_are_refused)
{
    refused("\"lenot\"", "",
            "unknown architecture 'lenot', expected a preset's name (GET /architectures lists "
            "them) or an object with layers");
    refused("[]", "", "expected a preset's name or an object with layers, got an array");
    refused("3", "", "expected a preset's name or an object with layers, got 3");
    refused("{\"layers\":[]}", "input", "missing 'input'");
    refused("{\"input\":[1,8,8]}", "layers", "missing 'layers'");
    refused("{\"input\":[1],\"layers\":[]}", "layers", "0 layers are out of range 1 to 512");
    refused("{\"input\":[1],\"layers\":{}}", "layers", "expected a list of layers, got an object");
    refused("{\"input\":[1],\"layer\":[]}", "layer", "unknown field 'layer'");
    refused("{\"input\":28,\"layers\":[]}", "input",
            "expected a list of sizes, channels first, got 28");
    refused("{\"input\":[],\"layers\":[]}", "input", "shape has 0 dimensions, expected 1 to 4");
    refused("{\"input\":[1,1,1,1,1],\"layers\":[]}", "input",
            "shape has 5 dimensions, expected 1 to 4");
    refused("{\"input\":[1,0],\"layers\":[]}", "input[1]",
            "expected an integer from 1 to 1048576, got 0");
    refused("{\"input\":[1,-3],\"layers\":[]}", "input[1]",
            "expected an integer from 1 to 1048576, got -3");
    refused("{\"input\":[1,3.5],\"layers\":[]}", "input[1]",
            "expected an integer from 1 to 1048576, got 3.5");
    refused("{\"input\":[1e300],\"layers\":[]}", "input[0]",
            "expected an integer from 1 to 1048576, got 1e+300");
    refused("{\"input\":[65536,65536,65536,65536],\"layers\":[]}", "input",
            "shape [65536,65536,65536,65536] has more than 268435456 elements");
}
END_TEST

static void layer_refused(const char *layer, const char *field, const char *detail)
{
    char text[512], path[64];
    snprintf(text, sizeof text, "{\"input\":[1,9,9],\"layers\":[{\"type\":\"relu\"},%s]}", layer);
    snprintf(path, sizeof path, "layers[1]%s%s", field[0] ? "." : "", field);
    refused(text, path, detail);
}

START_TEST(test_bad_layers_are_refused_by_field_and_layer)
{
    layer_refused("3", "", "expected an object, got 3 at layer 1");
    layer_refused("{}", "type", "missing 'type' at layer 1");
    layer_refused("{\"type\":7}", "type", "expected a string, got 7 at layer 1");
    layer_refused("{\"type\":\"lstm\",\"name\":\"x\"}", "type",
                  "unknown layer type 'lstm' at layer 'x'");
    layer_refused("{\"type\":\"conv\"}", "type",
                  "unknown layer type 'conv', it ends in 1d, 2d or 3d at layer 1");
    layer_refused("{\"type\":\"conv4d\"}", "type", "unknown layer type 'conv4d' at layer 1");
    layer_refused("{\"type\":\"relu2d\"}", "type", "unknown layer type 'relu2d' at layer 1");
    layer_refused("{\"type\":\"relu\",\"units\":3}", "units", "unknown field 'units' at layer 1");
    layer_refused("{\"type\":\"conv2d\",\"kernel\":3}", "filters", "missing 'filters' at layer 1");
    layer_refused("{\"type\":\"conv2d\",\"filters\":3,\"name\":\"c1\"}", "kernel",
                  "missing 'kernel' at layer 'c1'");
    layer_refused("{\"type\":\"max_pool2d\"}", "size", "missing 'size' at layer 1");
    layer_refused("{\"type\":\"max_pool2d\",\"size\":2,\"kernel\":2}", "kernel",
                  "both 'size' and its other name 'kernel' at layer 1");
    layer_refused("{\"type\":\"max_pool2d\",\"size\":2,\"count_include_pad\":true}",
                  "count_include_pad", "unknown field 'count_include_pad' at layer 1");
    layer_refused("{\"type\":\"dense\"}", "units", "missing 'units' at layer 1");
    layer_refused("{\"type\":\"dense\",\"units\":0}", "units",
                  "expected an integer from 1 to 1048576, got 0 at layer 1");
    layer_refused("{\"type\":\"dense\",\"units\":4294967297}", "units",
                  "expected an integer from 1 to 1048576, got 4294967297 at layer 1");
    layer_refused("{\"type\":\"dense\",\"units\":3,\"bias\":1}", "bias",
                  "expected true or false, got 1 at layer 1");
    layer_refused("{\"type\":\"dropout\",\"rate\":1.5}", "rate",
                  "expected a number from 0 to 1, got 1.5 at layer 1");
    layer_refused("{\"type\":\"dropout\",\"rate\":0.5,\"p\":0.5}", "p",
                  "both 'rate' and its other name 'p' at layer 1");
    layer_refused("{\"type\":\"batch_norm\",\"momentum\":-1}", "momentum",
                  "expected a number from 0 to 1, got -1 at layer 1");
    layer_refused("{\"type\":\"leaky_relu\",\"slope\":\"a\"}", "slope",
                  "expected a number from -3.40282346638529e+38 to 3.40282346638529e+38, got 'a' "
                  "at layer 1");
}
END_TEST

static void conv_refused(const char *option, const char *field, const char *detail)
{
    char layer[256], text[256];
    snprintf(layer, sizeof layer, "{\"type\":\"conv2d\",\"filters\":2,%s}", option);
    snprintf(text, sizeof text, "%s at layer 1", detail);
    layer_refused(layer, field, text);
}

START_TEST(test_bad_windows_are_refused)
{
    conv_refused("\"kernel\":0", "kernel",
                 "expected an integer from 1 to 1024 or a list of them, one per axis, got 0");
    conv_refused("\"kernel\":\"3\"", "kernel",
                 "expected an integer from 1 to 1024 or a list of them, one per axis, got '3'");
    conv_refused("\"kernel\":[3]", "kernel", "expected 2 numbers, one per axis, got 1");
    conv_refused("\"kernel\":[3,3,3]", "kernel", "expected 2 numbers, one per axis, got 3");
    conv_refused("\"kernel\":[3,1025]", "kernel[1]",
                 "expected an integer from 1 to 1024, got 1025");
    conv_refused("\"kernel\":3,\"stride\":0", "stride",
                 "expected an integer from 1 to 1024 or a list of them, one per axis, got 0");
    conv_refused("\"kernel\":3,\"dilation\":2.5", "dilation",
                 "expected an integer from 1 to 1024 or a list of them, one per axis, got 2.5");
    conv_refused("\"kernel\":3,\"padding\":-1", "padding",
                 "expected an integer from 0 to 1024 or a list of them, one per axis, got -1");
    conv_refused("\"kernel\":3,\"padding\":[1,2,3]", "padding",
                 "expected 2 numbers, one per axis, got 3");
    conv_refused("\"kernel\":3,\"padding\":[1,2,3,-4]", "padding[3]",
                 "expected an integer from 0 to 1024, got -4");
    conv_refused("\"kernel\":3,\"padding\":\"some\"", "padding",
                 "expected 'valid', 'same', 'full' or numbers, got 'some'");
    conv_refused("\"kernel\":3,\"groups\":0", "groups",
                 "expected an integer from 1 to 1048576, got 0");
}
END_TEST

START_TEST(test_bad_names_and_inputs_are_refused)
{
    static const char long_name[] =
        "{\"type\":\"relu\",\"name\":"
        "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}";
    layer_refused(long_name, "name",
                  "name of 64 bytes is out of range 1 to 63 at layer "
                  "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'");
    layer_refused("{\"type\":\"relu\",\"name\":\"\"}", "name",
                  "name of 0 bytes is out of range 1 to 63 at layer 1");
    layer_refused("{\"type\":\"relu\",\"name\":\"a\\n\"}", "name",
                  "expected neither '/' nor control characters, got 'a\\x0a' at layer 'a\\x0a'");
    layer_refused("{\"type\":\"relu\",\"name\":\"a/b\"}", "name",
                  "expected neither '/' nor control characters, got 'a/b' at layer 'a/b'");
    layer_refused(
        "{\"type\":\"relu\",\"name\":\"\\u0085\"}", "name",
        "expected neither '/' nor control characters, got '\xc2\x85' at layer '\xc2\x85'");
    layer_refused("{\"type\":\"relu\",\"name\":\"input\"}", "name",
                  "name 'input' is the net's input at layer 'input'");
    layer_refused("{\"type\":\"add\",\"inputs\":\"input\"}", "inputs",
                  "expected a list of layer names, got 'input' at layer 1");
    layer_refused("{\"type\":\"add\",\"inputs\":[]}", "inputs",
                  "0 inputs are out of range 1 to 8 at layer 1");
    layer_refused("{\"type\":\"add\",\"inputs\":[0,0,0,0,0,0,0,0,0]}", "inputs",
                  "9 inputs are out of range 1 to 8 at layer 1");
    layer_refused("{\"type\":\"add\",\"name\":\"s\",\"inputs\":[\"s\"]}", "inputs[0]",
                  "expected the name of an earlier layer or 'input', got 's' at layer 's'");
    layer_refused("{\"type\":\"add\",\"inputs\":[\"input\",\"\"]}", "inputs[1]",
                  "expected the name of an earlier layer or 'input', got '' at layer 1");
    layer_refused("{\"type\":\"add\",\"inputs\":[1]}", "inputs[0]",
                  "expected an integer from 0 to 0, got 1 at layer 1");
    refused("{\"input\":[1],\"layers\":[{\"type\":\"relu\",\"name\":\"r\"},"
            "{\"type\":\"relu\",\"name\":\"r\"}]}",
            "layers[1].name", "name 'r' is taken by layer 0 at layer 'r'");
    refused("{\"input\":[1],\"layers\":[{\"type\":\"relu\",\"inputs\":[0]}]}",
            "layers[0].inputs[0]", "the first layer's input is 'input' at layer 0");
}
END_TEST

START_TEST(test_too_many_layers_are_refused)
{
    struct buf text = {0};
    struct cnn_spec spec;
    struct err e;
    buf_str(&text, "{\"input\":[4],\"layers\":[{\"type\":\"relu\"}");
    for (int i = 1; i < CNN_LAYERS_MAX; i++)
        buf_str(&text, ",{\"type\":\"relu\"}");
    size_t size = text.size;
    buf_str(&text, "]}");
    ck_assert(parse(buf_text(&text), &spec, &e));
    cnn_spec_clear(&spec);
    text.size = size;
    buf_str(&text, ",{\"type\":\"relu\"}]}");
    refused(buf_text(&text), "layers", "513 layers are out of range 1 to 512");
    buf_clear(&text);
}
END_TEST

/* What needs the shapes is found when the net is built, with the same fields. */
START_TEST(test_a_kernel_that_does_not_fit_is_named_by_the_net)
{
    static const char text[] =
        "{\"input\":[1,9,9],\"layers\":[{\"type\":\"conv2d\",\"filters\":2,\"kernel\":3},"
        "{\"type\":\"conv2d\",\"filters\":2,\"kernel\":3},"
        "{\"type\":\"conv2d\",\"filters\":2,\"kernel\":7}]}";
    struct cnn_spec spec;
    struct err e;
    ck_assert(parse(text, &spec, &e));
    ck_assert_ptr_null(cnn_net_new(&spec, &e));
    ck_assert_int_eq(e.code, ERR_INVALID);
    ck_assert_str_eq(e.detail, "kernel 7 exceeds padded input 5 at layer 'conv3'");
    ck_assert_str_eq(e.field, "layers[2].kernel");
    cnn_spec_clear(&spec);
}
END_TEST

START_TEST(test_truncation_anywhere_is_refused)
{
    char text[1024];
    struct cnn_spec spec;
    struct err e;
    snprintf(text, sizeof text, "{\"input\":[4,16,16],\"layers\":[%s]}", residual);
    for (size_t size = strlen(text); size-- > 0;) {
        text[size] = '\0';
        ck_assert(!parse(text, &spec, &e));
    }
}
END_TEST

TEST_PROGRAM("proto_arch", test_conv_has_defaults_and_options,
             test_padding_is_a_number_a_list_or_a_mode, test_pools_stride_by_their_size,
             test_every_other_layer_is_read, test_names_and_positions_make_a_dag,
             test_a_built_net_is_written_and_read_back, test_presets_are_named_by_a_string,
             test_input_comes_from_the_dataset_or_must_agree, test_bad_documents_are_refused,
             test_bad_layers_are_refused_by_field_and_layer, test_bad_windows_are_refused,
             test_bad_names_and_inputs_are_refused, test_too_many_layers_are_refused,
             test_a_kernel_that_does_not_fit_is_named_by_the_net,
             test_truncation_anywhere_is_refused)
