/* phases.h - the order in which a training step runs its stages.
 *
 * A step goes up through the phases, from the samples to the loss, and down again. Between two
 * phases all threads meet; within one there are two ways to share the work:
 *   by samples: a thread takes a few samples up through all the stages of the phase (or down),
 *     depth first, while their feature maps are in its cache. Most stages are run so.
 *   in parts: the phase is one stage, a matrix product over the whole batch that cuts itself into
 *     parts (op->forward_part). So a dense layer's weights are read once a step, not once a thread,
 *     and have one gradient.
 * A stage that needs sums over the whole batch (op->sync_doubles) begins a phase by samples: the
 * one in front of it ends, going up, in the stage's forward sums, and begins, going down, with the
 * stage's backward pass, after the backward sums ended the phase above.
 *
 * The first and the last phase are by samples, if need be without a stage: one fetches the samples,
 * the other computes the loss, and is not left between going up and down.
 */
#ifndef STRIDED_PHASES_H
#define STRIDED_PHASES_H

#include "plan.h"

struct cnn_phase {
    int first, end; /* stages; going up */
    bool in_parts;
    int sync; /* the stage (end) whose sums it ends in going up; -1: none */
};

struct cnn_phases {
    const struct cnn_plan *plan; /* borrowed */
    int count;
    struct cnn_phase list[]; /* [count] */
};

/* NULL when out of memory; free with free(). */
struct cnn_phases *cnn_phases_new(const struct cnn_plan *plan, struct err *e);
/* For inference, which only goes up: what stands before the first dense layer is run a few samples
 * at a time; each stage from there on is a phase of its own, since weights are larger than maps.
 * The last phase is without a stage. */
struct cnn_phases *cnn_phases_inference(const struct cnn_plan *plan, struct err *e);

/* The stages that a phase runs going down: *end-1 .. *first, a sync stage of its own included and
 * one that begins it left out. */
void cnn_phase_down(const struct cnn_phases *phases, int phase, int *first, int *end);
/* The stage whose backward sums the phase ends in going down, or -1. */
int cnn_phase_down_sync(const struct cnn_phases *phases, int phase);

#endif
