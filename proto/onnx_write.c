/* onnx_write.c - a net as an ONNX file.
 *
 * The protobuf messages of all nodes and tensors live in two arrays of fixed-size structs, sized
 * before anything is filled in, so that nothing can fail half-way but those two allocations and
 * the tensors' data. Every value (edge) is named after the layer that makes it, "<layer>.output",
 * and every parameter "<layer>.weight" as in PyTorch; no two kinds share a suffix.
 */
#include "onnx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "limits.h"
#include "memory.h"
#include "onnx.pb-c.h"
#include "onnx_ops.h"

enum {
    ATTRIBUTES_MAX = 6,
    NODE_INPUTS_MAX = CNN_INPUTS_MAX, /* BatchNormalization has 5 */
    DIMS_MAX = 2 + CNN_AXES,
    METADATA_MAX = META_ENTRY_COUNT + 1,
    PADS_MAX = 2 * CNN_AXES,
};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "raw_data is little-endian");

struct out_attribute {
    Onnx__AttributeProto proto;
    int64_t ints[PADS_MAX];
};

struct out_node {
    Onnx__NodeProto proto;
    char name[ONNX_NAME_BYTES], output[ONNX_NAME_BYTES];
    char *inputs[NODE_INPUTS_MAX], *outputs[1]; /* inputs point at the names of other structs */
    struct out_attribute attributes[ATTRIBUTES_MAX];
    Onnx__AttributeProto *attribute_list[ATTRIBUTES_MAX];
};

struct out_tensor {
    Onnx__TensorProto proto;
    char name[ONNX_NAME_BYTES];
    int64_t dims[DIMS_MAX];
    float *data; /* [count], owned */
};

/* A graph input or output. */
struct out_value {
    Onnx__ValueInfoProto proto;
    Onnx__TypeProto type;
    Onnx__TypeProto__Tensor tensor;
    Onnx__TensorShapeProto shape;
    Onnx__TensorShapeProto__Dimension dims[1 + 1 + CNN_AXES];
    Onnx__TensorShapeProto__Dimension *dim_list[1 + 1 + CNN_AXES];
};

struct writer {
    const struct cnn_net *net;
    struct out_node *nodes; /* one a layer, two of the head */
    struct out_tensor *tensors;
    Onnx__NodeProto **node_list;
    Onnx__TensorProto **tensor_list;
    size_t node_count, tensor_count;
    char **values; /* [net->node_count]: the name of each layer's output */
    struct out_value input, scores, logits;
    bool head; /* a Softmax follows the net */
};

static char *as_text(const char *constant)
{
    return (char *)(uintptr_t)constant; /* protobuf-c's strings are not const; packing only reads */
}

static struct out_node *add_node(struct writer *w, const char *op_type, const char *name)
{
    struct out_node *node = &w->nodes[w->node_count];
    onnx__node_proto__init(&node->proto);
    w->node_list[w->node_count++] = &node->proto;
    snprintf(node->name, sizeof node->name, "%s", name);
    snprintf(node->output, sizeof node->output, "%.*s.output", CNN_NAME_MAX - 1, name);
    node->outputs[0] = node->output;
    node->proto.name = node->name;
    node->proto.op_type = as_text(op_type);
    node->proto.input = node->inputs;
    node->proto.output = node->outputs;
    node->proto.n_output = 1;
    node->proto.attribute = node->attribute_list;
    return node;
}

static void add_input(struct out_node *node, char *value)
{
    CHECK(node->proto.n_input < NODE_INPUTS_MAX);
    node->inputs[node->proto.n_input++] = value;
}

static struct out_attribute *add_attribute(struct out_node *node, const char *name,
                                           Onnx__AttributeProto__AttributeType type)
{
    CHECK(node->proto.n_attribute < ATTRIBUTES_MAX);
    struct out_attribute *attribute = &node->attributes[node->proto.n_attribute];
    onnx__attribute_proto__init(&attribute->proto);
    attribute->proto.name = as_text(name);
    attribute->proto.type = type;
    node->attribute_list[node->proto.n_attribute++] = &attribute->proto;
    return attribute;
}

static void add_int(struct out_node *node, const char *name, int64_t value)
{
    add_attribute(node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT)->proto.i = value;
}

