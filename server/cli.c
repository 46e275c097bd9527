#include "cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client_json.h"
#include "clock.h"

enum {
    RETRY_S = 60,
    RETRY_S_MAX = 1 << 20,
    RETRY_FIRST_MS = 200,
    RETRY_LAST_MS = 2000,
    HELP_COLUMN = 28,
};

enum { OPTION_SERVER, OPTION_JSON, OPTION_QUIET, OPTION_RETRY, OPTION_HELP };
const struct cli_option cli_common[] = {
    [OPTION_SERVER] = {"server", "URL", "the daemon (STRIDED_SERVER, else http://127.0.0.1:8080)"},
    [OPTION_JSON] = {"json", NULL, "print the daemon's answer as JSON"},
    [OPTION_QUIET] = {"quiet", NULL, "show no progress"},
    [OPTION_RETRY] = {"retry-s", "SECONDS",
                      "how long a daemon that restarts is waited for (default 60)"},
    [OPTION_HELP] = {"help", NULL, "print this"},
    {NULL, NULL, NULL},
};

/* ---- options ---- */

static int find_option(const struct cli_option *options, const char *name, size_t size)
{
    for (int i = 0; options && options[i].name; i++)
        if (strlen(options[i].name) == size && memcmp(options[i].name, name, size) == 0)
            return i;
    return -1;
}

static int bad_option(const char *text, const char *why)
{
    fprintf(stderr, "strided: %s '%s'\n", why, text);
    return CLI_BAD;
}

static bool take_retry(struct cli *cli, const char *value)
{
    char *end;
    const long seconds = strtol(value, &end, 10);
    cli->retry_s = (int)seconds;
    return end != value && !*end && seconds >= 0 && seconds <= RETRY_S_MAX;
}

/* An option of every command; CLI_END: taken, go on. */
static int take_common(struct cli *cli, int option, const char *value)
{
    switch (option) {
    case OPTION_SERVER:
        cli->server = value;
        return CLI_END;
    case OPTION_JSON:
        cli->json = true;
        return CLI_END;
    case OPTION_QUIET:
        cli->quiet = true;
        return CLI_END;
    case OPTION_RETRY:
        return take_retry(cli, value) ? CLI_END
                                      : bad_option(value, "expected a number of seconds, got");
    default:
        return CLI_HELP;
    }
}

/* The value of an option, "--name=value" or the argument after it; false: there is none. */
static bool option_value(const char *equals, int argc, char **argv, int *at, const char **value)
{
    if (equals)
        *value = equals + 1;
    else if (*at < argc)
        *value = argv[(*at)++];
    else
        return false;
    return true;
}

int cli_next(struct cli *cli, const struct cli_option *own, int argc, char **argv, int *at,
             const char **value)
{
    while (*at < argc) {
        const char *text = argv[(*at)++];
        *value = text;
        if (text[0] != '-' || text[1] == '\0')
            return CLI_ARGUMENT;
        if (strcmp(text, "-h") == 0)
            return CLI_HELP;
        const char *equals = strchr(text, '=');
        const size_t size = equals ? (size_t)(equals - text) : strlen(text);
        const bool is_long = strncmp(text, "--", 2) == 0;
        const int mine = is_long ? find_option(own, text + 2, size - 2) : -1;
        const int common = is_long ? find_option(cli_common, text + 2, size - 2) : -1;
        if (mine < 0 && common < 0)
            return bad_option(text, "unknown option");
        const struct cli_option *option = mine >= 0 ? &own[mine] : &cli_common[common];
        if (option->argument && !option_value(equals, argc, argv, at, value))
            return bad_option(text, "no value for");
        if (!option->argument && equals)
            return bad_option(text, "no value is expected in");
        if (mine >= 0)
            return mine;
        const int taken = take_common(cli, common, *value);
        if (taken != CLI_END)
            return taken;
    }
    return CLI_END;
}

static void print_table(const struct cli_option *options)
{
    for (; options && options->name; options++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", options->name, options->argument ? " " : "",
                 options->argument ? options->argument : "");
        printf("  %-*s %s\n", HELP_COLUMN, left, options->help);
    }
}

