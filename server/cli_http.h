/* cli_http.h - requests of the client commands, by libcurl.
 *
 * libcurl brings thirty libraries, 8 ms of every start and some megabytes, so it is loaded when the
 * first request is made and the daemon never sees it. One thread; nothing here is for the daemon.
 */
#ifndef STRIDED_CLI_HTTP_H
#define STRIDED_CLI_HTTP_H

#include "buf.h"
#include "err.h"

/* A file of a multipart body. */
struct cli_part {
    const char *name; /* the file's name as the daemon sees it */
    const void *bytes;
    size_t size;
};

struct cli_request {
    const char *method, *path;  /* path with its query, escaped */
    const char *const *headers; /* "Name: value", NULL-terminated; NULL: none */
    const char *body;           /* NULL: none */
    const struct cli_part *parts;
    int part_count; /* > 0: the body is these, as multipart/form-data */
    /* NULL: the reply's body is gathered. Else a reply of status 200 is given piece by piece; false
     * ends it, and cli_http_send then succeeds. */
    bool (*piece)(void *context, const char *bytes, size_t size);
    void *context;
};

struct cli_reply {
    int status;
    struct buf body; /* owned */
};

struct cli_http;
/* server: "http://127.0.0.1:8080". Fails where libcurl is not installed. */
struct cli_http *cli_http_new(const char *server, struct err *e);
void cli_http_free(struct cli_http *http); /* NULL is fine */

/* True with any reply that came. False: ERR_UNAVAILABLE when no connection could be made, ERR_IO
 * when it broke before the reply's end (the request may have been taken), ERR_CANCELLED on an
 * interrupt (cli_interrupts > 0). */
bool cli_http_send(struct cli_http *http, const struct cli_request *request,
                   struct cli_reply *reply, struct err *e);
void cli_reply_clear(struct cli_reply *reply);

/* From now on SIGINT is counted instead of ending the process; what is under way is given up. */
void cli_interrupts_catch(void);
int cli_interrupts(void);

#endif
