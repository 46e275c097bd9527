/* npy.h - NumPy's .npy files: a header that is a Python dict, then the values as they lie in
 * memory.
 *
 * Read without copying: versions 1.0 to 3.0, little-endian, C order. The values start 64-byte
 * aligned in the file at best; the reader assumes nothing about their alignment in memory.
 * Format: numpy.lib.format's documentation. Everything wrong with a file is ERR_UNPROCESSABLE.
 */
#ifndef STRIDED_NPY_H
#define STRIDED_NPY_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

enum { NPY_RANK_MAX = 5 };

enum npy_dtype {
    NPY_BOOL,
    NPY_U8,
    NPY_I8,
    NPY_U16,
    NPY_I16,
    NPY_U32,
    NPY_I32,
    NPY_U64,
    NPY_I64,
    NPY_F32,
    NPY_F64,
    NPY_DTYPE_COUNT
};

struct npy {
    enum npy_dtype dtype;
    int rank; /* 0: a single value */
    size_t dims[NPY_RANK_MAX];
    size_t count; /* product of dims; 1 for rank 0 */
    const uint8_t *data;
};

bool npy_sniff(const void *bytes, size_t size); /* by its magic */

/* The header, checked against the size of the file: bytes missing or left over are refused with
 * both numbers. Fortran order is refused unless there is at most one axis; big-endian values,
 * float16, complex, strings, objects and structures are refused by name. npy->data borrows. */
bool npy_parse(const void *bytes, size_t size, struct npy *npy, struct err *e);

/* Values [first, first + n) in C order; the caller keeps that within count. Booleans are 0 or 1.
 * Integers past 2^24 and doubles are rounded to floats; a value that is not finite, or
 * too large for a float, is refused with its index in the array. */
bool npy_read_f32(const struct npy *npy, size_t first, size_t n, float *out, struct err *e);
/* The same as bytes: only whole numbers 0..255 are taken, of whatever type. */
bool npy_read_u8(const struct npy *npy, size_t first, size_t n, uint8_t *out, struct err *e);

size_t npy_dtype_bytes(enum npy_dtype dtype);
/* Appends the head (version 1.0, a multiple of 64 bytes) of an array in C order; the values follow
 * as they lie in memory on a little-endian machine. A shape has at most NPY_RANK_MAX axes. */
void npy_write_head(struct buf *out, enum npy_dtype dtype, int rank, const size_t *dims);

#endif
