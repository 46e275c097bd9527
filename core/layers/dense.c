/* dense.c - every output a weighted sum of every input. Weights stand as [in,out], then the bias
 * [out]; one matrix product over all samples each way. */
#include "layer.h"

#include <string.h>

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

static void dense_forward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const bool bias = node->spec.u.dense.bias;
    const int in = node->in[0].c, out = node->out.c;
    if (bias)
        for (int i = 0; i < pass->n; i++)
            memcpy(pass->out + (size_t)i * (size_t)out, pass->params + weight_count(node),
                   (size_t)out * sizeof(float));
    cnn_kernels()->gemm_nn(pass->n, out, in, pass->in[0], pass->params, pass->out, bias);
}

static void dense_backward(const struct cnn_node *node, const struct cnn_pass *pass)
{
    const int in = node->in[0].c, out = node->out.c;
    cnn_kernels()->gemm_tn(in, out, pass->n, pass->in[0], pass->dout, pass->dparams, true);
    if (node->spec.u.dense.bias) {
        float *dbias = pass->dparams + weight_count(node);
        for (int i = 0; i < pass->n; i++)
            for (int k = 0; k < out; k++)
                dbias[k] += pass->dout[(size_t)i * (size_t)out + (size_t)k];
    }
    if (pass->din[0])
        cnn_kernels()->gemm_nt(pass->n, in, out, pass->dout, pass->params, pass->din[0], false);
}

const struct cnn_op cnn_op_dense = {
    .type = "dense",
    .infer = dense_infer,
    .param = dense_param,
    .macs = dense_macs,
    .forward = dense_forward,
    .backward = dense_backward,
};
