/* job_space.h - the room for the files of a job while its worker writes them (space.h): the model,
 * a checkpoint, and the next one beside it. Claimed before the worker starts, because nobody could
 * refuse it later; when it has ended, what it left counts as files do.
 */
#ifndef STRIDED_JOB_SPACE_H
#define STRIDED_JOB_SPACE_H

#include <stddef.h>

#include "space.h"

/* Whether a job on a net of so many floats, running statistics included, finds room now. */
bool job_space_check(size_t floats, struct err *e);
bool job_space_claim(struct space_claim *claim, int64_t job, size_t floats, struct err *e);
/* After the worker's end; `model` is where it wrote that. Removes the half of a checkpoint that a
 * killed one leaves. A claim that holds nothing is fine. */
void job_space_settle(struct space_claim *claim, int64_t job, const char *model);

#endif
