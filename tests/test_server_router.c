/* The table of routes, the decoding of targets, content negotiation, and the work pool. */
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "harness.h"
#include "http_head.h"
#include "http_problem.h"
#include "http_target.h"
#include "limits.h"
#include "pool.h"
#include "router.h"

static char params[HTTP_PARAMS_MAX][HTTP_PARAM_BYTES];
static char allow[128];

static const struct route *find(const char *method, const char *path)
{
    return router_find(method, path, params, allow, sizeof allow);
}

START_TEST(path_and_method_choose_the_handler)
{
    ck_assert_ptr_eq((void *)find("GET", "/")->handler, (void *)api_index);
    ck_assert_ptr_eq((void *)find("GET", "/datasets/mnist")->handler, (void *)api_datasets_get);
    ck_assert_ptr_eq((void *)find("PUT", "/datasets/mnist")->handler, (void *)api_datasets_put);
    ck_assert_ptr_eq((void *)find("POST", "/predict")->handler, (void *)api_predict);
}
END_TEST

START_TEST(params_are_taken_in_order_and_empty_past_the_pattern)
{
    ck_assert_ptr_nonnull(find("POST", "/models/digits/versions/3/predict"));
    ck_assert_str_eq(params[0], "digits");
    ck_assert_str_eq(params[1], "3");
    ck_assert_ptr_nonnull(find("POST", "/models/digits/predict"));
    ck_assert_str_eq(params[0], "digits");
    ck_assert_str_eq(params[1], "");
}
END_TEST

START_TEST(a_param_too_long_for_any_name_is_cut)
{
    char path[400] = "/models/";
    memset(path + 8, 'a', 300);
    ck_assert_ptr_nonnull(find("GET", path));
    ck_assert_uint_eq(strlen(params[0]), HTTP_PARAM_BYTES - 1);
}
END_TEST

START_TEST(head_is_answered_where_get_is)
{
    ck_assert_ptr_eq((void *)find("HEAD", "/version"), (void *)find("GET", "/version"));
    ck_assert_ptr_null(find("HEAD", "/predict"));
}
END_TEST

START_TEST(a_wrong_method_lists_those_allowed)
{
    ck_assert_ptr_null(find("POST", "/datasets/x"));
    ck_assert_str_eq(allow, "GET, HEAD, PUT, DELETE");
    ck_assert_ptr_null(find("get", "/predict"));
    ck_assert_str_eq(allow, "POST");
}
END_TEST

START_TEST(an_unknown_path_allows_nothing)
{
    static const char *const paths[] = {"/nope", "/models/a/b", "/health", "/predict/x", "/Models"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        ck_assert_ptr_null(find("GET", paths[i]));
        ck_assert_str_eq(allow, "");
    }
}
END_TEST

START_TEST(every_route_is_well_formed_and_its_own)
{
    for (const struct route *a = routes; a->method; a++) {
        ck_assert_int_eq(a->pattern[0], '/');
        ck_assert_ptr_nonnull((void *)a->handler);
        for (const struct route *b = routes; b < a; b++)
            ck_assert(strcmp(a->method, b->method) != 0 || strcmp(a->pattern, b->pattern) != 0);
    }
}
END_TEST

/* ---- targets ---- */

START_TEST(a_target_is_decoded_once)
{
    struct http_target target;
    struct err e = {0};
    ck_assert(http_target_parse("/models/a%2Eb%252e/?x=1%262&y=a+b&flag&&z=", &target, &e));
    ck_assert_str_eq(target.path, "/models/a.b%2e");
    ck_assert_int_eq(target.query_count, 4);
    ck_assert_str_eq(target.query[0].name, "x");
    ck_assert_str_eq(target.query[0].value, "1&2");
    ck_assert_str_eq(target.query[1].value, "a b");
    ck_assert_str_eq(target.query[2].name, "flag");
    ck_assert_str_eq(target.query[2].value, "");
    ck_assert_str_eq(target.query[3].value, "");
    http_target_clear(&target);
}
END_TEST

