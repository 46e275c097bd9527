/* checkpoint.h - where a training job stands, as a safetensors file: what it goes on from.
 *
 * Tensors, in this order: `points` F64 [n,3], the loss curve of the unfinished epoch; `params` F32
 * and, once an epoch is complete, `best`; `moment1` and `moment2`, where the optimizer has them;
 * `request` U8, the job as JSON (job_json.h); and `crc32` U8 [4], zlib's, little-endian, over all
 * the bytes before it, header included. Numbers stand in the metadata, as JSON text under
 * "strided.checkpoint". Blocks are the net's, in its kernels' order (net.h): whoever changes that
 * order counts CHECKPOINT_FORMAT up.
 */
#ifndef STRIDED_CHECKPOINT_H
#define STRIDED_CHECKPOINT_H

#include "job_json.h"
#include "train.h"

enum { CHECKPOINT_FORMAT = 1 };

/* A point of the loss curve; all doubles, so that it is a row of a tensor. */
struct checkpoint_point {
    double batch, loss, lr;
};

struct checkpoint {
    char job[32];
    char cpu[16];                 /* the kernel table that it was computed with */
    double epoch_seconds;         /* of training state.epoch so far */
    struct cnn_train_state state; /* its blocks, and the points, are borrowed */
    int point_count;              /* batches ascend, the last is at most state.batch */
    const struct checkpoint_point *points;
};

/* Hands the file's bytes to `put`, piece by piece in order: a net's blocks are not copied. Fails
 * only for want of memory, before the first piece. */
typedef void checkpoint_put(void *context, const void *bytes, size_t size);
bool checkpoint_write(const struct checkpoint *checkpoint, const struct cnn_net *net,
                      const struct job_request *request, checkpoint_put *put, void *context,
                      struct err *e);

/* Checks everything that can be wrong with bytes: ERR_UNPROCESSABLE for a damaged file,
 * ERR_CONFLICT for one of another job, request (but for epochs, which may have become more, and
 * threads) or net. Whether a run can be in that state is for cnn_train_resume to say. The blocks
 * lie in `bytes`, which begin on 8 bytes as mapped and allocated memory does. */
bool checkpoint_read(const void *bytes, size_t size, const char *job,
                     const struct job_request *request, const struct cnn_net *net,
                     struct checkpoint *checkpoint, struct err *e);

#endif
