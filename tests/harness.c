#include "harness.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int harness_run(const char *name, const TTest *const *tests, size_t count, double timeout_s)
{
    Suite *suite = suite_create(name);
    for (size_t i = 0; i < count; i++) {
        TCase *tcase = tcase_create(tests[i]->name);
        tcase_set_timeout(tcase, getenv("STRIDED_TEST_SLOW") ? timeout_s * 10 : timeout_s);
        tcase_add_test(tcase, tests[i]);
        suite_add_tcase(suite, tcase);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

const char *harness_shared_data(const char *file)
{
    static char path[512];
    snprintf(path, sizeof path, "../shared/data/%s", file);
    if (access(path, R_OK) == 0)
        return path;
    printf("skipped: no ../shared/data\n");
    fflush(stdout);
    return NULL;
}

void harness_close(const float *a, const float *b, size_t n, double tolerance, const char *what)
{
    for (size_t i = 0; i < n; i++) {
        double bound = tolerance * fmax(1, fabs((double)b[i]));
        double difference = fabs((double)a[i] - (double)b[i]);
        if (!(difference <= bound)) /* not ck_assert: passing ones cost a message each */
            ck_abort_msg("%s[%zu] is %.9g, expected %.9g", what, i, (double)a[i], (double)b[i]);
    }
}

char *harness_tmpdir(char *path, size_t size)
{
    const char *base = getenv("TMPDIR");
    snprintf(path, size, "%s/strided-test-XXXXXX", base ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(path));
    return path;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void harness_rmdir(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
