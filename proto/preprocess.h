/* preprocess.h - how a picture or raw bytes become a model's input; stored with the model. */
#ifndef STRIDED_PREPROCESS_H
#define STRIDED_PREPROCESS_H

#include "dataset.h"
#include "image.h"
#include "json_write.h"
#include "voxel.h"

struct cJSON;

/* Whether the training pictures' borders are dark (MNIST) or light; `none`: not pictures, or
 * mixed. With invert=auto a picture whose border is the opposite is inverted. */
enum background { BACKGROUND_NONE, BACKGROUND_DARK, BACKGROUND_LIGHT };

enum invert { INVERT_AUTO, INVERT_YES, INVERT_NO };

struct preprocess {
    struct cnn_normalize normalize;
    enum background background;
    bool invert;                  /* the training pictures were inverted as they came in */
    struct cnn_voxelize voxelize; /* how meshes became grids; samples 0 = there were none */
};
/* As the training meshes were made grids, or the usual way where there were none. */
struct cnn_voxelize preprocess_voxelize(const struct preprocess *pre);
/* "yxz": the coordinates that run along D, H and W. False unless each is there once. */
bool preprocess_parse_axes(const char *text, uint8_t axes[CNN_AXES]);

/* Background of u8 pictures, from the mean of their borders: under 1/4 dark, over 3/4 light. */
enum background preprocess_background(const struct cnn_samples *samples);

/* One picture to one canonical sample [C,1,H,W]: composited on white, grey for one channel,
 * inverted as asked (auto: so that its border is as the training pictures' were; where these were
 * mixed, as they were inverted), resized (antialiased triangle filter, aspect not kept),
 * normalised. */
bool preprocess_image(const struct preprocess *pre, const struct cnn_shape *shape,
                      const struct image *image, enum invert invert, float *x, struct err *e);

/* One canonical sample of stored values, in place: scaled, and normalised by mean and deviation. */
void preprocess_values(const struct preprocess *pre, const struct cnn_shape *shape, float *x);
/* A grid of 0 and 1 as the training grids came in: occupied is a stored 1, or a stored 255 where
 * bytes are scaled by 1/255, which is done to grids that hold more than 0 and 1. */
void preprocess_grid(const struct preprocess *pre, const struct cnn_shape *shape,
                     const uint8_t *grid, float *x);

void preprocess_write(struct json_writer *w, const struct preprocess *pre);
bool preprocess_parse(const struct cJSON *json, struct preprocess *pre, struct err *e);

#endif
