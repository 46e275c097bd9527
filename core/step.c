/* DESIGN: same bits on any number of threads.
 *
 * Floating-point sums depend on their order, so the order is fixed before threads come in. A
 * batch of n is cut into S shards, S a function of n and the net's parameter count alone
 * (shard_count); shard s holds samples s*n/S .. (s+1)*n/S - 1. A shard is serial, whoever runs it,
 * and adds into a gradient block of its own. When all are done, threads share out ranges of the
 * parameters, and each adds the S blocks of its range in the order 0, 1, .. S-1, into block 0.
 * Losses are added in the same order, in double. What no sum depends on (which thread takes which
 * shard, and in whose workspace) is left to `schedule(dynamic)`.
 *
 * One parallel region holds the whole batch. A net without batch-norm takes each shard through all
 * its layers and back without meeting the others: depth first, so that one shard's feature maps
 * are what a core's cache holds; workspaces then belong to threads. Where a node needs sums over
 * the whole batch, every shard stops in front of it, leaves its partial sums, and goes on after
 * they were totalled in shard order; a shard then keeps its feature maps between segments, in a
 * workspace of its own:
 *
 *     up     [0, b1) sums(b1) | [b1, b2) sums(b2) |
 *     turn                                          [b2, end) loss (b2, end) sums(b2) |
 *     down                                          (b1, b2] sums(b1) | [0, b1]
 */
#include "step.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "engine.h"
#include "memory.h"

enum {
    SHARDS_MIN = 8, /* allowed by memory; also the unit that keeps 2, 4 and 8 threads balanced */
    SHARDS_MAX = 64,
    SHARD_SAMPLES = 8,             /* aimed at: dense layers want rows, cores want shards */
    GRADIENT_BYTES_MAX = 64 << 20, /* of all blocks, past SHARDS_MIN of them */
    REDUCE_BLOCK = 4096,           /* floats; one range of the reduction */
};

struct shard {
    int first, n; /* its samples in the batch */
    double loss;  /* sum */
    int correct;
    float *grads;     /* [param_count] */
    uint16_t *labels; /* [shard capacity] */
    double *partial;  /* [sync_doubles_max] */
};

struct sync_node {
    int node, doubles;
    double *up, *down; /* [doubles]: totals of the forward and the backward sums */
};

struct cnn_step {
    struct cnn_net *net;
    struct cnn_loss loss;
    int threads, batch_max;
    size_t bytes;
    int shard_max;
    struct shard *shards; /* [shard_max] */
    int workspace_count;  /* threads, or shards in nets with sync nodes */
    struct cnn_workspace **workspaces;
    int sync_count;
    struct sync_node *sync;    /* [sync_count] */
    const double **up, **down; /* [node_count], for struct cnn_run; NULL without sync nodes */
};

/* One batch, as its threads see it. */
struct batch {
    struct cnn_step *step;
    const struct cnn_samples *samples;
    const uint32_t *index;
    int n, shard_count;
    uint64_t seed, number;
};

static int shard_count(size_t param_count, int n)
{
    size_t by_memory = GRADIENT_BYTES_MAX / (sizeof(float) * (param_count + 1));
    int limit = by_memory > SHARDS_MAX   ? SHARDS_MAX
                : by_memory < SHARDS_MIN ? SHARDS_MIN
                                         : (int)by_memory;
    int count = n / SHARD_SAMPLES / SHARDS_MIN * SHARDS_MIN;
    count = count < SHARDS_MIN ? SHARDS_MIN : count;
    count = count > limit ? limit : count;
    return count > n ? n : count;
}

/* The most samples that any shard of any batch of up to batch_max holds. */
static int shard_capacity(size_t param_count, int batch_max)
{
    int most = 1;
    for (int n = 1; n <= batch_max; n++) {
        int shards = shard_count(param_count, n);
        int samples = (n + shards - 1) / shards;
        most = samples > most ? samples : most;
    }
    return most;
}

static void *step_alloc(struct cnn_step *step, size_t count, size_t size, struct err *e)
{
    void *block = memory_new(count, size, e);
    if (block)
        step->bytes += count * size;
    return block;
}

static bool sync_init(struct cnn_step *step, int *doubles_max, struct err *e)
{
    const struct cnn_net *net = step->net;
    size_t nodes = (size_t)net->node_count;
    step->sync = step_alloc(step, nodes, sizeof *step->sync, e);
    step->up = step_alloc(step, nodes, sizeof *step->up, e);
    step->down = step_alloc(step, nodes, sizeof *step->down, e);
    if (!step->sync || !step->up || !step->down)
        return false;
    *doubles_max = 0;
    for (int i = 0; i < net->node_count; i++) {
        int doubles = cnn_node_sync_doubles(&net->nodes[i]);
        if (doubles == 0)
            continue;
        struct sync_node *sync = &step->sync[step->sync_count++];
        sync->node = i;
        sync->doubles = doubles;
        sync->up = step_alloc(step, (size_t)doubles, sizeof(double), e);
        sync->down = step_alloc(step, (size_t)doubles, sizeof(double), e);
        if (!sync->up || !sync->down)
            return false;
        step->up[i] = sync->up;
        step->down[i] = sync->down;
        *doubles_max = doubles > *doubles_max ? doubles : *doubles_max;
    }
    return true;
}

