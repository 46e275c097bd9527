#include "placement.h"

#include <limits.h>
#include <stdlib.h>

#include "memory.h"
#include "span.h"

/* Maps and gradients that a thread has at hand at a time: half of an L2 cache. */
enum { CACHE_BYTES = 512 << 10 };

/* When a buffer is written or read: the phase of the step, counted up and down, and the stage
 * within it. Going up phase p is at p and stage s at s; the last phase turns; going down phase p
 * is at 2*last - p and stage s at 2*stage_count - s. */
struct moment {
    int phase, stage;
};

struct life {
    struct moment first, last; /* of no moment: first.phase > last.phase */
};

/* All buffers of a step: the input, then map, gradient and kept of every stage. */
enum { PER_STAGE = 3 };

struct builder {
    const struct cnn_phases *phases;
    const struct cnn_plan *plan;
    bool training;
    int *up, *down; /* [stage_count]: the phase in which a stage runs */
    int count;
    struct life *lives;    /* [count] */
    size_t *sample_bytes;  /* [count] */
    struct cnn_place **to; /* [count] */
    struct span *spans;    /* [count] */
    int *order, *index;    /* [count], of spans */
};

static struct moment going_up(const struct builder *b, int stage)
{
    return (struct moment){b->up[stage], stage};
}

static struct moment going_down(const struct builder *b, int stage)
{
    const int turn = b->phases->count - 1;
    return (struct moment){2 * turn - b->down[stage], 2 * b->plan->stage_count - stage};
}

static void touch(struct life *life, struct moment at)
{
    if (at.phase < life->first.phase)
        life->first.phase = at.phase;
    if (at.phase > life->last.phase)
        life->last.phase = at.phase;
    if (at.stage < life->first.stage)
        life->first.stage = at.stage;
    if (at.stage > life->last.stage)
        life->last.stage = at.stage;
}

static struct life *map_life(struct builder *b, int stage)
{
    return &b->lives[stage == CNN_FROM_INPUT ? 0 : 1 + PER_STAGE * stage];
}

static struct life *grad_life(struct builder *b, int stage)
{
    return &b->lives[2 + PER_STAGE * stage];
}

static struct life *kept_life(struct builder *b, int stage)
{
    return &b->lives[3 + PER_STAGE * stage];
}

static void assign_phases(struct builder *b)
{
    for (int p = 0; p < b->phases->count; p++) {
        int first, end;
        for (int i = b->phases->list[p].first; i < b->phases->list[p].end; i++)
            b->up[i] = p;
        cnn_phase_down(b->phases, p, &first, &end);
        for (int i = first; i < end; i++)
            b->down[i] = p;
    }
}

static void live_up(struct builder *b, int stage)
{
    touch(map_life(b, stage), going_up(b, stage));
    if (b->training)
        touch(kept_life(b, stage), going_up(b, stage));
    for (int k = 0; k < cnn_stage_node(b->plan, stage)->input_count; k++)
        touch(map_life(b, b->plan->stages[stage].inputs[k]), going_up(b, stage));
}

static void live_down(struct builder *b, int stage)
{
    const struct cnn_stage *it = &b->plan->stages[stage];
    touch(grad_life(b, stage), going_down(b, stage));
    touch(kept_life(b, stage), going_down(b, stage));
    if (cnn_stage_reads_out(b->plan, stage))
        touch(map_life(b, stage), going_down(b, stage));
    for (int k = 0; k < cnn_stage_node(b->plan, stage)->input_count; k++) {
        const int from = it->inputs[k];
        if (cnn_stage_reads_in(b->plan, stage))
            touch(map_life(b, from), going_down(b, stage));
        if (from != CNN_FROM_INPUT && b->plan->stages[from].wants_grad)
            touch(grad_life(b, from), going_down(b, stage));
    }
}

/* Sums over the batch are taken in the phase in front of the stage's own. */
static void live_sums(struct builder *b, int stage)
{
    const int turn = b->phases->count - 1;
    const struct moment up = {b->up[stage] - 1, stage};
    const struct moment down = {2 * turn - b->up[stage], 2 * b->plan->stage_count - stage};
    touch(map_life(b, b->plan->stages[stage].inputs[0]), up);
    touch(map_life(b, b->plan->stages[stage].inputs[0]), down);
    touch(grad_life(b, stage), down);
    touch(kept_life(b, stage), down);
}

static void find_lives(struct builder *b)
{
    const int stages = b->plan->stage_count, turn = b->phases->count - 1;
    const struct moment never = {INT_MAX, INT_MAX}, before = {-1, -1};
    for (int i = 0; i < b->count; i++)
        b->lives[i] = (struct life){never, before};
    touch(map_life(b, CNN_FROM_INPUT), (struct moment){b->training ? 0 : -1, -1});
    for (int i = 0; i < stages; i++) {
        live_up(b, i);
        if (b->training && b->plan->stages[i].wants_grad)
            live_down(b, i);
        if (b->training && cnn_stage_sync_doubles(b->plan, i) > 0)
            live_sums(b, i);
    }
    touch(map_life(b, stages - 1), (struct moment){turn, stages});
    if (b->training)
        touch(grad_life(b, stages - 1), (struct moment){turn, stages});
}

