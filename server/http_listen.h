/* http_listen.h - the listening socket. */
#ifndef STRIDED_HTTP_LISTEN_H
#define STRIDED_HTTP_LISTEN_H

#include "err.h"

/* "127.0.0.1:8080", "[::1]:8080", "localhost:0", ":8080" (every address). Returns the socket, -1
 * on failure; *port is the bound port, also when 0 was asked for. */
int http_listen(const char *address, int *port, struct err *e);

#endif
