#include "contract.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "http_target.h"
#include "openapi.h"
#include "router.h"
#include "schema.h"

cJSON *contract_document(void)
{
    cJSON *json = cJSON_ParseWithLength(openapi_json, (size_t)(openapi_json_end - openapi_json));
    ck_assert_ptr_nonnull(json);
    return json;
}

static const cJSON *find(const cJSON *json, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(json, key);
}

/* The document writes methods in lower case. */
const cJSON *contract_operation(const cJSON *path, const char *method)
{
    char key[16] = "";
    for (size_t i = 0; method[i] && i < sizeof key - 1; i++)
        key[i] = (char)(method[i] | 0x20);
    return find(path, key);
}

static const cJSON *resolve(const cJSON *json, const cJSON *response)
{
    const cJSON *reference = find(response, "$ref");
    return reference ? schema_resolve(json, reference->valuestring) : response;
}

static const cJSON *response_of(const cJSON *json, const cJSON *operation, int status)
{
    char key[8];
    snprintf(key, sizeof key, "%d", status);
    const cJSON *responses = find(operation, "responses"), *response = find(responses, key);
    return resolve(json, response || status < 400 ? response : find(responses, "default"));
}

/* The route that answers; NULL: none does. */
static const struct route *route_of(const char *method, const char *target)
{
    char params[HTTP_PARAMS_MAX][HTTP_PARAM_BYTES], allow[128];
    struct http_target parsed = {0};
    struct err e;
    const struct route *route = NULL;
    if (http_target_parse(target, &parsed, &e))
        route = router_find(method, parsed.path, params, allow, sizeof allow);
    http_target_clear(&parsed);
    return route;
}

static void check_body(const cJSON *json, const cJSON *response, const char *what,
                       const struct reply *reply)
{
    char type[128], reason[1024] = "";
    const char *header = reply_header(reply, "Content-Type");
    ck_assert_msg(header != NULL, "%s: no content type", what);
    snprintf(type, sizeof type, "%s", header);
    type[strcspn(type, ";")] = '\0';
    const cJSON *media = find(find(response, "content"), type);
    ck_assert_msg(media != NULL, "%s: %d as %s is not listed", what, reply->status, type);
    if (!strstr(type, "json"))
        return;
    cJSON *body = cJSON_Parse(reply->body);
    ck_assert_msg(schema_fits(json, find(media, "schema"), body, reason, sizeof reason),
                  "%s: %s: %.2000s", what, reason, reply->body);
    cJSON_Delete(body);
}

/* One parse a process; tests may send from threads of their own. */
static cJSON *document;
static pthread_once_t document_read = PTHREAD_ONCE_INIT;

static void read_document(void)
{
    document = contract_document();
}

void contract_check(const char *method, const char *target, const struct reply *reply)
{
    char what[256];
    pthread_once(&document_read, read_document);
    const cJSON *json = document;
    snprintf(what, sizeof what, "%s %.200s", method, target);
    const struct route *route = route_of(method, target);
    const cJSON *operation =
        route ? contract_operation(find(find(json, "paths"), route->pattern), route->method) : NULL;
    if ((route && !operation) || (!route && reply->status < 400))
        return;
    const cJSON *response = operation
                                ? response_of(json, operation, reply->status)
                                : schema_resolve(json, strncmp(target, "/v2/", 4) == 0
                                                           ? "#/components/responses/V2Error"
                                                           : "#/components/responses/Problem");
    ck_assert_msg(response != NULL, "%s: %d is not listed: %.2000s", what, reply->status,
                  reply->body);
    if (reply->size > 0)
        check_body(json, response, what, reply);
    else
        ck_assert_msg(strcmp(method, "HEAD") == 0 || reply->status == 204 ||
                          !find(find(response, "content"), "application/json"),
                      "%s: %d without a body", what, reply->status);
}