static bool shards_init(struct cnn_step *step, int capacity, int doubles_max, struct err *e)
{
    step->shards = step_alloc(step, (size_t)step->shard_max, sizeof *step->shards, e);
    if (!step->shards)
        return false;
    for (int s = 0; s < step->shard_max; s++) {
        struct shard *shard = &step->shards[s];
        shard->grads = step_alloc(step, step->net->param_count, sizeof(float), e);
        shard->labels = step_alloc(step, (size_t)capacity, sizeof(uint16_t), e);
        shard->partial = step_alloc(step, (size_t)doubles_max, sizeof(double), e);
        if (!shard->grads || !shard->labels || !shard->partial)
            return false;
    }
    return true;
}

static bool workspaces_init(struct cnn_step *step, int capacity, struct err *e)
{
    int count = step->sync_count > 0 ? step->shard_max : step->threads;
    step->workspaces = step_alloc(step, (size_t)count, sizeof(struct cnn_workspace *), e);
    if (!step->workspaces)
        return false;
    step->workspace_count = count;
    for (int i = 0; i < count; i++) {
        step->workspaces[i] = cnn_workspace_new(step->net, capacity, CNN_TRAIN, e);
        if (!step->workspaces[i])
            return false;
        step->bytes += cnn_workspace_bytes(step->workspaces[i]);
    }
    return true;
}

struct cnn_step *cnn_step_new(struct cnn_net *net, int batch_max, struct cnn_loss loss, int threads,
                              struct err *e)
{
    CHECK(batch_max >= 1 && threads >= 1);
    struct cnn_step *step = memory_new(1, sizeof *step, e);
    if (!step)
        return NULL;
    step->net = net;
    step->loss = loss;
    step->batch_max = batch_max;
    step->bytes = sizeof *step;
    step->shard_max = shard_count(net->param_count, batch_max);
    step->threads = threads < step->shard_max ? threads : step->shard_max;
    int capacity = shard_capacity(net->param_count, batch_max), doubles_max;
    if (!sync_init(step, &doubles_max, e) || !shards_init(step, capacity, doubles_max, e) ||
        !workspaces_init(step, capacity, e)) {
        cnn_step_free(step);
        return NULL;
    }
    return step;
}

void cnn_step_free(struct cnn_step *step)
{
    if (!step)
        return;
    for (int i = 0; i < step->workspace_count; i++)
        cnn_workspace_free(step->workspaces[i]);
    free(step->workspaces);
    for (int s = 0; step->shards && s < step->shard_max; s++) {
        free(step->shards[s].grads);
        free(step->shards[s].labels);
        free(step->shards[s].partial);
    }
    free(step->shards);
    for (int i = 0; i < step->sync_count; i++) {
        free(step->sync[i].up);
        free(step->sync[i].down);
    }
    free(step->sync);
    free(step->up);
    free(step->down);
    free(step);
}

size_t cnn_step_bytes(const struct cnn_step *step)
{
    return step->bytes;
}

float *cnn_step_grads(struct cnn_step *step)
{
    return step->shards[0].grads;
}

static struct cnn_workspace *shard_workspace(const struct cnn_step *step, int s)
{
    return step->workspaces[step->sync_count > 0 ? s : omp_get_thread_num()];
}

static struct cnn_run shard_run(const struct batch *batch, int s, const double *const *sync)
{
    struct shard *shard = &batch->step->shards[s];
    return (struct cnn_run){
        .n = shard->n,
        .first_sample = shard->first,
        .batch_count = batch->n,
        .training = true,
        .seed = batch->seed,
        .step = batch->number,
        .sync = sync,
        .grads = shard->grads,
    };
}

/* Gathers the shard's samples and labels; its gradients become 0. */
static void shard_begin(const struct batch *batch, int s)
{
    struct cnn_step *step = batch->step;
    struct shard *shard = &step->shards[s];
    shard->first = (int)((long long)s * batch->n / batch->shard_count);
    shard->n = (int)((long long)(s + 1) * batch->n / batch->shard_count) - shard->first;
    const uint32_t *index = batch->index + shard->first;
    cnn_samples_gather(batch->samples, index, 0, shard->n,
                       cnn_workspace_input(shard_workspace(step, s)));
    for (int i = 0; i < shard->n; i++)
        shard->labels[i] = batch->samples->labels[index[i]];
    memset(shard->grads, 0, step->net->param_count * sizeof(float));
}

static void shard_loss(const struct batch *batch, int s)
{
    struct cnn_step *step = batch->step;
    struct shard *shard = &step->shards[s];
    struct cnn_workspace *ws = shard_workspace(step, s);
    const float *out = cnn_workspace_map(ws, -1);
    int classes = cnn_net_output(step->net)->c;
    shard->loss = cnn_loss_eval(step->loss, shard->n, classes, out, shard->labels,
                                1.0f / (float)batch->n, cnn_workspace_output_grad(ws));
    shard->correct = 0;
    for (int i = 0; i < shard->n; i++)
        shard->correct += cnn_argmax(out + (size_t)i * classes, classes) == shard->labels[i];
}

