/* augment_json.h - a job's `augment` object <-> struct cnn_augment. */
#ifndef STRIDED_AUGMENT_JSON_H
#define STRIDED_AUGMENT_JSON_H

#include "augment.h"
#include "json_write.h"

struct cJSON;

/* Fields: shift, flip ("none","horizontal","vertical","x","y","both"), rotate90, rotate, rotate_z,
 * scale [from, to], noise, cutout, fill ("zero","edge"). What is absent stays as it is in *augment.
 * Refuses unknown fields; an error's field is the member's name ("rotate", "scale[1]"). */
bool augment_parse(const struct cJSON *json, struct cnn_augment *augment, struct err *e);
/* The whole object, defaults and all. */
void augment_write(struct json_writer *w, const struct cnn_augment *augment);

#endif
