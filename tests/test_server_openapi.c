/* The OpenAPI document and the table of routes say the same. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract.h"
#include "harness.h"
#include "job_client.h"
#include "router.h"
#include "schema.h"

static const char *const methods[] = {"GET", "PUT", "POST", "DELETE", "PATCH"};
enum { METHOD_COUNT = sizeof methods / sizeof methods[0] };

static const cJSON *find(const cJSON *json, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(json, key);
}

static bool has_route(const char *method, const char *pattern)
{
    for (const struct route *route = routes; route->method; route++)
        if (strcmp(route->method, method) == 0 && strcmp(route->pattern, pattern) == 0)
            return true;
    return false;
}

START_TEST(every_route_stands_in_the_document)
{
    cJSON *json = contract_document();
    const cJSON *paths = find(json, "paths");
    for (const struct route *route = routes; route->method; route++)
        ck_assert_msg(contract_operation(find(paths, route->pattern), route->method) != NULL,
                      "%s %s is not in openapi.yaml", route->method, route->pattern);
    cJSON_Delete(json);
}
END_TEST

START_TEST(every_operation_of_the_document_is_a_route)
{
    cJSON *json = contract_document();
    const cJSON *path;
    cJSON_ArrayForEach(path, find(json, "paths"))
    {
        for (int m = 0; m < METHOD_COUNT; m++)
            if (contract_operation(path, methods[m]))
                ck_assert_msg(has_route(methods[m], path->string), "%s %s is not in routes.c",
                              methods[m], path->string);
    }
    cJSON_Delete(json);
}
END_TEST

static void check_references(const cJSON *json, const cJSON *node)
{
    const cJSON *child;
    const cJSON *reference = cJSON_IsObject(node) ? find(node, "$ref") : NULL;
    if (cJSON_IsString(reference))
        ck_assert_msg(schema_resolve(json, reference->valuestring) != NULL, "%s names nothing",
                      reference->valuestring);
    cJSON_ArrayForEach(child, node) check_references(json, child);
}

START_TEST(every_reference_names_something)
{
    cJSON *json = contract_document();
    check_references(json, json);
    cJSON_Delete(json);
}
END_TEST

static bool is_parameter(const cJSON *json, const cJSON *list, const char *name)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        const cJSON *reference = find(item, "$ref");
        const cJSON *parameter = reference ? schema_resolve(json, reference->valuestring) : item;
        if (strcmp(find(parameter, "name")->valuestring, name) == 0 &&
            strcmp(find(parameter, "in")->valuestring, "path") == 0)
            return true;
    }
    return false;
}

START_TEST(every_name_in_a_path_is_a_parameter)
{
    cJSON *json = contract_document();
    const cJSON *path;
    int names = 0;
    cJSON_ArrayForEach(path, find(json, "paths"))
    {
        for (const char *at = path->string; (at = strchr(at, '{')); at++, names++) {
            char name[64];
            ck_assert_int_eq(sscanf(at, "{%63[^}]}", name), 1);
            ck_assert_msg(is_parameter(json, find(path, "parameters"), name), "%s: {%s}",
                          path->string, name);
        }
    }
    ck_assert_int_gt(names, 0);
    cJSON_Delete(json);
}
END_TEST

START_TEST(every_operation_has_an_id_of_its_own_and_a_response)
{
    cJSON *json = contract_document(), *seen = cJSON_CreateObject();
    const cJSON *path;
    cJSON_ArrayForEach(path, find(json, "paths"))
    {
        for (int m = 0; m < METHOD_COUNT; m++) {
            const cJSON *found = contract_operation(path, methods[m]);
            if (!found)
                continue;
            const cJSON *id = find(found, "operationId");
            ck_assert_msg(cJSON_IsString(id), "%s %s", methods[m], path->string);
            ck_assert_msg(!find(seen, id->valuestring), "%s twice", id->valuestring);
            cJSON_AddTrueToObject(seen, id->valuestring);
            ck_assert_msg(cJSON_GetArraySize(find(found, "responses")) > 0, "%s", id->valuestring);
        }
    }
    cJSON_Delete(seen);
    cJSON_Delete(json);
}
END_TEST

/* ---- real replies ---- */

