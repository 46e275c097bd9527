/* step_memory.c - everything a training step allocates, once, when it is made. */
#include "step_memory.h"

#include <stdlib.h>

#include "check.h"
#include "memory.h"

enum {
    SHARDS_UNIT = 8, /* keeps 2, 4 and 8 threads balanced */
    SHARDS_MAX = 64,
    SHARDS_MIN = 4,                /* whatever they need */
    SHARD_SAMPLES = 8,             /* aimed at: each has a gradient block to fill and to add */
    SMALL_BATCH_MACS = 4 << 20,    /* below this, calls cost more than what a fifth thread saves */
    GRADIENT_BYTES_MAX = 64 << 20, /* of all blocks, past SHARDS_MIN of them */
    THREAD_MACS = 2 << 20,         /* forward; worth another thread: some 100 us of a step */
    RANGE = 4096,                  /* floats added, squared and updated at a time */
};

int cnn_step_shards(const struct cnn_step *step, int n)
{
    const size_t shard_params = step->shard_params;
    const size_t fit = GRADIENT_BYTES_MAX / (sizeof(float) * (shard_params + 1));
    const int limit = fit > SHARDS_MAX    ? SHARDS_MAX
                      : fit < SHARDS_UNIT ? SHARDS_MIN
                                          : (int)fit / SHARDS_UNIT * SHARDS_UNIT;
    const int wanted = n / SHARD_SAMPLES / SHARDS_UNIT * SHARDS_UNIT;
    const bool small = (uint64_t)n * step->macs < SMALL_BATCH_MACS;
    int count = wanted > SHARDS_UNIT ? wanted : small ? SHARDS_MIN : SHARDS_UNIT;
    count = count > limit ? limit : count;
    return count > n ? n : count;
}

static void *step_alloc(struct cnn_step *step, size_t count, size_t size, struct err *e)
{
    void *block = memory_new(count, size, e);
    if (block)
        step->bytes += count * size;
    return block;
}

/* Whether a stage is run in parts (phases.h): its parameters have one gradient, none a shard. */
static bool runs_in_parts(const struct cnn_plan *plan, int stage)
{
    return cnn_stage_node(plan, stage)->op->forward_parts;
}

static bool shards_init(struct cnn_step *step, struct err *e)
{
    const size_t stages = (size_t)step->plan->stage_count;
    if (!(step->shard_at = step_alloc(step, stages, sizeof *step->shard_at, e)))
        return false;
    for (int i = 0; i < step->plan->stage_count; i++) {
        size_t offset;
        step->shard_at[i] = step->shard_params;
        if (!runs_in_parts(step->plan, i))
            step->shard_params += cnn_stage_params(step->plan, i, &offset);
    }
    const int count = step->shard_max = cnn_step_shards(step, step->batch_max);
    const size_t most = (size_t)count, doubles = (size_t)step->sync_doubles_max;
    const size_t floats = memory_aligned(step->shard_params * sizeof(float)) / sizeof(float);
    if (!(step->shards = step_alloc(step, most, sizeof *step->shards, e)) ||
        !(step->shard_grads = step_alloc(step, most * floats, sizeof(float), e)) ||
        !(step->partials = step_alloc(step, most * doubles, sizeof(double), e)) ||
        !(step->labels = step_alloc(step, (size_t)step->batch_max, sizeof *step->labels, e)))
        return false;
    for (size_t s = 0; s < most; s++) {
        step->shards[s].grads = step->shard_grads + s * floats;
        step->shards[s].partial = step->partials + s * doubles;
    }
    return true;
}

static bool ranges_init(struct cnn_step *step, struct err *e)
{
    const struct cnn_plan *plan = step->plan;
    const size_t most = step->net->param_count / RANGE + (size_t)plan->stage_count;
    if (!(step->grads = step_alloc(step, step->net->param_count, sizeof *step->grads, e)) ||
        !(step->ranges = step_alloc(step, most, sizeof *step->ranges, e)) ||
        !(step->squares = step_alloc(step, most, sizeof *step->squares, e)))
        return false;
    for (int i = 0; i < plan->stage_count; i++) {
        size_t offset;
        const size_t count = cnn_stage_params(plan, i, &offset);
        for (size_t at = 0; at < count; at += RANGE)
            step->ranges[step->range_count++] = (struct range){
                .at = offset + at,
                .count = count - at < RANGE ? count - at : RANGE,
                .shard_at = step->shard_at[i] + at,
                .sharded = !runs_in_parts(plan, i),
            };
    }
    return true;
}

static bool syncs_init(struct cnn_step *step, struct err *e)
{
    const struct cnn_plan *plan = step->plan;
    const size_t stages = (size_t)plan->stage_count, nodes = (size_t)step->net->node_count;
    size_t doubles = 0;
    for (int i = 0; i < plan->stage_count; i++)
        doubles += 2 * (size_t)cnn_stage_sync_doubles(plan, i);
    if (!(step->syncs = step_alloc(step, stages, sizeof *step->syncs, e)) ||
        !(step->up = step_alloc(step, nodes, sizeof *step->up, e)) ||
        !(step->down = step_alloc(step, nodes, sizeof *step->down, e)) ||
        !(step->sync = step_alloc(step, doubles, sizeof *step->sync, e)))
        return false;
    double *at = step->sync;
    for (int i = 0; i < plan->stage_count; i++) {
        const int count = cnn_stage_sync_doubles(plan, i);
        if (count == 0)
            continue;
        step->syncs[i] = (struct sync_stage){.doubles = count, .up = at, .down = at + count};
        step->up[plan->stages[i].node] = at;
        step->down[plan->stages[i].node] = at + count;
        at += 2 * count;
        step->sync_doubles_max = count > step->sync_doubles_max ? count : step->sync_doubles_max;
    }
    return true;
}

