#include "http_target.h"

#include <stdlib.h>
#include <string.h>

#include "limits.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

/* Decodes %XX in place, and '+' as a space in a query. */
static bool decode(char *text, bool query, struct err *e)
{
    const char *what = query ? "query" : "path";
    char *out = text;
    for (const char *in = text; *in != '\0'; in++) {
        char c = *in;
        if (c == '%') {
            int high = hex_digit(in[1]);
            int low = high < 0 ? -1 : hex_digit(in[2]);
            if (low < 0)
                return err_set(e, ERR_INVALID, "broken percent escape in the %s", what);
            c = (char)(high * 16 + low);
            in += 2;
            if (c == '/' && !query)
                return err_set(e, ERR_INVALID, "escaped slash in the path");
        } else if (c == '+' && query) {
            c = ' ';
        }
        if (is_control(c))
            return err_set(e, ERR_INVALID, "control character in the %s", what);
        *out++ = c;
    }
    *out = '\0';
    return true;
}

static bool check_segments(const char *path, struct err *e)
{
    for (const char *at = path; *at == '/';) {
        const char *segment = at + 1;
        size_t size = strcspn(segment, "/");
        if (size == 0)
            return err_set(e, ERR_INVALID, "empty segment in the path");
        if (segment[0] == '.' && (size == 1 || (size == 2 && segment[1] == '.')))
            return err_set(e, ERR_INVALID, "dot segment in the path");
        at = segment + size;
    }
    return true;
}

static bool parse_path(char *path, struct err *e)
{
    if (!decode(path, false, e))
        return false;
    size_t size = strlen(path);
    if (size > HTTP_PATH_BYTES)
        return err_set(e, ERR_INVALID, "path longer than %d bytes", HTTP_PATH_BYTES);
    if (size == 1)
        return true;
    if (path[size - 1] == '/')
        path[size - 1] = '\0';
    return check_segments(path, e);
}

static bool parse_query(char *query, struct http_target *target, struct err *e)
{
    if (strlen(query) > LIMIT_QUERY_BYTES)
        return err_set(e, ERR_INVALID, "query longer than %d bytes", LIMIT_QUERY_BYTES);
    char *rest = query;
    for (char *item = strsep(&rest, "&"); item != NULL; item = strsep(&rest, "&")) {
        if (*item == '\0')
            continue;
        if (target->query_count == HTTP_QUERY_PARAMS_MAX)
            return err_set(e, ERR_INVALID, "more than %d query parameters", HTTP_QUERY_PARAMS_MAX);
        char *value = item;
        char *name = strsep(&value, "=");
        if (!decode(name, true, e) || (value && !decode(value, true, e)))
            return false;
        target->query[target->query_count].name = name;
        target->query[target->query_count].value = value ? value : "";
        target->query_count++;
    }
    return true;
}

bool http_target_parse(const char *raw, struct http_target *target, struct err *e)
{
    *target = (struct http_target){0};
    if (raw[0] != '/')
        return err_set(e, ERR_INVALID, "request target is not an absolute path");
    if (strpbrk(raw, " #"))
        return err_set(e, ERR_INVALID, "space or '#' in the request target");
    target->text = strdup(raw);
    if (!target->text)
        return err_no_memory(e);
    char *query = target->text;
    char *path = strsep(&query, "?");
    if (!parse_path(path, e) || (query && !parse_query(query, target, e))) {
        http_target_clear(target);
        return false;
    }
    target->path = path;
    return true;
}

void http_target_clear(struct http_target *target)
{
    free(target->text);
    *target = (struct http_target){0};
}
