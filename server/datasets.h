/* datasets.h - dataset versions: made, listed, mapped. */
#ifndef STRIDED_DATASETS_H
#define STRIDED_DATASETS_H

#include "dataset_file.h"
#include "dataset_json.h"
#include "files.h"
#include "store.h"
#include "uploads.h"

/* An open, mapped version. */
struct dataset {
    struct file_map map;
    struct dataset_info info;
    struct cnn_samples samples[SPLIT_COUNT];
    int version;
    char sha256[65]; /* what the catalogue says it is, from datasets_open; "" = not known */
};

/* Opens a version's file below the data directory; needs no store (workers use it). A file that is
 * missing or damaged is ERR_UNAVAILABLE, as a damaged model is. */
bool dataset_open(struct dataset *dataset, const char *name, int version, struct err *e);
/* The same without reading every value: floats of a damaged file may not be finite. */
bool dataset_open_unread(struct dataset *dataset, const char *name, int version, struct err *e);
void dataset_close(struct dataset *dataset);
/* Reads the whole file: ERR_UNAVAILABLE when dataset->sha256 is known and not its sum. */
bool dataset_check(const struct dataset *dataset, const char *name, struct err *e);

/* Opens a version (0 = the newest) as the catalogue knows it: ERR_NOT_FOUND when it does not, and
 * ERR_UNAVAILABLE when the file is missing, of another size, or, asked for its content, damaged
 * anywhere. Content is read once and then trusted until the file is touched. */
bool datasets_open(struct store *store, const char *name, int version, bool content,
                   struct dataset *dataset, struct err *e);

/* Each of the following makes the next version of `name`, durable when it returns; *version is its
 * number. Samples are written piece by piece and never held as a whole. */

struct dataset_scaling {
    float scale;    /* stored values times this; 0 = 1, but 1/255 for bytes of which one is > 1 */
    bool normalize; /* by the training split's mean and deviation, channel by channel */
};

bool datasets_generate(struct store *store, const char *name, const struct dataset_request *request,
                       const struct dataset_scaling *scaling, int *version, struct err *e);

/* Pairs of arrays, IDX or npy, gzip or not; the test pair may be absent. Bytes and booleans are
 * stored as bytes, all other numbers as floats. Errors name the part as it came. */
enum datasets_part { PART_TRAIN_X, PART_TRAIN_Y, PART_TEST_X, PART_TEST_Y, PART_COUNT };
struct datasets_pairs {
    const char *names[PART_COUNT]; /* of the form fields: "train_images", "train_x", ... */
    const void *bytes[PART_COUNT]; /* NULL = absent */
    size_t sizes[PART_COUNT];
    uint32_t take[SPLIT_COUNT];   /* keep only the first so many, 0 = all */
    const char *labels;           /* "cat,dog" or NULL: the numbers */
    struct cnn_shape input;       /* of one sample; c = 0: as the arrays' axes say */
    struct cnn_voxelize voxelize; /* how meshes become grids like these; samples 0 = not said */
    struct dataset_scaling scaling;
    size_t decoded_max; /* bytes of all gzip parts together, decompressed */
};
bool datasets_import_pairs(struct store *store, const char *name,
                           const struct datasets_pairs *pairs, int *version, struct err *e);

/* Files that could not be read: the first LIMIT_SKIPPED_LISTED, and how many in all. */
struct datasets_skipped {
    int count;
    struct {
        char *file;
        char reason[160];
    } files[LIMIT_SKIPPED_LISTED];
};
void datasets_skipped_clear(struct datasets_skipped *skipped);

/* How files become samples. */
struct datasets_convert {
    int width, height, channels; /* of pictures; 0 = chosen from them */
    bool invert;
    int grid; /* of meshes: voxels along each axis */
    struct cnn_voxelize voxelize;
};
/* A tar or zip of class folders holding pictures, or meshes, or npy arrays. */
struct datasets_archive {
    const void *bytes;
    size_t size;
    struct datasets_convert convert;
    struct dataset_scaling scaling;
    double test_split;     /* share of each class, where the archive names no splits */
    uint64_t seed;         /* of that split and of sampling meshes */
    bool strict;           /* one file that cannot be read fails all */
    struct upload *upload; /* told of each file; NULL is fine */
};
bool datasets_import_archive(struct store *store, const char *name,
                             const struct datasets_archive *archive,
                             struct datasets_skipped *skipped, int *version, struct err *e);

/* The newest version of `name` with samples added, or its first version. Writes the whole file
 * anew: costs as much as copying it. One at a time in the process. */
struct datasets_add {
    const char *label; /* a class of its own if the dataset has none of this name */
    enum dataset_split split;
    const char *content_type; /* of the body: any body of POST /predict */
    const void *bytes;
    size_t size;
    int dtype;                       /* enum predict_dtype, of raw bytes */
    int invert;                      /* 1 or 0; -1: as the dataset's pictures were */
    struct datasets_convert convert; /* of the first sample ever */
};
bool datasets_add(struct store *store, const char *name, const struct datasets_add *add,
                  int *version, int *added, struct err *e);

/* Forgets every version and removes their files. ERR_CONFLICT while a job uses one. */
bool datasets_delete(struct store *store, const char *name, struct err *e);

#endif
