/* progress.h - what a training worker tells the daemon: one JSON line a message, over a pipe. */
#ifndef STRIDED_PROGRESS_H
#define STRIDED_PROGRESS_H

#include "buf.h"
#include "eval.h"

enum progress_type {
    PROGRESS_START,   /* the net is built: parameters, batches, threads, instruction set */
    PROGRESS_BATCH,   /* a point of the loss curve */
    PROGRESS_EPOCH,   /* an epoch's figures and confusion matrix */
    PROGRESS_DONE,    /* the model file is written; test figures and failures of its weights */
    PROGRESS_FAIL,    /* the job failed, with the reason */
    PROGRESS_STOPPED, /* asked to stop: the checkpoint is on disk, training can go on from there */
};

struct progress {
    enum progress_type type;
    /* START */
    uint64_t parameters;
    int threads;
    char cpu[16]; /* kernel table in use */
    /* START: goes on from a checkpoint, which was computed with this kernel table: when it is
     * another than `cpu`, the weights' last bits may differ from an uninterrupted run's. */
    bool resumed;
    char resumed_cpu[16]; /* "" unless resumed */
    /* All but DONE and FAIL (batches not STOPPED). START: what is trained next is the batch after
     * this one, 0 at an epoch's beginning; epoch may be one past the last, when only the end is
     * missing. STOPPED: the same, of the checkpoint. */
    int epoch, batch, batches;
    double loss, accuracy; /* of the epoch so far, or whole */
    double batch_loss, lr, samples_per_second;
    double seconds; /* EPOCH: wall time of training it, without validation */
    bool best;
    bool has_val; /* EPOCH, DONE: the evaluation below is there */
    /* EPOCH: on validation or test samples after the epoch. DONE: of the published weights, on the
     * test split (else the validation samples), with failures. Owned. */
    struct cnn_eval val;
    char split[16]; /* what `val` was measured on: "test", "validation" */
    /* DONE */
    int best_epoch;
    bool stopped_early;
    char weights_sha256[65];
    /* FAIL */
    struct err error;
};

void progress_clear(struct progress *progress);
/* Appends one line, '\n' included. */
void progress_write(struct buf *out, const struct progress *progress);
/* Reads one line without its '\n'; strict: a broken message is an error. */
bool progress_parse(const char *line, size_t size, struct progress *progress, struct err *e);

#endif
