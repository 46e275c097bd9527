/* api_reports.h - what the reports of jobs share. */
#ifndef STRIDED_API_REPORTS_H
#define STRIDED_API_REPORTS_H

#include "api.h"

/* The job named by the path, which must exist; store_job_clear it, also on failure. */
bool api_report_job(struct app *app, const struct http_request *request, struct store_job *row,
                    struct err *e);

/* The classes of a job's dataset, kept with the job. */
struct api_labels {
    char **texts;
    int count;
};
bool api_labels_read(struct store *store, int64_t id, struct api_labels *labels, struct err *e);
void api_labels_clear(struct api_labels *labels);
/* ?actual= and the like: a class by its label, or else by its index; -1 when not asked for. */
bool api_labels_query(const struct http_request *request, const char *name,
                      const struct api_labels *labels, int *class, struct err *e);

#endif
