/* DESIGN: a `feed` is a job that somebody watches. It holds the newest durable events, encoded, and
 * the newest figures of a batch. A watch reads from its feed what is newer than its cursor; older
 * events than the feed has it reads from the store, a page at a time.
 *
 *   scheduler: events_changed, events_batch     leave a note on the feed, if there is one
 *   thread `events`                             store -> feed; then wakes watches, ends waits
 *   HTTP threads: watch_read                    feed, or store -> client
 *
 * One mutex guards all of it. The store is read without it, but for one row when a feed is made:
 * order: this mutex, then the store's. Callbacks `wake` and `gone` are called holding it, `over` is
 * not. */
#include "events.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "events_page.h"
#include "limits.h"
#include "log.h"

enum {
    RECENT = 64,        /* durable events that a feed holds */
    AHEAD_BYTES = 4096, /* what a watch holds for its client ends once past this */
    RETRY_MS = 1000,    /* after the store failed */
};

/* A durable event, encoded; empty: an end that was undone since. */
struct told {
    char *text;
    size_t size;
    bool final; /* the job has ended; so, unless another follows, have its events */
};

struct feed {
    struct feed *next;
    int64_t job;
    int users;                  /* watches, waits, and the thread while it reads for it */
    int64_t first, last;        /* the numbers it holds; first > last: none, but last is known */
    bool ended;                 /* event `last` is the job's end */
    struct told recent[RECENT]; /* of number n at n % RECENT */
    struct buf batch;           /* figures since event `last`, encoded */
    int batch_number;           /* 0: none */
    int64_t batch_due_ms;       /* the next one is not passed on before */
    bool changed, reading;      /* the store may hold more; it is being read */
    int64_t retry_ms;           /* but is not asked before */
    bool news;                  /* watches have something to read */
    struct watch *watches;
};

struct watch {
    struct watch *next; /* of its feed */
    struct events *events;
    struct feed *feed;
    struct event_id cursor; /* of the last event in `ahead` or given */
    struct buf ahead;       /* encoded for the client; [given, size) is still to give */
    size_t given;
    bool finished;   /* nothing comes after what is ahead */
    bool beat;       /* give a heartbeat if there is nothing else */
    int64_t beat_ms; /* when the next one is due */
    events_wake *wake;
    void *context;
};

struct wait {
    struct wait *next;
    struct feed *feed;
    struct events_wait asked;
    int64_t deadline_ms, look_ms; /* look: whether it is gone */
};

