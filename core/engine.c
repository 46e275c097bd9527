#include "engine.h"

#include "check.h"

static size_t map_floats(const struct cnn_plan *plan, int stage)
{
    return cnn_shape_count(cnn_stage_out(plan, stage));
}

size_t cnn_frame_scratch_floats(const struct cnn_plan *plan, int first, int end, int n,
                                bool training)
{
    size_t most = 0;
    for (int i = first; i < end; i++) {
        const struct cnn_node *node = cnn_stage_node(plan, i);
        size_t floats = 0;
        if (node->op->scratch_floats)
            floats = node->op->scratch_floats(node, &plan->stages[i].tail, n, training);
        most = floats > most ? floats : most;
    }
    return most;
}

size_t cnn_frame_fan_floats(const struct cnn_plan *plan, int n)
{
    size_t most = 0;
    for (int i = 0; i < plan->stage_count; i++) {
        const struct cnn_stage *stage = &plan->stages[i];
        size_t floats = 0;
        for (int k = 0; k < cnn_stage_node(plan, i)->input_count; k++)
            floats += stage->adds[k] ? (size_t)n * map_floats(plan, stage->inputs[k]) : 0;
        most = floats > most ? floats : most;
    }
    return most;
}

static void *slot_at(const struct cnn_slot *slot, const struct cnn_run *run, size_t sample_bytes)
{
    if (!slot->at || !slot->whole)
        return slot->at;
    return (char *)slot->at + (size_t)run->first_sample * sample_bytes;
}

float *cnn_run_map(const struct cnn_frame *frame, const struct cnn_run *run, int stage)
{
    const struct cnn_slot *slot =
        stage == CNN_FROM_INPUT ? &frame->input : &frame->stages[stage].map;
    return slot_at(slot, run, map_floats(frame->plan, stage) * sizeof(float));
}

float *cnn_run_grad(const struct cnn_frame *frame, const struct cnn_run *run, int stage)
{
    return slot_at(&frame->stages[stage].grad, run, map_floats(frame->plan, stage) * sizeof(float));
}

/* The node's first tensor that is not trainable; NULL if it has none. */
static float *first_stats(const struct cnn_net *net, const struct cnn_node *node)
{
    for (int t = node->param_first; t < node->param_first + node->param_count; t++)
        if (!net->tensors[t].trainable)
            return net->params + net->tensors[t].offset;
    return NULL;
}

/* The stage's parameters, running statistics and, in run->grads, gradients. */
static void place_params(const struct cnn_frame *frame, const struct cnn_run *run, int index,
                         struct cnn_pass *pass)
{
    const struct cnn_net *net = frame->plan->net;
    const struct cnn_node *node = cnn_stage_node(frame->plan, index);
    const struct cnn_buffers *buffers = &frame->stages[index];
    size_t offset;
    if (cnn_stage_params(frame->plan, index, &offset) > 0) {
        pass->params = buffers->params ? buffers->params : net->params + offset;
        if (run->grads)
            pass->dparams = run->grads + (run->grads_at ? run->grads_at[index] : offset);
    }
    pass->stats = first_stats(net, node);
}

struct cnn_pass cnn_stage_pass(const struct cnn_frame *frame, const struct cnn_run *run, int index)
{
    const struct cnn_plan *plan = frame->plan;
    const struct cnn_stage *stage = &plan->stages[index];
    const struct cnn_buffers *buffers = &frame->stages[index];
    struct cnn_pass pass = {
        .n = run->n,
        .training = run->training,
        .out = cnn_run_map(frame, run, index),
        .tail = &stage->tail,
        .packed = frame->packed,
        .kept = slot_at(&buffers->kept, run, cnn_stage_kept_bytes(plan, index)),
        .scratch = frame->scratch,
        .seed = run->seed,
        .step = run->step,
        .node = stage->node,
        .first_sample = run->first_sample,
        .sync = run->sync ? run->sync[stage->node] : NULL,
        .batch_count = run->batch_count,
        .dout = cnn_run_grad(frame, run, index),
        .prepared = buffers->prepared,
    };
    for (int k = 0; k < cnn_stage_node(plan, index)->input_count; k++)
        pass.in[k] = cnn_run_map(frame, run, stage->inputs[k]);
    place_params(frame, run, index, &pass);
    return pass;
}

void cnn_stage_prepare(const struct cnn_frame *frame, int stage)
{
    const struct cnn_node *node = cnn_stage_node(frame->plan, stage);
    size_t offset;
    cnn_stage_params(frame->plan, stage, &offset);
    if (frame->stages[stage].prepared)
        node->op->prepare(node, frame->plan->net->params + offset, true,
                          frame->stages[stage].prepared);
}

int cnn_stage_sync_doubles(const struct cnn_plan *plan, int stage)
{
    const struct cnn_node *node = cnn_stage_node(plan, stage);
    return node->op->sync_doubles ? node->op->sync_doubles(node) : 0;
}

