#include "archive_layout.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "check.h"
#include "limits.h"
#include "memory.h"
#include "utf8.h"

enum { FOLDERS_MAX = 3 }; /* common, class, split; deeper files are strays in every layout */

/* One path, cut at its slashes: texts are offsets into the layout's text, each NUL-terminated. */
struct entry {
    uint32_t folders[FOLDERS_MAX];
    uint8_t folder_count; /* FOLDERS_MAX + 1: more than that */
    uint8_t fate;         /* enum place_fate */
    uint8_t split;
    uint16_t label;
    const char *reason;
};

/* Where class and split stand among the folders. */
struct form {
    int folders;
    int split, class; /* split -1: none */
};
static const struct form forms[] = {{2, 0, 1}, {2, 1, 0}, {1, -1, 0}};
enum { FORM_COUNT = sizeof forms / sizeof forms[0] };

struct archive_layout {
    const char *const *suffixes;
    struct buf text;
    struct buf entries; /* of struct entry */
    size_t count;
    const char *labels[CNN_CLASSES_MAX];
    int label_count;
};

static struct entry *entry_at(const struct archive_layout *layout, size_t i)
{
    return (struct entry *)(void *)layout->entries.data + i;
}

static const char *folder_of(const struct archive_layout *layout, const struct entry *entry, int i)
{
    return layout->text.data + entry->folders[i];
}

struct archive_layout *archive_layout_new(const char *const *suffixes, struct err *e)
{
    struct archive_layout *layout = calloc(1, sizeof *layout);
    if (!layout)
        err_no_memory(e);
    else
        layout->suffixes = suffixes;
    return layout;
}

void archive_layout_free(struct archive_layout *layout)
{
    if (!layout)
        return;
    buf_clear(&layout->text);
    buf_clear(&layout->entries);
    free(layout);
}

/* Paths, one by one */

/* NULL, or why no part of the path may become a label. */
static const char *refuse_text(const char *path, size_t size)
{
    if (size == 0)
        return "has no path";
    if (size > LIMIT_ARCHIVE_PATH_BYTES)
        return "is longer than 512 bytes";
    if (path[0] == '/')
        return "is an absolute path";
    for (size_t at = 0; at < size;) {
        size_t length = utf8_next(path + at, size - at);
        unsigned char c = (unsigned char)path[at];
        bool c1 = c == 0xc2 && (unsigned char)path[at + 1] < 0xa0; /* U+0080..U+009F */
        if (length == 0)
            return "is not UTF-8";
        if (c < 0x20 || c == 0x7f || c1)
            return "has a control character";
        if (c == '\\')
            return "has a backslash";
        at += length;
    }
    return NULL;
}
_Static_assert(LIMIT_ARCHIVE_PATH_BYTES == 512, "the text above names it");

/* The next part of a path that is not "" or "."; false at its end. */
static bool next_part(const char **path, const char **part, size_t *size)
{
    do {
        *part = *path;
        *size = strcspn(*path, "/");
        *path += *size;
        if (**path == '/')
            (*path)++;
    } while ((*size == 0 && **path) || (*size == 1 && **part == '.'));
    return *size > 0;
}

static bool is_part(const char *part, size_t size, const char *name)
{
    return strlen(name) == size && strncasecmp(part, name, size) == 0;
}

static bool is_left_behind(const char *part, size_t size)
{
    return part[0] == '.' || is_part(part, size, "__MACOSX") || is_part(part, size, "Thumbs.db") ||
           is_part(part, size, "desktop.ini");
}

static bool has_suffix(const char *name, size_t size, const char *const *suffixes)
{
    for (; *suffixes; suffixes++) {
        size_t length = strlen(*suffixes);
        if (size > length && name[size - length - 1] == '.' &&
            strncasecmp(name + size - length, *suffixes, length) == 0)
            return true;
    }
    return false;
}

static void set_fate(struct entry *entry, enum place_fate fate, const char *reason)
{
    if (entry->fate == PLACE_REFUSED)
        return;
    entry->fate = (uint8_t)fate;
    entry->reason = reason;
}

static void add_folder(struct archive_layout *layout, struct entry *entry, const char *part,
                       size_t size)
{
    if (size > LIMIT_LABEL_BYTES)
        set_fate(entry, PLACE_REFUSED, "has a folder's name longer than a label may be");
    if (entry->folder_count < FOLDERS_MAX) {
        entry->folders[entry->folder_count] = (uint32_t)layout->text.size;
        buf_add(&layout->text, part, size);
        buf_add(&layout->text, "", 1);
    }
    if (entry->folder_count <= FOLDERS_MAX)
        entry->folder_count++;
}

/* Each part but the last is a folder. */
static void add_parts(struct archive_layout *layout, struct entry *entry, const char *path)
{
    const char *part, *next;
    size_t size, next_size;
    if (!next_part(&path, &part, &size)) {
        set_fate(entry, PLACE_REFUSED, "has no path");
        return;
    }
    for (bool more = true; more; part = next, size = next_size) {
        more = next_part(&path, &next, &next_size);
        if (is_part(part, size, ".."))
            set_fate(entry, PLACE_REFUSED, "has '..' in its path");
        else if (is_left_behind(part, size))
            set_fate(entry, PLACE_IGNORED, "is no sample but a system's own file");
        if (more)
            add_folder(layout, entry, part, size);
        else if (entry->fate == PLACE_STRAY && layout->suffixes &&
                 !has_suffix(part, size, layout->suffixes))
            set_fate(entry, PLACE_OTHER, "is of no kind that is read");
    }
}

