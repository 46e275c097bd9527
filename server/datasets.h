/* datasets.h - dataset versions: made, listed, mapped. */
#ifndef STRIDED_DATASETS_H
#define STRIDED_DATASETS_H

#include "dataset_file.h"
#include "dataset_json.h"
#include "files.h"
#include "store.h"

/* An open, mapped version. */
struct dataset {
    struct file_map map;
    struct dataset_info info;
    struct cnn_samples samples[SPLIT_COUNT];
    int version;
};

/* Opens a version's file below the data directory; needs no store (workers use it). */
bool dataset_open(struct dataset *dataset, const char *name, int version, struct err *e);
void dataset_close(struct dataset *dataset);

/* Each makes the next version of `name`, durable when it returns; *version is its number. */
bool datasets_generate(struct store *store, const char *name,
                       const struct dataset_request *request, int *version, struct err *e);
/* IDX pairs, gzip or not; test images may be absent. take: keep only the first so many, 0 = all. */
struct datasets_idx {
    const void *bytes[4]; /* train images, train labels, test images, test labels; NULL = absent */
    size_t sizes[4];
    uint32_t take[SPLIT_COUNT];
    const char *labels; /* "cat,dog" or NULL: the numbers */
};
bool datasets_import_idx(struct store *store, const char *name, const struct datasets_idx *idx,
                         int *version, struct err *e);

#endif
