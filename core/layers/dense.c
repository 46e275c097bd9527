/* dense.c - every output a weighted sum of every input. Weights stand as [in,out], then the bias
 * [out]; one matrix product over all samples each way. */
#include "layer.h"

#include <string.h>

static bool dense_infer(struct cnn_node *node, struct err *e)
{
    char text[CNN_SHAPE_TEXT];
    if (node->in[0].rank > 0)
        return err_set(e, ERR_INVALID, "dense wants a flat input, got %s; put a flatten before it",
                       cnn_shape_text(&node->in[0], text));
    if (!cnn_check_range("units", node->spec.u.dense.units, 1, CNN_DIM_MAX, e))
        return false;
    node->out = (struct cnn_shape){.c = node->spec.u.dense.units, .size = {1, 1, 1}};
    return true;
}

static bool dense_param(const struct cnn_node *node, int t, struct cnn_param *param)
{
    param->trainable = true;
    param->fan_in = node->in[0].c;
    param->dims[0] = node->spec.u.dense.units;
    if (t == 0) {
        param->role = "weight";
        param->rank = 2;
        param->dims[1] = node->in[0].c;
        return true;
    }
    param->role = "bias";
    param->rank = 1;
    return t == 1 && node->spec.u.dense.bias;
}

static size_t weight_count(const struct cnn_node *node)
{
    return (size_t)node->in[0].c * (size_t)node->out.c;
}

static uint64_t dense_macs(const struct cnn_node *node)
{
    return weight_count(node);
}

/* A run of rows or columns. */
struct range {
    int first, count;
};

/* Part `part` of `parts` that are as even as can be. */
static struct range even_part(int count, int parts, int part)
{
    const int first = (int)((long long)count * part / parts);
    const int end = (int)((long long)count * (part + 1) / parts);
    return (struct range){first, end - first};
}

/* Part `part` of those that hold `size` each, but for the last. */
static struct range full_part(int count, int size, int part)
{
    const int first = part * size;
    return (struct range){first, count - first < size ? count - first : size};
}

static int parts_of(int count, int size)
{
    return (count - 1) / size + 1;
}

/* out = act(in W + bias) for these samples and units; W is [in,out] */
static void forward_range(const struct cnn_node *node, const struct cnn_pass *pass,
                          struct range samples, struct range units)
{
    const int in = node->in[0].c, out = node->out.c;
    const float *bias = node->spec.u.dense.bias ? pass->params + weight_count(node) : NULL;
    struct gemm p = {.m = samples.count, .n = units.count, .k = in, .packed = pass->packed};
    p.a = pass->in[0] + (ptrdiff_t)samples.first * in, p.a_row = in, p.a_k = 1;
    p.b = pass->params + units.first, p.b_k = out, p.b_column = 1;
    p.c = pass->out + (ptrdiff_t)samples.first * out + units.first, p.c_row = out;
    if (pass->tail)
        p.end = *pass->tail;
    if (!p.end.bias && bias)
        p.end.bias = bias + units.first;
    cnn_kernels()->gemm(&p);
}

static void dense_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    forward_range(node, pass, (struct range){0, pass->n}, (struct range){0, node->out.c});
}

/* Whatever the part, an element's terms are added in one order: parts cut no sum. */
enum {
    PART_SAMPLES = 48,
    PART_UNITS = 64,
    PART_INPUTS = 64,
};

static int forward_parts(const struct cnn_node *node, int n)
{
    return parts_of(n, PART_SAMPLES) * parts_of(node->out.c, PART_UNITS);
}

/* Neighbours share their units' weights. */
static void forward_part(const struct cnn_node *node, const struct cnn_pass *pass, int part)
{
    const int rows = parts_of(pass->n, PART_SAMPLES);
    forward_range(node, pass, even_part(pass->n, rows, part % rows),
                  full_part(node->out.c, PART_UNITS, part / rows));
}

/* dW[in,out] += in^T dout, for these inputs */
static void weight_gradient(const struct cnn_node *node, const struct cnn_pass *pass,
                            struct range inputs)
{
    const int in = node->in[0].c, out = node->out.c;
    struct gemm p = {.m = inputs.count, .n = out, .k = pass->n};
    p.a = pass->in[0] + inputs.first, p.a_row = 1, p.a_k = in;
    p.b = pass->dout, p.b_k = out, p.b_column = 1;
    p.c = pass->dparams + (ptrdiff_t)inputs.first * out, p.c_row = out;
    p.accumulate = !pass->overwrites_dparams;
    cnn_kernels()->gemm(&p);
}

static void bias_gradient(const struct cnn_node *node, const struct cnn_pass *pass)
{
    float *gradient = pass->dparams + weight_count(node);
    if (!node->spec.u.dense.bias)
        return;
    if (pass->overwrites_dparams)
        memset(gradient, 0, (size_t)node->out.c * sizeof *gradient);
    cnn_kernels()->sum_rows((size_t)pass->n, node->out.c, pass->dout, gradient);
}

/* din = dout W^T, for these inputs */
static void data_gradient(const struct cnn_node *node, const struct cnn_pass *pass,
                          struct range inputs)
{
    const int in = node->in[0].c, out = node->out.c;
    if (!pass->din[0])
        return;
    struct gemm p = {.m = pass->n, .n = inputs.count, .k = out, .accumulate = pass->adds_to_din};
    p.a = pass->dout, p.a_row = out, p.a_k = 1;
    p.b = pass->params + (ptrdiff_t)inputs.first * out, p.b_k = 1, p.b_column = out;
    p.c = pass->din[0] + inputs.first, p.c_row = in;
    cnn_kernels()->gemm(&p);
}

static void dense_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const struct range all = {0, node->in[0].c};
    weight_gradient(node, pass, all);
    bias_gradient(node, pass);
    data_gradient(node, pass, all);
}

/* The bias, then the inputs in runs. */
static int backward_parts(const struct cnn_node *node, int n)
{
    (void)n;
    return 1 + parts_of(node->in[0].c, PART_INPUTS);
}

static void backward_part(const struct cnn_node *node, const struct cnn_pass *pass, int part)
{
    if (part == 0) {
        bias_gradient(node, pass);
        return;
    }
    const struct range inputs = full_part(node->in[0].c, PART_INPUTS, part - 1);
    weight_gradient(node, pass, inputs);
    data_gradient(node, pass, inputs);
}

const struct cnn_op cnn_op_dense = {
    .type = "dense",
    .infer = dense_infer,
    .param = dense_param,
    .macs = dense_macs,
    .forward = dense_forward,
    .backward = dense_backward,
    .backward_reads = CNN_READS_IN,
    .forward_parts = forward_parts,
    .forward_part = forward_part,
    .backward_parts = backward_parts,
    .backward_part = backward_part,
};
