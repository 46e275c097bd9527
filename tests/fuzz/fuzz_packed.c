/* Any bytes as IDX, and as a compressed body that holds IDX. */
#include <string.h>

#include "check.h"
#include "idx.h"
#include "inflate.h"

enum { DECODED_MAX = 1 << 20 };

static void read_idx(const uint8_t *bytes, size_t size)
{
    struct err e;
    struct idx idx;
    if (!idx_parse(bytes, size, &idx, &e)) {
        CHECK(e.code == ERR_UNPROCESSABLE && e.detail[0] != '\0');
        return;
    }
    size_t count = 1;
    for (int i = 0; i < idx.rank; i++)
        count *= idx.dims[i];
    CHECK(idx.rank >= 1 && idx.rank <= 4 && count == idx.count);
    CHECK(idx.data + idx.count == bytes + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct buf out = {0};
    struct err e;
    read_idx(bytes, size);
    if (inflate_bytes(bytes, size, DECODED_MAX, &out, &e))
        read_idx((const uint8_t *)out.data, out.size);
    else
        CHECK(e.code == ERR_INVALID || e.code == ERR_TOO_LARGE);
    CHECK(out.size <= DECODED_MAX);
    buf_clear(&out);
    return 0;
}
