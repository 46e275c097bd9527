/* http_early.h - replies written to the socket past libmicrohttpd, which takes none while a body
 * arrives. They end the connection. */
#ifndef STRIDED_HTTP_EARLY_H
#define STRIDED_HTTP_EARLY_H

#include "http.h"

/* Sends the response whole, without waiting, and shuts our side: closing a socket with unread data
 * would reset it, which can cost the client the answer, so what it still sends must be read. False:
 * it could not be sent. */
bool http_early_send(int fd, const struct http_response *response, const char *request_id);
/* A problem document for a connection that has no request, under an id of its own. */
void http_early_problem(int fd, int status, const char *detail);

#endif
