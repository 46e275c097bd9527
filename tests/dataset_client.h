/* dataset_client.h - bodies for /datasets, and a look at what the daemon stored of them. */
#ifndef STRIDED_TESTS_DATASET_CLIENT_H
#define STRIDED_TESTS_DATASET_CLIENT_H

#include <stdlib.h>

#include "datasets.h"
#include "npy.h"
#include "png_write.h"
#include "served.h"
#include "tar.h"

static struct daemon server;

/* A picture of one colour: `value`, and in the other channels 0. */
static inline void png_of(struct buf *out, int width, int height, int channels, uint8_t value)
{
    struct err e;
    size_t size = (size_t)width * (size_t)height * (size_t)channels;
    struct image image = {width, height, channels, calloc(1, size)};
    for (size_t i = 0; i < size; i += (size_t)channels)
        image.pixels[i] = value;
    ck_assert_msg(png_write_picture(&image, out, &e), "%s", e.detail);
    image_clear(&image);
}

static inline void tar_bytes(struct buf *tar, const char *path, const struct buf *bytes)
{
    tar_add(tar, path, '0', "", bytes->data, bytes->size);
}

static inline void tar_png(struct buf *tar, const char *path, int width, int height, int channels,
                           uint8_t value)
{
    struct buf png = {0};
    png_of(&png, width, height, channels, value);
    tar_bytes(tar, path, &png);
    buf_clear(&png);
}

static inline void npy_of(struct buf *out, enum npy_dtype dtype, int rank, const size_t *dims,
                          const void *values)
{
    size_t size = npy_dtype_bytes(dtype);
    for (int i = 0; i < rank; i++)
        size *= dims[i];
    npy_write_head(out, dtype, rank, dims);
    buf_add(out, values, size);
}

/* As `curl -T` sends it; frees the body. */
static inline struct reply put_bytes(const char *path, struct buf *body)
{
    struct reply reply = client_send(&server, "PUT", path, NULL, body->data, body->size);
    buf_clear(body);
    return reply;
}

/* Ends the archive, then the same. */
static inline struct reply put_tar(const char *path, struct buf *tar)
{
    tar_end(tar);
    return put_bytes(path, tar);
}

/* What the file of a version holds, checked by the reader that training uses. */
static inline void open_stored(struct dataset *dataset, const char *name, int version)
{
    struct err e;
    ck_assert(files_attach(server.data_dir, &e));
    ck_assert_msg(dataset_open(dataset, name, version, &e), "%s", e.detail);
}

/* Files below these folders of the data directory. */
static inline int stored_files(void)
{
    char command[700];
    int files = -1;
    snprintf(command, sizeof command, "find '%s/datasets' '%s/tmp' -type f | wc -l",
             server.data_dir, server.data_dir);
    FILE *pipe = popen(command, "r");
    ck_assert_int_eq(fscanf(pipe, "%d", &files), 1);
    pclose(pipe);
    return files;
}

#endif