START_TEST(the_root_keeps_its_slash)
{
    struct http_target target;
    struct err e = {0};
    ck_assert(http_target_parse("/?a=b", &target, &e));
    ck_assert_str_eq(target.path, "/");
    http_target_clear(&target);
}
END_TEST

START_TEST(ambiguous_targets_are_refused)
{
    static const char *const targets[] = {
        "",       "*",       "models", "http://h/models", "//models", "/a//b",     "/a//",
        "//",     "/a/../b", "/..",    "/a/..",           "/./a",     "/%2e%2e/a", "/a/%2E%2e",
        "/a%2fb", "/a%2Fb",  "/a%00b", "/a%0d%0ab",       "/a%7f",    "/a\001b",   "/a b",
        "/a%",    "/a%2",    "/a%zz",  "/a?x=%00",        "/a?x=%0a", "/a?%zz=1",  "/a?x=%4",
        "/a#b",   "/a?x= ",
    };
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct http_target target;
        struct err e = {0};
        ck_assert_msg(!http_target_parse(targets[i], &target, &e), "accepted '%s'", targets[i]);
        ck_assert_int_eq(e.code, ERR_INVALID);
        ck_assert_ptr_null(target.text);
    }
}
END_TEST

static bool parses_with(const char *prefix, size_t filler)
{
    static char text[LIMIT_QUERY_BYTES + HTTP_PATH_BYTES];
    struct http_target target;
    struct err e = {0};
    size_t size = strlen(prefix);
    memcpy(text, prefix, size);
    memset(text + size, 'a', filler);
    text[size + filler] = '\0';
    bool ok = http_target_parse(text, &target, &e);
    http_target_clear(&target);
    return ok;
}

START_TEST(long_targets_are_refused_past_the_limit)
{
    ck_assert(parses_with("/", HTTP_PATH_BYTES - 1));
    ck_assert(!parses_with("/", HTTP_PATH_BYTES));
    ck_assert(parses_with("/?", LIMIT_QUERY_BYTES));
    ck_assert(!parses_with("/?", LIMIT_QUERY_BYTES + 1));
}
END_TEST

START_TEST(too_many_query_parameters_are_refused)
{
    char text[2 + 2 * (HTTP_QUERY_PARAMS_MAX + 1) + 1] = "/?";
    struct http_target target;
    struct err e = {0};
    for (int i = 0; i < HTTP_QUERY_PARAMS_MAX; i++)
        strcat(text, "a&");
    ck_assert(http_target_parse(text, &target, &e));
    http_target_clear(&target);
    strcat(text, "a");
    ck_assert(!http_target_parse(text, &target, &e));
}
END_TEST

/* ---- heads ---- */

/* Feeds the lines of a head as libmicrohttpd would, each value after ": ". */
static bool head_passes(const char *method, const char *version, const char *fields, int hidden)
{
    struct http_head head = {.method = method, .target = "/a", .version = version};
    head.head_size =
        strlen(method) + strlen(version) + 2 + 2 + 2 + 2 + strlen(fields) + (size_t)hidden;
    for (const char *line = fields; *line != '\0';) {
        size_t size = strcspn(line, "\r");
        size_t name = strcspn(line, ":");
        http_head_field(&head, line, name, line + name + 2, size - name - 2);
        line += size + 2;
    }
    struct err e = {0};
    bool ok = http_head_check(&head, &e);
    ck_assert(ok || e.code == ERR_INVALID);
    return ok;
}

START_TEST(sound_heads_pass)
{
    ck_assert(head_passes("GET", "HTTP/1.1", "Host: x\r\n", 0));
    ck_assert(head_passes("GET", "HTTP/1.0", "", 0));
    ck_assert(head_passes("POST", "HTTP/1.1", "host: x\r\nContent-Length: 10\r\n", 0));
    ck_assert(head_passes("POST", "HTTP/1.1", "Host: x\r\nTransfer-Encoding: Chunked\r\n", 0));
}
END_TEST

