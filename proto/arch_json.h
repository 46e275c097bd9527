/* arch_json.h - architectures as JSON <-> cnn_spec.
 *
 * {"input":[1,28,28],"layers":[{"type":"conv2d","filters":32,"kernel":3,"padding":"same"},...]}
 * or a preset's name as a string. Layer types: conv1d|2d|3d, max_pool1d|2d|3d, avg_pool1d|2d|3d,
 * global_avg_pool, dense, flatten, relu, leaky_relu, tanh, sigmoid, softmax, log_softmax, dropout,
 * batch_norm, add, concat. kernel/size, stride, dilation, padding: a number or one per axis;
 * padding also "valid", "same", "full", or twice the axes: all befores, then all afters. A list is
 * in the order of the shape: [h,w], [d,h,w]. `name` and `inputs` (earlier layers by name or 0-based
 * position, or "input") make a DAG; a name holds no "/" and no control character. Unknown types and
 * fields are refused by name.
 *
 *   conv*      filters, kernel, stride 1, padding 0, dilation 1, groups 1, bias true
 *   *_pool*    size (or kernel), stride = size, padding 0; avg_pool: count_include_pad false
 *   dense      units, bias true             leaky_relu  slope 0.01
 *   dropout    rate (or p) 0.5              batch_norm  epsilon 1e-5, momentum 0.1
 */
#ifndef STRIDED_ARCH_JSON_H
#define STRIDED_ARCH_JSON_H

#include "json_write.h"
#include "spec.h"

struct cJSON;

/* `json` is a string (preset) or an object. `input` and `classes` come from the dataset, or are
 * NULL and 0: then an object must carry "input" and a preset takes its usual ones. When both are
 * known an object's "input" must agree. The spec is not yet checked: cnn_net_new does that. Error
 * fields are relative: "layers[2].kernel". */
bool arch_parse(const struct cJSON *json, const struct cnn_shape *input, int classes,
                struct cnn_spec *spec, struct err *e);
/* The same from text. */
bool arch_parse_text(const char *text, size_t size, const struct cnn_shape *input, int classes,
                     struct cnn_spec *spec, struct err *e);
/* A list of sizes, channels first: [1,28,28]. */
bool arch_shape_parse(const struct cJSON *json, struct cnn_shape *shape, struct err *e);
/* A layer's type as it is written, "conv2d"; static or in out. */
enum { ARCH_TYPE_BYTES = 32 };
const char *arch_type_text(const struct cnn_layer_spec *layer, char out[ARCH_TYPE_BYTES]);
/* Writes the object form, every option spelled out; arch_parse reads it back to the same spec. */
void arch_write(struct json_writer *w, const struct cnn_spec *spec);

#endif
