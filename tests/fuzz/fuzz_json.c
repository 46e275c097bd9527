/* Any bytes as a JSON document, against cJSON, and as a number and a list of numbers, against
 * strtof. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "json_read.h"
#include "number.h"

#include <cJSON.h>

/* What the scan takes cJSON takes, and what it makes of it is again a document. */
static void read_document(const char *text, size_t size)
{
    struct err e = {0};
    bool taken = json_check(text, size, &e);
    cJSON *json = json_parse(text, size, &e);
    CHECK(taken == (json != NULL));
    if (!json) {
        CHECK(e.code == ERR_INVALID && e.detail[0] != '\0');
        return;
    }
    char *again = cJSON_PrintUnformatted(json);
    CHECK(again && json_check(again, strlen(again), &e));
    cJSON_free(again);
    json_free(json);
}

static bool same_bits(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static void read_numbers(const char *text, size_t size)
{
    enum { VALUES_MAX = 256 };
    float values[VALUES_MAX], value;
    size_t count, used = number_list_read(text, size, values, VALUES_MAX, &count), at = 0;
    CHECK(used <= size && count <= VALUES_MAX && (count > 0) == (used > 0));
    for (size_t i = 0; i < count; i++) {
        char *copy = strndup(text + at, size - at), *end;
        CHECK(copy);
        size_t length = number_read(text + at, size - at, &value);
        CHECK(length > 0 && isfinite(value) && same_bits(value, values[i]));
        copy[length] = '\0';
        CHECK(same_bits(value, strtof(copy, &end)) && *end == '\0');
        free(copy);
        at += length;
        while (at < used && strchr(" \t\r\n,", text[at]))
            at++;
    }
    CHECK(at == used);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    read_document((const char *)bytes, size);
    read_numbers((const char *)bytes, size);
    return 0;
}
