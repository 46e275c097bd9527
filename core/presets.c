/* presets.c - each architecture as a table of rows. */
#include "presets.h"

#include <string.h>

enum { CLASSES = 0 }; /* units of the last dense layer: as many as the caller has classes */

struct cnn_preset_row {
    enum cnn_layer_type type;
    int number;  /* conv: filters; pool: kernel; dense: units; dropout always drops half */
    int kernel;  /* conv */
    int stride;  /* 0: conv 1, pool its kernel */
    int padding; /* PAD_SAME, or so many zeros on both sides */
};

enum { PAD_SAME = -1 };

/* One stage a line. */
/* clang-format off */
#define CONV(filters, kernel, padding) {CNN_CONV, filters, kernel, 0, padding}
#define CONV_STRIDE(filters, kernel, stride, padding) {CNN_CONV, filters, kernel, stride, padding}
#define MAX_POOL(size) {CNN_MAX_POOL, size, 0, 0, 0}
#define MAX_POOL_STRIDE(size, stride) {CNN_MAX_POOL, size, 0, stride, 0}
#define DENSE(units) {CNN_DENSE, units, 0, 0, 0}
#define PLAIN(type) {type, 0, 0, 0, 0}
#define RELU PLAIN(CNN_RELU)
#define TANH PLAIN(CNN_TANH)
#define FLATTEN PLAIN(CNN_FLATTEN)
#define DROPOUT PLAIN(CNN_DROPOUT)
#define SOFTMAX PLAIN(CNN_SOFTMAX)
#define LOG_SOFTMAX PLAIN(CNN_LOG_SOFTMAX)

#define SHAPES_CNN(first, second)                                                                  \
    CONV(first, 3, PAD_SAME), TANH, MAX_POOL(3),                                                   \
    CONV(second, 3, PAD_SAME), TANH, MAX_POOL(3),                                                  \
    FLATTEN, DENSE(CLASSES), SOFTMAX

static const struct cnn_preset_row shapes_mlp[] = {
    FLATTEN, DENSE(20), TANH, DENSE(CLASSES), SOFTMAX,
};
static const struct cnn_preset_row shapes_tiny[] = {SHAPES_CNN(1, 1)};
static const struct cnn_preset_row shapes_cnn[] = {SHAPES_CNN(8, 16)};
static const struct cnn_preset_row shapes_color[] = {SHAPES_CNN(2, 2)};

static const struct cnn_preset_row mnist_cnn[] = {
    CONV(32, 3, 0), RELU, MAX_POOL(2),
    CONV(64, 3, 0), RELU, MAX_POOL(2),
    CONV(64, 3, 0), RELU,
    FLATTEN, DENSE(64), RELU, DROPOUT,
    DENSE(CLASSES),
};

static const struct cnn_preset_row scratch[] = {
    CONV(8, 3, 1), RELU, MAX_POOL(2),
    FLATTEN, DENSE(64), RELU,
    DENSE(CLASSES),
};

/* LeCun et al. 1998, with the activations and pooling of today. */
static const struct cnn_preset_row lenet[] = {
    CONV(6, 5, 0), RELU, MAX_POOL(2),
    CONV(16, 5, 0), RELU, MAX_POOL(2),
    FLATTEN, DENSE(120), RELU,
    DENSE(84), RELU,
    DENSE(CLASSES),
};

static const struct cnn_preset_row voxel_cnn[] = {
    CONV(16, 3, 0), RELU, MAX_POOL(2),
    CONV(32, 3, 0), RELU, MAX_POOL(2),
    CONV(64, 3, 0), RELU, MAX_POOL(2),
    FLATTEN, DENSE(512), RELU, DROPOUT,
    DENSE(CLASSES), LOG_SOFTMAX,
};

static const struct cnn_preset_row voxel_cnn_wide[] = {
    CONV(32, 3, 1), RELU, MAX_POOL(2),
    CONV(64, 3, 1), RELU, MAX_POOL(2),
    CONV(128, 3, 1), RELU, MAX_POOL_STRIDE(3, 1),
    FLATTEN, DENSE(512), RELU, DROPOUT,
    DENSE(CLASSES), LOG_SOFTMAX,
};

/* The one-tower version: Krizhevsky 2014, "One weird trick". Its adaptive average pool to 6x6 is
 * the identity at 224x224 and left out. */
static const struct cnn_preset_row alexnet[] = {
    CONV_STRIDE(64, 11, 4, 2), RELU, MAX_POOL_STRIDE(3, 2),
    CONV(192, 5, 2), RELU, MAX_POOL_STRIDE(3, 2),
    CONV(384, 3, 1), RELU,
    CONV(256, 3, 1), RELU,
    CONV(256, 3, 1), RELU, MAX_POOL_STRIDE(3, 2),
    FLATTEN, DROPOUT, DENSE(4096), RELU,
    DROPOUT, DENSE(4096), RELU,
    DENSE(CLASSES),
};

