/* GET /metrics: what metrics.c has counted, and what stands as it is now. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "api.h"
#include "kernels.h"
#include "limits.h"
#include "metrics.h"
#include "metrics_text.h"
#include "space.h"
#include "uploads.h"

static void gauge(struct buf *out, const char *name, const char *help, double value)
{
    metrics_family(out, name, "gauge", help);
    metrics_sample(out, name, NULL, value);
}

/* ---- the process ---- */

/* Of /proc/self/stat: time on CPUs, start, pages in memory. */
struct process {
    unsigned long long user_ticks, system_ticks, start_ticks;
    long resident_pages;
};

static bool read_process(struct process *p)
{
    char text[1024];
    FILE *file = fopen("/proc/self/stat", "r");
    if (!file)
        return false;
    const size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    /* The name may hold anything but ends with the last ')'. */
    const char *rest = strrchr(text, ')');
    return rest &&
           sscanf(rest + 1,
                  " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d "
                  "%*d %*d %llu %*u %ld",
                  &p->user_ticks, &p->system_ticks, &p->start_ticks, &p->resident_pages) == 4;
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    for (const struct dirent *entry; folder && (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    if (folder)
        closedir(folder);
    return count > 0 ? count - 1 : 0; /* the folder's own */
}

/* The Unix time of a moment of the boot clock. */
static double unix_time(double boot_s)
{
    struct timespec now, boot;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &boot);
    return (double)(now.tv_sec - boot.tv_sec) + (double)(now.tv_nsec - boot.tv_nsec) * 1e-9 +
           boot_s;
}

static void write_process(struct buf *out)
{
    const double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);
    struct process p;
    struct rlimit limit;
    if (read_process(&p)) {
        metrics_family(out, "process_cpu_seconds_total", "counter", "User and system time.");
        metrics_sample(out, "process_cpu_seconds_total", NULL,
                       (double)(p.user_ticks + p.system_ticks) * tick);
        gauge(out, "process_resident_memory_bytes", "Memory in RAM.",
              (double)p.resident_pages * (double)sysconf(_SC_PAGESIZE));
        gauge(out, "process_start_time_seconds", "Unix time of the start.",
              unix_time((double)p.start_ticks * tick));
    }
    gauge(out, "process_open_fds", "Open file descriptors.", open_descriptors());
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        gauge(out, "process_max_fds", "File descriptors there may be.", (double)limit.rlim_cur);
}

/* ---- the daemon ---- */

static void write_build(struct buf *out)
{
    const char *const labels[] = {"version", STRIDED_VERSION, "cpu", cnn_kernels()->name, NULL};
    metrics_family(out, "strided_build_info", "gauge", "Always 1; what runs.");
    metrics_sample(out, "strided_build_info", labels, 1);
}

static bool write_job_states(struct buf *out, struct store *store, struct err *e)
{
    metrics_family(out, "strided_jobs", "gauge", "Jobs by state.");
    for (int state = JOB_QUEUED; state <= JOB_CANCELLED; state++) {
        const char *const labels[] = {"state", job_state_name((enum job_state)state), NULL};
        int count;
        if (!store_job_count(store, (enum job_state)state, &count, e))
            return false;
        metrics_sample(out, "strided_jobs", labels, count);
    }
    return true;
}

static void write_live(struct buf *out, const struct jobs_list *list, const char *name,
                       const char *help, double (*figure)(const struct jobs_live *live))
{
    metrics_family(out, name, "gauge", help);
    for (int i = 0; i < list->live_count; i++) {
        char id[24];
        const char *const labels[] = {"job", id, NULL};
        snprintf(id, sizeof id, "%lld", (long long)list->live[i].id);
        if (list->live[i].samples_per_second > 0) /* once there are figures */
            metrics_sample(out, name, labels, figure(&list->live[i]));
    }
}

static double live_speed(const struct jobs_live *live)
{
    return live->samples_per_second;
}

