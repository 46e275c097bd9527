/* strided predict: asks a model about files, one line a sample. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "client_json.h"
#include "limits.h"

enum { OPTION_MODEL, OPTION_VERSION, OPTION_TOP, OPTION_COUNT };
static const struct cli_option options[] = {
    [OPTION_MODEL] = {"model", "NAME", "the model to ask (the only one, if there is one)"},
    [OPTION_VERSION] = {"version", "N", "of the model (the active one)"},
    [OPTION_TOP] = {"top", "K", "name so many classes of each sample (default 1)"},
    [OPTION_COUNT] = {NULL, NULL, NULL},
};

enum { READ_BYTES = 1 << 16 };

struct predict {
    struct cli cli;
    const char *values[OPTION_COUNT];
    struct cli_part *files; /* bytes are owned */
    int file_count;
};

static void print_help(void)
{
    printf("strided predict [OPTIONS] FILE...: ask a model about pictures, meshes, npy files\n\n");
    cli_print_options(options);
    printf("\nFILE - is standard input. A line a sample: file, label and score, tab-separated.\n"
           "Exit status: 0 answered, 1 refused, 2 wrong usage, 4 no daemon answers.\n");
}

/* ---- the command line ---- */

static bool read_all(FILE *file, struct buf *out)
{
    size_t n;
    do {
        if (!buf_reserve(out, READ_BYTES))
            return false;
        n = fread(out->data + out->size, 1, READ_BYTES, file);
        out->size += n;
    } while (n > 0 && out->size <= LIMIT_PREDICT_BODY_BYTES);
    return !ferror(file);
}

static bool add_file(struct predict *p, const char *path)
{
    const bool is_stdin = strcmp(path, "-") == 0;
    struct buf bytes = {0};
    FILE *file = is_stdin ? stdin : fopen(path, "rb");
    const bool read = file && read_all(file, &bytes);
    if (file && !is_stdin)
        fclose(file);
    if (!read || bytes.size > LIMIT_PREDICT_BODY_BYTES) {
        fprintf(stderr, read ? "strided: '%s' is too large\n" : "strided: cannot read '%s'\n",
                path);
        buf_clear(&bytes);
        return false;
    }
    p->files[p->file_count++] = (struct cli_part){path, bytes.data, bytes.size};
    return true;
}

/* False: leave with *status. */
static bool read_arguments(struct predict *p, int argc, char **argv, int *status)
{
    const char *value;
    int at = 0, option;
    *status = CLI_USAGE;
    while ((option = cli_next(&p->cli, options, argc, argv, &at, &value)) != CLI_END) {
        if (option == CLI_HELP) {
            print_help();
            *status = CLI_OK;
            return false;
        }
        if (option >= 0)
            p->values[option] = value;
        else if (option != CLI_ARGUMENT || !add_file(p, value))
            return false;
    }
    if (p->file_count > 0)
        return true;
    fprintf(stderr, "strided: no file is named (strided predict --help)\n");
    return false;
}

/* ---- asking ---- */

static bool write_path(const struct predict *p, char *path, size_t size)
{
    const char *top = p->values[OPTION_TOP];
    snprintf(path, size, "/predict");
    return cli_add_query(path, size, "top", top ? top : "1") &&
           (!p->values[OPTION_MODEL] ||
            cli_add_query(path, size, "model", p->values[OPTION_MODEL])) &&
           (!p->values[OPTION_VERSION] ||
            cli_add_query(path, size, "version", p->values[OPTION_VERSION]));
}

/* Of which file a sample is; a file may hold several. */
static void print_name(const struct predict *p, int samples, int sample)
{
    if (samples == p->file_count)
        printf("%s", p->files[sample].name);
    else if (p->file_count == 1)
        printf("%s[%d]", p->files[0].name, sample);
    else
        printf("[%d]", sample);
}

static void print_predictions(const struct predict *p, struct client_predictions *predictions)
{
    struct client_class *class = predictions->classes;
    for (int i = 0; i < predictions->count; i++) {
        print_name(p, predictions->count, i);
        for (int k = 0; k < predictions->top; k++, class ++)
            printf("\t%s\t%.4f", cli_clean(class->label), class->score);
        putchar('\n');
    }
}

static int show(const struct predict *p, const struct cli_reply *reply)
{
    struct client_predictions predictions;
    struct err e;
    if (p->cli.json) {
        cli_print_body(reply);
        return CLI_OK;
    }
    const bool ok = client_predictions_read(reply->body.data, reply->body.size, &predictions, &e);
    if (ok)
        print_predictions(p, &predictions);
    else
        cli_complain(&e);
    free(predictions.classes);
    return ok ? CLI_OK : CLI_FAILED;
}

static int ask(struct predict *p)
{
    char path[900];
    struct err e;
    struct cli_reply reply;
    if (!write_path(p, path, sizeof path)) {
        fprintf(stderr, "strided: a name is too long\n");
        return CLI_USAGE;
    }
    if (!cli_connect(&p->cli, &e)) {
        cli_complain(&e);
        return cli_status_of(&e);
    }
    const struct cli_request request = {
        .method = "POST", .path = path, .parts = p->files, .part_count = p->file_count};
    int status = cli_send(&p->cli, &request, &reply);
    if (status != CLI_OK)
        return status;
    status = show(p, &reply);
    cli_reply_clear(&reply);
    return status;
}

int cli_predict(int argc, char **argv)
{
    struct predict p = {.file_count = 0};
    int status;
    cli_init(&p.cli);
    p.files = calloc((size_t)argc + 1, sizeof *p.files);
    if (!p.files) {
        fprintf(stderr, "strided: out of memory\n");
        return CLI_FAILED;
    }
    if (read_arguments(&p, argc, argv, &status))
        status = ask(&p);
    for (int i = 0; i < p.file_count; i++)
        free((void *)p.files[i].bytes);
    free(p.files);
    cli_http_free(p.cli.http);
    return status;
}
