/* predict_quick.c - which bodies cost little to decode, told by their first bytes. */
#include <string.h>
#include <strings.h>

#include "predict_body.h"

enum {
    QUICK_BYTES = 64 << 10, /* of numbers in JSON: about 100 us */
    QUICK_RAW_BYTES = 256 << 10,
    QUICK_PIXELS = 1 << 14, /* of a picture */
    KEY_BYTES = 64,         /* "inputs" stands among the first of a document */
};

/* {"inputs": [[1, 2, ...: what stands first is looked at, since "inputs" may be pictures or meshes.
 */
static bool is_numbers(const char *bytes, size_t size)
{
    static const char key[] = "\"inputs\"";
    const char *end = bytes + size, *at = memmem(bytes, size, key, sizeof key - 1);
    if (!at)
        return false;
    for (at += sizeof key - 1; at < end && memchr(": \t\r\n[", *at, 7); at++)
        ;
    return at < end && (*at == '-' || (*at >= '0' && *at <= '9'));
}

bool predict_body_is_quick(const struct predict_body *body)
{
    const char *bytes = body->bytes;
    struct image image;
    if (image_sniff(bytes, body->size))
        return body->size <= QUICK_BYTES && image_peek(bytes, body->size, &image) &&
               (size_t)image.width * (size_t)image.height <= QUICK_PIXELS;
    if (is_numbers(bytes, body->size < KEY_BYTES ? body->size : KEY_BYTES))
        return body->size <= QUICK_BYTES;
    const bool mesh = body->size >= 3 && memcmp(bytes, "OFF", 3) == 0;
    return !mesh && body->size <= QUICK_RAW_BYTES && body->content_type &&
           strncasecmp(body->content_type, "application/octet-stream", 24) == 0;
}
