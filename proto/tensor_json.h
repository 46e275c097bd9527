/* tensor_json.h - number arrays in JSON, read in one pass straight into floats.
 *
 * Lifts the value of one top-level member ("inputs") out of an object when it is an array of
 * numbers, nested or flat, and gives back the rest of the document with null in its place. The
 * array never becomes a tree. Nesting must be regular: a ragged array is refused with the index
 * where it happens ("ragged array at inputs[3][2]: 27 numbers, expected 28").
 */
#ifndef STRIDED_TENSOR_JSON_H
#define STRIDED_TENSOR_JSON_H

#include "buf.h"
#include "err.h"

enum { TENSOR_RANK_MAX = 6 };

struct tensor {
    int rank; /* of the nesting */
    size_t dims[TENSOR_RANK_MAX];
    size_t count;
    float *data; /* [count], owned; tensor_clear frees */
};
void tensor_clear(struct tensor *tensor);

/* Scans `text` (the whole body). When the member `key` is present and an array, *tensor holds its
 * numbers and *rest the document with null instead; else tensor->data is NULL and *rest the whole
 * document. At most count_max numbers. Numbers are correctly rounded; one that overflows a float
 * is refused. The rest is not checked here: give it to json_parse. */
bool tensor_json_lift(const char *text, size_t size, const char *key, size_t count_max,
                      struct tensor *tensor, struct buf *rest, struct err *e);

/* Reads the one array that begins at text's '[', named `name` in errors; *used is its length in
 * bytes. On failure *tensor is empty. */
bool tensor_json_read(const char *text, size_t size, const char *name, size_t count_max,
                      struct tensor *tensor, size_t *used, struct err *e);

#endif