static size_t prepared_floats(const struct cnn_plan *plan, int stage)
{
    const struct cnn_node *node = cnn_stage_node(plan, stage);
    return node->op->prepared_floats ? node->op->prepared_floats(node, true) : 0;
}

/* One thread's frame. Its memory: the table of buffers, maps of a few samples, scratch. */
static bool frame_init(struct cnn_step *step, int thread, struct err *e)
{
    const struct cnn_plan *plan = step->plan;
    const int some = step->placement->samples, most = step->batch_max;
    const int n = some < most ? some : most, stages = plan->stage_count;
    const size_t table = memory_aligned((size_t)stages * sizeof(struct cnn_buffers));
    const size_t local = step->placement->local_bytes;
    const size_t scratch =
        memory_aligned(cnn_frame_scratch_floats(plan, 0, stages, n, true) * sizeof(float));
    const size_t fan = cnn_frame_fan_floats(plan, n) * sizeof(float);
    char *memory = step_alloc(step, table + local + scratch + fan, 1, e);
    if (!memory)
        return false;
    step->memory[thread] = memory;
    struct cnn_frame *frame = &step->frames[thread];
    *frame = (struct cnn_frame){
        .plan = plan,
        .capacity = n,
        .stages = (struct cnn_buffers *)(void *)memory,
        .scratch = (float *)(void *)(memory + table + local),
        .fan_grad = (float *)(void *)(memory + table + local + scratch),
    };
    cnn_placement_apply(step->placement, step->whole, memory + table, frame);
    float *prepared = step->prepared;
    for (int i = 0; i < stages; i++) {
        const size_t floats = prepared_floats(plan, i);
        frame->stages[i].prepared = floats > 0 ? prepared : NULL;
        prepared += floats;
    }
    return true;
}

/* No more than there are shards, or parts of the largest product. */
static int useful_threads(const struct cnn_step *step, int threads)
{
    int most = step->shard_max;
    for (int i = 0; i < step->plan->stage_count; i++) {
        const struct cnn_node *node = cnn_stage_node(step->plan, i);
        const int parts =
            runs_in_parts(step->plan, i) ? node->op->backward_parts(node, step->batch_max) : 0;
        most = parts > most ? parts : most;
    }
    return threads < most ? threads : most;
}

static bool frames_init(struct cnn_step *step, int threads, struct err *e)
{
    size_t floats = 0;
    for (int i = 0; i < step->plan->stage_count; i++)
        floats += prepared_floats(step->plan, i);
    step->threads = useful_threads(step, threads);
    const size_t count = (size_t)step->threads;
    if (!(step->whole = step_alloc(step, step->placement->whole_bytes, 1, e)) ||
        !(step->prepared = step_alloc(step, floats, sizeof(float), e)) ||
        !(step->frames = step_alloc(step, count, sizeof *step->frames, e)) ||
        !(step->memory = step_alloc(step, count, sizeof *step->memory, e)))
        return false;
    for (int t = 0; t < step->threads; t++)
        if (!frame_init(step, t, e))
            return false;
    return true;
}

struct cnn_step *cnn_step_new(struct cnn_net *net, int batch_max, struct cnn_loss loss, int threads,
                              struct err *e)
{
    CHECK(batch_max >= 1 && batch_max <= CNN_BATCH_MAX && threads >= 1);
    struct cnn_step *step = memory_new(1, sizeof *step, e);
    if (!step)
        return NULL;
    step->net = net;
    step->loss = loss;
    step->batch_max = batch_max;
    step->macs = cnn_net_macs(net);
    step->bytes = sizeof *step;
    if ((step->plan = cnn_plan_new(net, CNN_FOR_TRAINING, e)) &&
        (step->phases = cnn_phases_new(step->plan, e)) &&
        (step->placement = cnn_placement_new(step->phases, batch_max, true, e)) &&
        syncs_init(step, e) && shards_init(step, e) && ranges_init(step, e) &&
        frames_init(step, threads, e))
        return step;
    cnn_step_free(step);
    return NULL;
}

void cnn_step_free(struct cnn_step *step)
{
    if (!step)
        return;
    for (int t = 0; step->memory && t < step->threads; t++)
        free(step->memory[t]);
    free(step->memory);
    free(step->frames);
    free(step->whole);
    free(step->prepared);
    free(step->labels);
    free(step->augment_scratch);
    free(step->shards);
    free(step->shard_at);
    free(step->shard_grads);
    free(step->partials);
    free(step->sync);
    free(step->syncs);
    free(step->up);
    free(step->down);
    free(step->grads);
    free(step->ranges);
    free(step->squares);
    free(step->placement);
    free(step->phases);
    free(step->plan);
    free(step);
}

int cnn_step_threads(const struct cnn_net *net, int batch, int most)
{
    const uint64_t worth = 1 + (uint64_t)batch * cnn_net_macs(net) / THREAD_MACS;
    return worth < (uint64_t)most ? (int)worth : most;
}

bool cnn_step_augment(struct cnn_step *step, const struct cnn_augment *augment,
                      const struct cnn_shape *shape, struct err *e)
{
    CHECK(!step->augment_scratch);
    step->augment = *augment;
    step->augment_bytes = cnn_augment_scratch_bytes(shape);
    step->augment_scratch = step_alloc(step, (size_t)step->threads, step->augment_bytes, e);
    return step->augment_scratch;
}

size_t cnn_step_bytes(const struct cnn_step *step)
{
    return step->bytes;
}

const float *cnn_step_grads(const struct cnn_step *step)
{
    return step->grads;
}
