/* datasets_sample.h - one file to one stored sample; private to datasets*.c. */
#ifndef STRIDED_DATASETS_SAMPLE_H
#define STRIDED_DATASETS_SAMPLE_H

#include "dataset_file.h"
#include "npy.h"

/* A picture and an npy array fit a dataset of bytes or floats, a mesh one of bytes. */
enum sample_kind { SAMPLE_OTHER, SAMPLE_PICTURE, SAMPLE_MESH, SAMPLE_ARRAY, SAMPLE_KIND_COUNT };
extern const char *const sample_kind_names[SAMPLE_KIND_COUNT]; /* "pictures", ... */

/* Suffixes of the files that are read, NULL-terminated, lower case, without the dot. */
extern const char *const sample_suffixes[];
enum sample_kind sample_kind_of_path(const char *path);
enum sample_kind sample_kind_of_bytes(const void *bytes, size_t size);

/* [W] -> [1,W]; [H,W] -> [1,H,W]; [C,H,W]; [C,D,H,W], after `lead` axes that count samples.
 * ERR_UNPROCESSABLE for other ranks and sizes. */
bool sample_array_shape(const struct npy *npy, int lead, struct cnn_shape *shape, struct err *e);
enum cnn_dtype sample_array_dtype(const struct npy *npy); /* bytes for uint8 and bool */

/* What samples are stored as: shape and dtype of info, pictures inverted and meshes voxelized as
 * its preprocessing says. out: dataset_sample_bytes(info). */
bool sample_convert(const struct dataset_info *info, enum sample_kind kind, const void *bytes,
                    size_t size, void *out, struct err *e);
bool sample_from_picture(const struct dataset_info *info, enum invert invert, const void *bytes,
                         size_t size, void *out, struct err *e);
/* `count` values of the array from `first` on. */
bool sample_from_array(const struct dataset_info *info, const struct npy *npy, size_t first,
                       size_t count, void *out, struct err *e);

#endif
