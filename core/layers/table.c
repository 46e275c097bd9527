#include "layer.h"

static const struct cnn_op *const ops[] = {
    [CNN_CONV] = &cnn_op_conv,         [CNN_MAX_POOL] = &cnn_op_max_pool,
    [CNN_AVG_POOL] = &cnn_op_avg_pool, [CNN_GLOBAL_AVG_POOL] = &cnn_op_global_avg_pool,
    [CNN_DENSE] = &cnn_op_dense,       [CNN_FLATTEN] = &cnn_op_flatten,
    [CNN_RELU] = &cnn_op_relu,         [CNN_LEAKY_RELU] = &cnn_op_leaky_relu,
    [CNN_TANH] = &cnn_op_tanh,         [CNN_SIGMOID] = &cnn_op_sigmoid,
    [CNN_SOFTMAX] = &cnn_op_softmax,   [CNN_LOG_SOFTMAX] = &cnn_op_log_softmax,
    [CNN_DROPOUT] = &cnn_op_dropout,   [CNN_BATCH_NORM] = &cnn_op_batch_norm,
    [CNN_ADD] = &cnn_op_add,           [CNN_CONCAT] = &cnn_op_concat,
};
_Static_assert(sizeof ops / sizeof *ops == CNN_LAYER_TYPE_COUNT, "an op a type");

const struct cnn_op *cnn_op_of(enum cnn_layer_type type)
{
    return ops[type];
}

bool cnn_infer_same(struct cnn_node *node, struct err *e)
{
    (void)e;
    node->out = node->in[0];
    return true;
}

bool cnn_check_range(const char *field, long long value, long long low, long long high,
                     struct err *e)
{
    if (value >= low && value <= high)
        return true;
    return err_field(e, ERR_INVALID, field, "%s is %lld, expected %lld to %lld", field, value, low,
                     high);
}
