#include "phases.h"

#include "engine.h"
#include "memory.h"

static void append(struct cnn_phases *phases, int first, int end, bool in_parts, int sync)
{
    phases->list[phases->count++] =
        (struct cnn_phase){.first = first, .end = end, .in_parts = in_parts, .sync = sync};
}

/* At most two phases a stage, and one more. */
static void cut(struct cnn_phases *phases)
{
    const struct cnn_plan *plan = phases->plan;
    int first = 0;
    for (int i = 0; i < plan->stage_count; i++) {
        if (cnn_stage_sync_doubles(plan, i) > 0) {
            append(phases, first, i, false, i);
            first = i;
        } else if (cnn_stage_node(plan, i)->op->forward_parts) {
            if (first < i || phases->count == 0)
                append(phases, first, i, false, -1);
            append(phases, i, i + 1, true, -1);
            first = i + 1;
        }
    }
    append(phases, first, plan->stage_count, false, -1);
}

static struct cnn_phases *phases_alloc(const struct cnn_plan *plan, struct err *e)
{
    const size_t most = 2 * (size_t)plan->stage_count + 2;
    struct cnn_phases *phases = memory_new(sizeof *phases + most * sizeof phases->list[0], 1, e);
    if (phases)
        phases->plan = plan;
    return phases;
}

struct cnn_phases *cnn_phases_new(const struct cnn_plan *plan, struct err *e)
{
    struct cnn_phases *phases = phases_alloc(plan, e);
    if (phases)
        cut(phases);
    return phases;
}

struct cnn_phases *cnn_phases_inference(const struct cnn_plan *plan, struct err *e)
{
    struct cnn_phases *phases = phases_alloc(plan, e);
    if (!phases)
        return NULL;
    int dense = 0;
    while (dense < plan->stage_count && !cnn_stage_node(plan, dense)->op->forward_parts)
        dense++;
    append(phases, 0, dense, false, -1);
    for (int i = dense; i < plan->stage_count; i++)
        append(phases, i, i + 1, false, -1);
    append(phases, plan->stage_count, plan->stage_count, false, -1);
    return phases;
}

int cnn_phase_down_sync(const struct cnn_phases *phases, int phase)
{
    return phase > 0 ? phases->list[phase - 1].sync : -1;
}

void cnn_phase_down(const struct cnn_phases *phases, int phase, int *first, int *end)
{
    const struct cnn_phase *it = &phases->list[phase];
    *first = it->first + (cnn_phase_down_sync(phases, phase) >= 0);
    *end = it->end + (it->sync >= 0);
}
