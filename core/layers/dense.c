/* dense.c - every output a weighted sum of every input. Weights stand as [in,out], then the bias
 * [out]; one matrix product over all samples each way. */
#include "layer.h"

#include "kernels.h"

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

/* out = act(in W + bias) over n rows; W is [in,out] */
static void dense_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const int in = node->in[0].c, out = node->out.c;
    struct gemm p = {.m = pass->n, .n = out, .k = in};
    p.a = pass->in[0], p.a_row = in, p.a_k = 1;
    p.b = pass->params, p.b_k = out, p.b_column = 1;
    p.c = pass->out, p.c_row = out;
    if (node->spec.u.dense.bias)
        p.end.bias = pass->params + weight_count(node);
    cnn_kernels()->gemm(&p);
}

static void dense_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const int in = node->in[0].c, out = node->out.c;
    struct gemm weight = {.m = in, .n = out, .k = pass->n, .accumulate = true};
    weight.a = pass->in[0], weight.a_row = 1, weight.a_k = in;
    weight.b = pass->dout, weight.b_k = out, weight.b_column = 1;
    weight.c = pass->dparams, weight.c_row = out;
    cnn_kernels()->gemm(&weight);
    if (node->spec.u.dense.bias)
        cnn_kernels()->sum_rows((size_t)pass->n, out, pass->dout,
                                pass->dparams + weight_count(node));
    if (!pass->din[0])
        return;
    struct gemm data = {.m = pass->n, .n = in, .k = out};
    data.a = pass->dout, data.a_row = out, data.a_k = 1;
    data.b = pass->params, data.b_k = 1, data.b_column = out;
    data.c = pass->din[0], data.c_row = in;
    cnn_kernels()->gemm(&data);
}

const struct cnn_op cnn_op_dense = {
    .type = "dense",
    .infer = dense_infer,
    .param = dense_param,
    .macs = dense_macs,
    .forward = dense_forward,
    .backward = dense_backward,
};
