#include "inflate.h"

#include <string.h>
#include <zlib.h>

enum { CHUNK_BYTES = 1 << 16, WINDOW_GZIP = 15 + 16, WINDOW_ZLIB = 15, WINDOW_RAW = -15 };

bool inflate_is_gzip(const void *bytes, size_t size)
{
    return size >= 2 && memcmp(bytes, "\x1f\x8b", 2) == 0;
}

/* RFC 1950: method 8, and the first two bytes are a multiple of 31. */
static bool is_zlib(const unsigned char *p, size_t size)
{
    return size >= 2 && (p[0] & 0x0f) == 8 && (p[0] >> 4) <= 7 && (p[0] * 256 + p[1]) % 31 == 0;
}

struct inflater {
    z_stream z;
    size_t left; /* input bytes not yet given to zlib, or given back by it */
    size_t decoded, decoded_max;
    struct buf *out;
};

/* A chunk of zlib's: *end is set at the end of a member. */
static bool inflate_chunk(struct inflater *in, bool *end, struct err *e)
{
    unsigned char chunk[CHUNK_BYTES];
    uInt fed = in->left > CHUNK_BYTES ? CHUNK_BYTES : (uInt)in->left;
    in->z.avail_in = fed;
    in->z.next_out = chunk;
    in->z.avail_out = sizeof chunk;
    int status = inflate(&in->z, Z_NO_FLUSH);
    size_t produced = sizeof chunk - in->z.avail_out;
    in->left -= fed - in->z.avail_in;

    if (status == Z_MEM_ERROR)
        return err_no_memory(e);
    if (status == Z_BUF_ERROR || (status == Z_OK && in->left == 0 && produced == 0))
        return err_set(e, ERR_INVALID, "compressed body is cut short");
    if (status != Z_OK && status != Z_STREAM_END)
        return err_set(e, ERR_INVALID, "compressed body is broken: %s",
                       in->z.msg ? in->z.msg : "not deflate");
    if (produced > in->decoded_max - in->decoded)
        return err_set(e, ERR_TOO_LARGE, "compressed body decodes to more than %zu bytes",
                       in->decoded_max);
    in->decoded += produced;
    buf_add(in->out, chunk, produced);
    *end = status == Z_STREAM_END;
    return buf_ok(in->out) || err_no_memory(e);
}

static bool inflate_all(struct inflater *in, const unsigned char *bytes, size_t size, struct err *e)
{
    bool gzip = inflate_is_gzip(bytes, size);
    in->left = size;
    do {
        bool end = false;
        in->z.next_in = (unsigned char *)bytes + (size - in->left);
        while (!end)
            if (!inflate_chunk(in, &end, e))
                return false;
        if (in->left > 0 && (!gzip || !inflate_is_gzip(bytes + (size - in->left), in->left)))
            return err_set(e, ERR_INVALID, "%zu bytes follow the end of the compressed body",
                           in->left);
        inflateReset(&in->z);
    } while (in->left > 0);
    return true;
}

bool inflate_bytes(const void *bytes, size_t size, size_t decoded_max, struct buf *out,
                   struct err *e)
{
    struct inflater in = {.decoded_max = decoded_max, .out = out};
    int window = inflate_is_gzip(bytes, size) ? WINDOW_GZIP
                 : is_zlib(bytes, size)       ? WINDOW_ZLIB
                                              : WINDOW_RAW;
    if (inflateInit2(&in.z, window) != Z_OK)
        return err_no_memory(e);
    bool ok = inflate_all(&in, bytes, size, e);
    inflateEnd(&in.z);
    return ok;
}
