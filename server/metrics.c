#include "metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "metrics_text.h"
#include "router.h"

enum { METRICS_MODELS_MAX = 256, ROUTES_MAX = 128, BOUNDS_MAX = 24 };

typedef atomic_uint_least64_t counter;

/* Of [bound_count + 1] buckets; sums are of whole units: nanoseconds, samples. */
struct histogram {
    counter buckets[BOUNDS_MAX + 1], sum;
};

/* Seconds: the fastest net takes 10 us, the longest deadline is 30 s. */
static const double time_bounds[] = {1e-5,   2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3,
                                     2.5e-3, 5e-3,   .01,  .025, .05,    .1,   .25,
                                     .5,     1,      2.5,  5,    10,     30};
static const double batch_bounds[] = {1, 2, 4, 8, 16, 32, 64, 256, 1024, 4096};
enum {
    TIME_BOUNDS = sizeof time_bounds / sizeof time_bounds[0],
    BATCH_BOUNDS = sizeof batch_bounds / sizeof batch_bounds[0],
};
_Static_assert((int)TIME_BOUNDS <= (int)BOUNDS_MAX && (int)BATCH_BOUNDS <= (int)BOUNDS_MAX,
               "each has its bucket");

enum part { PART_WHOLE, PART_DECODE, PART_QUEUE, PART_COMPUTE, PART_ENCODE, PART_COUNT };
static const char *const part_names[] = {
    "strided_predict_duration_seconds", "strided_predict_decode_seconds",
    "strided_predict_queue_seconds", "strided_predict_compute_seconds",
    "strided_predict_encode_seconds"};
static const char *const part_help[] = {
    "A request to a model from its last byte to its reply.",
    "Reading a request's samples.",
    "Waiting until computing began.",
    "Computing its scores.",
    "Writing its reply.",
};

struct metrics_model {
    char name[LIMIT_NAME_BYTES + 1];
    counter ok, failed, samples;
    struct histogram parts[PART_COUNT], batches;
};

static const int statuses[] = {200, 201, 202, 204, 400, 401, 403, 404, 405, 408, 409,
                               411, 413, 415, 422, 429, 431, 500, 503, 507, 0};
enum { STATUSES = sizeof statuses / sizeof statuses[0] };

/* The last of each row: no route, and any other status. */
static counter requests[ROUTES_MAX + 1][STATUSES + 1];
static struct histogram durations[ROUTES_MAX + 1];
static counter bytes_in, bytes_out;
static counter events[METRICS_EVENT_COUNT];
static atomic_int connections;

static pthread_mutex_t models_mutex = PTHREAD_MUTEX_INITIALIZER; /* of adding one */
static struct metrics_model *_Atomic models[METRICS_MODELS_MAX];
static struct metrics_model other = {.name = "other"};

static void add(counter *c, uint64_t by)
{
    atomic_fetch_add_explicit(c, by, memory_order_relaxed);
}

