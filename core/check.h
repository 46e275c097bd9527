/* check.h - CHECK(): assertions on our own logic that stay on in every build.
 *
 * For module boundaries and invariants, never for input: a CHECK that fires is a bug in strided.
 */
#ifndef STRIDED_CHECK_H
#define STRIDED_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                      \
        }                                                                                 \
    } while (0)

#endif
