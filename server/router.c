#include "router.h"

#include <stdio.h>
#include <string.h>

#include "check.h"

static bool match_segment(const char *pattern, size_t pattern_size, const char *segment,
                          size_t size, char params[][HTTP_PARAM_BYTES], int *count)
{
    if (pattern_size == 0 || pattern[0] != '{')
        return size == pattern_size && memcmp(pattern, segment, size) == 0;
    CHECK(*count < HTTP_PARAMS_MAX);
    size_t kept = size < HTTP_PARAM_BYTES ? size : HTTP_PARAM_BYTES - 1;
    memcpy(params[*count], segment, kept);
    params[*count][kept] = '\0';
    ++*count;
    return size > 0;
}

static bool match(const char *pattern, const char *path, char params[][HTTP_PARAM_BYTES])
{
    int count = 0;
    while (*pattern == '/' && *path == '/') {
        size_t pattern_size = strcspn(++pattern, "/");
        size_t size = strcspn(++path, "/");
        if (!match_segment(pattern, pattern_size, path, size, params, &count))
            return false;
        pattern += pattern_size;
        path += size;
    }
    while (count < HTTP_PARAMS_MAX)
        params[count++][0] = '\0';
    return *pattern == '\0' && *path == '\0';
}

static bool method_matches(const struct route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

static void add_allowed(char *allow, size_t size, const char *method)
{
    size_t used = strlen(allow);
    snprintf(allow + used, size - used, "%s%s%s", used > 0 ? ", " : "", method,
             strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

const struct route *router_find(const char *method, const char *path,
                                char params[HTTP_PARAMS_MAX][HTTP_PARAM_BYTES], char *allow,
                                size_t allow_size)
{
    allow[0] = '\0';
    for (const struct route *route = routes; route->method; route++) {
        char first = route->pattern[1];
        if ((first != path[1] && first != '{') || !match(route->pattern, path, params))
            continue;
        if (method_matches(route, method))
            return route;
        add_allowed(allow, allow_size, route->method);
    }
    return NULL;
}
