/* uploads.h - how far the bodies sent to /datasets have come: who uploads a gigabyte wants to see
 * it arrive.
 *
 * One table a process, behind one mutex. An upload is begun and told of bytes by http.c, told of
 * entries by the import, and ends with its request. Every function takes NULL for an upload that is
 * not followed.
 */
#ifndef STRIDED_UPLOADS_H
#define STRIDED_UPLOADS_H

#include <stdbool.h>
#include <stdint.h>

#include "limits.h"

struct upload;

/* pattern: the route's; only bodies below /datasets/{dataset} are followed. bytes: announced, 0 if
 * not. NULL if it is not followed. */
struct upload *upload_begin(const char *pattern, const char *dataset, const char *request_id,
                            uint64_t bytes);
void upload_received(struct upload *upload, uint64_t bytes);
/* The body is complete; `entries` files are to be read, 0 = not known. */
void upload_importing(struct upload *upload, uint64_t entries);
void upload_entry_done(struct upload *upload);
void upload_end(struct upload *upload);

struct upload_view {
    char dataset[LIMIT_NAME_BYTES + 1], request_id[129], started[32];
    bool importing;
    uint64_t bytes_received, bytes; /* bytes 0: not announced */
    uint64_t entries_done, entries; /* entries 0: not known */
};
/* Those in flight, oldest first, to one dataset or (NULL) to all; returns how many, at most max. */
int uploads_list(const char *dataset, struct upload_view *views, int max);

#endif
