#include "eval.h"

#include <math.h>
#include <omp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "memory.h"
#include "predictor.h"
#include "workspace.h"

bool cnn_samples_fit(const struct cnn_net *net, const struct cnn_samples *samples, struct err *e)
{
    char takes[CNN_SHAPE_TEXT], holds[CNN_SHAPE_TEXT];
    const struct cnn_shape *out = cnn_net_output(net);
    if (!cnn_shape_equal(&net->input, &samples->shape))
        return err_set(e, ERR_INVALID, "model takes %s but the samples are %s",
                       cnn_shape_text(&net->input, takes), cnn_shape_text(&samples->shape, holds));
    if (cnn_shape_pixels(out) != 1)
        return err_set(e, ERR_INVALID, "model's output %s is not one score a class",
                       cnn_shape_text(out, takes));
    if (out->c != samples->classes)
        return err_set(e, ERR_INVALID, "model has %d outputs but the samples have %d classes",
                       out->c, samples->classes);
    return true;
}

/* One evaluation in progress. */
struct pass {
    const struct cnn_net *net;
    const struct cnn_samples *samples;
    const uint32_t *index;
    uint32_t n;
    struct cnn_loss loss;
    int threads, classes;
    struct cnn_predictor *predictor;
    uint32_t chunk;          /* samples; a function of the net alone */
    struct cnn_lane **lanes; /* [threads] */
    float **scores;          /* [threads][chunk, classes] */
    double *losses;          /* [chunks] */
    uint16_t *predicted;     /* [n] */
    float *confidence;       /* [n]; score of the predicted class */
};

static void pass_clear(struct pass *pass)
{
    for (int t = 0; t < pass->threads; t++) {
        if (pass->lanes)
            cnn_lane_free(pass->lanes[t]);
        if (pass->scores)
            free(pass->scores[t]);
    }
    free(pass->lanes);
    cnn_predictor_free(pass->predictor);
    free(pass->scores);
    free(pass->losses);
    free(pass->predicted);
    free(pass->confidence);
}

static bool pass_init(struct pass *pass, int threads, struct err *e)
{
    pass->classes = pass->samples->classes;
    if (!(pass->predictor = cnn_predictor_new(pass->net, e)))
        return false;
    pass->chunk = (uint32_t)cnn_predictor_samples(pass->predictor);
    uint32_t chunks = (pass->n - 1) / pass->chunk + 1;
    pass->threads = (uint32_t)threads < chunks ? threads : (int)chunks;
    size_t teams = (size_t)pass->threads;
    if (!(pass->lanes = memory_new(teams, sizeof *pass->lanes, e)) ||
        !(pass->scores = memory_new(teams, sizeof *pass->scores, e)) ||
        !(pass->losses = memory_new(chunks, sizeof *pass->losses, e)) ||
        !(pass->predicted = memory_new(pass->n, sizeof *pass->predicted, e)) ||
        !(pass->confidence = memory_new(pass->n, sizeof *pass->confidence, e)))
        return false;
    size_t row = (size_t)pass->classes * sizeof(float);
    for (size_t t = 0; t < teams; t++) {
        pass->lanes[t] = cnn_lane_new(pass->predictor, e);
        pass->scores[t] = memory_new(pass->chunk, row, e);
        if (!pass->lanes[t] || !pass->scores[t])
            return false;
    }
    return true;
}

static uint32_t pass_sample(const struct pass *pass, uint32_t i)
{
    return pass->index ? pass->index[i] : i;
}

/* Runs the net over n samples; leaves their scores in `scores` and returns the raw output. */
static const float *run_net(const struct pass *pass, struct cnn_lane *lane, const uint32_t *index,
                            uint32_t first, int n, float *scores)
{
    cnn_samples_gather(pass->samples, index, first, n, cnn_lane_input(lane));
    const float *out = cnn_lane_run(lane, n);
    memcpy(scores, out, (size_t)n * (size_t)pass->classes * sizeof(float));
    cnn_scores(pass->net, scores, n);
    return out;
}

