#include "config.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"

enum type { TEXT, INTEGER, BOOLEAN };

/* One row a setting: the flag, the environment variable, the file's key, --help. */
static const struct setting {
    const char *key;
    enum type type;
    size_t offset, size; /* of the member of struct config; size of texts only */
    long low, high;
    const char *initial; /* NULL: found out at start */
    const char *argument, *help;
} settings[] = {
#define MEMBER(name) offsetof(struct config, name), sizeof((struct config *)0)->name
    {"listen", TEXT, MEMBER(listen), 0, 0, "127.0.0.1:8080", "HOST:PORT",
     "address to serve on; port 0: any free one"},
    {"data-dir", TEXT, MEMBER(data_dir), 0, 0, "./strided-data", "PATH",
     "folder of datasets, models and the catalogue"},
    {"quota-mib", INTEGER, MEMBER(quota_mib), 0, 1 << 30, "0", "MIB",
     "how large the data folder may grow; 0: as the disk"},
    {"threads", INTEGER, MEMBER(threads), 1, CNN_THREADS_MAX, NULL, "N",
     "threads of a training job, at most (default: all cores)"},
    {"jobs-parallel", INTEGER, MEMBER(jobs_parallel), 1, LIMIT_JOBS_PARALLEL, "1", "N",
     "training jobs that run at once, each with its own --threads"},
    {"jobs-queued-max", INTEGER, MEMBER(jobs_queued_max), 0, LIMIT_JOBS_QUEUED, "10000", "N",
     "training jobs that may wait; one more is answered 429"},
    {"job-retries", INTEGER, MEMBER(job_retries), 0, 1000, "2", "N",
     "how often a job goes on after a crash of its worker without progress in between"},
    {"job-stall-s", INTEGER, MEMBER(job_stall_s), 0, 7 * 86400, "3600", "SECONDS",
     "silence after which a worker counts as crashed; one batch, and one validation, must take "
     "less; "
     "0: never"},
    {"job-memory-mib", INTEGER, MEMBER(job_memory_mib), 0, 1 << 24, "0", "MIB",
     "memory that a job's worker may take; 0: no limit"},
    {"checkpoint-s", INTEGER, MEMBER(checkpoint_s), 0, 86400, "30", "SECONDS",
     "between a job's checkpoints within an epoch, 0: after every batch; an epoch's end has one "
     "too, unless the last is a moment old"},
    {"http-threads", INTEGER, MEMBER(http_threads), 1, 64, NULL, "N",
     "threads that serve HTTP (default: all cores, 2 to 8)"},
    {"work-threads", INTEGER, MEMBER(work_threads), 1, 64, "4", "N",
     "threads that run requests which take long"},
    {"infer-threads", INTEGER, MEMBER(infer_threads), 1, CNN_THREADS_MAX, NULL, "N",
     "threads that compute predictions (default: all cores)"},
    {"queue-max", INTEGER, MEMBER(queue_max), 1, 1 << 16, "256", "N",
     "requests that wait for one model; more get 503"},
    {"models-memory-mib", INTEGER, MEMBER(models_memory_mib), 1, 1 << 24, "1024", "MIB",
     "memory of loaded models; the least recently used are unloaded"},
    {"batch-delay-us", INTEGER, MEMBER(batch_delay_us), 0, 1000000, "0", "MICROSECONDS",
     "how long a prediction waits for others to be computed with it"},
    {"predict-timeout-ms", INTEGER, MEMBER(predict_timeout_ms), 1, 3600000, "30000", "MILLISECONDS",
     "how long a prediction may wait; then it gets 503"},
    {"drain-s", INTEGER, MEMBER(drain_s), 0, 3600, "10", "SECONDS",
     "how long a stop waits for requests in flight and for jobs to write their checkpoints"},
    {"heartbeat-s", INTEGER, MEMBER(heartbeat_s), 1, 3600, "15", "SECONDS",
     "how often a quiet stream of events shows a sign of life"},
    {"connections", INTEGER, MEMBER(connections), 0, 1000000, "4096", "N",
     "connections open at once; 0: no limit"},
    {"connections-per-address", INTEGER, MEMBER(connections_per_address), 0, 1000000, "0", "N",
     "of one IPv4 address or IPv6 /64; 0: no limit"},
    {"head-timeout-s", INTEGER, MEMBER(head_timeout_s), 0, 86400, "20", "SECONDS",
     "a request's head must have come; 0, here and below: no limit"},
    {"body-timeout-s", INTEGER, MEMBER(body_timeout_s), 0, 86400, "30", "SECONDS",
     "its body must have come, and a second more for each min-rate bytes"},
    {"send-timeout-s", INTEGER, MEMBER(send_timeout_s), 0, 86400, "30", "SECONDS",
     "the reply must be taken, and a second more for each min-rate bytes"},
    {"idle-timeout-s", INTEGER, MEMBER(idle_timeout_s), 0, 86400, "60", "SECONDS",
     "the next request on a kept connection must have begun"},
    {"cors-origin", TEXT, MEMBER(cors_origin), 0, 0, NULL, "ORIGINS",
     "origins whose pages may use the API, comma-separated; *: any (default: none)"},
    {"min-rate", INTEGER, MEMBER(min_rate), 0, 1000000000, "1000", "BYTES",
     "bytes a second expected of long bodies and their readers"},
    {"server-name", TEXT, MEMBER(server_name), 0, 0, "strided", "NAME",
     "what GET /v2 says it is; some clients insist on triton"},
    {"bootstrap", BOOLEAN, MEMBER(bootstrap), 0, 0, "true", NULL,
     "make a first dataset and model in an empty data folder"},
    {"slow-ms", INTEGER, MEMBER(slow_ms), 0, 3600000, "1000", "MS",
     "log requests as warnings that took as long to answer; 0: none"},
    {"access-log", BOOLEAN, MEMBER(access_log), 0, 0, "true", NULL,
     "log every request as a JSON line on stderr"},
#undef MEMBER
};

