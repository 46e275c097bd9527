/* safetensors.h - the published safetensors format: an 8-byte little-endian header size, a JSON
 * header naming each tensor's dtype, shape and byte range, then the data. Datasets are kept in it,
 * so that a mapped file is the samples. */
#ifndef STRIDED_SAFETENSORS_H
#define STRIDED_SAFETENSORS_H

#include <stdint.h>

#include "buf.h"
#include "err.h"

enum { SAFETENSORS_TENSORS_MAX = 256, SAFETENSORS_RANK_MAX = 6 };

struct safetensors_tensor {
    char name[64];
    char dtype[8]; /* "U8", "U16", "F32", ... */
    int rank;
    uint64_t dims[SAFETENSORS_RANK_MAX];
    uint64_t begin, end; /* bytes, relative to the data's start */
};

struct safetensors {
    int count;
    struct safetensors_tensor *tensors; /* owned */
    char *metadata;                     /* owned JSON object text of "__metadata__", or NULL */
    const uint8_t *data;                /* borrowed: start of the data in the given bytes */
};

/* Lays the tensors out one after the other in the given order (the format allows no holes, so give
 * the widest dtype first), sets begin and end, and appends the size and the header, padded so that
 * the data starts on 64 bytes; the caller writes the tensors' bytes after it, in order. metadata
 * (may be NULL) is one key of "__metadata__" with a text value. */
bool safetensors_header(struct safetensors_tensor *tensors, int count, const char *metadata_key,
                        const char *metadata_value, struct buf *out, struct err *e);
/* Checks everything against size: overlaps, holes, dtype size times shape, ranges. */
bool safetensors_parse(const void *bytes, size_t size, struct safetensors *st, struct err *e);
const struct safetensors_tensor *safetensors_find(const struct safetensors *st, const char *name);
void safetensors_clear(struct safetensors *st);

#endif
