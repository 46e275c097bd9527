/* kill -9 of the daemon, of the worker and of both, at any moment of a job: in the end nobody can
 * tell from what the job left. */
#include "clock.h"
#include "rng.h"
#include "small_job.h"

/* A checkpoint after every batch, and so many kills that some hit the writing of one; or as usual,
 * and time for an epoch or some between them. Times are parts of what the whole job takes, however
 * fast the machine is. */
struct way {
    const char *const *flags;
    int kills;
    float least, most; /* between them */
};
static const struct way often = {
    .flags = (const char *const[]){"--threads", "2", "--checkpoint-s", "0", "--job-retries", "100",
                                   NULL},
    .kills = 8,
    .least = .02f,
    .most = .3f,
};
static const struct way seldom = {
    .flags = (const char *const[]){"--threads", "1", "--job-retries", "100", NULL},
    .kills = 4,
    .least = .1f,
    .most = .5f,
};

#define TARGET "\"model\":\"m\",\"dataset\":\"shapes\",\"seed\":4"
#define RICH                                                                                    \
    "\"architecture\":{\"layers\":[{\"type\":\"conv2d\",\"filters\":4,\"kernel\":3},"           \
    "{\"type\":\"batch_norm\"},{\"type\":\"relu\"},{\"type\":\"max_pool2d\",\"size\":2},"       \
    "{\"type\":\"flatten\"},{\"type\":\"dropout\",\"rate\":0.3},{\"type\":\"dense\",\"units\":" \
    "2}]}"

static const char plain[] = "{" TARGET ",\"architecture\":\"shapes-cnn\",\"batch_size\":10,"
                            "\"epochs\":10,\"publish\":\"best\"}";
static const char rich[] =
    "{" TARGET "," RICH ",\"batch_size\":15,\"epochs\":8,\"publish\":\"last\","
    "\"optimizer\":{\"type\":\"sgd\",\"lr\":0.02,\"momentum\":0.9,\"nesterov\":true},"
    "\"schedule\":{\"type\":\"cosine\",\"warmup_epochs\":1.5},\"clip_norm\":1,"
    "\"augment\":{\"shift\":2,\"rotate\":10,\"noise\":0.05},\"sampling\":\"balanced\"}";
static const char stopping[] =
    "{" TARGET "," RICH ",\"batch_size\":20,\"epochs\":30,\"validation_split\":0.2,"
    "\"optimizer\":{\"type\":\"rmsprop\",\"lr\":0.003,\"momentum\":0.5},"
    "\"class_weights\":\"balanced\",\"early_stopping\":{\"patience\":4}}";
static const char lasting[] = "{" TARGET "," RICH ",\"batch_size\":2,\"epochs\":60}";

/* ---- what a job left ---- */

static void same_member(const cJSON *a, const cJSON *b, const char *key)
{
    ck_assert_msg(cJSON_Compare(member(a, key), member(b, key), true), "'%s': %.900s and %.900s",
                  key, cJSON_PrintUnformatted(member(a, key)),
                  cJSON_PrintUnformatted(member(b, key)));
}

static void same_rows(const cJSON *a, const cJSON *b, const char *list, const char *const *keys)
{
    const cJSON *one = member(a, list), *other = member(b, list), *row;
    int i = 0;
    ck_assert_int_eq(cJSON_GetArraySize(one), cJSON_GetArraySize(other));
    cJSON_ArrayForEach(row, one)
    {
        for (int k = 0; keys[k]; k++)
            same_member(row, cJSON_GetArrayItem(other, i), keys[k]);
        i++;
    }
}

static void same_matrix(const struct daemon *daemon, const char *format, const char *a,
                        const char *b)
{
    cJSON *one = get_json(daemon, format, a), *other = get_json(daemon, format, b);
    same_member(one, other, "matrix");
    same_member(one, other, "per_class");
    cJSON_Delete(one);
    cJSON_Delete(other);
}

static void same_job(const struct daemon *daemon, const char *a, const char *b)
{
    static const char *const figures[] = {"weights_sha256", "epoch",         "best_epoch",
                                          "loss",           "accuracy",      "val_loss",
                                          "val_accuracy",   "test_accuracy", NULL};
    static const char *const epochs[] = {"epoch",    "loss",         "accuracy",
                                         "val_loss", "val_accuracy", NULL};
    static const char *const batches[] = {"epoch", "batch", "loss", "lr", NULL};
    cJSON *one = get_json(daemon, "/jobs/%s", a), *other = get_json(daemon, "/jobs/%s", b);
    for (int i = 0; figures[i]; i++)
        same_member(one, other, figures[i]);
    cJSON_Delete(one);
    cJSON_Delete(other);
    one = get_json(daemon, "/jobs/%s/loss", a);
    other = get_json(daemon, "/jobs/%s/loss", b);
    same_rows(one, other, "epochs", epochs);
    same_rows(one, other, "batches", batches);
    cJSON_Delete(one);
    cJSON_Delete(other);
    same_matrix(daemon, "/jobs/%s/confusion", a, b);
    same_matrix(daemon, "/jobs/%s/confusion?epoch=1", a, b);
    same_matrix(daemon, "/jobs/%s/confusion?epoch=3", a, b);
}

