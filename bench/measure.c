#include "measure.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "memory.h"
#include "rng.h"

enum { ROUNDS_MAX = 5, PATTERN = 65521 };

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double measure_budget_s(void)
{
    const char *text = getenv("BENCH_SECONDS");
    double seconds = text ? atof(text) : 0;
    return seconds > 0 ? seconds : 0.2;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds a call of `calls` calls. */
static double time_calls(void (*call)(void *), void *context, long calls)
{
    double start = now_s();
    for (long i = 0; i < calls; i++)
        call(context);
    return (now_s() - start) / (double)calls;
}

double measure_call_s(void (*call)(void *), void *context)
{
    double budget = measure_budget_s(), round[ROUNDS_MAX];
    call(context);
    double once = time_calls(call, context, 1);
    /* The first calls are slow (caches, clock, thread start): a fifth of the budget warms up. */
    long warm = (long)(budget / ROUNDS_MAX / once);
    if (warm > 1)
        once = time_calls(call, context, warm);
    int rounds = budget / once < ROUNDS_MAX ? 1 + (int)(budget / once) : ROUNDS_MAX;
    long calls = (long)(budget / rounds / once) + 1;
    for (int i = 0; i < rounds; i++)
        round[i] = time_calls(call, context, calls);
    qsort(round, (size_t)rounds, sizeof round[0], compare_doubles);
    return round[rounds / 2];
}

bool request_wants(const struct request *request, const char *name, int threads)
{
    return (strcmp(request->name, "all") == 0 || strcmp(request->name, name) == 0) &&
           (request->threads == 0 || request->threads == threads);
}

static bool serve_line(const char *line, bool (*answer)(const struct request *))
{
    struct request request = {.name = "all"};
    return sscanf(line, "%31s %63s %d", request.kind, request.name, &request.threads) >= 1 &&
           answer(&request);
}

int requests_serve(int argc, char **argv, const char *usage,
                   bool (*answer)(const struct request *request))
{
    char line[256] = "";
    if (argc == 2 && strcmp(argv[1], "-") == 0) {
        while (fgets(line, sizeof line, stdin)) {
            if (!serve_line(line, answer))
                fprintf(stderr, "cannot answer: %s", line);
            puts("");
            fflush(stdout);
        }
        return EXIT_SUCCESS;
    }
    for (int i = 1; i < argc; i++) {
        size_t used = strlen(line);
        snprintf(line + used, sizeof line - used, "%s ", argv[i]);
    }
    if (serve_line(line, answer))
        return EXIT_SUCCESS;
    fprintf(stderr, "%s", usage);
    return EXIT_FAILURE;
}

void measure_print(const char *engine, int threads, const char *kind, const char *name,
                   const char *metric, double value)
{
    printf("%s,%d,%s,%s,%s,%.6g\n", engine, threads, kind, name, metric, value);
    fflush(stdout);
}

float *random_floats(size_t count)
{
    struct err e = {0};
    struct cnn_rng rng;
    float *block = memory_new(count, sizeof *block, &e);
    if (!block) {
        fprintf(stderr, "%s\n", e.detail);
        exit(EXIT_FAILURE);
    }
    cnn_rng_init(&rng, 1, count);
    for (size_t i = 0; i < count; i++)
        block[i] = i < PATTERN ? cnn_rng_uniform(&rng, -1, 1) : block[i - PATTERN];
    return block;
}

size_t process_bytes(const char *key)
{
    char line[256];
    size_t kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (strncmp(line, key, strlen(key)) == 0)
            sscanf(line + strlen(key), ": %zu", &kib);
    if (status)
        fclose(status);
    return kib * 1024;
}

void process_peak_reset(void)
{
    FILE *refs = fopen("/proc/self/clear_refs", "w");
    if (!refs)
        return;
    fputs("5", refs);
    fclose(refs);
}
