/* cli_progress.h - a job's progress on stderr: one line that is drawn again where stderr is a
 * terminal, else a line an epoch and a change of state. */
#ifndef STRIDED_CLI_PROGRESS_H
#define STRIDED_CLI_PROGRESS_H

#include "client_json.h"

struct cli_progress {
    const char *job;
    bool quiet, bar;
    bool drawn;             /* a bar stands on the last line */
    struct client_event at; /* what the bar shows */
    char note[64];          /* the last one printed */
};

/* job is borrowed. */
void cli_progress_begin(struct cli_progress *progress, const char *job, bool quiet);
void cli_progress_event(struct cli_progress *progress, const struct client_event *event);
/* A word from the client itself; once in a row. */
void cli_progress_note(struct cli_progress *progress, const char *note);
/* Leaves the cursor on an empty line. */
void cli_progress_end(struct cli_progress *progress);

#endif
