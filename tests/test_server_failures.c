/* Failures of a job: their links lead to the samples, and the samples to the same wrong answers. */
#include "base64.h"
#include "dataset_client.h"
#include "job_client.h"

/* A net that knows next to nothing, judged on the test split or on held-out samples. */
static void make_failures(const char *generator, int train, int test, const char *options)
{
    char body[256];
    daemon_start(&server, NULL);
    for (int version = 1; version <= 2; version++) { /* the job uses the second */
        snprintf(body, sizeof body, "{\"generator\":\"%s\",\"train\":%d,\"test\":%d,\"seed\":%d}",
                 generator, train, test, version);
        reply_expect(
            send_type(&server, "PUT", "/datasets/d", "application/json", body, strlen(body)), 201,
            NULL);
    }
    snprintf(
        body, sizeof body,
        "{\"model\":\"m\",\"dataset\":\"d\",\"epochs\":1,\"optimizer\":{\"type\":\"sgd\",\"lr\""
        ":1e-6},\"architecture\":{\"layers\":[{\"type\":\"flatten\"},{\"type\":\"dense\","
        "\"units\":%d}]}%s}",
        strcmp(generator, "solids") == 0 ? 5 : 2, options);
    cJSON_Delete(run_job(&server, body));
    snprintf(body, sizeof body, "{\"generator\":\"%s\",\"train\":4}", generator);
    reply_expect(send_type(&server, "PUT", "/datasets/d", "application/json", body, strlen(body)),
                 201, "\"version\":3", NULL); /* newer than what the links mean */
}

static cJSON *failures_of(const char *query)
{
    cJSON *report = get_json(&server, "/jobs/1/failures%s", query);
    ck_assert_int_gt(cJSON_GetArraySize(member(report, "failures")), 0);
    return report;
}

/* The sample behind the link is of the class, and predicted as the failure says. */
static void follow(const cJSON *failure)
{
    cJSON *sample = get_json(&server, "%s", text(failure, "link"));
    ck_assert_str_eq(text(sample, "label"), text(failure, "actual"));
    ck_assert_int_eq((int)number(sample, "index"), (int)number(failure, "sample"));
    ck_assert_int_eq((int)number(sample, "version"), 2);
    cJSON_Delete(sample);

    char path[256];
    snprintf(path, sizeof path, "%s&format=npy", text(failure, "link"));
    struct reply npy = client_get(&server, path);
    struct reply reply =
        client_send(&server, "POST", "/predict?scores=all", NULL, npy.body, npy.size);
    ck_assert_msg(reply.status == 200, "%s", reply.body);
    cJSON *answer = cJSON_Parse(reply.body);
    const cJSON *prediction = cJSON_GetArrayItem(member(answer, "predictions"), 0);
    ck_assert_str_eq(text(prediction, "label"), text(failure, "predicted"));
    for (int i = 0; i < cJSON_GetArraySize(member(failure, "scores")); i++)
        ck_assert_double_eq_tol(cJSON_GetArrayItem(member(prediction, "scores"), i)->valuedouble,
                                cJSON_GetArrayItem(member(failure, "scores"), i)->valuedouble,
                                1e-5);
    cJSON_Delete(answer);
    reply_clear(&reply);
    reply_clear(&npy);
}

static void follow_all(const char *split)
{
    const cJSON *failure;
    cJSON *report = failures_of("");
    ck_assert_str_eq(text(report, "split"), split);
    cJSON_ArrayForEach(failure, member(report, "failures"))
    {
        follow(failure);
        struct reply picture = client_get(&server, text(failure, "picture"));
        ck_assert_int_eq(picture.status, 200);
        ck_assert(image_sniff(picture.body, picture.size));
        reply_clear(&picture);
    }
    cJSON_Delete(report);
}

START_TEST(links_lead_to_the_samples_that_failed)
{
    make_failures("shapes", 20, 20, "");
    follow_all("test");
    daemon_stop(&server);
}
END_TEST

START_TEST(links_of_held_out_samples_lead_into_the_training_split)
{
    make_failures("shapes", 40, 0, ",\"validation_split\":0.5");
    follow_all("validation");
    daemon_stop(&server);
}
END_TEST