static uint64_t get(const counter *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

static void observe(struct histogram *h, const double *bounds, int count, double value,
                    uint64_t units)
{
    int bucket = 0;
    while (bucket < count && value > bounds[bucket])
        bucket++;
    add(&h->buckets[bucket], 1);
    add(&h->sum, units);
}

static void observe_ns(struct histogram *h, int64_t ns)
{
    observe(h, time_bounds, TIME_BOUNDS, (double)ns * 1e-9, (uint64_t)ns);
}

/* ---- counting ---- */

void metrics_count(enum metrics_event event)
{
    add(&events[event], 1);
}

void metrics_connection(int change)
{
    atomic_fetch_add_explicit(&connections, change, memory_order_relaxed);
}

static int route_row(const struct route *route)
{
    const ptrdiff_t index = route ? route - routes : ROUTES_MAX;
    return index < ROUTES_MAX ? (int)index : ROUTES_MAX;
}

static int status_column(int status)
{
    int column = 0;
    while (column < STATUSES && statuses[column] != status)
        column++;
    return column;
}

void metrics_request(const struct metrics_request *request)
{
    const int row = route_row(request->route);
    add(&requests[row][status_column(request->status)], 1);
    add(&bytes_in, request->bytes_in);
    add(&bytes_out, request->bytes_out);
    if (request->timed)
        observe_ns(&durations[row], (int64_t)request->duration_us * 1000);
}

/* Of those before the first free place. */
static struct metrics_model *find_model(const char *name, int *free_at)
{
    for (*free_at = 0; *free_at < METRICS_MODELS_MAX; ++*free_at) {
        struct metrics_model *model = atomic_load(&models[*free_at]);
        if (!model)
            return NULL;
        if (strcmp(model->name, name) == 0)
            return model;
    }
    return &other;
}

struct metrics_model *metrics_model(const char *name)
{
    int at;
    pthread_mutex_lock(&models_mutex);
    struct metrics_model *model = find_model(name, &at);
    if (!model && (model = calloc(1, sizeof *model))) {
        snprintf(model->name, sizeof model->name, "%s", name);
        atomic_store(&models[at], model);
    }
    pthread_mutex_unlock(&models_mutex);
    return model ? model : &other; /* without memory */
}

void metrics_predicted(struct metrics_model *model, const struct metrics_prediction *p)
{
    add(p->ok ? &model->ok : &model->failed, 1);
    observe_ns(&model->parts[PART_WHOLE], p->whole_ns);
    if (!p->ok)
        return;
    add(&model->samples, (uint64_t)p->samples);
    observe_ns(&model->parts[PART_DECODE], p->decode_ns);
    observe_ns(&model->parts[PART_QUEUE], p->queue_ns);
    observe_ns(&model->parts[PART_COMPUTE], p->compute_ns);
    observe_ns(&model->parts[PART_ENCODE], p->encode_ns);
}

void metrics_batch(struct metrics_model *model, int samples)
{
    observe(&model->batches, batch_bounds, BATCH_BOUNDS, samples, (uint64_t)samples);
}

/* ---- writing ---- */

static void write_histogram(struct buf *out, const char *name, const char *const *labels,
                            const struct histogram *h, const double *bounds, int bound_count,
                            double unit)
{
    uint64_t counts[BOUNDS_MAX + 1];
    for (int i = 0; i <= bound_count; i++)
        counts[i] = get(&h->buckets[i]);
    metrics_histogram(out, name, labels, bounds, counts, bound_count, (double)get(&h->sum) * unit);
}

static void write_events(struct buf *out)
{
    static const struct {
        const char *name, *help;
    } families[] = {
        [METRICS_CONNECTIONS_REFUSED] = {"strided_http_connections_refused_total",
                                         "Connections past a limit or out of descriptors."},
        [METRICS_CONNECTIONS_CUT] = {"strided_http_connections_cut_total",
                                     "Connections cut at the deadline of a request or a reply."},
        [METRICS_EPOCHS] = {"strided_train_epochs_total", "Epochs trained and stored."},
        [METRICS_JOBS_STARTED] = {"strided_job_starts_total",
                                  "Workers started, after crashes and restarts too."},
        [METRICS_JOBS_SUCCEEDED] = {"strided_jobs_succeeded_total", "Jobs that succeeded."},
        [METRICS_JOBS_FAILED] = {"strided_jobs_failed_total", "Jobs that failed."},
        [METRICS_JOBS_CANCELLED] = {"strided_jobs_cancelled_total", "Jobs that were cancelled."},
        [METRICS_WORKERS_CRASHED] = {"strided_worker_crashes_total", "Workers that crashed."},
    };
    for (int i = 0; i < METRICS_EVENT_COUNT; i++) {
        metrics_family(out, families[i].name, "counter", families[i].help);
        metrics_sample(out, families[i].name, NULL, (double)get(&events[i]));
    }
}

/* The routes that were asked, and at last the place of those that do not exist. */
static const struct route *row_route(int row)
{
    static const struct route none = {.method = "", .pattern = ""};
    return row < ROUTES_MAX ? &routes[row] : &none;
}

static int row_count(void)
{
    int count = 0;
    while (count < ROUTES_MAX && routes[count].method)
        count++;
    return count;
}

/* Of rows 0 .. count-1 and the last. */
static int next_row(int row, int count)
{
    return row + 1 < count ? row + 1 : row < ROUTES_MAX ? ROUTES_MAX : ROUTES_MAX + 1;
}

static void write_request_counts(struct buf *out)
{
    static const char name[] = "strided_http_requests_total";
    const int count = row_count();
    metrics_family(out, name, "counter",
                   "Requests by route and status; status 0: the client left before an answer.");
    for (int row = 0; row <= ROUTES_MAX; row = next_row(row, count)) {
        for (int column = 0; column <= STATUSES; column++) {
            const uint64_t value = get(&requests[row][column]);
            char status[8] = "other";
            if (value == 0)
                continue;
            if (column < STATUSES)
                snprintf(status, sizeof status, "%d", statuses[column]);
            const char *const labels[] = {"method", row_route(row)->method,
                                          "route",  row_route(row)->pattern,
                                          "status", status,
                                          NULL};
            metrics_sample(out, name, labels, (double)value);
        }
    }
}

static bool is_empty(const struct histogram *h)
{
    for (int i = 0; i <= BOUNDS_MAX; i++)
        if (get(&h->buckets[i]) > 0)
            return false;
    return true;
}

static void write_request_times(struct buf *out)
{
    static const char name[] = "strided_http_request_duration_seconds";
    const int count = row_count();
    metrics_family(out, name, "histogram", "From a request's first byte to its end.");
    for (int row = 0; row <= ROUTES_MAX; row = next_row(row, count)) {
        const char *const labels[] = {"method", row_route(row)->method, "route",
                                      row_route(row)->pattern, NULL};
        if (!is_empty(&durations[row]))
            write_histogram(out, name, labels, &durations[row], time_bounds, TIME_BOUNDS, 1e-9);
    }
}

static void write_http(struct buf *out)
{
    metrics_family(out, "strided_http_connections", "gauge", "Connections open.");
    metrics_sample(out, "strided_http_connections", NULL, atomic_load(&connections));
    metrics_family(out, "strided_http_received_bytes_total", "counter",
                   "Bytes of bodies received.");
    metrics_sample(out, "strided_http_received_bytes_total", NULL, (double)get(&bytes_in));
    metrics_family(out, "strided_http_sent_bytes_total", "counter", "Bytes of bodies sent.");
    metrics_sample(out, "strided_http_sent_bytes_total", NULL, (double)get(&bytes_out));
    write_request_counts(out);
    write_request_times(out);
}

/* Models in the order they came, then "other" if it was needed; NULL at the end. */
static struct metrics_model *model_at(int index)
{
    struct metrics_model *model = index < METRICS_MODELS_MAX ? atomic_load(&models[index]) : NULL;
    if (index == METRICS_MODELS_MAX && get(&other.ok) + get(&other.failed) > 0)
        return &other;
    return model;
}

static void write_model_counts(struct buf *out)
{
    const struct metrics_model *model;
    static const char name[] = "strided_predict_requests_total";
    metrics_family(out, name, "counter", "Requests to models by outcome.");
    for (int i = 0; (model = model_at(i)); i++) {
        const char *const ok[] = {"model", model->name, "outcome", "ok", NULL};
        const char *const failed[] = {"model", model->name, "outcome", "error", NULL};
        metrics_sample(out, name, ok, (double)get(&model->ok));
        metrics_sample(out, name, failed, (double)get(&model->failed));
    }
    metrics_family(out, "strided_predict_samples_total", "counter", "Samples predicted.");
    for (int i = 0; (model = model_at(i)); i++) {
        const char *const labels[] = {"model", model->name, NULL};
        metrics_sample(out, "strided_predict_samples_total", labels, (double)get(&model->samples));
    }
}

static void write_models(struct buf *out)
{
    const struct metrics_model *model;
    write_model_counts(out);
    for (int part = 0; part < PART_COUNT; part++) {
        metrics_family(out, part_names[part], "histogram", part_help[part]);
        for (int i = 0; (model = model_at(i)); i++) {
            const char *const labels[] = {"model", model->name, NULL};
            write_histogram(out, part_names[part], labels, &model->parts[part], time_bounds,
                            TIME_BOUNDS, 1e-9);
        }
    }
    metrics_family(out, "strided_predict_batch_samples", "histogram",
                   "Samples computed together, of one request or several.");
    for (int i = 0; (model = model_at(i)); i++) {
        const char *const labels[] = {"model", model->name, NULL};
        write_histogram(out, "strided_predict_batch_samples", labels, &model->batches, batch_bounds,
                        BATCH_BOUNDS, 1);
    }
}

void metrics_write(struct buf *out)
{
    write_http(out);
    write_models(out);
    write_events(out);
}
