/* ONNX: what is written is read back the same. */
#include <math.h>

#include "onnx_nets.h"
#include "onnx_ops.h"
#include "presets.h"

START_TEST(every_small_preset_comes_back_the_same)
{
    const struct cnn_preset *preset;
    int seen = 0;
    for (int i = 0; (preset = cnn_preset_at(i)); i++) {
        struct cnn_spec spec = {0};
        ck_assert(cnn_preset_spec(preset, NULL, 0, &spec, &e));
        if (strcmp(preset->name, "alexnet") == 0 || strcmp(preset->name, "vgg16") == 0) {
            cnn_spec_clear(&spec);
            continue;
        }
        check_roundtrip(net_of(&spec));
        seen++;
    }
    ck_assert_int_ge(seen, 7);
}
END_TEST

START_TEST(a_dag_of_every_layer_comes_back_the_same)
{
    struct cnn_spec spec = spec_of(3, 4, 12, 10, 0);
    struct cnn_layer_spec *layer = add(&spec, CNN_CONV); /* 0: grouped, dilated, lopsided */
    cnn_window_set(&layer->u.conv.window, 2, 3, 1);
    layer->u.conv.filters = 8;
    layer->u.conv.groups = 2;
    layer->u.conv.bias = false;
    layer->u.conv.window.dilation[1] = 2;
    layer->u.conv.window.padding = CNN_PAD_NUMBER;
    layer->u.conv.window.before[1] = 1;
    layer->u.conv.window.after[1] = 3;
    layer->u.conv.window.before[2] = layer->u.conv.window.after[2] = 1;
    snprintf(layer->name, sizeof layer->name, "first conv.1");
    add(&spec, CNN_BATCH_NORM)->u.norm.momentum = 0.3f; /* 1 */
    add(&spec, CNN_LEAKY_RELU)->u.leaky.slope = 0.125f; /* 2 */
    layer = add(&spec, CNN_CONV);                       /* 3: same */
    cnn_window_set(&layer->u.conv.window, 2, 3, 1);
    layer->u.conv.filters = 8;
    layer->u.conv.window.padding = CNN_PAD_SAME;
    layer = add(&spec, CNN_SIGMOID); /* 4 */
    layer->input_count = 1;
    layer->inputs[0] = 2;
    layer = add(&spec, CNN_ADD); /* 5 */
    layer->input_count = 2;
    layer->inputs[0] = 3;
    layer->inputs[1] = 4;
    layer = add(&spec, CNN_ADD); /* 6: three, a Sum */
    layer->input_count = 3;
    layer->inputs[0] = 5;
    layer->inputs[1] = 2;
    layer->inputs[2] = 3;
    layer = add(&spec, CNN_CONCAT); /* 7 */
    layer->input_count = 2;
    layer->inputs[0] = 6;
    layer->inputs[1] = 0;
    add(&spec, CNN_RELU);
    layer = add(&spec, CNN_MAX_POOL);
    cnn_window_set(&layer->u.pool.window, 2, 3, 2);
    layer = add(&spec, CNN_AVG_POOL);
    cnn_window_set(&layer->u.pool.window, 2, 2, 1);
    layer->u.pool.window.padding = CNN_PAD_NUMBER;
    layer->u.pool.window.before[2] = 1;
    layer->u.pool.count_padding = true;
    add(&spec, CNN_TANH);
    add(&spec, CNN_DROPOUT)->u.dropout.rate = 0.25f;
    add(&spec, CNN_SOFTMAX); /* over channels, pixel by pixel */
    add(&spec, CNN_FLATTEN);
    layer = add(&spec, CNN_DENSE);
    layer->u.dense.units = 6;
    layer->u.dense.bias = false;
    add(&spec, CNN_LOG_SOFTMAX);
    struct cnn_net *net = net_of(&spec);

    struct buf file = write_net(net);
    struct cnn_net *back = read_net(&file);
    const struct cnn_window *pads = &back->nodes[0].spec.u.conv.window;
    ck_assert_int_eq(pads->before[1], 1);
    ck_assert_int_eq(pads->after[1], 3);
    ck_assert(back->nodes[1].spec.u.norm.momentum == 0.3f);
    ck_assert(back->nodes[12].spec.u.dropout.rate == 0.25f);
    ck_assert(back->nodes[10].spec.u.pool.count_padding);
    buf_clear(&file);
    cnn_net_free(back);
    check_roundtrip(net);
}
END_TEST

