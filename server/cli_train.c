/* strided train: posts a job and follows it to its end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cli.h"
#include "client_json.h"
#include "json_read.h"
#include "json_write.h"

enum {
    OPTION_MODEL,
    OPTION_DATASET,
    OPTION_ARCHITECTURE,
    OPTION_EPOCHS,
    OPTION_BATCH_SIZE,
    OPTION_LR,
    OPTION_OPTIMIZER,
    OPTION_SEED,
    OPTION_THREADS,
    OPTION_PRIORITY,
    OPTION_INIT_FROM,
    OPTION_SET,
    OPTION_DETACH,
    OPTION_CANCEL,
    OPTION_KEY,
    OPTION_COUNT
};

static const struct cli_option options[] = {
    [OPTION_MODEL] = {"model", "NAME", "the model that the job publishes (required)"},
    [OPTION_DATASET] = {"dataset", "NAME", "what it trains on, NAME or NAME:VERSION (required)"},
    [OPTION_ARCHITECTURE] = {"architecture", "A", "a preset's name, or @FILE with an architecture"},
    [OPTION_EPOCHS] = {"epochs", "N", "times through the samples"},
    [OPTION_BATCH_SIZE] = {"batch-size", "N", "samples a step"},
    [OPTION_LR] = {"lr", "X", "learning rate"},
    [OPTION_OPTIMIZER] = {"optimizer", "TYPE", "sgd, adam, adamw or rmsprop"},
    [OPTION_SEED] = {"seed", "N", "same seed, same weights"},
    [OPTION_THREADS] = {"threads", "N", "of this job"},
    [OPTION_PRIORITY] = {"priority", "N", "of the jobs that wait, the highest runs first"},
    [OPTION_INIT_FROM] = {"init-from", "MODEL", "start from this model's weights"},
    [OPTION_SET] = {"set", "KEY=JSON", "any other field of a job, as the API has it"},
    [OPTION_DETACH] = {"detach", NULL, "print the job's id and leave"},
    [OPTION_CANCEL] = {"cancel-on-interrupt", NULL, "Ctrl-C cancels the job, not only the watch"},
    [OPTION_KEY] = {"idempotency-key", "KEY", "the same key posts the same job once"},
    [OPTION_COUNT] = {NULL, NULL, NULL},
};

enum { SETS_MAX = 32, FILE_BYTES_MAX = 1 << 20, KEY_BYTES = 256 };

struct train {
    struct cli cli;
    const char *values[OPTION_COUNT]; /* NULL: not given */
    const char *sets[SETS_MAX];       /* KEY=JSON */
    int set_count;
};

static void print_help(void)
{
    printf("strided train --model NAME --dataset NAME [OPTIONS]: train a model, wait for the end\n"
           "\n");
    cli_print_options(options);
    printf("\nExit status: 0 the job succeeded, 1 it failed or was refused, 2 wrong usage,\n"
           "3 it was cancelled, 4 no daemon answers, 130 interrupted (the job goes on).\n");
}

/* ---- the command line ---- */

/* False: leave with *status. */
static bool read_arguments(struct train *t, int argc, char **argv, int *status)
{
    const char *value;
    int at = 0, option;
    *status = CLI_USAGE;
    while ((option = cli_next(&t->cli, options, argc, argv, &at, &value)) != CLI_END) {
        if (option == CLI_HELP) {
            print_help();
            *status = CLI_OK;
            return false;
        }
        if (option == CLI_ARGUMENT)
            fprintf(stderr, "strided: unexpected argument '%s'\n", value);
        if (option < 0)
            return false;
        t->values[option] = value;
        if (option == OPTION_SET && t->set_count == SETS_MAX) {
            fprintf(stderr, "strided: more than %d times --set\n", SETS_MAX);
            return false;
        }
        if (option == OPTION_SET)
            t->sets[t->set_count++] = value;
    }
    if (t->values[OPTION_MODEL] && t->values[OPTION_DATASET])
        return true;
    fprintf(stderr, "strided: --model and --dataset are required (strided train --help)\n");
    return false;
}

/* ---- the job ---- */

static bool read_file(const char *path, struct buf *out, struct err *e)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return err_set(e, ERR_INVALID, "cannot open '%s'", path);
    char chunk[4096];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0 && out->size <= FILE_BYTES_MAX)
        buf_add(out, chunk, n);
    const bool failed = ferror(file);
    fclose(file);
    if (failed || !buf_ok(out))
        return err_set(e, ERR_IO, "cannot read '%s'", path);
    return out->size <= FILE_BYTES_MAX ||
           err_set(e, ERR_TOO_LARGE, "'%s' is longer than %d bytes", path, FILE_BYTES_MAX);
}

/* A value that is JSON already: it must be, or it would change the document around it. */
static bool write_json(struct json_writer *w, const char *key, const char *json, size_t size,
                       struct err *e)
{
    if (!json_check(json, size, e)) {
        err_within(e, "%s", key);
        return false;
    }
    jw_key(w, key);
    jw_raw(w, json, size);
    return true;
}

static bool write_architecture(struct json_writer *w, const char *value, struct err *e)
{
    struct buf text = {0};
    if (value[0] != '@') {
        jw_key_string(w, "architecture", value);
        return true;
    }
    const bool ok =
        read_file(value + 1, &text, e) && write_json(w, "architecture", text.data, text.size, e);
    buf_clear(&text);
    return ok;
}

