/* workspace.c - a frame (engine.h) in which every node's feature map stays, so that any of them can
 * be looked at after a run. Nothing is fused and no memory is used twice: what the training step
 * and the predictor do in less is compared with this. */
#include "workspace.h"

#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "engine.h"
#include "layout.h"
#include "limits.h"
#include "memory.h"

struct cnn_workspace {
    const struct cnn_net *net;
    int capacity;
    enum cnn_mode mode;
    size_t bytes;
    struct cnn_plan *plan;
    char *arena;
    struct cnn_frame frame;
};

/* Hands out aligned pieces of a block; with base NULL it only measures. */
struct arena {
    char *base;
    size_t used;
};

static void *arena_take(struct arena *arena, size_t bytes)
{
    void *piece = arena->base && bytes ? arena->base + arena->used : NULL;
    arena->used += memory_aligned(bytes);
    return piece;
}

static void lay_out_training(struct cnn_workspace *ws, struct arena *arena, int stage,
                             struct cnn_buffers *buffers)
{
    const struct cnn_node *node = cnn_stage_node(ws->plan, stage);
    const size_t n = (size_t)ws->capacity;
    const bool output = stage == ws->plan->stage_count - 1;
    if (ws->plan->stages[stage].wants_grad || output)
        buffers->grad.at = arena_take(arena, n * cnn_shape_count(&node->out) * sizeof(float));
    buffers->kept.at = arena_take(arena, n * cnn_stage_kept_bytes(ws->plan, stage));
    if (node->op->prepared_floats)
        buffers->prepared =
            arena_take(arena, node->op->prepared_floats(node, true) * sizeof(float));
}

/* Sizes cannot overflow: CNN_LAYERS_MAX maps of CNN_BATCH_MAX samples of CNN_ELEMENTS_MAX floats
 * are below 2^56 bytes. */
static size_t lay_out(struct cnn_workspace *ws, char *base)
{
    const struct cnn_net *net = ws->net;
    const size_t n = (size_t)ws->capacity;
    struct cnn_frame *frame = &ws->frame;
    struct arena arena = {base, 0};
    frame->plan = ws->plan;
    frame->capacity = ws->capacity;
    frame->stages = arena_take(&arena, (size_t)ws->plan->stage_count * sizeof *frame->stages);
    frame->input.at = arena_take(&arena, n * cnn_shape_count(&net->input) * sizeof(float));
    for (int i = 0; i < ws->plan->stage_count; i++) {
        struct cnn_buffers buffers = {0};
        const size_t map = n * cnn_shape_count(cnn_stage_out(ws->plan, i));
        buffers.map.at = arena_take(&arena, map * sizeof(float));
        if (ws->mode == CNN_TRAIN)
            lay_out_training(ws, &arena, i, &buffers);
        if (base)
            frame->stages[i] = buffers;
    }
    const size_t scratch = cnn_frame_scratch_floats(ws->plan, 0, ws->plan->stage_count,
                                                    ws->capacity, ws->mode == CNN_TRAIN);
    frame->scratch = arena_take(&arena, scratch * sizeof(float));
    if (ws->mode == CNN_TRAIN)
        frame->fan_grad =
            arena_take(&arena, cnn_frame_fan_floats(ws->plan, ws->capacity) * sizeof(float));
    return arena.used;
}
_Static_assert((long long)CNN_LAYERS_MAX *CNN_BATCH_MAX <= 1LL << 24, "see lay_out");

struct cnn_workspace *cnn_workspace_new(const struct cnn_net *net, int capacity, enum cnn_mode mode,
                                        struct err *e)
{
    CHECK(capacity >= 1 && capacity <= CNN_BATCH_MAX);
    struct cnn_workspace *ws = memory_new(1, sizeof *ws, e);
    if (!ws)
        return NULL;
    ws->net = net;
    ws->capacity = capacity;
    ws->mode = mode;
    ws->plan = cnn_plan_new(net, CNN_EACH_NODE, e);
    if (ws->plan) {
        ws->bytes = lay_out(ws, NULL);
        ws->arena = memory_new(ws->bytes, 1, e);
    }
    if (!ws->arena) {
        cnn_workspace_free(ws);
        return NULL;
    }
    lay_out(ws, ws->arena);
    return ws;
}

void cnn_workspace_free(struct cnn_workspace *ws)
{
    if (!ws)
        return;
    free(ws->arena);
    free(ws->plan);
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

const struct cnn_frame *cnn_workspace_frame(const struct cnn_workspace *ws)
{
    return &ws->frame;
}

float *cnn_workspace_input(struct cnn_workspace *ws)
{
    return ws->frame.input.at;
}

const float *cnn_workspace_map(const struct cnn_workspace *ws, int node)
{
    return ws->frame.stages[node < 0 ? ws->net->node_count - 1 : node].map.at;
}

float *cnn_workspace_output_grad(struct cnn_workspace *ws)
{
    return ws->frame.stages[ws->net->node_count - 1].grad.at;
}

void cnn_workspace_prepare(struct cnn_workspace *ws)
{
    CHECK(ws->mode == CNN_TRAIN);
    for (int i = 0; i < ws->plan->stage_count; i++)
        cnn_stage_prepare(&ws->frame, i);
}

const float *cnn_forward(const struct cnn_net *net, struct cnn_workspace *ws, int n)
{
    CHECK(net == ws->net && n >= 1 && n <= ws->capacity);
    const struct cnn_run run = {.n = n, .batch_count = n};
    cnn_run_forward(&ws->frame, &run, 0, ws->plan->stage_count);
    return cnn_workspace_map(ws, -1);
}

const float *cnn_forward_canonical(const struct cnn_net *net, struct cnn_workspace *ws,
                                   const float *x, int n)
{
    const size_t count = cnn_shape_count(&net->input);
    float *input = ws->frame.input.at;
    CHECK(n >= 1 && n <= ws->capacity);
    for (size_t i = 0; i < (size_t)n; i++)
        cnn_layout_to_last(&net->input, x + i * count, input + i * count);
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