struct events {
    struct store *store;
    int64_t heartbeat_ms;
    pthread_t thread;

    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t wake;   /* `note` was set */
    bool note;             /* the thread has something to do */
    bool stopping, quit;
    struct feed *feeds;
    struct wait *waits;
    int users; /* watches and waits */
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void leave_note(struct events *events)
{
    events->note = true;
    pthread_cond_signal(&events->wake);
}

/* ---- feeds ---- */

static struct feed *feed_find(struct events *events, int64_t job)
{
    for (struct feed *feed = events->feeds; feed; feed = feed->next)
        if (feed->job == job)
            return feed;
    return NULL;
}

static struct feed *feed_new(struct events *events, int64_t job, struct err *e)
{
    struct store_job row = {.id = 0};
    if (!store_job_get(events->store, job, &row, e))
        return NULL;
    store_job_clear(&row);
    struct feed *feed = calloc(1, sizeof *feed);
    if (!feed) {
        err_no_memory(e);
        return NULL;
    }
    feed->job = job;
    feed->last = row.last_event;
    feed->first = feed->last + 1;
    feed->ended = job_state_is_end(row.state);
    feed->next = events->feeds;
    events->feeds = feed;
    return feed;
}

/* One more that uses a job's feed. */
static struct feed *feed_acquire(struct events *events, int64_t job, struct err *e)
{
    if (events->users >= LIMIT_WATCHES) {
        err_set(e, ERR_UNAVAILABLE, "%d clients are watching jobs already", LIMIT_WATCHES);
        return NULL;
    }
    struct feed *feed = feed_find(events, job);
    if (!feed)
        feed = feed_new(events, job, e);
    if (!feed)
        return NULL;
    feed->users++;
    events->users++;
    return feed;
}

static void feed_unuse(struct events *events, struct feed *feed)
{
    if (--feed->users > 0)
        return;
    struct feed **link = &events->feeds;
    while (*link != feed)
        link = &(*link)->next;
    *link = feed->next;
    for (int i = 0; i < RECENT; i++)
        free(feed->recent[i].text);
    buf_clear(&feed->batch);
    free(feed);
}

static void feed_release(struct events *events, struct feed *feed)
{
    events->users--;
    feed_unuse(events, feed);
}

/* Takes the event that follows `last` over from *text. */
static void feed_add(struct feed *feed, struct buf *text, bool final)
{
    struct told *told = &feed->recent[++feed->last % RECENT];
    free(told->text);
    *told = (struct told){text->data, text->size, final};
    *text = (struct buf){0};
    if (feed->first <= feed->last - RECENT)
        feed->first = feed->last - RECENT + 1;
    feed->ended = final;
    feed->batch_number = 0;
    feed->news = true;
}

/* What the page has past `last`; between the read and now nobody else adds. */
static bool feed_add_page(struct feed *feed, const struct events_page *page, struct err *e)
{
    for (int i = 0; i < page->count; i++) {
        struct buf text = {0};
        bool final = events_page_write(page, i, &text);
        if (!buf_ok(&text)) {
            buf_clear(&text);
            return err_no_memory(e);
        }
        feed_add(feed, &text, final);
    }
    feed->changed = feed->changed || page->count == EVENTS_PAGE;
    return true;
}

/* Reads what the store has more. The mutex is let go meanwhile. */
static void feed_refresh(struct events *events, struct feed *feed)
{
    struct events_page page;
    struct err e;
    int64_t last = feed->last;
    feed->changed = false;
    feed->reading = true;
    feed->users++;
    pthread_mutex_unlock(&events->mutex);
    bool ok = events_page_read(events->store, feed->job, last, &page, &e);
    pthread_mutex_lock(&events->mutex);
    feed->reading = false;
    if (ok) {
        ok = feed_add_page(feed, &page, &e);
        events_page_clear(&page);
    } else if (e.code == ERR_NOT_FOUND) {
        /* Deleted: what ended before has told so, who still reads history finds none. */
        feed->ended = feed->news = ok = true;
    }
    if (!ok) {
        log_event(LOG_ERROR, "events_not_read", "error", e.detail, NULL);
        feed->changed = true;
        feed->retry_ms = now_ms() + RETRY_MS;
    }
    feed_unuse(events, feed);
}

/* The next feed to be refreshed; else *next_ms is no later than when one is. */
static struct feed *feed_to_refresh(struct events *events, int64_t now, int64_t *next_ms)
{
    for (struct feed *feed = events->feeds; feed; feed = feed->next) {
        if (feed->changed && feed->retry_ms <= now)
            return feed;
        if (feed->changed && feed->retry_ms < *next_ms)
            *next_ms = feed->retry_ms;
    }
    return NULL;
}

/* ---- what the scheduler tells ---- */

void events_changed(struct events *events, int64_t job)
{
    pthread_mutex_lock(&events->mutex);
    struct feed *feed = feed_find(events, job);
    if (feed) {
        feed->changed = true;
        leave_note(events);
    }
    pthread_mutex_unlock(&events->mutex);
}

/* Nothing is told of batches that come faster, or while a durable event that came before is not
 * read yet. */
static bool takes_batch(const struct feed *feed, int64_t now)
{
    return feed && feed->watches && !feed->changed && !feed->reading && now >= feed->batch_due_ms;
}

void events_batch(struct events *events, int64_t job, const struct event_batch *batch)
{
    pthread_mutex_lock(&events->mutex);
    struct feed *feed = feed_find(events, job);
    int64_t now = now_ms();
    if (takes_batch(feed, now)) {
        feed->batch.size = 0;
        event_write_batch(&feed->batch, job, (struct event_id){feed->last, batch->batch}, batch);
        feed->batch_number = buf_ok(&feed->batch) ? batch->batch : 0;
        if (!feed->batch_number)
            buf_clear(&feed->batch);
        feed->batch_due_ms = now + EVENTS_BATCH_MS;
        feed->news = true;
        leave_note(events);
    }
    pthread_mutex_unlock(&events->mutex);
}

/* ---- watches ---- */

struct watch *watch_new(struct events *events, int64_t job, struct event_id after,
                        events_wake *wake, void *context, struct err *e)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch) {
        err_no_memory(e);
        return NULL;
    }
    *watch = (struct watch){
        .events = events,
        .cursor = after,
        .beat_ms = now_ms() + events->heartbeat_ms,
        .wake = wake,
        .context = context,
    };
    pthread_mutex_lock(&events->mutex);
    watch->feed = feed_acquire(events, job, e);
    if (watch->feed) {
        watch->next = watch->feed->watches;
        watch->feed->watches = watch;
        leave_note(events); /* of its heartbeat */
    }
    pthread_mutex_unlock(&events->mutex);
    if (watch->feed)
        return watch;
    free(watch);
    return NULL;
}

