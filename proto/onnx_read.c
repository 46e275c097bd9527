/* onnx_read.c - an ONNX file as a net.
 *
 * 1. protobuf-c unpacks the file, its memory bounded by the file's size.
 * 2. Only the nodes that the wanted output depends on are read, in file order, each into a layer
 *    (onnx_node.c). Nothing is allocated from a number in the file that its bytes do not back.
 * 3. The net is built, the parameters are copied in, and checked to be usable.
 */
#include "onnx.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "memory.h"
#include "onnx_graph.h"
#include "onnx_ops.h"
#include "onnx_tensor.h"

enum {
    NODES_MAX = 4 * CNN_LAYERS_MAX, /* layers, and what becomes none */
    VALUES_MAX = 4 * NODES_MAX,     /* nodes' outputs and initializers */
    UNPACK_BYTES_EXTRA = 64 << 20,
};

/* Unpacking may take 4 times the file's size and a bit: messages of two bytes become structs of
 * a hundred. Freed memory does not count back, which only makes the bound stricter. */
struct budget {
    size_t left;
    bool spent;
};

static void *budget_alloc(void *data, size_t size)
{
    struct budget *budget = data;
    if (size > budget->left) {
        budget->spent = true;
        return NULL;
    }
    budget->left -= size;
    return malloc(size);
}

static void budget_free(void *data, void *memory)
{
    (void)data;
    free(memory);
}

static Onnx__ModelProto *unpack(const void *bytes, size_t size, ProtobufCAllocator *allocator,
                                struct err *e)
{
    const struct budget *budget = allocator->allocator_data;
    Onnx__ModelProto *model = onnx__model_proto__unpack(allocator, size, bytes);
    if (!model && budget->spent)
        err_set(e, ERR_UNPROCESSABLE, "onnx file unfolds to more than 4 times its size");
    else if (!model)
        err_set(e, ERR_UNPROCESSABLE, "not an onnx file, or a truncated one");
    return model;
}

static bool read_opset(const Onnx__ModelProto *model, int64_t *opset, struct err *e)
{
    *opset = 0;
    for (size_t i = 0; i < model->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *import = model->opset_import[i];
        if (!import->domain[0] || strcmp(import->domain, "ai.onnx") == 0)
            *opset = import->version;
    }
    if (*opset < ONNX_OPSET_MIN || *opset > ONNX_OPSET_MAX)
        return err_set(e, ERR_UNPROCESSABLE, "unsupported operator set %lld, expected %d to %d",
                       (long long)*opset, ONNX_OPSET_MIN, ONNX_OPSET_MAX);
    return true;
}

static bool read_initializers(struct onnx_graph *graph, const Onnx__GraphProto *proto,
                              struct err *e)
{
    for (size_t i = 0; i < proto->n_initializer; i++)
        if (!onnx_value_define(graph, proto->initializer[i]->name,
                               (struct onnx_value){.tensor = proto->initializer[i]}, e))
            return false;
    return true;
}

