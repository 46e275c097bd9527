/* cases.h - what is measured: the convolutions and the nets, the same for us and for the peers. */
#ifndef BENCH_CASES_H
#define BENCH_CASES_H

#include <stdbool.h>

enum { CASE_AXES = 3 };

/* One convolution, stride 1, as it stands in its net in a training step. */
struct layer_case {
    const char *name; /* "mnist-cnn/conv2" */
    int batch, channels, filters;
    int dims;      /* spatial axes: 2 or 3 */
    int size, out; /* of each of them */
    int kernel, padding;
    bool data; /* its data gradient is needed: not the net's first layer */
};

enum direction { FORWARD, DATA, WEIGHT, DIRECTIONS };

extern const struct layer_case layer_cases[];
extern const int layer_case_count;
const char *direction_name(enum direction direction); /* "forward", "data", "weight" */
/* Floats of x, y and w, and multiply-adds of one direction over the batch, padding counted. */
long layer_case_in(const struct layer_case *layer);  /* one sample */
long layer_case_out(const struct layer_case *layer); /* one sample */
long layer_case_weights(const struct layer_case *layer);
double layer_case_macs(const struct layer_case *layer);

struct net_case {
    const char *preset;
    int batch; /* of training */
};
extern const struct net_case net_cases[];
extern const int net_case_count;
enum { INFER_BATCH = 64 };

#endif
