/* child.h - a worker process as the daemon sees it: started, listened to, ended.
 *
 * Belongs to one thread. The thread that starts a child must outlive it: the child asks to be
 * killed when its parent thread ends.
 */
#ifndef STRIDED_CHILD_H
#define STRIDED_CHILD_H

#include <sys/types.h>

#include "buf.h"
#include "err.h"

enum {
    CHILD_LINE_BYTES_MAX = 64 << 20, /* a matrix of 1024 classes and 1000 failures with scores */
    CHILD_STDERR_BYTES = 4096,       /* kept of the end of what it writes there */
    CHILD_REASON_BYTES = 512,
};

struct child {
    pid_t pid; /* 0: none */
    /* To poll for reading; -1 when closed. `progress` closes when the process ends: nobody else
     * holds its other end. */
    int progress, errors;
    int acks;        /* our end of the worker's WORKER_ACK_FD */
    struct buf line; /* the part of a line that has come */
    char tail[CHILD_STDERR_BYTES];
    size_t tail_size;
};

/* Starts this program's own file with argv, in a process group of its own, with default signals,
 * `input` on standard input, and no descriptors but 0, 1, 2, WORKER_PROGRESS_FD and
 * WORKER_ACK_FD. */
bool child_start(struct child *child, char *const argv[], const void *input, size_t size,
                 struct err *e);

/* Takes whole lines (without '\n') out of what the progress pipe holds now. Closes it at its end.
 * Fails when a line is too long or on_line fails. */
typedef bool child_line(void *context, const char *line, size_t size, struct err *e);
bool child_read(struct child *child, child_line *on_line, void *context, struct err *e);
/* Takes what it wrote on standard error. */
void child_read_errors(struct child *child);

/* Tells it that one more of its epoch messages is on disk. To be called once for each, in order;
 * the worker writes no checkpoint before. Does nothing when the worker has gone. */
void child_acknowledge(const struct child *child);

/* Sends a signal to its whole process group. */
void child_signal(const struct child *child, int signal);

/* Waits for its end and frees everything. `reason` is empty after exit status 0, else for example
 * "worker was killed by signal 9 (Killed)", "worker exited with status 3: last line of stderr". */
void child_reap(struct child *child, char reason[CHILD_REASON_BYTES]);

#endif
