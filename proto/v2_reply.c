/* v2_reply.c - an infer reply: the scores, or the best classes as texts "score:index:label". */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "json_write.h"
#include "limits.h"
#include "predict_reply.h"
#include "v2.h"

enum { TEXT_BYTES = LIMIT_LABEL_BYTES + 64 };

static int class_text(const struct v2_reply *reply, const float *scores, int class,
                      char text[TEXT_BYTES])
{
    return snprintf(text, TEXT_BYTES, "%f:%d:%s", (double)scores[class], class,
                    reply->labels[class]);
}

static int columns(const struct v2_reply *reply)
{
    const int asked = reply->wanted->classification;
    return asked == 0 || asked > reply->classes ? reply->classes : asked;
}

/* ---- values ---- */

typedef void put_text(void *context, const char *text, int size);

/* Every text of the output, in order. */
static void for_each_text(const struct v2_reply *reply, put_text *put, void *context)
{
    int order[CNN_CLASSES_MAX];
    char text[TEXT_BYTES];
    CHECK(reply->classes <= CNN_CLASSES_MAX);
    for (int i = 0; i < reply->count; i++) {
        const float *scores = reply->scores + (size_t)i * (size_t)reply->classes;
        predict_reply_top(scores, reply->classes, columns(reply), order);
        for (int k = 0; k < columns(reply); k++)
            put(context, text, class_text(reply, scores, order[k], text));
    }
}

static void write_json_text(void *context, const char *text, int size)
{
    (void)size;
    jw_string(context, text);
}

static void count_text(void *context, const char *text, int size)
{
    (void)text;
    *(size_t *)context += 4 + (size_t)size;
}

/* Its length in four bytes, then the text. */
static void write_binary_text(void *context, const char *text, int size)
{
    const unsigned char length[4] = {(unsigned char)size, (unsigned char)(size >> 8), 0, 0};
    buf_add(context, length, sizeof length);
    buf_add(context, text, (size_t)size);
}

static size_t binary_size(const struct v2_reply *reply)
{
    size_t size = 0;
    if (!reply->wanted->classification)
        return (size_t)reply->count * (size_t)reply->classes * sizeof *reply->scores;
    for_each_text(reply, count_text, &size);
    return size;
}

static void write_binary(const struct v2_reply *reply, struct buf *out)
{
    if (reply->wanted->classification)
        for_each_text(reply, write_binary_text, out);
    else
        buf_add(out, reply->scores, binary_size(reply));
}

static void write_data(const struct v2_reply *reply, struct json_writer *w)
{
    const size_t count = (size_t)reply->count * (size_t)reply->classes;
    jw_key(w, "data");
    jw_array(w);
    if (reply->wanted->classification)
        for_each_text(reply, write_json_text, w);
    for (size_t i = 0; !reply->wanted->classification && i < count; i++)
        jw_float(w, reply->scores[i]);
    jw_array_end(w);
}

/* ---- the document ---- */

static void write_output(const struct v2_reply *reply, struct json_writer *w)
{
    jw_object(w);
    jw_key_string(w, "name", V2_OUTPUT);
    jw_key_string(w, "datatype", reply->wanted->classification ? "BYTES" : "FP32");
    jw_key(w, "shape");
    jw_array(w);
    jw_int(w, reply->count);
    jw_int(w, columns(reply));
    jw_array_end(w);
    if (reply->wanted->binary) {
        jw_key(w, "parameters");
        jw_object(w);
        jw_key_int(w, "binary_data_size", (int64_t)binary_size(reply));
        jw_object_end(w);
    } else {
        write_data(reply, w);
    }
    jw_object_end(w);
}

void v2_reply_write(const struct v2_reply *reply, struct buf *out, int64_t *head)
{
    char version[16];
    struct json_writer w;
    snprintf(version, sizeof version, "%d", reply->version);
    jw_begin(&w, out);
    jw_object(&w);
    if (reply->wanted->id)
        jw_key_string(&w, "id", reply->wanted->id);
    jw_key_string(&w, "model_name", reply->model);
    jw_key_string(&w, "model_version", version);
    jw_key(&w, "outputs");
    jw_array(&w);
    write_output(reply, &w);
    jw_array_end(&w);
    jw_object_end(&w);
    *head = V2_HEAD_ALL;
    if (reply->wanted->binary) {
        *head = (int64_t)out->size;
        write_binary(reply, out);
    }
}
