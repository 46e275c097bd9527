/* model.h - one version of a model in memory, prepared, ready to be asked.
 *
 * Read-only once made, but for its lanes, its queue, its statistics and the count of who uses it.
 * It outlives its deletion, its eviction and its successor until the last user lets go. Any thread
 * may call.
 */
#ifndef STRIDED_MODEL_H
#define STRIDED_MODEL_H

#include <pthread.h>
#include <stdatomic.h>

#include "model_meta.h"
#include "model_stats.h"
#include "predictor.h"

enum { MODEL_LANES_IDLE_MAX = 16 };

/* What waits for a model: the batcher's own, guarded by its mutex. Zeroed: nothing. */
struct batch_queue {
    struct batch_task *first, *last;
    atomic_int requests;      /* of which samples wait; read without the mutex too */
    int samples;              /* that wait */
    struct batch_queue *next; /* of those with something in them */
    struct model *model;
};

struct model {
    char name[LIMIT_NAME_BYTES + 1];
    int version;
    struct cnn_net *net;
    struct cnn_predictor *predictor; /* the net, prepared */
    struct model_meta meta;          /* as many labels as the net has outputs */
    char sha256[65];
    uint64_t bytes;    /* of the file */
    char *info;        /* JSON object: what GET /models says of what the file holds */
    int64_t sample_ns; /* that one sample takes alone, once model_warm has measured it */
    struct batch_queue queue;
    struct model_stats stats;
    struct metrics_model *metrics; /* of all versions of its name */

    atomic_int users;
    pthread_mutex_t mutex; /* guards what follows */
    int lane_count;        /* idle or taken */
    size_t lane_bytes;     /* of each */
    int idle_count;
    struct cnn_lane *idle[MODEL_LANES_IDLE_MAX];
};

/* Reads and prepares the ONNX file `path` as this version. sha256: what the file must be, or NULL.
 * ERR_UNPROCESSABLE for a file that cannot be served. The caller is its one user. */
struct model *model_read(const char *name, int version, const char *path, const char *sha256,
                         struct err *e);
/* Runs a sample on each of so many new lanes, so that the first request finds them made and their
 * memory in place, and measures sample_ns. */
bool model_warm(struct model *model, int lanes, struct err *e);

/* Counts a request, or samples computed together: for this version, and for its name. */
void model_count_request(struct model *model, const struct metrics_prediction *request);
void model_count_batch(struct model *model, int samples, int64_t ns);

struct model *model_acquire(struct model *model); /* one more user; returns it */
void model_release(struct model *model);          /* the last one frees it; NULL is fine */

/* A lane of its predictor; give it back after use. Give takes NULL. */
struct cnn_lane *model_lane_take(struct model *model, struct err *e);
void model_lane_give(struct model *model, struct cnn_lane *lane);

/* Memory that it takes: parameters, prepared weights, lanes. */
size_t model_memory(struct model *model);

#endif
