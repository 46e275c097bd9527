/* predict_decode.h - what the readers of /predict's bodies share; private to predict_*.c.
 *
 * Each predict_add_* appends its samples to the batch, or fails and leaves a batch to be cleared.
 */
#ifndef STRIDED_PREDICT_DECODE_H
#define STRIDED_PREDICT_DECODE_H

#include "predict_body.h"
#include "tensor_json.h"

struct cJSON;
struct npy;
struct tensor_list;

struct decoding {
    const struct predict_body *body;
    const struct cnn_shape *shape;
    const struct preprocess *pre;
    struct cnn_voxelize voxelize;
    struct predict_batch *batch;
    size_t elements, capacity; /* of one sample; of batch->x, in samples */
    size_t points;             /* of surfaces and lists so far */
    size_t pixels;             /* of pictures so far */
};

/* Room for `count` more samples; NULL with *e when there is none. The caller fills them and adds
 * to batch->count. */
float *predict_extend(struct decoding *d, size_t count, struct err *e);

/* predict_numbers.c */
bool predict_raw_fits(const struct decoding *d, size_t size);
bool predict_add_raw(struct decoding *d, const void *bytes, size_t size, struct err *e);
bool predict_add_npy(struct decoding *d, const void *bytes, size_t size, struct err *e);
bool predict_add_array(struct decoding *d, const struct npy *array, struct err *e);
/* May take the tensor's numbers, and leave it without. */
bool predict_add_tensor(struct decoding *d, struct tensor *tensor, struct err *e);

/* predict_json.c */
bool predict_add_json(struct decoding *d, const char *text, size_t size, struct err *e);

/* predict_voxels.c: to the model's grid, and through its preprocessing */
bool predict_add_mesh(struct decoding *d, const void *bytes, size_t size, struct err *e);
bool predict_add_points(struct decoding *d, const struct tensor *points, struct err *e);
bool predict_add_voxels(struct decoding *d, const struct cJSON *voxels,
                        const struct tensor_list *lifted, struct err *e);

/* predict_body.c */
bool predict_add_image(struct decoding *d, const void *bytes, size_t size, struct err *e);

#endif
