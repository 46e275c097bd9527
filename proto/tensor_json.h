/* tensor_json.h - an array of numbers in JSON, read in one pass straight into floats.
 *
 * It never becomes a tree. Nesting must be regular: a ragged array is refused with the index where
 * it happens ("ragged array at inputs[3][2]: 27 numbers, expected 28"). tensor_lift.h takes such
 * arrays out of documents.
 */
#ifndef STRIDED_TENSOR_JSON_H
#define STRIDED_TENSOR_JSON_H

#include <stddef.h>

#include "err.h"

enum { TENSOR_RANK_MAX = 6 };

struct tensor {
    int rank; /* of the nesting */
    size_t dims[TENSOR_RANK_MAX];
    size_t count;
    float *data; /* [count], owned; tensor_clear frees */
};
void tensor_clear(struct tensor *tensor);

/* Reads the array that begins at the '[' at text[*at]; *at is then the byte after it. At most
 * count_max numbers, correctly rounded; one that overflows a float is refused. `name` begins each
 * path in an error. On failure *tensor is empty. */
bool tensor_json_read(const char *text, size_t size, size_t *at, const char *name, size_t count_max,
                      struct tensor *tensor, struct err *e);

#endif