START_TEST(points_are_the_occupied_voxels)
{
    make_failures("solids", 5, 10, "");
    cJSON *report = failures_of("?include=points&limit=3");
    const cJSON *failure, *point;
    ck_assert_int_le(cJSON_GetArraySize(member(report, "failures")), 3);
    cJSON_ArrayForEach(failure, member(report, "failures"))
    {
        char path[256];
        uint8_t grid[24 * 24 * 24] = {0};
        struct npy npy;
        struct err e;
        ck_assert_ptr_null(cJSON_GetObjectItem(failure, "image"));
        cJSON_ArrayForEach(point, member(failure, "points"))
        {
            int at = 0;
            for (int axis = 0; axis < 3; axis++)
                at = 24 * at + cJSON_GetArrayItem(point, axis)->valueint;
            grid[at] = 1;
        }
        snprintf(path, sizeof path, "%s&format=npy", text(failure, "link"));
        struct reply reply = client_get(&server, path);
        ck_assert(npy_parse(reply.body, reply.size, &npy, &e));
        ck_assert_uint_eq(npy.count, sizeof grid);
        ck_assert_mem_eq(npy.data, grid, sizeof grid);
        reply_clear(&reply);
    }
    cJSON_Delete(report);
    daemon_stop(&server);
}
END_TEST

START_TEST(images_are_the_pictures_behind_the_links)
{
    make_failures("solids", 5, 5, "");
    cJSON *report = failures_of("?include=points,image&limit=2");
    const cJSON *failure;
    cJSON_ArrayForEach(failure, member(report, "failures"))
    {
        struct buf png = {0};
        struct err e;
        const char *uri = text(failure, "image");
        ck_assert_msg(base64_decode(uri, strlen(uri), 1 << 20, &png, &e), "%s", e.detail);
        struct reply picture = client_get(&server, text(failure, "picture"));
        ck_assert_uint_eq(picture.size, png.size);
        ck_assert_mem_eq(picture.body, png.data, png.size);
        ck_assert(cJSON_IsArray(member(failure, "points")));
        reply_clear(&picture);
        buf_clear(&png);
    }
    cJSON_Delete(report);
    daemon_stop(&server);
}
END_TEST

START_TEST(what_cannot_be_included_is_refused)
{
    make_failures("shapes", 4, 10, "");
    expect_problem(client_get(&server, "/jobs/1/failures?include=sound"), 400, "include",
                   "'sound'");
    expect_problem(client_get(&server, "/jobs/1/failures?include=points"), 400, "include",
                   "samples of shape [1,28,28] have no points");
    cJSON_Delete(failures_of("?include="));
    daemon_stop(&server);
}
END_TEST

START_TEST(a_deleted_dataset_leaves_no_links)
{
    make_failures("shapes", 4, 10, "");
    struct reply gone = client_send(&server, "DELETE", "/datasets/d", NULL, NULL, 0);
    ck_assert_int_eq(gone.status, 204);
    reply_clear(&gone);
    reply_expect(send_type(&server, "PUT", "/datasets/d", "application/json",
                           "{\"generator\":\"shapes\",\"train\":4}", 32),
                 201, "\"version\":4", NULL); /* the same name, other samples */
    cJSON *report = failures_of("");
    const cJSON *failure = cJSON_GetArrayItem(member(report, "failures"), 0);
    ck_assert(cJSON_IsNull(member(failure, "link")) && cJSON_IsNull(member(failure, "picture")));
    cJSON_Delete(report);
    expect_problem(client_get(&server, "/jobs/1/failures?include=image"), 404, "include",
                   "version 2 of dataset 'd' has been deleted");
    daemon_stop(&server);
}
END_TEST

TEST_PROGRAM("server failures", links_lead_to_the_samples_that_failed,
             links_of_held_out_samples_lead_into_the_training_split, points_are_the_occupied_voxels,
             images_are_the_pictures_behind_the_links, what_cannot_be_included_is_refused,
             a_deleted_dataset_leaves_no_links)
