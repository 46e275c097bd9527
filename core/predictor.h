/* predictor.h - a net prepared once for being asked often.
 *
 * Layers are fused (plan.h); batch-norm, dropout and flatten are gone into the weights or
 * altogether; dense weights lie as the matrix product reads them. Its answers are the net's to
 * rounding (workspace.h runs the net plainly). Read-only: any number of threads share it, each with
 * a lane of its own, which is all that one thread writes. Running allocates nothing and, with one
 * lane, neither forks nor waits. An answer does not depend on what else is in the batch, nor on how
 * many lanes share it.
 */
#ifndef STRIDED_PREDICTOR_H
#define STRIDED_PREDICTOR_H

#include "net.h"

struct cnn_predictor;
struct cnn_lane;

/* Borrows net, whose weights it does not copy where they stay as they are: net must outlive it and
 * not change. NULL when out of memory. */
struct cnn_predictor *cnn_predictor_new(const struct cnn_net *net, struct err *e);
void cnn_predictor_free(struct cnn_predictor *predictor); /* NULL is fine */
size_t cnn_predictor_bytes(const struct cnn_predictor *predictor);

/* Borrows the predictor, which must outlive it. */
struct cnn_lane *cnn_lane_new(const struct cnn_predictor *predictor, struct err *e);
void cnn_lane_free(struct cnn_lane *lane); /* NULL is fine */
size_t cnn_lane_bytes(const struct cnn_lane *lane);

/* Samples that a lane takes at a time, up to CNN_LANE_SAMPLES_MAX; by the net alone. */
enum { CNN_LANE_SAMPLES_MAX = 32 };
int cnn_predictor_samples(const struct cnn_predictor *predictor);
/* Where a caller may put up to so many samples, channels-last: [n, D, H, W, C]. */
float *cnn_lane_input(struct cnn_lane *lane);
/* The net's output for the first n of them, [n, units], valid until the lane's next run. */
const float *cnn_lane_run(struct cnn_lane *lane, int n);

/* Any number of canonical samples x[n, C, D, H, W]; out[n, units]. Shared by the lanes of one
 * predictor, a thread each. */
void cnn_predict(struct cnn_lane *const *lanes, int lane_count, const float *x, int n, float *out);
/* How many lanes are worth it for n samples, up to `most`: 1 for little work. */
int cnn_predictor_lanes(const struct cnn_predictor *predictor, int n, int most);

#endif
