/* files.h - large immutable files below the data directory: absent or complete, never half.
 *
 * A writer makes a temporary file in <data>/tmp, and committing does fsync, rename, fsync of the
 * folder. After any failure the temporary file is removed and nothing is retried.
 * Layout: <data>/strided.db, datasets/NAME/VERSION.safetensors, models/NAME/VERSION.onnx,
 * checkpoints/JOB.safetensors, tmp/, lock.
 *
 * Failures are ERR_NO_SPACE when the disk or a quota is full, else ERR_IO; the text names the file.
 * The data directory is set once, before threads start; everything else may be called by any
 * thread, a writer by one at a time.
 */
#ifndef STRIDED_FILES_H
#define STRIDED_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

enum { FILES_PATH_BYTES = 4400 };

struct file_writer {
    int fd; /* -1 when committed or aborted */
    char temp[FILES_PATH_BYTES];
    struct err error; /* the first failure; file_commit reports it */
};

/* Makes the data directory and its folders, removes what a crash left in tmp/, and takes the lock
 * file: a second daemon on the same directory is refused by a clear error. */
bool files_open(const char *data_dir, struct err *e);
void files_close(void); /* gives the lock back */
/* For a worker of the daemon that holds the lock: only says where the files are. */
bool files_attach(const char *data_dir, struct err *e);
const char *files_data_dir(void);

/* "<data>/<folder>/<name>/<version><suffix>" */
void files_path(char *path, size_t size, const char *folder, const char *name, int version,
                const char *suffix);

/* "<data>/checkpoints/<job>.safetensors": where a job's training can be gone on with. */
void files_checkpoint_path(char *path, size_t size, int64_t job);

bool file_begin(struct file_writer *w, struct err *e);
void file_write(struct file_writer *w, const void *bytes, size_t size);   /* remembers failure */
bool file_commit(struct file_writer *w, const char *path, struct err *e); /* makes folders */
void file_abort(struct file_writer *w); /* after a commit, failed or not: does nothing */
/* Moves a finished, fsynced file that a worker wrote in tmp/ to its place; on failure the file is
 * removed. */
bool file_publish(const char *temp, const char *path, struct err *e);
/* A file without a name, for what may not fit in memory: it is gone with its descriptor. -1 on
 * failure. */
int file_unnamed(struct err *e);
bool file_remove(const char *path, struct err *e); /* absent is fine */

struct file_map {
    const void *bytes;
    size_t size;
};
/* Read-only. ERR_NOT_FOUND when there is no such file. */
bool file_map_open(struct file_map *map, const char *path, struct err *e);
void file_map_close(struct file_map *map); /* a zeroed one is fine */

#endif
