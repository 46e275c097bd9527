/* evaluator.h - the one thread of the daemon that forks an OpenMP team.
 *
 * libgomp ends the process when it cannot allocate a team. So there is one team, made at the start,
 * kept, and always of one size; evaluations take turns. Any thread may ask.
 */
#ifndef STRIDED_EVALUATOR_H
#define STRIDED_EVALUATOR_H

#include "eval.h"

struct evaluator;
struct evaluator *evaluator_new(int threads, struct err *e);
/* NULL is fine; nobody may ask any more. */
void evaluator_free(struct evaluator *evaluator);

/* cnn_evaluate of all the samples, in turn; waits for its end. ERR_UNAVAILABLE when too many wait.
 */
bool evaluator_run(struct evaluator *evaluator, const struct cnn_net *net,
                   const struct cnn_samples *samples, struct cnn_loss loss, struct cnn_eval *eval,
                   struct err *e);

#endif
