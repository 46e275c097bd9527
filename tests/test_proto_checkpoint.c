/* Checkpoints: what is written is what is read, and nothing else is. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "checkpoint.h"
#include "exact.h"
#include "safetensors.h"
#include "small_nets.h"

static const char job_text[] =
    "{\"model\":\"m\",\"dataset\":\"d\",\"dataset_version\":3,\"epochs\":3,\"batch_size\":50,"
    "\"threads\":2,\"seed\":5,\"architecture\":{\"layers\":[{\"type\":\"dense\",\"units\":3}]},"
    "\"class_weights\":[1,0.1,2.5],\"optimizer\":{\"type\":\"adam\",\"lr\":0.003}}";

static struct job_request parse_request(const char *text)
{
    struct err e;
    struct job_request request;
    ck_assert_msg(job_request_parse(text, strlen(text), &request, &e), "%s", e.detail);
    return request;
}

static void add(void *context, const void *bytes, size_t size)
{
    buf_add(context, bytes, size);
}

static struct buf write_file(const struct checkpoint *checkpoint, const struct cnn_net *net,
                             const struct job_request *request)
{
    struct err e;
    struct buf file = {0};
    ck_assert_msg(checkpoint_write(checkpoint, net, request, add, &file, &e), "%s", e.detail);
    ck_assert(buf_ok(&file));
    return file;
}

/* A checkpoint of made-up numbers, and the file that holds it. */
struct sample {
    struct cnn_net *net;
    struct job_request request;
    struct checkpoint checkpoint;
    struct buf file;
};

static struct checkpoint_point points[] = {{1, 0.5, 1e-3}, {4, 1.0 / 3, 1e-3}, {5, 0.25, 5e-324}};

/* [count] numbers of every kind of float; the caller frees. */
static float *odd_block(size_t count, float first)
{
    static const float odd[] = {0, -0.0f, 1e-45f, FLT_MAX, -1.0f / 3};
    float *block = malloc(count * sizeof *block);
    for (size_t i = 0; i < count; i++)
        block[i] = i == 0 ? first : odd[i % 5];
    return block;
}

static struct sample make_sample(void)
{
    struct sample sample = {.net = small_net(SMALL_NORM), .request = parse_request(job_text)};
    size_t state = sample.net->state_count, params = sample.net->param_count;
    sample.checkpoint = (struct checkpoint){
        .job = "17",
        .cpu = "avx2",
        .epoch_seconds = 1.0 / 7,
        .state = {.epoch = 2,
                  .batch = 5,
                  .loss_sum = 0.1 + 0.2,
                  .correct = UINT32_MAX,
                  .best_epoch = 1,
                  .best_accuracy = 2.0 / 3,
                  .best_loss = DBL_TRUE_MIN,
                  .optim = {.steps = 11,
                            .first = odd_block(params, 3),
                            .second = odd_block(params, 4)},
                  .params = odd_block(state, 1),
                  .best = odd_block(state, 2)},
        .point_count = 3,
        .points = points,
    };
    sample.file = write_file(&sample.checkpoint, sample.net, &sample.request);
    return sample;
}

static void sample_clear(struct sample *sample)
{
    struct cnn_train_state *state = &sample->checkpoint.state;
    free((void *)state->optim.first);
    free((void *)state->optim.second);
    free((void *)state->params);
    free((void *)state->best);
    buf_clear(&sample->file);
    job_request_clear(&sample->request);
    cnn_net_free(sample->net);
}

static void same_block(const float *a, const float *b, size_t count)
{
    ck_assert_int_eq(!a, !b);
    if (a)
        ck_assert_mem_eq(a, b, count * sizeof *a);
}

static void same_checkpoint(const struct checkpoint *a, const struct checkpoint *b,
                            const struct cnn_net *net)
{
    const struct cnn_train_state *s = &a->state, *t = &b->state;
    ck_assert_str_eq(a->job, b->job);
    ck_assert_str_eq(a->cpu, b->cpu);
    ck_assert(a->epoch_seconds == b->epoch_seconds && s->loss_sum == t->loss_sum);
    ck_assert(s->best_accuracy == t->best_accuracy && s->best_loss == t->best_loss);
    ck_assert(s->epoch == t->epoch && s->batch == t->batch && s->best_epoch == t->best_epoch);
    ck_assert(s->correct == t->correct && s->optim.steps == t->optim.steps);
    ck_assert_int_eq(a->point_count, b->point_count);
    if (a->point_count > 0)
        ck_assert_mem_eq(a->points, b->points, (size_t)a->point_count * sizeof *a->points);
    same_block(s->params, t->params, net->state_count);
    same_block(s->best, t->best, net->state_count);
    same_block(s->optim.first, t->optim.first, net->param_count);
    same_block(s->optim.second, t->optim.second, net->param_count);
}

