/* archive_files.c - libarchive over one span of memory, within bounds.
 *
 * What an archive decodes to is bounded by a budget known when it is opened. Two counters are held
 * against it: the decompressed stream, looked at whenever libarchive asks for the next few
 * compressed bytes (so that it cannot skip through a bomb in one call), and the bytes of files
 * handed out (a zip's own compression, holes of sparse files).
 *
 * libarchive converts paths that an archive declares to be UTF-8 to the locale's encoding, and
 * gives none when it cannot: each call into it runs under C.UTF-8, for this thread only.
 */
#include "archive_files.h"

#include <errno.h>
#include <locale.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>

#include "buf.h"
#include "check.h"
#include "limits.h"
#include "utf8.h"

enum {
    /* Compressed, between two looks at what they decoded to: bzip2 makes 20 MB of so many. */
    CHUNK_BYTES = 1 << 10,
    TAIL_BYTES = 22 + 65535, /* where a zip's end mark is looked for */
};

struct archive_files {
    const uint8_t *bytes;
    size_t size, at;
    struct archive *archive;
    struct archive_entry *entry; /* libarchive's, of the current file; NULL = none to read */
    locale_t locale;             /* 0 = none could be made: then some paths may be missing */
    uint64_t budget;             /* decoded bytes */
    uint64_t handed_out;         /* bytes of files so far */
    uint32_t entries;
    bool over_budget; /* found in a callback */
    bool failed;      /* as a whole; then why: */
    struct err why;
    struct buf file; /* the current file's bytes */
};

/* Callbacks of libarchive */

static uint64_t stream_decoded(const struct archive_files *files)
{
    int64_t decoded = archive_filter_bytes(files->archive, 0);
    return decoded < 0 ? 0 : (uint64_t)decoded;
}

static la_ssize_t span_read(struct archive *archive, void *context, const void **bytes)
{
    struct archive_files *files = context;
    if (stream_decoded(files) > files->budget) {
        files->over_budget = true;
        archive_set_error(archive, EINVAL, "too large");
        return ARCHIVE_FATAL;
    }
    size_t left = files->size - files->at;
    size_t chunk = left < CHUNK_BYTES ? left : CHUNK_BYTES;
    *bytes = files->bytes + files->at;
    files->at += chunk;
    return (la_ssize_t)chunk;
}

static la_int64_t span_skip(struct archive *archive, void *context, la_int64_t count)
{
    (void)archive;
    struct archive_files *files = context;
    size_t left = files->size - files->at;
    size_t skipped = count < 0 ? 0 : (uint64_t)count < left ? (size_t)count : left;
    files->at += skipped;
    return (la_int64_t)skipped;
}

static la_int64_t span_seek(struct archive *archive, void *context, la_int64_t offset, int whence)
{
    struct archive_files *files = context;
    int64_t base = whence == SEEK_END   ? (int64_t)files->size
                   : whence == SEEK_CUR ? (int64_t)files->at
                                        : 0;
    if (offset < -base || offset > (int64_t)files->size - base) {
        archive_set_error(archive, EINVAL, "points outside of the archive");
        return ARCHIVE_FATAL;
    }
    files->at = (size_t)(base + offset);
    return base + offset;
}

/* Errors */

/* The archive as a whole is done for: remembered for later calls. */
static bool fail(struct archive_files *files, const struct err *why, struct err *e)
{
    files->failed = true;
    files->entry = NULL;
    files->why = *why;
    *e = *why;
    return false;
}

static bool fail_over_budget(struct archive_files *files, struct err *e)
{
    struct err why;
    err_set(&why, ERR_TOO_LARGE,
            "archive of %zu bytes decodes to more than %llu, at most %d MiB and, past %d MiB, %d "
            "times its size are read",
            files->size, (unsigned long long)files->budget, LIMIT_ARCHIVE_DECODED_MIB,
            LIMIT_ARCHIVE_RATIO_FLOOR_MIB, LIMIT_ARCHIVE_RATIO);
    return fail(files, &why, e);
}

