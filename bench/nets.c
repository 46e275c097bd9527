#include "nets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"
#include "memory.h"
#include "optim.h"
#include "predictor.h"
#include "presets.h"
#include "step.h"
#include "workspace.h"

enum { THREADS_MAX = 2, BATCHES = 4 };

static void fail(const struct err *e)
{
    fprintf(stderr, "%s\n", e->detail);
    exit(EXIT_FAILURE);
}

static struct cnn_net *preset_net(const char *name)
{
    struct err e = {0};
    struct cnn_spec spec;
    if (!cnn_preset_spec(cnn_preset_find(name), NULL, 0, &spec, &e))
        fail(&e);
    struct cnn_net *net = cnn_net_new(&spec, &e);
    cnn_spec_clear(&spec);
    if (!net)
        fail(&e);
    cnn_net_init(net, CNN_INIT_UNIFORM, 1);
    return net;
}

/* Operations of one sample's training step: no data gradient is needed for the net's input. */
static double train_flops(const struct cnn_net *net)
{
    double macs = 0;
    for (int i = 0; i < net->node_count; i++) {
        const struct cnn_node *node = &net->nodes[i];
        macs += (double)cnn_node_macs(node) * (node->inputs[0] == CNN_FROM_INPUT ? 2 : 3);
    }
    return 2 * macs;
}

/* ---- training ---------------------------------------------------------------------------------*/

/* Random samples, their random labels, and all that steps on them need. */
struct training {
    struct cnn_net *net;
    int batch, threads;
    struct cnn_samples samples; /* BATCHES batches */
    uint32_t *order;
    struct cnn_optim *optim;
    struct cnn_optim_config config;
    struct cnn_step *step;
    uint64_t number; /* of steps so far */
};

static void training_init(struct training *t, const struct net_case *net, int threads)
{
    struct err e = {0};
    *t = (struct training){.net = preset_net(net->preset),
                           .batch = net->batch,
                           .threads = threads,
                           .config = cnn_optim_defaults(CNN_ADAM)};
    uint32_t count = (uint32_t)(BATCHES * net->batch);
    int classes = cnn_net_output(t->net)->c;
    uint16_t *labels = memory_new(count, sizeof *labels, &e);
    t->order = memory_new(count, sizeof *t->order, &e);
    t->optim = cnn_optim_new(&t->config, t->net->param_count, &e);
    if (!labels || !t->order || !t->optim)
        fail(&e);
    for (uint32_t i = 0; i < count; i++) {
        labels[i] = (uint16_t)(i % (uint32_t)classes);
        t->order[i] = i * 7919 % count; /* a prime: every sample once */
    }
    t->samples = (struct cnn_samples){.shape = t->net->input,
                                      .count = count,
                                      .classes = classes,
                                      .dtype = CNN_F32,
                                      .x = random_floats(count * cnn_shape_count(&t->net->input)),
                                      .labels = labels,
                                      .normalize = {.scale = 1}};
}

static void training_start(struct training *t)
{
    struct err e = {0};
    t->step =
        cnn_step_new(t->net, t->batch, cnn_loss_for(CNN_CROSS_ENTROPY, t->net), t->threads, &e);
    if (!t->step)
        fail(&e);
}

static void training_clear(struct training *t)
{
    cnn_step_free(t->step);
    cnn_optim_free(t->optim);
    free((void *)t->samples.x);
    free((void *)t->samples.labels);
    free(t->order);
    cnn_net_free(t->net);
}

/* What run_batch of core/train.c does. */
static void training_step(void *context)
{
    struct training *t = context;
    const uint32_t *index = t->order + t->number % BATCHES * (uint64_t)t->batch;
    const struct cnn_step_update update = {.optim = t->optim, .lr = t->config.lr};
    struct cnn_step_result result =
        cnn_step_train(t->step, &t->samples, index, t->batch, 1, t->number++, &update);
    if (!isfinite(result.loss) || !isfinite(result.norm))
        fail(&(struct err){.detail = "training diverged"});
}

