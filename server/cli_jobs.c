/* strided jobs: what there is to know of jobs, and to do to one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "client_json.h"

enum {
    OPTION_MODEL,
    OPTION_STATE,
    OPTION_SORT,
    OPTION_LIMIT,
    OPTION_EPOCHS,
    OPTION_CANCEL,
    OPTION_COUNT
};
static const struct cli_option options[] = {
    [OPTION_MODEL] = {"model", "NAME", "list: of this model"},
    [OPTION_STATE] = {"state", "STATE", "list: queued, running, succeeded, failed or cancelled"},
    [OPTION_SORT] = {"sort", "KEY", "list: by this figure, -KEY: the largest first"},
    [OPTION_LIMIT] = {"limit", "N", "list: so many (default 20)"},
    [OPTION_EPOCHS] = {"epochs", "N", "resume: to so many epochs in all"},
    [OPTION_CANCEL] = {"cancel-on-interrupt", NULL, "watch: Ctrl-C cancels the job"},
    [OPTION_COUNT] = {NULL, NULL, NULL},
};

enum { ARGUMENTS_MAX = 2, PATH_BYTES = 900 };

struct jobs_command {
    struct cli cli;
    const char *values[OPTION_COUNT];
    const char *arguments[ARGUMENTS_MAX]; /* the verb, the job */
    int count;
};

/* ---- the list ---- */

static void print_job_row(struct client_job *job)
{
    char loss[16], accuracy[16], epochs[32], model[96];
    snprintf(epochs, sizeof epochs, "%d/%d", job->epoch, job->epochs);
    snprintf(model, sizeof model, "%s", job->model);
    printf("%6s  %-9s  %-20s  %-20s  %9s  %9s  %9s  %s\n", cli_clean(job->id),
           cli_clean(job->state), cli_clean(model), cli_clean(job->dataset), epochs,
           cli_figure(job->loss, loss), cli_percent(job->test_accuracy, accuracy),
           cli_clean(job->created));
}

static int show_list(const struct cli_reply *reply)
{
    struct client_job *jobs;
    struct err e;
    int count;
    if (!client_jobs_read(reply->body.data, reply->body.size, &jobs, &count, &e)) {
        cli_complain(&e);
        return CLI_FAILED;
    }
    printf("%6s  %-9s  %-20s  %-20s  %9s  %9s  %9s  %s\n", "job", "state", "model", "dataset",
           "epoch", "loss", "test", "created");
    for (int i = 0; i < count; i++)
        print_job_row(&jobs[i]);
    free(jobs);
    return CLI_OK;
}

static int list(struct jobs_command *c)
{
    char path[PATH_BYTES] = "/jobs";
    struct cli_reply reply;
    const char *limit = c->values[OPTION_LIMIT] ? c->values[OPTION_LIMIT] : "20";
    bool fits = cli_add_query(path, sizeof path, "limit", limit);
    for (int i = OPTION_MODEL; i <= OPTION_SORT; i++)
        if (c->values[i])
            fits = fits && cli_add_query(path, sizeof path, options[i].name, c->values[i]);
    if (!fits) {
        fprintf(stderr, "strided: what is asked for is too long\n");
        return CLI_USAGE;
    }
    const struct cli_request request = {.method = "GET", .path = path};
    int status = cli_send(&c->cli, &request, &reply);
    if (status != CLI_OK)
        return status;
    if (c->cli.json)
        cli_print_body(&reply);
    else
        status = show_list(&reply);
    cli_reply_clear(&reply);
    return status;
}

/* ---- one job ---- */

/* What a verb asks of the daemon; the answer is printed as it came. */
static const struct verb {
    const char *name, *method, *suffix, *accept, *help;
} verbs[] = {
    {"show", "GET", "", "application/json", "the job as the daemon knows it (JSON)"},
    {"cancel", "POST", "/cancel", "application/json", "end it"},
    {"resume", "POST", "/resume", "application/json", "let it go on (--epochs N: for longer)"},
    {"delete", "DELETE", "", "application/json", "forget it and its reports"},
    {"loss", "GET", "/loss", "text/csv", "its figures, an epoch a line (CSV)"},
    {"confusion", "GET", "/confusion", "text/csv", "actual by predicted (CSV)"},
    {"compare", "GET", "", "text/csv", "several, ID,ID,...: what differs, side by side (CSV)"},
    {NULL, NULL, NULL, NULL, NULL},
};

