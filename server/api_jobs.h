/* api_jobs.h - what the handlers of jobs share. */
#ifndef STRIDED_API_JOBS_H
#define STRIDED_API_JOBS_H

#include "app.h"
#include "http.h"

/* The job as GET /jobs/ID shows it. */
bool api_job_respond(struct app *app, int64_t id, struct http_response *response, struct err *e);
/* The same once it has ended, or has an event past ?last_event_id, or ?wait seconds have passed. */
bool api_job_wait(struct app *app, int64_t id, const struct http_request *request,
                  struct http_response *response, struct err *e);

#endif