void cli_print_options(const struct cli_option *own)
{
    print_table(own);
    print_table(cli_common);
}

void cli_init(struct cli *cli)
{
    const char *server = getenv("STRIDED_SERVER");
    *cli = (struct cli){.server = server && *server ? server : "http://127.0.0.1:8080",
                        .retry_s = RETRY_S};
}

bool cli_connect(struct cli *cli, struct err *e)
{
    cli->http = cli_http_new(cli->server, e);
    return cli->http != NULL;
}

/* ---- talking ---- */

/* Of ASCII, and of Latin-1 in UTF-8: C2 80 to C2 9F. */
char *cli_clean(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c; c++) {
        if (*c < ' ' || *c == 127)
            *c = '?';
        else if (*c == 0xC2 && c[1] >= 0x80 && c[1] < 0xA0)
            c[0] = c[1] = '?';
    }
    return text;
}

void cli_complain(const struct err *e)
{
    struct err clean = *e;
    fprintf(stderr, "strided: %s", cli_clean(clean.detail));
    if (clean.field[0])
        fprintf(stderr, " (field '%s')", cli_clean(clean.field));
    fputc('\n', stderr);
}

int cli_status_of(const struct err *e)
{
    if (e->code == ERR_UNAVAILABLE || e->code == ERR_IO)
        return CLI_UNREACHABLE;
    return e->code == ERR_CANCELLED ? CLI_INTERRUPTED : CLI_FAILED;
}

static void complain_of_reply(const struct cli_reply *reply)
{
    struct err e;
    char detail[512], field[128];
    err_set(&e, ERR_INVALID, "the daemon answered %d", reply->status);
    if (client_problem_read(reply->body.data, reply->body.size, detail, field))
        err_field(&e, ERR_INVALID, field, "%s", detail);
    cli_complain(&e);
}

int cli_accept(struct cli_reply *reply)
{
    if (reply->status >= 200 && reply->status < 300)
        return CLI_OK;
    complain_of_reply(reply);
    cli_reply_clear(reply);
    return CLI_FAILED;
}

int cli_send(struct cli *cli, const struct cli_request *request, struct cli_reply *reply)
{
    struct err e;
    if (cli_http_send(cli->http, request, reply, &e))
        return cli_accept(reply);
    cli_complain(&e);
    return cli_status_of(&e);
}

void cli_patience_begin(struct cli_patience *patience)
{
    *patience = (struct cli_patience){clock_ns(), RETRY_FIRST_MS};
}

bool cli_patience_wait(struct cli_patience *patience, const struct cli *cli)
{
    if (clock_ns() - patience->since_ns > (int64_t)cli->retry_s * 1000000000)
        return false;
    const struct timespec delay = clock_timespec((int64_t)patience->delay_ms * 1000000);
    nanosleep(&delay, NULL);
    patience->delay_ms =
        patience->delay_ms * 2 < RETRY_LAST_MS ? patience->delay_ms * 2 : RETRY_LAST_MS;
    return true;
}

bool cli_add_query(char *path, size_t size, const char *name, const char *value)
{
    size_t used = strlen(path);
    const int n = snprintf(path + used, size - used, "%c%s=", strchr(path, '?') ? '&' : '?', name);
    if ((size_t)n >= size - used)
        return false;
    used += (size_t)n;
    for (; *value && used + 4 <= size; value++)
        used += (size_t)snprintf(path + used, size - used, "%%%02X", (unsigned char)*value);
    return *value == '\0';
}

void cli_print_body(const struct cli_reply *reply)
{
    const struct buf *body = &reply->body;
    if (body->size == 0)
        return;
    fwrite(body->data, 1, body->size, stdout);
    if (body->data[body->size - 1] != '\n')
        putchar('\n');
}

const char *cli_percent(double share, char text[16])
{
    if (isnan(share))
        snprintf(text, 16, "-");
    else
        snprintf(text, 16, "%.2f %%", 100 * share);
    return text;
}

const char *cli_figure(double figure, char text[16])
{
    if (isnan(figure))
        snprintf(text, 16, "-");
    else
        snprintf(text, 16, "%.4g", figure);
    return text;
}
