/* log.h - events as JSON lines on stderr, one write(2) a line, any thread.
 *
 * log_event(LOG_INFO, "job_started", "id", job, "model", model, NULL): pairs of key and text.
 * Text is escaped, so nothing a client sends can forge a line. */
#ifndef STRIDED_LOG_H
#define STRIDED_LOG_H

#include <stdint.h>

enum log_level { LOG_INFO, LOG_WARN, LOG_ERROR };

void log_event(enum log_level level, const char *event, ...) __attribute__((sentinel));

struct log_access {
    const char *request_id, *method, *path, *remote;
    int status; /* 0: it ended without an answer of ours */
    uint64_t bytes_in, bytes_out, duration_us;
};
void log_access(const struct log_access *access);

#endif
