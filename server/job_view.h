/* job_view.h - a job as clients see it. */
#ifndef STRIDED_JOB_VIEW_H
#define STRIDED_JOB_VIEW_H

#include "jobs.h"
#include "json_write.h"

/* One object. The request is left out when the row has none; live counts if it is this job's, NULL
 * = it does not run; queue_position 0 is null. */
void job_view_write(struct json_writer *w, const struct store_job *row,
                    const struct jobs_live *live, int queue_position);

#endif
