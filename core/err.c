#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool err_set(struct err *e, enum err_code code, const char *format, ...)
{
    va_list args;
    e->code = code;
    e->field[0] = '\0';
    va_start(args, format);
    vsnprintf(e->detail, sizeof e->detail, format, args);
    va_end(args);
    return false;
}

bool err_field(struct err *e, enum err_code code, const char *field, const char *format, ...)
{
    va_list args;
    e->code = code;
    snprintf(e->field, sizeof e->field, "%s", field);
    va_start(args, format);
    vsnprintf(e->detail, sizeof e->detail, format, args);
    va_end(args);
    return false;
}

bool err_within(struct err *e, const char *format, ...)
{
    char inner[sizeof e->field];
    memcpy(inner, e->field, sizeof inner);

    va_list args;
    va_start(args, format);
    vsnprintf(e->field, sizeof e->field, format, args);
    va_end(args);

    size_t used = strlen(e->field);
    const char *dot = inner[0] == '\0' || inner[0] == '[' ? "" : ".";
    snprintf(e->field + used, sizeof e->field - used, "%s%s", dot, inner);
    return false;
}

bool err_no_memory(struct err *e)
{
    return err_set(e, ERR_NO_MEMORY, "out of memory");
}