START_TEST(one_and_three_dimensions_come_back_the_same)
{
    for (int dims = 1; dims <= 3; dims += 2) {
        struct cnn_spec spec = dims == 1 ? spec_of(2, 2, 17, 0, 0) : spec_of(4, 2, 6, 7, 8);
        add_conv(&spec, dims, 3, 4);
        add(&spec, CNN_BATCH_NORM);
        cnn_window_set(&add(&spec, CNN_MAX_POOL)->u.pool.window, dims, 2, 2);
        cnn_window_set(&add(&spec, CNN_AVG_POOL)->u.pool.window, dims, 2, 1);
        add(&spec, CNN_FLATTEN);
        add_dense(&spec, 3);
        check_roundtrip(net_of(&spec));
    }
}
END_TEST

START_TEST(global_pooling_and_a_flatten_of_its_own_come_back_the_same)
{
    struct cnn_spec spec = spec_of(3, 3, 6, 5, 0);
    add_conv(&spec, 2, 3, 4);
    add(&spec, CNN_GLOBAL_AVG_POOL);
    add(&spec, CNN_FLATTEN); /* does nothing, but it is a layer of the user's */
    add_dense(&spec, 5);
    check_roundtrip(net_of(&spec));
}
END_TEST

START_TEST(scores_come_first_and_a_head_is_only_added_where_it_is_needed)
{
    static const struct {
        enum cnn_layer_type last;
        bool head;
    } cases[] = {
        {CNN_DENSE, true}, {CNN_LOG_SOFTMAX, true}, {CNN_SOFTMAX, false}, {CNN_SIGMOID, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cnn_net *net = tiny_net(cases[i].last);
        struct buf file = write_net(net);
        Onnx__ModelProto *model = unpack(&file);
        const Onnx__GraphProto *graph = model->graph;
        ck_assert_int_eq(model->ir_version, ONNX_IR_VERSION);
        ck_assert_int_eq(model->opset_import[0]->version, ONNX_OPSET);
        ck_assert_str_eq(model->producer_name, "strided");
        ck_assert_str_eq(graph->input[0]->name, "input");
        ck_assert_str_eq(graph->output[0]->name, "scores");
        ck_assert_uint_eq(graph->n_output, cases[i].head ? 2 : 1);
        const Onnx__NodeProto *last = graph->node[graph->n_node - 1];
        ck_assert_str_eq(last->output[0], "scores");
        if (cases[i].head) {
            ck_assert_str_eq(graph->output[1]->name, "logits");
            ck_assert_str_eq(last->op_type, "Softmax");
            ck_assert_str_eq(last->input[0], "logits");
        }
        onnx__model_proto__free_unpacked(model, NULL);
        buf_clear(&file);
        check_roundtrip(net);
    }
}
END_TEST

START_TEST(parameters_are_named_and_ordered_as_in_pytorch)
{
    struct cnn_net *net = tiny_net(CNN_DENSE);
    struct buf file = write_net(net);
    Onnx__ModelProto *model = unpack(&file);
    Onnx__TensorProto **tensors = model->graph->initializer;
    ck_assert_uint_eq(model->graph->n_initializer, 4);
    ck_assert_str_eq(tensors[0]->name, "conv1.weight");
    ck_assert_str_eq(tensors[3]->name, "dense1.bias");
    const int64_t conv[] = {2, 1, 3, 3}, dense[] = {3, 8};
    ck_assert_uint_eq(tensors[0]->n_dims, 4);
    ck_assert_mem_eq(tensors[0]->dims, conv, sizeof conv);
    ck_assert_mem_eq(tensors[2]->dims, dense, sizeof dense);
    /* Ours stand as [in,out], the file's as [out,in]. */
    float weight;
    memcpy(&weight, tensors[2]->raw_data.data + sizeof(float), sizeof weight);
    ck_assert(weight == net->params[net->tensors[2].offset + 3]);
    onnx__model_proto__free_unpacked(model, NULL);
    buf_clear(&file);
    cnn_net_free(net);
}
END_TEST

START_TEST(metadata_comes_back)
{
    struct cnn_net *net = tiny_net(CNN_SOFTMAX), *back;
    char *labels[] = {(char[]){"Katze \xc3\xa4"}, (char[]){"\"quoted\""}, (char[]){"c"}};
    struct model_meta meta = {.job = "01J",
                              .dataset = "digits",
                              .dataset_version = 7,
                              .created = "2024-02-03T04:05:06Z",
                              .split = "test",
                              .test_loss = 0.123456789,
                              .test_accuracy = NAN,
                              .weights_sha256 = "abc"};
    meta.preprocess = (struct preprocess){.normalize = {.scale = 1.0f / 255,
                                                        .channels = 1,
                                                        .mean = {0.1307f},
                                                        .deviation = {0.3081f}},
                                          .background = BACKGROUND_DARK};
    ck_assert(model_meta_set_labels(&meta, labels, 3, &e));
    struct buf file = {0};
    struct model_meta got;
    ck_assert(onnx_write(net, &meta, &file, &e));
    ck_assert_ptr_nonnull(back = onnx_read(file.data, file.size, &got, &e));
    ck_assert_int_eq(got.label_count, 3);
    for (int i = 0; i < 3; i++)
        ck_assert_str_eq(got.labels[i], labels[i]);
    ck_assert_str_eq(got.job, "01J");
    ck_assert_str_eq(got.dataset, "digits");
    ck_assert_int_eq(got.dataset_version, 7);
    ck_assert_str_eq(got.created, meta.created);
    ck_assert_str_eq(got.split, "test");
    ck_assert(got.test_loss == 0.123456789);
    ck_assert(isnan(got.test_accuracy));
    ck_assert_str_eq(got.weights_sha256, "abc");
    ck_assert(got.preprocess.normalize.scale == 1.0f / 255);
    ck_assert_int_eq(got.preprocess.normalize.channels, 1);
    ck_assert(got.preprocess.normalize.mean[0] == 0.1307f);
    ck_assert(got.preprocess.normalize.deviation[0] == 0.3081f);
    ck_assert_int_eq(got.preprocess.background, BACKGROUND_DARK);

    struct model_meta copy;
    ck_assert(model_meta_copy(&copy, &got, &e));
    model_meta_clear(&got);
    ck_assert_str_eq(copy.labels[1], "\"quoted\"");
    model_meta_clear(&copy);
    model_meta_clear(&meta);
    buf_clear(&file);
    cnn_net_free(back);
    cnn_net_free(net);
}
END_TEST

START_TEST(labels_that_do_not_match_the_outputs_are_refused_on_writing)
{
    struct cnn_net *net = tiny_net(CNN_SOFTMAX), *other;
    struct cnn_spec spec = spec_of(1, 5, 0, 0, 0);
    add_dense(&spec, 4);
    other = net_of(&spec);
    struct model_meta meta = meta_for(other);
    struct buf file = {0};
    ck_assert(!onnx_write(net, &meta, &file, &e));
    ck_assert_str_eq(e.detail, "4 labels for a net of 3 outputs");
    model_meta_clear(&meta);
    cnn_net_free(net);
    cnn_net_free(other);
}
END_TEST

TEST_PROGRAM("proto_onnx", every_small_preset_comes_back_the_same,
             a_dag_of_every_layer_comes_back_the_same, one_and_three_dimensions_come_back_the_same,
             global_pooling_and_a_flatten_of_its_own_come_back_the_same,
             scores_come_first_and_a_head_is_only_added_where_it_is_needed,
             parameters_are_named_and_ordered_as_in_pytorch, metadata_comes_back,
             labels_that_do_not_match_the_outputs_are_refused_on_writing)
