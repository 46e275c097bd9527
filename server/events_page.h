/* events_page.h - rows of the store to encoded events; private to events.c. No locks. */
#ifndef STRIDED_EVENTS_PAGE_H
#define STRIDED_EVENTS_PAGE_H

#include "event.h"
#include "store.h"

enum { EVENTS_PAGE = 32 }; /* rows read from the store at once */

/* A job and its first events past a number. The job is the newer: its last_event tells whether the
 * last row is still its newest. */
struct events_page {
    struct store_job job;
    struct store_event *rows;
    int count;
};
bool events_page_read(struct store *store, int64_t job, int64_t after, struct events_page *page,
                      struct err *e);
void events_page_clear(struct events_page *page);
/* Appends row i of the page; nothing for an end that was undone. True if it is the end. */
bool events_page_write(const struct events_page *page, int i, struct buf *out);

#endif
