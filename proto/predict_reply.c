#include "predict_reply.h"

#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "json_write.h"
#include "limits.h"

enum {
    TOP_INSERTED = 16, /* up to so many classes are found by insertion, which seldom moves any */
    REPLY_BYTES = 512, /* of one prediction and what stands around it, as a first guess */
};

static float rank_of(float score)
{
    return isnan(score) ? -INFINITY : score;
}

/* Highest score first, what is not a number last, then by class. */
static int compare(const void *left, const void *right, void *context)
{
    const int a = *(const int *)left, b = *(const int *)right;
    const float *scores = context;
    const float x = rank_of(scores[a]), y = rank_of(scores[b]);
    if (x != y)
        return x > y ? -1 : 1;
    return a < b ? -1 : a > b;
}

void predict_reply_top(const float *scores, int classes, int top, int *order)
{
    if (top > TOP_INSERTED) {
        for (int i = 0; i < classes; i++)
            order[i] = i;
        qsort_r(order, (size_t)classes, sizeof *order, compare, (void *)scores);
        return;
    }
    int found = 0;
    for (int class = 0; class < classes; class ++) {
        const float score = rank_of(scores[class]);
        int at = found < top ? found++ : top;
        for (; at > 0 && rank_of(scores[order[at - 1]]) < score; at--)
            if (at < top)
                order[at] = order[at - 1];
        if (at < top)
            order[at] = class;
    }
}

static void write_class(struct json_writer *w, const struct predict_reply *reply, int class,
                        float score)
{
    jw_key_string(w, "label", reply->labels[class]);
    jw_key_int(w, "index", class);
    jw_key(w, "score");
    jw_float(w, score);
}

static void write_prediction(struct json_writer *w, const struct predict_reply *reply,
                             const float *scores)
{
    int order[CNN_CLASSES_MAX];
    predict_reply_top(scores, reply->classes, reply->top, order);
    jw_object(w);
    write_class(w, reply, order[0], scores[order[0]]);
    jw_key(w, "top");
    jw_array(w);
    for (int i = 0; i < reply->top; i++) {
        jw_object(w);
        write_class(w, reply, order[i], scores[order[i]]);
        jw_object_end(w);
    }
    jw_array_end(w);
    if (reply->all_scores) {
        jw_key(w, "scores");
        jw_array(w);
        for (int i = 0; i < reply->classes; i++)
            jw_float(w, scores[i]);
        jw_array_end(w);
    }
    jw_object_end(w);
}

void predict_reply_write(const struct predict_reply *reply, struct buf *out)
{
    struct json_writer w;
    CHECK(reply->classes <= CNN_CLASSES_MAX && reply->top >= 1 && reply->top <= reply->classes);
    buf_reserve(out, REPLY_BYTES);
    jw_begin(&w, out);
    jw_object(&w);
    jw_key_string(&w, "model", reply->model);
    jw_key_int(&w, "version", reply->version);
    jw_key(&w, "predictions");
    jw_array(&w);
    for (int i = 0; i < reply->count; i++)
        write_prediction(&w, reply, reply->scores + (size_t)i * (size_t)reply->classes);
    jw_array_end(&w);
    jw_key(&w, "timing_us");
    jw_object(&w);
    jw_key_int(&w, "decode", reply->decode_us);
    jw_key_int(&w, "queue", reply->queue_us);
    jw_key_int(&w, "compute", reply->compute_us);
    jw_object_end(&w);
    jw_object_end(&w);
}