static void judge_chunk(struct pass *pass, uint32_t chunk)
{
    uint32_t first = chunk * pass->chunk;
    int n = (int)(pass->n - first < pass->chunk ? pass->n - first : pass->chunk);
    uint16_t labels[CNN_LANE_SAMPLES_MAX];
    for (int i = 0; i < n; i++)
        labels[i] = pass->samples->labels[pass_sample(pass, first + (uint32_t)i)];

    struct cnn_lane *lane = pass->lanes[omp_get_thread_num()];
    float *scores = pass->scores[omp_get_thread_num()];
    const float *out = pass->index ? run_net(pass, lane, pass->index + first, 0, n, scores)
                                   : run_net(pass, lane, NULL, first, n, scores);
    pass->losses[chunk] = cnn_loss_eval(pass->loss, n, pass->classes, out, labels, 0, NULL);
    for (int i = 0; i < n; i++) {
        size_t row = (size_t)i * (size_t)pass->classes;
        int predicted = cnn_argmax(out + row, pass->classes);
        pass->predicted[first + (uint32_t)i] = (uint16_t)predicted;
        pass->confidence[first + (uint32_t)i] = scores[row + (size_t)predicted];
    }
}

/* The team is of one size whatever there is to do: libgomp keeps such a one, while for another it
 * allocates, and ends the process when it cannot. */
static void judge(struct pass *pass, int team)
{
    uint32_t chunks = (pass->n - 1) / pass->chunk + 1;
    atomic_uint next = 0;
#pragma omp parallel num_threads(team)
    if (omp_get_thread_num() < pass->threads) {
        for (uint32_t chunk; (chunk = atomic_fetch_add(&next, 1)) < chunks;)
            judge_chunk(pass, chunk);
    }
}

/* Most confident first, then by sample; NaN last. */
static int compare_scores(const void *a, const void *b)
{
    const struct cnn_failure *left = a, *right = b;
    float left_score = isnan(left->score) ? -1 : left->score;
    float right_score = isnan(right->score) ? -1 : right->score;
    if (left_score != right_score)
        return left_score > right_score ? -1 : 1;
    return (left->sample > right->sample) - (left->sample < right->sample);
}

/* By cell of the matrix, and within one as above. */
static int compare_cells(const void *a, const void *b)
{
    const struct cnn_failure *left = a, *right = b;
    if (left->actual != right->actual)
        return left->actual < right->actual ? -1 : 1;
    if (left->predicted != right->predicted)
        return left->predicted < right->predicted ? -1 : 1;
    return compare_scores(a, b);
}

/* How each sample was judged, right or wrong, by cell; the caller frees. */
static struct cnn_failure *judged_samples(const struct pass *pass, struct err *e)
{
    struct cnn_failure *judged = memory_new(pass->n, sizeof *judged, e);
    if (!judged)
        return NULL;
    for (uint32_t i = 0; i < pass->n; i++) {
        uint32_t sample = pass_sample(pass, i);
        judged[i] = (struct cnn_failure){
            .sample = sample,
            .actual = pass->samples->labels[sample],
            .predicted = pass->predicted[i],
            .score = pass->confidence[i],
        };
    }
    qsort(judged, pass->n, sizeof *judged, compare_cells);
    return judged;
}

/* Matrix, samples and accuracy. Moves the failures to the front, in order; returns how many. */
static uint32_t fill_matrix(const struct pass *pass, struct cnn_failure *judged,
                            struct cnn_eval *eval)
{
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < pass->n; i++) {
        const struct cnn_failure one = judged[i];
        eval->confusion[(size_t)one.actual * (size_t)pass->classes + one.predicted]++;
        eval->samples[i] = one.sample;
        if (one.actual != one.predicted)
            judged[wrong++] = one;
    }
    eval->accuracy = (double)(pass->n - wrong) / pass->n;
    qsort(judged, wrong, sizeof *judged, compare_scores);
    return wrong;
}

/* Keeps the first `kept` failures, and runs the net once more for all their scores: a table of
 * every sample's scores could be gigabytes. */
static bool keep_failures(const struct pass *pass, const struct cnn_failure *failures,
                          uint32_t kept, struct cnn_eval *eval, struct err *e)
{
    size_t row = (size_t)pass->classes;
    eval->failures = memory_new(kept, sizeof *eval->failures, e);
    eval->failure_scores = memory_new(kept, row * sizeof(float), e);
    if (!eval->failures || !eval->failure_scores)
        return false;
    memcpy(eval->failures, failures, kept * sizeof *failures);
    eval->failure_count = (int)kept;
    for (uint32_t i = 0; i < kept; i++)
        run_net(pass, pass->lanes[0], &failures[i].sample, 0, 1, eval->failure_scores + i * row);
    return true;
}

