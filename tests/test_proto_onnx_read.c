/* ONNX files that others write, and what is not a model: read, or refused with the reason. */
#include <math.h>

#include "onnx_nets.h"
#include "onnx_ops.h"

/* What other exporters write, made by editing our own file. */

static struct cnn_net *read_edited(const Onnx__ModelProto *model, struct model_meta *meta)
{
    size_t size = onnx__model_proto__get_packed_size(model);
    uint8_t *bytes = malloc(size);
    onnx__model_proto__pack(model, bytes);
    struct cnn_net *net = onnx_read(bytes, size, meta, &e);
    free(bytes);
    return net;
}

static void check_edited(const Onnx__ModelProto *model, const struct cnn_net *original)
{
    struct model_meta meta;
    struct cnn_net *net = read_edited(model, &meta);
    ck_assert_msg(net != NULL, "%s", e.detail);
    check_same_net(original, net);
    model_meta_clear(&meta);
    cnn_net_free(net);
}

static void check_refused(const Onnx__ModelProto *model, const char *text)
{
    struct model_meta meta;
    ck_assert_ptr_null(read_edited(model, &meta));
    ck_assert_msg(strstr(e.detail, text), "'%s' lacks '%s'", e.detail, text);
    ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
}

/* Each test edits a file of: conv1, flatten1, dense1 (Gemm), head. */
struct edited {
    struct cnn_net *net;
    Onnx__ModelProto *model;
    Onnx__GraphProto *graph;
    Onnx__NodeProto *conv, *flatten, *dense;
};

static struct edited edit(void)
{
    struct edited x = {.net = tiny_net(CNN_DENSE)};
    struct buf file = write_net(x.net);
    x.model = unpack(&file);
    buf_clear(&file);
    x.graph = x.model->graph;
    x.conv = x.graph->node[0];
    x.flatten = x.graph->node[1];
    x.dense = x.graph->node[2];
    return x;
}

static void edit_end(struct edited *x)
{
    onnx__model_proto__free_unpacked(x->model, NULL);
    cnn_net_free(x->net);
}

static void set_text(char **text, const char *value)
{
    if (*text != protobuf_c_empty_string)
        free(*text);
    *text = strdup(value);
}

static Onnx__AttributeProto *find(Onnx__NodeProto *node, const char *name)
{
    for (size_t i = 0; i < node->n_attribute; i++)
        if (strcmp(node->attribute[i]->name, name) == 0)
            return node->attribute[i];
    ck_abort_msg("no attribute %s", name);
    return NULL;
}

START_TEST(float_data_is_read_as_raw_data_is)
{
    struct edited x = edit();
    for (size_t i = 0; i < x.graph->n_initializer; i++) {
        Onnx__TensorProto *tensor = x.graph->initializer[i];
        tensor->n_float_data = tensor->raw_data.len / sizeof(float);
        tensor->float_data = (float *)(void *)tensor->raw_data.data;
        tensor->raw_data = (ProtobufCBinaryData){0};
    }
    check_edited(x.model, x.net);
    edit_end(&x);
}
END_TEST

START_TEST(a_gemm_that_is_not_transposed_is_read)
{
    struct edited x = edit();
    Onnx__TensorProto *weight = x.graph->initializer[2];
    float values[3 * 8];
    memcpy(values, weight->raw_data.data, sizeof values);
    for (int o = 0; o < 3; o++)
        for (int i = 0; i < 8; i++)
            memcpy(weight->raw_data.data + sizeof(float) * (size_t)(i * 3 + o), &values[o * 8 + i],
                   sizeof(float));
    weight->dims[0] = 8;
    weight->dims[1] = 3;
    find(x.dense, "transB")->i = 0;
    check_edited(x.model, x.net);

    /* The same as MatMul and Add, the bias first. */
    x.dense->n_attribute = 0;
    set_text(&x.dense->op_type, "MatMul");
    x.dense->n_input = 2;
    char *output = x.dense->output[0];
    x.dense->output[0] = (char[]){"product"};
    Onnx__NodeProto bias = ONNX__NODE_PROTO__INIT, *nodes[5];
    char *inputs[] = {x.graph->initializer[3]->name, x.dense->output[0]};
    bias.op_type = (char[]){"Add"};
    bias.input = inputs;
    bias.n_input = 2;
    bias.output = &output;
    bias.n_output = 1;
    memcpy(nodes, x.graph->node, 3 * sizeof *nodes);
    nodes[3] = &bias;
    nodes[4] = x.graph->node[3];
    Onnx__NodeProto **old = x.graph->node;
    x.graph->node = nodes;
    x.graph->n_node = 5;
    check_edited(x.model, x.net);

    /* An Add to anything else is refused. */
    inputs[1] = x.flatten->output[0];
    check_refused(x.model, "unsupported Add of the constant 'dense1.bias'");
    x.graph->node = old;
    x.graph->n_node = 4;
    x.dense->output[0] = output;
    x.dense->n_attribute = 1;
    x.dense->n_input = 3;
    edit_end(&x);
}
END_TEST

