/* Any bytes as a worker's message and as the metadata of a model file: whatever is taken is written
 * and reads back the same. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "model_meta.h"
#include "progress.h"

static void read_progress(const char *text, size_t size)
{
    struct progress progress, again;
    struct buf once = {0}, twice = {0};
    struct err e = {0};
    if (!progress_parse(text, size, &progress, &e)) {
        CHECK(e.code != ERR_NONE && e.detail[0] != '\0');
        return;
    }
    progress_write(&once, &progress);
    CHECK(progress_parse(once.data, once.size - 1, &again, &e));
    progress_write(&twice, &again);
    CHECK(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
    progress_clear(&progress);
    progress_clear(&again);
    buf_clear(&once);
    buf_clear(&twice);
}

static void read_meta(enum model_meta_entry entry, const char *text, size_t size)
{
    struct model_meta meta = {0}, again = {0};
    struct buf once = {0}, twice = {0};
    struct err e = {0};
    if (model_meta_parse(&meta, entry, text, size, &e)) {
        model_meta_write(&meta, entry, &once);
        CHECK(model_meta_parse(&again, entry, once.data, once.size, &e));
        model_meta_write(&again, entry, &twice);
        CHECK(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
    } else {
        CHECK(e.code != ERR_NONE && e.detail[0] != '\0');
    }
    model_meta_clear(&meta);
    model_meta_clear(&again);
    buf_clear(&once);
    buf_clear(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    read_progress((const char *)bytes, size);
    for (int entry = 0; entry < META_ENTRY_COUNT; entry++)
        read_meta((enum model_meta_entry)entry, (const char *)bytes, size);
    return 0;
}
