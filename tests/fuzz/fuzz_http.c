/* Any bytes as a request's head: target, header lines, the Accept header. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "http.h"
#include "http_head.h"
#include "http_target.h"

static void read_target(const char *text)
{
    struct http_target target;
    struct err e;
    if (!http_target_parse(text, &target, &e)) {
        CHECK(e.code == ERR_INVALID && !target.text);
        return;
    }
    CHECK(target.path[0] == '/' && strlen(target.path) <= HTTP_PATH_BYTES);
    CHECK(!strstr(target.path, "//") && !strstr(target.path, "/../"));
    for (const char *p = target.path; *p; p++)
        CHECK((unsigned char)*p >= 0x20 && *p != 0x7f);
    CHECK(target.query_count <= HTTP_QUERY_PARAMS_MAX);
    for (int i = 0; i < target.query_count; i++)
        CHECK(target.query[i].name && target.query[i].value);
    http_target_clear(&target);
}

/* Method, target and version on the first line, then fields, cut at their first colon as
 * libmicrohttpd does. */
static void read_head(char *text)
{
    char *rest = text, *line = strsep(&rest, "\n");
    struct http_head head = {.head_size = strlen(line) + 4};
    head.method = strsep(&line, " ");
    head.target = line ? strsep(&line, " ") : "";
    head.version = line ? line : "";
    while (rest && *rest != '\0') {
        char *value = strsep(&rest, "\n"), *name = strsep(&value, ":");
        if (!value)
            break;
        value += strspn(value, " \t");
        http_head_field(&head, name, strlen(name), value, strlen(value));
        head.head_size += (size_t)(value - name) + strlen(value) + 2;
    }
    struct err e = {0};
    if (http_head_check(&head, &e)) {
        CHECK(head.hosts <= 1 && head.lengths <= 1 && head.encodings <= 1);
        CHECK(head.lengths + head.encodings <= 1 && !head.bad_field);
    } else {
        CHECK(e.code == ERR_INVALID && e.detail[0] != '\0');
    }
}

static void read_accept(const char *text)
{
    static const char *const offers[] = {"application/json", "text/csv", "image/png", NULL};
    struct http_request request = {.accept = text};
    int chosen = http_accept(&request, offers);
    CHECK(chosen >= -1 && chosen < 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = strndup((const char *)bytes, size);
    CHECK(text);
    read_target(text);
    read_accept(text);
    read_head(text);
    free(text);
    return 0;
}