void watch_free(struct watch *watch)
{
    if (!watch)
        return;
    struct events *events = watch->events;
    pthread_mutex_lock(&events->mutex);
    struct watch **link = &watch->feed->watches;
    while (*link != watch)
        link = &(*link)->next;
    *link = watch->next;
    feed_release(events, watch->feed);
    pthread_mutex_unlock(&events->mutex);
    buf_clear(&watch->ahead);
    free(watch);
}

/* History that the feed does not hold. The mutex is let go meanwhile. False: no more comes. */
static bool watch_read_page(struct watch *watch)
{
    struct events *events = watch->events;
    struct events_page page;
    struct err e;
    pthread_mutex_unlock(&events->mutex);
    bool ok = events_page_read(events->store, watch->feed->job, watch->cursor.number, &page, &e);
    if (ok) {
        for (int i = 0; i < page.count && !watch->finished; i++) {
            watch->finished = events_page_write(&page, i, &watch->ahead);
            watch->cursor = (struct event_id){page.rows[i].number, 0};
        }
        ok = page.count > 0;
        events_page_clear(&page);
    } else if (e.code != ERR_NOT_FOUND) {
        log_event(LOG_ERROR, "events_not_read", "error", e.detail, NULL);
    }
    pthread_mutex_lock(&events->mutex);
    return ok;
}

/* The next event of the feed, if there is one past the cursor. */
static bool watch_take_recent(struct watch *watch)
{
    const struct feed *feed = watch->feed;
    struct event_id *cursor = &watch->cursor;
    if (cursor->number < feed->last) {
        const struct told *told = &feed->recent[++cursor->number % RECENT];
        cursor->batch = 0;
        bool undone = told->final && cursor->number < feed->last;
        if (!undone)
            buf_add(&watch->ahead, told->text, told->size);
        watch->finished = told->final && !undone;
        return true;
    }
    if (cursor->number == feed->last && cursor->batch < feed->batch_number) {
        cursor->batch = feed->batch_number;
        buf_add(&watch->ahead, feed->batch.data, feed->batch.size);
        return true;
    }
    return false;
}

/* Puts something ahead if there is anything. */
static void watch_look_ahead(struct watch *watch)
{
    const struct feed *feed = watch->feed;
    while (!watch->finished && watch->ahead.size < AHEAD_BYTES) {
        bool behind = watch->cursor.number < feed->last;
        if (watch->events->stopping || (feed->ended && !behind))
            watch->finished = true;
        else if (behind && watch->cursor.number + 1 < feed->first)
            watch->finished = !watch_read_page(watch) || watch->finished;
        else if (!watch_take_recent(watch))
            break;
    }
    if (watch->ahead.size == 0 && watch->beat && !watch->finished)
        buf_str(&watch->ahead, ":\n\n");
    if (watch->ahead.size > 0) {
        watch->beat = false;
        watch->beat_ms = now_ms() + watch->events->heartbeat_ms;
    }
}

ssize_t watch_read(struct watch *watch, char *out, size_t size)
{
    struct buf *ahead = &watch->ahead;
    if (watch->given == ahead->size) {
        ahead->size = watch->given = 0;
        pthread_mutex_lock(&watch->events->mutex);
        watch_look_ahead(watch);
        pthread_mutex_unlock(&watch->events->mutex);
    }
    size_t rest = ahead->size - watch->given, n = rest < size ? rest : size;
    if (!buf_ok(ahead) || (rest == 0 && watch->finished))
        return -1;
    if (rest == 0)
        return 0;
    memcpy(out, ahead->data + watch->given, n);
    watch->given += n;
    if (n == rest) {
        buf_clear(ahead);
        watch->given = 0;
    }
    return (ssize_t)n;
}

static void wake_watches(struct events *events, int64_t now, int64_t *next_ms)
{
    for (struct feed *feed = events->feeds; feed; feed = feed->next) {
        for (struct watch *watch = feed->watches; watch; watch = watch->next) {
            bool due = now >= watch->beat_ms;
            if (due) {
                watch->beat = true;
                watch->beat_ms = now + events->heartbeat_ms;
            }
            if (feed->news || due || events->stopping)
                watch->wake(watch->context);
            *next_ms = watch->beat_ms < *next_ms ? watch->beat_ms : *next_ms;
        }
        feed->news = false;
    }
}

/* ---- waits ---- */

