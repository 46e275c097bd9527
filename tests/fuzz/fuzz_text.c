/* Any bytes as short texts: base64, names, labels, quotes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "check.h"
#include "limits.h"
#include "name.h"
#include "utf8.h"

static void read_base64(const char *text, size_t size)
{
    struct buf out = {0};
    struct err e;
    bool ok = base64_decode(text, size, size, &out, &e);
    CHECK(ok || e.code == ERR_INVALID);
    CHECK(!ok || out.size <= size / 4 * 3);
    buf_clear(&out);
}

/* Whatever may be a name is safe as a file's name, and whatever may be a label is text. */
static void check_names(const char *text)
{
    struct err e;
    if (name_check(text, "model", &e))
        CHECK(!strpbrk(text, "/\\:%*? ") && !strstr(text, "..") && text[0] != '.' && text[0] &&
              strlen(text) <= LIMIT_NAME_BYTES);
    if (label_check(text, &e)) {
        size_t size = strlen(text), at = 0, length;
        while ((length = utf8_next(text + at, size - at)) > 0)
            at += length;
        CHECK(at == size && size > 0 && size <= LIMIT_LABEL_BYTES);
    }
}

static void check_quote(const char *text, size_t size)
{
    char quoted[UTF8_QUOTE_BYTES];
    utf8_quote(quoted, text, size);
    size_t length = strlen(quoted), at = 0, step;
    while ((step = utf8_next(quoted + at, length - at)) > 0) {
        CHECK((unsigned char)quoted[at] >= 0x20);
        at += step;
    }
    CHECK(at == length && length < UTF8_QUOTE_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = strndup((const char *)bytes, size);
    CHECK(text);
    read_base64((const char *)bytes, size);
    check_quote((const char *)bytes, size);
    check_names(text);
    free(text);
    return 0;
}
