/* model_stats.h - what one loaded version has been asked, counted since it was loaded.
 *
 * Every counter is written by any thread, without a lock; a reader sees each as of some moment.
 * Times are nanoseconds, summed.
 */
#ifndef STRIDED_MODEL_STATS_H
#define STRIDED_MODEL_STATS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "metrics.h"

enum { STATS_BATCH_MAX = 64 }; /* batches of more samples count as of so many */

struct stats_sum {
    atomic_uint_least64_t count, ns;
};

struct model_stats {
    /* Requests. */
    struct stats_sum success, fail;                  /* whole, from their last byte on */
    struct stats_sum decode, queue, compute, encode; /* of those that succeeded */
    atomic_uint_least64_t samples;                   /* of them */
    atomic_int_least64_t last_ms;                    /* Unix time of the last success; 0: none */
    /* Computations, each of samples of one request or several: [size - 1]. */
    struct stats_sum batches[STATS_BATCH_MAX];
};

void model_stats_request(struct model_stats *stats, const struct metrics_prediction *request);
void model_stats_batch(struct model_stats *stats, int samples, int64_t ns);

#endif
