/* api_models.h - what the handlers of models share. */
#ifndef STRIDED_API_MODELS_H
#define STRIDED_API_MODELS_H

#include "api.h"
#include "json_write.h"

/* The version that the path names, else ?model= and ?version=: *name NULL and *version 0 are the
 * default and the active one. */
bool api_which_model(const struct http_request *request, const char **name, int *version,
                     struct err *e);
/* That version, for model_release. Waits until it is loaded: for slow routes. */
struct model *api_model_acquire(struct app *app, const struct http_request *request, struct err *e);

/* "key":[1,28,28] */
void api_write_shape(struct json_writer *w, const char *key, const struct cnn_shape *shape);

#endif
