/* job_check.h - whether a posted training job can work, and what it is in full. */
#ifndef STRIDED_JOB_CHECK_H
#define STRIDED_JOB_CHECK_H

#include "config.h"
#include "job_json.h"
#include "registry.h"

/* Checks the request against its dataset and base model, and fills in what it left open: the
 * dataset's version, the base model's version, the architecture, the threads. The net is built
 * once, so that a bad architecture is refused here. */
bool job_check(const struct config *config, struct store *store, struct registry *registry,
               struct job_request *request, struct err *e);

#endif
