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

/* Opens a version's file below the data directory; needs no store (workers use it). A file that is
 * missing or damaged is ERR_UNAVAILABLE, as a damaged model is. */
bool dataset_open(struct dataset *dataset, const char *name, int version, struct err *e);
void dataset_close(struct dataset *dataset);

/* Each makes the next version of `name`, durable when it returns; *version is its number. Samples
 * are written piece by piece and never held as a whole. */
bool datasets_generate(struct store *store, const char *name, const struct dataset_request *request,
                       int *version, struct err *e);
/* IDX pairs, gzip or not; test images may be absent. take: keep only the first so many, 0 = all.
 * Errors name the part: "train_labels". */
enum datasets_part { PART_TRAIN_IMAGES, PART_TRAIN_LABELS, PART_TEST_IMAGES, PART_TEST_LABELS };
extern const char *const datasets_part_names[4];
struct datasets_idx {
    const void *bytes[4]; /* by enum datasets_part; NULL = absent */
    size_t sizes[4];
    uint32_t take[SPLIT_COUNT];
    const char *labels; /* "cat,dog" or NULL: the numbers */
    size_t decoded_max; /* bytes of all gzip parts together, decompressed */
};
bool datasets_import_idx(struct store *store, const char *name, const struct datasets_idx *idx,
                         int *version, struct err *e);

/* Forgets every version and removes their files. ERR_CONFLICT while a job uses one. */
bool datasets_delete(struct store *store, const char *name, struct err *e);

#endif
