#include "predictor.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "engine.h"
#include "layout.h"
#include "memory.h"
#include "phases.h"
#include "placement.h"

enum {
    LANE_BYTES = 4 << 20, /* of a lane's samples and what lies before the dense layers */
    LANE_MACS = 4 << 20,  /* below this a second thread costs more than it does */
};

struct cnn_predictor {
    const struct cnn_net *net;
    uint64_t macs; /* of one sample */
    int samples;   /* of a lane */
    size_t bytes;
    struct cnn_plan *plan;
    struct cnn_phases *phases;
    struct cnn_placement *placement;
    struct cnn_buffers *params; /* [stage_count]: weights that are not the net's own */
    float *weights;             /* what they point into */
};

struct cnn_lane {
    const struct cnn_predictor *predictor;
    size_t bytes;
    char *memory;
    struct cnn_frame frame;
};

/* ---- preparing weights ---- */

static bool is_dense(const struct cnn_plan *plan, int stage)
{
    return cnn_stage_node(plan, stage)->spec.type == CNN_DENSE;
}

static size_t weight_floats(const struct cnn_plan *plan, int stage)
{
    return plan->net->tensors[cnn_stage_node(plan, stage)->param_first].count;
}

static struct gemm product_of(const struct cnn_node *dense, const float *weights)
{
    return (struct gemm){
        .n = dense->out.c, .k = dense->in[0].c, .b = weights, .b_k = dense->out.c, .b_column = 1};
}

/* Floats of weights as the stage's layer likes them better; 0: as they are. */
static size_t layer_floats(const struct cnn_plan *plan, int stage)
{
    const struct cnn_node *node = cnn_stage_node(plan, stage);
    return node->op->prepared_floats ? node->op->prepared_floats(node, false) : 0;
}

/* Floats of the stage's own weights; 0: the net's are as they should be. */
static size_t prepared_floats(const struct cnn_plan *plan, int stage)
{
    const struct cnn_node *node = cnn_stage_node(plan, stage);
    if (is_dense(plan, stage))
        return cnn_kernels()->gemm_packed_floats(node->out.c, node->in[0].c);
    if (layer_floats(plan, stage) > 0)
        return layer_floats(plan, stage);
    return plan->stages[stage].norm >= 0 ? weight_floats(plan, stage) : 0;
}

/* Multiplies output channel k of weights[rows, K] by what the batch-norm does to it, and moves
 * bias[K] along. */
static void fold_norm(const struct cnn_net *net, const struct cnn_node *norm, size_t rows,
                      float *weights, float *bias)
{
    const size_t channels = (size_t)norm->out.c;
    const struct cnn_param *tensors = &net->tensors[norm->param_first];
    const float *scale = net->params + tensors[0].offset, *shift = net->params + tensors[1].offset;
    const float *mean = net->params + tensors[2].offset, *var = net->params + tensors[3].offset;
    for (size_t k = 0; k < channels; k++) {
        const double deviation = sqrt((double)var[k] + (double)norm->spec.u.norm.epsilon);
        const double factor = (double)scale[k] / deviation;
        for (size_t row = 0; row < rows; row++)
            weights[row * channels + k] = (float)((double)weights[row * channels + k] * factor);
        bias[k] = (float)(((double)bias[k] - (double)mean[k]) * factor + (double)shift[k]);
    }
}

/* Rows [C][pixel] of weights become [pixel][C], as the map has them that a flatten would have
 * turned round. */
static void reorder_rows(const struct cnn_shape *map, size_t columns, const float *from, float *to)
{
    const size_t pixels = cnn_shape_pixels(map), channels = (size_t)map->c;
    for (size_t c = 0; c < channels; c++)
        for (size_t pixel = 0; pixel < pixels; pixel++)
            memcpy(to + (pixel * channels + c) * columns, from + (c * pixels + pixel) * columns,
                   columns * sizeof *to);
}

/* The stage's weights and bias, in `weights` (scratch) and `bias`, with all that is folded in. */
static void fold(const struct cnn_plan *plan, int index, float *weights, float *bias)
{
    const struct cnn_net *net = plan->net;
    const struct cnn_stage *stage = &plan->stages[index];
    const struct cnn_node *node = cnn_stage_node(plan, index);
    const size_t count = weight_floats(plan, index), columns = (size_t)node->out.c;
    size_t offset;
    const bool has_bias = cnn_stage_params(plan, index, &offset) > count;
    if (stage->flatten >= 0)
        reorder_rows(&net->nodes[stage->flatten].in[0], columns, net->params + offset, weights);
    else
        memcpy(weights, net->params + offset, count * sizeof *weights);
    if (has_bias)
        memcpy(bias, net->params + offset + count, columns * sizeof *bias);
    else
        memset(bias, 0, columns * sizeof *bias);
    if (stage->norm >= 0)
        fold_norm(net, &net->nodes[stage->norm], count / columns, weights, bias);
}