static int ask(struct jobs_command *c, const struct verb *verb, const char *job)
{
    char path[PATH_BYTES], accept[64], body[64] = "{}";
    struct cli_reply reply;
    if (strcmp(verb->name, "compare") == 0)
        snprintf(path, sizeof path, "/jobs/compare?ids=%s", job);
    else
        snprintf(path, sizeof path, "/jobs/%s%s", job, verb->suffix);
    snprintf(accept, sizeof accept, "Accept: %s", c->cli.json ? "application/json" : verb->accept);
    if (c->values[OPTION_EPOCHS])
        snprintf(body, sizeof body, "{\"epochs\":%s}", c->values[OPTION_EPOCHS]);
    const char *const headers[] = {accept, "Content-Type: application/json", NULL};
    const struct cli_request request = {.method = verb->method,
                                        .path = path,
                                        .headers = headers,
                                        .body = strcmp(verb->method, "POST") == 0 ? body : NULL};
    const int status = cli_send(&c->cli, &request, &reply);
    if (status != CLI_OK)
        return status;
    cli_print_body(&reply);
    cli_reply_clear(&reply);
    return CLI_OK;
}

/* ---- the command ---- */

static void print_help(void)
{
    printf("strided jobs [list] [OPTIONS]: the newest jobs\n"
           "strided jobs VERB ID [OPTIONS]\n\n"
           "  %-28s %s\n",
           "watch", "follow it to its end; the exit status tells which");
    for (const struct verb *verb = verbs; verb->name; verb++)
        printf("  %-28s %s\n", verb->name, verb->help);
    putchar('\n');
    cli_print_options(options);
    printf("\nExit status: 0 done (watch: the job succeeded), 1 refused (watch: it failed),\n"
           "2 wrong usage, 3 watch: it was cancelled, 4 no daemon answers.\n");
}

/* False: leave with *status. */
static bool read_arguments(struct jobs_command *c, int argc, char **argv, int *status)
{
    const char *value;
    int at = 0, option;
    *status = CLI_USAGE;
    while ((option = cli_next(&c->cli, options, argc, argv, &at, &value)) != CLI_END) {
        if (option == CLI_HELP) {
            print_help();
            *status = CLI_OK;
            return false;
        }
        if (option >= 0) {
            c->values[option] = value;
        } else if (option != CLI_ARGUMENT) {
            return false;
        } else if (c->count == ARGUMENTS_MAX) {
            fprintf(stderr, "strided: unexpected argument '%s'\n", value);
            return false;
        } else {
            c->arguments[c->count++] = value;
        }
    }
    return true;
}

static bool check_epochs(const char *epochs)
{
    if (!epochs ||
        (epochs[0] && strlen(epochs) < 10 && strspn(epochs, "0123456789") == strlen(epochs)))
        return true;
    fprintf(stderr, "strided: expected a number of epochs, got '%s'\n", epochs);
    return false;
}

/* An id is digits; of compare several, with commas. */
static bool check_ids(const char *ids)
{
    if (ids[0] && strspn(ids, "0123456789,") == strlen(ids))
        return true;
    fprintf(stderr, "strided: expected the id of a job, got '%s'\n", ids);
    return false;
}

static int run(struct jobs_command *c)
{
    const char *verb = c->count > 0 ? c->arguments[0] : "list", *job = c->arguments[1];
    if (strcmp(verb, "list") == 0 && !job)
        return list(c);
    const bool is_watch = strcmp(verb, "watch") == 0;
    const struct verb *found = verbs;
    while (found->name && strcmp(found->name, verb) != 0)
        found++;
    if (!is_watch && !found->name) {
        fprintf(stderr, "strided: jobs has no '%s' (strided jobs --help)\n", verb);
        return CLI_USAGE;
    }
    if (!job) {
        fprintf(stderr, "strided: jobs %s needs the id of a job\n", verb);
        return CLI_USAGE;
    }
    if (!check_ids(job) || !check_epochs(c->values[OPTION_EPOCHS]))
        return CLI_USAGE;
    return is_watch ? cli_follow(&c->cli, job, c->values[OPTION_CANCEL] != NULL)
                    : ask(c, found, job);
}

int cli_jobs(int argc, char **argv)
{
    struct jobs_command c = {.count = 0};
    struct err e;
    int status;
    cli_init(&c.cli);
    if (!read_arguments(&c, argc, argv, &status))
        return status;
    if (!cli_connect(&c.cli, &e)) {
        cli_complain(&e);
        return cli_status_of(&e);
    }
    status = run(&c);
    cli_http_free(c.cli.http);
    return status;
}