static bool fail_broken(struct archive_files *files, struct err *e)
{
    struct err why;
    char quoted[UTF8_QUOTE_BYTES];
    const char *text = archive_error_string(files->archive);
    err_set(&why, ERR_UNPROCESSABLE, "broken archive: %s",
            text ? utf8_quote(quoted, text, strlen(text)) : "no reason known");
    return fail(files, &why, e);
}

/* Opening */

static uint64_t decoded_budget(size_t size)
{
    const uint64_t mib = 1 << 20;
    const uint64_t most = LIMIT_ARCHIVE_DECODED_MIB * mib;
    const uint64_t floor = LIMIT_ARCHIVE_RATIO_FLOOR_MIB * mib;
    if (size > most / LIMIT_ARCHIVE_RATIO)
        return most;
    uint64_t budget = (uint64_t)size * LIMIT_ARCHIVE_RATIO;
    return budget < floor ? floor : budget;
}

/* libarchive reads a zip's whole central directory before its first file, trusting no count in it.
 * Each of its entries begins with one mark, and the bytes end with another, 64 KiB of comment
 * aside; a zip may begin with anything. */
static bool check_zip_entries(const uint8_t *bytes, size_t size, struct err *e)
{
    static const char entry_mark[4] = {'P', 'K', 1, 2}, end_mark[4] = {'P', 'K', 5, 6};
    const uint8_t *end = bytes + size, *at = bytes;
    size_t tail = size < TAIL_BYTES ? size : TAIL_BYTES;
    if (!memmem(end - tail, tail, end_mark, sizeof end_mark))
        return true;
    for (int found = 0; (at = memmem(at, (size_t)(end - at), entry_mark, sizeof entry_mark));
         at += sizeof entry_mark)
        if (++found > LIMIT_ARCHIVE_ENTRIES)
            return err_set(e, ERR_TOO_LARGE, "archive of more than %d entries",
                           LIMIT_ARCHIVE_ENTRIES);
    return true;
}

/* A filter that libarchive was built without would run a program instead. Not xz: a file may ask
 * for 4 GiB of dictionary, and libarchive sets no limit. */
static bool support(struct archive *archive, struct err *e)
{
    if (archive_read_support_filter_gzip(archive) == ARCHIVE_OK &&
        archive_read_support_filter_bzip2(archive) == ARCHIVE_OK &&
        archive_read_support_filter_zstd(archive) == ARCHIVE_OK &&
        archive_read_support_format_tar(archive) == ARCHIVE_OK &&
        archive_read_support_format_zip_seekable(archive) == ARCHIVE_OK)
        return true;
    return err_set(e, ERR_INTERNAL, "libarchive lacks tar, zip, gzip, bzip2 or zstd");
}

static bool open_span(struct archive_files *files, struct err *e)
{
    struct archive *archive = files->archive;
    if (!support(archive, e))
        return false;
    archive_read_set_seek_callback(archive, span_seek);
    archive_read_set_read_callback(archive, span_read);
    archive_read_set_skip_callback(archive, span_skip);
    archive_read_set_callback_data(archive, files);
    if (archive_read_open1(archive) != ARCHIVE_OK)
        return err_set(e, ERR_UNPROCESSABLE,
                       "not an archive that is read: tar (plain, gzip, bzip2, zstd) or zip, whole");
    if (archive_filter_count(archive) > 2) /* ours and one of theirs */
        return err_set(e, ERR_UNPROCESSABLE, "archive compressed more than once");
    return true;
}

