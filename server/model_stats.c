#include "model_stats.h"

#include <time.h>

static void add(struct stats_sum *sum, int64_t ns)
{
    atomic_fetch_add_explicit(&sum->count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&sum->ns, (uint64_t)ns, memory_order_relaxed);
}

static int64_t unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void model_stats_request(struct model_stats *stats, const struct metrics_prediction *request)
{
    if (!request->ok) {
        add(&stats->fail, request->whole_ns);
        return;
    }
    add(&stats->success, request->whole_ns);
    add(&stats->decode, request->decode_ns);
    add(&stats->queue, request->queue_ns);
    add(&stats->compute, request->compute_ns);
    add(&stats->encode, request->encode_ns);
    atomic_fetch_add_explicit(&stats->samples, (uint64_t)request->samples, memory_order_relaxed);
    atomic_store_explicit(&stats->last_ms, unix_ms(), memory_order_relaxed);
}

void model_stats_batch(struct model_stats *stats, int samples, int64_t ns)
{
    const int size = samples < STATS_BATCH_MAX ? samples : STATS_BATCH_MAX;
    add(&stats->batches[size - 1], ns);
}
