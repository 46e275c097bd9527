/* faults_client.h - a daemon some of whose calls fail (faults.h), for tests of what it makes of
 * that. The rule may change while it runs. */
#ifndef STRIDED_TESTS_FAULTS_CLIENT_H
#define STRIDED_TESTS_FAULTS_CLIENT_H

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/mman.h>

#include "faults.h"
#include "harness.h"
#include "job_client.h"

static struct faults *faults;

/* What the test program itself does is not looked at: only programs that it starts from now on. */
static inline void faults_prepare(void)
{
    static char library[4200];
    char self[4096] = "", rule[] = "/tmp/strided-faults-XXXXXX";
    ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    snprintf(library, sizeof library, "%s/faults.so", dirname(self));
    int fd = mkstemp(rule);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, sizeof *faults), 0);
    faults = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert(faults != MAP_FAILED);
    char number[64];
    snprintf(number, sizeof number, "/proc/%d/fd/%d", (int)getpid(), fd);
    unlink(rule); /* the descriptor's name is enough, and goes with this process */
    setenv("STRIDED_FAULTS", number, 1);
    setenv("LD_PRELOAD", library, 1);
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1); /* the library stands before its own */
}

/* From now on the matching calls (bits of enum faults_call; on paths that hold `path`) number
 * `from` to `until` fail with `number`; until 0: all from then on. */
static inline void faults_fail(const char *path, uint32_t roles, uint32_t calls, uint32_t from,
                               uint32_t until, int number)
{
    faults->action = FAULTS_COUNT;
    snprintf(faults->path, sizeof faults->path, "%s", path);
    faults->roles = roles;
    faults->calls = calls;
    faults->from = from;
    faults->until = until;
    faults->error = (uint32_t)number;
    faults->matched = faults->acted = 0;
    faults->action = FAULTS_FAIL;
}

static inline void faults_stop(void)
{
    faults->action = FAULTS_COUNT;
}

enum {
    ON_DAEMON = 1 << FAULTS_DAEMON,
    ON_WORKER = 1 << FAULTS_WORKER,
    ANY_CALL = (1 << FAULTS_CALLS) - 1,
};

#endif