START_TEST(a_reshape_to_batch_and_features_is_a_flatten)
{
    static const struct {
        int64_t shape[2], allow_zero;
        const char *refused;
    } cases[] = {{{0, -1}, 0, NULL},
                 {{-1, 8}, 0, NULL},
                 {{0, 8}, 0, NULL},
                 {{1, -1}, 0, NULL},
                 {{1, 8}, 0, NULL}, /* a file made for one sample, or for five */
                 {{1, 8}, 1, NULL},
                 {{5, 8}, 0, NULL},
                 {{-1, 4}, 0, "Reshape to 4 features, but there are 8"},
                 {{2, 4}, 0, "Reshape to 4 features, but there are 8"},
                 {{2, -1}, 0, "unsupported Reshape"},
                 {{0, 8}, 1, "unsupported Reshape"},
                 {{-2, 8}, 0, "unsupported Reshape"},
                 {{-1, -1}, 0, "unsupported Reshape"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct edited x = edit();
        int64_t shape[2] = {cases[i].shape[0], cases[i].shape[1]}, two = 2;
        Onnx__TensorProto tensor = ONNX__TENSOR_PROTO__INIT;
        tensor.data_type = ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
        tensor.dims = &two;
        tensor.n_dims = 1;
        tensor.int64_data = shape;
        tensor.n_int64_data = 2;
        Onnx__AttributeProto value = ONNX__ATTRIBUTE_PROTO__INIT, *values[] = {&value};
        value.name = (char[]){"value"};
        value.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
        value.t = &tensor;
        Onnx__NodeProto constant = ONNX__NODE_PROTO__INIT, *nodes[5];
        char *output = (char[]){"shape"};
        constant.op_type = (char[]){"Constant"};
        constant.attribute = values;
        constant.n_attribute = 1;
        constant.output = &output;
        constant.n_output = 1;
        nodes[0] = &constant;
        memcpy(nodes + 1, x.graph->node, 4 * sizeof *nodes);
        set_text(&x.flatten->op_type, "Reshape");
        set_text(&x.flatten->attribute[0]->name, "allowzero"); /* was axis */
        x.flatten->attribute[0]->i = cases[i].allow_zero;
        char *inputs[] = {x.flatten->input[0], output}, **old_inputs = x.flatten->input;
        x.flatten->input = inputs;
        x.flatten->n_input = 2;
        Onnx__NodeProto **old = x.graph->node;
        x.graph->node = nodes;
        x.graph->n_node = 5;
        if (cases[i].refused)
            check_refused(x.model, cases[i].refused);
        else
            check_edited(x.model, x.net);
        x.graph->node = old;
        x.graph->n_node = 4;
        x.flatten->input = old_inputs;
        x.flatten->n_input = 1;
        edit_end(&x);
    }
}
END_TEST

/* "input" is the net's input wherever layers are named: a layer of that name would be mistaken. */
START_TEST(a_layer_called_input_gets_another_name)
{
    struct edited x = edit();
    struct model_meta meta;
    set_text(&x.graph->initializer[0]->name, "input.weight");
    set_text(&x.conv->input[1], "input.weight");
    struct cnn_net *net = read_edited(x.model, &meta);
    ck_assert_msg(net != NULL, "%s", e.detail);
    ck_assert_str_eq(net->nodes[0].spec.name, "conv1");
    cnn_net_free(net);
    model_meta_clear(&meta);
    edit_end(&x);
}
END_TEST

START_TEST(auto_pad_and_defaults_are_read)
{
    struct edited x = edit();
    Onnx__AttributeProto *pads = find(x.conv, "pads");
    set_text(&pads->name, "auto_pad");
    pads->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
    pads->s = (ProtobufCBinaryData){5, (uint8_t *)(char[]){"VALID"}};
    check_edited(x.model, x.net);
    pads->s = (ProtobufCBinaryData){10, (uint8_t *)(char[]){"SAME_LOWER"}};
    check_refused(x.model, "unsupported auto_pad 'SAME_LOWER' at node 'conv1'");
    pads->s = (ProtobufCBinaryData){10, (uint8_t *)(char[]){"SAME_UPPER"}};
    check_refused(x.model, "weight 'dense1.weight' does not fit its input at node 'dense1'");
    pads->s = (ProtobufCBinaryData){0};
    /* Nothing but auto_pad, and that is empty: all defaults. */
    for (size_t i = 0; i < x.conv->n_attribute; i++)
        if (x.conv->attribute[i] == pads)
            x.conv->attribute[i] = x.conv->attribute[0];
    x.conv->attribute[0] = pads;
    size_t count = x.conv->n_attribute;
    x.conv->n_attribute = 1;
    check_edited(x.model, x.net);
    x.conv->n_attribute = count;
    edit_end(&x);
}
END_TEST

START_TEST(identity_and_unneeded_nodes_are_skipped)
{
    struct edited x = edit();
    Onnx__NodeProto *head = x.graph->node[3];
    set_text(&head->op_type, "LSTM"); /* feeds "scores", but the net ends at "logits" */
    check_edited(x.model, x.net);
    edit_end(&x);
}
END_TEST

START_TEST(a_file_without_metadata_gets_numbers_for_labels)
{
    struct edited x = edit();
    size_t count = x.model->n_metadata_props;
    x.model->n_metadata_props = 0;
    check_refused(x.model, "onnx file of ours lacks metadata: truncated");
    set_text(&x.model->producer_name, "pytorch");
    struct model_meta meta;
    struct cnn_net *net = read_edited(x.model, &meta);
    ck_assert_ptr_nonnull(net);
    ck_assert_int_eq(meta.label_count, 3);
    ck_assert_str_eq(meta.labels[2], "2");
    /* Without strided.head the Softmax is a layer like any other. */
    ck_assert_int_eq(net->nodes[net->node_count - 1].spec.type, CNN_SOFTMAX);
    model_meta_clear(&meta);
    cnn_net_free(net);
    x.model->n_metadata_props = count;
    edit_end(&x);
}
END_TEST

/* Refusals */

START_TEST(unsupported_operators_and_attributes_are_named)
{
    struct edited x = edit();
    set_text(&x.flatten->op_type, "LSTM");
    check_refused(x.model, "unsupported operator 'LSTM' at node 'flatten1'");
    set_text(&x.flatten->op_type, "Flatten");
    set_text(&x.flatten->domain, "com.example");
    check_refused(x.model, "unsupported operator 'com.example.Flatten' at node 'flatten1'");
    set_text(&x.flatten->domain, "");
    set_text(&x.flatten->attribute[0]->name, "ceil_mode");
    check_refused(x.model, "unsupported attribute 'ceil_mode' of Flatten at node 'flatten1'");
    set_text(&x.flatten->attribute[0]->name, "axis");
    x.flatten->attribute[0]->i = 2;
    check_refused(x.model, "unsupported axis 2 of 4 at node 'flatten1'");
    x.flatten->attribute[0]->i = 1;
    x.model->opset_import[0]->version = 6;
    check_refused(x.model, "unsupported operator set 6");
    x.model->opset_import[0]->version = 99;
    check_refused(x.model, "unsupported operator set 99");
    edit_end(&x);
}
END_TEST

START_TEST(external_data_is_refused)
{
    struct edited x = edit();
    Onnx__TensorProto *weight = x.graph->initializer[0];
    weight->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    check_refused(x.model, "external data of tensor 'conv1.weight' is never read");
    weight->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT;
    Onnx__StringStringEntryProto entry = ONNX__STRING_STRING_ENTRY_PROTO__INIT, *list[] = {&entry};
    entry.key = (char[]){"location"};
    entry.value = (char[]){"/etc/passwd"};
    weight->external_data = list;
    weight->n_external_data = 1;
    check_refused(x.model, "external data of tensor 'conv1.weight' is never read");
    weight->external_data = NULL;
    weight->n_external_data = 0;
    edit_end(&x);
}
END_TEST

START_TEST(sizes_that_the_bytes_do_not_back_are_refused)
{
    struct edited x = edit();
    Onnx__TensorProto *weight = x.graph->initializer[0];
    static const int64_t hostile[] = {0, -1, 3, INT64_MAX, INT64_MIN, 1LL << 32, 1 << 28};
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        weight->dims[0] = hostile[i];
        check_refused(x.model, "tensor 'conv1.weight'");
    }
    weight->dims[0] = 2;
    weight->data_type = 10;
    check_refused(x.model, "data type 10 of tensor 'conv1.weight'");
    weight->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    weight->raw_data.len--;
    check_refused(x.model, "tensor 'conv1.weight' has 71 bytes, its dimensions ask for 72");
    weight->raw_data.len++;

    Onnx__AttributeProto *kernel = find(x.conv, "kernel_shape");
    kernel->ints[0] = 1LL << 40;
    check_refused(x.model, "kernel_shape");
    kernel->ints[0] = 5;
    check_refused(x.model, "kernel_shape 5, but the weights have 3");
    kernel->ints[0] = 3;
    find(x.conv, "strides")->ints[0] = 0;
    check_refused(x.model, "strides 0");
    find(x.conv, "strides")->ints[0] = 1;
    find(x.conv, "group")->i = -2;
    check_refused(x.model, "group");
    find(x.conv, "group")->i = 1;

    Onnx__TensorShapeProto *shape = x.graph->input[0]->type->tensor_type->shape;
    static const int64_t sides[] = {0, -4, 1LL << 40, INT64_MAX};
    for (size_t i = 0; i < sizeof sides / sizeof sides[0]; i++) {
        shape->dim[2]->dim_value = sides[i];
        check_refused(x.model, "");
    }
    shape->dim[2]->dim_value = 2;
    check_refused(x.model, "kernel 3 exceeds padded input 2 at node 'conv1'");
    shape->dim[2]->dim_value = 4096;
    shape->dim[3]->dim_value = 4096; /* a dense layer of 33 million weights was promised */
    check_refused(x.model, "at node 'flatten1'");
    edit_end(&x);
}
END_TEST