static bool write_numbers(struct json_writer *w, const struct train *t, struct err *e)
{
    static const struct {
        int option;
        const char *key;
    } numbers[] = {{OPTION_EPOCHS, "epochs"},
                   {OPTION_BATCH_SIZE, "batch_size"},
                   {OPTION_SEED, "seed"},
                   {OPTION_THREADS, "threads"},
                   {OPTION_PRIORITY, "priority"}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const char *value = t->values[numbers[i].option];
        if (value && !write_json(w, numbers[i].key, value, strlen(value), e))
            return false;
    }
    return true;
}

static bool write_optimizer(struct json_writer *w, const struct train *t, struct err *e)
{
    const char *type = t->values[OPTION_OPTIMIZER], *lr = t->values[OPTION_LR];
    if (!type && !lr)
        return true;
    jw_key(w, "optimizer");
    jw_object(w);
    if (type)
        jw_key_string(w, "type", type);
    const bool ok = !lr || write_json(w, "lr", lr, strlen(lr), e);
    jw_object_end(w);
    return ok;
}

static bool write_sets(struct json_writer *w, const struct train *t, struct err *e)
{
    for (int i = 0; i < t->set_count; i++) {
        char key[64];
        const char *equals = strchr(t->sets[i], '=');
        if (!equals || equals == t->sets[i] || (size_t)(equals - t->sets[i]) >= sizeof key)
            return err_field(e, ERR_INVALID, "--set", "expected KEY=JSON, got '%.60s'", t->sets[i]);
        snprintf(key, sizeof key, "%.*s", (int)(equals - t->sets[i]), t->sets[i]);
        if (!write_json(w, key, equals + 1, strlen(equals + 1), e))
            return false;
    }
    return true;
}

static bool write_request(const struct train *t, struct buf *out, struct err *e)
{
    struct json_writer w;
    jw_begin(&w, out);
    jw_object(&w);
    jw_key_string(&w, "model", t->values[OPTION_MODEL]);
    jw_key_string(&w, "dataset", t->values[OPTION_DATASET]);
    if (t->values[OPTION_INIT_FROM])
        jw_key_string(&w, "init_from", t->values[OPTION_INIT_FROM]);
    if ((t->values[OPTION_ARCHITECTURE] &&
         !write_architecture(&w, t->values[OPTION_ARCHITECTURE], e)) ||
        !write_numbers(&w, t, e) || !write_optimizer(&w, t, e) || !write_sets(&w, t, e))
        return false;
    jw_object_end(&w);
    return buf_ok(out) || err_no_memory(e);
}

/* ---- post ---- */

/* A daemon that is not there is not waited for, but one that was and broke off, or that is stopping
 * or starting: the key makes the post safe to send again. */
static int send_until_answered(struct train *t, const struct cli_request *request,
                               struct cli_reply *reply)
{
    struct cli_patience patience;
    bool was_there = false;
    cli_patience_begin(&patience);
    for (;;) {
        struct err e = {.code = ERR_NONE};
        const bool answered = cli_http_send(t->cli.http, request, reply, &e);
        if (answered && reply->status != 503)
            return cli_accept(reply);
        was_there = was_there || answered || e.code == ERR_IO;
        if (was_there && cli_patience_wait(&patience, &t->cli)) {
            if (answered)
                cli_reply_clear(reply);
            continue;
        }
        if (answered)
            return cli_accept(reply);
        cli_complain(&e);
        return cli_status_of(&e);
    }
}

/* The user's key, or one of its own. */
static void write_key_header(const struct train *t, char header[KEY_BYTES + 32])
{
    const char *given = t->values[OPTION_KEY];
    unsigned char random[16];
    if (given || getrandom(random, sizeof random, 0) != sizeof random) {
        snprintf(header, KEY_BYTES + 32, "Idempotency-Key: %s", given ? given : "");
        return;
    }
    int used = snprintf(header, KEY_BYTES + 32, "Idempotency-Key: train-");
    for (size_t i = 0; i < sizeof random; i++)
        used += snprintf(header + used, 3, "%02x", random[i]);
}

static int post(struct train *t, const char *body, struct client_job *job)
{
    char key[KEY_BYTES + 32];
    struct err e;
    struct cli_reply reply;
    write_key_header(t, key);
    const char *const headers[] = {"Content-Type: application/json", key, NULL};
    const struct cli_request request = {
        .method = "POST", .path = "/jobs", .headers = headers, .body = body};
    int status = send_until_answered(t, &request, &reply);
    if (status != CLI_OK)
        return status;
    if (!client_job_read(reply.body.data, reply.body.size, job, &e)) {
        cli_complain(&e);
        status = CLI_FAILED;
    } else if (t->values[OPTION_DETACH] && t->cli.json) {
        cli_print_body(&reply);
    }
    cli_clean(job->id);
    cli_reply_clear(&reply);
    return status;
}

static int train(struct train *t, const char *body)
{
    struct client_job job;
    const int status = post(t, body, &job);
    if (status != CLI_OK)
        return status;
    if (t->values[OPTION_DETACH]) {
        if (!t->cli.json)
            printf("%s\n", job.id);
        return CLI_OK;
    }
    return cli_follow(&t->cli, job.id, t->values[OPTION_CANCEL] != NULL);
}

int cli_train(int argc, char **argv)
{
    struct train t = {.set_count = 0};
    struct buf body = {0};
    struct err e;
    int status;
    cli_init(&t.cli);
    if (!read_arguments(&t, argc, argv, &status))
        return status;
    if (!write_request(&t, &body, &e)) {
        cli_complain(&e);
        status = CLI_USAGE;
    } else if (!cli_connect(&t.cli, &e)) {
        cli_complain(&e);
        status = cli_status_of(&e);
    } else {
        status = train(&t, buf_text(&body));
    }
    cli_http_free(t.cli.http);
    buf_clear(&body);
    return status;
}