START_TEST(heads_that_two_readers_could_read_differently_are_refused)
{
    static const char *const fields[] = {
        "",
        "Host: x\r\nHost: x\r\n",
        "Host: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
        "Host: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Host: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Host: x\r\nTransfer-Encoding: gzip, chunked\r\n",
        "Host: x\r\nTransfer-Encoding: identity\r\n",
        "Host: x\r\nContent-Length: +1\r\n",
        "Host: x\r\nContent-Length: 18446744073709551616\r\n",
        "Host: x\r\nA : b\r\n",
        "Host: x\r\nA\x01: b\r\n",
        "Host: x\r\nA: b\x01\r\n",
        "Host: x\r\nA: b\x7f\r\n",
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        ck_assert_msg(!head_passes("GET", "HTTP/1.1", fields[i], 0), "accepted %s", fields[i]);
    ck_assert(!head_passes("POST", "HTTP/1.0", "Transfer-Encoding: chunked\r\n", 0));
    ck_assert(!head_passes("G(T", "HTTP/1.1", "Host: x\r\n", 0));
    ck_assert(!head_passes("GETGETGETGETGETGETGETGETGETGETGET", "HTTP/1.1", "Host: x\r\n", 0));
    ck_assert(!head_passes("GET", "HTTP/1.9", "Host: x\r\n", 0));
}
END_TEST

START_TEST(bytes_that_no_part_accounts_for_are_refused)
{
    ck_assert(!head_passes("GET", "HTTP/1.1", "Host: x\r\n", 1));
    ck_assert(!head_passes("GET", "HTTP/1.1", "Host: x\r\n", -1));
}
END_TEST

/* ---- negotiation ---- */

static int choose(const char *accept)
{
    static const char *const offers[] = {"application/json", "text/csv", "image/svg+xml", NULL};
    struct http_request request = {.accept = accept};
    return http_accept(&request, offers);
}

START_TEST(the_accept_header_chooses_the_representation)
{
    ck_assert_int_eq(choose(NULL), 0);
    ck_assert_int_eq(choose(""), 0);
    ck_assert_int_eq(choose("*/*"), 0);
    ck_assert_int_eq(choose("text/csv"), 1);
    ck_assert_int_eq(choose("TEXT/CSV; charset=utf-8"), 1);
    ck_assert_int_eq(choose("image/*"), 2);
    ck_assert_int_eq(choose("image/svg+xml,*/*;q=0.5"), 2);
    ck_assert_int_eq(choose("*/*, text/csv"), 1);
    ck_assert_int_eq(choose("text/csv;q=0.5, application/json;q=0.4"), 1);
    ck_assert_int_eq(choose("text/csv;q=0.4 , application/json ; q=0.5"), 0);
    ck_assert_int_eq(choose("text/csv, application/json"), 1);
    ck_assert_int_eq(choose("text/html,application/xml;q=0.9,image/avif,*/*;q=0.8"), 0);
    ck_assert_int_eq(choose("application/json;q=0, */*"), 1);
}
END_TEST

START_TEST(nothing_acceptable_says_so)
{
    ck_assert_int_eq(choose("text/html"), -1);
    ck_assert_int_eq(choose("text/csv;q=0"), -1);
    ck_assert_int_eq(choose(",;=/*"), -1);
}
END_TEST

/* ---- problems ---- */

START_TEST(every_error_code_has_its_status)
{
    ck_assert_int_eq(http_status_of(ERR_INVALID), 400);
    ck_assert_int_eq(http_status_of(ERR_NOT_FOUND), 404);
    ck_assert_int_eq(http_status_of(ERR_CONFLICT), 409);
    ck_assert_int_eq(http_status_of(ERR_TOO_LARGE), 413);
    ck_assert_int_eq(http_status_of(ERR_MEDIA_TYPE), 415);
    ck_assert_int_eq(http_status_of(ERR_UNPROCESSABLE), 422);
    ck_assert_int_eq(http_status_of(ERR_BUSY), 429);
    ck_assert_int_eq(http_status_of(ERR_UNAVAILABLE), 503);
    ck_assert_int_eq(http_status_of(ERR_NO_SPACE), 507);
    for (int code = ERR_NONE + 1; code < ERR_CODE_COUNT; code++)
        ck_assert_str_ne(http_status_title(http_status_of(code)), "Error");
}
END_TEST

START_TEST(a_problem_replaces_what_the_handler_wrote)
{
    struct http_response response;
    struct err e;
    http_response_init(&response);
    http_set_header(&response, "Location", "/jobs/1");
    buf_str(&response.body, "half a document");
    err_field(&e, ERR_UNAVAILABLE, "a[1]", "too \"busy\"");
    http_problem(&response, 503, &e, "id-1");
    ck_assert_int_eq(response.header_count, 1);
    ck_assert_str_eq(response.headers[0].name, "Retry-After");
    ck_assert_str_eq(response.content_type, "application/problem+json");
    ck_assert_str_eq(
        buf_text(&response.body),
        "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,"
        "\"detail\":\"too \\\"busy\\\"\",\"field\":\"a[1]\",\"request_id\":\"id-1\"}\n");
    http_response_clear(&response);
}
END_TEST

START_TEST(a_header_value_cannot_end_its_line)
{
    struct http_response response;
    http_response_init(&response);
    http_set_header(&response, "Location", "/a\r\nSet-Cookie: b");
    ck_assert_str_eq(response.headers[0].value, "/a??Set-Cookie: b");
    http_response_clear(&response);
}
END_TEST

/* ---- the pool ---- */

struct gate {
    sem_t entered, open;
    int ran, cancelled; /* each counted by one thread only */
};

static void wait_at_gate(void *context, bool cancelled)
{
    struct gate *gate = context;
    ck_assert(!cancelled);
    sem_post(&gate->entered);
    sem_wait(&gate->open);
    gate->ran++;
}

/* Lets the running task go on only when its own turn is over: the order is the pool's. */
static void open_gate(void *context, bool cancelled)
{
    struct gate *gate = context;
    gate->cancelled += cancelled;
    sem_post(&gate->open);
}

START_TEST(a_full_pool_refuses_and_a_stopped_one_cancels_what_waits)
{
    struct gate gate = {0};
    struct err e = {0};
    sem_init(&gate.entered, 0, 0);
    sem_init(&gate.open, 0, 0);
    struct pool *pool = pool_new(1, 2, &e);
    ck_assert_ptr_nonnull(pool);
    ck_assert(pool_submit(pool, wait_at_gate, &gate));
    sem_wait(&gate.entered); /* the only thread is taken: what follows waits */
    ck_assert(pool_submit(pool, open_gate, &gate));
    ck_assert(pool_submit(pool, open_gate, &gate));
    ck_assert(!pool_submit(pool, open_gate, &gate));
    pool_stop(pool);
    ck_assert(!pool_submit(pool, open_gate, &gate));
    pool_free(pool);
    ck_assert_int_eq(gate.ran, 1);
    ck_assert_int_eq(gate.cancelled, 2);
}
END_TEST

TEST_PROGRAM("server_router", path_and_method_choose_the_handler,
             params_are_taken_in_order_and_empty_past_the_pattern,
             a_param_too_long_for_any_name_is_cut, head_is_answered_where_get_is,
             a_wrong_method_lists_those_allowed, an_unknown_path_allows_nothing,
             every_route_is_well_formed_and_its_own, a_target_is_decoded_once,
             the_root_keeps_its_slash, ambiguous_targets_are_refused,
             long_targets_are_refused_past_the_limit, too_many_query_parameters_are_refused,
             sound_heads_pass, heads_that_two_readers_could_read_differently_are_refused,
             bytes_that_no_part_accounts_for_are_refused,
             the_accept_header_chooses_the_representation, nothing_acceptable_says_so,
             every_error_code_has_its_status, a_problem_replaces_what_the_handler_wrote,
             a_header_value_cannot_end_its_line,
             a_full_pool_refuses_and_a_stopped_one_cancels_what_waits)
