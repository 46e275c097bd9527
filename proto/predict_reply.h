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

void predict_reply_write(const struct predict_reply *reply, struct buf *out);

#endif
