/* A run that is stopped and goes on, however often, is the run that was not. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "small_nets.h"
#include "train.h"

enum { EPOCHS_MAX = 5, BATCHES_MAX = 40, BLOCKS = 4 };

/* A state with blocks of its own. */
struct kept {
    struct cnn_train_state state;
    float *blocks[BLOCKS]; /* params, best, first, second */
};

static float *copy_block(const float *block, size_t count)
{
    if (!block)
        return NULL;
    float *copy = malloc(count * sizeof *copy);
    memcpy(copy, block, count * sizeof *copy);
    return copy;
}

static void kept_clear(struct kept *kept)
{
    for (int i = 0; i < BLOCKS; i++)
        free(kept->blocks[i]);
    *kept = (struct kept){.blocks = {NULL}};
}

static void keep(struct kept *kept, const struct cnn_train_state *state, const struct cnn_net *net)
{
    kept_clear(kept);
    kept->state = *state;
    kept->state.params = kept->blocks[0] = copy_block(state->params, net->state_count);
    kept->state.best = kept->blocks[1] = copy_block(state->best, net->state_count);
    kept->state.optim.first = kept->blocks[2] = copy_block(state->optim.first, net->param_count);
    kept->state.optim.second = kept->blocks[3] = copy_block(state->optim.second, net->param_count);
}

struct epoch_note {
    double loss, accuracy, val_loss, val_accuracy;
    bool best;
};

/* All that a run reported, by where it was: what is reported twice must be the same twice. */
struct notes {
    struct cnn_batch_report batches[EPOCHS_MAX][BATCHES_MAX];
    struct epoch_note epochs[EPOCHS_MAX];
};

/* One stretch of a run, from a state to the `stop_after`-th it is shown. */
struct stretch {
    struct notes *notes;
    const struct cnn_net *net;
    int shown, stop_after; /* 0: never */
    struct kept last;
};

static void note_batch(void *context, const struct cnn_batch_report *report)
{
    struct stretch *stretch = context;
    struct cnn_batch_report *note = &stretch->notes->batches[report->epoch - 1][report->batch - 1];
    ck_assert(report->epoch <= EPOCHS_MAX && report->batch <= BATCHES_MAX);
    if (note->epoch)
        ck_assert(note->epoch == report->epoch && note->batch == report->batch &&
                  note->batches == report->batches && note->loss == report->loss &&
                  note->accuracy == report->accuracy && note->batch_loss == report->batch_loss &&
                  note->lr == report->lr);
    *note = *report;
}

static bool note_epoch(void *context, const struct cnn_epoch_report *report, struct err *e)
{
    struct stretch *stretch = context;
    struct epoch_note *slot = &stretch->notes->epochs[report->epoch - 1];
    const struct epoch_note note = {
        .loss = report->loss,
        .accuracy = report->accuracy,
        .val_loss = report->val ? report->val->loss : -1,
        .val_accuracy = report->val ? report->val->accuracy : -1,
        .best = report->best,
    };
    (void)e;
    if (slot->loss > 0)
        ck_assert(slot->loss == note.loss && slot->accuracy == note.accuracy &&
                  slot->val_loss == note.val_loss && slot->val_accuracy == note.val_accuracy &&
                  slot->best == note.best);
    *slot = note;
    return true;
}

static bool note_state(void *context, const struct cnn_train_state *state, struct err *e)
{
    struct stretch *stretch = context;
    if (++stretch->shown != stretch->stop_after)
        return true;
    keep(&stretch->last, state, stretch->net);
    return err_set(e, ERR_CANCELLED, "stopped");
}

/* What a drawn run consists of. */
struct run {
    enum small_kind kind;
    struct cnn_train_config config;
    bool validated;
    float class_weights[SMALL_CLASSES];
};

static uint32_t below(struct cnn_rng *rng, uint32_t bound)
{
    return cnn_rng_below(rng, bound);
}

static void draw_optimizer(struct cnn_train_config *config, struct cnn_rng *rng)
{
    config->optimizer = cnn_optim_defaults((enum cnn_optim_type)below(rng, CNN_OPTIM_COUNT));
    bool adam = config->optimizer.type == CNN_ADAM || config->optimizer.type == CNN_ADAMW;
    if (!adam && below(rng, 2))
        config->optimizer.momentum = 0.9;
    config->optimizer.nesterov =
        config->optimizer.type == CNN_SGD && config->optimizer.momentum > 0 && below(rng, 2);
    config->optimizer.weight_decay = below(rng, 2) ? 0.01 : 0;
    config->schedule.type = (enum cnn_schedule_type)below(rng, CNN_SCHEDULE_COUNT);
    config->schedule.warmup_epochs = below(rng, 2) ? 1.3 : 0;
    config->clip_norm = below(rng, 2) ? 0.5 : 0;
}

