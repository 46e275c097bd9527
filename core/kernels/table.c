/* table.c - which instruction sets this CPU and its operating system run, best last. */
#include "kernels.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#define KERNEL_TABLES(X) X(baseline) X(avx2) X(avx512)
#elif defined(__aarch64__)
#define KERNEL_TABLES(X) X(neon)
#else
#define KERNEL_TABLES(X) X(baseline)
#endif

#define DECLARE_TABLE(isa) extern const struct cnn_kernels cnn_kernels_##isa;
KERNEL_TABLES(DECLARE_TABLE)

/* Each table, slowest first, and whether the CPU has every instruction its Makefile flags allow.
 * __builtin_cpu_supports also asks XGETBV whether the system saves the wide registers. */
#if defined(__x86_64__)
static bool runs_baseline(void)
{
    return true;
}

static bool runs_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool runs_avx512(void)
{
    return runs_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}
#elif defined(__aarch64__)
static bool runs_neon(void)
{
    return true;
}
#else
static bool runs_baseline(void)
{
    return true;
}
#endif

enum { TABLES_MAX = 5 };

/* Written once by tables_find, read-only after. */
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;
static const struct cnn_kernels *tables[TABLES_MAX];
static int table_count;
static const struct cnn_kernels *table_in_use;

static void tables_find(void)
{
    tables[table_count++] = &cnn_kernels_ref;
#define ADD_TABLE(isa) \
    if (runs_##isa())  \
        tables[table_count++] = &cnn_kernels_##isa;
    KERNEL_TABLES(ADD_TABLE)

    table_in_use = tables[table_count - 1];
    const char *forced = getenv("STRIDED_CPU");
    for (int i = 0; forced && i < table_count; i++)
        if (strcmp(tables[i]->name, forced) == 0)
            table_in_use = tables[i];
}

const struct cnn_kernels *cnn_kernels(void)
{
    pthread_once(&tables_once, tables_find);
    return table_in_use;
}

const struct cnn_kernels *cnn_kernels_at(int index)
{
    pthread_once(&tables_once, tables_find);
    return index >= 0 && index < table_count ? tables[index] : NULL;
}
