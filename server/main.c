/* strided - trains and serves convolutional networks over HTTP.
 *
 * Threads and processes of `strided serve`:
 *
 *   main          starts everything, then waits for SIGTERM or SIGINT and stops everything
 *   http 1..N     libmicrohttpd's threads (--http-threads): read requests, run fast handlers, send
 *                 responses; compute a prediction only where handing it over costs more    http.c
 *   admit         accepts connections; cuts those past a deadline                  http_admit.c
 *   pool 1..N     --work-threads: run handlers that take long (evaluate, datasets)      pool.c
 *   evaluator     computes evaluations, one after the other, with an OpenMP team of --threads
 *                                                                                    evaluator.c
 *   codec 1..N    --infer-threads: read large bodies of predictions and write large replies
 *                                                                                         pool.c
 *   infer 1..N    --infer-threads: compute predictions, several requests' together     batcher.c
 *   loader 1..2   bring models into memory                                      registry_load.c
 *   clock         drops predictions that have waited too long                          batcher.c
 *   scheduler     starts up to --jobs-parallel workers, reads what they say, stores it, publishes
 *                 their models                                              jobs.c, jobs_run.c
 *   events        tells who watches jobs what has happened, answers long polls         events.c
 *   worker        a process of its own, `strided worker`, one a job; it reads the job on standard
 *                 input, trains with an OpenMP team, and dies with the daemon            worker.c
 *
 * Each mutex says what it guards. One order: jobs', the registry's `change`, the events', then the
 * store's or the registry's table, then a model's lanes; all others are leaves.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app.h"
#include "bootstrap.h"
#include "cli.h"
#include "files.h"
#include "http.h"
#include "http_cors.h"
#include "http_listen.h"
#include "log.h"
#include "sweep.h"
#include "worker.h"

enum { EXIT_USAGE = 2 };

static void print_usage(FILE *out)
{
    fprintf(out,
            "strided %s: trains and serves convolutional networks over HTTP\n"
            "\n"
            "  strided serve [FLAGS]   run the daemon (strided serve --help lists the flags)\n"
            "  strided train [OPTIONS] train a model through a daemon, with its progress\n"
            "  strided jobs [VERB ID]  list jobs; watch, cancel, resume, ... one\n"
            "  strided predict FILE... ask a model about files\n"
            "  strided version         print the version\n"
            "  strided help            print this\n"
            "  strided worker          train one job; run by the daemon\n",
            STRIDED_VERSION);
}

static void print_serve_help(void)
{
    printf("strided serve [FLAGS]: run the daemon until SIGTERM or SIGINT\n\n");
    config_print_help();
    printf("\nEach flag is also an environment variable (--data-dir is STRIDED_DATA_DIR) and a key "
           "of\n"
           "the file (data-dir = PATH). A flag wins over the environment, which wins over the "
           "file.\n");
}

static int fail(const char *what, const struct err *e)
{
    fprintf(stderr, "strided: %s: %s\n", what, e->detail);
    return EXIT_FAILURE;
}

/* Where a standard stream is closed a file of ours would take its number, and the log its place. */
static bool open_streams(struct err *e)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd < 0)
        return err_set(e, ERR_IO, "cannot open '/dev/null': %s", strerror(errno));
    close(fd);
    return true;
}

