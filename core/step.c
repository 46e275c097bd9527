/* DESIGN: same bits on any number of threads.
 *
 * Floating-point sums depend on their order, so the order is fixed before threads come in. A
 * batch of n is cut into S shards, S a function of n and the net alone (cnn_step_shards); shard s
 * holds samples s*n/S .. (s+1)*n/S - 1. A shard is serial, whoever runs it, and adds into a
 * gradient block of its own. When all are done, threads share out ranges of the parameters, and
 * each adds the S blocks of its range in the order 0, 1, .. S-1. Losses, sums over the batch and
 * the parts of the gradient's norm are added in order too, in double. A dense layer is one matrix
 * product whose parts cut no sum. What no sum depends on (which thread takes which shard or part,
 * and in whose memory) is left to the scheduler.
 *
 * One parallel region holds the whole step; its threads meet between phases (phases.h):
 *
 *     up     phase 0 | phase 1 | ..
 *     turn                          last phase: up, loss, down
 *     down                                                       .. | phase 1 | phase 0
 *     then   add shards, square | update
 *
 * A phase by samples takes each shard through its stages a few samples at a time; one in parts is
 * one matrix product shared by all.
 */
#include "step.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "check.h"
#include "step_memory.h"

/* One batch, as its threads see it. */
struct batch {
    struct cnn_step *step;
    const struct cnn_samples *samples;
    const uint32_t *index;
    int n, shard_count;
    double weight; /* of all its samples: n unless classes have weights */
    uint64_t seed, number;
    const struct cnn_step_update *update; /* NULL: none */
};

/* ---- phases by samples ---- */

static const struct cnn_frame *own_frame(const struct cnn_step *step)
{
    return &step->frames[omp_get_thread_num()];
}

/* Part `part` of `parts`, as even as can be, of n things. */
static int part_first(int n, int parts, int part)
{
    return (int)((long long)n * part / parts);
}

/* Samples first .. end-1 of the batch; shard: whose gradients they add to, or -1. */
static struct cnn_run run_of(const struct batch *batch, int first, int end, int shard)
{
    return (struct cnn_run){
        .n = end - first,
        .first_sample = first,
        .batch_count = batch->n,
        .training = true,
        .seed = batch->seed,
        .step = batch->number,
        .grads = shard < 0 ? batch->step->grads : batch->step->shards[shard].grads,
        .grads_at = shard < 0 ? NULL : batch->step->shard_at,
    };
}

static struct cnn_run shard_run(const struct batch *batch, int s)
{
    return run_of(batch, part_first(batch->n, batch->shard_count, s),
                  part_first(batch->n, batch->shard_count, s + 1), s);
}

static void augment_samples(const struct batch *batch, const struct cnn_run *run, float *x)
{
    const struct cnn_step *step = batch->step;
    const size_t count = cnn_shape_count(&batch->samples->shape);
    char *scratch = step->augment_scratch + (size_t)omp_get_thread_num() * step->augment_bytes;
    for (int i = 0; i < run->n; i++)
        cnn_augment_apply(&step->augment, batch->samples, batch->seed, batch->number,
                          run->first_sample + i, x + (size_t)i * count, scratch);
}

static void fetch_samples(const struct batch *batch, const struct cnn_run *run)
{
    float *x = cnn_run_map(own_frame(batch->step), run, CNN_FROM_INPUT);
    const uint32_t *index = batch->index + run->first_sample;
    cnn_samples_gather(batch->samples, index, 0, run->n, x);
    if (batch->step->augment_scratch)
        augment_samples(batch, run, x);
    for (int i = 0; i < run->n; i++)
        batch->step->labels[run->first_sample + i] = batch->samples->labels[index[i]];
}

static void compute_loss(const struct batch *batch, const struct cnn_run *run, int s)
{
    const struct cnn_step *step = batch->step;
    struct shard *shard = &step->shards[s];
    const int last = step->plan->stage_count - 1, classes = cnn_net_output(step->net)->c;
    const float *out = cnn_run_map(own_frame(step), run, last);
    const uint16_t *labels = step->labels + run->first_sample;
    shard->loss +=
        cnn_loss_eval(step->loss, run->n, classes, out, labels, 1.0f / (float)batch->weight,
                      cnn_run_grad(own_frame(step), run, last));
    for (int i = 0; i < run->n; i++)
        shard->correct += cnn_argmax(out + (size_t)i * (size_t)classes, classes) == labels[i];
}

static void some_up(const struct batch *batch, int phase, struct cnn_run *run)
{
    const struct cnn_phase *it = &batch->step->phases->list[phase];
    if (phase == 0)
        fetch_samples(batch, run);
    run->sync = batch->step->up;
    cnn_run_forward(own_frame(batch->step), run, it->first, it->end);
}

