/* job_post.h - a posted job: checked, completed, stored, and with an Idempotency-Key only once. */
#ifndef STRIDED_JOB_POST_H
#define STRIDED_JOB_POST_H

#include "config.h"
#include "job_json.h"
#include "registry.h"

/* The contract of jobs_post, but for waking the scheduler. Fills in what the request left open. */
bool job_post(const struct config *config, struct store *store, struct registry *registry,
              struct job_request *request, const char *idempotency_key, int64_t *id, bool *replayed,
              struct err *e);

#endif