/* The reply is one that the document lists by its own status; that it is as the document says has
 * been checked by client_send (contract.h). */
static void expect_listed(const cJSON *json, const char *method, const char *pattern,
                          struct reply *reply)
{
    char key[8];
    snprintf(key, sizeof key, "%d", reply->status);
    const cJSON *found = contract_operation(find(find(json, "paths"), pattern), method);
    ck_assert_msg(find(find(found, "responses"), key) != NULL, "%s %s: %d is not listed: %s",
                  method, pattern, reply->status, reply->body);
    reply_clear(reply);
}

/* One request; what a pattern's names stand for is in `path`. */
struct request {
    const char *method, *pattern, *path, *accept, *body;
};

static void expect_all_listed(const struct daemon *daemon, const cJSON *json,
                              const struct request *requests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct request *r = &requests[i];
        char header[64];
        snprintf(header, sizeof header, "Accept: %s", r->accept ? r->accept : "*/*");
        struct reply reply =
            client_send(daemon, r->method, r->path, (const char *const[]){header, NULL}, r->body,
                        r->body ? strlen(r->body) : 0);
        expect_listed(json, r->method, r->pattern, &reply);
    }
}

/* The file of one model as another. */
static void expect_put_listed(const struct daemon *daemon, const cJSON *json)
{
    struct reply file = client_get(daemon, "/models/m/onnx");
    struct reply reply =
        client_send(daemon, "PUT", "/models/copy?labels=a,b", NULL, file.body, file.size);
    ck_assert_int_eq(reply.status, 201);
    expect_listed(json, "PUT", "/models/{model}", &reply);
    reply_clear(&file);
}

/* 784 zeros. */
static char *predict_body(void)
{
    static char body[2048] = "{\"inputs\":[0";
    size_t used = strlen("{\"inputs\":[0");
    for (int i = 1; i < 784; i++, used += 2)
        memcpy(body + used, ",0", 3);
    memcpy(body + used, "]}", 3);
    return body;
}

/* The same 784 numbers for /v2. */
static char *v2_body(void)
{
    static char body[2048];
    snprintf(body, sizeof body,
             "{\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[1,1,28,28],"
             "\"data\":%s]}",
             strchr(predict_body(), '['));
    return body;
}

#define JOB "{\"model\":\"m\",\"dataset\":\"shapes\",\"architecture\":\"shapes-cnn\",\"epochs\":1}"
#define LAYERS                                                                         \
    "{\"layers\":[{\"type\":\"conv2d\",\"filters\":2,\"kernel\":3,\"name\":\"c\"},"    \
    "{\"type\":\"relu\"},{\"type\":\"max_pool2d\",\"size\":2},{\"type\":\"flatten\"}," \
    "{\"type\":\"dropout\",\"rate\":0.1},{\"type\":\"dense\",\"units\":2}]}"

