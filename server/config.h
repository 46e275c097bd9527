/* config.h - the daemon's settings. A flag wins over the environment, which wins over the file,
 * which wins over the default. One table in config.c names each setting for all three and --help:
 * --data-dir, STRIDED_DATA_DIR, `data-dir = PATH`. */
#ifndef STRIDED_CONFIG_H
#define STRIDED_CONFIG_H

#include "err.h"

struct config {
    char listen[128];     /* "127.0.0.1:8080"; port 0 = any free one, printed at start */
    char data_dir[4096];  /* default "./strided-data" */
    int threads;          /* of one training job and of an evaluation; default: all cores */
    int http_threads;     /* of the HTTP server; default: all cores, 2 to 8 */
    int work_threads;     /* that run requests which take long; default 4 */
    int quota_mib;        /* of the data directory; 0 = none, the default */
    int drain_s;          /* how long SIGTERM waits for requests in flight; default 10 */
    int heartbeat_s;      /* how often a quiet stream shows a sign of life; default 15 */
    int jobs_parallel;    /* jobs that run at once; default 1 */
    int jobs_queued_max;  /* that wait; default 10000 */
    int job_retries;      /* of a worker that crashes without progress; default 2 */
    int job_stall_s;      /* silence after which a worker counts as crashed; 0 = never */
    int job_memory_mib;   /* a worker may take; 0 = no limit */
    int checkpoint_s;     /* between a job's checkpoints within an epoch */
    char server_name[65]; /* what /v2 says it is; default "strided" */
    bool bootstrap;       /* make a first dataset and model in an empty data directory */
    bool access_log;      /* default on */
    int slow_ms;          /* requests that take as long are logged as warnings; 0 = none */

    /* Connections. */
    int connections;             /* open at once; 0 = no limit; default 4096 */
    int connections_per_address; /* of one IPv4 address or IPv6 /64; 0, the default = no limit */
    int head_timeout_s;     /* for a request's head, from its begin; 0 = no limit; default 20 */
    int body_timeout_s;     /* for its body, and a second more for each min_rate bytes; 30 */
    int send_timeout_s;     /* for the reply, likewise; 30 */
    int idle_timeout_s;     /* between two requests of a connection; 60 */
    char cors_origin[1024]; /* whose pages may use the API (http_cors.h); "" by default */
    int min_rate;           /* bytes a second; 0 = no allowance for size; default 1000 */

    /* Predictions. */
    int infer_threads;      /* that compute them; default: all cores */
    int queue_max;          /* requests that wait for one model; default 256 */
    int batch_delay_us;     /* how long the first of a batch waits for others; default 0 */
    int models_memory_mib;  /* of all loaded models; default 1024 */
    int predict_timeout_ms; /* until one that waits is given up; default 30 000 */
};

/* Reads argv after the subcommand, the environment and the file named by --config. On failure *e
 * names the setting. help: --help was given. */
bool config_load(struct config *config, int argc, char **argv, bool *help, struct err *e);
/* The settings part of --help, one line a setting, to stdout. */
void config_print_help(void);

#endif