/* Simonyan and Zisserman 2014, configuration D. */
static const struct cnn_preset_row vgg16[] = {
    CONV(64, 3, 1), RELU, CONV(64, 3, 1), RELU, MAX_POOL(2),
    CONV(128, 3, 1), RELU, CONV(128, 3, 1), RELU, MAX_POOL(2),
    CONV(256, 3, 1), RELU, CONV(256, 3, 1), RELU, CONV(256, 3, 1), RELU, MAX_POOL(2),
    CONV(512, 3, 1), RELU, CONV(512, 3, 1), RELU, CONV(512, 3, 1), RELU, MAX_POOL(2),
    CONV(512, 3, 1), RELU, CONV(512, 3, 1), RELU, CONV(512, 3, 1), RELU, MAX_POOL(2),
    FLATTEN, DENSE(4096), RELU, DROPOUT,
    DENSE(4096), RELU, DROPOUT,
    DENSE(CLASSES),
};
/* clang-format on */

#define ROWS(rows) rows, sizeof rows / sizeof rows[0]

static const struct cnn_preset presets[] = {
    {"shapes-mlp", "one hidden layer of 20, for 28x28 shapes", {1, 28, 28}, 3, 2, ROWS(shapes_mlp)},
    {"shapes-tiny", "the smallest CNN: 40 parameters", {1, 28, 28}, 3, 2, ROWS(shapes_tiny)},
    {"shapes-cnn",
     "two convolutions of 8 and 16 filters, for 28x28 shapes",
     {1, 28, 28},
     3,
     2,
     ROWS(shapes_cnn)},
    {"shapes-color",
     "two convolutions of 2 filters, for 28x28 shapes in colour",
     {3, 28, 28},
     3,
     2,
     ROWS(shapes_color)},
    {"mnist-cnn",
     "three convolutions and dropout, for digits",
     {1, 28, 28},
     3,
     10,
     ROWS(mnist_cnn)},
    {"scratch", "one convolution of 8 filters, quick to train", {1, 28, 28}, 3, 10, ROWS(scratch)},
    {"lenet", "LeNet-5 with relu and max pooling, for digits", {1, 28, 28}, 3, 10, ROWS(lenet)},
    {"voxel-cnn",
     "three 3-D convolutions, for 24^3 voxel grids",
     {1, 24, 24, 24},
     4,
     4,
     ROWS(voxel_cnn)},
    {"voxel-cnn-wide",
     "three wide 3-D convolutions, for 24^3 voxel grids",
     {1, 24, 24, 24},
     4,
     4,
     ROWS(voxel_cnn_wide)},
    {"alexnet",
     "AlexNet, one tower, for 224x224 photographs",
     {3, 224, 224},
     3,
     1000,
     ROWS(alexnet)},
    {"vgg16", "VGG-16, for 224x224 photographs", {3, 224, 224}, 3, 1000, ROWS(vgg16)},
};

const struct cnn_preset *cnn_preset_at(int index)
{
    int count = (int)(sizeof presets / sizeof presets[0]);
    return index >= 0 && index < count ? &presets[index] : NULL;
}

const struct cnn_preset *cnn_preset_find(const char *name)
{
    for (int i = 0; cnn_preset_at(i); i++)
        if (strcmp(presets[i].name, name) == 0)
            return &presets[i];
    return NULL;
}

static void set_window(struct cnn_window *window, const struct cnn_preset_row *row, int dims,
                       int kernel)
{
    cnn_window_set(window, dims, kernel, row->stride);
    if (row->type == CNN_CONV && row->stride == 0)
        cnn_window_set(window, dims, kernel, 1);
    window->padding = row->padding == PAD_SAME ? CNN_PAD_SAME : CNN_PAD_NUMBER;
    for (int axis = CNN_AXES - dims; axis < CNN_AXES && row->padding != PAD_SAME; axis++)
        window->before[axis] = window->after[axis] = row->padding;
}

static bool add_row(struct cnn_spec *spec, const struct cnn_preset_row *row, int dims, int classes,
                    struct err *e)
{
    struct cnn_layer_spec *layer = cnn_spec_add(spec, row->type, e);
    if (!layer)
        return false;
    if (row->type == CNN_CONV) {
        layer->u.conv.filters = row->number;
        set_window(&layer->u.conv.window, row, dims, row->kernel);
    } else if (row->type == CNN_MAX_POOL) {
        set_window(&layer->u.pool.window, row, dims, row->number);
    } else if (row->type == CNN_DENSE) {
        layer->u.dense.units = row->number == CLASSES ? classes : row->number;
    }
    return true;
}

bool cnn_preset_spec(const struct cnn_preset *preset, const struct cnn_shape *input, int classes,
                     struct cnn_spec *spec, struct err *e)
{
    *spec = (struct cnn_spec){0};
    long long dims[1 + CNN_AXES];
    for (int i = 0; i < preset->dim_count; i++)
        dims[i] = preset->dims[i];
    if (input)
        spec->input = *input;
    else if (!cnn_shape_from_dims(&spec->input, dims, preset->dim_count, e))
        return false;
    for (size_t i = 0; i < preset->row_count; i++)
        if (!add_row(spec, &preset->rows[i], preset->dim_count - 1,
                     classes ? classes : preset->classes, e)) {
            cnn_spec_clear(spec);
            return false;
        }
    return true;
}
