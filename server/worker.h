/* worker.h - the training process: what the daemon and `strided worker` agree on.
 *
 * The daemon starts `strided worker --parent PID --data-dir PATH --model-file PATH --job ID
 * --checkpoint PATH --checkpoint-s N --memory-mib N [--dataset-sha256 HEX] [--base-sha256 HEX]` in
 * a process group of its own. The worker reads the job's request (job_json.h; version, architecture
 * and threads filled in) on standard input up to its end, trains, and writes one progress message a
 * line (progress.h) to descriptor 3: START, then BATCH and EPOCH as they come, then DONE with
 * status 0, or FAIL with status 1. Before DONE the model file is complete and on disk.
 *
 * If the checkpoint (checkpoint.h) exists, training goes on from there. It is written when an epoch
 * ends, unless the last one is less than a quarter of a second old; every --checkpoint-s seconds
 * within an epoch, 0 being after every batch; and when SIGTERM asks the worker to stop: it ends
 * with STOPPED and status 0, or, when it had just finished, with DONE. The daemon writes one byte
 * to descriptor 4 for each EPOCH that it has stored, and until it has them all the worker writes no
 * checkpoint: that is never ahead of the daemon. It is written as tmp/job-ID.safetensors first. A
 * job that fails keeps its last checkpoint; removing it is for the daemon.
 *
 * --memory-mib is what the job may allocate besides the program itself and its threads' stacks; 0:
 * no limit. Mapped datasets do not count. The sums are what the files of the dataset and of the
 * model that it starts from must have.
 */
#ifndef STRIDED_WORKER_H
#define STRIDED_WORKER_H

#include <stdbool.h>

enum {
    WORKER_PROGRESS_FD = 3,
    WORKER_ACK_FD = 4,
    WORKER_POINTS = 50, /* of an epoch's loss curve; up to twice as many when it does not divide */
    WORKER_POINTS_MAX = 2 * WORKER_POINTS + 1,
};

/* Whether this batch (1-based) of an epoch is a point of the stored loss curve. Depends on the
 * counts alone, so that equal jobs have equal curves. */
static inline bool worker_is_point(int batch, int batches)
{
    int stride = batches / WORKER_POINTS > 1 ? batches / WORKER_POINTS : 1;
    return batch % stride == 0 || batch == batches;
}

/* Runs to the end of the job; argv[0] is "worker". Returns the exit status: 0 trained or stopped, 1
 * failed with a FAIL message, 2 could not even say so. */
int worker_main(int argc, char **argv);

#endif
