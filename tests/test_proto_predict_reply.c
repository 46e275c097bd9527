/* The document that answers a prediction. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "limits.h"
#include "predict_reply.h"
#include "rng.h"

static char *const abc[] = {"a", "b", "c", "d"};

static void check(const struct predict_reply *reply, const char *expected)
{
    struct buf out = {.data = NULL};
    predict_reply_write(reply, &out);
    ck_assert(buf_ok(&out));
    ck_assert_str_eq(buf_text(&out), expected);
    buf_clear(&out);
}

START_TEST(the_document_is_as_promised)
{
    const float scores[] = {.25f, .5f, .125f, .125f};
    const struct predict_reply reply = {.model = "m",
                                        .version = 3,
                                        .classes = 4,
                                        .labels = abc,
                                        .count = 1,
                                        .scores = scores,
                                        .top = 2,
                                        .decode_us = 1,
                                        .queue_us = 20,
                                        .compute_us = 300};
    check(&reply, "{\"model\":\"m\",\"version\":3,\"predictions\":[{\"label\":\"b\",\"index\":1,"
                  "\"score\":0.5,\"top\":[{\"label\":\"b\",\"index\":1,\"score\":0.5},"
                  "{\"label\":\"a\",\"index\":0,\"score\":0.25}]}],"
                  "\"timing_us\":{\"decode\":1,\"queue\":20,\"compute\":300}}");
}
END_TEST

START_TEST(all_scores_stand_by_class_and_what_is_no_number_is_null)
{
    const float scores[] = {NAN, .5f, INFINITY, .125f, 0, 0, 0, 1};
    const struct predict_reply reply = {.model = "m",
                                        .version = 1,
                                        .classes = 4,
                                        .labels = abc,
                                        .count = 2,
                                        .scores = scores,
                                        .top = 1,
                                        .all_scores = true};
    check(&reply,
          "{\"model\":\"m\",\"version\":1,\"predictions\":["
          "{\"label\":\"c\",\"index\":2,\"score\":null,\"top\":[{\"label\":\"c\",\"index\":2,"
          "\"score\":null}],\"scores\":[null,0.5,null,0.125]},"
          "{\"label\":\"d\",\"index\":3,\"score\":1,\"top\":[{\"label\":\"d\",\"index\":3,"
          "\"score\":1}],\"scores\":[0,0,0,1]}],"
          "\"timing_us\":{\"decode\":0,\"queue\":0,\"compute\":0}}");
}
END_TEST

/* Indexes of the "top" list as they come. */
static int read_top(const char *text, int *indexes)
{
    int count = 0;
    for (const char *at = strstr(text, "\"top\":["); (at = strstr(at, "\"index\":")); at++)
        indexes[count++] = atoi(at + 8);
    return count;
}

START_TEST(the_best_come_first_and_equals_by_class_however_many_are_asked_for)
{
    enum { CLASSES = 100 };
    static const int tops[] = {1, 2, 3, 15, 16, 17, 99, 100};
    char *labels[CLASSES];
    float scores[CLASSES];
    int indexes[CLASSES];
    struct cnn_rng rng;
    cnn_rng_init(&rng, 3, 0);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < CLASSES; i++) {
            labels[i] = "x";
            scores[i] = cnn_rng_below(&rng, 20) == 0 ? NAN : (float)cnn_rng_below(&rng, 30) / 32;
        }
        for (size_t t = 0; t < sizeof tops / sizeof tops[0]; t++) {
            const struct predict_reply reply = {.model = "m",
                                                .version = 1,
                                                .classes = CLASSES,
                                                .labels = labels,
                                                .count = 1,
                                                .scores = scores,
                                                .top = tops[t]};
            struct buf out = {.data = NULL};
            predict_reply_write(&reply, &out);
            ck_assert_int_eq(read_top(buf_text(&out), indexes), tops[t]);
            for (int i = 1; i < tops[t]; i++) {
                const float x = scores[indexes[i - 1]], y = scores[indexes[i]];
                ck_assert(isnan(y) ? !isnan(x) || indexes[i - 1] < indexes[i]
                                   : x > y || (x == y && indexes[i - 1] < indexes[i]));
            }
            int better = 0; /* than the last one named: all of them are named before it */
            for (int i = 0; i < CLASSES; i++)
                better += scores[i] > scores[indexes[tops[t] - 1]];
            ck_assert_int_lt(better, tops[t]);
            buf_clear(&out);
        }
    }
}
END_TEST

TEST_PROGRAM("proto predict reply", the_document_is_as_promised,
             all_scores_stand_by_class_and_what_is_no_number_is_null,
             the_best_come_first_and_equals_by_class_however_many_are_asked_for)
