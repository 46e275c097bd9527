#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "json_write.h"

static const char *const levels[] = {
    [LOG_INFO] = "info",
    [LOG_WARN] = "warn",
    [LOG_ERROR] = "error",
};

/* RFC 3339, UTC, with milliseconds. */
static void timestamp(char *text, size_t size)
{
    struct timespec now;
    struct tm tm;
    char seconds[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text, size, "%s.%03dZ", seconds, (int)(now.tv_nsec / 1000000));
}

static void begin_line(struct json_writer *w, struct buf *line, enum log_level level,
                       const char *event)
{
    char time_text[48];
    timestamp(time_text, sizeof time_text);
    jw_begin(w, line);
    jw_object(w);
    jw_key_string(w, "time", time_text);
    jw_key_string(w, "level", levels[level]);
    jw_key_string(w, "event", event);
}

/* A log that cannot be written (closed stderr, full disk) must not stop the daemon: the line is
 * lost, and there is nowhere to say so. */
static void end_line(struct json_writer *w, struct buf *line)
{
    jw_object_end(w);
    buf_str(line, "\n");
    ssize_t written = 0;
    for (size_t done = 0; buf_ok(line) && done < line->size; done += (size_t)written) {
        do
            written = write(STDERR_FILENO, line->data + done, line->size - done);
        while (written < 0 && errno == EINTR);
        if (written < 0)
            break;
    }
    buf_clear(line);
}

void log_event(enum log_level level, const char *event, ...)
{
    struct buf line = {0};
    struct json_writer w;
    begin_line(&w, &line, level, event);
    va_list args;
    va_start(args, event);
    for (const char *key = va_arg(args, const char *); key; key = va_arg(args, const char *))
        jw_key_string(&w, key, va_arg(args, const char *));
    va_end(args);
    end_line(&w, &line);
}

static void add_figures(struct json_writer *w, const struct log_access *access)
{
    jw_key_string(w, "model", access->model);
    jw_key_int(w, "version", access->version);
    jw_key_int(w, "batch", access->batch);
    jw_key_int(w, "decode_us", (int64_t)access->decode_us);
    jw_key_int(w, "queue_us", (int64_t)access->queue_us);
    jw_key_int(w, "compute_us", (int64_t)access->compute_us);
    jw_key_int(w, "encode_us", (int64_t)access->encode_us);
}

void log_access(enum log_level level, const struct log_access *access)
{
    struct buf line = {0};
    struct json_writer w;
    begin_line(&w, &line, level, "request");
    jw_key_string(&w, "request_id", access->request_id);
    jw_key_string(&w, "remote", access->remote);
    jw_key_string(&w, "method", access->method);
    jw_key_string(&w, "path", access->path);
    jw_key_int(&w, "status", access->status);
    jw_key_int(&w, "bytes_in", (int64_t)access->bytes_in);
    jw_key_int(&w, "bytes_out", (int64_t)access->bytes_out);
    jw_key_int(&w, "duration_us", (int64_t)access->duration_us);
    jw_key_int(&w, "handle_us", (int64_t)access->handle_us);
    if (access->model)
        add_figures(&w, access);
    end_line(&w, &line);
}
