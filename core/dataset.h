/* dataset.h - samples in memory, as the trainer reads them. */
#ifndef STRIDED_DATASET_H
#define STRIDED_DATASET_H

#include <stdint.h>

#include "shape.h"

enum cnn_dtype { CNN_U8, CNN_F32 };

enum { CNN_CHANNELS_NORM_MAX = 16 }; /* channels that may carry their own mean and deviation */

/* How stored values become the net's input: (value * scale - mean[c]) / deviation[c]. */
struct cnn_normalize {
    float scale;  /* 1/255 for 8-bit pixels, else usually 1 */
    int channels; /* 0 = no mean and deviation; else one pair a channel */
    float mean[CNN_CHANNELS_NORM_MAX], deviation[CNN_CHANNELS_NORM_MAX];
};

/* One split. Borrows x and labels (often a memory-mapped file); read-only, any thread. */
struct cnn_samples {
    struct cnn_shape shape;
    uint32_t count;
    int classes;
    enum cnn_dtype dtype;
    const void *x;          /* [count, C, D, H, W], canonical */
    const uint16_t *labels; /* [count], each < classes */
    struct cnn_normalize normalize;
};

/* Samples index[0..n) (NULL: first..first+n), normalised, channels-last into out[n, D, H, W, C]. */
void cnn_samples_gather(const struct cnn_samples *samples, const uint32_t *index, uint32_t first,
                        int n, float *out);
/* Normalises `count` canonical samples of u8 into canonical floats: for predict. */
void cnn_normalize_u8(const struct cnn_normalize *normalize, const struct cnn_shape *shape,
                      const uint8_t *x, int count, float *out);

/* False, with a text that says where, when a label is >= classes or a float is not finite. */
bool cnn_samples_check(const struct cnn_samples *samples, struct err *e);

#endif