/* Segment i upwards: to the front of sync node i, and this shard's sums there. */
static void shard_up(const struct batch *batch, int s, int i)
{
    struct cnn_step *step = batch->step;
    struct cnn_workspace *ws = shard_workspace(step, s);
    if (i == 0)
        shard_begin(batch, s);
    struct cnn_run run = shard_run(batch, s, step->up);
    int node = step->sync[i].node;
    cnn_run_forward(ws, &run, i > 0 ? step->sync[i - 1].node : 0, node);
    cnn_run_forward_sums(ws, &run, node, step->shards[s].partial);
}

/* From the last sync node to the loss and back, down to that node's backward sums; without sync
 * nodes, the whole way. */
static void shard_turn(const struct batch *batch, int s)
{
    struct cnn_step *step = batch->step;
    struct cnn_workspace *ws = shard_workspace(step, s);
    int last = step->sync_count > 0 ? step->sync[step->sync_count - 1].node : -1;
    if (last < 0)
        shard_begin(batch, s);
    struct cnn_run run = shard_run(batch, s, step->up);
    cnn_run_forward(ws, &run, last < 0 ? 0 : last, step->net->node_count);
    shard_loss(batch, s);
    run.sync = step->down;
    cnn_run_backward_begin(ws);
    cnn_run_backward(ws, &run, last + 1, step->net->node_count);
    if (last >= 0)
        cnn_run_backward_sums(ws, &run, last, step->shards[s].partial);
}

/* Segment i downwards: from sync node i to the sums of the one below it. */
static void shard_down(const struct batch *batch, int s, int i)
{
    struct cnn_step *step = batch->step;
    struct cnn_workspace *ws = shard_workspace(step, s);
    struct cnn_run run = shard_run(batch, s, step->down);
    int below = i > 0 ? step->sync[i - 1].node : -1;
    cnn_run_backward(ws, &run, below + 1, step->sync[i].node + 1);
    if (below >= 0)
        cnn_run_backward_sums(ws, &run, below, step->shards[s].partial);
}

static void total_partials(const struct batch *batch, int doubles, double *total)
{
    memset(total, 0, (size_t)doubles * sizeof(double));
    for (int s = 0; s < batch->shard_count; s++) {
        for (int i = 0; i < doubles; i++)
            total[i] += batch->step->shards[s].partial[i];
    }
}

/* Adds one range of every shard's gradients, in shard order, into shard 0's. */
static void reduce_range(const struct batch *batch, size_t first)
{
    struct shard *shards = batch->step->shards;
    size_t count = batch->step->net->param_count - first;
    count = count < REDUCE_BLOCK ? count : REDUCE_BLOCK;
    float *restrict sum = shards[0].grads + first;
    for (int s = 1; s < batch->shard_count; s++) {
        const float *restrict grads = shards[s].grads + first;
        for (size_t i = 0; i < count; i++)
            sum[i] += grads[i];
    }
}

/* Every thread of the team calls this. Each `for` and `single` ends in a barrier. */
static void batch_run(const struct batch *batch)
{
    struct cnn_step *step = batch->step;
    int shards = batch->shard_count;
    for (int i = 0; i < step->sync_count; i++) {
#pragma omp for schedule(dynamic, 1)
        for (int s = 0; s < shards; s++)
            shard_up(batch, s, i);
#pragma omp single
        total_partials(batch, step->sync[i].doubles, step->sync[i].up);
    }
#pragma omp for schedule(dynamic, 1)
    for (int s = 0; s < shards; s++)
        shard_turn(batch, s);
    for (int i = step->sync_count - 1; i >= 0; i--) {
#pragma omp single
        total_partials(batch, step->sync[i].doubles, step->sync[i].down);
#pragma omp for schedule(dynamic, 1)
        for (int s = 0; s < shards; s++)
            shard_down(batch, s, i);
    }
#pragma omp for schedule(static)
    for (size_t first = 0; first < step->net->param_count; first += REDUCE_BLOCK)
        reduce_range(batch, first);
}

struct cnn_step_result cnn_step_run(struct cnn_step *step, const struct cnn_samples *samples,
                                    const uint32_t *index, int n, uint64_t seed, uint64_t number)
{
    CHECK(n >= 1 && n <= step->batch_max);
    struct batch batch = {
        .step = step,
        .samples = samples,
        .index = index,
        .n = n,
        .shard_count = shard_count(step->net->param_count, n),
        .seed = seed,
        .number = number,
    };
#pragma omp parallel num_threads(step->threads)
    batch_run(&batch);

    struct cnn_step_result result = {0};
    for (int s = 0; s < batch.shard_count; s++) {
        result.loss += step->shards[s].loss;
        result.correct += step->shards[s].correct;
    }
    result.loss /= n;
    if (step->sync_count > 0)
        cnn_net_update_stats(step->net, step->up, n);
    return result;
}