static void draw_samples(struct run *run, struct cnn_rng *rng)
{
    struct cnn_train_config *config = &run->config;
    config->validation_split = below(rng, 2) ? 0.2 : 0;
    run->validated = below(rng, 3) > 0;
    config->label_smoothing = below(rng, 2) ? 0.1 : 0;
    config->weighting = (enum cnn_weighting)below(rng, 3);
    config->class_weight_count = SMALL_CLASSES;
    for (int i = 0; i < SMALL_CLASSES; i++)
        run->class_weights[i] = 0.5f + (float)i;
    if (config->weighting != CNN_WEIGHTS_BALANCED && below(rng, 2))
        config->sampling = CNN_SAMPLING_BALANCED;
    if (below(rng, 2)) {
        config->augment.flip = CNN_FLIP_BOTH;
        config->augment.shift = 1;
        config->augment.noise = 0.1f;
    }
}

static struct run draw_run(uint64_t number)
{
    struct cnn_rng rng;
    struct run run = {.config = cnn_train_defaults()};
    cnn_rng_init(&rng, 77, number);
    run.kind = (enum small_kind)below(&rng, SMALL_KINDS);
    run.config.epochs = 2 + (int)below(&rng, 2);
    run.config.batch_size = 20 + (int)below(&rng, 60);
    run.config.seed = below(&rng, 1000);
    run.config.publish = below(&rng, 2) ? CNN_PUBLISH_LAST : CNN_PUBLISH_BEST;
    run.config.patience = below(&rng, 3) ? 0 : 1;
    draw_optimizer(&run.config, &rng);
    draw_samples(&run, &rng);
    return run;
}

/* Trains net from a state (NULL: the start), as another process would: all else is made anew. */
static bool train(struct run *run, struct cnn_net *net, int threads,
                  const struct cnn_train_state *state, struct stretch *stretch,
                  struct cnn_train_result *result)
{
    struct err e = {0};
    struct cnn_samples samples = small_samples(), other = small_samples();
    const struct cnn_train_hooks hooks = {
        .context = stretch, .batch = note_batch, .epoch = note_epoch, .checkpoint = note_state};
    stretch->net = net;
    run->config.class_weights = run->class_weights;
    run->config.threads = threads;
    bool done = cnn_train_resume(net, &samples, run->validated ? &other : NULL, &run->config, state,
                                 &hooks, result, &e);
    ck_assert_msg(done || e.code == ERR_CANCELLED, "%s", e.detail);
    small_samples_clear(&samples);
    small_samples_clear(&other);
    return done;
}

/* A net whose weights are none of the run's. */
static struct cnn_net *stale_net(enum small_kind kind)
{
    struct cnn_net *net = small_net(kind);
    for (size_t i = 0; i < net->state_count; i++)
        net->params[i] = 0.25f;
    return net;
}

static void same_result(const struct cnn_train_result *a, const struct cnn_train_result *b)
{
    ck_assert_int_eq(a->epochs_run, b->epochs_run);
    ck_assert_int_eq(a->best_epoch, b->best_epoch);
    ck_assert_int_eq(a->stopped_early, b->stopped_early);
}

enum { RUNS = 24 };

/* Every run below is held against this one. */
static struct cnn_net *train_whole(struct run *run, struct notes *notes,
                                   struct cnn_train_result *result)
{
    struct stretch stretch = {.notes = notes};
    struct cnn_net *net = small_net(run->kind);
    ck_assert(train(run, net, 2, NULL, &stretch, result));
    return net;
}

START_TEST(a_run_stopped_at_every_batch_ends_with_the_same_bits)
{
    for (uint64_t number = 0; number < RUNS; number++) {
        static struct notes notes;
        struct run run = draw_run(number);
        struct cnn_train_result whole, result;
        memset(&notes, 0, sizeof notes);
        struct cnn_net *expected = train_whole(&run, &notes, &whole);

        struct stretch stretch = {.notes = &notes, .stop_after = 1};
        struct cnn_net *net = small_net(run.kind);
        for (int part = 1; !train(&run, net, part % 4 + 1, part > 1 ? &stretch.last.state : NULL,
                                  &stretch, &result);
             part++) {
            cnn_net_free(net);
            net = stale_net(run.kind);
            stretch.shown = 0;
            stretch.stop_after = 2; /* the first is the one it begins from */
        }
        ck_assert_mem_eq(net->params, expected->params, net->state_count * sizeof(float));
        same_result(&result, &whole);
        kept_clear(&stretch.last);
        cnn_net_free(net);
        cnn_net_free(expected);
    }
}
END_TEST