/* Each connection, mapped file and worker takes descriptors. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        log_event(LOG_WARN, "descriptor_limit", "detail", strerror(errno), NULL);
}

/* Before any thread starts, so that all inherit the mask and only main takes stop signals. */
static void block_stop_signals(sigset_t *stop)
{
    sigemptyset(stop);
    sigaddset(stop, SIGTERM);
    sigaddset(stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file past its limit is an error of write(2) */
}

static bool open_predictions(struct app *app, struct err *e)
{
    const struct registry_options memory = {
        .lanes = app->config.infer_threads,
        .memory_max = (size_t)app->config.models_memory_mib << 20,
    };
    const struct batcher_options options = {
        .threads = app->config.infer_threads,
        .queue_max = app->config.queue_max,
        .delay_us = app->config.batch_delay_us,
    };
    app->registry = registry_new(app->store, &memory, e);
    if (!app->registry || !registry_open(app->registry, e))
        return false;
    app->evaluator = evaluator_new(app->config.threads, e);
    app->batcher = batcher_new(&options, e);
    app->codec = pool_new(app->config.infer_threads, LIMIT_WORK_QUEUE, e);
    return app->evaluator && app->batcher && app->codec;
}

static bool open_app(struct app *app, struct err *e)
{
    char path[FILES_PATH_BYTES];
    if (!files_open(app->config.data_dir, e) || !space_open(app->config.quota_mib, e))
        return false;
    files_database_path(path, sizeof path);
    app->store = store_open(path, e);
    if (!app->store)
        return false;
    if (!sweep_run(app->store, e))
        return false;
    if (!open_predictions(app, e))
        return false;
    app->events = events_new(app->store, app->config.heartbeat_s, e);
    if (!app->events)
        return false;
    app->jobs = jobs_new(&app->config, app->store, app->registry, app->events, e);
    return app->jobs && bootstrap_run(app, e);
}

static void close_app(struct app *app)
{
    if (app->jobs)
        jobs_free(app->jobs);
    events_free(app->events);
    pool_free(app->codec);
    batcher_free(app->batcher);
    evaluator_free(app->evaluator);
    registry_free(app->registry);
    if (app->store)
        store_close(app->store);
}

/* The models are loaded: called by a thread that did it. */
static void on_ready(void *context)
{
    struct app *app = context;
    const char *colon = strrchr(app->config.listen, ':');
    int host_size = colon ? (int)(colon - app->config.listen) : 0;
    atomic_store(&app->ready, true);
    printf("strided %s ready on http://%.*s:%d\n", STRIDED_VERSION, host_size, app->config.listen,
           app->port);
    fflush(stdout);
}

/* Waits for a stop signal; the next one then ends the process at once. */
static void wait_for_stop(const sigset_t *stop)
{
    int signal_number = 0;
    while (sigwait(stop, &signal_number) != 0)
        ;
    log_event(LOG_INFO, "stopping", "signal", strsignal(signal_number), NULL);
    pthread_sigmask(SIG_UNBLOCK, stop, NULL);
}

static int serve_http(struct app *app, int listen_fd, const sigset_t *stop)
{
    struct err e = {0};
    struct http_server *server = http_start(&app->config, app, listen_fd, &e);
    if (!server)
        return fail("cannot serve", &e);
    log_event(LOG_INFO, "started", "version", STRIDED_VERSION, "listen", app->config.listen, NULL);
    const bool ok = registry_start(app->registry, on_ready, app, &e);
    if (ok)
        wait_for_stop(stop);
    atomic_store(&app->draining, true);
    jobs_drain(app->jobs, app->config.drain_s);
    registry_drain(app->registry);
    events_stop(app->events);
    batcher_drain(app->batcher, app->config.drain_s);
    http_stop(server, app->config.drain_s);
    log_event(LOG_INFO, "stopped", NULL);
    return ok ? EXIT_SUCCESS : fail("cannot serve", &e);
}

/* Listens first: where that fails, no job is started and nothing is made. */
static int serve(struct app *app, const sigset_t *stop)
{
    struct err e = {0};
    int listen_fd = http_listen(app->config.listen, &app->port, &e);
    if (listen_fd < 0)
        return fail("cannot serve", &e);
    int status;
    if (open_app(app, &e)) {
        status = serve_http(app, listen_fd, stop);
    } else {
        status = fail("cannot start", &e);
        close(listen_fd);
    }
    close_app(app);
    return status;
}

static int serve_main(int argc, char **argv)
{
    static struct app app;
    struct err e = {0};
    bool help = false;
    if (!open_streams(&e))
        return fail("serve", &e);
    if (!config_load(&app.config, argc, argv, &help, &e)) {
        fail("serve", &e);
        return EXIT_USAGE;
    }
    if (!http_cors_check(app.config.cors_origin, &e)) {
        fail("serve", &e);
        return EXIT_USAGE;
    }
    if (help) {
        print_serve_help();
        return EXIT_SUCCESS;
    }
    sigset_t stop;
    block_stop_signals(&stop);
    raise_descriptor_limit();
    return serve(&app, &stop);
}

/* Threads of an OpenMP team spin at a barrier before they sleep. libgomp's 300000 turns are several
 * milliseconds: on a CPU that others use too they keep the very thread waiting that the team waits
 * for (training beside three busy processes: 6 000 samples/s, with 3000 turns 15 000; on an idle
 * CPU no difference). It reads the number before main, so a second start it is. */
static void spin_briefly(char **argv)
{
    char path[FILES_PATH_BYTES];
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY"))
        return;
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    if (size <= 0 || setenv("GOMP_SPINCOUNT", "3000", 1) != 0)
        return;
    path[size] = '\0';
    execv(path, argv); /* else as we are */
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    const bool is_serve = strcmp(command, "serve") == 0, is_worker = strcmp(command, "worker") == 0;
    if (is_serve || is_worker)
        spin_briefly(argv);
    if (is_serve)
        return serve_main(argc - 2, argv + 2);
    if (is_worker)
        return worker_main(argc - 1, argv + 1);
    if (strcmp(command, "train") == 0)
        return cli_train(argc - 2, argv + 2);
    if (strcmp(command, "jobs") == 0)
        return cli_jobs(argc - 2, argv + 2);
    if (strcmp(command, "predict") == 0)
        return cli_predict(argc - 2, argv + 2);
    if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0) {
        printf("strided %s\n", STRIDED_VERSION);
        return EXIT_SUCCESS;
    }
    if (strcmp(command, "help") == 0 || strcmp(command, "--help") == 0 ||
        strcmp(command, "-h") == 0) {
        print_usage(stdout);
        return EXIT_SUCCESS;
    }
    print_usage(stderr);
    if (command[0] != '\0')
        fprintf(stderr, "strided: unknown command '%s'\n", command);
    return EXIT_USAGE;
}