START_TEST(what_is_written_is_read)
{
    struct err e;
    struct sample sample = make_sample();
    struct checkpoint back;
    char *bytes = exact_copy(sample.file.data, sample.file.size);
    ck_assert_msg(
        checkpoint_read(bytes, sample.file.size, "17", &sample.request, sample.net, &back, &e),
        "%s", e.detail);
    same_checkpoint(&sample.checkpoint, &back, sample.net);
    free(bytes);
    sample_clear(&sample);
}
END_TEST

START_TEST(a_beginning_without_best_points_and_moments_is_carried)
{
    struct err e;
    struct sample sample = make_sample();
    struct checkpoint back,
        early = {.job = "17", .cpu = "neon", .state = {.epoch = 1, .params = sample.net->params}};
    struct buf file = write_file(&early, sample.net, &sample.request);
    ck_assert_msg(
        checkpoint_read(file.data, file.size, "17", &sample.request, sample.net, &back, &e), "%s",
        e.detail);
    same_checkpoint(&early, &back, sample.net);
    buf_clear(&file);
    sample_clear(&sample);
}
END_TEST

START_TEST(it_is_a_safetensors_file)
{
    struct err e;
    struct sample sample = make_sample();
    struct safetensors st;
    ck_assert(safetensors_parse(sample.file.data, sample.file.size, &st, &e));
    ck_assert_int_eq(st.count, 7);
    ck_assert_uint_eq(safetensors_find(&st, "params")->dims[0], sample.net->state_count);
    safetensors_clear(&st);
    sample_clear(&sample);
}
END_TEST

/* ---- damage ---- */

static bool read_bytes(const struct sample *sample, const void *bytes, size_t size, struct err *e)
{
    struct checkpoint back;
    char *copy = exact_copy(bytes, size);
    *e = (struct err){0};
    bool ok = checkpoint_read(copy, size, "17", &sample->request, sample->net, &back, e);
    free(copy);
    return ok;
}

START_TEST(a_file_cut_anywhere_is_refused)
{
    struct err e;
    struct sample sample = make_sample();
    for (size_t size = 0; size < sample.file.size; size++) {
        ck_assert(!read_bytes(&sample, sample.file.data, size, &e));
        ck_assert_msg(e.code == ERR_UNPROCESSABLE, "%zu: %s", size, e.detail);
    }
    buf_str(&sample.file, "x");
    ck_assert(!read_bytes(&sample, sample.file.data, sample.file.size, &e));
    sample_clear(&sample);
}
END_TEST

START_TEST(a_bit_that_flips_anywhere_is_found)
{
    struct err e;
    struct sample sample = make_sample();
    for (size_t i = 0; i < sample.file.size; i++) {
        sample.file.data[i] ^= (char)(1 << i % 8);
        ck_assert_msg(!read_bytes(&sample, sample.file.data, sample.file.size, &e), "byte %zu", i);
        ck_assert_msg(e.code == ERR_UNPROCESSABLE, "%zu: %s", i, e.detail);
        sample.file.data[i] ^= (char)(1 << i % 8);
    }
    ck_assert(read_bytes(&sample, sample.file.data, sample.file.size, &e));
    sample_clear(&sample);
}
END_TEST

/* ---- what is wrong on purpose: the checksum is right ---- */

static void sum_up(struct buf *file)
{
    uint32_t sum = (uint32_t)crc32_z(0, (const Bytef *)file->data, file->size - 4);
    memcpy(file->data + file->size - 4, &sum, 4);
}