START_TEST(a_run_that_begins_again_from_an_older_state_reports_the_same)
{
    for (uint64_t number = 0; number < RUNS; number++) {
        static struct notes notes;
        struct run run = draw_run(number);
        struct cnn_train_result whole, result;
        memset(&notes, 0, sizeof notes);
        struct cnn_net *expected = train_whole(&run, &notes, &whole), *net = small_net(run.kind);
        struct stretch first = {.notes = &notes, .stop_after = 1 + (int)number % 4};
        ck_assert(!train(&run, net, 1, NULL, &first, &result));
        for (int again = 0; again < 2; again++) {
            struct stretch second = {.notes = &notes, .stop_after = again ? 0 : 2};
            cnn_net_free(net);
            net = stale_net(run.kind);
            ck_assert_int_eq(train(&run, net, 2, &first.last.state, &second, &result), again);
            kept_clear(&second.last);
        }
        ck_assert_mem_eq(net->params, expected->params, net->state_count * sizeof(float));
        kept_clear(&first.last);
        cnn_net_free(net);
        cnn_net_free(expected);
    }
}
END_TEST

/* A plain run of 3 epochs of 3 batches, stopped when the `shown`-th state is. */
static struct run plain_run(void)
{
    struct run run = {.config = cnn_train_defaults(), .validated = true};
    run.config.epochs = 3;
    run.config.batch_size = 50;
    run.config.optimizer.lr = 0.01;
    return run;
}

static struct kept plain_state(int shown)
{
    static struct notes notes;
    struct run run = plain_run();
    struct stretch stretch = {.notes = &notes, .stop_after = shown};
    struct cnn_train_result result;
    struct cnn_net *net = small_net(run.kind);
    memset(&notes, 0, sizeof notes);
    ck_assert(!train(&run, net, 1, NULL, &stretch, &result));
    cnn_net_free(net);
    return stretch.last;
}

START_TEST(states_are_shown_before_every_batch_and_at_the_end)
{
    for (int shown = 1; shown <= 10; shown++) {
        struct kept kept = plain_state(shown);
        ck_assert_int_eq(kept.state.epoch, (shown - 1) / 3 + 1);
        ck_assert_int_eq(kept.state.batch, (shown - 1) % 3);
        ck_assert_int_eq((int)kept.state.optim.steps, shown - 1);
        ck_assert((kept.state.loss_sum > 0) == (kept.state.batch > 0));
        ck_assert((kept.state.best != NULL) == (kept.state.epoch > 1));
        kept_clear(&kept);
    }
}
END_TEST

START_TEST(a_finished_run_has_nothing_left_to_train)
{
    static struct notes notes;
    struct run run = plain_run();
    struct kept kept = plain_state(10);
    struct stretch stretch = {.notes = &notes};
    struct cnn_train_result result;
    struct cnn_net *net = stale_net(run.kind);
    ck_assert(train(&run, net, 1, &kept.state, &stretch, &result));
    ck_assert_int_eq(notes.batches[0][0].epoch, 0);
    ck_assert_int_eq(stretch.shown, 1);
    ck_assert_int_eq(result.epochs_run, 3);
    ck_assert_mem_eq(net->params, kept.state.best, net->state_count * sizeof(float));
    cnn_net_free(net);
    kept_clear(&kept);
}
END_TEST

/* Without a schedule that looks at the end, more epochs are the run that had them from the start.
 */
START_TEST(more_epochs_go_on_where_fewer_ended)
{
    static struct notes notes;
    struct run run = plain_run();
    struct cnn_train_result whole, result;
    struct kept kept = plain_state(10);
    run.config.epochs = 5;
    struct cnn_net *expected = train_whole(&run, &notes, &whole), *net = stale_net(run.kind);
    struct stretch stretch = {.notes = &notes};
    ck_assert(train(&run, net, 2, &kept.state, &stretch, &result));
    ck_assert_mem_eq(net->params, expected->params, net->state_count * sizeof(float));
    same_result(&result, &whole);
    cnn_net_free(net);
    cnn_net_free(expected);
    kept_clear(&kept);
}
END_TEST

START_TEST(cosine_follows_the_longer_curve_from_there)
{
    static struct notes notes;
    struct run run = plain_run();
    struct cnn_train_result result;
    struct kept kept = plain_state(10);
    struct stretch stretch = {.notes = &notes};
    struct cnn_net *net = stale_net(run.kind);
    run.config.epochs = 5;
    run.config.schedule.type = CNN_COSINE;
    ck_assert(train(&run, net, 2, &kept.state, &stretch, &result));
    ck_assert(notes.batches[3][0].lr ==
              cnn_schedule_lr(&run.config.schedule, run.config.optimizer.lr, 9, 3, 5));
    ck_assert_double_eq_tol(notes.batches[4][2].lr, 0, 1e-12);
    cnn_net_free(net);
    kept_clear(&kept);
}
END_TEST

