/* The OpenAPI document and the table of routes say the same. */
#include <cJSON.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "openapi.h"
#include "router.h"

static const char *const methods[] = {"GET", "PUT", "POST", "DELETE", "PATCH"};
enum { METHOD_COUNT = sizeof methods / sizeof methods[0] };

static cJSON *document(void)
{
    size_t size = (size_t)(openapi_json_end - openapi_json);
    cJSON *json = cJSON_ParseWithLength(openapi_json, size);
    ck_assert_ptr_nonnull(json);
    return json;
}

static const cJSON *member(const cJSON *json, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(json, key);
}

/* The document writes methods in lower case. */
static const cJSON *operation(const cJSON *path, const char *method)
{
    char key[16] = "";
    for (size_t i = 0; method[i] && i < sizeof key - 1; i++)
        key[i] = (char)(method[i] | 0x20);
    return member(path, key);
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
    cJSON *json = document();
    const cJSON *paths = member(json, "paths");
    for (const struct route *route = routes; route->method; route++)
        ck_assert_msg(operation(member(paths, route->pattern), route->method) != NULL,
                      "%s %s is not in openapi.yaml", route->method, route->pattern);
    cJSON_Delete(json);
}
END_TEST

START_TEST(every_operation_of_the_document_is_a_route)
{
    cJSON *json = document();
    const cJSON *path;
    cJSON_ArrayForEach(path, member(json, "paths"))
    {
        for (int m = 0; m < METHOD_COUNT; m++)
            if (operation(path, methods[m]))
                ck_assert_msg(has_route(methods[m], path->string), "%s %s is not in routes.c",
                              methods[m], path->string);
    }
    cJSON_Delete(json);
}
END_TEST

/* What "#/components/schemas/Job" names; NULL if nothing. */
static const cJSON *resolve(const cJSON *json, const char *reference)
{
    char text[256];
    ck_assert_int_eq(strncmp(reference, "#/", 2), 0);
    snprintf(text, sizeof text, "%s", reference + 2);
    char *rest = text;
    for (char *part; json && (part = strsep(&rest, "/"));)
        json = member(json, part);
    return json;
}

static void check_references(const cJSON *json, const cJSON *node)
{
    const cJSON *child;
    const cJSON *reference = cJSON_IsObject(node) ? member(node, "$ref") : NULL;
    if (cJSON_IsString(reference))
        ck_assert_msg(resolve(json, reference->valuestring) != NULL, "%s names nothing",
                      reference->valuestring);
    cJSON_ArrayForEach(child, node) check_references(json, child);
}

START_TEST(every_reference_names_something)
{
    cJSON *json = document();
    check_references(json, json);
    cJSON_Delete(json);
}
END_TEST

static bool is_parameter(const cJSON *json, const cJSON *list, const char *name)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        const cJSON *reference = member(item, "$ref");
        const cJSON *parameter = reference ? resolve(json, reference->valuestring) : item;
        if (strcmp(member(parameter, "name")->valuestring, name) == 0 &&
            strcmp(member(parameter, "in")->valuestring, "path") == 0)
            return true;
    }
    return false;
}

START_TEST(every_name_in_a_path_is_a_parameter)
{
    cJSON *json = document();
    const cJSON *path;
    int names = 0;
    cJSON_ArrayForEach(path, member(json, "paths"))
    {
        for (const char *at = path->string; (at = strchr(at, '{')); at++, names++) {
            char name[64];
            ck_assert_int_eq(sscanf(at, "{%63[^}]}", name), 1);
            ck_assert_msg(is_parameter(json, member(path, "parameters"), name), "%s: {%s}",
                          path->string, name);
        }
    }
    ck_assert_int_gt(names, 0);
    cJSON_Delete(json);
}
END_TEST

START_TEST(every_operation_has_an_id_of_its_own_and_a_response)
{
    cJSON *json = document(), *seen = cJSON_CreateObject();
    const cJSON *path;
    cJSON_ArrayForEach(path, member(json, "paths"))
    {
        for (int m = 0; m < METHOD_COUNT; m++) {
            const cJSON *found = operation(path, methods[m]);
            if (!found)
                continue;
            const cJSON *id = member(found, "operationId");
            ck_assert_msg(cJSON_IsString(id), "%s %s", methods[m], path->string);
            ck_assert_msg(!member(seen, id->valuestring), "%s twice", id->valuestring);
            cJSON_AddTrueToObject(seen, id->valuestring);
            ck_assert_msg(cJSON_GetArraySize(member(found, "responses")) > 0, "%s",
                          id->valuestring);
        }
    }
    cJSON_Delete(seen);
    cJSON_Delete(json);
}
END_TEST

TEST_PROGRAM("server_openapi", every_route_stands_in_the_document,
             every_operation_of_the_document_is_a_route, every_reference_names_something,
             every_name_in_a_path_is_a_parameter,
             every_operation_has_an_id_of_its_own_and_a_response)
