/* http_id.h - X-Request-Id: what ties a reply, a log line and a client's own records together. */
#ifndef STRIDED_HTTP_ID_H
#define STRIDED_HTTP_ID_H

enum { HTTP_ID_BYTES = 128 };

/* The id that was sent (NULL: none) if it is 1..128 of [A-Za-z0-9._:-], else 16 random hexadecimal
 * digits. */
void http_id_choose(const char *sent, char id[HTTP_ID_BYTES + 1]);

#endif
