#include "http_id.h"

#include <stdbool.h>
#include <stdint.h>
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

static uint64_t seed(void)
{
    uint64_t random;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) == (ssize_t)sizeof random)
        return random;
    /* An id need not be secret: before the kernel's generator is seeded the clock will do. */
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* SplitMix64 (Steele, Lea and Flood 2014): a system call a thread instead of one a request. */
static uint64_t next_random(void)
{
    static _Thread_local uint64_t state;
    if (state == 0)
        state = seed();
    uint64_t x = state += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

void http_id_choose(const char *sent, char id[HTTP_ID_BYTES + 1])
{
    if (sent && is_usable(sent)) {
        memcpy(id, sent, strlen(sent) + 1);
        return;
    }
    const uint64_t random = next_random();
    for (int i = 0; i < 16; i++)
        id[i] = "0123456789abcdef"[random >> (60 - 4 * i) & 15];
    id[16] = '\0';
}
