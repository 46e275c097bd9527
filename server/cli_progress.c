#include "cli_progress.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli.h"

enum { BAR_CELLS = 20, WIDTH_DEFAULT = 80, LINE_BYTES = 256 };

void cli_progress_begin(struct cli_progress *progress, const char *job, bool quiet)
{
    *progress = (struct cli_progress){.job = job, .quiet = quiet, .bar = isatty(STDERR_FILENO)};
}

static int terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return WIDTH_DEFAULT;
}

/* "1:02:03", "2:03". */
static void write_time(double seconds, char *text, size_t size)
{
    const long s = isfinite(seconds) && seconds >= 0 && seconds < 1e9 ? lround(seconds) : -1;
    if (s < 0)
        snprintf(text, size, "-");
    else if (s >= 3600)
        snprintf(text, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(text, size, "%ld:%02ld", s / 60, s % 60);
}

static double share_done(const struct client_event *at)
{
    if (at->epochs <= 0 || at->epoch <= 0)
        return 0;
    const double batch = at->batches > 0 ? (double)at->batch / at->batches : 0;
    return fmin(fmax((at->epoch - 1 + batch) / at->epochs, 0), 1);
}

static void draw(struct cli_progress *p)
{
    const struct client_event *at = &p->at;
    char line[LINE_BYTES], cells[BAR_CELLS + 1], loss[16], accuracy[16], eta[24];
    const double done = share_done(at);
    const int full = (int)(done * BAR_CELLS);
    for (int i = 0; i < BAR_CELLS; i++)
        cells[i] = i < full ? '#' : '.';
    cells[BAR_CELLS] = '\0';
    write_time(at->eta_seconds, eta, sizeof eta);
    snprintf(line, sizeof line, "job %s [%s] %3.0f %%  epoch %d/%d  loss %s  accuracy %s  ETA %s",
             p->job, cells, 100 * done, at->epoch, at->epochs, cli_figure(at->loss, loss),
             cli_percent(at->accuracy, accuracy), eta);
    /* The last column stays free: some terminals wrap as soon as it is written. */
    fprintf(stderr, "\r%.*s\033[K", terminal_width() - 1, line);
    fflush(stderr);
    p->drawn = true;
}

static void erase(struct cli_progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}

static void print_epoch(const struct cli_progress *p, const struct client_event *event)
{
    char loss[16], accuracy[16], val_loss[16], val_accuracy[16];
    fprintf(stderr, "job %s: epoch %d/%d  loss %s  accuracy %s", p->job, event->epoch,
            event->epochs, cli_figure(event->loss, loss), cli_percent(event->accuracy, accuracy));
    if (!isnan(event->val_loss))
        fprintf(stderr, "  validation loss %s  accuracy %s", cli_figure(event->val_loss, val_loss),
                cli_percent(event->val_accuracy, val_accuracy));
    fprintf(stderr, "  %.1f s\n", event->seconds);
}

static void print_state(const struct cli_progress *p, const struct client_event *event)
{
    char state[sizeof event->state];
    memcpy(state, event->state, sizeof state);
    fprintf(stderr, "job %s: %s\n", p->job, cli_clean(state));
}

void cli_progress_event(struct cli_progress *p, const struct client_event *event)
{
    p->note[0] = '\0';
    if (p->quiet)
        return;
    if (event->type == CLIENT_BATCH) {
        p->at = *event;
        if (p->bar)
            draw(p);
        return;
    }
    erase(p);
    if (event->type == CLIENT_EPOCH)
        print_epoch(p, event);
    else if (event->type == CLIENT_STATE)
        print_state(p, event);
}

void cli_progress_note(struct cli_progress *p, const char *note)
{
    if (p->quiet || strcmp(p->note, note) == 0)
        return;
    snprintf(p->note, sizeof p->note, "%s", note);
    erase(p);
    fprintf(stderr, "job %s: %s\n", p->job, note);
}

void cli_progress_end(struct cli_progress *p)
{
    erase(p);
    fflush(stderr);
}
