#include "balance.h"

#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "memory.h"

struct group {
    uint32_t first, count; /* of by_class */
};

struct cnn_balance {
    uint32_t count;
    uint32_t *by_class, *pool; /* [count]: positions class after class; shuffled within each */
    struct group *groups;      /* [group_count]: classes that occur */
    uint32_t *turns;           /* [group_count]: in which order they get what is left over */
    uint32_t group_count;
};

static void count_classes(const struct cnn_samples *samples, const uint32_t *positions,
                          uint32_t count, uint32_t *counts)
{
    memset(counts, 0, (size_t)samples->classes * sizeof *counts);
    for (uint32_t i = 0; i < count; i++)
        counts[samples->labels[positions[i]]]++;
}

void cnn_balance_weights(const struct cnn_samples *samples, const uint32_t *positions,
                         uint32_t count, float *weights)
{
    uint32_t counts[CNN_CLASSES_MAX];
    int occurring = 0;
    count_classes(samples, positions, count, counts);
    for (int c = 0; c < samples->classes; c++)
        occurring += counts[c] > 0;
    for (int c = 0; c < samples->classes; c++)
        weights[c] = counts[c] > 0 ? (float)(count / ((double)occurring * counts[c])) : 1;
}

/* Sorts positions by class and notes where each class that occurs begins. */
static void group(struct cnn_balance *balance, const struct cnn_samples *samples,
                  const uint32_t *positions)
{
    uint32_t counts[CNN_CLASSES_MAX], next[CNN_CLASSES_MAX], at = 0;
    count_classes(samples, positions, balance->count, counts);
    for (int c = 0; c < samples->classes; c++) {
        next[c] = at;
        if (counts[c] > 0)
            balance->groups[balance->group_count++] = (struct group){at, counts[c]};
        at += counts[c];
    }
    for (uint32_t i = 0; i < balance->count; i++)
        balance->by_class[next[samples->labels[positions[i]]]++] = positions[i];
}

struct cnn_balance *cnn_balance_new(const struct cnn_samples *samples, const uint32_t *positions,
                                    uint32_t count, struct err *e)
{
    struct cnn_balance *balance = memory_new(1, sizeof *balance, e);
    if (!balance)
        return NULL;
    const size_t classes = (size_t)samples->classes;
    balance->count = count;
    if (!(balance->by_class = memory_new(count, sizeof *balance->by_class, e)) ||
        !(balance->pool = memory_new(count, sizeof *balance->pool, e)) ||
        !(balance->groups = memory_new(classes, sizeof *balance->groups, e)) ||
        !(balance->turns = memory_new(classes, sizeof *balance->turns, e))) {
        cnn_balance_free(balance);
        return NULL;
    }
    group(balance, samples, positions);
    return balance;
}

void cnn_balance_free(struct cnn_balance *balance)
{
    if (!balance)
        return;
    free(balance->by_class);
    free(balance->pool);
    free(balance->groups);
    free(balance->turns);
    free(balance);
}

void cnn_balance_draw(struct cnn_balance *balance, struct cnn_rng *rng, uint32_t *order)
{
    const uint32_t groups = balance->group_count;
    uint32_t drawn = 0;
    memcpy(balance->pool, balance->by_class, balance->count * sizeof *balance->pool);
    for (uint32_t g = 0; g < groups; g++)
        balance->turns[g] = g;
    cnn_rng_shuffle(rng, balance->turns, groups);
    for (uint32_t i = 0; i < groups; i++) {
        const struct group *it = &balance->groups[balance->turns[i]];
        const uint32_t quota = balance->count / groups + (i < balance->count % groups);
        cnn_rng_shuffle(rng, balance->pool + it->first, it->count);
        for (uint32_t k = 0; k < quota; k++)
            order[drawn++] = balance->pool[it->first + k % it->count];
    }
    cnn_rng_shuffle(rng, order, balance->count);
}