/* Replaces the only `from` in the header by `to`, of the same length. */
static void refused_with(const char *from, const char *to, enum err_code code, const char *detail)
{
    struct err e;
    struct sample sample = make_sample();
    struct buf *file = &sample.file;
    size_t length = strlen(from);
    char *at = memmem(file->data, file->size, from, length);
    ck_assert_msg(at != NULL, "no %s in %.700s", from, file->data + 8);
    ck_assert_uint_eq(strlen(to), length);
    memcpy(at, to, length);
    sum_up(file);
    ck_assert_msg(!read_bytes(&sample, file->data, file->size, &e), "%s for %s", to, from);
    ck_assert_msg(e.code == code && strstr(e.detail, detail), "%s for %s: %d %s %s", to, from,
                  (int)e.code, e.field, e.detail);
    sample_clear(&sample);
}

/* The numbers are JSON in a JSON string: each quote has its backslash. */
#define KEY(name) "\\\"" name "\\\":"

START_TEST(numbers_and_tensors_out_of_place_are_refused)
{
    const enum err_code damaged = ERR_UNPROCESSABLE;
    refused_with(KEY("format") "1", KEY("format") "2", ERR_CONFLICT, "format 2");
    refused_with(KEY("format"), KEY("formal"), damaged, "format");
    refused_with(KEY("epoch") "2", KEY("epoch") "x", damaged, "");
    refused_with(KEY("epoch"), KEY("epoxy"), damaged, "epoxy");
    refused_with(KEY("batch") "5", KEY("batch") "4", damaged, "point 2");
    refused_with(KEY("batch") "5", KEY("batch") "2", damaged, "more than batches");
    refused_with(KEY("steps") "11", KEY("steps") "-1", damaged, "");
    refused_with(KEY("best_loss"), KEY("last_loss"), damaged, "last_loss");
    refused_with(KEY("cpu") "\\\"avx2\\\"", KEY("cpu") "\\\"\xff\xfe\xfd\xfc\\\"", damaged, "");
    refused_with("strided.checkpoint", "strided.chequepoin", damaged, "strided.chequepoin");
    refused_with("\"best\"", "\"bent\"", damaged, "no checkpoint has");
    refused_with("\"request\"", "\"requesx\"", damaged, "no checkpoint has");
    refused_with("\"crc32\"", "\"crc33\"", damaged, "checksum");
    refused_with("[3,3]", "[9,1]", damaged, "'points'");
    refused_with("{\"model\":\"m\"", "{\"model\":\"\x01\"", damaged, "");
}
END_TEST

/* The points of the file are these, whatever their epoch. */
static void points_refused(const struct checkpoint_point *wrong, int count)
{
    struct err e;
    struct sample sample = make_sample();
    struct checkpoint checkpoint = sample.checkpoint;
    checkpoint.points = wrong;
    checkpoint.point_count = count;
    struct buf file = write_file(&checkpoint, sample.net, &sample.request);
    ck_assert(!read_bytes(&sample, file.data, file.size, &e));
    ck_assert_msg(e.code == ERR_UNPROCESSABLE && strstr(e.detail, "point"), "%s", e.detail);
    buf_clear(&file);
    sample_clear(&sample);
}

START_TEST(points_that_are_none_are_refused)
{
    points_refused((struct checkpoint_point[]){{0, 1, 1}}, 1);
    points_refused((struct checkpoint_point[]){{6, 1, 1}}, 1);
    points_refused((struct checkpoint_point[]){{1.5, 1, 1}}, 1);
    points_refused((struct checkpoint_point[]){{2, 1, 1}, {2, 1, 1}}, 2);
    points_refused((struct checkpoint_point[]){{NAN, 1, 1}}, 1);
    points_refused((struct checkpoint_point[]){{1, INFINITY, 1}}, 1);
    points_refused((struct checkpoint_point[]){{1, 1, NAN}}, 1);
}
END_TEST

/* ---- another job ---- */

static void conflicts(const struct sample *sample, const char *job,
                      const struct job_request *request, const struct cnn_net *net,
                      const char *detail)
{
    struct err e = {0};
    struct checkpoint back;
    ck_assert(!checkpoint_read(sample->file.data, sample->file.size, job, request, net, &back, &e));
    ck_assert_msg(e.code == ERR_CONFLICT && strstr(e.detail, detail), "%d %s", (int)e.code,
                  e.detail);
}

