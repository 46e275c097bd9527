/* idx.h - the IDX files of MNIST and its kin: magic 0 0 type rank, big-endian sizes, values. */
#ifndef STRIDED_IDX_H
#define STRIDED_IDX_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct idx {
    int rank; /* 1..4; values are unsigned bytes (type 0x08), the only type read */
    uint32_t dims[4];
    const uint8_t *data; /* borrowed from the input */
    size_t count;
};

/* A file shorter or longer than its header says, another type, or a rank past 4 is refused with
 * both numbers in the text. */
bool idx_parse(const void *bytes, size_t size, struct idx *idx, struct err *e);

#endif
