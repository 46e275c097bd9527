/* Any bytes as an .npy file: whatever is taken can be read as a whole, and written again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "npy.h"

static void read_values(const struct npy *npy)
{
    struct err e;
    float *floats = malloc((npy->count + 1) * sizeof *floats);
    uint8_t *bytes = malloc(npy->count + 1);
    CHECK(floats && bytes);
    bool small = npy_read_u8(npy, 0, npy->count, bytes, &e);
    bool finite = npy_read_f32(npy, 0, npy->count, floats, &e);
    CHECK(finite || !small);
    for (size_t i = 0; small && i < npy->count; i++)
        CHECK(floats[i] == bytes[i]);
    free(floats);
    free(bytes);
}

static void write_again(const struct npy *npy)
{
    struct buf out = {0};
    struct err e;
    struct npy again;
    npy_write_head(&out, npy->dtype, npy->rank, npy->dims);
    buf_add(&out, npy->data, npy->count * npy_dtype_bytes(npy->dtype));
    CHECK(npy_parse(out.data, out.size, &again, &e));
    CHECK(again.dtype == npy->dtype && again.rank == npy->rank && again.count == npy->count);
    CHECK(memcmp(again.dims, npy->dims, sizeof again.dims) == 0);
    buf_clear(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct err e;
    struct npy npy;
    if (npy_parse(bytes, size, &npy, &e)) {
        read_values(&npy);
        write_again(&npy);
    } else {
        CHECK(e.code == ERR_UNPROCESSABLE);
    }
    return 0;
}