enum {
    SETTING_COUNT = sizeof settings / sizeof settings[0],
    LINE_BYTES_MAX = 8192, /* of the configuration file */
};

static const struct setting *find(const char *key, size_t size)
{
    for (int i = 0; i < SETTING_COUNT; i++)
        if (strlen(settings[i].key) == size && memcmp(settings[i].key, key, size) == 0)
            return &settings[i];
    return NULL;
}

static bool set_text(char *member, const struct setting *s, const char *text, struct err *e)
{
    size_t size = strlen(text);
    if (size == 0)
        return err_field(e, ERR_INVALID, s->key, "empty value for '%s'", s->key);
    if (size >= s->size)
        return err_field(e, ERR_INVALID, s->key, "value for '%s' is longer than %zu bytes", s->key,
                         s->size - 1);
    memcpy(member, text, size + 1);
    return true;
}

static bool set_integer(int *member, const struct setting *s, const char *text, struct err *e)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno || value < s->low || value > s->high)
        return err_field(e, ERR_INVALID, s->key,
                         "expected a whole number from %ld to %ld for '%s', got '%s'", s->low,
                         s->high, s->key, text);
    *member = (int)value;
    return true;
}

static bool set_boolean(bool *member, const struct setting *s, const char *text, struct err *e)
{
    static const char *const words[][2] = {
        {"false", "true"}, {"no", "yes"}, {"off", "on"}, {"0", "1"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        for (int value = 0; value < 2; value++)
            if (strcmp(text, words[i][value]) == 0) {
                *member = value;
                return true;
            }
    return err_field(e, ERR_INVALID, s->key, "expected true or false for '%s', got '%s'", s->key,
                     text);
}

static bool set(struct config *config, const struct setting *s, const char *text, struct err *e)
{
    void *member = (char *)config + s->offset;
    switch (s->type) {
    case TEXT:
        return set_text(member, s, text, e);
    case INTEGER:
        return set_integer(member, s, text, e);
    case BOOLEAN:
        return set_boolean(member, s, text, e);
    }
    return false;
}

/* ---- sources, weakest first ---- */

static int core_count(void)
{
    cpu_set_t cpus;
    int count = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    return count < 1 ? 1 : count > CNN_THREADS_MAX ? CNN_THREADS_MAX : count;
}

static bool set_defaults(struct config *config, struct err *e)
{
    int cores = core_count();
    *config = (struct config){
        .threads = cores,
        .infer_threads = cores,
        .http_threads = cores < 2   ? 2
                        : cores > 8 ? 8
                                    : cores,
    };
    for (int i = 0; i < SETTING_COUNT; i++)
        if (settings[i].initial && !set(config, &settings[i], settings[i].initial, e))
            return false;
    return true;
}

static char *trim(char *text)
{
    text += strspn(text, " \t\r\n");
    size_t size = strlen(text);
    while (size > 0 && strchr(" \t\r\n", text[size - 1]))
        size--;
    text[size] = '\0';
    return text;
}

/* `key = value`; a '#' begins a comment at the start of a line or after white space. */
static bool set_from_line(struct config *config, char *line, struct err *e)
{
    for (char *hash = strchr(line, '#'); hash; hash = strchr(hash + 1, '#'))
        if (hash == line || hash[-1] == ' ' || hash[-1] == '\t') {
            *hash = '\0';
            break;
        }
    char *value = trim(line);
    if (*value == '\0')
        return true;
    char *key = trim(strsep(&value, "="));
    if (!value)
        return err_set(e, ERR_INVALID, "expected 'key = value', got '%.64s'", key);
    const struct setting *s = find(key, strlen(key));
    if (!s)
        return err_set(e, ERR_INVALID, "unknown setting '%.64s'", key);
    return set(config, s, trim(value), e);
}

static bool at_line(struct err *e, const char *path, int line)
{
    char detail[sizeof e->detail];
    memcpy(detail, e->detail, sizeof detail);
    snprintf(e->detail, sizeof e->detail, "%.200s at \"%.150s\" line %d", detail, path, line);
    return false;
}

static bool set_from_file(struct config *config, const char *path, struct err *e)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return err_field(e, ERR_INVALID, "config", "cannot open \"%s\": %s", path, strerror(errno));
    bool ok = true;
    char line[LINE_BYTES_MAX];
    for (int number = 1; ok && fgets(line, sizeof line, file); number++) {
        if (!strchr(line, '\n') && !feof(file))
            ok = err_set(e, ERR_INVALID, "line longer than %d bytes", LINE_BYTES_MAX - 2);
        else
            ok = set_from_line(config, line, e);
        if (!ok)
            at_line(e, path, number);
    }
    if (ok && ferror(file))
        ok = err_field(e, ERR_IO, "config", "cannot read \"%s\": %s", path, strerror(errno));
    fclose(file);
    return ok;
}

/* data-dir -> STRIDED_DATA_DIR */
static const char *environment(const char *key)
{
    char name[64];
    snprintf(name, sizeof name, "STRIDED_%s", key);
    for (char *c = name; *c != '\0'; c++)
        *c = *c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
    return getenv(name);
}

static bool set_from_environment(struct config *config, struct err *e)
{
    for (int i = 0; i < SETTING_COUNT; i++) {
        const char *text = environment(settings[i].key);
        if (text && !set(config, &settings[i], text, e))
            return false;
    }
    return true;
}

/* What the command line says, before it is applied. */
struct flags {
    const char *values[SETTING_COUNT]; /* NULL: not given */
    const char *config;
    bool help;
};

/* The value of a flag that takes one: after '=', or the next argument. */
static const char *flag_value(const char *equals, int argc, char **argv, int *at)
{
    if (*equals == '=')
        return equals + 1;
    return *at + 1 < argc ? argv[++*at] : NULL;
}

static bool read_setting_flag(struct flags *flags, int argc, char **argv, int *at, struct err *e)
{
    const char *flag = argv[*at] + 2;
    size_t size = strcspn(flag, "=");
    const struct setting *s = find(flag, size);
    const char *value = NULL;
    if (s && s->type == BOOLEAN) {
        value = flag[size] == '=' ? flag + size + 1 : "true";
    } else if (s) {
        value = flag_value(flag + size, argc, argv, at);
    } else if (strncmp(flag, "no-", 3) == 0 && flag[size] == '\0') {
        s = find(flag + 3, size - 3);
        value = "false";
        if (s && s->type != BOOLEAN)
            s = NULL;
    }
    if (!s)
        return err_set(e, ERR_INVALID, "unknown flag '%.64s'", argv[*at]);
    if (!value)
        return err_field(e, ERR_INVALID, s->key, "flag '--%s' needs a value", s->key);
    flags->values[s - settings] = value;
    return true;
}

static bool read_flags(struct flags *flags, int argc, char **argv, struct err *e)
{
    *flags = (struct flags){0};
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
            flags->help = true;
        } else if (strncmp(arg, "--config", 8) == 0 && (arg[8] == '=' || arg[8] == '\0')) {
            flags->config = flag_value(arg + 8, argc, argv, &i);
            if (!flags->config)
                return err_field(e, ERR_INVALID, "config", "flag '--config' needs a value");
        } else if (strncmp(arg, "--", 2) != 0) {
            return err_set(e, ERR_INVALID, "unexpected argument '%.64s'", arg);
        } else if (!read_setting_flag(flags, argc, argv, &i, e)) {
            return false;
        }
    }
    return true;
}

bool config_load(struct config *config, int argc, char **argv, bool *help, struct err *e)
{
    struct flags flags;
    if (!set_defaults(config, e) || !read_flags(&flags, argc, argv, e))
        return false;
    *help = flags.help;
    if (flags.help)
        return true;
    const char *path = flags.config ? flags.config : environment("config");
    if (path && !set_from_file(config, path, e))
        return false;
    if (!set_from_environment(config, e))
        return false;
    for (int i = 0; i < SETTING_COUNT; i++)
        if (flags.values[i] && !set(config, &settings[i], flags.values[i], e))
            return false;
    return true;
}

void config_print_help(void)
{
    printf("  %-24s %s\n", "--config FILE", "read settings from a file of 'key = value' lines");
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting *s = &settings[i];
        char flag[64];
        snprintf(flag, sizeof flag, s->type == BOOLEAN ? "--[no-]%s" : "--%s %s", s->key,
                 s->argument ? s->argument : "");
        printf("  %-24s %s", flag, s->help);
        if (s->initial)
            printf(" (default: %s)", s->initial);
        printf("\n");
    }
}
