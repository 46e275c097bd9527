/* peer_onednn - oneDNN's convolutions on the same layers, through its C API (2.6: Debian's
 * libdnnl-dev). Every tensor stands in the layout that oneDNN likes best (format tag `any`), as
 * inside of its own nets: reorders are no part of what is timed. Bias and its gradient are. The
 * algorithm is the direct one, which PyTorch asks for too: Winograd's rounds differently.
 */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include <oneapi/dnnl/dnnl.h>

#include "cases.h"
#include "measure.h"

static const char usage[] = "usage: peer_onednn layers [NAME [THREADS]]   or   peer_onednn -\n";

static void check(dnnl_status_t status, const char *what)
{
    if (status == dnnl_success)
        return;
    fprintf(stderr, "oneDNN: %s: status %d\n", what, (int)status);
    exit(EXIT_FAILURE);
}
#define DNNL(call) check(call, #call)

enum { ARGUMENTS_MAX = 4 };

struct convolution {
    dnnl_primitive_t primitive;
    dnnl_stream_t stream;
    dnnl_exec_arg_t args[ARGUMENTS_MAX];
    float *blocks[ARGUMENTS_MAX];
    int arg_count;
};

struct descriptors {
    dnnl_memory_desc_t x, w, bias, y;
    dnnl_dims_t strides, padding;
};

static dnnl_memory_desc_t describe(int ndims, int first, int second, int rest)
{
    dnnl_memory_desc_t md;
    dnnl_dims_t dims = {first, second, rest, rest, rest};
    DNNL(dnnl_memory_desc_init_by_tag(&md, ndims, dims, dnnl_f32,
                                      ndims == 1 ? dnnl_a : dnnl_format_tag_any));
    return md;
}

static struct descriptors layer_descriptors(const struct layer_case *layer)
{
    int ndims = 2 + layer->dims;
    struct descriptors d = {
        .x = describe(ndims, layer->batch, layer->channels, layer->size),
        .w = describe(ndims, layer->filters, layer->channels, layer->kernel),
        .bias = describe(1, layer->filters, 0, 0),
        .y = describe(ndims, layer->batch, layer->filters, layer->out),
    };
    for (int i = 0; i < layer->dims; i++) {
        d.strides[i] = 1;
        d.padding[i] = layer->padding;
    }
    return d;
}

static dnnl_primitive_desc_t forward_desc(const struct descriptors *d, dnnl_engine_t engine)
{
    dnnl_convolution_desc_t op;
    dnnl_primitive_desc_t pd;
    DNNL(dnnl_convolution_forward_desc_init(&op, dnnl_forward_training, dnnl_convolution_direct,
                                            &d->x, &d->w, &d->bias, &d->y, d->strides, d->padding,
                                            d->padding));
    DNNL(dnnl_primitive_desc_create(&pd, &op, NULL, engine, NULL));
    return pd;
}

/* The backward ones are told the forward one's choices as a hint. */
static dnnl_primitive_desc_t direction_desc(const struct descriptors *d, dnnl_engine_t engine,
                                            enum direction direction)
{
    dnnl_primitive_desc_t forward = forward_desc(d, engine), pd;
    dnnl_convolution_desc_t op;
    if (direction == FORWARD)
        return forward;
    if (direction == DATA)
        DNNL(dnnl_convolution_backward_data_desc_init(&op, dnnl_convolution_direct, &d->x, &d->w,
                                                      &d->y, d->strides, d->padding, d->padding));
    else
        DNNL(dnnl_convolution_backward_weights_desc_init(&op, dnnl_convolution_direct, &d->x, &d->w,
                                                         &d->bias, &d->y, d->strides, d->padding,
                                                         d->padding));
    DNNL(dnnl_primitive_desc_create(&pd, &op, NULL, engine, forward));
    DNNL(dnnl_primitive_desc_destroy(forward));
    return pd;
}

/* A tensor in the layout that the primitive chose. */
static void add_argument(struct convolution *conv, dnnl_primitive_desc_t pd, dnnl_engine_t engine,
                         int argument)
{
    const dnnl_memory_desc_t *md =
        dnnl_primitive_desc_query_md(pd, dnnl_query_exec_arg_md, argument);
    float *block = random_floats(dnnl_memory_desc_get_size(md) / sizeof *block);
    int i = conv->arg_count++;
    conv->blocks[i] = block;
    conv->args[i].arg = argument;
    DNNL(dnnl_memory_create(&conv->args[i].memory, md, engine, block));
}

static void convolution_init(struct convolution *conv, const struct layer_case *layer,
                             enum direction direction, dnnl_engine_t engine)
{
    static const int arguments[DIRECTIONS][ARGUMENTS_MAX] = {
        [FORWARD] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST},
        [DATA] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST, 0},
        [WEIGHT] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS, DNNL_ARG_DIFF_DST},
    };
    struct descriptors d = layer_descriptors(layer);
    dnnl_primitive_desc_t pd = direction_desc(&d, engine, direction);
    *conv = (struct convolution){0};
    DNNL(dnnl_stream_create(&conv->stream, engine, dnnl_stream_default_flags));
    DNNL(dnnl_primitive_create(&conv->primitive, pd));
    for (int i = 0; i < ARGUMENTS_MAX && arguments[direction][i]; i++)
        add_argument(conv, pd, engine, arguments[direction][i]);
    DNNL(dnnl_primitive_desc_destroy(pd));
}

static void convolution_clear(struct convolution *conv)
{
    for (int i = 0; i < conv->arg_count; i++) {
        DNNL(dnnl_memory_destroy(conv->args[i].memory));
        free(conv->blocks[i]);
    }
    DNNL(dnnl_primitive_destroy(conv->primitive));
    DNNL(dnnl_stream_destroy(conv->stream));
}

static void convolution_call(void *context)
{
    struct convolution *conv = context;
    DNNL(dnnl_primitive_execute(conv->primitive, conv->stream, conv->arg_count, conv->args));
    DNNL(dnnl_stream_wait(conv->stream));
}

static void measure_layer(const struct layer_case *layer, int threads, dnnl_engine_t engine)
{
    omp_set_num_threads(threads); /* before the primitive is made: it plans for so many */
    for (int d = 0; d < DIRECTIONS; d++) {
        if (d == DATA && !layer->data)
            continue;
        struct convolution conv;
        convolution_init(&conv, layer, (enum direction)d, engine);
        double seconds = measure_call_s(convolution_call, &conv);
        measure_print("onednn", threads, "layers", layer->name, direction_name((enum direction)d),
                      2 * layer_case_macs(layer) / seconds * 1e-9);
        convolution_clear(&conv);
    }
}

static bool answer(const struct request *request)
{
    static dnnl_engine_t engine;
    if (strcmp(request->kind, "layers") != 0)
        return false;
    if (!engine)
        DNNL(dnnl_engine_create(&engine, dnnl_cpu, 0));
    for (int i = 0; i < layer_case_count; i++)
        for (int threads = 1; threads <= 2; threads++)
            if (request_wants(request, layer_cases[i].name, threads))
                measure_layer(&layer_cases[i], threads, engine);
    return true;
}

int main(int argc, char **argv)
{
    return requests_serve(argc, argv, usage, answer);
}