static void find_sizes(struct builder *b, struct cnn_placement *placement)
{
    b->sample_bytes[0] = cnn_shape_count(&b->plan->net->input) * sizeof(float);
    b->to[0] = &placement->input;
    for (int i = 0; i < b->plan->stage_count; i++) {
        const size_t map = cnn_shape_count(cnn_stage_out(b->plan, i)) * sizeof(float);
        const int at = 1 + PER_STAGE * i;
        struct cnn_places *places = &placement->stages[i];
        b->sample_bytes[at] = b->sample_bytes[at + 1] = map;
        b->sample_bytes[at + 2] = cnn_stage_kept_bytes(b->plan, i);
        b->to[at] = &places->map;
        b->to[at + 1] = &places->grad;
        b->to[at + 2] = &places->kept;
    }
}

/* Places all buffers of one kind, for n samples; returns the bytes of their memory. */
static size_t place(struct builder *b, bool whole, size_t n)
{
    int count = 0;
    for (int i = 0; i < b->count; i++) {
        const struct life *life = &b->lives[i];
        const bool is_whole = life->first.phase < life->last.phase;
        if (life->first.phase > life->last.phase || b->sample_bytes[i] == 0 || is_whole != whole)
            continue;
        *b->to[i] = (struct cnn_place){.used = true, .whole = whole};
        b->index[count] = i;
        b->spans[count++] = (struct span){
            .bytes = n * b->sample_bytes[i],
            .from = whole ? life->first.phase : life->first.stage,
            .to = whole ? life->last.phase : life->last.stage,
        };
    }
    const size_t bytes = spans_place(b->spans, count, b->order);
    for (int i = 0; i < count; i++)
        b->to[b->index[i]]->offset = b->spans[i].offset;
    return bytes;
}

/* As many as have the largest stage's input and output in cache. */
static int samples_at_a_time(const struct cnn_plan *plan)
{
    size_t most = 1;
    for (int i = 0; i < plan->stage_count; i++) {
        const struct cnn_node *node = cnn_stage_node(plan, i);
        size_t floats = cnn_shape_count(cnn_stage_out(plan, i));
        for (int k = 0; k < node->input_count; k++)
            floats += cnn_shape_count(&node->in[k]);
        if (!node->op->forward_parts)
            most = floats > most ? floats : most;
    }
    const size_t fit = CACHE_BYTES / sizeof(float) / most;
    return fit < 1 ? 1 : fit > CNN_BATCH_MAX ? CNN_BATCH_MAX : (int)fit;
}

static bool builder_init(struct builder *b, const struct cnn_phases *phases, struct err *e)
{
    const size_t stages = (size_t)phases->plan->stage_count, count = 1 + PER_STAGE * stages;
    b->phases = phases;
    b->plan = phases->plan;
    b->count = (int)count;
    return (b->up = memory_new(stages, sizeof *b->up, e)) &&
           (b->down = memory_new(stages, sizeof *b->down, e)) &&
           (b->lives = memory_new(count, sizeof *b->lives, e)) &&
           (b->sample_bytes = memory_new(count, sizeof *b->sample_bytes, e)) &&
           (b->to = memory_new(count, sizeof *b->to, e)) &&
           (b->spans = memory_new(count, sizeof *b->spans, e)) &&
           (b->order = memory_new(count, sizeof *b->order, e)) &&
           (b->index = memory_new(count, sizeof *b->index, e));
}

static void builder_clear(struct builder *b)
{
    free(b->up);
    free(b->down);
    free(b->lives);
    free(b->sample_bytes);
    free(b->to);
    free(b->spans);
    free(b->order);
    free(b->index);
}

struct cnn_placement *cnn_placement_new(const struct cnn_phases *phases, int batch_max,
                                        bool training, struct err *e)
{
    struct builder b = {.training = training};
    const size_t stages = (size_t)phases->plan->stage_count;
    struct cnn_placement *placement =
        memory_new(sizeof *placement + stages * sizeof placement->stages[0], 1, e);
    if (!placement || !builder_init(&b, phases, e)) {
        builder_clear(&b);
        free(placement);
        return NULL;
    }
    placement->samples = samples_at_a_time(b.plan);
    assign_phases(&b);
    find_lives(&b);
    find_sizes(&b, placement);
    const int some = placement->samples < batch_max ? placement->samples : batch_max;
    placement->whole_bytes = place(&b, true, (size_t)batch_max);
    placement->local_bytes = place(&b, false, (size_t)some);
    builder_clear(&b);
    return placement;
}

static struct cnn_slot slot_of(const struct cnn_place *place, char *whole, char *local)
{
    if (!place->used)
        return (struct cnn_slot){0};
    return (struct cnn_slot){(place->whole ? whole : local) + place->offset, place->whole};
}

void cnn_placement_apply(const struct cnn_placement *placement, char *whole, char *local,
                         struct cnn_frame *frame)
{
    frame->input = slot_of(&placement->input, whole, local);
    for (int i = 0; i < frame->plan->stage_count; i++) {
        const struct cnn_places *places = &placement->stages[i];
        struct cnn_buffers *buffers = &frame->stages[i];
        buffers->map = slot_of(&places->map, whole, local);
        buffers->grad = slot_of(&places->grad, whole, local);
        buffers->kept = slot_of(&places->kept, whole, local);
    }
}
