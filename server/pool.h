/* pool.h - a bounded queue and the threads that work it off, for requests that take long.
 *
 * Any thread may submit. Tasks start in the order they came.
 */
#ifndef STRIDED_POOL_H
#define STRIDED_POOL_H

#include "err.h"

/* cancelled: the pool ends before the task's turn came; it must only clean up. */
typedef void pool_run(void *context, bool cancelled);

struct pool;
struct pool *pool_new(int threads, int queue_max, struct err *e);
/* False when the queue is full or the pool ends; then `run` is not called. */
bool pool_submit(struct pool *pool, pool_run *run, void *context);
/* Refuses new tasks from now on, cancels waiting ones (on the calling thread), waits for the
 * running ones. */
void pool_stop(struct pool *pool);
/* Stops, then frees: nobody may submit any more. */
void pool_free(struct pool *pool);

#endif
