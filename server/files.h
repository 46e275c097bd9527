/* files.h - large immutable files below the data directory: absent or complete, never half.
 *
 * A writer makes a temporary file in <data>/tmp, and committing does fsync, rename, fsync of the
 * folder. After any failure the temporary file is removed and nothing is retried.
 * Layout: <data>/strided.db, datasets/NAME/VERSION.safetensors, models/NAME/VERSION.onnx,
 * checkpoints/JOB.safetensors, tmp/, lock.
 *
 * Every byte is counted, see space.h. Failures are ERR_NO_SPACE when the disk or a quota is full,
 * ERR_UNAVAILABLE when descriptors have run out, else ERR_IO; the text names the file. The data
 * directory is set once, before threads start; everything else may be called by any thread, a
 * writer by one at a time.
 */
#ifndef STRIDED_FILES_H
#define STRIDED_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "space.h"

enum { FILES_PATH_BYTES = 4400 };

struct hash;

struct file_writer {
    int fd;           /* -1 when committed or aborted */
    char name[48];    /* in tmp/; "" without one */
    struct err error; /* the first failure; file_commit reports it */
    uint64_t size;    /* written so far */
    bool uncounted;   /* set it after beginning: the file is small or gone soon */
    struct space_claim claim;
    struct hash *hash; /* set it after beginning: gets all bytes that are written; borrowed */
};

/* Makes the data directory and its folders, removes what a crash left in tmp/, and takes the lock
 * file: a second daemon on the same directory is refused by a clear error. */
bool files_open(const char *data_dir, struct err *e);
void files_close(void); /* gives the lock back */
/* For a worker of the daemon that holds the lock: only says where the files are. */
bool files_attach(const char *data_dir, struct err *e);
const char *files_data_dir(void);

void files_database_path(char *path, size_t size); /* "<data>/strided.db" */
/* "<data>/<folder>/<name>/<version><suffix>" */
void files_path(char *path, size_t size, const char *folder, const char *name, int version,
                const char *suffix);

/* "<data>/checkpoints/<job>.safetensors": where a job's training can be gone on with. */
void files_checkpoint_path(char *path, size_t size, int64_t job);

bool file_begin(struct file_writer *w, struct err *e);
/* One without a name, for what may not fit in memory: read it through fd, then abort. */
bool file_begin_unnamed(struct file_writer *w, struct err *e);
/* Claims room for so many bytes at once, where the size is known: else it is found out, piece by
 * piece, that there is none. */
bool file_expect(struct file_writer *w, uint64_t size, struct err *e);
void file_write(struct file_writer *w, const void *bytes, size_t size); /* remembers failure */
/* Makes folders; refuses to replace a file. */
bool file_commit(struct file_writer *w, const char *path, struct err *e);
void file_abort(struct file_writer *w); /* after a commit, failed or not: does nothing */
/* For a file that is written again and again over its older self, by a process that may be killed
 * while it does: the temporary file is always tmp/NAME, so that at most one is left behind.
 * Whatever fails, `path` is the whole old file or the whole new one. */
bool file_begin_again(struct file_writer *w, const char *name, struct err *e);
bool file_replace(struct file_writer *w, const char *path, struct err *e);
/* Moves a finished, fsynced file in tmp/, whose bytes are counted, to its place, as file_commit
 * does; on failure the file is removed. */
bool file_publish(const char *temp, const char *path, struct err *e);
bool file_remove(const char *path, struct err *e); /* absent is fine */
uint64_t file_size(const char *path);              /* 0 when absent */

struct file_map {
    const void *bytes;
    size_t size;
};
/* Read-only. ERR_NOT_FOUND when there is no such file. */
bool file_map_open(struct file_map *map, const char *path, struct err *e);
void file_map_close(struct file_map *map); /* a zeroed one is fine */

#endif
