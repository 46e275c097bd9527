/* http_head.h - which request heads we take: the framing rules of RFC 9112, strictly.
 *
 * Where two readers could disagree on where a request ends or whom it is for, the request is
 * refused and its connection closed: two lengths, a length and chunks, no or two hosts, lines that
 * end in a bare LF, folded lines, NUL and other control characters. libmicrohttpd is laxer; what
 * it drops silently shows because the parts it hands out do not add up to the head's size.
 */
#ifndef STRIDED_HTTP_HEAD_H
#define STRIDED_HTTP_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct http_head {
    const char *method, *target, *version; /* target: raw; borrowed */
    size_t head_size; /* bytes from the method to the empty line, both included */
    /* Filled by http_head_field. */
    int hosts, lengths, encodings;
    bool bad_field;
    bool chunked;
    uint64_t length;    /* of the body; 0 when chunked or absent */
    size_t fields_size; /* bytes of the header lines, line ends included */
};

/* One header line. name and value point into the head as it was received. */
void http_head_field(struct http_head *head, const char *name, size_t name_size, const char *value,
                     size_t value_size);
/* After the last field. */
bool http_head_check(const struct http_head *head, struct err *e);

#endif
