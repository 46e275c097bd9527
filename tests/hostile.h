/* hostile.h - what a daemon holds before and after a test throws things at it, and pictures made by
 * hand that no encoder would write. */
#ifndef STRIDED_TESTS_HOSTILE_H
#define STRIDED_TESTS_HOSTILE_H

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jpeglib.h>
#include <zlib.h>

#include "dataset_client.h"

/* [1,4,4,4] -> 2 logits */
#define GRID_NET                                               \
    "{\"input\":[1,4,4,4],\"layers\":[{\"type\":\"flatten\"}," \
    "{\"type\":\"dense\",\"units\":2,\"bias\":false}]}"

/* ---- what it holds ---- */

static int descriptors_before;

static inline int count_descriptors(void)
{
    char path[64];
    int count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)server.pid);
    DIR *folder = opendir(path);
    ck_assert_ptr_nonnull(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static inline long status_kib(const char *key)
{
    char path[64], line[256];
    long kib = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)server.pid);
    FILE *status = fopen(path, "r");
    ck_assert_ptr_nonnull(status);
    while (fgets(line, sizeof line, status))
        if (strncmp(line, key, strlen(key)) == 0)
            sscanf(line + strlen(key), ": %ld", &kib);
    fclose(status);
    ck_assert_int_gt(kib, 0);
    return kib;
}

/* The high-water mark starts again from what is resident now. */
static inline void reset_peak(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/clear_refs", (int)server.pid);
    FILE *refs = fopen(path, "w");
    ck_assert_ptr_nonnull(refs);
    fputs("5", refs);
    fclose(refs);
}

/* A daemon that serves PICK_NET as "pick" and GRID_NET as "grid". */
static inline void hostile_start(void)
{
    daemon_start(&server, NULL);
    daemon_terminate(&server);
    daemon_wait(&server);
    served_add(&server, "pick", PICK_NET, served_abc, 1);
    served_add(&server, "grid", GRID_NET, served_shapes, 1);
    daemon_launch(&server, NULL);
    reply_expect(client_get(&server, "/health/live"), 200, NULL);
    descriptors_before = count_descriptors();
    reset_peak();
}

static inline bool is_instrumented(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
    return __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
    return getenv("VALGRIND") != NULL; /* set for the suite under memcheck */
#endif
}

/* It lives, never held more than this at a time since the start or the last such look, and its
 * descriptors are what they were, once it has noticed that connections closed. */
static inline void hostile_check(long peak_mib)
{
    reply_expect(client_get(&server, "/health/live"), 200, NULL);
    if (!is_instrumented())
        ck_assert_int_le(status_kib("VmHWM") / 1024, peak_mib);
    for (int i = 0; i < 1000 && count_descriptors() > descriptors_before; i++)
        usleep(10000);
    ck_assert_int_le(count_descriptors(), descriptors_before);
    reset_peak();
}

/* The same, nothing was stored, and it stops well. */
static inline void hostile_stop(long peak_mib)
{
    hostile_check(peak_mib);
    ck_assert_int_eq(stored_files(), 0);
    daemon_stop(&server);
}

/* ---- PNG, chunk by chunk ---- */

static inline void add_be32(struct buf *out, uint32_t value)
{
    const uint8_t bytes[] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                             (uint8_t)value};
    buf_add(out, bytes, 4);
}

static inline void png_chunk(struct buf *png, const char *name, const void *bytes, size_t size)
{
    add_be32(png, (uint32_t)size);
    size_t begin = png->size;
    buf_add(png, name, 4);
    buf_add(png, bytes, size);
    add_be32(png, (uint32_t)crc32(0, (const uint8_t *)png->data + begin, (uInt)(size + 4)));
}

static inline void png_begin(struct buf *png, uint32_t width, uint32_t height, uint8_t depth,
                             uint8_t colour, bool interlaced)
{
    struct buf head = {0};
    const uint8_t rest[] = {depth, colour, 0, 0, interlaced};
    add_be32(&head, width);
    add_be32(&head, height);
    buf_add(&head, rest, sizeof rest);
    buf_add(png, "\x89PNG\r\n\x1a\n", 8);
    png_chunk(png, "IHDR", head.data, head.size);
    buf_clear(&head);
}

/* `size` zeros, compressed about 1000:1, after a prefix that is not. */
static inline void add_zeros_compressed(struct buf *out, const void *prefix, size_t prefix_size,
                                        size_t size)
{
    uint8_t *zeros = calloc(1, size), *packed = malloc(compressBound(size));
    uLongf packed_size = compressBound(size);
    ck_assert(zeros && packed);
    ck_assert_int_eq(compress2(packed, &packed_size, zeros, size, 9), Z_OK);
    buf_add(out, prefix, prefix_size);
    buf_add(out, packed, packed_size);
    free(zeros);
    free(packed);
}

static inline void png_zeros(struct buf *png, const char *name, const void *prefix,
                             size_t prefix_size, size_t size)
{
    struct buf bytes = {0};
    add_zeros_compressed(&bytes, prefix, prefix_size, size);
    png_chunk(png, name, bytes.data, bytes.size);
    buf_clear(&bytes);
}

/* ---- JPEG ---- */

/* Grey, 16x16, progressive, its last scan repeated `repeats` times. */
static inline void jpeg_of(struct buf *out, int repeats)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *bytes = NULL, row[16] = {1, 200, 3, 90};
    unsigned long size = 0;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &bytes, &size);
    jpeg.image_width = jpeg.image_height = 16;
    jpeg.input_components = 1;
    jpeg.in_color_space = JCS_GRAYSCALE;
    jpeg_set_defaults(&jpeg);
    jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    JSAMPROW rows[] = {row};
    while (jpeg.next_scanline < jpeg.image_height)
        jpeg_write_scanlines(&jpeg, rows, 1);
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    size_t end = size - 2, last = 0;
    for (size_t at = 2; at + 1 < end; at++)
        if (bytes[at] == 0xff && bytes[at + 1] == 0xda)
            last = at;
    buf_add(out, bytes, end);
    for (int i = 0; i < repeats; i++)
        buf_add(out, bytes + last, end - last);
    buf_add(out, bytes + end, 2);
    free(bytes);
}

/* Where the marker 0xff `code` begins. */
static inline uint8_t *jpeg_marker(struct buf *jpeg, uint8_t code)
{
    const uint8_t marker[] = {0xff, code};
    uint8_t *at = memmem(jpeg->data, jpeg->size, marker, 2);
    ck_assert_ptr_nonnull(at);
    return at;
}

#endif
