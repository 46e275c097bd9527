#include "http_head.h"

#include <string.h>
#include <strings.h>

enum { METHOD_BYTES_MAX = 32 };

/* Letters, digits and these marks. */
static bool consists_of(const char *text, size_t size, const char *marks)
{
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        bool alphanumeric =
            (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (c == '\0' || (!alphanumeric && !strchr(marks, c)))
            return false;
    }
    return true;
}

static bool is_token(const char *text, size_t size)
{
    return size > 0 && consists_of(text, size, "!#$%&'*+-.^_`|~");
}

/* A host and a port, or nothing. */
static bool is_host(const char *text, size_t size)
{
    return consists_of(text, size, "-._~!$&'()*+;=:[]%");
}

static bool is_field_value(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
            return false;
    return true;
}

static bool parse_length(const char *text, size_t size, uint64_t *length)
{
    *length = 0;
    for (size_t i = 0; i < size; i++)
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(*length, 10, length) ||
            __builtin_add_overflow(*length, (uint64_t)(text[i] - '0'), length))
            return false;
    return size > 0;
}

static bool named(const char *name, size_t size, const char *expected)
{
    return size == strlen(expected) && strncasecmp(name, expected, size) == 0;
}

void http_head_field(struct http_head *head, const char *name, size_t name_size, const char *value,
                     size_t value_size)
{
    if (!is_token(name, name_size) || !is_field_value(value, value_size))
        head->bad_field = true;
    if (named(name, name_size, "host")) {
        head->hosts++;
        if (!is_host(value, value_size))
            head->bad_field = true;
    } else if (named(name, name_size, "content-length")) {
        head->lengths++;
        if (!parse_length(value, value_size, &head->length))
            head->bad_field = true;
    } else if (named(name, name_size, "transfer-encoding")) {
        head->encodings++;
        head->chunked = named(value, value_size, "chunked");
    }
    /* A folded value is a copy somewhere else: then the sum is far off. */
    size_t to_value = (size_t)((uintptr_t)value - (uintptr_t)name);
    head->fields_size += to_value + value_size + strlen("\r\n");
}

static bool check_framing(const struct http_head *head, struct err *e)
{
    if (head->lengths > 0 && head->encodings > 0)
        return err_set(e, ERR_INVALID, "both Content-Length and Transfer-Encoding");
    if (head->lengths > 1)
        return err_set(e, ERR_INVALID, "more than one Content-Length");
    if (head->encodings > 1 || (head->encodings == 1 && !head->chunked))
        return err_set(e, ERR_INVALID, "unsupported Transfer-Encoding, expected chunked");
    if (head->encodings > 0 && strcmp(head->version, "HTTP/1.0") == 0)
        return err_set(e, ERR_INVALID, "Transfer-Encoding with HTTP/1.0");
    return true;
}

bool http_head_check(const struct http_head *head, struct err *e)
{
    size_t method_size = strlen(head->method);
    size_t line_size = method_size + 1 + strlen(head->target) + 1 + strlen(head->version) + 2;
    if (method_size > METHOD_BYTES_MAX || !is_token(head->method, method_size))
        return err_set(e, ERR_INVALID, "malformed method");
    if (strcmp(head->version, "HTTP/1.1") != 0 && strcmp(head->version, "HTTP/1.0") != 0)
        return err_set(e, ERR_INVALID, "unsupported version, expected HTTP/1.1 or HTTP/1.0");
    if (head->bad_field)
        return err_set(e, ERR_INVALID, "malformed header line");
    if (line_size + head->fields_size + strlen("\r\n") != head->head_size)
        return err_set(e, ERR_INVALID, "malformed request head");
    if (head->hosts > 1)
        return err_set(e, ERR_INVALID, "more than one Host");
    if (head->hosts == 0 && strcmp(head->version, "HTTP/1.1") == 0)
        return err_set(e, ERR_INVALID, "missing Host");
    return check_framing(head, e);
}
