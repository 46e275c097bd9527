/* balance.h - classes of uneven size: weights for the loss, or an order that draws them equally.
 */
#ifndef STRIDED_BALANCE_H
#define STRIDED_BALANCE_H

#include "dataset.h"
#include "rng.h"

/* For each class: samples / (classes that occur * samples of the class), as scikit-learn's
 * "balanced"; 1 for one that does not occur. Counts samples positions[0..count). */
void cnn_balance_weights(const struct cnn_samples *samples, const uint32_t *positions,
                         uint32_t count, float *weights);

struct cnn_balance;

/* Of samples positions[0..count), which it does not keep. One caller. NULL when out of memory. */
struct cnn_balance *cnn_balance_new(const struct cnn_samples *samples, const uint32_t *positions,
                                    uint32_t count, struct err *e);
void cnn_balance_free(struct cnn_balance *balance);
/* An epoch of `count` draws into order: every class that occurs equally often, and every sample of
 * a class equally often, each to within one draw. Depends on *rng and the
 * samples alone, on no draw before. */
void cnn_balance_draw(struct cnn_balance *balance, struct cnn_rng *rng, uint32_t *order);

#endif
