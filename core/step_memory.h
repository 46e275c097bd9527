/* step_memory.h - what a training step holds; internal to step.c and step_memory.c. */
#ifndef STRIDED_STEP_MEMORY_H
#define STRIDED_STEP_MEMORY_H

#include "engine.h"
#include "phases.h"
#include "placement.h"
#include "step.h"

struct shard {
    double loss; /* sum */
    int correct;
    float *grads;    /* [shard_params] */
    double *partial; /* [sync_doubles_max] */
};

struct sync_stage {
    int doubles;
    double *up, *down; /* [doubles]: totals of the forward and the backward sums */
};

/* A run of parameters of one stage. */
struct range {
    size_t at, count; /* in the net's parameters */
    size_t shard_at;  /* in a shard's gradients; of `sharded` ones */
    bool sharded;
};

struct cnn_step {
    struct cnn_net *net;
    struct cnn_loss loss;
    int threads, batch_max;
    uint64_t macs; /* of one sample */
    size_t bytes;
    struct cnn_plan *plan;
    struct cnn_phases *phases;
    struct cnn_placement *placement;

    struct cnn_frame *frames; /* [threads] */
    char **memory;            /* [threads]: of each frame */
    char *whole;              /* what frames share: maps of the whole batch */
    float *prepared;          /* weights as stages' kernels read them */
    uint16_t *labels;         /* [batch_max] */

    struct cnn_augment augment;
    char *augment_scratch; /* [threads, augment_bytes]; NULL: samples stay as they are */
    size_t augment_bytes;

    int shard_max;
    struct shard *shards; /* [shard_max] */
    size_t shard_params;
    size_t *shard_at;   /* [stage_count]: where a stage's gradients stand in a shard's */
    float *shard_grads; /* of all shards, each from a MEMORY_ALIGN_BYTES border on */
    double *partials;   /* [shard_max, sync_doubles_max] */

    int sync_doubles_max;
    double *sync;              /* what sync_stages point into */
    struct sync_stage *syncs;  /* [stage_count]; doubles 0: none */
    const double **up, **down; /* [node_count], for struct cnn_run */

    float *grads; /* [param_count] */
    size_t range_count;
    struct range *ranges; /* [range_count] */
    double *squares;      /* [range_count] */
};

/* How many shards a batch of n is cut into, by the net and n alone. Never falls as n grows. */
int cnn_step_shards(const struct cnn_step *step, int n);

#endif
