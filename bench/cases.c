#include "cases.h"

#include <stddef.h>

#define FIRST false
#define INNER true

const struct layer_case layer_cases[] = {
    /* name, batch, channels, filters, dims, size, out, kernel, padding */
    {"mnist-cnn/conv1", 150, 1, 32, 2, 28, 26, 3, 0, FIRST},
    {"mnist-cnn/conv2", 150, 32, 64, 2, 13, 11, 3, 0, INNER},
    {"mnist-cnn/conv3", 150, 64, 64, 2, 5, 3, 3, 0, INNER},
    {"lenet/conv1", 100, 1, 6, 2, 28, 24, 5, 0, FIRST},
    {"lenet/conv2", 100, 6, 16, 2, 12, 8, 5, 0, INNER},
    {"voxel-cnn/conv1", 32, 1, 16, 3, 24, 22, 3, 0, FIRST},
    {"voxel-cnn/conv2", 32, 16, 32, 3, 11, 9, 3, 0, INNER},
    {"voxel-cnn/conv3", 32, 32, 64, 3, 4, 2, 3, 0, INNER},
    {"voxel-cnn-wide/conv1", 32, 1, 32, 3, 24, 24, 3, 1, FIRST},
    {"voxel-cnn-wide/conv2", 32, 32, 64, 3, 12, 12, 3, 1, INNER},
    {"voxel-cnn-wide/conv3", 32, 64, 128, 3, 6, 6, 3, 1, INNER},
};
const int layer_case_count = sizeof layer_cases / sizeof layer_cases[0];

const struct net_case net_cases[] = {
    {"mnist-cnn", 150}, {"lenet", 100},    {"scratch", 100},
    {"shapes-cnn", 10}, {"voxel-cnn", 32}, {"voxel-cnn-wide", 32},
};
const int net_case_count = sizeof net_cases / sizeof net_cases[0];

const char *direction_name(enum direction direction)
{
    static const char *const names[DIRECTIONS] = {"forward", "data", "weight"};
    return names[direction];
}

static long power(long base, int exponent)
{
    return exponent == 0 ? 1 : base * power(base, exponent - 1);
}

long layer_case_in(const struct layer_case *layer)
{
    return layer->channels * power(layer->size, layer->dims);
}

long layer_case_out(const struct layer_case *layer)
{
    return layer->filters * power(layer->out, layer->dims);
}

long layer_case_weights(const struct layer_case *layer)
{
    return (long)layer->channels * layer->filters * power(layer->kernel, layer->dims);
}

double layer_case_macs(const struct layer_case *layer)
{
    return (double)layer->batch * power(layer->out, layer->dims) * layer_case_weights(layer);
}
