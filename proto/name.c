#include "name.h"

#include <string.h>

#include "limits.h"
#include "utf8.h"

static bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool name_valid(const char *name)
{
    size_t size = strlen(name);
    if (size == 0 || size > LIMIT_NAME_BYTES || !is_alphanumeric(name[0]))
        return false;
    for (size_t i = 1; i < size; i++)
        if (!is_alphanumeric(name[i]) && !strchr("_.-", name[i]))
            return false;
    return !strstr(name, "..");
}

bool name_check(const char *name, const char *what, struct err *e)
{
    if (name_valid(name))
        return true;
    char quoted[UTF8_QUOTE_BYTES];
    return err_field(e, ERR_INVALID, what,
                     "invalid name '%s', expected a letter or digit, then up to %d of letters, "
                     "digits, '_', '.', '-', without '..'",
                     utf8_quote(quoted, name, strlen(name)), LIMIT_NAME_BYTES - 1);
}

bool label_check(const char *label, struct err *e)
{
    size_t size = strlen(label);
    char quoted[UTF8_QUOTE_BYTES];
    if (size == 0)
        return err_set(e, ERR_INVALID, "empty label");
    if (size > LIMIT_LABEL_BYTES)
        return err_set(e, ERR_INVALID, "label of %zu bytes exceeds %d: '%s'", size,
                       LIMIT_LABEL_BYTES, utf8_quote(quoted, label, size));
    for (size_t at = 0; at < size;) {
        size_t length = utf8_next(label + at, size - at);
        unsigned char c = (unsigned char)label[at];
        bool c1 = c == 0xc2 && (unsigned char)label[at + 1] < 0xa0; /* U+0080..U+009F */
        if (length == 0 || c < 0x20 || c == 0x7f || c1)
            return err_set(e, ERR_INVALID, "control character or invalid UTF-8 in label '%s'",
                           utf8_quote(quoted, label, size));
        at += length;
    }
    return true;
}