START_TEST(weights_that_are_not_finite_are_refused)
{
    struct edited x = edit();
    const float bad = INFINITY;
    memcpy(x.graph->initializer[3]->raw_data.data, &bad, sizeof bad);
    check_refused(x.model, "weights of layer 'dense1' are not finite");
    edit_end(&x);
}
END_TEST

START_TEST(a_negative_running_variance_is_refused)
{
    struct cnn_spec spec = spec_of(1, 2, 0, 0, 0);
    add(&spec, CNN_BATCH_NORM);
    struct cnn_net *net = net_of(&spec);
    net->params[net->tensors[3].offset + 1] = -1;
    struct buf file = write_net(net);
    struct model_meta meta;
    ck_assert_ptr_null(onnx_read(file.data, file.size, &meta, &e));
    ck_assert_str_eq(e.detail, "negative running variance of layer 'batch_norm1'");
    buf_clear(&file);
    cnn_net_free(net);
}
END_TEST

START_TEST(broken_graphs_are_refused)
{
    struct edited x = edit();
    char *name = x.dense->input[0];
    x.dense->input[0] = (char[]){"nowhere"};
    check_refused(x.model, "input 'nowhere' is not defined before it at node 'dense1'");
    x.dense->input[0] = (char[]){"logits"}; /* its own output */
    check_refused(x.model, "is not defined before it");
    x.dense->input[0] = x.graph->initializer[0]->name;
    check_refused(x.model, "is a constant");
    x.dense->input[0] = name;
    name = x.dense->input[1];
    x.dense->input[1] = x.flatten->output[0];
    check_refused(x.model, "is not a constant");
    x.dense->input[1] = name;
    x.dense->n_input = 1;
    check_refused(x.model, "input 1 is missing");
    x.dense->n_input = 3;
    set_text(&x.conv->output[0], x.graph->initializer[0]->name);
    check_refused(x.model, "");
    set_text(&x.conv->output[0], "conv1.output");
    size_t outputs = x.graph->n_output;
    x.graph->n_output = 0;
    check_refused(x.model, "graph has no output");
    x.graph->n_output = outputs;
    x.graph->n_input = 0;
    check_refused(x.model, "graph has no input");
    x.graph->n_input = 1;
    set_text(&x.model->metadata_props[META_LABELS]->value, "[\"a\"]");
    check_refused(x.model, "1 labels for 3 outputs");
    set_text(&x.model->metadata_props[META_LABELS]->value, "{");
    check_refused(x.model, "");
    edit_end(&x);
}
END_TEST

