/* onnx_node.c - one ONNX node to one layer.
 *
 * A node is read in this order: what may be in it at all (known operator, known attributes), then
 * the layer's options (onnx_options.c), then its inputs' shapes through the engine's own inference,
 * then its parameters against the shapes that result.
 */
#include "onnx_options.h"

#include <stdio.h>
#include <string.h>

#include "layer.h"
#include "name.h"
#include "onnx_attribute.h"
#include "onnx_tensor.h"

int onnx_role_find(const char *role)
{
    static const char *const roles[ROLE_COUNT] = {"weight", "bias", "running_mean", "running_var"};
    for (int i = 0; i < ROLE_COUNT; i++)
        if (strcmp(roles[i], role) == 0)
            return i;
    return -1;
}

const struct onnx_value *onnx_value_find(const struct onnx_graph *graph, const char *name)
{
    for (size_t i = 0; i < graph->value_count; i++)
        if (strcmp(graph->values[i].name, name) == 0)
            return &graph->values[i];
    return NULL;
}

bool onnx_value_define(struct onnx_graph *graph, const char *name, struct onnx_value value,
                       struct err *e)
{
    if (strlen(name) > ONNX_VALUE_NAME_BYTES)
        return err_set(e, ERR_UNPROCESSABLE, "name of %zu bytes, at most %d are read", strlen(name),
                       ONNX_VALUE_NAME_BYTES);
    if (!name[0] || onnx_value_find(graph, name))
        return err_set(e, ERR_UNPROCESSABLE, "value '%.64s' is defined twice or without a name",
                       name);
    if (graph->value_count == graph->value_capacity)
        return err_set(e, ERR_UNPROCESSABLE, "more than %zu values", graph->value_capacity);
    value.name = name;
    graph->values[graph->value_count++] = value;
    return true;
}

static bool get_map(struct onnx_reading *r, size_t index, struct err *e)
{
    const struct onnx_value *value = onnx_input_value(r, index, e);
    if (!value)
        return false;
    if (value->tensor)
        return err_set(e, ERR_UNPROCESSABLE, "input '%.64s' is a constant", value->name);
    if (r->in_count == CNN_INPUTS_MAX)
        return err_set(e, ERR_UNPROCESSABLE, "more than %d inputs", CNN_INPUTS_MAX);
    r->in[r->in_count++] = value;
    return true;
}

/* Layers */

/* The layer's name: its weight's without ".weight", else the node's; none when it cannot be, as
 * arch_json.h names layers. */
static void name_layer(struct onnx_reading *r)
{
    static const char suffix[] = ".weight";
    const Onnx__TensorProto *weight = r->layer->tensors[ROLE_WEIGHT];
    const char *name = r->node->name;
    size_t size = strlen(name), weight_size = weight ? strlen(weight->name) : 0;
    if (weight_size >= sizeof suffix &&
        strcmp(weight->name + weight_size - (sizeof suffix - 1), suffix) == 0) {
        name = weight->name;
        size = weight_size - (sizeof suffix - 1);
    }
    while (size > 0 && name[0] == '/') { /* PyTorch's "/conv1/Conv" */
        name++;
        size--;
    }
    if (size >= CNN_NAME_MAX)
        return;
    char text[CNN_NAME_MAX] = "";
    memcpy(text, name, size);
    for (char *slash = text; (slash = strchr(slash, '/'));)
        *slash = '.';
    struct err ignored;
    if (!label_check(text, &ignored) || strcmp(text, "input") == 0)
        return;
    for (int i = 0; i < r->graph->spec.layer_count; i++)
        if (strcmp(r->graph->spec.layers[i].name, text) == 0)
            return;
    memcpy(r->spec->name, text, sizeof text);
}

/* The dims of a parameter as the file must have them. Vectors may come as [1,n]. */
static bool dims_match(const struct onnx_layer *layer, enum onnx_role role,
                       const struct cnn_param *param)
{
    const Onnx__TensorProto *tensor = layer->tensors[role];
    size_t count = 1, expected = 1;
    for (size_t i = 0; i < tensor->n_dims; i++)
        count *= (size_t)tensor->dims[i];
    if (param->rank == 1)
        return count == (size_t)param->dims[0];
    for (int i = 0; i < param->rank; i++)
        expected *= (size_t)param->dims[i];
    if (tensor->n_dims != (size_t)param->rank || count != expected)
        return false;
    for (int i = 0; i < param->rank; i++)
        if (tensor->dims[layer->transposed ? param->rank - 1 - i : i] != param->dims[i])
            return false;
    return true;
}

/* Each parameter the layer wants against the tensor that is there. */
static bool check_params(struct onnx_reading *r, const struct cnn_node *core, struct err *e)
{
    for (int t = 0; core->op->param; t++) {
        struct cnn_param param = {0};
        if (!core->op->param(core, t, &param))
            break;
        int role = onnx_role_find(param.role);
        const Onnx__TensorProto *tensor = role < 0 ? NULL : r->layer->tensors[role];
        size_t count;
        if (!tensor)
            return err_set(e, ERR_UNPROCESSABLE, "%s is missing", param.role);
        if (!onnx_tensor_floats(tensor, &count, e))
            return false;
        if (!dims_match(r->layer, (enum onnx_role)role, &param))
            return err_set(e, ERR_UNPROCESSABLE, "%s '%.64s' does not fit its input", param.role,
                           tensor->name);
        if (count > r->graph->floats_left)
            return err_set(e, ERR_UNPROCESSABLE, "parameters are shared by too many nodes");
        r->graph->floats_left -= count;
    }
    return true;
}

