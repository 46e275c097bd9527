/* bootstrap.h - the first start: something to predict with, before anyone has loaded anything. */
#ifndef STRIDED_BOOTSTRAP_H
#define STRIDED_BOOTSTRAP_H

#include "app.h"

/* With an empty catalogue (or what an earlier start that was cut short left) and the setting on:
 * makes the dataset "shapes" and posts a job that trains a small model "shapes" on it, in a second
 * or so; waits for neither job nor model. Else does nothing. */
bool bootstrap_run(struct app *app, struct err *e);

#endif