bool archive_layout_add(struct archive_layout *layout, const char *path, struct err *e)
{
    struct entry entry = {.fate = PLACE_STRAY};
    const char *refused = refuse_text(path, strlen(path));
    if (refused)
        set_fate(&entry, PLACE_REFUSED, refused);
    else
        add_parts(layout, &entry, path);
    buf_add(&layout->entries, &entry, sizeof entry);
    if (!buf_ok(&layout->entries) || !buf_ok(&layout->text))
        return err_no_memory(e);
    if (layout->text.size > UINT32_MAX / 2)
        return err_set(e, ERR_TOO_LARGE, "archive of more than 2 GiB of paths");
    layout->count++;
    return true;
}

/* All of them together */

static bool split_named(const char *name, enum dataset_split *split)
{
    for (int s = 0; s < SPLIT_COUNT; s++)
        if (strcasecmp(name, dataset_split_name((enum dataset_split)s)) == 0) {
            *split = (enum dataset_split)s;
            return true;
        }
    return false;
}

/* Whether a sample may lie there, `common` folders left out; then its split. */
static bool fits(const struct archive_layout *layout, const struct entry *entry,
                 const struct form *form, int common, enum dataset_split *split)
{
    *split = SPLIT_COUNT;
    if (entry->fate != PLACE_STRAY || entry->folder_count != form->folders + common)
        return false;
    return form->split < 0 || split_named(folder_of(layout, entry, common + form->split), split);
}

/* Whether all files that could be samples, and lie in a folder, lie in the same one. */
static bool has_common_folder(const struct archive_layout *layout)
{
    const char *common = NULL;
    for (size_t i = 0; i < layout->count; i++) {
        const struct entry *entry = entry_at(layout, i);
        if (entry->fate != PLACE_STRAY || entry->folder_count == 0)
            continue;
        const char *first = folder_of(layout, entry, 0);
        if (common && strcmp(common, first) != 0)
            return false;
        common = first;
    }
    return common != NULL;
}

static const struct form *choose_form(const struct archive_layout *layout, int *common)
{
    const struct form *best = NULL;
    size_t most = 0;
    for (int c = 0; c <= has_common_folder(layout); c++)
        for (int f = 0; f < FORM_COUNT; f++) {
            enum dataset_split split;
            size_t placed = 0;
            for (size_t i = 0; i < layout->count; i++)
                placed += fits(layout, entry_at(layout, i), &forms[f], c, &split);
            if (placed > most) {
                most = placed;
                best = &forms[f];
                *common = c;
            }
        }
    return best;
}

struct named {
    const char *label;
    struct entry *entry;
};

static int compare_named(const void *a, const void *b)
{
    return strcmp(((const struct named *)a)->label, ((const struct named *)b)->label);
}

/* Gives the placed entries their labels' indices, in the labels' order. */
static bool number_labels(struct archive_layout *layout, struct named *named, size_t count,
                          struct err *e)
{
    qsort(named, count, sizeof *named, compare_named);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(named[i].label, named[i - 1].label) != 0) {
            if (layout->label_count == CNN_CLASSES_MAX)
                return err_set(e, ERR_TOO_LARGE, "archive of more than %d classes",
                               CNN_CLASSES_MAX);
            layout->labels[layout->label_count++] = named[i].label;
        }
        named[i].entry->label = (uint16_t)(layout->label_count - 1);
    }
    return true;
}

static bool place_all(struct archive_layout *layout, const struct form *form, int common,
                      struct err *e)
{
    struct named *named = memory_new(layout->count, sizeof *named, e);
    if (!named)
        return false;
    size_t placed = 0;
    for (size_t i = 0; i < layout->count; i++) {
        struct entry *entry = entry_at(layout, i);
        enum dataset_split split;
        if (fits(layout, entry, form, common, &split)) {
            const char *label = folder_of(layout, entry, common + form->class);
            named[placed++] = (struct named){label, entry};
            entry->split = (uint8_t)split;
        } else if (entry->fate == PLACE_STRAY) {
            entry->reason = "does not lie where the others do";
        }
    }
    for (size_t i = 0; i < placed; i++)
        named[i].entry->fate = PLACE_TAKEN;
    bool ok = number_labels(layout, named, placed, e);
    free(named);
    return ok;
}

bool archive_layout_decide(struct archive_layout *layout, struct err *e)
{
    int common = 0;
    const struct form *form = choose_form(layout, &common);
    if (!form)
        return err_set(e, ERR_UNPROCESSABLE,
                       "none of the archive's %zu files is a sample: expected class/file, "
                       "train/class/file and test/class/file, or class/train/file and "
                       "class/test/file",
                       layout->count);
    return place_all(layout, form, common, e);
}

const char *const *archive_layout_labels(const struct archive_layout *layout, int *count)
{
    *count = layout->label_count;
    return layout->labels;
}

size_t archive_layout_count(const struct archive_layout *layout)
{
    return layout->count;
}

struct place archive_layout_place(const struct archive_layout *layout, size_t i)
{
    CHECK(i < layout->count);
    const struct entry *entry = entry_at(layout, i);
    return (struct place){.fate = (enum place_fate)entry->fate,
                          .split = (enum dataset_split)entry->split,
                          .label = entry->label,
                          .reason = entry->reason};
}
