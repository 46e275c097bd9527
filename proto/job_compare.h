/* job_compare.h - in which settings the requests of jobs differ. */
#ifndef STRIDED_JOB_COMPARE_H
#define STRIDED_JOB_COMPARE_H

#include "err.h"
#include "json_write.h"

/* texts: [count] documents of job_request_write. Writes an array with one
 * {"name":"optimizer.lr","values":[0.1,0.01]} for each member that is not the same in all, one
 * value a document; null where it is absent. Objects, and lists of objects, are gone into. */
bool job_compare_write(struct json_writer *w, const char *const *texts, int count, struct err *e);

#endif
