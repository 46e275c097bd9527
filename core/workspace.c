/* workspace.c - the buffers of one caller, and the node runner over them (engine.h).
 *
 * Everything lies in one arena, laid out once: the input, a feature map a node and, when training,
 * its gradient and what its layer keeps; then scratch that nodes share. All maps stay, so that
 * any of them can be looked at after a run. */
#include "workspace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "engine.h"
#include "layout.h"
#include "limits.h"
#include "memory.h"

struct buffers {
    bool wants_grad; /* a trainable parameter stands at or before this node */
    bool has_grad;   /* during backward: some reader has written grad */
    float *map;      /* [capacity, out] */
    float *grad;     /* [capacity, out]; NULL unless wanted, or the output */
    void *kept;      /* NULL unless training */
};

struct cnn_workspace {
    const struct cnn_net *net;
    int capacity;
    enum cnn_mode mode;
    size_t bytes;
    char *arena;
    float *input;
    float *scratch;         /* of the layer at work */
    float *fan_grad;        /* gradients that wait to be added, of one node's inputs */
    struct buffers nodes[]; /* [net->node_count] */
};

/* Hands out aligned pieces of a block; with base NULL it only measures. */
struct arena {
    char *base;
    size_t used;
};

static void *arena_take(struct arena *arena, size_t bytes)
{
    void *piece = arena->base && bytes ? arena->base + arena->used : NULL;
    arena->used += (bytes + MEMORY_ALIGN_BYTES - 1) & ~(size_t)(MEMORY_ALIGN_BYTES - 1);
    return piece;
}

static bool has_trainable(const struct cnn_net *net, const struct cnn_node *node)
{
    return cnn_node_params(net, node) > 0;
}

static void mark_wanted_grads(struct cnn_workspace *ws)
{
    for (int i = 0; i < ws->net->node_count; i++) {
        const struct cnn_node *node = &ws->net->nodes[i];
        bool wants = has_trainable(ws->net, node);
        for (int k = 0; k < node->input_count; k++)
            wants |= node->inputs[k] != CNN_FROM_INPUT && ws->nodes[node->inputs[k]].wants_grad;
        ws->nodes[i].wants_grad = wants;
    }
}

/* True when input k's gradient may have to be added to what another reader wrote. */
static bool fans_in(const struct cnn_net *net, const struct cnn_node *node, int k)
{
    return node->inputs[k] != CNN_FROM_INPUT && net->nodes[node->inputs[k]].consumer_count > 1;
}

static size_t fan_floats(const struct cnn_net *net, const struct cnn_node *node)
{
    size_t floats = 0;
    for (int k = 0; k < node->input_count; k++)
        if (fans_in(net, node, k))
            floats += cnn_shape_count(&node->in[k]);
    return floats;
}

/* Sizes cannot overflow: CNN_LAYERS_MAX maps of CNN_BATCH_MAX samples of CNN_ELEMENTS_MAX floats
 * are below 2^56 bytes. */
static size_t lay_out(struct cnn_workspace *ws, char *base)
{
    const struct cnn_net *net = ws->net;
    const size_t n = (size_t)ws->capacity;
    struct arena arena = {base, 0};
    size_t scratch = 0, fan = 0;
    ws->input = arena_take(&arena, n * cnn_shape_count(&net->input) * sizeof(float));
    for (int i = 0; i < net->node_count; i++) {
        const struct cnn_node *node = &net->nodes[i];
        const struct cnn_op *op = node->op;
        const size_t map_bytes = n * cnn_shape_count(&node->out) * sizeof(float);
        struct buffers *buffers = &ws->nodes[i];
        buffers->map = arena_take(&arena, map_bytes);
        size_t floats = op->scratch_floats ? op->scratch_floats(node, ws->capacity) : 0;
        scratch = floats > scratch ? floats : scratch;
        if (ws->mode != CNN_TRAIN)
            continue;
        if (buffers->wants_grad || i == net->node_count - 1)
            buffers->grad = arena_take(&arena, map_bytes);
        buffers->kept = arena_take(&arena, op->kept_bytes ? n * op->kept_bytes(node) : 0);
        fan = fan_floats(net, node) > fan ? fan_floats(net, node) : fan;
    }
    ws->scratch = arena_take(&arena, scratch * sizeof(float));
    ws->fan_grad = arena_take(&arena, n * fan * sizeof(float));
    return arena.used;
}
_Static_assert((long long)CNN_LAYERS_MAX *CNN_BATCH_MAX <= 1LL << 24, "see lay_out");

