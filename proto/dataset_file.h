/* dataset_file.h - a dataset version on disk: a safetensors file with tensors train_x, train_y,
 * test_x, test_y ([n, C, (D, H,) W] of U8 or F32; labels U16) and its description as JSON in
 * "__metadata__" under "strided.dataset". Immutable, made to be memory-mapped. */
#ifndef STRIDED_DATASET_FILE_H
#define STRIDED_DATASET_FILE_H

#include "preprocess.h"

enum dataset_split { SPLIT_TRAIN, SPLIT_TEST, SPLIT_COUNT };
const char *dataset_split_name(enum dataset_split split); /* "train", "test" */

struct dataset_info {
    struct cnn_shape shape;
    enum cnn_dtype dtype;
    int label_count;
    char **labels; /* owned; one a class */
    struct preprocess preprocess;
    uint32_t counts[SPLIT_COUNT];
    char source[128]; /* for people: "generator shapes, seed 0", "idx" */
};

bool dataset_info_set_labels(struct dataset_info *info, const char *const *labels, int count,
                             struct err *e); /* copies */
void dataset_info_clear(struct dataset_info *info);

/* Appends the file's head. The caller then writes, in this order and without holes:
 * for F32: train_x, test_x, train_y, test_y; for U8: train_y, test_y, train_x, test_x. */
bool dataset_file_head(const struct dataset_info *info, struct buf *out, struct err *e);

/* A whole file in memory (mapped): fills info (clear it) and samples[], which borrow from bytes.
 * Checks sizes, labels < classes, finite floats. */
bool dataset_file_parse(const void *bytes, size_t size, struct dataset_info *info,
                        struct cnn_samples samples[SPLIT_COUNT], struct err *e);
/* The same without a look at each label and float: for who wants a few samples, and checks them. */
bool dataset_file_parse_unread(const void *bytes, size_t size, struct dataset_info *info,
                               struct cnn_samples samples[SPLIT_COUNT], struct err *e);

#endif