static void some_down(const struct batch *batch, int phase, struct cnn_run *run)
{
    int first, end;
    cnn_phase_down(batch->step->phases, phase, &first, &end);
    run->sync = batch->step->down;
    cnn_run_backward(own_frame(batch->step), run, first, end);
}

enum way { UP, TURN, DOWN };

/* A shard's way through a phase, a few samples at a time, and its sums at the end of it. */
static void shard_through(const struct batch *batch, int s, int phase, enum way way)
{
    const struct cnn_step *step = batch->step;
    const struct cnn_run whole = shard_run(batch, s);
    const int parts = (whole.n - 1) / step->placement->samples + 1;
    for (int i = 0; i < parts; i++) {
        const int first = whole.first_sample + part_first(whole.n, parts, i);
        const int end = whole.first_sample + part_first(whole.n, parts, i + 1);
        struct cnn_run run = run_of(batch, first, end, s);
        if (way != DOWN)
            some_up(batch, phase, &run);
        if (way == TURN)
            compute_loss(batch, &run, s);
        if (way != UP)
            some_down(batch, phase, &run);
    }
    const int up = step->phases->list[phase].sync, down = cnn_phase_down_sync(step->phases, phase);
    if (way == UP && up >= 0)
        cnn_run_forward_sums(own_frame(step), &whole, up, step->shards[s].partial);
    if (way != UP && down >= 0)
        cnn_run_backward_sums(own_frame(step), &whole, down, step->shards[s].partial);
}

static void total_partials(const struct batch *batch, int doubles, double *total)
{
    memset(total, 0, (size_t)doubles * sizeof *total);
    for (int s = 0; s < batch->shard_count; s++)
        for (int i = 0; i < doubles; i++)
            total[i] += batch->step->shards[s].partial[i];
}

static void shard_clear(const struct batch *batch, int s)
{
    struct shard *shard = &batch->step->shards[s];
    shard->loss = 0;
    shard->correct = 0;
    memset(shard->grads, 0, batch->step->shard_params * sizeof *shard->grads);
}

/* From here on, every thread of the team calls each function, and each `for` and `single` that does
 * not say nowait ends in a barrier. */

static void phase_by_samples(const struct batch *batch, int phase, enum way way)
{
    const struct cnn_step *step = batch->step;
#pragma omp for schedule(dynamic, 1)
    for (int s = 0; s < batch->shard_count; s++) {
        if (way != DOWN && phase == 0)
            shard_clear(batch, s);
        shard_through(batch, s, phase, way);
    }
    const int sync =
        way == UP ? step->phases->list[phase].sync : cnn_phase_down_sync(step->phases, phase);
    if (sync < 0)
        return;
    const struct sync_stage *to = &step->syncs[sync];
#pragma omp single
    total_partials(batch, to->doubles, way == UP ? to->up : to->down);
}

/* ---- phases in parts ---- */

static void parts_up(const struct batch *batch, int stage)
{
    const struct cnn_node *node = cnn_stage_node(batch->step->plan, stage);
    const struct cnn_run run = run_of(batch, 0, batch->n, -1);
    const struct cnn_pass pass = cnn_stage_pass(own_frame(batch->step), &run, stage);
    const int parts = node->op->forward_parts(node, batch->n);
#pragma omp for schedule(static)
    for (int part = 0; part < parts; part++)
        node->op->forward_part(node, &pass, part);
}

static void parts_down(const struct batch *batch, int stage)
{
    const struct cnn_frame *frame = own_frame(batch->step);
    const struct cnn_node *node = cnn_stage_node(batch->step->plan, stage);
    const struct cnn_run run = run_of(batch, 0, batch->n, -1);
    const struct cnn_pass pass = cnn_stage_backward_pass(frame, &run, stage);
    const int parts = node->op->backward_parts(node, batch->n);
    if (batch->step->plan->stages[stage].tail.act != KERNEL_LINEAR) {
#pragma omp for schedule(static)
        for (int s = 0; s < batch->shard_count; s++) {
            const struct cnn_run some = shard_run(batch, s);
            cnn_stage_activation_backward(frame, &some, stage);
        }
    }
#pragma omp for schedule(static)
    for (int part = 0; part < parts; part++)
        node->op->backward_part(node, &pass, part);
}

/* ---- after the gradient ---- */

