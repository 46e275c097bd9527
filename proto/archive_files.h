/* archive_files.h - the files in a tar or zip archive, one at a time, from memory (libarchive).
 *
 * Reads tar (ustar, pax, GNU; plain or through one of gzip, bzip2, zstd) and zip (stored or
 * deflated, by its central directory). Nothing is written to disk and no path is ever used as one.
 * Folders are passed over; links, devices, encrypted files and those packed in other ways are named
 * but have no bytes. An archive inside is a file like any other. Bounds are LIMIT_ARCHIVE_*; past
 * one of them ERR_TOO_LARGE, anything broken or truncated is ERR_UNPROCESSABLE. To go over an
 * archive twice, open it twice.
 *
 * One thread at a time.
 */
#ifndef STRIDED_ARCHIVE_FILES_H
#define STRIDED_ARCHIVE_FILES_H

#include <stddef.h>

#include "err.h"

struct archive_files;

struct archive_file {
    const char *path;    /* as the archive has it, any bytes but NUL; NULL: no more files */
    const char *skipped; /* NULL, or why it has no bytes: "a symbolic link" */
};

/* bytes are borrowed until archive_files_close. NULL on failure. */
struct archive_files *archive_files_open(const void *bytes, size_t size, struct err *e);
/* The next file; its path lives until the next call. After a failure, here or in
 * archive_files_read, all later calls fail alike if the archive as a whole is broken or past a
 * bound; a file that alone cannot be read is followed by the others. */
bool archive_files_next(struct archive_files *files, struct archive_file *file, struct err *e);
/* The bytes of the file that archive_files_next gave last (once, and not if it is skipped); they
 * live until the next call. The error's text names the file. */
bool archive_files_read(struct archive_files *files, const void **bytes, size_t *size,
                        struct err *e);
void archive_files_close(struct archive_files *files); /* NULL is fine */

#endif
