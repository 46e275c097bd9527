/* predict_reply.h - the JSON document that answers a prediction. */
#ifndef STRIDED_PREDICT_REPLY_H
#define STRIDED_PREDICT_REPLY_H

#include <stdint.h>

#include "buf.h"

/* All borrowed. */
struct predict_reply {
    const char *model;
    int version;
    int classes;         /* 1 .. CNN_CLASSES_MAX */
    char *const *labels; /* [classes] */
    int count;
    const float *scores; /* [count, classes]; one that is not finite is written as null */
    int top;             /* classes named of each prediction, 1 .. classes */
    bool all_scores;     /* and every class's score besides */
    int64_t decode_us, queue_us, compute_us;
};

/* order[0 .. top-1]: the best classes of one sample, best first; order has room for `classes`. */
void predict_reply_top(const float *scores, int classes, int top, int *order);

void predict_reply_write(const struct predict_reply *reply, struct buf *out);

#endif