static bool fill_eval(const struct pass *pass, int failures_max, struct cnn_eval *eval,
                      struct err *e)
{
    size_t classes = (size_t)pass->classes;
    eval->count = pass->n;
    eval->classes = pass->classes;
    for (uint32_t chunk = 0; chunk <= (pass->n - 1) / pass->chunk; chunk++)
        eval->loss += pass->losses[chunk];
    eval->loss /= pass->n;
    struct cnn_failure *judged = judged_samples(pass, e);
    eval->confusion = memory_new(classes * classes, sizeof *eval->confusion, e);
    eval->samples = memory_new(pass->n, sizeof *eval->samples, e);
    bool ok = judged && eval->confusion && eval->samples;
    if (ok) {
        uint32_t wrong = fill_matrix(pass, judged, eval);
        uint32_t kept = wrong < (uint32_t)failures_max ? wrong : (uint32_t)failures_max;
        ok = kept == 0 || keep_failures(pass, judged, kept, eval, e);
    }
    free(judged);
    return ok;
}

bool cnn_evaluate(const struct cnn_net *net, const struct cnn_samples *samples,
                  const uint32_t *index, uint32_t n, struct cnn_loss loss, int threads,
                  int failures_max, struct cnn_eval *eval, struct err *e)
{
    CHECK(threads >= 1 && failures_max >= 0);
    *eval = (struct cnn_eval){0};
    struct pass pass = {
        .net = net,
        .samples = samples,
        .index = index,
        .n = index ? n : samples->count,
        .loss = loss,
    };
    if (!cnn_samples_fit(net, samples, e))
        return false;
    if (pass.n == 0)
        return err_set(e, ERR_INVALID, "there are no samples to evaluate");

    bool done = pass_init(&pass, threads, e);
    if (done) {
        judge(&pass, threads);
        done = fill_eval(&pass, failures_max, eval, e);
    }
    pass_clear(&pass);
    if (!done)
        cnn_eval_clear(eval);
    return done;
}

void cnn_eval_clear(struct cnn_eval *eval)
{
    free(eval->confusion);
    free(eval->samples);
    free(eval->failures);
    free(eval->failure_scores);
    *eval = (struct cnn_eval){0};
}

static double ratio(uint32_t part, uint64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : 0;
}

void cnn_confusion_metrics(const uint32_t *confusion, int classes,
                           struct cnn_class_metrics *metrics)
{
    for (int c = 0; c < classes; c++) {
        uint64_t predicted = 0, actual = 0;
        for (int other = 0; other < classes; other++) {
            predicted += confusion[(size_t)other * classes + c];
            actual += confusion[(size_t)c * classes + other];
        }
        uint32_t hits = confusion[(size_t)c * classes + c];
        metrics[c] = (struct cnn_class_metrics){
            .precision = ratio(hits, predicted),
            .recall = ratio(hits, actual),
            .f1 = predicted + actual > 0 ? 2.0 * hits / (double)(predicted + actual) : 0,
            .support = (uint32_t)actual,
        };
    }
}

static void add_metrics(struct cnn_class_metrics *sum, const struct cnn_class_metrics *one,
                        double weight)
{
    sum->precision += one->precision * weight;
    sum->recall += one->recall * weight;
    sum->f1 += one->f1 * weight;
    sum->support += one->support;
}

static void divide_metrics(struct cnn_class_metrics *sum, double weights)
{
    sum->precision /= weights;
    sum->recall /= weights;
    sum->f1 /= weights;
}

void cnn_confusion_means(const struct cnn_class_metrics *metrics, int classes,
                         struct cnn_class_metrics *macro, struct cnn_class_metrics *weighted)
{
    *macro = *weighted = (struct cnn_class_metrics){0};
    for (int c = 0; c < classes; c++) {
        add_metrics(macro, &metrics[c], 1);
        add_metrics(weighted, &metrics[c], metrics[c].support);
    }
    divide_metrics(macro, classes);
    if (weighted->support > 0)
        divide_metrics(weighted, weighted->support);
}