START_TEST(truncated_at_every_byte_is_refused)
{
    struct cnn_net *net = tiny_net(CNN_DENSE);
    struct buf file = write_net(net);
    struct model_meta meta;
    for (size_t size = 0; size < file.size; size++) {
        char *exact = malloc(size ? size : 1); /* so that a sanitizer sees each byte past it */
        memcpy(exact, file.data, size);
        ck_assert_ptr_null(onnx_read(exact, size, &meta, &e));
        ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
        free(exact);
    }
    buf_clear(&file);
    cnn_net_free(net);
}
END_TEST

START_TEST(flipped_bytes_never_crash)
{
    struct cnn_net *net = tiny_net(CNN_DENSE);
    struct buf file = write_net(net);
    struct model_meta meta;
    static const unsigned char masks[] = {0x01, 0x80, 0xff, 0x08};
    for (size_t at = 0; at < file.size; at++) {
        for (size_t i = 0; i < sizeof masks; i++) {
            file.data[at] = (char)(file.data[at] ^ masks[i]);
            struct cnn_net *back = onnx_read(file.data, file.size, &meta, &e);
            ck_assert(back || e.code == ERR_UNPROCESSABLE);
            model_meta_clear(&meta);
            cnn_net_free(back);
            file.data[at] = (char)(file.data[at] ^ masks[i]);
        }
    }
    buf_clear(&file);
    cnn_net_free(net);
}
END_TEST

