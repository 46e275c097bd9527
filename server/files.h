/* files.h - large immutable files below the data directory: absent or complete, never half.
 *
 * A writer makes a temporary file in <data>/tmp, and committing does fsync, rename, fsync of the
 * folder. After any failure the temporary file is removed and nothing is retried.
 * Layout: <data>/strided.db, datasets/NAME/VERSION.safetensors, models/NAME/VERSION.onnx, tmp/.
 */
#ifndef STRIDED_FILES_H
#define STRIDED_FILES_H

#include <stddef.h>

#include "err.h"

struct file_writer {
    int fd;
    char temp[4400];
    struct err error; /* the first failure; file_commit reports it */
};

/* Makes the data directory and its folders, removes what a crash left in tmp/, and takes the lock
 * file: a second daemon on the same directory is refused by a clear error. */
bool files_open(const char *data_dir, struct err *e);
const char *files_data_dir(void);

/* "<data>/<folder>/<name>/<version><suffix>" */
void files_path(char *path, size_t size, const char *folder, const char *name, int version,
                const char *suffix);

bool file_begin(struct file_writer *w, struct err *e);
void file_write(struct file_writer *w, const void *bytes, size_t size); /* remembers failure */
bool file_commit(struct file_writer *w, const char *path, struct err *e); /* makes folders */
void file_abort(struct file_writer *w);
/* Moves a finished, fsynced file that a worker wrote in tmp/ to its place. */
bool file_publish(const char *temp, const char *path, struct err *e);
bool file_remove(const char *path, struct err *e); /* absent is fine */

struct file_map {
    const void *bytes;
    size_t size;
};
bool file_map_open(struct file_map *map, const char *path, struct err *e); /* read-only */
void file_map_close(struct file_map *map);

#endif
