/* faults.h - what the library faults.so does to the daemon and its workers (LD_PRELOAD): the calls
 * that change files below the data directory are counted, and some of them fail, or the process is
 * killed there.
 *
 * The file named by STRIDED_FAULTS holds one struct faults, mapped by the test and by every process
 * it looks at: the rule may change while they run, and ordinal numbers go on when a process starts
 * again. tests/kill_sweep.py reads the same layout.
 */
#ifndef STRIDED_TESTS_FAULTS_H
#define STRIDED_TESTS_FAULTS_H

#include <stdatomic.h>
#include <stdint.h>

enum faults_role { FAULTS_DAEMON, FAULTS_WORKER, FAULTS_ROLES };

enum faults_call {
    FAULTS_OPEN, /* that may make a file */
    FAULTS_WRITE,
    FAULTS_SYNC,
    FAULTS_TRUNCATE,
    FAULTS_ALLOCATE,
    FAULTS_RENAME,
    FAULTS_UNLINK,
    FAULTS_MKDIR,
    FAULTS_CALLS
};

enum faults_action {
    FAULTS_COUNT, /* nothing happens */
    FAULTS_FAIL,  /* with `error` */
    FAULTS_KILL,  /* the process, before the call */
    FAULTS_TEAR,  /* of a write the first half is done, then the process is killed */
    FAULTS_CUT,   /* a worker kills its daemon too; else as FAULTS_KILL */
};

struct faults {
    /* The rule: matching calls are those of these roles and these calls (bits) on paths that hold
     * this text. The matching calls number `from` to `until` are acted on; `until` 0: no end. */
    char path[512];
    _Atomic uint32_t roles, calls, from, until, action, error;
    /* What came of it. */
    _Atomic uint32_t matched, acted;
    _Atomic uint32_t acted_role, acted_call; /* of the last one acted on */
    char acted_path[512];
    _Atomic uint32_t counts[FAULTS_ROLES][FAULTS_CALLS]; /* of the matching calls */
};

#endif