static void refused(const struct cnn_train_state *state, const char *detail)
{
    struct err e = {0};
    struct run run = plain_run();
    struct cnn_samples samples = small_samples();
    struct cnn_train_result result;
    struct cnn_net *net = small_net(run.kind), *fresh = small_net(run.kind);
    ck_assert(!cnn_train_resume(net, &samples, NULL, &run.config, state, NULL, &result, &e));
    ck_assert_msg(e.code == ERR_INVALID && strstr(e.detail, detail), "%s", e.detail);
    ck_assert_mem_eq(net->params, fresh->params, net->state_count * sizeof(float));
    cnn_net_free(net);
    cnn_net_free(fresh);
    small_samples_clear(&samples);
}

#define REFUSED(detail, ...)                   \
    do {                                       \
        struct cnn_train_state s = kept.state; \
        __VA_ARGS__;                           \
        refused(&s, detail);                   \
    } while (0)

START_TEST(states_that_no_run_is_in_are_refused)
{
    struct kept kept = plain_state(5); /* epoch 2, batch 1 */
    REFUSED("epoch 0, batch 1", s.epoch = 0);
    REFUSED("epoch 5, batch 1", s.epoch = 5);
    REFUSED("epoch 4, batch 1", s.epoch = 4);
    REFUSED("epoch 2, batch -1", s.batch = -1);
    REFUSED("epoch 2, batch 3", s.batch = 3);
    REFUSED("5 optimizer steps", s.optim.steps = 5);
    REFUSED("4 optimizer steps do not lead to epoch 2, batch 2", s.batch = 2);
    REFUSED("sums", s.loss_sum = NAN);
    REFUSED("sums", s.loss_sum = -1);
    REFUSED("sums", s.correct = 51);
    REFUSED("sums", (s.batch = 0, s.optim.steps = 3));
    REFUSED("not the best", s.best_epoch = 2);
    REFUSED("not the best", s.best_epoch = 0);
    REFUSED("not the best", s.best_loss = INFINITY);
    REFUSED("not the best", s.best_accuracy = NAN);
    REFUSED("weights", s.best = NULL);
    REFUSED("weights", s.params = NULL);
    REFUSED("moments", s.optim.first = NULL);
    REFUSED("moments", s.optim.second = NULL);
    kept_clear(&kept);

    kept = plain_state(1); /* nothing done */
    REFUSED("weights", s.best = s.params);
    REFUSED("not the best", s.best_epoch = 1);
    kept_clear(&kept);
}
END_TEST

START_TEST(moments_of_another_optimizer_are_refused)
{
    struct err e;
    const float moments[2] = {1, 2};
    struct cnn_optim_config config = cnn_optim_defaults(CNN_SGD);
    struct cnn_optim *plain = cnn_optim_new(&config, 2, &e);
    const struct cnn_optim_state none = {.steps = 3}, first = {.steps = 3, .first = moments},
                                 second = {.steps = 3, .second = moments}, before = {.steps = -1};
    ck_assert(cnn_optim_restore(plain, &none, &e));
    ck_assert_int_eq((int)cnn_optim_state(plain).steps, 3);
    ck_assert(!cnn_optim_restore(plain, &first, &e));
    ck_assert(!cnn_optim_restore(plain, &second, &e));
    ck_assert(!cnn_optim_restore(plain, &before, &e));
    config = cnn_optim_defaults(CNN_RMSPROP);
    struct cnn_optim *squares = cnn_optim_new(&config, 2, &e);
    ck_assert(!cnn_optim_restore(squares, &none, &e));
    ck_assert(cnn_optim_restore(squares, &second, &e));
    ck_assert_mem_eq(cnn_optim_state(squares).second, moments, sizeof moments);
    cnn_optim_free(plain);
    cnn_optim_free(squares);
}
END_TEST

TEST_PROGRAM("core_train_resume", a_run_stopped_at_every_batch_ends_with_the_same_bits,
             a_run_that_begins_again_from_an_older_state_reports_the_same,
             states_are_shown_before_every_batch_and_at_the_end,
             a_finished_run_has_nothing_left_to_train, more_epochs_go_on_where_fewer_ended,
             cosine_follows_the_longer_curve_from_there, states_that_no_run_is_in_are_refused,
             moments_of_another_optimizer_are_refused)
