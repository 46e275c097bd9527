/* api_models.h - what the handlers of models share. */
#ifndef STRIDED_API_MODELS_H
#define STRIDED_API_MODELS_H

#include "api.h"
#include "json_write.h"

/* The version that the path names, else ?model= and ?version=, else the default and active ones.
 * Give it back by model_release. ERR_UNAVAILABLE instead of ERR_NOT_FOUND while models are
 * still being loaded. */
struct model *api_model_acquire(struct app *app, const struct http_request *request, struct err *e);

/* "key":[1,28,28] */
void api_write_shape(struct json_writer *w, const char *key, const struct cnn_shape *shape);

#endif
