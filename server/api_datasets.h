/* api_datasets.h - what the handlers below /datasets share. */
#ifndef STRIDED_API_DATASETS_H
#define STRIDED_API_DATASETS_H

#include "api.h"
#include "datasets.h"

/* The document of a version (0 = the newest) without its last brace, so that members may follow. */
bool api_dataset_document(struct app *app, const char *name, int version, struct buf *out,
                          struct err *e);

/* ?size= ?channels= ?invert= ?grid= ?points= ?aspect= ?axes= ?solid= ?seed= */
bool api_dataset_convert(const struct http_request *request, struct datasets_convert *convert,
                         struct err *e);
/* ?points= ?aspect= ?axes= ?solid= ?seed=; what is absent is left as it is. */
bool api_query_voxelize(const struct http_request *request, struct cnn_voxelize *voxelize,
                        struct err *e);
/* The same, but samples = 0 where nothing is said. */
bool api_dataset_voxelize(const struct http_request *request, struct cnn_voxelize *voxelize,
                          struct err *e);
/* ?scale= ?normalize= */
bool api_dataset_scaling(const struct http_request *request, struct dataset_scaling *scaling,
                         struct err *e);
/* ?input=1,24,24,24; left as it is when absent. */
bool api_dataset_input(const struct http_request *request, struct cnn_shape *shape, struct err *e);

#endif