/* ---- kills ---- */

enum victim { WORKER, DAEMON, BOTH, VICTIMS };

static void kill_one(struct daemon *daemon, enum victim victim, const struct way *way)
{
    pid_t worker = find_worker(daemon); /* 0 when there is none now */
    if (victim != DAEMON && worker > 0)
        kill(worker, SIGKILL);
    if (victim == WORKER)
        return;
    kill_daemon(daemon);
    daemon_launch(daemon, way->flags);
}

static void kill_again_and_again(struct daemon *daemon, const char *id, const struct way *way,
                                 double whole_us, struct cnn_rng *rng)
{
    for (int kills = 0; kills < way->kills; kills++) {
        usleep((useconds_t)((double)cnn_rng_uniform(rng, way->least, way->most) * whole_us));
        cJSON *job = get_json(daemon, "/jobs/%s", id);
        bool over = job_has_ended(job);
        cJSON_Delete(job);
        if (over)
            return;
        kill_one(daemon, (enum victim)cnn_rng_below(rng, VICTIMS), way);
    }
}

/* How often the job was started. */
static int run_and_kill(struct daemon *daemon, const char *body, const struct way *way,
                        double whole_us, struct cnn_rng *rng, char id[24])
{
    post_job(daemon, body, id);
    kill_again_and_again(daemon, id, way, whole_us, rng);
    cJSON *job = wait_job(daemon, id);
    ck_assert_msg(strcmp(text(job, "state"), "succeeded") == 0, "%.900s",
                  cJSON_PrintUnformatted(job));
    const int attempts = (int)number(job, "attempts");
    cJSON_Delete(job);
    return attempts;
}

static void survives(const char *body, const struct way *way, uint64_t seed)
{
    struct daemon daemon;
    struct cnn_rng rng;
    char whole[24], id[24];
    int attempts = 1;
    daemon_start(&daemon, way->flags);
    make_shapes(&daemon, 200, 50);
    const int64_t begin_ns = clock_ns();
    cJSON *job = run_job(&daemon, body);
    const double whole_us = (double)(clock_ns() - begin_ns) / 1000;
    snprintf(whole, sizeof whole, "%s", text(job, "id"));
    cJSON_Delete(job);
    cnn_rng_init(&rng, seed, 0);
    /* A job that ran much faster than the first may have been over before it was to be killed. */
    for (int tries = 0; tries < 5 && attempts == 1; tries++)
        attempts = run_and_kill(&daemon, body, way, whole_us, &rng, id);
    ck_assert_int_gt(attempts, 1);
    same_job(&daemon, whole, id);
    expect_model_answers(&daemon, "/models/m/predict");
    daemon_stop(&daemon);
}

START_TEST(a_plain_job_survives_kills)
{
    survives(plain, &often, 1);
}
END_TEST

START_TEST(a_job_with_everything_random_survives_kills)
{
    survives(rich, &often, 2);
}
END_TEST

START_TEST(a_job_that_stops_early_survives_kills)
{
    survives(stopping, &often, 3);
}
END_TEST

START_TEST(a_job_with_few_checkpoints_survives_kills)
{
    survives(lasting, &seldom, 4);
}
END_TEST

START_TEST(going_on_with_other_kernels_is_said)
{
    struct daemon daemon;
    char id[24], checkpoint[400];
    daemon_start(&daemon, often.flags);
    make_shapes(&daemon, 200, 50);
    post_job(&daemon, ENDLESS, id);
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoints/%s.safetensors", daemon.data_dir, id);
    while (access(checkpoint, F_OK) != 0)
        job_pause();
    kill_daemon(&daemon);
    ck_assert_int_eq(setenv("STRIDED_CPU", "reference", 1), 0);
    daemon_launch(&daemon, often.flags);
    wait_running(&daemon, id);
    char *log = daemon_log(&daemon);
    ck_assert_msg(strstr(log, "job_resumed_on_other_kernels") != NULL, "%.2000s", log);
    free(log);
    cancel_job(&daemon, id);
    expect_state(&daemon, id, "cancelled");
    daemon_stop(&daemon);
}
END_TEST

TEST_PROGRAM("server_job_kills", a_plain_job_survives_kills,
             a_job_with_everything_random_survives_kills, a_job_that_stops_early_survives_kills,
             a_job_with_few_checkpoints_survives_kills, going_on_with_other_kernels_is_said)
