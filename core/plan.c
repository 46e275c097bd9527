#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include "layer.h"
#include "memory.h"

/* A plan in the making. */
struct builder {
    struct cnn_plan *plan;
    enum cnn_fusion fusion;
    int *readers; /* [node_count]: the only reader of a node's output, or -1 */
    int *stages;  /* [node_count]: which stage gives what the node does, or CNN_FROM_INPUT */
    bool *taken;  /* [node_count]: fused behind another */
};

static void find_readers(struct builder *b)
{
    const struct cnn_net *net = b->plan->net;
    for (int i = 0; i < net->node_count; i++) {
        b->readers[i] = -1;
        for (int k = 0; k < net->nodes[i].input_count; k++) {
            int from = net->nodes[i].inputs[k];
            if (from != CNN_FROM_INPUT && net->nodes[from].consumer_count == 1)
                b->readers[from] = i;
        }
    }
}

static bool act_of(const struct cnn_layer_spec *spec, struct epilogue *tail)
{
    switch (spec->type) {
    case CNN_RELU:
        tail->act = KERNEL_RELU;
        return true;
    case CNN_LEAKY_RELU:
        tail->act = KERNEL_LEAKY_RELU;
        tail->slope = spec->u.leaky.slope;
        return tail->slope > 0;
    case CNN_TANH:
        tail->act = KERNEL_TANH;
        return true;
    case CNN_SIGMOID:
        tail->act = KERNEL_SIGMOID;
        return true;
    default:
        return false;
    }
}

static bool pool_of(const struct cnn_node *node, struct pool_geometry *pool)
{
    const struct cnn_window *window = &node->spec.u.pool.window;
    if (node->spec.type != CNN_MAX_POOL)
        return false;
    *pool = (struct pool_geometry){.c = node->out.c};
    memcpy(pool->in, node->in[0].size, sizeof pool->in);
    memcpy(pool->out, node->out.size, sizeof pool->out);
    memcpy(pool->kernel, window->kernel, sizeof pool->kernel);
    memcpy(pool->stride, window->stride, sizeof pool->stride);
    memcpy(pool->before, window->before, sizeof pool->before);
    return (long long)pool->kernel[0] * pool->kernel[1] * pool->kernel[2] <= POOL_WINDOW_MAX;
}

/* Takes the stage's next node into it, if that can be. */
static bool fuse_next(struct builder *b, struct cnn_stage *stage)
{
    const struct cnn_net *net = b->plan->net;
    const int next = b->readers[stage->last];
    if (next < 0)
        return false;
    const struct cnn_node *node = &net->nodes[next];
    struct epilogue tail = stage->tail;
    struct pool_geometry pool;
    if (stage->tail.act == KERNEL_LINEAR && act_of(&node->spec, &tail)) {
        stage->tail = tail;
    } else if (!stage->tail.pool && net->nodes[stage->node].spec.type == CNN_CONV &&
               pool_of(node, &pool)) {
        stage->pool = pool;
        stage->tail.pool = &stage->pool;
    } else if (b->fusion == CNN_FOR_INFERENCE && stage->last == stage->node &&
               node->spec.type == CNN_BATCH_NORM) {
        stage->norm = next;
    } else {
        return false;
    }
    stage->last = next;
    b->taken[next] = true;
    return true;
}

static bool passes_through(const struct builder *b, const struct cnn_node *node)
{
    return node->spec.type == CNN_DROPOUT &&
           (b->fusion == CNN_FOR_INFERENCE || !(node->spec.u.dropout.rate > 0));
}

static bool moves_nothing(const struct cnn_node *flatten)
{
    return flatten->in[0].c == 1 || cnn_shape_pixels(&flatten->in[0]) == 1;
}

static bool reads(const struct cnn_node *node, int other)
{
    for (int k = 0; k < node->input_count; k++)
        if (node->inputs[k] == other)
            return true;
    return false;
}

/* Directly or through dropout. */
static bool only_dense_reads(const struct builder *b, int i)
{
    const struct cnn_net *net = b->plan->net;
    for (int r = i + 1; r < net->node_count; r++) {
        if (!reads(&net->nodes[r], i) || net->nodes[r].spec.type == CNN_DENSE)
            continue;
        if (!passes_through(b, &net->nodes[r]) || r == net->node_count - 1 ||
            !only_dense_reads(b, r))
            return false;
    }
    return true;
}

/* Nodes whose output is their input. The last is kept: some stage must give the output. */
static bool changes_nothing(const struct builder *b, int i)
{
    const struct cnn_node *node = &b->plan->net->nodes[i];
    if (b->fusion == CNN_EACH_NODE || i == b->plan->net->node_count - 1)
        return false;
    if (node->spec.type != CNN_FLATTEN)
        return passes_through(b, node);
    return moves_nothing(node) || (b->fusion == CNN_FOR_INFERENCE && only_dense_reads(b, i));
}

/* The flatten that would have moved what this dense layer reads, or -1. */
static int flatten_left_out(const struct builder *b, const struct cnn_node *dense)
{
    const struct cnn_net *net = b->plan->net;
    int from = dense->inputs[0];
    while (from != CNN_FROM_INPUT && passes_through(b, &net->nodes[from]))
        from = net->nodes[from].inputs[0];
    if (from == CNN_FROM_INPUT || net->nodes[from].spec.type != CNN_FLATTEN)
        return -1;
    return changes_nothing(b, from) && !moves_nothing(&net->nodes[from]) ? from : -1;
}