/* Infers the layer's output as the engine will, and defines the node's value. */
static bool connect_layer(struct onnx_reading *r, int64_t features, struct err *e)
{
    struct cnn_node core = {.op = cnn_op_of(r->spec->type), .input_count = r->in_count};
    r->spec->input_count = r->in_count;
    for (int i = 0; i < r->in_count; i++) {
        if (r->in[i]->shape.rank != r->in[0]->shape.rank)
            return err_set(e, ERR_UNPROCESSABLE, "inputs of different ranks");
        r->spec->inputs[i] = core.inputs[i] = r->in[i]->layer;
        core.in[i] = r->in[i]->shape;
    }
    name_layer(r);
    core.spec = *r->spec;
    if (!core.op->infer(&core, e) || !cnn_shape_check(&core.out, e) || !check_params(r, &core, e))
        return false;
    if (features > 0 && features != core.out.c)
        return err_set(e, ERR_UNPROCESSABLE, "Reshape to %lld features, but there are %d",
                       (long long)features, core.out.c);
    return onnx_value_define(
        r->graph, r->node->output[0],
        (struct onnx_value){.layer = r->graph->spec.layer_count - 1, .shape = core.out}, e);
}

static bool read_layer(struct onnx_reading *r, struct err *e)
{
    bool many = r->op->layer == CNN_ADD || r->op->layer == CNN_CONCAT;
    for (size_t i = 0; i < (many ? r->node->n_input : 1); i++)
        if (!get_map(r, i, e))
            return false;
    r->spec = cnn_spec_add(&r->graph->spec, (enum cnn_layer_type)r->op->layer, e);
    if (!r->spec)
        return false;
    r->layer = &r->graph->layers[r->graph->spec.layer_count - 1];
    int64_t features = -1;
    return onnx_options_read(r, &features, e) && connect_layer(r, features, e);
}

/* Nodes that become no layer of their own */

static bool read_constant(const struct onnx_reading *r, struct err *e)
{
    bool ok;
    const Onnx__AttributeProto *value = onnx_attribute_find(
        r->node, "value", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR, &ok, e);
    if (!ok)
        return false;
    if (!value || !value->t)
        return err_set(e, ERR_UNPROCESSABLE, "value is missing");
    return onnx_value_define(r->graph, r->node->output[0], (struct onnx_value){.tensor = value->t},
                             e);
}

/* An Add of a constant is the bias of the MatMul before it. */
static bool read_bias(struct onnx_reading *r, const struct onnx_value *map,
                      const struct onnx_value *constant, struct err *e)
{
    struct onnx_layer *layer = map->layer < 0 ? NULL : &r->graph->layers[map->layer];
    size_t count;
    if (!layer || !layer->open)
        return err_set(e, ERR_UNPROCESSABLE,
                       "unsupported Add of the constant '%.64s' to anything but a MatMul",
                       constant->name);
    if (!onnx_tensor_floats(constant->tensor, &count, e))
        return false;
    const Onnx__TensorProto *bias = constant->tensor;
    if (bias->n_dims < 1 || bias->n_dims > 2 || count != (size_t)map->shape.c ||
        bias->dims[bias->n_dims - 1] != map->shape.c)
        return err_set(e, ERR_UNPROCESSABLE, "bias '%.64s' does not fit %d units", constant->name,
                       map->shape.c);
    layer->open = false;
    layer->tensors[ROLE_BIAS] = bias;
    r->graph->spec.layers[map->layer].u.dense.bias = true;
    return onnx_value_define(r->graph, r->node->output[0], *map, e);
}

static bool read_checked(struct onnx_reading *r, struct err *e)
{
    if (strcmp(r->op->op_type, "Constant") == 0)
        return read_constant(r, e);
    const struct onnx_value *first = onnx_input_value(r, 0, e);
    if (!first)
        return false;
    if (strcmp(r->op->op_type, "Identity") == 0)
        return onnx_value_define(r->graph, r->node->output[0], *first, e);
    if (r->op->layer == CNN_ADD && r->node->n_input == 2) {
        const struct onnx_value *second = onnx_input_value(r, 1, e);
        if (!second)
            return false;
        if (!first->tensor != !second->tensor)
            return first->tensor ? read_bias(r, second, first, e) : read_bias(r, first, second, e);
    }
    return read_layer(r, e);
}

/* Names the node in an error, and makes it the file's fault. */
static bool node_error(const Onnx__NodeProto *node, struct err *e)
{
    if (e->code == ERR_NO_MEMORY)
        return false;
    size_t used = strlen(e->detail);
    const char *name = node->name[0] ? node->name : node->n_output ? node->output[0] : "";
    snprintf(e->detail + used, sizeof e->detail - used, " at node '%.64s'", name);
    e->code = ERR_UNPROCESSABLE;
    e->field[0] = '\0';
    return false;
}

bool onnx_node_read(struct onnx_graph *graph, const Onnx__NodeProto *node, int uses, struct err *e)
{
    struct onnx_reading r = {.graph = graph, .node = node, .uses = uses};
    bool ours = !node->domain[0] || strcmp(node->domain, "ai.onnx") == 0;
    r.op = ours ? onnx_op_find(node->op_type) : NULL;
    if (!r.op)
        err_set(e, ERR_UNPROCESSABLE, "unsupported operator '%.32s%s%.64s'", node->domain,
                node->domain[0] ? "." : "", node->op_type);
    else if (onnx_attributes_known(node, r.op, e) && read_checked(&r, e))
        return true;
    return node_error(node, e);
}