static void add_float(struct out_node *node, const char *name, float value)
{
    add_attribute(node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT)->proto.f = value;
}

/* The user's axes of a [D,H,W] array, the innermost `dims`. */
static void add_axes(struct out_node *node, const char *name, const int *values, int dims)
{
    struct out_attribute *attribute =
        add_attribute(node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    for (int i = 0; i < dims; i++)
        attribute->ints[i] = values[CNN_AXES - dims + i];
    attribute->proto.ints = attribute->ints;
    attribute->proto.n_ints = (size_t)dims;
}

static void add_window(struct out_node *node, const struct cnn_window *window)
{
    int dims = window->dims;
    add_axes(node, "kernel_shape", window->kernel, dims);
    add_axes(node, "strides", window->stride, dims);
    add_axes(node, "pads", window->before, dims); /* all of before, then all of after */
    struct out_attribute *pads = &node->attributes[node->proto.n_attribute - 1];
    for (int i = 0; i < dims; i++)
        pads->ints[dims + i] = window->after[CNN_AXES - dims + i];
    pads->proto.n_ints *= 2;
}

static struct out_tensor *add_tensor(struct writer *w, const char *layer, const char *role)
{
    struct out_tensor *tensor = &w->tensors[w->tensor_count];
    onnx__tensor_proto__init(&tensor->proto);
    w->tensor_list[w->tensor_count++] = &tensor->proto;
    snprintf(tensor->name, sizeof tensor->name, "%s.%s", layer, role);
    tensor->proto.name = tensor->name;
    tensor->proto.data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    tensor->proto.dims = tensor->dims;
    return tensor;
}

static bool set_data(struct out_tensor *tensor, size_t count, struct err *e)
{
    tensor->data = memory_new(count, sizeof *tensor->data, e);
    tensor->proto.raw_data.data = (uint8_t *)tensor->data;
    tensor->proto.raw_data.len = count * sizeof *tensor->data;
    return tensor->data != NULL;
}

/* The layer's parameters, as initializers and as inputs of its node. */
static bool add_params(struct writer *w, struct out_node *out, const struct cnn_node *node,
                       struct err *e)
{
    for (int t = 0; t < node->param_count; t++) {
        int index = node->param_first + t;
        const struct cnn_param *param = &w->net->tensors[index];
        struct out_tensor *tensor = add_tensor(w, node->spec.name, param->role);
        tensor->proto.n_dims = (size_t)param->rank;
        for (int i = 0; i < param->rank; i++)
            tensor->dims[i] = param->dims[i];
        if (!set_data(tensor, param->count, e))
            return false;
        cnn_net_export(w->net, index, tensor->data);
        add_input(out, tensor->name);
    }
    return true;
}

/* Dropout takes its ratio as an input, a scalar. */
static bool add_ratio(struct writer *w, struct out_node *out, const struct cnn_node *node,
                      struct err *e)
{
    struct out_tensor *tensor = add_tensor(w, node->spec.name, "ratio");
    if (!set_data(tensor, 1, e))
        return false;
    tensor->data[0] = node->spec.u.dropout.rate;
    add_input(out, tensor->name);
    return true;
}

static void add_attributes(struct out_node *out, const struct cnn_layer_spec *spec)
{
    switch (spec->type) {
    case CNN_CONV:
        add_window(out, &spec->u.conv.window);
        add_axes(out, "dilations", spec->u.conv.window.dilation, spec->u.conv.window.dims);
        add_int(out, "group", spec->u.conv.groups);
        break;
    case CNN_MAX_POOL:
        add_window(out, &spec->u.pool.window);
        break;
    case CNN_AVG_POOL:
        add_window(out, &spec->u.pool.window);
        add_int(out, "count_include_pad", spec->u.pool.count_padding);
        break;
    case CNN_DENSE:
        add_int(out, "transB", 1); /* weights stand as [out,in] */
        break;
    case CNN_FLATTEN:
    case CNN_SOFTMAX:
    case CNN_LOG_SOFTMAX:
    case CNN_CONCAT:
        add_int(out, "axis", 1);
        break;
    case CNN_LEAKY_RELU:
        add_float(out, "alpha", spec->u.leaky.slope);
        break;
    case CNN_BATCH_NORM:
        add_float(out, "epsilon", spec->u.norm.epsilon);
        add_float(out, "momentum", 1 - spec->u.norm.momentum); /* ONNX weighs the old value */
        break;
    default:
        break;
    }
}

static bool write_layer(struct writer *w, int index, struct err *e)
{
    const struct cnn_node *node = &w->net->nodes[index];
    const char *op_type = onnx_op_of(node->spec.type)->op_type;
    if (node->spec.type == CNN_ADD && node->input_count > 2)
        op_type = "Sum";
    struct out_node *out = add_node(w, op_type, node->spec.name);
    for (int i = 0; i < node->input_count; i++) {
        int from = node->inputs[i];
        add_input(out, from == CNN_FROM_INPUT ? as_text(ONNX_INPUT) : w->values[from]);
    }
    add_attributes(out, &node->spec);
    if (!add_params(w, out, node, e) ||
        (node->spec.type == CNN_DROPOUT && !add_ratio(w, out, node, e)))
        return false;
    w->values[index] = out->output;
    return true;
}

/* Probabilities are what people want from a file: a Softmax after a net that ends in anything but
 * softmax or sigmoid. */
static void write_head(struct writer *w)
{
    struct out_node *last = &w->nodes[w->node_count - 1];
    if (!w->head) {
        snprintf(last->output, sizeof last->output, ONNX_SCORES);
        return;
    }
    snprintf(last->output, sizeof last->output, ONNX_LOGITS);
    char *value = last->output;
    if (cnn_net_output(w->net)->rank > 0) {
        struct out_node *flatten = add_node(w, "Flatten", "head.flatten");
        add_int(flatten, "axis", 1);
        add_input(flatten, value);
        value = flatten->output;
    }
    struct out_node *softmax = add_node(w, "Softmax", "head.softmax");
    add_int(softmax, "axis", 1);
    add_input(softmax, value);
    snprintf(softmax->output, sizeof softmax->output, ONNX_SCORES);
}

/* float32 [N, ...shape], the batch symbolic. */
static void set_value(struct out_value *value, const char *name, const struct cnn_shape *shape)
{
    int sizes[1 + CNN_AXES], rank = cnn_shape_dims(shape, sizes);
    onnx__value_info_proto__init(&value->proto);
    onnx__type_proto__init(&value->type);
    onnx__type_proto__tensor__init(&value->tensor);
    onnx__tensor_shape_proto__init(&value->shape);
    value->proto.name = as_text(name);
    value->proto.type = &value->type;
    value->type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    value->type.tensor_type = &value->tensor;
    value->tensor.elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    value->tensor.shape = &value->shape;
    value->shape.n_dim = (size_t)rank + 1;
    value->shape.dim = value->dim_list;
    for (int i = 0; i <= rank; i++) {
        Onnx__TensorShapeProto__Dimension *dim = &value->dims[i];
        onnx__tensor_shape_proto__dimension__init(dim);
        value->dim_list[i] = dim;
        if (i == 0) {
            dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            dim->dim_param = as_text("N");
        } else {
            dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            dim->dim_value = sizes[i - 1];
        }
    }
}

static void set_values(struct writer *w)
{
    struct cnn_shape out = *cnn_net_output(w->net);
    set_value(&w->input, ONNX_INPUT, &w->net->input);
    set_value(&w->logits, ONNX_LOGITS, &out);
    if (w->head) /* the head flattens */
        out = (struct cnn_shape){.c = (int)cnn_shape_count(&out), .size = {1, 1, 1}};
    set_value(&w->scores, ONNX_SCORES, &out);
}

static bool writer_init(struct writer *w, const struct cnn_net *net, struct err *e)
{
    size_t layers = (size_t)net->node_count;
    size_t nodes = layers + 2, tensors = (size_t)net->tensor_count + layers;
    enum cnn_layer_type last = net->nodes[net->node_count - 1].spec.type;
    *w = (struct writer){.net = net, .head = last != CNN_SOFTMAX && last != CNN_SIGMOID};
    return (w->nodes = memory_new(nodes, sizeof *w->nodes, e)) &&
           (w->node_list = memory_new(nodes, sizeof(void *), e)) &&
           (w->tensors = memory_new(tensors, sizeof *w->tensors, e)) &&
           (w->tensor_list = memory_new(tensors, sizeof(void *), e)) &&
           (w->values = memory_new(layers, sizeof *w->values, e));
}

static void writer_clear(struct writer *w)
{
    for (size_t i = 0; i < w->tensor_count; i++)
        free(w->tensors[i].data);
    free(w->nodes);
    free(w->node_list);
    free(w->tensors);
    free(w->tensor_list);
    free(w->values);
}

static bool write_graph(struct writer *w, struct err *e)
{
    for (int i = 0; i < w->net->node_count; i++)
        if (!write_layer(w, i, e))
            return false;
    write_head(w);
    set_values(w);
    return true;
}

/* Appends the packed message. */
static bool pack(const Onnx__ModelProto *model, struct buf *out, struct err *e)
{
    size_t size = onnx__model_proto__get_packed_size(model);
    if (size > LIMIT_MODEL_FILE_BYTES)
        return err_set(e, ERR_TOO_LARGE, "model file of %zu bytes exceeds %d", size,
                       LIMIT_MODEL_FILE_BYTES);
    if (!buf_reserve(out, size))
        return err_no_memory(e);
    out->size += onnx__model_proto__pack(model, (uint8_t *)out->data + out->size);
    return true;
}

/* Puts everything around the graph and packs it; texts are the metadata's values. */
static bool pack_model(struct writer *w, struct buf texts[META_ENTRY_COUNT], struct buf *out,
                       struct err *e)
{
    Onnx__GraphProto graph = ONNX__GRAPH_PROTO__INIT;
    Onnx__ValueInfoProto *inputs[] = {&w->input.proto};
    Onnx__ValueInfoProto *outputs[] = {&w->scores.proto, &w->logits.proto};
    graph.name = as_text("strided");
    graph.node = w->node_list;
    graph.n_node = w->node_count;
    graph.initializer = w->tensor_list;
    graph.n_initializer = w->tensor_count;
    graph.input = inputs;
    graph.n_input = 1;
    graph.output = outputs;
    graph.n_output = w->head ? 2 : 1;

    Onnx__StringStringEntryProto entries[METADATA_MAX], *entry_list[METADATA_MAX];
    for (int i = 0; i < METADATA_MAX; i++) {
        entry_list[i] = &entries[i];
        onnx__string_string_entry_proto__init(&entries[i]);
        bool is_head = i == META_ENTRY_COUNT;
        entries[i].key =
            as_text(is_head ? ONNX_HEAD_KEY : model_meta_key((enum model_meta_entry)i));
        entries[i].value =
            as_text(is_head ? (w->head ? ONNX_HEAD_SOFTMAX : ONNX_HEAD_NONE) : buf_text(&texts[i]));
    }

    Onnx__OperatorSetIdProto opset = ONNX__OPERATOR_SET_ID_PROTO__INIT, *opsets[] = {&opset};
    opset.version = ONNX_OPSET;
    Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
    model.ir_version = ONNX_IR_VERSION;
    model.producer_name = as_text(ONNX_PRODUCER);
    model.graph = &graph;
    model.opset_import = opsets;
    model.n_opset_import = 1;
    model.metadata_props = entry_list;
    model.n_metadata_props = METADATA_MAX;
    return pack(&model, out, e);
}

bool onnx_write(const struct cnn_net *net, const struct model_meta *meta, struct buf *out,
                struct err *e)
{
    size_t outputs = cnn_shape_count(cnn_net_output(net));
    if (outputs != (size_t)meta->label_count)
        return err_set(e, ERR_INVALID, "%d labels for a net of %zu outputs", meta->label_count,
                       outputs);
    struct writer w;
    struct buf texts[META_ENTRY_COUNT] = {0};
    bool ok = writer_init(&w, net, e) && write_graph(&w, e);
    for (int i = 0; i < META_ENTRY_COUNT; i++) {
        model_meta_write(meta, (enum model_meta_entry)i, &texts[i]);
        buf_text(&texts[i]);
        if (ok && !buf_ok(&texts[i]))
            ok = err_no_memory(e);
    }
    ok = ok && pack_model(&w, texts, out, e);
    for (int i = 0; i < META_ENTRY_COUNT; i++)
        buf_clear(&texts[i]);
    writer_clear(&w);
    return ok;
}
