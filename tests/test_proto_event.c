/* Events of jobs as a text/event-stream, and their ids. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "harness.h"
#include "json_read.h"

START_TEST(ids_read_back_as_written)
{
    static const struct event_id ids[] = {{0, 0}, {1, 0}, {12, 120}, {INT64_MAX, INT32_MAX}};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        char text[EVENT_ID_BYTES];
        struct event_id back;
        event_id_text(ids[i], text);
        ck_assert_msg(event_id_parse(text, &back), "'%s'", text);
        ck_assert_int_eq(back.number, ids[i].number);
        ck_assert_int_eq(back.batch, ids[i].batch);
    }
}
END_TEST

START_TEST(what_is_no_id_is_told_apart)
{
    static const char *const texts[] = {"",
                                        " 1",
                                        "1 ",
                                        "-1",
                                        "+1",
                                        "01",
                                        "1.",
                                        ".1",
                                        "1.x",
                                        "1.2.3",
                                        "1,2",
                                        "0x1",
                                        "1.-2",
                                        "1e3",
                                        "99999999999999999999",
                                        "1.99999999999"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct event_id id;
        ck_assert_msg(!event_id_parse(texts[i], &id), "'%s'", texts[i]);
    }
}
END_TEST

/* The event must be these lines before its data, one line of JSON, and an empty line; returns the
 * JSON, which the caller frees. */
static char *data_of(struct buf *out, const char *head)
{
    const char *text = buf_text(out);
    struct err e;
    size_t size = strlen(head);
    ck_assert_msg(strncmp(text, head, size) == 0, "%s", text);
    const char *line = text + size;
    ck_assert_int_eq(strncmp(line, "data: ", 6), 0);
    const char *end = strchr(line, '\n');
    ck_assert_str_eq(end, "\n\n");
    char *json = strndup(line + 6, (size_t)(end - line) - 6);
    ck_assert_msg(json_check(json, strlen(json), &e), "%s: %s", e.detail, json);
    buf_clear(out);
    return json;
}

START_TEST(a_state_is_one_event)
{
    struct event_state event = {
        .job = 7,
        .id = {3, 0},
        .state = "failed",
        .time = "2026-01-02T03:04:05Z",
        .model = "digits",
        .epochs = 5,
        .error = "line\nbreak\rand \"quotes\"",
        .test_loss = NAN,
        .test_accuracy = 0.5,
    };
    struct buf out = {0};
    event_write_state(&out, &event);
    char *json = data_of(&out, "event: state\nid: 3\n");
    ck_assert_str_eq(json, "{\"job\":\"7\",\"state\":\"failed\",\"time\":\"2026-01-02T03:04:05Z\","
                           "\"model\":\"digits\",\"epochs\":5,"
                           "\"error\":\"line\\nbreak\\rand \\\"quotes\\\"\",\"model_version\":null,"
                           "\"test_loss\":null,\"test_accuracy\":0.5}");
    free(json);
    event.error = NULL;
    event.model_version = 2;
    event_write_state(&out, &event);
    json = data_of(&out, "event: state\nid: 3\n");
    ck_assert_ptr_nonnull(strstr(json, "\"error\":null,\"model_version\":2,"));
    free(json);
}
END_TEST

START_TEST(an_epoch_is_one_event)
{
    const struct event_epoch event = {
        .job = 7,
        .id = {4, 0},
        .time = "2026-01-02T03:04:05Z",
        .epochs = 5,
        .figures = {.epoch = 2,
                    .loss = 0.5,
                    .accuracy = 0.25,
                    .val_loss = NAN,
                    .val_accuracy = NAN,
                    .seconds = 1.5},
    };
    struct buf out = {0};
    event_write_epoch(&out, &event);
    char *json = data_of(&out, "event: epoch\nid: 4\n");
    ck_assert_str_eq(json, "{\"job\":\"7\",\"epoch\":2,\"epochs\":5,\"loss\":0.5,\"accuracy\":0.25,"
                           "\"val_loss\":null,\"val_accuracy\":null,\"seconds\":1.5,"
                           "\"time\":\"2026-01-02T03:04:05Z\"}");
    free(json);
}
END_TEST

START_TEST(a_batch_is_one_event)
{
    const struct event_batch batch = {.epoch = 2,
                                      .epochs = 5,
                                      .batch = 120,
                                      .batches = 400,
                                      .loss = 0.5,
                                      .accuracy = 0.25,
                                      .batch_loss = 0.75,
                                      .lr = 0.125,
                                      .samples_per_second = 1000,
                                      .eta_seconds = NAN};
    struct buf out = {0};
    event_write_batch(&out, 7, (struct event_id){4, 120}, &batch);
    char *json = data_of(&out, "event: batch\nid: 4.120\n");
    ck_assert_str_eq(json, "{\"job\":\"7\",\"epoch\":2,\"epochs\":5,\"batch\":120,\"batches\":400,"
                           "\"loss\":0.5,\"accuracy\":0.25,\"batch_loss\":0.75,\"lr\":0.125,"
                           "\"samples_per_second\":1000,\"eta_seconds\":null}");
    free(json);
}
END_TEST

TEST_PROGRAM("proto_event", ids_read_back_as_written, what_is_no_id_is_told_apart,
             a_state_is_one_event, an_epoch_is_one_event, a_batch_is_one_event)