static int stage_giving(const struct builder *b, int node)
{
    return node == CNN_FROM_INPUT ? CNN_FROM_INPUT : b->stages[node];
}

static void add_stage(struct builder *b, int i)
{
    const struct cnn_node *node = &b->plan->net->nodes[i];
    const int index = b->plan->stage_count++;
    struct cnn_stage *stage = &b->plan->stages[index];
    *stage = (struct cnn_stage){.node = i, .last = i, .norm = -1, .flatten = -1};
    for (int k = 0; k < node->input_count; k++)
        stage->inputs[k] = stage_giving(b, node->inputs[k]);
    if (node->spec.type == CNN_DENSE)
        stage->flatten = flatten_left_out(b, node);
    if (b->fusion != CNN_EACH_NODE && (node->spec.type == CNN_CONV || node->spec.type == CNN_DENSE))
        while (fuse_next(b, stage))
            ;
    b->stages[i] = index;
    b->stages[stage->last] = index;
}

static void build_stages(struct builder *b)
{
    const struct cnn_net *net = b->plan->net;
    find_readers(b);
    for (int i = 0; i < net->node_count; i++) {
        if (b->taken[i])
            continue;
        if (changes_nothing(b, i))
            b->stages[i] = stage_giving(b, net->nodes[i].inputs[0]);
        else
            add_stage(b, i);
    }
}

/* Backward, the last stage runs first and a stage's inputs are written in turn. */
static bool written_before(const struct cnn_plan *plan, int reader, int k)
{
    const int from = plan->stages[reader].inputs[k];
    for (int i = plan->stage_count - 1; i >= reader; i--) {
        const int inputs = i == reader ? k : cnn_stage_node(plan, i)->input_count;
        for (int other = 0; other < inputs; other++)
            if (plan->stages[i].inputs[other] == from)
                return true;
    }
    return false;
}

static void mark_gradients(struct cnn_plan *plan)
{
    size_t offset;
    for (int i = 0; i < plan->stage_count; i++) {
        struct cnn_stage *stage = &plan->stages[i];
        stage->wants_grad = cnn_stage_params(plan, i, &offset) > 0;
        for (int k = 0; k < cnn_stage_node(plan, i)->input_count; k++)
            if (stage->inputs[k] != CNN_FROM_INPUT) {
                stage->wants_grad |= plan->stages[stage->inputs[k]].wants_grad;
                stage->adds[k] = written_before(plan, i, k);
            }
    }
}

struct cnn_plan *cnn_plan_new(const struct cnn_net *net, enum cnn_fusion fusion, struct err *e)
{
    const size_t nodes = (size_t)net->node_count;
    struct builder b = {
        .plan = memory_new(sizeof *b.plan + nodes * sizeof b.plan->stages[0], 1, e),
        .fusion = fusion,
        .readers = memory_new(nodes, sizeof *b.readers, e),
        .stages = memory_new(nodes, sizeof *b.stages, e),
        .taken = memory_new(nodes, sizeof *b.taken, e),
    };
    struct cnn_plan *plan = NULL;
    if (b.plan && b.readers && b.stages && b.taken) {
        plan = b.plan;
        b.plan->net = net;
        build_stages(&b);
        mark_gradients(plan);
    }
    if (!plan)
        free(b.plan);
    free(b.readers);
    free(b.stages);
    free(b.taken);
    return plan;
}

const struct cnn_node *cnn_stage_node(const struct cnn_plan *plan, int stage)
{
    return &plan->net->nodes[plan->stages[stage].node];
}

const struct cnn_shape *cnn_stage_out(const struct cnn_plan *plan, int stage)
{
    return stage == CNN_FROM_INPUT ? &plan->net->input
                                   : &plan->net->nodes[plan->stages[stage].last].out;
}

size_t cnn_stage_params(const struct cnn_plan *plan, int stage, size_t *offset)
{
    const struct cnn_node *node = cnn_stage_node(plan, stage);
    *offset = node->param_count > 0 ? plan->net->tensors[node->param_first].offset : 0;
    return cnn_node_params(plan->net, node);
}

size_t cnn_stage_kept_bytes(const struct cnn_plan *plan, int stage)
{
    const struct cnn_node *node = cnn_stage_node(plan, stage);
    if (plan->stages[stage].tail.pool) /* winners */
        return cnn_shape_count(cnn_stage_out(plan, stage));
    return node->op->kept_bytes ? node->op->kept_bytes(node) : 0;
}

bool cnn_stage_reads_in(const struct cnn_plan *plan, int stage)
{
    return cnn_stage_node(plan, stage)->op->backward_reads & CNN_READS_IN;
}

bool cnn_stage_reads_out(const struct cnn_plan *plan, int stage)
{
    return plan->stages[stage].tail.act != KERNEL_LINEAR ||
           cnn_stage_node(plan, stage)->op->backward_reads & CNN_READS_OUT;
}
