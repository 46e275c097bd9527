/* Following a job: its events, one stream after the other until one of them tells of its end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "cli_progress.h"

struct follow {
    struct cli *cli;
    const char *job;
    bool cancel; /* what an interrupt does */
    struct cli_progress progress;
    struct client_events events;
    char last_event[EVENT_ID_BYTES]; /* "": none yet */
    struct client_event end;         /* once `ended` */
    bool ended;
    int interrupts; /* dealt with */
    struct cli_patience patience;
    struct err read_error; /* what came was no event */
};

static bool is_end(const char *state)
{
    return strcmp(state, "succeeded") == 0 || strcmp(state, "failed") == 0 ||
           strcmp(state, "cancelled") == 0;
}

static bool on_event(void *context, const struct client_event *event)
{
    struct follow *f = context;
    memcpy(f->last_event, event->id, sizeof f->last_event);
    cli_progress_event(&f->progress, event);
    if (event->type == CLIENT_STATE && is_end(event->state)) {
        f->end = *event;
        f->ended = true;
    }
    return !f->ended;
}

static bool on_piece(void *context, const char *bytes, size_t size)
{
    struct follow *f = context;
    cli_patience_begin(&f->patience);
    return client_events_feed(&f->events, bytes, size, on_event, f, &f->read_error);
}

/* One stream, to its end. *status: of the reply. */
static bool watch(struct follow *f, int *status, struct err *e)
{
    char path[64], header[64];
    snprintf(path, sizeof path, "/jobs/%s/events", f->job);
    snprintf(header, sizeof header, "Last-Event-ID: %s", f->last_event);
    const char *const headers[] = {header, NULL};
    const struct cli_request request = {.method = "GET",
                                        .path = path,
                                        .headers = f->last_event[0] ? headers : NULL,
                                        .piece = on_piece,
                                        .context = f};
    struct cli_reply reply;
    client_events_clear(&f->events);
    f->read_error = (struct err){.code = ERR_NONE};
    bool ok = cli_http_send(f->cli->http, &request, &reply, e);
    if (ok) {
        *status = reply.status;
        cli_reply_clear(&reply);
    }
    if (ok && f->read_error.code) {
        *e = f->read_error;
        ok = false;
    }
    return ok;
}

/* False: the daemon has been away for too long. */
static bool wait_for_daemon(struct follow *f)
{
    cli_progress_note(&f->progress, "the daemon is away, trying again");
    return cli_patience_wait(&f->patience, f->cli);
}

/* True: the job is to be followed on. */
static bool take_interrupt(struct follow *f)
{
    char path[64];
    struct cli_reply reply;
    f->interrupts++;
    if (!f->cancel || f->interrupts > 1) {
        cli_progress_end(&f->progress);
        fprintf(stderr, "strided: job %s goes on; come back by: strided jobs watch %s\n", f->job,
                f->job);
        return false;
    }
    cli_progress_note(&f->progress, "cancelling; interrupt again to leave at once");
    snprintf(path, sizeof path, "/jobs/%s/cancel", f->job);
    const struct cli_request request = {.method = "POST", .path = path};
    if (cli_send(f->cli, &request, &reply) != CLI_OK)
        return false;
    cli_reply_clear(&reply);
    return true;
}

/* Until the job has ended (CLI_OK) or cannot be followed (the exit status). */
static int follow_to_end(struct follow *f)
{
    for (;;) {
        struct err e;
        int status = 0;
        const bool ok = watch(f, &status, &e);
        if (f->ended)
            return CLI_OK;
        if (cli_interrupts() > f->interrupts) {
            if (!take_interrupt(f))
                return CLI_INTERRUPTED;
            continue;
        }
        /* 200: it was there and ended the stream, since it stops. */
        if (ok && status != 200 && status != 503) {
            err_set(&e, ERR_NOT_FOUND, "job %s cannot be watched: the daemon answered %d", f->job,
                    status);
            cli_complain(&e);
            return CLI_FAILED;
        } else if (!ok && e.code != ERR_UNAVAILABLE && e.code != ERR_IO) {
            cli_complain(&e);
            return CLI_FAILED;
        }
        if (!wait_for_daemon(f)) {
            cli_progress_end(&f->progress);
            fprintf(stderr, "strided: the daemon has been away for %d s; job %s may go on\n",
                    f->cli->retry_s, f->job);
            return CLI_UNREACHABLE;
        }
    }
}

/* The job as the daemon shows it, for --json. */
static void print_job(struct follow *f)
{
    char path[64];
    struct cli_reply reply;
    snprintf(path, sizeof path, "/jobs/%s", f->job);
    const struct cli_request request = {.method = "GET", .path = path};
    if (cli_send(f->cli, &request, &reply) != CLI_OK)
        return;
    cli_print_body(&reply);
    cli_reply_clear(&reply);
}

static int report_end(struct follow *f)
{
    char percent[16];
    struct client_event *end = &f->end;
    if (f->cli->json)
        print_job(f);
    if (strcmp(end->state, "failed") == 0) {
        fprintf(stderr, "strided: job %s failed: %s\n", f->job, cli_clean(end->error));
        return CLI_FAILED;
    }
    if (strcmp(end->state, "cancelled") == 0) {
        fprintf(stderr, "strided: job %s was cancelled\n", f->job);
        return CLI_CANCELLED;
    }
    if (!f->cli->json)
        printf("job %s succeeded: version %d of its model, test accuracy %s\n", f->job,
               end->model_version, cli_percent(end->test_accuracy, percent));
    return CLI_OK;
}

int cli_follow(struct cli *cli, const char *job, bool cancel)
{
    struct follow f = {.cli = cli, .job = job, .cancel = cancel};
    cli_patience_begin(&f.patience);
    cli_progress_begin(&f.progress, job, cli->quiet);
    cli_interrupts_catch();
    int status = follow_to_end(&f);
    cli_progress_end(&f.progress);
    if (status == CLI_OK)
        status = report_end(&f);
    client_events_clear(&f.events);
    return status;
}