struct archive_files *archive_files_open(const void *bytes, size_t size, struct err *e)
{
    if (!check_zip_entries(bytes, size, e))
        return NULL;
    struct archive_files *files = calloc(1, sizeof *files);
    if (!files) {
        err_no_memory(e);
        return NULL;
    }
    files->bytes = bytes;
    files->size = size;
    files->budget = decoded_budget(size);
    files->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    files->archive = archive_read_new();
    bool ok = files->archive != NULL || err_no_memory(e);
    if (ok) {
        locale_t before = uselocale(files->locale);
        ok = open_span(files, e);
        uselocale(before);
    }
    if (ok)
        return files;
    archive_files_close(files);
    return NULL;
}

void archive_files_close(struct archive_files *files)
{
    if (!files)
        return;
    archive_read_free(files->archive);
    if (files->locale)
        freelocale(files->locale);
    buf_clear(&files->file);
    free(files);
}

/* Going through */

/* libarchive takes the end of the bytes for the end of a tar: only its zero blocks tell it from
 * one that was cut between two files. */
static bool check_end(struct archive_files *files, struct err *e)
{
    bool tar = (archive_format(files->archive) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_TAR;
    if (!tar ||
        archive_filter_bytes(files->archive, 0) > archive_read_header_position(files->archive))
        return true;
    struct err why;
    err_set(&why, ERR_UNPROCESSABLE, "broken archive: it ends without an end mark");
    return fail(files, &why, e);
}

/* Of a zip's methods only stored and deflated are in common use; others may ask for 4 GiB of
 * dictionary. libarchive tells the method in the format's name alone. */
static bool is_other_method(struct archive *archive)
{
    if (archive_format(archive) != ARCHIVE_FORMAT_ZIP)
        return false;
    const char *name = archive_format_name(archive);
    return !strstr(name, "(uncompressed)") && !strstr(name, "(deflation)");
}

static const char *skip_reason(struct archive *archive, struct archive_entry *entry)
{
    if (archive_entry_hardlink(entry))
        return "a hard link";
    switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
        break;
    case AE_IFLNK:
        return "a symbolic link";
    case AE_IFCHR:
    case AE_IFBLK:
        return "a device";
    case AE_IFIFO:
        return "a fifo";
    default:
        return "not a regular file";
    }
    if (archive_entry_is_data_encrypted(entry))
        return "encrypted";
    return is_other_method(archive) ? "compressed by a method other than deflate" : NULL;
}

/* The next entry, whatever it is; NULL in *entry at the end. */
static bool next_entry(struct archive_files *files, struct archive_entry **entry, struct err *e)
{
    *entry = NULL;
    int result = archive_read_next_header(files->archive, entry);
    if (files->over_budget) /* which gzip's reader may take for the end */
        return fail_over_budget(files, e);
    if (result == ARCHIVE_EOF) {
        *entry = NULL;
        return check_end(files, e);
    }
    if (result != ARCHIVE_OK && result != ARCHIVE_WARN)
        return fail_broken(files, e);
    if (stream_decoded(files) > files->budget)
        return fail_over_budget(files, e);
    if (++files->entries > LIMIT_ARCHIVE_ENTRIES) {
        struct err why;
        err_set(&why, ERR_TOO_LARGE, "archive of more than %d entries", LIMIT_ARCHIVE_ENTRIES);
        return fail(files, &why, e);
    }
    return true;
}

static bool next_file(struct archive_files *files, struct archive_file *file, struct err *e)
{
    struct archive_entry *entry;
    do {
        if (!next_entry(files, &entry, e))
            return false;
    } while (entry && archive_entry_filetype(entry) == AE_IFDIR && !archive_entry_hardlink(entry));
    *file = (struct archive_file){0};
    if (!entry)
        return true;
    const char *path = archive_entry_pathname(entry);
    file->path = path ? path : "";
    file->skipped = skip_reason(files->archive, entry);
    files->entry = file->skipped ? NULL : entry;
    return true;
}

