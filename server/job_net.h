/* job_net.h - the net a training job asks for.
 *
 * Used twice with the same result: when a job is posted, so that a request which cannot work is
 * refused at once, and by the worker that trains it. Functions keep no state; any thread.
 */
#ifndef STRIDED_JOB_NET_H
#define STRIDED_JOB_NET_H

#include "datasets.h"
#include "job_json.h"

/* Fills request->architecture when it is absent, by the samples' rank: the first preset of a short
 * list that fits them. */
bool job_net_default(struct job_request *request, const struct dataset *dataset, struct err *e);

/* The architecture as JSON text, to be freed: `net` spelled out. NULL out of memory. */
char *job_net_architecture(const struct cnn_net *net, struct err *e);

/* Builds the request's net (architecture present) and checks that it takes the dataset's samples
 * and gives one output a class. Parameters are zero, or with job_net_plan not there at all. Error
 * fields begin "architecture". */
struct cnn_net *job_net_new(const struct job_request *request, const struct dataset *dataset,
                            struct err *e);
struct cnn_net *job_net_plan(const struct job_request *request, const struct dataset *dataset,
                             struct err *e);

/* Splits request->init_from, "digits:3" or "digits" (version 0). */
bool job_net_base(const struct job_request *request, char name[LIMIT_NAME_BYTES + 1], int *version,
                  struct err *e);
/* Fine-tuning: whether `net` has the tensors of `from`, by layers' names and sizes; else
 * ERR_INVALID with field "init_from" that names the first one that differs. */
bool job_net_agree(const struct cnn_net *net, const struct cnn_net *from, const char *from_name,
                   struct err *e);
/* Copies them, after that check. */
bool job_net_copy(struct cnn_net *net, const struct cnn_net *from, const char *from_name,
                  struct err *e);

#endif
