/* harness.h - what every test program shares.
 *
 * A test file holds START_TEST functions and ends with TEST_PROGRAM(name, test, test, ...). Each
 * test runs in a forked process of its own, so OpenMP is first used inside the child.
 */
#ifndef STRIDED_TESTS_HARNESS_H
#define STRIDED_TESTS_HARNESS_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>

/* Runs the tests as one suite; prints check's summary; returns the exit status. A test gets
 * timeout_s seconds (10 times more under a sanitizer or valgrind: STRIDED_TEST_SLOW is set). */
int harness_run(const char *name, const TTest *const *tests, size_t count, double timeout_s);

#define TEST_PROGRAM(name, ...)                                              \
    int main(void)                                                           \
    {                                                                        \
        const TTest *const tests[] = {__VA_ARGS__};                          \
        return harness_run(name, tests, sizeof tests / sizeof tests[0], 60); \
    }

/* ../shared/data/<file>, or NULL after printing "skipped: no ../shared/data" (the runner counts
 * that line); the test then returns. Static storage. */
const char *harness_shared_data(const char *file);

/* Fails the test unless |a - b| <= tolerance * max(1, |b|) for all n. */
void harness_close(const float *a, const float *b, size_t n, double tolerance, const char *what);

/* A fresh folder for this test, below $TMPDIR or /tmp; removed by harness_rmdir. */
char *harness_tmpdir(char *path, size_t size);
void harness_rmdir(const char *path);

#endif