bool archive_files_next(struct archive_files *files, struct archive_file *file, struct err *e)
{
    if (files->failed)
        return fail(files, &files->why, e);
    files->entry = NULL;
    locale_t before = uselocale(files->locale);
    bool ok = next_file(files, file, e);
    uselocale(before);
    return ok;
}

/* Reading one */

static bool file_too_large(const char *path, struct err *e)
{
    char quoted[UTF8_QUOTE_BYTES];
    return err_set(e, ERR_TOO_LARGE, "file '%s' exceeds %d bytes",
                   utf8_quote(quoted, path, strlen(path)), LIMIT_ARCHIVE_FILE_BYTES);
}

/* Zeros up to `size` bytes in all: the holes of a sparse file. */
static bool add_hole(struct archive_files *files, size_t size, struct err *e)
{
    size_t zeros = size - files->file.size;
    if (!buf_reserve(&files->file, zeros))
        return err_no_memory(e);
    if (zeros > 0)
        memset(files->file.data + files->file.size, 0, zeros);
    files->file.size = size;
    return true;
}

/* One block at its offset in the file. */
static bool add_block(struct archive_files *files, const char *path, const void *block, size_t size,
                      int64_t offset, struct err *e)
{
    if (offset < (int64_t)files->file.size)
        return err_set(e, ERR_UNPROCESSABLE, "overlapping pieces");
    if (offset > LIMIT_ARCHIVE_FILE_BYTES || size > LIMIT_ARCHIVE_FILE_BYTES - (size_t)offset)
        return file_too_large(path, e);
    if (!add_hole(files, (size_t)offset, e))
        return false;
    buf_add(&files->file, block, size);
    return buf_ok(&files->file) || err_no_memory(e);
}

static bool within_budget(struct archive_files *files, struct err *e)
{
    if (files->handed_out + files->file.size <= files->budget &&
        stream_decoded(files) <= files->budget)
        return true;
    return fail_over_budget(files, e);
}

/* The pieces of the current file until its end. */
static bool read_blocks(struct archive_files *files, const char *path, struct err *e)
{
    for (;;) {
        const void *block;
        size_t size;
        la_int64_t offset;
        int result = archive_read_data_block(files->archive, &block, &size, &offset);
        if (files->over_budget)
            return fail_over_budget(files, e);
        if (result == ARCHIVE_EOF)
            return true;
        if (result != ARCHIVE_OK) {
            char name[UTF8_QUOTE_BYTES], reason[UTF8_QUOTE_BYTES];
            const char *text = archive_error_string(files->archive);
            return err_set(e, ERR_UNPROCESSABLE, "file '%s' is broken: %s",
                           utf8_quote(name, path, strlen(path)),
                           text ? utf8_quote(reason, text, strlen(text)) : "no reason known");
        }
        if (!add_block(files, path, block, size, offset, e) || !within_budget(files, e))
            return false;
    }
}

static bool read_file(struct archive_files *files, struct err *e)
{
    struct archive_entry *entry = files->entry;
    const char *path = archive_entry_pathname(entry);
    path = path ? path : "";
    int64_t announced = archive_entry_size_is_set(entry) ? archive_entry_size(entry) : 0;
    if (announced > LIMIT_ARCHIVE_FILE_BYTES)
        return file_too_large(path, e);
    if (!read_blocks(files, path, e))
        return false;
    if (announced > (int64_t)files->file.size && !add_hole(files, (size_t)announced, e))
        return false;
    return within_budget(files, e);
}

bool archive_files_read(struct archive_files *files, const void **bytes, size_t *size,
                        struct err *e)
{
    if (files->failed)
        return fail(files, &files->why, e);
    CHECK(files->entry);
    files->file.size = 0;
    files->file.failed = false;
    locale_t before = uselocale(files->locale);
    bool ok = read_file(files, e);
    uselocale(before);
    files->entry = NULL;
    files->handed_out += files->file.size;
    *bytes = files->file.data ? files->file.data : "";
    *size = files->file.size;
    return ok;
}
