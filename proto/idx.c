#include "idx.h"

#include "memory.h"

static uint32_t read_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

bool idx_parse(const void *bytes, size_t size, struct idx *idx, struct err *e)
{
    const uint8_t *p = bytes;
    if (size < 4)
        return err_set(e, ERR_UNPROCESSABLE, "idx file of %zu bytes, its magic alone needs 4",
                       size);
    if (p[0] != 0 || p[1] != 0)
        return err_set(e, ERR_UNPROCESSABLE, "not an idx file: it begins with %02x %02x", p[0],
                       p[1]);
    if (p[2] != 0x08)
        return err_set(e, ERR_UNPROCESSABLE,
                       "idx value type 0x%02x, only unsigned bytes (0x08) are read", p[2]);
    int rank = p[3];
    if (rank < 1 || rank > 4)
        return err_set(e, ERR_UNPROCESSABLE, "idx rank %d, expected 1 to 4", rank);

    size_t header = 4 + 4 * (size_t)rank;
    if (size < header)
        return err_set(e, ERR_UNPROCESSABLE, "idx file of %zu bytes, its header needs %zu", size,
                       header);
    struct idx parsed = {.rank = rank, .data = p + header, .count = 1};
    for (int i = 0; i < rank; i++) {
        parsed.dims[i] = read_be32(p + 4 + 4 * i);
        if (!memory_mul(parsed.count, parsed.dims[i], &parsed.count))
            return err_set(e, ERR_UNPROCESSABLE, "idx header announces more than 2^64 values");
    }
    if (parsed.count != size - header)
        return err_set(e, ERR_UNPROCESSABLE, "idx file holds %zu values, its header says %zu",
                       size - header, parsed.count);
    *idx = parsed;
    return true;
}