struct cnn_workspace *cnn_workspace_new(const struct cnn_net *net, int capacity, enum cnn_mode mode,
                                        struct err *e)
{
    CHECK(capacity >= 1 && capacity <= CNN_BATCH_MAX);
    size_t head = sizeof(struct cnn_workspace) + (size_t)net->node_count * sizeof(struct buffers);
    struct cnn_workspace *ws = memory_new(head, 1, e);
    if (!ws)
        return NULL;
    ws->net = net;
    ws->capacity = capacity;
    ws->mode = mode;
    mark_wanted_grads(ws);
    size_t bytes = lay_out(ws, NULL);
    ws->arena = memory_new(bytes, 1, e);
    if (!ws->arena) {
        free(ws);
        return NULL;
    }
    lay_out(ws, ws->arena);
    ws->bytes = head + bytes;
    return ws;
}

void cnn_workspace_free(struct cnn_workspace *ws)
{
    if (!ws)
        return;
    free(ws->arena);
    free(ws);
}

int cnn_workspace_capacity(const struct cnn_workspace *ws)
{
    return ws->capacity;
}

size_t cnn_workspace_bytes(const struct cnn_workspace *ws)
{
    return ws->bytes;
}

float *cnn_workspace_input(struct cnn_workspace *ws)
{
    return ws->input;
}

const float *cnn_workspace_map(const struct cnn_workspace *ws, int node)
{
    return ws->nodes[node < 0 ? ws->net->node_count - 1 : node].map;
}

float *cnn_workspace_output_grad(struct cnn_workspace *ws)
{
    return ws->nodes[ws->net->node_count - 1].grad;
}

/* The offset of the node's first tensor that is (not) trainable; false if it has none. */
static bool first_tensor(const struct cnn_net *net, const struct cnn_node *node, bool trainable,
                         size_t *offset)
{
    for (int t = node->param_first; t < node->param_first + node->param_count; t++)
        if (net->tensors[t].trainable == trainable) {
            *offset = net->tensors[t].offset;
            return true;
        }
    return false;
}

static struct cnn_pass pass_of(struct cnn_workspace *ws, const struct cnn_run *run, int index)
{
    const struct cnn_net *net = ws->net;
    const struct cnn_node *node = &net->nodes[index];
    size_t offset;
    struct cnn_pass pass = {
        .n = run->n,
        .training = run->training,
        .out = ws->nodes[index].map,
        .kept = ws->nodes[index].kept,
        .scratch = ws->scratch,
        .seed = run->seed,
        .step = run->step,
        .node = index,
        .first_sample = run->first_sample,
        .sync = run->sync ? run->sync[index] : NULL,
        .batch_count = run->batch_count,
        .dout = ws->nodes[index].grad,
    };
    for (int k = 0; k < node->input_count; k++)
        pass.in[k] = node->inputs[k] == CNN_FROM_INPUT ? ws->input : ws->nodes[node->inputs[k]].map;
    if (first_tensor(net, node, true, &offset)) {
        pass.params = net->params + offset;
        pass.dparams = run->grads ? run->grads + offset : NULL;
    }
    if (first_tensor(net, node, false, &offset))
        pass.stats = net->params + offset;
    return pass;
}

static void check_run(const struct cnn_workspace *ws, const struct cnn_run *run)
{
    CHECK(run->n >= 1 && run->n <= ws->capacity);
    CHECK(!run->training || ws->mode == CNN_TRAIN);
}

int cnn_node_sync_doubles(const struct cnn_node *node)
{
    return node->op->sync_doubles ? node->op->sync_doubles(node) : 0;
}

void cnn_run_forward(struct cnn_workspace *ws, const struct cnn_run *run, int first, int end)
{
    check_run(ws, run);
    for (int i = first; i < end; i++) {
        struct cnn_pass pass = pass_of(ws, run, i);
        CHECK(pass.sync || !run->training || !cnn_node_sync_doubles(&ws->net->nodes[i]));
        ws->net->nodes[i].op->forward(&ws->net->nodes[i], &pass);
    }
}

void cnn_run_forward_sums(struct cnn_workspace *ws, const struct cnn_run *run, int node,
                          double *sums)
{
    struct cnn_pass pass = pass_of(ws, run, node);
    ws->net->nodes[node].op->forward_sums(&ws->net->nodes[node], &pass, sums);
}

void cnn_run_backward_begin(struct cnn_workspace *ws)
{
    for (int i = 0; i < ws->net->node_count; i++)
        ws->nodes[i].has_grad = i == ws->net->node_count - 1;
}

