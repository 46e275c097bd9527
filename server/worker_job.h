/* worker_job.h - what a worker process knows of its job, and how its parts speak to the daemon;
 * internal to worker*.c. One thread, besides the trainer's own OpenMP team. */
#ifndef STRIDED_WORKER_JOB_H
#define STRIDED_WORKER_JOB_H

#include <sys/types.h>

#include "checkpoint.h"
#include "datasets.h"
#include "files.h"
#include "progress.h"

struct worker_job {
    /* Arguments. */
    pid_t parent;
    const char *data_dir, *model_file, *id, *checkpoint_file;
    const char *dataset_sha256, *base_sha256; /* NULL or "": not known */
    int checkpoint_s, memory_mib;

    struct job_request request;
    struct dataset dataset;
    bool dataset_open;
    struct cnn_net *net;
    /* Positions in the training split: to train on, then held out for validation. */
    uint32_t *positions, train_count, held_count;

    bool resumed; /* there is a checkpoint: `from`, whose blocks lie in `from_file` */
    struct file_map from_file;
    struct checkpoint from;
};

/* Reads the job's checkpoint, if there is one, into resumed and from. Fails, naming the file, when
 * it is damaged or not of this job. */
bool worker_checkpoint_open(struct worker_job *job, struct err *e);
/* Gives the file back once its blocks have been copied. */
void worker_checkpoint_close(struct worker_job *job);
/* Writes it over its older self, on disk when this returns; after a failure that one is there. */
bool worker_checkpoint_write(const struct worker_job *job, const struct checkpoint *checkpoint,
                             struct err *e);

/* Trains job->net, from the checkpoint or from the weights it has; says START, BATCH and EPOCH,
 * and keeps checkpoints. ERR_CANCELLED: was asked to stop, and said STOPPED. */
bool worker_train(struct worker_job *job, struct cnn_train_result *result, struct err *e);

bool worker_say(const struct progress *message, struct err *e);
/* SIGTERM has come. */
bool worker_stop_asked(void);

#endif
