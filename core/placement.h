/* placement.h - where the data of a training step, or of inference, lies.
 *
 * What one thread makes of a few samples and uses up before it leaves the phase lies in memory of
 * that thread, for as many samples as it takes at a time. What goes from one phase to another (what
 * backward reads again, what dense layers read) lies in buffers for the whole batch. In both,
 * memory is used again as soon as nothing alive is in it: thread by thread from stage to stage, and
 * in the whole batch's from phase to phase, since threads are at different stages of a phase.
 */
#ifndef STRIDED_PLACEMENT_H
#define STRIDED_PLACEMENT_H

#include "engine.h"
#include "phases.h"

struct cnn_place {
    bool used, whole;
    size_t offset; /* in the batch's memory or in the thread's */
};

struct cnn_places {
    struct cnn_place map, grad, kept;
};

struct cnn_placement {
    int samples;                     /* that a thread takes at a time; by the net alone */
    size_t whole_bytes, local_bytes; /* for the batch, and for each thread */
    struct cnn_place input;
    struct cnn_places stages[]; /* [stage_count] */
};

/* For batches of up to batch_max, with or without what backward needs; without, the net's input is
 * the whole batch's. NULL when out of memory; free with free(). */
struct cnn_placement *cnn_placement_new(const struct cnn_phases *phases, int batch_max,
                                        bool training, struct err *e);

/* Points the slots of a frame into the batch's memory and a thread's own. */
void cnn_placement_apply(const struct cnn_placement *placement, char *whole, char *local,
                         struct cnn_frame *frame);

#endif