/* Where each input's gradient goes: straight to its place for the first reader that arrives (the
 * last in the net), else into fan_grad to be added. waits[k] tells which. */
static void place_gradients(struct cnn_workspace *ws, const struct cnn_node *node, int n,
                            struct cnn_pass *pass, bool *waits)
{
    float *fan_grad = ws->fan_grad;
    for (int k = 0; k < node->input_count; k++) {
        waits[k] = false;
        if (node->inputs[k] == CNN_FROM_INPUT || !ws->nodes[node->inputs[k]].wants_grad)
            continue;
        struct buffers *from = &ws->nodes[node->inputs[k]];
        waits[k] = from->has_grad;
        from->has_grad = true;
        pass->din[k] = waits[k] ? fan_grad : from->grad;
        if (waits[k])
            fan_grad += (size_t)n * cnn_shape_count(&node->in[k]);
    }
}

static void add_gradients(struct cnn_workspace *ws, const struct cnn_node *node, int n,
                          const struct cnn_pass *pass, const bool *waits)
{
    for (int k = 0; k < node->input_count; k++) {
        if (!waits[k])
            continue;
        float *grad = ws->nodes[node->inputs[k]].grad;
        for (size_t i = 0, count = (size_t)n * cnn_shape_count(&node->in[k]); i < count; i++)
            grad[i] += pass->din[k][i];
    }
}

void cnn_run_backward(struct cnn_workspace *ws, const struct cnn_run *run, int first, int end)
{
    check_run(ws, run);
    CHECK(run->training && run->grads);
    for (int i = end - 1; i >= first; i--) {
        const struct cnn_node *node = &ws->net->nodes[i];
        bool waits[CNN_INPUTS_MAX];
        if (!ws->nodes[i].wants_grad)
            continue;
        CHECK(ws->nodes[i].has_grad);
        struct cnn_pass pass = pass_of(ws, run, i);
        CHECK(pass.sync || !cnn_node_sync_doubles(node));
        place_gradients(ws, node, run->n, &pass, waits);
        node->op->backward(node, &pass);
        add_gradients(ws, node, run->n, &pass, waits);
    }
}

void cnn_run_backward_sums(struct cnn_workspace *ws, const struct cnn_run *run, int node,
                           double *sums)
{
    struct cnn_pass pass = pass_of(ws, run, node);
    CHECK(ws->nodes[node].has_grad);
    ws->net->nodes[node].op->backward_sums(&ws->net->nodes[node], &pass, sums);
}

void cnn_net_update_stats(struct cnn_net *net, const double *const *sync, int batch_count)
{
    size_t offset;
    for (int i = 0; i < net->node_count; i++) {
        const struct cnn_node *node = &net->nodes[i];
        if (node->op->update_stats && first_tensor(net, node, false, &offset))
            node->op->update_stats(node, sync[i], batch_count, net->params + offset);
    }
}

const float *cnn_forward(const struct cnn_net *net, struct cnn_workspace *ws, int n)
{
    CHECK(net == ws->net);
    struct cnn_run run = {.n = n, .batch_count = n};
    cnn_run_forward(ws, &run, 0, net->node_count);
    return cnn_workspace_map(ws, -1);
}

const float *cnn_forward_canonical(const struct cnn_net *net, struct cnn_workspace *ws,
                                   const float *x, int n)
{
    const size_t count = cnn_shape_count(&net->input);
    CHECK(n >= 1 && n <= ws->capacity);
    for (size_t i = 0; i < (size_t)n; i++)
        cnn_layout_to_last(&net->input, x + i * count, ws->input + i * count);
    return cnn_forward(net, ws, n);
}

static void softmax_row(float *row, size_t count)
{
    float most = row[0];
    for (size_t i = 1; i < count; i++)
        most = row[i] > most ? row[i] : most;
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        row[i] = expf(row[i] - most);
        sum += (double)row[i];
    }
    for (size_t i = 0; i < count; i++)
        row[i] = (float)((double)row[i] / sum);
}

void cnn_scores(const struct cnn_net *net, float *out, int n)
{
    const size_t classes = cnn_shape_count(cnn_net_output(net));
    enum cnn_layer_type last = net->nodes[net->node_count - 1].spec.type;
    if (last == CNN_SOFTMAX || last == CNN_SIGMOID)
        return;
    for (size_t i = 0; i < (size_t)n; i++)
        softmax_row(out + i * classes, classes);
}
