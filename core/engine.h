/* engine.h - runs the stages of a plan over a frame; what inference and training share.
 *
 * A frame says where the data of every stage lies. Serial: threads have a frame each, which may
 * share buffers that hold the whole batch. Gradients: a stage overwrites its inputs' gradients,
 * or adds where another reader was there before. None is computed for the net's input, nor for a
 * stage that has no trainable parameter at or before it.
 *
 * A training step on one frame:
 *   fill the input; cnn_run_forward(frame, run, 0, stage_count);
 *   the loss reads the last stage's map and writes its gradient;
 *   cnn_run_backward(frame, run, 0, stage_count).
 * A net with nodes that need sums over the whole batch (op->sync_doubles) is run in ranges: up to
 * such a stage, its sums on every part of the batch, their total into run->sync, onwards from that
 * stage; and the same downwards, with the stage as the last of its range.
 */
#ifndef STRIDED_ENGINE_H
#define STRIDED_ENGINE_H

#include "layer.h"
#include "plan.h"

/* A buffer of so much a sample: of the whole batch, or of the samples of one run. */
struct cnn_slot {
    void *at; /* NULL: there is none */
    bool whole;
};

struct cnn_buffers {
    struct cnn_slot map;  /* [n, out] */
    struct cnn_slot grad; /* [n, out] */
    struct cnn_slot kept; /* n * cnn_stage_kept_bytes */
    const float *params;  /* of the stage; NULL: as in net->params */
    float *prepared;      /* what op->prepare made of them; NULL: nothing */
};

struct cnn_frame {
    const struct cnn_plan *plan;
    int capacity; /* samples of one run */
    struct cnn_slot input;
    struct cnn_buffers *stages; /* [plan->stage_count] */
    float *scratch;             /* cnn_frame_scratch_floats */
    float *fan_grad;            /* cnn_frame_fan_floats: gradients on their way to be added */
    bool packed;                /* dense layers' params are packed */
};

/* Floats that a frame wants for runs of up to n samples through stages first .. end-1, with
 * backward or without. */
size_t cnn_frame_scratch_floats(const struct cnn_plan *plan, int first, int end, int n,
                                bool training);
size_t cnn_frame_fan_floats(const struct cnn_plan *plan, int n);

struct cnn_run {
    int n;            /* samples of this run */
    int first_sample; /* position of the first in the whole batch */
    int batch_count;  /* samples of the whole batch */
    bool training;    /* needs what is kept for backward */
    uint64_t seed, step;
    const double *const *sync; /* [node_count]: totals over the batch of the direction being run,
                                  for nodes with sync_doubles; NULL when the net has none */
    float *grads;              /* accumulated; backward only */
    const size_t *grads_at;    /* [stage_count]: where in grads a stage's are; NULL: as in
                                  net->params */
};

/* Fills the stage's buffers->prepared, if it has any, from its parameters. */
void cnn_stage_prepare(const struct cnn_frame *frame, int stage);

/* Doubles that this stage sums over the batch when training; 0 for most. */
int cnn_stage_sync_doubles(const struct cnn_plan *plan, int stage);

/* What the stage's layer is called with; for stages that are run in parts (op->forward_part,
 * op->backward_part). Such a stage has one input. Its gradients are overwritten. */
struct cnn_pass cnn_stage_pass(const struct cnn_frame *frame, const struct cnn_run *run, int stage);
struct cnn_pass cnn_stage_backward_pass(const struct cnn_frame *frame, const struct cnn_run *run,
                                        int stage);
/* Turns the gradient of the stage's output into that in front of its activation, in place: what
 * must come before backward_part, and is part of cnn_run_backward. */
void cnn_stage_activation_backward(const struct cnn_frame *frame, const struct cnn_run *run,
                                   int stage);

/* Stages first .. end-1, upwards. */
void cnn_run_forward(const struct cnn_frame *frame, const struct cnn_run *run, int first, int end);
/* The stage's sums over its input; overwrites sums[sync_doubles]. Every stage before it must have
 * run. */
void cnn_run_forward_sums(const struct cnn_frame *frame, const struct cnn_run *run, int stage,
                          double *sums);
/* Stages end-1 .. first, downwards. */
void cnn_run_backward(const struct cnn_frame *frame, const struct cnn_run *run, int first, int end);
/* Overwrites sums[sync_doubles]. Every stage after it must have run backward. */
void cnn_run_backward_sums(const struct cnn_frame *frame, const struct cnn_run *run, int stage,
                           double *sums);
/* After the step, once: moves every node's running statistics in net->params (stats part) by the
 * forward totals. */
void cnn_net_update_stats(struct cnn_net *net, const double *const *sync, int batch_count);

/* A stage's data for this run; NULL when it has none. CNN_FROM_INPUT: the net's input. */
float *cnn_run_map(const struct cnn_frame *frame, const struct cnn_run *run, int stage);
float *cnn_run_grad(const struct cnn_frame *frame, const struct cnn_run *run, int stage);

#endif
