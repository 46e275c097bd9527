#include "http_id.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static bool is_usable(const char *id)
{
    static const char allowed[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "._:-";
    size_t size = strlen(id);
    return size >= 1 && size <= HTTP_ID_BYTES && strspn(id, allowed) == size;
}

void http_id_choose(const char *sent, char id[HTTP_ID_BYTES + 1])
{
    if (sent && is_usable(sent)) {
        memcpy(id, sent, strlen(sent) + 1);
        return;
    }
    /* An id need not be secret: before the kernel's generator is seeded the clock will do. */
    uint64_t random;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        random = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    }
    snprintf(id, HTTP_ID_BYTES + 1, "%016llx", (unsigned long long)random);
}
