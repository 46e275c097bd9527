/* events.h - what happens to jobs, told to whoever watches: streams of events and long polls.
 *
 * States and epochs are durable (proto/event.h says how events are numbered; the store keeps them),
 * so a watch is no queue but a cursor: the id of the last event it has given. What is new is read
 * from the store once a job and shared by all its watches; one that has fallen far behind reads
 * further from the store, and loses nothing. Of batches only the newest figures are kept, so a slow
 * watch skips some. Memory: some kilobytes a job that is watched, and while a watch's client does
 * not read, a few more for it.
 *
 * One thread, `events`, reads what is new, wakes watches, sees to heartbeats and answers long
 * polls. Whoever changes jobs only leaves a note for it: events_changed and events_batch never
 * wait for a disk or a client. Any thread may call anything here, holding any lock but the store's.
 */
#ifndef STRIDED_EVENTS_H
#define STRIDED_EVENTS_H

#include <sys/types.h>

#include "event.h"
#include "store.h"

struct events;
/* A watch that has had nothing to give for heartbeat_s seconds gives a comment, which finds out
 * whether its client is still there. */
struct events *events_new(struct store *store, int heartbeat_s, struct err *e);
/* Ends what is being watched, now and later: watches end, waits are over. For a daemon that stops.
 */
void events_stop(struct events *events);
/* No watch may be left. */
void events_free(struct events *events);

/* ---- from the scheduler ---- */

/* The store has a new state or epoch of this job. */
void events_changed(struct events *events, int64_t job);
/* Figures of the epoch in progress, at most every EVENTS_BATCH_MS passed on to a job's watches. */
enum { EVENTS_BATCH_MS = 100 };
void events_batch(struct events *events, int64_t job, const struct event_batch *batch);

/* ---- watches ---- */

struct watch;
typedef void events_wake(void *context);
/* All events after `after`, a job's first being 1, then those that come. An end (failed, cancelled)
 * that was undone since is left out. `wake` is called, from the thread `events`, whenever there may
 * be something to read; it must not call back. ERR_NOT_FOUND; ERR_UNAVAILABLE past LIMIT_WATCHES.
 */
struct watch *watch_new(struct events *events, int64_t job, struct event_id after,
                        events_wake *wake, void *context, struct err *e);
/* Up to `size` bytes of events; 0: nothing for now; -1: the job has ended and all is told, it was
 * deleted, the daemon stops, or the store failed. One thread at a time. */
ssize_t watch_read(struct watch *watch, char *out, size_t size);
void watch_free(struct watch *watch); /* NULL is fine; wake is not called any more */

/* ---- long polls ---- */

struct events_wait {
    int64_t job;
    int64_t since;  /* until the job has a durable event past this one or ends; -1: until it ends */
    int timeout_ms; /* over then at the latest */
    /* Called once, from the thread `events`; may block for a moment. */
    void (*over)(void *context);
    /* Asked now and then; true ends the wait early. Must not call back. */
    bool (*gone)(void *context);
    void *context;
};
/* Also when it is over already, `over` is called by that thread and never from here. Errors as of
 * watch_new; then it is not called. */
bool events_wait_for(struct events *events, const struct events_wait *wait, struct err *e);

#endif
