/* archive_layout.h - which sample, of which class and split, each path of an archive names.
 *
 * Text to text: no path is ever used as one. The layouts are class/file, split/class/file and
 * class/split/file, split being train or test (in any case), each also below one folder that holds
 * everything. Which it is, is decided over all paths: the one that places most files; among equals
 * not below a common folder, then split/class, class/split, class. So "train" may be a class.
 */
#ifndef STRIDED_ARCHIVE_LAYOUT_H
#define STRIDED_ARCHIVE_LAYOUT_H

#include <stddef.h>

#include "dataset_file.h"

enum place_fate {
    PLACE_TAKEN,   /* a sample */
    PLACE_IGNORED, /* what systems leave behind: __MACOSX, dot files, Thumbs.db, desktop.ini */
    PLACE_OTHER,   /* its name has none of the suffixes */
    PLACE_STRAY,   /* not where the layout has samples */
    PLACE_REFUSED, /* absolute, "..", backslashes, control characters, not UTF-8, too long */
};

struct place {
    enum place_fate fate;
    enum dataset_split split; /* SPLIT_COUNT: the layout has none */
    int label;                /* index into archive_layout_labels */
    const char *reason;       /* unless taken: "is an absolute path" */
};

struct archive_layout;

/* suffixes: NULL-terminated, lowercase, without the dot, borrowed; a path counts if it ends in one
 * of them, in any case. NULL: every path counts. NULL on failure. */
struct archive_layout *archive_layout_new(const char *const *suffixes, struct err *e);
void archive_layout_free(struct archive_layout *layout);

/* Each regular file's path, as the archive has it; the n-th call's path is place n - 1. */
bool archive_layout_add(struct archive_layout *layout, const char *path, struct err *e);
/* After the last path. ERR_UNPROCESSABLE when no file can be placed, ERR_TOO_LARGE past
 * CNN_CLASSES_MAX classes. */
bool archive_layout_decide(struct archive_layout *layout, struct err *e);

/* After archive_layout_decide. Labels are in byte order, owned by the layout; each has a sample
 * and would pass label_check. */
const char *const *archive_layout_labels(const struct archive_layout *layout, int *count);
size_t archive_layout_count(const struct archive_layout *layout);
struct place archive_layout_place(const struct archive_layout *layout, size_t i);

#endif
