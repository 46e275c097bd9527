/* http_admit.h - the thread that accepts connections and, while it waits, sweeps over the open
 * ones: deadlines, and streams whose client has left. */
#ifndef STRIDED_HTTP_ADMIT_H
#define STRIDED_HTTP_ADMIT_H

#include "err.h"

struct http_server;
struct http_admit;

/* Accepts on the server's listening socket. */
struct http_admit *http_admit_start(struct http_server *server, struct err *e);
/* New connections are refused from now on; the sweeps go on. */
void http_admit_close(struct http_admit *admit);
/* Ends the thread, after close. NULL does nothing. */
void http_admit_free(struct http_admit *admit);

#endif
