#include "layers.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "kernels.h"

enum { THREADS_MAX = 2 };

/* A thread's part of the batch, in buffers of its own; maps are channels-last. */
struct part {
    int n;
    float *x, *y; /* maps, or their gradients: the same sizes */
    float *dw, *dbias;
    float *scratch;
};

struct layer_run {
    const struct cnn_kernels *kernels;
    struct conv_geometry geometry;
    long weights;
    enum direction direction;
    const float *w, *wt, *prepared, *bias;
    int threads;
    struct part parts[THREADS_MAX];
};

static struct conv_geometry case_geometry(const struct layer_case *layer)
{
    struct conv_geometry g = {.in_c = layer->channels, .out_k = layer->filters, .groups = 1};
    for (int i = 0; i < KERNEL_AXES; i++) {
        bool used = i >= KERNEL_AXES - layer->dims;
        g.in[i] = used ? layer->size : 1;
        g.out[i] = used ? layer->out : 1;
        g.kernel[i] = used ? layer->kernel : 1;
        g.before[i] = used ? layer->padding : 0;
        g.stride[i] = g.dilation[i] = 1;
    }
    return g;
}

/* dw and dbias of one part, overwritten. */
static void weight_gradient(const struct layer_run *run, const struct part *part)
{
    const struct conv_geometry *g = &run->geometry;
    size_t pixels = (size_t)part->n * (size_t)g->out[0] * (size_t)g->out[1] * (size_t)g->out[2];
    memset(part->dw, 0, (size_t)run->weights * sizeof(float));
    memset(part->dbias, 0, (size_t)g->out_k * sizeof(float));
    run->kernels->conv_backward_weight(g, part->n, part->x, part->y, part->dw, part->scratch);
    run->kernels->sum_rows(pixels, g->out_k, part->y, part->dbias);
}

/* All that a benchmark asks of the kernels stands here and in run_init. */
static void part_call(const struct layer_run *run, const struct part *part)
{
    const struct conv_geometry *g = &run->geometry;
    const struct epilogue end = {.bias = run->bias};
    if (run->direction == FORWARD)
        run->kernels->conv_forward(g, part->n, part->x, run->w, run->prepared, &end, part->y,
                                   part->scratch);
    else if (run->direction == DATA)
        run->kernels->conv_backward_data(g, part->n, part->y, run->wt, part->x, part->scratch);
    else
        weight_gradient(run, part);
}

/* Adds one thread's slice of every part's gradients into the first's. */
static void reduce_slice(const struct layer_run *run, int thread)
{
    long first = run->weights * thread / run->threads;
    long end = run->weights * (thread + 1) / run->threads;
    float *restrict sum = run->parts[0].dw;
    for (int t = 1; t < run->threads; t++) {
        const float *restrict dw = run->parts[t].dw;
        for (long i = first; i < end; i++)
            sum[i] += dw[i];
    }
}

static void run_call(void *context)
{
    const struct layer_run *run = context;
#pragma omp parallel num_threads(run->threads)
    {
        int thread = omp_get_thread_num();
        part_call(run, &run->parts[thread]);
        if (run->direction == WEIGHT && run->threads > 1) {
#pragma omp barrier
            reduce_slice(run, thread);
        }
    }
}

static void run_init(struct layer_run *run, const struct layer_case *layer, int threads)
{
    *run = (struct layer_run){.kernels = cnn_kernels(),
                              .geometry = case_geometry(layer),
                              .weights = layer_case_weights(layer),
                              .w = random_floats((size_t)layer_case_weights(layer)),
                              .bias = random_floats((size_t)layer->filters),
                              .threads = threads};
    const struct cnn_kernels *kernels = run->kernels;
    float *wt = random_floats(kernels->conv_transposed_floats(&run->geometry));
    float *prepared = random_floats(kernels->conv_prepared_floats(&run->geometry));
    kernels->conv_transpose(&run->geometry, run->w, wt);
    kernels->conv_prepare(&run->geometry, run->w, prepared);
    run->wt = wt;
    run->prepared = prepared;
    for (int t = 0; t < threads; t++) {
        struct part *part = &run->parts[t];
        part->n = layer->batch * (t + 1) / threads - layer->batch * t / threads;
        part->x = random_floats((size_t)(part->n * layer_case_in(layer)));
        part->y = random_floats((size_t)(part->n * layer_case_out(layer)));
        part->dw = random_floats((size_t)run->weights);
        part->dbias = random_floats((size_t)layer->filters);
        part->scratch = random_floats(run->kernels->conv_scratch(&run->geometry, NULL, part->n));
    }
}

static void run_clear(struct layer_run *run)
{
    free((float *)run->w);
    free((float *)run->wt);
    free((float *)run->prepared);
    free((float *)run->bias);
    for (int t = 0; t < run->threads; t++) {
        struct part *part = &run->parts[t];
        free(part->x);
        free(part->y);
        free(part->dw);
        free(part->dbias);
        free(part->scratch);
    }
}

static void measure_layer(const struct layer_case *layer, int threads)
{
    struct layer_run run;
    run_init(&run, layer, threads);
    for (int d = 0; d < DIRECTIONS; d++) {
        run.direction = (enum direction)d;
        if (run.direction == DATA && !layer->data)
            continue;
        double seconds = measure_call_s(run_call, &run);
        measure_print("strided", threads, "layers", layer->name, direction_name(run.direction),
                      2 * layer_case_macs(layer) / seconds * 1e-9);
    }
    run_clear(&run);
}

void layers_measure(const struct request *request)
{
    for (int i = 0; i < layer_case_count; i++)
        for (int threads = 1; threads <= THREADS_MAX; threads++)
            if (request_wants(request, layer_cases[i].name, threads))
                measure_layer(&layer_cases[i], threads);
}