/* Adds one range of every shard's gradients, in shard order. */
static void add_shards(const struct batch *batch, const struct range *range)
{
    const struct shard *shards = batch->step->shards;
    float *restrict sum = batch->step->grads + range->at;
    memcpy(sum, shards[0].grads + range->shard_at, range->count * sizeof *sum);
    for (int s = 1; s < batch->shard_count; s++) {
        const float *restrict grads = shards[s].grads + range->shard_at;
        for (size_t i = 0; i < range->count; i++)
            sum[i] += grads[i];
    }
}

/* Of what all threads have left behind. */
static struct cnn_step_result result_of(const struct batch *batch)
{
    const struct cnn_step *step = batch->step;
    struct cnn_step_result result = {0};
    for (int s = 0; s < batch->shard_count; s++) {
        result.loss += step->shards[s].loss;
        result.correct += step->shards[s].correct;
    }
    result.loss /= batch->weight;
    double squares = 0;
    for (size_t r = 0; r < step->range_count; r++)
        squares += step->squares[r];
    result.norm = sqrt(squares);
    return result;
}

static void update_range(const struct batch *batch, const struct range *range, float scale)
{
    float *grads = batch->step->grads + range->at;
    for (size_t i = 0; scale < 1 && i < range->count; i++)
        grads[i] *= scale;
    cnn_optim_update(batch->update->optim, batch->step->net->params, batch->step->grads, range->at,
                     range->count);
}

static void finish_gradient(const struct batch *batch)
{
    struct cnn_step *step = batch->step;
#pragma omp for schedule(static)
    for (size_t r = 0; r < step->range_count; r++) {
        const struct range *range = &step->ranges[r];
        if (range->sharded)
            add_shards(batch, range);
        step->squares[r] = cnn_kernels()->sum_squares(range->count, step->grads + range->at);
    }
}

static void update_params(const struct batch *batch)
{
    const struct cnn_step *step = batch->step;
    const struct cnn_step_result result = result_of(batch); /* each thread for itself */
    const double limit = batch->update->clip_norm;
    const float scale = limit > 0 && result.norm > limit ? (float)(limit / result.norm) : 1;
    if (!isfinite(result.loss) || !isfinite(result.norm))
        return;
#pragma omp for schedule(static) nowait
    for (size_t r = 0; r < step->range_count; r++)
        update_range(batch, &step->ranges[r], scale);
}

static void prepare_weights(const struct batch *batch)
{
    const struct cnn_step *step = batch->step;
#pragma omp for schedule(dynamic, 1)
    for (int i = 0; i < step->plan->stage_count; i++)
        cnn_stage_prepare(&step->frames[0], i);
}

static void batch_run(const struct batch *batch)
{
    const struct cnn_phases *phases = batch->step->phases;
    const int turn = phases->count - 1;
    prepare_weights(batch);
    for (int p = 0; p < turn; p++) {
        if (phases->list[p].in_parts)
            parts_up(batch, phases->list[p].first);
        else
            phase_by_samples(batch, p, UP);
    }
    phase_by_samples(batch, turn, TURN);
    for (int p = turn - 1; p >= 0; p--) {
        if (phases->list[p].in_parts)
            parts_down(batch, phases->list[p].first);
        else
            phase_by_samples(batch, p, DOWN);
    }
    finish_gradient(batch);
    if (batch->update)
        update_params(batch);
}

static double weight_of(const struct batch *batch)
{
    const float *weights = batch->step->loss.weights;
    double sum = 0;
    for (int i = 0; i < batch->n; i++)
        sum += weights ? weights[batch->samples->labels[batch->index[i]]] : 1;
    return sum;
}

static struct cnn_step_result step_run(struct batch *batch)
{
    struct cnn_step *step = batch->step;
    CHECK(batch->n >= 1 && batch->n <= step->batch_max);
    batch->weight = weight_of(batch);
    batch->shard_count = cnn_step_shards(step, batch->n);
#pragma omp parallel num_threads(step->threads)
    batch_run(batch);
    cnn_net_update_stats(step->net, step->up, batch->n);
    return result_of(batch);
}

struct cnn_step_result cnn_step_run(struct cnn_step *step, const struct cnn_samples *samples,
                                    const uint32_t *index, int n, uint64_t seed, uint64_t number)
{
    struct batch batch = {step, samples, index, n, 0, 0, seed, number, NULL};
    return step_run(&batch);
}

struct cnn_step_result cnn_step_train(struct cnn_step *step, const struct cnn_samples *samples,
                                      const uint32_t *index, int n, uint64_t seed, uint64_t number,
                                      const struct cnn_step_update *update)
{
    struct batch batch = {step, samples, index, n, 0, 0, seed, number, update};
    cnn_optim_begin(update->optim, update->lr);
    return step_run(&batch);
}