void cnn_run_forward(const struct cnn_frame *frame, const struct cnn_run *run, int first, int end)
{
    CHECK(run->n >= 1 && run->n <= frame->capacity);
    for (int i = first; i < end; i++) {
        const struct cnn_node *node = cnn_stage_node(frame->plan, i);
        const struct cnn_pass pass = cnn_stage_pass(frame, run, i);
        CHECK(pass.sync || !run->training || !cnn_stage_sync_doubles(frame->plan, i));
        node->op->forward(node, &pass);
    }
}

void cnn_run_forward_sums(const struct cnn_frame *frame, const struct cnn_run *run, int stage,
                          double *sums)
{
    const struct cnn_node *node = cnn_stage_node(frame->plan, stage);
    const struct cnn_pass pass = cnn_stage_pass(frame, run, stage);
    node->op->forward_sums(node, &pass, sums);
}

void cnn_stage_activation_backward(const struct cnn_frame *frame, const struct cnn_run *run,
                                   int stage)
{
    const struct epilogue *tail = &frame->plan->stages[stage].tail;
    float *grad = cnn_run_grad(frame, run, stage);
    if (tail->act != KERNEL_LINEAR)
        cnn_kernels()->activate_backward(tail->act, tail->slope,
                                         (size_t)run->n * map_floats(frame->plan, stage),
                                         cnn_run_map(frame, run, stage), grad, grad);
}

/* Where each input's gradient goes: straight to its place, or into fan_grad to be added. */
static void place_gradients(const struct cnn_frame *frame, const struct cnn_run *run, int index,
                            struct cnn_pass *pass)
{
    const struct cnn_stage *stage = &frame->plan->stages[index];
    float *fan_grad = frame->fan_grad;
    for (int k = 0; k < cnn_stage_node(frame->plan, index)->input_count; k++) {
        const int from = stage->inputs[k];
        if (from == CNN_FROM_INPUT || !frame->plan->stages[from].wants_grad)
            continue;
        pass->din[k] = stage->adds[k] ? fan_grad : cnn_run_grad(frame, run, from);
        if (stage->adds[k])
            fan_grad += (size_t)run->n * map_floats(frame->plan, from);
    }
}

static void add_gradients(const struct cnn_frame *frame, const struct cnn_run *run, int index,
                          const struct cnn_pass *pass)
{
    const struct cnn_stage *stage = &frame->plan->stages[index];
    for (int k = 0; k < cnn_stage_node(frame->plan, index)->input_count; k++) {
        if (!stage->adds[k] || !pass->din[k])
            continue;
        float *grad = cnn_run_grad(frame, run, stage->inputs[k]);
        const size_t count = (size_t)run->n * map_floats(frame->plan, stage->inputs[k]);
        for (size_t i = 0; i < count; i++)
            grad[i] += pass->din[k][i];
    }
}

struct cnn_pass cnn_stage_backward_pass(const struct cnn_frame *frame, const struct cnn_run *run,
                                        int stage)
{
    struct cnn_pass pass = cnn_stage_pass(frame, run, stage);
    const int from = frame->plan->stages[stage].inputs[0];
    if (from != CNN_FROM_INPUT && frame->plan->stages[from].wants_grad)
        pass.din[0] = cnn_run_grad(frame, run, from);
    pass.adds_to_din = frame->plan->stages[stage].adds[0];
    pass.overwrites_dparams = true;
    return pass;
}

void cnn_run_backward(const struct cnn_frame *frame, const struct cnn_run *run, int first, int end)
{
    CHECK(run->n >= 1 && run->n <= frame->capacity);
    CHECK(run->training && run->grads);
    for (int i = end - 1; i >= first; i--) {
        const struct cnn_node *node = cnn_stage_node(frame->plan, i);
        if (!frame->plan->stages[i].wants_grad)
            continue;
        cnn_stage_activation_backward(frame, run, i);
        struct cnn_pass pass = cnn_stage_pass(frame, run, i);
        CHECK(pass.sync || !cnn_stage_sync_doubles(frame->plan, i));
        place_gradients(frame, run, i, &pass);
        node->op->backward(node, &pass);
        add_gradients(frame, run, i, &pass);
    }
}

void cnn_run_backward_sums(const struct cnn_frame *frame, const struct cnn_run *run, int stage,
                           double *sums)
{
    const struct cnn_node *node = cnn_stage_node(frame->plan, stage);
    const struct cnn_pass pass = cnn_stage_pass(frame, run, stage);
    node->op->backward_sums(node, &pass, sums);
}

void cnn_net_update_stats(struct cnn_net *net, const double *const *sync, int batch_count)
{
    for (int i = 0; i < net->node_count; i++) {
        const struct cnn_node *node = &net->nodes[i];
        if (node->op->update_stats)
            node->op->update_stats(node, sync[i], batch_count, first_stats(net, node));
    }
}