/* Weights, then bias, at `to`. */
static void prepare_stage(struct cnn_predictor *predictor, int index, float *scratch, float *to)
{
    const struct cnn_plan *plan = predictor->plan;
    const size_t floats = prepared_floats(plan, index);
    float *bias = to + floats;
    fold(plan, index, scratch, bias);
    const struct cnn_node *node = cnn_stage_node(plan, index);
    if (layer_floats(plan, index) > 0) {
        node->op->prepare(node, scratch, false, to);
        predictor->params[index].prepared = to;
    } else if (is_dense(plan, index)) {
        const struct gemm p = product_of(node, scratch);
        cnn_kernels()->gemm_pack(&p, to);
        predictor->params[index].params = to;
    } else {
        memcpy(to, scratch, floats * sizeof *to);
        predictor->params[index].params = to;
    }
    predictor->plan->stages[index].tail.bias = bias;
}

/* Bytes of a stage's own weights and bias. */
static size_t prepared_bytes(const struct cnn_plan *plan, int stage)
{
    const size_t floats = prepared_floats(plan, stage);
    return floats == 0 ? 0
                       : memory_aligned((floats + (size_t)cnn_stage_node(plan, stage)->out.c) *
                                        sizeof(float));
}

static bool prepare_weights(struct cnn_predictor *predictor, struct err *e)
{
    const struct cnn_plan *plan = predictor->plan;
    size_t bytes = 0, most = 0;
    for (int i = 0; i < plan->stage_count; i++) {
        if (prepared_bytes(plan, i) > 0 && weight_floats(plan, i) > most)
            most = weight_floats(plan, i);
        bytes += prepared_bytes(plan, i);
    }
    float *scratch = memory_new(most, sizeof *scratch, e);
    predictor->params = memory_new((size_t)plan->stage_count, sizeof *predictor->params, e);
    predictor->weights = memory_new(bytes, 1, e);
    const bool ok = scratch && predictor->params && predictor->weights;
    float *at = predictor->weights;
    for (int i = 0; ok && i < plan->stage_count; i++)
        if (prepared_bytes(plan, i) > 0) {
            prepare_stage(predictor, i, scratch, at);
            at += prepared_bytes(plan, i) / sizeof *at;
        }
    predictor->bytes += bytes;
    free(scratch);
    return ok;
}

/* ---- the predictor ---- */

/* Of one sample, before the first dense layer, and its input. */
static size_t sample_bytes(const struct cnn_predictor *predictor)
{
    const struct cnn_plan *plan = predictor->plan;
    const int last = predictor->phases->list[0].end - 1;
    return sizeof(float) * (cnn_shape_count(&plan->net->input) +
                            (last >= 0 ? cnn_shape_count(cnn_stage_out(plan, last)) : 0));
}

struct cnn_predictor *cnn_predictor_new(const struct cnn_net *net, struct err *e)
{
    struct cnn_predictor *predictor = memory_new(1, sizeof *predictor, e);
    if (!predictor)
        return NULL;
    predictor->net = net;
    predictor->macs = cnn_net_macs(net);
    predictor->bytes = sizeof *predictor;
    if (!(predictor->plan = cnn_plan_new(net, CNN_FOR_INFERENCE, e)) ||
        !(predictor->phases = cnn_phases_inference(predictor->plan, e)))
        goto fail;
    const size_t fit = LANE_BYTES / sample_bytes(predictor);
    predictor->samples = fit < 1 ? 1 : fit > CNN_LANE_SAMPLES_MAX ? CNN_LANE_SAMPLES_MAX : (int)fit;
    predictor->placement = cnn_placement_new(predictor->phases, predictor->samples, false, e);
    if (predictor->placement && prepare_weights(predictor, e))
        return predictor;
fail:
    cnn_predictor_free(predictor);
    return NULL;
}

void cnn_predictor_free(struct cnn_predictor *predictor)
{
    if (!predictor)
        return;
    free(predictor->weights);
    free(predictor->params);
    free(predictor->placement);
    free(predictor->phases);
    free(predictor->plan);
    free(predictor);
}

size_t cnn_predictor_bytes(const struct cnn_predictor *predictor)
{
    return predictor->bytes;
}

int cnn_predictor_samples(const struct cnn_predictor *predictor)
{
    return predictor->samples;
}

int cnn_predictor_lanes(const struct cnn_predictor *predictor, int n, int most)
{
    const uint64_t worth = predictor->macs * (uint64_t)n / LANE_MACS;
    const int useful = worth < 1 ? 1 : worth > (uint64_t)most ? most : (int)worth;
    return useful < n ? useful : n;
}

/* ---- lanes ---- */

static int stages_before_dense(const struct cnn_predictor *predictor)
{
    return predictor->phases->list[0].end;
}

static int samples_before_dense(const struct cnn_predictor *predictor)
{
    const int samples = predictor->placement->samples;
    return samples < predictor->samples ? samples : predictor->samples;
}

