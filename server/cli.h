/* cli.h - the client commands: strided train, jobs, predict. Each talks to a daemon by HTTP and
 * ends with an exit status that scripts can rely on.
 */
#ifndef STRIDED_CLI_H
#define STRIDED_CLI_H

#include <stdint.h>

#include "cli_http.h"

enum cli_exit {
    CLI_OK = 0,          /* done; of a job: it succeeded */
    CLI_FAILED = 1,      /* the job failed, or the daemon refused */
    CLI_USAGE = 2,       /* the command line */
    CLI_CANCELLED = 3,   /* the job was cancelled */
    CLI_UNREACHABLE = 4, /* no daemon answered */
    CLI_INTERRUPTED = 130,
};

/* What every command takes. */
struct cli {
    const char *server; /* --server, else STRIDED_SERVER, else http://127.0.0.1:8080 */
    bool json;          /* --json: the daemon's answer as it came, on stdout */
    bool quiet;         /* --quiet: no progress */
    int retry_s;        /* --retry-s: how long a daemon that was there may be away */
    struct cli_http *http;
};

/* argv after the command's name. */
int cli_train(int argc, char **argv);
int cli_jobs(int argc, char **argv);
int cli_predict(int argc, char **argv);

/* ---- what they share ---- */

/* One table a command: options of all commands stand in it too. */
struct cli_option {
    const char *name;     /* "epochs"; NULL ends the table */
    const char *argument; /* "N"; NULL: a flag */
    const char *help;
};
/* The options that every command has; handles them into cli. */
extern const struct cli_option cli_common[];

/* The next option of argv from *at on, in `own` or cli_common (which it takes care of itself):
 * returns its place in own, with *value. CLI_ARGUMENT: *value is no option. CLI_END: no more.
 * CLI_BAD: said on stderr. CLI_HELP: --help was asked. */
enum { CLI_ARGUMENT = -1, CLI_END = -2, CLI_BAD = -3, CLI_HELP = -4 };
int cli_next(struct cli *cli, const struct cli_option *own, int argc, char **argv, int *at,
             const char **value);
void cli_print_options(const struct cli_option *own);

/* Defaults; then, once the options are read, the connection. */
void cli_init(struct cli *cli);
bool cli_connect(struct cli *cli, struct err *e);

/* "strided: problem (field 'x')" on stderr, without control characters. */
void cli_complain(const struct err *e);
/* The exit status of a request that failed with *e. */
int cli_status_of(const struct err *e);
/* A reply that is no success is complained of and cleared. Returns CLI_OK, or the exit status. */
int cli_accept(struct cli_reply *reply);
/* Sends, and that. */
int cli_send(struct cli *cli, const struct cli_request *request, struct cli_reply *reply);

/* How long a daemon that was there has been away, and how long to wait until the next try. */
struct cli_patience {
    int64_t since_ns;
    int delay_ms;
};
/* It is there. */
void cli_patience_begin(struct cli_patience *patience);
/* Waits a little, longer each time. False, at once: past --retry-s. An interrupt ends the wait. */
bool cli_patience_wait(struct cli_patience *patience, const struct cli *cli);
/* Text of a daemon's, printable: control characters become '?'. Returns text. */
char *cli_clean(char *text);
/* Adds "name=value", escaped, to a path's query; false: too long. */
bool cli_add_query(char *path, size_t size, const char *name, const char *value);
/* An answer to stdout, made to end with a line's end. */
void cli_print_body(const struct cli_reply *reply);

/* Follows a job to its end, across restarts of the daemon; shows its progress on stderr (a bar on a
 * terminal, else a line an epoch) and its end on stdout. cancel: an interrupt cancels it. */
int cli_follow(struct cli *cli, const char *job, bool cancel);

/* "97.31 %"; "-" for NAN. */
const char *cli_percent(double share, char text[16]);
/* "0.0812"; "-" for NAN. */
const char *cli_figure(double figure, char text[16]);

#endif
