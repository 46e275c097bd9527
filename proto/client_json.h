/* client_json.h - what the client commands read of the daemon's answers.
 *
 * Members that are null or absent are NAN, 0 or "". Members that nothing here names are passed
 * over, so that an older client understands a newer daemon.
 */
#ifndef STRIDED_CLIENT_JSON_H
#define STRIDED_CLIENT_JSON_H

#include "event.h"
#include "limits.h"

struct client_job {
    char id[24], state[16];
    char model[LIMIT_NAME_BYTES + 1], dataset[LIMIT_NAME_BYTES + 1];
    int model_version, dataset_version;
    int epoch, epochs;
    double loss, accuracy, val_loss, val_accuracy, test_loss, test_accuracy;
    char error[512], created[32], finished[32];
    char event[EVENT_ID_BYTES]; /* its newest */
};
bool client_job_read(const char *text, size_t size, struct client_job *job, struct err *e);
/* The document of GET /jobs; the caller frees. */
bool client_jobs_read(const char *text, size_t size, struct client_job **jobs, int *count,
                      struct err *e);

/* The detail and the field of a problem document; false when it is none. */
bool client_problem_read(const char *text, size_t size, char detail[512], char field[128]);

struct client_class {
    char label[LIMIT_LABEL_BYTES + 1];
    double score;
};
/* The document of POST /predict: of each sample the best classes. */
struct client_predictions {
    int count, top;               /* samples; classes of each */
    struct client_class *classes; /* [count, top]; free it */
};
bool client_predictions_read(const char *text, size_t size, struct client_predictions *predictions,
                             struct err *e);

enum client_event_type { CLIENT_STATE, CLIENT_EPOCH, CLIENT_BATCH, CLIENT_OTHER };

/* One event of a job; the members that its type has. */
struct client_event {
    enum client_event_type type;
    char id[EVENT_ID_BYTES];
    char state[16], error[512];
    int model_version;
    int epoch, epochs, batch, batches;
    double loss, accuracy, val_loss, val_accuracy, test_loss, test_accuracy;
    double seconds, samples_per_second, eta_seconds;
};

/* Takes a stream of server-sent events apart (HTML Living Standard, 9.2.6), however it is cut. */
struct client_events {
    struct buf line, data;
    char name[16], id[EVENT_ID_BYTES];
};
typedef bool client_on_event(void *context, const struct client_event *event);
/* False when an event is longer than 64 KiB or no JSON, or (with *e untouched) on_event said so. */
bool client_events_feed(struct client_events *events, const char *bytes, size_t size,
                        client_on_event *on_event, void *context, struct err *e);
void client_events_clear(struct client_events *events);

#endif
