/* scarce.h - what the library scarce.so does to the daemon (LD_PRELOAD): some allocations fail.
 * The file named by STRIDED_SCARCE holds one struct scarce, mapped by the test and the daemon. */
#ifndef STRIDED_TESTS_SCARCE_H
#define STRIDED_TESTS_SCARCE_H

#include <stdatomic.h>
#include <stdint.h>

struct scarce {
    /* While armed: allocations number `from` to `until` fail, counted from 1. */
    _Atomic uint32_t armed, from, until;
    _Atomic uint32_t seen, failed;
};

#endif