bool events_wait_for(struct events *events, const struct events_wait *asked, struct err *e)
{
    struct wait *wait = calloc(1, sizeof *wait);
    if (!wait)
        return err_no_memory(e);
    int64_t now = now_ms();
    *wait = (struct wait){
        .asked = *asked,
        .deadline_ms = now + asked->timeout_ms,
        .look_ms = now + events->heartbeat_ms,
    };
    pthread_mutex_lock(&events->mutex);
    wait->feed = feed_acquire(events, asked->job, e);
    bool ok = wait->feed != NULL;
    if (ok) {
        wait->next = events->waits;
        events->waits = wait;
        leave_note(events);
    }
    pthread_mutex_unlock(&events->mutex);
    if (!ok)
        free(wait);
    return ok;
}

static bool wait_is_over(const struct events *events, struct wait *wait, int64_t now)
{
    const struct feed *feed = wait->feed;
    bool met = feed->ended || (wait->asked.since >= 0 && feed->last > wait->asked.since);
    if (met || events->stopping || now >= wait->deadline_ms)
        return true;
    if (now < wait->look_ms)
        return false;
    wait->look_ms = now + events->heartbeat_ms;
    return wait->asked.gone(wait->asked.context);
}

/* Those that are over, unlinked; their feeds are released. */
static struct wait *take_waits(struct events *events, int64_t now, int64_t *next_ms)
{
    struct wait *over = NULL;
    for (struct wait **link = &events->waits; *link;) {
        struct wait *wait = *link;
        if (wait_is_over(events, wait, now)) {
            *link = wait->next;
            feed_release(events, wait->feed);
            wait->next = over;
            over = wait;
            continue;
        }
        int64_t due_ms = wait->deadline_ms < wait->look_ms ? wait->deadline_ms : wait->look_ms;
        *next_ms = due_ms < *next_ms ? due_ms : *next_ms;
        link = &wait->next;
    }
    return over;
}

static void end_waits(struct wait *wait)
{
    while (wait) {
        struct wait *next = wait->next;
        wait->asked.over(wait->asked.context);
        free(wait);
        wait = next;
    }
}

/* ---- the thread ---- */

static void sleep_until(struct events *events, int64_t time_ms)
{
    const struct timespec time = {time_ms / 1000, time_ms % 1000 * 1000000};
    while (!events->note)
        if (pthread_cond_timedwait(&events->wake, &events->mutex, &time) != 0)
            break;
    events->note = false;
}

static void *run(void *context)
{
    struct events *events = context;
    pthread_mutex_lock(&events->mutex);
    for (;;) {
        int64_t now = now_ms(), next_ms = now + events->heartbeat_ms;
        struct feed *feed;
        while ((feed = feed_to_refresh(events, now, &next_ms)))
            feed_refresh(events, feed);
        wake_watches(events, now, &next_ms);
        struct wait *over = take_waits(events, now, &next_ms);
        if (over) {
            pthread_mutex_unlock(&events->mutex);
            end_waits(over);
            pthread_mutex_lock(&events->mutex);
        }
        if (events->quit && !events->waits)
            break;
        sleep_until(events, next_ms);
    }
    pthread_mutex_unlock(&events->mutex);
    return NULL;
}

struct events *events_new(struct store *store, int heartbeat_s, struct err *e)
{
    struct events *events = calloc(1, sizeof *events);
    if (!events) {
        err_no_memory(e);
        return NULL;
    }
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&events->mutex, NULL);
    pthread_cond_init(&events->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    events->store = store;
    events->heartbeat_ms = (int64_t)heartbeat_s * 1000;
    int failed = pthread_create(&events->thread, NULL, run, events);
    if (!failed)
        return events;
    err_set(e, ERR_INTERNAL, "cannot start the thread of events: %s", strerror(failed));
    pthread_cond_destroy(&events->wake);
    pthread_mutex_destroy(&events->mutex);
    free(events);
    return NULL;
}

void events_stop(struct events *events)
{
    pthread_mutex_lock(&events->mutex);
    events->stopping = true;
    leave_note(events);
    pthread_mutex_unlock(&events->mutex);
}

void events_free(struct events *events)
{
    if (!events)
        return;
    pthread_mutex_lock(&events->mutex);
    events->stopping = events->quit = true;
    leave_note(events);
    pthread_mutex_unlock(&events->mutex);
    pthread_join(events->thread, NULL);
    CHECK(events->users == 0);
    pthread_cond_destroy(&events->wake);
    pthread_mutex_destroy(&events->mutex);
    free(events);
}