START_TEST(real_replies_are_as_the_document_says)
{
    const struct request requests[] = {
        {"GET", "/", "/", NULL, NULL},
        {"GET", "/health/live", "/health/live", NULL, NULL},
        {"GET", "/health/ready", "/health/ready", NULL, NULL},
        {"GET", "/version", "/version", NULL, NULL},
        {"GET", "/storage", "/storage", NULL, NULL},
        {"GET", "/openapi.json", "/openapi.json", NULL, NULL},
        {"GET", "/metrics", "/metrics", NULL, NULL},
        {"POST", "/predict", "/predict?model=m&scores=all", NULL, predict_body()},
        {"POST", "/predict", "/predict?model=m", "application/octet-stream", predict_body()},
        {"POST", "/predict", "/predict", NULL, "{\"inputs\":[1,2,3]}"},
        {"POST", "/models/{model}/predict", "/models/m/predict?top=1", NULL, predict_body()},
        {"POST", "/models/{model}/predict", "/models/none/predict", NULL, predict_body()},
        {"POST", "/models/{model}/versions/{version}/predict", "/models/m/versions/1/predict", NULL,
         predict_body()},
        {"GET", "/models", "/models", NULL, NULL},
        {"GET", "/models/{model}", "/models/m", NULL, NULL},
        {"GET", "/models/{model}", "/models/none", NULL, NULL},
        {"GET", "/models/{model}/summary", "/models/m/summary", NULL, NULL},
        {"GET", "/models/{model}/summary", "/models/m/summary", "text/plain", NULL},
        {"GET", "/models/{model}/onnx", "/models/m/onnx", NULL, NULL},
        {"GET", "/models/{model}/versions/{version}/onnx", "/models/m/versions/1/onnx", NULL, NULL},
        {"PUT", "/models/{model}", "/models/other", NULL, "not a model"},
        {"POST", "/models/{model}/versions/{version}/activate", "/models/m/versions/1/activate",
         NULL, NULL},
        {"POST", "/models/{model}/versions/{version}/activate", "/models/m/versions/7/activate",
         NULL, NULL},
        {"POST", "/models/{model}/evaluate", "/models/m/evaluate", NULL,
         "{\"dataset\":\"shapes\",\"split\":\"train\"}"},
        {"GET", "/v2", "/v2", NULL, NULL},
        {"GET", "/v2/health/live", "/v2/health/live", NULL, NULL},
        {"GET", "/v2/health/ready", "/v2/health/ready", NULL, NULL},
        {"GET", "/v2/models", "/v2/models", NULL, NULL},
        {"GET", "/v2/models/stats", "/v2/models/stats", NULL, NULL},
        {"GET", "/v2/models/{model}", "/v2/models/m", NULL, NULL},
        {"GET", "/v2/models/{model}", "/v2/models/none", NULL, NULL},
        {"GET", "/v2/models/{model}/ready", "/v2/models/m/ready", NULL, NULL},
        {"GET", "/v2/models/{model}/ready", "/v2/models/none/ready", NULL, NULL},
        {"GET", "/v2/models/{model}/config", "/v2/models/m/config", NULL, NULL},
        {"GET", "/v2/models/{model}/config", "/v2/models/none/config", NULL, NULL},
        {"GET", "/v2/models/{model}/stats", "/v2/models/m/stats", NULL, NULL},
        {"GET", "/v2/models/{model}/stats", "/v2/models/none/stats", NULL, NULL},
        {"POST", "/v2/models/{model}/infer", "/v2/models/m/infer", NULL, v2_body()},
        {"POST", "/v2/models/{model}/infer", "/v2/models/m/infer", NULL, "{}"},
        {"POST", "/v2/models/{model}/infer", "/v2/models/none/infer", NULL, "{}"},
        {"GET", "/v2/models/{model}/versions/{version}", "/v2/models/m/versions/1", NULL, NULL},
        {"GET", "/v2/models/{model}/versions/{version}", "/v2/models/none/versions/1", NULL, NULL},
        {"GET", "/v2/models/{model}/versions/{version}/ready", "/v2/models/m/versions/1/ready",
         NULL, NULL},
        {"GET", "/v2/models/{model}/versions/{version}/ready", "/v2/models/none/versions/1/ready",
         NULL, NULL},
        {"GET", "/v2/models/{model}/versions/{version}/config", "/v2/models/m/versions/1/config",
         NULL, NULL},
        {"GET", "/v2/models/{model}/versions/{version}/config", "/v2/models/none/versions/1/config",
         NULL, NULL},
        {"GET", "/v2/models/{model}/versions/{version}/stats", "/v2/models/m/versions/1/stats",
         NULL, NULL},
        {"GET", "/v2/models/{model}/versions/{version}/stats", "/v2/models/none/versions/1/stats",
         NULL, NULL},
        {"POST", "/v2/models/{model}/versions/{version}/infer", "/v2/models/m/versions/1/infer",
         NULL, v2_body()},
        {"POST", "/v2/models/{model}/versions/{version}/infer", "/v2/models/m/versions/1/infer",
         NULL, "{}"},
        {"POST", "/v2/models/{model}/versions/{version}/infer", "/v2/models/none/versions/1/infer",
         NULL, "{}"},
        {"POST", "/v2/repository/index", "/v2/repository/index", NULL, NULL},
        {"POST", "/v2/repository/index", "/v2/repository/index", NULL, "{\"ready\":1}"},
        {"POST", "/v2/repository/models/{model}/unload", "/v2/repository/models/m/unload", NULL,
         NULL},
        {"POST", "/v2/repository/models/{model}/unload", "/v2/repository/models/none/unload", NULL,
         NULL},
        {"POST", "/v2/repository/models/{model}/load", "/v2/repository/models/m/load", NULL, NULL},
        {"POST", "/v2/repository/models/{model}/load", "/v2/repository/models/none/load", NULL,
         NULL},
        {"GET", "/architectures", "/architectures", NULL, NULL},
        {"POST", "/summary", "/summary", NULL, "{\"architecture\":\"lenet\"}"},
        {"POST", "/summary", "/summary", NULL, "{\"architecture\":\"nothing\"}"},
        {"GET", "/datasets", "/datasets", NULL, NULL},
        {"GET", "/datasets/{dataset}", "/datasets/shapes", NULL, NULL},
        {"PUT", "/datasets/{dataset}", "/datasets/other", NULL, "{\"generator\":\"color-shapes\"}"},
        {"PUT", "/datasets/{dataset}", "/datasets/other", NULL, "{\"generator\":\"magic\"}"},
        {"GET", "/datasets/{dataset}/samples", "/datasets/shapes/samples?limit=2", NULL, NULL},
        {"GET", "/datasets/{dataset}/samples", "/datasets/shapes/samples?split=x", NULL, NULL},
        {"POST", "/datasets/{dataset}/samples", "/datasets/other/samples?label=a&split=test", NULL,
         "{\"inputs\":[1,2,3]}"},
        {"POST", "/datasets/{dataset}/samples", "/datasets/grown/samples?label=a", NULL,
         "{\"inputs\":[1,2,3]}"},
        {"GET", "/datasets/{dataset}/samples/{split}/{index}", "/datasets/shapes/samples/test/1",
         NULL, NULL},
        {"GET", "/datasets/{dataset}/samples/{split}/{index}", "/datasets/shapes/samples/test/1",
         "image/png", NULL},
        {"GET", "/datasets/{dataset}/samples/{split}/{index}", "/datasets/shapes/samples/test/1",
         "application/x-npy", NULL},
        {"GET", "/datasets/{dataset}/samples/{split}/{index}", "/datasets/shapes/samples/test/50",
         NULL, NULL},
        {"DELETE", "/datasets/{dataset}", "/datasets/other", NULL, NULL},
        {"DELETE", "/datasets/{dataset}", "/datasets/other", NULL, NULL},
        {"GET", "/jobs", "/jobs?sort=-loss&state=succeeded", NULL, NULL},
        {"GET", "/jobs", "/jobs?full=true", NULL, NULL},
        {"GET", "/jobs", "/jobs?sort=x", NULL, NULL},
        {"GET", "/jobs/compare", "/jobs/compare?ids=1", NULL, NULL},
        {"GET", "/jobs/compare", "/jobs/compare?ids=1,99", NULL, NULL},
        {"GET", "/jobs/{id}", "/jobs/1", NULL, NULL},
        {"GET", "/jobs/{id}", "/jobs/99", NULL, NULL},
        {"GET", "/jobs/{id}", "/jobs/1?wait=x", NULL, NULL},
        {"GET", "/jobs/{id}/events", "/jobs/1/events", NULL, NULL},
        {"GET", "/jobs/{id}/events", "/jobs/1/events?last_event_id=4", NULL, NULL},
        {"GET", "/jobs/{id}/events", "/jobs/1/events?last_event_id=x", NULL, NULL},
        {"GET", "/jobs/{id}/loss", "/jobs/1/loss", NULL, NULL},
        {"GET", "/jobs/{id}/loss", "/jobs/1/loss", "text/csv", NULL},
        {"GET", "/jobs/{id}/confusion", "/jobs/1/confusion?normalize=true", NULL, NULL},
        {"GET", "/jobs/{id}/confusion", "/jobs/1/confusion", "text/csv", NULL},
        {"GET", "/jobs/{id}/confusion", "/jobs/1/confusion", "image/svg+xml", NULL},
        {"GET", "/jobs/{id}/confusion/samples", "/jobs/1/confusion/samples?actual=0&predicted=0",
         NULL, NULL},
        {"GET", "/jobs/{id}/confusion/samples", "/jobs/1/confusion/samples?actual=0", NULL, NULL},
        {"GET", "/jobs/{id}/failures", "/jobs/1/failures", NULL, NULL},
        {"GET", "/jobs/{id}/failures", "/jobs/1/failures?limit=x", NULL, NULL},
        {"POST", "/jobs/{id}/cancel", "/jobs/1/cancel", NULL, NULL},
        {"POST", "/jobs", "/jobs", NULL, "{}"},
        {"POST", "/jobs", "/jobs", NULL,
         "{\"model\":\"n\",\"dataset\":\"shapes\",\"epochs\":100000,\"early_stopping\":"
         "{\"patience\":100000},\"class_weights\":[1,2.5],\"augment\":{\"shift\":2},"
         "\"architecture\":" LAYERS "}"},
        {"GET", "/jobs/compare", "/jobs/compare?ids=1,2", NULL, NULL},
        {"GET", "/jobs/compare", "/jobs/compare?ids=2,1", "text/csv", NULL},
        {"DELETE", "/jobs/{id}", "/jobs/2", NULL, NULL},
        {"POST", "/jobs/{id}/resume", "/jobs/2/resume", NULL, "{\"epochs\":0}"},
        {"POST", "/jobs/{id}/resume", "/jobs/2/resume", NULL, NULL},
        {"POST", "/jobs/{id}/cancel", "/jobs/2/cancel", NULL, NULL},
        {"GET", "/jobs", "/jobs", NULL, NULL},
        {"DELETE", "/jobs/{id}", "/jobs/1", NULL, NULL},
        {"DELETE", "/models/{model}/versions/{version}", "/models/m/versions/1", NULL, NULL},
        {"DELETE", "/models/{model}", "/models/m", NULL, NULL},
    };
    struct daemon daemon;
    cJSON *json = contract_document();
    daemon_start(&daemon, NULL);
    make_shapes(&daemon, 100, 50);
    cJSON_Delete(run_job(&daemon, JOB));
    expect_put_listed(&daemon, json);
    expect_all_listed(&daemon, json, requests, sizeof requests / sizeof requests[0]);
    cJSON_Delete(wait_job(&daemon, "2"));
    /* Every route was asked. */
    for (const struct route *route = routes; route->method; route++) {
        bool asked = false;
        for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
            asked = asked || (strcmp(requests[i].method, route->method) == 0 &&
                              strcmp(requests[i].pattern, route->pattern) == 0);
        ck_assert_msg(asked, "%s %s", route->method, route->pattern);
    }
    cJSON_Delete(json);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_value_that_does_not_fit_its_schema_is_found)
{
    static const char *const values[] = {
        "{}",
        "{\"label\":\"a\",\"index\":0,\"score\":2}",
        "{\"label\":\"a\",\"index\":0.5,\"score\":1}",
        "{\"label\":7,\"index\":0,\"score\":1}",
    };
    cJSON *json = contract_document();
    const cJSON *schema = schema_resolve(json, "#/components/schemas/ClassScore");
    char reason[256];
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        cJSON *value = cJSON_Parse(values[i]);
        ck_assert_msg(!schema_fits(json, schema, value, reason, sizeof reason), "%s", values[i]);
        cJSON_Delete(value);
    }
    cJSON *value = cJSON_Parse("{\"label\":\"a\",\"index\":0,\"score\":1}");
    ck_assert(schema_fits(json, schema, value, reason, sizeof reason));
    cJSON_Delete(value);
    value = cJSON_Parse("{\"model\":\"m\",\"dataset\":\"d\",\"epoch\":1}");
    ck_assert(!schema_fits(json, schema_resolve(json, "#/components/schemas/JobRequest"), value,
                           reason, sizeof reason));
    ck_assert_ptr_nonnull(strstr(reason, "'epoch'"));
    cJSON_Delete(value);
    cJSON_Delete(json);
}
END_TEST

TEST_PROGRAM("server_openapi", every_route_stands_in_the_document,
             every_operation_of_the_document_is_a_route, every_reference_names_something,
             every_name_in_a_path_is_a_parameter,
             every_operation_has_an_id_of_its_own_and_a_response,
             real_replies_are_as_the_document_says, a_value_that_does_not_fit_its_schema_is_found)
