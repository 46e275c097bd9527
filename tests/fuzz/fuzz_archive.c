/* Any bytes as an archive: listed, laid out, then read, as an upload is. */
#include <stdint.h>
#include <string.h>

#include "archive_files.h"
#include "archive_layout.h"
#include "check.h"
#include "limits.h"
#include "name.h"

static void check_error(const struct err *e)
{
    CHECK(e->code == ERR_UNPROCESSABLE || e->code == ERR_TOO_LARGE);
}

/* Adds the paths to the layout; false when the archive broke off. */
static bool list(const uint8_t *bytes, size_t size, struct archive_layout *layout)
{
    struct err e;
    struct archive_file file;
    struct archive_files *files = archive_files_open(bytes, size, &e);
    bool ok = files != NULL;
    while (ok && (ok = archive_files_next(files, &file, &e)) && file.path)
        CHECK(file.skipped || archive_layout_add(layout, file.path, &e));
    archive_files_close(files);
    if (!ok)
        check_error(&e);
    return ok;
}

/* The second time gives the same files as the first. */
static void read_all(const uint8_t *bytes, size_t size, const struct archive_layout *layout)
{
    struct err e;
    struct archive_file file;
    struct archive_files *files = archive_files_open(bytes, size, &e);
    CHECK(files);
    const void *data;
    size_t length, at = 0, total = 0;
    while (archive_files_next(files, &file, &e) && file.path) {
        if (file.skipped)
            continue;
        CHECK(at++ < archive_layout_count(layout));
        if (archive_files_read(files, &data, &length, &e))
            total += length;
        else
            check_error(&e);
    }
    CHECK(total <= (size_t)LIMIT_ARCHIVE_RATIO_FLOOR_MIB << 20);
    archive_files_close(files);
}

static void check_places(struct archive_layout *layout)
{
    struct err e;
    int count;
    const char *const *labels = archive_layout_labels(layout, &count);
    for (int i = 0; i < count; i++)
        CHECK(label_check(labels[i], &e) && !strchr(labels[i], '/') && strcmp(labels[i], ".."));
    for (size_t i = 0; i < archive_layout_count(layout); i++) {
        struct place place = archive_layout_place(layout, i);
        CHECK(place.fate == PLACE_TAKEN ? place.label < count : place.reason != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct err e;
    struct archive_layout *layout = archive_layout_new(NULL, &e);
    CHECK(layout);
    if (list(bytes, size, layout)) {
        read_all(bytes, size, layout);
        if (archive_layout_decide(layout, &e))
            check_places(layout);
    }
    archive_layout_free(layout);
    return 0;
}