static double live_loss(const struct jobs_live *live)
{
    return live->loss;
}

static double live_accuracy(const struct jobs_live *live)
{
    return live->accuracy;
}

static double live_epoch(const struct jobs_live *live)
{
    return live->epoch;
}

/* Of what is trained now: at most --jobs-parallel jobs. */
static bool write_running(struct buf *out, struct jobs *jobs, struct err *e)
{
    const struct store_job_filter running = {.state = JOB_RUNNING, .limit = 1};
    struct jobs_list list;
    if (!jobs_list(jobs, &running, &list, e))
        return false;
    write_live(out, &list, "strided_job_samples_per_second", "Training speed of running jobs.",
               live_speed);
    write_live(out, &list, "strided_job_loss", "Training loss of the epoch so far.", live_loss);
    write_live(out, &list, "strided_job_accuracy", "Training accuracy of the epoch so far.",
               live_accuracy);
    write_live(out, &list, "strided_job_epoch", "The epoch being trained.", live_epoch);
    jobs_list_clear(&list);
    return true;
}

static int waiting(struct app *app, const struct store_model *row)
{
    struct err unused;
    bool absent;
    struct model *model =
        registry_acquire_loaded(app->registry, row->name, row->version, &absent, &unused);
    const int requests = model ? atomic_load(&model->queue.requests) : 0;
    model_release(model);
    return requests;
}

static bool write_models(struct buf *out, struct app *app, struct err *e)
{
    struct store_model *rows;
    int count, names = 0;
    if (!store_models(app->store, &rows, &count, e))
        return false;
    metrics_family(out, "strided_predict_queue_requests", "gauge",
                   "Requests that wait for a model's active version.");
    for (int i = 0; i < count; i++) {
        const char *const labels[] = {"model", rows[i].name, NULL};
        if (!rows[i].active)
            continue;
        names++;
        metrics_sample(out, "strided_predict_queue_requests", labels, waiting(app, &rows[i]));
    }
    gauge(out, "strided_models", "Models.", names);
    gauge(out, "strided_model_versions", "Versions of models.", count);
    store_models_free(rows, count);
    return true;
}

static bool write_datasets(struct buf *out, struct store *store, struct err *e)
{
    struct store_dataset *rows;
    int count;
    if (!store_datasets(store, &rows, &count, e))
        return false;
    gauge(out, "strided_dataset_versions", "Versions of datasets.", count);
    for (int i = 0; i < count; i++)
        store_dataset_clear(&rows[i]);
    free(rows);
    return true;
}

static void write_storage(struct buf *out)
{
    static const char *const folders[] = {"datasets", "models", "checkpoints"};
    struct space_usage usage;
    struct upload_view views[LIMIT_UPLOADS_LISTED];
    space_look(&usage);
    gauge(out, "strided_storage_used_bytes", "Bytes in the data directory.", (double)usage.used);
    gauge(out, "strided_storage_quota_bytes", "Bytes there may be; 0: no quota.",
          (double)usage.quota);
    metrics_family(out, "strided_storage_bytes", "gauge", "Bytes of files by kind.");
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        const char *const labels[] = {"kind", folders[i], NULL};
        metrics_sample(out, "strided_storage_bytes", labels, (double)space_of_folder(folders[i]));
    }
    gauge(out, "strided_uploads", "Uploads of datasets on their way.",
          uploads_list(NULL, views, LIMIT_UPLOADS_LISTED));
}

bool api_metrics(struct app *app, const struct http_request *request,
                 struct http_response *response, struct err *e)
{
    struct buf *out = &response->body;
    (void)request;
    response->content_type = METRICS_CONTENT_TYPE;
    write_build(out);
    metrics_write(out);
    write_storage(out);
    write_process(out);
    return write_job_states(out, app->store, e) && write_running(out, app->jobs, e) &&
           write_models(out, app, e) && write_datasets(out, app->store, e);
}