START_TEST(a_flood_of_empty_messages_is_refused)
{
    /* graph (7) of `count` empty nodes (1): two bytes each, more than a hundred in memory. */
    const size_t count = 4000000, size = 2 * count;
    uint8_t *bytes = malloc(size + 16);
    size_t at = 0;
    bytes[at++] = 7 << 3 | 2;
    for (size_t rest = size; rest; rest >>= 7)
        bytes[at++] = (uint8_t)((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    for (size_t i = 0; i < count; i++) {
        bytes[at++] = 1 << 3 | 2;
        bytes[at++] = 0;
    }
    struct model_meta meta;
    ck_assert_ptr_null(onnx_read(bytes, at, &meta, &e));
    ck_assert_str_eq(e.detail, "onnx file unfolds to more than 4 times its size");
    free(bytes);
}
END_TEST

TEST_PROGRAM("proto_onnx_read", float_data_is_read_as_raw_data_is,
             a_gemm_that_is_not_transposed_is_read, a_reshape_to_batch_and_features_is_a_flatten,
             a_layer_called_input_gets_another_name, auto_pad_and_defaults_are_read,
             identity_and_unneeded_nodes_are_skipped,
             a_file_without_metadata_gets_numbers_for_labels,
             unsupported_operators_and_attributes_are_named, external_data_is_refused,
             sizes_that_the_bytes_do_not_back_are_refused, weights_that_are_not_finite_are_refused,
             a_negative_running_variance_is_refused, broken_graphs_are_refused,
             truncated_at_every_byte_is_refused, flipped_bytes_never_crash,
             a_flood_of_empty_messages_is_refused)