START_TEST(a_file_of_another_job_is_refused)
{
    struct err e;
    struct sample sample = make_sample();
    struct cnn_net *other = small_net(SMALL_PLAIN);
    conflicts(&sample, "18", &sample.request, sample.net, "of job '17', not '18'");
    conflicts(&sample, "17", &sample.request, other, "the model needs");
    cnn_net_free(other);

    static const char *const changes[][2] = {
        {"\"dataset_version\":3", "\"dataset_version\":4"},
        {"\"batch_size\":50", "\"batch_size\":51"},
        {"\"seed\":5", "\"seed\":6"},
        {"\"units\":3", "\"units\":4"},
        {"[1,0.1,2.5]", "[1,0.2,2.5]"},
        {"\"lr\":0.003", "\"lr\":0.004"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char text[sizeof job_text + 16];
        const char *at = strstr(job_text, changes[i][0]);
        ck_assert_ptr_nonnull(at);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - job_text), job_text, changes[i][1],
                 at + strlen(changes[i][0]));
        struct job_request request = parse_request(text);
        conflicts(&sample, "17", &request, sample.net, "asked for otherwise");
        job_request_clear(&request);
    }
    sample.request.train.epochs = 30;
    sample.request.train.threads = 7;
    ck_assert_msg(read_bytes(&sample, sample.file.data, sample.file.size, &e), "%s", e.detail);
    sample_clear(&sample);
}
END_TEST

/* ---- a run that goes through the file at every batch ---- */

struct carried {
    struct cnn_net *net;
    struct job_request *request;
    int shown, stop_after;
    struct buf file;
};

static bool carry(void *context, const struct cnn_train_state *state, struct err *e)
{
    struct carried *carried = context;
    if (++carried->shown != carried->stop_after)
        return true;
    struct checkpoint checkpoint = {.job = "17", .cpu = "neon", .state = *state};
    buf_clear(&carried->file);
    carried->file = write_file(&checkpoint, carried->net, carried->request);
    return err_set(e, ERR_CANCELLED, "stopped");
}

static bool train(struct carried *carried, const struct checkpoint *from)
{
    struct err e = {0};
    struct cnn_samples samples = small_samples();
    struct cnn_train_result result;
    const struct cnn_train_hooks hooks = {.context = carried, .checkpoint = carry};
    bool done = cnn_train_resume(carried->net, &samples, NULL, &carried->request->train,
                                 from ? &from->state : NULL, &hooks, &result, &e);
    ck_assert_msg(done || e.code == ERR_CANCELLED, "%s", e.detail);
    small_samples_clear(&samples);
    return done;
}

START_TEST(a_run_carried_through_files_ends_with_the_same_bits)
{
    struct err e;
    struct job_request request = parse_request(job_text);
    struct carried whole = {.net = small_net(SMALL_RESIDUAL), .request = &request};
    ck_assert(train(&whole, NULL));

    struct carried part = {.net = small_net(SMALL_RESIDUAL), .request = &request, .stop_after = 1};
    bool done = train(&part, NULL);
    int parts = 1;
    for (; !done; parts++) {
        struct checkpoint from;
        struct buf file = part.file;
        ck_assert_msg(checkpoint_read(file.data, file.size, "17", &request, part.net, &from, &e),
                      "%s", e.detail);
        part.file = (struct buf){0};
        part.shown = 0;
        part.stop_after = 2;
        cnn_net_init(part.net, CNN_INIT_UNIFORM, 99);
        done = train(&part, &from);
        buf_clear(&file);
    }
    ck_assert_int_eq(parts, 1 + 3 * 3 + 1);
    ck_assert_mem_eq(part.net->params, whole.net->params, whole.net->state_count * sizeof(float));
    buf_clear(&part.file);
    cnn_net_free(part.net);
    cnn_net_free(whole.net);
    job_request_clear(&request);
}
END_TEST

TEST_PROGRAM("proto_checkpoint", what_is_written_is_read,
             a_beginning_without_best_points_and_moments_is_carried, it_is_a_safetensors_file,
             a_file_cut_anywhere_is_refused, a_bit_that_flips_anywhere_is_found,
             numbers_and_tensors_out_of_place_are_refused, points_that_are_none_are_refused,
             a_file_of_another_job_is_refused, a_run_carried_through_files_ends_with_the_same_bits)