static void measure_train(const struct net_case *net, int threads)
{
    struct training t;
    training_init(&t, net, threads);
    training_start(&t);
    double rate = t.batch / measure_call_s(training_step, &t);
    measure_print("strided", threads, "train", net->preset, "samples/s", rate);
    measure_print("strided", threads, "train", net->preset, "gflops",
                  train_flops(t.net) * rate * 1e-9);
    training_clear(&t);
}

static void measure_memory(const struct net_case *net, int threads)
{
    /* Brings in code, threads and the allocator's first blocks. */
    static const struct net_case warm_up = {"shapes-tiny", 2};
    struct training t;
    training_init(&t, &warm_up, threads);
    training_start(&t);
    training_step(&t);
    training_clear(&t);
    training_init(&t, net, threads);
    double gradients = (double)t.net->param_count * sizeof(float);
    process_peak_reset();
    double before = (double)process_bytes("VmRSS");
    training_start(&t);
    for (int i = 0; i < 2 * BATCHES; i++)
        training_step(&t);
    double grown = (double)process_bytes("VmHWM") - before - gradients;
    measure_print("strided", threads, "memory", net->preset, "bytes", grown);
    measure_print("strided", threads, "memory", net->preset, "counted",
                  (double)cnn_step_bytes(t.step) - gradients);
    training_clear(&t);
}

/* ---- inference --------------------------------------------------------------------------------*/

/* What a predict request does: api_predict.c. */
struct inference {
    struct cnn_net *net;
    struct cnn_predictor *predictor;
    int n, lanes;
    struct cnn_lane *lane[THREADS_MAX];
    float *x, *scores;
};

static void inference_init(struct inference *run, const char *preset, int batch, int threads)
{
    struct err e = {0};
    *run = (struct inference){.net = preset_net(preset), .n = batch};
    run->predictor = cnn_predictor_new(run->net, &e);
    if (!run->predictor)
        fail(&e);
    run->lanes = cnn_predictor_lanes(run->predictor, batch, threads);
    for (int i = 0; i < run->lanes; i++)
        if (!(run->lane[i] = cnn_lane_new(run->predictor, &e)))
            fail(&e);
    run->x = random_floats((size_t)batch * cnn_shape_count(&run->net->input));
    run->scores = random_floats((size_t)batch * cnn_shape_count(cnn_net_output(run->net)));
}

static void inference_clear(struct inference *run)
{
    for (int i = 0; i < run->lanes; i++)
        cnn_lane_free(run->lane[i]);
    cnn_predictor_free(run->predictor);
    cnn_net_free(run->net);
    free(run->x);
    free(run->scores);
}

static void inference_call(void *context)
{
    struct inference *run = context;
    cnn_predict(run->lane, run->lanes, run->x, run->n, run->scores);
    cnn_scores(run->net, run->scores, run->n);
}

static double infer_seconds(const char *preset, int batch, int threads)
{
    struct inference run;
    inference_init(&run, preset, batch, threads);
    double seconds = measure_call_s(inference_call, &run);
    inference_clear(&run);
    return seconds;
}

static void measure_infer(const struct net_case *net, int threads)
{
    if (threads == 1)
        measure_print("strided", threads, "infer", net->preset, "us",
                      infer_seconds(net->preset, 1, threads) * 1e6);
    measure_print("strided", threads, "infer", net->preset, "samples/s",
                  INFER_BATCH / infer_seconds(net->preset, INFER_BATCH, threads));
}

/* ---- requests ---------------------------------------------------------------------------------*/

static void measure_nets(const struct request *request,
                         void (*measure)(const struct net_case *net, int threads))
{
    for (int i = 0; i < net_case_count; i++)
        for (int threads = 1; threads <= THREADS_MAX; threads++)
            if (request_wants(request, net_cases[i].preset, threads))
                measure(&net_cases[i], threads);
}

void nets_train(const struct request *request)
{
    measure_nets(request, measure_train);
}

void nets_infer(const struct request *request)
{
    measure_nets(request, measure_infer);
}

/* In a child, whose high-water mark no other measurement has raised. */
static void measure_memory_apart(const struct net_case *net, int threads)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        measure_memory(net, threads);
        exit(EXIT_SUCCESS);
    }
    if (child > 0)
        waitpid(child, NULL, 0);
}

void nets_memory(const struct request *request)
{
    measure_nets(request, measure_memory_apart);
}
