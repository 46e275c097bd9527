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

/* What a request says itself, to be noted before job_check fills in the rest. */
struct job_given {
    bool version, architecture, threads;
    char init_from[sizeof((struct job_request *)0)->init_from];
};
struct job_given job_given_of(const struct job_request *request);
/* Whether a checked request asks for the same job as the stored one (JSON), what was left open
 * taken from there. May change `request` to it. */
bool job_same(struct job_request *request, const struct job_given *given, const char *stored,
              bool *same, struct err *e);

/* The request as JSON text, to be freed; NULL out of memory. */
char *job_request_text(const struct job_request *request, struct err *e);

#endif
