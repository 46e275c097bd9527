#include "api_query.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Decimal digits with an optional sign, and nothing else. */
static bool read_number(const char *text, long long *value)
{
    char *end;
    if (text[strspn(text, "+-")] < '0' || text[strspn(text, "+-")] > '9')
        return false;
    errno = 0;
    *value = strtoll(text, &end, 10);
    return *end == '\0' && errno == 0;
}

bool api_query_int(const struct http_request *request, const char *name, int low, int high,
                   int *value, struct err *e)
{
    const char *text = http_query(request, name);
    long long number;
    if (!text)
        return true;
    if (!read_number(text, &number))
        return err_field(e, ERR_INVALID, name, "%s is not a whole number: '%.40s'", name, text);
    if (number < low || number > high)
        return err_field(e, ERR_INVALID, name, "%s %lld is not in %d..%d", name, number, low, high);
    *value = (int)number;
    return true;
}

bool api_query_double(const struct http_request *request, const char *name, double low, double high,
                      double *value, struct err *e)
{
    const char *text = http_query(request, name);
    if (!text)
        return true;
    char *end;
    double number = strtod(text, &end); /* the daemon never leaves the C locale */
    bool plain = text[strspn(text, "+-.0123456789eE")] == '\0' && end != text && *end == '\0';
    if (!plain || !(number >= low && number <= high))
        return err_field(e, ERR_INVALID, name, "%s is not a number in %g..%g: '%.40s'", name, low,
                         high, text);
    *value = number;
    return true;
}

bool api_query_choice(const struct http_request *request, const char *name,
                      const char *const *choices, int *value, struct err *e)
{
    const char *text = http_query(request, name);
    char expected[128] = "";
    if (!text)
        return true;
    for (int i = 0; choices[i]; i++) {
        size_t used = strlen(expected);
        snprintf(expected + used, sizeof expected - used, "%s%s", i ? ", " : "", choices[i]);
        if (strcmp(text, choices[i]) == 0) {
            *value = i;
            return true;
        }
    }
    return err_field(e, ERR_INVALID, name, "expected one of %s, got '%.40s'", expected, text);
}

bool api_query_bool(const struct http_request *request, const char *name, bool *value,
                    struct err *e)
{
    static const char *const choices[] = {"false", "true", "0", "1", NULL};
    int choice = *value;
    if (!api_query_choice(request, name, choices, &choice, e))
        return false;
    *value = choice & 1;
    return true;
}

bool api_query_format(const struct http_request *request, const char *const *formats,
                      const char *const *types, int *format, struct err *e)
{
    const char *wanted = http_query(request, "format");
    if (!wanted) {
        int accepted = http_accept(request, types);
        *format = accepted < 0 ? 0 : accepted;
        return true;
    }
    for (*format = 0; formats[*format]; ++*format)
        if (strcmp(wanted, formats[*format]) == 0)
            return true;
    char expected[64] = "";
    for (int i = 0; formats[i]; i++) {
        size_t used = strlen(expected);
        snprintf(expected + used, sizeof expected - used, "%s%s", i ? ", " : "", formats[i]);
    }
    return err_field(e, ERR_INVALID, "format", "expected one of %s, got '%.40s'", expected, wanted);
}

bool api_job_id(const struct http_request *request, int64_t *id, struct err *e)
{
    const char *text = request->params[0];
    long long number;
    if (text[0] < '1' || text[0] > '9' || !read_number(text, &number))
        return err_set(e, ERR_NOT_FOUND, "no job '%.40s'", text);
    *id = number;
    return true;
}
