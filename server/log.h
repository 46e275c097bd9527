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
    uint64_t bytes_in, bytes_out;
    uint64_t duration_us; /* from its first line to the last byte of the reply */
    uint64_t handle_us;   /* from the last byte of its body until the reply was made */
    const char *model;    /* NULL: no figures of a prediction, which follow */
    int version, batch;
    uint64_t decode_us, queue_us, compute_us, encode_us;
};
/* One line a request; LOG_WARN: it was slow. */
void log_access(enum log_level level, const struct log_access *access);

#endif