static size_t scratch_bytes(const struct cnn_predictor *predictor)
{
    const struct cnn_plan *plan = predictor->plan;
    const int cut = stages_before_dense(predictor);
    const size_t before =
        cnn_frame_scratch_floats(plan, 0, cut, samples_before_dense(predictor), false);
    const size_t after =
        cnn_frame_scratch_floats(plan, cut, plan->stage_count, predictor->samples, false);
    return sizeof(float) * (before > after ? before : after);
}

struct cnn_lane *cnn_lane_new(const struct cnn_predictor *predictor, struct err *e)
{
    const struct cnn_placement *placement = predictor->placement;
    const size_t table =
        memory_aligned((size_t)predictor->plan->stage_count * sizeof *predictor->params);
    struct cnn_lane *lane = memory_new(1, sizeof *lane, e);
    if (!lane)
        return NULL;
    const size_t bytes =
        table + placement->whole_bytes + placement->local_bytes + scratch_bytes(predictor);
    lane->memory = memory_new(bytes, 1, e);
    if (!lane->memory) {
        free(lane);
        return NULL;
    }
    char *whole = lane->memory + table, *local = whole + placement->whole_bytes;
    lane->predictor = predictor;
    lane->bytes = sizeof *lane + bytes;
    lane->frame = (struct cnn_frame){
        .plan = predictor->plan,
        .capacity = predictor->samples,
        .stages = (struct cnn_buffers *)(void *)lane->memory,
        .scratch = (float *)(void *)(local + placement->local_bytes),
        .packed = true,
    };
    memcpy(lane->frame.stages, predictor->params,
           (size_t)predictor->plan->stage_count * sizeof *predictor->params);
    cnn_placement_apply(placement, whole, local, &lane->frame);
    return lane;
}

void cnn_lane_free(struct cnn_lane *lane)
{
    if (!lane)
        return;
    free(lane->memory);
    free(lane);
}

size_t cnn_lane_bytes(const struct cnn_lane *lane)
{
    return lane->bytes;
}

float *cnn_lane_input(struct cnn_lane *lane)
{
    return lane->frame.input.at;
}

/* What comes before the dense layers a few samples at a time, in cache; the rest all at once. */
static const float *run(const struct cnn_predictor *predictor, const struct cnn_frame *frame, int n)
{
    const int cut = stages_before_dense(predictor), some = samples_before_dense(predictor);
    const int end = predictor->plan->stage_count;
    struct cnn_run part = {.batch_count = n};
    CHECK(n >= 1 && n <= predictor->samples);
    for (int first = 0; first < n && cut > 0; first += some) {
        part.first_sample = first;
        part.n = n - first < some ? n - first : some;
        cnn_run_forward(frame, &part, 0, cut);
    }
    const struct cnn_run whole = {.n = n, .batch_count = n};
    cnn_run_forward(frame, &whole, cut, end);
    return cnn_run_map(frame, &whole, end - 1);
}

const float *cnn_lane_run(struct cnn_lane *lane, int n)
{
    return run(lane->predictor, &lane->frame, n);
}

/* Up to a lane's samples, which are read where they stand if their order is the same either way. */
static const float *run_canonical(struct cnn_lane *lane, const float *x, int n)
{
    const struct cnn_shape *shape = &lane->predictor->net->input;
    const size_t count = cnn_shape_count(shape);
    if (shape->c == 1 || cnn_shape_pixels(shape) == 1) {
        struct cnn_frame frame = lane->frame;
        frame.input.at = (void *)x; /* only read */
        return run(lane->predictor, &frame, n);
    }
    for (size_t i = 0; i < (size_t)n; i++)
        cnn_layout_to_last(shape, x + i * count, cnn_lane_input(lane) + i * count);
    return cnn_lane_run(lane, n);
}

/* A batch on its way through the lanes, `samples` at a time. */
struct prediction {
    const float *x;
    float *out;
    int n, samples;
};

static void predict_part(const struct prediction *batch, struct cnn_lane *lane, int part)
{
    const struct cnn_net *net = lane->predictor->net;
    const size_t in = cnn_shape_count(&net->input), units = cnn_shape_count(cnn_net_output(net));
    const int first = part * batch->samples, left = batch->n - first;
    const int n = left < batch->samples ? left : batch->samples;
    const float *scores = run_canonical(lane, batch->x + (size_t)first * in, n);
    memcpy(batch->out + (size_t)first * units, scores, (size_t)n * units * sizeof *scores);
}

void cnn_predict(struct cnn_lane *const *lanes, int lane_count, const float *x, int n, float *out)
{
    const int most = lanes[0]->predictor->samples, share = (n - 1) / lane_count + 1;
    const struct prediction batch = {x, out, n, share < most ? share : most};
    const int parts = (n - 1) / batch.samples + 1;
    if (lane_count == 1) { /* not even a team of one */
        for (int part = 0; part < parts; part++)
            predict_part(&batch, lanes[0], part);
        return;
    }
#pragma omp parallel for num_threads(lane_count) schedule(dynamic, 1)
    for (int part = 0; part < parts; part++)
        predict_part(&batch, lanes[omp_get_thread_num()], part);
}