/* float32 [batch, C, ...]; the batch may be anything, the rest must be fixed. */
static bool read_input_shape(const Onnx__ValueInfoProto *input, struct cnn_shape *shape,
                             struct err *e)
{
    const Onnx__TypeProto *type = input->type;
    bool is_tensor = type && type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE &&
                     type->tensor_type && type->tensor_type->shape;
    if (!is_tensor || type->tensor_type->elem_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT)
        return err_set(e, ERR_UNPROCESSABLE, "input '%.64s' is not a float32 tensor of known shape",
                       input->name);
    const Onnx__TensorShapeProto *proto = type->tensor_type->shape;
    if (proto->n_dim < 2 || proto->n_dim > 2 + CNN_AXES)
        return err_set(e, ERR_UNPROCESSABLE,
                       "input '%.64s' has rank %zu, expected [batch, channels] and up to %d more",
                       input->name, proto->n_dim, CNN_AXES);
    long long dims[1 + CNN_AXES];
    for (size_t i = 1; i < proto->n_dim; i++) {
        const Onnx__TensorShapeProto__Dimension *dim = proto->dim[i];
        if (dim->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
            return err_set(e, ERR_UNPROCESSABLE, "dimension %zu of input '%.64s' is not fixed", i,
                           input->name);
        dims[i - 1] = dim->dim_value;
    }
    return cnn_shape_from_dims(shape, dims, (int)proto->n_dim - 1, e);
}

/* The one input that is not an initializer; old files list those too. */
static bool read_input(struct onnx_graph *graph, const Onnx__GraphProto *proto, struct err *e)
{
    const Onnx__ValueInfoProto *input = NULL;
    for (size_t i = 0; i < proto->n_input; i++) {
        const struct onnx_value *value = onnx_value_find(graph, proto->input[i]->name);
        if (value && value->tensor)
            continue;
        if (input)
            return err_set(e, ERR_UNPROCESSABLE, "inputs '%.64s' and '%.64s', expected one",
                           input->name, proto->input[i]->name);
        input = proto->input[i];
    }
    if (!input)
        return err_set(e, ERR_UNPROCESSABLE, "graph has no input");
    struct cnn_shape *shape = &graph->spec.input;
    return read_input_shape(input, shape, e) &&
           onnx_value_define(graph, input->name,
                             (struct onnx_value){.layer = CNN_FROM_INPUT, .shape = *shape}, e);
}

static const char *find_metadata(const Onnx__ModelProto *model, const char *key)
{
    for (size_t i = 0; i < model->n_metadata_props; i++)
        if (strcmp(model->metadata_props[i]->key, key) == 0)
            return model->metadata_props[i]->value;
    return NULL;
}

/* Metadata comes last in a file: one of ours that lacks some was cut short. */
static bool check_complete(const Onnx__ModelProto *model, struct err *e)
{
    bool complete = find_metadata(model, ONNX_HEAD_KEY) != NULL;
    for (int i = 0; i < META_ENTRY_COUNT; i++)
        complete &= find_metadata(model, model_meta_key((enum model_meta_entry)i)) != NULL;
    return complete || strcmp(model->producer_name, ONNX_PRODUCER) != 0 ||
           err_set(e, ERR_UNPROCESSABLE, "onnx file of ours lacks metadata: truncated");
}

/* The value the net ends in: the first output, or what stands before a head that is not part of
 * the net. */
static const char *output_name(const Onnx__ModelProto *model, struct err *e)
{
    const Onnx__GraphProto *graph = model->graph;
    const char *head = find_metadata(model, ONNX_HEAD_KEY);
    bool before_head = head && strcmp(head, ONNX_HEAD_SOFTMAX) == 0;
    for (size_t i = 0; i < graph->n_output; i++)
        if (!before_head || strcmp(graph->output[i]->name, ONNX_LOGITS) == 0)
            return graph->output[i]->name;
    err_set(e, ERR_UNPROCESSABLE, "graph has no output%s", before_head ? " 'logits'" : "");
    return NULL;
}

/* Index of the node before `end` whose first output, the only one we know, is `name`, or -1. */
static int find_producer(const Onnx__GraphProto *graph, size_t end, const char *name)
{
    for (size_t i = end; i-- > 0;)
        if (strcmp(graph->node[i]->output[0], name) == 0)
            return (int)i;
    return -1;
}

static bool check_counts(const Onnx__GraphProto *graph, struct err *e)
{
    if (graph->n_node > NODES_MAX || graph->n_initializer > NODES_MAX)
        return err_set(e, ERR_UNPROCESSABLE, "graph of %zu nodes and %zu initializers, at most %d",
                       graph->n_node, graph->n_initializer, NODES_MAX);
    for (size_t i = 0; i < graph->n_node; i++) {
        const Onnx__NodeProto *node = graph->node[i];
        if (node->n_input > ONNX_NODE_INPUTS_MAX || node->n_output == 0)
            return err_set(e, ERR_UNPROCESSABLE, "%zu inputs and %zu outputs of operator '%.64s'",
                           node->n_input, node->n_output, node->op_type);
        if (strlen(node->output[0]) > ONNX_VALUE_NAME_BYTES)
            return err_set(e, ERR_UNPROCESSABLE, "output name of %zu bytes, at most %d are read",
                           strlen(node->output[0]), ONNX_VALUE_NAME_BYTES);
    }
    return true;
}

/* uses[i] = how many inputs of needed nodes (or the net's output) read node i; 0 = not needed. */
static void count_uses(const Onnx__GraphProto *graph, const char *output, int *uses)
{
    int last = find_producer(graph, graph->n_node, output);
    if (last >= 0)
        uses[last] = 1;
    for (size_t i = graph->n_node; i-- > 0;) {
        for (size_t k = 0; uses[i] && k < graph->node[i]->n_input; k++) {
            int from = find_producer(graph, i, graph->node[i]->input[k]);
            if (from >= 0)
                uses[from]++;
        }
    }
}

static bool read_nodes(struct onnx_graph *graph, const Onnx__ModelProto *model, struct err *e)
{
    const Onnx__GraphProto *proto = model->graph;
    const char *output = output_name(model, e);
    int *uses = output ? memory_new(proto->n_node, sizeof *uses, e) : NULL;
    if (!uses)
        return false;
    count_uses(proto, output, uses);
    bool ok = true;
    for (size_t i = 0; ok && i < proto->n_node; i++)
        ok = !uses[i] || onnx_node_read(graph, proto->node[i], uses[i], e);
    free(uses);
    if (!ok)
        return false;
    const struct onnx_value *value = onnx_value_find(graph, output);
    if (!value || value->tensor || value->layer < 0 || value->layer != graph->spec.layer_count - 1)
        return err_set(e, ERR_UNPROCESSABLE, "output '%.64s' is made by no layer", output);
    return true;
}

/* from [in,out] to [out,in] */
static void transpose(const float *from, size_t in, size_t out, float *to)
{
    for (size_t i = 0; i < in; i++)
        for (size_t o = 0; o < out; o++)
            to[o * in + i] = from[i * out + o];
}

static bool import_tensor(struct cnn_net *net, int index, const struct onnx_layer *layer,
                          struct err *e)
{
    const struct cnn_param *param = &net->tensors[index];
    bool turned = layer->transposed && param->rank == 2;
    float *values = memory_new(param->count, sizeof *values, e);
    float *scratch = values && turned ? memory_new(param->count, sizeof *values, e) : NULL;
    bool ok = values && (scratch || !turned);
    if (ok) {
        onnx_tensor_copy(layer->tensors[onnx_role_find(param->role)], turned ? scratch : values);
        if (turned)
            transpose(scratch, (size_t)param->dims[1], (size_t)param->dims[0], values);
        cnn_net_import(net, index, values);
    }
    free(scratch);
    free(values);
    return ok;
}

/* A negative running variance would make batch-norm answer NaN. */
static bool check_variances(const struct cnn_net *net, struct err *e)
{
    for (int t = 0; t < net->tensor_count; t++) {
        const struct cnn_param *param = &net->tensors[t];
        if (onnx_role_find(param->role) != ROLE_VARIANCE)
            continue;
        for (size_t i = 0; i < param->count; i++)
            if (net->params[param->offset + i] < 0)
                return err_set(e, ERR_UNPROCESSABLE, "negative running variance of layer '%s'",
                               net->nodes[param->node].spec.name);
    }
    return true;
}

static struct cnn_net *build_net(const struct onnx_graph *graph, struct err *e)
{
    int node;
    struct cnn_net *net = cnn_net_new(&graph->spec, e);
    bool ok = net != NULL;
    for (int t = 0; ok && t < net->tensor_count; t++)
        ok = import_tensor(net, t, &graph->layers[net->tensors[t].node], e);
    if (ok && !cnn_net_finite(net, &node))
        ok = err_set(e, ERR_UNPROCESSABLE, "weights of layer '%s' are not finite",
                     net->nodes[node].spec.name);
    ok = ok && check_variances(net, e);
    if (!ok) {
        cnn_net_free(net);
        return NULL;
    }
    return net;
}

static struct cnn_net *read_graph(const Onnx__ModelProto *model, size_t size, struct err *e)
{
    struct onnx_graph graph = {.value_capacity = VALUES_MAX,
                               .floats_left = size + UNPACK_BYTES_EXTRA / sizeof(float)};
    graph.layers = memory_new(CNN_LAYERS_MAX, sizeof *graph.layers, e);
    graph.values = memory_new(VALUES_MAX, sizeof *graph.values, e);
    struct cnn_net *net = NULL;
    if (graph.layers && graph.values && check_complete(model, e) && check_counts(model->graph, e) &&
        read_opset(model, &graph.opset, e) && read_initializers(&graph, model->graph, e) &&
        read_input(&graph, model->graph, e) && read_nodes(&graph, model, e))
        net = build_net(&graph, e);
    cnn_spec_clear(&graph.spec);
    free(graph.values);
    free(graph.layers);
    return net;
}

/* "0", "1", ... */
static bool number_labels(struct model_meta *meta, size_t count, struct err *e)
{
    char(*texts)[12] = memory_new(count, sizeof *texts, e);
    char **labels = memory_new(count, sizeof *labels, e);
    bool ok = texts && labels;
    for (size_t i = 0; ok && i < count; i++) {
        snprintf(texts[i], sizeof texts[i], "%zu", i);
        labels[i] = texts[i];
    }
    ok = ok && model_meta_set_labels(meta, labels, (int)count, e);
    free(labels);
    free(texts);
    return ok;
}

static bool read_meta(const Onnx__ModelProto *model, const struct cnn_net *net,
                      struct model_meta *meta, struct err *e)
{
    /* Files from elsewhere: pixels as 0..1, the most usual. */
    meta->preprocess.normalize.scale = 1.0f / 255;
    for (int i = 0; i < META_ENTRY_COUNT; i++) {
        enum model_meta_entry entry = (enum model_meta_entry)i;
        const char *text = find_metadata(model, model_meta_key(entry));
        if (text && !model_meta_parse(meta, entry, text, strlen(text), e))
            return false;
    }
    size_t outputs = cnn_shape_count(cnn_net_output(net));
    if (outputs > CNN_DIM_MAX)
        return err_set(e, ERR_UNPROCESSABLE, "%zu outputs, at most %d classes are served", outputs,
                       CNN_DIM_MAX);
    if (meta->label_count == 0)
        return number_labels(meta, outputs, e);
    if ((size_t)meta->label_count != outputs)
        return err_set(e, ERR_UNPROCESSABLE, "%d labels for %zu outputs", meta->label_count,
                       outputs);
    return true;
}

struct cnn_net *onnx_read(const void *bytes, size_t size, struct model_meta *meta, struct err *e)
{
    *meta = (struct model_meta){.test_loss = NAN, .test_accuracy = NAN};
    if (size > LIMIT_MODEL_FILE_BYTES) {
        err_set(e, ERR_TOO_LARGE, "model file of %zu bytes exceeds %d", size,
                LIMIT_MODEL_FILE_BYTES);
        return NULL;
    }
    struct budget budget = {.left = 4 * size + UNPACK_BYTES_EXTRA};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
    struct cnn_net *net = NULL;
    Onnx__ModelProto *model = unpack(bytes, size, &allocator, e);
    if (model && !model->graph)
        err_set(e, ERR_UNPROCESSABLE, "not an onnx file: it has no graph");
    else if (model)
        net = read_graph(model, size, e);
    if (net && !read_meta(model, net, meta, e)) {
        cnn_net_free(net);
        net = NULL;
    }
    if (model)
        onnx__model_proto__free_unpacked(model, &allocator);
    if (!net) {
        model_meta_clear(meta);
        if (e->code == ERR_INVALID) /* the file is at fault, not a field of the request */
            e->code = ERR_UNPROCESSABLE;
    }
    return net;
}
